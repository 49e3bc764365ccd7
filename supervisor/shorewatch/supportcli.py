"""`shorewatch support`: the support bundle of the station that runs here, or of what is left."""

import getpass
import sys
from base64 import b64decode
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from shorewatch.control import UnreachableError, ask, station_folder
from shorewatch.disk import write_durably
from shorewatch.errors import UsageError

ANSWER_S_MAX = 60.0
_UNREACHABLE = 2


def support(
    *,
    out: Path = Path("shorewatch-support.zip"),
    state_dir: Annotated[
        Path | None,
        Parameter(help="The station's state directory (default: the one in /var/lib/shorewatch)."),
    ] = None,
) -> None:
    """Write what somebody far away needs to help: one zip, with no password and no key in it.

    Example: shorewatch support --out /tmp/sumqayit.zip

    Versions, the station as configured, its values, a day of alarms and events, the last log lines,
    facts of the databases and of the machine. Exit code 2: no gateway answers; the bundle has what
    the folder and the machine tell.

    Parameters
    ----------
    out
        The file to write.
    """
    folder, by = station_folder(state_dir), getpass.getuser()
    code = 0
    try:
        reply = ask(folder, {"do": "support", "by": by}, timeout_s=ANSWER_S_MAX)
        data = b64decode(str(reply["zip"]))
    except UnreachableError as error:
        from shorewatch.support import packed, parts_here

        print(f"shorewatch: {error}", file=sys.stderr)
        data = packed({**parts_here(folder, by), "gateway.txt": str(error).encode()}, {})
        code = _UNREACHABLE
    try:
        write_durably(out, data, mode=0o600)
    except OSError as error:
        raise UsageError(f"{out}: {error.strerror}; choose another file") from error
    print(f"{out}: {len(data) / 1000:.0f} kB")
    sys.exit(code)
