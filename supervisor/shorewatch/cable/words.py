"""A finding as people and programs read it: one sentence, a table of facts, a record; pure.

    shunt fault 143.2 km from Sumqayit (95 %: 141.9 to 144.6), between repeaters 1 and 2

A place is never told without its interval, nor an interval without what it assumes.
"""

from datetime import UTC, datetime
from typing import Any

from shorewatch.cable.budget import Shown
from shorewatch.cable.file import CableFile
from shorewatch.cable.finding import Finding
from shorewatch.cable.locate import Interval, Place, section

_CLOSE_KM = 0.05


def sentence(file: CableFile, finding: Finding) -> str:
    """What happened, with its place where it has one; no full stop."""
    a, b = (end.name for end in file.end)
    place = finding.place
    if finding.kind == "shunt":
        assert place is not None, "a shunt fault is told with its place"
        return f"shunt fault {place_text(file, place)}"
    if finding.kind == "leak":
        assert place is not None, "a leak is told with its place"
        return f"leak that grows, {place_text(file, place)}; its resistance is not known"
    volts = f"{abs(finding.step_v):.0f} V towards {a if finding.step_v > 0 else b}"
    return {
        "cut": "no current and both ends at high voltage: the cable is cut, its ends are sealed",
        "lost": "the feed was lost at once: a cut, or a trip that took the other end along",
        "over": "the shunt fault is over: balance and currents are as before it",
        "fed": "the cable is fed again",
        "source": f"balance moved by {volts}: a set current, a converter or a meter, no leak"
        if finding.step_v
        else "the feed was changed: both currents moved together, no leak",
        "unclear": f"balance moved by {volts}: too little to tell a leak from a set current",
        "off": f"balance is {volts} of the nominal shares since it is watched: a set current, or a "
        "fault from before",
        "storm": f"earth potentials: the sum is off by {finding.sum_v:+.0f} V, the balance stays",
        "calm": "earth potentials are quiet again",
    }[finding.kind]


def place_text(file: CableFile, place: Place) -> str:
    """Where: the kilometre with its interval, or the interval alone; the repeaters around."""
    a, b = file.end
    inside = section_text(file, place.interval)
    low, high, share = place.interval.low_km, place.interval.high_km, place.interval.confidence
    if place.km is not None:
        interval = f"{100 * share:.0f} %: {low:.1f} to {high:.1f}"
        return f"{place.km:.1f} km from {a.name} ({interval}), {inside}"
    if share == 1.0:
        return "not locatable: it may be anywhere on the cable"
    if low <= _CLOSE_KM:
        return f"somewhere between {a.name} and km {high:.1f} ({100 * share:.0f} %)"
    return f"somewhere between km {low:.1f} and {b.name} ({100 * share:.0f} %)"


def section_text(file: CableFile, interval: Interval) -> str:
    """Between which repeaters, or an end and a repeater."""
    first, last = section(file.line, interval)
    count = len(file.line.repeaters_km)
    a, b = (end.name for end in file.end)
    if first == 0:
        return f"between {a} and {'repeater ' + str(last) if last <= count else b}"
    if last > count:
        return f"between repeater {first} and {b}"
    return f"between repeaters {first} and {last}"


def assumptions(file: CableFile, place: Place) -> list[str]:
    """What the place hangs on, each as a sentence."""
    a, b = file.end
    found = []
    if place.contact is not None:
        contact = place.contact
        known = f"{contact.ohm:.0f} Ohm (one sigma is {contact.ohm_sigma:.0f})"
        kind = "a leak of" if contact.is_leak else "a contact: the moved set current says"
        found.append(f"{kind} {known}, with {contact.volts:.1f} V at the fault")
    elif place.km is not None:
        ohm = file.budget.contact_ohm
        found.append(
            f"a contact of about {ohm:g} Ohm or less, as when bare conductor meets the sea"
        )
        if place.leak is not None:
            leak = place.leak
            edge = f"{a.name} and km {leak.high_km:.1f}"
            if leak.low_km > _CLOSE_KM:
                edge = f"km {leak.low_km:.1f} and {b.name}"
            found.append(
                f"a leak of many kOhm would read the same and lie somewhere between {edge}; to "
                "tell, move a set current by 0.5 mA: voltages follow a leak, not a contact"
            )
    if place.method != "two-ended":
        found.append("the far end is not known: the cable's resistance is taken from its file")
    found.append("traffic still passes: a cut whose ends lie bare in the sea reads like this fault")
    return found


def disagreements(file: CableFile, place: Place) -> list[str]:
    """What does not fit together, each as a sentence; empty if all does."""
    found = []
    if not place.is_consistent:
        assert place.sum_off_v is not None and place.sum_sigma_v is not None, "judged by them"
        found.append(
            f"the sum of both voltages is {place.sum_off_v:+.1f} V off that of a sound cable (one "
            f"sigma is {place.sum_sigma_v:.1f} V): earth potentials, or another resistance; the "
            "interval allows for either coast"
        )
    walks = place.walk_a_km, place.walk_b_km
    if walks[0] is not None and walks[1] is not None and abs(walks[0] - walks[1]) >= _CLOSE_KM:
        a, b = (end.name for end in file.end)
        found.append(
            f"with the file's figures alone {a} says km {walks[0]:.1f} and {b} km {walks[1]:.1f}"
        )
    return found


def record(file: CableFile, finding: Finding) -> dict[str, Any]:
    """The finding as the body of a record; kilometres count from the cable's first end."""
    body: dict[str, Any] = {
        "cable": file.cable.id,
        "what": finding.kind,
        "since": time_text(finding.since_s),
        "at": time_text(finding.at_s),
        "text": sentence(file, finding),
        "is_fault": finding.is_fault,
        "is_final": finding.is_final,
        "balance_step_v": round(finding.step_v, 2),
        "leak_a": round(finding.leak_a, 6),
        "sum_off_v": round(finding.sum_v, 2),
    }
    if finding.place is not None:
        body["place"] = place_record(file, finding.place)
    return body


def place_record(file: CableFile, place: Place) -> dict[str, Any]:
    """A place with everything that it hangs on."""
    from_km, to_km = place.interval.low_km, place.interval.high_km
    first, last = section(file.line, place.interval)
    at = file.coordinates(place.km) if place.km is not None else None
    return {
        "from": file.end[0].station,
        "km": _rounded(place.km),
        "low_km": _rounded(from_km),
        "high_km": _rounded(to_km),
        "confidence": place.interval.confidence,
        "method": place.method,
        "after_repeater": first,
        "before_repeater": last,
        "latitude": at and round(at[0], 4),
        "longitude": at and round(at[1], 4),
        "walk_km": {
            file.end[0].station: _rounded(place.walk_a_km),
            file.end[1].station: _rounded(place.walk_b_km),
        },
        "fault_ohm": place.contact and round(place.contact.ohm),
        "fault_ohm_sigma": place.contact and round(place.contact.ohm_sigma),
        "if_leak_km": place.leak and [_rounded(place.leak.low_km), _rounded(place.leak.high_km)],
        "sum_off_v": _rounded(place.sum_off_v),
        "sum_sigma_v": _rounded(place.sum_sigma_v),
        "is_consistent": place.is_consistent,
        "assumed": assumptions(file, place),
        "disagrees": disagreements(file, place),
    }


def shown_text(shown: Shown | None) -> str:
    """Volts and amperes of one end."""
    return "not known" if shown is None else f"{shown.volts:.1f} V, {shown.amps:.5f} A"


def time_text(utc_s: float) -> str:
    """UTC to the second."""
    return datetime.fromtimestamp(utc_s, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
