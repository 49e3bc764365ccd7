"""Sparkplug's protobuf: what is written is read, and nothing crashes the reader."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shorewatch.sparkplugcheck.codec import PayloadError, decode, encode
from shorewatch.sparkplugcheck.payload import (
    Cell,
    DataSet,
    Held,
    Metric,
    Parameter,
    Payload,
    Property,
    PropertySet,
    PropertySetList,
    Row,
    Template,
)

u32, u64, text = st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1), st.text(max_size=8)
scalars = st.one_of(
    st.builds(Held, st.just("int_value"), u32),
    st.builds(Held, st.just("long_value"), u64),
    st.builds(Held, st.just("float_value"), st.floats(width=32, allow_nan=False)),
    st.builds(Held, st.just("double_value"), st.floats(allow_nan=False)),
    st.builds(Held, st.just("boolean_value"), st.booleans()),
    st.builds(Held, st.just("string_value"), text),
)
some = st.none()


def tuples(of: st.SearchStrategy[object]) -> st.SearchStrategy[tuple[object, ...]]:
    return st.lists(of, max_size=3).map(tuple)


plain_sets = st.builds(
    PropertySet,
    tuples(text),
    tuples(st.builds(Property, some | u32, some | st.booleans(), scalars)),
)
inner = st.one_of(
    st.builds(Held, st.just("propertyset_value"), plain_sets),
    st.builds(Held, st.just("propertysets_value"), st.builds(PropertySetList, tuples(plain_sets))),
)
sets = st.builds(
    PropertySet, tuples(text), tuples(st.builds(Property, some | u32, value=scalars | inner))
)
tables = st.builds(
    DataSet,
    some | u64,
    tuples(text),
    tuples(u32),
    tuples(st.builds(Row, tuples(st.builds(Cell, some | scalars)))),
)
values = st.one_of(
    some,
    scalars,
    st.builds(Held, st.just("bytes_value"), st.binary(max_size=8)),
    st.builds(Held, st.just("dataset_value"), tables),
)


def metrics(value: st.SearchStrategy[object]) -> st.SearchStrategy[Metric]:
    yes = some | st.booleans()
    return st.builds(Metric, some | text, some | u64, some | u64, some | u32, yes, yes, yes,
                     some | sets, value)  # fmt: skip


parameters = st.builds(Parameter, some | text, some | u32, some | scalars)
templates = st.builds(
    Template, some | text, tuples(metrics(values)), tuples(parameters), some | text,
    some | st.booleans(),
)  # fmt: skip
payloads = st.builds(
    Payload,
    some | u64,
    tuples(metrics(values | st.builds(Held, st.just("template_value"), templates))),
    some | u64,
)


@given(payloads)
def test_what_is_written_is_read(payload):
    """Every payload is read as what it was written from, absent fields too."""
    assert decode(encode(payload)) == payload


@given(st.binary(max_size=200))
def test_no_bytes_crash_it(data):
    """Anything is a payload or a PayloadError."""
    try:
        decode(data)
    except PayloadError as error:
        assert str(error)


@given(payloads, st.data())
def test_no_damage_crashes_it(payload, data):
    """A payload with one byte changed is a payload or a PayloadError."""
    wire = bytearray(encode(payload))
    if wire:
        wire[data.draw(st.integers(0, len(wire) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        decode(bytes(wire))
    except PayloadError as error:
        assert str(error)


def test_bytes_written_by_hand_are_read():
    """Timestamp 5, a metric with name, alias and int_value, seq 2, as the encoding says."""
    data = bytes.fromhex("0805 1208 0a0161 1001 50ac02 1802")

    value = Held("int_value", 300)
    assert decode(data) == Payload(5, (Metric("a", 1, value=value),), 2)


def test_packed_numbers_are_read():
    """The types of a data set may stand packed, as proto3's writers put them."""
    table = bytes.fromhex("1a02 030c")
    data = bytes([0x12, len(table) + 3, 0x8A, 0x01, len(table)]) + table

    assert decode(data).metrics[0].value.value.types == (3, 12)


def test_unknown_fields_are_read_over():
    """A third party's fields change nothing."""
    assert decode(bytes.fromhex("9a0602abcd 1802")) == Payload(seq=2)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ("08", "cut off"),
        ("08ffffffffffffffffffff01", "more than ten bytes"),
        ("0a0161", "wire type"),
        ("1205ab", "early"),
        ("0b", "wire type 3"),
        ("0001", "number 0"),
    ],
)
def test_what_is_no_payload_is_refused(data, why):
    """Each fault of the encoding is named."""
    with pytest.raises(PayloadError, match=why):
        decode(bytes.fromhex(data))


def test_nesting_is_bounded():
    """A payload of templates in templates without end is refused before the stack is."""
    metric = Metric("m")
    for _ in range(40):
        metric = Metric("m", value=Held("template_value", Template(metrics=(metric,))))

    with pytest.raises(PayloadError, match="nested"):
        decode(encode(Payload(metrics=(metric,))))
