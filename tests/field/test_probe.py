"""field/probe.py: one request by hand, how long it waits, and every byte that was heard."""

import asyncio
import time
from pathlib import Path

import pytest
from wiring import Wiring, asking

from shorewatch.direct.frame import Outcome, Read, with_crc
from shorewatch.field.probe import Prober, probing
from shorewatch.field.sweep import Setting, line_of

SETTING = Setting(9600, "8N1")
CHAR_S = 10 / 9600
REPLY = with_crc(bytes([1, 3, 2, 0, 7]))


class Wire:
    """A line on which this is heard after the request; notes until when one would wait."""

    def __init__(self, reply: bytes = b"", before: bytes = b"") -> None:
        self.reply, self.waiting = reply, before
        self.sent: list[tuple[float, bytes]] = []
        self.until_s = 0.0

    def take(self) -> bytes:
        data, self.waiting = self.waiting, b""
        return data

    def write(self, data: bytes) -> None:
        self.sent.append((time.monotonic(), data))

    async def wait(self, until_s: float) -> None:
        self.until_s = until_s
        await asyncio.sleep(0.001)
        if self.sent and time.monotonic() > self.sent[-1][0] + 9 * CHAR_S:
            self.waiting, self.reply = self.reply, b""


def prober(wire: Wire) -> Prober:
    return Prober(line_of("/dev/x", SETTING), wire)


@pytest.mark.parametrize("wait_s", [0.03, 0.2])
async def test_silence_costs_the_wait_that_was_chosen(wait_s: float) -> None:
    """A reply may take the request's 8 characters, the wait, and its own 7 characters."""
    wire = Wire()
    trial = await prober(wire).ask(Read(1, 3, 0, 1), wait_s)

    assert trial.outcome is Outcome.TIMEOUT and not trial.is_answer
    ((sent_s, _),) = wire.sent
    assert wire.until_s - sent_s == pytest.approx(wait_s + 15 * CHAR_S, abs=0.005)


async def test_all_that_was_heard_is_kept() -> None:
    """A trial has what came before its request, its reply, and the request as it was sent."""
    wire = Wire(REPLY, before=b"\x55")
    trial = await prober(wire).ask(Read(1, 3, 0, 1), 0.1)

    assert (trial.before, trial.heard) == (b"\x55", REPLY)
    assert trial.reply == REPLY[1:-2] and trial.is_answer
    assert wire.sent[0][1] == trial.frame == asking(1)


async def test_what_is_heard_while_listening_belongs_to_no_request() -> None:
    """Bytes of an idle line are given back, and to no later trial."""
    wire = Wire(REPLY, before=b"\x01\x02")
    line = prober(wire)

    assert await line.listen(0.02) == b"\x01\x02"
    assert (await line.ask(Read(1, 3, 0, 1), 0.1)).before == b""


async def test_a_port_with_parity_is_opened_again(tmp_path: Path) -> None:
    """A simulated line that keeps no parity opens as often as one wants, at any setting."""
    async with Wiring().at(tmp_path / "tty") as port:
        for _ in range(3):
            async with probing(line_of(str(port), Setting(19200, "8E1"))) as line:
                assert await line.listen(0.01) == b""
