"""Who may say and hear what at a broker: mosquitto's access rules, made from station files. Pure.

    gateway     writes its own topics; reads ack/+, request/+ and its own state, and of its cable's
                other station the values of that end's power feed equipment
    consumer    reads what the station publishes; writes (and reads) ack/<its id>
    requester   reads the same, and reply/<its id>; writes request/<its id>
    dashboard   reads what the station publishes

Of an uplink with Sparkplug B:

    edge node   writes its births, data and deaths; hears its commands and its primary host's STATE
    host        hears the node; writes its own STATE and commands to the node
    dashboard   hears what the node publishes

Users of the broker are called as in the station file: an uplink's `user`, the ids of its consumers
and requesters, its `primary_host`. What stands in no rule is refused. mosquitto refuses a publish
with reason code 0x87; a subscription it takes, and then delivers what the rules let the user read.
"""

import re
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Final

from shorewatch.config import Station, UplinkConfig
from shorewatch.errors import UsageError
from shorewatch.mqtt import topics
from shorewatch.mqtt.broker import PACKET_BYTES_MAX

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,79}")
_CONF: Final = """\
# Shorewatch {version}: a sample configuration of mosquitto for a NOC. Nothing has to be kept on
# disk: stations and consumers publish again when the broker is back.
listener {port}
cafile {certs}/ca.crt
certfile {certs}/server.crt
keyfile {certs}/server.key
tls_version tlsv1.2
allow_anonymous false
password_file {folder}/shorewatch.passwords
acl_file {folder}/shorewatch.acl
max_packet_size {packet_bytes_max}
max_inflight_messages 100
max_queued_messages 2000
max_queued_bytes 67108864
set_tcp_nodelay true
"""

Uplinks = Sequence[tuple[Station, UplinkConfig]]


def find_uplinks(stations: Iterable[Station], uplink_id: str | None) -> Uplinks:
    """The uplink of each station that goes to the broker; raises UsageError if that is not one."""
    found: list[tuple[Station, UplinkConfig]] = []
    for station in stations:
        uplinks = [u for u in station.file.uplink if uplink_id in (None, u.id)]
        if len(uplinks) != 1:
            known = ", ".join(u.id for u in station.file.uplink) or "none"
            asked = "" if uplink_id is None else f" {uplink_id!r}"
            raise UsageError(
                f"station {station.id} has {len(uplinks)} uplinks{asked} (it has {known}): name"
                " the one to this broker with --uplink"
            )
        found.append((station, uplinks[0]))
    return found


def broker_users(uplinks: Uplinks, dashboards: Sequence[str]) -> list[str]:
    """Every user that the broker must know; raises UsageError where a name has two meanings."""
    gateways: list[str] = []
    for station, uplink in uplinks:
        if uplink.user is None:
            raise UsageError(
                f"uplink {uplink.id} of station {station.id} has no user: the broker cannot tell"
                " it from others; give it one, and a password_file"
            )
        if uplink.user in gateways:
            raise UsageError(
                f"user {uplink.user!r} of station {station.id} is another station's, too: one"
                " could speak for the other; give each a user of its own"
            )
        gateways.append(uplink.user)
    asking = [name for _, uplink in uplinks for name in _outside(uplink)]
    users = list(dict.fromkeys([*gateways, *asking, *dashboards]))
    for name in users:
        if _NAME.fullmatch(name) is None:
            raise UsageError(
                f"user {name!r} cannot stand in mosquitto's files: name it with letters, digits"
                " and . _ @ - only, at most 80"
            )
        if sum(name in group for group in (gateways, asking, dashboards)) > 1:
            raise UsageError(
                f"user {name!r} is two of gateway, consumer or requester, and dashboard: give each"
                " a name of its own"
            )
    return users


