"""openapi/: the document names every route, and every real answer is as it says."""

import asyncio

import httpx
import jsonschema
import pytest
from free_ports import free_port
from running_station import running_station
from starlette.routing import Route

from shorewatch.lag import LoopLag
from shorewatch.model import utc_now
from shorewatch.openapi.document import openapi
from shorewatch.people import save_person
from shorewatch.web.action import VERBS, Actions
from shorewatch.web.app import Place, make_app
from shorewatch.web.feed import Feed
from shorewatch.web.past import KEYS

WORD = "correct horse 9"


def schema_of(path: str, method: str = "get", code: str = "200") -> jsonschema.Draft202012Validator:
    """What the document says of an answer."""
    document = openapi()
    answer = document["paths"][path][method]["responses"][code]["content"]["application/json"]
    whole = answer["schema"] | {"components": document["components"]}
    return jsonschema.Draft202012Validator(
        whole, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    )


def test_the_document_names_every_route_and_no_other(tmp_path):
    """What the page serves to programs is what stands there, with its methods."""

    def look():
        return {}

    async def ask(_):
        return {}

    actions = Actions(tmp_path, ask, ask, ask)
    place = Place(
        actions=actions, history=ask, diary=ask, describe=look, document=openapi, words=ask
    )  # fmt: skip
    app = make_app(look, Feed(look), LoopLag(), asyncio.Event(), place)
    routes = {
        (route.path, method.lower())
        for route in app.routes
        if isinstance(route, Route)
        for method in (route.methods or set()) - {"HEAD"}
        if route.path.startswith("/api/") or route.path in ("/healthz", "/metrics")
    }
    told = {(path, method) for path, found in openapi()["paths"].items() for method in found}

    assert routes == told


def test_its_schemas_are_sound():
    """Every schema is one of JSON Schema 2020-12, and every reference leads somewhere."""
    document = openapi()
    schemas = document["components"]["schemas"]
    for found in schemas.values():
        jsonschema.Draft202012Validator.check_schema(found)
    references = set(_references(document))

    assert {f"#/components/schemas/{name}" for name in schemas} >= references


def test_what_may_be_asked_and_done_stands_in_it():
    """Each key of a question about the past, and each deed."""
    document = openapi()
    parameters = document["paths"]["/api/v1/alarms/history"]["get"]["parameters"]

    assert {one["name"] for one in parameters} == set(KEYS)
    assert set(document["components"]["schemas"]["Deed"]["properties"]["do"]["enum"]) == VERBS


async def test_real_answers_are_as_it_says(tmp_path, quiet_text):
    """A running station's answers, whole and refused, hold to their schemas."""
    port = free_port()
    text = quiet_text.replace("\n[[board]]", f"\n[page]\nport = {port}\n\n[[board]]", 1)
    async with running_station(tmp_path, text) as station:
        save_person(station.state, "ali", WORD, utc_now())
        await station.until_good()
        await station.ask("note", text="all quiet")
        await station.ask("test")
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
            for path, query in ASKED:
                reply = await client.get(f"{path}?{query}")
                assert reply.status_code == 200, reply.text
                schema_of(path).validate(reply.json())
            refused = await client.get("/api/v1/events?from=noon")
            schema_of("/api/v1/events", code="400").validate(refused.json())
            assert (await client.get("/api/v1/openapi.json")).json() == openapi()

            reply = await client.post("/api/v1/login", json={"name": "ali", "password": WORD})
            schema_of("/api/v1/login", "post").validate(reply.json())
            proof = {"x-shorewatch-proof": reply.json()["proof"]}
            for deed in (
                {"do": "note", "text": "x"}, {"do": "acknowledge", "alarm": "test-alarm"},
                {"do": "maintenance-begin", "seconds": 60, "text": "x"},
            ):  # fmt: skip
                reply = await client.post("/api/v1/do", json=deed, headers=proof)
                assert reply.status_code == 200, reply.text
                schema_of("/api/v1/do", "post").validate(reply.json())
            reply = await client.get("/api/v1/status")
            schema_of("/api/v1/status").validate(reply.json())


ASKED = [
    ("/api/v1/status", ""),
    ("/api/v1/station", ""),
    ("/api/v1/session", ""),
    ("/api/v1/words", "device=room"),
    ("/api/v1/alarms/history", ""),
    ("/api/v1/alarms/figures", ""),
    ("/api/v1/events", "count=3"),
    ("/api/v1/history", "point=room.temperature&from=2026-01-01T00:00:00Z&to=2126-01-01T00:00:00Z"),
]


def test_an_answer_with_another_key_is_not_as_it_says():
    """The schemas can say no."""
    with pytest.raises(jsonschema.ValidationError):
        schema_of("/api/v1/session").validate({"user": None, "proof": None, "more": 1})


def _references(found):
    if isinstance(found, dict):
        if isinstance(found.get("$ref"), str):
            yield found["$ref"]
        for value in found.values():
            yield from _references(value)
    elif isinstance(found, list):
        for value in found:
            yield from _references(value)
