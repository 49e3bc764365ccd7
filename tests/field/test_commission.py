"""`shorewatch commission`: from the first value to the signed record, and what it never does."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from fake_board import FakeBoard, fake_board
from running_station import running_station

from shorewatch.compiled import Compiled, load_compiled
from shorewatch.errors import UsageError
from shorewatch.field.commission import (
    Kind,
    Outcome,
    Reading,
    Result,
    answered,
    failed_by_persons,
    steps,
    still_open,
    why_not,
)
from shorewatch.field.commissionfile import ledger
from shorewatch.field.commissionpaper import digest, page, record, written
from shorewatch.plan import Block

AT = "2026-11-23T06:00:00.000Z"
GOOD = Reading("21.5", "degC", "good", None, AT, 0.4, 0.01)
BAD = replace(GOOD, quality="bad", reason="device-timeout")
HEAD = {"station": "s", "board": "b", "unique_id": "00", "plan": "11"}
CONTACTS = 0x0900


@pytest.fixture
def compiled(write, quiet_text) -> Compiled:  # type: ignore[no-untyped-def]
    return load_compiled(write("s.toml", quiet_text))


def result(id_: str = "room.temperature", outcome: Outcome = Outcome.PASS) -> Result:
    return Result(id_, outcome, AT, "ali", "asked", "", GOOD)


def test_every_point_contact_and_bus_has_its_step(compiled: Compiled) -> None:
    """Nothing of a board is left out, and each step has a name of its own."""
    plan = steps(compiled, "beach")
    points = [f"{d.id}.{p}" for d in compiled.station.of_board("beach") for p in d.points]

    assert [step.id for step in plan if step.kind is Kind.POINT] == points
    assert [step.id for step in plan if step.kind is Kind.BUS] == ["uart-0", "uart-1"]
    contacts = compiled.station.contacts["beach"]
    names = [f"{contacts.id}.{p}" for p in contacts.points]
    assert [step.id for step in plan if step.kind is Kind.CONTACT] == names
    assert len({step.id for step in plan}) == len(plan)


@pytest.mark.parametrize("seen", [BAD, replace(GOOD, age_s=None), None])
def test_no_answer_makes_a_bad_value_pass(seen: Reading | None) -> None:
    """A value that is bad, was never read or is not there fails when somebody passes it."""
    outcome, why = answered("pass", seen)
    assert outcome is Outcome.FAIL and why.startswith("cannot pass") and why_not(seen)


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ("pass", (Outcome.PASS, "")),
        ("fail", (Outcome.FAIL, "failed by whoever looked at it")),
        ("fail: reads 3 K too much", (Outcome.FAIL, "reads 3 K too much")),
        ("note: no thermometer at hand", (Outcome.NOTE, "no thermometer at hand")),
        ("later", (Outcome.OPEN, "")),
    ],
)
def test_answers_are_what_they_say(answer: str, found: tuple[Outcome, str]) -> None:
    """A good value is judged as whoever looked at it says."""
    assert answered(answer, GOOD) == found


@pytest.mark.parametrize(
    "answer", ["", "yes", "PASS", "note", "note:", "fail: a\nb", "fail: " + "x" * 301]
)
def test_what_is_no_answer_is_refused(answer: str) -> None:
    """Nothing but the few words is taken, and no remark that is no line of text."""
    with pytest.raises(ValueError):
        answered(answer, GOOD)


def test_what_failed_is_asked_again(compiled: Compiled) -> None:
    """Passed and noted steps are done; failed ones and those left for later are not."""
    plan = steps(compiled, "beach")
    ids = [step.id for step in plan if step.kind in (Kind.POINT, Kind.CONTACT)]
    ends = [Outcome.PASS, Outcome.NOTE, Outcome.FAIL, Outcome.OPEN]
    results = [result(id_, end) for id_, end in zip(ids, ends, strict=False)]

    assert [step.id for step in still_open(plan, results)] == ids[2:]
    assert [step.id for step in still_open(plan, [*results, result(ids[2])])] == ids[3:]


def test_what_a_person_failed_stays_failed_until_a_person_passes_it() -> None:
    """Neither --yes nor "later" takes a person's failure back; a person's pass does."""
    failed = result(outcome=Outcome.FAIL)
    by_machine = replace(result(), how="--yes")

    for after in ([], [by_machine], [result(outcome=Outcome.OPEN), by_machine]):
        assert failed_by_persons([failed, *after]) == {failed.id: failed}
    assert not failed_by_persons([failed, result()])
    assert not failed_by_persons([replace(failed, how="--yes")])


def test_results_are_read_again(tmp_path: Path) -> None:
    """What was put on record is there at the next start, with its reading and its beginning."""
    path = tmp_path / "r.steps"
    with ledger(path, HEAD, AT) as kept:
        kept.add(result())
        kept.add(result("b", Outcome.FAIL))
    with ledger(path, HEAD, "later") as kept:
        assert (kept.begun_at, kept.results) == (AT, [result(), result("b", Outcome.FAIL)])


def test_a_file_cut_anywhere_loses_one_result_at_most(tmp_path: Path) -> None:
    """A kill between any two bytes leaves all results before the last, and a file that goes on."""
    path = tmp_path / "r.steps"
    with ledger(path, HEAD, AT) as kept:
        kept.add(result("a"))
        whole_one = path.stat().st_size
        kept.add(result("b"))
    data = path.read_bytes()
    for size in range(whole_one, len(data)):
        path.write_bytes(data[:size])
        with ledger(path, HEAD, AT) as kept:
            assert [found.id for found in kept.results] == ["a"]
            kept.add(result("c"))
        with ledger(path, HEAD, AT) as kept:
            assert [found.id for found in kept.results] == ["a", "c"]


@pytest.mark.parametrize("key", sorted(HEAD))
def test_results_of_something_else_are_refused(tmp_path: Path, key: str) -> None:
    """Results of another station, board, unique id or plan are never gone on with."""
    path = tmp_path / "r.steps"
    with ledger(path, HEAD, AT):
        pass
    with pytest.raises(UsageError, match=key), ledger(path, HEAD | {key: "x"}, AT):
        pass


@pytest.mark.parametrize(
    "line", ["[]", "x", '{"id": "a"}', '{"outcome": "great", "reading": null}']
)
def test_a_file_that_is_no_results_is_refused(tmp_path: Path, line: str) -> None:
    """The line that is wrong is named, and what to do."""
    path = tmp_path / "r.steps"
    with ledger(path, HEAD, AT):
        pass
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(UsageError, match=":2: is no result"), ledger(path, HEAD, AT):
        pass


def test_one_commissioning_at_a_time(tmp_path: Path) -> None:
    """A second start with the same file is refused while the first runs."""
    path = tmp_path / "r.steps"
    with (
        ledger(path, HEAD, AT),
        pytest.raises(UsageError, match="already"),
        ledger(path, HEAD, AT),
    ):
        pass


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    """The error names the file."""
    with pytest.raises(UsageError, match="choose another"), ledger(tmp_path / "x" / "y", HEAD, AT):
        pass


def facts(**more: str) -> dict[str, str]:
    keys = ("station_name", "board_type", "firmware", "version", "config", "clock", "begun_at",
            "ended_at", "source", "cable")  # fmt: skip
    return {**dict.fromkeys(keys, "x"), **HEAD, **more}


def test_text_of_others_is_no_markup(compiled: Compiled) -> None:
    """Whatever a person or a device writes stands on the page as text, and loads nothing."""
    rude = "<script src='http://a/b'>&\x1b[2J"
    plan = steps(compiled, "beach")
    results = [replace(result(plan[1].id), why=rude, reading=replace(GOOD, text=rude))]
    text = page(record(facts(source=rude), plan, results, [])).decode()

    assert "<script" not in text and "&lt;script" in text and "\x1b" not in text
    assert "http" not in text.replace("http://a/b", "") and "<link" not in text


def test_the_page_carries_the_sum_of_the_record(compiled: Compiled) -> None:
    """Paper and file belong together: the page's foot has the SHA-256 of the JSON as written."""
    body = record(facts(), steps(compiled, "beach"), [result()], [])
    assert digest(body) in page(body).decode()
    assert json.loads(written(body)) == json.loads(json.dumps(body))


