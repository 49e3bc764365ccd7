"""A whole station with `plane = "sparkplug"`, in a process that is killed."""

from fake_host import NODE, FakeHost
from running_station import running_station
from sparkplug_bench import hearing

UPLINK = """
[[uplink]]
id = "scada"
url = "mqtt://127.0.0.1:{port}"
plane = "sparkplug"
"""


async def test_a_gateway_that_is_killed_dies_at_its_hosts_too(
    mosquitto, until, tmp_path, quiet_text
):
    """kill -9: the Will has the NBIRTH's bdSeq; the next start has the next, and tells the gap."""
    text = quiet_text + UPLINK.format(port=mosquitto.port)
    host = FakeHost()
    async with hearing(host, mosquitto.port):
        async with running_station(tmp_path, text) as station:
            await until(lambda: "room" in host.devices, "DBIRTH")
            first = host.bdseq
            tag = host.tags["room"]["temperature"]
            await until(lambda: len(tag.values) > 3, "DDATA")
            station.process.kill()
            await until(lambda: host.deaths == 1, "the Will")
        async with running_station(tmp_path, text) as station:
            await until(lambda: "room" in host.devices, "DBIRTH")
            assert host.bdseq == first + 1
            await until(lambda: host.tags["room"]["temperature"].past, "history")
            page = await station.ask("live")
            row = page["uplinks"]["scada"]
            assert (row["state"], row["plane"], row["refused_commands"]) == (
                "online",
                "sparkplug",
                0,
            )
            assert host.tags[NODE]["Properties/Config"].last.value == page["config"]
            await station.stop()
        await until(lambda: host.deaths == 2, "NDEATH")


async def test_a_reload_brings_the_edge_node_and_takes_it_away(
    mosquitto, until, tmp_path, quiet_text
):
    """An [[uplink]] that comes is born, one that goes says NDEATH; no value notices."""
    host = FakeHost()
    async with hearing(host, mosquitto.port), running_station(tmp_path, quiet_text) as station:
        await station.until_good()
        station.path.write_text(quiet_text + UPLINK.format(port=mosquitto.port))
        await station.ask("reload")
        await until(lambda: "room" in host.devices, "DBIRTH")
        station.path.write_text(quiet_text)
        await station.ask("reload")
        await until(lambda: host.deaths == 1, "NDEATH")
        await station.stop()
