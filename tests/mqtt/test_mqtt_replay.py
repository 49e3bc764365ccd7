"""replay.py: behind what is live, in order, and ended by who does not want it."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from shorewatch.model import utc_now
from shorewatch.mqtt.replay import IN_FLIGHT, Replay, Span
from shorewatch.outbox import Outbox


class Line:
    """A connection whose broker answers when, and what, the test says."""

    packet_bytes_max = 1_000_000

    def __init__(self, code: int = 0) -> None:
        self.code = code
        self.sent: list[dict[str, object]] = []
        self.in_flight = self.most_in_flight = 0
        self.taking = asyncio.Event()
        self.taking.set()

    async def publish(self, topic: str, payload: bytes, *, qos: int = 0) -> int:
        assert (topic, qos) == ("p/reply/noc/request-1/records", 1)
        self.sent.append(json.loads(payload))
        self.in_flight += 1
        self.most_in_flight = max(self.in_flight, self.most_in_flight)
        await self.taking.wait()
        await asyncio.sleep(0)
        self.in_flight -= 1
        return self.code

    @property
    def seqs(self) -> list[int]:
        return [r["seq"] for batch in self.sent for r in batch["records"]]  # type: ignore[attr-defined]


@pytest.fixture
async def outbox(tmp_path: Path):  # type: ignore[no-untyped-def]
    """An outbox with records 1 to 1000."""
    async with Outbox.opened(tmp_path / "o.sqlite", size_bytes_max=4_000_000) as found:
        for number in range(1000):
            await found.put("event", utc_now(), {"number": number})
        await found.settled()
        yield found


def replay(
    outbox: Outbox, line: Line, *, last: int = 1000, is_busy: Callable[[], bool] = lambda: False
) -> Replay:
    span = Span("noc", "request-1", 0, last, min(last, 1000))
    return Replay(span, "p", outbox, line, is_busy=is_busy)  # type: ignore[arg-type]


async def test_a_few_batches_are_in_flight(outbox) -> None:  # type: ignore[no-untyped-def]
    """No more than the window waits for the broker, and all of it comes in order."""
    line = Line()
    await replay(outbox, line).run()

    assert line.seqs == list(range(1, 1001))
    assert 1 <= line.most_in_flight <= IN_FLIGHT


async def test_what_is_live_goes_first(outbox) -> None:  # type: ignore[no-untyped-def]
    """While the journal has more to send, a replay sends nothing; then it goes on."""
    line = Line()
    asked: list[bool] = []

    def is_busy() -> bool:
        asked.append(len(asked) < 3)
        return asked[-1]

    await replay(outbox, line, is_busy=is_busy).run()

    assert asked[:4] == [True, True, True, False]
    assert line.seqs == list(range(1, 1001))


@pytest.mark.parametrize("code", [0x10, 0x87])
async def test_who_does_not_listen_gets_no_more(outbox, code) -> None:  # type: ignore[no-untyped-def]
    """A batch that nobody hears, or that the broker refuses, is the end of a replay."""
    line = Line(code)
    await replay(outbox, line).run()

    assert len(line.sent) <= IN_FLIGHT


async def test_it_ends_with_its_connection(outbox, until) -> None:  # type: ignore[no-untyped-def]
    """A replay that is cancelled sends nothing more, whatever is in flight."""
    line = Line()
    line.taking.clear()
    running = asyncio.create_task(replay(outbox, line).run())
    await until(lambda: line.in_flight)
    running.cancel()
    await asyncio.wait([running])
    line.taking.set()

    assert running.cancelled()
    assert len(line.sent) == 1


async def test_what_is_gone_meanwhile_still_has_an_end(outbox) -> None:  # type: ignore[no-untyped-def]
    """Where records that were there have gone, the last batch is empty and says that it is."""
    line = Line()
    span = Span("noc", "request-1", 1000, 2000, 1500)
    await Replay(span, "p", outbox, line, is_busy=lambda: False).run()  # type: ignore[arg-type]

    assert [(b["after"], b["last"], b["records"], b["end"]) for b in line.sent] == [
        (1000, 2000, [], True)
    ]


async def test_a_record_that_no_packet_takes_ends_it(outbox) -> None:  # type: ignore[no-untyped-def]
    """What is larger than the broker takes is not sent: it would end the connection."""
    line = Line()
    line.packet_bytes_max = 620
    await replay(outbox, line, last=1).run()
    assert len(line.sent) == 1
    await outbox.put("event", utc_now(), {"text": "x" * 2000})
    await outbox.settled()

    span = Span("noc", "request-1", 1000, 1001, 1001)
    await Replay(span, "p", outbox, line, is_busy=lambda: False).run()  # type: ignore[arg-type]

    assert len(line.sent) == 1
