"""The bus benchmark: its line and its arithmetic by a clock of ours, and one short run of all."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from shorewatch.bench import stations
from shorewatch.bench.board import Reading, parse_readings
from shorewatch.bench.bus import soak
from shorewatch.bench.figures import (
    Figure,
    Result,
    as_json,
    as_tables,
    cpu_share,
    efficiency,
    inside_t35,
    least_s,
    worst_period_s,
)
from shorewatch.bench.peers import installed
from shorewatch.bench.wire import Exchange, Wire, char_s, t35_s
from shorewatch.direct.frame import crc16, with_crc
from shorewatch.planfile import parse

BAUD = 19200
CHAR_S = 11 / 19200
T35_S = 3.5 * CHAR_S
TURNAROUND_S = 0.002
REQUEST = with_crc(bytes((1, 4, 0, 0, 0, 10)))
FIGURES = {
    *("efficiency_19200", "efficiency_115200", "inside_t35_19200", "inside_t35_115200"),
    *("healthy_period_one_dead", "healthy_period_four_dead"),
    *("bytes_per_transaction", "heap_free_least_kb", "loop_pass_worst_ms"),
}


def wire(*, is_strict: bool = False) -> Wire:
    return Wire({1, 2}, baud=BAUD, turnaround_s=TURNAROUND_S, is_strict=is_strict)


def reply_of(line: Wire) -> tuple[bytes, float]:
    """Take whatever comes, each part when it is due; the bytes and when the last of them came."""
    data, at_s = b"", -1.0
    while line.wake_s is not None:
        at_s = line.wake_s
        data += line.take(at_s)
    return data, at_s


def client(line: Wire, gap_s: float, turns: int) -> None:
    """A client that asks so long after each reply, and 0.5 s after a request without one."""
    at_s = 0.0
    for _ in range(turns):
        line.hear(at_s, REQUEST)
        data, end_s = reply_of(line)
        at_s = end_s + gap_s if data else at_s + 0.5


def test_a_reply_takes_the_time_of_a_wire():
    """It ends after request, turnaround and reply at 11 bits a character, and is a right frame."""
    line = wire()
    line.hear(10.0, REQUEST)

    data, end_s = reply_of(line)

    assert len(data) == 25 and crc16(data) == 0 and data[:3] == bytes((1, 4, 20))
    assert end_s == pytest.approx(10 + 33 * CHAR_S + TURNAROUND_S)
    assert line.exchanges[0].end_s == end_s


def test_a_register_holds_its_address():
    """Replies to requests for different registers differ."""
    line = wire()
    line.hear(0.0, with_crc(bytes((1, 3, 0x12, 0xFF, 0, 2))))

    assert reply_of(line)[0][:7] == bytes((1, 3, 4, 0x12, 0xFF, 0x13, 0))


def test_no_byte_comes_before_its_stop_bit():
    """At any moment only the bytes are given whose last bit has left."""
    line = wire()
    line.hear(0.0, REQUEST)
    start_s = 8 * CHAR_S + TURNAROUND_S

    taken = 0
    for step in range(1000):
        now_s = step * 0.0001
        taken += len(line.take(now_s))
        assert taken <= max(0, (now_s - start_s) / CHAR_S + 1e-6)
    assert taken == 25


def test_a_client_at_the_limit_has_an_efficiency_of_one():
    """A client that asks t3.5 after each reply reaches the limit, and no request is early."""
    line = wire()
    client(line, T35_S + 1e-9, 50)

    assert efficiency(line.exchanges, least_s(BAUD, 10, TURNAROUND_S)) == pytest.approx(1)
    assert inside_t35(line.exchanges, BAUD) == 0


def test_a_client_that_pauses_is_less_efficient_by_its_pause():
    """A pause of a tenth of the limit makes an efficiency of ten elevenths."""
    least = least_s(BAUD, 10, TURNAROUND_S)
    line = wire()
    client(line, T35_S + least / 10, 50)

    assert efficiency(line.exchanges, least) == pytest.approx(10 / 11)


def test_early_requests_are_counted_and_pay_on_strict_devices_only():
    """A client inside t3.5 is over the limit on tolerant devices; strict ones drop every second."""
    least = least_s(BAUD, 10, TURNAROUND_S)
    tolerant, strict = wire(), wire(is_strict=True)
    client(tolerant, T35_S / 2, 41)
    client(strict, T35_S / 2, 41)

    assert inside_t35(tolerant.exchanges, BAUD) == 40
    assert efficiency(tolerant.exchanges, least) > 1
    assert inside_t35(strict.exchanges, BAUD) == 20
    assert [exchange.end_s is None for exchange in strict.exchanges[:4]] == [0, 1, 0, 1]
    assert efficiency(strict.exchanges, least) < 0.1


def test_a_request_during_a_reply_is_lost_and_early():
    """What is sent while a reply leaves gets no answer, and counts as inside t3.5."""
    line = wire()
    line.hear(0.0, REQUEST)
    line.hear(0.01, REQUEST)

    data, _ = reply_of(line)

    assert len(data) == 25
    assert line.exchanges[1].end_s is None and line.exchanges[1].gap_s < 0
    assert inside_t35(line.exchanges, BAUD) == 1


@pytest.mark.parametrize(
    "request_", [REQUEST[:-1] + b"\0", with_crc(bytes((9, 4, 0, 0, 0, 1))), REQUEST[:5]]
)
def test_a_request_that_is_none_gets_no_answer(request_):
    """A wrong CRC, an absent unit or half a request is not answered, and the next one is."""
    line = wire()
    line.hear(0.0, request_)
    assert line.wake_s is None
    line.hear(1.0, REQUEST)

    assert reply_of(line)[0]


def test_the_limit_is_as_it_is_defined():
    """At 19,200 baud ten registers take 22.9 ms at least, at 115,200 baud 6.9 ms."""
    assert least_s(19200, 10, 0.002) == pytest.approx(0.022911, abs=1e-6)
    assert least_s(115200, 10, 0.002) == pytest.approx(0.006901, abs=1e-6)
    assert t35_s(115200) == 0.00175 and char_s(115200) == pytest.approx(95.5e-6, abs=1e-7)


def test_a_client_that_is_never_answered_has_no_efficiency():
    """Without two answers the efficiency is 0, not an error."""
    assert efficiency([Exchange(1, at, 1.0) for at in range(20)], 0.02) == 0


def test_the_worst_period_is_that_of_the_slowest_healthy_unit():
    """Unanswered requests, other units and what came before the window do not count."""
    exchanges = [Exchange(1, at, 1.0, at + 0.1) for at in (0.0, 9.0, 10.0, 11.0, 12.0)]
    exchanges += [Exchange(2, at, 1.0, at + 0.1) for at in (9.5, 10.0, 11.5, 13.0)]
    exchanges += [Exchange(2, 12.0, 1.0), Exchange(3, 10.0, 1.0, 10.1)]
    exchanges.sort(key=lambda exchange: exchange.start_s)

    assert worst_period_s(exchanges, (1,), start_s=10) == 1
    assert worst_period_s(exchanges, (1, 2), start_s=10) == 1.5
    assert worst_period_s(exchanges, (3,), start_s=10) == math.inf


def test_the_busy_share_leaves_out_idle_and_waiting():
    """60 busy ticks of 100 are a share of 0.6."""
    assert cpu_share([10, 0, 0, 100, 50], [50, 10, 10, 130, 60]) == pytest.approx(0.6)
    assert cpu_share([1, 2, 3, 4, 5], [1, 2, 3, 4, 5]) == 0


def test_a_figure_knows_its_side_of_the_limit():
    """A least is kept from above, a most from below; a limit of 0 has no ratio."""
    assert Figure(0.99, "", 0.98, is_least=True).is_kept
    assert not Figure(0.97, "", 0.98, is_least=True).is_kept
    assert Figure(0, "", 0).is_kept and not Figure(1, "", 0).is_kept
    assert Figure(0, "", 0).ratio is None and Figure(1, "", 4).ratio == 0.25


def test_the_report_has_the_shape_that_all_benches_have():
    """A figure is an object of value, unit, limit, ratio and peers, beside versions and machine."""
    result = Result({"x": Figure(1, "s", 2, peers={"y 1": 3})}, {"python": "3"}, {"processors": 2})

    assert json.loads(as_json(result)) == {
        "x": {"value": 1, "unit": "s", "limit": 2, "ratio": 0.5, "peers": {"y 1": 3}},
        "versions": {"python": "3"},
        "machine": {"processors": 2},
    }
    assert len(as_tables(result.figures, "t").renderables) == 2


def test_the_full_plan_is_all_a_board_takes(tmp_path):
    """2 buses, 32 devices, 120 blocks, 6,000 registers; saturated, all wanted each 100 ms."""
    plan = stations.full(tmp_path, baud=115200)
    found = parse(stations.saturated(plan).data)

    assert found.faults == ()
    assert (len(found.buses), len(found.devices), len(found.blocks)) == (2, 32, 120)
    assert sum(block.count for block in found.blocks) == 6000
    assert {block.period_ms for block in found.blocks} == {100}
    assert {block.period_ms for block in parse(plan.data).blocks} == {10000}


def test_the_meter_is_read_with_the_collectors_report():
    """Each line of the meter goes with the largest free block reported before it."""
    text = (
        "...\nGC: total: 1, used: 2, free: 3\n No. of 1-blocks: 4, max free sz: 100\n"
        "\nMETER 0 5 0 900\n..\n max blk sz: 9, max free sz: 90\n\nMETER 7 15 16 800\n.\nEND\n"
    )

    assert parse_readings(text) == [
        Reading(0, 0.005, 0, 900, 3200),
        Reading(7, 0.015, 16, 800, 2880),
    ]


def test_a_soak_shows_any_change_of_the_heap():
    """The start does not count, a leak of one step does."""
    steady = [Reading(0, 0, 0, 5, 5), *(Reading(n, n, 0, 99328, 40960) for n in (1, 2, 3))]
    found = soak(steady, 3)
    assert all(figure.is_kept for figure in found.values())

    leaking = soak([*steady[:-1], Reading(3, 3, 32, 99296, 40960)], 3)
    assert leaking["soak_bytes_allocated"].value == leaking["soak_free_change"].value == 32
    assert not leaking["soak_free_change"].is_kept


def test_peers_that_are_installed_are_named_with_their_version():
    """pymodbus, which the gateway needs, is a peer in both its forms."""
    names = [name.rpartition(" ")[0] for name in installed("/dev/null", BAUD)]

    assert {"pymodbus sync", "pymodbus async"} <= set(names)


@pytest.mark.timeout(300)
def test_a_quick_run_gives_every_figure(tmp_path: Path):
    """bench bus --quick measures everything once, says so and writes finite figures."""
    path = tmp_path / "bus.json"
    command = [sys.executable, "-m", "shorewatch", "bench", "bus", "--quick", "--json", str(path)]

    done = subprocess.run(command, capture_output=True, text=True, timeout=290, check=False)

    assert done.returncode == 0, done.stderr
    found = json.loads(path.read_text())
    assert set(found) >= FIGURES | {"versions", "machine"}
    for name in FIGURES:
        figure = found[name]
        assert set(figure) == {"value", "unit", "limit", "ratio", "peers"}
        assert math.isfinite(figure["value"]), name
        assert name in done.stdout
    assert found["bytes_per_transaction"]["value"] == 0
    assert {name.rpartition(" ")[0] for name in found["efficiency_19200"]["peers"]} >= {
        "pymodbus sync"
    }


def test_a_short_soak_leaves_the_heap_as_it_was(tmp_path: Path):
    """bench bus --soak makes as many transactions as asked, and the heap does not change."""
    path = tmp_path / "soak.json"
    command = [sys.executable, "-m", "shorewatch", "bench", "bus", "--soak", "200"]

    done = subprocess.run(
        [*command, "--json", str(path)], capture_output=True, text=True, timeout=110, check=False
    )

    assert done.returncode == 0, done.stderr
    found = json.loads(path.read_text())
    assert found["soak_transactions"]["value"] >= 200
    assert found["soak_bytes_allocated"]["value"] == 0
    assert found["soak_free_change"]["value"] == found["soak_largest_block_change"]["value"] == 0
