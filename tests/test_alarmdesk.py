"""alarmdesk.py and alarmlist.py: from the station file to records, and through any restart."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from shorewatch import alarmdesk, mode
from shorewatch.alarmdesk import AlarmDesk
from shorewatch.alarms import AlarmError
from shorewatch.assets import asset_folder
from shorewatch.compiled import Compiled, load_compiled
from shorewatch.errors import ConfigError
from shorewatch.image import Image
from shorewatch.model import Quality, Reason, Value, utc_now
from shorewatch.outbox import Outbox

ALARMS = """
[[alarm]]
id = "room-warm"
text = "Room is warm"
action = "Check the air conditioning."
priority = "minor"
point = "room.temperature"
above = 27
deadband = 0.5

[[alarm]]
id = "lid"
text = "Lid is open"
action = "Call the guard."
priority = "critical"
point = "manhole.lid"
is = "open"
latch = true

[[alarm]]
id = "room-lost"
text = "Room sensor is lost"
action = "Check its line."
priority = "major"
device = "room"
suppressed_by = ["beach-lost"]

[[alarm]]
id = "beach-lost"
text = "Board beach is lost"
action = "Check its power."
priority = "major"
board = "beach"
"""


@pytest.fixture
def compiled(write, station_text) -> Compiled:
    """Sumqayit with four alarms of its own."""
    return load_compiled(write("s.toml", station_text.partition("\n[[alarm]]")[0] + ALARMS))


class Bench:
    """A desk that runs on an image filled by hand."""

    def __init__(self, compiled: Compiled, outbox: Outbox) -> None:
        self.outbox = outbox
        self.is_beach_up = True
        self.there: dict[str, bool | str | None] = {}
        self.image = Image(compiled.station)
        self.desk = AlarmDesk(
            compiled.station, compiled.rules, self.image, outbox,
            lambda: {"board/beach": self.is_beach_up} | self.there,
        )  # fmt: skip

    def put(self, device: str, **points: float | bool | None) -> None:
        loop = asyncio.get_running_loop()
        values = {
            name: Value(Quality.BAD, Reason.DEVICE_TIMEOUT)
            if value is None
            else Value(Quality.GOOD, None, value, utc_now(), loop.time())
            for name, value in points.items()
        }
        self.image.put(device, values)

    def states(self) -> dict[str, str]:
        return {row["id"]: row["state"] for row in self.desk.listed()}

    async def until(self, **states: str) -> None:
        wanted = {name.replace("_", "-"): state for name, state in states.items()}
        async with asyncio.timeout(10):
            while self.states() != wanted:
                await asyncio.sleep(0.01)

    async def tell(self, do: str, alarm: str, **more: object) -> object:
        return (await self.desk.answer({"do": do, "alarm": alarm, "by": "ali", **more}))["state"]


@asynccontextmanager
async def running(compiled: Compiled, path: Path) -> AsyncIterator[Bench]:
    async with Outbox.opened(path, size_bytes_max=4_000_000) as outbox:
        bench = Bench(compiled, outbox)
        bench.put("room", temperature=21.0, humidity=40.0)
        task = asyncio.create_task(bench.desk.run())
        try:
            yield bench
        finally:
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task


async def records(outbox: Outbox) -> list[tuple[object, object]]:
    await outbox.settled()
    found = await outbox.read(0, 1000)
    return [(r.body["alarm"], r.body["what"]) for r in found if r.kind == "alarm"]


async def test_a_value_over_its_limit_is_listed_and_recorded(compiled, tmp_path) -> None:
    """The list has what to do; the record has the X.733 fields, the value and the state."""
    async with running(compiled, tmp_path / "o.sqlite") as bench:
        bench.put("room", temperature=28.5)
        await bench.until(room_warm="unacknowledged")
        (row,) = bench.desk.listed()
        assert row["action"] == "Check the air conditioning." and row["value"] == 28.5
        await bench.outbox.settled()
        (record,) = await bench.outbox.read(0, 10)
        expected = {
            "alarm": "room-warm", "what": "raised", "state": "unacknowledged", "value": 28.5,
            "priority": "minor", "source": "room.temperature", "event_type": "equipment",
        }  # fmt: skip
        assert record.kind == "alarm" and expected.items() <= record.body.items()

        assert await bench.tell("acknowledge", "room-warm") == "acknowledged"
        bench.put("room", temperature=26.4)
        await bench.until()


async def test_the_most_urgent_is_listed_first(compiled, tmp_path) -> None:
    """Critical before minor, hidden ones last."""
    async with running(compiled, tmp_path / "o.sqlite") as bench:
        bench.put("room", temperature=28.5)
        bench.put("manhole", lid=True)
        await bench.until(room_warm="unacknowledged", lid="unacknowledged")
        assert [row["id"] for row in bench.desk.listed()] == ["lid", "room-warm"]
        assert [row["id"] for row in bench.desk.listed(1)] == ["lid"]
        assert bench.desk.count == 2
        await bench.tell("shelve", "lid", seconds=60, text="splice work")
        assert [row["id"] for row in bench.desk.listed()] == ["room-warm", "lid"]


async def test_a_lost_device_is_raised_unless_its_board_is(compiled, tmp_path) -> None:
    """A silent sensor is an alarm; with its whole board gone only the board's is shown."""
    async with running(compiled, tmp_path / "o.sqlite") as bench:
        bench.put("room", temperature=None, humidity=None)
        await bench.until(room_lost="unacknowledged")
        bench.is_beach_up = False
        await bench.until(room_lost="suppressed", beach_lost="unacknowledged")


