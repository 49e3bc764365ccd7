"""A simulated serial line at work inside a test's event loop."""

import asyncio
import time

from shorewatch.plant.line import Line
from shorewatch.plant.port import Port


async def pump(line: Line, port: Port) -> None:
    """Pass bytes between a line and its port until cancelled."""
    while True:
        now_s = time.monotonic()
        line.hear(now_s, port.receive())
        port.send(line.take(now_s))
        await asyncio.sleep(0.001)
