"""What the tests of the JSON plane have, too: a station, patience, a listener; and a mosquitto."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from mqtt.conftest import (  # noqa: F401 (fixtures, by their names)
    BrokerProcess,
    _until,
    guarded,
    listening,
    station,
)
from programs import need


@pytest.fixture
async def mosquitto(tmp_path: Path) -> AsyncIterator[BrokerProcess]:
    """A real broker, listening."""
    need("mosquitto")
    process = BrokerProcess("mosquitto", tmp_path / "broker")
    try:
        yield await process.start()
    finally:
        process.stop()
