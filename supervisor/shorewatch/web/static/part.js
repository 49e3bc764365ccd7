// The words and small parts that all views share. `latest()` is the snapshot as it is shown.
import { make } from "./dom.js";

let shown = null;

export const latest = () => shown;

export function look(snapshot) {
  shown = snapshot;
}

export function span(seconds) {
  if (seconds === null) return "never";
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} d`;
}

export const agoS = (at) => Math.max(0, (Date.parse(shown.at) - Date.parse(at)) / 1000 + shown.silentS);
export const since = (at) => `since ${at.slice(11, 19)} (${span(agoS(at))})`;
export const plural = (n, noun) => `${n} ${noun}${n === 1 ? "" : "s"}`;
export const number = (n) => n.toLocaleString("en");

export function card(title, word, state, ...lines) {
  if (shown.lost) [word, state] = [`? was ${word.replace("✕ ", "")}`, "is-warn"];
  const head = make("h3", "", title, make("span", "word", word));
  return make("article", `card ${state}`, head, ...lines.map((line) => make("p", "", line)));
}
