// What the gateway says, shown as it comes and as it ages. A tab begins with a stream of its own, which
// is the fastest, and lets it go when the worker that all tabs share (worker.js) has spoken; where there
// is none, or it says nothing, it keeps it. One that nobody can see listens to nothing. The worker is
// fetched when the view has its values: until then the line is theirs.
import { aged, hear, isKnown, LOST_S, silenceS } from "./snapshot.js";
import { source } from "./source.js";

const LATE_S = 1.2;
const TICK_MS = 500;
const MEET_TICKS = 2;
const SAY_TICKS = 10;
const UNANSWERED_MAX = 2;

const own = source(pass);
let worker = null;
let isMet = false;
let unanswered = 0;
let ticks = 0;
let show = () => {}; // who shows what came
let mourn = () => {}; // who says that nothing ever did

function pass(kind, body) {
  hear(kind, body);
  if (isKnown()) show(aged(0));
}

function meet() {
  isMet = true;
  try {
    worker = new SharedWorker("/static/worker.js", "shorewatch");
  } catch {
    return;
  }
  worker.port.onmessage = ({ data: { kind, body } }) => {
    unanswered = 0;
    if (!kind) return;
    own.close();
    pass(kind, body);
  };
}

// The worker answers each word; one that does not is as none.
function say() {
  worker?.port.postMessage("seen");
  unanswered += 1;
  if (unanswered > UNANSWERED_MAX) own.open();
}

function tick() {
  ticks += 1;
  if (!isMet && isKnown() && ticks >= MEET_TICKS) {
    meet();
    if (!document.hidden) say();
  }
  if (!document.hidden && ticks % SAY_TICKS === 0) say();
  const silence = silenceS();
  if (silence < LATE_S) return;
  if (isKnown()) show(aged(silence));
  else if (silence > LOST_S) mourn();
}

// A page that nobody sees costs the gateway nothing; seen again, it asks before it says anything.
function seen() {
  if (document.hidden) return leave();
  own.open();
  return say();
}

function leave() {
  own.close();
  worker?.port.postMessage("gone");
}

// `shown` gets each snapshot as it must be read, `lost` is called while none ever came.
export function follow(shown, lost) {
  [show, mourn] = [shown, lost];
  document.addEventListener("visibilitychange", seen);
  addEventListener("pagehide", leave);
  addEventListener("pageshow", ({ persisted }) => persisted && seen());
  seen();
  setInterval(tick, TICK_MS);
}
