"""port.py: a serial port that one tool has, and nobody else."""

import os
import tempfile
from pathlib import Path

import pytest

from shorewatch.errors import AbsentError, FieldError
from shorewatch.field.port import Attached, find_again, locked, opened

from .scripted import scripted


def lock_of(port: str) -> Path:
    name = os.path.realpath(port).strip("/").replace("/", "-")
    return Path(tempfile.gettempdir()) / f"shorewatch-{name}.lock"


def test_a_second_tool_is_kept_out_and_let_in_later(tmp_path: Path) -> None:
    """By whatever name it knows the port; the error says to wait."""
    with scripted(lambda _: b"") as port:
        (tmp_path / "link").symlink_to(port)
        with (
            locked(port),
            pytest.raises(FieldError, match="another shorewatch tool works on this board"),
            locked(str(tmp_path / "link")),
        ):
            pass
        with locked(port):
            pass


def test_a_lock_lasts_as_long_as_a_child_that_has_it() -> None:
    """A tool that was killed leaves its half-done child alone on the board."""
    with scripted(lambda _: b"") as port:
        with locked(port) as fd:
            inherited = os.dup(fd)
        with pytest.raises(FieldError), locked(port):
            pass
        os.close(inherited)
        with locked(port):
            pass


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives files to other users")
def test_another_users_lock_file_is_good_enough() -> None:
    """Whoever came first on this machine has made it, and everybody can hold it."""
    with scripted(lambda _: b"") as port:
        file = lock_of(port)
        file.unlink(missing_ok=True)
        previous = os.umask(0o077)
        try:
            with locked(port):
                assert file.stat().st_mode & 0o777 == 0o644
        finally:
            os.umask(previous)
        os.chown(file, 12345, 12345)
        with locked(port):
            pass
        file.unlink()


def test_a_lock_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    """In /tmp anybody may put one; it is told as a file to remove."""
    with scripted(lambda _: b"") as port:
        file = lock_of(port)
        file.unlink(missing_ok=True)
        file.symlink_to(tmp_path / "precious")
        try:
            with pytest.raises(FieldError, match="remove it"), locked(port):
                pass
            assert not (tmp_path / "precious").exists()
        finally:
            file.unlink()


def test_a_port_that_goes_is_absent() -> None:
    """A read from what was unplugged says so, and what to look at."""
    with scripted(lambda _: b"") as port:
        opening = opened(port)
        line = opening.__enter__()
    with pytest.raises(AbsentError, match="is its USB plug in"):
        line.read(0.1)
    opening.__exit__(None, None, None)


def test_a_port_is_found_again_by_its_lasting_name(tmp_path: Path) -> None:
    """A board that USB does not tell apart is where its name leads, or away."""
    port = Attached(str(tmp_path / "link"))
    assert find_again(port) is None
    (tmp_path / "link").touch()
    assert find_again(port) == port
