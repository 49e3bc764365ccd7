"""The page's interface for programs as one OpenAPI 3.1 document. Pure.

Every route of the page but its views, parts and pictures, with what it takes and answers. A test
holds the routes against it, and real answers. Source: OpenAPI Specification 3.1.0.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Final

from pydantic.json_schema import models_json_schema

from shorewatch.mqtt.asking import Shape
from shorewatch.openapi import shape

Document = dict[str, Any]
_JSON: Final = "application/json"
_REF: Final = "#/components/schemas/{model}"
_KEYS: Final[Mapping[str, str]] = {
    "from": "Begin, RFC 3339 with its zone",
    "to": "End, RFC 3339 with its zone; now if left out",
    "priority": "Only these: critical, major, minor, warning, with commas",
    "state": "Only where the alarm was then in one of these states, with commas",
    "source": "Only of this device, point, board or alarm",
    "count": "At most so many, the newest; 500 at most",
    "before": "Only records before this sequence: to go on where an answer ended",
    "journal": "The journal of that answer: refused where another has begun since",
    "device": "A device's id",
    "point": "Device and point, as pfe.line_current",
    "points": "At most so many spans; 5000 at most",
}


@dataclass(frozen=True, slots=True)
class _Route:
    """One operation: what it does, takes and answers; an answer is a class or a media type."""

    path: str
    does: str
    answer: type[Shape] | str
    keys: tuple[str, ...] = ()
    needed: tuple[str, ...] = ()
    body: type[Shape] | None = None
    refuses: tuple[int, ...] = ()
    is_for_users: bool = False

    @property
    def method(self) -> str:
        return "get" if self.body is None else "post"


_LIST: Final = ("from", "to", "source", "count", "before", "journal")
_SPAN: Final = ("point", "from", "to", "points")
_POST: Final = (400, 403, 413, 415)
ROUTES: Final = (
    _Route("/api/v1/status", "The station now, whole", shape.Status),
    _Route(
        "/api/v1/stream",
        "The station as it changes: an event `whole` with a status, then events `part` with "
        "{set: {section: {id: row}}, gone: {section: [id]}} and all else that changed",
        "text/event-stream",
        refuses=(503,),
    ),
    _Route("/api/v1/station", "What the station is, as its file says", shape.Station),
    _Route(
        "/api/v1/words",
        "The registers of a device as they came last, by block",
        shape.Words,
        ("device",),
        ("device",),
        refuses=(400,),
    ),
    _Route("/api/v1/history", "What a point did", shape.History, _SPAN, _SPAN[:3], refuses=(400,)),
    _Route(
        "/api/v1/history.csv", "The same as a table", "text/csv", _SPAN, _SPAN[:3], refuses=(400,)
    ),
    _Route(
        "/api/v1/alarms/history",
        "What happened to alarms, with notes and maintenance, the newest first",
        shape.Records,
        (*_LIST, "priority", "state"),
        refuses=(400,),
    ),
    _Route(
        "/api/v1/alarms/figures",
        "How the alarms serve people: the figures of ISA-18.2; over a day if not said else",
        shape.Figures,
        ("from", "to"),
        refuses=(400,),
    ),
    _Route(
        "/api/v1/events",
        "What boards stamped, lines, starts and losses, the newest first",
        shape.Records,
        _LIST,
        refuses=(400,),
    ),
    _Route("/api/v1/openapi.json", "This document", _JSON),
    _Route("/api/v1/session", "Who is logged in", shape.Session),
    _Route(
        "/api/v1/login",
        "Log in: over https, or on the gateway itself; sets the cookie",
        shape.Session,
        body=shape.Login,
        refuses=(*_POST, 401, 429, 503),
    ),
    _Route(
        "/api/v1/logout",
        "End the session",
        shape.Session,
        body=shape.Nothing,
        refuses=(*_POST, 401, 503),
        is_for_users=True,
    ),
    _Route(
        "/api/v1/do",
        "Answer an alarm, write a note, begin or end maintenance; on record before it is answered",
        shape.Done,
        body=shape.Deed,
        refuses=(*_POST, 401, 409, 503),
        is_for_users=True,
    ),
    _Route(
        "/api/v1/support",
        "The support bundle",
        "application/zip",
        body=shape.Nothing,
        refuses=(*_POST, 401, 503),
        is_for_users=True,
    ),
    _Route("/healthz", "`ok` while the gateway's loop turns", "text/plain"),
    _Route("/metrics", "Figures for Prometheus, text format 0.0.4", "text/plain"),
)


def openapi() -> Document:
    """The document."""
    models = {found for route in ROUTES for found in (route.answer, route.body, shape.Refusal)}
    shapes = sorted((one for one in models if isinstance(one, type)), key=lambda one: one.__name__)
    _, schemas = models_json_schema([(one, "serialization") for one in shapes], ref_template=_REF)
    paths: dict[str, Document] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method] = _operation(route)
    return {
        "openapi": "3.1.0",
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "info": {
            "title": "A landing station's status page",
            "version": version("shorewatch"),
            "description": "Shows without a login; changes something for a named user only. "
            "Nothing here reaches a board or a device.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {
                "cookie": {"type": "apiKey", "in": "cookie", "name": "shorewatch-session"},
                "proof": {"type": "apiKey", "in": "header", "name": "X-Shorewatch-Proof"},
            },
        },
    }


def _operation(route: _Route) -> Document:
    name = route.path.removeprefix("/api/v1").strip("/").replace("/", "-").replace(".", "-")
    found: Document = {
        "operationId": name,
        "summary": route.does,
        "parameters": [_parameter(key, is_needed=key in route.needed) for key in route.keys],
        "responses": {
            "200": {"description": route.does, "content": _content(route.answer)},
            "421": {"description": "Asked for under a name that is not the station's (page.names)"},
            **{
                str(code): {"description": "Refused", "content": _refusal(route)}
                for code in route.refuses
            },
        },
    }
    if route.body is not None:
        found["requestBody"] = {"required": True, "content": _content(route.body)}
    if route.is_for_users:
        found["security"] = [{"cookie": [], "proof": []}]
    return found


def _parameter(key: str, *, is_needed: bool) -> Document:
    return {
        "name": key, "in": "query", "required": is_needed, "description": _KEYS[key],
        "schema": {"type": "integer" if key in ("count", "before", "points") else "string"},
    }  # fmt: skip


def _refusal(route: _Route) -> Document:
    return _content("text/plain" if route.answer == "text/event-stream" else shape.Refusal)


def _content(answer: type[Shape] | str) -> Document:
    if isinstance(answer, str):
        return {answer: {} if answer == _JSON else {"schema": {"type": "string"}}}
    return {_JSON: {"schema": {"$ref": _REF.format(model=answer.__name__)}}}
