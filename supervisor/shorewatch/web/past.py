"""What happened, for the alarms view and for programs: diary.py's answers as JSON.

    GET /api/v1/alarms/history   ?from=...&to=...&priority=critical,major&state=...&source=...
    GET /api/v1/alarms/figures   ?from=...&to=...
    GET /api/v1/events           ?from=...&to=...&source=...

All keys may be left out; `count`, `before` and `journal` page through the lists, from the newest
back.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from shorewatch.model import encode
from shorewatch.web.asset import packed

Ask = Callable[[Mapping[str, object]], Awaitable[Mapping[str, Any]]]
KEYS = ("from", "to", "priority", "state", "source", "count", "before", "journal")
PLACES = {
    "/api/v1/alarms/history": "alarm-history",
    "/api/v1/alarms/figures": "alarm-figures",
    "/api/v1/events": "events",
}


def routes(ask: Ask) -> list[Route]:
    """Where the past is found; `ask` answers (ValueError refuses)."""
    return [Route(path, _answering(ask, do), methods=["GET"]) for path, do in PLACES.items()]


def _answering(ask: Ask, do: str) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        wanted = {key: request.query_params.get(key, "") for key in KEYS}
        try:
            found = await ask({"do": do, **wanted})
        except ValueError as error:
            return JSONResponse({"error": str(error)}, 400)
        return await packed(request, encode(found))

    return answer
