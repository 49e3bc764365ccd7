"""doors.py: what the world does to a board's dry contacts."""

from pathlib import Path

from shorewatch.config import Station
from shorewatch.plant.doors import Doors
from shorewatch.plant.scenario import Play, load_scenario
from shorewatch.plant.world import World

START_S = 1_795_000_000.0


def test_contacts_follow_the_world_and_a_restart(sumqayit: Station) -> None:
    """An edge when something moves, none twice; a board that starts anew is told all again."""
    world = World(1, Play(load_scenario("intrusion"), START_S))
    board = sumqayit.boards["beach"]
    inputs = {contact.id: contact for contact in board.input}
    lid, door = inputs["lid-switch"], inputs["room-door"]
    doors = Doors("sumqayit", board, world)

    assert list(doors.edges(START_S + 10)) == []
    lid_off = f"{lid.input} {int(lid.normally == 'open')} 1000\n".encode()
    door_off = f"{door.input} {int(door.normally == 'open')} 1000\n".encode()
    assert list(doors.edges(START_S + 61)) == [lid_off]
    assert list(doors.edges(START_S + 62)) == []
    doors.restart()
    assert list(doors.edges(START_S + 121)) == [lid_off, door_off]
    lid_back = f"{lid.input} {int(lid.normally == 'closed')} 1000\n".encode()
    assert lid_back in list(doors.edges(START_S + 961))


def test_a_quiet_day_moves_no_contact(sumqayit: Station, tmp_path: Path) -> None:
    """Without a scenario every contact stays in its normal state."""
    doors = Doors("sumqayit", sumqayit.boards["pfe-room"], World(1))
    assert list(doors.edges(START_S)) == []
