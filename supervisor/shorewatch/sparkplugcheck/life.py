"""One edge node's session on one connection: births, data, deaths, and the numbers on them. Pure.

It holds what a host would hold: whether the node and each device is born, their metrics with last
values, the aliases, the next seq. Every message is judged against that.
"""

from dataclasses import dataclass
from typing import Final

from shorewatch.sparkplugcheck.book import Book
from shorewatch.sparkplugcheck.codec import PayloadError, decode
from shorewatch.sparkplugcheck.content import CLOCK_S_MAX, Rules, templates
from shorewatch.sparkplugcheck.packet import Publish
from shorewatch.sparkplugcheck.payload import (
    BOOLEAN,
    INT64,
    Held,
    Metric,
    Payload,
    PropertySet,
    Template,
)
from shorewatch.sparkplugcheck.rebirth import RebirthWatch
from shorewatch.sparkplugcheck.session import Entry
from shorewatch.sparkplugcheck.topic import Topic

REBIRTH: Final = "Node Control/Rebirth"
BDSEQ: Final = "bdSeq"
SEQ_MAX: Final = 255


@dataclass(slots=True)
class _Known:
    """A metric of a birth, and what was last said of it."""

    alias: int | None
    last: tuple[Held | None, bool, PropertySet | None]


_Metrics = dict[str, _Known]


