"""profile.py: registers to values and back."""

from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shorewatch.errors import ConfigError
from shorewatch.model import Quality, Reason
from shorewatch.plan import blocks_alone
from shorewatch.point import Point
from shorewatch.profile import load_profile, load_profiles
from shorewatch.registers import Kind


def point(**keys) -> Point:
    given_keys = {"id": "p", "name": "p", "table": "input", "address": 0, "type": "u16"}
    return Point.model_validate(given_keys | keys)


@pytest.mark.parametrize(
    ("keys", "words", "reason"),
    [
        ({"type": "s16", "sentinels": [-32768]}, [0x8000], Reason.SENTINEL),
        ({"type": "u16", "out_of_range": [0xFFFE]}, [0xFFFE], Reason.OUT_OF_RANGE),
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


def test_seconds_are_shown_as_what_they_mean():
    """A moment is a date and a time in UTC, a length of time hours and minutes, with no unit."""
    moment, length = (point(type="f64", unit="s", shown_as=key) for key in ("time", "duration"))
    assert moment.text(1795436141.799) == "2026-11-23 12:15:41 UTC"
    assert moment.text(1e300) == "1e+300 s since 1970"
    assert moment.text(-1e12) == "-1e+12 s since 1970"
    assert [length.text(s) for s in (0, 119, 120, 3000, 412000, -600)] == [
        "0 s", "119 s", "2 min", "50 min", "114 h 27 min", "-10 min",
    ]  # fmt: skip
    assert (moment.text_unit, length.text_unit, point(unit="s").text_unit) == ("", "", "s")


def test_the_shipped_profiles_are_valid():
    """All shipped profiles load, and each names its source."""
    profiles = load_profiles()

    assert set(profiles) >= {
        "pfe-synthetic", "bmh-unit", "xy-md02", "md02-div100", "shtc3", "sdm630", "pm5000",
        "apc-smart-ups", "apc-ap9630", "dse-gencomm", "meanwell-drs", "waveshare-io-8ch",
        "moxa-e1200", "level-probe", "aquaread-ctd", "pemtech-pt495", "bender-isometer",
        "liebert-crv", "liebert-dcd",
    }  # fmt: skip
    assert all(profile.source for profile in profiles.values())


@pytest.mark.parametrize("name", sorted(load_profiles()))
def test_numbers_of_a_shipped_profile_have_a_range_where_order_matters(name):
    """Floats of two registers, whose words may be swapped, have a range that shows it."""
    floats = [p for p in load_profiles()[name].point if p.type in ("f32", "f64")]

    assert [p.id for p in floats if p.range is None] == []


@pytest.mark.parametrize(
    ("name", "first", "last"),
    [
        ("apc-smart-ups", 1536, 1542),
        ("dse-gencomm", 4096, 4105),
        ("meanwell-drs", 0x0000, 0x0020),
        ("meanwell-drs", 0x00B0, 0x00B3),
        ("pemtech-pt495", 6, 6),
        ("liebert-crv", 477, 478),
    ],
)
def test_no_shipped_profile_reads_near_a_command(name, first, last):
    """The registers that a write would turn into commands are in no request, not even in a hole."""
    blocks = [b for b in blocks_alone(load_profiles()[name], 9600) if b.function == 3]

    assert [b for b in blocks if b.address <= last and b.address + b.count > first] == []


def test_sentinels_by_type_are_those_of_every_point_of_it(write):
    """What a profile says of a type holds for its points that say nothing of their own."""
    more = """
[[point]]
id = "b"
name = "b"
table = "input"
address = 1
type = "u16"
sentinels = [7]
[[point]]
id = "c"
name = "c"
table = "input"
address = 2
type = "s16"
[sentinels]
u16 = { 65535 = "not fitted" }
"""
    points = load_profile(write("x.toml", PROFILE + more)).points

    assert points["a"].sentinels == {"65535": "not fitted"}
    assert points["a"].decode([0xFFFF]) == (None, Quality.BAD, Reason.SENTINEL)
    assert points["b"].sentinels == {"7": ""}
    assert points["c"].sentinels == {}


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
        ('type = "u16"', 'type = "u16"\nscale = 1e306\nwatch_above = -3.0', "from 0 to inf"),
        ('type = "u16"', 'type = "u64"\nscale = 1e308\nrange = [-5, -1]', "from 0 to inf"),
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
        ('name = "a"', 'name = "\\u001b[2J"', "control characters"),
        ('name = "a"', f'name = "{"a" * 81}"', "at most 80 characters"),
        ('type = "u16"', 'type = "u16"\nunit = "\\u0007"', "control characters"),
        ('type = "u16"', f'type = "u16"\nunit = "{"V" * 81}"', "at most 80 characters"),
        ('type = "u16"', 'type = "enum"\nlabels = { 1 = "\\u202e" }', "control characters"),
        ('type = "u16"', 'type = "u16"\nsentinels = { 1 = "\\n" }', "control characters"),
        ('type = "u16"', 'type = "enum"', "type enum needs labels"),
        ('type = "u16"', 'type = "u16"\nscale_by = { enum = "b" }', "a factor for each label"),
        ("[[point]]", 'sentinels = { u16 = { 70000 = "x" } }\n[[point]]', "70000 is no u16"),
        ("[[point]]", 'sentinels = { f32 = { 1 = "x" } }\n[[point]]', "sentinels.f32"),
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
        ('type = "u16"\nsentinels = { 70000 = "x" }', "sentinels", None, "70000 is no u16"),
        ('type = "u16"\nsentinels = { x = "x" }', "sentinels", None, "written plainly"),
        ('type = "u16"\nsentinels = [1]\nout_of_range = [1]', "out_of_range", None, "give one"),
        ('type = "u16"\nbinary_places = 7\nscale = 0.1', "binary_places", "7", "one too many"),
        (
            'type = "u16"\nfirst_bit = 0\nbit_count = 4\nsentinels = [16]',
            "sentinels",
            None,
            "16 is longer than 4 bits",
        ),
        ('type = "f32"\nbinary_places = 7', "binary_places", "7", "belongs to integers"),
        ('type = "u16"\nrated = 5.0', "rated", "5.0", "belong together"),
        ('type = "u16"\nregisters = 2', "registers", "2", "type string needs it"),
        ('type = "string"\nregisters = 2\norder = "CDAB"', "order", "'CDAB'", "is ABCD"),
        ('type = "string"\nregisters = 2\nscale = 2.0', "scale", "2.0", "string is none"),
        ('type = "string"\nregisters = 2\nlabels = { 1 = "x" }', "labels", None, "belong to"),
        ('type = "u16"\nfirst_bit = 4', "first_bit", "4", "belong together"),
        ('type = "s16"\nfirst_bit = 4\nbit_count = 2', "first_bit", "4", "unsigned"),
        ('type = "u16"\nfirst_bit = 12\nbit_count = 5', "first_bit", "12", "bits 0 to 15"),
        (
            'type = "u16"\nfirst_bit = 0\nbit_count = 4\nrange = [16, 20]',
            "range",
            None,
            "from 0 to 15",
        ),
        (
            'type = "u16"\nfirst_bit = 0\nbit_count = 4\nwatch_above = 3.0',
            "watch_above",
            "3.0",
            "whole words",
        ),
        (
            'type = "enum"\nfirst_bit = 0\nbit_count = 2\nlabels = { 4 = "x" }',
            "labels",
            None,
            "from 0 to 3",
        ),
        ('type = "u16"\nscale_by = {}', "scale_by", None, "names a point"),
        ('type = "u16"\nscale_by = { factor = "b" }', "scale_by", None, "no point 'b'"),
        ('type = "u16"\nunchanged_s_max = 1.5', "unchanged_s_max", "1.5", "two periods (2 s)"),
        ('type = "u16"\nunit = "V"\nshown_as = "time"', "shown_as", "time", 'unit = "s"'),
    ],
)
def test_what_can_never_be_is_refused_with_its_line(write, lines, key, found, rule):
    """A key that could never match, or never matter, is named with file, line, value and rule."""
    text = PROFILE.replace('type = "u16"', lines).replace("address = 0\n", "", "address" in lines)
    path = write("x.toml", text)
    with pytest.raises(ConfigError) as caught:
        load_profile(path)

    (problem,) = caught.value.problems
    assert (problem.file, problem.value) == (str(path), found)
    assert problem.key.startswith(f"point.0.{key}")
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