async def test_what_cannot_be_done_says_why(compiled, tmp_path) -> None:
    """A word without sense is refused, and nothing is recorded."""
    async with running(compiled, tmp_path / "o.sqlite") as bench:
        for request, words in (
            ({"do": "acknowledge", "alarm": "room-warm", "by": "x"}, "nothing to acknowledge"),
            ({"do": "acknowledge", "alarm": "nonsense", "by": "x"}, "no alarm 'nonsense'"),
            ({"do": "acknowledge", "alarm": "room-warm"}, "who asks"),
            ({"do": "shelve", "alarm": "room-warm", "by": "x", "text": "y"}, "how many seconds"),
            ({"do": "explode", "alarm": "room-warm", "by": "x"}, "'explode' is nothing"),
            ({}, "who asks"),
        ):
            with pytest.raises(AlarmError, match=words):
                await bench.desk.answer(request)
        assert await records(bench.outbox) == []


async def test_a_restart_changes_nothing(compiled, tmp_path) -> None:
    """Acknowledged, latched, shelved and out of service stay so, with what they were raised at."""
    path = tmp_path / "o.sqlite"
    async with running(compiled, path) as bench:
        bench.put("manhole", lid=True)
        bench.put("room", temperature=30.0)
        await bench.until(lid="unacknowledged", room_warm="unacknowledged")
        await bench.tell("acknowledge", "lid")
        await bench.tell("shelve", "room-warm", seconds=3600, text="filters are changed")
        await bench.tell("out-of-service", "room-lost", text="sensor sent for repair")
        before = bench.desk.listed()
    async with running(compiled, path) as bench:
        kept = ("id", "state", "since", "value", "active")
        after = bench.desk.listed()
        assert [[row[k] for k in kept] for row in after] == [[r[k] for k in kept] for r in before]
        shelved = next(row for row in after if row["id"] == "room-warm")
        assert 3500 < shelved["shelf_left_s"] <= 3600
        bench.put("manhole", lid=False)
        async with asyncio.timeout(10):
            while bench.states()["lid"] != "latched-acknowledged":
                await asyncio.sleep(0.01)
        assert await bench.tell("reset", "lid") == "normal"


async def test_a_shelf_does_not_begin_anew_with_each_restart(
    compiled, tmp_path, monkeypatch
) -> None:
    """The remaining time is kept while it runs, without a record."""
    monkeypatch.setattr(alarmdesk, "KEEP_S", 0.1)
    path = tmp_path / "o.sqlite"
    async with running(compiled, path) as bench:
        await bench.tell("shelve", "lid", seconds=100, text="work")
        await asyncio.sleep(2.2)
    async with Outbox.opened(path, size_bytes_max=4_000_000) as outbox:
        left = outbox.kept["alarm/lid"]["shelf_left_s"]
        assert isinstance(left, float) and 90 < left < 99
        assert outbox.last == 1


