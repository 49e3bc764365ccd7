"""A certificate authority of a test: real keys and certificates, with any names and times."""

import ipaddress
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

Key = ec.EllipticCurvePrivateKey


@cache
def key(name: str) -> Key:
    return ec.generate_private_key(ec.SECP256R1())


class Authority:
    """A CA whose files are in `folder`: ca.pem, and what `issue` makes."""

    def __init__(self, folder: Path, name: str = "Test CA", *, days: float = 3650) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        self._key = key(name)
        self.file = folder / "ca.pem"
        self.file.write_bytes(self._pem(self.name, self._key, days, ca=True, hosts=()))

    def issue(
        self,
        name: str,
        *,
        days: float = 365,
        begins_days: float = -1,
        hosts: tuple[str, ...] = ("127.0.0.1", "localhost"),
        password: bytes | None = None,
    ) -> tuple[Path, Path]:
        """Certificate and key for `name`, valid from `begins_days` to `days` from now."""
        cert, secret = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        cert.write_bytes(
            self._pem(subject, key(name), days, ca=False, hosts=hosts, begins_days=begins_days)
        )
        lock = NoEncryption() if password is None else BestAvailableEncryption(password)
        secret.touch(0o600)
        secret.write_bytes(key(name).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock))
        return cert, secret

    def _pem(
        self,
        subject: x509.Name,
        of: Key,
        days: float,
        *,
        ca: bool,
        hosts: tuple[str, ...],
        begins_days: float = -1,
    ) -> bytes:
        now = datetime.now(UTC)
        begins = now + timedelta(days=begins_days)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(of.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(min(begins, now + timedelta(days=days - 1)))
            .not_valid_after(now + timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if hosts:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([_name(host) for host in hosts]), critical=False
            )
        return builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)


def _name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
