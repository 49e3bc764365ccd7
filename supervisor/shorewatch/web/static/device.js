// Devices: all their values as cards, one of them in full, the few of each that stand on the overview.
import { folded, make, shownUnit } from "./dom.js";
import { agoS, latest, span } from "./part.js";
import { named, t } from "./text.js";

export function quality(point) {
  if (point.quality === "good") return t("quality.good");
  const sign = point.quality === "bad" ? "✕" : "?";
  return `${sign} ${[point.reason && named("reason", point.reason), point.detail].filter(Boolean).join(": ")}`;
}

function lastGood(point) {
  const text = [point.last_good_text, shownUnit(point.text_unit)].join(" ").trim();
  return `(${t("point.last", { text, time: span(agoS(point.last_good_at)) })})`;
}

function place(device) {
  if (device.direct) return t("place.direct", { line: device.direct, unit: device.unit_id });
  if (device.uart === null) return t("place.board", { board: device.board });
  return t("place.bus", { board: device.board, uart: device.uart, unit: device.unit_id });
}

function pointRow(point) {
  const bad = point.quality !== "good";
  const row = make("tr", bad ? point.quality : "");
  const unit = shownUnit(point.text_unit);
  const link = make("a", "", point.name);
  link.href = `/trend?points=${point.source}`;
  row.append(make("th", folded("", point.name), link));
  if (point.quality === "bad" && point.last_good_at) {
    row.append(make("td", folded("last", lastGood(point)), lastGood(point)));
    row.lastChild.colSpan = 3;
  } else {
    row.append(make("td", folded("value", point.text), point.text), make("td", folded("unit", unit), unit), make("td", "age", span(point.age_s)));
  }
  row.append(make("td", "quality", quality(point)));
  row.firstChild.scope = "row";
  return row;
}

// What is said of devices and areas that nothing is wrong with.
const old = () => (latest().lost ? `? ${t("card.old")}` : "");

export function deviceCard([id, device]) {
  const points = Object.values(device.points);
  const bad = points.filter((point) => point.quality === "bad").length;
  const word = bad === 0 ? old() : `✕ ${bad === points.length ? t("device.dead") : t("device.bad", { bad, points: points.length })}`;
  const link = make("a", "", device.name);
  link.href = `/device/${id}`;
  const title = make("h3", "", link, make("span", "word", word));
  if (device.synthetic) title.firstChild.after(make("span", "tag", t("device.synthetic")));
  const where = t("device.where", { id, place: place(device) });
  const table = make("table", "", make("tbody", "", ...points.map(pointRow)));
  const lines = [where, device.hint].filter(Boolean).map((line) => make("p", "", line));
  return make("article", `card ${bad ? "is-bad" : ""}`, title, ...lines, table);
}

// Past a limit at which an alarm comes, a value is told by a sign, not by its place alone.
function past(point, about) {
  if (point.quality === "bad" || typeof point.value !== "number") return ["", ""];
  const passed = about.limits.filter((limit) => isPast(point.value, limit));
  if (!passed.length) return ["", ""];
  return passed.some(({ priority }) => priority === "critical" || priority === "major") ? ["✕ ", "past-bad"] : ["? ", "past-warn"];
}

const isPast = (value, { when, at }) => (when === "above" ? value > at : value < at);

// Where a value lies in its range, and the limits at which an alarm comes: grey while it is between them.
const SVG = "http://www.w3.org/2000/svg";

function draw(tag, attributes) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

export function bar(point, about) {
  const limits = about.limits.map((limit) => limit.at);
  const ends = limits.length > 1 ? around(limits, about.range) : about.range;
  if (!ends || !(ends[1] > ends[0]) || typeof point.value !== "number") return null;
  const at = (value) => Math.min(100, Math.max(0, (100 * (value - ends[0])) / (ends[1] - ends[0])));
  const over = about.limits.some((limit) => isPast(point.value, limit));
  const svg = draw("svg", { viewBox: "0 0 100 10", preserveAspectRatio: "none", class: over ? "bar is-over" : "bar", role: "img",
    "aria-label": t(over ? "bar.over" : "bar.between", { text: point.text, low: ends[0], high: ends[1], unit: about.unit }) });
  svg.append(draw("rect", { x: 0, y: 3, width: 100, height: 4, class: "range" }));
  for (const limit of limits) svg.append(draw("rect", { x: at(limit) - 0.4, y: 0, width: 0.8, height: 10, class: "limit" }));
  svg.append(draw("rect", { x: Math.min(98.2, Math.max(0, at(point.value) - 0.9)), y: 1, width: 1.8, height: 8, class: "mark" }));
  return svg;
}

// A scale that shows the limits apart, within what can be.
function around(limits, range) {
  const [low, high] = [Math.min(...limits), Math.max(...limits)];
  const room = (high - low) / 2 || Math.abs(high) / 10 || 1;
  const ends = [low - room, high + room];
  return range ? [Math.max(ends[0], range[0]), Math.min(ends[1], range[1])] : ends;
}

