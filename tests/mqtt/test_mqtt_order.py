"""order.py: batches in any order in, records in order out."""

from shorewatch.mqtt.account import BEFORE, GONE
from shorewatch.mqtt.order import (
    HELD_BYTES_MAX,
    HELD_MAX,
    HOLE_S_MAX,
    Chunk,
    Gone,
    Late,
    Order,
    Run,
)


def chunk(after: int, *seqs: int, last: int | None = None, size_bytes: int = 100) -> Chunk:
    records = [{"seq": seq} for seq in seqs]
    return Chunk(after, seqs[-1] if last is None else last, records, seqs, size_bytes, False)


def out(order: Order, *chunks: Chunk) -> list[object]:
    """What comes out: sequences, (first, last, why) of holes, lists of late ones."""
    for one in chunks:
        order.hold(one)
    found: list[object] = []
    for piece in order.put_out():
        if isinstance(piece, Run):
            found += [record["seq"] for record in piece.records]
        elif isinstance(piece, Late):
            found.append([record["seq"] for record in piece.records])
        else:
            found.append((piece.first, piece.last, piece.why))
    return found


def test_what_is_behind_a_hole_waits_until_it_is_filled() -> None:
    """Records that came too early come out when those before them do."""
    order = Order(0)
    assert out(order, chunk(2, 3, 4)) == []
    assert order.missing == (1, 2)
    assert out(order, chunk(0, 1, 2)) == [1, 2, 3, 4]


def test_what_a_batch_passes_over_is_gone() -> None:
    """A hole inside a batch is told where it stands."""
    assert out(Order(0), chunk(0, 1, 4, 5)) == [1, (2, 3, GONE), 4, 5]


def test_a_hole_beyond_the_stations_last_record_is_not_believed_until_it_says_so() -> None:
    """What passes over records the station has not written waits for its next state."""
    order = Order(0)
    order.told = 2
    assert out(order, chunk(0, 1, 9)) == [1]
    order.told = 9
    assert out(order) == [(2, 8, GONE), 9]


def test_what_was_acknowledged_before_is_told_as_that() -> None:
    """Up to where the consumer's promise begins, a hole is nobody's loss."""
    assert out(Order(0, promised_from=3), chunk(0, 6)) == [(1, 3, BEFORE), (4, 5, GONE), 6]


def test_an_empty_claim_closes_the_gap() -> None:
    """A replay that ended without them says that records are gone."""
    order = Order(0)
    assert out(order, chunk(4, 5), Chunk(0, 4, (), (), 0, True)) == [(1, 4, GONE), 5]


def test_a_hole_is_given_up_after_its_time_and_with_its_reason() -> None:
    """Waiting ends once, only while somebody could have filled the hole, and is told."""
    order = Order(0)
    out(order, chunk(4, 5))
    assert order.give_up(0.0, is_served=True) is None
    assert order.give_up(HOLE_S_MAX, is_served=False) is None
    assert order.give_up(HOLE_S_MAX + 1, is_served=True) is None
    gone = order.give_up(2 * HOLE_S_MAX + 1, is_served=True)
    assert gone == Gone(1, 4, "it did not come within 75 s of waiting")
    assert out(order) == [5]


def test_a_forged_record_far_beyond_is_dropped_in_the_end() -> None:
    """What nothing leads to, and the station never told of, is waited for once and let go."""
    order = Order(0)
    order.told = 3
    out(order, chunk(2**40, 2**40 + 1))
    order.give_up(0.0, is_served=True)
    assert order.give_up(HOLE_S_MAX, is_served=True) is None
    assert (order.gaps, order.disbelieved, order.to) == ([], 1, 0)


def test_what_is_held_is_bounded_and_the_lowest_stays() -> None:
    """By count and by bytes the highest go first: they come again when they are asked for."""
    order = Order(0)
    for i in range(HELD_MAX + 50):
        order.hold(chunk(2 * i + 1, 2 * i + 2))
    assert (order.gaps[0], len(order.gaps), order.discarded) == ((1, 1), HELD_MAX, 50)
    order.back(0)
    for i in range(10):
        order.hold(chunk(10 - i, 11 - i, size_bytes=HELD_BYTES_MAX // 4))
    assert order.gaps[0] == (1, 1) and len(order.gaps) <= 4


def test_records_that_come_again_are_counted_once() -> None:
    """Duplicates are what came less what went out, waits, or was let go."""
    order = Order(0)
    out(order, chunk(0, 1, 2), chunk(0, 1, 2), chunk(3, 4), chunk(3, 4))
    assert order.duplicates == 3


def test_what_comes_after_its_hole_was_told_is_put_out_as_late_once() -> None:
    """A record that a hole was told for is given after all, before what follows, and no more."""
    order = Order(0)
    assert out(order, chunk(0, 1, 5)) == [1, (2, 4, GONE), 5]

    assert out(order, chunk(0, 1, 3, 5, 6)) == [[3], 6]
    assert out(order, chunk(0, 1, 3, 5, 6), chunk(1, 2)) == [[2]]
    assert order.duplicates == 6


def test_a_late_record_says_how_far_all_was_out() -> None:
    """Who stores what is late knows that everything up to `to` was given before it."""
    order = Order(0)
    out(order, chunk(0, 1, 5))
    order.hold(chunk(1, 2))

    assert order.put_out() == [Late([{"seq": 2}], 100, 5)]


def test_nothing_is_late_after_beginning_again() -> None:
    """Where the order goes back, what it told as holes comes in order."""
    order = Order(0)
    out(order, chunk(0, 1, 5))
    order.back(1)

    assert out(order, chunk(1, 2, 3, 4, 5)) == [2, 3, 4, 5]
