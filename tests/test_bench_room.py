"""bench/room.py: a disk of our own is really full and really read-only."""

import errno

import pytest

from shorewatch.bench.room import Room, mounted


def write_error(room: Room) -> int | None:
    """What stands in the way of a file of some bytes."""
    try:
        (room.folder / "file").write_bytes(b"x" * 5000)
    except OSError as error:
        return error.errno
    return None


async def test_a_disk_of_our_own_is_full_read_only_and_well_again(tmp_path):
    """Each state is that of the system; files are still there when it is over."""
    (tmp_path / "state").mkdir()
    async with mounted(tmp_path / "state") as room:
        if room.why_not is not None:
            pytest.skip(room.why_not)
        room.fill()
        assert write_error(room) == errno.ENOSPC
        room.empty()
        (room.folder / "file").unlink(missing_ok=True)
        await room.set_writable(is_writable=False)
        assert write_error(room) == errno.EROFS
        await room.set_writable(is_writable=True)
        assert write_error(room) is None

    assert (tmp_path / "state" / "file").read_bytes() == b"x" * 5000


async def test_a_disk_that_cannot_be_mounted_is_a_folder(tmp_path):
    """Why it could not be is said, and nothing else happens."""
    async with mounted(tmp_path / "none") as room:
        assert room.why_not is not None and "none" in room.why_not
