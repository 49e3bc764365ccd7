// What the gateway says, as it comes: a snapshot, then what changes. Nothing may look alive when it is
// not: every value goes on ageing from when it came, and turns stale at its maximum age; without a word
// for LOST_S nothing is called good or up any more. While nobody can see the page it listens to nothing.

const LOST_S = 4;
const LATE_S = 1.2;
const RETRY_S_MIN = 1;
const RETRY_S_MAX = 15;
let heard = now();
let snapshot = null; // as it came
let show = () => {}; // who shows what came
let mourn = () => {}; // who says that nothing ever did
let events = null;
let retry = null;
let retryS = RETRY_S_MIN;

function now() {
  return { clock: performance.now(), wall: Date.now() };
}

// Seconds since a moment. The monotonic clock stands still while some machines sleep, the wall clock
// may be set back: the longer of the two can only make values look older.
function passedS(moment) {
  return Math.max(performance.now() - moment.clock, Date.now() - moment.wall, 0) / 1000;
}

// A snapshot as it must be read `silentS` seconds after it came.
function aged(s, silentS) {
  const lost = silentS > LOST_S;
  const points = { good: 0, uncertain: 0, bad: 0 };
  const age = (point, passed) => {
    const found = { ...point, age_s: point.age_s === null ? null : point.age_s + passed };
    if (point.quality !== "bad" && found.age_s > point.age_s_max) {
      Object.assign(found, { quality: "bad", reason: "stale", detail: null });
      if (point.quality === "good") Object.assign(found, { last_good_text: point.text, last_good_at: point.acquired_at });
    } else if (lost && point.quality === "good") {
      Object.assign(found, { quality: "uncertain", reason: "not current" });
    }
    points[found.quality] += 1;
    return found;
  };
  const devices = {};
  for (const [id, device] of Object.entries(s.devices)) {
    for (const [name, point] of Object.entries(device.points)) point.source = `${id}.${name}`;
    const passed = passedS(device.heard);
    devices[id] = { ...device, points: Object.values(device.points).map((point) => age(point, passed)) };
  }
  return { ...s, devices, points, lost, silentS };
}

function tick() {
  const silence = passedS(heard);
  if (silence < LATE_S) return;
  if (snapshot) show(aged(snapshot, silence));
  else if (silence > LOST_S) mourn();
}

// An HTTP error (503: too many viewers) ends an EventSource for good, and a connection that died
// without a word is never noticed by it: so the page connects anew itself, later each time.
function connect() {
  events?.close();
  events = new EventSource("/api/v1/stream");
  events.addEventListener("whole", hearWhole);
  events.addEventListener("part", hearPart);
  events.onerror = () => {
    events.close();
    connectIn(retryS);
  };
  retryS = Math.min(2 * retryS, RETRY_S_MAX);
  connectIn(LOST_S + retryS);
}

function connectIn(seconds) {
  clearTimeout(retry);
  retry = setTimeout(connect, seconds * 1000);
}

function hearWhole(event) {
  heard = now();
  snapshot = JSON.parse(event.data);
  for (const device of Object.values(snapshot.devices)) device.heard = heard;
  pass();
}

function hearPart(event) {
  heard = now();
  const { set, gone, ...rest } = JSON.parse(event.data);
  Object.assign(snapshot, rest);
  for (const device of Object.values(set.devices ?? {})) device.heard = heard;
  for (const [section, rows] of Object.entries(set)) Object.assign(snapshot[section], rows);
  for (const [section, ids] of Object.entries(gone)) ids.forEach((id) => delete snapshot[section][id]);
  pass();
}

function pass() {
  retryS = RETRY_S_MIN;
  connectIn(LOST_S);
  show(aged(snapshot, 0));
}

// A page that nobody sees costs the gateway nothing; seen again, it asks before it says anything.
function seen() {
  if (!document.hidden) return connect();
  clearTimeout(retry);
  events?.close();
}

// `shown` gets each snapshot as it must be read, `lost` is called while none ever came.
export function follow(shown, lost) {
  [show, mourn] = [shown, lost];
  document.addEventListener("visibilitychange", seen);
  seen();
  setInterval(tick, 500);
}
