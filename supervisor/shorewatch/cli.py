"""The command `shorewatch`: arguments in, exit code out; what it does stands elsewhere.

Exit codes: 0 fine · 1 the thing checked is bad · 2 unreachable or interrupted · 64 usage ·
78 configuration. Heavy modules are imported by the command that needs them.
"""

import asyncio
import logging
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import cyclopts
from cyclopts import App, Group, Parameter

from shorewatch.errors import ConfigError, DemoError, OutboxError, ShorewatchError

if TYPE_CHECKING:
    from shorewatch.config import Station

EXIT_BAD, EXIT_UNREACHABLE, EXIT_USAGE, EXIT_CONFIG = 1, 2, 64, 78
DEFAULT_STATE = Path("/var/lib/shorewatch")

_SIMULATION = Group("The parts of the demo, one process each", sort_key=9)

app = App(
    name="shorewatch",
    help="Landing-station controller for submarine cables.",
    version=version("shorewatch"),
    help_format="rst",
)
plant = App(
    name="plant",
    help="The simulated field: lines, boards and a broker, for demos, tests and training.",
    group=_SIMULATION,
)
app.command(plant)

Set = Annotated[
    list[str],
    Parameter(
        name="--set",
        negative="",
        help="Lay one value over the station file, for a bench: --set page.port=8201",
    ),
]


@app.command
def demo(
    *,
    headless: bool = False,
    seconds: Annotated[float | None, Parameter(name="--for")] = None,
    report: Path | None = None,
    mqtt_port: int = 18830,
    page_port: int = 8101,
    restart_after: float = 5.0,
    seed: int = 1,
    keep: Path | None = None,
) -> None:
    """Show two landing stations, Sumqayit and Aktau, at work: everything real but the field.

    Example: shorewatch demo --headless --for 30 --report demo.json

    Parameters
    ----------
    headless
        No table: say what happens, line by line.
    seconds
        End after this many seconds (default: at Ctrl-C).
    report
        Write what was seen as one JSON object to this file.
    mqtt_port
        TCP port of the demo's broker on 127.0.0.1.
    page_port
        TCP port of the first status page; the second takes the next one.
    restart_after
        Seconds until a part that died is started again, so that you can watch the others.
    seed
        Seed of the simulated field.
    keep
        Work in this folder and leave it there (default: a temporary one, removed at the end).
    """
    from shorewatch.demo import Options, run_demo

    options = Options(
        headless=headless,
        seconds=seconds,
        report=report,
        mqtt_port=mqtt_port,
        page_port=page_port,
        restart_after_s=restart_after,
        seed=seed,
        keep=keep,
    )
    sys.exit(0 if asyncio.run(run_demo(options)) else EXIT_BAD)


@app.command
def run(
    station: Path,
    *,
    state_dir: Path | None = None,
    set_: Set = [],  # noqa: B006
) -> None:
    """Run one station's gateway until it is told to stop (SIGTERM, Ctrl-C).

    Example: shorewatch run /etc/shorewatch/sumqayit.toml

    Parameters
    ----------
    station
        The station file.
    state_dir
        Where the outbox lives and relative ports start (default /var/lib/shorewatch/<station>).
    """
    from shorewatch.config import load_station
    from shorewatch.daemon import run_station

    _log_to_stderr()
    loaded = load_station(station, _overrides(set_))
    folder = state_dir or DEFAULT_STATE / loaded.id
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        text = f"state directory {folder}: {error.strerror}; choose another with --state-dir"
        raise ShorewatchError(text) from error
    asyncio.run(run_station(loaded, folder))


@app.command
def check(station: Path, *, set_: Set = []) -> None:  # noqa: B006
    """Say everything that is wrong with a station file, or what it comes to.

    Example: shorewatch check supervisor/stations/sumqayit.toml

    Parameters
    ----------
    station
        The station file.
    """
    from rich.console import Console

    from shorewatch.check import summary
    from shorewatch.config import load_station
    from shorewatch.plan import compile_station

    loaded = load_station(station, _overrides(set_))
    Console().print(summary(loaded, compile_station(loaded)))


@app.command
def watch(
    url: str = "mqtt://127.0.0.1:18830",
    *,
    acknowledge: str | None = None,
    seconds: Annotated[float | None, Parameter(name="--for")] = None,
) -> None:
    """Follow stations as a NOC does: what is stale, what is missing, who is alive.

    Example: shorewatch watch mqtt://broker.example:1883

    Parameters
    ----------
    url
        The broker.
    acknowledge
        Acknowledge the journal under this consumer name. The station then takes these records for
        safe with the NOC: only for a consumer that keeps them.
    seconds
        End after this many seconds (default: at Ctrl-C).
    """
    from shorewatch.watch import run_watch

    sys.exit(0 if asyncio.run(run_watch(url, acknowledge, seconds)) else EXIT_UNREACHABLE)


