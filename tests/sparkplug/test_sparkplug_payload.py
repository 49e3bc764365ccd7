"""Sparkplug's payload: bytes as the specification has them, whatever the values."""

import contextlib
import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shorewatch.sparkplug.payload import DataType, Metric, Payload, Property, as_typed, decode
from shorewatch.sparkplug.payload import encode as encode_payload

INTEGERS = {
    DataType.INT8: (-(2**7), 2**7 - 1),
    DataType.INT16: (-(2**15), 2**15 - 1),
    DataType.INT32: (-(2**31), 2**31 - 1),
    DataType.INT64: (-(2**63), 2**63 - 1),
    DataType.UINT8: (0, 2**8 - 1),
    DataType.UINT16: (0, 2**16 - 1),
    DataType.UINT32: (0, 2**32 - 1),
    DataType.UINT64: (0, 2**64 - 1),
    DataType.DATETIME: (0, 2**64 - 1),
}
VALUES = {
    **{kind: st.integers(low, high) for kind, (low, high) in INTEGERS.items()},
    DataType.FLOAT: st.floats(allow_nan=False, width=32),
    DataType.DOUBLE: st.floats(allow_nan=False),
    DataType.BOOLEAN: st.booleans(),
    DataType.STRING: st.text(max_size=20),
    DataType.TEXT: st.text(max_size=20),
    DataType.BYTES: st.binary(max_size=20),
}
U64 = st.integers(0, 2**64 - 1)


def typed(kinds):
    return st.one_of(st.tuples(st.just(kind), st.none() | VALUES[kind]) for kind in kinds)


def metric(name, alias, at_ms, said, flags, properties):
    datatype, value = said
    is_historical, is_transient = flags
    return Metric(
        name, alias, at_ms, datatype, value, value is None, is_historical, is_transient, properties
    )


PLAIN = [kind for kind in VALUES if kind is not DataType.BYTES]
metrics = st.builds(
    metric,
    st.none() | st.text(max_size=5),
    st.none() | U64,
    st.none() | U64,
    typed(list(VALUES)),
    st.tuples(st.booleans(), st.booleans()),
    st.dictionaries(
        st.sampled_from(["Quality", "unit", ""]),
        typed(PLAIN).map(lambda said: Property(*said)),
        max_size=2,
    ),
)
payloads = st.builds(
    Payload,
    timestamp_ms=st.none() | U64,
    seq=st.none() | U64,
    metrics=st.lists(metrics, max_size=3).map(tuple),
)


def varint(number: int) -> bytes:
    head = b""
    while number > 0x7F:
        head += bytes([number & 0x7F | 0x80])
        number >>= 7
    return head + bytes([number])


def number(field: int, value: int) -> bytes:
    """A varint field, after the Protocol Buffers encoding guide."""
    return varint(field << 3) + varint(value)


def block(field: int, content: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(content)) + content


@given(payloads)
def test_what_is_encoded_is_decoded(payload):
    """Every payload of plain values comes back equal."""
    assert decode(encode_payload(payload)) == payload


@given(payloads)
def test_without_datatypes_the_rest_is_the_same(payload):
    """A DATA message lacks the datatypes only: with them, its values are those that went in."""
    found = decode(encode_payload(payload, with_datatypes=False))

    assert [metric.datatype for metric in found.metrics] == [None] * len(payload.metrics)
    assert [
        as_typed(seen.value, sent.datatype)
        for seen, sent in zip(found.metrics, payload.metrics, strict=True)
    ] == [metric.value for metric in payload.metrics]


@given(st.binary(max_size=60))
def test_any_bytes_are_a_payload_or_a_value_error(data):
    """Nothing that arrives raises anything but ValueError."""
    with contextlib.suppress(ValueError):
        decode(data)


@given(payloads, st.data())
def test_a_payload_cut_short_is_a_payload_or_a_value_error(payload, data):
    """A truncated message raises nothing but ValueError."""
    whole = encode_payload(payload)
    with contextlib.suppress(ValueError):
        decode(whole[: data.draw(st.integers(0, len(whole)))])


def test_a_will_is_these_bytes():
    """An NDEATH with bdSeq 5, byte by byte by the specification's field numbers."""
    will = Payload(
        timestamp_ms=1_668_000_000_000,
        metrics=(Metric("bdSeq", timestamp_ms=1, datatype=DataType.INT64, value=5),),
    )
    metric = block(1, b"bdSeq") + number(3, 1) + number(4, 4) + number(11, 5)

    assert encode_payload(will) == number(1, 1_668_000_000_000) + block(2, metric)


