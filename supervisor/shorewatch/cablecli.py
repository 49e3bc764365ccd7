"""`shorewatch cable`: where a powered cable is damaged, told from the PFE readings of its ends.

Readings come as numbers from a telephone, from a file of `shorewatch watch --jsonl`, or live from a
broker. What is found is printed as sentences, and written as records with `--json`. Exit codes:
0 no fault to be seen, 1 a fault, 2 no broker, or no reading of the cable.
"""

import asyncio
import json as json_
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from operator import attrgetter
from pathlib import Path
from typing import Annotated, Any, Final

import orjson
from cyclopts import App, Parameter

from shorewatch.assets import asset_folder
from shorewatch.cable.budget import Shown
from shorewatch.cable.file import CableFile, load_cable
from shorewatch.cable.journal import JournalReader
from shorewatch.cable.locate import Onset
from shorewatch.cable.pairing import Pairing, Reading
from shorewatch.cable.verdict import Said, judge
from shorewatch.cable.watcher import Watcher
from shorewatch.cable.words import (
    assumptions,
    disagreements,
    place_record,
    place_text,
    record,
    sentence,
    shown_text,
    time_text,
)
from shorewatch.errors import UsageError
from shorewatch.noc import Access, Tls, follow
from shorewatch.secret import read_secret

FAULT: Final = 1
UNREACHABLE: Final = 2
_VOLTS_MAX, _AMPS_MAX = 20_000.0, 5.0

cable = App(name="cable", help="Where a powered cable leaks to the sea, told from its PFE.")

CablePath = Annotated[
    Path | None,
    Parameter(
        name="--cable",
        help="The cable file (default: the demo's, Trans-Caspian).",
    ),
]
Pairs = Annotated[str | None, Parameter(allow_leading_hyphen=True)]


@cable.command
def locate(
    *,
    cable_: CablePath = None,
    a: Pairs = None,
    b: Pairs = None,
    before_a: Pairs = None,
    before_b: Pairs = None,
    moved_a: Pairs = None,
    moved_b: Pairs = None,
    slow: bool = False,
    jsonl: Path | None = None,
    url: str | None = None,
    user: str | None = None,
    password_file: str | None = None,
    ca_file: str | None = None,
    cert_file: str | None = None,
    cert_key_file: str | None = None,
    seconds: Annotated[float | None, Parameter(name="--for")] = None,
    json: Path | None = None,
) -> None:
    """Say where the cable leaks: an interval with its confidence, and what it hangs on.

    Example: shorewatch cable locate --a 147.0,1.00045 --b 416.9,0.99955

    shorewatch cable locate --jsonl records.jsonl

    shorewatch cable locate --url mqtt://broker.example:1883

    Exit code 0: no fault to be seen. 1: a fault. 2: the broker was not there at the end, or nobody
    said anything of this cable. 64: an argument makes no sense. 78: the cable file is wrong.

    Parameters
    ----------
    a
        What the first end's PFE shows, volts,amperes: 147.0,1.00045. One end alone will do.
    b
        The same of the second end.
    before_a
        What the first end showed just before the fault; give that of both.
    before_b
        The same of the second end.
    moved_a
        What the first end showed when, with the fault there, a set current had been moved by about
        0.5 mA: it tells a contact from a leak, and places the leak. Needs --before and both ends.
    moved_b
        The same of the second end.
    slow
        It came over hours or days: a leak of unknown resistance, not a contact.
    jsonl
        Go through the records in this file of `shorewatch watch --jsonl`.
    url
        Follow both stations on this broker, and tell what happens until Ctrl-C or --for.
    user
        User at the broker.
    password_file
        The file with that user's password.
    ca_file
        With mqtts://: the CAs of which one has signed the broker's certificate (default: those of
        the system).
    cert_file
        With mqtts://: our certificate, where the broker asks for one.
    cert_key_file
        The file with its key.
    seconds
        With --url: end after this many seconds.
    json
        Write what was found to this file, as JSON.
    """
    given = [text is not None for text in (a or b, jsonl, url)]
    if sum(given) != 1:
        text = "give readings (--a, --b), or a file of records (--jsonl), or a broker (--url)"
        raise UsageError(text)
    if seconds is not None and (url is None or not seconds > 0):
        raise UsageError(f"--for {seconds:g} goes with --url, and is a number of seconds above 0")
    file = load_cable(cable_ or asset_folder("stations") / "cables" / "trans-caspian.toml")
    if jsonl is not None:
        sys.exit(_from_file(file, jsonl, json))
    if url is not None:
        password = None if password_file is None else read_secret(password_file, None)
        login = None if user is None else (user, password)
        access = Access(login, tls=Tls(ca_file, cert_file, cert_key_file))
        sys.exit(asyncio.run(_from_broker(file, url, access, seconds, json)))
    shown_a, shown_b = _parse("--a", a), _parse("--b", b)
    before, moved = _both("--before", before_a, before_b), _both("--moved", moved_a, moved_b)
    if moved is not None and (before is None or shown_a is None or shown_b is None):
        raise UsageError("--moved-a and --moved-b need --a, --b, --before-a and --before-b")
    onset: Onset = "slow" if slow else "sudden"
    said = judge(file, shown_a, shown_b, before=before, moved=moved, onset=onset)
    print("\n".join(_told(file, shown_a, shown_b, said)))
    if json is not None:
        _write(json, json_.dumps(_said_record(file, shown_a, shown_b, said), indent=2) + "\n")
    sys.exit(FAULT if said.verdict in ("fault", "dead") else 0)


