"""What the keys of one point must not say together. Pure: a point in, flaws out.

What could never work or never matter is refused rather than ignored: a sentinel outside the type, a
range that no value meets, a label for a bit that is not there. Each flaw names the key it is about,
and what may have been meant. What concerns several points stands in profile.py.
"""

from collections.abc import Iterator

from shorewatch.conversion import to_float
from shorewatch.point import ENUMS, WORDS, Point
from shorewatch.registers import ADDRESSES, bounds, is_exact

Flaw = tuple[str, str]  # key, rule

_INTEGERS = ("u16", "s16", "u32", "s32", "u64", "s64")
_UNSIGNED = ("u16", "u32", "u64")
_BITS = ("bits", "bits32")
_FOR_NUMBERS = (
    "scale", "offset", "binary_places", "rated", "rated_raw", "scale_by", "quality_by", "range",
    "deadband",
)  # fmt: skip
_ONLY = "a board knows bits and single 16-bit words; let an alarm of the station watch this point"


def flaws(point: Point) -> Iterator[Flaw]:
    """Everything that is wrong with one point by itself."""
    yield from _place(point)
    yield from _bits(point)
    yield from _numbers(point)
    yield from _sentinels(point)
    yield from _labels(point)
    yield from _times(point)
    yield from _shown(point)
    yield from _watches(point)


def sentinel_flaw(kind: str, sentinel: int) -> str | None:
    """Why a sentinel could never be read as this type, with what may have been meant."""
    if kind in ("bit", "string"):
        return f"sentinels belong to numbers, and a {kind} is none; leave them out"
    if is_exact(kind, sentinel):
        return None
    limits = bounds(kind)
    if limits is None:
        return f"{sentinel} is no {kind}, so it would never match; give the nearest one that is"
    low, high = limits
    text = f"{sentinel} is no {kind} ({low} to {high}), so it would never match"
    meant = (sentinel - low) % (high - low + 1) + low
    is_same_word = abs(sentinel - meant) == high - low + 1
    return f"{text}; the same registers read as {kind} are {meant}" if is_same_word else text


def _place(point: Point) -> Iterator[Flaw]:
    if point.address + point.count > ADDRESSES:
        rule = f"a {point.type} takes {point.count} registers, and the last one is {ADDRESSES - 1}"
        yield "address", f"{rule}; addresses here count from 0"
    if point.is_contact and point.type != "bit":
        yield "type", f"table {point.table} holds single bits: only type bit belongs to it"
    if (point.type == "string") != (point.registers is not None):
        rule = "says how many registers a string takes: type string needs it, and no other has it"
        yield "registers", rule
    if point.type == "string" and point.order not in ("ABCD", "BADC"):
        yield "order", "a string is ABCD (first character in the high byte) or BADC"


def _bits(point: Point) -> Iterator[Flaw]:
    if point.type == "bit":
        if not point.is_contact and point.first_bit is None:
            yield "type", "type bit belongs to tables coil and discrete, or needs first_bit"
        if point.is_contact and point.first_bit is not None:
            yield "first_bit", f"table {point.table} holds single bits: leave it out"
        if point.bit_count is not None:
            yield "bit_count", "a bit is one; leave it out"
    elif (point.first_bit is None) != (point.bit_count is None):
        key = "first_bit" if point.bit_count is None else "bit_count"
        yield key, "first_bit and bit_count belong together"
    elif point.first_bit is not None and point.type not in (*_UNSIGNED, *ENUMS, *_BITS):
        yield "first_bit", f"some bits of a {point.type} are no {point.type}; take an unsigned type"
    whole = 16 * point.count
    if point.first_bit is not None and point.first_bit + (point.bit_count or 1) > whole:
        yield "first_bit", f"a {point.type} has bits 0 to {whole - 1}, and these go past the last"


def _numbers(point: Point) -> Iterator[Flaw]:
    if not point.is_numeric:
        for key in _FOR_NUMBERS:
            if key in point.model_fields_set and getattr(point, key) is not None:
                yield key, f"belongs to numbers, and {point.type} is none; leave it out"
        return
    if point.scale == 0:
        yield "scale", "scale must not be 0: every value would be the same"
    if (point.rated is None) != (point.rated_raw is None):
        key = "rated" if point.rated_raw is None else "rated_raw"
        yield key, "rated and rated_raw belong together: raw / rated_raw x rated"
    elif point.rated == 0:
        yield "rated", "rated must not be 0: every value would be the same"
    if point.binary_places is not None and point.type not in _INTEGERS:
        yield "binary_places", f"belongs to integers, and {point.type} is none"
    given = point.model_fields_set & {"scale", "binary_places", "rated"}
    if len(given) > 1:
        yield sorted(given)[0], f"{' and '.join(sorted(given))} are one too many: give one"
    if point.scale_by is not None:
        yield from _scale_by(point)
    yield from _range(point)


