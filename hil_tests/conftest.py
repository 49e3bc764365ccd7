"""The bench of each story, its bundle when it fails, and the page about all of them.

pytest hil_tests                        on the simulated bench
pytest hil_tests --bench bench.toml     on the one that this file describes
"""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from free_ports import free_ports

from shorewatch.hil.bench import Bench, Sim, opened
from shorewatch.hil.bundle import write_bundle
from shorewatch.hil.lab import plug_of
from shorewatch.hil.page import Story, write_page
from shorewatch.hil.part import LackError, Need

STATIONS = Path(__file__).parent / "stations"
FIGURES = "figures"
SKIPPED = "for want of"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("hil_tests")
    group.addoption("--bench", default="sim", help="sim (default), or a lab's bench.toml")
    group.addoption("--bundles", type=Path, default=None, help="folder for failures (.hil)")
    group.addoption("--page", type=Path, default=None, help="write what ran as a page (HTML)")
    group.addoption("--cuts", type=int, default=15, help="power cuts while flashing (15)")
    group.addoption("--soak-hours", type=float, default=0.0, help="how long the soak goes on")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "station(name): the station file of this story's bench")
    config.addinivalue_line("markers", "needs(board, *needs): what its bench must have")
    config.addinivalue_line("markers", "simulated: a story that only the simulated bench can tell")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    report = yield
    if report.when == "call":
        item.stash[CALL] = report
    return report


CALL = pytest.StashKey[pytest.TestReport]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        promise = (getattr(item, "function", item).__doc__ or "").strip().split("\n\n")[0]
        item.user_properties.append(("promise", " ".join(promise.split())))


@pytest.fixture
def station_file(request: pytest.FixtureRequest) -> Path:
    """The station file of a story's bench."""
    marker = request.node.get_closest_marker("station")
    return STATIONS / f"{marker.args[0] if marker else 'bench'}.toml"


@pytest.fixture
async def cold(
    request: pytest.FixtureRequest, station_file: Path, tmp_path: Path
) -> AsyncIterator[Bench]:
    """A bench of which nothing runs yet."""
    bench_file = request.config.getoption("--bench")
    seed = int(os.environ.get("SHOREWATCH_SEED", "1"))
    if bench_file == "sim":
        plug: Callable[..., Any] = Sim
    else:
        if request.node.get_closest_marker("simulated"):
            pytest.skip(f"{SKIPPED} a simulated board")
        plug = plug_of(Path(bench_file))
    folder = tmp_path / "bench"
    async with AsyncExitStack() as stack:
        opening = opened(station_file, folder, port=free_ports(2), seed=seed, plug=plug)
        try:
            bench = await stack.enter_async_context(opening)
        except LackError as error:
            pytest.skip(f"{SKIPPED} {error}")
        for needs in request.node.iter_markers("needs"):
            board_id, *wanted = needs.args
            if why := bench.need(board_id, *(Need[name] for name in wanted)):
                pytest.skip(f"{SKIPPED} {why}")
        yield bench
        written = bench.written()
        request.node.user_properties.append((FIGURES, bench.figures))
        report = request.node.stash.get(CALL, None)
        if report is not None and report.failed:
            default = request.config.rootpath / ".hil"
            place = (request.config.getoption("--bundles") or default) / request.node.name
            await write_bundle(bench, place, request.node.nodeid, report.longreprtext)
    # On any bench, in any story: nothing but reads has left a board.
    assert written == []


@pytest.fixture
async def bench(cold: Bench) -> Bench:
    """A bench on which everything runs and the NOC has every point."""
    await cold.start()
    await cold.until_good()
    return cold


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    path = config.getoption("--page")
    if path is None:
        return
    stories = []
    for outcome in ("passed", "failed", "error", "skipped"):
        for report in terminalreporter.stats.get(outcome, []):
            if isinstance(report, pytest.TestReport) and "hil_tests/" in report.nodeid:
                found = dict(report.user_properties)
                why = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
                figures = found.get(FIGURES, {})
                stories.append(
                    Story(report.nodeid, str(found.get("promise", "")), outcome, report.duration,
                          figures, why or ("" if outcome == "passed" else report.longreprtext))
                )  # fmt: skip
    write_page(path, config.getoption("--bench"), stories)
    terminalreporter.write_line(f"the page about this run: {path}")
