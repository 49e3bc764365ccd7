// The words and small parts that all views share. `latest()` is the snapshot as it is shown.
import { make } from "./dom.js";
import { t } from "./text.js";

let shown = null;

export const latest = () => shown;

export function look(snapshot) {
  shown = snapshot;
}

export function span(seconds) {
  if (seconds === null) return t("span.never");
  if (seconds < 10) return t("span.s", { time: seconds.toFixed(1) });
  if (seconds < 120) return t("span.s", { time: Math.round(seconds) });
  if (seconds < 7200) return t("span.min", { time: Math.round(seconds / 60) });
  if (seconds < 172800) return t("span.h", { time: Math.round(seconds / 3600) });
  return t("span.d", { time: Math.round(seconds / 86400) });
}

export const agoS = (at) => Math.max(0, (Date.parse(shown.at) - Date.parse(at)) / 1000 + shown.silentS);
export const begun = (at) => `${at.slice(11, 19)} (${span(agoS(at))})`;
export const since = (at) => t("since", { time: begun(at) });
export const number = (n) => n.toLocaleString("en");

export function card(title, word, state, ...lines) {
  if (shown.lost) [word, state] = [`? ${t("card.was", { word: word.replace("✕ ", "") })}`, "is-warn"];
  const head = make("h3", "", title, make("span", "word", word));
  return make("article", `card ${state}`, head, ...lines.map((line) => make("p", "", line)));
}
