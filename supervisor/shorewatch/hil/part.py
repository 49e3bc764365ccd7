"""What a bench is made of, whatever is plugged in: the parts that stories are told with.

    Board      its power, its link, its contacts
    Bus        simulated devices on one of its buses, and what is wrong with the line
    Gateway    the station's daemon, its clock, its database
    Wan        broker and subscriber's way to it
    Noc        what a subscriber was told

A bench may lack what a story needs: `why_not` says so before, and the story is skipped with it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Final, Protocol, TypeVar

from shorewatch.errors import DemoError, ShorewatchError

PATIENCE_S: Final = 60.0
LOOK_S: Final = 0.05
_T = TypeVar("_T")


class Need(Enum):
    """What not every bench has."""

    POWER = "a switch for the board's power"
    LINK = "a switch for the board's link"
    CONTACTS = "relays as the board's contacts"
    HANG = "a program that halts the board's processor"
    EMPTY = "a board that may be flashed anew"
    SWAP = "links whose plugs can be changed"
    TICKS = "a board whose clock can be set near its end"


class LackError(ShorewatchError):
    """A bench has not what a story needs; its text says what."""


@dataclass(frozen=True, slots=True)
class Edge:
    """A contact moves: closed or not, so many microseconds after the edge before it."""

    contact: int
    is_closed: bool
    after_us: int = 1000


class Board(Protocol):
    """One board of the bench."""

    @property
    def id(self) -> str: ...

    def why_not(self, need: Need) -> str | None:
        """Why there is no such thing here; None: there is."""

    async def cut_power(self) -> None: ...

    async def give_power(self) -> None: ...

    async def pull_link(self) -> None: ...

    async def plug_link(self) -> None: ...

    async def move(self, edges: Sequence[Edge]) -> datetime:
        """Play edges; the time before the first."""

    async def hang(self) -> None:
        """Its program stops where it is, and does not feed its watchdog."""

    def console(self) -> str:
        """What it, or whoever plays it, has said."""


async def until(
    look: Callable[[], Awaitable[_T | None]], what: str, for_s: float = PATIENCE_S
) -> _T:
    """What `look` finds first that is true; raises DemoError, with what was waited for."""
    loop = asyncio.get_running_loop()
    end_s = loop.time() + for_s
    while True:
        found = await look()
        if found:
            return found
        if loop.time() > end_s:
            raise DemoError(f"waited {for_s:g} s for {what}, in vain")
        await asyncio.sleep(LOOK_S)