@cable.command
def plot(
    out: Path,
    *,
    cable_: CablePath = None,
    a: Pairs = None,
    b: Pairs = None,
    before_a: Pairs = None,
    before_b: Pairs = None,
    slow: bool = False,
) -> None:
    """Draw the cable with the potentials that both ends see and the fault's interval, as SVG.

    Example: shorewatch cable plot fault.svg --a 147.0,1.00045 --b 416.9,0.99955

    Parameters
    ----------
    out
        The file to write.
    a
        What the first end's PFE shows, volts,amperes. Without one the nominal feed is drawn.
    b
        The same of the second end.
    before_a
        What the first end showed just before the fault; give that of both.
    before_b
        The same of the second end.
    slow
        It came over hours or days.
    """
    from shorewatch.cable.picture import picture

    file = load_cable(cable_ or asset_folder("stations") / "cables" / "trans-caspian.toml")
    shown_a, shown_b = _parse("--a", a), _parse("--b", b)
    before = _both("--before", before_a, before_b)
    place = None
    if shown_a is not None or shown_b is not None:
        onset: Onset = "slow" if slow else "sudden"
        place = judge(file, shown_a, shown_b, before=before, onset=onset).place
    _write(out, picture(file, shown_a, shown_b, place, before))


class _Watching:
    """From records to findings, which are printed as they come and kept for `--json`."""

    def __init__(self, file: CableFile) -> None:
        self._file = file
        self._reader = JournalReader(file)
        self._pairing = Pairing()
        self._watcher = Watcher(file.line, file.sigmas, file.feed)
        self._records: list[dict[str, Any]] = []
        self._is_fault = False
        self._pairs = 0
        self._whole = 0

    def readings(self, station: str, body: Mapping[str, object]) -> Iterator[Reading]:
        """What a record says of the cable's ends."""
        return self._reader.take(station, body)

    def take(self, reading: Reading, received_s: float) -> None:
        """Put one in; what it tells is printed."""
        for pair in self._pairing.take(reading, received_s):
            self._pairs += 1
            self._whole += pair.a is not None and pair.b is not None
            for finding in self._watcher.take(pair):
                print(f"{time_text(finding.since_s)}  {sentence(self._file, finding)}", flush=True)
                self._records.append(record(self._file, finding))
                self._is_fault |= finding.is_fault

    def end(self, json: Path | None) -> int:
        """Write what was found, say what was missing; the exit code."""
        if json is not None:
            _write(json, json_.dumps(self._records, indent=2, ensure_ascii=False) + "\n")
        if self._whole == 0:
            ends = " and ".join(f"{end.station}'s {end.device}" for end in self._file.end)
            _say(f"no second in which both ends are known: {ends} of {self._file.cable.id}")
            return UNREACHABLE
        if self._whole < self._pairs:
            _say(f"{self._pairs - self._whole} of {self._pairs} seconds lack an end: not judged")
        if not self._is_fault:
            print(f"no fault is to be seen in {self._whole} seconds")
        return FAULT if self._is_fault else 0


