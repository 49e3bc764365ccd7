// Lines, uplinks, outbox and history as cards.
import { card, number, plural, since } from "./part.js";

function boardCard([id, board]) {
  if (!board.up) return card(`Board ${id}`, "✕ down", "is-bad", board.reason, since(board.since));
  const busy = board.buses.map((bus) => `${Math.round(bus.busy_share * 100)} %`).join(", ");
  return card(`Board ${id}`, "up", "",
    `${since(board.since)}, firmware ${board.firmware}, plan ${board.plan}`,
    busy ? `buses busy ${busy}, answers in ${board.round_trip_ms} ms` : "");
}

function directCard([id, direct]) {
  const title = `Direct line ${id}`;
  if (!direct.up) return card(title, "✕ down", "is-bad", direct.reason, since(direct.since));
  const busy = direct.bus && `busy ${Math.round(direct.bus.busy_share * 100)} %`;
  const failed = direct.bus && direct.bus.requests - direct.bus.good;
  const counts = direct.bus ? `${number(direct.bus.requests)} requests, ${number(failed)} without a value` : "";
  return card(title, "up", "", `${since(direct.since)}, ${direct.where}`, [busy, counts].filter(Boolean).join(", "));
}

function uplinkCard([id, uplink], _, all) {
  const isSparkplug = uplink.plane === "sparkplug";
  const counts = isSparkplug
    ? `${number(uplink.published)} sent; after a break again from ${number(uplink.acknowledged)} on`
    : `${number(uplink.published)} published, ${number(uplink.acknowledged)} acknowledged`;
  const waiting = `${number(uplink.waiting)} waiting`;
  const notes = [];
  if (isSparkplug && all.every(([, other]) => other.plane === "sparkplug")) {
    notes.push("Sparkplug only: delivery is not confirmed end to end");
  } else if (isSparkplug) {
    notes.push("Sparkplug B; the journal is confirmed by the other uplink");
  } else if (uplink.broker_acknowledged_only) notes.push("broker-acknowledged only: no consumer confirms what it got");
  if (uplink.refused_acks) {
    notes.push(`? ${plural(uplink.refused_acks, "acknowledgement")} refused; last: ${uplink.last_refusal}`);
  }
  if (uplink.refused_commands) {
    notes.push(`? ${plural(uplink.refused_commands, "command")} refused; last: ${uplink.last_refusal}`);
  }
  const asked = uplink.requests;
  if (asked.trouble) notes.push(`✕ ${asked.trouble}`);
  if (asked.accepted) notes.push(`${plural(asked.accepted, "request")} of the NOC accepted`);
  if (asked.refused) notes.push(`? ${plural(asked.refused, "request")} refused; last: ${asked.last_refusal}`);
  const ends = Object.entries(uplink.certificates).map(([whose, { days }]) => `${whose} ${days < 0 ? "ended" : plural(days, "day")}`);
  if (ends.length) notes.push(`certificates: ${ends.join(", ")}`);
  const silent = Object.entries(uplink.silent);
  for (const [name, at] of silent) notes.push(`✕ consumer ${name} acknowledges nothing ${since(at)}`);
  if (uplink.state === "online" && silent.length) {
    return card(`Uplink ${id}`, "✕ unheard", "is-bad", uplink.text, `${counts}, ${waiting}`, ...notes);
  }
  if (uplink.state !== "online") {
    return card(`Uplink ${id}`, `✕ ${uplink.state}`, "is-bad", uplink.text, `${since(uplink.since)}; ${waiting}`, ...notes);
  }
  return card(`Uplink ${id}`, "online", "", uplink.text || since(uplink.since), `${counts}, ${waiting}`, ...notes);
}

function outboxCard(outbox) {
  const range = outbox.last ? `records ${number(outbox.first)} to ${number(outbox.last)}` : "empty";
  return outbox.health
    ? card("Outbox", "✕ fault", "is-bad", outbox.health, range)
    : card("Outbox", "writing", "", range, `journal ${outbox.journal.slice(0, 8)}`);
}

function historyCard(history) {
  if (!history.on) return card("History", "off", "", "Switched off in the station file.");
  const size = `${(history.size_bytes / 1e6).toFixed(1)} of ${number(history.size_bytes_max / 1e6)} MB`;
  const counts = `${number(history.recorded)} changes since the start` + (history.dropped ? `, ${number(history.dropped)} values dropped` : "");
  return history.health
    ? card("History", "✕ fault", "is-warn", history.health, `${size}; ${counts}`)
    : card("History", "writing", "", size, counts);
}

function configCard(trouble) {
  const left = trouble.count - trouble.problems.length;
  return card("Station file", "? not taken", "is-warn", trouble.text, ...trouble.problems,
    ...(left ? [`and ${plural(left, "more problem")}`] : []));
}

export function ways(s) {
  return [
    ...Object.entries(s.boards).map(boardCard),
    ...Object.entries(s.directs).map(directCard),
    ...Object.entries(s.uplinks).map(uplinkCard),
    outboxCard(s.outbox),
    ...(s.history ? [historyCard(s.history)] : []),
    ...(s.config_trouble ? [configCard(s.config_trouble)] : []),
  ];
}
