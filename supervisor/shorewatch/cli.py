"""The command `shorewatch`: arguments in, exit code out; what it does stands elsewhere.

Exit codes: 0 fine · 1 the thing checked is bad · 2 unreachable or interrupted · 64 usage ·
78 configuration. Heavy modules are imported by the command that needs them.
"""

import asyncio
import contextlib
import errno
import getpass
import json as json_
import logging
import os
import secrets
import signal
import sys
import tempfile
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import cyclopts
from cyclopts import App, Group, Parameter

from shorewatch.alarmcli import alarm
from shorewatch.cablecli import cable
from shorewatch.control import DEFAULT_STATE, ControlError, UnreachableError, ask, station_folder
from shorewatch.errors import (
    AbsentError,
    ConfigError,
    DemoError,
    OutboxError,
    ShorewatchError,
    UsageError,
)
from shorewatch.field.boardscli import boards
from shorewatch.field.commissioncli import commission
from shorewatch.field.consolecli import console
from shorewatch.field.doctorcli import bus_app
from shorewatch.field.flashcli import flash, push
from shorewatch.field.maintenancecli import maintenance
from shorewatch.field.scancli import scan
from shorewatch.grafanacli import grafana
from shorewatch.hil.checkcli import bench_check
from shorewatch.historycli import history
from shorewatch.logcli import log
from shorewatch.model import to_text, utc_now
from shorewatch.profilecli import profile
from shorewatch.sparkplugcheck.command import sparkplug_check
from shorewatch.statuscli import status
from shorewatch.supportcli import support
from shorewatch.usercli import user

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shorewatch.bench.figures import Result
    from shorewatch.config import Station
    from shorewatch.plan import BoardPlan

RELOAD_S_MAX = 60.0
EXIT_BAD, EXIT_UNREACHABLE, EXIT_USAGE, EXIT_CONFIG = 1, 2, 64, 78

_SIMULATION = Group("The parts of the demo, one process each", sort_key=9)

app = App(
    name="shorewatch",
    help="Landing-station controller for submarine cables.",
    version=version("shorewatch"),
    help_format="rst",
    suppress_keyboard_interrupt=False,
)
plant = App(
    name="plant",
    help="The simulated field: lines, boards and a broker, for demos, tests and training.",
    group=_SIMULATION,
)
app.command(plant)
app.command(alarm)
app.command(cable)
app.command(grafana)
app.command(history)
app.command(log)
app.command(profile)
app.command(scan)
app.command(bus_app)
app.command(commission)
app.command(console)
app.command(sparkplug_check)
app.command(status)
app.command(support)
app.command(user)
bench = App(name="bench", help="Measure the product beside its limits and its peers.")
app.command(bench)
bench.command(bench_check, name="check")
plan = App(name="plan", help="What each board shall read: compile it, look at it.")
app.command(plan)
for technicians in (boards, flash, maintenance):
    app.command(technicians)
plan.command(push)
app.register_install_completion_command()

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
    scenario: str | None = None,
    speed: float = 1.0,
) -> None:
    """Show two landing stations, Sumqayit and Aktau, at work: everything real but the field.

    Example: shorewatch demo --headless --for 30 --report demo.json

    shorewatch demo --scenario anchor-drag --speed 10

    Exit code 0: every device was read, no record was lost, both pages answered to the end, and a
    scenario's alarms came as they were to. 1: not so; the last lines and the report say why. 2:
    interrupted before every device had been read, or it cannot start (a port in use, a missing
    program). 64: an option makes no sense.

    Parameters
    ----------
    headless
        No table: say what happens, line by line; so it is too where stdout is no terminal.
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
    scenario
        Play a scenario (`shorewatch plant scenarios` lists them, a path names one of yours), say
        what happens, and judge the alarms. Then it ends with the scenario, unless --for says else.
    speed
        How many seconds of the scenario pass in one.
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
        scenario=scenario,
        speed=speed,
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

    SIGHUP, or `shorewatch reload`, makes it take what the station file says then.

    Parameters
    ----------
    station
        The station file.
    state_dir
        Where the outbox lives and relative ports start (default /var/lib/shorewatch/<station>).
    """
    from shorewatch.compiled import load_compiled
    from shorewatch.daemon import run_station

    _log_to_stderr()
    load = partial(load_compiled, station, _overrides(set_))
    loaded = load()
    folder = _made(state_dir or DEFAULT_STATE / loaded.station.id)
    asyncio.run(run_station(loaded, folder, load))


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
    from shorewatch.compiled import load_compiled

    Console(markup=False, emoji=False).print(summary(load_compiled(station, _overrides(set_))))


