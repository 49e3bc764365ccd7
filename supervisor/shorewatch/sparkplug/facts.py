"""What the edge node says of itself, as metrics of its own: versions, lines, devices, alarms. Pure.

A Sparkplug host gets no events and no alarm records; that an alarm is on stands here.
"""

from importlib.metadata import version
from typing import Final

from shorewatch.mqtt.source import Source
from shorewatch.sparkplug.metrics import is_lost
from shorewatch.sparkplug.payload import DataType
from shorewatch.sparkplug.session import Fact, Facts

_VERSION: Final = version("shorewatch")


def facts_of(source: Source, commands_refused: int) -> Facts:
    """The facts as they are, by metric name."""
    station, lines = source.station, source.lines()
    up_count = sum(1 for line in lines.values() if line["up"])
    lost = [device for device in station.devices if is_lost(source.image.look(device))]
    counts = source.image.counts()
    rows = {str(row["id"]): str(row["state"]) for row in source.alarms.listed()}
    texts: dict[str, str | None] = {
        "Properties/Name": station.file.station.name,
        "Properties/Version": _VERSION,
        "Properties/Config": station.config_hash,
        "Properties/Journal": source.outbox.journal,
        "Outbox/Trouble": source.outbox.health,
        "Devices/Lost Names": ", ".join(lost),
    }
    texts |= {f"Alarms/{alarm}": rows.get(alarm, "normal") for alarm in source.alarms.ids}
    numbers = {
        "Lines/Up": up_count,
        "Lines/Down": len(lines) - up_count,
        "Devices/Up": len(station.devices) - len(lost),
        "Devices/Lost": len(lost),
        **{f"Points/{quality.capitalize()}": count for quality, count in counts.items()},
        "Alarms Listed": len(rows),
        "Commands Refused": commands_refused,
    }
    found = {name: Fact(DataType.STRING, text) for name, text in texts.items()}
    return found | {name: Fact(DataType.INT64, count) for name, count in numbers.items()}