class Life:
    """The session on one connection; `node` and `bdseq` are what its Will names, if it does."""

    def __init__(self, book: Book) -> None:
        self.book = book
        self.node: tuple[str, str] | None = None
        self.bdseq: int | None = None
        self.is_born = False
        self.rebirth = RebirthWatch(book)
        # The bdSeq of the last NBIRTH.
        self._born_as: int | None = None
        self._seq: int | None = None
        self._metrics: _Metrics = {}
        self._devices: dict[str, _Metrics] = {}
        # Alias: device ("" is the node) and metric.
        self._aliases: dict[int, tuple[str, str]] = {}
        self._definitions: dict[str, Template] = {}
        # Devices that lived at the last NBIRTH and have not been born or died since.
        self._due: set[str] = set()
        self._data_kind: str | None = None

    def published(self, entry: Entry, topic: Topic, publish: Publish) -> None:
        """The node has published one of its messages; `topic` is of the right form."""
        kind = topic.kind.lower()
        self._judge_place(topic, publish.topic)
        payload = self._payload(topic, publish.payload)
        if topic.kind == "NDEATH":
            self._ndeath(payload)
            return
        self.book.judge(f"{kind}-qos", publish.qos == 0, f"QoS {publish.qos}", field="QoS")
        self.book.judge(f"{kind}-retain", not publish.is_retained, "retain set", field="retain")
        self._judge_numbers(entry, topic.kind, payload)
        if topic.kind == "NBIRTH":
            self._definitions = templates(payload)
        if topic.kind != "DDEATH":
            Rules(self.book, topic.kind, entry.at_s, self._definitions).judge(payload)
        if topic.kind == "NBIRTH":
            self._nbirth(payload)
        elif topic.kind == "DBIRTH":
            self._dbirth(topic.device or "", payload)
        elif topic.kind == "DDEATH":
            self._gone(topic.device or "")
        else:
            self._data(entry, topic, payload)

    def _judge_place(self, topic: Topic, text: str) -> None:
        if self.node is None:
            self.node = topic.node
        seen = f"{text}, but this connection is that of {'/'.join(self.node)}"
        self.book.judge(f"{topic.kind.lower()}-topic", topic.node == self.node, seen, field="topic")
        if topic.kind == "DBIRTH":
            self.book.judge("dbirth-node", topic.node == self.node, seen, field="topic")

    def _payload(self, topic: Topic, data: bytes) -> Payload:
        """The payload; one that cannot be read counts as empty."""
        payload, seen = Payload(), ""
        try:
            payload = decode(data)
        except PayloadError as error:
            seen = str(error)
        if topic.kind in ("NBIRTH", "DBIRTH"):
            self.book.judge(f"{topic.kind.lower()}-payload", not seen, seen, field="payload")
        return payload

    def _judge_numbers(self, entry: Entry, name: str, payload: Payload) -> None:
        kind, judge, seq = name.lower(), self.book.judge, payload.seq
        has_seq = seq is not None and seq <= SEQ_MAX
        judge(f"{kind}-seq", has_seq, "no seq" if seq is None else seq, field="seq")
        if name == "NBIRTH":
            judge("nbirth-seq-zero", seq == 0, seq, field="seq")
        elif self._seq is not None:
            want = (self._seq + 1) % (SEQ_MAX + 1)
            judge(f"{kind}-seq-next", seq == want, f"{seq} after {self._seq}", field="seq")
        if seq is not None:
            self._seq = seq % (SEQ_MAX + 1)
        elif self._seq is not None:
            self._seq = (self._seq + 1) % (SEQ_MAX + 1)
        at_ms = payload.timestamp_ms
        judge(f"{kind}-timestamp", at_ms is not None, "no timestamp", field="timestamp")
        if at_ms is not None:
            off_s = at_ms / 1000 - entry.at_s
            seen = f"{at_ms}, {off_s:+.0f} s off the recorder's clock"
            judge(f"{kind}-sent", abs(off_s) < CLOCK_S_MAX, seen, field="timestamp")

    def _ndeath(self, payload: Payload) -> None:
        judge = self.book.judge
        names = [metric.name for metric in payload.metrics]
        judge("ndeath-only-bdseq", names == [BDSEQ], names, field="metrics")
        judge("ndeath-no-seq", payload.seq is None, payload.seq, field="seq")
        found = bdseq_of(payload)
        if self.is_born:
            seen = f"{found}, NBIRTH has {self._born_as}"
            judge("ndeath-bdseq", found == self._born_as, seen, field=BDSEQ)
        self.is_born = False
        self.rebirth.died()

    def _nbirth(self, payload: Payload) -> None:
        judge = self.book.judge
        found = next((metric for metric in payload.metrics if metric.name == BDSEQ), None)
        number = self._born_as = bdseq_of(payload)
        is_whole = found is not None and found.datatype == INT64 and number is not None
        judge("nbirth-bdseq", is_whole, found, field=BDSEQ)
        if self.bdseq is not None:
            is_same = number == self.bdseq
            seen = f"{number}, the Will has {self.bdseq}"
            judge("nbirth-bdseq-will", is_same, seen, field=BDSEQ)
            if self.rebirth.is_waiting:
                judge("rebirth-bdseq", is_same, seen, field=BDSEQ)
        self._judge_rebirth_metric(payload)
        self._due = {*self._devices, *self._due} if self.is_born else set()
        self.is_born, self._data_kind = True, None
        self._devices, self._aliases = {}, {}
        self._metrics = self._learn("", payload)
        self.rebirth.nbirth(self._due)

    def _judge_rebirth_metric(self, payload: Payload) -> None:
        judge = self.book.judge
        found = next((metric for metric in payload.metrics if metric.name == REBIRTH), None)
        if judge("rebirth-metric", found is not None, "no such metric", field=REBIRTH):
            assert found is not None, "just judged"
            judge("rebirth-alias", found.alias is None, found.alias, field=REBIRTH)
            judge("rebirth-datatype", found.datatype == BOOLEAN, found.datatype, field=REBIRTH)
            is_false = found.value is not None and found.value.value is False
            judge("rebirth-value", is_false, found.value, field=REBIRTH)

    def _learn(self, device: str, payload: Payload) -> _Metrics:
        """The metrics of a birth; judges what must be unique."""
        self._aliases = {a: who for a, who in self._aliases.items() if who[0] != device}
        metrics: _Metrics = {}
        lower: dict[str, str] = {}
        for metric in payload.metrics:
            if metric.name is None:
                continue
            other = lower.setdefault(metric.name.lower(), metric.name)
            is_apart = other == metric.name
            self.book.judge("case-names", is_apart, f"{metric.name} and {other}", field="name")
            if metric.alias is not None:
                who = self._aliases.setdefault(metric.alias, (device, metric.name))
                is_only = who == (device, metric.name) and metric.name not in metrics
                seen = f"alias {metric.alias} of {metric.name} is that of {'/'.join(who)}"
                self.book.judge("alias-unique", is_only, seen, field="alias")
            metrics[metric.name] = _Known(metric.alias, _said(metric))
        return metrics

    def _dbirth(self, device: str, payload: Payload) -> None:
        judge = self.book.judge
        judge("dbirth-after-nbirth", self.is_born, "no NBIRTH before it")
        if device in self._due and self._data_kind is not None:
            seen = f"{self._data_kind} came between NBIRTH and this DBIRTH of {device}"
            judge("births-together", False, seen)
            judge(f"{self._data_kind.lower()}-order", False, seen)
        else:
            judge("births-together", True)
        self._devices[device] = self._learn(device, payload)
        self._no_longer_due(device)

    def _gone(self, device: str) -> None:
        self._devices.pop(device, None)
        self._no_longer_due(device)

    def _no_longer_due(self, device: str) -> None:
        self._due.discard(device)
        self.rebirth.told_of(device)

    def _data(self, entry: Entry, topic: Topic, payload: Payload) -> None:
        device = topic.device or ""
        metrics = self._devices.get(device) if device else self._metrics
        is_born = self.is_born and metrics is not None
        seen = "no NBIRTH before it" if not self.is_born else f"{device} is not born"
        self.book.judge(f"{topic.kind.lower()}-order", is_born, seen)
        self._data_kind = topic.kind
        self.rebirth.data(entry, topic.kind)
        if metrics is None or not is_born:
            return
        has_changed = [self._judge_metric(device, metrics, metric) for metric in payload.metrics]
        change = f"{topic.kind.lower()}-change"
        self.book.judge(change, any(has_changed), "every value is the one before")

    def _judge_metric(self, device: str, metrics: _Metrics, metric: Metric) -> bool:
        """Judge a metric of DATA by its birth; whether it says anything new."""
        name = metric.name
        if metric.alias is not None and name is None:
            who = self._aliases.get(metric.alias, ("", None))
            name = who[1] if who[0] == device else None
        known = metrics.get(name) if name is not None else None
        level = "device" if device else "node"
        shown = metric.name or f"alias {metric.alias}"
        if not self.book.judge(f"{level}-known", known is not None, shown, field="metric"):
            return True
        assert known is not None, "just judged"
        if known.alias is not None:
            is_alias_alone = metric.alias == known.alias and metric.name is None
            seen = f"name {metric.name}, alias {metric.alias}"
            self.book.judge("alias-data", is_alias_alone, seen, field=f"metric {name}")
        elif metric.alias is not None:
            seen = f"alias {metric.alias}, which its birth has not"
            self.book.judge("alias-data", False, seen, field=f"metric {name}")
        if metric.is_historical:
            return True
        is_new = known.last != _said(metric)
        known.last = _said(metric)
        return is_new


def bdseq_of(payload: Payload) -> int | None:
    """The number that sessions are known by, if there is one from 0 to 255."""
    for metric in payload.metrics:
        if metric.name == BDSEQ and metric.value is not None:
            value = metric.value.value
            is_number = isinstance(value, int) and not isinstance(value, bool)
            return value if is_number and 0 <= value <= SEQ_MAX else None
    return None


def is_rebirth(payload: Payload) -> bool:
    """Whether an NCMD asks for a rebirth."""
    return any(
        metric.name == REBIRTH and metric.value is not None and metric.value.value is True
        for metric in payload.metrics
    )


def _said(metric: Metric) -> tuple[Held | None, bool, PropertySet | None]:
    """What a host would call a change of: value, null, properties."""
    return metric.value, bool(metric.is_null), metric.properties
