"""The scheduler of one field bus: which block next, when to ask again, whom to leave alone.

The block that is late by the largest part of its period goes first: fast blocks do not wait for
slow ones, slow ones still get their turn, and on an overloaded bus all fall back in proportion. A
block that is a whole period late slips, counted.
Quarantine: after a request without a proper answer, that device is not asked again until its worst
reply time has passed, so that a late reply never meets another request to the same unit.
Twins: blocks of one device whose replies have the same shape. A reply that repeats the last one of
a twin asked less than the worst reply time ago may be a copy of it that came late: it is not taken.
So that this stays rare, twins that hold the same are kept apart by that time; of those that wait
the latest has its device's reservation, and its like are not asked before it.
Timeout: 4 times the device's turnaround (rising at once, falling slowly) and the reply's time on
the wire, at least 100 ms, at most the plan's. A timeout counts as a turnaround of that time.
Breaker: after 3 failures in a row a device is down. One probe at a time asks a down device; a
failed probe of length c keeps all probes away for 19 c (at most 5 % of bus time), unless every
device of the bus is down: then probing never pauses, and the first answer ends all pauses.
The search through the blocks is spread over passes, 16 a pass, and runs ahead during transactions.
"""

from array import array

from station import frame, image
from station.client import FAR_US, IDLE

TYPE_CHECKING = False  # a board has no typing module
if TYPE_CHECKING:
    from station.client import Client
    from station.events import Events
    from station.image import Image
    from station.plan import Plan
    from station.seams import Ticks

UP = 1  # 0: never asked
FAILING = 2
DOWN = 3

FAILURES_MAX = 3
PROBE_PAUSE = 19  # times the cost of a failed probe: 1 / (1 + 19) = 5 %
SWEEP_BLOCKS = 16
LATE_MAX_MS = (1 << 21) - 1  # shifted by 8 it is still a small integer on a 32-bit board
LATENCY_FACTOR = 4
LATENCY_FALL = 4  # a turnaround that gets shorter is believed by 1/16 each time
TIMEOUT_FLOOR_US = 100000
STUCK_US = 2000000  # past its timeout, a transaction that has not ended is a fault of ours
NONE = -1

# The counter of each result, by the codes of frame.py.
COUNTERS = bytes(
    (0, image.GOOD, image.TIMEOUTS, image.CRC_ERRORS, image.REJECTED, image.EXCEPTIONS)
)


