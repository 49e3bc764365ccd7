"""From exchanges to figures, and figures as a table and as JSON; pure.

A figure's `limit` is what it is held against, `is_least` says on which side; `ratio` is value to
limit, null where the limit is 0. Peers carry the same quantity of other programs in the same run.
"""

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table

from shorewatch.bench.wire import REQUEST_SIZE, Exchange, char_s, t35_s

_WARM = 5  # exchanges at the start that count for nothing: a client may look around first


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured thing: its value, what it is held against, and what others achieve."""

    value: float
    unit: str
    limit: float
    is_least: bool = False
    peers: Mapping[str, float] = field(default_factory=dict)

    @property
    def is_kept(self) -> bool:
        """Whether the value is on the right side of its limit."""
        return self.value >= self.limit if self.is_least else self.value <= self.limit

    @property
    def ratio(self) -> float | None:
        """Value to limit."""
        return None if self.limit == 0 else self.value / self.limit


@dataclass(frozen=True, slots=True)
class Result:
    """What a benchmark found, with what, and on what machine."""

    figures: Mapping[str, Figure]
    versions: Mapping[str, str]
    machine: Mapping[str, Any]


def least_s(baud: int, count: int, turnaround_s: float) -> float:
    """The least time between two requests for `count` registers.

    Request and reply on the wire, the device's turnaround from the request's last bit to the
    reply's first, and one t3.5 before the next request.
    """
    characters = REQUEST_SIZE + 5 + 2 * count
    return characters * char_s(baud) + turnaround_s + t35_s(baud)


def efficiency(exchanges: Sequence[Exchange], least: float) -> float:
    """The least time to the time taken for one answered request; 0 if hardly one was answered."""
    counted = exchanges[_WARM:]
    answered = [index for index, exchange in enumerate(counted) if exchange.end_s is not None]
    if len(answered) < 2:
        return 0.0
    spent_s = counted[answered[-1]].start_s - counted[answered[0]].start_s
    return least * (len(answered) - 1) / spent_s


def inside_t35(exchanges: Sequence[Exchange], baud: int) -> int:
    """How many requests began before t3.5 of silence."""
    return sum(exchange.gap_s < t35_s(baud) for exchange in exchanges)


def worst_period_s(
    exchanges: Sequence[Exchange], units: Collection[int], *, start_s: float
) -> float:
    """The longest mean time between two answers of one of `units`, from `start_s` on.

    Infinite if one of them was not answered twice.
    """
    means = []
    for unit in units:
        asked = [e.start_s for e in exchanges if e.unit_id == unit and e.end_s is not None]
        asked = [at_s for at_s in asked if at_s >= start_s]
        if len(asked) < 2:
            return math.inf
        means.append((asked[-1] - asked[0]) / (len(asked) - 1))
    return max(means)


def cpu_share(before: Sequence[float], after: Sequence[float]) -> float:
    """Busy share of all processors between two readings of the first line of /proc/stat.

    Source: proc_stat(5): user, nice, system, idle, iowait and others, in ticks.
    """
    spent = [b - a for a, b in zip(before, after, strict=True)]
    total = sum(spent)
    return 0.0 if total <= 0 else 1 - (spent[3] + spent[4]) / total


def as_json(result: Result) -> str:
    """One object: a figure a key, beside them `versions` and `machine`."""
    found: dict[str, Any] = {
        name: {
            "value": figure.value,
            "unit": figure.unit,
            "limit": figure.limit,
            "ratio": figure.ratio,
            "peers": dict(figure.peers),
        }
        for name, figure in result.figures.items()
    }
    found |= {"versions": dict(result.versions), "machine": dict(result.machine)}
    return json.dumps(found, indent=2) + "\n"


def as_tables(figures: Mapping[str, Figure], title: str) -> Group:
    """For people: every figure beside its limit, red where it is not kept; then the peers."""
    table = Table(title=title, box=SIMPLE_HEAD)
    for column in ("figure", "value", "unit", "limit"):
        side: Literal["left", "right"] = "right" if column in ("value", "limit") else "left"
        table.add_column(column, justify=side, no_wrap=True)
    for name, figure in figures.items():
        value = number(figure.value)
        table.add_row(
            name,
            value if figure.is_kept else f"[red]{value}[/red]",
            figure.unit,
            f"{'≥' if figure.is_least else '≤'} {number(figure.limit)}",
        )
    compared = {name: figure for name, figure in figures.items() if figure.peers}
    return Group(table, _peers(compared)) if compared else Group(table)


def _peers(figures: Mapping[str, Figure]) -> Table:
    peers = list(dict.fromkeys(name for figure in figures.values() for name in figure.peers))
    table = Table(title="beside others in the same run", box=SIMPLE_HEAD)
    table.add_column("figure", no_wrap=True)
    for column in ("ours", *peers):
        table.add_column(column, justify="right")
    for name, figure in figures.items():
        cells = [number(figure.peers[peer]) if peer in figure.peers else "" for peer in peers]
        table.add_row(name, number(figure.value), *cells)
    return table


def number(value: float) -> str:
    """Three digits after the point, fewer where there is nothing."""
    return f"{value:.3f}".rstrip("0").rstrip(".") if math.isfinite(value) else "never"
