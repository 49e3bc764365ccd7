"""The command records a live node until it is told to stop."""

import asyncio
import json
import signal
import sys
import time

from edge_node import STATE, EdgeNode

from shorewatch.mqtt.client import connected


async def test_ctrl_c_ends_the_recording_and_judges_it(broker_port, tmp_path):
    """SIGINT is the way to end: what was recorded is judged, saved, and the exit code is its."""
    session = tmp_path / "session.jsonl"
    broker = f"mqtt://127.0.0.1:{broker_port}"
    check = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "shorewatch", "sparkplug-check", "--listen", "0",
        "--broker", broker, "--save", session,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert check.stderr is not None
    said = (await check.stderr.readline()).decode()
    port = int(said.partition("127.0.0.1:")[2].partition(";")[0])
    node = EdgeNode(port)
    running = asyncio.create_task(node.run())
    online = json.dumps({"online": True, "timestamp": round(time.time() * 1000)}).encode()
    async with connected("127.0.0.1", broker_port, client_id="host") as host:
        await host.publish(STATE, online, qos=1, is_retained=True)
        async with asyncio.timeout(60):
            while node.count < 3:
                await asyncio.sleep(0.05)
    check.send_signal(signal.SIGINT)
    out, _ = await asyncio.wait_for(check.communicate(), 60)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)

    assert check.returncode == 0, out.decode()
    assert out.decode().startswith("edge node: G/E\n0 failed, 0 warned")
    assert '"do": "closed", "from": "proxy"' in session.read_text()
