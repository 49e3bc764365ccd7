// The status page: takes whole snapshots from /events and shows them. Nothing here may look alive
// when it is not: without a snapshot for LOST_MS the page says so and greys out.
"use strict";

const LOST_MS = 4000;
let heardAt = null;
let latest = null;

const $ = (id) => document.getElementById(id);

function make(tag, className, ...children) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  node.append(...children);
  return node;
}

function span(seconds) {
  if (seconds === null) return "never";
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} d`;
}

const since = (at) => `since ${at.slice(11, 19)} (${span(Math.max(0, (Date.parse(latest.at) - Date.parse(at)) / 1000))})`;
const plural = (n, noun) => `${n} ${noun}${n === 1 ? "" : "s"}`;
const number = (n) => n.toLocaleString("en");

function card(title, word, state, ...lines) {
  const head = make("h3", "", title, make("span", "word", word));
  return make("article", `card ${state}`, head, ...lines.map((line) => make("p", "", line)));
}

function boardCard([id, board]) {
  if (!board.up) return card(`Board ${id}`, "✕ down", "is-bad", board.reason, since(board.since));
  const busy = board.buses.map((bus) => `${Math.round(bus.busy_share * 100)} %`).join(", ");
  return card(`Board ${id}`, "up", "",
    `${since(board.since)}, firmware ${board.firmware}, plan ${board.plan}`,
    busy ? `buses busy ${busy}, answers in ${board.round_trip_ms} ms` : "");
}

function uplinkCard([id, uplink]) {
  const counts = `${number(uplink.published)} published, ${number(uplink.acknowledged)} acknowledged`;
  const waiting = `${number(uplink.waiting)} waiting`;
  if (uplink.state !== "online") {
    return card(`Uplink ${id}`, `✕ ${uplink.state}`, "is-bad", uplink.text, `${since(uplink.since)}; ${waiting}`);
  }
  return card(`Uplink ${id}`, "online", "", uplink.text || since(uplink.since), `${counts}, ${waiting}`);
}

function outboxCard(outbox) {
  const range = outbox.last ? `records ${number(outbox.first)} to ${number(outbox.last)}` : "empty";
  return outbox.health
    ? card("Outbox", "✕ fault", "is-bad", outbox.health, range)
    : card("Outbox", "writing", "", range, `journal ${outbox.journal.slice(0, 8)}`);
}

function pointRow(point) {
  const bad = point.quality !== "good";
  const row = make("tr", bad ? point.quality : "");
  const value = point.quality === "bad" && point.last_good_text ? `(${point.last_good_text})` : point.text;
  const sign = point.quality === "bad" ? "✕" : "?";
  row.append(
    make("th", "", point.name),
    make("td", "value", value),
    make("td", "unit", point.unit.replace("degC", "°C").replace("Ohm", "Ω")),
    make("td", "age", span(point.age_s)),
    make("td", "quality", bad ? `${sign} ${point.reason}` : "good"));
  row.firstChild.scope = "row";
  return row;
}

function deviceCard([id, device]) {
  const points = Object.values(device.points);
  const bad = points.filter((point) => point.quality === "bad").length;
  const word = bad === 0 ? "" : bad === points.length ? "✕ no values" : `✕ ${bad} of ${points.length} bad`;
  const title = make("h3", "", device.name, make("span", "word", word));
  if (device.synthetic) title.firstChild.after(make("span", "tag", "synthetic"));
  const where = `${id} on board ${device.board}, UART ${device.uart}, unit ${device.unit_id}`;
  const table = make("table", "", make("tbody", "", ...points.map(pointRow)));
  return make("article", `card ${bad ? "is-bad" : ""}`, title, make("p", "", where), table);
}

function deviceFault(device) {
  const points = Object.values(device.points);
  const bad = points.filter((point) => point.quality === "bad");
  if (!bad.length) return [];
  const what = bad.length === points.length ? "no values" : `${bad.length} bad`;
  const reasons = [...new Set(bad.map((point) => point.reason))].join(", ");
  const oldest = Math.max(...bad.map((point) => point.age_s ?? Infinity));
  const age = Number.isFinite(oldest) ? `, last read ${span(oldest)} ago` : "";
  return [`${device.name}: ${what} (${reasons}${age})`];
}

function verdict(s) {
  const faults = [];
  for (const [id, board] of Object.entries(s.boards)) if (!board.up) faults.push(`board ${id} down`);
  for (const [id, uplink] of Object.entries(s.uplinks)) {
    if (uplink.state !== "online") faults.push(`uplink ${id} ${uplink.state}`);
  }
  if (s.outbox.health) faults.push("outbox fault");
  const downBoards = Object.keys(s.boards).filter((id) => !s.boards[id].up);
  for (const device of Object.values(s.devices)) {
    if (!downBoards.includes(device.board)) faults.push(...deviceFault(device));
  }
  if (s.points.bad) faults.push(`${s.points.bad} of ${Object.values(s.points).reduce((a, b) => a + b)} points bad`);
  if (faults.length) return [`✕ ${faults.join(", ")}`, "is-bad"];
  if (s.points.uncertain) return [`? ${plural(s.points.uncertain, "point")} uncertain`, "is-warn"];
  return [`All ${s.points.good} points good`, ""];
}

function show(s) {
  latest = s;
  document.title = `${s.name} · Shorewatch`;
  $("station").textContent = s.name;
  $("cable").textContent = s.cable;
  $("clock").textContent = s.at.slice(0, 19).replace("T", " ");
  $("clock").dateTime = s.at;
  [$("verdict").textContent, $("verdict").className] = verdict(s);
  $("health").replaceChildren(
    ...Object.entries(s.boards).map(boardCard),
    ...Object.entries(s.uplinks).map(uplinkCard),
    outboxCard(s.outbox));
  $("devices").replaceChildren(...Object.entries(s.devices).map(deviceCard));
  $("footer").textContent =
    `Shorewatch ${s.version}, configuration ${s.config}, running ${since(s.started_at)}. Grey values in brackets are the last good ones.`;
}

function checkAlive() {
  const lost = heardAt !== null && performance.now() - heardAt > LOST_MS;
  document.body.classList.toggle("lost", lost);
  if (lost) {
    const age = span((performance.now() - heardAt) / 1000);
    $("verdict").textContent = `✕ No word from the gateway for ${age}: what stands here is old`;
    $("verdict").className = "is-bad";
  }
}

const events = new EventSource("/events");
events.onmessage = (event) => {
  heardAt = performance.now();
  document.body.classList.remove("lost");
  show(JSON.parse(event.data));
};
heardAt = performance.now();
setInterval(checkAlive, 500);
