"""Frames of a line in words: who was asked for what, what came, and what should not be there. Pure.

A `Talk` (sniff.py) becomes one line. With a station at hand units have their devices' names, and
registers their points and values. What changes something in a device is marked, whoever sends it:
Shorewatch never does. So are functions that it does not know, damage, and silence.
"""

from collections.abc import Iterator, Mapping, Sequence

from shorewatch.config import Device, Station
from shorewatch.field.sniff import OTHERS, READS, WRITES, Heard, Kind, Piece, Talk
from shorewatch.point import Point
from shorewatch.tryout import EXCEPTIONS

WORDS_MAX = 8
BYTES_MAX = 12

Names = Mapping[int, Device]


def names_of(station: Station, board_id: str | None, baud: int) -> Names:
    """Devices by unit id, of lines at this baud rate (and of one board); no id that two have."""
    found: dict[int, list[Device]] = {}
    for device in station.devices.values():
        if device.unit_id is None or device.bus.baud != baud:
            continue
        if board_id in (None, device.place["board"]):
            found.setdefault(device.unit_id, []).append(device)
    return {unit_id: own[0] for unit_id, own in found.items() if len(own) == 1}


def said(talk: Talk, names: Names) -> tuple[str, bool]:
    """One line, and whether it is a warning."""
    head = talk.head
    if not head.is_frame:
        data = head.data[:BYTES_MAX].hex(" ")
        more = " …" if len(head.data) > BYTES_MAX else ""
        return f"✕ {len(head.data)} bytes that make no frame: {data}{more}", True
    parts = [f"unit {head.unit_id}{_name(head.unit_id, names)}"]
    parts.append(_asked(talk.request) if talk.request else f"{_function(head)}, nobody asked")
    parts.append(_answered(talk, names))
    text = ": ".join(part for part in parts if part)
    if head.is_write:
        return f"✕ WRITES {text}", True
    is_odd = head.is_foreign or talk.request is None or (talk.reply is None and head.unit_id != 0)
    return f"{'✕ ' if head.is_foreign else ''}{text}", is_odd


def summed(counts: Heard, names: Names, span_s: float) -> Iterator[tuple[str, bool]]:
    """What was heard in all, line by line, and which are warnings."""
    if not counts.frames and not counts.damaged:
        yield f"nothing was heard in {span_s:.0f} s", True
        return
    units = ", ".join(f"{unit}{_name(unit, names)}" for unit in sorted(counts.units))
    yield f"{counts.frames} frames in {span_s:.0f} s, units {units or 'none'}", False
    if counts.unanswered:
        yield f"requests without an answer: {counts.unanswered}", True
    if counts.exceptions:
        yield f"refusals: {counts.exceptions}", False
    if counts.damaged:
        text = f"bytes that make no frame: {counts.noise_bytes}"
        yield f"{text}; check baud rate, parity, bias, termination", True
    if counts.writes:
        text = f"frames that WRITE: {counts.writes}"
        yield f"{text}; none is Shorewatch's: find out whose they are", True


def _name(unit_id: int, names: Names) -> str:
    return f" ({names[unit_id].id})" if unit_id in names else ""


def _function(piece: Piece) -> str:
    known = READS.get(piece.function) or WRITES.get(piece.function) or OTHERS.get(piece.function)
    return f"{known or 'unknown'} ({piece.function:02X})"


def _asked(piece: Piece) -> str:
    text = _function(piece)
    if piece.kind is Kind.REQUEST and piece.function in (1, 2, 3, 4):
        return f"{text} {piece.address:#06x}, {piece.count} of them"
    if piece.function in (5, 6) and len(piece.data) == 8:
        return f"{text} {piece.address:#06x} = {piece.count:#06x}"
    if piece.function in (15, 16) and piece.kind is Kind.REQUEST:
        return f"{text} {piece.address:#06x}, {piece.count} of them"
    return text


def _answered(talk: Talk, names: Names) -> str:
    reply = talk.reply
    if reply is None:
        return "" if talk.head.unit_id == 0 else "no answer"
    if reply.kind is Kind.EXCEPTION:
        code = reply.data[2]
        return f"refused, exception {code}: {EXCEPTIONS.get(code, 'see its manual')}"
    words = talk.words
    if words is None or talk.request is None:
        told = "done" if reply.is_write else f"{len(reply.data)} bytes"
        return told if talk.request else ""
    took = f", {talk.reply_s * 1000:.0f} ms" if talk.reply_s else ""
    device = names.get(reply.unit_id)
    points = [] if device is None else list(_values(talk.request, words, device.profile.point))
    if points:
        return f"{'; '.join(points)}{took}"
    shown = " ".join(f"{word:04x}" for word in words[:WORDS_MAX])
    more = f" … {len(words)} words" if len(words) > WORDS_MAX else ""
    return f"{shown}{more}{took}"


def _values(asked: Piece, words: Sequence[int], points: Sequence[Point]) -> Iterator[str]:
    """The points that lie in what was read; those tied to others need more than this."""
    for point in points:
        at = point.address - asked.address
        if point.function != asked.function or at < 0 or at + point.count > len(words):
            continue
        if not point.partners:
            value, quality, reason = point.decode(words[at : at + point.count])
            text = f"{point.text(value)} {point.text_unit}".rstrip()
            yield f"{point.id} {text if reason is None else f'{quality} ({reason})'}"
