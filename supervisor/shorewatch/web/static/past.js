// What happened: the journal read back, and the figures that say whether the alarms serve people.
// Both are asked for when this view is opened, when an alarm changes, and when somebody asks.
import { ask } from "./ask.js";
import { $, fill, make } from "./dom.js";
import { card, number } from "./part.js";
import { named, t } from "./text.js";

const AGAIN_MS = 60000;
const SOON_MS = 1500;
const HOUR_MS = 3600000;
const HOURS_WIDE = 24;
const SHOWN_MAX = 2000;
const SVG = "http://www.w3.org/2000/svg";

let hours = 24;
let shown = []; // the rows in the list
let before = null; // where older ones begin
let journal = null; // and in which journal
let seen = null; // the alarms as they were when it was asked
let timer = null;
let isAsking = false;
let isPaged = false; // older rows were asked for: a new answer would take them away

const query = (path, values) => `/api/v1/${path}?${new URLSearchParams(Object.entries(values).filter(([, value]) => value))}`;
const clock = (at) => at.replace("T", " ").replace("Z", "");

// How far a time may be off; where nothing is stated nothing is claimed.
function spread(row) {
  if (row.uncertain) return `? ${row.uncertain}`;
  if (row.uncertainty_s === undefined) return "";
  return `± ${(1000 * row.uncertainty_s).toFixed(row.uncertainty_s < 0.01 ? 1 : 0)} ms`;
}

function told(row) {
  if (row.kind === "note") return `${row.by}: ${row.text}`;
  if (row.kind === "alarm") return [row.text, row.by && t("past.by", { name: row.by }), row.note].filter(Boolean).join("; ");
  if (row.kind === "loss") return [row.why, row.count ? t("past.lost", { count: row.count, what: row.what }) : row.what].join("; ");
  return [row.text ?? row.label ?? row.why ?? row.note, row.lines?.join("; "), row.board && t("place.board", { board: row.board }), row.by].filter(Boolean).join("; ");
}

function line(row) {
  const urgent = row.priority === "critical" || row.priority === "major";
  const isRaised = row.what === "raised" || row.what === "realarmed";
  const sign = row.kind === "loss" || (row.kind === "alarm" && isRaised && urgent) ? "✕ " : "";
  const what = `${sign}${named("what", row.kind === "note" ? "note" : row.what ?? row.kind)}`;
  const head = make("th", "when", clock(row.at), make("span", "spread", spread(row)));
  head.scope = "row";
  const source = row.alarm ?? row.source ?? t("station");
  return make("tr", "", head, make("td", "", what), make("td", "", named("priority", row.priority ?? "")), make("td", "", source),
    make("td", "told", told(row)), make("td", "soft", named("state", row.state ?? "")));
}

function list(reaches) {
  const heads = ["time", "what", "priority", "source", "words", "then"].map((name) => make("th", "", t(`column.${name}`)));
  const table = make("table", "full past", make("thead", "", make("tr", "", ...heads)), make("tbody", "", ...shown.map(line)));
  fill($("past"), ...(shown.length ? [table] : []));
  const isFull = shown.length >= SHOWN_MAX;
  $("past-more").hidden = before === null || isFull;
  const count = shown.length ? t("past.count", { count: shown.length }) : t("past.none");
  const more = before ? t(isFull ? "past.full" : "past.below", { records: count }) : count;
  const reach = reaches && t("past.reach", { time: clock(reaches).slice(0, 19) });
  $("past-said").textContent = [more, reach].filter(Boolean).join("; ");
}

function wanted() {
  const { list: path, ...values } = Object.fromEntries(new FormData($("past-form")));
  for (const key of ["from", "to"]) if (values[key]) values[key] += "Z";
  return [path, path === "events" ? { ...values, priority: "", state: "" } : values];
}

async function read(older = null) {
  const [path, values] = wanted();
  try {
    const found = await ask(query(path, { ...values, before: older, journal: older && journal }));
    shown = older ? [...shown, ...found.records] : found.records;
    [before, journal] = [found.before, found.journal];
    isPaged = Boolean(older);
    list(found.reaches);
  } catch (error) {
    $("past-said").textContent = `✕ ${error.message}`;
  }
}

const percent = (share) => `${Number((100 * share).toFixed(1))} %`;

// A figure beside its aim; a sign where it is past it.
function figure(title, value, aim, isOver, ...lines) {
  return card(title, `${isOver ? "? " : ""}${value}`, isOver ? "is-warn" : "", aim, ...lines);
}

