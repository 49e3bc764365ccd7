"""field/fragment.py: what is found becomes a piece of a station file."""

import tomllib
from pathlib import Path

from wiring import Cabinet, climate, full

from shorewatch.config import load_station
from shorewatch.field.fragment import fragment
from shorewatch.field.guess import Guess, guess
from shorewatch.field.scan import Found
from shorewatch.field.sweep import Setting
from shorewatch.plant.line import Refusal
from shorewatch.profile import load_profiles
from shorewatch.sign import Ask, Seen

SETTING = Setting(9600, "8N1")


async def found(unit_id: int, cabinet: Cabinet, **more: object) -> Found:
    async def read(ask: Ask) -> Seen:
        if ask.function not in cabinet.cells:
            return 1
        words = cabinet.read(ask.function, ask.address, ask.count, 0.0)
        return words.value if isinstance(words, Refusal) else words  # type: ignore[return-value]

    kind: Guess = await guess(load_profiles().values(), read, unit_id=unit_id, baud=9600)
    return Found(unit_id, SETTING, guess=kind, **more)  # type: ignore[arg-type]


async def test_the_piece_fits_into_a_station_file(write, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """Below a board it makes a station that passes the check."""
    text = fragment("/dev/ttyUSB0", SETTING, [await found(3, climate(3))])
    head = (
        '[station]\nid = "s"\nname = "S"\ncable = "c"\ncable_name = "C"\n'
        '[[board]]\nid = "inland"\ntype = "virtual"\nunique_id = "0011223344556677"\n'
        'link = { port = "b.link" }\n'
    )
    station = load_station(write("s.toml", head + text))

    (device,) = station.of_board("inland")
    assert (device.config.unit_id, device.profile.id) == (3, "xy-md02")
    assert (device.bus.baud, device.bus.format) == (9600, "8N1")


async def test_what_is_not_recognised_is_commented_out() -> None:
    """The piece stays right as it is: a device of no known type is there as a comment."""
    unknown = await found(9, full(first=60_000))
    text = fragment("/dev/ttyUSB0", SETTING, [unknown, await found(3, climate(3))])

    assert [d["unit_id"] for d in tomllib.loads(text)["board"]["bus"][0]["device"]] == [3]
    assert "# unit_id = 9" in text


async def test_what_a_device_calls_itself_breaks_no_file() -> None:
    """Quotes, line breaks and control characters of a device's own names are replaced."""
    rude = await found(3, climate(3), identity={0: 'a"\n[x]\n\x1b[2J'})
    text = fragment("/dev/ttyUSB0", SETTING, [rude])

    assert tomllib.loads(text)["board"]["bus"][0]["device"][0]["unit_id"] == 3
    assert "\x1b" not in text


async def test_devices_behind_tcp_are_a_direct_line() -> None:
    """Of Modbus TCP a [[direct]] with its address is made."""
    text = fragment("127.0.0.1:502", None, [await found(3, climate(3))])

    (line,) = tomllib.loads(text)["direct"]
    assert line["tcp"] == "127.0.0.1:502" and line["device"][0]["profile"] == "xy-md02"


def test_nobody_is_no_piece() -> None:
    """Where nobody answers nothing is written."""
    assert fragment("/dev/ttyUSB0", SETTING, []) == ""
