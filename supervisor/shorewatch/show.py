"""The text of `shorewatch plan show`: what stands in a plan, as tables for a terminal."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from shorewatch.planfile import NAMES, WATCH_KINDS, Block, Bus, PlanFile

_TABLES = {1: "coils", 2: "discrete inputs", 3: "holding registers", 4: "input registers"}


def plan_text(plan: PlanFile, device_ids: Sequence[str] = ()) -> Group:
    """A plan as tables, faults last; with the devices' ids where the station file is known."""
    parts: list[RenderableType] = [Text(_title(plan), style="bold"), Text(_head(plan))]
    tables = (
        _buses(plan),
        _devices(plan, device_ids),
        _blocks(plan, device_ids),
        _inputs(plan),
        _watches(plan),
    )
    parts += [table for table in tables if table.row_count]
    if plan.faults:
        parts.append(Text("A board refuses this plan:", style="bold red"))
        parts += [Text(f"  {fault}") for fault in plan.faults]
        parts.append(Text("Make it anew from the station file: shorewatch plan build STATION.toml"))
    return Group(*parts)


def _title(plan: PlanFile) -> str:
    names = [f"{noun} {name}" for noun, name in zip(NAMES, plan.names, strict=False)]
    return ", ".join(names) or "a plan without names"


def _head(plan: PlanFile) -> str:
    form = "unknown format" if plan.format is None else f"format {plan.format}"
    if plan.crc is None:
        crc = "CRC not looked at"
    else:
        crc = f"CRC {plan.crc:08x} {'right' if plan.is_crc_right else 'WRONG'}"
    registers = sum(block.size for block in plan.blocks)
    counts = f"{len(plan.blocks)} blocks, {registers} registers of image"
    return f"{form}, {plan.size} bytes, {crc}, {counts}"


def _table(title: str, *columns: str) -> Table:
    """A table; a column whose name ends in "." holds numbers."""
    table = Table(title=title, title_justify="left")
    for column in columns:
        side = "right" if column.endswith(".") else "left"
        table.add_column(column.rstrip("."), justify="right" if side == "right" else "left")
    return table


def _buses(plan: PlanFile) -> Table:
    table = _table("Buses", "bus.", "UART.", "line", "t3.5 us.", "devices.")
    for index, bus in enumerate(plan.buses):
        devices = sum(device.bus == index for device in plan.devices)
        table.add_row(*map(str, (index, bus.uart, _line(bus), bus.t35_us, devices)))
    return table


def _line(bus: Bus) -> str:
    parity = "NEO"[bus.parity] if bus.parity < 3 else "?"
    return f"{bus.baud} 8{parity}{bus.stop_bits}"


def _devices(plan: PlanFile, ids: Sequence[str]) -> Table:
    table = _table(
        "Devices", "device", "bus.", "unit.", "timeout ms.", "worst ms.", "retries.", "blocks."
    )
    for index, device in enumerate(plan.devices):
        blocks = sum(block.device == index for block in plan.blocks)
        table.add_row(
            _device(index, ids),
            *map(str, (device.bus, device.unit_id, device.timeout_ms, device.worst_ms)),
            *map(str, (device.retries, blocks)),
        )
    return table


def _device(index: int, ids: Sequence[str]) -> str:
    return f"{index} {ids[index]}" if index < len(ids) else str(index)


def _blocks(plan: PlanFile, ids: Sequence[str]) -> Table:
    table = _table(
        "Blocks", "block.", "device", "function", "address.", "count.", "period s.", "image."
    )
    for index, block in enumerate(plan.blocks):
        table.add_row(
            str(index),
            _device(block.device, ids),
            _function(block),
            *map(str, (block.address, block.count)),
            f"{block.period_ms / 1000:g}",
            f"0x{block.image:04X}",
        )
    return table


def _function(block: Block) -> str:
    return f"{block.function:02X} {_TABLES.get(block.function, 'not a read')}"


def _inputs(plan: PlanFile) -> Table:
    table = _table("Contact inputs", "input.", "contact.", "loop", "debounce ms.")
    for index, contact in enumerate(plan.inputs):
        loop = "normally closed" if contact.is_normally_closed else "normally open"
        table.add_row(str(index), str(contact.index), loop, str(contact.debounce_ms))
    return table


def _watches(plan: PlanFile) -> Table:
    table = _table(
        "Watches", "watch.", "block.", "kind", "offset.", "threshold.", "back by.", "code."
    )
    for index, watch in enumerate(plan.watches):
        kind = WATCH_KINDS.get(watch.kind, f"unknown {watch.kind}")
        is_bit = watch.kind == 1
        threshold = watch.threshold
        if watch.kind in (4, 5) and threshold >= 0x8000:
            threshold -= 0x10000
        table.add_row(
            *map(str, (index, watch.block)),
            kind,
            str(watch.offset),
            "" if is_bit else str(threshold),
            "" if is_bit else str(watch.hysteresis),
            f"0x{watch.code:04X}",
        )
    return table
