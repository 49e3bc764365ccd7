"""What is said of a bus from both of its ends, and what switches do."""

import http.server
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from shorewatch.errors import ConfigError, DemoError
from shorewatch.hil.check import judge_bus
from shorewatch.hil.file import load_bench
from shorewatch.hil.switch import Switch
from shorewatch.plant.port import open_port

NORTH, SOUTH = (1, 4, 0, 2), (10, 4, 0, 80)
WANTED = {("north", 0): {NORTH}, ("south", 0): {SOUTH}}
COUNTS = {"frames": 10, "answered": 10, "garbled": 0}
WELL = {"requests": 10, "good": 10, "timeouts": 0, "crc_errors": 0}


@pytest.mark.parametrize(
    ("asked", "counts", "figures", "text"),
    [
        ({NORTH}, COUNTS, WELL, "10 of 10 requests answered"),
        (set(), COUNTS | {"frames": 0}, WELL, "nothing is heard at the adapter"),
        ({SOUTH}, COUNTS, WELL, "belongs to bus south/0: exchange the two"),
        (set(), COUNTS | {"garbled": 10}, WELL, "exchange A and B"),
        ({NORTH}, COUNTS, WELL | {"good": 0, "timeouts": 10}, "switch to receiving"),
        ({NORTH}, COUNTS, WELL | {"good": 3, "crc_errors": 7}, "termination and bias"),
        ({NORTH}, COUNTS, None, "its board gives no figures: link-down"),
    ],
)
def test_a_bus_is_judged_by_both_ends(asked, counts, figures, text) -> None:
    """Each way of being wired wrongly has its own words, and a right bus is right."""
    found = judge_bus("north/0", asked, WANTED, ("north", 0), counts, figures, "link-down")
    assert text in found.text
    assert (found.verdict == "ok") == (figures == WELL and asked == {NORTH})


def switch(**keys: object) -> Switch:
    return TypeAdapter(Switch).validate_python(keys)


async def test_a_command_is_run_and_its_failure_told() -> None:
    """A program that fails, is not there, or says why is named with its code and words."""
    fails = "import sys; print('no relay'); sys.exit(3)"
    one = switch(kind="command", on=[sys.executable, "-c", "0"], off=[sys.executable, "-c", fails])
    await one.switch(is_on=True)
    with pytest.raises(DemoError, match="code 3: no relay"):
        await one.switch(is_on=False)
    with pytest.raises(DemoError, match="/nowhere cannot be run"):
        await switch(kind="command", on=["/nowhere"], off=["/nowhere"]).switch(is_on=True)


async def test_a_relay_gets_its_four_bytes(tmp_path: Path) -> None:
    """Head, channel, state and sum, as the LCUS family wants them."""
    with open_port(tmp_path / "relay") as port:
        one = switch(kind="relay", port=str(tmp_path / "relay"), channel=2)
        await one.switch(is_on=True)
        await one.switch(is_on=False)
        assert port.receive() == bytes([0xA0, 2, 1, 0xA3, 0xA0, 2, 0, 0xA2])
    with pytest.raises(DemoError, match="cannot be opened"):
        await one.switch(is_on=True)


@pytest.fixture
def pdu() -> Iterator[tuple[str, list[str]]]:
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200 if self.path.startswith("/outlet") else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
        server.shutdown()


async def test_a_pdu_is_asked_and_its_refusal_told(pdu) -> None:
    """On and off are addresses; one that is refused is named."""
    url, asked = pdu
    one = switch(kind="http", on=f"{url}/outlet?1=on", off=f"{url}/else")
    await one.switch(is_on=True)
    with pytest.raises(DemoError, match="404"):
        await one.switch(is_on=False)
    assert asked == ["/outlet?1=on", "/else"]


async def test_uhubctl_has_its_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The program is called with hub, port and action; without it, it is said how to get it."""
    one = switch(kind="uhubctl", hub="1-1", port=2)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DemoError, match="apt install uhubctl"):
        await one.switch(is_on=True)
    program = tmp_path / "uhubctl"
    program.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/said\n')
    program.chmod(0o755)
    await one.switch(is_on=False)
    assert (tmp_path / "said").read_text() == "-l 1-1 -p 2 -a off\n"


def test_a_bench_file_is_told_what_is_wrong_in_it(tmp_path: Path) -> None:
    """Ports that are there twice, an unknown type or switch: with file, place and rule."""
    path = tmp_path / "bench.toml"
    head = (
        'name = "x"\n[[board]]\nid = "a"\ntype = "{}"\nunique_id = "0011223344"\nport = "/dev/p"\n'
    )
    bus = '[[board.bus]]\nuart = 0\nadapter = "{}"\n'
    for text, rule in (
        (head.format("pico") + bus.format("/dev/p"), "'/dev/p' is there twice"),
        (head.format("abacus") + bus.format("/dev/a"), "'abacus' is none of"),
        (head.format("pico") + '[board.power]\nkind = "magic"\n' + bus.format("/dev/a"), "kind"),
    ):
        path.write_text(text)
        with pytest.raises(ConfigError, match=rule):
            load_bench(path)
    path.write_text(head.format("pico") + bus.format("/dev/a"))
    assert load_bench(path).board[0].bus[0].adapter == "/dev/a"
