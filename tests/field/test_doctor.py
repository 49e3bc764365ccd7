"""field/doctor.py: each pattern, on what a client counts on a line that is broken that way."""

from typing import Any, Protocol

import pytest
from wiring import Cabinet, Wiring, full

from shorewatch.config import Device, DirectConfig
from shorewatch.decode import BusCounters, DeviceCounters
from shorewatch.direct.frame import Outcome
from shorewatch.direct.rtu import RtuClient
from shorewatch.direct.turns import Turn, Turns
from shorewatch.field.doctor import PATTERNS, advise
from shorewatch.field.doctorfigures import Bus, Unit, buses
from shorewatch.plan import compile_blocks
from shorewatch.profile import Profile

STEP_S = 0.001
SPAN_S = 30.0
BAUD = 19200


def profile(**more: object) -> Profile:
    point = {"id": "p", "name": "P", "table": "holding", "type": "u16", "address": 0}
    given = {"id": "p", "name": "P", "source": "test", "timeout_ms": 100, "worst_ms": 200}
    return Profile.model_validate(
        {**given, "retries": 0, "point": [{**point, "period_s": 0.5, **more}]}
    )


class Wire(Protocol):
    """What a client is wired to: a `Wiring`, or the like."""

    def step(self, now_s: float, data: bytes, baud: int) -> bytes: ...


def counted(
    wiring: Wire, *units: int, baud: int = BAUD, span_s: float = SPAN_S, **more: object
) -> Bus:
    """The figures of a client that has read these units for so long, by a clock of our own."""
    devices = [{"id": f"d{u}", "name": f"D{u}", "profile": "p", "unit_id": u} for u in units]
    line = DirectConfig.model_validate(
        {"id": "x", "port": "tty", "baud": baud, "format": "8N1", "delay_ms": 0, "device": devices}
    )
    blocks = compile_blocks([Device(d, profile(**more), None, line) for d in line.device])
    turns, client = Turns(line, blocks, 0.0), RtuClient(line.char_us / 1e6, line.t35_us / 1e6)
    out, is_asking = b"", False
    for step in range(int(span_s / STEP_S)):
        now_s = step * STEP_S
        if heard := wiring.step(now_s, out, baud):
            client.hear(now_s, heard)
        out = b""
        if not is_asking and isinstance(turn := turns.next(now_s), Turn):
            client.start(now_s, turn.request, turn.timeout_s)
            is_asking = True
        if is_asking:
            out = client.poll(now_s)
            if client.outcome is not Outcome.PENDING:
                turns.end(now_s, client)
                is_asking = False
    found = turns.device_counters()
    return Bus(
        "x",
        turns.bus_counters(span_s, client.strays),
        tuple(Unit(f"D{u}", u, found[f"d{u}"]) for u in units),
    )


def wired(*units: int, **trouble: Any) -> Wiring:
    return Wiring(**{"devices": [(unit, full()) for unit in units], "baud": BAUD, **trouble})


def names(bus: Bus) -> set[str]:
    return {advice.name for advice in advise(bus)}


class Moody(Cabinet):
    """A device whose every third answer comes after its client has given up."""

    def read(self, function: int, address: int, count: int, utc_s: float) -> object:
        self.asked = getattr(self, "asked", 0) + 1
        self.turnaround_s = 0.01 if self.asked % 3 else 0.13
        return super().read(function, address, count, utc_s)


SLOW = full()
SLOW.turnaround_s = 0.06
LATE = [(1, SLOW), (2, Moody(full().cells))]
REFUSING = Cabinet({3: {}})


@pytest.mark.parametrize(
    ("name", "bus"),
    [
        ("nobody", lambda: counted(wired(), 1, 2)),
        ("speed", lambda: counted(wired(1, strays=b"\x81\x3c\x07", strays_s=0.03), 2)),
        ("silent", lambda: counted(wired(1, 2), 1, 2, 3)),
        (
            "twin",
            lambda: counted(Wiring([(1, full()), (2, full()), (2, full(value=9))], BAUD), 1, 2),
        ),
        ("noise", lambda: counted(wired(1, 2, flips=0.01), 1, 2)),
        ("loss", lambda: counted(wired(1, lost=0.2), 1)),
        ("strays", lambda: counted(wired(1, 2, strays=b"\x00", strays_s=0.05), 1, 2)),
        (
            "late",
            lambda: counted(
                wired(devices=[(1, SLOW), (2, Moody(full().cells))]), 1, 2, period_s=0.2
            ),
        ),
        ("refused", lambda: counted(Wiring([(1, full()), (2, REFUSING)], BAUD), 1, 2)),
        ("busy", lambda: counted(wired(*range(1, 20)), *range(1, 20), period_s=0.1)),
    ],
)
def test_each_fault_of_a_line_is_told_by_its_figures(name: str, bus: Any) -> None:
    """What a client counts on such a line is advised on, with figures and what to check."""
    found = {advice.name: advice for advice in advise(bus())}

    assert name in found, found
    assert any(c.isdigit() for c in found[name].evidence) and found[name].check