def test_a_birth_metric_is_these_bytes():
    """Name, alias, time, datatype, null and a Quality of 0, by the specification's numbers."""
    birth = Payload(
        timestamp_ms=2,
        seq=0,
        metrics=(
            Metric(
                "u",
                alias=7,
                timestamp_ms=3,
                datatype=DataType.DOUBLE,
                is_null=True,
                properties={"Quality": Property(DataType.INT32, 0)},
            ),
        ),
    )
    quality = block(1, b"Quality") + block(2, number(1, 3) + number(3, 0))
    metric = block(1, b"u") + number(2, 7) + number(3, 3) + number(4, 10) + number(7, 1)

    assert encode_payload(birth) == (
        number(1, 2) + block(2, metric + block(9, quality)) + number(3, 0)
    )


@pytest.mark.parametrize(
    ("datatype", "value", "wire"),
    [
        (DataType.INT8, -1, number(10, 0xFF)),
        (DataType.INT16, -2, number(10, 0xFFFE)),
        (DataType.INT32, -3, number(10, 0xFFFF_FFFD)),
        (DataType.INT64, -4, number(11, 2**64 - 4)),
        (DataType.UINT8, 255, number(10, 255)),
        (DataType.UINT16, 65_535, number(10, 65_535)),
        (DataType.UINT32, 2**32 - 1, number(10, 2**32 - 1)),
        (DataType.UINT64, 2**64 - 1, number(11, 2**64 - 1)),
        (DataType.DATETIME, 1_668_000_000_123, number(11, 1_668_000_000_123)),
        (DataType.FLOAT, 1.5, varint(12 << 3 | 5) + struct.pack("<f", 1.5)),
        (DataType.DOUBLE, 0.1, varint(13 << 3 | 1) + struct.pack("<d", 0.1)),
        (DataType.BOOLEAN, False, number(14, 0)),
        (DataType.STRING, "Bärlin", block(15, "Bärlin".encode())),
        (DataType.TEXT, "x", block(15, b"x")),
        (DataType.BYTES, b"\x00\xff", block(16, b"\x00\xff")),
    ],
)
def test_each_datatype_has_its_field(datatype, value, wire):
    """A value stands in the field of its datatype, integers in two's complement."""
    payload = Payload(metrics=(Metric(datatype=datatype, value=value),))

    assert encode_payload(payload) == block(2, number(4, datatype) + wire)


@pytest.mark.parametrize("datatype", INTEGERS)
def test_an_integer_beyond_its_datatype_is_refused(datatype):
    """One more than the most, and one less than the least, is a ValueError."""
    low, high = INTEGERS[datatype]
    for value in (low - 1, high + 1):
        with pytest.raises(ValueError, match=f"{value} is no {datatype.name}"):
            encode_payload(Payload(metrics=(Metric(datatype=datatype, value=value),)))


@pytest.mark.parametrize("datatype", [DataType.INT8, DataType.INT16])
def test_a_sign_extended_to_the_field_is_understood(datatype):
    """Some writers send a short -1 as 32 ones."""
    data = block(2, number(4, datatype) + number(10, 0xFFFF_FFFF))

    assert decode(data).metrics[0].value == -1


def test_a_number_of_the_wrong_kind_is_refused():
    """A text under a datatype of integers is no payload."""
    with pytest.raises(ValueError, match="'5' is no INT32"):
        decode(block(2, number(4, DataType.INT32) + block(15, b"5")))


def test_an_unknown_datatype_is_refused():
    """A datatype that the specification does not have is named."""
    with pytest.raises(ValueError, match="99 is no datatype"):
        decode(block(2, number(4, 99)))


def test_text_that_is_no_utf8_is_refused():
    """A name of broken UTF-8 is a ValueError, not an odd name."""
    with pytest.raises(ValueError, match=r"UTF-8|payload"):
        decode(block(2, block(1, b"\xff\xfe")))


def test_property_keys_need_as_many_values():
    """A property set with a key too many is refused."""
    with pytest.raises(ValueError, match="2 property keys for 1 values"):
        decode(block(2, block(9, block(1, b"a") + block(1, b"b") + block(2, number(1, 3)))))


def test_what_we_do_not_read_is_skipped():
    """A data set of another host is a metric without a plain value, and not null."""
    data = block(2, block(1, b"table") + number(4, DataType.DATASET) + block(17, number(1, 2)))

    assert decode(data).metrics == (Metric("table", datatype=DataType.DATASET),)


def test_a_whole_number_may_be_a_double():
    """A point whose scale makes whole numbers goes out as a double all the same."""
    payload = Payload(metrics=(Metric(datatype=DataType.DOUBLE, value=3),))

    assert decode(encode_payload(payload)).metrics[0].value == 3.0


def test_infinity_and_nan_pass():
    """A float that is no number is carried as it is."""
    payload = Payload(
        metrics=tuple(
            Metric(datatype=DataType.DOUBLE, value=value) for value in (math.inf, math.nan)
        )
    )
    infinite, nothing = (metric.value for metric in decode(encode_payload(payload)).metrics)

    assert infinite == math.inf
    assert math.isnan(nothing)
