"""The cable as a picture: what potentials each end sees, repeaters, the fault's interval.

One SVG of fixed size with attributes only, no style sheets and no scripts, so that a page with a
strict Content-Security-Policy may hold it. Colour is never alone: lines have their dashes, too. The
one importer of svg.py, which escapes nothing: every text goes through `html.escape`. Pure.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from html import escape
from itertools import pairwise
from typing import Literal

import svg

from shorewatch.cable.budget import Shown
from shorewatch.cable.file import CableFile, EndConfig
from shorewatch.cable.line import Cable, End
from shorewatch.cable.locate import Place
from shorewatch.cable.words import place_text

_WIDTH, _HEIGHT = 960, 440
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 30, 60, 80
_INK, _PALE, _GROUND = "#222222", "#9a9a9a", "#f5f5f5"
_A, _B, _FAULT = "#0b5394", "#8a4b00", "#b00020"
_FONT = "sans-serif"

Point = tuple[float, float]
Anchor = Literal["start", "middle", "end"]


@dataclass(frozen=True, slots=True)
class _Frame:
    """Kilometres and volts to the picture's units."""

    length_km: float
    top_v: float
    bottom_v: float

    def x(self, km: float) -> float:
        return round(_LEFT + km / self.length_km * (_WIDTH - _LEFT - _RIGHT), 1)

    def y(self, volts: float) -> float:
        share = (self.top_v - volts) / (self.top_v - self.bottom_v)
        return round(_TOP + share * (_HEIGHT - _TOP - _BOTTOM), 1)


def picture(
    file: CableFile,
    a: Shown | None,
    b: Shown | None,
    place: Place | None = None,
    before: tuple[Shown, Shown] | None = None,
) -> str:
    """The SVG. Without `before` the profile of the ends' nominal shares is drawn pale."""
    cable = file.line
    was = before or (
        Shown(file.end[0].volts, file.end[0].amps),
        Shown(file.end[1].volts, file.end[1].amps),
    )
    healthy = profile_from(cable, was[0], "A")
    seen = [(end, profile_from(cable, shown, end)) for end, shown in _ends(a, b)]
    volts = [volt for _, line in [("A", healthy), *seen] for _, volt in line]
    edge_v = 1.1 * max(1.0, *map(abs, volts))
    frame = _Frame(cable.length_km, edge_v, -edge_v)
    elements: list[svg.Element] = [
        svg.Title(elements=[], text=escape(f"{file.cable.name}: potential along the cable")),
        svg.Rect(x=0, y=0, width=_WIDTH, height=_HEIGHT, fill=_GROUND),
    ]
    if place is not None:
        elements += _band(frame, place)
    elements += _axes(file, frame)
    elements.append(_line(frame, healthy, _PALE, "2 4"))
    for end, line in seen:
        elements += _profile(frame, line, end, place)
    head = f"{file.cable.name}: " + (place_text(file, place) if place else "no fault is seen")
    elements.append(_text(_LEFT, 26, head, size=17, weight="bold"))
    elements += _legend(file, a, b, is_before=before is not None)
    return str(svg.SVG(width=_WIDTH, height=_HEIGHT, viewBox=_box(), elements=elements)) + "\n"


def profile_from(cable: Cable, shown: Shown, end: End) -> list[Point]:
    """Corners (km from A, volts to the sea) of the potential as one end's readings give it."""
    sign = 1 if end == "A" else -1
    bed_v = shown.amps * cable.bed_ohm(end)
    drop_v = cable.repeater_drop_v(shown.amps)
    stops = [0.0, *cable.repeaters_km, cable.length_km]
    if end == "B":
        stops.reverse()
    volts = shown.volts - bed_v
    points = [(stops[0], sign * volts)]
    for i, (start, stop) in enumerate(pairwise(stops)):
        volts -= cable.warm_ohm_per_km * abs(stop - start) * shown.amps
        points.append((stop, sign * volts))
        if i < len(cable.repeaters_km):
            volts -= drop_v
            points.append((stop, sign * volts))
    return points


def _ends(a: Shown | None, b: Shown | None) -> Iterator[tuple[End, Shown]]:
    if a is not None:
        yield "A", a
    if b is not None:
        yield "B", b


def _box() -> svg.ViewBoxSpec:
    return svg.ViewBoxSpec(0, 0, _WIDTH, _HEIGHT)


def _band(frame: _Frame, place: Place) -> Iterator[svg.Element]:
    """The interval as a band at least two units wide, the kilometre as a line."""
    left, right = frame.x(place.interval.low_km), frame.x(place.interval.high_km)
    top, height = frame.y(frame.top_v), frame.y(frame.bottom_v) - frame.y(frame.top_v)
    width = max(2.0, round(right - left, 1))
    yield svg.Rect(x=left, y=top, width=width, height=height, fill=_FAULT, fill_opacity=0.18)
    if place.km is not None:
        x = frame.x(place.km)
        yield svg.Line(x1=x, y1=top, x2=x, y2=top + height, stroke=_FAULT, stroke_width=1.5)


