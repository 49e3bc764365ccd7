"""The local status page: one HTML file, its script and style, and a stream of snapshots.

It shows without a login and changes something for a named user only (action.py); nothing here
reaches a board. It works with the network down: everything it needs comes from here.

    / and its views     the page          /static/        its parts
    /cable.svg          the cable's potentials, and a fault that stands; ?narrow for a phone
    /api/v1/station     what the station is, as its file says (describe.py)
    /api/v1/words       a device's registers as they came (words.py)
    /api/v1/status      a snapshot        /api/v1/stream  snapshots as server-sent events (feed.py)
    /api/v1/openapi.json                                    all of this for programs
    /healthz            whether the gateway's loop turns
    /metrics            figures for Prometheus (metrics.py)
    /api/v1/login, logout, do, session                      what a user may do
    /trend              what points did (trend.py)
    /api/v1/alarms/history, alarms/figures, events          what happened (past.py)

At most 128 viewers, 256 connections.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from shorewatch.lag import LoopLag
from shorewatch.model import encode
from shorewatch.texts import Texts, english
from shorewatch.web import metrics, past, trend
from shorewatch.web.action import Actions
from shorewatch.web.asset import assets, packed, takes_gzip
from shorewatch.web.feed import Feed, Look
from shorewatch.web.guard import Guard

VIEWERS_MAX = 128


@dataclass(frozen=True, slots=True)
class Place:
    """Where and for whom the page is served."""

    names: tuple[str, ...] = ()  # host names, beside addresses and those of this machine
    cert_file: Path | None = None
    key_file: Path | None = None
    actions: Actions | None = None  # without them it only shows
    history: trend.Ask | None = None
    diary: past.Ask | None = None
    describe: Look | None = None  # what the station is (describe.py)
    words: Callable[[str], Mapping[str, object]] | None = None  # of a device (ValueError refuses)
    draw: Callable[[bool], str] | None = None  # the cable as SVG; for a narrow screen
    document: Callable[[], Mapping[str, object]] | None = None  # this interface (OpenAPI)
    texts: Texts = field(default_factory=english)


def make_app(look: Look, feed: Feed, lag: LoopLag, stop: asyncio.Event, place: Place) -> Starlette:
    """The page's ASGI application; `look` makes a snapshot (status.py), `feed` streams them."""

    async def page(request: Request) -> Response:
        return assets(place.texts)["index.html"].answer(request)

    async def part(request: Request) -> Response:
        found = assets(place.texts).get(request.path_params["name"])
        return PlainTextResponse("not found\n", 404) if found is None else found.answer(request)

    async def status(request: Request) -> Response:
        return await packed(request, encode(look()))

    async def station(request: Request) -> Response:
        assert place.describe is not None, "only then there is a route"
        return await packed(request, encode(place.describe()))

    async def words(request: Request) -> Response:
        assert place.words is not None, "only then there is a route"
        try:
            found = place.words(request.query_params.get("device", ""))
        except ValueError as error:
            return JSONResponse({"error": str(error)}, 400)
        return await packed(request, encode(found))

    async def document(request: Request) -> Response:
        assert place.document is not None, "only then there is a route"
        return await packed(request, encode(await asyncio.to_thread(place.document)))

    async def cable(request: Request) -> Response:
        assert place.draw is not None, "only then there is a route"
        drawn = await asyncio.to_thread(place.draw, "narrow" in request.query_params)
        return await packed(request, drawn.encode(), "image/svg+xml")

    async def stream(request: Request) -> Response:
        if feed.viewers >= VIEWERS_MAX:
            text = f"{VIEWERS_MAX} viewers are watching already; close one of them\n"
            return PlainTextResponse(text, 503, {"retry-after": "5"})
        is_small = takes_gzip(request)
        headers = {"vary": "accept-encoding", "cache-control": "no-store"}
        headers |= {"content-encoding": "gzip"} if is_small else {}
        events = feed.follow(stop, is_small=is_small)
        return StreamingResponse(events, headers=headers, media_type="text/event-stream")

    async def health(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def figures(_: Request) -> Response:
        # Some 50 ms for thousands of points: not in the loop that reads them.
        tasks = len(asyncio.all_tasks())
        found = await asyncio.to_thread(metrics.text, look(), lag.worst_s, tasks)
        return Response(found, headers={"content-type": metrics.CONTENT_TYPE})

    handlers = {
        **dict.fromkeys(("/", "/devices", "/alarms", "/diagnostics", "/device/{id}"), page),
        "/api/v1/status": status,
        "/api/v1/stream": stream,
        "/healthz": health,
        "/metrics": figures,
    }
    if place.describe is not None:
        handlers["/api/v1/station"] = station
    if place.words is not None:
        handlers["/api/v1/words"] = words
    if place.document is not None:
        handlers["/api/v1/openapi.json"] = document
    if place.draw is not None:
        handlers["/cable.svg"] = cable
    return Starlette(
        routes=[
            *(Route(path, handler, methods=["GET"]) for path, handler in handlers.items()),
            *(place.actions.routes() if place.actions is not None else ()),
            *(trend.routes(place.history, place.texts) if place.history is not None else ()),
            *(past.routes(place.diary) if place.diary is not None else ()),
            Route("/static/{name}", part, methods=["GET"]),
        ],
        middleware=[Middleware(Guard, place.names, place.texts)],
    )


class _Server(uvicorn.Server):
    """Leaves signals to the daemon."""

    @contextlib.contextmanager
    def capture_signals(self):  # type: ignore[no-untyped-def]
        yield


async def serve(
    look: Look, listener: socket.socket, stop: asyncio.Event, place: Place | None = None
) -> None:
    """Serve the page on an open socket, which is closed at the end, until `stop` is set.

    Raises OSError (ssl.SSLError) for a certificate that cannot be used, and what `look` raises.
    """
    place = place or Place()
    feed, lag = Feed(look), LoopLag()
    config = uvicorn.Config(
        make_app(look, feed, lag, stop, place),
        lifespan="off",
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=1,
        timeout_keep_alive=15,
        limit_concurrency=2 * VIEWERS_MAX,
        h11_max_incomplete_event_size=16_384,
        ssl_certfile=place.cert_file,
        ssl_keyfile=place.key_file,
    )
    server = _Server(config)

    async def end() -> None:
        await stop.wait()
        server.should_exit = True

    ending = asyncio.create_task(end(), name="page stop")
    feeding = asyncio.create_task(feed.run(stop), name="page feed")
    measuring = asyncio.create_task(lag.run(), name="loop lag")
    # A feed that has ended by a bug takes the page with it: whoever runs us starts both again.
    feeding.add_done_callback(lambda _: setattr(server, "should_exit", True))
    try:
        await asyncio.to_thread(assets, place.texts)
        await server.serve(sockets=[listener])
    finally:
        for task in (ending, feeding, measuring):
            task.cancel()
        await asyncio.wait((ending, feeding, measuring))
        listener.close()
    if not feeding.cancelled():
        feeding.result()
