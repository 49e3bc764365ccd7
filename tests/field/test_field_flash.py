"""`shorewatch flash` with the real mpremote on a virtual board: each state, interruptions."""

import json
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from small_disk import small_disk

from shorewatch.assets import asset_folder
from shorewatch.control import NAME, ask
from shorewatch.errors import FieldError
from shorewatch.field.flash import Account, Talk, Wish, flash
from shorewatch.field.package import Catalogue, digest
from shorewatch.field.port import Attached

from .conftest import BOARD, STATION, UNIQUE_ID, Bench, Person, by_strap

pytestmark = pytest.mark.timeout(240)
ROLE = f"trans-caspian/sumqayit/{BOARD}"


def test_an_empty_board_becomes_a_stations(empty: Bench, tmp_path: Path) -> None:
    """Firmware, role and plan are on it, it runs them, and the record has who and what."""
    assert str(empty.boards()["state"]).startswith("MicroPython")
    record = tmp_path / "record.jsonl"

    done = empty.flash_role("--record", str(record), "--by", "ali")
    assert done.returncode == 0, done.stderr
    assert f"flashed: virtual {UNIQUE_ID}, firmware 0.1.0, slot a, {ROLE}" in done.stdout
    line = json.loads(record.read_text())
    assert (line["by"], line["result"], line["type"]) == ("ali", "flashed", "virtual")
    assert line["unique_id"] == UNIQUE_ID and line["plan_crc"] == line["plan_crc_running"]

    on_board = (empty.flash_folder / "a" / "main.py").read_bytes()
    assert line["files"]["main.py"] == digest(on_board)

    again = empty.flash_role()
    assert again.returncode == 0 and "already there" in again.stdout
    assert "restarting" not in again.stderr  # a board that has all of it is left as it is
    assert str(empty.boards()["state"]) == "Shorewatch 0.1.0"


def test_only_what_differs_is_sent(empty: Bench, older: Path) -> None:
    """An update goes into the other slot, is on trial, confirms itself; the old one stays there."""
    before = flashed(empty, Catalogue(older, asset_folder("boards")))
    assert before.facts["firmware_running"] == "0.0.9"

    after = flashed(empty, Catalogue())
    assert after.facts["firmware_before"] == "0.0.9" and after.facts["firmware_running"] == "0.1.0"
    assert after.facts["slot"] == "b"
    assert after.facts["files_sent"] == 1  # station/__init__.mpy


@pytest.mark.parametrize("broken", ["main.py", "station/app.mpy"])
def test_a_board_whose_application_fails_is_repaired(empty: Bench, broken: str) -> None:
    """It starts and fails, or cannot even start; the tool finds its REPL and writes it anew."""
    assert empty.flash_role().returncode == 0
    path = empty.flash_folder / "a" / broken
    path.write_bytes(b"raise SystemExit(1)\n" if broken == "main.py" else b"M\x06\x00\x00")
    empty.kill_vm()

    done = empty.flash_role()
    assert done.returncode == 0, done.stderr
    assert str(empty.boards()["state"]) == "Shorewatch 0.1.0"


@pytest.mark.parametrize(
    "moment", ["looking at", "(3 of 23)", "(20 of 23)", "manifest.json", "plan.bin.part", "restart"]
)
def test_a_killed_tool_leaves_what_a_second_run_repairs(empty: Bench, moment: str) -> None:
    """Killed at any step, the next run finishes, and begins with what is there."""
    words = ("--port", str(empty.link), "--station", str(STATION), "--board-id", BOARD)
    killed_at(empty.command("flash", *words), moment)

    done = empty.flash_role()
    assert done.returncode == 0, done.stderr
    assert ROLE in done.stdout
    assert not list(empty.flash_folder.glob("*.part"))


@pytest.mark.parametrize("moment", ["looking at", "manifest.json", "restart"])
def test_a_killed_update_leaves_the_old_firmware(empty: Bench, older: Path, moment: str) -> None:
    """Until the last step is done the board runs what it ran; after a restart, too."""
    flashed(empty, Catalogue(older, asset_folder("boards")))
    killed_at(empty.command("flash", "--port", str(empty.link)), moment)
    empty.kill_vm()
    empty.until(lambda: "Shorewatch" in str(empty.boards()["state"]), "the application")
    assert "0.0.9" in str(empty.boards()["state"]) or moment == "restart"

    done = empty.flash()
    assert done.returncode == 0 and "firmware 0.1.0" in done.stdout, done.stderr


