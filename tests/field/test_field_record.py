"""record.py and report.py: what a technician takes home is whole."""

import json
import os
from pathlib import Path

import pytest

from shorewatch.errors import UsageError
from shorewatch.field.record import append, check_writable, head
from shorewatch.field.report import write_json, write_text


def test_each_attempt_is_a_line(tmp_path: Path) -> None:
    """Lines are appended, with who did what, when, where."""
    path = tmp_path / "r.jsonl"
    for port in ("a", "b"):
        append(path, head("flash", "Əli", port))
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(row["by"], row["port"], row["what"]) for row in rows] == [
        ("Əli", "a", "flash"),
        ("Əli", "b", "flash"),
    ]


def test_a_line_that_was_cut_spoils_no_other(tmp_path: Path) -> None:
    """What a full disk or a kill has left stays a line of its own."""
    path = tmp_path / "r.jsonl"
    path.write_text('{"what": "fla')
    append(path, {"what": "plan push"})
    assert path.read_text() == '{"what": "fla\n{"what": "plan push"}\n'


def test_a_record_that_cannot_be_written_is_told_before_any_work(tmp_path: Path) -> None:
    """Another file is to be named."""
    with pytest.raises(UsageError, match="choose another file with --record"):
        check_writable(tmp_path / "none" / "r.jsonl")


def test_a_report_is_the_old_or_the_new_one(tmp_path: Path) -> None:
    """A write that fails leaves what was there; a link stays one."""
    real, link = tmp_path / "real.json", tmp_path / "link.json"
    write_json(real, {"a": 1})
    link.symlink_to(real)
    write_json(link, [1, 2])
    assert json.loads(real.read_text()) == [1, 2] and link.is_symlink()

    (tmp_path / "real.json.new").mkdir()
    with pytest.raises(UsageError, match="choose another file"):
        write_json(real, {})
    assert json.loads(real.read_text()) == [1, 2]


def test_what_is_no_file_is_written_to(capsys: pytest.CaptureFixture[str]) -> None:
    """A pipe gets what is said into it; - is stdout."""
    read_fd, write_fd = os.pipe()
    write_text(Path(f"/dev/fd/{write_fd}"), "here\n")
    assert os.read(read_fd, 100) == b"here\n"
    os.close(read_fd)
    os.close(write_fd)

    write_json(Path("-"), {"a": 1})
    assert json.loads(capsys.readouterr().out) == {"a": 1}
