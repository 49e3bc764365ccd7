"""bench/nursery.py and children.py: forks that are as processes of their own."""

import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shorewatch.bench.children import Children

PROBE = """
import json, sys
ours = sorted(name for name in sys.modules if name.split(".")[0] == "shorewatch")
libraries = sorted(name for name in ("pydantic", "aiomqtt") if name in sys.modules)
print(json.dumps([sys.argv[1:], ours, libraries]), flush=True)
sys.exit(3)
"""
SLEEPER = "import signal; signal.pause()"


@pytest.fixture
async def children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Children]:
    (tmp_path / "probe.py").write_text(PROBE)
    (tmp_path / "sleeper.py").write_text(SLEEPER)
    paths = [str(tmp_path), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", ":".join(path for path in paths if path))
    children = Children(tmp_path / "log")
    yield children
    await children.end_all()


async def test_a_fork_has_the_libraries_and_nothing_of_ours(children):
    """What we draw and keep at import is its own; words, output and code are as of a process."""
    child = await children.start("probe", "probe", "a", "b")

    assert await child.wait() == 3
    words, ours, libraries = json.loads(children.log_path.read_text())
    assert (words, ours, libraries) == (["a", "b"], [], ["aiomqtt", "pydantic"])


async def test_a_part_that_is_killed_is_no_crash(children):
    """Its code says by what it ended."""
    await children.start("sleeper", "sleeper")

    assert await children.end("sleeper", signal.SIGKILL) == -signal.SIGKILL
    assert children.crashes == []


async def test_a_part_that_ended_by_itself_is_named(children):
    """Nobody had ended it."""
    child = await children.start("probe", "probe")
    await child.wait()
    await children.end("probe", signal.SIGTERM)

    assert children.crashes[0] == "the probe ended by itself with code 3"


async def test_a_pipe_is_passed_on(children, tmp_path):
    """The number that stands for it is among the words, and it is open there."""
    (tmp_path / "teller.py").write_text("import os, sys; os.write(int(sys.argv[1]), b'here')")
    told, tells = os.pipe()
    child = await children.start("teller", "teller", "{}", keep=[tells])
    os.close(tells)

    assert await child.wait() == 0
    assert os.read(told, 10) == b"here"
    os.close(told)
