"""One Sparkplug session of an edge node: what must be sent, with which number. Pure.

    spBv1.0/<cable>/NBIRTH|NDATA|NDEATH/<station>
    spBv1.0/<cable>/DBIRTH|DDATA|DDEATH/<station>/<device>

Values and facts go in, messages come out, to be sent in that order: their seq counts from the
NBIRTH (0) on, mod 256. Values are told by exception, against what this session last told; a device
is born when something is known of it, and dies when nothing is. A session has one bdSeq, that of
its Will, also when it is born again. Aliases: those of the node first, then all points in the
station's order, one number each.

Facts are what the node says of itself, by name; one that was not in the last NBIRTH waits for the
next. Limits: DATA of at most `METRICS_MAX` metrics.
Source: Sparkplug 3.0.0, 4, 5 and 6.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from shorewatch.config import Station
from shorewatch.model import Value
from shorewatch.mqtt.topics import SPARKPLUG
from shorewatch.sparkplug.metrics import PointMetric, Said, is_lost, point_metrics
from shorewatch.sparkplug.payload import DataType, Metric, Payload, Plain, encode

BDSEQ: Final = "bdSeq"
REBIRTH: Final = "Node Control/Rebirth"
SEQ_COUNT: Final = 256
METRICS_MAX: Final = 500

Values = Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Message:
    """What is to be published; never retained."""

    topic: str
    payload: bytes
    qos: int = 0


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that the node says of itself; None is null."""

    datatype: DataType
    value: Plain | None


Facts = Mapping[str, Fact]


class Session:
    """From one CONNECT, whose Will has `bdseq`, to its end."""

    def __init__(self, station: Station, bdseq: int) -> None:
        assert 0 <= bdseq < SEQ_COUNT, "bdSeq counts to 255"
        self._bdseq = bdseq
        self._seq = 0
        self._facts: dict[str, Fact] = {}
        self._aliases: dict[str, int] = {}
        self._said: dict[str, dict[str, Said]] = {}
        self.is_born = False
        self._station = station
        self._points: Mapping[str, Mapping[str, PointMetric]] = {}

    @property
    def station(self) -> Station:
        """The station as it was last born."""
        return self._station

    @property
    def devices(self) -> frozenset[str]:
        """The devices that are born."""
        return frozenset(self._said)

    def topic(self, kind: str, device: str | None = None) -> str:
        """The topic of one of our messages, or of a command to us."""
        head = f"{SPARKPLUG}/{self._station.cable}/{kind}/{self._station.id}"
        return head if device is None else f"{head}/{device}"

    def death(self, now_ms: int) -> Message:
        """NDEATH: the Will, and the last word before leaving. It has no number."""
        metric = Metric(BDSEQ, None, now_ms, DataType.INT64, self._bdseq)
        self.is_born = False
        return Message(self.topic("NDEATH"), encode(Payload(now_ms, None, (metric,))), qos=1)

    def birth(
        self, station: Station, values: Mapping[str, Values], facts: Facts, now_ms: int
    ) -> Iterator[Message]:
        """NBIRTH, and DBIRTH of every device of which something is known."""
        self._station = station
        self._facts = dict(facts)
        self._aliases = {name: alias for alias, name in enumerate(facts, 1)}
        self._points = point_metrics(station, len(facts) + 1)
        self._said = {}
        self._seq = 0
        self.is_born = True
        metrics = [
            Metric(BDSEQ, None, now_ms, DataType.INT64, self._bdseq),
            Metric(REBIRTH, None, now_ms, DataType.BOOLEAN, False),
            *(self._fact(name, fact, now_ms, name) for name, fact in facts.items()),
        ]
        yield self._message("NBIRTH", None, metrics, now_ms)
        for device, found in values.items():
            if not is_lost(found):
                yield self.device_birth(device, found, now_ms)

    def device_birth(self, device: str, values: Values, now_ms: int) -> Message:
        """DBIRTH: all points of a device, also when it is lost but has a past to tell."""
        points = self._points[device]
        said = {name: points[name].said(value, now_ms) for name, value in values.items()}
        self._said[device] = said
        metrics = [points[name].birth(one) for name, one in said.items()]
        return self._message("DBIRTH", device, _in_order(metrics), now_ms)

    def device_death(self, device: str, now_ms: int) -> Message:
        """DDEATH of a device that is born."""
        del self._said[device]
        return self._message("DDEATH", device, [], now_ms)

    def tell(self, device: str, values: Values, now_ms: int) -> Iterator[Message]:
        """What a host must hear of the device's values as they are: DBIRTH, DDATA or DDEATH."""
        if is_lost(values):
            if device in self._said:
                yield self.device_death(device, now_ms)
            return
        if device not in self._said:
            yield self.device_birth(device, values, now_ms)
            return
        points, known = self._points[device], self._said[device]
        news = {}
        for name, value in values.items():
            said = points[name].said(value, now_ms)
            if points[name].is_news(known[name], said):
                news[name] = said
        metrics = [points[name].data(said, known[name]) for name, said in news.items()]
        known.update(news)
        yield from self._data("DDATA", device, metrics, now_ms)

    def tell_facts(self, facts: Facts, now_ms: int) -> Iterator[Message]:
        """NDATA with those facts that have changed."""
        changed = {
            name: fact
            for name, fact in facts.items()
            if name in self._aliases and self._facts[name] != fact
        }
        self._facts.update(changed)
        metrics = [self._fact(None, fact, now_ms, name) for name, fact in changed.items()]
        yield from self._data("NDATA", None, metrics, now_ms)

    def tell_past(
        self, device: str, past: Mapping[str, Sequence[Said]], now_ms: int
    ) -> Iterator[Message]:
        """DDATA of what the points of a born device were, marked as historical."""
        points = self._points[device]
        metrics = [
            points[name].data(said)
            for name, told in past.items()
            if name in points
            for said in told
        ]
        yield from self._data("DDATA", device, metrics, now_ms)

    def metric_of(self, device: str, point: str) -> PointMetric | None:
        """A point as this session knows it; None if the station has it not, or not any more."""
        return self._points.get(device, {}).get(point)

    def _fact(self, name: str | None, fact: Fact, now_ms: int, key: str) -> Metric:
        is_null = fact.value is None
        return Metric(name, self._aliases[key], now_ms, fact.datatype, fact.value, is_null=is_null)

    def _data(
        self, kind: str, device: str | None, metrics: Sequence[Metric], now_ms: int
    ) -> Iterator[Message]:
        """DATA without names and types, in the order of its times, in pieces."""
        ordered = _in_order(metrics)
        for start in range(0, len(ordered), METRICS_MAX):
            yield self._message(kind, device, ordered[start : start + METRICS_MAX], now_ms)

    def _message(
        self, kind: str, device: str | None, metrics: Sequence[Metric], now_ms: int
    ) -> Message:
        assert self.is_born, "nothing is told before the NBIRTH"
        assert device in self._said or kind != "DDATA", f"{device} is not born"
        seq, self._seq = self._seq, (self._seq + 1) % SEQ_COUNT
        payload = Payload(now_ms, seq, tuple(metrics))
        data = encode(payload, with_datatypes=kind.endswith("BIRTH"))
        return Message(self.topic(kind, device), data)


def _in_order(metrics: Sequence[Metric]) -> list[Metric]:
    return sorted(metrics, key=lambda metric: metric.timestamp_ms or 0)
