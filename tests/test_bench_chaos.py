"""bench/chaos.py and its parts: what is drawn, what is logged, when it is calm; one short run."""

import asyncio
import itertools
import os
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from programs import need

from shorewatch.bench import counting
from shorewatch.bench.chaos import Calm, Deck, Extent, disturb
from shorewatch.bench.counting import connect, load_answers, values
from shorewatch.bench.kinds import KINDS
from shorewatch.bench.scene import _tail
from shorewatch.compiled import load_compiled

FIRST_PORT = 19580
EACH = 20


@given(seed=st.integers(0, 10_000))
def test_no_kind_is_left_out(seed):
    """However it is drawn, each kind of a lane is made as often as any other, or once less."""
    done = Counter()
    deck = Deck(KINDS, random.Random(seed), done)
    for _ in range(3 * len(KINDS) + 5):
        deck.draw()

    assert deck.least == 3 and max(done.values()) == 4


def test_what_is_used_up_is_not_drawn():
    """A kind with a most is not made more often, and does not hold up the rest."""
    done = Counter({kind.name: 1000 for kind in KINDS})
    deck = Deck(KINDS, random.Random(1), done)
    for _ in range(50):
        deck.draw()

    bounded = [kind for kind in KINDS if kind.count_max is not None]
    assert bounded and all(done[kind.name] == 1000 for kind in bounded)


async def test_calm_comes_when_nothing_is_disturbed_and_nothing_begins_within():
    """A lane is let to its end, then waited for; the next one begins after the calm."""
    calm, seen = Calm(), []

    async def disturb(name: str, end: asyncio.Event) -> None:
        async with calm.disturbing():
            seen.append(f"{name} begins")
            await end.wait()
            seen.append(f"{name} ends")

    async def rest(end: asyncio.Event) -> None:
        async with calm.calm():
            seen.append("calm")
            await end.wait()
            seen.append("calm ends")

    ends = [asyncio.Event() for _ in range(3)]
    async with asyncio.TaskGroup() as tasks:
        for step in (disturb("first", ends[0]), rest(ends[1]), disturb("second", ends[2])):
            tasks.create_task(step)
            await turns()
        for end in ends:
            end.set()
            await turns()

    assert seen == [
        "first begins", "first ends", "calm", "calm ends", "second begins", "second ends",
    ]  # fmt: skip


async def turns() -> None:
    """Let every task go as far as it comes."""
    for _ in range(10):
        await asyncio.sleep(0)


@given(device=st.integers(0, 50), count=st.integers(1, 2**32 - 2))
def test_every_value_of_an_answer_is_another_in_the_next(device, count):
    """Nothing stays as it was, so each answer is worth a whole record."""
    first, second = values(device, count), values(device, count + 1)

    assert first.keys() == second.keys()
    assert all(first[name] != second[name] for name in first)


def test_the_station_of_the_load_reads_each_device_in_one_request(tmp_path):
    """The file is a right one; a device's values are of one block, and so of one answer."""
    path = tmp_path / "station.toml"
    tail = "\n".join(_tail(1, tmp_path / "noc.key", 4))
    counting.write_station(path, first_port=19000, devices=range(4, 7), tail=tail)
    compiled = load_compiled(path)

    blocks = [block for plan in compiled.directs.values() for block in plan.blocks]
    assert [block.registers for block in blocks] == [8] * 3


async def test_a_device_logs_what_it_answers(tmp_path):
    """Each answer is in the log with its connection and count before it is on the wire."""
    log = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    connections, counts = itertools.count(1), itertools.count(70_000)
    server = await asyncio.get_running_loop().create_server(
        lambda: connect(3, connections, counts, log), "127.0.0.1", 0
    )
    async with server:
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for count in (70_000, 70_001):
            writer.write(bytes.fromhex("0001 0000 0006 01 04 0000 0008"))
            data = (await reader.readexactly(9 + 16))[9:]
            words = [int.from_bytes(data[i : i + 2]) for i in range(0, 16, 2)]
            assert [words[0] << 16 | words[1], *words[2:]] == list(values(3, count).values())
            answer = load_answers(tmp_path / "log")[-1]
            assert (answer.device, answer.connection, answer.count) == ("d3", 1, count)
        writer.close()
    os.close(log)


@pytest.mark.timeout(600)
async def test_nothing_is_lost_whatever_happens_together(tmp_path):
    """Under every disturbance, several at once, each record and each value is accounted for."""
    need("mosquitto")
    seed = random.SystemRandom().randrange(1_000_000)
    print(f"seed {seed}")  # shown if it fails: `shorewatch bench chaos --seed`
    outcome = await disturb(tmp_path, Extent(seed, each=EACH, first_port=FIRST_PORT), print)

    assert outcome.faults == ()
    made = {kind.name for kind in KINDS} - outcome.skipped.keys()
    assert min(outcome.done[name] for name in made) >= EACH and outcome.account.records > 0
