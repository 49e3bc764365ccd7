"""`shorewatch user`: who may log in at the page of a station on this machine."""

import getpass
import json
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from shorewatch.control import station_folder
from shorewatch.errors import UsageError
from shorewatch.model import to_text, utc_now
from shorewatch.people import check_name, load_people, remove_person, save_person
from shorewatch.secret import read_secret

user = App(name="user", help="Who may log in at the page of the station here, and act there.")

StateDir = Annotated[
    Path | None,
    Parameter(help="The station's state directory (default: the one in /var/lib/shorewatch)."),
]
Name = Annotated[str, Parameter(name="NAME", help="The user.")]


@user.command
def add(name: Name, /, *, state_dir: StateDir = None, password_file: Path | None = None) -> None:
    """Add a user, or give one another password. It counts from the next login on.

    Example: shorewatch user add aliyev

    Parameters
    ----------
    password_file
        Read the password from this file of yours (default: ask for it, twice).
    """
    folder = station_folder(state_dir)
    check_name(name)
    is_new = save_person(folder, name, _password(name, password_file), utc_now())
    print(f"{name} {'may log in' if is_new else 'has another password'} now")


@user.command(name="list")
def list_(
    *, state_dir: StateDir = None, as_json: Annotated[bool, Parameter(name="--json")] = False
) -> None:
    """List the users and since when they are.

    Example: shorewatch user list

    Parameters
    ----------
    as_json
        Print the list as JSON.
    """
    people = load_people(station_folder(state_dir))
    rows = [{"name": p.name, "added": to_text(p.added_at)} for p in people.values()]
    if as_json:
        print(json.dumps(rows, indent=1))
    elif not rows:
        print("No users: nobody can log in. Add one with `shorewatch user add NAME`.")
    else:
        for row in rows:
            print(f"{row['name']:<32}  since {str(row['added'])[:10]}")


@user.command
def remove(name: Name, /, *, state_dir: StateDir = None) -> None:
    """Remove a user: no login any more, and a session that is open ends at its next action.

    Example: shorewatch user remove aliyev
    """
    remove_person(station_folder(state_dir), name)
    print(f"{name} may not log in any more")


def _password(name: str, file: Path | None) -> str:
    if file is not None:
        return read_secret(str(file), None)
    if not sys.stdin.isatty():
        raise UsageError("no terminal to ask for the password: name a file with --password-file")
    first = getpass.getpass(f"Password for {name}: ")
    if getpass.getpass("Once more: ") != first:
        raise UsageError("the two differ: nothing was changed")
    return first
