"""What a station file comes to: the tables of `shorewatch check`."""

from collections.abc import Iterator

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from shorewatch.alarmdesk import LOOK_S
from shorewatch.alarms import Rule
from shorewatch.budget import ASKS_DEAD, Budget
from shorewatch.compiled import Compiled
from shorewatch.config import Device, DirectConfig, Station
from shorewatch.direct.line import PORT_RETRY_S_MAX
from shorewatch.direct.wire import CONNECT_S
from shorewatch.history import FLUSH_S
from shorewatch.link import FAILURES_MAX, QUIET_S
from shorewatch.mqtt.client import KEEPALIVE_S
from shorewatch.mqtt.journal import SILENT_S
from shorewatch.plan import Block, DirectPlan
from shorewatch.wire import SETTLE_S


def summary(compiled: Compiled) -> Group:
    """The station in tables: what each bus carries, and how soon each alarm is raised."""
    station = compiled.station
    tables = [_buses(compiled)] if compiled.plans else []
    tables += [_directs(compiled)] if compiled.directs else []
    tables[0].title = f"{station.file.station.name}: configuration {station.config_hash}, no errors"
    parts: list[RenderableType] = [*tables]
    if compiled.rules:
        parts.append(_alarms(compiled))
    parts.extend(_edge_nodes(compiled.station))
    parts.extend(_in_the_clear(compiled.station))
    return Group(*parts)


def detection_s(compiled: Compiled, rule: Rule) -> float:
    """Seconds from a change in the field to its alarm at the latest, one dead device included.

    A point: until its next data are here, every retry of that request, and the alarm's own delay. A
    device: until its fastest request has failed often enough. A board or broker: until two polls,
    or a keepalive, have found nobody. A part of the gateway: until it has tried to do its work.
    """
    noun, slash, name = rule.source.partition("/")
    contacts = {device.id: board_id for board_id, device in compiled.station.contacts.items()}
    if noun == "device" and name in contacts:
        noun, name = "board", contacts[name]
    if noun == "uplink":
        seen_s = 2 * KEEPALIVE_S + 1.0 + LOOK_S
    elif noun == "consumers":
        seen_s = SILENT_S + LOOK_S
    elif noun == "gateway":
        seen_s = FLUSH_S + LOOK_S
    elif noun == "board":
        link = compiled.station.boards[name].link
        poll_s = link.timeout_s + SETTLE_S + QUIET_S
        seen_s = link.poll_s + FAILURES_MAX * poll_s + LOOK_S
    elif noun == "direct":
        seen_s = _direct_lost_s(compiled.directs[name]) + LOOK_S
    else:
        device_id, _, point = (name, "", "") if slash else rule.source.partition(".")
        device = compiled.station.devices[device_id]
        if device_id in contacts:
            board = compiled.station.boards[contacts[device_id]]
            (contact,) = (c for c in board.input if c.id == point)
            seen_s = board.link.poll_s + board.link.timeout_s + contact.debounce_ms / 1000
            return seen_s + rule.on_delay_s
        ages_s = [
            age_s
            for block, age_s, _ in _oldest(compiled, device)
            if block.device.id == device_id and (slash or point in dict(block.points))
        ]
        tries = ASKS_DEAD if slash else device.profile.retries
        seen_s = min(ages_s) * (tries if slash else 1) + tries * device.profile.worst_ms / 1000
        seen_s += 0.0 if device.board is None else device.board.link.timeout_s
    return seen_s + rule.on_delay_s


def _edge_nodes(station: Station) -> Iterator[Text]:
    """What a Sparkplug host will see, and what it cannot be promised."""
    count = sum(len(device.points) for device in station.devices.values())
    for uplink in station.file.uplink:
        if uplink.plane == "sparkplug":
            waits = f", waits for host {uplink.primary_host}" if uplink.primary_host else ""
            yield Text(
                f"uplink {uplink.id}: Sparkplug B, group {station.cable}, edge node {station.id},"
                f" {len(station.devices)} devices with {count} metrics{waits}"
            )
    planes = {uplink.plane for uplink in station.file.uplink}
    if planes == {"sparkplug"}:
        yield Text("Sparkplug only: delivery is not confirmed end to end")


