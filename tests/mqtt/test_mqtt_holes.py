"""holes.py: what never came, exact and bounded."""

from hypothesis import given
from hypothesis import strategies as st

from shorewatch.mqtt.holes import HOLES_MAX, Hole, Holes


def whole(first: int, last: int) -> Hole:
    return Hole(first, last, last - first + 1, "gone")


@given(
    st.lists(st.tuples(st.integers(1, 5), st.integers(1, 6)), max_size=20),
    st.lists(st.tuples(st.integers(0, 150), st.integers(0, 40)), max_size=8),
)
def test_holes_are_a_set_of_sequences(
    steps: list[tuple[int, int]], cuts: list[tuple[int, int]]
) -> None:
    """Adding and removing agrees with a plain set, in members, count and what remove returns."""
    holes, truth, at = Holes(), set[int](), 0
    for distance, length in steps:
        first = at + distance + 1
        at = first + length - 1
        holes.add(whole(first, at))
        truth |= set(range(first, at + 1))
    for first, length in cuts:
        gone = truth & set(range(first, first + length))
        assert holes.remove(first, first + length - 1) == len(gone)
        truth -= gone
        assert {n for hole in holes for n in range(hole.first, hole.last + 1)} == truth
        assert holes.count == len(truth)
        assert all(holes.covers(n) == (n in truth) for n in range(160))


def test_a_hundred_thousand_holes_cost_bounded_memory_and_no_truth() -> None:
    """However many, few spans are kept; their count and ends are exact, removing all empties."""
    holes = Holes()
    for i in range(100_000):
        holes.add(whole(3 * i + 1, 3 * i + 2))

    assert len(holes) <= HOLES_MAX
    assert holes.count == 200_000
    assert holes.first is not None and holes.first.first == 1
    assert list(holes)[-1].last == 299_999
    assert holes.remove(0, 300_000) == 200_000 and len(holes) == 0


def test_a_joined_hole_is_taken_out_whole_or_not_at_all() -> None:
    """Where what lies between is forgotten, nothing is taken out that might not be missing."""
    holes = Holes()
    for i in range(HOLES_MAX + 1):
        holes.add(whole(3 * i + 1, 3 * i + 2))

    assert holes.remove(1, 2) == 0
    assert holes.remove(1, 5) == 4
