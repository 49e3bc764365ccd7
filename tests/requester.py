"""A NOC's requests, signed as the README says."""

import json
import secrets
from datetime import timedelta

from shorewatch.model import to_text, utc_now
from shorewatch.mqtt.asking import signature

KEY = "0123456789abcdef" * 4


def signed(prefix: str, journal: str, do: str, **more: object) -> tuple[str, bytes]:
    """A fresh request's id, and its payload."""
    request_id = f"request-{secrets.token_hex(4)}"
    head = {"id": request_id, "journal": journal, "do": do}
    expires = to_text(utc_now() + timedelta(seconds=60))
    text = json.dumps(head | {"expires": expires} | more)
    digest = signature(KEY, prefix, "noc", text)
    return request_id, json.dumps({"request": text, "hmac": digest}).encode()
