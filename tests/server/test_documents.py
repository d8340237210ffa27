"""The documents and the page /api as served; every example sent to the server that tells it."""

from __future__ import annotations

import asyncio
import gzip
import json
from typing import Any

import msgspec
import pytest
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from analytics import messages
from analytics.api.http import JSON
from analytics.api.meanings import EXAMPLES
from analytics.api.route import Route
from analytics.api.routes import ROUTES
from tests.conftest import Served, flow
from tests.server.test_pages import ask, signed_in

DOCUMENTS = ("openapi", "asyncapi")
SOCKET = [message for message in messages.V1 if message is not messages.Unsubscribe]
THE_FLOW = {"flow_id": EXAMPLES["flow"]["flow_id"]}  # that the examples speak of
APART = "Walls"  # a group that needs a paired screen: test_screens sends its messages
PLAIN_GETS = [
    route
    for route in ROUTES
    if route.group != APART and route.method == "GET" and "{" not in route.path and route.gives and route.gives[0].shape
]


@pytest.mark.parametrize("name", DOCUMENTS)
async def test_a_document_is_served_to_any_good_key_and_to_nobody_else(served: Served, name: str) -> None:
    status, headers, body = await served.get(f"/api/{name}.json")
    assert (status, headers["Content-Type"]) == (200, JSON)
    assert json.loads(body)[name].startswith("3.")
    _, sender = served.app.keys.create("sender", ["ingest"])
    assert (await served.get(f"/api/{name}.json", sender))[0] == 200
    assert (await served.get(f"/api/{name}.json", None))[0] == 401


@pytest.mark.parametrize("name", DOCUMENTS)
async def test_a_document_is_sent_again_only_when_it_changed_and_packed(served: Served, name: str) -> None:
    _, headers, body = await served.get(f"/api/{name}.json")
    assert (await served.get(f"/api/{name}.json", If_None_Match=headers["Etag"]))[0] == 304
    _, packed_headers, packed = await served.get(f"/api/{name}.json", Accept_Encoding="gzip")
    assert packed_headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed) == body
    assert len(packed) < len(body) / 4


async def test_asyncapi_names_the_host_it_was_asked_under(served: Served) -> None:
    _, _, body = await served.get("/api/asyncapi.json")
    assert f"http://{json.loads(body)['servers']['this']['host']}" == served.url


@pytest.mark.parametrize("message", messages.PLAIN, ids=messages.tag)
async def test_every_example_of_a_question_is_answered_over_http(
    served: Served, message: type[messages.Message]
) -> None:
    await served.ingest([flow(ago_s=i) for i in range(1, 20)] + [flow(**THE_FLOW)])
    status, body = await served.post("/api/analytics", EXAMPLES[messages.tag(message)])
    assert (status, body["type"]) == (200, "analytics_update")


@pytest.mark.parametrize("message", SOCKET, ids=messages.tag)
async def test_every_example_of_a_request_is_answered_on_the_socket(
    served: Served, message: type[messages.Message]
) -> None:
    example = EXAMPLES[messages.tag(message)]
    await served.ingest([flow(**THE_FLOW)])
    key = {"X-API-Key": served.key}
    async with connect(served.socket_url, additional_headers=key, subprotocols=[Subprotocol("analytics.v1")]) as socket:
        assert json.loads(await socket.recv())["type"] == "welcome"
        await socket.send(json.dumps(example))
        reply = json.loads(await asyncio.wait_for(socket.recv(), 10))
        assert reply["id"] == example["id"]
        assert reply["type"] == {"subscribe": "subscribed", "ping": "pong"}.get(example["type"], "analytics_update")
        if message is messages.Subscribe:
            assert json.loads(await asyncio.wait_for(socket.recv(), 10))["type"] == "analytics_update"
            await socket.send(json.dumps(EXAMPLES["unsubscribe"]))
            answers = [json.loads(raw)["type"] async for raw in _until_gone(socket)]
            assert answers[-1] == "unsubscribed"


async def _until_gone(socket: Any) -> Any:
    async for raw in socket:
        yield raw
        if json.loads(raw)["type"] == "unsubscribed":
            return


@pytest.mark.parametrize("route", PLAIN_GETS, ids=lambda route: route.path)
async def test_what_a_route_gives_has_the_shape_and_the_fields_that_are_told(served: Served, route: Route) -> None:
    _, admin = served.app.keys.create("admin", ["read", "ingest", "admin"])
    async with connect(served.socket_url, additional_headers={"X-API-Key": admin}):
        status, headers, body = await served.get(route.path, admin)
    assert status == route.status
    assert headers["Content-Type"].partition(";")[0] == route.gives[0].media
    given = json.loads(body)
    told = json.loads(msgspec.json.encode(msgspec.convert(given, route.gives[0].shape)))
    assert fields(given) <= fields(told)


def fields(value: Any) -> set[str]:
    """Paths of all keys inside, whatever the place in a list."""
    if isinstance(value, list):
        return {path for item in value for path in fields(item)}
    if not isinstance(value, dict):
        return set()
    return set(value) | {f"{name}.{path}" for name, inner in value.items() for path in fields(inner)}


@pytest.mark.parametrize(
    "route", [r for r in ROUTES if r.method == "POST" and r.group != APART], ids=lambda route: route.path
)
async def test_every_example_of_a_body_is_taken(served: Served, route: Route) -> None:
    key, admin = served.app.keys.create("admin", ["read", "ingest", "admin"])
    await served.ingest([flow(**THE_FLOW)])
    path = route.path.replace("{dataset}", "events").replace("{id}", key.id).replace("{board}", "overview")
    for body in route.takes:
        for example in body.examples.values():
            sent = example.encode() if isinstance(example, str) else json.dumps(example).encode()
            status, given = await served.post(path, sent, admin, Content_Type=body.media)
            assert status == route.status, given
            if route.gives[0].shape is not None:
                msgspec.convert(given, route.gives[0].shape)


async def test_the_page_is_for_who_is_signed_in_and_runs_no_foreign_code(served: Served) -> None:
    status, headers, _ = await ask(served, "GET", "/api")
    assert (status, headers["Location"]) == (302, "/login?next=%2Fapi")
    status, headers, body = await ask(served, "GET", "/api", Cookie=await signed_in(served))
    assert status == 200
    policy = headers["Content-Security-Policy"]
    assert "connect-src 'self'" in policy
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert " style=" not in body
    assert "<script>" not in body


async def test_the_page_tells_every_route_and_every_message(served: Served) -> None:
    _, _, body = await ask(served, "GET", "/api", Cookie=await signed_in(served))
    for route in ROUTES:
        assert f">{route.method} {route.path}</h1>" in body
    for message in (*messages.V1, *messages.REPLIES):
        assert f">{messages.tag(message)}</h1>" in body