async def test_what_finds_no_room_on_a_sick_disk_is_not_called_done(
    compiled, tmp_path, monkeypatch
) -> None:
    """Who answers an alarm is told that it is not on record; its state is kept when it can be."""
    monkeypatch.setattr(alarmdesk, "KEEP_S", 0.1)
    path = tmp_path / "o.sqlite"
    async with running(compiled, path) as bench:
        bench.put("room", temperature=30.0)
        await bench.until(room_warm="unacknowledged")
        await bench.outbox.settled()
        with monkeypatch.context() as sick:
            sick.setattr(type(bench.outbox), "_is_full", property(lambda _: True))
            sick.setattr(bench.outbox, "_trouble", "the disk is full")
            with pytest.raises(AlarmError, match="not on record: the disk is full"):
                await bench.tell("acknowledge", "room-warm")
        async with asyncio.timeout(10):
            while bench.desk._unkept:
                await asyncio.sleep(0.05)
        await bench.outbox.settled()
    async with running(compiled, path) as bench:
        assert bench.states() == {"room-warm": "acknowledged"}


async def test_maintenance_hides_alarms_but_records_them(compiled, tmp_path) -> None:
    """Hidden ones stand last, as maintenance; the mode itself is an alarm that nothing hides."""
    async with running(compiled, tmp_path / "o.sqlite") as bench:
        reply = await bench.desk.answer(
            {"do": "maintenance-begin", "by": "ali", "seconds": 3600, "text": "permit 23"}
        )
        assert reply["maintenance"]["left_s"] == pytest.approx(3600, abs=1)  # type: ignore[index]
        bench.put("room", temperature=30.0)
        await bench.until(maintenance_mode="unacknowledged", room_warm="maintenance")
        rows = bench.desk.listed()
        assert [row["id"] for row in rows] == ["maintenance-mode", "room-warm"]
        assert rows[0]["note"] == "ali: permit 23" and rows[0]["left_s"] > 3500
        await bench.outbox.settled()
        bodies = [(r.kind, r.body) for r in await bench.outbox.read(0, 10)]
        assert bodies[0][0] == "audit" and bodies[0][1]["what"] == "maintenance-begin"
        assert bodies[0][1]["by"] == "ali" and bodies[0][1]["note"] == "permit 23"
        raised = next(body for _, body in bodies if body.get("alarm") == "room-warm")
        assert (raised["what"], raised["state"]) == ("raised", "maintenance")

        await bench.desk.answer({"do": "maintenance-end", "by": "ali"})
        assert bench.states() == {"maintenance-mode": "returned", "room-warm": "unacknowledged"}


async def test_maintenance_ends_on_time_and_survives_a_restart(compiled, tmp_path) -> None:
    """What was left of its time goes on after a restart; at its end all alarms are shown again."""
    path = tmp_path / "o.sqlite"
    begin = {"do": "maintenance-begin", "by": "ali", "seconds": 2, "text": "permit 23"}
    async with running(compiled, path) as bench:
        await bench.desk.answer(begin)
        bench.put("room", temperature=30.0)
        await bench.until(maintenance_mode="unacknowledged", room_warm="maintenance")
    async with running(compiled, path) as bench:
        assert bench.states()["room-warm"] == "maintenance"
        bench.put("room", temperature=30.0)
        await bench.until(maintenance_mode="returned", room_warm="unacknowledged")
        await bench.outbox.settled()
        last = [r.body for r in await bench.outbox.read(0, 50) if r.kind == "audit"][-1]
        assert last["what"] == "maintenance-end" and "by" not in last
    async with running(compiled, path) as bench:
        assert bench.desk.mode["maintenance"] is None


async def test_a_test_alarm_goes_the_whole_way(compiled, tmp_path) -> None:
    """It is listed and on record as a test, also in maintenance, and ends when acknowledged."""
    async with running(compiled, tmp_path / "o.sqlite") as bench:
        await bench.desk.answer(
            {"do": "maintenance-begin", "by": "ali", "seconds": 60, "text": "permit 23"}
        )
        await bench.desk.answer({"do": "test", "by": "leyla"})
        row = next(row for row in bench.desk.listed() if row["id"] == "test-alarm")
        assert row["state"] == "unacknowledged" and row["text"].startswith("Test alarm")
        with pytest.raises(AlarmError, match="on already"):
            await bench.desk.answer({"do": "test", "by": "leyla"})
        await bench.tell("acknowledge", "test-alarm")
        await bench.until(maintenance_mode="unacknowledged")
        found = [what for alarm, what in await records(bench.outbox) if alarm == "test-alarm"]
        assert found == ["raised", "acknowledged", "returned"]


