"""web/metrics.py: a station's figures as Prometheus reads them."""

from prometheus_client.parser import text_string_to_metric_families
from still import alarm, device, point, still

from shorewatch.web.metrics import text


def figures(snapshot):
    """Every sample by its name and labels, read by Prometheus' own parser."""
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text(snapshot, 0.002, 31).decode())
        for sample in family.samples
    }


def full():
    snapshot = still() | {"station": "s", "version": "1", "config": "c"}
    counts = dict.fromkeys(
        ("requests", "good", "timeouts", "crc_errors", "exceptions", "rejected", "stray_bytes"), 7
    )
    for board in snapshot["boards"].values():
        board |= {"round_trip_ms": 12.0, "heap_free_least": 94000}
        board["buses"] = [{"busy_share": 0.12, **counts}]
    snapshot["alarms"] = [alarm("Lid open") | {"active": True}]
    snapshot["outbox"] |= {"written": 4711}
    return snapshot


def test_every_part_of_a_station_has_its_figures():
    """Lines, buses, devices, values, uplinks, outbox, alarms, the loop; ratios and base units."""
    found = figures(full())
    for key, value in {
        ("shorewatch_line_up", "beach", "board"): 1,
        ("shorewatch_board_round_trip_seconds", "beach"): 0.012,
        ("shorewatch_bus_busy_ratio", "0", "beach"): 0.12,
        ("shorewatch_bus_crc_errors_total", "0", "inland"): 7,
        ("shorewatch_device_points", "good", "room"): 2,
        ("shorewatch_point", "degC", "p0", "room"): 21.5,
        ("shorewatch_uplink_waiting_records", "noc"): 12403,
        ("shorewatch_outbox_fault",): 0,
        ("shorewatch_alarm_active", "a", "major", "unacknowledged"): 1,
        ("shorewatch_loop_lag_seconds",): 0.002,
        ("shorewatch_tasks",): 31,
    }.items():
        assert found[key] == value, key
    assert found[("process_resident_memory_bytes",)] > 0 and found[("process_open_fds",)] > 0


def test_a_value_that_is_not_good_has_no_sample():
    """No old number is taken for a new one; the device still says how many are bad."""
    snapshot = full()
    snapshot["devices"]["room"] = device("Room", "inland", point(), point("bad", "sentinel"))
    found = figures(snapshot)
    assert ("shorewatch_point", "degC", "p0", "room") in found
    assert ("shorewatch_point", "degC", "p1", "room") not in found
    assert found["shorewatch_device_points", "bad", "room"] == 1
