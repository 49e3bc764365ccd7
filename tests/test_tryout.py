"""tryout.py and `profile try`: a profile against devices that differ from it."""

import asyncio
import json
import struct
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from line_pump import pump

from shorewatch.config import DirectConfig
from shorewatch.direct.frame import Outcome
from shorewatch.errors import LinkError
from shorewatch.plant.direct import serving
from shorewatch.plant.line import Line, Refusal
from shorewatch.plant.port import open_port
from shorewatch.profile import load_profile, load_profiles
from shorewatch.tryout import fits_there, read_once

PORT = 19155
HEAD = 'id = "p"\nname = "Meter"\nsource = "s"\nworst_ms = 60\ntimeout_ms = 50\nretries = 0\n'
VOLTS = '[[point]]\nid = "{id}"\nname = "Volts"\ntable = "input"\naddress = {address}\n'
FLOAT = VOLTS + 'type = "f32"\nunit = "V"\ndigits = 1\nrange = [100, 300]\norder = "{order}"\n'
WORD = VOLTS + 'type = "u16"\nunit = "V"\nscale = 0.1\ndigits = 1\nrange = [100, 300]\n'


@dataclass
class Device:
    """A server of the plant with these input registers; those it has not it refuses."""

    cells: dict[int, int]
    turnaround_s: float = 0.0
    functions: frozenset[int] = frozenset({4})
    asked: list[tuple[int, int]] = field(default_factory=list)

    def read(self, function, address, count, utc_s):
        self.asked.append((address, count))
        found = [self.cells.get(at) for at in range(address, address + count)]
        return Refusal.ADDRESS if None in found else found


def volts(number):
    return list(struct.unpack(">2H", struct.pack(">f", number)))


@asynccontextmanager
async def there(device):
    async with serving({1: device}, "127.0.0.1", PORT):
        yield


async def tried(write, text, device, unit_id=1):
    line = DirectConfig.model_validate(
        {
            "id": "x",
            "tcp": f"127.0.0.1:{PORT}",
            "device": [{"id": "d", "name": "D", "profile": "p", "unit_id": unit_id}],
        }
    )
    async with there(device):
        return await read_once(line, load_profile(write("p.toml", HEAD + text)))


async def test_a_profile_that_fits_is_good(write):
    """Every point is read, shown with its words, and good."""
    device = Device(dict(enumerate(volts(230.5))))
    found = await tried(write, FLOAT.format(id="v", address=0, order="ABCD"), device)

    ((point,),) = [block.points for block in found.blocks]
    assert found.verdict == "good"
    assert (point.value.value, list(point.words), point.fits) == (230.5, volts(230.5), ())


@pytest.mark.parametrize("order", ["CDAB", "BADC", "DCBA"])
async def test_the_word_order_that_fits_is_named(write, order):
    """A float that makes no sense in the profile's order, or almost none, shows the one it does."""
    device = Device(dict(enumerate(volts(230.5))))
    found = await tried(write, FLOAT.format(id="v", address=0, order=order), device)

    (point,) = found.blocks[0].points
    assert found.verdict == "bad"
    assert "order ABCD: 230.5 V" in point.fits


@pytest.mark.parametrize("name", sorted(load_profiles()))
def test_every_number_of_a_shipped_profile_can_be_read_otherwise(name):
    """Words that mean nothing in particular are tried in all orders, whatever the point says."""
    for point in load_profiles()[name].point:
        if point.is_numeric and not point.partners:
            assert isinstance(list(fits_there(point, [0x4366] * point.count, "")), list)


async def test_a_table_that_counts_from_one_is_suspected(write):
    """A value that lies one address lower is found there, and told."""
    device = Device({6: 2305, 7: 1, 8: 1})
    found = await tried(write, WORD.format(id="v", address=7), device)

    (point,) = found.blocks[0].points
    assert point.fits == ("order ABCD at address 6 (one lower): 230.5 V",)


async def test_a_refused_block_is_asked_for_one_lower(write):
    """Where the last register is past the end, the block one lower says what may be wrong."""
    text = WORD.format(id="a", address=1) + WORD.format(id="b", address=2)
    found = await tried(write, text, Device({0: 2305, 1: 2305}))

    assert "if the table counts from 1" in found.blocks[0].said
    assert found.blocks[0].exception == 2