// A day of a point: its mean, with gaps where nothing good is known.
export function sparkline(spans) {
  const known = spans.filter((span_) => typeof span_.mean === "number");
  const svg = draw("svg", { viewBox: "0 0 100 20", preserveAspectRatio: "none", class: "spark", role: "img", "aria-label": t("spark") });
  if (!known.length) return svg;
  const [from, to] = [Date.parse(spans[0].from), Date.parse(spans.at(-1).to)];
  const low = Math.min(...known.map((span_) => span_.low)), high = Math.max(...known.map((span_) => span_.high));
  const x = (at) => ((100 * (Date.parse(at) - from)) / (to - from || 1)).toFixed(2);
  const y = (value) => (high > low ? 19 - (18 * (value - low)) / (high - low) : 10).toFixed(2);
  let path = "", isOpen = false;
  for (const span_ of spans) {
    if (typeof span_.mean !== "number") { isOpen = false; continue; }
    path += `${isOpen ? "L" : "M"}${x(span_.from)} ${y(span_.mean)}L${x(span_.to)} ${y(span_.mean)}`;
    isOpen = true;
  }
  svg.append(draw("path", { d: path, fill: "none", "vector-effect": "non-scaling-stroke" }));
  return svg;
}

// The words that a point's value was made of; in brackets if its block is not good now.
function rawWords(facts, blocks) {
  const block = blocks.find((one) => one.function === facts.function && one.address <= facts.address && facts.address < one.address + one.count);
  if (!block?.words.length) return "";
  const at = facts.address - block.address;
  const isBit = facts.function < 3;
  const text = isBit ? (parseInt(block.words[at >> 4], 16) >> (at & 15)) & 1 : block.words.slice(at, at + facts.count).join(" ");
  const isOld = block.reason || block.age_s > facts.age_s_max;
  return make("span", "raw", isOld ? `(${t("raw.old", { text, time: span(block.age_s) })})` : String(text));
}

const registers = ({ address, count }) => (count > 1 ? t("registers", { first: address, last: address + count - 1 }) : address);

// One device in full: each value between its limits, how it was read, the day behind it.
export function deviceView([id, device], about, days, blocks) {
  const points = device.points.map((point) => {
    const facts = about.points[point.source.split(".")[1]];
    const [sign, state] = past(point, facts);
    const row = make("tr", point.quality === "good" ? state : point.quality);
    const link = make("a", "", point.name);
    link.href = `/trend?points=${point.source}`;
    const head = make("th", folded("", point.name), link);
    head.scope = "row";
    const value = point.quality === "bad" ? (point.last_good_at ? lastGood(point) : "–") : `${sign}${point.text} ${shownUnit(point.text_unit)}`;
    const limits = facts.limits.map(({ when, at, priority }) => t(`limit.${when}`, { value: `${at} ${shownUnit(facts.unit)}`.trim(), priority: named("priority", priority) })).join(", ");
    const read = facts.function ? `${String(facts.function).padStart(2, "0")}: ${registers(facts)}, ${facts.type}` : "";
    row.append(head, make("td", folded(point.quality === "bad" ? "last" : "value", value), value), make("td", "scale", bar(point, facts) ?? ""),
      make("td", "age", span(point.age_s)), make("td", "quality", quality(point)), make("td", "soft", limits),
      make("td", "soft", read, rawWords(facts, blocks)), make("td", "day", days[point.source] ? sparkline(days[point.source]) : ""));
    return row;
  });
  const names = { point: "", value: "value", scale: "", age: "age", quality: "quality", limits: "", read: "", day: "" };
  const head = make("thead", "", make("tr", "", ...Object.entries(names).map(([name, side]) => make("th", side, t(`column.${name}`)))));
  const counters = device.counters;
  const told = counters ? t("device.counters", { state: named("device", counters.state), reply: counters.reply_ms, longest: counters.reply_ms_max, good: counters.good, bad: counters.bad }) : "";
  const lines = [t("device.about", { where: t("device.where", { id, place: place(device) }), type: about.type, source: about.source }), told, device.hint].filter(Boolean);
  const found = make("article", "card wide", make("h3", "", device.name), ...lines.map((line) => make("p", "", line)),
    make("div", "scroll", make("table", "full device", head, make("tbody", "", ...points))));
  return found;
}

// The few points of an area's devices that answer: is it all right there?
const AREAS = ["feed", "manhole", "power", "room", "security"];

export function areas(s, station) {
  return AREAS.flatMap((area) => {
    const rows = Object.entries(s.devices).flatMap(([id, device]) => {
      const about = station.devices[id];
      if (about?.area !== area) return [];
      return device.points.filter((point) => about.points[point.source.split(".")[1]]?.headline)
        .map((point) => headline(point, about.points[point.source.split(".")[1]]));
    });
    const devices = Object.entries(s.devices).filter(([id]) => station.devices[id]?.area === area);
    if (!devices.length) return [];
    const bad = devices.filter(([, device]) => device.points.some((point) => point.quality === "bad")).map(([, device]) => device.name);
    const word = bad.length ? `✕ ${bad.join(", ")}` : old();
    const found = make("article", `card ${bad.length ? "is-bad" : ""}`, make("h3", "", t(`area.${area}`), make("span", "word", word)));
    found.append(make("table", "", make("tbody", "", ...rows)));
    return [found];
  });
}

function headline(point, about) {
  const [sign, state] = past(point, about);
  const row = make("tr", point.quality === "good" ? state : point.quality);
  const link = make("a", "", point.name);
  link.href = `/device/${point.source.split(".")[0]}`;
  const head = make("th", folded("", point.name), link);
  head.scope = "row";
  if (point.quality === "bad") {
    row.append(head, make("td", "last", point.last_good_at ? lastGood(point) : ""), make("td", "quality", quality(point)));
  } else {
    const scale = bar(point, about);
    const text = `${sign}${point.text} ${shownUnit(point.text_unit)}`;
    row.append(head, make("td", folded("value", text), text), ...(scale ? [make("td", "scale", scale)] : []));
    if (!scale) row.lastChild.colSpan = 2;
  }
  return row;
}

