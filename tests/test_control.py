"""control.py and `shorewatch alarm`: the tools' way to a station that runs here."""

import asyncio
import json
import socket
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path

import pytest
from free_ports import free_port

from shorewatch import control
from shorewatch.assets import asset_folder
from shorewatch.control import Caller, ControlError, ask, serving


async def echo(request: Mapping[str, object], caller: Caller) -> Mapping[str, object]:
    if request.get("do") == "fail":
        raise ValueError("that cannot be done")
    return {"heard": dict(request)}


async def test_a_request_is_answered(tmp_path: Path) -> None:
    """One line asks, one answers; a refusal comes as an error with the reason."""
    async with serving(tmp_path, echo):
        reply = await asyncio.to_thread(ask, tmp_path, {"do": "x", "text": "Sumqayıt"})
        assert reply["heard"] == {"do": "x", "text": "Sumqayıt"}
        with pytest.raises(ControlError, match="that cannot be done"):
            await asyncio.to_thread(ask, tmp_path, {"do": "fail"})
        assert (tmp_path / control.NAME).stat().st_mode & 0o777 == 0o600
    assert not (tmp_path / control.NAME).exists()


async def test_a_folder_with_a_long_path_serves_too(tmp_path: Path) -> None:
    """The system's limit of 107 bytes for a socket's path is nobody's concern."""
    folder = tmp_path / ("long-" * 40)
    folder.mkdir()
    async with serving(folder, echo):
        assert (await asyncio.to_thread(ask, folder, {"do": "x"}))["ok"]


async def test_a_socket_that_could_not_be_made_is_made_later(tmp_path: Path) -> None:
    """What stood in the way at the start costs the tools no longer than it stands there."""
    (tmp_path / control.NAME).mkdir()
    async with serving(tmp_path, echo, again_s=0.01):
        with pytest.raises(ControlError):
            await asyncio.to_thread(ask, tmp_path, {"do": "x"})
        (tmp_path / control.NAME).rmdir()
        async with asyncio.timeout(30):
            while not (tmp_path / control.NAME).is_socket():
                await asyncio.sleep(0.01)
        assert (await asyncio.to_thread(ask, tmp_path, {"do": "x"}))["ok"]
    assert not (tmp_path / control.NAME).exists()


@pytest.mark.parametrize(
    "line", [b"\n", b"nonsense\n", b"[1]\n", b"\xff\n", b"x" * 9000 + b"\n", b""]
)
async def test_garbage_harms_nobody(tmp_path: Path, line: bytes) -> None:
    """Whatever one client sends, the next one is served."""
    async with serving(tmp_path, echo):
        reader, writer = await asyncio.open_unix_connection(tmp_path / control.NAME)
        writer.write(line)
        writer.write_eof()
        reply = await reader.read()
        assert not reply or json.loads(reply)["ok"] is False
        writer.close()
        assert (await asyncio.to_thread(ask, tmp_path, {"do": "x"}))["ok"]


@pytest.mark.parametrize(
    "line",
    [
        b"[" * 7_000,
        b'{"do": []}',
        b'{"do": "x", "board": {}}',
        b'{"do": "x", "by": "\\ud800"}',
        b'{"do": "x", "by": "ali\\n2026 INFO all is well"}',
        b'{"do": "x", "by": "\\u001b[2J"}',
        b'{"do": "x", "seconds": 1' + b"0" * 400 + b"}",
        b'{"do": "x", "seconds": NaN}',
        b'{"do": "x", "seconds": -1e16}',
    ],
)
async def test_what_no_answer_can_be_given_to_is_refused(tmp_path: Path, line: bytes) -> None:
    """Nests, broken text, control characters and endless numbers reach nobody who answers."""
    heard = []

    async def answer(request: Mapping[str, object], caller: Caller) -> Mapping[str, object]:
        heard.append(request)
        return {}

    async with serving(tmp_path, answer):
        reader, writer = await asyncio.open_unix_connection(tmp_path / control.NAME)
        writer.write(line + b"\n")
        reply = json.loads(await reader.readline())
        writer.close()
    assert reply["ok"] is False and reply["error"] and not heard


async def test_a_connection_that_is_open_at_the_end_is_no_fault(tmp_path: Path, caplog) -> None:
    """A station that stops ends its tools' connections without a word in the log."""
    async with serving(tmp_path, echo):
        reader, writer = await asyncio.open_unix_connection(tmp_path / control.NAME)
        writer.write(b'{"do": "x"}\n')
        assert json.loads(await reader.readline())["ok"]
    assert await reader.read() == b""
    writer.close()
    assert not caplog.records


async def test_who_does_not_read_is_hung_up_on_all_the_same(tmp_path: Path, monkeypatch) -> None:
    """What is lent comes back at its time, also from a tool that leaves its answers lying."""
    monkeypatch.setattr(control, "TIMEOUT_S", 3600.0)
    monkeypatch.setattr(control, "HANG_UP_S", 0.0)
    lent, gone = asyncio.get_running_loop().create_future(), asyncio.Event()

    async def answer(request: Mapping[str, object], caller: Caller) -> Mapping[str, object]:
        async def release() -> None:
            caller.release = None
            gone.set()

        caller.release = release
        lent.set_result(caller)
        return {"much": "x" * 3_000_000}

    async with serving(tmp_path, answer):
        _, writer = await asyncio.open_unix_connection(tmp_path / control.NAME)
        writer.transport.pause_reading()
        writer.write(b'{"do": "x"}\n')
        (await lent).hang_up("its time is over")
        await gone.wait()
        writer.close()


