// The page: one stream, five views, the verdict over all of them. The address says which view.
import { start } from "./act.js";
import { alarmCards } from "./alarm.js";
import { areas, deviceCard, deviceView } from "./device.js";
import { cable } from "./cable.js";
import { diagnostics } from "./diagnostics.js";
import { $, fill, make } from "./dom.js";
import { past } from "./past.js";
import { agoS, look, since, span } from "./part.js";
import { follow } from "./stream.js";
import { ways } from "./ways.js";

const LINES_MAX = 4;
const DAY_MS = 86400000;
const AGAIN_MS = 2000;
const DAYS_AGAIN_MS = 300000;
const VIEWS = { "": "overview", devices: "devices", alarms: "alarms", diagnostics: "diagnostics", device: "device" };

const [, first, second] = location.pathname.split("/");
const view = VIEWS[first] ?? "overview";
let station = null; // what the station is (/api/v1/station)
let asked = null;
let last = null; // the snapshot as it was shown last
const days = {}; // by point: its last 24 hours
let daysAt = -Infinity;

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

function show(s) {
  last = s;
  look(s);
  document.body.classList.toggle("lost", s.lost);
  document.title = `${s.name} · Shorewatch`;
  $("station").textContent = s.name;
  $("cable").textContent = s.cable;
  $("clock").textContent = s.at.slice(0, 19).replace("T", " ");
  $("clock").dateTime = s.at;
  say(...verdict(s));
  if (station && station.config !== s.config) describe(s.config);
  DRAW[view](s);
  const isMaintained = Boolean(s.alarm_mode?.maintenance);
  $("maintenance-begin").hidden = isMaintained;
  $("maintenance-end").hidden = !isMaintained;
  $("footer").textContent =
    `Shorewatch ${s.version}, configuration ${s.config}, running ${since(s.started_at)}. Grey values in brackets are the last good ones.`;
}

const DRAW = {
  overview(s) {
    alarms(s.alarms.filter((alarm) => !HIDDEN.includes(alarm.state)));
    fill($("line"), ...(s.cable_watch ? cable(s.cable_watch) : []));
    $("line").parentElement.hidden = !s.cable_watch;
    if (station) fill($("areas"), ...areas(s, station));
    fill($("health"), ...ways(s));
  },
  devices(s) {
    fill($("health"), ...ways(s));
    fill($("devices"), ...Object.entries(s.devices).map(deviceCard));
  },
  alarms(s) {
    alarms(s.alarms);
    $("no-alarms").hidden = s.alarms.length > 0;
    past(s.alarms);
  },
  diagnostics(s) {
    fill($("tables"), ...diagnostics(s));
  },
  device(s) {
    const device = s.devices[second];
    if (!device) return fill($("tables"), make("p", "", `There is no device ${second}.`));
    if (!station?.devices[second]) return undefined;
    const facts = station.devices[second].points;
    remember(device.points.filter((point) => facts[point.source.split(".")[1]].recorded));
    return fill($("tables"), deviceView([second, device], station.devices[second], days));
  },
};

const HIDDEN = ["shelved", "suppressed", "out-of-service", "maintenance"];

function alarms(list) {
  $("alarms-section").hidden = !list.length;
  fill($("alarms"), ...alarmCards(list));
}

// What the station is, asked for beside the first snapshot, and again whenever its file has changed.
async function describe(config) {
  if (asked === config) return;
  asked = config;
  try {
    station = await (await fetch("/api/v1/station")).json();
    if (last) show(last);
  } catch {
    asked = null;
    setTimeout(describe, AGAIN_MS, config);
  }
}

// The last day of each point, now and then, one after the other.
async function remember(points) {
  if (performance.now() - daysAt < DAYS_AGAIN_MS) return;
  daysAt = performance.now();
  const [from, to] = [Date.now() - DAY_MS, Date.now()].map((ms) => new Date(ms).toISOString());
  for (const { source } of points) {
    const reply = await fetch(`/api/v1/history?${new URLSearchParams({ point: source, from, to, points: 96 })}`);
    if (reply.ok) days[source] = (await reply.json()).spans;
  }
}

function begin() {
  for (const part of document.querySelectorAll("[data-views]")) {
    part.hidden = !part.dataset.views.split(" ").includes(view);
  }
  if (view === "device") $("tables-title").textContent = "Device";
  for (const link of document.querySelectorAll("nav a")) {
    if (link.pathname === location.pathname) link.setAttribute("aria-current", "page");
  }
  start();
  describe("");
  follow(show, () => say(["No word from the gateway since this page was opened"], "alarm"));
}

begin();
