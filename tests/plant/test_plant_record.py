"""Recordings: what passed a line is on disk, in order, and never more than it may be."""

import signal
from collections.abc import Callable
from datetime import UTC, datetime
from multiprocessing.context import SpawnProcess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymodbus.client import ModbusSerialClient

from shorewatch.config import Station
from shorewatch.direct.frame import with_crc
from shorewatch.errors import DemoError
from shorewatch.plant.record import (
    Direction,
    Entry,
    Recorder,
    encode,
    old,
    parse,
    read_recording,
    recording,
)
from shorewatch.plant.run import line_path, run_line

TO, FROM = Direction.FROM_CLIENT, Direction.FROM_DEVICES
REQUEST = with_crc(bytes((1, 4, 0, 0, 0, 64)))


@given(
    st.lists(
        st.builds(
            Entry,
            st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1)).map(
                lambda at: at.replace(tzinfo=UTC)
            ),
            st.sampled_from(Direction),
            st.binary(min_size=1, max_size=300),
        )
    )
)
def test_entries_read_back_as_they_were(entries: list[Entry]) -> None:
    """Time to the microsecond, direction and bytes survive the way through the text."""
    assert parse("".join(map(encode, entries))) == entries


def test_a_recording_cut_off_gives_its_whole_lines() -> None:
    """The unfinished last line of a killed process is passed over."""
    entry = Entry(datetime(2026, 1, 1, tzinfo=UTC), TO, b"\1\2")
    assert parse("# head\n" + encode(entry) + encode(entry)[:-1]) == [entry]


def test_a_recording_is_bounded_and_keeps_the_newest(tmp_path: Path) -> None:
    """Both files together stay below the limit, and hold the last entries without a hole."""
    path = tmp_path / "x.wire"
    recorder = Recorder(path, size_max=4096)
    for number in range(1000):
        recorder.note(TO, number.to_bytes(2), 1_800_000_000.0 + number)
        total = sum(part.stat().st_size for part in (path, old(path)) if part.exists())
        assert total <= 4096
    recorder.close()

    numbers = [int.from_bytes(entry.data) for entry in read_recording(path)]
    assert numbers == list(range(numbers[0], 1000))
    assert len(numbers) >= 30


def test_a_second_recording_goes_on_where_the_first_ended(tmp_path: Path) -> None:
    """A line that starts again appends."""
    for data in (b"\1", b"\2"):
        with recording(tmp_path, "a") as recorder:
            recorder.note(FROM, data, 1.0)
            recorder.note(FROM, b"", 1.0)

    assert [entry.data for entry in read_recording(tmp_path / "a.wire")] == [b"\1", b"\2"]


def test_a_folder_that_cannot_be_written_is_said_so(tmp_path: Path) -> None:
    """The error names the file and the option."""
    (tmp_path / "file").write_text("")
    with pytest.raises(DemoError, match=r"x\.wire.*--record"), recording(tmp_path / "file", "x"):
        pass


def test_a_line_records_what_passes(
    spawn: Callable[..., SpawnProcess],
    wait: Callable[..., None],
    sumqayit: Station,
    tmp_path: Path,
) -> None:
    """The request and the whole reply of a foreign client are in the recording, in this order."""
    folder = tmp_path / "wire"
    process = spawn(run_line, sumqayit, "pfe-room", 0, tmp_path, seed=1, record=folder)
    path = line_path(tmp_path, "pfe-room", 0)
    wait(path.exists, f"{path} to appear")
    client = ModbusSerialClient(str(path), baudrate=19200, parity="N", timeout=1, retries=0)
    assert client.connect()
    words = client.read_input_registers(0, count=64, device_id=1).registers
    client.close()  # type: ignore[no-untyped-call]
    assert process.pid is not None
    process.terminate()
    process.join()
    assert process.exitcode in (0, -signal.SIGTERM)

    entries = read_recording(folder / "sumqayit-pfe-room-0.wire")
    sent = b"".join(entry.data for entry in entries if entry.direction is TO)
    replied = b"".join(entry.data for entry in entries if entry.direction is FROM)
    assert sent == REQUEST
    assert replied == with_crc(bytes((1, 4, 128)) + b"".join(w.to_bytes(2) for w in words))
    assert entries[0].direction is TO
    assert sorted(entry.at for entry in entries) == [entry.at for entry in entries]
