"""Boards' ports, lent to tools on this machine: one owner at a time, and never for ever.

The gateway holds each port exclusively (the system's lock of the tty), so a tool asks for it. While
a port is lent, the link is closed and its points are bad (maintenance). It comes back when the
borrower returns it, when the borrower's connection ends (a killed tool's does), or when the time
asked for is over; the link then goes on. Who, why and how it ended are records of kind `event`.

Limits: a port is lent for an hour at most, one port a connection; texts of 200 characters.
"""

import asyncio
import logging
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from shorewatch.control import Caller, Request
from shorewatch.gateway import Gateway
from shorewatch.model import to_text, utc_now

BORROW_S_MAX = 3600.0
TEXT_MAX = 200

_log = logging.getLogger("shorewatch.ports")


class Ports:
    """Who has which port of one gateway."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        # By port: under whatever name its board goes, it is lent once.
        self._loans: dict[str, _Loan] = {}

    async def borrow(self, request: Request, caller: Caller) -> dict[str, object]:
        """{"board", "by", "reason", "seconds"}: the port is the caller's until it hangs up.

        Returns {"board", "port", "baud", "until"}. Raises ValueError for what cannot be lent.
        """
        board_id, seconds = self._board(request), _seconds(request)
        until = utc_now() + timedelta(seconds=seconds)
        port = self._gateway.links[board_id].port
        loan = _Loan(board_id, port, _text(request, "by"), _text(request, "reason"), until, caller)
        if caller.release is not None:
            raise ValueError("this connection has borrowed a port already: open another one")
        if port in self._loans:
            text = f"the port of board {board_id} is {self._loans[port]}; ask them, or wait"
            raise ValueError(text)
        self._loans[port] = loan
        loan.deadline = asyncio.get_running_loop().call_later(seconds, loan.expire)
        caller.release = lambda: self._release(loan)
        try:
            link = await self._gateway.lend(board_id, port, f"the port is {loan}")
        except ValueError:
            self._forget(loan)
            raise
        await self._record(loan, "port lent", loan.reason)
        return {
            "board": board_id,
            "port": link.port,
            "baud": link.board.link.baud,
            "until": to_text(until),
        }

    async def give_back(self, request: Request, caller: Caller) -> dict[str, object]:
        """Take back what the caller has borrowed; raises ValueError if that is nothing."""
        loan = next((loan for loan in self._loans.values() if loan.caller is caller), None)
        if loan is None:
            raise ValueError("this connection has borrowed nothing")
        loan.end = "returned"
        await self._release(loan)
        return {"board": loan.board_id}

    async def resume(self, request: Request, caller: Caller) -> dict[str, object]:
        """{"board", "by"}: a board that was seen at its prompt is polled again at once.

        Raises ValueError if it is not waited for.
        """
        board_id, by = self._board(request), _text(request, "by")
        if not self._gateway.links[board_id].resume():
            raise ValueError(f"board {board_id} is not waited for: nothing is to be resumed")
        body = {"source": f"board/{board_id}", "what": "maintenance ended", "by": by}
        await self._gateway.outbox.put("event", utc_now(), body)
        return {"board": board_id}

    async def _release(self, loan: "_Loan") -> None:
        await self._gateway.take_back(loan.port)
        self._forget(loan)
        await self._record(loan, "port taken back", loan.end)

    def _forget(self, loan: "_Loan") -> None:
        loan.caller.release = None
        loan.deadline.cancel()
        del self._loans[loan.port]

    async def _record(self, loan: "_Loan", what: str, why: str) -> None:
        _log.info("board %s: %s (%s): %s", loan.board_id, what, loan.by, why)
        body = {"source": f"board/{loan.board_id}", "what": what, "by": loan.by, "why": why}
        await self._gateway.outbox.put("event", utc_now(), body)

    def _board(self, request: Request) -> str:
        board_id = _text(request, "board")
        if board_id not in self._gateway.links:
            known = ", ".join(self._gateway.links)
            raise ValueError(f"the station has no board {board_id!r}; it has {known}")
        return board_id


@dataclass(eq=False)
class _Loan:
    """One port lent to one connection; the end of that connection is the end of the loan."""

    board_id: str
    port: str
    by: str
    reason: str
    until: datetime
    caller: Caller
    end: str = "the borrower has gone"
    deadline: asyncio.TimerHandle = field(init=False)

    def __str__(self) -> str:
        return f"lent to {self.by} until {self.until:%H:%M:%S} UTC ({self.reason})"

    def expire(self) -> None:
        """Its time is over: with the connection, the port comes back."""
        self.end = "its time was over"
        text = f"the port of board {self.board_id} was taken back: its time was over"
        self.caller.hang_up(text)


def _text(request: Request, key: str) -> str:
    """A text of a request; raises ValueError for none, or one that is no line of text."""
    found = request.get(key)
    if not isinstance(found, str) or not found.strip():
        raise ValueError(f"`{key}` is missing: who, why and what belongs on record")
    if len(found) > TEXT_MAX or not found.isprintable():
        raise ValueError(f"`{key}` must be one line of at most {TEXT_MAX} characters")
    return found


def _seconds(request: Request) -> float:
    seconds = request.get("seconds")
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise ValueError("for how many seconds? `seconds` is missing")
    if not 0 < seconds <= BORROW_S_MAX:
        raise ValueError(f"a port is lent for up to {BORROW_S_MAX:g} s, not for {seconds:g}")
    return seconds
