// Alarms: what is on, how urgent, what to do, and the buttons of those who may.
import { deeds } from "./act.js";
import { card, latest, plural, since, span } from "./part.js";

const ALARM_SIGNS = { unacknowledged: "✕", acknowledged: "✕", shelved: "–", suppressed: "–", "out-of-service": "–", maintenance: "–" };
export const isOpen = (alarm) => alarm.state === "unacknowledged" || alarm.state === "acknowledged";

const CARDS_MAX = 100;

// A flood must not drown the page: the most urgent stand first, the rest is counted.
export function alarmCards(list, more) {
  const cards = list.slice(0, CARDS_MAX).map(alarmCard);
  const left = list.length - cards.length + more;
  if (left > 0) cards.push(card(`and ${plural(left, "more alarm")}`, "", "", "They are less urgent or older than those shown here."));
  return cards;
}

function alarmCard(alarm) {
  const urgent = alarm.priority === "critical" || alarm.priority === "major";
  const state = !isOpen(alarm) ? "" : urgent ? "is-bad" : "is-warn";
  const word = `${ALARM_SIGNS[alarm.state] ?? "✓"} ${alarm.priority}, ${alarm.state}`;
  const marks = [alarm.id, alarm.since && since(alarm.since)];
  if (alarm.first_out) marks.push("first of its group");
  if (alarm.chattering) marks.push("chattering");
  if (alarm.shelf_left_s) marks.push(`shelved for ${span(alarm.shelf_left_s)} more`);
  if (alarm.note) marks.push(`${alarm.note}, ${span(alarm.left_s)} more`);
  const found = card(alarm.text, word, state, isOpen(alarm) ? alarm.action : "", marks.filter(Boolean).join(", "));
  if (!latest().lost) found.append(deeds(alarm));
  return found;
}
