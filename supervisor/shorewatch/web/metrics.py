"""A station's figures for Prometheus, in its text format.

From a snapshot (status.py), at the moment it is asked for: boards, devices, buses, outbox, uplinks,
alarms and the values themselves. A value that is not good has no sample: an alarm on absence is
then an alarm on its loss, and no old number is taken for a new one. Names end in their unit.
Source: Prometheus, "Metric and label naming".
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_COUNTS = ("requests", "good", "timeouts", "crc_errors", "exceptions", "rejected", "stray_bytes")

Row = Mapping[str, Any]


def text(snapshot: Row, loop_lag_s: float, tasks: int) -> bytes:
    """The figures of one snapshot, and of the process: worst lag of its loop in 10 s, its tasks."""
    registry = CollectorRegistry()
    registry.register(_Snapshot(snapshot, loop_lag_s, tasks))
    ProcessCollector(registry=registry)  # memory, open files, CPU
    return generate_latest(registry)


class _Snapshot(Collector):
    def __init__(self, snapshot: Row, loop_lag_s: float, tasks: int) -> None:
        self._snapshot = snapshot
        self._loop_lag_s = loop_lag_s
        self._tasks = tasks

    def collect(self) -> Iterable[Metric]:
        snapshot = self._snapshot
        labels = {key: str(snapshot[key]) for key in ("station", "version", "config")}
        yield InfoMetricFamily("shorewatch", "What runs here", value=labels)
        yield _one("loop_lag_seconds", "Worst lag of the gateway's loop in 10 s", self._loop_lag_s)
        yield _one("tasks", "Tasks of the gateway's loop", self._tasks)
        yield from _lines(snapshot)
        yield from _devices(snapshot)
        yield from _ways_out(snapshot)
        alarms = _gauge("alarm_active", "1 while an alarm is on", "alarm", "priority", "state")
        for row in snapshot["alarms"]:
            alarms.add_metric([row["id"], row["priority"], row["state"]], float(row["active"]))
        yield alarms


def _lines(snapshot: Row) -> Iterator[Metric]:
    up = _gauge("line_up", "1 while a board or direct line answers", "kind", "line")
    round_trip = _gauge("board_round_trip_seconds", "Time of a board's answer", "line")
    heap = _gauge("board_heap_free_least_bytes", "Least free heap since its boot", "line")
    busy = _gauge("bus_busy_ratio", "Share of time in which a bus is busy", "line", "bus")
    counts = {
        name: CounterMetricFamily(
            f"shorewatch_bus_{name}", f"{name} of a bus", labels=("line", "bus")
        )
        for name in _COUNTS
    }
    for kind, lines in (("board", snapshot["boards"]), ("direct", snapshot["directs"])):
        for name, line in lines.items():
            up.add_metric([kind, name], float(line["up"]))
            if kind == "board" and line["up"]:
                round_trip.add_metric([name], line["round_trip_ms"] / 1000)
                if line["heap_free_least"] is not None:
                    heap.add_metric([name], line["heap_free_least"])
            buses = line["buses"] if kind == "board" else [line["bus"]]
            for index, bus in enumerate(buses):
                if bus is not None:
                    busy.add_metric([name, str(index)], bus["busy_share"])
                    for count, family in counts.items():
                        if count in bus:
                            family.add_metric([name, str(index)], bus[count])
    yield from (up, round_trip, heap, busy, *counts.values())


def _devices(snapshot: Row) -> Iterator[Metric]:
    points = _gauge("device_points", "Points of a device by quality", "device", "quality")
    age = _gauge("device_age_seconds", "Age of a device's oldest value", "device")
    values = _gauge("point", "A good value, in its unit", "device", "point", "unit")
    for name, device in snapshot["devices"].items():
        rows = device["points"]
        for quality in ("good", "uncertain", "bad"):
            count = sum(point["quality"] == quality for point in rows.values())
            points.add_metric([name, quality], count)
        ages = [point["age_s"] for point in rows.values()]
        if ages and None not in ages:
            age.add_metric([name], max(ages))
        for point_id, point in rows.items():
            if point["quality"] == "good" and isinstance(point["value"], (int, float)):
                values.add_metric([name, point_id, point["unit"]], float(point["value"]))
    yield from (points, age, values)


def _ways_out(snapshot: Row) -> Iterator[Metric]:
    up = _gauge("uplink_online", "1 while an uplink has its broker", "uplink")
    waiting = _gauge("uplink_waiting_records", "Records that nobody has acknowledged", "uplink")
    silent = _gauge("uplink_silent_consumers", "Consumers that acknowledge nothing", "uplink")
    for name, uplink in snapshot["uplinks"].items():
        up.add_metric([name], float(uplink["state"] == "online"))
        waiting.add_metric([name], uplink["waiting"])
        silent.add_metric([name], len(uplink["silent"]))
    outbox = snapshot["outbox"]
    yield from (up, waiting, silent)
    yield _one("outbox_fault", "1 while the outbox cannot write", float(bool(outbox["health"])))
    written = CounterMetricFamily("shorewatch_outbox_records", "Records written since the start")
    written.add_metric([], outbox["written"])
    yield written


def _gauge(name: str, about: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"shorewatch_{name}", about, labels=labels)


def _one(name: str, about: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"shorewatch_{name}", about, value=value)
