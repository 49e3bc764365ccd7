"""Stations, processes and patience for the plant's tests."""

import time
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

import pytest

from shorewatch.assets import asset_folder
from shorewatch.config import Station, load_station
from shorewatch.profile import load_profiles


@pytest.fixture(scope="session")
def sumqayit() -> Station:
    return load_station(asset_folder("stations") / "sumqayit.toml")


@pytest.fixture(scope="session")
def aktau() -> Station:
    return load_station(asset_folder("stations") / "aktau.toml")


@pytest.fixture(scope="session")
def every(tmp_path_factory: pytest.TempPathFactory) -> Station:
    """A station with a device of each shipped type, named as its profile, on one line."""
    path: Path = tmp_path_factory.mktemp("every") / "every.toml"
    text = (
        '[station]\nid = "sumqayit"\nname = "S"\ncable = "c"\ncable_name = "C"\n[page]\nport = 1\n'
    )
    text += '[[direct]]\nid = "all"\ntcp = "127.0.0.1:1"\n'
    for unit_id, profile in enumerate(sorted(load_profiles()), 1):
        text += f'[[direct.device]]\nid = "{profile}"\nname = "{profile}"\n'
        text += f'profile = "{profile}"\nunit_id = {unit_id}\n'
    path.write_text(text, "utf-8")
    return load_station(path)


def wait_until(is_true: Callable[[], object], what: str, limit_s: float = 30.0) -> None:
    """Poll until something has happened; a test that waits in vain says for what."""
    end_s = time.monotonic() + limit_s
    while not is_true():
        assert time.monotonic() < end_s, f"waited {limit_s:g} s for {what}"
        time.sleep(0.005)


@pytest.fixture
def wait() -> Callable[..., None]:
    return wait_until


@pytest.fixture
def spawn() -> Iterator[Callable[..., SpawnProcess]]:
    """Start `function(*args, **kwargs)` in a new process; what is left after the test is killed."""
    started: list[SpawnProcess] = []

    def start(function: Callable[..., None], *args: Any, **kwargs: Any) -> SpawnProcess:
        process = get_context("spawn").Process(target=function, args=args, kwargs=kwargs)
        process.start()
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.join()
        process.close()