def test_sentinels_by_type_leave_labels_and_parts_alone(write):
    """A label is no sentinel, and some bits of a register do not have those of the whole."""
    more = """
[[point]]
id = "b"
name = "b"
table = "input"
address = 1
type = "enum"
labels = { 7 = "seven" }
[[point]]
id = "c"
name = "c"
table = "input"
address = 2
type = "u16"
first_bit = 0
bit_count = 4
[sentinels]
u16 = [7]
enum = [7, 8]
"""
    points = load_profile(write("x.toml", PROFILE + more)).points

    assert points["b"].sentinels == {"8": ""}
    assert points["c"].sentinels == {}


def test_a_range_counts_after_the_scale_of_another_point(write):
    """What raw numbers alone could not reach is a sound range of a point with scale_by."""
    text = TIED.replace('type = "s16"', 'type = "s16"\nrange = [50000, 60000]')

    assert load_profile(write("x.toml", text)).points["level"].range == [50000, 60000]


TIED = """
id = "x"
name = "x"
source = "x"
whole = [{ table = "input", address = 0, count = 3 }]
[[point]]
id = "level"
name = "level"
table = "input"
address = 0
type = "s16"
scale_by = { decimals = "decimals" }
quality_by = { point = "quality", bad = ["invalid"] }
[[point]]
id = "decimals"
name = "decimals"
table = "input"
address = 1
type = "u16"
[[point]]
id = "quality"
name = "quality"
table = "input"
address = 2
type = "enum"
labels = { 0 = "valid", 1 = "invalid" }
"""


