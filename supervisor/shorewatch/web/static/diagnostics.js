// For who looks for a cause: buses, devices, versions, clock, as tables.
import { make } from "./dom.js";
import { number, plural, since } from "./part.js";

function table(title, heads, rows, kind = "") {
  const head = make("thead", "", make("tr", "", ...heads.map((name) => make("th", "", name))));
  const lines = rows.map((row) => make("tr", "", ...row.map((cell, index) => make(index ? "td" : "th", "", String(cell ?? "–")))));
  return make("article", "card wide", make("h3", "", title), make("div", "scroll", make("table", `full ${kind}`.trim(), head, make("tbody", "", ...lines))));
}

const share = (part, whole) => (whole ? `${((100 * part) / whole).toFixed(2)} %` : "–");

export function diagnostics(s) {
  const lines = [
    ...Object.entries(s.boards).flatMap(([id, board]) => board.buses.map((bus, index) => [`board ${id}, bus ${index}`, bus])),
    ...Object.entries(s.directs).filter(([, line]) => line.bus).map(([id, line]) => [`direct line ${id}`, line.bus]),
  ];
  const buses = lines.map(([name, bus]) => [name, `${Math.round(100 * bus.busy_share)} %`, number(bus.requests), share(bus.requests - bus.good, bus.requests),
    number(bus.timeouts), number(bus.crc_errors), number(bus.exceptions), number(bus.rejected), number(bus.stray_bytes), number(bus.slips)]);
  const devices = Object.entries(s.devices).filter(([, device]) => device.counters).map(([id, { counters }]) =>
    [id, counters.state, `${counters.reply_ms} ms`, `${counters.reply_ms_max} ms`, number(counters.good), number(counters.bad), counters.exception || "none"]);
  const boards = Object.entries(s.boards).map(([id, board]) => [id, board.up ? "up" : "✕ down", since(board.since).replace("since ", ""), board.firmware, board.plan,
    board.boot_reason, board.heap_free_least === null ? null : `${Math.round(board.heap_free_least / 1024)} kB`, `${board.round_trip_ms} ms`,
    board.drift_ppm === null ? null : `${board.drift_ppm.toFixed?.(1) ?? board.drift_ppm} ppm`]);
  const clock = s.clock.is_set ? (s.clock.kernel_synchronised === false ? "set, not synchronised" : "set") : "✕ never set";
  const gateway = [["version", s.version], ["configuration", s.config], ["running", since(s.started_at)], ["clock", clock],
    ["journal", s.outbox.journal], ["records", `${number(s.outbox.first)} to ${number(s.outbox.last)}, ${number(s.outbox.written)} written since the start`],
    ["values", plural(Object.values(s.devices).reduce((sum, device) => sum + device.points.length, 0), "point")]];
  return [
    table("Gateway", ["fact", "value"], gateway, "facts"),
    table("Boards", ["board", "state", "since", "firmware", "plan", "last boot", "least free heap", "round trip", "clock drift"], boards),
    table("Buses", ["bus", "busy", "requests", "without a value", "timeouts", "CRC errors", "exceptions", "rejected", "stray bytes", "late turns"], buses),
    table("Devices", ["device", "state", "reply", "longest reply", "good", "bad", "last exception"], devices),
  ];
}