def access_rules(uplinks: Uplinks, dashboards: Sequence[str] = ()) -> str:
    """Mosquitto's `acl_file`; raises UsageError where a name has two meanings."""
    broker_users(uplinks, dashboards)
    lines = [
        f"# Shorewatch {version('shorewatch')}: made by `shorewatch broker-rules`; whoever stands"
        " in no rule may do nothing.",
    ]
    for station, uplink in uplinks:
        if uplink.plane == "sparkplug":
            lines += _sparkplug_rules(station, uplink, dashboards)
            continue
        prefix = station.prefix
        lines += ["", f"# The gateway of {station.id}", f"user {uplink.user}"]
        lines += [f"topic write {topic}" for topic in [*_published(prefix), f"{prefix}/reply/#"]]
        heard = topics.ack_topic(prefix, "+"), topics.request_topic(prefix, "+")
        lines += [f"topic read {topic}" for topic in (*heard, topics.state_topic(prefix))]
        if station.cable_file is not None and uplink.id == station.cable_uplink:
            lines.append(f"topic read {topics.far_topic(station)}")
        for name in [*_outside(uplink), *dashboards]:
            lines += ["", f"# {name} at {station.id}", f"user {name}"]
            lines += [f"topic read {topic}" for topic in _published(prefix)]
            if name in uplink.consumers:
                lines.append(f"topic readwrite {topics.ack_topic(prefix, name)}")
            if any(requester.id == name for requester in uplink.requester):
                lines.append(f"topic write {topics.request_topic(prefix, name)}")
                lines.append(f"topic read {prefix}/reply/{name}/#")
    return "\n".join(lines) + "\n"


def broker_conf(folder: Path, certs: Path, port: int) -> str:
    """A mosquitto.conf for these rules, with TLS and users."""
    return _CONF.format(
        version=version("shorewatch"), port=port, certs=certs, folder=folder,
        packet_bytes_max=PACKET_BYTES_MAX,
    )  # fmt: skip


def _outside(uplink: UplinkConfig) -> list[str]:
    """Everybody beyond the broker who has a name in the station file."""
    host = [] if uplink.primary_host is None else [uplink.primary_host]
    return list(dict.fromkeys([*uplink.consumers, *(r.id for r in uplink.requester), *host]))


def _sparkplug_rules(
    station: Station, uplink: UplinkConfig, dashboards: Sequence[str]
) -> list[str]:
    """The same for one edge node; without a primary host no STATE is heard.

    Source: Sparkplug 3.0.0, 4.1 to 4.3 and 5.6 (topics of nodes, devices and hosts).
    """
    group, node = f"{topics.SPARKPLUG}/{station.file.station.cable}", station.id
    said = [f"{group}/{kind}/{node}" for kind in ("NBIRTH", "NDATA", "NDEATH")]
    said += [f"{group}/{kind}/{node}/+" for kind in ("DBIRTH", "DDATA", "DDEATH")]
    told = [f"{group}/NCMD/{node}", f"{group}/DCMD/{node}/+"]
    lines = ["", f"# The edge node {node}", f"user {uplink.user}"]
    lines += [f"topic write {topic}" for topic in said]
    lines += [f"topic read {topic}" for topic in told]
    host = uplink.primary_host
    if host is not None:
        state = f"{topics.SPARKPLUG}/STATE/{host}"
        lines += [f"topic read {state}", "", f"# {host} at {node}", f"user {host}"]
        lines += [f"topic read {topic}" for topic in said]
        lines += [f"topic write {topic}" for topic in told]
        lines += [f"topic readwrite {state}"]
    for name in dashboards:
        lines += ["", f"# {name} at {node}", f"user {name}"]
        lines += [f"topic read {topic}" for topic in said]
    return lines


def _published(prefix: str) -> list[str]:
    """What a station publishes for everybody who may hear it."""
    return [
        topics.state_topic(prefix), topics.birth_topic(prefix, "+"), topics.now_topic(prefix, "+"),
        topics.alarms_topic(prefix), topics.alarm_topic(prefix, "+"), topics.journal_topic(prefix),
    ]  # fmt: skip
