"""A subscriber in a process of its own: what arrives at a NOC, how late, and what does not.

`python -m shorewatch.bench.listener PORT PREFIX` takes `now`, `alarm` and `journal` of one station,
acknowledges as consumer "noc", and for each line on its input writes one line of JSON: what came
since the line before (`Tally`), then what was accounted since the start. It reconnects by itself.

Delays are those of `field`'s devices: from the answer's own clock to this process, milliseconds.
"""

import asyncio
import sys
import time
from contextlib import aclosing
from dataclasses import asdict, dataclass, field
from typing import Any

import orjson

from shorewatch.bench.field import STAMP_POINTS
from shorewatch.errors import UplinkError
from shorewatch.model import from_text
from shorewatch.mqtt import topics
from shorewatch.mqtt.client import Connection, Message, connected

RETRY_S = 0.02
_LOW, _HIGH = STAMP_POINTS


@dataclass(slots=True)
class Tally:
    """What came between two marks; times in milliseconds, bytes are payloads."""

    now_ms: list[float] = field(default_factory=list)
    journal_ms: list[float] = field(default_factory=list)
    alarm_ms: list[float] = field(default_factory=list)
    now_points: int = 0
    journal_points: int = 0
    journal_bytes: int = 0
    first_s: float | None = None
    last_s: float | None = None


@dataclass(slots=True)
class Account:
    """Every sequence number since the first: `seq` is the last without a hole before it."""

    seq: int = -1
    missing: int = 0
    repeated: int = 0
    disordered: int = 0

    def take(self, batch: dict[str, Any]) -> list[dict[str, Any]]:
        """The records of a batch that did not come before."""
        records: list[dict[str, Any]] = batch["records"]
        if self.seq < 0:
            self.seq = batch["after"]
        if batch["after"] > self.seq:
            self.missing += batch["after"] - self.seq
            self.seq = batch["after"]
        fresh = [record for record in records if record["seq"] > self.seq]
        self.repeated += len(records) - len(fresh)
        seqs = [record["seq"] for record in fresh]
        self.disordered += seqs != sorted(set(seqs))
        self.seq = max([self.seq, *seqs])
        return fresh


class Listener:
    """Takes messages; `mark` gives what came since the mark before."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self.account = Account()
        self._tally = Tally()
        self._alarm_s: dict[str, float] = {}

    def mark(self) -> dict[str, Any]:
        """The tally and the account as one object; the tally begins anew."""
        tally, self._tally = self._tally, Tally()
        return asdict(tally) | asdict(self.account)

    def take(self, message: Message, at_s: float) -> bytes | None:
        """Count a message; the acknowledgement to send, if any."""
        address = topics.parse_topic(message.topic)
        if address is None or not message.payload:
            return None
        body = orjson.loads(message.payload)
        if address.kind == "now" and not message.is_retained:
            self._take_now(body["points"], at_s)
        elif address.kind == "alarm" and not message.is_retained:
            told_s = from_text(body["since"]).timestamp()
            if told_s > self._alarm_s.get(address.name, 0.0):  # else it tells of its end
                self._alarm_s[address.name] = told_s
                self._tally.alarm_ms.append(1000 * (at_s - told_s))
        elif address.kind == "journal":
            self._take_journal(body, len(message.payload), at_s)
            return topics.encode(topics.ack(body["journal"], self.account.seq))
        return None

    def _take_now(self, points: dict[str, Any], at_s: float) -> None:
        low, high = points[_LOW]["value"], points[_HIGH]["value"]
        self._tally.now_points += len(points)
        if low is not None and high is not None:
            self._tally.now_ms.append(_late_ms(low, high, at_s))

    def _take_journal(self, body: dict[str, Any], size: int, at_s: float) -> None:
        tally = self._tally
        tally.first_s = tally.first_s or at_s
        tally.last_s = at_s
        tally.journal_bytes += size
        for record in self.account.take(body):
            points = record.get("points", {})
            tally.journal_points += len(points)
            if _LOW in points and _HIGH in points:
                tally.journal_ms.append(_late_ms(points[_LOW], points[_HIGH], at_s))


def _late_ms(low: int, high: int, at_s: float) -> float:
    late = (1000 * at_s - (low | high << 16)) % 2**32
    return late if late < 2**31 else late - 2**32


async def _listen(port: int, listener: Listener, prefix: str) -> None:
    while True:
        try:
            async with connected(
                "127.0.0.1", port, client_id="bench-noc",
                incoming_bytes_max=2_000_000, incoming_count_max=100_000,
            ) as connection:  # fmt: skip
                await connection.subscribe(f"{prefix}/#")
                await _take(connection, listener, prefix)
        except UplinkError:
            await asyncio.sleep(RETRY_S)


async def _take(connection: Connection, listener: Listener, prefix: str) -> None:
    topic = topics.ack_topic(prefix, "noc")
    async with aclosing(connection.messages()) as messages:
        async for message in messages:
            answer = listener.take(message, time.time())
            if answer is not None:
                await connection.publish(topic, answer, qos=0, is_retained=True)


async def _answer_marks(listener: Listener) -> None:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while await reader.readline():
        sys.stdout.buffer.write(orjson.dumps(listener.mark()) + b"\n")
        sys.stdout.buffer.flush()


async def _main(port: int, prefix: str) -> None:
    listener = Listener(prefix)
    listening = asyncio.create_task(_listen(port, listener, prefix))
    await asyncio.wait(
        [listening, asyncio.create_task(_answer_marks(listener))],
        return_when=asyncio.FIRST_COMPLETED,
    )


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1]), sys.argv[2]))
