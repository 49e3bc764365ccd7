"""What points did, for the trend view and for files: history as JSON and CSV, and the charts.

    GET /trend                 the view: the only one with a library and with inline styles
    GET /api/v1/history        ?point=pfe.line_current&from=...&to=...&points=600   (history.py)
    GET /api/v1/history.csv    the same as a table
    GET /lib/plotly.js         the JavaScript that the plotly wheel ships, compressed once

No file of the library stands in this project: the installed wheel is where it is read from.
"""

import asyncio
import csv
import gzip
import io
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from shorewatch.model import encode
from shorewatch.texts import Texts
from shorewatch.web.asset import assets, packed, takes_gzip

POINTS_MAX = 5000
COLUMNS = ("from", "to", "low", "mean", "high", "last", "quality", "reason", "good", "known")
# Plotly styles its charts inline; scripts are ours and its one file, as everywhere.
_POLICY = (
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'; object-src 'none'"
)

Ask = Callable[[Mapping[str, object]], Awaitable[Mapping[str, Any]]]


def routes(ask: Ask, texts: Texts) -> list[Route]:
    """Where trends are found; `ask` answers what history.py can be asked (ValueError refuses)."""

    async def view(request: Request) -> Response:
        answer = assets(texts)["trend.html"].answer(request)
        answer.headers["content-security-policy"] = _POLICY
        return answer

    async def found(request: Request) -> Mapping[str, Any]:
        wanted = request.query_params
        try:
            points = min(int(wanted.get("points", "600")), POINTS_MAX)
        except ValueError as error:
            raise ValueError("points must be a whole number") from error
        keys = {key: wanted.get(key, "") for key in ("point", "from", "to")}
        return await ask({"do": "history", **keys, "points": points})

    async def as_json(request: Request) -> Response:
        try:
            return await packed(request, encode(await found(request)))
        except ValueError as error:
            return JSONResponse({"error": str(error)}, 400)

    async def as_csv(request: Request) -> Response:
        try:
            reply = await found(request)
        except ValueError as error:
            return JSONResponse({"error": str(error)}, 400)
        name = f"{reply['point']}.csv"
        headers = {"content-disposition": f'attachment; filename="{name}"'}
        return Response(table(reply), media_type="text/csv; charset=utf-8", headers=headers)

    return [
        Route("/trend", view, methods=["GET"]),
        Route("/api/v1/history", as_json, methods=["GET"]),
        Route("/api/v1/history.csv", as_csv, methods=["GET"]),
        Route("/lib/plotly.js", _library, methods=["GET"]),
    ]


def table(reply: Mapping[str, Any]) -> str:
    """History's answer as CSV: a line a span, times in UTC, the unit in the heads."""
    text = io.StringIO()
    writer = csv.writer(text)
    unit = f" ({reply['unit']})" if reply["unit"] else ""
    heads = [f"{key}{unit}" if key in ("low", "mean", "high", "last") else key for key in COLUMNS]
    writer.writerow(heads)
    writer.writerows([span[key] for key in COLUMNS] for span in reply["spans"])
    return text.getvalue()


async def _library(request: Request) -> Response:
    tag = f'"{version("plotly")}"'
    headers = {"etag": tag, "vary": "accept-encoding", "cache-control": "no-cache"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    kind = "text/javascript; charset=utf-8"
    if not takes_gzip(request):
        return FileResponse(_plotly(), headers=headers, media_type=kind)
    data = await asyncio.to_thread(_compressed)
    return Response(data, headers={**headers, "content-encoding": "gzip"}, media_type=kind)


def _plotly() -> Path:
    found = find_spec("plotly")
    assert found is not None and found.origin is not None, "plotly is a dependency"
    return Path(found.origin).parent / "package_data" / "plotly.min.js"


@cache
def _compressed() -> bytes:
    """Some 1.5 MB of 4.8; made at the first call, in half a second."""
    return gzip.compress(_plotly().read_bytes(), 6)