def test_what_is_missing_or_failed_is_no_pass(compiled: Compiled) -> None:
    """A record passes only if every step was looked at and none failed."""
    plan = steps(compiled, "beach")
    every = [result(step.id) for step in plan]
    assert record(facts(), plan, every, [])["is_passed"]
    assert not record(facts(), plan, every[1:], [])["is_passed"]
    failed = record(facts(), plan, [*every, result(plan[3].id, Outcome.FAIL)], [])
    assert (failed["is_passed"], failed["failed"]) == (False, [plan[3].id])


def words_of(block: Block) -> list[int]:
    """Registers of a block of a device that is well."""
    cells = dict.fromkeys(range(block.address, block.address + block.count), 0)
    for point in block.device.profile.point:
        if point.function == block.function and point.address in cells and point.is_numeric:
            low, high = point.range or (1, 100)
            cells |= dict(enumerate(point.encode(round((low + high) / 2)), point.address))
    return [0] * block.registers if block.function < 3 else list(cells.values())


def make_well(board: FakeBoard) -> None:
    """All devices of the board answer; its buses count requests, its contacts are settled."""
    for block in board.plan.blocks:
        board.set_block(block.index, status=1, age_ms=20, data=words_of(block))
    for bus in range(2):
        board.words |= {0x40 + 16 * bus + 1: 50, 0x40 + 16 * bus + 3: 50}
    for device in range(4):
        board.words[0x100 + 8 * device] = 1
    board.words |= {CONTACTS: 0, CONTACTS + 1: 0xFFFF}


