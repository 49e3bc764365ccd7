"""What the tests of the JSON plane have, too: brokers, a station, patience, a listener."""

from mqtt.conftest import (  # noqa: F401 (fixtures, by their names)
    _free_port,
    _until,
    guarded,
    listening,
    station,
)