@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        ("count = 3", "count = 2", "quality may be read at another moment: put both into one"),
        ("whole = ", "# whole = ", "decimals may be read at another moment"),
        ('decimals = "decimals"', 'decimals = "quality"', "must be an integer without fractions"),
        ('address = 1\ntype = "u16"', 'address = 1\ntype = "u16"\nscale = 0.5', "an integer"),
        ('bad = ["invalid"]', 'bad = ["broken"]', "'broken': no label of quality"),
        (', bad = ["invalid"]', "", "names no label"),
        ('point = "quality"', 'point = "decimals"', "make it an enum"),
        (
            'decimals = "decimals"',
            'enum = "quality", factors = { ok = 1.0 }',
            "'ok': no label of quality",
        ),
        ('decimals = "decimals"', 'factor = "level"', "level is tied to others itself"),
    ],
)
def test_points_that_could_be_read_apart_are_not_tied(write, old, new, rule):
    """A scale or quality that may be of another moment, or says nothing, is refused."""
    load_profile(write("x.toml", TIED))
    with pytest.raises(ConfigError) as caught:
        load_profile(write("x.toml", TIED.replace(old, new, 1)))

    assert any(rule in problem.rule for problem in caught.value.problems)


def test_tied_points_are_one_request(write):
    """What a value needs is in its own block, whatever the periods."""
    text = TIED.replace('address = 1\ntype = "u16"', 'address = 1\ntype = "u16"\nperiod_s = 60')
    (block,) = blocks_alone(load_profile(write("x.toml", text)), 9600)

    assert {name for name, _ in block.points} == {"level", "decimals", "quality"}