@asynccontextmanager
async def lively(board: FakeBoard, *, is_moving: bool = True) -> AsyncIterator[None]:
    """A board whose blocks stay fresh and whose contacts move to and fro."""

    async def live() -> None:
        count = 0
        while True:
            count += 1
            make_well(board)
            for bus in range(2):
                board.words |= {0x40 + 16 * bus + 1: 50 + count, 0x40 + 16 * bus + 3: 50 + count}
            board.words[CONTACTS] = 0xFFFF if is_moving and count // 8 % 2 else 0
            await asyncio.sleep(0.1)

    task = asyncio.create_task(live())
    try:
        yield
    finally:
        task.cancel()


@asynccontextmanager
async def started(folder: Path, *arguments: object) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "shorewatch", "commission", str(folder / "s.toml")),
        *("--board", "beach", "--state-dir", str(folder / "state"), "--by", "R. Aliyev"),
        *("--record", str(folder / "r.json"), *map(str, arguments)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def done(folder: Path, *arguments: object, typed: str = "") -> tuple[int, str]:
    async with started(folder, *arguments) as process:
        out, _ = await process.communicate(typed.encode())
    assert process.returncode is not None
    return process.returncode, " ".join(out.decode().split())


@asynccontextmanager
async def alone(folder: Path, compiled: Compiled) -> AsyncIterator[FakeBoard]:
    """A board at its port, and no gateway."""
    link = folder / "state" / compiled.station.boards["beach"].link.port
    with fake_board(compiled.plans["beach"], link) as board:
        yield board


def read(folder: Path) -> dict[str, object]:
    return json.loads((folder / "r.json").read_text())  # type: ignore[no-any-return]


async def test_a_board_that_is_well_passes(tmp_path: Path, compiled: Compiled) -> None:
    """With --yes every good value and every contact that is seen to move passes."""
    async with alone(tmp_path, compiled) as board, lively(board):
        code, out = await done(tmp_path, "--yes", "--contact-s", 20)
    body = read(tmp_path)

    assert (code, body["is_passed"]) == (0, True), out
    assert (body["by"], body["unique_id"]) == (["R. Aliyev"], board.unique_id)
    assert "R. Aliyev" in (tmp_path / "r.html").read_text()
    kinds = {row["kind"]: row for row in body["steps"]}  # type: ignore[attr-defined]
    assert kinds["contact"]["how"] == "seen to change"
    assert kinds["point"]["reading"]["quality"] == "good"


async def test_yes_fails_what_is_bad_and_contacts_that_stand_still(
    tmp_path: Path, compiled: Compiled
) -> None:
    """--yes passes no bad value, and no contact that was not seen to change."""
    async with alone(tmp_path, compiled) as board, lively(board, is_moving=False):
        for block in board.plan.blocks:
            if block.device.id == "room":
                board.set_block = _but(board, block.index)  # type: ignore[method-assign]
        code, out = await done(tmp_path, "--yes", "--contact-s", 1)
    body = read(tmp_path)

    contacts = [step.id for step in steps(compiled, "beach") if step.kind is Kind.CONTACT]
    assert code == 1, out
    assert set(body["failed"]) == {"room.temperature", "room.humidity", *contacts}  # type: ignore[call-overload]


def _but(board: FakeBoard, index: int):  # type: ignore[no-untyped-def]
    """Sets all blocks but this one."""
    usual = FakeBoard.set_block

    def set_block(at: int, **more: object) -> None:
        if at != index:
            usual(board, at, **more)  # type: ignore[arg-type]

    return set_block


async def test_answers_of_a_file_are_taken_and_kept(tmp_path: Path, compiled: Compiled) -> None:
    """Notes and failures of a file go on record; what it does not name stays open."""
    answers = tmp_path / "a.toml"
    answers.write_text(
        '[answers]\n"room.temperature" = "fail: 3 K too much"\n"room.humidity" = "pass"\n'
    )
    async with alone(tmp_path, compiled) as board, lively(board):
        code, _ = await done(tmp_path, "--answers", answers)
    body = read(tmp_path)

    rows = {row["id"]: row for row in body["steps"]}  # type: ignore[attr-defined]
    assert code == 1 and not body["is_complete"]
    assert rows["room.temperature"]["why"] == "3 K too much"
    assert rows["room.humidity"]["outcome"] == "pass" and rows["manhole.lid"]["outcome"] == "open"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[answers]\n"no.such" = "pass"\n', "is no point of the board"),
        ('[answers]\n"room.humidity" = "fine"\n', "is none of pass"),
        ("x = 1\n", "a table of answers"),
    ],
)
async def test_a_wrong_file_of_answers_is_refused(
    tmp_path: Path, compiled: Compiled, text: str, told: str
) -> None:
    """All that is wrong with it is said before anything is asked, with its line."""
    (tmp_path / "a.toml").write_text(text)
    code, out = await done(tmp_path, "--answers", tmp_path / "a.toml")
    assert code == 78 and told in out


