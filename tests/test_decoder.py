"""decoder.py: a whole block at once means what each of its points means by itself."""

import pickle
from typing import get_args

from hypothesis import given, settings
from hypothesis import strategies as st

from shorewatch.conversion import Doubt
from shorewatch.decoder import Decoder
from shorewatch.model import Quality, Reason
from shorewatch.plan import compile_board
from shorewatch.point import Point
from shorewatch.registers import Kind, unpack

KEYS = {"name": "p", "table": "input", "address": 0}
WORD = st.sampled_from([0, 1, 0x7FFF, 0x8000, 0x7F80, 0x7FC0, 0xFF80, 0xFFFF]) | st.integers(
    0, 0xFFFF
)


@st.composite
def points(draw, name: str) -> Point:
    """A sound point of any type, with keys that go with it."""
    kind = draw(st.sampled_from(get_args(Kind)))
    keys: dict[str, object] = {"type": kind}
    keys["order"] = draw(st.sampled_from(["ABCD", "CDAB", "BADC", "DCBA"]))
    if kind == "string":
        keys["registers"] = draw(st.integers(1, 5))
        keys["order"] = draw(st.sampled_from(["ABCD", "BADC"]))
    elif kind in ("enum", "enum32"):
        keys["labels"] = {"0": "off", "1": "on", "65535": "all"}
    elif kind == "bit":
        keys["first_bit"] = draw(st.integers(0, 15))
    elif kind in ("u16", "u32", "bits") and draw(st.booleans()):
        keys["first_bit"], keys["bit_count"] = 4, draw(st.integers(1, 12))
    if kind[0] in "usf" and kind != "string":
        keys |= draw(
            st.sampled_from(
                [{}, {"scale": 0.1}, {"scale": -2.5, "offset": 7.25}, {"range": [-100.0, 1000.0]}]
            )
        )
    if kind in ("u16", "s16", "u32"):
        keys["sentinels"] = [1, 0x7FFF]
    return Point.model_validate(KEYS | {"id": name} | keys)


@settings(max_examples=300)
@given(st.data())
def test_a_block_means_what_its_points_mean(data):
    """Whatever stands in a block, each point gets the value of its own registers."""
    size = data.draw(st.integers(6, 20))
    found = [data.draw(points(f"p{i}")) for i in range(data.draw(st.integers(1, 8)))]
    placed = [(p, data.draw(st.integers(0, size - p.count))) for p in found]
    words = data.draw(st.lists(WORD, min_size=size, max_size=size))

    decoded = Decoder(placed).decode(words)

    assert decoded == {
        p.id: p.converter()(unpack(words[at : at + p.count], p.type, p.order)) for p, at in placed
    }
    for value in decoded.values():
        assert not isinstance(value, Doubt) or (value.value is None) == (
            value.quality is Quality.BAD
        )


@given(st.lists(WORD, min_size=3, max_size=3), st.sets(st.integers(0, 47), min_size=1))
def test_contacts_are_bits_from_the_first_register_on(words, offsets):
    """Bit n of a table of bits is bit n % 16 of register n // 16."""
    keys = {"name": "p", "table": "discrete", "address": 0, "type": "bit"}
    placed = [(Point.model_validate({"id": f"p{n}", **keys}), n) for n in offsets]

    found = Decoder(placed).decode(words)

    assert found == {f"p{n}": bool(words[n // 16] >> n % 16 & 1) for n in offsets}


def tied(**keys) -> Decoder:
    """A value at 0 whose decimals stand at 1 and whose quality stands at 2."""
    base = {"table": "holding", "address": 0}
    value = {"id": "value", "name": "v", "type": "s16", "scale_by": {"decimals": "decimals"}}
    quality = {"point": "quality", "uncertain": ["bound"], "bad": ["invalid"]}
    labels = {"0": "actual", "1": "bound", "3": "invalid"}
    made = [
        value | base | {"quality_by": quality} | keys,
        base | {"id": "decimals", "name": "d", "type": "u16"},
        base | {"id": "quality", "name": "q", "type": "enum", "labels": labels},
    ]
    return Decoder([(Point.model_validate(point), at) for at, point in enumerate(made)])


def test_a_scale_is_that_of_the_same_reading():
    """The decimals of each reading place its own decimal point."""
    decoder = tied()

    assert decoder.decode([1234, 2, 0])["value"] == 12.34
    assert decoder.decode([1234, 0, 0])["value"] == 1234
    assert decoder.decode([1234, 2, 0])["value"] == 12.34


def test_a_device_that_doubts_its_value_is_believed():
    """A bound is uncertain and keeps its number; what is invalid has none."""
    decoder = tied()

    bound = Doubt(Quality.UNCERTAIN, Reason.DEVICE_DOUBT, 12.34, "bound")
    assert decoder.decode([1234, 2, 1])["value"] == bound
    assert decoder.decode([1234, 2, 3])["value"] == Doubt(
        Quality.BAD, Reason.SENTINEL, detail="invalid"
    )


def test_an_unknown_word_of_quality_is_no_approval():
    """A quality that the profile has no label for makes the value uncertain."""
    found = tied().decode([1234, 2, 2])["value"]

    assert found == Doubt(Quality.UNCERTAIN, Reason.UNKNOWN_CODE, 12.34, "by quality")


def test_the_range_holds_after_the_scale():
    """A tied value outside its range is bad, whatever the device says of its quality."""
    decoder = tied(range=[0.0, 100.0])

    assert decoder.decode([1234, 2, 0])["value"] == 12.34
    found = decoder.decode([1234, 0, 1])["value"]
    assert found == Doubt(Quality.BAD, Reason.OUT_OF_RANGE)


def test_a_station_that_was_decoded_still_goes_to_another_process(sumqayit):
    """What decoding needs is not kept in the station, which is handed to processes of its own."""
    block = compile_board(sumqayit, "beach").blocks[0]
    block.decoder.decode([0] * block.registers)

    assert pickle.loads(pickle.dumps(sumqayit)).file == sumqayit.file
