"""The text of the last crash: one file beside the slots, read at boot and served at 0x0A00."""

import gc
import io
import sys

SIZE_MAX = 512


def read() -> bytes:
    """The stored text, empty if there is none."""
    try:
        with open("crash.txt", "rb") as file:
            data: bytes = file.read(SIZE_MAX)
            return data
    except OSError:
        return b""


def store(error: BaseException) -> None:
    """Stores the end of the traceback, unless it is there already (flash wears)."""
    gc.collect()
    text = io.StringIO()
    sys.print_exception(error, text)
    data = text.getvalue().encode()[-SIZE_MAX:]
    if data != read():
        with open("crash.txt", "wb") as file:
            file.write(data)
