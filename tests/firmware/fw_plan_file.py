"""Builds plan.bin from plain tuples: the tests' own reading of the format."""

import struct
import zlib

BUS = struct.Struct(">BBBBIHH")
DEVICE = struct.Struct(">BBHHBB")
BLOCK = struct.Struct(">BBHHIH")
INPUT = struct.Struct(">BBH")
WATCH = struct.Struct(">BBHHHH")


def bus(uart=0, parity=2, stop_bits=1, baud=19200, t35_us=2005):
    return BUS.pack(uart, parity, stop_bits, 0, baud, t35_us, 0)


def device(bus_index=0, unit_id=1, timeout_ms=100, worst_ms=300, retries=0):
    return DEVICE.pack(bus_index, unit_id, timeout_ms, worst_ms, retries, 0)


def block(device_index=0, function=4, address=0, count=2, period_ms=1000, image=0x1000):
    return BLOCK.pack(device_index, function, address, count, period_ms, image)


def contact(index=0, flags=0, debounce_ms=20):
    return INPUT.pack(index, flags, debounce_ms)


def watch(block_index=0, kind=1, offset=0, threshold=0, hysteresis=0, code=0):
    return WATCH.pack(block_index, kind, offset, threshold, hysteresis, code)


def registers(function, count):
    return 4 + ((count + 15) // 16 if function <= 2 else count)


def blocks(*rows):
    """Packs (device, function, address, count, period_ms) one after the other in the image."""
    packed, image = [], 0x1000
    for device_index, function, address, count, period_ms in rows:
        packed.append(block(device_index, function, address, count, period_ms, image))
        image += registers(function, count)
    return packed


def names(*texts):
    encoded = [text.encode() for text in texts]
    return b"".join(bytes([len(text)]) + text for text in encoded)


def plan_file(
    buses=(),
    devices=(),
    blocks=(),
    inputs=(),
    watches=(),
    texts=("cable", "station", "board"),
    **header,
):
    """The whole file; header overrides: magic, form, size, counts, crc."""
    body = b"".join((*buses, *devices, *blocks, *inputs, *watches)) + names(*texts)
    counts = tuple(len(rows) for rows in (buses, devices, blocks, inputs, watches))
    counts = header.get("counts", counts)
    size = header.get("size", 16 + len(body) + 4)
    head = struct.pack(">HHBBBBHH", header.get("form", 2), size, *counts, 0)
    data = header.get("magic", b"SWPL") + head + body
    return data + struct.pack(">I", header.get("crc", zlib.crc32(data)))
