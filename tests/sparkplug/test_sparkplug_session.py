"""A session as a host hears it: whatever happens at the station, no rule of Sparkplug is broken."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from fake_host import NODE, FakeHost
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from shorewatch.assets import asset_folder
from shorewatch.config import load_station
from shorewatch.model import NEVER, Quality, Reason, Value
from shorewatch.sparkplug.metrics import GOOD, Said, is_lost
from shorewatch.sparkplug.payload import DataType, decode
from shorewatch.sparkplug.session import METRICS_MAX, Fact, Session

STATION = load_station(asset_folder("stations") / "sumqayit.toml")
SMALLER = replace(STATION, devices={k: v for k, v in STATION.devices.items() if k != "pfe"})
AT = datetime(2026, 11, 22, 16, 44, tzinfo=UTC)
REASONS = st.sampled_from([Reason.DEVICE_TIMEOUT, Reason.DEVICE_EXCEPTION, Reason.STALE])
FACTS = {"Lines/Up": Fact(DataType.INT64, 1), "Outbox/Trouble": Fact(DataType.STRING, None)}


def ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)


def value_of(point, number: int) -> float | bool | str:
    if point.type == "bit":
        return bool(number % 2)
    if point.type in ("string", "enum", "enum32"):
        return str(number)
    is_whole = point.type not in ("f32", "f64") and point.scale == 1
    return number if is_whole or point.type in ("bits", "bits32") else number / 8


class Station(RuleBasedStateMachine):
    """Values come and go, devices die, hosts ask, files change; one host hears all of it."""

    @initialize(bdseq=st.integers(0, 255))
    def begin(self, bdseq):
        self.host, self.station, self.at = FakeHost(), STATION, AT
        self.session = Session(STATION, bdseq)
        self.will = self.session.death(ms(AT))
        self.bdseq = bdseq
        self.facts = dict(FACTS)
        self.values = {
            device.id: dict.fromkeys(device.points, NEVER) for device in STATION.devices.values()
        }
        self.births = 0
        self.is_told = False
        self.be_born()

    def hear(self, messages):
        for message in messages:
            self.host.take(message.topic, message.payload)

    @rule()
    def be_born(self):
        """First, on request, or after a reload."""
        values = {device: self.values[device] for device in self.station.devices}
        self.hear(self.session.birth(self.station, values, self.facts, ms(self.at)))
        self.births += 1
        self.is_told = True

    @rule(span_s=st.floats(0.001, 5000))
    def pass_time(self, span_s):
        self.at += timedelta(seconds=span_s)

    @rule(device=st.sampled_from(sorted(STATION.devices)), numbers=st.data())
    def read(self, device, numbers):
        """Some points of a device are read."""
        points = list(STATION.devices[device].points.values())
        for point in numbers.draw(st.lists(st.sampled_from(points), unique_by=id)):
            read = value_of(point, numbers.draw(st.integers(0, 1000)))
            self.values[device][point.id] = Value(
                Quality.GOOD, value=read, acquired_at=self.at, acquired_s=0.0
            )
        self.look()

    @rule(device=st.sampled_from(sorted(STATION.devices)), reason=REASONS)
    def lose(self, device, reason):
        known = self.values[device]
        known.update({name: value.made_bad(reason) for name, value in known.items()})
        self.is_told = False

    @rule()
    def look(self):
        self.is_told = True
        for device in self.station.devices:
            self.hear(self.session.tell(device, self.values[device], ms(self.at)))

    @rule(number=st.integers(0, 3))
    def change_facts(self, number):
        self.facts["Lines/Up"] = Fact(DataType.INT64, number)
        self.hear(self.session.tell_facts(self.facts, ms(self.at)))

    @rule(count=st.integers(1, 3))
    def tell_past(self, count):
        past = [Said(1.5, GOOD, None, ms(AT) - number) for number in range(count)]
        if "room" in self.session.devices:
            told = {"temperature": past}
            self.hear(self.session.tell_past("room", told, ms(self.at)))

    @rule()
    def reload(self):
        self.station = SMALLER if self.station is STATION else STATION
        self.be_born()

    @invariant()
    def the_will_is_that_of_the_birth(self):
        if self.births:
            assert decode(self.will.payload).metrics[0].value == self.host.bdseq == self.bdseq

    @invariant()
    def who_is_alive_is_who_was_said_so(self):
        if self.births:
            assert self.host.devices == self.session.devices

    @invariant()
    def nothing_old_is_told_as_fresh(self):
        """A tag's time is never after the acquisition of the number that it shows."""
        for device in self.host.devices if self.births else ():
            for name, tag in self.host.tags[device].items():
                value = self.values[device][name]
                known = value.last_good_at if value.quality is Quality.BAD else value.acquired_at
                assert (tag.quality == GOOD) == (value.quality is Quality.GOOD) or not self.is_told
                if tag.last.value is not None:
                    assert known is not None and (tag.last.timestamp_ms or 0) <= ms(known)


