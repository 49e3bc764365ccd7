"""A real broker for an edge node to be judged at."""

import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shorewatch.mqtt.broker import wait_for_broker


@pytest.fixture
async def broker_port(tmp_path: Path, unused_tcp_port: int) -> AsyncIterator[int]:
    """The port of an MQTT broker on this machine."""
    code = (
        "import sys; from pathlib import Path; from shorewatch.mqtt.broker import run_broker;"
        "run_broker(int(sys.argv[1]), Path(sys.argv[2]))"
    )
    command = [sys.executable, "-c", code, str(unused_tcp_port), str(tmp_path)]
    with subprocess.Popen(command) as process:  # noqa: ASYNC220 (it does not block)
        try:
            await wait_for_broker(unused_tcp_port, timeout_s=60)
            yield unused_tcp_port
        finally:
            process.terminate()
            process.wait(60)
