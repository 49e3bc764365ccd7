"""Shared fixtures: the demo's stations, and programs that may be missing."""

import os
import shutil
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


def need(program: str) -> str:
    """The path of `program`; skips the test if it is missing, or fails it where CI wants all."""
    path = shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin:/usr/local/sbin")
    if path is not None:
        return path
    reason = f"{program} is not installed"
    if os.environ.get("SHOREWATCH_REQUIRE_ALL") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture
def write(tmp_path: Path):  # type: ignore[no-untyped-def]
    """Writes a file into the test's folder and returns its path."""

    def _write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    return _write
