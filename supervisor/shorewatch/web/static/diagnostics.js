// For who looks for a cause: buses, devices, versions, clock, as tables.
import { make } from "./dom.js";
import { begun, number, since } from "./part.js";
import { named, t } from "./text.js";

function table(title, heads, rows, kind = "") {
  const head = make("thead", "", make("tr", "", ...heads.map((name) => make("th", "", t(`column.${name}`)))));
  const lines = rows.map((row) => make("tr", "", ...row.map((cell, index) => make(index ? "td" : "th", "", String(cell ?? "–")))));
  return make("article", "card wide", make("h3", "", title), make("div", "scroll", make("table", `full ${kind}`.trim(), head, make("tbody", "", ...lines))));
}

const share = (part, whole) => (whole ? `${((100 * part) / whole).toFixed(2)} %` : "–");

export function diagnostics(s) {
  const lines = [
    ...Object.entries(s.boards).flatMap(([id, board]) => board.buses.map((bus, index) => [t("bus.board", { board: id, index }), bus])),
    ...Object.entries(s.directs).filter(([, line]) => line.bus).map(([id, line]) => [t("bus.direct", { line: id }), line.bus]),
  ];
  const buses = lines.map(([name, bus]) => [name, `${Math.round(100 * bus.busy_share)} %`, number(bus.requests), share(bus.requests - bus.good, bus.requests),
    number(bus.timeouts), number(bus.crc_errors), number(bus.exceptions), number(bus.rejected), number(bus.stray_bytes), number(bus.slips)]);
  const devices = Object.entries(s.devices).filter(([, device]) => device.counters).map(([id, { counters }]) =>
    [id, named("device", counters.state), `${counters.reply_ms} ms`, `${counters.reply_ms_max} ms`, number(counters.good), number(counters.bad), counters.exception || t("none")]);
  const boards = Object.entries(s.boards).map(([id, board]) => [id, board.up ? t("card.up") : `✕ ${t("card.down")}`, begun(board.since), board.firmware, board.plan,
    board.boot_reason && named("boot", board.boot_reason), board.heap_free_least === null ? null : `${Math.round(board.heap_free_least / 1024)} kB`, `${board.round_trip_ms} ms`,
    board.drift_ppm === null ? null : `${board.drift_ppm.toFixed?.(1) ?? board.drift_ppm} ppm`]);
  const clock = s.clock.is_set ? t(s.clock.kernel_synchronised === false ? "clock.unsynchronised" : "clock.set") : `✕ ${t("clock.unset")}`;
  const gateway = Object.entries({ version: s.version, config: s.config, running: since(s.started_at), clock, journal: s.outbox.journal,
    records: t("records.written", { first: number(s.outbox.first), last: number(s.outbox.last), written: number(s.outbox.written) }),
    values: t("points", { count: Object.values(s.devices).reduce((sum, device) => sum + device.points.length, 0) }),
  }).map(([name, value]) => [t(`fact.${name}`), value]);
  return [
    table(t("tables.gateway"), ["fact", "value"], gateway, "facts"),
    table(t("tables.boards"), ["board", "state", "since", "firmware", "plan", "boot", "heap", "trip", "drift"], boards),
    table(t("tables.buses"), ["bus", "busy", "requests", "failed", "timeouts", "crc", "exceptions", "rejected", "stray", "slips"], buses),
    table(t("tables.devices"), ["device", "state", "reply", "longest", "good", "bad", "exception"], devices),
  ];
}
