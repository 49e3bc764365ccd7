"""field/guess.py and sign.py: device types recognised by what their registers hold."""

from io import StringIO

import pytest
from rich.console import Console
from wiring import climate

from shorewatch.direct.frame import Outcome, Read
from shorewatch.field.guess import Guess, guess, seen_in
from shorewatch.field.probe import Trial
from shorewatch.model import Scalar
from shorewatch.point import FUNCTIONS, Point
from shorewatch.profile import Profile, load_profiles
from shorewatch.profilecheck import summary
from shorewatch.sign import Ask, Seen, Sign

PROFILES = load_profiles()
# Whose signs are bits, or few: a scan proposes them.
PROPOSED = {"waveshare-io-8ch", "moxa-e1200", "shtc3", "liebert-dcd", "pemtech-pt495"}


async def guessed(cells: dict[int, dict[int, int]], unit_id: int = 3, baud: int = 9600) -> Guess:
    async def read(ask: Ask) -> Seen:
        if ask.function not in cells:
            return 1
        words = [cells[ask.function].get(at) for at in range(ask.address, ask.address + ask.count)]
        return 2 if None in words else [word for word in words if word is not None]

    return await guess(PROFILES.values(), read, unit_id=unit_id, baud=baud)


def usual(point: Point, sign: Sign | None) -> Scalar:
    """A value that a device of this type may well have."""
    if point.type == "string":
        return "MODEL X"
    if point.type == "bit":
        return True
    if point.labels and point.type not in ("bits", "bits32"):
        return next(iter(point.labels.values()))
    if not point.is_numeric:
        return 1
    low, high = (sign and sign.between) or point.range or (0, 1000)
    value = low + 0.617 * (high - low)
    return value if point.type in ("f32", "f64") else round(value)


def cells_of(profile: Profile, unit_id: int, baud: int) -> dict[int, dict[int, int]]:
    """The registers of a device of this type: its points, and what its signs ask for."""
    signs = {sign.point: sign for sign in profile.signature if sign.point}
    cells: dict[int, dict[int, int]] = {}
    for point in profile.point:
        if point.partners:
            continue
        table = cells.setdefault(point.function, {})
        for at, word in enumerate(point.encode(usual(point, signs.get(point.id))), point.address):
            table[at] = table.get(at, 0) | word
    for sign in profile.signature:
        if sign.table is not None and sign.address is not None and not sign.refused:
            held = next((int(code) for code, rate in sign.baud.items() if rate == baud), 0)
            word = unit_id if sign.unit_id else (sign.holds or [held])[0]
            cells.setdefault(FUNCTIONS[sign.table], {})[sign.address] = word
    return cells


@pytest.mark.parametrize("name", sorted(PROFILES))
async def test_each_shipped_type_is_recognised(name: str) -> None:
    """A device that holds what its type has is that type: surely, or among what it may be."""
    profile = PROFILES[name]
    if not profile.signature:
        pytest.skip("a profile without a signature is never proposed")
    found = await guessed(cells_of(profile, 3, 9600))

    names = [fit.profile.id for fit in found.fits]
    if name in PROPOSED:
        assert name in names and not (found.is_sure and names[0] != name)
    else:
        assert names[0] == name, found.said


async def test_every_shipped_type_has_a_signature() -> None:
    """A scan knows each type that is shipped."""
    assert not [name for name, profile in PROFILES.items() if not profile.signature]


LOOK_ALIKES = {
    "xy-md02": climate(3).cells,
    "md02-div100": {3: {0x0100: 3, 0x0101: 2}, 4: {1: 2150, 2: 4500}},
}


@pytest.mark.parametrize("name", LOOK_ALIKES)
async def test_look_alikes_are_told_apart(name: str) -> None:
    """XY-MD02 and its look-alike MD02 are each recognised for sure, by where their settings are."""
    found = await guessed(LOOK_ALIKES[name])  # type: ignore[arg-type]

    assert (found.best and found.best.profile.id, found.is_sure) == (name, True)


