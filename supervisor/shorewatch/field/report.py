"""What a tool writes to a file that a person has named: whole or not at all.

What is no file, such as /dev/stdout or a pipe, is written to as it is.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from shorewatch.disk import write_durably
from shorewatch.errors import UsageError


def write_text(path: Path, text: str) -> None:
    """Write a file; raises UsageError if it cannot be."""
    try:
        if path.parts[:2] == ("/", "dev") or (path.exists() and not path.is_file()):
            path.write_text(text, "utf-8")
        else:
            write_durably(path.resolve(), text.encode())
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}; choose another file") from error


def write_json(path: Path, body: Mapping[str, object] | Sequence[object]) -> None:
    """Write as JSON, to stdout for `-`; raises UsageError if the file cannot be written."""
    text = json.dumps(body, indent=2, ensure_ascii=False) + "\n"
    if str(path) == "-":
        print(text, end="")
    else:
        write_text(path, text)