class Bus:
    """One bus of the plan. `hold` keeps it from starting anything; `is_quiet` says it has stopped.

    Attributes:
        busy_us: time spent in transactions since the owner last set it to 0.
        progress: set by each step that is within its limits; cleared by the owner.
    """

    def __init__(
        self,
        index: int,
        plan: "Plan",
        img: "Image",
        events: "Events",
        client: "Client",
        ticks: "Ticks",
    ) -> None:
        self.plan = plan
        self.image = img
        self.events = events
        self.client = client
        self.ticks = ticks
        self.hold = False
        self.progress = True
        self.busy_us = 0
        self.word = image.BUS_START + 16 * index
        devices = len(plan.device_bus)
        self.blocks = bytes(
            block
            for block in range(len(plan.block_device))
            if plan.device_bus[plan.block_device[block]] == index
        )
        # Only devices with something to read: the others would never answer, nor be down.
        self.devices = bytes(sorted({plan.block_device[block] for block in self.blocks}))
        self.state = bytearray(devices)
        self.failures = bytearray(devices)
        self.last_fault = bytearray(devices)
        self.quarantined = bytearray(devices)
        self.quarantine_end_ms = [0] * devices
        self.probe_block = bytearray(devices)  # position of the block that probes it
        self.down = 0
        self.probe_paused = False
        self.probe_end_ms = 0
        self.probed = 0  # position in devices, round robin
        now_ms = ticks.ticks_ms()
        self.due_ms = [now_ms] * len(self.blocks)
        self.latency_us = [0] * devices  # filtered turnaround; 0: not known
        self.twin = self._find_twins()
        self.reply_crc = array("H", [0] * len(self.blocks))  # of the last reply, by position
        self.after = bytearray(range(len(self.blocks)))  # the twin that said the same, or itself
        self.reserved = bytearray([255] * devices)  # positions, 255: none
        self.tries = bytearray(len(self.blocks))
        self.retired = bytearray(len(self.blocks))  # marked bad because its device is down
        self.asked = NONE  # position of the block in the transaction
        self.is_probe = False
        self._started_us = self._last_us = ticks.ticks_us()
        self._strays = 0
        self._position = 0
        self._best = NONE
        self._best_lateness = 0
        self._soonest_ms = 0
        self._rest_start_ms = now_ms
        self._rest_ms = 0

    @property
    def is_quiet(self) -> bool:
        return self.asked == NONE

    def step(self, now_us: int, now_ms: int) -> int:
        """Does at most one thing of each kind; returns the microseconds it can wait."""
        wait_us = self.client.step(now_us, now_ms)
        if self.asked != NONE:
            self.busy_us += self.ticks.ticks_diff(now_us, self._last_us)
            if self.client.state == IDLE:
                self._complete(now_us, now_ms)
                wait_us = 0
        self._last_us = now_us
        if self.asked == NONE or self._spent_us(now_us) < self.client.timeout_us + STUCK_US:
            self.progress = True
        if self.client.strays != self._strays:
            self._count(image.STRAYS, (self.client.strays - self._strays) & 0xFFFF)
            self._strays = self.client.strays
        if self._is_swept():
            if self.asked == NONE and not self.hold:
                wait_us = min(wait_us, self._choose(now_us, now_ms))
            return wait_us
        self._sweep(now_ms)
        return 0

    def _find_twins(self) -> bytes:
        """For each position the next one, cyclic, of the same device, function and count."""
        twins = bytearray(len(self.blocks))
        for position in range(len(self.blocks)):
            other = (position + 1) % len(self.blocks)
            while not self._is_alike(self.blocks[position], self.blocks[other]):
                other = (other + 1) % len(self.blocks)
            twins[position] = other
        return bytes(twins)

    def _is_alike(self, block: int, other: int) -> bool:
        return (
            self.plan.block_device[block] == self.plan.block_device[other]
            and self.plan.block_function[block] == self.plan.block_function[other]
            and self._size_bytes(block) == self._size_bytes(other)
        )

    def _size_bytes(self, block: int) -> int:
        return frame.reply_size(self.plan.block_function[block], self.plan.block_count[block])

    def _is_doubtful(self, position: int, crc: int, now_ms: int) -> bool:
        """Whether a good reply may be a late copy of a twin's; tells its like that it came last."""
        result = False
        twin = self.twin[position]
        while twin != position:
            if self.reply_crc[twin] == crc:
                self.after[twin] = position
                self._restart_sweep()  # which may have chosen it
                if self._copy_left_ms(twin, now_ms) > 0:
                    self.after[position] = twin
                    result = True
            twin = self.twin[twin]
        return result

    def _copy_left_ms(self, position: int, now_ms: int) -> int:
        """For how long a copy of this block's last reply can still come."""
        block = self.blocks[position]
        left_ms = self.plan.device_worst_ms[self.plan.block_device[block]]
        left_ms += self.client.request_us // 1000 + 2
        late_ms = self.ticks.ticks_diff(now_ms, self.image.asked_ms(block))
        return max(left_ms - late_ms, 0) if late_ms >= 0 else 0

    def _apart_left_ms(self, position: int, device: int, now_ms: int) -> int:
        """For how long a block that is due has to wait for the sake of its twins."""
        left_ms = 0
        if self.after[position] != position:
            left_ms = self._copy_left_ms(self.after[position], now_ms)
            if left_ms == 0:
                self.after[position] = position
        first = self.reserved[device]
        if left_ms > 0:
            if first == 255 or self._lateness(position, now_ms) > self._lateness(first, now_ms):
                self.reserved[device] = position
        elif first != 255 and first != position:
            result = self.reply_crc[first] == self.reply_crc[position]
            if result and self._is_alike(self.blocks[first], self.blocks[position]):
                left_ms = 1
        return left_ms

    def _lateness(self, position: int, now_ms: int) -> int:
        """Of a block that is due, as a part of its period, in 1/256."""
        late_ms = min(self.ticks.ticks_diff(now_ms, self.due_ms[position]), LATE_MAX_MS)
        return (late_ms << 8) // self.plan.block_period_ms[self.blocks[position]]

    def _spent_us(self, now_us: int) -> int:
        return self.ticks.ticks_diff(now_us, self._started_us)

    def _is_swept(self) -> bool:
        return self._position >= len(self.blocks)

    def _restart_sweep(self) -> None:
        self._position = 0
        self._best = NONE
        self._soonest_ms = 60000

    def _sweep(self, now_ms: int) -> None:
        if self._position == 0:
            self._restart_sweep()
        end = min(self._position + SWEEP_BLOCKS, len(self.blocks))
        while self._position < end:
            self._weigh(self._position, now_ms)
            self._position += 1
        self._rest_start_ms = now_ms
        self._rest_ms = self._soonest_ms

    def _weigh(self, position: int, now_ms: int) -> None:
        block = self.blocks[position]
        device = self.plan.block_device[block]
        if self.state[device] == DOWN:
            if not self.retired[position]:
                self.retired[position] = 1
                self.tries[position] = 0
                self.image.mark(block, self.last_fault[device])
            return
        if self.retired[position]:
            self.retired[position] = 0
            self.due_ms[position] = now_ms
        left_ms = self.ticks.ticks_diff(self.due_ms[position], now_ms)
        left_ms = max(left_ms, self._quarantine_left_ms(device, now_ms))
        if left_ms <= 0:
            left_ms = self._apart_left_ms(position, device, now_ms)
        if left_ms > 0:
            self._soonest_ms = min(self._soonest_ms, left_ms)
            return
        lateness = self._lateness(position, now_ms)
        if self._best == NONE or lateness > self._best_lateness:
            self._best = position
            self._best_lateness = lateness

    def _quarantine_left_ms(self, device: int, now_ms: int) -> int:
        if not self.quarantined[device]:
            return 0
        left_ms = self.ticks.ticks_diff(self.quarantine_end_ms[device], now_ms)
        if left_ms <= 0:
            self.quarantined[device] = 0
        return max(left_ms, 0)

    def _choose(self, now_us: int, now_ms: int) -> int:
        """Starts a probe or the block found by the sweep; returns the microseconds to rest."""
        probe_left_ms = self._probe(now_us, now_ms) if self.down else 60000
        if self.asked != NONE:
            return 0
        if self._best != NONE:
            position = self._best
            self._best = NONE
            device = self.plan.block_device[self.blocks[position]]
            if self.state[device] != DOWN and not self.quarantined[device]:
                self.is_probe = False
                self._release(position, now_ms)
                self._start(position, now_us)
                return 0
        else:
            spent_ms = self.ticks.ticks_diff(now_ms, self._rest_start_ms)
            if spent_ms < self._rest_ms:
                return min(self._rest_ms - spent_ms, probe_left_ms) * 1000
        self._restart_sweep()
        return 0 if self.blocks else FAR_US

    def _release(self, position: int, now_ms: int) -> None:
        period_ms = self.plan.block_period_ms[self.blocks[position]]
        late_ms = self.ticks.ticks_diff(now_ms, self.due_ms[position])
        slips = late_ms // period_ms
        if slips > 0:
            self._count(image.SLIPS, slips)
        self.due_ms[position] = self.ticks.ticks_add(self.due_ms[position], (slips + 1) * period_ms)

    def _probe(self, now_us: int, now_ms: int) -> int:
        """Starts the next probe if one is allowed; returns the milliseconds until one may be."""
        is_dark = self.down == len(self.devices)
        if self.probe_paused and not is_dark:
            left_ms = self.ticks.ticks_diff(self.probe_end_ms, now_ms)
            if left_ms > 0:
                return left_ms
            self.probe_paused = False
        soonest_ms = 60000
        for _ in range(len(self.devices)):
            self.probed = (self.probed + 1) % len(self.devices)
            device = self.devices[self.probed]
            if self.state[device] != DOWN:
                continue
            left_ms = self._quarantine_left_ms(device, now_ms)
            if left_ms == 0:
                self.is_probe = True
                self._start(self._next_probe(device), now_us)
                return 0
            soonest_ms = min(soonest_ms, left_ms)
        return soonest_ms

    def _next_probe(self, device: int) -> int:
        # Each of its blocks in turn: a device may be deaf to one address only.
        position = self.probe_block[device]
        while True:
            position = (position + 1) % len(self.blocks)
            if self.plan.block_device[self.blocks[position]] == device:
                self.probe_block[device] = position
                return position

    def _start(self, position: int, now_us: int) -> None:
        block = self.blocks[position]
        device = self.plan.block_device[block]
        self.asked = position
        if self.reserved[device] == position:
            self.reserved[device] = 255
        self._started_us = now_us
        self.client.timeout_us = self._timeout_us(block, device)
        self.client.start(
            now_us,
            self.plan.device_unit[device],
            self.plan.block_function[block],
            self.plan.block_address[block],
            self.plan.block_count[block],
        )
        self._count2(image.REQUESTS)
        self._restart_sweep()

    def _timeout_us(self, block: int, device: int) -> int:
        timeout_us = self.plan.device_timeout_ms[device] * 1000
        if self.latency_us[device] == 0:
            return timeout_us
        wait_us = max(LATENCY_FACTOR * self.latency_us[device], TIMEOUT_FLOOR_US)
        return min(wait_us + self._size_bytes(block) * self.client.char_us, timeout_us)

    def _learn(self, device: int) -> None:
        """Takes the turnaround of a proper answer into the filter."""
        reply_us = max(self.client.reply_us - self.client.size * self.client.char_us, 1)
        last_us = self.latency_us[device]
        self.latency_us[device] = max(reply_us, last_us - (last_us - reply_us >> LATENCY_FALL))

    def _doubt(self, position: int, device: int) -> None:
        """Leaves a reply that may be a copy: its block is asked anew when no copy can come."""
        self._count(image.REJECTED)
        self._quarantine(device)
        self._put_back(position)
        self._restart_sweep()

    def _put_back(self, position: int) -> None:
        self.due_ms[position] = self.ticks.ticks_add(
            self.due_ms[position], -self.plan.block_period_ms[self.blocks[position]]
        )

    def _complete(self, now_us: int, now_ms: int) -> None:
        position = self.asked
        self.asked = NONE
        block = self.blocks[position]
        device = self.plan.block_device[block]
        word = 8 * device
        result = self.client.result
        if result == frame.GOOD:
            crc = self.client.reply[self.client.size - 2] << 8
            crc |= self.client.reply[self.client.size - 1]
            self.reply_crc[position] = crc
            if self._is_doubtful(position, crc, now_ms):
                self._doubt(position, device)
                return
            self._count2(image.GOOD)
            image.bump(self.image.devices, word + image.DEVICE_GOOD)
            self.events.store(block, self.client.reply, self.client.asked_ms, now_ms)
        else:
            image.bump(self.image.devices, word + image.DEVICE_BAD)
            self._count(COUNTERS[result])
            self._restart_sweep()
        if result == frame.GOOD or result == frame.EXCEPTION:
            self.tries[position] = 0
            self._learn(device)
            self._answered(device)
            if result == frame.EXCEPTION:
                code = self.client.reply[2]
                image.put(self.image.devices, word + image.LAST_EXCEPTION, code)
                self.image.mark(block, code << 8 | frame.EXCEPTION)
            return
        was_down = self.state[device] == DOWN
        self._failed(device, result)
        if self.state[device] == DOWN and (self.is_probe or not was_down):
            # The failure that takes a device down counts as its first probe.
            spent_ms = self._spent_us(now_us) // 1000 + 1
            self.probe_paused = True
            self.probe_end_ms = self.ticks.ticks_add(now_ms, PROBE_PAUSE * spent_ms)
        elif self.tries[position] < self.plan.device_retries[device]:
            self.tries[position] += 1
            self._put_back(position)
            return
        self.tries[position] = 0
        self.retired[position] = self.state[device] == DOWN
        self.image.mark(block, result)

    def _answered(self, device: int) -> None:
        word = 8 * device
        if self.state[device] == DOWN:
            if self.down == len(self.devices):
                self.probe_paused = False
            self.down -= 1
            self._restart_sweep()  # brings its blocks back
        self._set_state(device, UP, 0)
        reply_ms = min(self.client.reply_us // 1000, 0xFFFF)
        image.put(self.image.devices, word + image.LAST_REPLY_MS, reply_ms)
        if reply_ms > image.get(self.image.devices, word + image.WORST_REPLY_MS):
            image.put(self.image.devices, word + image.WORST_REPLY_MS, reply_ms)

    def _failed(self, device: int, result: int) -> None:
        self.last_fault[device] = result
        if result == frame.TIMEOUT and self.latency_us[device]:
            self.latency_us[device] = max(self.latency_us[device], self.client.reply_us)
        if self.client.was_sent:
            self._quarantine(device)
        failures = min(self.failures[device] + 1, 255)
        if self.state[device] == DOWN:
            self._set_state(device, DOWN, failures)
        elif failures < FAILURES_MAX:
            self._set_state(device, FAILING, failures)
        else:
            self.down += 1
            self._set_state(device, DOWN, failures)
            self._restart_sweep()

    def _quarantine(self, device: int) -> None:
        self.quarantined[device] = 1
        self.quarantine_end_ms[device] = self.ticks.ticks_add(
            self.client.sent_ms, self.plan.device_worst_ms[device]
        )

    def _set_state(self, device: int, state: int, failures: int) -> None:
        self.state[device] = state
        self.failures[device] = failures
        image.put(self.image.devices, 8 * device + image.STATE, state)
        image.put(self.image.devices, 8 * device + image.FAILURES, failures)

    def _count(self, word: int, by: int = 1) -> None:
        image.bump(self.image.board, self.word + word, by)

    def _count2(self, word: int) -> None:
        if image.bump(self.image.board, self.word + word + 1):
            image.bump(self.image.board, self.word + word)
