"""Stations, processes and patience for the plant's tests."""

import time
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from multiprocessing.context import SpawnProcess
from typing import Any

import pytest

from shorewatch.assets import asset_folder
from shorewatch.config import Station, load_station


@pytest.fixture(scope="session")
def sumqayit() -> Station:
    return load_station(asset_folder("stations") / "sumqayit.toml")


@pytest.fixture(scope="session")
def aktau() -> Station:
    return load_station(asset_folder("stations") / "aktau.toml")


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
