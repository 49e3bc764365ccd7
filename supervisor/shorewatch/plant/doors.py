"""The dry contacts of a board as the world has them, as edges for the virtual board's edges.py.

A board starts with all of its contacts in their normal state; whoever plays it asks each `LOOK_S`
what has changed since. Pure but for the time that is given.
"""

from collections.abc import Iterator
from typing import Final

from shorewatch.config import BoardConfig
from shorewatch.plant.world import World

LOOK_S: Final = 0.1
# From the edge before: so short that two which came together stay together.
_AFTER_US: Final = 1000


class Doors:
    """The contacts of one board."""

    def __init__(self, station_id: str, board: BoardConfig, world: World) -> None:
        self._site = world.site(station_id)
        self._world = world
        self._contacts = board.input
        self._off: set[str] = set()

    def restart(self) -> None:
        """The board starts: it takes every contact to be in its normal state."""
        self._off.clear()

    def edges(self, utc_s: float) -> Iterator[bytes]:
        """What has changed up to this moment, a line each."""
        self._world.bring(utc_s)
        for contact in self._contacts:
            is_off = self._site.contact_is_off(contact.id)
            if is_off == (contact.id in self._off):
                continue
            self._off ^= {contact.id}
            is_closed = is_off == (contact.normally == "open")
            yield f"{contact.input} {int(is_closed)} {_AFTER_US}\n".encode()
