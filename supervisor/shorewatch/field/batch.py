"""Boards worked on one after the other: each told, put on record, and counted in the end.

One that cannot be had does not stop the others. Ctrl-C does, and what is done by then stays on
record; so does what came of a single board, whose error goes to the command line as it is.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from shorewatch.config import load_station
from shorewatch.errors import FieldError, ShorewatchError
from shorewatch.field.fitting import Role
from shorewatch.field.flash import Account, Talk, Wish, flash
from shorewatch.field.found import unique_id_of
from shorewatch.field.package import Catalogue
from shorewatch.field.port import Attached
from shorewatch.field.record import append, check_writable, head
from shorewatch.field.report import write_json
from shorewatch.field.talk import Found
from shorewatch.field.voice import say, talking


@dataclass(frozen=True, slots=True)
class Batch:
    """What all boards of one command have in common.

    `station` is the file by which each board's role is found, where the board is not named.
    """

    catalogue: Catalogue
    what: str
    station: Path | None
    yes: bool
    record: Path | None
    json: Path | None

    def run(self, ports: Sequence[Attached], wish: Wish) -> bool:
        """Work on each; whether all went well. Raises what a single board raises."""
        if self.record is not None:
            check_writable(self.record)
        lines: list[dict[str, object]] = []
        try:
            for port in ports:
                self._try(port, wish, lines, is_single=len(ports) == 1)
        finally:
            if self.json is not None:
                write_json(self.json, lines)
        failed = [line for line in lines if line["result"] == "failed"]
        if len(ports) > 1:
            names = ", ".join(str(line["port"]) for line in failed)
            told = f"; failed: {names}" if failed else ""
            print(f"{len(lines) - len(failed)} of {len(ports)} boards are as they should be{told}")
        return not failed

    def _try(
        self, port: Attached, wish: Wish, lines: list[dict[str, object]], *, is_single: bool
    ) -> None:
        line, account, start_s = head(self.what, wish.by, port.path), Account(), time.monotonic()
        try:
            with talking(self.yes) as talk:
                found = self._one(port, wish, talk, account)
            print(_outcome(port, found, account), flush=True)
        except KeyboardInterrupt:
            account.result, account.facts["why"] = "interrupted", "Ctrl-C"
            raise
        except ShorewatchError as error:
            account.facts["why"] = str(error)
            if is_single:
                raise
            say(str(error))
        finally:
            seconds = round(time.monotonic() - start_s, 1)
            line |= {"result": account.result, "seconds": seconds, **account.facts}
            lines.append(line)
            if self.record is not None:
                append(self.record, line)

    def _one(self, port: Attached, wish: Wish, talk: Talk, account: Account) -> Found:
        """One board; where the file is to say what it is, by its unique id."""
        if self.station is not None:
            unique_id = unique_id_of(port, self.catalogue, wish, talk.say)
            station = load_station(self.station)
            known = {board.unique_id: board_id for board_id, board in station.boards.items()}
            if unique_id not in known:
                text = f"{port.path}: {self.station} has no board with unique id {unique_id}"
                raise FieldError(f"{text}; add it, or flash this one with --board-id")
            wish = replace(wish, role=Role(station, known[unique_id]))
        return flash(port, wish, self.catalogue, talk, account)


def _outcome(port: Attached, found: Found, account: Account) -> str:
    identity, header = found.identity, found.header
    assert identity is not None and header is not None, "a board has answered"
    what = identity.role or "no role yet"
    plan = f"plan {header.plan_crc:08x}" if header.plan_crc else "no plan yet"
    slot = f"slot {found.slot}, " * bool(found.slot)
    return (
        f"{port.path}: {account.result}: {identity.type} {identity.unique_id}, firmware "
        f"{identity.version}, {slot}{what}, {plan}"
    )
