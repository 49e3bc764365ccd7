"""said.py: whatever stands in a message, it is the thing or nothing."""

import math

from hypothesis import given
from hypothesis import strategies as st

from shorewatch.mqtt import said

THINGS = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(10**400)


@given(THINGS)
def test_only_a_sequence_is_a_sequence(thing: object) -> None:
    """`whole` gives whole numbers that JSON readers hold exactly, and refuses all else."""
    is_one = isinstance(thing, int) and not isinstance(thing, bool) and 0 <= thing < 2**53
    try:
        assert said.whole(thing) == thing and is_one
    except said.Nonsense:
        assert not is_one


@given(THINGS)
def test_nothing_in_a_message_raises(thing: object) -> None:
    """Numbers, texts, times and tables of any JSON come out, or their absence does."""
    assert isinstance(said.number(thing, math.inf), float)
    assert said.text(thing) in (thing, None)
    said.time(thing)
    assert list(said.entries(thing)) == []
