"""What an uplink tells of and for whom: the parts of the gateway that it reads. No I/O."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from shorewatch.config import Station, UplinkConfig
from shorewatch.image import Changes, Image
from shorewatch.outbox import Outbox

Lines = Callable[[], Mapping[str, Mapping[str, object]]]


class AlarmList(Protocol):
    """The alarms of the station: the alarm desk."""

    @property
    def ids(self) -> Sequence[str]: ...
    def listed(self) -> Sequence[Mapping[str, object]]: ...
    def watch(self) -> Changes: ...
    async def answer(self, request: Mapping[str, object]) -> Mapping[str, object]: ...


class Far(Protocol):
    """Who hears another station's topic: the locator."""

    @property
    def far_topic(self) -> str: ...
    def hear(self, payload: bytes, *, is_retained: bool) -> None: ...


@dataclass(slots=True)
class Source:
    """The station as one uplink sees it; `station` is replaced when a configuration is taken.

    `clock` is monotonic. `far` hears a topic of another station, if this uplink is to bring it.
    """

    station: Station
    config: UplinkConfig
    image: Image
    outbox: Outbox
    lines: Lines
    alarms: AlarmList
    clock: Callable[[], float]
    far: Far | None = None
