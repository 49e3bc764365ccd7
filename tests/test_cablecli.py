"""`shorewatch cable`: what an engineer at a NOC types, reads, and gets as exit code."""

import json
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cable_field import faulty, seconds
from free_ports import free_port

from shorewatch.assets import asset_folder
from shorewatch.cable.pairing import Pair
from shorewatch.plant.cable import HEALTHY

SHIPPED = asset_folder("stations") / "cables" / "trans-caspian.toml"
BEFORE = ("--before-a", "282.0,1.0", "--before-b", "282.0,1.0")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "shorewatch", "cable", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def lines(pairs: Iterator[Pair]) -> Iterator[str]:
    """Pairs as `watch --jsonl` writes them: station by station, B's volts negative."""
    for seq, pair in enumerate(pairs, 1):
        at = datetime.fromtimestamp(pair.at_s - 0.2, UTC).isoformat().replace("+00:00", "Z")
        for station, shown, sign in (("sumqayit", pair.a, 1), ("aktau", pair.b, -1)):
            assert shown is not None, "both ends speak in these tests"
            points = {"line_voltage": sign * shown.volts, "line_current": shown.amps}
            head = {"station": f"trans-caspian/{station}", "journal": "j", "seq": seq}
            body = {"kind": "sample", "at": at, "device": "pfe", "points": points}
            yield json.dumps(head | body) + "\n"


@pytest.mark.parametrize("command", ["locate", "plot"])
def test_help_has_an_example(command: str) -> None:
    """--help shows how the command is typed."""
    done = run(command, "--help")
    assert done.returncode == 0 and f"shorewatch cable {command}" in done.stdout


def test_two_readings_give_a_place_and_exit_code_1(tmp_path: Path) -> None:
    """Place, interval, grounds and assumptions are printed; the record has the same."""
    out = tmp_path / "found.json"
    there = ("--a", "147.048,1.00045", "--b", "416.868,0.99955")
    done = run("locate", "--cable", str(SHIPPED), *there, *BEFORE, "--json", str(out))
    assert done.returncode == 1, done.stderr
    assert done.stdout.startswith("shunt fault 100.1 km from Sumqayit (95 %: 98.3 to 101.7)")
    for word in ("because", "assumed", "method", "disagrees"):
        assert f"\n  {word}" in done.stdout
    body = json.loads(out.read_text())
    assert body["verdict"] == "fault"
    assert body["place"]["low_km"] < 100 < body["place"]["high_km"]


@pytest.mark.parametrize(
    ("readings", "words"),
    [
        (("--a", "282.0,1.0", "--b", "282.1,1.0"), "no fault is to be seen"),
        (("--a", "433.6,1.0005", "--b", "-130.6,1.0005", *BEFORE), "no leak"),
    ],
)
def test_no_fault_is_exit_code_0(readings: tuple[str, ...], words: str) -> None:
    """A healthy balance, and one that a set current moved, are no faults."""
    done = run("locate", *readings)
    assert done.returncode == 0 and words in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "give readings"),
        (("--a", "147"), "must look like 147.0,1.00045"),
        (("--a", "nan,1"), "must be at most"),
        (("--a", "1.0,147.0"), "volts first"),
        (("--a", "147,1", "--jsonl", "x"), "give readings"),
        (("--a", "147,1", "--before-a", "282,1"), "go together"),
        (("--a", "147,1", "--for", "5"), "goes with --url"),
        (("--jsonl", "/nowhere/at.all"), "No such file"),
    ],
)
def test_what_makes_no_sense_is_exit_code_64(arguments: tuple[str, ...], words: str) -> None:
    """The message says what is wrong and how it must look."""
    done = run("locate", *arguments)
    assert done.returncode == 64 and words in done.stderr and "Traceback" not in done.stderr


def test_a_wrong_cable_file_is_exit_code_78(tmp_path: Path) -> None:
    """The file and line of the mistake are named."""
    file = tmp_path / "cable.toml"
    text = SHIPPED.read_text().replace("length_km = 380.0", "length_km = -1.0")
    file.write_text(text)
    line = text[: text.index("length_km")].count("\n") + 1
    done = run("locate", "--cable", str(file), "--a", "147,1")
    assert done.returncode == 78 and f"{file}:{line}:" in done.stderr


def test_a_file_of_records_is_gone_through(tmp_path: Path) -> None:
    """The fault in it is told with its time and place, though one station's records come late."""
    path, out = tmp_path / "records.jsonl", tmp_path / "found.json"
    found = lines(seconds(lambda second: HEALTHY if second < 120 else faulty(143.2), 200))
    path.write_text("".join(sorted(found, key=lambda line: "aktau" in line)))
    done = run("locate", "--jsonl", str(path), "--json", str(out))
    assert done.returncode == 1, done.stderr
    assert "2026-11-18T" in done.stdout and "between repeaters 1 and 2" in done.stdout
    first = json.loads(out.read_text())[0]
    assert first["place"]["low_km"] < 143.2 < first["place"]["high_km"]


def test_a_healthy_file_of_records_is_exit_code_0(tmp_path: Path) -> None:
    """Nothing happened: so it says, of how many seconds."""
    path = tmp_path / "records.jsonl"
    path.write_text("".join(lines(seconds(lambda second: HEALTHY, 100))))
    done = run("locate", "--jsonl", str(path))
    assert done.returncode == 0 and "no fault is to be seen in 9" in done.stdout


def test_a_file_without_the_cable_is_exit_code_2(tmp_path: Path) -> None:
    """Records of others are no proof that this cable is healthy."""
    path = tmp_path / "records.jsonl"
    path.write_text('{"station": "x/y", "journal": "j", "seq": 1, "kind": "note"}\n')
    done = run("locate", "--jsonl", str(path))
    assert done.returncode == 2 and "sumqayit's pfe" in done.stderr


def test_a_file_of_something_else_is_named(tmp_path: Path) -> None:
    """A line that is no record is told with its number."""
    path = tmp_path / "records.jsonl"
    path.write_text("hello\n")
    done = run("locate", "--jsonl", str(path))
    assert done.returncode == 64 and f"{path}:1" in done.stderr


def test_a_broker_that_is_not_there_is_exit_code_2() -> None:
    """Silence is not health."""
    done = run("locate", "--url", f"mqtt://127.0.0.1:{free_port()}", "--for", "1.5")
    assert done.returncode == 2 and "no fault" not in done.stdout


def test_plot_writes_a_picture(tmp_path: Path) -> None:
    """The file is an SVG that names the place."""
    out = tmp_path / "fault.svg"
    done = run("plot", str(out), "--a", "147.0,1.00045", "--b", "416.9,0.99955")
    assert done.returncode == 0, done.stderr
    assert ElementTree.parse(out).getroot().tag.endswith("svg")
    assert "100.0 km from Sumqayit" in out.read_text()