async def test_a_device_that_refuses_gaps_is_told(write):
    """Where the block is refused and its first point is not, merge = false is the advice."""
    text = WORD.format(id="a", address=0) + WORD.format(id="b", address=2)
    found = await tried(write, text, Device({0: 2305, 2: 2305}))

    assert "set merge = false" in found.blocks[0].said


async def test_another_table_is_suspected(write):
    """Exception 1 asks whether the table is right."""
    found = await tried(write, WORD.format(id="a", address=0), Device({}, functions=frozenset({3})))

    assert "is it another table" in found.blocks[0].said
    assert found.verdict == "bad"


async def test_a_unit_that_is_not_there_is_unreachable(write):
    """A gateway's own exception is no answer of the device."""
    found = await tried(write, WORD.format(id="a", address=0), Device({0: 2305}), unit_id=2)

    assert "the gateway got no answer" in found.blocks[0].said
    assert found.verdict == "unreachable"


async def test_silence_says_what_to_check(write):
    """A device that answers too late is a time-out, with advice."""
    device = Device({0: 2305}, turnaround_s=0.5)
    found = await tried(write, WORD.format(id="a", address=0), device)

    assert found.blocks[0].outcome is Outcome.TIMEOUT
    assert "check the unit id" in found.blocks[0].said
    assert found.verdict == "unreachable"


async def test_a_device_on_a_serial_port_is_read(write, tmp_path):
    """Over a port of the gateway the same comes out as over TCP."""
    char_s = 10 / 9600
    servers = {1: Device({0: 2305}, functions=frozenset({4}))}
    there = Line(servers, char_s=char_s, t35_s=3.5 * char_s, utc=lambda now_s: now_s)
    given = {"port": str(tmp_path / "tty"), "baud": 9600, "format": "8N1"}
    device = {"id": "d", "name": "D", "profile": "p", "unit_id": 1}
    line = DirectConfig.model_validate({"id": "x", **given, "device": [device]})
    profile = load_profile(write("p.toml", HEAD + WORD.format(id="v", address=0)))
    with open_port(tmp_path / "tty") as port:
        task = asyncio.create_task(pump(there, port))
        found = await read_once(line, profile)
        task.cancel()

    assert found.blocks[0].points[0].value.value == 230.5
    assert there.counts.early == there.counts.garbled == there.counts.collisions == 0


async def test_a_line_that_does_not_open_is_an_error():
    """Nobody at the address: LinkError, with what to do."""
    device = {"id": "d", "name": "D", "profile": "p", "unit_id": 1}
    line = DirectConfig.model_validate({"id": "x", "tcp": f"127.0.0.1:{PORT}", "device": [device]})
    with pytest.raises(LinkError, match="connection refused"):
        await read_once(line, load_profiles()["xy-md02"])


async def command(*args):
    """Exit code and output of `shorewatch profile try`."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "shorewatch", "profile", "try", *map(str, args),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await process.communicate()
    return process.returncode, output.decode()


async def test_the_command_shows_and_writes_what_was_read(write, tmp_path):
    """Exit code 0, the words beside the value on stdout, and the same in the JSON file."""
    path = write("p.toml", HEAD + WORD.format(id="v", address=7))
    async with there(Device({7: 2305})):
        code, output = await command(
            path, "--tcp", f"127.0.0.1:{PORT}", "--unit", 1, "--json", tmp_path / "o.json"
        )

    assert code == 0, output
    assert "0901" in output and "230.5 V" in output and "All good." in output
    body = json.loads((tmp_path / "o.json").read_text())
    assert body["verdict"] == "good"
    assert body["blocks"][0]["points"][0]["words"] == [2305]


@pytest.mark.parametrize(
    ("args", "code", "text"),
    [
        (["xy-md02", "--tcp", f"127.0.0.1:{PORT}"], 2, "connection refused"),
        (["xy-md03", "--tcp", "h:1"], 64, "did you mean xy-md02?"),
        (["xy-md02", "--tcp", "h"], 64, "--tcp: must look like 192.0.2.7:502"),
        (["xy-md02", "--port", "/dev/ttyX"], 2, "no such port"),
        (["xy-md02", "--tcp", "h:1", "--baud", "9600"], 64, "baud belongs to port"),
        (["xy-md02", "--port", "/dev/ttyX", "--baud", "9601"], 64, "--baud:"),
    ],
)
async def test_what_cannot_be_tried_is_told(args, code, text):
    """Each mistake of a command line, and each line that does not open, has its words and code."""
    found, output = await command(*args, "--unit", 1)

    assert (found, text in output) == (code, True), output
