"""What can go wrong that is nobody's bug.

    ShorewatchError            a bad world or setup: caught in exactly one loop, or by the CLI
    ├── ConfigError            a file is wrong: every problem at once, exit code 78
    ├── LinkError              a board or direct line is not reached (its loop retries)
    │   ├── SilenceError       a board did not answer at all
    │   ├── WrongBoardError    another board, or another plan, answers: no values
    │   └── MaintenanceError   the board is at its prompt: nothing may be sent to it
    ├── UplinkError            a broker refused or vanished (mqtt/uplink.py's loop retries)
    ├── SecretError            a secret cannot be had (mqtt/uplink.py shows it and retries)
    ├── PeopleError            the page's users cannot be read or changed (login refuses)
    ├── OutboxError            the outbox is another process's, or came back as another journal
    ├── HistoryError           the history cannot be used, or cannot answer (history.py degrades)
    ├── UsageError             an argument of the command line makes no sense: exit code 64
    ├── ControlError           a running station refuses what it was asked (control.py)
    │   └── UnreachableError   no station runs there: exit code 2
    ├── FieldError             a board is not as it should be for what a technician wants of it
    │   └── AbsentError        no board answers there (whoever waits for one goes on): exit code 2
    ├── QuitError              whoever answers a commissioning goes on another time: exit code 2
    └── DemoError              the demo lacks a program or a port, or a child will not start

A wrong value from the field is no error: it is a `Value` with quality and reason (model.py).
A broken rule inside the program is an `assert`: the process ends and systemd restarts it.
"""

from collections.abc import Sequence
from dataclasses import dataclass


class ShorewatchError(Exception):
    """Base of all expected errors. Its text is one plain sentence with what to do next."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong in one file."""

    file: str
    line: int | None
    key: str
    value: str | None
    rule: str

    def __str__(self) -> str:
        where = self.file if self.line is None else f"{self.file}:{self.line}"
        found = "" if self.value is None else f" (found {self.value})"
        return f"{where}: {self.key}: {self.rule}{found}"


class ConfigError(ShorewatchError):
    """A station file, profile or board file that cannot be used; holds every problem found."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        assert problems, "a ConfigError names at least one problem"
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)


class LinkError(ShorewatchError):
    """A board or direct line is not reached, or answered something that must not be used."""


class SilenceError(LinkError):
    """Nothing that could be an answer came in time."""


class WrongBoardError(LinkError):
    """Another board, another plan or another program answers: its values must not be used."""


class MaintenanceError(LinkError):
    """A board is at its MicroPython prompt: what we send would be typed there."""


class UplinkError(ShorewatchError):
    """A broker is unreachable, refused us, or dropped us; `state` is a short word for the page.

    Where it was not `was_reached`, no byte of ours can have come to it.
    """

    def __init__(self, state: str, text: str, *, was_reached: bool = True) -> None:
        super().__init__(text)
        self.state = state
        self.was_reached = was_reached


class SecretError(ShorewatchError):
    """A secret is missing, or anybody could read it."""


class PeopleError(ShorewatchError):
    """The file of the page's users cannot be used, or does not take what it was given."""


class OutboxError(ShorewatchError):
    """The outbox file cannot be used as it is."""


class HistoryError(ShorewatchError):
    """The history file is not ours, or a question has no answer."""


class UsageError(ShorewatchError):
    """What was asked for makes no sense: which argument, its value, the rule, what to do."""


class DemoError(ShorewatchError):
    """The demo cannot start or go on: a missing program, a port in use."""


class FieldError(ShorewatchError):
    """A board cannot be flashed, opened or given a plan as it is."""


class AbsentError(FieldError):
    """Nothing that could be the board is there, or it does not answer."""