function chart(rows) {
  const most = Math.max(1, ...rows.map((row) => row.count));
  const svg = document.createElementNS(SVG, "svg");
  const width = Math.max(rows.length, HOURS_WIDE); // a single hour is a bar, not a wall
  const facts = { viewBox: `0 0 ${width} 100`, preserveAspectRatio: "none", class: "hours", role: "img",
    "aria-label": t("figures.chart", { most }) };
  for (const [name, value] of Object.entries(facts)) svg.setAttribute(name, value);
  rows.forEach((row, index) => {
    const bar = document.createElementNS(SVG, "rect");
    const height = (98 * row.count) / most;
    for (const [name, value] of Object.entries({ x: width - rows.length + index + 0.05, y: 100 - height, width: 0.9, height })) bar.setAttribute(name, value);
    svg.append(bar);
  });
  return svg;
}

const names = (rows, word) => rows.slice(0, 10).map((row) => `${row.alarm}: ${word(row)}`);

function figures(f) {
  const { aim, busiest_hour: busy } = f;
  const rate = figure(t("figures.hour"), f.per_hour, t("aim.most", { aim: aim.per_hour }), f.per_hour > aim.per_hour,
    t("figures.raised", { count: f.raised, time: clock(f.from).slice(0, 16), most: busy.count }));
  if (f.raised) rate.append(chart(f.by_hour));
  const shares = Object.entries(f.priorities).filter(([, row]) => row.count).map(([name, row]) => `${named("priority", name)} ${number(row.count)}`);
  return [
    rate,
    figure(t("figures.day"), f.per_day, t("aim.most", { aim: aim.per_day }), f.per_day > aim.per_day, shares.join(", ")),
    figure(t("figures.flood"), percent(f.flood_share), t("aim.under", { aim: percent(aim.flood_share) }), f.flood_share >= aim.flood_share,
      t("figures.floods", { count: f.floods.length }), t("figures.hours_over_30", { share: percent(f.hours_over_30) })),
    figure(t("figures.top"), percent(f.top_share), t("figures.top.aim", { aim: percent(aim.top_share) }), false,
      ...names(f.top, (row) => `${row.count}, ${percent(row.share)}`)),
    figure(t("figures.chattering"), f.chattering.length, t("aim.none"), f.chattering.length > aim.chattering,
      ...names(f.chattering, (row) => t("figures.times", { count: row.count }))),
    figure(t("figures.stale"), f.stale.length, t("aim.under", { aim: aim.stale }), f.stale.length >= aim.stale,
      ...names(f.stale, (row) => t("since", { time: clock(row.since).slice(0, 16) }))),
  ];
}

async function judge() {
  for (const button of $("figures-span").children) button.setAttribute("aria-pressed", String(Number(button.dataset.hours) === hours));
  const to = Date.now();
  try {
    fill($("figures"), ...figures(await ask(query("alarms/figures", { from: new Date(to - hours * HOUR_MS).toISOString() }))));
  } catch (error) {
    fill($("figures"), card(t("figures.title"), `? ${t("card.unknown")}`, "is-warn", error.message));
  }
}

async function again() {
  if (isAsking) return later(SOON_MS);
  isAsking = true;
  await Promise.all([judge(), ...(isPaged ? [] : [read()])]);
  isAsking = false;
  return later(AGAIN_MS);
}

function later(ms) {
  clearTimeout(timer);
  timer = setTimeout(() => (document.hidden ? later(AGAIN_MS) : again()), ms);
}

function begin() {
  const form = $("past-form");
  const choose = () => {
    for (const label of form.querySelectorAll("[data-list]")) label.hidden = label.dataset.list !== form.elements.list.value;
  };
  form.addEventListener("change", choose);
  form.addEventListener("submit", (event) => { event.preventDefault(); read(); });
  $("past-more").addEventListener("click", () => read(before));
  $("figures-span").addEventListener("click", ({ target }) => {
    if (!target.dataset.hours) return;
    hours = Number(target.dataset.hours);
    judge();
  });
  choose();
  again();
}

// Called with each snapshot of the view: another state of an alarm is a new record.
export function past(alarms) {
  const now = alarms.map(({ id, state }) => `${id} ${state}`).join();
  if (seen === null) begin();
  else if (seen !== now) later(SOON_MS);
  seen = now;
}
