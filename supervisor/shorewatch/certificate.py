"""When certificates end: the one thing that Python's ssl does not tell of every certificate.

Pure. PEM text to certificates, and the end of a certificate's validity from its DER bytes. Nothing
here judges whether a certificate is to be trusted: that is OpenSSL's, at each connection.

    Certificate ::= SEQUENCE { tbsCertificate SEQUENCE {
        [0] version OPTIONAL, serial, signature, issuer, validity SEQUENCE { notBefore, notAfter },

Source: RFC 5280, 4.1 (fields) and 4.1.2.5 (times); X.690, 8.1 (tags and lengths).
Limits: a length takes at most 4 bytes, a file at most `SIZE_BYTES_MAX`.
"""

import ssl
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from shorewatch.model import to_text

SOON: Final = timedelta(days=30)
WHOSE: Final = {"own": "our own certificate", "ca": "the CA's", "broker": "the broker's"}
SIZE_BYTES_MAX: Final = 2_000_000
_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
_SEQUENCE, _VERSION, _UTC_TIME, _GENERAL_TIME = 0x30, 0xA0, 0x17, 0x18


def parse_pem(text: str) -> list[bytes]:
    """The certificates in a PEM file, as DER, and nothing else; ValueError if one is garbled."""
    found = []
    for part in text.split(_BEGIN)[1:]:
        body, end, _ = part.partition(_END)
        if not end:
            raise ValueError("a certificate in it is cut off")
        found.append(ssl.PEM_cert_to_DER_cert(_BEGIN + body + end))
    return found


def parse_expiry(der: bytes) -> datetime:
    """The last moment at which a certificate is valid; ValueError if it is none."""
    start, end = _inside(der, 0, len(der), _SEQUENCE)
    start, end = _inside(der, start, end, _SEQUENCE)
    tag, _, after = _element(der, start, end)
    if tag == _VERSION:
        start = after
    for _ in ("serial", "signature", "issuer"):
        _, _, start = _element(der, start, end)
    start, end = _inside(der, start, end, _SEQUENCE)
    _, _, start = _element(der, start, end)
    tag, start, end = _element(der, start, end)
    return _time(tag, der[start:end])


def ending(expiries: Mapping[str, datetime], at: datetime) -> list[str]:
    """What is to be said of certificates that end soon or have ended, the first to end first."""
    found = []
    for whose, until in sorted(expiries.items(), key=lambda entry: entry[1]):
        if until - at < SOON:
            days = days_left(until, at)
            ends = f"ends in {days} days" if days >= 0 else "has ended"
            found.append(f"{WHOSE[whose]} {ends} ({until:%Y-%m-%d})")
    return found


def days_left(until: datetime, at: datetime) -> int:
    """Whole days; below 0 when it is over."""
    return (until - at) // timedelta(days=1)


def listed(expiries: Mapping[str, datetime], at: datetime) -> dict[str, dict[str, object]]:
    """The certificates as page and NOC are told."""
    return {
        whose: {"until": to_text(until), "days": days_left(until, at)}
        for whose, until in expiries.items()
    }


def _inside(der: bytes, start: int, end: int, wanted: int) -> tuple[int, int]:
    """Where the content of the element at `start` begins and ends."""
    tag, inside, after = _element(der, start, end)
    if tag != wanted:
        raise ValueError(f"no certificate: tag 0x{tag:02x} at byte {start}, not 0x{wanted:02x}")
    return inside, after


def _element(der: bytes, start: int, end: int) -> tuple[int, int, int]:
    """Tag, start of content, and end of the element at `start`, which lies before `end`."""
    if start + 2 > end:
        raise ValueError(f"no certificate: it ends at byte {end}")
    tag, length, inside = der[start], der[start + 1], start + 2
    if length >= 0x80:
        size = length & 0x7F
        if not 1 <= size <= 4:
            raise ValueError(f"no certificate: a length of {size} bytes at byte {start}")
        length = int.from_bytes(der[inside : inside + size])
        inside += size
    if inside + length > end:
        raise ValueError(f"no certificate: it ends at byte {end}")
    return tag, inside, inside + length


def _time(tag: int, content: bytes) -> datetime:
    """Two digits of a year from 50 on are of the last century."""
    text = content.decode("ascii")
    if tag == _UTC_TIME:
        text = ("19" if text[:2] >= "50" else "20") + text
    elif tag != _GENERAL_TIME:
        raise ValueError(f"no certificate: tag 0x{tag:02x} is no time")
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
