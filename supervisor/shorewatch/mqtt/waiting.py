"""Waiting for the first of several things; nothing that was waited for is left behind.

Limits: none of its own; who waits says how long.
"""

import asyncio
from collections.abc import Awaitable
from contextlib import suppress


async def either(*waits: Awaitable[object]) -> None:
    """Wait for the first of several events; the others are cancelled, an error is raised."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled():
            task.result()


async def either_or(event: asyncio.Event, span_s: float) -> None:
    """Wait for the event, but not for longer than `span_s`."""
    with suppress(TimeoutError):
        async with asyncio.timeout(span_s):
            await event.wait()
