"""How a tool speaks with the person beside the board: on stderr, with a bar where one looks on."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress

    from shorewatch.field.flash import Talk


def say(text: str) -> None:
    """One line, at once."""
    print(text, file=sys.stderr, flush=True)


@contextmanager
def talking(yes: bool) -> Iterator["Talk"]:
    """How we speak: with a bar where a person looks on, else a line each."""
    from shorewatch.field.flash import Talk

    def ask(asked: list[str]) -> bool:
        for text in asked:
            say(f"careful: {text}")
        if yes or not sys.stdin.isatty():
            return yes
        print("Go on with this board? [y/N] ", end="", file=sys.stderr, flush=True)
        return sys.stdin.readline().strip().lower() in ("y", "yes")

    if not sys.stderr.isatty():
        yield Talk(say, lambda name, done, total: say(f"{name} ({done} of {total})"), ask)
        return
    with _bar() as bar:
        task = bar.add_task("", total=None, visible=False)

        def step(name: str, done: int, total: int) -> None:
            bar.update(task, description=name, completed=done, total=total, visible=done < total)

        yield Talk(lambda text: bar.console.print(text, highlight=False, markup=False), step, ask)


def _bar() -> "Progress":
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True)