def _in_the_clear(station: Station) -> Iterator[Text]:
    """Which uplinks anybody on the way can read and imitate."""
    for uplink in station.file.uplink:
        is_here = uplink.host in ("localhost", "::1") or uplink.host.startswith("127.")
        if not uplink.is_tls and not is_here:
            yield Text(
                f"uplink {uplink.id}: {uplink.url} is without TLS: whoever is on the way can read"
                " it and pose as the broker; mqtts:// is for brokers beyond a trusted network"
            )


def _oldest(compiled: Compiled, device: Device) -> list[tuple[Block, float, str | None]]:
    """How old the data of a device's bus or direct line can be."""
    if isinstance(device.bus, DirectConfig):
        return compiled.directs[device.bus.id].oldest()
    assert device.board is not None, "a bus is a board's"
    return compiled.plans[device.board.id].oldest(device.bus)


def _direct_lost_s(plan: DirectPlan) -> float:
    """Until two connections in a row have given no answer, or a port could not be opened."""
    if plan.direct.port is not None:
        return PORT_RETRY_S_MAX
    ages_s = [age_s for _, age_s, _ in plan.oldest()]
    worst_s = max(block.device.profile.worst_ms / 1000 for block in plan.blocks)
    failing_s = ASKS_DEAD * (worst_s + plan.direct.delay_s)
    return min(ages_s) + 2 * (failing_s * len(plan.direct.device) + CONNECT_S)


def _buses(compiled: Compiled) -> Table:
    station = compiled.station
    plans = ", ".join(f"{board_id} {plan.crc:08x}" for board_id, plan in compiled.plans.items())
    table = Table(caption=f"plans: {plans}", box=SIMPLE_HEAD, padding=0)
    for column in ("board", "UART", "line"):
        table.add_column(column, no_wrap=True)
    table.add_column("devices", overflow="fold")
    for column in ("points", "requests", "busy", "cycle", "one dead"):
        table.add_column(column, justify="right", no_wrap=True)
    for board_id, plan in compiled.plans.items():
        for bus in station.boards[board_id].bus:
            blocks = plan.blocks_of(bus)
            found = plan.budget(bus)
            table.add_row(
                board_id,
                str(bus.uart),
                f"{bus.baud} {bus.format}",
                ", ".join(device.id for device in bus.device),
                str(sum(len(block.points) for block in blocks)),
                str(len(blocks)),
                *(() if found is None else _time(found)),
            )
    return table


def _directs(compiled: Compiled) -> Table:
    table = Table(title="Read by the gateway itself", box=SIMPLE_HEAD, padding=0)
    table.add_column("direct line", no_wrap=True)
    table.add_column("at", overflow="fold")
    table.add_column("devices", overflow="fold")
    for column in ("points", "requests", "busy", "cycle", "one dead"):
        table.add_column(column, justify="right", no_wrap=True)
    for direct_id, plan in compiled.directs.items():
        table.add_row(
            direct_id,
            plan.direct.where,
            ", ".join(device.id for device in plan.direct.device),
            str(sum(len(block.points) for block in plan.blocks)),
            str(len(plan.blocks)),
            *(_time(plan.budget()) if plan.direct.port is not None else ()),
        )
    return table


def _time(found: Budget) -> Iterator[str]:
    yield f"{found.busy_share:.0%}"
    yield f"{found.cycle_s * 1000:.0f} ms"
    yield f"{found.dead_busy_share:.0%}, {found.dead_cycle_s * 1000:.0f} ms"


def _alarms(compiled: Compiled) -> Table:
    count = len(compiled.rules)
    title = f"{count} alarm{'s' * (count != 1)}, and how soon each is raised at the latest"
    table = Table(title=title, box=SIMPLE_HEAD, padding=0)
    for column in ("alarm", "priority", "watches", "condition"):
        table.add_column(column, overflow="fold")
    table.add_column("within", justify="right")
    configs = {config.id: config for config in compiled.station.file.alarm}
    for rule in compiled.rules:
        config = configs[rule.id]
        said = ", ".join(f"{key} {value}" for key, value in config.conditions.items())
        table.add_row(
            rule.id,
            config.priority,
            rule.source,
            said or "lost",
            f"{detection_s(compiled, rule):.1f} s",
        )
    return table
