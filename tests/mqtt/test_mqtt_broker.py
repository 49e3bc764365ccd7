"""broker.py: a broker of our own that comes, serves, and goes without a trace."""

import asyncio
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from shorewatch.errors import DemoError, UplinkError
from shorewatch.mqtt.broker import find_broker, wait_for_broker
from shorewatch.mqtt.client import TIMEOUT_S, connected


def is_alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_a_broker_ends_with_its_child_on_sigterm(broker, until) -> None:  # type: ignore[no-untyped-def]
    """SIGTERM ends the process in order, code 0, and the broker with it."""
    (child,) = broker.children()
    process: subprocess.Popen[bytes] = broker._process
    process.terminate()
    assert process.wait(60) == 0
    await until(lambda: not is_alive(child))
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", broker.port))


async def test_a_broker_does_not_outlive_a_killed_parent(broker, until) -> None:  # type: ignore[no-untyped-def]
    """SIGKILL of the process takes the broker with it."""
    (child,) = broker.children()
    await asyncio.sleep(0.5)  # mosquitto changes its user after it has begun to listen
    os.kill(broker._process.pid, signal.SIGKILL)
    broker._process.wait(60)
    await until(lambda: not is_alive(child))


async def test_a_broker_that_dies_is_told(broker) -> None:  # type: ignore[no-untyped-def]
    """A broker that ends by itself ends its process with an error that says so."""
    process: subprocess.Popen[bytes] = broker._process
    broker.signal(signal.SIGKILL)
    assert process.wait(60) != 0
    assert "DemoError: " in broker.errors.splitlines()[-1]


async def test_a_broker_listens_on_loopback_only(broker) -> None:  # type: ignore[no-untyped-def]
    """Nobody outside the machine reaches the demo's broker."""
    hex_port = f"{broker.port:04X}"
    tables = [Path("/proc/net/tcp"), Path("/proc/net/tcp6")]
    rows = [r.split() for t in tables if t.exists() for r in t.read_text().splitlines()]
    listening = [row[1] for row in rows if row[1].endswith(f":{hex_port}") and row[3] == "0A"]
    assert listening == [f"0100007F:{hex_port}"]


async def test_a_port_in_use_is_told_in_one_line(broker, run_broker, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """A second broker on a port says which port cannot be used."""
    with pytest.raises(DemoError, match=rf"^port {broker.port} of 127\.0\.0\.1 cannot be used"):
        run_broker(broker.port, tmp_path)


async def test_waiting_for_no_broker_ends(free_port: int) -> None:
    """A broker that does not come is an error after the time given."""
    with pytest.raises(DemoError, match="does not come up"):
        await wait_for_broker(free_port, timeout_s=0.2)


def test_without_any_broker_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither mosquitto nor iotcore: one sentence with both ways out."""
    monkeypatch.setattr("shorewatch.mqtt.broker._mosquitto", lambda: None)
    monkeypatch.setattr("shorewatch.mqtt.broker.find_spec", lambda _: None)
    with pytest.raises(DemoError, match="install mosquitto, or pip install iotcore"):
        find_broker()


async def test_large_messages_pass(broker, listening, until) -> None:  # type: ignore[no-untyped-def]
    """A journal batch of the largest size arrives whole."""
    async with (
        listening(broker.port, "big") as listener,
        connected("127.0.0.1", broker.port, client_id="big") as connection,
    ):
        assert await connection.publish("big", b"x" * 200_000, qos=1) == 0
        await until(lambda: listener.messages)
        assert len(listener.messages[0].payload) == 200_000


async def test_a_broker_that_falls_silent_is_lost(broker) -> None:  # type: ignore[no-untyped-def]
    """Keepalive notices a stalled broker, also while nothing is sent."""
    async with connected("127.0.0.1", broker.port, client_id="a", keepalive_s=1) as connection:
        broker.signal(signal.SIGSTOP)
        with pytest.raises(UplinkError, match="keep alive timeout"):
            async for _ in connection.messages():
                pass
    with pytest.raises(UplinkError, match="stalled"):
        async with connected("127.0.0.1", broker.port, client_id="b", keepalive_s=1):
            pass


async def test_waiting_for_a_stalled_broker_can_be_cancelled(broker) -> None:  # type: ignore[no-untyped-def]
    """Whoever gives up while the broker keeps silent is free at once."""

    async def connect() -> None:
        async with connected("127.0.0.1", broker.port, client_id="a"):
            pass

    broker.signal(signal.SIGSTOP)
    start_s = time.monotonic()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(connect(), 0.5)
    assert time.monotonic() - start_s < TIMEOUT_S / 2


@pytest.mark.parametrize("host", ["a..b", "a" * 64 + ".example"])
async def test_a_host_of_no_form_cannot_be_reached(host: str) -> None:
    """What cannot be looked up is an unreachable broker, no programmer's error."""
    with pytest.raises(UplinkError, match="cannot be reached"):
        async with connected(host, 1883, client_id="a"):
            pass
