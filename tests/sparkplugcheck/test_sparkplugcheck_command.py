"""`shorewatch sparkplug-check` as a person meets it: text, files and exit codes."""

import json
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from mutations import MUTATIONS
from sessions import Step, entries
from test_sparkplugcheck_stream import encode

from shorewatch.sparkplugcheck.session import Passed, to_lines


def check(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "shorewatch", "sparkplug-check", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def saved(path: Path, steps: Iterable[Step]) -> Path:
    """The session as a file, its packets as the bytes of MQTT 5, which its CONNECT must say."""
    found = []
    for entry in entries(steps):
        if isinstance(entry.what, Passed):
            frame = entry.what.frame
            entry = replace(
                entry, what=replace(entry.what, frame=replace(frame, data=encode(frame.packet)))
            )
        found.append(entry)
    path.write_text("".join(to_lines(found)))
    return path


def test_a_session_without_fault_ends_with_0(tmp_path):
    """A saved session that breaks nothing is summed up, and the exit code is 0."""
    done = check("--read", saved(tmp_path / "s.jsonl", MUTATIONS["case-names"].make()))

    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 failed, 1 warned" in done.stdout


def test_a_session_with_a_fault_ends_with_1(tmp_path):
    """A failed assertion is exit code 1, and stands in the JSON with its evidence."""
    report = tmp_path / "report.json"
    session = saved(tmp_path / "s.jsonl", MUTATIONS["will-qos"].make())

    done = check("--read", session, "--json", report)

    assert done.returncode == 1
    verdicts = json.loads(report.read_text())["verdicts"]
    broken = verdicts["tck-id-payloads-ndeath-will-message-qos"]["broken"]
    assert broken[0]["evidence"][0]["seen"] == "QoS 0"


def test_a_recording_without_a_node_ends_with_2(tmp_path):
    """Nothing was judged, so nothing is called right."""
    done = check("--read", saved(tmp_path / "s.jsonl", []))

    assert done.returncode == 2
    assert "no edge node was seen" in done.stderr


def test_no_broker_ends_with_2(unused_tcp_port):
    """A broker that cannot be reached is named, with the reason."""
    done = check("--listen", "0", "--broker", f"mqtt://127.0.0.1:{unused_tcp_port}")

    assert done.returncode == 2
    assert f"127.0.0.1:{unused_tcp_port} cannot be reached" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--broker", "mqtts://here:8883"], "without TLS"),
        (["--broker", "mqtt://here:port"], "must look like"),
        (["--for", "0"], "above 0"),
        (["--listen", "70000"], "1 to 65535"),
        (["--password-file", "x"], "--user"),
        (["--read", "/nowhere"], "name a file of --save"),
        (["--read", __file__], "line 1"),
    ],
)
def test_an_option_that_makes_no_sense_ends_with_64(arguments, why):
    """Each says what is wrong and what to do."""
    done = check(*arguments)

    assert done.returncode == 64
    assert why in done.stderr
