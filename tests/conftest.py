"""Shared fixtures: a shipped station, whole or as text to damage."""

from pathlib import Path

import pytest

from shorewatch.assets import asset_folder
from shorewatch.config import Station, load_station


@pytest.fixture
def sumqayit() -> Station:
    """The station Sumqayit as shipped."""
    return load_station(asset_folder("stations") / "sumqayit.toml")


@pytest.fixture
def station_text() -> str:
    """The text of a shipped station file, to be damaged by tests."""
    return (asset_folder("stations") / "sumqayit.toml").read_text()


@pytest.fixture
def write(tmp_path: Path):  # type: ignore[no-untyped-def]
    """Writes a file into the test's folder and returns its path."""

    def _write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return path

    return _write


@pytest.fixture
def quiet_text(station_text: str) -> str:
    """The shipped station without page, uplinks and alarms, its links polled fast."""
    head, _, rest = station_text.partition("[page]")
    boards = rest.partition("\n[[alarm]]")[0].partition("[[board]]")[2]
    return head + "[[board]]" + boards.replace('.link"', '.link"\npoll_s = 0.02\ntimeout_s = 0.3')