Station.TestCase.settings = settings(
    max_examples=40,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestStation = Station.TestCase


def session_of(values=None) -> Session:
    session = Session(STATION, 7)
    list(session.birth(STATION, values or {}, FACTS, ms(AT)))
    return session


def read_all(device: str, number: int) -> dict[str, Value]:
    points = STATION.devices[device].points.values()
    return {
        point.id: Value(Quality.GOOD, None, value_of(point, number), AT, 0.0) for point in points
    }


@given(st.integers(0, 700))
def test_seq_counts_to_255_and_begins_anew(count):
    """The number of a message is that of messages since NBIRTH, modulo 256."""
    session = session_of()
    for number in range(count):
        (message,) = session.tell_facts({"Lines/Up": Fact(DataType.INT64, number + 2)}, ms(AT))

    if count:
        assert decode(message.payload).seq == count % 256


def test_an_unchanged_value_is_not_told_again():
    """DATA is by exception: a second look at the same values sends nothing."""
    values = read_all("room", 20)
    session = session_of({"room": values})

    assert list(session.tell("room", values, ms(AT) + 1000)) == []
    assert list(session.tell_facts(FACTS, ms(AT) + 1000)) == []


def test_a_stale_point_keeps_value_and_time():
    """Of a device that is alive otherwise, a stale point is told with Quality 500 and its time."""
    values = read_all("room", 20)
    session = session_of({"room": values})
    values["temperature"] = values["temperature"].made_bad(Reason.STALE)
    (message,) = session.tell("room", values, ms(AT) + 60_000)
    (metric,) = decode(message.payload).metrics

    assert metric.timestamp_ms == ms(AT) and not metric.is_null
    assert metric.properties["Quality"].value == 500


def test_a_lost_device_is_not_in_the_birth():
    """DBIRTH is for devices of which something is known."""
    values = {"room": read_all("room", 20), "pfe": dict.fromkeys(read_all("pfe", 1), NEVER)}
    assert is_lost(values["pfe"])
    messages = list(Session(STATION, 0).birth(STATION, values, FACTS, ms(AT)))

    assert [message.topic for message in messages] == [
        "spBv1.0/trans-caspian/NBIRTH/sumqayit",
        "spBv1.0/trans-caspian/DBIRTH/sumqayit/room",
    ]


def test_a_fact_that_came_later_waits_for_the_next_birth():
    """NDATA has only what the NBIRTH has defined."""
    session = session_of()

    assert list(session.tell_facts({"Later": Fact(DataType.INT64, 1)}, ms(AT))) == []


def test_much_history_comes_in_pieces():
    """No DATA has more than `METRICS_MAX` metrics, all are marked, none is lost."""
    session = session_of({"room": read_all("room", 20)})
    past = [Said(float(number), GOOD, None, ms(AT) + number) for number in range(METRICS_MAX + 1)]
    payloads = [
        decode(message.payload)
        for message in session.tell_past("room", {"temperature": past}, ms(AT))
    ]

    assert [len(payload.metrics) for payload in payloads] == [METRICS_MAX, 1]
    told = [metric for payload in payloads for metric in payload.metrics]
    assert [metric.value for metric in told] == [said.value for said in past]
    assert all(metric.is_historical for metric in told)


def test_a_death_has_bdseq_only():
    """NDEATH has no seq, QoS 1 and nothing but the number of its session."""
    message = Session(STATION, 7).death(ms(AT))
    payload = decode(message.payload)

    assert (message.qos, message.topic) == (1, "spBv1.0/trans-caspian/NDEATH/sumqayit")
    assert payload.seq is None
    assert [(m.name, m.value, m.datatype) for m in payload.metrics] == [
        ("bdSeq", 7, DataType.INT64)
    ]


def test_data_before_the_birth_is_a_bug():
    """A session that was not born, or is dead, tells nothing."""
    session = session_of()
    session.death(ms(AT))
    with pytest.raises(AssertionError, match="before the NBIRTH"):
        list(session.tell_facts({"Lines/Up": Fact(DataType.INT64, 9)}, ms(AT)))


def test_births_name_every_fact():
    """The node's own metrics stand in NBIRTH with names, aliases and values."""
    host = FakeHost()
    for message in Session(STATION, 7).birth(STATION, {}, FACTS, ms(AT)):
        host.take(message.topic, message.payload)

    assert host.tags[NODE].keys() == {"bdSeq", "Node Control/Rebirth", *FACTS}