def test_faults_of_every_kind_are_told_at_once(write):
    """A key that is no key hides neither a rule between keys nor an id used twice."""
    more = PROFILE[PROFILE.index("[[point]]") :]
    text = PROFILE.replace("address = 0", "adress = 0") + more * 2 + "scale = 0.0\n"
    with pytest.raises(ConfigError) as caught:
        load_profile(write("x.toml", text))

    told = [(problem.line, problem.key) for problem in caught.value.problems]
    assert told == [
        (5, "point.0.address"),
        (9, "point.0.adress"),
        (18, "point.2.id"),
        (23, "point.2.scale"),
    ]


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


def test_a_bit_of_a_register_is_watched_where_it_stands():
    """A single bit, and bits of a part of a register, are found at their places in it."""
    bit = point(type="bit", first_bit=7, labels={"0": "off", "1": "on"})
    part = point(type="bits", first_bit=8, bit_count=4, labels={"0": "a", "3": "b"})

    assert bit.bit_places() == {0: (0, 7)}
    assert part.bit_places() == {0: (0, 8), 3: (0, 11)}


def test_a_users_profile_may_not_hide_a_shipped_one(write, tmp_path):
    """A profile with the id of a shipped one is refused."""
    write("sdm630.toml", PROFILE.replace('"x"', '"sdm630"', 1))

    with pytest.raises(ConfigError, match="is already a shipped profile"):
        load_profiles(tmp_path)


LITERALS = [
    *("0", "-1", "1", "7", "16", "65535", "70000", "1e308", "-1e308", "5e-324", "0.1", "true"),
    *('""', '"p"', '"a"', '"change"', '"CDAB"', '"coil"', "[]", "[1]", "[1, 2]", "[-1e308, 1e308]"),
    *('["x"]', "{}", "{ 1 = 'x' }", "{ 0 = 'a', 1 = 'b' }", "{ -1 = 'x' }", "{ x = 1 }"),
    *("{ decimals = 'b' }", "{ factor = 'b' }", "{ enum = 'b', factors = { a = 1e308 } }"),
    *("{ point = 'b', bad = ['a'] }", "{ u16 = [1] }", "{ u16 = { 1 = 2 } }", "1979-05-27"),
    *(f'"{kind}"' for kind in get_args(Kind)),
]
KEY_VALUES = st.dictionaries(
    st.sampled_from([*Point.model_fields]), st.sampled_from(LITERALS), max_size=6
)


@settings(max_examples=500)
@given(KEY_VALUES, KEY_VALUES, st.sampled_from(["", *LITERALS]), st.sampled_from(["", *LITERALS]))
def test_any_profile_is_read_or_refused(tmp_path_factory, first, second, sentinels, whole):
    """Whatever the keys say, a profile is used, or its faults are told; nothing else happens."""
    base = {"name": '"n"', "table": '"input"', "address": "0", "type": '"u16"'}
    lines = ['id = "x"', 'name = "x"', 'source = "x"']
    lines += [f"sentinels = {sentinels}"] if sentinels else []
    lines += [f"whole = {whole}"] if whole else []
    for name, keys in (("a", first), ("b", second)):
        point = base | {"id": f'"{name}"'} | keys
        lines += ["[[point]]", *(f"{key} = {value}" for key, value in point.items())]
    path = tmp_path_factory.getbasetemp() / "x.toml"
    path.write_text("\n".join(lines))
    try:
        profile = load_profile(path)
    except ConfigError as error:
        assert all(problem.rule and problem.file == str(path) for problem in error.problems)
        return
    for block in blocks_alone(profile, 9600):
        for word in (0, 1, 0x8000, 0xFFFF):
            assert block.decoder.decode([word] * block.registers)
    for point in profile.point:
        float(point.scaling.gain)
        list(point.bit_places() if point.watch else ())
