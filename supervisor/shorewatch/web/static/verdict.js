// The head of every view: which station, when, and whether all is well with it.
import { $, fill, make } from "./dom.js";
import { agoS, span } from "./part.js";
import { named, t } from "./text.js";

const LINES_MAX = 4;
const NARROW_LINES_MAX = 2;
const narrow = matchMedia("(max-width: 40rem)");

// What the gateway says of itself (verdict.py); of a silent one only the silence is true.
function verdict(s) {
  if (s.lost) return [[t("verdict.lost", { time: s.at.slice(11, 19) })], "alarm"];
  const { level, faults } = s.verdict;
  return level === "good" ? [[t("verdict.good", { count: s.points.good })], level] : [faults.map(faultLine), level];
}

// A place that is called as a kind of the gateway's words (a state, a reason) has one of them.
function shown(values) {
  const word = (place, value) => (Array.isArray(value) ? value.map((one) => named(place, one)).join(", ") : named(place, value));
  return Object.fromEntries(Object.entries(values).map(([place, value]) => [place, word(place, value)]));
}

// How long it lasts changes all the time, and is not read aloud for that.
function faultLine({ key, values, since: at, more_key: moreKey }) {
  const what = t(key, shown(values));
  const more = moreKey ? t(moreKey, shown(values)) : "";
  if (!at) return what + more;
  const passed = make("span", "", ` (${span(agoS(at))})`);
  passed.setAttribute("aria-hidden", "true");
  return make("span", "", `${what} ${t("since", { time: at.slice(11, 19) })}`, passed, more);
}

const LEVELS = { good: ["", ""], warning: ["? ", "is-warn"], alarm: ["✕ ", "is-bad"] };

// The verdict is read aloud where that is wanted: only what of it changes.
function say(lines, level) {
  const [sign, state] = LEVELS[level];
  const most = narrow.matches ? NARROW_LINES_MAX : LINES_MAX;
  const left = lines.length - most;
  const shown = lines.slice(0, left > 1 ? most : lines.length).map((line) => make("p", "", sign, line));
  if (left > 1) shown.push(make("p", "", t("verdict.more", { count: left })));
  fill($("verdict"), ...shown);
  $("verdict").className = state;
}

export function judge(s) {
  $("station").textContent = s.name;
  $("cable").textContent = s.cable;
  $("clock").textContent = s.at.slice(0, 19).replace("T", " ");
  $("clock").dateTime = s.at;
  say(...verdict(s));
}

export function mourn() {
  say([t("verdict.silent")], "alarm");
}
