"""Shared fixtures: a shipped station, whole or as text to damage. How many tests run at once."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from shorewatch.assets import asset_folder
from shorewatch.config import Station, load_station

_FEW = 3

# An example may take as long as the machine needs: no test asserts a time.
settings.register_profile("shorewatch", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shorewatch")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Two a core, since most tests wait; none beside where only a few files are asked for."""
    is_few = config.args_source is pytest.Config.ArgsSource.ARGS and len(config.args) <= _FEW
    is_files = all(arg.partition("::")[0].endswith(".py") for arg in config.args)
    return 0 if is_few and is_files else min(8, 2 * (os.cpu_count() or 1))


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
