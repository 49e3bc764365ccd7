"""bench/uplink.py and its processes: the load is what it says, the account counts what it must."""

import asyncio
import time
from functools import partial

import orjson
import pytest

from shorewatch.bench import uplink
from shorewatch.bench.field import REGISTERS, STAMP_POINTS, Device, stamped_words, write_station
from shorewatch.bench.listener import Account, Listener
from shorewatch.compiled import load_compiled
from shorewatch.mqtt.client import Message

PREFIX = "shorewatch/v1/bench/bench"


def batch(after: int, *seqs: int) -> dict[str, object]:
    return {"after": after, "records": [{"seq": seq, "kind": "sample"} for seq in seqs]}


def test_the_station_of_the_load_is_one_request_a_device(tmp_path):
    """The file of the benchmark is a right one; each device is one block of all its registers."""
    path = write_station(
        tmp_path, first_port=19000, count=3, tail="\n".join(uplink._tail(1, 3, history=False))
    )
    compiled = load_compiled(path)

    blocks = [block for plan in compiled.directs.values() for block in plan.blocks]
    assert [block.registers for block in blocks] == [REGISTERS] * 3
    assert len(compiled.rules) == 30


async def test_a_device_answers_with_its_time_and_other_values_each_time():
    """The first two registers are the wall clock in milliseconds; no other stays as it was."""
    make = partial(Device, REGISTERS, partial(stamped_words, iter(range(100))))
    server = await asyncio.get_running_loop().create_server(make, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        replies = []
        for _ in range(2):
            writer.write(bytes.fromhex("0001 0000 0006 01 04 0000 0064"))
            replies.append((await reader.readexactly(9 + 2 * REGISTERS))[9:])
        writer.close()
    first, second = ([int.from_bytes(r[i : i + 2]) for i in range(0, len(r), 2)] for r in replies)
    assert abs((first[0] | first[1] << 16) - int(time.time() * 1000) % 2**32) < 60_000
    assert all(a != b for a, b in zip(first[2:], second[2:], strict=True))


@pytest.mark.parametrize(
    ("batches", "expected"),
    [
        ([batch(4, 5, 6), batch(6, 7)], (7, 0, 0, 0)),
        ([batch(4, 5, 6), batch(4, 5, 6, 7)], (7, 0, 2, 0)),
        ([batch(4, 5), batch(7, 8)], (8, 2, 0, 0)),
        ([batch(4, 6), batch(6, 7)], (7, 0, 0, 0)),
        ([batch(4, 5), batch(5, 7, 6)], (7, 0, 0, 1)),
    ],
)
def test_the_account_tells_what_is_missing_repeated_and_out_of_order(batches, expected):
    """A batch covers all after its `after`: what the station evicted within it is not missing."""
    account = Account()
    for one in batches:
        account.take(one)
    assert (account.seq, account.missing, account.repeated, account.disordered) == expected


def test_a_delay_is_from_the_devices_answer_to_the_message():
    """The stamp in the values is compared with the time of arrival, also past 32 bits."""
    listener = Listener(PREFIX)
    at_ms = int(time.time()) * 1000
    low, high = STAMP_POINTS
    record = {
        "seq": 1,
        "kind": "sample",
        "points": {low: at_ms & 0xFFFF, high: at_ms >> 16 & 0xFFFF},
    }
    body = {"journal": "j", "after": 0, "first": 1, "last": 1, "records": [record]}
    message = Message(f"{PREFIX}/journal", orjson.dumps(body), is_retained=False)

    answer = listener.take(message, at_ms / 1000 + 0.25)

    assert answer == b'{"journal":"j","seq":1}'
    found = listener.mark()
    assert found["journal_ms"] == [pytest.approx(250)] and found["journal_points"] == 2
    assert listener.mark()["journal_ms"] == []
