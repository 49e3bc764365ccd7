"""The journal on its way: within what a broker takes, and not without a listener."""

import json
from datetime import timedelta

import pytest
from slow_line import throttled

from shorewatch.model import utc_now


def numbers(listener) -> list[int]:  # type: ignore[no-untyped-def]
    batches = [json.loads(message.payload) for message in listener.of("/journal")]
    return [record["seq"] for batch in batches for record in batch["records"]]


@pytest.mark.parametrize("limit", [20_000, 50_000])
async def test_batches_fit_the_brokers_packets(guarded, bench, listening, until, limit) -> None:  # type: ignore[no-untyped-def]
    """A broker that takes small packets only gets the whole journal in small batches."""
    await guarded.start("topic readwrite #\n", f"max_packet_size {limit}\n")
    async with listening(guarded.port) as listener, bench(guarded.url, []) as b:
        for number in range(600):
            await b.outbox.put("sample", utc_now(), {"device": "pfe", "n": number, "x": "x" * 300})
        await until(lambda: b.uplink.status.cursor == 600)
        assert numbers(listener) == list(range(1, 601))
        assert (b.uplink.status.attempts, b.uplink.status.last_trouble) == (1, None)


async def test_a_record_too_long_for_the_broker_holds_up_the_journal_alone(
    guarded, bench, listening, until
) -> None:  # type: ignore[no-untyped-def]
    """It is named with what it needs; live values go on, the connection holds, nothing is lost."""
    await guarded.start("topic readwrite #\n", "max_packet_size 20000\n")
    async with listening(guarded.port) as listener, bench(guarded.url, []) as b:
        await b.write(5)
        await b.outbox.put("event", utc_now(), {"x": "x" * 30_000})
        await b.write(5)
        await b.until_state("quota")
        assert "record 6 needs 30" in b.uplink.status.text
        await until(lambda: b.uplink.status.cursor == 5)
        before = len(listener.of("/now/pfe"))
        b.measure("pfe", 2.0)
        await until(lambda: len(listener.of("/now/pfe")) > before)
        assert (b.uplink.status.attempts, b.uplink.status.cursor) == (1, 5)
        assert numbers(listener) == [1, 2, 3, 4, 5]


async def test_that_the_broker_finds_no_listener_is_said(guarded, bench, listening, until) -> None:  # type: ignore[no-untyped-def]
    """Without consumers, too, the status says since when nobody listens and how much waits."""
    await guarded.start("topic readwrite #\n")
    async with bench(guarded.url, []) as b:
        await b.write(20)
        await until(lambda: "nobody is listening since" in b.uplink.status.text)
        assert "20 records wait" in b.uplink.status.text
        async with listening(guarded.port):
            await until(lambda: b.uplink.status.cursor == 20)
            assert "nobody" not in b.uplink.status.text


async def test_a_clock_put_back_makes_no_history_live(broker, bench, listening, until) -> None:  # type: ignore[no-untyped-def]
    """Records of a long outage are history, also if they say that they are of the future."""
    now_s = 0.0
    await broker.kill()
    async with bench(broker.url, clock=lambda: now_s) as b:
        for _ in range(3):
            await b.outbox.put("event", utc_now() + timedelta(hours=1), {})
            await b.outbox.settled()
            now_s += 20.0
            tried = b.uplink.status.attempts
            await until(lambda tried=tried: b.uplink.status.attempts > tried)
        await broker.start()
        async with listening(broker.port) as listener:
            await until(lambda: listener.of("/journal"))
            body = json.loads(listener.of("/journal")[0].payload)
            assert (body["first"], body.get("history")) == (1, True)


async def test_a_slow_line_carries_live_values_beside_a_backlog(
    guarded, bench, listening, until
) -> None:  # type: ignore[no-untyped-def]
    """At 6 kB/s a backlog moves on, live values pass it, and nobody takes it for a dead broker."""
    await guarded.start("topic readwrite #\n")
    async with (
        throttled(guarded.port, 6000) as port,
        listening(guarded.port) as listener,
        bench(f"mqtt://127.0.0.1:{port}", []) as b,
    ):
        for number in range(1500):
            await b.outbox.put("sample", utc_now(), {"device": "pfe", "n": number, "x": "x" * 100})
        await until(lambda: listener.of("/journal"))
        for number in range(6):
            before = len(listener.of("/journal")), len(listener.of("/now/pfe"))
            b.measure("pfe", float(number))
            await until(lambda before=before: len(listener.of("/now/pfe")) > before[1])
            await until(lambda before=before: len(listener.of("/journal")) > before[0])
        assert (b.uplink.status.attempts, b.uplink.status.state) == (1, "online")
        assert 0 < b.uplink.status.published < 1500
