"""Which block of a direct line is read next, when to ask again, whom to leave alone. Pure.

The rules are those of a board's bus (firmware/station/bus.py). The block that is late by the
largest part of its period goes first; a whole period late, it slips, counted. Quarantine: a device
that gave no proper answer is not asked again until its worst reply time has passed; others go on.
Breaker: after 3 failures in a row a device is down; a failed probe of length c keeps all probes
away for 19 c (5 % of the line's time), unless every device is down: the first answer ends all that.
Twins (serial lines): blocks of one device whose replies have the same shape. A reply that repeats
one that a twin gave when asked less than the worst reply time ago may be a late copy of it and is
not taken; twins that hold the same are therefore kept apart by that time, the latest first. A block
that repeats itself within that time is taken, and its device then left alone as in quarantine.

A gateway's exceptions 0A and 0B say that the device did not answer: they count as exceptions of the
line, and as silence of the device. Times are monotonic seconds.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from shorewatch.config import DirectConfig
from shorewatch.decode import BusCounters, DeviceCounters
from shorewatch.direct.frame import Outcome, Read
from shorewatch.plan import Block

FAILURES_MAX = 3
SILENT_MAX = 3  # devices that answered before and do not, with no answer in between
PROBE_PAUSE = 19  # times the cost of a failed probe: 1 / (1 + 19) = 5 %
LATENCY_FACTOR = 4
LATENCY_FALL = 1 / 16  # a turnaround that gets shorter is believed by this part each time
# The least time-out: of a serial line, and of TCP, where a lost packet comes again after 200 ms.
TIMEOUT_FLOOR_S = 0.1
TCP_TIMEOUT_FLOOR_S = 0.3
_GATEWAY_PATH, _GATEWAY_TARGET = 0x0A, 0x0B
# Unit id, function, byte count and CRC around the data of a reply.
_REPLY_EXTRA = 5


class Done(Protocol):
    """A transaction that is over: an RtuClient or a TcpClient."""

    @property
    def outcome(self) -> Outcome: ...
    @property
    def reply(self) -> bytes: ...
    @property
    def asked_s(self) -> float: ...
    @property
    def sent_s(self) -> float: ...
    @property
    def ended_s(self) -> float: ...
    @property
    def latency_s(self) -> float: ...
    @property
    def was_sent(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Turn:
    """What to ask next."""

    block: Block
    request: Read
    timeout_s: float


@dataclass(frozen=True, slots=True)
class Result:
    """Blocks about which something is known now, and what; none if the block is asked anew."""

    outcome: Outcome
    blocks: tuple[Block, ...] = ()


@dataclass(slots=True)
class _Party:
    """One device."""

    timeout_s: float
    worst_s: float
    retries: int
    seats: list["_Seat"] = field(default_factory=list)
    failures: int = 0
    state: str = "never"
    exception: int = 0
    reply_s: float = 0.0
    reply_s_max: float = 0.0
    good: int = 0
    bad: int = 0
    latency_s: float = 0.0  # filtered turnaround; 0: not known
    free_s: float = -math.inf  # end of its quarantine
    probed: int = 0

    @property
    def is_down(self) -> bool:
        return self.state == "down"


@dataclass(slots=True, eq=False)
class _Seat:
    """One block."""

    block: Block
    request: Read
    party: _Party
    period_s: float
    due_s: float
    tries: int = 0
    asked_s: float = -math.inf
    reply: bytes | None = None
    copies: list[tuple[float, bytes]] = field(default_factory=list)  # until when they can come
    twins: list["_Seat"] = field(default_factory=list)

    def lateness(self, now_s: float) -> float:
        """As a part of its period."""
        return (now_s - self.due_s) / self.period_s


class Turns:
    """next() says what to ask, or until when to rest; end() takes what became of it."""

    def __init__(self, line: DirectConfig, blocks: Sequence[Block], now_s: float) -> None:
        assert blocks, "a line without blocks has no turns"
        self._char_s = line.char_us / 1e6
        self._is_serial = line.tcp is None
        self._floor_s = TIMEOUT_FLOOR_S if self._is_serial else TCP_TIMEOUT_FLOOR_S
        self._parties: dict[str, _Party] = {}
        self._seats: list[_Seat] = []
        for block in blocks:
            self._seat(block, line.delay_s, now_s)
        if self._is_serial:
            for party in self._parties.values():
                for seat in party.seats:
                    seat.twins = [s for s in party.seats if s is not seat and _is_alike(s, seat)]
        self._asked: _Seat | None = None
        self._is_probe = False
        self._probe_s = -math.inf  # no probe before
        self._probed = 0
        self._fell_silent: set[str] = set()  # since the last answer
        self._counts = dict.fromkeys(Outcome, 0)
        self._requests = self._slips = 0
        self._busy_s = 0.0
        self._started_s = self._counted_s = now_s

    @property
    def is_dark(self) -> bool:
        """Whether every device is down."""
        return all(party.is_down for party in self._parties.values())

    @property
    def is_deaf(self) -> bool:
        """Whether it must be the line: every device is down, or several fell silent at once."""
        return len(self._fell_silent) >= SILENT_MAX or self.is_dark

    def restart(self, now_s: float, *, place: float | None = None) -> None:
        """The line was opened anew: every device gets its chance; quarantines go on.

        Blocks are due at once, then a period after that; with a `place` in [0, 1), at that part of
        their period on the monotonic clock, so that lines of one place are asked together.
        """
        for party in self._parties.values():
            party.failures = 0
            party.state = "never" if party.is_down else party.state
        for seat in self._seats:
            late_s = 0.0 if place is None else (now_s - place * seat.period_s) % seat.period_s
            seat.due_s, seat.tries = now_s - late_s, 0
        self._asked = None
        self._probe_s = -math.inf
        self._fell_silent.clear()

    def next(self, now_s: float) -> Turn | float:
        """The next request, begun with this call; or until when there is none."""
        assert self._asked is None, "one transaction at a time"
        probe = self._probe(now_s)
        if isinstance(probe, _Seat):
            return self._start(probe, now_s, is_probe=True)
        wake_s = probe
        best: _Seat | None = None
        for seat in self._seats:
            if seat.party.is_down:
                continue
            ready_s = max(seat.due_s, seat.party.free_s)
            if ready_s <= now_s:
                ready_s = self._apart_s(seat, now_s)
            if ready_s > now_s:
                wake_s = min(wake_s, ready_s)
            elif best is None or seat.lateness(now_s) > best.lateness(now_s):
                best = seat
        if best is None:
            return wake_s
        slips = max(0, math.floor(best.lateness(now_s)))
        self._slips += slips
        best.due_s += (slips + 1) * best.period_s
        return self._start(best, now_s, is_probe=False)

    def end(self, now_s: float, done: Done) -> Result:
        """Take the end of the transaction that next() began."""
        seat, self._asked = self._asked, None
        assert seat is not None, "only what was begun can end"
        party, outcome = seat.party, done.outcome
        self._busy_s += now_s - self._started_s
        if outcome is Outcome.GOOD and self._is_doubtful(seat, done):
            self._counts[Outcome.REJECTED] += 1
            self._quarantine(party, done)
            seat.due_s -= seat.period_s
            return Result(Outcome.REJECTED)
        self._counts[outcome] += 1
        party.good += outcome is Outcome.GOOD
        party.bad += outcome is not Outcome.GOOD
        if outcome is Outcome.EXCEPTION:
            party.exception = done.reply[1]
        if outcome is Outcome.GOOD or (
            outcome is Outcome.EXCEPTION and party.exception not in (_GATEWAY_PATH, _GATEWAY_TARGET)
        ):
            self._answered(party, seat, done)
            return Result(outcome, (seat.block,))
        outcome = Outcome.TIMEOUT if outcome is Outcome.EXCEPTION else outcome
        return Result(outcome, self._failed(seat, outcome, done))

    def bus_counters(self, now_s: float, strays: int) -> BusCounters:
        """Statistics of the line since it was first opened; `busy_share` since the last call."""
        span_s = now_s - self._counted_s
        share = min(1.0, self._busy_s / span_s) if span_s > 0 else 0.0
        self._busy_s, self._counted_s = 0.0, now_s
        counts = self._counts
        return BusCounters(
            requests=self._requests,
            good=counts[Outcome.GOOD],
            timeouts=counts[Outcome.TIMEOUT],
            crc_errors=counts[Outcome.BAD_CRC],
            exceptions=counts[Outcome.EXCEPTION],
            rejected=counts[Outcome.REJECTED],
            stray_bytes=strays,
            busy_share=round(share, 3),
            slips=self._slips,
        )

    def device_counters(self) -> dict[str, DeviceCounters]:
        """Statistics of the devices by id."""
        return {
            device_id: DeviceCounters(
                state=party.state,
                failures=party.failures,
                exception=party.exception,
                reply_ms=round(party.reply_s * 1000),
                reply_ms_max=round(party.reply_s_max * 1000),
                good=party.good,
                bad=party.bad,
            )
            for device_id, party in self._parties.items()
        }

    def _seat(self, block: Block, delay_s: float, now_s: float) -> None:
        unit_id, profile = block.device.config.unit_id, block.device.profile
        request = Read(unit_id, block.function, block.address, block.count)
        party = self._parties.get(block.device.id)
        if party is None:
            timeout_s, worst_s = profile.timeout_ms / 1000, profile.worst_ms / 1000
            party = _Party(timeout_s + delay_s, worst_s + delay_s, profile.retries)
            self._parties[block.device.id] = party
        seat = _Seat(block, request, party, block.period_ms / 1000, now_s)
        party.seats.append(seat)
        self._seats.append(seat)

    def _start(self, seat: _Seat, now_s: float, *, is_probe: bool) -> Turn:
        self._asked, self._is_probe = seat, is_probe
        self._started_s = now_s
        self._requests += 1
        reply_s = self._reply_s(seat)
        party = seat.party
        timeout_s = party.timeout_s + reply_s
        if party.latency_s:
            wait_s = max(LATENCY_FACTOR * party.latency_s, self._floor_s)
            timeout_s = min(wait_s + reply_s, timeout_s)
        return Turn(seat.block, seat.request, timeout_s)

    def _reply_s(self, seat: _Seat) -> float:
        """What a good reply takes on the wire."""
        return (seat.request.data_size + _REPLY_EXTRA) * self._char_s

    def _probe(self, now_s: float) -> _Seat | float:
        """The next probe if one is allowed; else when one may be."""
        down = [party for party in self._parties.values() if party.is_down]
        if not down:
            return math.inf
        if now_s < self._probe_s and len(down) < len(self._parties):
            return self._probe_s
        for step in range(len(down)):
            party = down[(self._probed + step) % len(down)]
            if party.free_s <= now_s:
                self._probed += step + 1
                # Each of its blocks in turn: a device may be deaf to one address only.
                party.probed = (party.probed + 1) % len(party.seats)
                return party.seats[party.probed]
        return min(party.free_s for party in down)

    def _apart_s(self, seat: _Seat, now_s: float) -> float:
        """Until when a block that is due must wait for the sake of its twins; or `now_s`."""
        ready_s = now_s
        for twin in self._same(seat):
            ready_s = max(ready_s, self._copies_end_s(twin))
            if twin.due_s <= now_s and twin.lateness(now_s) > seat.lateness(now_s):
                # It waits for us as we for it, and goes first: after what both wait for.
                ready_s = max(ready_s, *map(self._copies_end_s, self._same(twin)))
        return ready_s

    def _same(self, seat: _Seat) -> Iterator[_Seat]:
        """The twins whose last reply was the same."""
        return (t for t in seat.twins if t.reply is not None and t.reply == seat.reply)

    def _copies_end_s(self, seat: _Seat) -> float:
        """Until when a copy of a block's last reply can still come."""
        return seat.asked_s + seat.party.worst_s + self._reply_s(seat) + 8 * self._char_s

    def _is_doubtful(self, seat: _Seat, done: Done) -> bool:
        """Whether a good reply may be a late copy of a twin's; it is remembered as ours."""
        if not seat.twins:
            return False
        seat.asked_s, seat.reply = done.asked_s, done.reply
        seat.copies = [copy for copy in seat.copies if copy[0] > done.asked_s]
        if any(reply == done.reply for _, reply in seat.copies):
            # The same again, or a copy: then the reply is still to come, and must meet no twin.
            self._quarantine(seat.party, done)
        seat.copies.append((self._copies_end_s(seat), done.reply))
        copies = (copy for twin in seat.twins for copy in twin.copies)
        return any(end_s > done.asked_s and reply == done.reply for end_s, reply in copies)

    def _answered(self, party: _Party, seat: _Seat, done: Done) -> None:
        reply_s, last_s = done.latency_s, party.latency_s
        party.latency_s = max(reply_s, last_s - (last_s - reply_s) * LATENCY_FALL)
        party.reply_s = done.ended_s - done.sent_s
        party.reply_s_max = max(party.reply_s_max, party.reply_s)
        seat.tries = 0
        self._fell_silent.clear()
        if party.is_down:
            if self.is_dark:
                self._probe_s = -math.inf
            for other in party.seats:
                other.due_s = done.ended_s + (seat.period_s if other is seat else 0.0)
        party.state, party.failures = "up", 0

    def _failed(self, seat: _Seat, outcome: Outcome, done: Done) -> tuple[Block, ...]:
        """The blocks that are bad now."""
        party = seat.party
        was_down = party.is_down
        if party.state == "up":
            self._fell_silent.add(seat.block.device.id)
        if outcome is Outcome.TIMEOUT and party.latency_s:
            party.latency_s = max(party.latency_s, done.ended_s - done.sent_s)
        if done.was_sent:
            self._quarantine(party, done)
        party.failures += 1
        party.state = "down" if was_down or party.failures >= FAILURES_MAX else "failing"
        if party.is_down:
            # The failure that takes a device down counts as its first probe.
            if self._is_probe or not was_down:
                spent_s = done.ended_s - self._started_s
                self._probe_s = done.ended_s + PROBE_PAUSE * spent_s
            seat.tries = 0
            return () if was_down else tuple(other.block for other in party.seats)
        if seat.tries < party.retries:
            seat.tries += 1
            seat.due_s -= seat.period_s
            return ()
        seat.tries = 0
        return (seat.block,)

    def _quarantine(self, party: _Party, done: Done) -> None:
        longest_s = max(self._reply_s(seat) for seat in party.seats)
        party.free_s = done.sent_s + party.worst_s + longest_s


def _is_alike(one: _Seat, other: _Seat) -> bool:
    """Whether their replies have the same shape."""
    first, second = one.request, other.request
    return (first.function, first.data_size) == (second.function, second.data_size)
