"""A small file system for the state of a gateway, so that a disk can really be full or read-only.

It is a tmpfs, which only root may mount. Where it cannot be mounted the folder is a plain one, and
`why_not` says why. It is gone with `mounted`, however that ends but by SIGKILL.
"""

import asyncio
import errno
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from shorewatch.errors import DemoError

SIZE_MB: Final = 32
_FILLER: Final = "filler"
_PIECE: Final = bytes(65_536)


class Room:
    """The folder; made by `mounted`."""

    def __init__(self, folder: Path, why_not: str | None) -> None:
        self.folder, self.why_not = folder, why_not

    def fill(self) -> None:
        """Take what is left, to the last byte."""
        assert self.why_not is None, "only a file system of our own is filled"
        try:
            file = os.open(self.folder / _FILLER, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        except OSError as error:
            _pass(error)
            return
        try:
            size = len(_PIECE)
            while size:
                try:
                    os.write(file, _PIECE[:size])
                except OSError as error:
                    _pass(error)
                    size //= 2
        finally:
            os.close(file)

    def empty(self) -> None:
        """Give it back."""
        (self.folder / _FILLER).unlink(missing_ok=True)

    async def set_writable(self, *, is_writable: bool) -> None:
        """Mount it anew; nobody may have a file of it open for writing. Raises DemoError."""
        if text := await _run("mount", "-o", f"remount,{'rw' if is_writable else 'ro'}", self):
            raise DemoError(f"{self.folder} cannot be mounted anew: {text}")

    def __str__(self) -> str:
        return str(self.folder)


@asynccontextmanager
async def mounted(folder: Path) -> AsyncIterator[Room]:
    """A file system at `folder`, which is empty; what is in it at the end stays in the folder."""
    words = ("-t", "tmpfs", "-o", f"size={SIZE_MB}m,mode=700", "shorewatch-chaos")
    why_not = await _run("mount", *words, folder)
    try:
        yield Room(folder, why_not)
    finally:
        if why_not is None:
            beside = folder.with_name(folder.name + ".kept")
            await asyncio.to_thread(shutil.copytree, folder, beside, ignore=_ignored)
            if text := await _run("umount", "--lazy", folder):
                raise DemoError(f"{folder} stays mounted: {text}")
            await asyncio.to_thread(beside.replace, folder)


def _ignored(folder: str, names: list[str]) -> list[str]:
    """What is no file: sockets."""
    return [name for name in names if (Path(folder) / name).is_socket()]


def _pass(error: OSError) -> None:
    if error.errno not in (errno.ENOSPC, errno.EROFS):
        raise error


async def _run(*words: object) -> str | None:
    """None if the command did it, else what it says."""
    try:
        child = await asyncio.create_subprocess_exec(
            *map(str, words),
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
    except OSError as error:
        return f"{words[0]}: {error.strerror}"
    _, text = await child.communicate()
    return (text.decode(errors="replace").strip() or "it failed") if child.returncode else None