@plant.command
def line(
    station: Path,
    board: str,
    uart: int,
    *,
    state_dir: Path,
    seed: int = 1,
    set_: Set = [],  # noqa: B006
) -> None:
    """Play one field bus with its devices on a pty: STATE_DIR/lines/<board>-<uart>.tty.

    Example: shorewatch plant line sumqayit.toml pfe-room 0 --state-dir /tmp/s

    Parameters
    ----------
    station
        The station file.
    board
        Id of the board the line belongs to.
    uart
        UART number of the line on that board.
    state_dir
        Where the pty's link is made.
    seed
        Seed of the simulated world.
    """
    from shorewatch.config import load_station
    from shorewatch.plant.run import run_line

    _log_to_stderr()
    loaded = load_station(station, _overrides(set_))
    run_line(loaded, _known_board(loaded, board), uart, state_dir, seed=seed)


@plant.command
def board(
    station: Path,
    board: str,
    *,
    state_dir: Path,
    bus: list[str] = [],  # noqa: B006
    link: Path | None = None,
    set_: Set = [],  # noqa: B006
) -> None:
    """Play one board, its link at STATE_DIR/boards/<board>.link: the real firmware on a VM.

    Example: shorewatch plant board sumqayit.toml pfe-room --state-dir /tmp/s

    Its ports can also be real ones, or ptys of others; what is not named stays simulated:
    shorewatch plant board sumqayit.toml pfe-room --state-dir /tmp/s --bus 0=/dev/ttyUSB0
    --link /dev/ttyUSB1

    Parameters
    ----------
    station
        The station file.
    board
        Id of the board.
    state_dir
        Where its lines are and its link is made.
    bus
        UART=PATH: the tty that this bus is, instead of the simulated line. Can be repeated.
    link
        The tty that the link is (115200 baud), or a new path at which to make it.
    """
    from shorewatch.config import load_station
    from shorewatch.plant.virtual_board import Wiring, run_board

    _log_to_stderr()
    loaded = load_station(station, _overrides(set_))
    wiring = Wiring(dict(_parse_bus(text) for text in bus), link)
    run_board(loaded, _known_board(loaded, board), state_dir, wiring=wiring)


@plant.command
def broker(*, port: int = 18830, state_dir: Path) -> None:
    """Run an MQTT 5 broker on 127.0.0.1: mosquitto if it is installed, else the one we bring.

    Example: shorewatch plant broker --port 18830 --state-dir /tmp/b

    Parameters
    ----------
    port
        TCP port.
    state_dir
        Where its configuration is written.
    """
    from shorewatch.mqtt.broker import run_broker

    _log_to_stderr()
    run_broker(port, state_dir)


def main() -> NoReturn:
    """Entry point: every expected error is one clear message and an exit code."""
    try:
        app(exit_on_error=False, print_error=True)
    except cyclopts.CycloptsError:
        sys.exit(EXIT_USAGE)
    except ConfigError as error:
        _say(
            f"{len(error.problems)} to correct:\n{error}" if len(error.problems) > 1 else str(error)
        )
        sys.exit(EXIT_CONFIG)
    except (DemoError, OutboxError) as error:
        _say(str(error))
        sys.exit(EXIT_UNREACHABLE)
    except ShorewatchError as error:
        _say(str(error))
        sys.exit(EXIT_BAD)
    except KeyboardInterrupt:
        sys.exit(EXIT_UNREACHABLE)
    sys.exit(0)


def _known_board(station: "Station", board_id: str) -> str:
    if board_id not in station.boards:
        known = ", ".join(station.boards)
        raise ShorewatchError(f"station {station.id} has no board {board_id!r}; it has {known}")
    return board_id


def _parse_bus(text: str) -> tuple[int, Path]:
    uart, equals, path = text.partition("=")
    if not equals or not path or not (uart.isascii() and uart.isdecimal()):
        raise ShorewatchError(f"--bus {text!r} must look like 0=/dev/ttyUSB0")
    return int(uart), Path(path)


def _overrides(texts: list[str]) -> list[tuple[str, object]]:
    from shorewatch.config import parse_override

    return [parse_override(text) for text in texts]


def _say(text: str) -> None:
    print(f"shorewatch: {text}", file=sys.stderr)


def _log_to_stderr() -> None:
    form = "%(asctime)s %(levelname)s %(name)s: %(message)s"
    logging.basicConfig(level=logging.INFO, format=form, stream=sys.stderr)
