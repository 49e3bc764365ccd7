"""What a station file comes to: the tables of `shorewatch check`."""

from rich.console import Group, RenderableType
from rich.table import Table

from shorewatch.alarms import Rule
from shorewatch.compiled import Compiled
from shorewatch.config import Station


def summary(compiled: Compiled) -> Group:
    """The station in tables: what each bus carries, and how soon each alarm is raised."""
    parts: list[RenderableType] = [_buses(compiled)]
    if compiled.rules:
        parts.append(_alarms(compiled))
    return Group(*parts)


def detection_s(station: Station, rule: Rule) -> float | None:
    """Seconds from a change in the field to its alarm at the latest, while all is well.

    The period of the point, its reply after every retry, one poll of the link, and the alarm's own
    delay. None for what is not read from a field device.
    """
    device_id, dot, point = rule.source.partition(".")
    if not dot:
        return None
    device = station.devices[device_id]
    profile = device.profile
    reply_s = (profile.retries + 1) * profile.worst_ms / 1000
    link_s = device.board.link.poll_s + device.board.link.timeout_s
    return device.points[point].period_s + reply_s + link_s + rule.on_delay_s


def _buses(compiled: Compiled) -> Table:
    station = compiled.station
    table = Table(
        title=f"{station.file.station.name}: configuration {station.config_hash}, no errors"
    )
    for column, side in (
        ("board", "left"), ("plan", "left"), ("UART", "right"), ("line", "left"),
        ("devices", "right"), ("points", "right"), ("requests", "right"), ("bus busy", "right"),
    ):  # fmt: skip
        table.add_column(column, justify="right" if side == "right" else "left")
    for board_id, plan in compiled.plans.items():
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
    return table


def _alarms(compiled: Compiled) -> Table:
    table = Table(title=f"{len(compiled.rules)} alarms, and how soon each is raised at the latest")
    for column in ("alarm", "priority", "watches", "condition"):
        table.add_column(column)
    table.add_column("within", justify="right")
    configs = {config.id: config for config in compiled.station.file.alarm}
    for rule in compiled.rules:
        config = configs[rule.id]
        within_s = detection_s(compiled.station, rule)
        said = ", ".join(f"{key} {value}" for key, value in config.conditions.items())
        table.add_row(
            rule.id,
            config.priority,
            rule.source,
            said or "lost",
            "" if within_s is None else f"{within_s:.1f} s",
        )
    return table
