"""`shorewatch profile`: device types, checked before a station relies on them."""

from pathlib import Path

from cyclopts import App

profile = App(name="profile", help="Device types (profiles): check one before a station uses it.")


@profile.command
def check(file: Path, /) -> None:
    """Tell everything that is wrong with a profile, or what reading such a device comes to.

    Example: shorewatch profile check profiles/my-meter.toml

    Exit code 0: it can be used. 78: it cannot; each fault is told with line, key, value and rule.

    Parameters
    ----------
    file
        The profile, named after its id.
    """
    from rich.console import Console

    from shorewatch.profile import check_profile
    from shorewatch.profilecheck import summary

    Console(highlight=False).print(summary(check_profile(file)))
