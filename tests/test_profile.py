"""profile.py: registers to values and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shorewatch.errors import ConfigError
from shorewatch.model import Quality, Reason
from shorewatch.point import Point
from shorewatch.profile import load_profile, load_profiles


def point(**keys) -> Point:
    given_keys = {"id": "p", "name": "p", "table": "input", "address": 0, "type": "u16"}
    return Point.model_validate(given_keys | keys)


@pytest.mark.parametrize(
    ("keys", "words", "value"),
    [
        # XY-MD02: 0x0131 = 30.5 degC, and below zero. Source: XY-MD02 manual's example frame.
        ({"type": "s16", "scale": 0.1}, [0x0131], 30.5),
        ({"type": "s16", "scale": 0.1}, [0xFFF6], -1.0),
        # SDM630: 0x43663333 is 230.2 V as float32, high word first. Source: IEEE 754.
        ({"type": "f32"}, [0x4366, 0x3333], pytest.approx(230.2, abs=1e-4)),
        ({"type": "f32", "order": "CDAB"}, [0x3333, 0x4366], pytest.approx(230.2, abs=1e-4)),
        ({"type": "f32", "order": "BADC"}, [0x6643, 0x3333], pytest.approx(230.2, abs=1e-4)),
        ({"type": "f32", "order": "DCBA"}, [0x3333, 0x6643], pytest.approx(230.2, abs=1e-4)),
        ({"type": "s32", "scale": 0.1}, [0xFFFF, 0xF4FC], -282.0),
        ({"type": "u64"}, [0, 0, 1, 2], 65538.0),
        ({"type": "bits"}, [0x8001], 0x8001),
        ({"type": "enum", "labels": {"1": "run"}}, [1], "run"),
        ({"type": "u64", "scale": 10.0, "offset": 3.0}, [0xFFFF] * 4, (2**64 - 1) * 10 + 3),
        ({"type": "s64"}, [0x8000, 0, 0, 1], -(2**63) + 1),
        ({"type": "bit", "table": "discrete"}, [1], True),
    ],
)
def test_registers_become_values(keys, words, value):
    """Golden vectors decode to the values their sources give."""
    assert point(**keys).decode(words) == (value, Quality.GOOD, None)


@pytest.mark.parametrize(
    ("keys", "words", "reason"),
    [
        ({"type": "s16", "sentinels": [-32768]}, [0x8000], Reason.SENTINEL),
        ({"type": "u16", "range": [0, 100]}, [101], Reason.OUT_OF_RANGE),
        ({"type": "f32"}, [0x7FC0, 0], Reason.SENTINEL),
        ({"type": "f32"}, [0xFF80, 0], Reason.SENTINEL),
        ({"type": "f64", "scale": 1000.0}, [0x7FEF, 0xFFFF, 0xFFFF, 0xFFFF], Reason.OUT_OF_RANGE),
        ({"type": "u16", "scale": 1e305}, [0xFFFF], Reason.OUT_OF_RANGE),
    ],
)
def test_what_is_no_measurement_is_no_number(keys, words, reason):
    """Sentinels, NaN, infinities and values out of range become bad values without a number."""
    assert point(**keys).decode(words) == (None, Quality.BAD, reason)


def test_a_code_without_a_label_is_uncertain():
    """An enum's unlabelled number is kept and shown, but is not passed off as understood."""
    run = point(type="enum", labels={"1": "run"})
    assert run.decode([9]) == ("unknown (9)", Quality.UNCERTAIN, Reason.UNKNOWN_CODE)


@given(
    st.sampled_from(["u16", "s16", "u32", "s32", "u64", "s64"]),
    st.sampled_from(["ABCD", "CDAB", "BADC", "DCBA"]),
    st.data(),
)
def test_encoding_is_the_inverse_of_decoding(kind, order, data):
    """Any registers decode and encode to themselves, in any word order."""
    p = point(type=kind, order=order)
    words = data.draw(st.lists(st.integers(0, 0xFFFF), min_size=p.count, max_size=p.count))
    value, quality, _ = p.decode(words)

    assert quality is Quality.GOOD
    assert p.encode(value) == words


def test_text_is_what_people_read():
    """Bits, enums and numbers print as words and with their digits."""
    assert point(type="bits", labels={"0": "a", "3": "b"}).text(9) == "a, b"
    assert point(type="bits", labels={"3": "b"}).text(0x8008) == "b, bit 15"
    assert point(type="bits", labels={"3": "b"}).text(0) == "none"
    assert point(type="u64").text(2**64 - 1) == "18446744073709551615"
    assert point(digits=2, scale=0.01).text(1.5) == "1.50"
    assert point(type="bit", table="coil", labels={"1": "open"}).text(True) == "open"
    assert point().text(None) == "—"


def test_the_shipped_profiles_are_valid():
    """All shipped profiles load, and each names its source."""
    profiles = load_profiles()

    assert {"pfe-synthetic", "bmh-unit", "xy-md02", "sdm630"} <= set(profiles)
    assert all(profile.source for profile in profiles.values())


