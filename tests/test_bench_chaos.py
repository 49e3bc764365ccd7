"""bench/chaos.py and its parts: what is drawn, what is logged, how a clock steps; one short run."""

import asyncio
import itertools
import os
import random
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from programs import need

from shorewatch.bench import counting
from shorewatch.bench.chaos import KINDS, TOGETHER_MAX, Deck, Extent, disturb
from shorewatch.bench.counting import connect, load_answers, values
from shorewatch.bench.scene import _tail
from shorewatch.bench.stepping import stepped, write_step
from shorewatch.compiled import load_compiled
from shorewatch.control import UnreachableError, ask
from shorewatch.model import from_text

FIRST_PORT = 19580
EACH = 6


@given(seed=st.integers(0, 10_000))
def test_together_only_what_touches_different_parts(seed):
    """A round has one to TOGETHER_MAX disturbances, no two of one part."""
    together = Deck(KINDS, random.Random(seed), Counter()).draw()

    assert 1 <= len(together) <= TOGETHER_MAX
    assert len({kind.part for kind in together}) == len(together)


@given(seed=st.integers(0, 10_000))
def test_no_kind_is_left_out(seed):
    """However it is drawn, 60 rounds make each kind at least three times."""
    deck = Deck(KINDS, random.Random(seed), Counter())
    for _ in range(60):
        deck.draw()

    assert deck.least >= 3


def test_what_is_used_up_is_not_drawn():
    """A kind with a most is not made more often, and does not hold up the rest."""
    done = Counter({kind.name: 1000 for kind in KINDS})
    deck = Deck(KINDS, random.Random(1), done)
    for _ in range(50):
        deck.draw()

    bounded = [kind for kind in KINDS if kind.count_max is not None]
    assert bounded and all(done[kind.name] == 1000 for kind in bounded)


@given(device=st.integers(0, 50), count=st.integers(1, 2**32 - 2))
def test_every_value_of_an_answer_is_another_in_the_next(device, count):
    """Nothing stays as it was, so each answer is worth a whole record."""
    first, second = values(device, count), values(device, count + 1)

    assert first.keys() == second.keys()
    assert all(first[name] != second[name] for name in first)


def test_the_station_of_the_load_reads_each_device_in_one_request(tmp_path):
    """The file is a right one; a device's values are of one block, and so of one answer."""
    path = tmp_path / "station.toml"
    tail = "\n".join(_tail(1, tmp_path / "noc.key"))
    counting.write_station(path, first_port=19000, count=3, tail=tail)
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


def test_a_clock_steps_when_it_is_told(tmp_path):
    """The time is the machine's plus what the file says at that moment, either way."""
    path, at = tmp_path / "step", datetime(2026, 6, 1, tzinfo=UTC)
    write_step(path, 0)
    now = stepped(path, lambda: at)

    found = [now()]
    for step_s in (3600.5, -86_400.0, 0.0):
        write_step(path, step_s)
        found.append(now())
    assert [each - at for each in found] == [
        timedelta(seconds=step_s) for step_s in (0, 3600.5, -86_400, 0)
    ]


def test_all_of_a_gateway_runs_by_the_stepped_clock(tmp_path):
    """A gateway started under a step of a day says so itself."""
    path, state = tmp_path / "station.toml", tmp_path / "state"
    counting.write_station(path, first_port=1, count=1, tail="")
    write_step(tmp_path / "step", 86_400)
    command = ["-m", "shorewatch.bench.stepping", str(tmp_path / "step"), "run", str(path)]
    gateway = subprocess.Popen([sys.executable, *command, "--state-dir", str(state)])
    try:
        while (found := said_at(state)) is None:
            assert gateway.poll() is None, "the gateway ended"
    finally:
        gateway.kill()
        gateway.wait()

    assert timedelta(hours=23) < found - datetime.now(UTC) < timedelta(hours=25)


def said_at(state: Path) -> datetime | None:
    """The wall clock of the gateway there, if it answers."""
    try:
        return from_text(str(ask(state, {"do": "live"})["at"]))
    except UnreachableError:
        return None


def test_a_command_under_a_stepped_clock_is_the_command(tmp_path):
    """Words, output and exit code are those of `shorewatch` itself."""
    write_step(tmp_path / "step", 5)
    command = [sys.executable, "-m", "shorewatch.bench.stepping", str(tmp_path / "step")]
    station = str(tmp_path / "none.toml")
    done = subprocess.run([*command, "check", station], capture_output=True, text=True, check=False)

    assert done.returncode == 78 and "none.toml" in done.stderr


@pytest.mark.timeout(300)
async def test_nothing_is_lost_whatever_happens_together(tmp_path):
    """Under every disturbance, several at once, each record and each value is accounted for."""
    need("mosquitto")
    seed = random.SystemRandom().randrange(1_000_000)
    print(f"seed {seed}")  # shown if it fails: `shorewatch bench chaos --seed`
    outcome = await disturb(tmp_path, Extent(seed, each=EACH, first_port=FIRST_PORT), print)

    assert outcome.faults == ()
    assert min(outcome.done.values()) >= EACH and outcome.account.records > 0
