// A snapshot as it comes and as it must be read: put together from events, ageing from when each of
// its parts came. Nothing may look alive when it is not: every value goes on ageing and turns stale
// at its maximum age; without a word for LOST_S nothing is called good or up any more.

export const LOST_S = 4;

let heard = moment();
let snapshot = null;

function moment() {
  return { clock: performance.now(), wall: Date.now() };
}

// Seconds since a moment. The monotonic clock stands still while some machines sleep, the wall clock
// may be set back: the longer of the two can only make values look older.
function passedS(at) {
  return Math.max(performance.now() - at.clock, Date.now() - at.wall, 0) / 1000;
}

export const isKnown = () => snapshot !== null;
export const silenceS = () => passedS(heard);

// An event of the gateway (web/feed.py): the whole, or a part of what changed.
export function hear(kind, body) {
  if (kind === "part" && !snapshot) return;
  heard = moment();
  if (kind === "whole") snapshot = body;
  else merge(body);
  const rows = (kind === "whole" ? body.devices : body.set.devices) ?? {};
  for (const device of Object.values(rows)) device.heard = heard;
}

function merge({ set, gone, ...rest }) {
  Object.assign(snapshot, rest);
  for (const [section, rows] of Object.entries(set)) Object.assign(snapshot[section], rows);
  for (const [section, ids] of Object.entries(gone)) ids.forEach((id) => delete snapshot[section][id]);
}

// What is known, for somebody who joins: its ages are those of this moment.
export function settled() {
  const devices = {};
  for (const [id, device] of Object.entries(snapshot.devices)) {
    const passed = passedS(device.heard);
    const points = Object.entries(device.points).map(([name, point]) => [name, older(point, passed)]);
    devices[id] = { ...device, points: Object.fromEntries(points) };
  }
  return { ...snapshot, devices };
}

const older = (point, passed) => ({ ...point, age_s: point.age_s === null ? null : point.age_s + passed });

// The snapshot as it must be read `silentS` seconds after the last word.
export function aged(silentS) {
  const lost = silentS > LOST_S;
  const points = { good: 0, uncertain: 0, bad: 0 };
  const age = (point, passed) => {
    const found = older(point, passed);
    if (point.quality !== "bad" && found.age_s > point.age_s_max) {
      Object.assign(found, { quality: "bad", reason: "stale", detail: null });
      if (point.quality === "good") Object.assign(found, { last_good_text: point.text, last_good_at: point.acquired_at });
    } else if (lost && point.quality === "good") {
      Object.assign(found, { quality: "uncertain", reason: "not-current" });
    }
    points[found.quality] += 1;
    return found;
  };
  const devices = {};
  for (const [id, device] of Object.entries(snapshot.devices)) {
    for (const [name, point] of Object.entries(device.points)) point.source = `${id}.${name}`;
    const passed = passedS(device.heard);
    devices[id] = { ...device, points: Object.values(device.points).map((point) => age(point, passed)) };
  }
  return { ...snapshot, devices, points, lost, silentS };
}
