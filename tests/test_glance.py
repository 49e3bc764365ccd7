"""glance.py: a station on a terminal."""

import io
from typing import Any

from rich.console import Console
from still import device, point, still

from shorewatch.glance import fitted, whole


def drawn(group: Any, width: int = 80, height: int = 24) -> str:
    console = Console(file=io.StringIO(), width=width, height=height, color_system=None)
    console.print(group)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def screen(snapshot: Any, **more: Any) -> list[str]:
    return drawn(fitted(snapshot, width=80, height=24, **more)).splitlines()


def test_everything_is_said_once() -> None:
    """Verdict, devices, lines, values with unit and age, the good and the bad."""
    snapshot = still()
    snapshot["devices"]["room"] = device("Room", "inland", point(), point("bad", "sentinel", 34.0))
    text = drawn(whole(snapshot), width=100)
    assert "✕ Room: 1 of 2 values bad (sentinel) since 05:57:00 (3 min)" in text
    (bad,) = [line for line in text.splitlines() if line.startswith("room.p1")]
    assert bad.split() == ["room.p1", "(21.4)", "°C", "3", "min", "✕", "sentinel"]
    (good,) = [line for line in text.splitlines() if line.startswith("lid.p0")]
    assert good.split() == ["lid.p0", "21.5", "°C", "0.5", "s", "good"]
    assert "12,403 records waiting" in text and "records 1 to 4,711" in text


def test_a_screen_holds_any_station() -> None:
    """A hundred sick devices with long names: 24 lines of 80, and what is left out is counted."""
    snapshot = still()
    for i in range(100):
        sick = device(f"Room {i} " + "x" * 200, "inland", point("bad", "sentinel", 3.0))
        snapshot["devices"][f"d{i}"] = sick
    lines = screen(snapshot)
    assert len(lines) <= 24 and max(map(len, lines)) <= 80
    assert any("and 97 more: shorewatch status" in line for line in lines)
    assert any(line.startswith("and ") and line.rstrip().endswith(" more") for line in lines)


def test_a_long_reason_is_folded_where_there_is_room() -> None:
    """The whole sentence can be read while nothing else needs the place."""
    snapshot = still()
    snapshot["outbox"]["health"] = " ".join(["word"] * 30)
    assert sum(line.count("word") for line in screen(snapshot)[:4]) == 30


def test_a_silent_gateway_shows_nothing_that_looks_alive() -> None:
    """The loss, and what was wrong before; no value, no line, no sign that all is well."""
    text = "\n".join(screen(still(), lost="No word from the gateway since 06:00:00 (9 s)"))
    assert "✕ No word from the gateway since 06:00:00 (9 s)" in text
    for word in ("online", " up ", "21.5", "✓", "writing"):
        assert word not in text


def test_what_a_station_says_steers_no_terminal() -> None:
    """Control characters in names become question marks."""
    snapshot = still()
    snapshot["devices"]["room"]["name"] = "a\x1b[2Jb"
    snapshot["devices"]["room"]["points"]["p0"] = point("bad", "x\x1b]0;y\x07", 1.0)
    assert "\x1b" not in drawn(whole(snapshot)) + "\n".join(screen(snapshot))