def _from_file(file: CableFile, path: Path, json: Path | None) -> int:
    """What the records of a file tell, in order of time."""
    watching = _Watching(file)
    readings: list[Reading] = []
    try:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if line.endswith(b"\n"):  # else it is being written
                    readings += _readings(watching, line, f"{path}:{number}")
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}; name a file of `watch --jsonl`") from error
    for reading in sorted(readings, key=attrgetter("at_s")):
        watching.take(reading, reading.at_s)
    return watching.end(json)


def _readings(watching: _Watching, line: bytes, where: str) -> Iterator[Reading]:
    body: Any = None
    with suppress(orjson.JSONDecodeError):
        body = orjson.loads(line)
    if not isinstance(body, dict) or not isinstance(body.get("station"), str):
        raise UsageError(f"{where}: no line of `watch --jsonl`; name another file")
    return watching.readings(body["station"], body)


async def _from_broker(
    file: CableFile, url: str, access: Access, seconds: float | None, json: Path | None
) -> int:
    watching = _Watching(file)
    stations = [f"{file.cable.id}/{end.station}" for end in file.end]
    async with follow(url, stations=stations, access=access) as noc:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                async for delivery in noc:
                    for found in delivery.records:
                        for reading in watching.readings(delivery.station, found.body):
                            watching.take(reading, time.monotonic())
                    await delivery.done()
        state, text = noc.broker
    code = watching.end(json)
    if state != "online":
        _say(f"{url}: {text}")
        return UNREACHABLE
    return code


def _told(file: CableFile, a: Shown | None, b: Shown | None, said: Said) -> Iterator[str]:
    """The report for people."""
    place = said.place
    fault = ""
    if place is not None:
        fault = f"{'leak' if place.km is None else 'shunt fault'} {place_text(file, place)}"
    yield {
        "fault": fault,
        "nothing": "no fault is to be seen",
        "source": "a set current, a converter or a meter moved the balance: no leak",
        "dead": "no line current",
    }[said.verdict]
    for end, shown in zip(file.end, (a, b), strict=True):
        yield f"  {end.name:<12} {shown_text(shown)}"
    for text in said.because:
        yield f"  because      {text}"
    if said.blind is not None:
        low, high = said.blind.low_km, said.blind.high_km
        yield f"  not visible  a fault from km {low:.1f} to {high:.1f}, around the virtual earth"
    if place is None:
        return
    at = file.coordinates(place.km) if place.km is not None else None
    if at is not None:
        yield f"  position     {at[0]:.3f}, {at[1]:.3f} (straight between charted places)"
    yield f"  method       {place.method}"
    for text in assumptions(file, place):
        yield f"  assumed      {text}"
    for text in disagreements(file, place) or ["nothing"]:
        yield f"  disagrees    {text}"


def _said_record(
    file: CableFile, a: Shown | None, b: Shown | None, said: Said
) -> dict[str, object]:
    ends = {
        end.station: shown and {"volts": shown.volts, "amps": shown.amps}
        for end, shown in zip(file.end, (a, b), strict=True)
    }
    zone = said.blind
    return {
        "cable": file.cable.id,
        "verdict": said.verdict,
        "because": list(said.because),
        "readings": ends,
        "place": said.place and place_record(file, said.place),
        "blind_km": zone and [round(zone.low_km, 2), round(zone.high_km, 2)],
    }


def _parse(option: str, text: str | None) -> Shown | None:
    """`147.0,1.00045` as volts and amperes; their signs are dropped."""
    if text is None:
        return None
    try:
        volts, amps = (abs(float(part)) for part in text.split(","))
    except ValueError as error:
        raise UsageError(
            f"{option} {text!r} must look like 147.0,1.00045: volts,amperes"
        ) from error
    if not (volts <= _VOLTS_MAX and amps <= _AMPS_MAX):
        limits = f"at most {_VOLTS_MAX:g} V and {_AMPS_MAX:g} A"
        raise UsageError(f"{option} {text!r} must be {limits}: volts first, then amperes")
    return Shown(volts, amps)


def _both(option: str, a: str | None, b: str | None) -> tuple[Shown, Shown] | None:
    """Readings of both ends, or none."""
    found = _parse(f"{option}-a", a), _parse(f"{option}-b", b)
    if found[0] is None and found[1] is None:
        return None
    if found[0] is None or found[1] is None:
        raise UsageError(f"{option}-a and {option}-b go together: give both, or neither")
    return found[0], found[1]


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, "utf-8")
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}; choose another file") from error


def _say(text: str) -> None:
    print(f"shorewatch: {text}", file=sys.stderr)