@app.command
def schema(*, out: Path) -> None:
    """Write JSON Schemas of files, so that an editor checks them, and of all that goes over MQTT.

    Example: shorewatch schema --out /etc/shorewatch/schema

    Of MQTT there is a schema of each payload, and asyncapi.json: all of it as AsyncAPI 3.0.

    Editors for TOML take the schema from a file's first line: #:schema schema/station.schema.json

    Parameters
    ----------
    out
        The folder to write to; made if it is missing.
    """
    from shorewatch.schema import schemas

    for name, text in schemas().items():
        _write(out / name, text.encode())
        print(out / name)


@app.command(name="broker-rules")
def broker_rules(
    *stations: Path,
    out: Path,
    uplink: str | None = None,
    dashboard: list[str] = [],  # noqa: B006
    certs: Path = Path("/etc/mosquitto/certs"),
    port: int = 8883,
) -> None:
    """Write access rules for mosquitto from station files, and a sample of its configuration.

    Example: shorewatch broker-rules sumqayit.toml aktau.toml --out /etc/mosquitto/shorewatch

    A gateway may then write only its own topics, a consumer acknowledge and a requester ask only
    under its own name, and a dashboard only read.

    Parameters
    ----------
    stations
        The files of all stations that publish at this broker.
    out
        The folder to write to; made if it is missing. The configuration names it.
    uplink
        Id of the uplink that goes to this broker, for stations with several.
    dashboard
        A user who only reads; may be given more than once.
    certs
        Where the broker has ca.crt, server.crt and server.key.
    port
        TCP port of the broker.
    """
    from shorewatch.config import load_station
    from shorewatch.mqtt.access import access_rules, broker_conf, broker_users, find_uplinks

    if not stations:
        raise UsageError("broker-rules needs at least one station file")
    uplinks = find_uplinks([load_station(path) for path in stations], uplink)
    folder = out.absolute()
    _write(folder / "shorewatch.acl", access_rules(uplinks, dashboard).encode())
    _write(folder / "shorewatch.conf", broker_conf(folder, certs.absolute(), port).encode())
    print(f"{folder / 'shorewatch.acl'}\n{folder / 'shorewatch.conf'}")
    print("each user needs a password, the first time with -c to make the file:")
    for name in broker_users(uplinks, dashboard):
        print(f"  mosquitto_passwd {folder / 'shorewatch.passwords'} {name}")


@app.command
def diff(
    old: Path,
    new: Path,
    *,
    json: Path | None = None,
    set_: Set = [],  # noqa: B006
) -> None:
    """Say what would change from one station file to another, and what a reload can take of it.

    Example: shorewatch diff /etc/shorewatch/sumqayit.toml /tmp/sumqayit.toml

    Exit code 0: a running gateway can take the new file, or it says the same. 1: it has to be
    restarted for it.

    Parameters
    ----------
    old
        The station file that runs.
    new
        The one to take its place.
    json
        Write all of it as one JSON object to this file.
    """
    from shorewatch.compiled import load_compiled
    from shorewatch.diff import compare

    overrides = _overrides(set_)
    found = compare(load_compiled(old, overrides), load_compiled(new, overrides))
    print("\n".join(found.lines()))
    if json is not None:
        _write_json(json, found.to_json())
    if found.restarts:
        sys.exit(EXIT_BAD)


@app.command
def reload(*, state_dir: Path | None = None, by: str | None = None) -> None:
    """Make the gateway that runs here take what its station file says now.

    Example: shorewatch reload

    Exit code 0: taken, or nothing has changed. 78: refused, with everything that is wrong; the
    gateway goes on as it was. 2: no station runs there.

    Parameters
    ----------
    state_dir
        The station's state directory (default: the one in /var/lib/shorewatch).
    by
        Who says so (default: the user who is logged in).
    """
    request = {"do": "reload", "by": by or getpass.getuser()}
    try:
        reply = ask(station_folder(state_dir), request, timeout_s=RELOAD_S_MAX)
    except UnreachableError:
        raise
    except ControlError as error:
        _say(f"nothing has changed:\n{error}")
        sys.exit(EXIT_CONFIG)
    for line in reply["lines"] if isinstance(reply["lines"], list) else ():
        print(line)


