// Alarms: what is on, how urgent, what to do, and the buttons of those who may.
import { deeds } from "./act.js";
import { card, latest, since, span } from "./part.js";
import { named, t } from "./text.js";

const ALARM_SIGNS = { unacknowledged: "✕", acknowledged: "✕", shelved: "–", suppressed: "–", "out-of-service": "–", maintenance: "–" };
export const isOpen = (alarm) => alarm.state === "unacknowledged" || alarm.state === "acknowledged";

const CARDS_MAX = 100;

// A flood must not drown the page: the most urgent stand first, the rest is counted.
export function alarmCards(list, more) {
  const cards = list.slice(0, CARDS_MAX).map(alarmCard);
  const left = list.length - cards.length + more;
  if (left > 0) cards.push(card(t("alarms.more", { count: left }), "", "", t("alarms.more.why")));
  return cards;
}

function alarmCard(alarm) {
  const urgent = alarm.priority === "critical" || alarm.priority === "major";
  const state = !isOpen(alarm) ? "" : urgent ? "is-bad" : "is-warn";
  const word = `${ALARM_SIGNS[alarm.state] ?? "✓"} ${named("priority", alarm.priority)}, ${named("state", alarm.state)}`;
  const marks = [alarm.id, alarm.since && since(alarm.since)];
  if (alarm.first_out) marks.push(t("alarms.first"));
  if (alarm.chattering) marks.push(t("alarms.chattering"));
  if (alarm.shelf_left_s) marks.push(t("alarms.shelf", { time: span(alarm.shelf_left_s) }));
  if (alarm.note) marks.push(t("alarms.left", { note: alarm.note, time: span(alarm.left_s) }));
  const found = card(alarm.text, word, state, isOpen(alarm) ? alarm.action : "", marks.filter(Boolean).join(", "));
  if (!latest().lost) found.append(deeds(alarm));
  return found;
}
