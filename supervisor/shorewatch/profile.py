"""Device types as data: profiles/*.toml, read, checked and joined.

A profile lists a device type's points (point.py) and how the device answers. The gateway decodes
with it, the plan compiler merges by it, the simulated devices encode with it.

A profile is checked twice: each table by itself, as it is read, then what only several keys or the
whole shows (rules.py, `_problems`). What could never work or never matter is refused rather than
ignored. Every key is explained in profiles/README.md.
"""

import difflib
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationError

from shorewatch import rules
from shorewatch.errors import ConfigError, Problem
from shorewatch.point import ENUMS, REGISTERS_MAX, Codes, Id, Name, Point, TableName
from shorewatch.registers import ADDRESSES
from shorewatch.sign import Sign
from shorewatch.toml import Key, Table, TomlFile, printable, read_toml

Area = Literal["feed", "manhole", "power", "room", "security"]
Integer = Literal["u16", "s16", "u32", "s32", "u64", "s64", "bits", "bits32", "enum", "enum32"]


class Whole(Table):
    """Registers that belong to one snapshot: always read together, in one request."""

    table: TableName
    address: Annotated[int, Field(ge=0, le=0xFFFF)]
    count: Annotated[int, Field(ge=1, le=16 * REGISTERS_MAX)]

    def holds(self, point: Point) -> bool:
        """Whether all of the point is in it."""
        end = self.address + self.count
        return (
            point.table == self.table
            and self.address <= point.address
            and point.address + point.count <= end
        )

    def touches(self, point: Point) -> bool:
        """Whether any of the point is in it."""
        end = self.address + self.count
        return (
            point.table == self.table
            and point.address < end
            and point.address + point.count > self.address
        )


class Profile(Table):
    """One device type: profiles/<id>.toml."""

    id: Id
    name: Name
    source: Annotated[str, Field(min_length=1, max_length=400), AfterValidator(printable)]
    synthetic: bool = False
    # Where the page shows it.
    area: Area | None = None
    # How the device answers: at most this many registers (bits: 16 times as many) a request ...
    registers_max: Annotated[int, Field(ge=1, le=REGISTERS_MAX)] = REGISTERS_MAX
    # ... whether a request may run across registers no point needs ...
    merge: bool = True
    # ... when its reply is usually complete at the latest, and when it may still come at worst.
    timeout_ms: Annotated[int, Field(ge=20, le=5000)] = 200
    worst_ms: Annotated[int, Field(ge=20, le=10000)] = 400
    retries: Annotated[int, Field(ge=0, le=3)] = 1
    whole: list[Whole] = []
    # By what `shorewatch scan` recognises it.
    signature: Annotated[list[Sign], Field(max_length=16)] = []
    # By type, for every point of it that has none of its own.
    sentinels: dict[Integer, Codes] = {}
    out_of_range: dict[Integer, Codes] = {}
    point: Annotated[list[Point], Field(min_length=1, max_length=400)]

    @cached_property
    def points(self) -> Mapping[str, Point]:
        """The points by id, in the file's order."""
        return {point.id: point for point in self.point}

    def without(self, names: Collection[str]) -> "Profile":
        """The device type as one has it that lacks these points."""
        return self.having([point for point in self.point if point.id not in names])

    def having(self, points: Sequence[Point]) -> "Profile":
        """The device type with other points; a copy would keep what is cached of the old ones."""
        fields = {name: getattr(self, name) for name in type(self).model_fields}
        return Profile.model_construct(**fields | {"point": list(points)})

    def needs(self, name: str, without: Collection[str]) -> str | None:
        """The point that cannot be decoded without `name`, if one is left after `without`."""
        return next(
            (
                point.id
                for point in self.point
                if point.id not in without and name in (partner for _, partner in point.partners)
            ),
            None,
        )


def load_profile(path: Path) -> Profile:
    """Read and validate one profile file; raises ConfigError with every problem in it."""
    source = read_toml(path)
    profile, problems = source.parse(Profile)
    points = _sound(source) if profile is None else dict(enumerate(profile.point))
    problems += [source.problem(*found) for found in _point_problems(points)]
    name = source.data.get("id")
    if isinstance(name, str) and name != path.stem:
        rule = f"must equal the file's name, {path.stem!r}: rename one of them"
        problems.append(source.problem(("id",), repr(name), rule))
    if profile is not None:
        problems += [source.problem(*found) for found in _problems(profile)]
    if profile is None or problems:
        raise ConfigError(sorted(problems, key=lambda problem: problem.line or 0))
    return _with_sentinels(profile)


def check_profile(path: Path) -> Profile:
    """`load_profile`, and whether a station could use it beside the shipped ones."""
    profile = load_profile(path)
    shipped = _shipped() / f"{profile.id}.toml"
    if shipped.exists() and shipped.resolve() != path.resolve():
        raise ConfigError([_hiding(path, profile)])
    return profile


def load_profiles(folder: Path | None = None) -> Mapping[str, Profile]:
    """All profiles shipped with Shorewatch, plus those of `folder`, by id.

    A file's name is its profile's id; a user's profile may not take the id of a shipped one.
    """
    found: dict[str, Profile] = {}
    problems: list[Problem] = []
    for path in [
        *sorted(_shipped().glob("*.toml")),
        *(sorted(folder.glob("*.toml")) if folder else ()),
    ]:
        try:
            profile = load_profile(path)
        except ConfigError as error:
            problems += error.problems
            continue
        if profile.id in found:
            problems.append(_hiding(path, profile))
        found.setdefault(profile.id, profile)
    if problems:
        raise ConfigError(problems)
    return found


def _shipped() -> Path:
    return Path(str(resources.files("shorewatch"))) / "profiles"


