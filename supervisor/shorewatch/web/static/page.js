// The status page: takes a snapshot from the stream, then what changes, and shows it. Nothing here may
// look alive when it is not: every value goes on ageing from when it came, and turns stale at its
// maximum age; without a word for LOST_S nothing is called good or up any more, and the page says
// since when. While nobody can see the page it listens to nothing.
import { deeds, start } from "./act.js";
import { $, fill, make, shownUnit } from "./dom.js";

const LOST_S = 4;
const LATE_S = 1.2;
const LINES_MAX = 4;
const RETRY_S_MIN = 1;
const RETRY_S_MAX = 15;
let heard = now();
let snapshot = null; // as it came
let latest = null; // as it is shown
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

function span(seconds) {
  if (seconds === null) return "never";
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} d`;
}

const agoS = (at) => Math.max(0, (Date.parse(latest.at) - Date.parse(at)) / 1000 + latest.silentS);
const since = (at) => `since ${at.slice(11, 19)} (${span(agoS(at))})`;
const plural = (n, noun) => `${n} ${noun}${n === 1 ? "" : "s"}`;
const number = (n) => n.toLocaleString("en");

function card(title, word, state, ...lines) {
  if (latest.lost) [word, state] = [`? was ${word.replace("✕ ", "")}`, "is-warn"];
  const head = make("h3", "", title, make("span", "word", word));
  return make("article", `card ${state}`, head, ...lines.map((line) => make("p", "", line)));
}

const ALARM_SIGNS = { unacknowledged: "✕", acknowledged: "✕", shelved: "–", suppressed: "–", "out-of-service": "–", maintenance: "–" };
const isOpen = (alarm) => alarm.state === "unacknowledged" || alarm.state === "acknowledged";

function alarmCard(alarm) {
  const urgent = alarm.priority === "critical" || alarm.priority === "major";
  const state = !isOpen(alarm) ? "" : urgent ? "is-bad" : "is-warn";
  const word = `${ALARM_SIGNS[alarm.state] ?? "✓"} ${alarm.priority}, ${alarm.state}`;
  const marks = [alarm.id, alarm.since && since(alarm.since)];
  if (alarm.first_out) marks.push("first of its group");
  if (alarm.chattering) marks.push("chattering");
  if (alarm.shelf_left_s) marks.push(`shelved for ${span(alarm.shelf_left_s)} more`);
  if (alarm.note) marks.push(`${alarm.note}, ${span(alarm.left_s)} more`);
  const found = card(alarm.text, word, state, isOpen(alarm) ? alarm.action : "", marks.filter(Boolean).join(", "));
  if (!latest.lost) found.append(deeds(alarm));
  return found;
}

function boardCard([id, board]) {
  if (!board.up) return card(`Board ${id}`, "✕ down", "is-bad", board.reason, since(board.since));
  const busy = board.buses.map((bus) => `${Math.round(bus.busy_share * 100)} %`).join(", ");
  return card(`Board ${id}`, "up", "",
    `${since(board.since)}, firmware ${board.firmware}, plan ${board.plan}`,
    busy ? `buses busy ${busy}, answers in ${board.round_trip_ms} ms` : "");
}

function directCard([id, direct]) {
  const title = `Direct line ${id}`;
  if (!direct.up) return card(title, "✕ down", "is-bad", direct.reason, since(direct.since));
  const busy = direct.bus && `busy ${Math.round(direct.bus.busy_share * 100)} %`;
  const failed = direct.bus && direct.bus.requests - direct.bus.good;
  const counts = direct.bus ? `${number(direct.bus.requests)} requests, ${number(failed)} without a value` : "";
  return card(title, "up", "", `${since(direct.since)}, ${direct.where}`, [busy, counts].filter(Boolean).join(", "));
}

function uplinkCard([id, uplink], _, all) {
  const isSparkplug = uplink.plane === "sparkplug";
  const counts = isSparkplug
    ? `${number(uplink.published)} sent; after a break again from ${number(uplink.acknowledged)} on`
    : `${number(uplink.published)} published, ${number(uplink.acknowledged)} acknowledged`;
  const waiting = `${number(uplink.waiting)} waiting`;
  const notes = [];
  if (isSparkplug && all.every(([, other]) => other.plane === "sparkplug")) {
    notes.push("Sparkplug only: delivery is not confirmed end to end");
  } else if (isSparkplug) {
    notes.push("Sparkplug B; the journal is confirmed by the other uplink");
  } else if (uplink.broker_acknowledged_only) notes.push("broker-acknowledged only: no consumer confirms what it got");
  if (uplink.refused_acks) {
    notes.push(`? ${plural(uplink.refused_acks, "acknowledgement")} refused; last: ${uplink.last_refusal}`);
  }
  if (uplink.refused_commands) {
    notes.push(`? ${plural(uplink.refused_commands, "command")} refused; last: ${uplink.last_refusal}`);
  }
  const asked = uplink.requests;
  if (asked.trouble) notes.push(`✕ ${asked.trouble}`);
  if (asked.accepted) notes.push(`${plural(asked.accepted, "request")} of the NOC accepted`);
  if (asked.refused) notes.push(`? ${plural(asked.refused, "request")} refused; last: ${asked.last_refusal}`);
  const ends = Object.entries(uplink.certificates).map(([whose, { days }]) => `${whose} ${days < 0 ? "ended" : plural(days, "day")}`);
  if (ends.length) notes.push(`certificates: ${ends.join(", ")}`);
  const silent = Object.entries(uplink.silent);
  for (const [name, at] of silent) notes.push(`✕ consumer ${name} acknowledges nothing ${since(at)}`);
  if (uplink.state === "online" && silent.length) {
    return card(`Uplink ${id}`, "✕ unheard", "is-bad", uplink.text, `${counts}, ${waiting}`, ...notes);
  }
  if (uplink.state !== "online") {
    return card(`Uplink ${id}`, `✕ ${uplink.state}`, "is-bad", uplink.text, `${since(uplink.since)}; ${waiting}`, ...notes);
  }
  return card(`Uplink ${id}`, "online", "", uplink.text || since(uplink.since), `${counts}, ${waiting}`, ...notes);
}

function outboxCard(outbox) {
  const range = outbox.last ? `records ${number(outbox.first)} to ${number(outbox.last)}` : "empty";
  return outbox.health
    ? card("Outbox", "✕ fault", "is-bad", outbox.health, range)
    : card("Outbox", "writing", "", range, `journal ${outbox.journal.slice(0, 8)}`);
}

function historyCard(history) {
  if (!history.on) return card("History", "off", "", "Switched off in the station file.");
  const size = `${(history.size_bytes / 1e6).toFixed(1)} of ${number(history.size_bytes_max / 1e6)} MB`;
  const counts = `${number(history.recorded)} changes since the start` + (history.dropped ? `, ${number(history.dropped)} values dropped` : "");
  return history.health
    ? card("History", "✕ fault", "is-warn", history.health, `${size}; ${counts}`)
    : card("History", "writing", "", size, counts);
}

function configCard(trouble) {
  const left = trouble.count - trouble.problems.length;
  return card("Station file", "? not taken", "is-warn", trouble.text, ...trouble.problems,
    ...(left ? [`and ${plural(left, "more problem")}`] : []));
}

function pointRow(point) {
  const bad = point.quality !== "good";
  const row = make("tr", bad ? point.quality : "");
  const sign = point.quality === "bad" ? "✕" : "?";
  const unit = shownUnit(point.unit);
  const link = make("a", "", point.name);
  link.href = `/trend?points=${point.source}`;
  row.append(make("th", "", link));
  if (point.quality === "bad" && point.last_good_at) {
    const text = [point.last_good_text, unit].join(" ").trim();
    row.append(make("td", "last", `(${text}, good ${span(agoS(point.last_good_at))} ago)`));
    row.lastChild.colSpan = 3;
  } else {
    row.append(make("td", "value", point.text), make("td", "unit", unit), make("td", "age", span(point.age_s)));
  }
  row.append(make("td", "quality", bad ? `${sign} ${[point.reason, point.detail].filter(Boolean).join(": ")}` : "good"));
  row.firstChild.scope = "row";
  return row;
}

function deviceCard([id, device]) {
  const points = Object.values(device.points);
  const bad = points.filter((point) => point.quality === "bad").length;
  const word = bad === 0 ? (latest.lost ? "? not current" : "") : bad === points.length ? "✕ no values" : `✕ ${bad} of ${points.length} bad`;
  const title = make("h3", "", device.name, make("span", "word", word));
  if (device.synthetic) title.firstChild.after(make("span", "tag", "synthetic"));
  const bus = device.uart === null ? "" : `, UART ${device.uart}, unit ${device.unit_id}`;
  const line = device.direct ? `direct line ${device.direct}, unit ${device.unit_id}` : `board ${device.board}${bus}`;
  const where = `${id} on ${line}`;
  const table = make("table", "", make("tbody", "", ...points.map(pointRow)));
  const lines = [where, device.hint].filter(Boolean).map((line) => make("p", "", line));
  return make("article", `card ${bad ? "is-bad" : ""}`, title, ...lines, table);
}

// What the gateway says of itself (verdict.py); of a silent one only the silence is true.
function verdict(s) {
  if (s.lost) return [[`No word from the gateway since ${s.at.slice(11, 19)} UTC: nothing below is current`], "alarm"];
  const { level, faults } = s.verdict;
  return level === "good" ? [[`All ${s.points.good} points are good`], level] : [faults.map(faultLine), level];
}

// How long it lasts changes all the time, and is not read aloud for that.
function faultLine({ what, since: at, more }) {
  if (!at) return what + more;
  const passed = make("span", "", ` (${span(agoS(at))})`);
  passed.setAttribute("aria-hidden", "true");
  return make("span", "", `${what} since ${at.slice(11, 19)}`, passed, more);
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

function show(s) {
  latest = s;
  document.body.classList.toggle("lost", s.lost);
  document.title = `${s.name} · Shorewatch`;
  $("station").textContent = s.name;
  $("cable").textContent = s.cable;
  $("clock").textContent = s.at.slice(0, 19).replace("T", " ");
  $("clock").dateTime = s.at;
  say(...verdict(s));
  fill($("health"),
    ...Object.entries(s.boards).map(boardCard),
    ...Object.entries(s.directs).map(directCard),
    ...Object.entries(s.uplinks).map(uplinkCard),
    outboxCard(s.outbox),
    ...(s.history ? [historyCard(s.history)] : []),
    ...(s.config_trouble ? [configCard(s.config_trouble)] : []));
  $("alarms-section").hidden = !s.alarms.length;
  fill($("alarms"), ...s.alarms.map(alarmCard));
  fill($("devices"), ...Object.entries(s.devices).map(deviceCard));
  const isMaintained = Boolean(s.alarm_mode?.maintenance);
  $("maintenance-begin").hidden = isMaintained;
  $("maintenance-end").hidden = !isMaintained;
  $("footer").textContent =
    `Shorewatch ${s.version}, configuration ${s.config}, running ${since(s.started_at)}. Grey values in brackets are the last good ones.`;
}

const LEVELS = { good: ["", ""], warning: ["? ", "is-warn"], alarm: ["✕ ", "is-bad"] };

// The verdict is read aloud where that is wanted: only what of it changes.
function say(lines, level) {
  const [sign, state] = LEVELS[level];
  const left = lines.length - LINES_MAX;
  const shown = lines.slice(0, left > 1 ? LINES_MAX : lines.length).map((line) => make("p", "", sign, line));
  if (left > 1) shown.push(make("p", "", `and ${left} more`));
  fill($("verdict"), ...shown);
  $("verdict").className = state;
}

function tick() {
  const silence = passedS(heard);
  if (silence < LATE_S) return;
  if (snapshot) show(aged(snapshot, silence));
  else if (silence > LOST_S) say(["No word from the gateway since this page was opened"], "alarm");
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
  shown();
}

function hearPart(event) {
  heard = now();
  const { set, gone, ...rest } = JSON.parse(event.data);
  Object.assign(snapshot, rest);
  for (const device of Object.values(set.devices ?? {})) device.heard = heard;
  for (const [section, rows] of Object.entries(set)) Object.assign(snapshot[section], rows);
  for (const [section, ids] of Object.entries(gone)) ids.forEach((id) => delete snapshot[section][id]);
  shown();
}

function shown() {
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

document.addEventListener("visibilitychange", seen);
start();
seen();
setInterval(tick, 500);
