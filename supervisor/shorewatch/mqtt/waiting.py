"""Waiting for the first of several things; nothing that was waited for is left behind.

Limits: none of its own; who waits says how long.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
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


async def heeding(
    event: asyncio.Event, work: Coroutine[object, object, None], is_heeded: Callable[[], bool]
) -> None:
    """Await `work`; once the event has come, cancel it, unless it heeds the event by itself."""
    working = asyncio.ensure_future(work)
    heard = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait((working, heard), return_when=asyncio.FIRST_COMPLETED)
        if is_heeded():
            await asyncio.wait((working,))
    finally:
        working.cancel()
        heard.cancel()
        await asyncio.wait((working, heard))
    if not working.cancelled():
        working.result()


async def either_or(event: asyncio.Event, span_s: float) -> None:
    """Wait for the event, but not for longer than `span_s`."""
    with suppress(TimeoutError):
        async with asyncio.timeout(span_s):
            await event.wait()
