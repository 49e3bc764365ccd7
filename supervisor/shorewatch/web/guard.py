"""The door of the page: who may ask it for anything, and what a browser may do with the answer.

A request is served under a name of this machine only: a page of somebody else that a viewer has
open could otherwise be made to read ours under its own name (DNS rebinding). Names are addresses,
localhost, the machine's own name, and those that the station file adds (`page.names`).
Every answer carries a policy that allows nothing but what comes from here.
"""

import ipaddress
import socket
from collections.abc import Iterable

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shorewatch.texts import Texts

# What is answered is true of a moment: nobody keeps it (an asset says otherwise of itself).
# A browser then also freezes no page that is left, with the worker that has its stream.
_HEADERS = {
    b"content-security-policy": b"default-src 'self'; worker-src 'self'; frame-ancestors 'none'; "
    b"base-uri 'none'; form-action 'none'; object-src 'none'",
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
    b"permissions-policy": b"camera=(), geolocation=(), microphone=()",
    b"cache-control": b"no-store",
}


def names_here() -> frozenset[str]:
    """The names under which this machine is asked for its page."""
    own = socket.gethostname().lower()
    return frozenset({"localhost", own, f"{own}.local", socket.getfqdn().lower()})


def host_of(header: str) -> str:
    """The host of a Host header, without port and brackets, in lower case."""
    text = header.strip().lower()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.rpartition(":")[0] if ":" in text else text


class Guard:
    """ASGI middleware: refuses foreign names, puts the headers on every answer."""

    def __init__(self, app: ASGIApp, names: Iterable[str], texts: Texts) -> None:
        """`names` are allowed beside addresses and the names of this machine."""
        self._app = app
        self._texts = texts
        self._names = names_here() | {name.lower() for name in names}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = {name.lower() for name, _ in message["headers"]}
                extra = [(n, v) for n, v in _HEADERS.items() if n not in present]
                message = {**message, "headers": [*message["headers"], *extra]}
            await send(message)

        if scope["type"] == "http" and not self._is_ours(scope):
            await self._refuse(scope, receive, send_guarded)
        else:
            await self._app(scope, receive, send_guarded)

    def _is_ours(self, scope: Scope) -> bool:
        host = host_of(_header(scope, b"host"))
        try:
            ipaddress.ip_address(host)
        except ValueError:
            return host in self._names
        return True

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        text = self._texts.said("refused.name")
        await PlainTextResponse(f"{text}\n", 421)(scope, receive, send)


def _header(scope: Scope, name: bytes) -> str:
    found = [value for key, value in scope["headers"] if key == name]
    return found[0].decode("latin-1") if len(found) == 1 else ""
