"""The board types as files: board.toml and board.py say the same, and every board.py has it all."""

import ast
import contextlib
import tomllib

import pytest
from fw_vm import FIRMWARE, ROOT

from shorewatch.assets import board_files

BOARDS = sorted(path.parent.name for path in (ROOT / "boards").glob("*/board.toml"))
CHIPS = [name for name in BOARDS if name != "virtual"]
# What Ethernet changes on a Pico.
OWN = {"open_network"}


def facts_of(name):
    return tomllib.loads((ROOT / "boards" / name / "board.toml").read_text())


def tree_of(name):
    return ast.parse((ROOT / "boards" / name / "board.py").read_text())


def constants_of(name):
    found = {}
    for node in tree_of(name).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            with contextlib.suppress(ValueError):
                found[node.targets[0].id] = ast.literal_eval(node.value)
    return found


def parts_of(name):
    """Functions and classes by name, as text."""
    kinds = (ast.FunctionDef, ast.ClassDef)
    return {n.name: ast.unparse(n) for n in tree_of(name).body if isinstance(n, kinds)}


def test_there_are_four():
    """The board types are these four."""
    assert BOARDS == ["esp32_s3", "pico", "virtual", "w5500_evb_pico"]


@pytest.mark.parametrize("name", BOARDS)
def test_it_exports_all(name):
    """Every board.py defines what the firmware expects of a board."""
    seams = ast.parse((FIRMWARE / "station" / "seams.pyi").read_text())
    (board,) = (n for n in seams.body if isinstance(n, ast.ClassDef) and n.name == "Board")
    functions = {node.name for node in board.body if isinstance(node, ast.FunctionDef)}
    constants = {node.target.id for node in board.body if isinstance(node, ast.AnnAssign)}
    assert functions <= parts_of(name).keys()
    assert constants <= constants_of(name).keys()


@pytest.mark.parametrize("name", BOARDS)
def test_both_files_say_the_same(name):
    """Type, watchdog and maintenance stand in both files and are equal."""
    facts, constants = facts_of(name), constants_of(name)
    assert facts["name"] == constants["TYPE"] == name
    assert facts["watchdog_ms"] == constants["WATCHDOG_MS"] <= facts["watchdog_limit_ms"]
    assert facts["maintenance"] == constants["MAINTENANCE"]
    assert facts["tested_on_hardware"] is False


@pytest.mark.parametrize("name", CHIPS)
def test_both_files_name_the_same_pins(name):
    """UART, driver, and strap pins are equal in both files."""
    facts, constants = facts_of(name), constants_of(name)
    pins = tuple((uart["tx"], uart["rx"], uart["de"]) for uart in facts["uarts"])
    assert pins == constants["_PINS"]
    assert facts["strap_pin"] == constants["_STRAP"]


@pytest.mark.parametrize("name", CHIPS)
def test_no_pin_is_used_twice(name):
    """Each pin of a board has one use."""
    facts = facts_of(name)
    pins = [facts["strap_pin"], facts["led_pin"]]
    pins += [contact["pin"] for contact in facts.get("inputs", [])]
    for uart in facts["uarts"]:
        pins += [uart["tx"], uart["rx"], uart["de"]]
    assert len(pins) == len(set(pins))


def test_what_goes_to_a_flash():
    """A chip gets its board.py and the modules of all chips; the virtual board its own alone."""
    found = {n: {path.name for path in board_files(ROOT / "boards" / n)} for n in BOARDS}
    assert found.pop("virtual") == {"board.py", "edges.py"}
    assert set(map(frozenset, found.values())) == {frozenset({"board.py", "ports.py"})}


def test_boards_of_one_chip_share_their_code():
    """The W5500-EVB-Pico's board.py differs from the Pico's in its facts and in Ethernet only."""
    pico, ethernet = parts_of("pico"), parts_of("w5500_evb_pico")
    same = (pico.keys() & ethernet.keys()) - OWN
    assert len(same) > 12
    assert {name: ethernet[name] for name in same} == {name: pico[name] for name in same}


def test_only_a_board_touches_hardware():
    """Nothing but board.py imports machine."""
    boards = [path for path in (ROOT / "boards").rglob("*.py") if path.name != "board.py"]
    for path in (*FIRMWARE.rglob("*.py"), *boards):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module]
            assert "machine" not in names, path
