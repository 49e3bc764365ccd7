"""TLS to a broker: its files, a context for one connection, and every failure in words.

At least TLS 1.2; the broker's certificate and its host name are always checked, and there is no way
to switch that off. The files are read anew for each connection, so that a renewed certificate needs
no restart. A context serves one connection: it keeps what TLS said, which the MQTT client below
throws away. `Expiries` knows when the certificates of an uplink end.

States: no-secret (the key cannot be had), bad-certificate (ours, the CA's or the broker's), no-tls
(the broker speaks none that we do), unreachable (it does not answer the handshake).
Limits: a handshake of `HANDSHAKE_S_MAX`; the gateway has `Expiries` look each `LOOK_S`.
"""

import asyncio
import socket
import ssl
import stat
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from os import fstat
from typing import Final

from shorewatch.certificate import SIZE_BYTES_MAX, ending, parse_expiry, parse_pem
from shorewatch.config import UplinkConfig
from shorewatch.disk import open_at_once
from shorewatch.errors import SecretError, UplinkError
from shorewatch.model import to_text, utc_now
from shorewatch.secret import read_secret

LOOK_S: Final = 3600.0
HANDSHAKE_S_MAX: Final = 5.0
_KEY_BYTES_MAX: Final = 32_000
# Source: OpenSSL, X509_STORE_CTX_get_error.
_VERIFY = {
    9: "is not valid yet: check this gateway's clock, which says {now}",
    10: "has expired: the broker needs a new one",
    18: "is signed by itself: name it, or the CA that shall sign it, with ca_file",
    19: "is signed by a CA that we do not know: name that one with ca_file",
    20: "is signed by a CA that we do not know: name that one with ca_file",
    21: "is signed by a CA that we do not know: name that one with ca_file",
    62: "is for another host: the url must have a name that stands in it",
    64: "is for another host: the url must have an address that stands in it",
}
_OLD = ("PROTOCOL_VERSION", "UNSUPPORTED_PROTOCOL", "NO_PROTOCOLS_AVAILABLE")
_WANTED = ("CERTIFICATE_REQUIRED", "HANDSHAKE_FAILURE")


@dataclass(frozen=True, slots=True)
class Tls:
    """The files of a TLS connection: whole paths, PEM. Without `ca_file`, the system's CAs count.

    `cert_file` and `key_file` come together; the first may hold the chain to the CA, ours first.
    """

    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None


def tls_of(config: UplinkConfig) -> Tls | None:
    """What an uplink has of it; None if its url says mqtt://."""
    return Tls(config.ca_file, config.cert_file, config.key_file) if config.is_tls else None


class Context(ssl.SSLContext):
    """The settings of one connection, and what came of it: the error, the broker's certificate."""

    error: OSError | None = None
    broker: datetime | None = None
    sock: socket.socket | None = None


class _Socket(ssl.SSLSocket):
    """Tells its context what happens to it; closes itself when the handshake fails."""

    def do_handshake(self, block: bool = False) -> None:
        self._told.sock = self
        try:
            super().do_handshake(block)
        except OSError as error:
            self._told.error = error
            self.close()
            raise
        with suppress(ValueError):
            self._told.broker = parse_expiry(self.getpeercert(binary_form=True) or b"")

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        try:
            return super().recv(buflen, flags)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except OSError as error:
            self._told.error = error
            raise

    @property
    def _told(self) -> Context:
        context = self.context
        assert isinstance(context, Context), "made by load_context"
        return context


