"""What runs of a station: links, image, alarms, uplinks, each part by itself.

    boards ─ link ─▶ image ─▶ report ─▶ outbox ─▶ mqtt/uplink ─▶ brokers
                       └─▶ alarms ──────┘

Every part that runs has a name (`link beach`, `uplink noc`, `alarms`) and a task of its own in the
daemon's group, so that one can be stopped and another begun while the rest goes on. What ends by an
unexpected exception ends the group, and with it the process. Not here: the outbox, which outlives
all of it, the page and the control socket (daemon.py).
"""

import asyncio
from collections.abc import Coroutine, Mapping
from pathlib import Path

from shorewatch.alarmdesk import AlarmDesk
from shorewatch.compiled import Compiled
from shorewatch.config import Station, UplinkConfig
from shorewatch.image import Image
from shorewatch.link import BoardLink
from shorewatch.model import utc_now
from shorewatch.mqtt.uplink import Uplink
from shorewatch.outbox import Outbox
from shorewatch.plan import BoardPlan
from shorewatch.report import Reporter
from shorewatch.status import Snapshot, snapshot

STALE_CHECK_S = 1.0


class Gateway:
    """The running parts of one station, in the task group `tasks`."""

    def __init__(
        self, compiled: Compiled, state_dir: Path, outbox: Outbox, tasks: asyncio.TaskGroup
    ) -> None:
        station = compiled.station
        self.compiled = compiled
        self.outbox = outbox
        self.started_at = utc_now()
        self.image = Image(station)
        self._state_dir = state_dir
        self._tasks = tasks
        self._running: dict[str, asyncio.Task[None]] = {}
        self._reporter = Reporter(station)
        self.links = {board_id: self._linked(plan) for board_id, plan in compiled.plans.items()}
        self.desk = AlarmDesk(station, compiled.rules, self.image, outbox, self._there)
        self.uplinks = {config.id: self._uplinked(config) for config in station.file.uplink}

    @property
    def station(self) -> Station:
        """The station as it runs."""
        return self.compiled.station

    def start(self) -> None:
        """Begin to acquire, judge and publish."""
        for board_id, link in self.links.items():
            self._start(f"link {board_id}", link.run())
        self._start("alarms", self.desk.run())
        self._start("stale", self._record_stale())
        for uplink_id, uplink in self.uplinks.items():
            self._start(f"uplink {uplink_id}", uplink.run())

    async def stop(self) -> None:
        """End acquisition, then publish what is left; a few seconds at most."""
        publishing = {f"uplink {uplink_id}" for uplink_id in self.uplinks}
        await self._stop(*(self._running.keys() - publishing))
        await self.outbox.put("event", utc_now(), {"source": "gateway", "what": "stopped"})
        await asyncio.gather(*(uplink.stop() for uplink in self.uplinks.values()))
        await self._stop(*publishing)

    def look(self) -> Snapshot:
        """Everything a person wants to see."""
        return snapshot(
            self.station,
            self.image,
            self.outbox,
            boards={board_id: link.status for board_id, link in self.links.items()},
            uplinks={uplink_id: uplink.status for uplink_id, uplink in self.uplinks.items()},
            alarms=self.desk.listed(),
            started_at=self.started_at,
        )

    def _start(self, name: str, part: Coroutine[None, None, None]) -> None:
        assert name not in self._running, f"{name} runs already"
        self._running[name] = self._tasks.create_task(part, name=name)

    async def _stop(self, *names: str) -> None:
        """End parts and wait until they have; what is not running is done."""
        ending = [self._running.pop(name) for name in names if name in self._running]
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)  # the group sees exceptions, too

    def _linked(self, plan: BoardPlan) -> BoardLink:
        return BoardLink(
            plan, self._state_dir, self.image, reporter=self._reporter, records=self.outbox
        )

    def _uplinked(self, config: UplinkConfig) -> Uplink:
        return Uplink(self.station, config, self.image, self.outbox, self._boards, self.desk)

    def _boards(self) -> Mapping[str, Mapping[str, object]]:
        """What the NOC is told of boards."""
        return {
            board_id: {"up": link.status.up, "reason": link.status.reason}
            for board_id, link in self.links.items()
        }

    def _there(self) -> Mapping[str, bool]:
        """Which boards and uplinks are there, for the alarms."""
        found = {f"board/{board_id}": link.status.up for board_id, link in self.links.items()}
        for uplink_id, uplink in self.uplinks.items():
            found[f"uplink/{uplink_id}"] = uplink.status.state == "online"
        return found

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
