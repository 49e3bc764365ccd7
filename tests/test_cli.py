"""The command line: what a person reads, and the exit codes."""

import socket
import subprocess
import sys

import pytest

from shorewatch.assets import asset_folder

STATION = asset_folder("stations") / "sumqayit.toml"


def run(*arguments: str, **keys) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "shorewatch", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **keys)


@pytest.mark.parametrize(
    "command",
    [
        *("demo", "run", "check", "watch", "plan build", "plan show", "bench bus"),
        *("plant line", "plant board", "plant broker"),
    ],
)
def test_every_command_has_help_with_an_example(command):
    """--help of every command shows an example of itself."""
    done = run(*command.split(), "--help")

    assert done.returncode == 0
    assert f"shorewatch {command}" in done.stdout
    assert "Example" in done.stdout


def test_a_good_station_is_summed_up():
    """check prints what each bus carries and how busy it will be."""
    done = run("check", str(STATION))

    assert done.returncode == 0
    assert "no errors" in done.stdout
    assert "pfe-room" in done.stdout


def test_a_bad_station_lists_all_errors_with_lines(write, station_text):
    """check names file, line, key, value and rule of every mistake, and exits with 78."""
    text = station_text.replace("unit_id = 10", "unit_id = 1000").replace("baud = 19200", "bad = 1")
    path = write("bad.toml", text)

    done = run("check", str(path))

    assert done.returncode == 78
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if str(path) in line]
    assert any("unit_id" in line and "found 1000" in line for line in lines)
    assert any("did you mean 'baud'" in line for line in lines)


def test_a_wrong_option_is_a_usage_error():
    """An unknown option exits with 64."""
    assert run("check", "--nonsense").returncode == 64


def test_a_port_in_use_is_one_clear_line():
    """demo with a taken port says which, and what to do, and starts nothing."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run("demo", "--headless", "--for", "1", "--mqtt-port", str(port))

    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert f"port {port}" in line and "--mqtt-port" in line


def test_a_page_port_in_use_stops_the_gateway_before_it_starts(tmp_path):
    """run refuses a taken page port as a configuration error."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run("run", str(STATION), "--state-dir", str(tmp_path), "--set", f"page.port={port}")

    assert done.returncode == 78
    assert f"127.0.0.1:{port}" in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_state_directory_that_cannot_be_made_is_said_so(tmp_path):
    """run names the folder and the way out."""
    (tmp_path / "file").write_text("")

    done = run("run", str(STATION), "--state-dir", str(tmp_path / "file" / "x"))

    assert done.returncode == 1
    assert "--state-dir" in done.stderr and "Traceback" not in done.stderr


def test_watch_of_no_broker_url_says_how_it_should_look():
    """A url of another kind is refused with an example."""
    done = run("watch", "http://example")

    assert done.returncode == 78
    assert "mqtt://host:1883" in done.stderr


def test_a_broker_that_is_not_there_is_exit_code_2():
    """watch --for of an unreachable broker ends with 2 and says why."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    done = run("watch", f"mqtt://127.0.0.1:{port}", "--for", "1")

    assert done.returncode == 2
    assert "unreachable" in done.stdout


@pytest.mark.parametrize("text", ["/dev/ttyUSB0", "0=", "x=/dev/ttyUSB0"])
def test_a_bus_of_no_form_says_how_it_should_look(tmp_path, text):
    """plant board --bus without UART and path is refused with an example."""
    done = run(
        "plant", "board", str(STATION), "pfe-room", "--state-dir", str(tmp_path), "--bus", text
    )

    assert done.returncode == 1
    assert "0=/dev/ttyUSB0" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("line", "words"),
    [(("nope", "0"), "it has pfe-room, beach"), (("beach", "7"), "UART 7; it has 0, 1")],
)
def test_a_line_that_is_not_there_is_said_so(tmp_path, line, words):
    """plant line of an unknown board or UART names what there is."""
    done = run("plant", "line", str(STATION), *line, "--state-dir", str(tmp_path))

    assert done.returncode == 1
    assert words in done.stderr and "Traceback" not in done.stderr
