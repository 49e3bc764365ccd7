"""Who answers on a port, asked so that nothing is harmed: a REPL, our firmware, or nobody.

    listen      what talks by itself is left alone, unless it is a MicroPython that starts
    CR, Ctrl-B  a REPL answers with its prompt, a raw one is left for it; our firmware drops both as
                stray bytes. Ctrl-C too where the board may be interrupted: it ends a program that a
                killed tool has left half sent, and our firmware has it switched off
    2B/0E, 04   only when nothing has answered so far: identity, then the image's header

Never the other way round: a Modbus frame typed into a REPL is Ctrl-A and Ctrl-D to it. One function
code more, 0x41, stands in door.py. Source: MODBUS Application Protocol V1.1b3, 6.4 and 6.21.
"""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from shorewatch.decode import HEADER, HEADER_SIZE, Header, parse_header
from shorewatch.direct.frame import IDENTIFY, with_crc
from shorewatch.errors import AbsentError, FieldError, WrongBoardError
from shorewatch.field.port import Line

_LISTEN_S = 0.1
_PROMPT_S = 0.25
_QUIET_S = 0.03
_REPLY_S = 0.6
_TRIES = 2
_PROMPT = b">>> "
_RAW = b"raw REPL; CTRL-B to exit"
_BANNER = re.compile(rb"MicroPython (\S+) on (\S+?); ([^\r\n]*)")
_READ = 0x04
_SLOT, _SLOT_STATE = 0x1A, 0x1B  # state 0: no slots, 1: confirmed, 2: on trial
_EXTENDED = 3
_HEARD_MAX = 8192


class Answer(StrEnum):
    """What is at the other end."""

    PROMPT = "MicroPython"
    BOARD = "Shorewatch"
    OTHER = "something else"
    SILENCE = "silent"


class PromptError(FieldError):
    """A REPL has answered to what was meant for our firmware."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What a board with our firmware says of itself.

    `content` tells what stands on its flash: `Package.content`; "" where there are no slots.
    """

    type: str
    version: str
    unique_id: str
    role: str
    content: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """Who answers, and what is known of them by then."""

    answer: Answer
    micropython: str | None = None  # version, as the banner has it
    machine: str | None = None
    identity: Identity | None = None
    header: Header | None = None
    slot: str = ""  # that runs
    is_on_trial: bool = False


def ask_who(line: Line, *, unit_id: int = 1, may_interrupt: bool = False) -> Found:
    """Who is there; raises AbsentError if the port goes away."""
    prompt = ask_prompt(line, may_interrupt=may_interrupt)
    if prompt is not None:
        return prompt
    try:
        identity = read_identity(line, unit_id)
        words = read_words(line, unit_id, HEADER, HEADER_SIZE)
        state = words[_SLOT_STATE]
        slot = "ab"[words[_SLOT] & 1] if state else ""
        header = parse_header(words)
        return Found(
            Answer.BOARD, identity=identity, header=header, slot=slot, is_on_trial=state == 2
        )
    except PromptError:  # it was busy with what a killed tool has left, and is done
        return ask_prompt(line, may_interrupt=may_interrupt) or Found(Answer.PROMPT)
    except WrongBoardError:
        return Found(Answer.OTHER)
    except AbsentError:
        return Found(Answer.SILENCE)


def ask_prompt(line: Line, *, may_interrupt: bool = False) -> Found | None:
    """The REPL that answers, or what talks by itself; None if nothing has said a word."""
    heard = _listen(line, _LISTEN_S)
    if heard and not _is_prompt(heard):
        heard += _listen(line, 1.0)
        if not _is_prompt(heard) and b"MicroPython" not in heard and _listen(line, _PROMPT_S):
            return Found(Answer.OTHER)
    # Half a program that a killed tool has left takes the first two for its own; Ctrl-C ends it.
    interrupt = (b"\x03", b"\x02") if may_interrupt else ()
    for byte in (b"\r", b"\x02", *interrupt):
        line.write(byte)
        heard += _listen(line, _PROMPT_S)
        if _is_prompt(heard):
            return _at_prompt(line, heard)
    return None


