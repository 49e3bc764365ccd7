"""What a profile comes to: the tables of `shorewatch profile check`. Pure."""

from collections.abc import Iterator

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from shorewatch.plan import Block, blocks_alone
from shorewatch.point import Point
from shorewatch.profile import Profile

BAUDS = (9600, 19200)


def summary(profile: Profile) -> Group:
    """The device type in tables: its points, its requests and their time, its watches."""
    count = len(profile.point)
    parts: list[RenderableType] = [
        Text(f"{profile.id}: {profile.name}, {count} points, no errors", style="bold"),
        Text(f"source: {profile.source}"),
        Text(f"recognised by: {_signs(profile)}"),
        _points(profile),
        _requests(profile),
    ]
    watched = [point for point in profile.point if list(_changes(point))]
    if watched:
        parts.append(_watches(watched))
    return Group(*parts)


def _signs(profile: Profile) -> str:
    """By what a scan tells this type from others."""
    if not profile.signature:
        return "nothing, a scan does not find it: see `signature` in profiles/README.md"
    names = [sign.point or f"{sign.table} {sign.address:#06x}" for sign in profile.signature]
    return ", ".join(names)


def _table(title: str, *columns: str, right: tuple[str, ...] = ()) -> Table:
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column in columns:
        side = "right" if column in right else "left"
        table.add_column(column, justify=side, overflow="fold")  # type: ignore[arg-type]
    return table


def _points(profile: Profile) -> Table:
    table = _table(
        "points", "point", "table", "address", "type", "meaning", "every", "stale after",
        right=("address", "every", "stale after"),
    )  # fmt: skip
    for point in profile.point:
        kind = f"{point.type} {point.order}" if point.count > 1 else point.type
        cells = (
            point.id,
            point.table,
            str(point.address),
            kind,
            _meaning(point),
            f"{point.period_s:g} s",
            f"{point.age_max_s:g} s",
        )
        table.add_row(*map(Text, cells))
    return table


def _meaning(point: Point) -> str:
    parts = []
    if point.first_bit is not None:
        last = point.first_bit + point.width - 1
        parts.append(f"bit {last}" if point.width == 1 else f"bits {point.first_bit} to {last}")
    if point.range is not None:
        parts.append(f"{point.range[0]:.9g} to {point.range[1]:.9g} {point.unit}".strip())
    elif point.unit:
        parts.append(point.unit)
    parts += [f"by {name}" for name in dict.fromkeys(name for _, name in point.partners)]
    if point.labels:
        parts.append(", ".join(point.labels.values()))
    return "; ".join(parts)


def _requests(profile: Profile) -> Table:
    """Every request at each baud rate; a faster line may split them otherwise."""
    found = {baud: {_key(block): block for block in blocks_alone(profile, baud)} for baud in BAUDS}
    columns = [f"at {baud}" for baud in BAUDS]
    table = _table(
        "requests, alone on a bus (8E1)", "function", "addresses", "every", "points", *columns,
        right=("every", "points", *columns),
    )  # fmt: skip
    for key in sorted({key for blocks in found.values() for key in blocks}):
        block = next(blocks[key] for blocks in found.values() if key in blocks)
        last = block.address + block.count - 1
        table.add_row(
            f"{block.function:02}",
            str(last) if block.count == 1 else f"{block.address} to {last}",
            f"{block.period_ms / 1000:g} s",
            str(len(block.points)),
            *(f"{b[key].wire_s * 1000:.1f} ms" if key in b else "" for b in found.values()),
        )
    shares = [sum(_share(block) for block in blocks.values()) for blocks in found.values()]
    table.add_section()
    table.add_row("bus busy", "", "", "", *(f"{share:.1%}" for share in shares))
    return table


def _key(block: Block) -> tuple[int, int, int, int]:
    return block.period_ms, block.function, block.address, block.count


def _share(block: Block) -> float:
    return block.wire_s / (block.period_ms / 1000)


def _watches(points: list[Point]) -> Table:
    table = _table("stamped by the board itself", "point", "when")
    for point in points:
        table.add_row(Text(point.id), Text("; ".join(_changes(point))))
    return table


def _changes(point: Point) -> Iterator[str]:
    if point.watch is not None:
        labels = point.labels.values() if point.type != "bit" else ()
        yield f"changes of {', '.join(labels)}" if labels else "it changes"
    for word, limit in (("above", point.watch_above), ("below", point.watch_below)):
        if limit is not None:
            yield f"{word} {limit:g} {point.unit}".strip()
