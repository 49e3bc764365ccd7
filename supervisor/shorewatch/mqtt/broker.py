"""A broker for the demo and the tests: mosquitto where it is installed, else rumqttd from a wheel.

It listens on 127.0.0.1 only, lets anybody in, and keeps nothing on disk: never a production broker.
`run_broker` is the whole of a process of its own; its child dies with it, also by SIGKILL (Linux:
mosquitto by PDEATHSIG, at once; rumqttd by the end of its pipe, within 2 s).
Limits: 1 MB a packet; mosquitto queues 2,000 messages or 64 MB a client; rumqttd keeps 2 segments
of 8 MiB a topic.
"""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import time
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Literal

from shorewatch.errors import DemoError, UplinkError
from shorewatch.mqtt.client import connected
from shorewatch.process import die_with
from shorewatch.stop import stop_signals

PACKET_BYTES_MAX: Final = 1_048_576
START_S_MAX: Final = 10.0
STOP_S_MAX: Final = 3.0
Kind = Literal["mosquitto", "rumqttd"]

_MOSQUITTO_CONF = """\
listener {port} 127.0.0.1
allow_anonymous true
persistence false
set_tcp_nodelay true
max_packet_size {packet_bytes_max}
max_inflight_messages 100
max_queued_messages 2000
max_queued_bytes 67108864
log_dest stderr
log_type error
log_type warning
# Started by root it would change its user, and the kernel then forgets to end it with us.
user root
"""
_RUMQTTD_TOML = """\
id = 0

[router]
id = 0
max_connections = 200
max_outgoing_packet_count = 200
max_segment_size = 8388608
max_segment_count = 2

[v5.1]
name = "demo"
listen = "127.0.0.1:{port}"
next_connection_delay_ms = 1

[v5.1.connections]
connection_timeout_ms = 5000
max_payload_size = {packet_bytes_max}
max_inflight_count = 100
dynamic_filters = true
"""


def find_broker() -> Kind:
    """Which broker this machine has; raises DemoError if none."""
    if _mosquitto() is not None:
        return "mosquitto"
    if find_spec("iotcore") is not None:
        return "rumqttd"
    raise DemoError("no MQTT broker here: install mosquitto, or pip install iotcore==0.4.0")


def run_broker(port: int, folder: Path, kind: Kind | None = None) -> None:
    """Run a broker on 127.0.0.1:`port` until SIGTERM or SIGINT; its files go to `folder`.

    Call it from the main thread of a process of its own. Raises DemoError: the port is taken, there
    is no broker, or it ended by itself.
    """
    kind = kind or find_broker()
    _check_port(port)
    folder.mkdir(parents=True, exist_ok=True)
    if kind == "mosquitto":
        _run_mosquitto(port, folder)
    else:
        _run_rumqttd(port, folder)


async def wait_for_broker(port: int, *, timeout_s: float = START_S_MAX) -> None:
    """Return once an MQTT 5 broker answers on 127.0.0.1:`port`; DemoError if none does in time."""
    deadline_s = time.monotonic() + timeout_s
    while True:
        try:
            async with connected("127.0.0.1", port, client_id=f"waiting-{os.getpid()}") as broker:
                await broker.disconnect()
            return
        except UplinkError as error:
            if time.monotonic() > deadline_s:
                raise DemoError(f"the broker does not come up: {error}") from error
        await asyncio.sleep(0.05)


def _run_mosquitto(port: int, folder: Path) -> None:
    program = _mosquitto()
    if program is None:
        raise DemoError("mosquitto is not installed here")
    conf = folder / "mosquitto.conf"
    conf.write_text(_MOSQUITTO_CONF.format(port=port, packet_bytes_max=PACKET_BYTES_MAX))
    log = folder / "mosquitto.log"
    with stop_signals() as stop, log.open("wb") as out:
        child = subprocess.Popen(
            [program, "-c", str(conf)],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            preexec_fn=partial(die_with, os.getpid(), signal.SIGKILL),
        )
        try:
            while child.poll() is None and not stop.wait(0.1):
                pass
        finally:
            _end(child)
    if not stop.is_set:
        last = log.read_text(errors="replace").strip().splitlines()[-1:] or ["it said nothing"]
        raise DemoError(f"mosquitto ended by itself (code {child.returncode}): {last[0]}")


def _run_rumqttd(port: int, folder: Path) -> None:
    from iotcore import Broker

    conf = folder / "rumqttd.toml"
    conf.write_text(_RUMQTTD_TOML.format(port=port, packet_bytes_max=PACKET_BYTES_MAX))
    broker = Broker(config_path=str(conf))
    with stop_signals() as stop:
        try:
            broker.start(timeout=START_S_MAX)
            while broker.is_running and not stop.wait(0.1):
                pass
        except (OSError, RuntimeError) as error:
            raise DemoError(f"rumqttd does not start: {error}") from error
        finally:
            broker.stop(timeout=STOP_S_MAX)
    if not stop.is_set:
        raise DemoError("rumqttd ended by itself")


def _mosquitto() -> str | None:
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
    return shutil.which("mosquitto", path=path)


def _check_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            text = f"port {port} of 127.0.0.1 cannot be used: {error.strerror}; choose another"
            raise DemoError(text) from error


def _end(child: "subprocess.Popen[bytes]") -> None:
    child.terminate()
    try:
        child.wait(STOP_S_MAX)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