@app.command
def watch(
    url: str = "mqtt://127.0.0.1:18830",
    *,
    acknowledge: str | None = None,
    station: Annotated[list[str], Parameter(negative="")] = [],  # noqa: B006
    jsonl: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,
    verify: bool = False,
    account: Path | None = None,
    from_first: bool = False,
    identity: str | None = None,
    key_file: str | None = None,
    user: str | None = None,
    password_file: str | None = None,
    ca_file: str | None = None,
    cert_file: str | None = None,
    cert_key_file: str | None = None,
    seconds: Annotated[float | None, Parameter(name="--for")] = None,
    json: Path | None = None,
) -> None:
    """Follow stations as a NOC does: what is stale, what is missing, who is alive; keep records.

    Example: shorewatch watch mqtt://broker.example:1883

    shorewatch watch mqtt://broker.example --acknowledge noc --jsonl records.jsonl --verify

    Exit code 2: the broker was not there at the end. With --verify 0 says that every record came
    once and in order, or that a loss record of its station explains why not; 1 that it is not so.

    Parameters
    ----------
    url
        The broker.
    acknowledge
        Acknowledge the journal under this consumer name, with --jsonl what is safely in the file.
        The station then lets go of these records: without --jsonl FILE nobody has them.
    station
        Follow only this station, <cable>/<station>; may be given more than once.
    jsonl
        Append each record as a line of JSON to this file, or to standard output ("-"). A file is
        on the disk before it is acknowledged, and goes on where it ended, also after a kill.
    verify
        Keep an account of every sequence, and say at the end which is missing, doubled or out of
        order. It goes on from run to run beside the file of --jsonl.
    account
        Without --jsonl FILE: the file in which that account goes on.
    from_first
        Where nothing says where to go on, begin at the first record that a station still keeps.
    identity
        Ask stations to send again what is missing, as this one of their requesters.
    key_file
        The file with the key of that identity.
    user
        User at the broker.
    password_file
        The file with that user's password.
    ca_file
        With mqtts://: the CAs of which one has signed the broker's certificate (default: those of
        the system).
    cert_file
        With mqtts://: our certificate, where the broker asks for one.
    cert_key_file
        The file with its key.
    seconds
        End after this many seconds (default: at Ctrl-C).
    json
        With --verify: write the account as one JSON object to this file.
    """
    from shorewatch.mqtt.tls import Tls
    from shorewatch.watch import Options, run_watch

    if seconds is not None and not seconds > 0:
        raise UsageError(f"--for {seconds:g} must be a number of seconds above 0")
    if json is not None and not verify:
        raise UsageError(f"--json {json} writes the account of --verify: give that, too")
    options = Options(
        acknowledge=acknowledge, stations=tuple(station), seconds=seconds, jsonl=jsonl,
        verify=verify, account=account, json=json, from_first=from_first, user=user,
        password_file=password_file, identity=identity, key_file=key_file,
        tls=Tls(ca_file, cert_file, cert_key_file),
    )  # fmt: skip
    outcome = asyncio.run(run_watch(url, options))
    if not outcome.is_online:
        sys.exit(EXIT_UNREACHABLE)
    sys.exit(0 if outcome.fault is None else EXIT_BAD)


@plan.command
def build(
    station: Path,
    *,
    board: str | None = None,
    out: Path,
    set_: Set = [],  # noqa: B006
) -> None:
    """Compile the plans of a station's boards: OUT/<board>.plan.bin, one file a board.

    Example: shorewatch plan build sumqayit.toml --out /tmp/plans

    Parameters
    ----------
    station
        The station file.
    board
        Id of the one board to compile (default: all).
    out
        The folder to write to; made if it is missing.
    """
    for board_id, compiled in _plans(station, board, set_).items():
        path = out / f"{board_id}.plan.bin"
        _write(path, compiled.data)
        size, blocks = len(compiled.data), len(compiled.blocks)
        print(f"{path}: {size} bytes, CRC {compiled.crc:08x}, {blocks} blocks")


