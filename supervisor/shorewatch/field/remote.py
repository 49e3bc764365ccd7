"""A field bus scanned by the board that hangs on it, over the board's link.

    lock, borrow the port, open the board's REPL (door.py) ─▶ the program (errand.py) ─▶ scan
    ─▶ the board restarts into its application, whatever came in between

The board asks by its own client; what comes back are its outcomes and the raw bytes, so that a scan
judges them as over an adapter. A tool that is killed leaves a board that restarts by itself.
"""

import re
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from shorewatch.config import BoardFile, DirectConfig
from shorewatch.direct.frame import Request
from shorewatch.direct.wire import Wire, opened
from shorewatch.errors import FieldError, LinkError, UsageError
from shorewatch.field import errand, port
from shorewatch.field.door import Say, close_door, lent, open_door, wait_board
from shorewatch.field.package import Catalogue
from shorewatch.field.port import Attached, Line
from shorewatch.field.probe import Asker, Trial, reply_s
from shorewatch.field.repl import Repl
from shorewatch.field.scan import Opener
from shorewatch.field.sweep import Setting, line_of

_RAW = re.compile(rb"raw REPL; CTRL-B to exit\r\n>")
_HELLO = re.compile(errand.MARK.encode() + rb"([^\r\n]*)\r?\n")
_START_S = 5.0
_SPARE_S = 3.0  # for the link, beside what the board waits for
_LINK = Setting(115_200, "8N1")


@dataclass(frozen=True, slots=True)
class Place:
    """Which bus of which board, and how that board is reached."""

    attached: Attached
    uart: int
    unit_id: int = 1
    type: str | None = None  # of a board that does not answer
    state_dir: Path | None = None
    by: str = ""


@contextmanager
def scanning(place: Place, catalogue: Catalogue, say: Say) -> Iterator[Opener]:
    """A way to open the board's bus, at one setting after the other, for the `with` block.

    Raises FieldError if the board cannot do it, UsageError if it has no such UART.
    """
    types, attached = catalogue.types, place.attached
    with (
        port.locked(attached.path) as lock_fd,
        lent(attached.path, place.state_dir, by=place.by, reason="scan", say=say),
    ):
        attached, _ = open_door(attached, types, say, unit_id=place.unit_id, wanted=place.type)
        try:
            Repl(attached.path, lock_fd=lock_fd).run(errand.PROGRAM)
            kind, version = _begin(attached.path, place.uart, types)
        except BaseException:
            with suppress(FieldError):
                close_door(attached, lock_fd=lock_fd)
            raise
        try:
            _check(place, kind, version, catalogue)
            yield _Bus(attached.path).opened
        finally:
            _end(attached.path)
            say("the board restarts into its application")
            wait_board(attached, kind, say, unit_id=place.unit_id)


def _begin(path: str, uart: int, types: Mapping[str, BoardFile]) -> tuple[BoardFile, str]:
    """Start the program that is in the board's memory; the board's type and firmware."""
    with port.opened(path) as line:
        line.write(b"\r\x03\x01")
        _until(line, _RAW, path)
        line.write(f"errand({uart})".encode() + b"\x04")
        text = _until(line, _HELLO, path)[1].decode("ascii", "replace")
    try:
        hello = errand.parse_hello(text)
        return types[hello.type], hello.version
    except (ValueError, KeyError) as error:
        raise FieldError(f"{path}: the board cannot scan ({text}); flash it first") from error


def _check(place: Place, kind: BoardFile, version: str, catalogue: Catalogue) -> None:
    path, ours = place.attached.path, catalogue.version
    if version != ours:
        raise FieldError(f"{path}: its firmware is {version}, this tool's {ours}; flash it first")
    uarts = [uart.uart for uart in kind.uarts]
    if place.uart not in uarts:
        has = ", ".join(map(str, uarts))
        raise UsageError(f"--uart {place.uart}: a {kind.name} has no such UART; it has {has}")


def _until(line: Line, wanted: re.Pattern[bytes], path: str) -> re.Match[bytes]:
    """What is waited for; raises FieldError if it does not come, or the program fails."""
    heard = b""
    end_s = time.monotonic() + _START_S
    while (found := wanted.search(heard)) is None:
        if b"Traceback" in heard or time.monotonic() > end_s:
            heard += line.read(0.3)  # the rest of it
            last = heard.decode("ascii", "replace").strip("\x04>\r\n ").rpartition("\n")[2]
            text = f"{path}: the board does not begin to scan ({last or 'silence'})"
            raise FieldError(f"{text}; has it our firmware? flash it first")
        heard += line.read(0.1)
    return found


def _end(path: str) -> None:
    """Let the board restart; one that has gone, or has restarted, needs no telling."""
    with suppress(FieldError), port.opened(path) as line:
        line.write(b"\nQ\n")


class _Bus:
    """The board's bus, seen from here."""

    def __init__(self, path: str) -> None:
        self._path = path

    @asynccontextmanager
    async def opened(self, setting: Setting | None) -> AsyncIterator[Asker]:
        assert setting is not None, "a bus of a board is a serial line"
        line = line_of(self._path, setting)
        async with opened(line_of(self._path, _LINK), Path()) as wire:
            asker = _Asker(self._path, line, wire)
            await asker.do(errand.encode_open(setting, line.char_us, line.t35_us), 0.0)
            yield asker


class _Asker:
    """Asks by the board."""

    def __init__(self, path: str, line: DirectConfig, wire: Wire) -> None:
        self._path = path
        self._line = line
        self._wire = wire
        self._heard = b""

    async def ask(self, request: Request, wait_s: float) -> Trial:
        timeout_s = wait_s + reply_s(self._line, request)
        told = await self.do(errand.encode_request(request, timeout_s), timeout_s)
        try:
            return errand.parse_trial(request, told)
        except ValueError as error:
            raise LinkError(f"{self._path}: the board says {told!r}; scan again") from error

    async def listen(self, for_s: float) -> bytes:
        told = await self.do(errand.encode_listen(for_s), for_s)
        return bytes.fromhex(told)

    async def do(self, text: str, span_s: float) -> str:
        """One line to the board and its answer, which may take so long; raises LinkError."""
        self._wire.write(text.encode() + b"\n")
        until_s = time.monotonic() + span_s + _SPARE_S
        mark = errand.MARK.encode()
        while True:
            line, end, rest = self._heard.partition(b"\n")
            if end and mark in line:
                self._heard = rest
                break
            if end:
                self._heard = rest
                continue
            if time.monotonic() > until_s:
                text = f"the board has said nothing for {span_s + _SPARE_S:.0f} s; is its plug in?"
                raise LinkError(f"{self._path}: {text} By itself it is back at work in a minute")
            await self._wire.wait(until_s)
            self._heard += self._wire.take()
        told = line.partition(mark)[2].strip().decode("ascii", "replace")
        if told.startswith("!"):
            raise LinkError(f"{self._path}: the board has ended the scan: {told[1:]}")
        return told
