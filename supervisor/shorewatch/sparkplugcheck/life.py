"""One edge node's session on one connection: births, data, deaths, and the numbers on them. Pure.

It holds what a host would hold: whether the node and each device is born, their metrics with last
values, the aliases, the next seq. Every message is judged against that.
"""

from dataclasses import dataclass, field
from typing import Final

from shorewatch.sparkplugcheck.book import Book
from shorewatch.sparkplugcheck.content import CLOCK_S_MAX, Rules, templates
from shorewatch.sparkplugcheck.host import GRACE_S
from shorewatch.sparkplugcheck.packet import Publish
from shorewatch.sparkplugcheck.payload import (
    BOOLEAN,
    INT64,
    Held,
    Metric,
    Payload,
    PayloadError,
    PropertySet,
    Template,
    decode,
)
from shorewatch.sparkplugcheck.session import Entry
from shorewatch.sparkplugcheck.topic import Topic

REBIRTH: Final = "Node Control/Rebirth"
BDSEQ: Final = "bdSeq"
REBIRTH_S_MAX: Final = 10.0
SEQ_MAX: Final = 255


@dataclass(slots=True)
class _Known:
    """A metric of a birth, and what was last said of it."""

    alias: int | None
    last: tuple[Held | None, bool, PropertySet | None]


_Metrics = dict[str, _Known]


@dataclass(slots=True)
class _Rebirth:
    """A rebirth request that is being answered; `waits_for` are devices yet to be born."""

    entry: Entry
    topic: str
    waits_for: set[str]
    is_born: bool = False
    is_data_judged: bool = False


@dataclass(slots=True)
class Life:
    """The session on one connection; `node` and `bdseq` are what its Will names, if it does."""

    book: Book
    node: tuple[str, str] | None = None
    bdseq: int | None = None
    is_born: bool = False
    # The bdSeq of the last NBIRTH.
    _born_as: int | None = None
    _seq: int | None = None
    _metrics: _Metrics = field(default_factory=dict)
    _devices: dict[str, _Metrics] = field(default_factory=dict)
    # Alias: device ("" is the node) and metric.
    _aliases: dict[int, tuple[str, str]] = field(default_factory=dict)
    _definitions: dict[str, Template] = field(default_factory=dict)
    # Devices that lived at the last NBIRTH and have not been born or died since.
    _due: set[str] = field(default_factory=set)
    _data_kind: str | None = None
    _rebirth: _Rebirth | None = None

    def published(self, entry: Entry, topic: Topic, publish: Publish) -> None:
        """The node has published one of its messages; `topic` is of the right form."""
        kind = topic.kind.lower()
        self._judge_place(topic, publish.topic)
        payload = self._payload(topic, publish.payload)
        if topic.kind == "NDEATH":
            self.ndeath(payload)
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
        self.passed(entry.at_s)

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

    def ndeath(self, payload: Payload) -> None:
        """An NDEATH: published, or seen at the broker as the Will's."""
        judge = self.book.judge
        names = [metric.name for metric in payload.metrics]
        judge("ndeath-only-bdseq", names == [BDSEQ], names, field="metrics")
        judge("ndeath-no-seq", payload.seq is None, payload.seq, field="seq")
        found = bdseq_of(payload)
        if self.is_born:
            seen = f"{found}, NBIRTH has {self._born_as}"
            judge("ndeath-bdseq", found == self._born_as, seen, field=BDSEQ)
        self.is_born = False
        self._rebirth = None

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
            if self._rebirth is not None:
                judge("rebirth-bdseq", is_same, seen, field=BDSEQ)
        self._judge_rebirth_metric(payload)
        self._due = {*self._devices, *self._due} if self.is_born else set()
        self.is_born, self._data_kind = True, None
        self._devices, self._aliases = {}, {}
        self._metrics = self._learn("", payload)
        request = self._rebirth
        if request is not None:
            if not request.is_data_judged:
                judge("rebirth-stop", True)
            request.is_born, request.waits_for = True, set(self._due)
            self._answered()

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
        if self._rebirth is not None and self._rebirth.is_born:
            self._rebirth.waits_for.discard(device)
            self._answered()

    def _answered(self) -> None:
        request = self._rebirth
        if request is not None and request.is_born and not request.waits_for:
            self.book.judge("rebirth-births", True)
            self._rebirth = None

    def _data(self, entry: Entry, topic: Topic, payload: Payload) -> None:
        device = topic.device or ""
        metrics = self._devices.get(device) if device else self._metrics
        is_born = self.is_born and metrics is not None
        seen = "no NBIRTH before it" if not self.is_born else f"{device} is not born"
        self.book.judge(f"{topic.kind.lower()}-order", is_born, seen)
        self._data_kind = topic.kind
        request = self._rebirth
        if request is not None and not request.is_born and not request.is_data_judged:
            late_s = entry.at_s - request.entry.at_s
            if late_s > GRACE_S:
                request.is_data_judged = True
                self.book.judge("rebirth-stop", False, f"{topic.kind} {late_s:.1f} s after it")
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

    def asked_for_rebirth(self, entry: Entry, topic: str) -> None:
        """A rebirth request was delivered to the node."""
        if self.is_born and self._rebirth is None:
            self._rebirth = _Rebirth(entry, topic, set())

    def passed(self, at_s: float) -> None:
        """It is `at_s` and the connection is still open."""
        request = self._rebirth
        if request is not None and at_s > request.entry.at_s + REBIRTH_S_MAX:
            self._rebirth = None
            lacking = f"no DBIRTH of {', '.join(sorted(request.waits_for))}"
            seen = lacking if request.is_born else "no NBIRTH"
            self.book.at(request.entry, request.topic)
            self.book.judge("rebirth-births", False, f"{seen} within {REBIRTH_S_MAX:g} s")


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
