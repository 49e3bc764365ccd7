"""What runs of a station: links, direct lines, image, alarms, uplinks, each part by itself.

    boards ─ link ─▶ image ─▶ report ─▶ outbox ─▶ mqtt/uplink ─▶ brokers
    direct ─────────▶  ├─▶ alarms ──────┘
                       └─▶ history

Every part that runs has a name (`link beach`, `direct ups`, `uplink noc`, `alarms`) and a task of
its own in the daemon's group, so that one can be stopped and another begun while the rest goes on:
`apply` runs another configuration, `lend` leaves a board's port to a tool. What ends by an
unexpected exception ends the group, and with it the process. Not here: the outbox, which outlives
all of it, the page and the control socket (daemon.py); reading and judging what is applied
(reload.py).
"""

import asyncio
import time
from collections.abc import Coroutine, Mapping, Set
from pathlib import Path

from shorewatch.alarmdesk import AlarmDesk
from shorewatch.certificate import ending
from shorewatch.clock import StationClock
from shorewatch.compiled import Compiled
from shorewatch.config import Device, Station, UplinkConfig
from shorewatch.diary import Diary
from shorewatch.diff import kept_points
from shorewatch.direct.line import DirectLine
from shorewatch.disk import free_bytes
from shorewatch.history import History
from shorewatch.image import Image
from shorewatch.kernel import read_kernel
from shorewatch.link import BoardLink
from shorewatch.locator import Locator
from shorewatch.model import to_text, utc_now
from shorewatch.mqtt.tls import LOOK_S
from shorewatch.mqtt.uplink import Uplink
from shorewatch.outbox import Outbox
from shorewatch.plan import BoardPlan, DirectPlan
from shorewatch.report import Reporter
from shorewatch.sparkplug.node import EdgeNode
from shorewatch.status import ALARMS_MAX, Snapshot, device_row, snapshot

STALE_CHECK_S = 1.0
CANCEL_AGAIN_S = 0.1
CLOCK_CHECK_S = 1.0