@plan.command
def show(file: Path, *, board: str | None = None, set_: Set = []) -> None:  # noqa: B006
    """Show a plan: its buses, devices, blocks and names, and what is wrong with it.

    Example: shorewatch plan show pfe-room.plan.bin

    Parameters
    ----------
    file
        A plan as `plan build` writes it, or a station file (.toml) to compile and show.
    board
        Id of the one board of the station file (default: all).
    """
    from rich.console import Console

    from shorewatch.planfile import parse
    from shorewatch.show import plan_text

    console = Console(markup=False, emoji=False)
    if file.suffix == ".toml":
        for compiled in _plans(file, board, set_).values():
            names = [device.id for device in compiled.station.of_board(compiled.board_id)]
            console.print(plan_text(parse(compiled.data), names))
        return
    try:
        data = file.read_bytes()
    except OSError as error:
        text = f"{file}: {error.strerror}; name a plan (.bin) or a station file (.toml)"
        raise UsageError(text) from error
    found = parse(data)
    console.print(plan_text(found))
    if found.faults:
        sys.exit(EXIT_BAD)


@bench.command
def bus(*, json: Path | None = None, quick: bool = False, soak: int | None = None) -> None:
    """Measure how well a board uses its field buses, beside other Modbus RTU clients.

    Example: shorewatch bench bus --json bus.json

    Takes about ten minutes, and the processors: on a machine that others use the times are worse.
    Clients that are not installed are left out; pip install 'shorewatch[bench]' brings them.

    Parameters
    ----------
    json
        Write the figures, the versions and the load of the machine as one JSON object.
    quick
        One short run of everything: to see that it works, not to quote.
    soak
        Instead, make this many transactions and watch the heap.
    """
    from shorewatch.bench.bus import QUICK, Extent, run_bus, run_soak

    signal.signal(signal.SIGINT, signal.default_int_handler)  # boards and lines are to end with it
    if soak is not None and soak < 1:
        raise UsageError("--soak takes the number of transactions, 1 or more")
    if soak is not None:
        found = run_soak(soak, _say)
    else:
        found = run_bus(QUICK if quick else Extent(), _say)
    _report(found, "bench bus", json)


@bench.command
def core(*, json: Path | None = None) -> None:
    """Measure the gateway's own work: decoding, judging alarms, compiling plans.

    Example: shorewatch bench core --json core.json

    Takes about a minute. Processor time is counted, not wall clock.

    Parameters
    ----------
    json
        Write the figures, the versions and the load of the machine as one JSON object.
    """
    from shorewatch.bench.core import run_core

    _report(run_core(_say), "bench core", json)


@bench.command
def uplink(*, json: Path | None = None, quick: bool = False, first_port: int = 18900) -> None:
    """Measure the way from many Modbus TCP devices to a subscriber: cost, delays, losses.

    Example: shorewatch bench uplink --json uplink.json

    Takes about six minutes, and the processors. Real processes on this machine: devices, the
    gateway, a broker, a subscriber; the broker is taken away and the gateway killed on the way.

    Parameters
    ----------
    json
        Write the figures, the versions and the load of the machine as one JSON object.
    quick
        A few devices for a few seconds: to see that it works, not to quote.
    first_port
        The first of the TCP ports on 127.0.0.1 that are used: one for the broker, one a device.
    """
    from shorewatch.bench.uplink import QUICK, Extent, run_uplink

    extent = replace(QUICK if quick else Extent(), first_port=first_port)
    _report(run_uplink(extent, _say), "bench uplink", json)


@bench.command
def web(*, json: Path | None = None, first_port: int = 18980) -> None:
    """Measure the page: its first load on a slow line, and what a hundred viewers cost.

    Example: shorewatch bench web --json web.json

    Takes about two minutes; needs Chromium.

    Parameters
    ----------
    json
        Write the figures, the versions and the load of the machine as one JSON object.
    first_port
        The first of the five TCP ports on 127.0.0.1 that are used.
    """
    from shorewatch.bench.web import run_web

    _report(run_web(_say, first_port), "bench web", json)


