// The page: one stream, five views, the verdict over all of them. The address says which view.
import { start } from "./act.js";
import { alarmCards } from "./alarm.js";
import { areas, deviceCard, deviceView } from "./device.js";
import { cable } from "./cable.js";
import { diagnostics } from "./diagnostics.js";
import { $, fill, make } from "./dom.js";
import { past } from "./past.js";
import { look, since } from "./part.js";
import { follow } from "./stream.js";
import { t } from "./text.js";
import { judge, mourn } from "./verdict.js";
import { ways } from "./ways.js";

const DAY_MS = 86400000;
const AGAIN_MS = 2000;
const DAYS_AGAIN_MS = 300000;
const WORDS_AGAIN_MS = 2000;
const VIEWS = { "": "overview", devices: "devices", alarms: "alarms", diagnostics: "diagnostics", device: "device" };

const [, first, second] = location.pathname.split("/");
const view = VIEWS[first] ?? "overview";
let station = null; // what the station is (/api/v1/station)
let asked = null;
let last = null; // the snapshot as it was shown last
const days = {}; // by point: its last 24 hours
let daysAt = -Infinity;
let blocks = []; // the registers of the device that is looked at
let wordsAt = -Infinity;

function show(s) {
  last = s;
  look(s);
  document.body.classList.toggle("lost", s.lost);
  document.title = `${s.name} · Shorewatch`;
  judge(s);
  if (station && station.config !== s.config) describe(s.config);
  DRAW[view](s);
  const isMaintained = Boolean(s.alarm_mode?.maintenance);
  $("maintenance-begin").hidden = isMaintained;
  $("maintenance-end").hidden = !isMaintained;
  $("footer").textContent =
    t("footer", { version: s.version, config: s.config, since: since(s.started_at) });
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
    if (!device) return fill($("tables"), make("p", "", t("device.none", { id: second })));
    if (!station?.devices[second]) return undefined;
    const facts = station.devices[second].points;
    remember(device.points.filter((point) => facts[point.source.split(".")[1]].recorded));
    askWords();
    return fill($("tables"), deviceView([second, device], station.devices[second], days, s.lost ? [] : blocks));
  },
};

const HIDDEN = ["shelved", "suppressed", "out-of-service", "maintenance"];

function alarms(list) {
  $("alarms-section").hidden = !list.length;
  fill($("alarms"), ...alarmCards(list, last.alarms_more));
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

async function askWords() {
  if (performance.now() - wordsAt < WORDS_AGAIN_MS) return;
  wordsAt = performance.now();
  try {
    const reply = await fetch(`/api/v1/words?${new URLSearchParams({ device: second })}`);
    blocks = reply.ok ? (await reply.json()).blocks : [];
  } catch {
    blocks = [];
  }
}

function begin() {
  for (const part of document.querySelectorAll("[data-views]")) {
    part.hidden = !part.dataset.views.split(" ").includes(view);
  }
  if (view === "device") $("tables-title").textContent = t("device.title");
  for (const link of document.querySelectorAll("nav a")) {
    if (link.pathname === location.pathname) link.setAttribute("aria-current", "page");
    if (view === "device" && link.pathname === "/devices") link.setAttribute("aria-current", "true");
  }
  start();
  describe("");
  follow(show, mourn);
}

begin();
