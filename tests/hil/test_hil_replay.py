"""A recording played back: same request, next answer, same lateness."""

from datetime import UTC, datetime, timedelta

from shorewatch.hil.replay import Replay, answers
from shorewatch.plant.record import Direction, Entry

START = datetime(2026, 1, 1, tzinfo=UTC)
ASK, OTHER = b"\x01\x04\x00\x00\x00\x01", b"\x02\x04\x00\x00\x00\x01"


def recorded(*rows: tuple[float, str, bytes]) -> list[Entry]:
    return [Entry(START + timedelta(seconds=s), Direction(way), data) for s, way, data in rows]


def test_each_request_has_its_answers_in_order() -> None:
    """Answers belong to the request before them; one that stayed away is an empty one."""
    found = answers(
        recorded(
            (0.0, ">", ASK), (0.1, "<", b"a"), (0.2, "<", b"b"), (1.0, ">", OTHER),
            (2.0, ">", ASK), (2.3, "<", b"c"), (3.0, ">", ASK),
        )
    )  # fmt: skip
    pieces = [[(round(s, 3), data) for s, data in one.pieces] for one in found[ASK]]
    assert pieces == [[(0.1, b"a"), (0.2, b"b")], [(0.3, b"c")]]
    assert [one.pieces for one in found[OTHER]] == [()]


def test_answers_come_as_late_as_then_and_begin_anew() -> None:
    """Each piece is due as long after the request as it was; after the last comes the first."""
    line = Replay(
        answers(recorded((0.0, ">", ASK), (0.1, "<", b"a"), (1.0, ">", ASK), (1.2, "<", b"b"),
                         (2.0, ">", OTHER))), t35_s=0.002,
    )  # fmt: skip
    said = []
    for turn in range(3):
        line.hear(10.0 * turn, ASK)
        assert line.wake_s == 10.0 * turn + 0.002
        assert line.take(10.0 * turn + 0.09) == b""
        said.append(line.take(10.0 * turn + 0.3))
    assert said == [b"a", b"b", b"a"]
    assert line.wake_s is None


def test_what_was_not_recorded_is_not_answered() -> None:
    """A request that the recording has not, whole or in pieces, gets nothing."""
    line = Replay(answers(recorded((0.0, ">", ASK), (0.1, "<", b"a"), (1.0, ">", ASK))), 0.002)
    line.hear(0.0, OTHER)
    assert line.take(5.0) == b"" and line.counts.foreign == 1
    line.hear(6.0, ASK[:3])
    line.hear(6.001, ASK[3:])
    assert line.take(6.2) == b"a"