@bench.command(name="cable")
def bench_cable(*, json: Path | None = None, quick: bool = False) -> None:
    """Locate drawn faults, and watch weeks of a sound cable: are the intervals true?

    Example: shorewatch bench cable --json cable.json

    About half an hour on two cores. Everything is seeded: the figures are the same everywhere.

    Parameters
    ----------
    json
        Write the figures as one JSON object to this file.
    quick
        Fewer faults and two weeks: a look, not a measurement.
    """
    from shorewatch.bench.cable import QUICK, Extent, run_cable

    _report(run_cable(QUICK if quick else Extent(), _say), "bench cable", json)


@bench.command
def chaos(
    *,
    each: int = 1,
    minutes: float = 1.0,
    seed: int | None = None,
    json: Path | None = None,
    first_port: int = 19000,
) -> None:
    """Disturb running stations again and again, then account for every record and every value.

    Example: shorewatch bench chaos --each 20 --json chaos.json

    Broker, gateways and consumers are killed, their line is cut, half-open or slow, clocks step,
    a second gateway has the same identity; disks are full, fail or are read-only, the power is cut,
    a database is taken away. Exit code 1: something was lost, came twice, is not what a device
    said, or a process failed by itself.

    Mounts small file systems where it may (root), and says what it could not do without.

    Parameters
    ----------
    each
        How often each disturbance is made at least.
    minutes
        How long at least; the account takes a little more.
    seed
        What was printed by a run whose disturbances you want again (default: another each time).
    json
        Write the figures, the versions and the load of the machine as one JSON object.
    first_port
        The first of the 18 TCP ports on 127.0.0.1 that are used.
    """
    from shorewatch.bench.chaos import Extent, run_chaos

    if not 0 <= minutes < 1e6:
        raise UsageError(f"--minutes {minutes:g} must be a number of minutes from 0 on")
    if each < 1:
        raise UsageError(f"--each {each} must be a number from 1 on")
    seed = secrets.randbelow(1_000_000) if seed is None else seed
    for signum in (signal.SIGINT, signal.SIGTERM):  # processes and file systems end with it
        signal.signal(signum, signal.default_int_handler)
    found = run_chaos(Extent(seed, each, minutes, first_port), _say)
    _report(found, "bench chaos", json)
    if not all(figure.is_kept for figure in found.figures.values()):
        sys.exit(EXIT_BAD)


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Playing:
    """What happens in the simulated field.

    Parameters
    ----------
    scenario
        One of the shipped scenarios (`shorewatch plant scenarios`), or a path to one of yours.
    start
        When it begins, in UTC: the same for all that play it together (default: now).
    speed
        How many of its seconds pass in one.
    """

    scenario: str | None = None
    start: str | None = None
    speed: float = 1.0


QUIET_DAY = Playing()


@plant.command
def line(
    station: Path,
    board: str,
    uart: int,
    *,
    state_dir: Path,
    seed: int = 1,
    playing: Playing = QUIET_DAY,
    record: Annotated[Path | None, Parameter(env_var="SHOREWATCH_RECORD")] = None,
    set_: Set = [],  # noqa: B006
) -> None:
    """Play one field bus with its devices on a pty: STATE_DIR/lines/<board>-<uart>.tty.

    Example: shorewatch plant line sumqayit.toml pfe-room 0 --state-dir /tmp/s

    A recording has a line for all bytes that passed at once: time in UTC, ">" from the board or
    "<" from the devices, hexadecimal. It holds at most 16 MiB: the older half in FILE.old.

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
    record
        Folder for a recording, appended to: <station>-<board>-<uart>.wire. The variable reaches
        every line of a demo: SHOREWATCH_RECORD=/tmp/wire shorewatch demo
    """
    from shorewatch.config import load_station
    from shorewatch.plant.run import run_line
    from shorewatch.plant.scenario import play_of

    _log_to_stderr()
    play = play_of(playing.scenario, playing.start, playing.speed)
    loaded = load_station(station, _overrides(set_))
    uarts = [bus.uart for bus in loaded.boards[_known_board(loaded, board)].bus]
    if uart not in uarts:
        known = ", ".join(map(str, uarts))
        raise UsageError(f"board {board} has no bus on UART {uart}; it has {known}")
    run_line(loaded, board, uart, _made(state_dir), seed=seed, play=play, record=record)