def _scale_by(point: Point) -> Iterator[Flaw]:
    by = point.scale_by
    assert by is not None
    if not list(by.names()):
        yield "scale_by", "names a point by decimals, exponent, factor or enum"
    if by.decimals is not None and by.exponent is not None:
        yield "scale_by", "decimals and exponent are one too many: give one"
    if (by.enum is None) != (not by.factors):
        yield "scale_by", "enum and factors belong together: a factor for each label"
    if 0 in by.factors.values():
        yield "scale_by", "a factor must not be 0: every value would be the same"


def _range(point: Point) -> Iterator[Flaw]:
    if point.range is None:
        return
    low, high = point.range
    if low > high:
        yield "range", "range must be [low, high] with low <= high"
        return
    limits = point.raw_bounds
    if limits is None or point.scale == 0 or point.scale_by is not None:
        return
    ends = sorted(raw * point.scaling.gain + point.scaling.offset for raw in limits)
    if high < ends[0] or low > ends[1]:
        rule = f"no value could be in [{low:g}, {high:g}]: with this type, scale and offset they go"
        yield "range", f"{rule} from {to_float(ends[0]):g} to {to_float(ends[1]):g}"


def _sentinels(point: Point) -> Iterator[Flaw]:
    for key, table in (("sentinels", point.sentinels), ("out_of_range", point.out_of_range)):
        for code in table:
            if rule := sentinel_flaw(point.type, int(code)):
                yield key, rule
            elif point.first_bit is not None and not 0 <= int(code) < 1 << point.width:
                yield key, f"{code} is longer than {point.width} bits, so it would never match"
            elif code in point.labels and point.type in ENUMS:
                yield key, f"{code} is a label too: give one"
    for code in point.sentinels.keys() & point.out_of_range.keys():
        yield "out_of_range", f"{code} is a sentinel too: give one"


def _labels(point: Point) -> Iterator[Flaw]:
    if point.type in ENUMS and not point.labels:
        yield "type", f"type {point.type} needs labels: without, no value would mean anything"
    if not point.labels:
        return
    if point.type not in ("bit", *_BITS, *ENUMS):
        yield "labels", "labels belong to types bit, bits, bits32, enum and enum32"
        return
    most = 2 if point.type == "bit" else point.width if point.type in _BITS else 1 << point.width
    noun = "bit" if point.type in _BITS else "value"
    seen: dict[str, str] = {}
    for label, text in point.labels.items():
        if int(label) >= most:
            codes = f"they go from 0 to {most - 1}"
            yield "labels", f"label {label} is no {noun} of {point.type}: {codes}"
        if not text or text in seen:
            fault = f"labels {seen[text]} and {label} both say" if text else f"label {label} is"
            yield "labels", f"{fault} {text!r}: give each its own words"
        seen[text] = label


def _times(point: Point) -> Iterator[Flaw]:
    if point.unchanged_s_max is not None and point.unchanged_s_max < 2 * point.period_s:
        yield "unchanged_s_max", f"must be at least two periods ({2 * point.period_s:g} s)"
    if point.age_max_s <= point.period_s:
        yield "age_s_max", f"age_s_max must be longer than period_s ({point.period_s:g})"


def _shown(point: Point) -> Iterator[Flaw]:
    if point.shown_as is not None and (not point.is_numeric or point.unit != "s"):
        yield "shown_as", 'belongs to numbers of seconds: it needs unit = "s"'


def _watches(point: Point) -> Iterator[Flaw]:
    if point.watch is not None and point.type not in ("bit", *_BITS):
        rule = "boards watch words by watch_above and watch_below" if point.type in WORDS else _ONLY
        yield "watch", f'watch = "change" is for types bit, bits and bits32; {rule}'
    elif point.watch is not None and point.type in _BITS and not point.labels:
        yield "watch", "the labelled bits are watched, and there are no labels"
    given = [
        (key, limit)
        for key, limit in (("watch_above", point.watch_above), ("watch_below", point.watch_below))
        if limit is not None
    ]
    if point.watch_hysteresis and not given:
        yield "watch_hysteresis", "watch_hysteresis needs watch_above or watch_below"
    if len(given) == 2 and given[1][1] >= given[0][1]:
        yield "watch_below", "watch_below must be less than watch_above"
    for key, limit in given:
        if rule := _threshold_flaw(point, key, limit):
            yield key, rule


def _threshold_flaw(point: Point, key: str, limit: float) -> str:
    if point.type not in WORDS:
        return f"thresholds are for types u16 and s16; {_ONLY}"
    if point.order in ("BADC", "DCBA"):
        rule = "boards compare words as they are read: none with swapped bytes"
        return f"{rule}; let an alarm of the station watch this point"
    if point.first_bit is not None or point.scale_by is not None:
        rule = "boards compare whole words with fixed numbers: no bits of them, no scale_by"
        return f"{rule}; let an alarm of the station watch this point"
    if point.scale == 0 or point.rated == 0:
        return ""
    try:
        point.threshold(limit, is_above=key == "watch_above")
    except ValueError as error:
        return str(error)
    return ""
