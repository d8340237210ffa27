"""The Model Context Protocol with the SDK's own client, over HTTP to a served app: tools, refusals, keys."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import jsonschema  # type: ignore[import-untyped]
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError
from mcp_types import TextContent

from analytics.api.links import MAX_FILTERS
from analytics.api.mcp_protocol import CATALOGUE
from analytics.api.tools import TOOLS, Toolbox
from dashboard.scope import Scope
from tests.conftest import Served, flow, request

ROOT = Path(__file__).parents[2]
ERAS = ("auto", "legacy")  # without a handshake, as since 2026, and with one


def flows() -> list[dict[str, Any]]:
    """Twelve flows of the last seconds, f1 the newest; every third is of another agent."""
    return [flow(ago_s=i, flow_id=f"f{i}", agent="planner" if i % 3 else "coder") for i in range(1, 13)]


@contextlib.asynccontextmanager
async def talking(served: Served, key: str | None = None, mode: str = "auto") -> AsyncIterator[Client]:
    """The SDK's client at a server, with a key."""
    async with (
        httpx2.AsyncClient(headers={"X-API-Key": key or served.key}) as http,
        Client(streamable_http_client(f"{served.url}/mcp", http_client=http), mode=mode) as client,
    ):
        yield client


async def call(client: Client, name: str, **arguments: Any) -> tuple[dict[str, Any], str]:
    """What a tool answered: structured, and as text."""
    result = await client.call_tool(name, arguments)
    (told,) = result.content
    assert isinstance(told, TextContent)
    assert not result.is_error, told.text
    return result.structured_content, told.text