async def test_a_test_alarm_that_nobody_answers_ends_by_itself(
    compiled, tmp_path, monkeypatch
) -> None:
    """After its time it is over and acknowledged by the gateway: a test leaves nothing behind."""
    monkeypatch.setattr(mode, "TEST_S", 0.1)
    async with running(compiled, tmp_path / "o.sqlite") as bench:
        await bench.desk.answer({"do": "test", "by": "leyla"})
        assert bench.states() == {"test-alarm": "unacknowledged"}
        await bench.until()
        assert [what for _, what in await records(bench.outbox)] == [
            "raised", "returned", "acknowledged",
        ]  # fmt: skip


async def test_a_part_of_the_gateway_that_is_not_well_is_an_alarm(
    write, station_text, tmp_path
) -> None:
    """`gateway = "disk"` is on while that part is not well; the record has the X.733 fields."""
    text = station_text.partition("\n[[alarm]]")[0] + DISK
    compiled = load_compiled(write("s.toml", text))
    async with running(compiled, tmp_path / "o.sqlite") as bench:
        bench.there["gateway/disk"] = False
        await bench.until(disk_short="unacknowledged")
        bench.there["gateway/disk"] = True
        await bench.until(disk_short="returned")
        await bench.outbox.settled()
        raised, returned = [r.body for r in await bench.outbox.read(0, 10)]
    expected = {
        "event_type": "processing-error", "probable_cause": "storageCapacityProblem",
        "perceived_severity": "minor", "source": "gateway/disk", "action": "Free some space.",
    }  # fmt: skip
    assert expected.items() <= raised.items()
    assert returned["perceived_severity"] == "cleared"


async def test_each_record_is_committed_with_the_state_it_tells(compiled, tmp_path) -> None:
    """Two transitions of one look: the first one's kept state is not yet that of the second."""
    kept: list[tuple[object, object]] = []
    async with Outbox.opened(tmp_path / "o.sqlite", size_bytes_max=4_000_000) as outbox:
        bench = Bench(compiled, outbox)
        put = outbox.put

        async def watched(kind, at, body, keep=None):  # type: ignore[no-untyped-def]
            kept.append((body["what"], keep[1]["suppressed"]))
            return await put(kind, at, body, keep)

        outbox.put = watched  # type: ignore[method-assign]
        bench.put("room", temperature=None, humidity=None)
        bench.is_beach_up = False
        await bench.desk._look(["room"])
    assert kept == [("raised", False), ("raised", False), ("suppressed", True)]


DISK = """
[[alarm]]
id = "disk-short"
text = "Disk is nearly full"
action = "Free some space."
priority = "minor"
event_type = "processing-error"
probable_cause = "storageCapacityProblem"
gateway = "disk"
"""

KILLED = """
import asyncio, sys
from pathlib import Path
from shorewatch.compiled import load_compiled
sys.path.insert(0, sys.argv[3])
from test_alarmdesk import running

async def main():
    async with running(load_compiled(Path(sys.argv[1])), Path(sys.argv[2])) as bench:
        for number in range(100000):
            bench.put("manhole", lid=number % 2 == 0)
            bench.put("room", temperature=30.0 if number % 3 else 20.0)
            while bench.desk._alarms["lid"].is_on is not (number % 2 == 0):
                await asyncio.sleep(0)
            for row in bench.desk.listed():
                if row["state"] in ("unacknowledged", "returned", "latched-unacknowledged"):
                    print(row["id"], await bench.tell("acknowledge", row["id"]), flush=True)

asyncio.run(main())
"""


