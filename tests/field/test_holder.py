"""holder.py: which programs have a port open, and which of them is a running station."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from shorewatch.errors import FieldError
from shorewatch.field.holder import Holder, holders
from shorewatch.field.port import opened

from .scripted import scripted


@contextmanager
def held(port: str, opening: str) -> Iterator[int]:
    """Another program that has the port open; gives its process id."""
    code = f"import sys, serial; file = {opening}; print('open', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", code, port]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdin is not None and other.stdout is not None
        other.stdout.readline()
        yield other.pid
        other.stdin.close()
        other.wait(20)


def test_who_has_a_port_open_is_named() -> None:
    """Another process is seen with its id, we ourselves are not; a port that is closed has none."""
    with scripted(lambda data: b"") as port:
        with held(port, "open(sys.argv[1], 'rb', 0)") as pid:
            (found,) = holders(port)
            assert found.pid == pid and str(found).startswith(Path(sys.executable).name)
        assert holders(port) == []


def test_a_port_that_another_program_has_exclusively_is_not_opened() -> None:
    """The error names the program and its process, and says to end it."""
    with (
        scripted(lambda data: b"") as port,
        held(port, "serial.Serial(sys.argv[1], exclusive=True)") as pid,
        pytest.raises(FieldError, match=rf"process {pid}\); end that"),
        opened(port),
    ):
        pass


@pytest.mark.parametrize(
    ("argv", "is_station"),
    [
        (("python", "-m", "shorewatch", "run", "s.toml"), True),
        (("python", "/venv/bin/shorewatch", "run", "s.toml"), True),
        (("/venv/bin/shorewatch", "run", "s.toml"), True),
        (("python", "/venv/bin/shorewatch", "plant", "run", "s.toml"), False),
        (("python", "-m", "shorewatch", "flash", "run"), False),
        (("run", "shorewatch"), False),
    ],
)
def test_a_station_is_a_shorewatch_run(argv: tuple[str, ...], is_station: bool) -> None:
    """However it was started; no other command of ours, and nobody else's `run`."""
    assert Holder(1, argv).is_station is is_station


@pytest.mark.parametrize("words", [("--state-dir", "state"), ("--state-dir=state",)])
def test_a_stations_folder_is_seen_from_its_own(words: tuple[str, ...]) -> None:
    """A relative --state-dir is taken from where that process is at work."""
    found = Holder(os.getpid(), ("shorewatch", "run", "s.toml", *words))
    assert found.state_dir == Path.cwd() / "state"
    assert Holder(os.getpid(), ("shorewatch", "run", "s.toml")).state_dir is None


def test_no_port_has_no_holder(tmp_path: Path) -> None:
    """A path that is not there is nobody's."""
    assert holders(str(tmp_path / "none")) == []