async def refusal(client: Client, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """The error that a tool answered, which its text tells too."""
    result = await client.call_tool(name, arguments)
    assert result.is_error
    error: dict[str, Any] = result.structured_content["error"]
    (told,) = result.content
    assert isinstance(told, TextContent)
    assert told.text.startswith(f"{error['code']}: {error['message']}")
    assert "Traceback" not in told.text
    jsonschema.validate(result.structured_content, Toolbox().outputs[name])
    return error


async def rpc(
    served: Served, method: str, params: Any = None, key: str | None = "", **headers: str
) -> tuple[int, dict[str, Any]]:
    """One message as it is on the wire: the status, and what came back."""
    message = {"jsonrpc": "2.0", "id": 1, "method": method} | ({} if params is None else {"params": params})
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if key is not None:
        sent["X-API-Key"] = key or served.key
    async with httpx2.AsyncClient() as http:
        reply = await http.post(f"{served.url}/mcp", json=message, headers=sent)
    return reply.status_code, reply.json()


# what is said before any question


@pytest.mark.parametrize("mode", ERAS)
async def test_a_client_learns_the_tools_and_that_every_number_has_a_confidence(served: Served, mode: str) -> None:
    async with talking(served, mode=mode) as client:
        listed = (await client.list_tools()).tools
        assert "confidence" in (client.instructions or "")
        assert client.server_info is not None and client.server_info.name == "plumbline"
    assert [tool.name for tool in listed] == [tool.name for tool in TOOLS]
    for tool in listed:
        assert tool.description and tool.title
        assert tool.annotations is not None and tool.annotations.read_only_hint
        for schema in (tool.input_schema, tool.output_schema):
            jsonschema.Draft202012Validator.check_schema(schema)
            assert schema is not None and schema["type"] == "object"
            assert "$ref" not in json.dumps(schema)
        assert not {"type", "id", "timestamp"} & tool.input_schema["properties"].keys()
        wanting = [n for n, field in tool.input_schema["properties"].items() if not field.get("description")]
        assert wanting == []
        for example in tool.input_schema.get("examples", []):
            jsonschema.validate(example, tool.input_schema)


async def test_pages_and_catalogue_can_be_read(served: Served) -> None:
    async with talking(served) as client:
        uris = {str(resource.uri) for resource in (await client.list_resources()).resources}
        assert {f"plumbline://docs/{path.stem}" for path in ROOT.glob("assets/docs/*.md")} | {CATALOGUE} == uris
        page = (await client.read_resource("plumbline://docs/trust")).contents[0]
        assert getattr(page, "text", "") == (ROOT / "assets/docs/trust.md").read_text()
        about = json.loads(getattr((await client.read_resource(CATALOGUE)).contents[0], "text", ""))
        assert "flows" in {metric["name"] for metric in about["metrics"]}
        with pytest.raises(MCPError, match="no resource"):
            await client.read_resource("plumbline://docs/../../app")


# the tools


@pytest.mark.parametrize("mode", ERAS)
async def test_a_query_is_answered_with_its_value_unit_and_confidence(served: Served, mode: str) -> None:
    await served.ingest(flows())
    async with talking(served, mode=mode) as client:
        found, text = await call(client, "query", metrics=["flows", "duration_p50"], group_by=["agent"])
        asked = await served.ask(type="query", metrics=["flows", "duration_p50"], group_by=["agent"], limit=20)
    assert found["analytics"]["rows"] == asked["analytics"]["rows"] == [["planner", 8, 1000.0], ["coder", 4, 1000.0]]
    assert found["analytics"]["totals"]["flows"]["value"] == 12
    assert 0 < found["confidence"] <= 1
    assert text.startswith("flows: 12 flows\nduration_p50: 1.00 s\nFrom 20")
    assert "\nplanner | 8 | 1.00 s\n" in text
    assert f"Confidence {found['confidence']:.2f} of 1: sample " in text


async def test_what_is_unknown_is_called_unknown_and_why(served: Served) -> None:
    async with talking(served) as client:
        found, text = await call(client, "query", metrics=["flows", "duration_p95"])
    assert found["analytics"]["totals"]["flows"]["value"] is None
    assert found["confidence"] == 0
    assert text.startswith("flows: unknown, no rows in this window\nduration_p95: unknown, no rows in this window\n")


async def test_names_values_and_flows_are_listed(served: Served) -> None:
    await served.ingest(flows())
    async with talking(served) as client:
        found, text = await call(client, "list_metrics", search="spend")
        assert [metric["name"] for metric in found["metrics"]] == ["spend"]
        assert text.startswith("metrics: spend (usd per hour)\n")
        everything, _ = await call(client, "list_metrics")
        assert all(everything.values())
        other, _ = await call(client, "list_metrics", dataset="self")
        assert {metric["dataset"] for metric in other["metrics"]} == {"self"}
        found, text = await call(client, "values", dim="agent")
        assert text.startswith("agent, by rows: planner (8), coder (4)\n")
        found, text = await call(client, "flows", limit=5)
        assert [row[0] for row in found["analytics"]["rows"]] == ["f1", "f2", "f3", "f4", "f5"]
        assert "`after` set to `next`" in text
        found, text = await call(client, "flow", flow_id="f3")
        assert (found["analytics"]["flow_id"], found["analytics"]["count"]) == ("f3", 1)
        assert text.startswith("answer question: ")


async def test_a_link_opens_the_board_as_it_was_asked_for(served: Served) -> None:
    filters = [
        {"dim": "agent", "op": "in", "values": ["planner", "two words&more", None]},
        {"dim": "tool", "op": "is_not", "values": ["search"]},
        {"dim": "name", "op": "contains", "values": ["ü%"]},
    ]
    window = {"from": "now-2h", "to": "now-1h", "tz": "Europe/Berlin"}
    async with talking(served) as client:
        found, text = await call(
            client, "board_link", board="overview", window=window, filters=filters, compare="week", grain="5m"
        )
        assert text == f"Overview: {found['url']}"
        (plain, _), long = await call(client, "board_link", board="agents"), ["x"] * (MAX_FILTERS + 1)
        assert plain["url"] == f"{served.url}/board?board=agents"
        assert (await refusal(client, "board_link", {"board": "overviw"}))["code"] == "NOT_FOUND"
        wrong = {"board": "agents", "filters": [{"dim": "agent", "values": long}]}
        assert (await refusal(client, "board_link", wrong))["code"] == "VALIDATION_ERROR"
        assert (await refusal(client, "board_link", {"board": "agents", "window": "soon"}))[
            "code"
        ] == "VALIDATION_ERROR"
    url = urlsplit(found["url"])
    assert f"{url.scheme}://{url.netloc}{url.path}" == f"{served.url}/board"
    scope, messages = Scope.from_query(
        parse_qs(url.query, keep_blank_values=True),
        dimensions=served.app.workspaces.current.dimensions.keys(),
        arguments=("board",),
    )
    assert messages == []
    assert (scope.window, scope.tz, scope.compare, scope.grain) == ("now-2h to now-1h", "Europe/Berlin", "week", "5m")
    assert (scope.filters, scope.args) == (filters, {"board": "overview"})


REASONED = [
    ("explain", {"metric": "flows", "window": "now-1h"}, "flows: from "),
    ("forecast", {"metric": "flows", "window": "now-2h", "grain": "5m", "horizon": 3}, "flows"),
    ("ask", {"text": "flows by agent in the last hour"}, "Understood: "),
]


@pytest.mark.parametrize(("tool", "arguments", "told"), REASONED, ids=[tool for tool, *_ in REASONED])
async def test_reasoning_is_the_same_as_on_the_wire(
    served: Served, tool: str, arguments: dict[str, Any], told: str
) -> None:
    await served.ingest(flows())
    async with talking(served) as client:
        found, text = await call(client, tool, **arguments)
    wire = await served.ask(type=tool, **arguments)
    assert found["analytics"].keys() == wire["analytics"].keys()
    assert any(line.startswith(told) for line in text.splitlines())
    assert "Confidence " in text


# refusals


WRONG: list[tuple[str, dict[str, Any], str, str]] = [
    ("query", {"metrics": ["flowz"]}, "NOT_FOUND", "did you mean 'flows'"),
    ("query", {"metric": "flows"}, "VALIDATION_ERROR", "no argument 'metric'; did you mean 'metrics'?"),
    ("query", {}, "VALIDATION_ERROR", "metrics"),
    ("query", {"metrics": "flows"}, "VALIDATION_ERROR", "Expected `array`, got `str`"),
    ("query", {"metrics": ["flows"], "type": "board"}, "VALIDATION_ERROR", "no argument 'type'"),
    ("query", {"metrics": ["flows"], "filters": [{"dim": "agent", "value": 1}]}, "VALIDATION_ERROR", "query.filters"),
    ("query", {"metrics": ["flows"], "window": {"from": "now-1h", "until": "now"}}, "VALIDATION_ERROR", "'until'"),
    ("query", {"metrics": ["flows"], "group_by": ["agent"] * 500}, "VALIDATION_ERROR", "at most 3"),
    ("values", {"dim": "agent", "limit": 10**6}, "VALIDATION_ERROR", "limit"),
    ("list_metrics", {"search": 7}, "VALIDATION_ERROR", "Expected `str`"),
    ("flow", {"flow_id": "nothing"}, "NOT_FOUND", "nothing"),
]


async def test_what_cannot_be_answered_is_an_error_that_a_model_can_mend(served: Served) -> None:
    async with talking(served) as client:
        for tool, arguments, code, words in WRONG:
            error = await refusal(client, tool, arguments)
            assert (error["code"], words in error["message"]) == (code, True), (tool, arguments, error)
        with pytest.raises(MCPError, match="no tool 'qery'; did you mean 'query'"):
            await client.call_tool("qery", {})


async def test_an_answer_that_no_model_would_read_is_refused_with_a_way_out(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("analytics.api.tools.MAX_BYTES", 2000)
    async with talking(served) as client:
        await call(client, "query", metrics=["flows"])
        for tool in ("list_metrics", "query"):
            big = {"metrics": ["flows"], "window": "now-6h", "grain": "1m"} if tool == "query" else {}
            error = await refusal(client, tool, big)
            assert (error["code"], "shorter window" in error["hint"]) == ("TOO_LARGE", True)


async def test_an_unexpected_error_shows_a_reference_and_nothing_else(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("the secret of the engine")

    monkeypatch.setattr(served.app.service._agent, "answer", broken)
    async with talking(served) as client:
        error = await refusal(client, "query", {"metrics": ["flows"]})
    assert (error["code"], "secret" in json.dumps(error)) == ("INTERNAL", False)
    assert error["reference"] in error["message"]


# keys


async def test_a_key_is_needed_in_a_header_and_a_sign_in_is_none(served: Served) -> None:
    session = served.app.keys.open_session(served.app.keys.verify(served.key, None))
    signed_in = {"Cookie": f"plumbline_session={session}"}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}).encode()
    for headers in ({}, {"X-API-Key": "pl_live_nonsense"}, {"Authorization": "Basic x"}, signed_in):
        sent = {"Content-Type": "application/json"} | headers
        status, told, _ = await asyncio.to_thread(request, f"{served.url}/mcp", body, sent)
        assert (status, told["Www-Authenticate"], told["Content-Type"]) == (401, "Bearer", "application/problem+json")
    assert (await served.get("/api/metrics", None, **signed_in))[0] == 200
    assert (await rpc(served, "tools/list", key=None, Authorization=f"Bearer {served.key}"))[0] == 200


async def test_scope_domains_and_datasets_of_the_key_hold(served: Served) -> None:
    await served.ingest([flow(), flow(domain="private")])
    _, sender = served.app.keys.create("sender", ["ingest"])
    status, problem = await rpc(served, "tools/list", key=sender)
    assert (status, problem["code"], problem["scope"]) == (403, "FORBIDDEN", "read")
    _, half = served.app.keys.create("half", ["read"], domains=["private"])
    async with talking(served, half) as client:
        found, _ = await call(client, "query", metrics=["flows"])
        assert found["analytics"]["totals"]["flows"]["value"] == 1
        assert (await refusal(client, "query", {"metrics": ["flows"], "domain": "professional"}))["code"] == "FORBIDDEN"
    _, other = served.app.keys.create("other", ["read"], datasets=["self"], boards=["health"])
    async with talking(served, other) as client:
        assert (await refusal(client, "query", {"metrics": ["flows"]}))["code"] == "FORBIDDEN"
        assert (await refusal(client, "board_link", {"board": "overview"}))["code"] == "NOT_FOUND"
        found, _ = await call(client, "list_metrics")
        assert {metric["dataset"] for metric in found["metrics"]} == {"self"}


@pytest.mark.parametrize("mode", ERAS)
async def test_a_revoked_key_is_refused_with_the_next_message(served: Served, mode: str) -> None:
    guest, text = served.app.keys.create("guest", ["read"])
    async with talking(served, text, mode) as client:
        await call(client, "list_metrics")
        served.app.keys.revoke(guest.id)
        with pytest.raises(MCPError):
            await client.call_tool("list_metrics", {})
    assert (await rpc(served, "tools/list", key=text))[0] == 401


async def test_wrong_keys_are_damped_with_those_of_the_rest(served: Served) -> None:
    statuses = [(await rpc(served, "tools/list", key="pl_live_wrong"))[0] for _ in range(12)]
    assert statuses == [401] * 10 + [429] * 2
    assert (await served.post("/api/analytics", {"type": "flow_analytics"}, "pl_live_wrong"))[0] == 429
    assert (await rpc(served, "tools/list"))[0] == 200


async def test_a_page_of_another_origin_is_refused_also_with_a_key(served: Served) -> None:
    status, problem = await rpc(served, "tools/list", Origin="https://evil.example")
    assert (status, problem["code"]) == (403, "FORBIDDEN")
    assert (await rpc(served, "tools/list", Origin="null"))[0] == 403
    assert (await rpc(served, "tools/list", Origin=served.url))[0] == 200


# the page about it


def test_the_page_lists_the_tools_there_are() -> None:
    text = (ROOT / "assets/docs/mcp.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \|", text, re.MULTILINE)
    assert [name for name, _ in rows] == [tool.name for tool in TOOLS]
