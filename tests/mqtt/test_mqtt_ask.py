"""ask.py: what a consumer asks, and whose answer it is."""

import hashlib
import hmac
import json
from datetime import UTC, datetime

import pytest

from shorewatch.mqtt.ask import Key, Replay, ReplyAddress, parse_reply_topic

PREFIX = "shorewatch/v1/cable/coast"


def test_a_request_is_signed_over_prefix_identity_and_its_text() -> None:
    """The HMAC is the one that a station computes over the text as it came."""
    replay = Replay("id-00001", "j" * 32, 5, 9, 0.0)
    request = replay.request(datetime(2026, 11, 22, 12, 0, tzinfo=UTC))
    sent = json.loads(Key("noc", "k" * 32).sign(PREFIX, request))

    signed = f"shorewatch-request-1\n{PREFIX}\nnoc\n{sent['request']}".encode()
    assert sent["hmac"] == hmac.new(b"k" * 32, signed, hashlib.sha256).hexdigest()
    assert json.loads(sent["request"]) == {
        "id": "id-00001", "journal": "j" * 32, "expires": "2026-11-22T12:01:00.000Z",
        "do": "replay", "first": 5, "last": 9,
    }  # fmt: skip


def test_a_key_is_not_shown() -> None:
    """Nothing that prints a key prints its secret."""
    assert "secret-text" not in repr(Key("noc", "secret-text"))


@pytest.mark.parametrize(
    ("topic", "address"),
    [
        (f"{PREFIX}/reply/noc/id-1", ReplyAddress(PREFIX, "noc", "id-1", False)),
        (f"{PREFIX}/reply/noc/id-1/records", ReplyAddress(PREFIX, "noc", "id-1", True)),
        (f"{PREFIX}/reply/noc/id-1/others", None),
        (f"{PREFIX}/reply/noc", None),
        (f"{PREFIX}/reply//id-1", None),
        (f"{PREFIX}/request/noc/id-1", None),
        ("", None),
    ],
)
def test_only_topics_of_replies_are_replies(topic: str, address: ReplyAddress | None) -> None:
    """A topic is taken apart, or is none."""
    assert parse_reply_topic(topic) == address
