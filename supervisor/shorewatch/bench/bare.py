"""The least that reads Modbus TCP devices and publishes what they say: pymodbus and paho in a loop.

No store, no alarms, no quality, no retry: the peer of `bench uplink`. One message a device and
reading, QoS 1, as a small script would do it; all devices are asked at the same instant.

`python -m shorewatch.bench.bare BROKER_PORT FIRST_PORT COUNT` runs until SIGTERM.
"""

import asyncio
import json
import sys
import time

from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion
from pymodbus.client import AsyncModbusTcpClient

from shorewatch.bench.field import REGISTERS


async def _read(mqtt: Client, port: int) -> None:
    client = AsyncModbusTcpClient("127.0.0.1", port=port)
    await client.connect()
    due_s = time.monotonic()
    while True:
        reply = await client.read_input_registers(0, count=REGISTERS, device_id=1)
        points = {f"p{i}": word * 0.1 for i, word in enumerate(reply.registers)}
        body = {"device": port, "at": time.time(), "points": points}
        mqtt.publish(f"bare/{port}", json.dumps(body), 1)
        due_s += 1
        await asyncio.sleep(max(0.0, due_s - time.monotonic()))


async def _main(broker_port: int, first_port: int, count: int) -> None:
    mqtt = Client(CallbackAPIVersion.VERSION2, protocol=MQTTv5)
    mqtt.connect("127.0.0.1", broker_port)
    mqtt.loop_start()
    await asyncio.gather(*(_read(mqtt, first_port + i) for i in range(count)))


if __name__ == "__main__":
    asyncio.run(_main(*map(int, sys.argv[1:4])))
