"""`shorewatch commission`: a technician goes from point to point of a board, and signs for it."""

import asyncio
import getpass
import signal
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from shorewatch.errors import LinkError, UsageError

if TYPE_CHECKING:
    from shorewatch.compiled import Compiled
    from shorewatch.field.commission import Step
    from shorewatch.field.commissionrun import Talk

EXIT_BAD, EXIT_UNREACHABLE = 1, 2


def commission(
    station: Path,
    *,
    board: str,
    record: Path | None = None,
    by: str | None = None,
    state_dir: Path | None = None,
    answers: Path | None = None,
    yes: Annotated[bool, Parameter(negative="")] = False,
    contact_s: float = 60,
    set_: Annotated[list[str], Parameter(name="--set", negative="")] = [],  # noqa: B006
) -> None:
    """Go through every point of a board, and write the record of it, to be printed and signed.

    Example: shorewatch commission sumqayit.toml --board beach --by "R. Aliyev"

    Each value is shown beside its range; compare it with the device itself. Contacts are seen, not
    answered: open the lid when you are asked to, and close it again. A value that is bad cannot
    pass, whatever is answered. Interrupted at any moment, the next start goes on where it was; what
    failed is asked again.

    Values come through the gateway that runs here; where none runs, this program reads the board
    itself. Exit code 0: everything passed. 1: something failed, or is open. 2: interrupted, or the
    board is not reached; what was answered is kept.

    Parameters
    ----------
    station
        The station file.
    board
        The board's id in it.
    record
        The record (default: commission-<station>-<board>.json here); the page for printing is
        beside it, ending in .html, the answers so far in .steps.
    by
        Who does it (default: the user who is logged in).
    state_dir
        The station's state directory (default: /var/lib/shorewatch/<station>).
    answers
        A TOML file with a table [answers]: "room.temperature" = "pass", "fail: why", "note: what"
        or "later"; for training and tests.
    yes
        Pass every value that is good, fail every other; what a person has failed stays failed.
    contact_s
        How long a contact is waited for.
    set_
        Lay one value over the station file, as of `shorewatch run`.
    """
    from shorewatch.compiled import load_compiled
    from shorewatch.config import parse_override
    from shorewatch.field.commission import steps
    from shorewatch.field.commissionrun import QuitError
    from shorewatch.field.commissiontalk import Terminal, Written

    compiled = load_compiled(station, [parse_override(text) for text in set_])
    if board not in compiled.plans:
        known = ", ".join(compiled.plans) or "none"
        raise UsageError(f"--board {board}: the station has no such board; it has {known}")
    if yes and answers is not None:
        raise UsageError("--yes answers by itself: leave out --answers, or --yes")
    if not 1 <= contact_s <= 3600:
        raise UsageError(f"--contact-s {contact_s:g} must be 1 to 3600")
    path = record or Path(f"commission-{compiled.station.id}-{board}.json")
    if path.suffix != ".json":
        raise UsageError(f"--record {path} must end in .json: the page beside it ends in .html")
    talk: Talk
    if yes or answers is not None:
        given = {} if answers is None else _answers(answers, steps(compiled, board))
        talk = Written(given, "pass" if yes else "later", "--yes" if yes else "a file of answers")
    elif sys.stdin is None:
        raise UsageError("there is no input to type answers into: give --answers FILE, or --yes")
    else:
        talk = Terminal(sys.stdin.fileno())
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what was answered is to be kept
    who = by or getpass.getuser()
    try:
        code = asyncio.run(_run(compiled, board, talk, who, path, state_dir, contact_s))
    except LinkError as error:
        print(f"shorewatch: {error}", file=sys.stderr)
        code = EXIT_UNREACHABLE
    except (KeyboardInterrupt, QuitError):
        print("\ninterrupted: the same command goes on from here", file=sys.stderr)
        code = EXIT_UNREACHABLE
    sys.exit(code)


async def _run(
    compiled: "Compiled",
    board: str,
    talk: "Talk",
    who: str,
    path: Path,
    state_dir: Path | None,
    contact_s: float,
) -> int:
    from shorewatch.field.commissionfile import ledger
    from shorewatch.field.commissionrun import Commissioning
    from shorewatch.field.sight import folder_of, seen
    from shorewatch.model import to_text, utc_now

    plan_crc = f"{compiled.plans[board].crc:08x}"
    unique_id = compiled.station.boards[board].unique_id
    head = {
        "station": compiled.station.id,
        "board": board,
        "unique_id": unique_id,
        "plan": plan_crc,
    }
    begun = str(to_text(utc_now()))
    with ledger(path.with_suffix(".steps"), head, begun) as kept:
        async with seen(folder_of(compiled, state_dir), compiled, [board]) as sight:
            work = Commissioning(compiled, board, sight, kept, talk, by=who, contact_s=contact_s)
            talk.tell(f"by {sight.source}")
            await work.begin()
            await work.walk()
            facts = _facts(compiled, board, await sight.look(board), head)
            facts |= {"source": sight.source, "begun_at": kept.begun_at}
            body = await work.end(facts | {"ended_at": str(to_text(utc_now()))}, path)
    talk.tell("")
    for noun, ids in (("failed", body["failed"]), ("open", body["open"])):
        if ids:
            talk.tell(f"{noun}: {', '.join(ids)}", is_bad=True)
    if body["is_passed"]:
        talk.tell("everything passed")
    talk.tell(f"record: {path}; to print and sign: {path.with_suffix('.html')}")
    return 0 if body["is_passed"] else EXIT_BAD


def _facts(
    compiled: "Compiled", board: str, look: Mapping[str, Any], head: Mapping[str, str]
) -> dict[str, Any]:
    """Who and what this is of, as the record has it."""
    from shorewatch.kernel import read_kernel

    station = compiled.station
    running = look.get("config", station.config_hash)
    kernel = read_kernel()
    is_set = kernel is not None and kernel.is_synchronised
    differs = "" if running == station.config_hash else f" (the gateway runs {running})"
    return {
        **head,
        "station_name": station.file.station.name,
        "cable": station.cable,
        "board_type": station.boards[board].type,
        "firmware": look["boards"][board]["firmware"],
        "version": version("shorewatch"),
        "config": station.config_hash + differs,
        "clock": "this machine's clock is synchronised" if is_set
        else "this machine's clock is NOT known to be synchronised: times may be off",
    }  # fmt: skip


def _answers(path: Path, plan: "Sequence[Step]") -> dict[str, str]:
    """The answers of a file; raises ConfigError with everything that is wrong with it."""
    from shorewatch.errors import ConfigError
    from shorewatch.field.commission import answered
    from shorewatch.toml import read_toml

    file = read_toml(path)
    table = file.data.get("answers")
    if not isinstance(table, dict):
        raise ConfigError([file.problem(("answers",), None, "is missing: a table of answers")])
    known = {step.id for step in plan}
    problems = []
    for id_, answer in table.items():
        if id_ not in known:
            problems.append(file.problem(("answers", id_), str(answer), "is no point of the board"))
            continue
        try:
            answered(str(answer), None)
        except ValueError as error:
            problems.append(file.problem(("answers", id_), str(answer), str(error)))
    if problems:
        raise ConfigError(problems)
    return {id_: str(answer) for id_, answer in table.items()}