def _hiding(path: Path, profile: Profile) -> Problem:
    rule = "is already a shipped profile; give yours an id (and a file name) of its own"
    return Problem(str(path), 1, "id", profile.id, rule)


def _sound(source: TomlFile) -> dict[int, Point]:
    """The points, by place, whose own shape is sound in a profile that has faults elsewhere."""
    found: dict[int, Point] = {}
    given = source.data.get("point")
    for i, raw in enumerate(given if isinstance(given, list) else ()):
        try:
            found[i] = Point.model_validate(raw)
        except ValidationError:
            continue  # told by Profile's own validation
    return found


def _with_sentinels(profile: Profile) -> Profile:
    """The profile with its sentinels by type laid into the points that have none of their own."""
    points = []
    for point in profile.point:
        given = {}
        for key, by_kind in (
            ("sentinels", profile.sentinels),
            ("out_of_range", profile.out_of_range),
        ):
            codes = {
                c: t for k, table in by_kind.items() if k == point.type for c, t in table.items()
            }
            if codes and key not in point.model_fields_set and point.first_bit is None:
                labels = point.labels if point.type in ENUMS else {}
                given[key] = {code: text for code, text in codes.items() if code not in labels}
        points.append(point.model_copy(update=given) if given else point)
    return profile.having(points)


def _point_problems(points: Mapping[int, Point]) -> Iterator[tuple[Key, str | None, str]]:
    """What is wrong with each point by itself: (key, value, rule)."""
    seen: set[str] = set()
    for i, point in points.items():
        if point.id in seen:
            yield ("point", i, "id"), point.id, "this point id is used twice"
        seen.add(point.id)
        for key, rule in rules.flaws(point):
            value = getattr(point, key)
            is_plain = value is not None and not isinstance(value, (list, dict, Table))
            yield ("point", i, key), repr(value) if is_plain else None, rule


def _problems(profile: Profile) -> Iterator[tuple[Key, str | None, str]]:
    """What only the whole file shows: (key, value, rule)."""
    if profile.worst_ms < profile.timeout_ms:
        key = "worst_ms" if "worst_ms" in profile.model_fields_set else "timeout_ms"
        rule = f"worst_ms must not be shorter than timeout_ms ({profile.timeout_ms})"
        yield (key,), str(profile.worst_ms), rule
    for name, by_kind in (
        ("sentinels", profile.sentinels),
        ("out_of_range", profile.out_of_range),
    ):
        for kind, table in by_kind.items():
            for code in table:
                if flaw := rules.sentinel_flaw(kind, int(code)):
                    yield (name, kind, code), None, flaw
    for i, point in enumerate(profile.point):
        if point.type != "bit" and point.count > profile.registers_max:
            rule = (
                f"takes {point.count} registers, and registers_max allows {profile.registers_max} "
                f"a request: its parts would be of different moments"
            )
            yield ("point", i, "type"), point.type, rule
        for key, rule in _tie_flaws(profile, point):
            yield ("point", i, *key.split(".")), None, rule
    for i, sign in enumerate(profile.signature):
        for key, rule in sign.flaws(dict(profile.points)):
            yield ("signature", i, key), None, rule
    for i, whole in enumerate(profile.whole):
        for rule in _whole_flaws(profile, whole):
            yield ("whole", i), f"address {whole.address}, count {whole.count}", rule


def _tie_flaws(profile: Profile, point: Point) -> Iterator[tuple[str, str]]:
    """What is wrong between a point and the ones that hold its scale or quality: (key, rule)."""
    for key, name in point.partners:
        partner = profile.points.get(name)
        if partner is None:
            near = difflib.get_close_matches(name, profile.points, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            yield key, f"there is no point {name!r} in this profile{hint}"
        elif partner.partners:
            yield key, f"{name} is tied to others itself; name a point that stands alone"
        else:
            if rule := _partner_flaw(point, partner, key.removeprefix("scale_by.")):
                yield key, rule
            # The first one that holds a point takes it (plan.py), so both must be in that one.
            homes = [next((w for w in profile.whole if w.holds(p)), None) for p in (point, partner)]
            if homes[0] is None or homes[0] is not homes[1]:
                rule = f"{name} may be read at another moment: put both into one entry of `whole`"
                yield key, rule


def _partner_flaw(point: Point, partner: Point, key: str) -> str | None:
    if key in ("decimals", "exponent"):
        is_whole = partner.type[0] in "us" and partner.is_numeric and partner.scaling.is_whole
        return None if is_whole else f"{partner.id} must be an integer without fractions"
    if key == "factor":
        return None if partner.is_numeric else f"{partner.id} is of type {partner.type}: no number"
    if partner.type not in ENUMS:
        return f"{partner.id} is of type {partner.type}; its labels are meant, so make it an enum"
    named: Sequence[str] = ()
    if key == "enum" and point.scale_by is not None:
        named = list(point.scale_by.factors)
    elif point.quality_by is not None:
        named = [*point.quality_by.uncertain, *point.quality_by.bad]
        if not named:
            return "names no label: give uncertain or bad"
    strange = [repr(text) for text in named if text not in partner.labels.values()]
    return f"{', '.join(strange)}: no label of {partner.id}" if strange else None


def _whole_flaws(profile: Profile, whole: Whole) -> Iterator[str]:
    end = whole.address + whole.count
    if end > ADDRESSES:
        yield f"runs past the last address, {ADDRESSES - 1}"
    if whole.count > profile.registers_max * (1 if whole.table in ("holding", "input") else 16):
        yield f"is longer than one request may be (registers_max = {profile.registers_max})"
    touched = [point for point in profile.point if whole.touches(point)]
    if not touched:
        yield "has no point in it"
    for point in touched:
        if not whole.holds(point):
            yield f"cuts point {point.id!r} in two"
