"""choice.py: which port a command is about, and which it must not be."""

from pathlib import Path

import pytest

from shorewatch.config import BoardFile
from shorewatch.errors import AbsentError, UsageError
from shorewatch.field.choice import check_adapter, check_type, named_port, only_port
from shorewatch.field.package import Catalogue
from shorewatch.field.port import Attached

from .scripted import scripted


@pytest.fixture(scope="module")
def types() -> dict[str, BoardFile]:
    return Catalogue().types


def test_a_boards_own_port_is_no_adapter(types: dict[str, BoardFile], tmp_path: Path) -> None:
    """It is refused under any name it has, and the way to scan by the board is said."""
    (tmp_path / "ttyACM0").touch()
    by_id = tmp_path / "by-id"
    by_id.symlink_to(tmp_path / "ttyACM0")
    board = Attached(str(tmp_path / "ttyACM0"), types["pico"].usb[0])
    adapter = Attached(str(tmp_path / "ttyUSB0"), "0403:6001")

    with pytest.raises(UsageError, match=r"is a board's \(pico.*--uart N"):
        check_adapter(str(by_id), types, [adapter, board])
    check_adapter(adapter.path, types, [adapter, board])


def test_a_port_that_is_not_there_is_absent(tmp_path: Path) -> None:
    """With the command that shows those there are."""
    with pytest.raises(AbsentError, match="`shorewatch boards` shows"):
        named_port(str(tmp_path / "none"))


def test_of_several_boards_one_is_to_be_named(types: dict[str, BoardFile]) -> None:
    """Nothing is chosen by chance."""
    with scripted(lambda _: b"") as one, scripted(lambda _: b"") as two:
        assert only_port(types, [one]).path == one
        with pytest.raises(UsageError, match="choose one with --port, or all with --all"):
            only_port(types, [one, two])


def test_a_type_that_is_none_is_usage(types: dict[str, BoardFile]) -> None:
    """Those there are are named."""
    check_type("pico", types)
    check_type(None, types)
    with pytest.raises(UsageError, match=r"'pica' is no board type; there are .*pico"):
        check_type("pica", types)
