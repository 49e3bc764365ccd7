"""A board's end of a link, played by the test: serves an image on a pty, misbehaves on demand."""

import asyncio
import os
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shorewatch.plan import BoardPlan


def crc16(data: bytes) -> bytes:
    """CRC-16/MODBUS, low byte first. Source: MODBUS over Serial Line V1.02, 6.2.2."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0xA001 if crc & 1 else crc >> 1
    return crc.to_bytes(2, "little")


class FakeBoard:
    """Answers function 04 and 2B/0E as the contract says; `delay_s` None means silence.

    Reads from address `silent_from` on get no reply. With a `prompt` it is all that ever comes.
    """

    def __init__(self, plan: BoardPlan, port_path: Path) -> None:
        self.plan = plan
        self.unique_id = plan.station.boards[plan.board_id].unique_id
        self.plan_crc = plan.crc
        self.boot_id = 7
        self.delay_s: float | None = 0.0
        self.silent_from = 0x10000
        self.prompt: bytes | None = None
        self.requests: list[bytes] = []
        self.words: dict[int, int] = {}
        self._near, self._far = os.openpty()
        tty.setraw(self._far)
        os.set_blocking(self._near, False)
        port_path.parent.mkdir(parents=True, exist_ok=True)
        port_path.symlink_to(os.ttyname(self._far))
        self._path = port_path
        asyncio.get_running_loop().add_reader(self._near, self._hear)
        for block in plan.blocks:
            self.set_block(block.index, status=0, age_ms=0xFFFFFFFF, data=[0] * block.registers)
            self.words[0x0800 + block.index] = self.words[block.image] = 0

    def set_block(self, index: int, *, status: int, age_ms: int, data: list[int]) -> None:
        """What the board last got from a device; its generation moves on."""
        block = self.plan.blocks[index]
        generation = self.words.get(0x0800 + index, 0) + 1 & 0xFFFF
        self.words[0x0800 + index] = generation
        for i, word in enumerate([generation, status, age_ms >> 16, age_ms & 0xFFFF, *data]):
            self.words[block.image + i] = word

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._near)
        os.close(self._near)
        os.close(self._far)
        self._path.unlink()

    def _hear(self) -> None:
        request = os.read(self._near, 256)
        if self.prompt is not None:
            self.requests.append(request)
            os.write(self._near, self.prompt)
            return
        assert request[-2:] == crc16(request[:-2])
        self.requests.append(request)
        if self.delay_s is not None:
            if request[1] == 4 and int.from_bytes(request[2:4]) >= self.silent_from:
                return
            reply = self._reply(request)
            asyncio.get_running_loop().call_later(self.delay_s, self._send, reply)

    def _send(self, reply: bytes) -> None:
        os.write(self._near, reply + crc16(reply))

    def _reply(self, request: bytes) -> bytes:
        unit, function = request[0], request[1]
        if function == 0x2B:
            text = self.unique_id.encode()
            return bytes([unit, 0x2B, 0x0E, 4, 0x83, 0, 0, 1, 0x80, len(text)]) + text
        assert function == 4, "the gateway sends nothing but 04 and 2B/0E"
        address, count = int.from_bytes(request[2:4]), int.from_bytes(request[4:6])
        words = [self._word(address + i) for i in range(count)]
        return bytes([unit, 4, 2 * count]) + b"".join(w.to_bytes(2) for w in words)

    def _word(self, address: int) -> int:
        head = {0: 0x5357, 1: 1, 2: self.plan_crc >> 16, 3: self.plan_crc & 0xFFFF, 7: self.boot_id}
        return head.get(address, self.words.get(address, 0))


@contextmanager
def fake_board(plan: BoardPlan, port_path: Path) -> Iterator[FakeBoard]:
    """A fake board for the time of a `with` block."""
    board = FakeBoard(plan, port_path)
    try:
        yield board
    finally:
        board.close()