PROFILE = """
id = "x"
name = "x"
source = "x"
[[point]]
id = "a"
name = "a"
table = "input"
address = 0
type = "u16"
"""


@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        ('type = "u16"', 'type = "bit"', "type bit belongs to tables"),
        ('type = "u16"', 'type = "u17"', "'u17'"),
        ('type = "u16"', 'type = "u16"\nrange = [5, 1]', "low <= high"),
        ('type = "u16"', 'type = "u16"\nage_s_max = 0.5', "longer than period_s"),
        ("address = 0", "adress = 0", "did you mean 'address'?"),
        ('type = "u16"', 'type = "u16"\nwatch = "change"', "by watch_above and watch_below"),
        ('type = "u16"', 'type = "f32"\nwatch = "change"', "let an alarm of the station watch"),
        ('type = "u16"', 'type = "bits"\nwatch = "change"', "there are no labels"),
        (
            'type = "u16"',
            'type = "bits"\nlabels = { 16 = "x" }\nwatch = "change"',
            "label 16 is no bit of bits",
        ),
        ('type = "u16"', 'type = "u16"\nwatch = "rise"', "watch"),
        ('type = "u16"', 'type = "u16"\nscale = 0.0', "scale must not be 0"),
        ('type = "u16"', 'type = "s32"\nwatch_above = 1.0', "thresholds are for types u16 and s16"),
        ('type = "u16"', 'type = "enum"\nwatch_below = 1.0', "thresholds are for types"),
        ('type = "u16"', 'type = "u16"\norder = "BADC"\nwatch_above = 1.0', "swapped bytes"),
        ('type = "u16"', 'type = "u16"\nwatch_above = 65535.0', "from 0 to 65534"),
        ('type = "u16"', 'type = "u16"\nscale = 0.1\nwatch_above = 1e308', "to 6553.4"),
        ('type = "u16"', 'type = "u16"\nwatch_below = 0.0', "from 1 to 65535"),
        ('type = "u16"', 'type = "s16"\nscale = 0.1\nwatch_above = 4000.0', "to 3276.6"),
        (
            'type = "u16"',
            'type = "u16"\nwatch_above = 5.0\nwatch_hysteresis = 6.0',
            "would never end",
        ),
        ('type = "u16"', 'type = "u16"\nwatch_hysteresis = 6.0', "needs watch_above or"),
        (
            'type = "u16"',
            'type = "u16"\nwatch_above = 5.0\nwatch_below = 5.0',
            "must be less than watch_above",
        ),
        ('source = "x"', 'source = "x"\ntimeout_ms = 900', "worst_ms must not be shorter"),
        ('type = "u16"', 'type = "u16"\nage_s_max = 1e9', "less than or equal to 86400"),
        ('name = "a"', 'name = ""', "at least 1 character"),
        ('type = "u16"', 'type = "enum"', "type enum needs labels"),
        (
            "[[point]]",
            'whole = [{ table = "coil", address = 0, count = 8 }]\n[[point]]',
            "no point",
        ),
    ],
)
def test_a_bad_profile_says_what_is_wrong(write, old, new, rule):
    """Rules between keys are reported in words."""
    with pytest.raises(ConfigError) as caught:
        load_profile(write("x.toml", PROFILE.replace(old, new, 1)))

    assert rule in str(caught.value)


@pytest.mark.parametrize(
    ("lines", "key", "found", "rule"),
    [
        ('type = "s16"\nsentinels = [0, 32768]', "sentinels", None, "as s16 are -32768"),
        ('type = "u32"\nsentinels = [-1]', "sentinels", None, "as u32 are 4294967295"),
        ('type = "u16"\nsentinels = [999999]', "sentinels", None, "no u16 (0 to 65535)"),
        ('type = "f32"\nsentinels = [16777217]', "sentinels", None, "16777217 is no f32"),
        ('type = "u32"\naddress = 65535', "address", "65535", "takes 2 registers"),
        ('type = "f64"\naddress = 65533', "address", "65533", "the last one is 65535"),
        ('type = "bits"\nlabels = { 16 = "x" }', "labels", None, "from 0 to 15"),
        ('type = "enum"\nlabels = { 65536 = "x" }', "labels", None, "no value of enum"),
        ('type = "bits"\nlabels = { 01 = "x" }', "labels", None, "written plainly"),
        ('type = "bits"\nlabels = { 1 = "x", 2 = "x" }', "labels", None, "1 and 2 both say 'x'"),
        ('type = "bits"\nscale = 2.0', "scale", "2.0", "bits is none"),
        ('type = "u16"\nrange = [70000, 80000]', "range", None, "from 0 to 65535"),
        ('type = "u16"\nunchanged_s_max = 1.5', "unchanged_s_max", "1.5", "two periods (2 s)"),
    ],
)
def test_what_can_never_be_is_refused_with_its_line(write, lines, key, found, rule):
    """A key that could never match, or never matter, is named with file, line, value and rule."""
    text = PROFILE.replace('type = "u16"', lines).replace("address = 0\n", "", "address" in lines)
    path = write("x.toml", text)
    with pytest.raises(ConfigError) as caught:
        load_profile(path)

    (problem,) = caught.value.problems
    assert (problem.file, problem.key, problem.value) == (str(path), f"point.0.{key}", found)
    assert text.splitlines()[problem.line - 1].startswith(key)
    assert rule in problem.rule


