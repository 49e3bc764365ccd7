"""Where firmware, board files and the demo's stations are, in a checkout and in a wheel.

In a wheel they travel inside the package (`_assets/`); in a checkout (also an editable install)
they stand beside it, and the checkout wins: an editable install may leave a stale copy behind.
"""

from importlib import resources
from pathlib import Path
from typing import Literal

_PACKAGE = Path(str(resources.files("shorewatch")))
_CHECKOUT = {"firmware": "firmware", "boards": "boards", "stations": "supervisor/stations"}


def asset_folder(kind: Literal["firmware", "boards", "stations"]) -> Path:
    """The folder of `kind`, ready to read."""
    root = _PACKAGE.parents[1]
    if (root / "pyproject.toml").is_file() and (root / "firmware").is_dir():
        return root / _CHECKOUT[kind]
    folder = _PACKAGE / "_assets" / kind
    assert folder.is_dir(), f"the wheel lacks {kind}"
    return folder


def board_files(folder: Path) -> list[Path]:
    """The modules that a board type brings to its flash; `folder` is its own, in `boards`.

    A folder with port.py plays its own hardware, which needs that file outside the flash; all
    others are chips and share the modules in `boards/chip`.
    """
    own = sorted(folder.glob("*.py"))
    shared = [] if folder / "port.py" in own else sorted((folder.parent / "chip").glob("*.py"))
    return [path for path in own + shared if path.name != "port.py"]
