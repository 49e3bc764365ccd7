"""Where `shorewatch watch` puts what it is given: a file of JSON lines, a pipe, an account only.

A line is a record, {"station", "journal", "seq", "kind", "at", ...}, or what never came,
{"station", "journal", "missing": {"first", "last", "why"}}. A record that comes after its hole was
told, and so out of order, has "late": true. The file is its own mark: when it is
opened again, its lines say how far each journal has come, so after any kill it goes on without
holes or doubles. A line that a kill has cut is taken off: nothing of it was acknowledged.

Beside it, FILE.account is the account of the lines so far: it spares reading them all again, and
can be left out. Everything here blocks, and runs in a thread. One process at a time has the file.
"""

import fcntl
import io
import os
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final, Protocol

import orjson

from shorewatch.disk import write_durably
from shorewatch.errors import UsageError
from shorewatch.mqtt.ledger import Ledger
from shorewatch.noc import Delivery, Record

SAVE_BYTES: Final = 32_000_000
_OURS: Final = frozenset({"station", "journal", "missing", "late"})


class Sink(Protocol):
    """Takes deliveries; when `store` returns they may be acknowledged."""

    ledger: Ledger

    def store(self, deliveries: Sequence[Delivery]) -> None: ...
    def close(self) -> None: ...


class AccountFile:
    """Keeps the account alone, in memory or in a file of its own."""

    def __init__(self, path: Path | None = None) -> None:
        """Go on with the account in `path`; UsageError if it is none."""
        self.ledger = Ledger()
        self._path = path
        if path is not None:
            with suppress(FileNotFoundError):
                self.ledger, _ = _load_account(path)

    def store(self, deliveries: Sequence[Delivery]) -> None:
        """Take them into the account, and that to the disk."""
        _enter(self.ledger, deliveries)
        self.close()

    def close(self) -> None:
        """Save the account."""
        if self._path is not None:
            _save_account(self._path, self.ledger, 0)


class Pipe:
    """Lines to standard output: what reads there is from then on responsible."""

    def __init__(self, stream: BinaryIO = sys.stdout.buffer) -> None:
        self.ledger = Ledger()
        self._stream = stream

    def store(self, deliveries: Sequence[Delivery]) -> None:
        """Write them out."""
        _enter(self.ledger, deliveries)
        self._stream.write(encode_lines(deliveries))
        self._stream.flush()

    def close(self) -> None:
        """Nothing is left to do."""


class LineFile:
    """A file of JSON lines that goes on where it ended."""

    def __init__(self, path: Path) -> None:
        """Open or make it; UsageError if it cannot be written, or holds something else."""
        self._path = path
        self._account = path.with_name(f"{path.name}.account")
        try:
            self._file = path.open("ab+", buffering=0)
        except OSError as error:
            text = f"{path} cannot be written: {error.strerror}; name another file"
            raise UsageError(text) from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.ledger, read_bytes = self._known()
            self._size = self._read_on(read_bytes)
        except BlockingIOError as error:
            self._file.close()
            text = f"{path} is written by another process: stop that one, or name another file"
            raise UsageError(text) from error
        except UsageError:
            self._file.close()
            raise
        self._saved = self._size

    def store(self, deliveries: Sequence[Delivery]) -> None:
        """Append their lines; on return they are on the disk. OSError if the disk refuses."""
        data = encode_lines(deliveries)
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]
        os.fsync(self._file.fileno())
        _enter(self.ledger, deliveries)
        self._size += len(data)
        if self._size - self._saved > SAVE_BYTES:
            self._save()

    def close(self) -> None:
        """Save the account and let go of the file."""
        self._save()
        self._file.close()

    def _save(self) -> None:
        _save_account(self._account, self.ledger, self._size)
        self._saved = self._size

    def _known(self) -> tuple[Ledger, int]:
        """The account beside the file and how much of that it covers; none if it does not fit."""
        with suppress(FileNotFoundError, UsageError):
            ledger, size = _load_account(self._account)
            if size <= os.fstat(self._file.fileno()).st_size:
                return ledger, size
        return Ledger(), 0

    def _read_on(self, start: int) -> int:
        """Take the lines from `start` on into the account, cut a torn one off; the file's size."""
        self._file.seek(start)
        size = start
        reader = io.BufferedReader(self._file, 1 << 20)
        try:
            for line in reader:
                if not line.endswith(b"\n"):
                    break
                _enter_line(self.ledger, line)
                size += len(line)
        except (ValueError, KeyError, TypeError) as error:
            text = f"{self._path}, at byte {size}: no line of ours ({error}); name another file"
            raise UsageError(text) from error
        finally:
            reader.detach()
        self._file.truncate(size)
        # Who was killed may have written these lines and not synced them; they are acknowledged.
        os.fsync(self._file.fileno())
        return size


def encode_lines(deliveries: Iterable[Delivery]) -> bytes:
    """The lines of deliveries: records and holes in their order, then what came late."""
    return b"".join(line for delivery in deliveries for line in _lines(delivery))


def _lines(delivery: Delivery) -> list[bytes]:
    head = {"station": delivery.station, "journal": delivery.journal}
    start = orjson.dumps(head)[:-1] + b","
    lines = [(record.seq, _line(start, record)) for record in delivery.records]
    for hole in delivery.holes:
        missing = {"missing": {"first": hole.first, "last": hole.last, "why": hole.why}}
        lines.append((hole.first, start + orjson.dumps(missing)[1:] + b"\n"))
    if delivery.holes:
        lines.sort(key=lambda line: line[0])
    late = [_line(start, record, is_late=True) for record in delivery.late]
    return [*(line for _, line in lines), *late]


def _line(start: bytes, record: Record, *, is_late: bool = False) -> bytes:
    body = {key: value for key, value in record.body.items() if key not in _OURS}
    if record.is_history:
        body["history"] = True
    if is_late:
        body["late"] = True
    return start + orjson.dumps(body)[1:] + b"\n"


def _enter(ledger: Ledger, deliveries: Iterable[Delivery]) -> None:
    for delivery in deliveries:
        station, journal = delivery.station, delivery.journal
        holes = list(delivery.holes)
        for record in delivery.records:
            while holes and holes[0].first < record.seq:
                ledger.skip(station, journal, *holes.pop(0))
            ledger.take(station, journal, record.body)
        for hole in holes:
            ledger.skip(station, journal, *hole)
        for record in delivery.late:
            ledger.take(station, journal, record.body, is_late=True)


def _enter_line(ledger: Ledger, line: bytes) -> None:
    body = orjson.loads(line)
    station, journal, hole = body["station"], body["journal"], body.get("missing")
    if not isinstance(station, str) or not isinstance(journal, str):
        raise ValueError("it names no station and journal")
    if hole is None and not isinstance(body["seq"], int):
        raise ValueError("its sequence is no number")
    if hole is None:
        ledger.take(station, journal, body, is_late=body.get("late") is True)
    else:
        ledger.skip(station, journal, int(hole["first"]), int(hole["last"]), str(hole["why"]))


def _save_account(path: Path, ledger: Ledger, size: int) -> None:
    write_durably(path, orjson.dumps({"jsonl_bytes": size, **ledger.to_json()}))


def _load_account(path: Path) -> tuple[Ledger, int]:
    try:
        body = orjson.loads(path.read_bytes())
        size = body["jsonl_bytes"] if isinstance(body, dict) else None
        if not isinstance(size, int) or size < 0:
            raise ValueError("it says nothing of a file")
        return Ledger.from_json(body), size
    except (ValueError, KeyError) as error:
        text = f"{path} holds no account ({error}): name another file, or move it away"
        raise UsageError(text) from error