async def test_a_kill_loses_at_most_the_answer_being_typed(
    tmp_path: Path, compiled: Compiled
) -> None:
    """After kill -9 between two answers the next start goes on with the one that was not given."""
    async with alone(tmp_path, compiled) as board, lively(board):
        async with started(tmp_path) as process:
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write(b"p\nn looks good\n")
            await process.stdin.drain()
            seen = b""
            while b"[3 of" not in seen:
                seen += await process.stdout.read(1000)
            process.kill()
        code, out = await done(tmp_path, typed="q\n")
        first = [row["id"] for row in _results(tmp_path)]
        finished, _ = await done(tmp_path, "--yes", "--contact-s", 20)

    plan = [step.id for step in steps(compiled, "beach")]
    assert code == 2 and "2 steps are done already" in out and "goes on from here" in out
    assert first == plan[1:3] and finished == 0
    rows = {row["id"]: row for row in read(tmp_path)["steps"]}  # type: ignore[attr-defined]
    assert (rows[plan[2]]["outcome"], rows[plan[2]]["why"]) == ("note", "looks good")


def _results(folder: Path) -> list[dict[str, str]]:
    """The answers that were put on record."""
    lines = (folder / "r.steps").read_text().splitlines()[1:]
    return [row for row in map(json.loads, lines) if row["how"] != "measured"]


async def test_a_person_cannot_pass_a_bad_value(tmp_path: Path, compiled: Compiled) -> None:
    """At the terminal Enter is not taken for a bad value; what is wrong with it is said."""
    async with alone(tmp_path, compiled) as board:
        board.words |= {0x40 + 1: 9, 0x50 + 1: 9}
        code, out = await done(tmp_path, typed="\np\nf broken\nq\n")

    (row,) = _results(tmp_path)
    assert code == 2 and "it cannot pass: " in out
    assert (row["outcome"], row["why"]) == ("fail", "broken")


async def test_yes_does_not_pass_what_a_person_has_failed(
    tmp_path: Path, compiled: Compiled
) -> None:
    """A failed point is failed after --yes as well, with the words of who failed it."""
    async with alone(tmp_path, compiled) as board, lively(board):
        await done(tmp_path, typed="f reads 3 K too much\nq\n")
        (first, *_) = _results(tmp_path)
        code, out = await done(tmp_path, "--yes", "--contact-s", 20)

    body = read(tmp_path)
    assert (code, body["failed"]) == (1, [first["id"]])
    assert "R. Aliyev has failed it: reads 3 K too much" in out


async def test_another_board_is_not_commissioned(tmp_path: Path, compiled: Compiled) -> None:
    """A board with another unique id gives 2, and no record of its values."""
    async with alone(tmp_path, compiled) as board, lively(board):
        board.unique_id = "ffffffffffffffff"
        code, out = await done(tmp_path, "--yes")
    assert code == 2 and "board ffffffffffffffff is plugged in" in out
    assert not (tmp_path / "r.json").exists()


async def test_values_come_through_the_gateway_that_runs(tmp_path, quiet_text):  # type: ignore[no-untyped-def]
    """Beside a running gateway the port stays its own, and the record says so."""
    async with running_station(tmp_path, quiet_text) as station:
        await station.until_good()
        async with lively(station.boards["beach"]):
            code, out = await done(tmp_path, "--yes", "--contact-s", 20)
        await station.until_read_on()
    assert "the gateway in" in str(read(tmp_path)["source"]), out
    assert code == 0, out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--record", "x.txt"), "must end in .json"),
        (("--yes", "--answers", "a"), "leave out"),
        (("--contact-s", "0"), "1 to 3600"),
        (("--board", "attic"), "no such board"),
    ],
)
async def test_what_makes_no_sense_is_usage(
    tmp_path: Path, compiled: Compiled, arguments: tuple[str, ...], told: str
) -> None:
    """It is said what is wrong, and the exit code is 64."""
    command = [sys.executable, "-m", "shorewatch", "commission", str(tmp_path / "s.toml")]
    board = () if "--board" in arguments else ("--board", "beach")
    process = await asyncio.create_subprocess_exec(
        *command, *board, *arguments, stderr=asyncio.subprocess.PIPE
    )
    _, err = await process.communicate()
    assert process.returncode == 64 and told in " ".join(err.decode().split())
