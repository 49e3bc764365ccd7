"""A lab of virtual boards: to its bench file they are real ones, behind ttys and switches."""

import json
import select
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from shorewatch.plant.port import Port, open_port

STATION = Path(__file__).parents[2] / "hil_tests" / "stations" / "bench.toml"
BUSES = {"north": (0, 1), "south": (0,)}
IDS = {"north": "5357000000000001", "south": "5357000000000002"}
# As a relay's program would: it moves one contact of a board that somebody else plays, 3 ms later.
_CONTACT = "import sys; open(sys.argv[1], 'wb', 0).write(sys.argv[2].encode() + b'\\n')"
_POWER = "import os, sys; os.kill(int(open(sys.argv[1]).read()), int(sys.argv[2]))"
# As a debug probe's would: it stops the VM, the child of the process that plays the board.
_HALT = """
import os, sys
pid = open(sys.argv[1]).read()
child, = open(f"/proc/{pid}/task/{pid}/children").read().split()
os.kill(int(child), int(sys.argv[2]))
"""


@contextmanager
def wired(folder: Path) -> Iterator[Mapping[tuple[str, int], Path]]:
    """Each bus as two ttys with a wire between; the adapters' ends by board and UART."""
    stop = threading.Event()
    with ExitStack() as stack:
        pairs: list[tuple[Port, Port]] = []
        found = {}
        for name, uarts in BUSES.items():
            for uart in uarts:
                near = stack.enter_context(open_port(folder / f"{name}-{uart}.board"))
                far = stack.enter_context(open_port(folder / f"{name}-{uart}.adapter"))
                pairs.append((near, far))
                found[name, uart] = folder / f"{name}-{uart}.adapter"
        thread = threading.Thread(target=_carry, args=(pairs, stop), daemon=True)
        thread.start()
        try:
            yield found
        finally:
            stop.set()
            thread.join()


def _carry(pairs: list[tuple[Port, Port]], stop: threading.Event) -> None:
    ways = {a.near_fd: (a, b) for a, b in pairs} | {b.near_fd: (b, a) for a, b in pairs}
    while not stop.is_set():
        for fd in select.select(list(ways), [], [], 0.1)[0]:
            source, target = ways[fd]
            target.send(source.receive())


def bench_text(
    folder: Path,
    adapters: Mapping[tuple[str, int], Path],
    relays: Mapping[tuple[str, int], int] = {},
) -> str:
    """The bench file of that lab; `relays` are those wired to another contact than theirs."""
    lines = ['name = "loop"']
    for name, uarts in BUSES.items():
        lines += ["[[board]]", f'id = "{name}"', 'type = "virtual"', f'unique_id = "{IDS[name]}"']
        lines += [f'port = "{folder / "state" / "boards" / name}.link"']
        halted = _words(_HALT, folder / f"{name}.pid", int(signal.SIGSTOP))
        lines += [f"halt = {halted}", "[board.power]"]
        lines += ['kind = "command"', f"on = {_words(_POWER, folder / f'{name}.pid', 12)}"]
        lines += [f"off = {_words(_POWER, folder / f'{name}.pid', 10)}"]
        for uart in uarts:
            lines += ["[[board.bus]]", f"uart = {uart}", f'adapter = "{adapters[name, uart]}"']
        for number in (0, 1) if name == "north" else (0,):
            contacts = folder / "state" / "boards" / f"{name}.contacts"
            lines += ["[[board.contact]]", f"input = {number}", "[board.contact.switch]"]
            wired_to = relays.get((name, number), number)
            on, off = (_words(_CONTACT, contacts, f"{wired_to} {state} 3000") for state in (1, 0))
            lines += ['kind = "command"', f"on = {on}", f"off = {off}"]
    return "\n".join(lines) + "\n"


def _words(program: str, *arguments: object) -> str:
    return json.dumps([sys.executable, "-c", program, *map(str, arguments)])
