"""The cable as a picture: what potentials each end sees, repeaters, the fault's interval.

One SVG of fixed size, wide or for a phone, with attributes only, no style sheets and no scripts, so
that a page with a strict Content-Security-Policy may hold it. Colour is never alone: lines have
their dashes, too. The one importer of svg.py, which escapes nothing: every text goes through
`html.escape`. Pure.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from html import escape
from itertools import pairwise
from textwrap import wrap
from typing import Literal

import svg

from shorewatch.cable.budget import Shown
from shorewatch.cable.file import CableFile, EndConfig
from shorewatch.cable.line import Cable, End
from shorewatch.cable.locate import Place
from shorewatch.cable.words import place_text

_INK, _PALE, _GROUND = "#222222", "#9a9a9a", "#f5f5f5"
_A, _B, _FAULT = "#0b5394", "#8a4b00", "#b00020"
_FONT = "sans-serif"

Point = tuple[float, float]
Anchor = Literal["start", "middle", "end"]


@dataclass(frozen=True, slots=True)
class _Sheet:
    """A form of the picture: its size, the margins of its axes, and how its texts are set."""

    width: int
    height: int
    left: int
    right: int
    top: int
    bottom: int
    head_size: int
    head_chars: int  # in a line
    is_narrow: bool


_WIDE = _Sheet(960, 440, 70, 30, 60, 80, 17, 100, is_narrow=False)
_NARROW = _Sheet(380, 400, 46, 14, 82, 128, 13, 46, is_narrow=True)


@dataclass(frozen=True, slots=True)
class _Frame:
    """Kilometres and volts to the units of a sheet."""

    sheet: _Sheet
    length_km: float
    top_v: float
    bottom_v: float

    def x(self, km: float) -> float:
        sheet = self.sheet
        return round(sheet.left + km / self.length_km * (sheet.width - sheet.left - sheet.right), 1)

    def y(self, volts: float) -> float:
        share = (self.top_v - volts) / (self.top_v - self.bottom_v)
        sheet = self.sheet
        return round(sheet.top + share * (sheet.height - sheet.top - sheet.bottom), 1)


def picture(
    file: CableFile,
    a: Shown | None,
    b: Shown | None,
    place: Place | None = None,
    before: tuple[Shown, Shown] | None = None,
    *,
    is_narrow: bool = False,
) -> str:
    """The SVG. Without `before` the profile of the ends' nominal shares is drawn pale.

    A narrow one can be read on a screen of 390 px.
    """
    cable, sheet = file.line, _NARROW if is_narrow else _WIDE
    was = before or (file.end[0].share, file.end[1].share)
    healthy = profile_from(cable, was[0], "A")
    seen = [(end, profile_from(cable, shown, end)) for end, shown in _ends(a, b)]
    volts = [volt for _, line in [("A", healthy), *seen] for _, volt in line]
    edge_v = 1.1 * max(1.0, *map(abs, volts))
    frame = _Frame(sheet, cable.length_km, edge_v, -edge_v)
    elements: list[svg.Element] = [
        svg.Title(elements=[], text=escape(f"{file.cable.name}: potential along the cable")),
        svg.Rect(x=0, y=0, width=sheet.width, height=sheet.height, fill=_GROUND),
    ]
    if place is not None:
        elements += _band(frame, place)
    elements += _axes(file, frame)
    elements.append(_line(frame, healthy, _PALE, "2 4"))
    for end, line in seen:
        elements += _profile(frame, line, end, place)
    head = f"{file.cable.name}: " + (place_text(file, place) if place else "no fault is seen")
    for row, part in enumerate(wrap(head, sheet.head_chars)):
        y = 1.5 * sheet.head_size + 1.3 * sheet.head_size * row
        x = 10 if is_narrow else sheet.left
        elements.append(_text(x, y, part, size=sheet.head_size, weight="bold"))
    elements += _legend(file, a, b, sheet, is_before=before is not None)
    box = svg.ViewBoxSpec(0, 0, sheet.width, sheet.height)
    found = svg.SVG(width=sheet.width, height=sheet.height, viewBox=box, elements=elements)
    return f"{found}\n"


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
    cable, left = file.line, frame.sheet.left
    zero, bottom = frame.y(0), frame.y(frame.bottom_v)
    yield svg.Line(
        x1=frame.x(0), y1=zero, x2=frame.x(cable.length_km), y2=zero, stroke=_INK, stroke_width=1
    )
    for volts in _ticks(frame.bottom_v, frame.top_v):
        y = frame.y(volts)
        yield svg.Line(x1=left - 5, y1=y, x2=left, y2=y, stroke=_INK)
        yield _text(left - 9, y + 4, f"{volts:g}", anchor="end", size=12)
    unit_y = frame.y(frame.top_v) - 6
    if frame.sheet.is_narrow:
        yield _text(10, unit_y, "V to sea", size=12)
    else:
        yield _text(left - 9, unit_y, "V to sea", anchor="end", size=12)
    places = [frame.x(km) for km in (0.0, *cable.repeaters_km, cable.length_km)]
    pitch = min(b - a for a, b in pairwise(places))
    for i, km in enumerate(cable.repeaters_km, 1):
        x = frame.x(km)
        yield svg.Rect(x=x - 4, y=zero - 7, width=8, height=14, fill="white", stroke=_INK)
        if pitch >= 30:
            yield _text(x, bottom + 18, f"R{i}", anchor="middle", size=12)
        if pitch >= 40:
            yield _text(x, bottom + 33, f"{km:g}", anchor="middle", size=12)
    corners: list[tuple[float, EndConfig, Anchor]] = [
        (0.0, file.end[0], "start"),
        (cable.length_km, file.end[1], "end"),
    ]
    name_y = bottom + (48 if frame.sheet.is_narrow else 18)  # below the repeaters, or beside them
    for km, end, anchor in corners:
        yield _text(frame.x(km), name_y, end.name, anchor=anchor, size=12, weight="bold")
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
    file: CableFile, a: Shown | None, b: Shown | None, sheet: _Sheet, *, is_before: bool
) -> Iterator[svg.Element]:
    entries: list[tuple[str, str]] = []
    for end, shown in _ends(a, b):
        name = file.named(end).name
        text = f"as {name} sees it: {shown.volts:.1f} V, {shown.amps:.4f} A"
        entries.append((text + ("" if end == "A" else " (dashed)"), _A if end == "A" else _B))
    entries.append(("before (dotted)" if is_before else "nominal feed (dotted)", "#666666"))
    if sheet.is_narrow:
        for row, (text, colour) in enumerate(reversed(entries)):
            yield _text(10, sheet.height - 12 - 18 * row, text, size=12, colour=colour)
        return
    x = float(sheet.left)
    for text, colour in entries:
        yield _text(x, sheet.height - 14, text, size=13, colour=colour)
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
