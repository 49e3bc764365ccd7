"""A serial line down to its bits: what a byte sent at one setting is at another. Pure.

A receiver samples each bit in its middle. A start bit that is none is passed over; what has a wrong
parity or no stop bit is dropped where the receiver is strict, else taken as it is.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from shorewatch.field.sweep import Setting

_STEP = 1 / 16  # of a bit: how finely a start is looked for


@dataclass(frozen=True, slots=True)
class Wave:
    """Levels of one bit each, at so many a second; the idle line before and after is 1."""

    bits: tuple[int, ...]
    baud: int

    def level(self, at_s: float) -> int:
        index = int(at_s * self.baud)
        return self.bits[index] if 0 <= index < len(self.bits) else 1

    @property
    def end_s(self) -> float:
        return len(self.bits) / self.baud


def encode_wave(data: bytes, setting: Setting) -> Wave:
    """Bytes one behind the other."""
    bits: list[int] = []
    for byte in data:
        ones = [byte >> i & 1 for i in range(8)]
        parity = {"N": [], "E": [sum(ones) % 2], "O": [1 - sum(ones) % 2]}[setting.format[1]]
        bits += [0, *ones, *parity, *[1] * int(setting.format[2])]
    return Wave(tuple(bits), setting.baud)


def decode_wave(wave: Wave, setting: Setting, *, is_strict: bool) -> bytes:
    """What a receiver with this setting takes the line for."""
    return bytes(_taken(wave, setting, is_strict=is_strict))


def _taken(wave: Wave, setting: Setting, *, is_strict: bool) -> Iterator[int]:
    bit_s = 1 / setting.baud
    at_s = 0.0
    while at_s < wave.end_s:
        if wave.level(at_s) or wave.level(at_s + bit_s / 2):
            at_s += _STEP * bit_s
            continue
        sampled = [wave.level(at_s + (1.5 + i) * bit_s) for i in range(11)]
        ones = sampled[:8]
        parity = {"N": [], "E": [sum(ones) % 2], "O": [1 - sum(ones) % 2]}[setting.format[1]]
        end = 8 + len(parity) + int(setting.format[2])
        is_whole = sampled[8:end] == [*parity, *[1] * int(setting.format[2])]
        if is_whole or not is_strict:
            yield sum(one << i for i, one in enumerate(ones))
        at_s += (end + 0.5) * bit_s