@pytest.mark.parametrize(
    ("head", "kind", "line", "rule"),
    [
        ("registers_max = 1", "f64", 11, "takes 4 registers, and registers_max allows 1"),
        ('whole = [{ table = "input", address = 65530, count = 9 }]', "u16", 5, "last address"),
        (
            'whole = [{ table = "input", address = 1, count = 1 }]',
            "u32",
            5,
            "cuts point 'a' in two",
        ),
    ],
)
def test_what_only_the_whole_profile_shows_has_its_line(write, head, kind, line, rule):
    """A point that one request cannot hold, or a snapshot that cannot be read, is named."""
    text = PROFILE.replace('source = "x"', f'source = "x"\n{head}').replace("u16", kind)
    with pytest.raises(ConfigError) as caught:
        load_profile(write("x.toml", text))

    problem = caught.value.problems[0]
    assert problem.line == line
    assert rule in problem.rule


def test_a_bad_watch_is_named_with_its_line(write):
    """A watch that no board can keep is reported with file, line, key and value."""
    path = write("x.toml", PROFILE.replace('"u16"', '"s32"\nwatch_above = 2.5'))
    with pytest.raises(ConfigError) as caught:
        load_profile(path)

    (problem,) = caught.value.problems
    assert (problem.line, problem.key, problem.value) == (11, "point.0.watch_above", "2.5")


@pytest.mark.parametrize(
    ("keys", "limit", "is_above", "expected"),
    [
        ({"type": "s16", "scale": 0.1}, 30.0, True, (True, 300, 0)),
        ({"type": "s16", "scale": 0.1}, 0.3, True, (True, 3, 0)),
        ({"type": "s16", "scale": 0.1}, 30.04, True, (True, 300, 0)),
        ({"type": "s16", "scale": 0.1}, 30.04, False, (False, 301, 0)),
        ({"type": "s16", "scale": 0.1, "watch_hysteresis": 0.5}, -5.0, False, (False, -50, 5)),
        ({"type": "u16", "scale": -0.5, "offset": 100.0}, 60.0, True, (False, 80, 0)),
        (
            {"type": "u16", "scale": -0.5, "offset": 100.0, "watch_hysteresis": 2.0},
            60.0,
            True,
            (False, 80, 4),
        ),
    ],
)
def test_thresholds_become_raw_words(keys, limit, is_above, expected):
    """A limit in the point's unit becomes the raw number past which the value passes the limit."""
    watched = point(**keys, **{"watch_above" if is_above else "watch_below": limit})
    assert watched.threshold(limit, is_above=is_above) == expected


@given(
    st.sampled_from(["u16", "s16"]),
    st.sampled_from([1.0, 0.1, 0.001, -0.1, 0.25]),
    st.integers(-300, 300).map(lambda n: n / 10),
    st.integers(-30, 30),
    st.booleans(),
)
def test_a_raw_threshold_means_what_the_limit_means(kind, scale, limit, offset, is_above):
    """For every word, the board's comparison is that of the decoded value with the limit."""
    p = point(type=kind, scale=scale, offset=float(offset))
    try:
        raw_above, begin, _ = p.threshold(limit, is_above=is_above)
    except ValueError:
        return
    for word in {(begin + step) & 0xFFFF for step in range(-3, 4)}:
        raw = word - 0x10000 if kind == "s16" and word > 0x7FFF else word
        value = p.decode([word])[0]
        board_says = raw > begin if raw_above else raw < begin
        assert board_says == (value > limit if is_above else value < limit)


def test_bits_are_found_in_any_order():
    """Bit n of a field of bits is found in its register, for any order of words and bytes."""
    labels = {"0": "a", "7": "b", "17": "c"}
    places = {
        order: point(type="bits32", labels=labels, order=order).bit_places()
        for order in ("ABCD", "CDAB", "BADC", "DCBA")
    }
    assert places["ABCD"] == {0: (1, 0), 7: (1, 7), 17: (0, 1)}
    assert places["CDAB"] == {0: (0, 0), 7: (0, 7), 17: (1, 1)}
    assert places["BADC"] == {0: (1, 8), 7: (1, 15), 17: (0, 9)}
    assert places["DCBA"] == {0: (0, 8), 7: (0, 15), 17: (1, 9)}


def test_a_users_profile_may_not_hide_a_shipped_one(write, tmp_path):
    """A profile with the id of a shipped one is refused."""
    write("sdm630.toml", PROFILE.replace('"x"', '"sdm630"', 1))

    with pytest.raises(ConfigError, match="is already a shipped profile"):
        load_profiles(tmp_path)
