"""What a bench can switch: power, links, and relays that are its contacts and straps.

    uhubctl   a port of a USB hub that can switch it: the program uhubctl must be installed
    http      a socket of a network PDU: one address for on, one for off, asked by GET
    relay     a channel of a USB relay of the LCUS family, at 9600 baud: A0, channel, on, sum
    command   a program of yours for on, one for off

Each is done when it is switched; raises DemoError, with what to check, when it is not.
"""

import asyncio
import shutil
import urllib.request
from typing import Annotated, Final, Literal

from pydantic import Field

from shorewatch.errors import DemoError
from shorewatch.hil.adapter import open_adapter
from shorewatch.toml import Table, Text

SWITCH_S_MAX: Final = 15.0
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
Word = Annotated[str, Field(min_length=1, max_length=400)]
Words = Annotated[list[Word], Field(min_length=1, max_length=40)]


class Uhubctl(Table):
    """A port of a USB hub."""

    kind: Literal["uhubctl"]
    hub: Text
    port: Annotated[int, Field(ge=1, le=32)]

    async def switch(self, *, is_on: bool) -> None:
        """Switch it."""
        if (program := shutil.which("uhubctl")) is None:
            raise DemoError("uhubctl is not installed: apt install uhubctl, or use another switch")
        action = "on" if is_on else "off"
        await run_program([program, "-l", self.hub, "-p", str(self.port), "-a", action])


class Http(Table):
    """A socket of a network PDU."""

    kind: Literal["http"]
    on: Annotated[str, Field(pattern=r"^https?://[^\s]+$", max_length=400)]
    off: Annotated[str, Field(pattern=r"^https?://[^\s]+$", max_length=400)]

    async def switch(self, *, is_on: bool) -> None:
        """Ask for it."""
        url = self.on if is_on else self.off

        def get() -> None:
            with _DIRECT.open(url, timeout=SWITCH_S_MAX) as reply:
                reply.read(4096)

        try:
            await asyncio.to_thread(get)
        except OSError as error:
            raise DemoError(f"{url} does not switch: {error}; is the PDU there?") from error


class Relay(Table):
    """A channel of a USB relay."""

    kind: Literal["relay"]
    port: Word
    channel: Annotated[int, Field(ge=1, le=8)]

    async def switch(self, *, is_on: bool) -> None:
        """Send the four bytes."""
        head = bytes([0xA0, self.channel, int(is_on)])

        def send() -> None:
            with open_adapter(self.port, 9600, "8N1") as port:
                port.send(head + bytes([sum(head) & 0xFF]))

        await asyncio.to_thread(send)


class Command(Table):
    """Programs of yours, each with its arguments; exit code 0 is done."""

    kind: Literal["command"]
    on: Words
    off: Words

    async def switch(self, *, is_on: bool) -> None:
        """Run it."""
        await run_program(self.on if is_on else self.off)


Switch = Annotated[Uhubctl | Http | Relay | Command, Field(discriminator="kind")]


async def run_program(words: list[str]) -> None:
    """Run a program of the lab's to its end; raises DemoError if it fails or does not end."""
    try:
        child = await asyncio.create_subprocess_exec(
            *words, stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
    except OSError as error:
        raise DemoError(f"{words[0]} cannot be run: {error.strerror}") from error
    try:
        said, _ = await asyncio.wait_for(child.communicate(), SWITCH_S_MAX)
    except TimeoutError as error:
        child.kill()
        await child.wait()
        raise DemoError(f"{words[0]} does not end within {SWITCH_S_MAX:g} s") from error
    if child.returncode:
        text = said.decode(errors="replace").strip() or "it says nothing"
        raise DemoError(f"{' '.join(words)} ended with code {child.returncode}: {text}")
