// What the gateway says, shown as it comes and as it ages. All tabs of a browser share one connection
// where that can be (worker.js), else each has its own; one that nobody can see listens to nothing.
import { aged, hear, isKnown, LOST_S, silenceS } from "./snapshot.js";
import { source } from "./source.js";

const LATE_S = 1.2;
const TICK_MS = 500;
const SAY_TICKS = 10;
const UNANSWERED_MAX = 2;

let show = () => {}; // who shows what came
let mourn = () => {}; // who says that nothing ever did
let way = null; // where events come from: open it again and again, or close it
let ticks = 0;

function pass(kind, body) {
  hear(kind, body);
  if (isKnown()) show(aged(0));
}

// A worker that cannot be had, breaks or does not answer costs nobody the page.
function shared() {
  const worker = new SharedWorker("/static/worker.js", "shorewatch");
  let unanswered = 0;
  worker.onerror = own;
  worker.port.onmessage = ({ data: { kind, body } }) => {
    unanswered = 0;
    if (kind) pass(kind, body);
  };
  const open = () => {
    unanswered += 1;
    if (unanswered > UNANSWERED_MAX) own();
    else worker.port.postMessage("seen");
  };
  return { open, close: () => worker.port.postMessage("gone") };
}

function own() {
  way?.close();
  way = source(pass);
  if (!document.hidden) way.open();
}

function tick() {
  ticks += 1;
  if (!document.hidden && ticks % SAY_TICKS === 0) way.open();
  const silence = silenceS();
  if (silence < LATE_S) return;
  if (isKnown()) show(aged(silence));
  else if (silence > LOST_S) mourn();
}

// A page that nobody sees costs the gateway nothing; seen again, it asks before it says anything.
function seen() {
  if (document.hidden) way.close();
  else way.open();
}

// `shown` gets each snapshot as it must be read, `lost` is called while none ever came.
export function follow(shown, lost) {
  [show, mourn] = [shown, lost];
  try {
    way = shared();
  } catch {
    own();
  }
  document.addEventListener("visibilitychange", seen);
  addEventListener("pagehide", () => way.close());
  addEventListener("pageshow", ({ persisted }) => persisted && seen());
  seen();
  setInterval(tick, TICK_MS);
}
