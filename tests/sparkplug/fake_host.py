"""A Sparkplug host as the specification wants one: it believes nothing that breaks a rule."""

from dataclasses import dataclass, field

from shorewatch.sparkplug.payload import Metric, Payload, decode

NODE = ""


@dataclass
class Tag:
    """One metric as the host shows it."""

    birth: Metric
    values: list[Metric] = field(default_factory=list)
    past: list[Metric] = field(default_factory=list)

    @property
    def last(self) -> Metric:
        return self.values[-1] if self.values else self.birth

    @property
    def quality(self) -> int:
        """What was last said of it: a metric without Quality is as good as the one before."""
        said = [m.properties["Quality"].value for m in self.values if "Quality" in m.properties]
        return said[-1] if said else self.birth.properties["Quality"].value


class FakeHost:
    """Follows one edge node, message by message, and asserts the rules of Sparkplug 3.0."""

    def __init__(self) -> None:
        self.is_online = False
        self.bdseq: int | None = None
        self.births = 0
        self.deaths = 0
        # By device (NODE for the node's own): the tags by name.
        self.tags: dict[str, dict[str, Tag]] = {}
        self.kinds: list[str] = []
        self._aliases: dict[int, tuple[str, str]] = {}
        self._seq = -1

    @property
    def devices(self) -> set[str]:
        """The devices that are alive."""
        return self.tags.keys() - {NODE}

    def take(self, topic: str, data: bytes) -> None:
        space, _, kind, _, *rest = topic.split("/")
        assert space == "spBv1.0"
        if kind in ("NCMD", "DCMD"):
            return
        device = rest[0] if rest else NODE
        payload = decode(data)
        self.kinds.append(kind)
        if kind == "NDEATH":
            self._ndeath(payload)
            return
        assert payload.seq == (0 if kind == "NBIRTH" else (self._seq + 1) % 256), kind
        assert payload.timestamp_ms is not None
        self._seq = payload.seq
        if kind == "NBIRTH":
            self._nbirth(payload)
        elif kind == "DBIRTH":
            assert self.is_online, "DBIRTH before NBIRTH"
            self._learn(device, payload)
        elif kind == "DDEATH":
            del self.tags[device]
        else:
            assert self.is_online and device in self.tags, f"{kind} of {device or 'node'}, not born"
            self._data(device, payload)

    def _ndeath(self, payload: Payload) -> None:
        assert payload.seq is None
        (metric,) = payload.metrics
        assert metric.name == "bdSeq"
        if metric.value == self.bdseq and self.is_online:  # the Will repeats it
            self.is_online = False
            self.deaths += 1
            self.tags.clear()

    def _nbirth(self, payload: Payload) -> None:
        self.is_online = True
        self.births += 1
        self.tags.clear()
        self._aliases.clear()
        self._learn(NODE, payload)
        found = self.tags[NODE]
        self.bdseq = found["bdSeq"].birth.value
        assert found["Node Control/Rebirth"].birth.value is False
        assert found["Node Control/Rebirth"].birth.alias is None

    def _learn(self, device: str, payload: Payload) -> None:
        _chronological(payload)
        self._aliases = {a: who for a, who in self._aliases.items() if who[0] != device}
        self.tags[device] = {}
        for metric in payload.metrics:
            assert metric.name is not None and metric.datatype is not None
            assert metric.timestamp_ms is not None
            assert metric.is_null == (metric.value is None), metric.name
            if metric.alias is not None:
                assert metric.alias not in self._aliases, f"alias {metric.alias} twice"
                self._aliases[metric.alias] = device, metric.name
            self.tags[device][metric.name] = Tag(metric)

    def _data(self, device: str, payload: Payload) -> None:
        _chronological(payload)
        assert payload.metrics, "DATA that says nothing"
        for metric in payload.metrics:
            assert metric.name is None and metric.datatype is None and metric.alias is not None
            assert metric.timestamp_ms is not None
            owner, name = self._aliases[metric.alias]
            assert owner == device
            tag = self.tags[device][name]
            if metric.is_historical:
                tag.past.append(metric)
                continue
            assert metric.timestamp_ms >= (tag.last.timestamp_ms or 0), f"{name} went back in time"
            tag.values.append(metric)


def _chronological(payload: Payload) -> None:
    times = [metric.timestamp_ms or 0 for metric in payload.metrics if not metric.is_historical]
    assert times == sorted(times)