@pytest.mark.parametrize("delay_s", [0.2, 0.5, 0.9])
async def test_kill_9_leaves_states_and_records_in_agreement(
    write, station_text, tmp_path, delay_s
) -> None:
    """Whenever it is killed: each alarm's kept state is the one its last record says."""
    station = write("s.toml", station_text.partition("\n[[alarm]]")[0] + ALARMS)
    path = tmp_path / "o.sqlite"
    command = [sys.executable, "-c", KILLED, str(station), str(path), str(Path(__file__).parent)]
    writer = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    assert writer.stdout is not None
    first = await writer.stdout.readline()
    await asyncio.sleep(delay_s)
    writer.kill()
    told = (first + await writer.stdout.read()).decode().splitlines()
    await writer.wait()
    async with Outbox.opened(path, size_bytes_max=4_000_000) as outbox:
        last: dict[str, str] = {}
        acknowledged = 0
        for record in await outbox.read(0, 100_000):
            if record.kind == "alarm":
                last[str(record.body["alarm"])] = str(record.body["state"])
                acknowledged += record.body["what"] == "acknowledged"
        bench = Bench(load_compiled(station), outbox)
        for alarm_id, state in last.items():
            assert bench.desk._alarms[alarm_id].state == state
        assert acknowledged >= len(told) > 0, "an acknowledgement that was answered is durable"


def problems(path: Path) -> list[str]:
    with pytest.raises(ConfigError) as found:
        load_compiled(path)
    return [str(problem).removeprefix(f"{path}:") for problem in found.value.problems]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("above = 27", "above = 99", "temperature is from -40 to 80 degC: this is never passed"),
        ("above = 27\ndeadband = 0.5", 'is = "warm"', "is of type s16: use above, below or bit"),
        ("above = 27\ndeadband = 0.5", "bit = 3", "it has no bits"),
        ("above = 27", "above = 27\nbelow = 3", "a point needs one of above"),
        ("above = 27\ndeadband = 0.5\n", "", "a point needs one of above"),
        ('point = "room.temperature"', 'point = "room.temprature"', "did you mean 'temperature'"),
        ('point = "room.temperature"', 'point = "rom.temperature"', "has no device 'rom'"),
        ('is = "open"', 'is = "opened"', "lid is one of 'closed', 'open'; did you mean 'open'?"),
        ('is = "open"', "above = 1", "is of type bit: it is no number"),
        ('device = "room"', 'device = "roof"', "the station has no device of this id"),
        ('device = "room"', 'device = "room"\nabove = 3', "either there or lost"),
        ('device = "room"\n', "", "must name one of point, device, board, direct"),
        ('["beach-lost"]', '["beach-last"]', "did you mean 'beach-lost'"),
        ('["beach-lost"]', '["room-lost"]', "it would hide itself"),
        ('id = "lid"', 'id = "room-warm"', "alarm is used twice"),
        ('id = "lid"', 'id = "test-alarm"', "this alarm is Shorewatch's own"),
        ('device = "room"', 'gateway = "coffee"', "gateway"),
        ('priority = "minor"', 'priority = "urgent"', "found 'urgent'"),
        ("deadband = 0.5", "deadband = -1", "deadband"),
    ],
)
def test_an_alarm_that_cannot_be_is_told(write, station_text, old, new, words) -> None:
    """Each mistake names its line, key, value and rule."""
    assert old in ALARMS
    text = station_text.partition("\n[[alarm]]")[0] + ALARMS.replace(old, new, 1)
    found = problems(write("bad.toml", text))
    assert any(words in line for line in found), found
    assert all(line.partition(":")[0].isdecimal() for line in found)


@pytest.mark.parametrize("name", ["sumqayit", "aktau"])
def test_the_shipped_stations_have_a_realistic_list(name) -> None:
    """About seventy alarms, each with something to do, and every kind of condition."""
    compiled = load_compiled(asset_folder("stations") / f"{name}.toml")
    alarms = compiled.station.file.alarm
    assert len(alarms) == len(compiled.rules) >= 60
    assert {"critical", "major", "minor", "warning"} == {alarm.priority for alarm in alarms}


