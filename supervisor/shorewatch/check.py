"""What a station file comes to: the tables of `shorewatch check`."""

from collections.abc import Mapping

from rich.console import Group
from rich.table import Table

from shorewatch.config import Station
from shorewatch.plan import BoardPlan


def summary(station: Station, plans: Mapping[str, BoardPlan]) -> Group:
    """The station in a table a line a bus: devices, points, requests, share of bus time."""
    table = Table(
        title=f"{station.file.station.name}: configuration {station.config_hash}, no errors"
    )
    for column, side in (
        ("board", "left"), ("plan", "left"), ("UART", "right"), ("line", "left"),
        ("devices", "right"), ("points", "right"), ("requests", "right"), ("bus busy", "right"),
    ):  # fmt: skip
        table.add_column(column, justify="right" if side == "right" else "left")
    for board_id, plan in plans.items():
        for bus in station.boards[board_id].bus:
            blocks = [block for block in plan.blocks if block.device.bus == bus]
            table.add_row(
                board_id,
                f"{plan.crc:08x}",
                str(bus.uart),
                f"{bus.baud} {bus.format}",
                ", ".join(device.id for device in bus.device),
                str(sum(len(block.points) for block in blocks)),
                str(len(blocks)),
                f"{plan.busy_share(bus):.0%}",
            )
    return Group(table)
