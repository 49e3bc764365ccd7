"""remote.py: a virtual board scans the simulated line behind it, and is back at work after it."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from shorewatch.config import load_station
from shorewatch.errors import FieldError, LinkError, UsageError
from shorewatch.field.flash import Account, Talk, Wish, flash
from shorewatch.field.package import Catalogue
from shorewatch.field.port import Attached, opened
from shorewatch.field.remote import Place, scanning
from shorewatch.field.scan import Scan
from shorewatch.field.sweep import Setting
from shorewatch.profile import load_profiles

from .conftest import BOARD, STATION, Bench, Person, by_strap
from .test_field_flash import running_station, told_by_station

pytestmark = pytest.mark.timeout(200)
UART = 1
(BUS,) = [bus for bus in load_station(STATION).boards[BOARD].bus if bus.uart == UART]
(DEVICE,) = BUS.device
SETTING = Setting(BUS.baud, BUS.format)


@contextmanager
def lined(bench: Bench) -> Iterator[None]:
    """The simulated line of one of the board's buses, all bytes recorded."""
    command = bench.command("plant", "line", str(STATION), BOARD, str(UART))
    folders = ("--state-dir", str(bench.folder), "--record", str(bench.folder))
    line = subprocess.Popen([*command, *folders], stderr=subprocess.DEVNULL)
    try:
        bench.until((bench.folder / "lines" / f"{BOARD}-{UART}.tty").exists, "the line")
        yield
    finally:
        line.terminate()
        line.wait(20)


@pytest.fixture
def wired(bench: Bench) -> Iterator[Bench]:
    """A board at work with its line."""
    with lined(bench):
        bench.start()
        yield bench


def asked_of(bench: Bench) -> list[bytes]:
    """The frames that the board has put on its line."""
    (file,) = bench.folder.glob("*.wire")
    rows = [row.split() for row in file.read_text().splitlines() if not row.startswith("#")]
    return [bytes.fromhex("".join(row[2:])) for row in rows if row[1] == ">"]


def scan_by_board(bench: Bench, *words: str) -> "subprocess.CompletedProcess[str]":
    setting = ("--baud", str(SETTING.baud), "--format", SETTING.format)
    units = f"{DEVICE.unit_id}-{DEVICE.unit_id + 2}"
    where = ("--uart", str(UART), "--units", units)
    return bench.tool("scan", *where, *setting, *words)


def test_a_board_finds_what_hangs_on_its_line(wired: Bench, tmp_path: Path) -> None:
    """The same device, type and piece as over an adapter; only reads passed; the board works on."""
    out = tmp_path / "scan.json"
    done = scan_by_board(wired, "--board", str(wired.link), "--json", str(out))

    assert done.returncode == 0, done.stdout + done.stderr
    body = json.loads(out.read_text())
    (found,) = body["devices"]
    assert (found["unit_id"], found["profiles"][0]["id"]) == (DEVICE.unit_id, DEVICE.profile)
    assert body["symptoms"] == [] and f"uart = {UART}" in body["toml"]
    functions = {frame[1] for frame in asked_of(wired)}
    assert {3, 0x2B} <= functions <= {1, 2, 3, 4, 0x2B}
    assert str(wired.boards()["state"]) == "Shorewatch 0.1.0"


def test_a_station_that_runs_lends_the_board(wired: Bench, quiet_text: str) -> None:
    """By its id the board is found, its port borrowed, and polled again when the scan is over."""
    with running_station(wired, quiet_text):
        done = scan_by_board(wired, "--board", BOARD, "--state-dir", str(wired.folder))
        assert done.returncode == 0, done.stdout + done.stderr
        assert "lends the port" in done.stderr
        wired.until(lambda: told_by_station(wired)["up"], "polls of the board")


def test_no_prompt_opens_while_the_board_asks(wired: Bench) -> None:
    """What is typed instead of a request ends in the application, not at the REPL."""
    place = Place(Attached(str(wired.link)), UART)
    with scanning(place, Catalogue(), lambda _: None), opened(str(wired.link)) as line:
        line.write(b"\x03\x03\x02\x04import machine\r")
        heard = b"".join(line.read(0.2) for _ in range(5))
    assert b">>>" not in heard and b"Error" in heard
    assert str(wired.boards()["state"]) == "Shorewatch 0.1.0"


async def test_a_board_that_loses_power_ends_the_scan(wired: Bench) -> None:
    """It is said that it has gone; what was found is kept, and the board comes back to its work."""
    place = Place(Attached(str(wired.link)), UART)
    scan = Scan("b", [SETTING], [DEVICE.unit_id], list(load_profiles().values()), wait_s=0.2)

    def tell(text: str, done: int, total: int) -> None:
        if scan.found:
            wired.kill_vm()

    scan.tell = tell
    with (
        scanning(place, Catalogue(), lambda _: None) as scan.opener,
        pytest.raises(LinkError, match="has said nothing"),
    ):
        await scan.run()
    assert DEVICE.unit_id in scan.found and not scan.is_whole
    assert str(wired.boards()["state"]) == "Shorewatch 0.1.0"


async def test_a_board_by_strap_scans_for_whom_stands_beside_it(
    empty: Bench, tmp_path: Path
) -> None:
    """Its REPL opens by hand alone; what is to be bridged, and taken away again, is said."""
    catalogue, person = by_strap(tmp_path), Person(empty)
    flash(Attached(str(empty.link)), Wish(type="virtual"), catalogue, Talk(), Account())
    scan = Scan("b", [SETTING], [DEVICE.unit_id], [], wait_s=0.2, listen_s=0.2)
    with lined(empty):
        place = Place(Attached(str(empty.link)), UART)
        with scanning(place, catalogue, person.hear) as scan.opener:
            assert person.did == ["bridge"]
            await scan.run()
    assert sorted(scan.found) == [DEVICE.unit_id] and person.did == ["bridge", "take"]
    assert str(empty.boards()["state"]).startswith("Shorewatch 0.1.0")


def test_a_uart_that_the_board_has_not_is_usage(wired: Bench) -> None:
    """Those it has are named, and the board goes back to its work."""
    place = Place(Attached(str(wired.link)), 7)
    with (
        pytest.raises(UsageError, match="has no such UART; it has 0, 1"),
        scanning(place, Catalogue(), lambda _: None),
    ):
        pass
    assert str(wired.boards()["state"]) == "Shorewatch 0.1.0"


def test_another_firmware_is_not_trusted(wired: Bench, older: Path) -> None:
    """A board whose client may be another one is to be flashed first."""
    place = Place(Attached(str(wired.link)), UART)
    catalogue = Catalogue(older, Catalogue().boards)
    with (
        pytest.raises(FieldError, match="flash it first"),
        scanning(place, catalogue, lambda _: None),
    ):
        pass


def test_a_board_without_our_firmware_is_to_be_flashed(empty: Bench) -> None:
    """Bare MicroPython has no client: that is said, and nothing is left in its memory."""
    done = scan_by_board(empty, "--board", str(empty.link))
    assert done.returncode == 1 and "flash it first" in done.stderr
    assert str(empty.boards()["state"]).startswith("MicroPython")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--board", "beach"), "--board and --uart belong together"),
        (("--uart", "1"), "name one line"),
        (("--board", "a/b", "--uart", "0", "--port", "x"), "name one line"),
    ],
)
def test_half_a_line_is_usage(bench: Bench, words: tuple[str, ...], told: str) -> None:
    """A board needs its UART, and a line is named once."""
    done = bench.tool("scan", *words)
    assert done.returncode == 64 and told in done.stderr
