// Lines, uplinks, outbox and history as cards.
import { card, number, since } from "./part.js";
import { named, t } from "./text.js";

function boardCard([id, board]) {
  const title = t("board.title", { id });
  if (!board.up) return card(title, `✕ ${t("card.down")}`, "is-bad", board.reason, since(board.since));
  const busy = board.buses.map((bus) => `${Math.round(bus.busy_share * 100)} %`).join(", ");
  return card(title, t("card.up"), "",
    t("board.facts", { since: since(board.since), firmware: board.firmware, plan: board.plan }),
    busy ? t("board.buses", { busy, trip: board.round_trip_ms }) : "");
}

function directCard([id, direct]) {
  const title = t("direct.title", { id });
  if (!direct.up) return card(title, `✕ ${t("card.down")}`, "is-bad", direct.reason, since(direct.since));
  const busy = direct.bus && t("direct.busy", { percent: Math.round(direct.bus.busy_share * 100) });
  const failed = direct.bus && direct.bus.requests - direct.bus.good;
  const counts = direct.bus ? t("direct.counts", { requests: number(direct.bus.requests), failed: number(failed) }) : "";
  return card(title, t("card.up"), "", `${since(direct.since)}, ${direct.where}`, [busy, counts].filter(Boolean).join(", "));
}

function uplinkCard([id, uplink], _, all) {
  const title = t("uplink.title", { id });
  const isSparkplug = uplink.plane === "sparkplug";
  const counts = isSparkplug
    ? t("uplink.sent", { published: number(uplink.published), next: number(uplink.acknowledged) })
    : t("uplink.counts", { published: number(uplink.published), acknowledged: number(uplink.acknowledged) });
  const waiting = t("uplink.waiting", { waiting: number(uplink.waiting) });
  const notes = [];
  if (isSparkplug && all.every(([, other]) => other.plane === "sparkplug")) {
    notes.push(t("uplink.sparkplug.only"));
  } else if (isSparkplug) {
    notes.push(t("uplink.sparkplug.beside"));
  } else if (uplink.broker_acknowledged_only) notes.push(t("uplink.broker.only"));
  if (uplink.refused_acks) {
    notes.push(`? ${t("uplink.refused.acks", { count: uplink.refused_acks, why: uplink.last_refusal })}`);
  }
  if (uplink.refused_commands) {
    notes.push(`? ${t("uplink.refused.commands", { count: uplink.refused_commands, why: uplink.last_refusal })}`);
  }
  const asked = uplink.requests;
  if (asked.trouble) notes.push(`✕ ${asked.trouble}`);
  if (asked.accepted) notes.push(t("uplink.accepted", { count: asked.accepted }));
  if (asked.refused) notes.push(`? ${t("uplink.refused.requests", { count: asked.refused, why: asked.last_refusal })}`);
  const ends = Object.entries(uplink.certificates).map(([whose, { days }]) => t(days < 0 ? `certificate.${whose}.ended` : `certificate.${whose}`, { count: days }));
  if (ends.length) notes.push(t("certificates", { list: ends.join(", ") }));
  const silent = Object.entries(uplink.silent);
  for (const [name, at] of silent) notes.push(`✕ ${t("uplink.silent", { name, since: since(at) })}`);
  if (uplink.state === "online" && silent.length) {
    return card(title, `✕ ${t("uplink.unheard")}`, "is-bad", uplink.text, `${counts}, ${waiting}`, ...notes);
  }
  if (uplink.state !== "online") {
    return card(title, `✕ ${named("uplink", uplink.state)}`, "is-bad", uplink.text, `${since(uplink.since)}; ${waiting}`, ...notes);
  }
  return card(title, named("uplink", uplink.state), "", uplink.text || since(uplink.since), `${counts}, ${waiting}`, ...notes);
}

function outboxCard(outbox) {
  const range = outbox.last ? t("outbox.range", { first: number(outbox.first), last: number(outbox.last) }) : t("outbox.empty");
  return outbox.health
    ? card(t("outbox.title"), `✕ ${t("card.fault")}`, "is-bad", outbox.health, range)
    : card(t("outbox.title"), t("card.writing"), "", range, t("outbox.journal", { journal: outbox.journal.slice(0, 8) }));
}

function historyCard(history) {
  if (!history.on) return card(t("history.title"), t("history.off"), "", t("history.off.why"));
  const size = t("history.size", { size: (history.size_bytes / 1e6).toFixed(1), most: number(history.size_bytes_max / 1e6) });
  const counts = t(history.dropped ? "history.dropped" : "history.recorded", { recorded: number(history.recorded), dropped: number(history.dropped) });
  return history.health
    ? card(t("history.title"), `✕ ${t("card.fault")}`, "is-warn", history.health, `${size}; ${counts}`)
    : card(t("history.title"), t("card.writing"), "", size, counts);
}

function configCard(trouble) {
  const left = trouble.count - trouble.problems.length;
  return card(t("config.title"), `? ${t("config.refused")}`, "is-warn", trouble.text, ...trouble.problems,
    ...(left ? [t("config.more", { count: left })] : []));
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
