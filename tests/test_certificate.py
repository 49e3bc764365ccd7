"""When certificates end: read from real ones, refused from anything else."""

import base64
import textwrap
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from authority import Authority
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from shorewatch.certificate import SOON, days_left, ending, listed, parse_expiry, parse_pem

NOW = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)
with TemporaryDirectory() as _folder:
    (DER,) = parse_pem(Authority(Path(_folder)).file.read_text())


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.mark.parametrize("days", [-400, 0.5, 30, 3650, 9000, 40_000])
def test_the_end_is_the_one_that_is_in_it(authority: Authority, days: float) -> None:
    """Before and after 2050, which is written otherwise, the end is what another reader finds."""
    cert, _ = authority.issue("station", days=days)
    (der,) = parse_pem(cert.read_text())
    assert parse_expiry(der) == x509.load_der_x509_certificate(der).not_valid_after_utc


def test_of_a_file_every_certificate_is_found_and_nothing_else(authority: Authority) -> None:
    """A chain with remarks and a key between its certificates has as many as were put in."""
    cert, key = authority.issue("station")
    text = f"remark\n{cert.read_text()}{key.read_text()}more\n{authority.file.read_text()}"
    assert len(parse_pem(text)) == 2
    assert parse_pem("nothing of it") == []


def test_a_certificate_that_is_cut_is_refused(authority: Authority) -> None:
    """At whatever byte it ends before its time, a certificate is a ValueError and no date."""
    (der,) = parse_pem(authority.file.read_text())
    whole = parse_expiry(der)
    for size in range(len(der)):
        with pytest.raises(ValueError):
            parse_expiry(der[:size])
    assert parse_expiry(der) == whole


@given(st.binary(max_size=300))
def test_no_bytes_break_the_reader(data: bytes) -> None:
    """Anything at all is a date or a ValueError."""
    try:
        parse_expiry(data)
    except ValueError:
        return
    raise AssertionError("random bytes are no certificate")


@given(st.data())
def test_one_wrong_byte_is_a_date_or_a_value_error(data: st.DataObject) -> None:
    """A certificate with one byte changed never ends in another exception."""
    der = bytearray(DER)
    der[data.draw(st.integers(0, len(der) - 1))] = data.draw(st.integers(0, 255))
    with suppress(ValueError):
        assert parse_expiry(bytes(der)).tzinfo is UTC


def test_what_ends_within_30_days_is_told_the_first_first() -> None:
    """Whose it is and how long it has; what has longer is not mentioned."""
    known = {
        "own": NOW + timedelta(days=12, hours=3),
        "ca": NOW + SOON,
        "broker": NOW - timedelta(seconds=1),
    }
    assert ending(known, NOW) == [
        "the broker's has ended (2026-11-23)",
        "our own certificate ends in 12 days (2026-12-05)",
    ]


def test_days_left_are_whole_ones_and_below_zero_when_over() -> None:
    """An hour is 0 days; a second too late is -1."""
    spans = (timedelta(hours=1), timedelta(days=1), timedelta(seconds=-1))
    assert [days_left(NOW + span, NOW) for span in spans] == [0, 1, -1]
    assert listed({"ca": NOW + timedelta(days=2)}, NOW) == {
        "ca": {"until": "2026-11-25T04:00:00.000Z", "days": 2}
    }


def test_a_pem_in_lines_of_another_length_is_read() -> None:
    """Lines of 40 letters are as good as those of 64."""
    lines = textwrap.fill(base64.b64encode(DER).decode(), 40)
    text = f"-----BEGIN CERTIFICATE-----\n{lines}\n-----END CERTIFICATE-----\n"
    assert parse_pem(text) == [DER]