def _at_prompt(line: Line, heard: bytes) -> Found:
    if _BANNER.search(heard) is None:
        line.write(b"\x02")  # Ctrl-B: says its name again, and leaves the raw REPL
        heard += _listen(line, _PROMPT_S)
    banner = _BANNER.search(heard)
    if banner is None:
        return Found(Answer.PROMPT)
    machine = banner[3].decode("ascii", "replace").strip()
    return Found(Answer.PROMPT, banner[1].decode("ascii", "replace"), machine)


def _is_prompt(heard: bytes) -> bool:
    return _PROMPT in heard or _RAW in heard


def _listen(line: Line, wait_s: float) -> bytes:
    """What comes within `wait_s`, and what follows it without a pause."""
    heard = line.read(wait_s)
    while heard and len(heard) < _HEARD_MAX and (more := line.read(_QUIET_S)):
        heard += more
    return heard


def read_identity(line: Line, unit_id: int) -> Identity:
    """What the board says of itself; WrongBoardError: none of ours; AbsentError: silent."""
    found: dict[int, str] = {}
    at = 0
    while True:
        reply = _ask(line, bytes([unit_id, IDENTIFY, 0x0E, _EXTENDED, at]), _identity_size)
        if reply[1] != IDENTIFY:
            raise WrongBoardError("what answers there is no Shorewatch board")
        place = 8
        for _ in range(reply[7]):
            size = reply[place + 1]
            found[reply[place]] = reply[place + 2 : place + 2 + size].decode("utf-8", "replace")
            place += 2 + size
        if reply[5] != 0xFF or reply[6] <= at:
            break
        at = reply[6]
    if found.get(0) != "Shorewatch":
        raise WrongBoardError("what answers there is no Shorewatch board")
    return Identity(*(found.get(key, "") for key in (1, 2, 0x80, 0x81, 0x82)))


def read_words(line: Line, unit_id: int, address: int, count: int) -> list[int]:
    """Registers of the image; raises as `read_identity`."""
    request = bytes([unit_id, _READ]) + address.to_bytes(2) + count.to_bytes(2)
    reply = _ask(line, request, lambda data: 5 + data[2] if len(data) > 2 else None)
    if reply[1] != _READ or reply[2] != 2 * count:
        raise WrongBoardError(f"the board refuses to tell {address:#06x}")
    return [int.from_bytes(reply[i : i + 2]) for i in range(3, 3 + 2 * count, 2)]


def exchange(line: Line, request: bytes, size_of: Callable[[bytes], int | None]) -> bytes | None:
    """One request, sealed here, and its good reply without CRC; None if none came in time.

    `size_of` tells the size of the whole reply from its beginning, None while it needs more.
    """
    line.read(0)  # what is left of others
    line.write(with_crc(request))
    end_s = time.monotonic() + _REPLY_S
    heard = b""
    while (left_s := end_s - time.monotonic()) > 0:
        heard += line.read(left_s)
        if _is_prompt(heard):
            raise PromptError("the board is at its MicroPython prompt")
        if heard[:1] != request[:1] or len(heard) < 2:
            continue
        is_refusal = heard[1] == request[1] | 0x80
        size = 5 if is_refusal else size_of(heard) if heard[1] == request[1] else 0
        if size is not None and len(heard) >= size:
            is_good = size > 0 and with_crc(heard[: size - 2]) == heard[:size]
            return heard[: size - 2] if is_good else None
    return None


def _ask(line: Line, request: bytes, size_of: Callable[[bytes], int | None]) -> bytes:
    """The good reply to a read, which is asked again once."""
    for _ in range(_TRIES):
        reply = exchange(line, request, size_of)
        if reply is not None:
            return reply
    raise AbsentError(f"unit {request[0]} does not answer")


def _identity_size(data: bytes) -> int | None:
    """Size of the whole frame of an identification that begins so."""
    if len(data) < 8:
        return None
    size = 8
    for _ in range(data[7]):
        if len(data) < size + 2:
            return None
        size += 2 + data[size + 1]
    return size + 2
