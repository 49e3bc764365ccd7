"""The local status page: one HTML file, its script and style, and a stream of snapshots.

Reads only: it serves GET and nothing else. Works with the network down: everything it needs comes
from here. `/` the page · `/events` server-sent events, a whole snapshot each second · `/api/status`
the same once · `/static/`. At most 40 viewers; each gets whole snapshots, so a viewer that reads
slowly is owed nothing it missed.
"""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Callable
from importlib import resources
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import (
    FileResponse,
    JSONResponse,
    PlainTextResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

Look = Callable[[], dict[str, Any]]

VIEWERS_MAX = 40
PERIOD_S = 1.0
_STATIC = Path(str(resources.files("shorewatch.web"))) / "static"
_HEADERS = {
    b"content-security-policy": b"default-src 'self'; frame-ancestors 'none'; base-uri 'none'; "
    b"form-action 'none'; object-src 'none'",
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"cache-control": b"no-cache",
}


class _Guard:
    """Puts the security headers on every response."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = {name.lower() for name, _ in message["headers"]}
                extra = [(n, v) for n, v in _HEADERS.items() if n not in present]
                message = {**message, "headers": [*message["headers"], *extra]}
            await send(message)

        await self._app(scope, receive, send_guarded)


def make_app(look: Look, stop: asyncio.Event) -> Starlette:
    """The page's ASGI application; `look` makes a snapshot (status.py)."""
    viewers = 0

    async def page(_: Request) -> Response:
        return FileResponse(_STATIC / "index.html")

    async def status(_: Request) -> Response:
        return JSONResponse(look())

    async def events(_: Request) -> Response:
        if viewers >= VIEWERS_MAX:
            text = f"{VIEWERS_MAX} viewers are watching already; close one of them\n"
            return PlainTextResponse(text, 503, {"retry-after": "5"})
        return StreamingResponse(stream(), media_type="text/event-stream")

    async def stream() -> AsyncIterator[bytes]:
        nonlocal viewers
        viewers += 1
        try:
            while not stop.is_set():
                text = json.dumps(look(), separators=(",", ":"), allow_nan=False)
                yield f"data: {text}\n\n".encode()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), PERIOD_S)
        finally:
            viewers -= 1

    return Starlette(
        routes=[
            Route("/", page, methods=["GET"]),
            Route("/api/status", status, methods=["GET"]),
            Route("/events", events, methods=["GET"]),
            Mount("/static", StaticFiles(directory=_STATIC)),
        ],
        middleware=[Middleware(_Guard)],
    )


class _Server(uvicorn.Server):
    """Leaves signals to the daemon."""

    @contextlib.contextmanager
    def capture_signals(self):  # type: ignore[no-untyped-def]
        yield


async def serve(look: Look, listener: socket.socket, stop: asyncio.Event) -> None:
    """Serve the page on an open socket, which is closed at the end, until `stop` is set."""
    config = uvicorn.Config(
        make_app(look, stop),
        lifespan="off",
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=1,
        timeout_keep_alive=15,
        limit_concurrency=2 * VIEWERS_MAX,
        h11_max_incomplete_event_size=16_384,
    )
    server = _Server(config)

    async def end() -> None:
        await stop.wait()
        server.should_exit = True

    ending = asyncio.create_task(end(), name="page stop")
    try:
        await server.serve(sockets=[listener])
    finally:
        ending.cancel()
        listener.close()
