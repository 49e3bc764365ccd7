"""What is remembered of retained topics."""

from shorewatch.config import UplinkConfig
from shorewatch.mqtt.standing import Standing
from shorewatch.outbox import Outbox


async def test_what_stands_is_known_after_a_restart(tmp_path) -> None:
    """Names noted for one uplink and url are found in the outbox later, and only for these."""
    path = tmp_path / "o.sqlite"
    here = UplinkConfig(id="noc", url="mqtt://here:1883")
    async with Outbox.opened(path, size_bytes_max=4_000_000) as outbox:
        Standing("births", here, outbox).note({"pfe", "ups"})
    async with Outbox.opened(path, size_bytes_max=4_000_000) as outbox:
        assert Standing("births", here, outbox).names == {"pfe", "ups"}
        assert not Standing("alarms", here, outbox).names
        there = UplinkConfig(id="noc", url="mqtt://there:1883")
        assert not Standing("births", there, outbox).names
