"""check.py: what a station file comes to, in tables that fit a terminal of 80 columns."""

import io
import subprocess
import sys

import pytest
from rich.console import Console

from shorewatch.check import detection_s, summary
from shorewatch.compiled import Compiled, load_compiled


@pytest.fixture
def compiled(write, station_text) -> Compiled:
    return load_compiled(write("s.toml", station_text))


def rule(compiled: Compiled, source: str):
    return next(rule for rule in compiled.rules if rule.source == source)


def test_a_points_alarm_waits_for_its_next_data(compiled):
    """An alarm comes after a period, the longest wait, the retries, the link and its own delay."""
    plan = compiled.plans["pfe-room"]
    pfe = compiled.station.devices["pfe"]
    (oldest_s,) = [age_s for block, age_s, _ in plan.oldest(pfe.bus) if block.device.id == "pfe"]
    current = rule(compiled, "pfe.line_current")

    retry_s = pfe.profile.retries * pfe.profile.worst_ms / 1000
    link_s = pfe.board.link.timeout_s
    wanted_s = oldest_s + retry_s + link_s + current.on_delay_s
    assert detection_s(compiled, current) == pytest.approx(wanted_s)


def test_every_alarm_has_its_time(compiled):
    """Devices, boards and uplinks are found lost within a stated time too."""
    assert {rule.source.partition("/")[0] for rule in compiled.rules} >= {
        "device",
        "board",
        "uplink",
    }
    for found in compiled.rules:
        assert found.on_delay_s < detection_s(compiled, found) < found.on_delay_s + 60


def test_the_tables_fit_80_columns(compiled):
    """Nothing is cut off on a terminal of 80 columns: boards, lines, shares and times are whole."""
    console = Console(file=io.StringIO(), width=80)

    console.print(summary(compiled))

    text = console.file.getvalue()
    assert max(map(len, text.splitlines())) <= 80 and "…" not in text
    assert all(f"{board} {plan.crc:08x}" in text for board, plan in compiled.plans.items())
    assert "19200 8E1" in text and "5%, 285 ms" in text


def test_brackets_in_a_text_are_a_text(write, station_text):
    """A station called `[/b]` is shown so: names in files have no say in how a table looks."""
    path = write("s.toml", station_text.replace('name = "Sumqayit"', 'name = "[/b] :warning:"', 1))
    command = [sys.executable, "-m", "shorewatch", "check", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0 and "[/b] :warning:" in done.stdout, done.stderr


def test_a_sparkplug_uplink_is_told_by_its_names(write, station_text):
    """Group, edge node, devices and host; alone, that nobody confirms what arrived."""
    text = station_text.replace(
        'consumers = ["noc"]', 'plane = "sparkplug"\nprimary_host = "IamHost"'
    )
    console = Console(file=io.StringIO(), width=200)
    console.print(summary(load_compiled(write("s.toml", text))))

    said = console.file.getvalue()
    assert "group trans-caspian, edge node sumqayit, 12 devices with" in said
    assert "waits for host IamHost" in said
    assert "Sparkplug only: delivery is not confirmed end to end" in said


def test_an_uplink_in_the_clear_beyond_this_machine_is_told(write, station_text):
    """Another host without TLS is worth a line; this machine, or TLS, is not."""
    for url, is_told in (("mqtt://noc.example", True), ("mqtts://noc.example", False)):
        text = station_text.replace("mqtt://127.0.0.1:18830", url)
        console = Console(file=io.StringIO(), width=200)
        console.print(summary(load_compiled(write("s.toml", text))))
        assert (f"{url} is without TLS" in console.file.getvalue()) is is_told
    console = Console(file=io.StringIO(), width=200)
    console.print(summary(load_compiled(write("s.toml", station_text))))
    assert "without TLS" not in console.file.getvalue()
