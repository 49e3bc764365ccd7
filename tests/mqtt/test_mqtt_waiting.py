"""Waiting for the first of several things."""

import asyncio

import pytest

from shorewatch.mqtt.waiting import either, either_or


async def test_the_first_ends_the_others() -> None:
    """What did not come first is cancelled before `either` returns."""
    never = asyncio.Event()
    waits = [asyncio.ensure_future(asyncio.sleep(0)), asyncio.ensure_future(never.wait())]
    await either(*waits)
    assert [wait.cancelled() for wait in waits] == [False, True]


async def test_cancelled_it_leaves_nothing_behind() -> None:
    """Cancelling the wait cancels what was waited for."""
    never = asyncio.ensure_future(asyncio.Event().wait())
    waiting = asyncio.ensure_future(either(never))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    assert waiting.cancelled() and never.cancelled()


async def test_an_error_is_raised() -> None:
    """An error of what came first is the caller's."""

    async def fail() -> None:
        raise ValueError("it")

    with pytest.raises(ValueError, match="it"):
        await either(fail(), asyncio.Event().wait())


async def test_a_span_ends_the_wait_for_an_event() -> None:
    """Whether the event comes or not, waiting ends."""
    event = asyncio.Event()
    await either_or(event, 0.0)
    event.set()
    await either_or(event, 3600.0)
