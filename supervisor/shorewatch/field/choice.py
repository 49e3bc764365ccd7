"""Which port, and so which board, a command is about; its errors say what else there is."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from shorewatch.config import BoardFile
from shorewatch.control import ask, station_folder
from shorewatch.errors import AbsentError, UsageError
from shorewatch.field.found import types_by_usb
from shorewatch.field.port import Attached, attached


def all_ports(types: Mapping[str, BoardFile], named: list[str]) -> list[Attached]:
    """The ports of all boards: those named, or those that USB tells of; raises AbsentError."""
    if named:
        return [named_port(path) for path in named]
    known = {usb for kind in types.values() for usb in kind.usb}
    found = [port for port in attached() if port.usb in known]
    if not found:
        raise AbsentError(
            "no board is plugged in; `shorewatch boards` shows what is, or name --port"
        )
    return found


def only_port(types: Mapping[str, BoardFile], named: list[str]) -> Attached:
    """The one port meant; raises UsageError where several boards are plugged in."""
    found = all_ports(types, named)
    if len(found) > 1:
        names = ", ".join(port.path for port in found)
        raise UsageError(
            f"{len(found)} boards ({names}): choose one with --port, or all with --all"
        )
    return found[0]


def named_port(path: str) -> Attached:
    """A port by name, with what USB says of it; raises AbsentError if there is none."""
    if not Path(path).exists():
        raise AbsentError(
            f"{path}: there is no such port; `shorewatch boards` shows those there are"
        )
    real = os.path.realpath(path)
    return next((port for port in attached() if port.path == real), Attached(path))


def port_of(board_id: str, state_dir: Path | None) -> tuple[str, Path]:
    """The port of a board of the station that runs here, and that station's folder."""
    folder = station_folder(state_dir)
    rows = ask(folder, {"do": "live"})["boards"]
    assert isinstance(rows, dict), "a station shows its boards by id"
    if board_id not in rows:
        raise UsageError(f"the station has no board {board_id!r}; it has {', '.join(rows)}")
    return str(folder / rows[board_id]["port"]), folder


def check_adapter(path: str, types: Mapping[str, BoardFile], ports: Iterable[Attached]) -> None:
    """Raise UsageError for a board's own port: to a REPL a scan's frames are keys."""
    real = os.path.realpath(path)
    for port in ports:
        if port.path == real and (kinds := types_by_usb(port.usb, types)):
            text = f"--port {path} is a board's ({', '.join(kinds)}), no adapter: nothing was sent"
            raise UsageError(f"{text}; the board itself scans with --board {path} --uart N")


def check_type(name: str | None, types: Mapping[str, BoardFile]) -> None:
    """Raise UsageError for a name that no board type has."""
    if name is not None and name not in types:
        raise UsageError(f"--board {name!r} is no board type; there are {', '.join(types)}")