async def test_who_watches_alarms_hears_of_another_text(compiled, tmp_path) -> None:
    """An alarm whose words change has changed, though its state has not; the others have not."""
    async with running(compiled, tmp_path / "o.sqlite") as bench:
        changes = bench.desk.watch()
        first, *rest = compiled.station.file.alarm
        alarms = [first.model_copy(update={"action": "Call somebody."}), *rest]
        file = compiled.station.file.model_copy(update={"alarm": alarms})
        async with bench.desk.turn:
            await bench.desk.adopt(replace(compiled.station, file=file), compiled.rules)
        assert await changes.take() == {first.id}


async def test_an_alarm_removed_while_it_stood_does_not_come_back_with_its_id(
    compiled, tmp_path
) -> None:
    """Its end is on record; put in again later, after a restart, it begins normal."""
    path = tmp_path / "o.sqlite"
    async with running(compiled, path) as bench:
        bench.put("room", temperature=28.5)
        await bench.until(room_warm="unacknowledged")
        rules = [rule for rule in compiled.rules if rule.id != "room-warm"]
        alarms = [config for config in compiled.station.file.alarm if config.id != "room-warm"]
        file = compiled.station.file.model_copy(update={"alarm": alarms})
        async with bench.desk.turn:
            await bench.desk.adopt(replace(compiled.station, file=file), rules)
        assert bench.states() == {}
        with pytest.raises(AlarmError, match="no alarm 'room-warm'"):
            await bench.tell("acknowledge", "room-warm")
        assert (await records(bench.outbox))[-1] == ("room-warm", "removed")
    async with running(compiled, path) as bench:
        assert bench.states() == {}


CABLE = """
[[alarm]]
id = "cable-fault"
text = "Cable"
action = "Call the NOC."
priority = "critical"
gateway = "cable"
"""


async def test_a_fault_of_the_cable_says_where(write, station_text, tmp_path) -> None:
    """Its place is in the alarm's text, as it stands; what is not known changes nothing."""
    text = station_text.partition("\n[[alarm]]")[0] + CABLE
    compiled = load_compiled(write("s.toml", text))
    async with running(compiled, tmp_path / "o.sqlite") as bench:
        heard = bench.desk.watch()
        bench.there = {"gateway/cable": "shunt fault 143.9 km from Sumqayit"}
        await bench.until(cable_fault="unacknowledged")
        (row,) = bench.desk.listed()
        assert row["text"] == "Cable: shunt fault 143.9 km from Sumqayit"
        await heard.take()

        bench.there = {"gateway/cable": "shunt fault 143.2 km from Sumqayit"}
        assert await heard.take() == {"cable-fault"}
        assert bench.desk.listed()[0]["text"].endswith("143.2 km from Sumqayit")
        bench.there = {"gateway/cable": None}
        await asyncio.sleep(1.2)
        assert bench.states() == {"cable-fault": "unacknowledged"}

        bench.there = {"gateway/cable": ""}
        await bench.until(cable_fault="returned")
        await bench.outbox.settled()
        raised, returned = await bench.outbox.read(0, 10)
    assert raised.body["text"] == "Cable: shunt fault 143.9 km from Sumqayit"
    assert returned.body["text"] == "Cable" and "value" in raised.body


def test_an_alarm_of_the_cable_needs_its_file(write, station_text) -> None:
    """Without a cable file nobody would ever raise it."""
    text = station_text.replace("[cable]\nfile", "# file", 1)
    with pytest.raises(ConfigError, match="names no cable file"):
        load_compiled(write("s.toml", text))


async def test_a_note_on_the_station_is_a_record_of_its_own(tmp_path, compiled):
    """With no alarm named the words are kept for the station, durably, with their author."""
    async with running(compiled, tmp_path / "o.sqlite") as bench:
        await bench.desk.answer({"do": "note", "by": "ali", "text": "guard is on his way"})
        records = await bench.outbox.read(0, 10)

    assert [(r.kind, r.body) for r in records] == [
        ("note", {"by": "ali", "text": "guard is on his way"})
    ]


@pytest.mark.parametrize("asked", [{"text": "x"}, {"by": "ali", "text": " "}, {"by": "ali"}])
async def test_a_note_needs_an_author_and_a_text(tmp_path, compiled, asked):
    """Without either nothing is written."""
    async with running(compiled, tmp_path / "o.sqlite") as bench:
        with pytest.raises(AlarmError):
            await bench.desk.answer({"do": "note", **asked})
        assert bench.outbox.last == 0
