"""Secrets come from files that only their owner can read, never from a station file.

Either a file of the administrator's (`password_file`, an absolute path) or a systemd credential
(`password_credential`, a name: `LoadCredential=` in the unit puts it below $CREDENTIALS_DIRECTORY).
It is read whenever it is needed, so that a changed one counts from the next connection on, and it
is never logged, shown or hashed. Limits: 4,096 bytes, UTF-8; line ends at its end do not count.
"""

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from shorewatch.disk import open_at_once
from shorewatch.errors import SecretError

SIZE_BYTES_MAX = 4096


def read_secret(
    file: str | None,
    credential: str | None,
    environ: Mapping[str, str] = os.environ,
    *,
    size_bytes_max: int = SIZE_BYTES_MAX,
) -> str:
    """The secret that one of the two names; raises SecretError with what to do."""
    assert (file is None) != (credential is None), "a secret has one place"
    path = Path(file) if file is not None else _credential(str(credential), environ)
    try:
        with open(path, "rb", opener=open_at_once) as stream:
            mode = os.fstat(stream.fileno()).st_mode
            data = stream.read(size_bytes_max + 1) if stat.S_ISREG(mode) else b""
    except OSError as error:
        hint = "make this user its owner, mode 0600" if isinstance(error, PermissionError) else ""
        text = f"the secret in {path} cannot be read: {error.strerror}"
        raise SecretError(f"{text}; {hint or 'put it there'}") from error
    if not stat.S_ISREG(mode):
        raise SecretError(f"{path} holds no secret: it is no file; name one")
    if file is not None and mode & 0o007:
        raise SecretError(f"everybody on this machine can read the secret in {path}: chmod 600 it")
    if len(data) > size_bytes_max:
        raise SecretError(f"the secret in {path} is over {size_bytes_max:,} bytes: the right file?")
    try:
        found = data.decode().rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise SecretError(f"the secret in {path} is not UTF-8 text; write it anew") from error
    if not found or "\0" in found:
        raise SecretError(f"the secret in {path} is empty or no text; write it anew")
    return found


def _credential(name: str, environ: Mapping[str, str]) -> Path:
    folder = environ.get("CREDENTIALS_DIRECTORY")
    if not folder:
        text = (
            f"there are no systemd credentials here, and {name!r} is one: start the service by "
            f"systemd with LoadCredential={name}:/its/file, or name a file with password_file"
        )
        raise SecretError(text)
    return Path(folder) / name
