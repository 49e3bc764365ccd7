"""`shorewatch boards`: which boards are plugged in, as a table."""

import sys
from typing import TYPE_CHECKING

from shorewatch.field.options import Json, Ports, StateDir, Unit
from shorewatch.field.report import write_json

if TYPE_CHECKING:
    from shorewatch.field.found import Seen


def boards(
    *,
    port: Ports = [],  # noqa: B006
    unit: Unit = None,
    state_dir: StateDir = None,
    json: Json = None,
) -> None:
    """List the boards that are plugged in: what each is, and what to do next about it.

    Example: shorewatch boards

    Asking harms nothing. Only ports of which USB says that they are a board's are asked: what hangs
    on any other may be field devices. Exit code 2: there is none.
    """
    from shorewatch.field.found import look
    from shorewatch.field.package import Catalogue

    found = list(look(Catalogue().types, port, unit_id=unit or 1, state_dir=state_dir))
    _table(found)
    if json is not None:
        write_json(json, [seen.to_json() for seen in found])
    if not found:
        sys.exit(2)


def _table(found: list["Seen"]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, markup=False, emoji=False)
    if not found:
        console.print("No board is plugged in.\nIs its USB cable one for data, its plug in?")
        console.print("A virtual board, or an adapter, is named with --port PATH.")
        return
    table = Table(box=None, pad_edge=False)
    for name in ("port", "what it is", "type", "unique id, role", "next"):
        table.add_column(name, overflow="fold")  # whole: a port is copied from here
    for seen in found:
        identity = seen.found.identity if seen.found else None
        who = f"{identity.unique_id} {identity.role}".strip() if identity else ""
        port = seen.port or seen.usb or ""
        table.add_row(port, seen.state, " or ".join(seen.types), who, seen.next)
    console.print(table)