@plant.command
def direct(
    station: Path,
    direct: str,
    *,
    state_dir: Path,
    seed: int = 1,
    playing: Playing = QUIET_DAY,
    set_: Set = [],  # noqa: B006
) -> None:
    """Play one direct line with its devices: its TCP address, or its port as a pty.

    Example: shorewatch plant direct sumqayit.toml ups --state-dir /tmp/s

    Parameters
    ----------
    station
        The station file.
    direct
        Id of the direct line; a TCP address must be one of this machine, a port a relative path.
    state_dir
        Where a pty's link is made.
    seed
        Seed of the simulated world.
    """
    from shorewatch.config import load_station
    from shorewatch.plant.direct import run_direct
    from shorewatch.plant.scenario import play_of

    _log_to_stderr()
    play = play_of(playing.scenario, playing.start, playing.speed)
    loaded = load_station(station, _overrides(set_))
    if direct not in loaded.directs:
        known = ", ".join(loaded.directs) or "none"
        raise UsageError(f"station {loaded.id} has no direct line {direct!r}; it has {known}")
    run_direct(loaded, direct, _made(state_dir), seed=seed, play=play)


@plant.command
def board(
    station: Path,
    board: str,
    *,
    state_dir: Path,
    bus: list[str] = [],  # noqa: B006
    link: Path | None = None,
    empty: Annotated[bool, Parameter(negative="")] = False,
    seed: int = 1,
    playing: Playing = QUIET_DAY,
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
    empty
        A board as it comes: MicroPython and not one file. `shorewatch flash` makes it a station's.
    seed
        Seed of the simulated world, in which its contacts are moved.
    """
    from shorewatch.config import load_station
    from shorewatch.plant.scenario import play_of
    from shorewatch.plant.virtual_board import Wiring, run_board
    from shorewatch.plant.world import World

    _log_to_stderr()
    play = play_of(playing.scenario, playing.start, playing.speed)
    world = None if play is None else World(seed, play)
    loaded = load_station(station, _overrides(set_))
    wiring = Wiring(dict(_parse_bus(text) for text in bus), link)
    board = _known_board(loaded, board)
    run_board(loaded, board, _made(state_dir), wiring=wiring, world=world, is_empty=empty)


@plant.command(name="run")
def plant_run(
    station: Path,
    *,
    state_dir: Path | None = None,
    tcp: int | None = None,
    seed: int = 1,
    playing: Playing = QUIET_DAY,
    set_: Set = [],  # noqa: B006
) -> None:
    """Offer all simulated devices of a station to any software: on ptys, or by Modbus TCP.

    Example: shorewatch plant run sumqayit.toml --scenario mains-failure --speed 10

    shorewatch plant run sumqayit.toml --tcp 15020

    It prints where each line is and who answers there, and says what happens. Ctrl-C ends it.

    Parameters
    ----------
    station
        The station file.
    state_dir
        Where the ptys' links are made (default: a temporary folder).
    tcp
        No ptys: each line is a port of Modbus TCP on 127.0.0.1, from this one on.
    seed
        Seed of the simulated world.
    """
    from shorewatch.plant.scenario import play_of
    from shorewatch.plantcli import run_plant

    _log_to_stderr()
    overrides = _overrides(set_)
    # One moment for all of them, a little ahead: they start within a second or so.
    start = playing.start or to_text(utc_now() + timedelta(seconds=3))
    play = play_of(playing.scenario, start if playing.scenario else None, playing.speed)
    words = ["--seed", str(seed)]
    if play is not None:
        words += ["--scenario", str(play.scenario.source.path), "--start", str(start)]
        words += ["--speed", f"{playing.speed:g}"]
    for text in set_:
        words += ["--set", text]
    folder = None if state_dir is None else _made(state_dir)
    run_plant(station, overrides, words, state_dir=folder, tcp=tcp, seed=seed, play=play)


@plant.command(name="scenarios")
def plant_scenarios() -> None:
    """List the shipped scenarios and what happens in them.

    Example: shorewatch plant scenarios
    """
    from shorewatch.plantcli import print_scenarios

    print_scenarios()


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
    if not 1 <= port <= 65_535:
        raise UsageError(f"--port {port} must be 1 to 65535; choose one that is free, above 1023")
    run_broker(port, _made(state_dir))


def main() -> NoReturn:
    """Every expected error is one clear message and an exit code."""
    code: str | int | None
    try:
        code = _outcome()
        sys.stdout.flush()
    except KeyboardInterrupt:
        code = EXIT_UNREACHABLE
    except OSError as error:
        if not _is_output_lost():
            raise
        if not isinstance(error, BrokenPipeError):  # `| head` is no fault
            _say(f"the output cannot be written: {error.strerror}")
        code = EXIT_UNREACHABLE
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # what is left is Python's own end
    sys.exit(code)


def _outcome() -> str | int | None:
    """Do what the command line says; the exit code."""
    try:
        app(exit_on_error=False, print_error=True)
    except SystemExit as end:
        return end.code
    except (cyclopts.CycloptsError, UsageError) as error:
        if isinstance(error, UsageError):
            _say(str(error))
        return EXIT_USAGE
    except ConfigError as error:
        count = len(error.problems)
        _say(f"{count} to correct:\n{error}" if count > 1 else str(error))
        return EXIT_CONFIG
    except (AbsentError, DemoError, OutboxError, UnreachableError) as error:
        _say(str(error))
        return EXIT_UNREACHABLE
    except ShorewatchError as error:
        _say(str(error))
        return EXIT_BAD
    return 0


def _is_output_lost() -> bool:
    """Whether stdout takes nothing; what waits in it is then dropped."""
    try:
        print(flush=True)
    except OSError:
        with contextlib.suppress(OSError), open(os.devnull, "w") as nowhere:  # noqa: PTH123
            os.dup2(nowhere.fileno(), 1)
        return True
    return False


def _write_json(path: Path, found: object) -> None:
    try:
        path.write_text(json_.dumps(found, indent=2, ensure_ascii=False) + "\n", "utf-8")
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}; choose another file") from error


def _report(found: "Result", title: str, json: Path | None) -> None:
    """Print what a benchmark found, and write it to the file of --json."""
    from rich.console import Console

    from shorewatch.bench.figures import as_json, as_tables

    Console().print(as_tables(found.figures, title))
    if json is not None:
        try:
            json.write_text(as_json(found), "utf-8")
        except OSError as error:
            raise UsageError(f"{json}: {error.strerror}; choose another file") from error


def _made(folder: Path) -> Path:
    """The state directory, made if it is missing; files can be made in it."""
    if not str(folder).isprintable():
        raise UsageError(f"state directory {str(folder)!r}: must be text; choose another")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        # A full or read-only disk ends no gateway.
        is_usable = error.errno == errno.EROFS and folder.is_dir()
        if not is_usable and error.errno not in (errno.ENOSPC, errno.EDQUOT):
            text = f"state directory {folder}: {error.strerror}; choose another with --state-dir"
            raise UsageError(text) from error
    return folder


def _write(path: Path, data: bytes) -> None:
    """Write a file of --out, making its folder; raises UsageError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    except OSError as error:
        text = f"{path}: {error.strerror}; choose another folder with --out"
        raise UsageError(text) from error


def _known_board(station: "Station", board_id: str) -> str:
    if board_id not in station.boards:
        known = ", ".join(station.boards)
        raise UsageError(f"station {station.id} has no board {board_id!r}; it has {known}")
    return board_id


def _plans(file: Path, board_id: str | None, set_: list[str]) -> "Mapping[str, BoardPlan]":
    """The plan of one board of a station file, or of all."""
    from shorewatch.compiled import load_compiled

    loaded = load_compiled(file, _overrides(set_))
    if board_id is None:
        return loaded.plans
    return {board_id: loaded.plans[_known_board(loaded.station, board_id)]}


def _parse_bus(text: str) -> tuple[int, Path]:
    uart, equals, path = text.partition("=")
    if not equals or not path or not (uart.isascii() and uart.isdecimal()):
        raise UsageError(f"--bus {text!r} must look like 0=/dev/ttyUSB0")
    return int(uart), Path(path)


def _overrides(texts: list[str]) -> list[tuple[str, object]]:
    from shorewatch.config import parse_override

    return [parse_override(text) for text in texts]


def _say(text: str) -> None:
    print(f"shorewatch: {text}", file=sys.stderr)


def _log_to_stderr() -> None:
    form = "%(asctime)s %(levelname)s %(name)s: %(message)s"
    logging.basicConfig(level=logging.INFO, format=form, stream=sys.stderr)