def test_a_board_that_is_unplugged_in_the_middle_is_told(empty: Bench) -> None:
    """It is said that it has gone, with what to check; plugged in again, it is flashed."""
    words = ("--port", str(empty.link), "--station", str(STATION), "--board-id", BOARD)
    with subprocess.Popen(
        empty.command("flash", *words), stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as tool:
        assert tool.stderr is not None
        for line in tool.stderr:
            if "(5 of 23)" in line:
                empty.kill_vm()
                break
        rest = tool.stderr.read()
        assert tool.wait() in (1, 2)
    assert str(empty.link) in rest

    assert empty.flash_role().returncode == 0


def test_two_technicians_do_not_meet_on_one_board(empty: Bench) -> None:
    """The second is told that somebody is at work, and harms nothing."""
    words = ("--port", str(empty.link), "--station", str(STATION), "--board-id", BOARD)
    with subprocess.Popen(
        empty.command("flash", *words), stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as first:
        assert first.stderr is not None
        first.stderr.readline()
        second = empty.flash_role()
        first.communicate()
        assert first.returncode == 0
    assert second.returncode == 1
    assert "another shorewatch tool works on this board" in second.stderr


def test_the_wrong_board_is_refused(empty: Bench) -> None:
    """Another type, another role, and a unique id that the station file has elsewhere."""
    done = empty.flash("--board", "pico")
    assert done.returncode == 1 and "it is no pico" in done.stderr
    assert not list(empty.flash_folder.iterdir())

    done = empty.flash("--station", str(STATION), "--board-id", "pfe-room")
    assert done.returncode == 1
    assert f"the station file has this board ({UNIQUE_ID}) as beach" in done.stderr
    assert "nothing was written" in done.stderr and not list(empty.flash_folder.iterdir())
    assert str(empty.boards()["state"]).startswith("MicroPython")


def test_a_plan_is_pushed_alone(empty: Bench, tmp_path: Path) -> None:
    """The board follows the new plan, and says its CRC; the firmware is not touched."""
    assert empty.flash_role().returncode == 0
    before, name, after = STATION.read_text().partition(f'id = "{BOARD}"')
    other = tmp_path / "other.toml"
    other.write_text(before + name + after.replace("baud = 9600", "baud = 4800", 1))

    done = empty.tool("plan", "push", str(other), BOARD, "--port", str(empty.link))
    assert done.returncode == 0, done.stderr
    built = empty.tool("plan", "build", str(other), "--out", str(tmp_path / "plans"))
    crc = done.stdout.rstrip().rsplit("plan ", 1)[1]
    assert built.returncode == 0 and crc in built.stdout
    again = empty.tool("plan", "push", str(other), BOARD, "--port", str(empty.link))
    assert "already there" in again.stdout


def test_a_repl_opens_and_closes(empty: Bench) -> None:
    """Maintenance leads into MicroPython's prompt and back to work, also when stdin ends."""
    assert empty.flash_role().returncode == 0
    done = empty.tool("maintenance", "--port", str(empty.link))

    assert done.returncode == 0, done.stderr
    assert "the board is at its REPL" in done.stderr
    assert "is at work again" in done.stdout
    assert str(empty.boards()["state"]) == "Shorewatch 0.1.0"


def test_a_station_has_its_port_back_from_a_killed_tool(bench: Bench, quiet_text: str) -> None:
    """It lends the port, takes it back at once, and polls again when the REPL is closed."""
    bench.start()
    with running_station(bench, quiet_text):
        killed_at(bench.command("maintenance", BOARD, "--state-dir", str(bench.folder)), "Enter")
        bench.until(lambda: "prompt" in str(told_by_station(bench)["reason"]), "the port's return")

        done = bench.tool("maintenance", BOARD, "--end", "--state-dir", str(bench.folder))
        assert done.returncode == 0, done.stderr
        assert "lends the port" in done.stderr and "has the port" in done.stderr
        bench.until(lambda: told_by_station(bench)["up"], "polls of the board")


def test_a_board_of_a_running_station_is_flashed(bench: Bench, quiet_text: str) -> None:
    """The port is borrowed for it and goes back; whatever the board ran before is replaced."""
    bench.start()
    with running_station(bench, quiet_text):
        done = bench.flash_role("--state-dir", str(bench.folder))
        assert done.returncode == 0, done.stderr
        assert "lends the port" in done.stderr and "slot a" in done.stdout
        bench.until(lambda: told_by_station(bench)["up"], "polls of the board")


def test_a_board_by_strap_is_opened_by_a_person(empty: Bench, tmp_path: Path) -> None:
    """The tool says what to bridge and waits, and again when the bridge is to be taken away."""
    catalogue = by_strap(tmp_path)
    flashed(empty, catalogue)
    person = Person(empty)

    account = Account()
    wish = Wish(type="virtual", again=True)
    flash(Attached(str(empty.link)), wish, catalogue, Talk(say=person.hear), account)
    assert person.did == ["bridge", "take"] and account.result == "flashed"


def test_what_is_no_port_is_told(bench: Bench) -> None:
    """With what to look at next."""
    done = bench.tool("flash", "--port", "/dev/ttyNONE")
    assert done.returncode == 2 and "there is no such port; `shorewatch boards`" in done.stderr
    done = bench.flash("--tcp", "192.0.2.7/24")
    assert done.returncode == 64 and "belong to --station" in done.stderr


def flashed(bench: Bench, catalogue: Catalogue) -> Account:
    account = Account()
    flash(Attached(str(bench.link)), Wish(type="virtual"), catalogue, Talk(), account)
    return account


@contextmanager
def running_station(bench: Bench, text: str) -> Iterator[None]:
    """`shorewatch run` beside the board, once it polls the board."""
    file = bench.folder / "station.toml"
    file.write_text(text)
    command = bench.command("run", str(file), "--state-dir", str(bench.folder))
    station = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        bench.until((bench.folder / NAME).exists, "the station's control socket")
        bench.until(lambda: told_by_station(bench)["up"], "polls of the board")
        yield
    finally:
        station.terminate()
        station.wait(20)


def told_by_station(bench: Bench) -> dict[str, object]:
    """What the running station says of the board."""
    boards = ask(bench.folder, {"do": "live"})["boards"]
    assert isinstance(boards, dict)
    row: dict[str, object] = boards[BOARD]
    return row


def killed_at(command: list[str], moment: str) -> None:
    """Start a tool and SIGKILL it as soon as it says this."""
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
        stdin=subprocess.DEVNULL,
    ) as tool:  # fmt: skip
        assert tool.stderr is not None
        for line in tool.stderr:
            if moment in line:
                tool.send_signal(signal.SIGKILL)
                break
        else:
            raise AssertionError(f"it never said {moment!r}")


def test_a_board_without_room_gets_no_file(bench: Bench) -> None:
    """A full file system is told before a byte is sent, with how much is free and is needed."""
    with small_disk(bench.folder / "boards", "64k"):
        bench.start("--empty")
        done = bench.flash_role()
        assert done.returncode == 1, done.stderr
        assert re.search(r"its flash has \d+ kB free, \d+ kB are needed: remove what", done.stderr)
        assert not [path for path in bench.flash_folder.rglob("*") if path.is_file()]
        assert str(bench.boards()["state"]).startswith("MicroPython")
        bench.stop()


def test_a_board_that_fills_up_in_the_middle_is_told(bench: Bench) -> None:
    """The write that fails is named as what it is; with room again the next run finishes."""
    with small_disk(bench.folder / "boards", "400k") as disk:
        bench.start("--empty")
        words = ("--port", str(bench.link), "--station", str(STATION), "--board-id", BOARD)
        with subprocess.Popen(
            bench.command("flash", *words), stderr=subprocess.PIPE, text=True,
            stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
        ) as tool:  # fmt: skip
            assert tool.stderr is not None
            for line in tool.stderr:
                if "(5 of 23)" in line:
                    with suppress(OSError), (disk / "filler").open("wb", buffering=0) as filler:
                        while filler.write(bytes(4096)):
                            pass
                    break
            rest = tool.stderr.read()
        assert tool.returncode == 1 and "the board's file system is full" in rest, rest
        assert not (bench.flash_folder / "slots.state").exists()

        (disk / "filler").unlink()
        done = bench.flash_role()
        assert done.returncode == 0 and ROLE in done.stdout, done.stderr
        bench.stop()


def test_a_micropython_that_is_too_old_is_told(empty: Bench, tmp_path: Path) -> None:
    """Nothing is written to it, and it is said how it gets a newer one."""
    shutil.copytree(asset_folder("boards"), tmp_path / "types")
    path = tmp_path / "types" / "virtual" / "board.toml"
    text = re.sub(r'(?m)^(micropython_version = )"[0-9.]+"', r'\1"9.0"', path.read_text())
    path.write_text(text)

    with pytest.raises(FieldError, match=r"is too old, a virtual needs 9\.0: .* --uf2 FILE"):
        flashed(empty, Catalogue(asset_folder("firmware"), tmp_path / "types"))
    assert not list(empty.flash_folder.iterdir())
    assert str(empty.boards()["state"]).startswith("MicroPython")