def test_a_sound_line_needs_no_advice() -> None:
    """Of a line with nothing wrong nothing is told."""
    assert not advise(counted(wired(1, 2, 3), 1, 2, 3))


def figures(*units: Unit, **counts: Any) -> Bus:
    known = dict.fromkeys(BusCounters.__slots__, 0) | {"busy_share": 0.1}
    return Bus("x", BusCounters(**known | counts), units)


def unit(state: str = "up", **more: int) -> Unit:
    known = {
        "failures": 0,
        "exception": 0,
        "reply_ms": 10,
        "reply_ms_max": 12,
        "good": 100,
        "bad": 0,
    }
    return Unit("D", 1, DeviceCounters(state=state, **known | more))


def test_a_bus_on_which_nothing_is_asked_is_told() -> None:
    """A board without a plan counts nothing."""
    assert names(figures()) == {"idle"}


def test_a_device_that_is_slow_at_times_is_told() -> None:
    """A worst reply many times the last one is told."""
    assert names(figures(unit(reply_ms_max=180), requests=100, good=100)) == {"slow"}


@pytest.mark.parametrize("count", [0, 1, 4])
def test_few_failures_prove_nothing(count: int) -> None:
    """What happened less than five times is not told."""
    bus = figures(unit(bad=count), requests=100, good=100 - count, crc_errors=count)
    assert not advise(bus)


def test_a_dead_device_explains_its_own_failures_only() -> None:
    """Time-outs of a device that is down are no losses of those that are up."""
    dead = Unit("E", 2, unit(state="down", good=0, bad=50, failures=50).counters)
    assert names(figures(unit(), dead, requests=150, good=100, timeouts=50)) == {"silent"}


def test_every_pattern_can_be_found() -> None:
    """Patterns have names of their own, and exclude only names there are."""
    known = [pattern.name for pattern in PATTERNS]
    assert len(set(known)) == len(known)
    assert all(set(pattern.not_with) <= set(known) for pattern in PATTERNS)


def snapshot(requests: int, crc_errors: int, bad: int) -> Any:
    counts = dict.fromkeys(BusCounters.__slots__, 0)
    counts |= {"requests": requests, "good": requests - bad, "crc_errors": crc_errors}
    device = {"state": "up", "failures": 0, "exception": 0, "reply_ms": 5, "reply_ms_max": 9,
              "good": 60_000, "bad": bad}  # fmt: skip
    place = {"board": "b", "uart": 1, "direct": None}
    return {
        "boards": {"b": {"buses": [{"uart": 0, "baud": 9600, "format": "8N1", **counts},
                                   {"uart": 1, "baud": 9600, "format": "8N1", **counts}]}},
        "directs": {},
        "devices": {"d": {"name": "D", "unit_id": 3, "counters": device, **place}},
    }  # fmt: skip


def test_a_device_belongs_to_its_bus() -> None:
    """Of a station's table each bus is made with the devices on it."""
    first, second = buses(snapshot(10, 0, 0))
    assert (len(first.units), len(second.units)) == (0, 1)
    assert second.where == "board b, UART 1 (9600 8N1)"


def test_two_moments_give_what_happened_between_them() -> None:
    """Counters are subtracted, those of 16 bits also across their wrap."""
    (_, bus) = buses(snapshot(70_100, 5, 4), snapshot(70_000, 65_530, 65_534))
    assert (bus.counts.requests, bus.counts.crc_errors) == (100, 11)
    assert bus.units[0].counters.bad == 6


def test_a_board_that_began_anew_is_taken_as_it_is() -> None:
    """Where the later figures are smaller, the earlier ones are of another life."""
    (_, bus) = buses(snapshot(50, 3, 0), snapshot(70_000, 9, 0))
    assert (bus.counts.requests, bus.counts.crc_errors) == (50, 3)


def test_a_direct_line_is_judged_like_a_bus() -> None:
    """What the gateway reads itself is one bus with its devices, and nothing while it is away."""
    now = snapshot(100, 50, 50)
    (bus,) = now["boards"].pop("b")["buses"][1:]
    now["devices"]["d"] |= {"board": None, "uart": None, "direct": "ups"}
    now["directs"] = {"ups": {"bus": bus}, "away": {"bus": None}}

    (found,) = buses(now)
    assert (found.where, len(found.units)) == ("direct line ups", 1)
    assert "noise" in names(found)
