// The head of every view: which station, when, and whether all is well with it.
import { $, fill, make } from "./dom.js";
import { agoS, span } from "./part.js";

const LINES_MAX = 4;
const NARROW_LINES_MAX = 2;
const narrow = matchMedia("(max-width: 40rem)");

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
  const most = narrow.matches ? NARROW_LINES_MAX : LINES_MAX;
  const left = lines.length - most;
  const shown = lines.slice(0, left > 1 ? most : lines.length).map((line) => make("p", "", sign, line));
  if (left > 1) shown.push(make("p", "", `and ${left} more`));
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
  say(["No word from the gateway since this page was opened"], "alarm");
}
