"""A page about one run of the stories: what ran on which bench, and the figures; one HTML file.

Figures are what the stories measured. A list of numbers is drawn by its shares: how many of them
are at most so large. A `Course` is drawn over time.
"""

import html
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final, TypedDict

WIDTH, HEIGHT = 360, 90
POINTS_MAX: Final = 200
_MARKS: Final = {"passed": "✓", "failed": "✗", "error": "✗", "skipped": "–"}
_STYLE: Final = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem;
  color: #1c2733; background: #fff; }
h1 { font-size: 1.5rem; margin-bottom: 0; } h2 { font-size: 1.1rem; margin: 2rem 0 0.5rem; }
.meta { color: #52606d; } .story { border-top: 1px solid #d9e0e6; padding: 0.6rem 0; }
.name { font: 13px ui-monospace, monospace; color: #52606d; overflow-wrap: anywhere; }
.failed, .error { color: #a61b1b; font-weight: 600; } .skipped { color: #52606d; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0 1rem; margin: 0.3rem 0 0; }
dt { color: #52606d; } dd { margin: 0; font-variant-numeric: tabular-nums; }
pre { background: #f4f6f8; padding: 0.6rem; overflow: auto; max-height: 20rem; }
svg { display: block; } svg text { font: 11px system-ui, sans-serif; fill: #52606d; }
"""


class Course(TypedDict):
    """Values that follow each other, `every_s` seconds apart; a dict, as pytest's workers send."""

    every_s: float
    values: list[float]


Figure = float | str | Sequence[float] | Course
Figures = dict[str, Figure]


@dataclass(frozen=True, slots=True)
class Story:
    """One that was told: `outcome` passed, failed, error or skipped; `figures` with their units."""

    name: str
    promise: str
    outcome: str
    seconds: float
    figures: Mapping[str, Figure]
    why: str = ""


def write_page(path: Path, bench: str, stories: Sequence[Story]) -> None:
    """Write it to `path`, its folder made if it is not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(_page(bench, stories)) + "\n", "utf-8")


def _page(bench: str, stories: Sequence[Story]) -> Iterator[str]:
    counts = {outcome: sum(s.outcome == outcome for s in stories) for outcome in _MARKS}
    told = ", ".join(f"{count} {outcome}" for outcome, count in counts.items() if count)
    yield '<!doctype html><html lang="en"><head><meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>Shorewatch on the bench: {told}</title><style>{_STYLE}</style></head><body>"
    yield f"<h1>Shorewatch on the bench {html.escape(bench)}</h1>"
    yield f'<p class="meta">{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, Shorewatch '
    yield f"{version('shorewatch')}, Python {platform.python_version()}, {platform.platform()}: "
    yield f"<strong>{told or 'nothing ran'}</strong></p>"
    for title, outcomes in (
        ("Failed", ("failed", "error")), ("Passed", ("passed",)), ("Skipped", ("skipped",)),
    ):  # fmt: skip
        chosen = [s for s in stories if s.outcome in outcomes]
        if chosen:
            yield f"<h2>{title}</h2>"
            for story in sorted(chosen, key=lambda s: s.name):
                yield from _story(story)
    yield "</body></html>"


def _story(story: Story) -> Iterator[str]:
    mark = _MARKS[story.outcome]
    yield f'<div class="story"><div class="{story.outcome}">{mark} '
    yield f"{html.escape(story.promise or story.name)}</div>"
    yield f'<div class="name">{html.escape(story.name)}, {story.seconds:.1f} s</div>'
    if story.figures:
        yield "<dl>"
        for name, value in story.figures.items():
            shown = html.escape(in_words(value)) + _drawn(name, value)
            yield f"<dt>{html.escape(name)}</dt><dd>{shown}</dd>"
        yield "</dl>"
    if story.why:
        yield f"<pre>{html.escape(story.why)}</pre>"
    yield "</div>"


def in_words(value: Figure) -> str:
    """A figure as a line of text."""
    if isinstance(value, str | int):
        return str(value)
    if isinstance(value, float):
        return f"{value:.4g}"
    values = value["values"] if isinstance(value, dict) else sorted(value)
    if not values:
        return "none"
    low, top = min(values), max(values)
    if isinstance(value, dict):
        return f"first {values[0]:.4g}, last {values[-1]:.4g}, least {low:.4g}, largest {top:.4g}"
    count = len(values)
    half, most = (values[min(count - 1, int(share * count))] for share in (0.5, 0.99))
    return f"half at most {half:.3g}, 99 % at most {most:.3g}, largest {top:.3g}, of {count}"


def _drawn(name: str, value: Figure) -> str:
    """A curve of what has many values, else nothing."""
    label = f"{name}: {in_words(value)}"
    if isinstance(value, dict):
        return _course(value, label) if value["values"] else ""
    return "" if isinstance(value, str | float | int) or not value else _shares(value, label)


def _shares(found: Sequence[float], label: str) -> str:
    """How many of the values are at most so large."""
    values = sorted(found)
    count, low, top = len(values), min(0.0, values[0]), max(0.0, values[-1])
    span, wide, high = top - low or 1.0, WIDTH - 40, HEIGHT - 30
    points = " ".join(
        f"{20 + wide * (values[i] - low) / span:.1f},{10 + high * (1 - (i + 1) / count):.1f}"
        for i in _places(count)
    )
    return _curve(points, label, f"{low:.3g}", f"{top:.3g}")


def _course(told: Course, label: str) -> str:
    """Values over time, from their least to their largest."""
    values, hours = told["values"], len(told["values"]) * told["every_s"] / 3600
    low, last = min(values), len(values) - 1
    span, wide, high = max(values) - low or 1.0, WIDTH - 40, HEIGHT - 30
    points = " ".join(
        f"{20 + wide * i / (last or 1):.1f},{10 + high * (1 - (values[i] - low) / span):.1f}"
        for i in _places(last + 1)
    )
    return _curve(points, label, "0 h", f"{hours:.3g} h")


def _places(count: int) -> list[int]:
    return sorted({round(i * (count - 1) / POINTS_MAX) for i in range(POINTS_MAX + 1)})


def _curve(points: str, label: str, left: str, right: str) -> str:
    return (
        f"<svg width='{WIDTH}' height='{HEIGHT}' role='img' aria-label='{html.escape(label)}'>"
        f"<path d='M20 {HEIGHT - 20}H{WIDTH - 20}M20 10V{HEIGHT - 20}' stroke='#9aa5b1'/>"
        f"<polyline points='{points}' fill='none' stroke='#1f6f8b' stroke-width='1.5'/>"
        f"<text x='20' y='{HEIGHT - 5}'>{left}</text><text x='{WIDTH - 20}' y='{HEIGHT - 5}' "
        f"text-anchor='end'>{right}</text></svg>"
    )