async def test_a_dead_gateways_socket_is_taken_over(tmp_path: Path) -> None:
    """What kill -9 left behind is no obstacle; before that, asking says what to do."""
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(tmp_path / control.NAME))
    left.close()
    with pytest.raises(ControlError, match=r"no station runs in .*--state-dir"):
        ask(tmp_path, {"do": "x"})
    async with serving(tmp_path, echo):
        assert (await asyncio.to_thread(ask, tmp_path, {"do": "x"}))["ok"]


async def test_a_socket_that_cannot_be_made_costs_only_the_tools(tmp_path: Path) -> None:
    """A folder in its place is logged; the station goes on."""
    (tmp_path / control.NAME).mkdir()
    async with serving(tmp_path, echo):
        pass


def alarm(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "shorewatch", "alarm", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_alarms_of_a_running_station(tmp_path: Path) -> None:
    """A station without its boards says so: listed, acknowledged by name, and so after kill -9."""
    station = asset_folder("stations") / "sumqayit.toml"
    state = tmp_path / "state"
    command = [
        *(sys.executable, "-m", "shorewatch", "run", str(station), "--state-dir", str(state)),
        *(
            "--set",
            f"page.port={free_port()}",
            "--set",
            f"uplink.0.url=mqtt://127.0.0.1:{free_port()}",
        ),
    ]

    def lost() -> dict[str, str]:
        done = alarm("list", "--json", "--state-dir", str(state))
        rows = json.loads(done.stdout) if done.returncode == 0 else []
        return {row["id"]: row["state"] for row in rows}

    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as gateway:
        try:
            deadline = time.monotonic() + 60
            while "board-beach-lost" not in lost():
                assert time.monotonic() < deadline, lost()
            done = alarm("ack", "board-beach-lost", "--state-dir", str(state), "--by", "ali")
            assert done.stdout == "board-beach-lost is acknowledged\n", done.stderr
            listed = alarm("list", "--state-dir", str(state)).stdout
            assert "board-pfe-room-lost" in listed and "unacknowledged" in listed
            done = alarm("ack", "board-beach-lost", "--state-dir", str(state))
            assert done.returncode == 1 and "nothing to acknowledge" in done.stderr
        finally:
            gateway.kill()
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as gateway:
        try:
            deadline = time.monotonic() + 60
            while not (found := lost()):
                assert time.monotonic() < deadline
            assert found["board-beach-lost"] == "acknowledged"
        finally:
            gateway.terminate()
            assert gateway.wait(20) == 0
    done = alarm("list", "--state-dir", str(state))
    assert done.returncode == 2 and "no station runs in" in done.stderr


async def test_a_connection_may_ask_again(tmp_path: Path) -> None:
    """A second line is answered as the first was."""
    async with serving(tmp_path, echo):
        reader, writer = await asyncio.open_unix_connection(tmp_path / control.NAME)
        for word in ("x", "y"):
            writer.write(json.dumps({"do": word}).encode() + b"\n")
            assert json.loads(await reader.readline())["heard"] == {"do": word}
        writer.close()


async def test_what_hangs_on_a_connection_is_released_with_it(tmp_path: Path) -> None:
    """The caller's end and the station's end release it alike, once."""
    released: list[str] = []

    async def hold(request: Mapping[str, object], caller: Caller) -> Mapping[str, object]:
        async def release() -> None:
            released.append(str(request["do"]))

        caller.release = release
        return {}

    async with serving(tmp_path, hold):
        _, writer = await connected(tmp_path, "theirs")
        writer.close()
        while not released:
            await asyncio.sleep(0.01)
        _, ours = await connected(tmp_path, "ours")
    assert released == ["theirs", "ours"]
    ours.close()


async def test_hanging_up_says_why(tmp_path: Path) -> None:
    """The last line of a connection that the station ends is its reason."""
    callers: list[Caller] = []

    async def keep(request: Mapping[str, object], caller: Caller) -> Mapping[str, object]:
        callers.append(caller)
        return {}

    async with serving(tmp_path, keep):
        reader, writer = await connected(tmp_path, "x")
        callers[0].hang_up("its time was over")
        assert json.loads(await reader.readline()) == {"ok": False, "error": "its time was over"}
        assert await reader.read() == b""
        writer.close()


async def test_a_reader_that_is_slow_is_dropped(tmp_path, monkeypatch) -> None:
    """Who follows and does not read is let go, with all that waited for it."""
    monkeypatch.setattr(control, "TIMEOUT_S", 0.2)
    ended = asyncio.Event()

    async def flood(request: Mapping[str, object], caller: Caller) -> AsyncGenerator:
        async def lines() -> AsyncGenerator:
            try:
                while True:
                    yield {"text": "x" * 10_000}
            finally:
                ended.set()

        return lines()

    async with serving(tmp_path, flood):
        _, writer = await asyncio.open_unix_connection(tmp_path / control.NAME, limit=1000)
        writer.write(b'{"do": "follow"}\n')
        await asyncio.wait_for(ended.wait(), 60)
        writer.close()


async def test_connections_have_a_limit(tmp_path, monkeypatch) -> None:
    """One too many is told so; the others are served on."""
    monkeypatch.setattr(control, "CONNECTIONS_MAX", 1)
    async with serving(tmp_path, echo):
        reader, writer = await connected(tmp_path, "x")
        with pytest.raises(ControlError, match="1 connections are open already"):
            await asyncio.to_thread(ask, tmp_path, {"do": "x"})
        writer.write(b'{"do": "y"}\n')
        assert json.loads(await reader.readline())["ok"]
        writer.close()


async def connected(folder: Path, do: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection that has had its first answer."""
    reader, writer = await asyncio.open_unix_connection(folder / control.NAME)
    writer.write(json.dumps({"do": do}).encode() + b"\n")
    assert json.loads(await reader.readline())["ok"]
    return reader, writer
