"""The words of each block as they were served last, before anything was made of them.

For who looks for a cause: a profile that is wrong, a word order, a sentinel. One line of devices
has one (a board's link, a direct line); it holds what came last, two bytes a register, and answers
with when that was acquired and what is wrong with it. Pure.
"""

from array import array
from collections.abc import Sequence
from typing import Any

from shorewatch.decode import Moment, block_state, earlier
from shorewatch.model import to_text
from shorewatch.plan import BLOCK_HEADER, Block

Row = dict[str, Any]


class Words:
    """What the blocks of one line served last; `clear` it when the plan is another."""

    def __init__(self) -> None:
        self._served: dict[int, tuple[Block, array[int], Moment]] = {}

    def note(self, block: Block, served: Sequence[int], moment: Moment) -> None:
        """A block as it was served, header included."""
        self._served[block.index] = block, array("H", served), moment

    def clear(self) -> None:
        """Forget all."""
        self._served.clear()

    def of(self, device_id: str, now_s: float) -> list[Row]:
        """The blocks of a device at monotonic `now_s`; those without data have no words.

        `words` are hexadecimal, four digits each; bits stand 16 to a word, the least first.
        """
        return [
            _row(block, served, moment, now_s)
            for block, served, moment in self._served.values()
            if block.device.id == device_id
        ]


def _row(block: Block, served: Sequence[int], moment: Moment, now_s: float) -> Row:
    reason, age_s = block_state(served)
    words = [] if age_s is None else [f"{word:04x}" for word in served[BLOCK_HEADER:]]
    return {
        "function": block.function,
        "address": block.address,
        "count": block.count,
        "words": words,
        "reason": reason and str(reason),
        "exception": served[1] >> 8,
        "acquired_at": None if age_s is None else to_text(earlier(moment.at, age_s)),
        "age_s": None if age_s is None else round(age_s + now_s - moment.mono_s, 3),
    }
