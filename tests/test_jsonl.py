"""jsonl.py: lines on the disk, and where they end."""

import io
import json
import os
import resource
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shorewatch.errors import UsageError
from shorewatch.jsonl import AccountFile, LineFile, Pipe, encode_lines
from shorewatch.mqtt.account import GONE
from shorewatch.mqtt.order import Gone
from shorewatch.noc import Delivery, Record


async def _done(delivery: Delivery) -> None:
    """Nobody listens."""


def delivery(
    seqs: Sequence[int],
    holes: Sequence[Gone] = (),
    *,
    late: Sequence[int] = (),
    is_history: bool = False,
    **body: object,
) -> Delivery:
    records, late_ones = (
        tuple(
            Record(seq, "sample", None, {"seq": seq, "kind": "sample"} | body, is_history)
            for seq in those
        )
        for those in (seqs, late)
    )
    last = max([*seqs, *late, *(hole.last for hole in holes)])
    return Delivery("cable/coast", "j", last, records, tuple(holes), late_ones, _done)


def test_lines_that_a_killed_process_wrote_are_synced_before_they_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is on the disk before its marks, and so acknowledgements, can be had of it."""
    path, synced = tmp_path / "records.jsonl", []
    path.write_bytes(encode_lines([delivery([1, 2])]))
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(os.fstat(fd).st_ino))
    file = LineFile(path)

    assert file.ledger.marks == {"cable/coast": {"j": 2}}
    assert synced == [path.stat().st_ino]
    file.close()


def seqs(path: Path) -> list[object]:
    return [json.loads(line)["seq"] for line in path.read_text().splitlines()]


def test_a_file_goes_on_where_it_ended(tmp_path: Path) -> None:
    """Its lines are its marks, also without the account beside it."""
    path = tmp_path / "records.jsonl"
    first = LineFile(path)
    first.store([delivery([1, 2]), delivery([3])])
    first.close()
    (tmp_path / "records.jsonl.account").unlink()
    again = LineFile(path)

    assert again.ledger.marks == {"cable/coast": {"j": 3}}
    again.store([delivery([4])])
    again.close()
    assert seqs(path) == [1, 2, 3, 4]


@given(st.integers(1, 400))
def test_a_cut_anywhere_leaves_whole_lines(cut: int) -> None:
    """Whatever a kill left of the last write, what stands there is whole and the mark is true."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "records.jsonl"
        path.write_bytes(encode_lines([delivery(range(1, 6))])[:cut])
        file = LineFile(path)
        found = seqs(path)

        assert found == list(range(1, len(found) + 1))
        assert file.ledger.marks == ({"cable/coast": {"j": len(found)}} if found else {})
        file.store([delivery(range(len(found) + 1, 8))])
        file.close()
        assert seqs(path) == list(range(1, 8))


def test_holes_stand_where_they_are(tmp_path: Path) -> None:
    """What never came is a line of its own, between the records, and survives in the account."""
    path = tmp_path / "records.jsonl"
    file = LineFile(path)
    file.store([delivery([1, 5], [Gone(2, 4, GONE), Gone(6, 6, GONE)])])
    file.close()
    lines = [json.loads(line) for line in path.read_text().splitlines()]

    assert [line.get("seq") or line["missing"]["first"] for line in lines] == [1, 2, 5, 6]
    (tmp_path / "records.jsonl.account").unlink()
    again = LineFile(path)
    again.close()
    assert again.ledger.fault is not None and "records 2 to 4 are missing" in again.ledger.fault


def test_an_account_of_another_file_is_not_believed(tmp_path: Path) -> None:
    """When the file is shorter than its account says, its lines count."""
    path = tmp_path / "records.jsonl"
    file = LineFile(path)
    file.store([delivery([1, 2])])
    file.close()
    path.write_bytes(encode_lines([delivery([1])]))

    again = LineFile(path)
    again.close()
    assert again.ledger.marks == {"cable/coast": {"j": 1}}


def test_two_processes_do_not_write_one_file(tmp_path: Path) -> None:
    """The second is told so."""
    path = tmp_path / "records.jsonl"
    file = LineFile(path)
    with pytest.raises(UsageError, match="written by another process"):
        LineFile(path)
    file.close()


@pytest.mark.parametrize("line", ["hello\n", "5\n", '{"station": "x"}\n', '{"seq": 1}\n'])
def test_another_file_is_left_alone(tmp_path: Path, line: str) -> None:
    """A file with lines of something else is refused, and not changed."""
    path = tmp_path / "letters.txt"
    path.write_text(line)
    with pytest.raises(UsageError, match="no line of ours"):
        LineFile(path)
    assert path.read_text() == line


def test_no_station_writes_over_whose_line_it_is() -> None:
    """A record with our own keys in it cannot pass for another station's, or for a hole."""
    (line,) = encode_lines([delivery([1], station="cable/other", missing={})]).splitlines()

    assert json.loads(line) == {
        "station": "cable/coast",
        "journal": "j",
        "seq": 1,
        "kind": "sample",
    }


def test_what_was_sent_late_says_so() -> None:
    """A record of a batch that is history carries the flag."""
    (line,) = encode_lines([delivery([1], is_history=True)]).splitlines()

    assert json.loads(line)["history"] is True


def test_a_pipe_gets_lines_and_keeps_the_account() -> None:
    """What goes to standard output is counted as well."""
    stream = io.BytesIO()
    pipe = Pipe(stream)
    pipe.store([delivery([1, 2])])

    assert stream.getvalue().count(b"\n") == 2
    assert pipe.ledger.marks == {"cable/coast": {"j": 2}}


def test_an_account_alone_survives_a_restart(tmp_path: Path) -> None:
    """Without lines, the account in its file says where to go on."""
    path = tmp_path / "account.json"
    AccountFile(path).store([delivery([1, 2])])

    assert AccountFile(path).ledger.marks == {"cable/coast": {"j": 2}}
    path.write_text("{}")
    with pytest.raises(UsageError, match="holds no account"):
        AccountFile(path)


def test_a_disk_that_refuses_leaves_no_half_line_and_no_mark(tmp_path: Path) -> None:
    """What is not on the disk is not in the account, and its cut line goes at the next start."""
    path = tmp_path / "records.jsonl"
    file = LineFile(path)
    file.store([delivery([1])])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 20, hard))
    try:
        with pytest.raises(OSError):
            file.store([delivery([2])])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    file._file.close()
    assert file.ledger.marks == {"cable/coast": {"j": 1}}

    again = LineFile(path)
    again.store([delivery([2])])
    again.close()
    assert seqs(path) == [1, 2]


def test_a_late_record_stands_behind_its_hole_and_is_no_fault(tmp_path: Path) -> None:
    """Who reads the lines, and the account made of them, knows it for what it is."""
    path = tmp_path / "records.jsonl"
    file = LineFile(path)
    file.store([delivery([1, 4], [Gone(2, 3, "gone")]), delivery([5], late=[2, 3])])
    file.close()
    path.with_name("records.jsonl.account").unlink()

    again = LineFile(path)
    again.close()
    late = [json.loads(line) for line in path.read_text().splitlines()][-2:]
    assert [(line["seq"], line["late"]) for line in late] == [(2, True), (3, True)]
    assert again.ledger.marks == {"cable/coast": {"j": 5}}
    assert again.ledger.fault is None
    [(_, account)] = again.ledger
    assert (account.records, account.late, account.lost, account.holes.count) == (5, 2, 0, 0)