async def test_the_look_alike_without_settings_is_proposed() -> None:
    """An SHTC3 is proposed first, and never for sure: other devices hold two such numbers, too."""
    found = await guessed({3: {0: 450, 1: 215}})

    assert found.best and found.best.profile.id == "shtc3"
    assert not found.is_sure and found.said.startswith("maybe shtc3")


async def test_the_unit_id_must_be_its_own() -> None:
    """A register that holds another unit's id is no sign."""
    found = await guessed(climate(3).cells, unit_id=4)  # type: ignore[arg-type]

    assert "xy-md02" not in [fit.profile.id for fit in found.fits]


async def test_zeros_prove_nothing() -> None:
    """A device that answers everything with zeros is recognised as nothing for sure."""
    zeros = {function: dict.fromkeys(range(0x10000), 0) for function in (1, 2, 3, 4)}
    found = await guessed(zeros)

    assert not found.is_sure


async def test_each_register_is_read_once() -> None:
    """However many types ask for it, a register is read once; a missing sign ends its type."""
    asked: list[Ask] = []

    async def read(ask: Ask) -> Seen:
        asked.append(ask)
        return 2

    await guess(PROFILES.values(), read, unit_id=1, baud=9600)
    assert len(asked) == len(set(asked)) <= len(PROFILES)


def test_bits_are_seen_one_by_one() -> None:
    """A reply of packed bits comes out as one 0 or 1 for each that was asked for."""
    trial = Trial(Read(1, 2, 0, 10), Outcome.GOOD, b"", b"", reply=bytes([2, 2, 0b101, 0b10]))

    assert seen_in(trial) == [1, 0, 1, 0, 0, 0, 0, 0, 0, 1]


@pytest.mark.parametrize(
    ("sign", "rule"),
    [
        ({"point": "none"}, "no point"),
        ({}, "names a point"),
        ({"table": "holding", "address": 1}, "one of holds"),
        ({"table": "holding", "address": 1, "holds": [1], "refused": True}, "one of holds"),
        ({"table": "coil", "address": 1, "unit_id": True}, "single bit"),
        ({"table": "coil", "address": 1, "holds": [2]}, "0 or 1"),
        ({"table": "holding", "address": 1, "baud": {"x": 9600}}, "codes"),
        ({"table": "holding", "address": 1, "holds": [1], "between": [0, 1]}, "holds lists"),
        ({"point": "temperature", "holds": [1]}, "leave those out"),
        ({"point": "temperature", "refused": True}, "leave those out"),
        ({"point": "temperature", "between": [5, 1]}, "low <= high"),
    ],
)
def test_a_sign_that_makes_no_sense_is_refused(sign: dict[str, object], rule: str) -> None:
    """Each mistake in a signature is told with its rule."""
    points = dict(PROFILES["xy-md02"].points)

    assert [text for _, text in Sign.model_validate(sign).flaws(points) if rule in text]


def test_a_profile_says_by_what_it_is_recognised() -> None:
    """`profile check` names the signs of a type, and says so where it has none."""
    with_signs = PROFILES["xy-md02"]
    without = with_signs.model_copy(update={"signature": []})
    out = Console(file=StringIO(), width=200)
    for profile in (with_signs, without):
        out.print(summary(profile))
    text = out.file.getvalue()  # type: ignore[attr-defined]

    assert "recognised by: holding 0x0101, holding 0x0102, temperature, humidity" in text
    assert "a scan does not find it" in text


async def test_two_types_that_fit_alike_leave_it_open() -> None:
    """Where another type fits as well, none is told for sure, and both are named."""
    kind = PROFILES["xy-md02"]
    twin = kind.model_copy(update={"id": "yz-md02"})
    cells = climate(3).cells

    async def read(ask: Ask) -> Seen:
        words = [cells.get(ask.function, {}).get(ask.address + i) for i in range(ask.count)]
        return 2 if None in words else [word for word in words if word is not None]

    found = await guess([kind, twin], read, unit_id=3, baud=9600)
    assert not found.is_sure and found.said == "maybe xy-md02, or yz-md02"
