"""The OpenAPI and AsyncAPI documents: whole, described, true to the messages, the errors and the routes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tornado.web import RequestHandler

from analytics import messages
from analytics.api import documents
from analytics.api.http import JSON, UnknownHandler
from analytics.api.meanings import EXAMPLES, MEANINGS
from analytics.api.route import COMMON, Route
from analytics.api.routes import ROUTES
from analytics.api.sockets import Close
from analytics.api.websocket import AnalyticsSocket
from analytics.events import COLUMNS
from analytics.settings import Settings
from app import App
from tests.unit.document_shapes import AsyncApi, OpenApi

METHODS = ("get", "post", "put", "patch", "delete")
SPOKEN: tuple[type[messages.Message], ...] = (*messages.V1, *messages.REPLIES)


@pytest.fixture(scope="module")
def openapi() -> dict[str, Any]:
    return documents.openapi()


@pytest.fixture(scope="module")
def asyncapi() -> dict[str, Any]:
    return documents.asyncapi("board.example:5006", secure=True)


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(ref := value.get("$ref"), str):
            yield ref
        if isinstance(named := value.get("discriminator"), dict):
            yield from named["mapping"].values()
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from references(inner)


def found(document: dict[str, Any], ref: str) -> Any:
    here: Any = document
    for name in ref.removeprefix("#/").split("/"):
        here = here[name]
    return here


def test_both_documents_have_the_form_that_their_specifications_ask_for(
    openapi: dict[str, Any], asyncapi: dict[str, Any]
) -> None:
    msgspec.json.decode(json.dumps(openapi, allow_nan=False), type=OpenApi)
    msgspec.json.decode(json.dumps(asyncapi, allow_nan=False), type=AsyncApi)


@pytest.mark.parametrize("name", ["openapi", "asyncapi"])
def test_every_reference_leads_somewhere(name: str, request: pytest.FixtureRequest) -> None:
    document = request.getfixturevalue(name)
    assert all(isinstance(found(document, ref), dict) for ref in references(document))


@pytest.mark.parametrize("name", ["openapi", "asyncapi"])
def test_every_schema_and_field_is_described(name: str, request: pytest.FixtureRequest) -> None:
    schemas = request.getfixturevalue(name)["components"]["schemas"]
    wanting = [owner for owner, schema in schemas.items() if not schema["description"]]
    wanting += [
        f"{owner}.{field}"
        for owner, schema in schemas.items()
        for field, value in schema.get("properties", {}).items()
        if not value.get("description")
    ]
    assert wanting == []


def test_every_meaning_is_of_a_field(openapi: dict[str, Any], asyncapi: dict[str, Any]) -> None:
    schemas = openapi["components"]["schemas"] | asyncapi["components"]["schemas"]
    fields = {f"{owner}.{field}" for owner, schema in schemas.items() for field in schema.get("properties", {})}
    fields |= {field.split(".")[1] for field in fields} | {"Reply.id"}
    assert MEANINGS.keys() - fields == set()


@pytest.mark.parametrize("message", SPOKEN, ids=messages.tag)
def test_every_example_is_its_message(message: type[messages.Message]) -> None:
    example = EXAMPLES[messages.tag(message)]
    assert isinstance(msgspec.convert(example, message), message)
    if message in messages.V1:
        assert isinstance(messages.decode(json.dumps(example)), message)


def test_no_example_is_of_a_message_that_is_gone() -> None:
    assert EXAMPLES.keys() == {messages.tag(c) for c in SPOKEN}


def test_the_socket_receives_every_request_and_sends_every_reply(asyncapi: dict[str, Any]) -> None:
    operations = asyncapi["operations"]
    for action, spoken in (("receive", messages.V1), ("send", messages.REPLIES)):
        told = [found(asyncapi, o["messages"][0]["$ref"])["$ref"] for o in operations.values() if o["action"] == action]
        assert told == [f"#/components/messages/{messages.tag(c)}" for c in spoken]
    answers = {o["messages"][0]["$ref"].rsplit("/", 1)[1]: o["reply"]["messages"][0]["$ref"].rsplit("/", 1)[1]
               for o in operations.values() if "reply" in o}  # fmt: skip
    assert answers["subscribe"] == "subscribed"
    assert answers["ping"] == "pong"
    assert answers["query"] == "analytics_update"


def test_the_channel_tells_every_close_and_error_code(asyncapi: dict[str, Any]) -> None:
    channel = asyncapi["channels"]["analytics"]
    assert set(channel["x-close-codes"]) == {str(code.value) for code in Close}
    assert {int(code) for code, told in channel["x-close-codes"].items() if not told["reconnect"]} == {
        code for code in Close if code >= 4500
    }
    assert set(channel["x-error-codes"]) == {error.code for error in documents.family()}
    assert all(str(code.value) in channel["description"] for code in Close)


def test_the_server_is_named_as_it_is_seen(asyncapi: dict[str, Any]) -> None:
    server = asyncapi["servers"]["this"]
    assert (server["host"], server["protocol"]) == ("board.example:5006", "wss")
    assert documents.asyncapi()["servers"]["this"]["protocol"] == "ws"


def test_an_event_has_every_column_that_may_be_sent(openapi: dict[str, Any]) -> None:
    event = openapi["components"]["schemas"]["Event"]["properties"]
    assert set(event) == {column.name for column in COLUMNS} - {"received"}
    assert event["agent"]["description"] == "the agent that acted"
    assert [kind["type"] for kind in event["time"]["anyOf"]] == ["string", "integer", "number", "null"]


def test_examples_of_bodies_have_the_shape_they_stand_for() -> None:
    for route in ROUTES:
        for body in (*route.takes, *route.gives):
            for example in body.examples.values():
                if body.media == JSON:
                    msgspec.convert(example, body.shape)


def test_every_operation_has_its_own_name_its_path_its_arguments_and_its_refusals(openapi: dict[str, Any]) -> None:
    operations = [(path, o) for path, methods in openapi["paths"].items() for o in methods.values()]
    names = [o["operationId"] for _, o in operations]
    assert len(names) == len(set(names)) == len(ROUTES)
    for path, operation in operations:
        told = {p["name"] for p in operation.get("parameters", []) if p["in"] == "path"}
        assert told == set(re.findall(r"{(\w+)}", path))
        if operation["security"]:
            assert {str(error.status) for error in COMMON} <= operation["responses"].keys()
        for needed in operation["security"]:
            assert needed.keys() <= openapi["components"]["securitySchemes"].keys()


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    app = App(Settings(port=0, data=tmp_path / "data", demo=False))
    yield app
    app.keys.close()


def handler(app: App, route: Route) -> type[RequestHandler] | None:
    """Who answers a route: the first pattern that fits, as in Tornado."""
    path = re.sub(r"{\w+}", "x", route.path)
    return next((entry[1] for entry in app.routes() if re.fullmatch(entry[0], path)), None)


def test_every_route_of_the_table_is_answered_with_its_method(app: App) -> None:
    for route in ROUTES:
        answers = handler(app, route)
        assert answers is not None and answers is not UnknownHandler, route.path
        method = route.method.lower()
        assert getattr(answers, method) is not getattr(RequestHandler, method), f"{route.method} {route.path}"


def test_every_route_of_the_server_is_in_the_table(app: App) -> None:
    told = {(handler(app, route), route.method.lower()) for route in ROUTES}
    missing = [
        f"{method} {entry[0]}"
        for entry in app.routes()
        if entry[1] not in (UnknownHandler, AnalyticsSocket)
        for method in METHODS
        if getattr(entry[1], method) is not getattr(RequestHandler, method) and (entry[1], method) not in told
    ]
    assert missing == []
    for pattern, *_ in app.routes():  # an address that lists its words: each of them
        for words in re.findall(r"\((?!\?)([a-z]+(?:\|[a-z]+)+)\)", pattern):
            for word in words.split("|"):
                path = re.sub(r"\([^()]*\)", word, pattern).replace("\\", "")
                assert any(route.path == path for route in ROUTES), path