def _axes(file: CableFile, frame: _Frame) -> Iterator[svg.Element]:
    cable = file.line
    zero, bottom = frame.y(0), frame.y(frame.bottom_v)
    yield svg.Line(
        x1=frame.x(0), y1=zero, x2=frame.x(cable.length_km), y2=zero, stroke=_INK, stroke_width=1
    )
    for volts in _ticks(frame.bottom_v, frame.top_v):
        y = frame.y(volts)
        yield svg.Line(x1=_LEFT - 5, y1=y, x2=_LEFT, y2=y, stroke=_INK)
        yield _text(_LEFT - 9, y + 4, f"{volts:g}", anchor="end", size=12)
    yield _text(_LEFT - 9, _TOP - 6, "V to sea", anchor="end", size=12)
    for i, km in enumerate(cable.repeaters_km, 1):
        x = frame.x(km)
        yield svg.Rect(x=x - 4, y=zero - 7, width=8, height=14, fill="white", stroke=_INK)
        if len(cable.repeaters_km) <= 20:
            yield _text(x, bottom + 18, f"R{i}", anchor="middle", size=12)
            yield _text(x, bottom + 33, f"{km:g}", anchor="middle", size=12)
    corners: list[tuple[float, EndConfig, Anchor]] = [
        (0.0, file.end[0], "start"),
        (cable.length_km, file.end[1], "end"),
    ]
    for km, end, anchor in corners:
        yield _text(frame.x(km), bottom + 18, end.name, anchor=anchor, size=12, weight="bold")
        yield _text(frame.x(km), bottom + 33, f"{km:g} km", anchor=anchor, size=12)


def _ticks(low: float, high: float) -> Iterator[float]:
    step = 10.0
    while (high - low) / step > 9:
        step *= 2.5 if str(step)[0] == "2" else 2
    volts = step * round(low / step)
    while volts <= high:
        if volts >= low:
            yield volts
        volts += step


def _profile(
    frame: _Frame, line: Sequence[Point], end: End, place: Place | None
) -> Iterator[svg.Element]:
    """Solid up to the fault, and no further: beyond it another current flows."""
    colour, dash = (_A, None) if end == "A" else (_B, "9 4")
    if place is not None and place.km is not None:
        line = _up_to(line, place.km)
    yield _line(frame, line, colour, dash)


def _up_to(line: Sequence[Point], km: float) -> list[Point]:
    """The profile from its start to a kilometre."""
    found = [line[0]]
    for (start, start_v), (stop, stop_v) in pairwise(line):
        if min(start, stop) < km < max(start, stop):
            share = (km - start) / (stop - start)
            found.append((km, start_v + share * (stop_v - start_v)))
            break
        if abs(stop - line[0][0]) > abs(km - line[0][0]):
            break
        found.append((stop, stop_v))
    return found


def _line(frame: _Frame, line: Sequence[Point], colour: str, dash: str | None) -> svg.Element:
    points = [svg.Point(frame.x(km), frame.y(volts)) for km, volts in line]
    dashes: list[Decimal | float | int] | None = None
    if dash:
        dashes = [int(part) for part in dash.split()]
    return svg.Polyline(
        points=points, fill="none", stroke=colour, stroke_width=2, stroke_dasharray=dashes
    )


def _legend(
    file: CableFile, a: Shown | None, b: Shown | None, *, is_before: bool
) -> Iterator[svg.Element]:
    entries: list[tuple[str, str]] = []
    for end, shown in _ends(a, b):
        name = file.named(end).name
        text = f"as {name} sees it: {shown.volts:.1f} V, {shown.amps:.4f} A"
        entries.append((text + ("" if end == "A" else " (dashed)"), _A if end == "A" else _B))
    entries.append(("before (dotted)" if is_before else "nominal feed (dotted)", "#666666"))
    x = float(_LEFT)
    for text, colour in entries:
        yield _text(x, _HEIGHT - 14, text, size=13, colour=colour)
        x += 8.0 * len(text) - 20


def _text(
    x: float,
    y: float,
    text: str,
    *,
    anchor: Anchor = "start",
    size: int = 13,
    weight: str = "normal",
    colour: str = _INK,
) -> svg.Element:
    return svg.Text(
        x=x,
        y=y,
        text=escape(text),
        text_anchor=anchor,
        font_size=size,
        font_family=_FONT,
        font_weight="bold" if weight == "bold" else "normal",
        fill=colour,
    )