def load_context(tls: Tls) -> Context:
    """A context for one connection; UplinkError says which file is wrong and what to do."""
    context = Context(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.sslsocket_class = _Socket
    if tls.ca_file is None:
        context.load_default_certs()
    else:
        text, _ = _read_certificates(tls.ca_file, "ca_file")
        try:
            context.load_verify_locations(cadata=text)
        except ssl.SSLError as error:
            raise _bad(tls.ca_file, "ca_file", _reason(error)) from error
    if tls.cert_file is not None and tls.key_file is not None:
        _read_certificates(tls.cert_file, "cert_file")
        _load_own(context, tls.cert_file, tls.key_file)
    return context


def read_expiries(tls: Tls) -> dict[str, datetime]:
    """When what stands in the files ends, the first to end of each; what is unreadable is left."""
    files = {"own": tls.cert_file, "ca": tls.ca_file}
    found = {}
    for whose, path in files.items():
        if path is not None:
            with suppress(UplinkError):
                _, expiries = _read_certificates(path, f"{whose} file")
                found[whose] = min(expiries)
    return found


class Expiries:
    """When the certificates of one uplink end: in its files, and as its broker last showed."""

    def __init__(self, config: UplinkConfig) -> None:
        self._config = config
        self.known: dict[str, datetime] = {}

    async def read(self) -> None:
        """Read the files again."""
        if (tls := tls_of(self._config)) is not None:
            files = await asyncio.to_thread(read_expiries, tls)
            self.known = files | self._of_broker

    @property
    def _of_broker(self) -> dict[str, datetime]:
        return {whose: until for whose, until in self.known.items() if whose == "broker"}

    async def look(self) -> None:
        """Read the files again, and ask the broker for its certificate if that one ends soon.

        It may have a newer one, while the connection goes on with the old one for months.
        """
        await self.read()
        tls, config = tls_of(self._config), self._config
        if tls is not None and ending(self._of_broker, utc_now()):
            with suppress(UplinkError, OSError):
                self.saw(await asyncio.to_thread(ask, config.host, config.port, tls))

    def saw(self, until: datetime | None) -> None:
        """The broker has shown a certificate that ends then."""
        if until is not None:
            self.known["broker"] = until


def ask(host: str, port: int, tls: Tls) -> datetime | None:
    """When the certificate that a broker shows ends, by a handshake of its own; or OSError."""
    context = load_context(tls)
    with _opened(host, port) as plain, context.wrap_socket(plain, server_hostname=host):
        return context.broker


def speaks_tls(host: str, port: int) -> bool:
    """Whether a TLS server listens there; whose it is does not matter, nothing is sent to it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with _opened(host, port) as plain, context.wrap_socket(plain, server_hostname=host):
            return True
    except ssl.SSLError as error:
        # An alert is TLS, too; WRONG_VERSION_NUMBER is what anything else looks like.
        return "ALERT" in (error.reason or "")
    except (OSError, ValueError):
        return False


def _opened(host: str, port: int) -> socket.socket:
    return socket.create_connection((host, port), timeout=HANDSHAKE_S_MAX)


def explained(broker: str, error: OSError, *, has_own: bool) -> UplinkError:
    """What a failure of TLS means and what to do; `has_own` if we have a certificate to show."""
    reason = getattr(error, "reason", None) or ""
    if isinstance(error, ssl.SSLCertVerificationError):
        said = _VERIFY.get(error.verify_code, f"is not accepted: {error.verify_message}")
        text = f"the certificate of {broker} {said.format(now=to_text(utc_now()))}"
        state = "bad-certificate"
    elif any(part in reason for part in _OLD):
        state, text = "no-tls", f"{broker} speaks no TLS 1.2 or newer: update or configure it"
    elif any(part in reason for part in _WANTED) and not has_own:
        state = "bad-certificate"
        text = f"{broker} wants a certificate of ours: give cert_file and key_file"
    elif "ALERT" in reason:
        state = "bad-certificate"
        why = reason.partition("ALERT_")[2].lower().replace("_", " ")
        text = f"{broker} refuses our certificate ({why}): does its CA know it, and is it valid?"
    elif isinstance(error, TimeoutError):
        state, text = "unreachable", f"{broker} took the connection but answers no TLS handshake"
    else:
        state = "no-tls"
        text = (
            f"{broker} does not answer the TLS handshake as one should ({_reason(error)}):"
            " if its port is one without TLS, the url must begin with mqtt://"
        )
    return UplinkError(state, text, was_reached=False)


def _load_own(context: Context, cert_file: str, key_file: str) -> None:
    def no_password() -> str:
        raise _no_key(f"key_file {key_file} has a password: give one without")

    try:
        read_secret(key_file, None, size_bytes_max=_KEY_BYTES_MAX)
    except SecretError as error:
        raise _no_key(f"key_file: {error}") from error
    try:
        context.load_cert_chain(cert_file, key_file, no_password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            why = f"the key in key_file {key_file} belongs to another one: give the pair"
            raise _bad(cert_file, "cert_file", why) from error
        why = f"it cannot be used with key_file {key_file} ({_reason(error)}): both must be PEM"
        raise _bad(cert_file, "cert_file", why) from error
    except OSError as error:  # it went between two looks
        raise _bad(cert_file, "cert_file", str(error.strerror)) from error


def _read_certificates(path: str, key: str) -> tuple[str, list[datetime]]:
    """The text of a PEM file, and when each certificate in it ends: at least one."""
    try:
        with open(path, "rb", opener=open_at_once) as stream:
            if not stat.S_ISREG(fstat(stream.fileno()).st_mode):
                raise _bad(path, key, "it is no file; name one")
            data = stream.read(SIZE_BYTES_MAX + 1)
    except OSError as error:
        why = f"it cannot be read: {error.strerror}; put it there, readable for this user"
        raise _bad(path, key, why) from error
    if len(data) > SIZE_BYTES_MAX:
        raise _bad(path, key, f"it is over {SIZE_BYTES_MAX:,} bytes: the right file?")
    try:
        text = data.decode("ascii", "replace")
        expiries = [parse_expiry(der) for der in parse_pem(text)]
    except ValueError as error:
        raise _bad(path, key, f"{error}; write it anew, as PEM") from error
    if not expiries:
        why = "there is no certificate in it: it must be PEM, with a line BEGIN CERTIFICATE"
        raise _bad(path, key, why)
    return text, expiries


def _bad(path: str, key: str, why: str) -> UplinkError:
    return UplinkError("bad-certificate", f"{key} {path}: {why}", was_reached=False)


def _no_key(text: str) -> UplinkError:
    return UplinkError("no-secret", text, was_reached=False)


def _reason(error: OSError) -> str:
    reason = getattr(error, "reason", None) or error.strerror or str(error)
    return str(reason).lower().replace("_", " ")
