"""The alarm desk of a station, played by the test."""

from collections.abc import Mapping

from shorewatch.image import Changes


class FakeAlarms:
    """The alarms of a station as the test says them."""

    ids = ("current-low", "lid-open")

    def __init__(self) -> None:
        self._rows: dict[str, dict[str, object]] = {}
        self._watchers: list[Changes] = []
        self.asked: list[dict[str, object]] = []

    async def answer(self, request: Mapping[str, object]) -> dict[str, object]:
        """What is asked is noted, and refused of an alarm that there is not."""
        self.asked.append(dict(request))
        alarm = request.get("alarm", "test-alarm")
        if alarm not in (*self.ids, "test-alarm"):
            raise ValueError(f"there is no alarm {alarm!r}")
        return {"alarm": alarm, "state": "acknowledged"}

    def listed(self) -> list[dict[str, object]]:
        return list(self._rows.values())

    def watch(self) -> Changes:
        changes = Changes(self._watchers)
        self._watchers.append(changes)
        return changes

    def become(self, alarm: str, state: str | None) -> None:
        """The alarm is listed with this state, or normal again."""
        self._rows.pop(alarm, None)
        if state is not None:
            self._rows[alarm] = {"id": alarm, "state": state}
        for changes in self._watchers:
            changes.add(alarm)
