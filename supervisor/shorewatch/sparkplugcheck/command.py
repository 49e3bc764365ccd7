"""The command `shorewatch sparkplug-check`: arguments in, report and exit code out."""

import asyncio
import json as json_
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from shorewatch.errors import UplinkError, UsageError

EXIT_BAD, EXIT_UNREACHABLE = 1, 2


def sparkplug_check(
    *,
    listen: int = 1884,
    broker: str = "mqtt://127.0.0.1:1883",
    user: str | None = None,
    password_file: Path | None = None,
    seconds: Annotated[float | None, Parameter(name="--for")] = None,
    exercise: bool = False,
    primary_host: str | None = None,
    read: Path | None = None,
    save: Path | None = None,
    json: Path | None = None,
) -> None:
    """Check whether a Sparkplug 3.0 edge node keeps the specification, judged from outside.

    Example: shorewatch sparkplug-check --listen 1884 --broker mqtt://127.0.0.1:1883 --exercise

    Let the edge node connect to the port of --listen instead of its broker. What passes is recorded
    and judged by the specification's assertions. Without --for and --exercise it ends at Ctrl-C.

    Exit code 0: nothing failed. 1: an assertion failed. 2: no broker, or no edge node came.
    64: an option makes no sense.

    Parameters
    ----------
    listen
        TCP port on 127.0.0.1 to which the edge node connects.
    broker
        Its broker, without TLS.
    user
        Who we are at the broker, beside the edge node; it must read spBv1.0/#, and write NCMD and
        STATE for --exercise.
    password_file
        The file with the user's password.
    seconds
        End after this many seconds.
    exercise
        Act as a host: ask for a rebirth, be the primary host that comes and goes, cut the
        connection. Takes about a minute. Not for an edge node at work.
    primary_host
        Id of the primary host, if the node does not subscribe to its STATE by name.
    read
        Judge a session that was saved instead of recording one.
    save
        Write the recorded session to this file: one JSON object a line, without passwords.
    json
        Write all verdicts as one JSON object to this file.
    """
    from shorewatch.sparkplugcheck.judge import judged
    from shorewatch.sparkplugcheck.report import as_json, is_failed, text
    from shorewatch.sparkplugcheck.run import Options, load, record
    from shorewatch.sparkplugcheck.run import save as save_to

    if read is not None:
        entries = load(read)
    else:
        _check(listen, seconds, user, password_file)
        login = None if user is None else (user, _password(password_file))
        options = Options(listen, broker, login, seconds, exercise, primary_host)
        try:
            entries = asyncio.run(record(options, _say))
        except UplinkError as error:
            _say(str(error))
            sys.exit(EXIT_UNREACHABLE)
    if save is not None:
        save_to(save, entries)
    judge = judged(entries, primary_host)
    print(text(judge))
    if json is not None:
        try:
            json.write_text(json_.dumps(as_json(judge), indent=2) + "\n", "utf-8")
        except OSError as error:
            raise UsageError(f"{json}: {error.strerror}; choose another file") from error
    if not judge.nodes:
        _say("no edge node was seen: let it connect to the port of --listen")
        sys.exit(EXIT_UNREACHABLE)
    if is_failed(judge):
        sys.exit(EXIT_BAD)


def _check(
    listen: int, seconds: float | None, user: str | None, password_file: Path | None
) -> None:
    if not 0 <= listen <= 65_535:
        raise UsageError(f"--listen {listen} must be 1 to 65535, or 0 for any; choose a free one")
    if seconds is not None and not seconds > 0:
        raise UsageError(f"--for {seconds:g} must be a number of seconds above 0")
    if password_file is not None and user is None:
        raise UsageError("--password-file is for a --user; name one")


def _password(file: Path | None) -> str | None:
    from shorewatch.secret import read_secret

    return None if file is None else read_secret(str(file), None)


def _say(text: str) -> None:
    print(f"shorewatch: {text}", file=sys.stderr)
