"""The command line: what a person reads, and the exit codes."""

import signal
import socket
import subprocess
import sys

import pytest
from free_ports import free_ports

from shorewatch.assets import asset_folder

STATION = asset_folder("stations") / "sumqayit.toml"


def run(*arguments: str, **keys) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "shorewatch", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **keys)


@pytest.mark.parametrize(
    "command",
    [
        *(
            "demo",
            "run",
            "check",
            "diff",
            "reload",
            "watch",
            "plan build",
            "plan show",
            "bench bus",
            "bench chaos",
            "bench core",
            "schema",
            "sparkplug-check",
        ),
        "profile check",
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


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *(("--for", value) for value in ("-3", "0", "nan", "inf")),
        *(("--restart-after", value) for value in ("-1", "nan")),
        *(("--mqtt-port", value) for value in ("0", "-1", "65536", "8102")),
        *(("--page-port", value) for value in ("0", "65535", "18830", "18829")),
        *(("--report", value) for value in ("/", "/dev/null/x")),
        *(("--keep", value) for value in ("/dev/null", "/proc/x")),
    ],
)
def test_a_demo_of_nonsense_is_refused_in_one_line(option, value):
    """demo names option, value, rule and what to do, and starts nothing."""
    done = run("demo", option, value)

    assert done.returncode == 64
    (line,) = done.stderr.splitlines()
    assert option in line or "--mqtt-port" in line
    assert "must be" in line or "choose another" in line
    assert done.stdout == ""


def test_a_demo_without_a_terminal_talks_in_lines():
    """Without --headless and without a terminal demo says where it is, and how it ended."""
    port = free_ports(3)  # the page of each station has one

    done = run("demo", "--for", "0.5", "--mqtt-port", str(port), "--page-port", str(port + 1))

    assert f"broker: mqtt://127.0.0.1:{port}" in done.stdout
    assert "sumqayit: " in done.stdout.splitlines()[-2]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("mqtt://localhost:99999",), "mqtt://localhost:99999"),
        (("mqtt://[::1",), "mqtt://[::1"),
        (("mqtt://a..b",), "mqtt://a..b"),
        (("mqtt://localhost", "--acknowledge", "a/#"), "a/#"),
    ],
)
def test_what_watch_cannot_follow_is_refused_in_one_line(arguments, words):
    """A url or a consumer of no form is named, with the rule."""
    done = run("watch", *arguments)

    assert done.returncode == 78
    (line,) = done.stderr.splitlines()
    assert words in line


@pytest.mark.parametrize(
    "command",
    [
        ("run", str(STATION)),
        ("plant", "line", str(STATION), "beach", "0"),
        ("plant", "board", str(STATION), "beach"),
        ("plant", "broker"),
    ],
)
@pytest.mark.parametrize("folder", ["/dev/null/x", "/proc"])
def test_a_state_directory_that_cannot_be_used_is_a_usage_error(command, folder):
    """Every command that takes --state-dir names the folder and the way out."""
    done = run(*command, "--state-dir", folder)

    assert done.returncode == 64
    (line,) = done.stderr.splitlines()
    assert folder in line and "--state-dir" in line


@pytest.mark.parametrize("module", [b" cyclopts", b" shorewatch.watch", b" aiomqtt"])
def test_ctrl_c_while_it_starts_is_no_traceback(module):
    """Interrupted while its modules are loaded, watch exits with 2 and says nothing."""
    command = [
        sys.executable,
        "-X",
        "importtime",
        "-m",
        "shorewatch",
        "watch",
        "mqtt://127.0.0.1:1",
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        for line in process.stderr:
            if module in line:
                break
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)

    assert b"Traceback" not in errors
    assert process.returncode == 2


@pytest.mark.parametrize(
    ("output", "codes"),
    [("| head -0", (0, 1, 2)), (">&-", (0,)), ("> /dev/full", (2,)), ("2>&-", (0,))],
)
def test_an_output_that_takes_nothing_is_no_traceback(output, codes):
    """A closed or full stdout ends a command quietly, or with one line."""
    command = f"{sys.executable} -m shorewatch --version"
    shell = f"set -o pipefail; {command} {output}"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=False)

    assert done.returncode in codes
    assert "Traceback" not in done.stderr and "Exception" not in done.stderr


def test_a_page_port_in_use_stops_the_gateway_before_it_starts(tmp_path):
    """run refuses a taken page port as a configuration error."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run("run", str(STATION), "--state-dir", str(tmp_path), "--set", f"page.port={port}")

    assert done.returncode == 78
    assert f"127.0.0.1:{port}" in done.stderr
    assert not list(tmp_path.iterdir())


def test_watch_of_no_broker_url_says_how_it_should_look():
    """A url of another kind is refused with an example."""
    done = run("watch", "http://example")

    assert done.returncode == 78
    assert "mqtt://host:1883" in done.stderr


def test_a_broker_that_is_not_there_is_exit_code_2():
    """watch --for of an unreachable broker ends with 2 and says why."""
    port = free_ports(1)

    done = run("watch", f"mqtt://127.0.0.1:{port}", "--for", "1")

    assert done.returncode == 2
    assert "unreachable" in done.stdout


@pytest.mark.parametrize("text", ["/dev/ttyUSB0", "0=", "x=/dev/ttyUSB0"])
def test_a_bus_of_no_form_says_how_it_should_look(tmp_path, text):
    """plant board --bus without UART and path is refused with an example."""
    done = run(
        "plant", "board", str(STATION), "pfe-room", "--state-dir", str(tmp_path), "--bus", text
    )

    assert done.returncode == 64
    assert "0=/dev/ttyUSB0" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("line", "words"),
    [(("nope", "0"), "it has pfe-room, beach"), (("beach", "7"), "UART 7; it has 0, 1")],
)
def test_a_line_that_is_not_there_is_said_so(tmp_path, line, words):
    """plant line of an unknown board or UART names what there is."""
    done = run("plant", "line", str(STATION), *line, "--state-dir", str(tmp_path))

    assert done.returncode == 64
    assert words in done.stderr and "Traceback" not in done.stderr