class Gateway:
    """The running parts of one station, in the task group `tasks`.

    `trouble` is what is wrong with the file on disk, for the page; None while it is what runs.
    """

    def __init__(
        self, compiled: Compiled, state_dir: Path, outbox: Outbox, tasks: asyncio.TaskGroup
    ) -> None:
        station = compiled.station
        self.compiled = compiled
        self.outbox = outbox
        self.started_at = self.config_since = utc_now()
        self.trouble: Snapshot | None = None
        self.image = Image(station)
        self.history = History(station, self.image, state_dir)
        self.clock = StationClock(kernel=read_kernel)
        self._state_dir = state_dir
        self._tasks = tasks
        self._running: dict[str, asyncio.Task[None]] = {}
        # By port, why it is not ours: a board may be renamed or moved meanwhile.
        self._lent: dict[str, str] = {}
        # Held by whoever starts and stops parts: one change at a time.
        self._changing = asyncio.Lock()
        self._reporter = Reporter(station)
        self.links = {board_id: self._linked(plan) for board_id, plan in compiled.plans.items()}
        self.directs = {id_: self._direct(plan) for id_, plan in compiled.directs.items()}
        self.desk = AlarmDesk(station, compiled.rules, self.image, outbox, self._there)
        self.diary = Diary(outbox, self.desk.listed)
        is_located = station.cable_file is not None
        self.locator = Locator(station, self.image, outbox, state_dir) if is_located else None
        self.uplinks = {config.id: self._uplinked(config) for config in station.file.uplink}

    @property
    def station(self) -> Station:
        """The station as it runs."""
        return self.compiled.station

    def start(self) -> None:
        """Begin to acquire, judge and publish."""
        for board_id in self.links:
            self._start_link(board_id)
        for direct_id in self.directs:
            self._start_direct(direct_id)
        self._start("alarms", self.desk.run())
        self._start("history", self.history.run())
        self._start("stale", self._record_stale())
        self._start("clock", self._watch_clock())
        self._start("certificates", self._watch_certificates())
        if self.locator is not None:
            self._start("cable", self.locator.run())
        for uplink_id, uplink in self.uplinks.items():
            self._start(f"uplink {uplink_id}", uplink.run())

    async def stop(self) -> None:
        """End acquisition, then publish what is left; a few seconds at most."""
        publishing = {f"uplink {uplink_id}" for uplink_id in self.uplinks}
        await self._stop(*(self._running.keys() - publishing))
        await self.outbox.put("event", utc_now(), {"source": "gateway", "what": "stopped"})
        await asyncio.gather(*(uplink.stop() for uplink in self.uplinks.values()))
        await self._stop(*publishing)

    async def apply(self, compiled: Compiled) -> None:
        """Run `compiled` from here on; what is the same in both is not disturbed.

        The caller has made sure that nothing in it needs a restart.
        """
        async with self._changing:
            await self._apply(compiled)

    async def lend(self, board_id: str, port: str, why: str) -> BoardLink:
        """Close a board's port and leave it alone: its points are bad (maintenance).

        Raises ValueError if the board has gone meanwhile, or is at another port.
        """
        async with self._changing:
            link = self.links.get(board_id)
            if link is None or link.port != port:
                raise ValueError(f"the station has no board {board_id!r} at {port} any more")
            self._lent[port] = why
            await self._stop(f"link {board_id}")
            await link.set_aside(why)
            return link

    async def take_back(self, port: str) -> None:
        """Open a lent port again for the board that is there; for none there is nothing to open."""
        async with self._changing:
            if self._lent.pop(port, None) is None:
                return
            for board_id, link in self.links.items():
                if link.port == port:
                    self._start_link(board_id)

    def look(self) -> Snapshot:
        """Everything a person wants to see."""
        return snapshot(
            self.station,
            self.image,
            self.outbox,
            boards={board_id: link.status for board_id, link in self.links.items()},
            directs={direct_id: line.status for direct_id, line in self.directs.items()},
            uplinks={uplink_id: uplink.status for uplink_id, uplink in self.uplinks.items()},
            alarms=self.desk.listed(ALARMS_MAX),
            alarms_count=self.desk.count,
            alarm_mode=self.desk.mode,
            history=self.history.status,
            cable_watch=None if self.locator is None else self.locator.snapshot(),
            clock=self.clock,
            started_at=self.started_at,
            config_trouble=self.trouble,
        )

    async def _apply(self, compiled: Compiled) -> None:
        old, new = self.station, compiled.station
        kept = kept_points(old, new)
        were = {config.id: config for config in old.file.uplink}
        same = {config.id for config in new.file.uplink if were.get(config.id) == config}
        await self._remove_uplinks(were.keys() - same)
        links = {id_: link for id_, link in self.links.items() if _is_carried(link, compiled)}
        directs = {id_: line for id_, line in self.directs.items() if _is_same(id_, old, new)}
        async with self.desk.turn:
            await self._stop(
                *(f"link {board_id}" for board_id in self.links.keys() - links.keys()),
                *(f"direct {direct_id}" for direct_id in self.directs.keys() - directs.keys()),
            )
            # From here to the alarms' records nothing waits: nobody sees half of the change.
            self.compiled, self.config_since = compiled, utc_now()
            self.image.adopt(new, kept)
            self._reporter.adopt(new, kept)
            self.history.adopt(new)
            for board_id, link in links.items():
                if _served_by(board_id, old) != _served_by(board_id, new):
                    link.adopt(compiled.plans[board_id])
            self.links = {
                board_id: links.get(board_id) or self._linked(plan)
                for board_id, plan in compiled.plans.items()
            }
            self.directs = {
                direct_id: directs.get(direct_id) or self._direct(plan)
                for direct_id, plan in compiled.directs.items()
            }
            for uplink in self.uplinks.values():
                uplink.adopt(new)
            self.uplinks = {
                config.id: self.uplinks.get(config.id) or self._uplinked(config)
                for config in new.file.uplink
            }
            await self.desk.adopt(new, compiled.rules)
        for board_id in self.links.keys() - links.keys():
            await self._begin(board_id)
        for direct_id in self.directs.keys() - directs.keys():
            self._start_direct(direct_id)
        for uplink_id in self.uplinks.keys() - same:
            self._start(f"uplink {uplink_id}", self.uplinks[uplink_id].run())

    def look_at(self, device_id: str) -> Snapshot:
        """One device of it."""
        statuses = [line.status for line in self._lines().values()]
        counters = next((s.devices[device_id] for s in statuses if device_id in s.devices), None)
        values = self.image.look(device_id)
        return device_row(self.station.devices[device_id], values, counters, time.monotonic())

    def words_of(self, device_id: str) -> Snapshot:
        """The registers of one device as they came last; raises ValueError for none of ours."""
        if device_id not in self.station.devices:
            raise ValueError(f"there is no device {device_id!r}")
        now_s = time.monotonic()
        rows = [row for line in self._lines().values() for row in line.words.of(device_id, now_s)]
        return {"device": device_id, "at": to_text(utc_now()), "blocks": rows}

    def _start(self, name: str, part: Coroutine[None, None, None]) -> None:
        assert name not in self._running, f"{name} runs already"
        self._running[name] = self._tasks.create_task(part, name=name)

    async def _stop(self, *names: str) -> None:
        """End parts and wait until they have; what is not running is done."""
        ending = {self._running.pop(name) for name in names if name in self._running}
        while ending:
            for task in ending:
                task.cancel()
            # Python 3.11's wait_for drops a cancellation that meets its result: then once more.
            _, ending = await asyncio.wait(ending, timeout=CANCEL_AGAIN_S)

    def _linked(self, plan: BoardPlan) -> BoardLink:
        return BoardLink(
            plan,
            self._state_dir,
            self.image,
            reporter=self._reporter,
            records=self.outbox,
            clock=self.clock,
        )

    def _start_link(self, board_id: str) -> None:
        self._start(f"link {board_id}", self.links[board_id].run())

    def _direct(self, plan: DirectPlan) -> DirectLine:
        return DirectLine(
            plan, self._state_dir, self.image, reporter=self._reporter, records=self.outbox
        )

    def _start_direct(self, direct_id: str) -> None:
        self._start(f"direct {direct_id}", self.directs[direct_id].run())

    async def _begin(self, board_id: str) -> None:
        """Start a new link, unless its port is lent."""
        link = self.links[board_id]
        if link.port in self._lent:
            await link.set_aside(self._lent[link.port])
        else:
            self._start_link(board_id)

    def _uplinked(self, config: UplinkConfig) -> Uplink | EdgeNode:
        station, image, outbox, desk = self.station, self.image, self.outbox, self.desk
        if config.plane == "sparkplug":
            return EdgeNode(station, config, image, outbox, self._states, desk)
        far = self.locator if config.id == station.cable_uplink else None
        return Uplink(station, config, image, outbox, self._states, desk, far=far)

    async def _remove_uplinks(self, ids: Set[str]) -> None:
        await asyncio.gather(*(self.uplinks[uplink_id].stop() for uplink_id in ids))
        await self._stop(*(f"uplink {uplink_id}" for uplink_id in ids))
        for uplink_id in ids:
            del self.uplinks[uplink_id]
            self.outbox.forget(uplink_id)

    def _lines(self) -> Mapping[str, BoardLink | DirectLine]:
        """Everything that acquires, by the name that alarms have for it."""
        found: dict[str, BoardLink | DirectLine] = {}
        found |= {f"board/{board_id}": link for board_id, link in self.links.items()}
        return found | {f"direct/{direct_id}": line for direct_id, line in self.directs.items()}

    def _states(self) -> Mapping[str, Mapping[str, object]]:
        """What the NOC is told of boards and direct lines."""
        return {
            source: {"up": line.status.up, "reason": line.status.reason}
            for source, line in self._lines().items()
        }

    def _there(self) -> dict[str, bool | str | None]:
        """Which boards, direct lines, uplinks and parts of the gateway are well, for alarms."""
        found: dict[str, bool | str | None] = {}
        found |= {source: line.status.up for source, line in self._lines().items()}
        if self.locator is not None:
            found["gateway/cable"] = self.locator.text
        for uplink_id, uplink in self.uplinks.items():
            found[f"uplink/{uplink_id}"] = uplink.status.state == "online"
            found[f"consumers/{uplink_id}"] = not uplink.status.silent
        free_mb_min = self.station.file.history.free_mb_min
        return found | {
            "gateway/outbox": self.outbox.health is None,
            "gateway/history": self.history.is_well,
            "gateway/clock": self.clock.is_set,
            "gateway/disk": free_bytes(self._state_dir) >= free_mb_min * 1_000_000,
            "gateway/certificate": not any(
                ending(uplink.status.certificates, utc_now()) for uplink in self.uplinks.values()
            ),
        }

    async def _watch_clock(self) -> None:
        """Record each step of the wall clock: times before it are by the clock as it stood."""
        while True:
            await asyncio.sleep(CLOCK_CHECK_S)
            self.clock.look()
            while self.clock.steps:
                step = self.clock.steps.popleft()
                body = {"what": "clock stepped", "step_s": round(step.span_s, 3)}
                await self.outbox.put("event", step.at, {"source": "gateway"} | body)

    async def _watch_certificates(self) -> None:
        """Notice a renewed certificate while the connection goes on with the old one."""
        while True:
            await asyncio.sleep(LOOK_S)
            for uplink in list(self.uplinks.values()):
                await uplink.expiries.look()

    async def _record_stale(self) -> None:
        """Record values that went stale with nobody reporting it: a board whose bus hangs."""
        while True:
            await asyncio.sleep(STALE_CHECK_S)
            for device_id in list(self.station.devices):
                if device_id not in self.station.devices:
                    continue  # it went while another's record was written
                body = self._reporter.changes(device_id, self.image.look(device_id))
                if body is not None:
                    await self.outbox.put("sample", utc_now(), body)


def _is_carried(link: BoardLink, compiled: Compiled) -> bool:
    """Whether the board goes on at the same port by the plan it carries."""
    plan, board = compiled.plans.get(link.plan.board_id), link.board
    if plan is None or plan.crc != link.plan.crc:
        return False
    now = compiled.station.boards[plan.board_id]
    return (now.link, now.unique_id) == (board.link, board.unique_id)


def _served_by(board_id: str, station: Station) -> list[Device | None]:
    """All that a board serves: the devices on its buses, and its contacts."""
    return [*station.of_board(board_id), station.contacts.get(board_id)]


def _is_same(direct_id: str, old: Station, new: Station) -> bool:
    """Whether a direct line and its device types are the same in both."""
    return direct_id in new.directs and old.of_direct(direct_id) == new.of_direct(direct_id)
