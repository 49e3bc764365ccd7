"""conversion.py: what raw numbers mean."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shorewatch.conversion import Doubt, text
from shorewatch.model import Quality, Reason
from shorewatch.point import Point


def point(**keys) -> Point:
    given_keys = {"id": "p", "name": "p", "table": "input", "address": 0, "type": "u16"}
    return Point.model_validate(given_keys | keys)


@given(
    st.integers(-(2**31), 2**31 - 1),
    st.sampled_from(["0.1", "0.001", "0.25", "-0.01", "1.5", "0.0001", "3.6"]),
    st.sampled_from(["0.0", "-273.15", "40.0"]),
)
def test_scaled_integers_are_the_nearest_double_to_their_decimals(raw, scale, offset):
    """No value has more digits than its scale gives it."""
    made = point(type="s32", scale=float(scale), offset=float(offset))

    assert made.converter()(raw) == float(Decimal(raw) * Decimal(scale) + Decimal(offset))


@given(st.integers(-(2**63), 2**63 - 1), st.integers(1, 1000), st.integers(-1000, 1000))
def test_whole_scales_keep_integers_exact(raw, scale, offset):
    """With whole scale and offset a value is an integer of any size."""
    found = point(type="s64", scale=float(scale), offset=float(offset)).converter()(raw)

    assert found == raw * scale + offset
    assert isinstance(found, int)


@given(st.integers(-(2**15), 2**15 - 1), st.integers(1, 15))
def test_fixed_point_is_exact(raw, places):
    """raw / 2^n is a double without rounding."""
    assert point(type="s16", binary_places=places).converter()(raw) * 2**places == raw


@given(st.floats(width=32))
def test_a_float_is_a_number_or_bad(raw):
    """A float32 keeps seven digits; NaN and infinity become no number."""
    found = point(type="f32").converter()(raw)

    if isinstance(found, Doubt):
        assert (found.quality, found.value) == (Quality.BAD, None)
        assert raw != raw or abs(raw) == float("inf")
    else:
        assert found == pytest.approx(raw, rel=1e-6)
        assert float(f"{found:.7g}") == found


@given(st.binary(max_size=20))
def test_no_byte_of_a_device_steers_a_terminal(raw):
    """Whatever a device has in a string, printable ASCII is all that leaves the decoder."""
    found = text(raw)
    shown = found.value if isinstance(found, Doubt) else found

    assert isinstance(shown, str) and (shown.isprintable() and shown.isascii())
    if isinstance(found, Doubt):
        assert (found.quality, found.reason) == (Quality.UNCERTAIN, Reason.UNKNOWN_CODE)


@pytest.mark.parametrize(
    ("raw", "shown"),
    [(b"AB \0\0", "AB"), (b"  AB\0XY", "AB"), (b"\0\0", ""), (b"", ""), (b"A B", "A B")],
)
def test_strings_end_at_their_padding(raw, shown):
    """NUL ends a string, spaces around it do not count."""
    assert text(raw) == shown
