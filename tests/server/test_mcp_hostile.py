"""What the Model Context Protocol does with nonsense, with crowds, with who hangs up, and when the server stops."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

import httpx2
import pytest
from mcp.shared.exceptions import MCPError

from analytics.api import mcp
from analytics.api.tools import TOOLS
from tests.conftest import Served, until
from tests.server.test_mcp import rpc, talking


async def test_a_message_over_the_limit_is_refused_unread(served: Served) -> None:
    arguments = {"metrics": ["x" * (70 << 10)]}
    status, problem = await rpc(served, "tools/call", {"name": "query", "arguments": arguments})
    assert (status, problem["code"]) == (413, "TOO_LARGE")
    assert (await rpc(served, "tools/list"))[0] == 200


HOSTILE: list[bytes] = [
    b"",
    b"{",
    b"[]",
    b"null",
    b'"tools/list"',
    b"\xff\xfe",
    b"[" * 60_000,
    b'{"a":' * 10_000,
    b'{"jsonrpc": "2.0"}',
    b'{"jsonrpc": "1.0", "id": 1, "method": "tools/list"}',
    b'{"jsonrpc": "2.0", "id": {"a": 1}, "method": "tools/list"}',
    b'{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "query", "arguments": [1]}}',
    b'{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"arguments": {}}}',
    b'{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": 7}',
    b'{"jsonrpc": "2.0", "id": 1, "method": "nothing/here"}',
    b'{"jsonrpc": "2.0", "id": ' + b"9" * 5_000 + b', "method": "tools/list"}',
    b'[{"jsonrpc": "2.0", "id": 1, "method": "tools/list"}]',
    b'{"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}',
]


@pytest.mark.parametrize("version", ["", "2024-11-05", "2025-11-25", "2026-07-28", "1999-01-01", "x" * 5000])
async def test_nonsense_is_answered_in_kind_and_the_server_goes_on(served: Served, version: str) -> None:
    headers = {"MCP_Protocol_Version": version} if version else {}
    for body in HOSTILE:
        status, answer = await served.post("/mcp", body, **headers)
        assert status in (200, 202, 400, 404), (body[:60], status, answer)
        assert "error" in answer or status == 202, (body[:60], answer)
        assert "Traceback" not in json.dumps(answer)
    assert (await rpc(served, "tools/list"))[0] == 200


async def test_what_is_json_to_nobody_but_python_is_refused(served: Served) -> None:
    body = b'{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "%s", "arguments": {%s}}}'
    for tool, arguments in (
        (b"forecast", b'"metric": "flows", "limit_at": NaN'),
        (b"query", b'"metrics": ["\\ud800"]'),
    ):
        status, answer = await served.post("/mcp", body % (tool, arguments))
        assert status in (200, 400)
        told = json.dumps(answer)
        assert "NaN is not JSON" in told or "surrogate" in told or "Parse error" in told


async def test_there_are_no_sessions_to_take_over_or_to_end(served: Served) -> None:
    for session in ("", "1", "../../etc", "a" * 4000):
        status, answer = await rpc(served, "tools/list", Mcp_Session_Id=session)
        assert (status, len(answer["result"]["tools"])) == (200, len(TOOLS))
    hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}}
    begin = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}
    async with httpx2.AsyncClient(headers={"X-API-Key": served.key}) as http:
        for method in ("GET", "DELETE", "PUT", "PATCH"):
            refused = await http.request(method, f"{served.url}/mcp", headers={"Mcp-Session-Id": "1"})
            assert (refused.status_code, refused.headers["Allow"]) == (405, "POST")
        begun = await http.post(f"{served.url}/mcp", json=begin)
        assert (begun.status_code, "mcp-session-id" in begun.headers) == (200, False)


# many at once, hanging up, stopping


class Gate:
    """Holds every answer of a server until it is opened."""

    def __init__(self, served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
        self.open, self.waiting, self.ended = asyncio.Event(), 0, 0
        inner = served.app.service._agent.answer

        async def answer(*args: Any, **more: Any) -> Any:
            self.waiting += 1
            try:
                await self.open.wait()
                return await inner(*args, **more)
            finally:
                self.ended += 1

        monkeypatch.setattr(served.app.service._agent, "answer", answer)


QUERY = {"name": "query", "arguments": {"metrics": ["flows"]}}


async def test_a_key_has_only_so_many_messages_under_way(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    gate, most = Gate(served, monkeypatch), mcp.OF_ONE_KEY
    held = [asyncio.create_task(rpc(served, "tools/call", QUERY)) for _ in range(most)]
    await until(lambda: gate.waiting == most, what="all of them to wait")
    status, problem = await rpc(served, "tools/list")
    assert (status, problem["code"]) == (429, "RATE_LIMITED")
    _, other = served.app.keys.create("other", ["read"])
    assert (await rpc(served, "tools/list", key=other))[0] == 200
    gate.open.set()
    assert {status for status, _ in await asyncio.gather(*held)} == {200}
    assert (await rpc(served, "tools/list"))[0] == 200


@pytest.mark.parametrize("version", ["2025-11-25", "2026-07-28"])
async def test_the_work_of_who_hung_up_ends(served: Served, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    gate = Gate(served, monkeypatch)
    mode = "legacy" if version < "2026" else version
    async with talking(served, mode=mode) as client:
        asked = asyncio.create_task(client.call_tool("query", {"metrics": ["flows"]}))
        await until(lambda: gate.waiting == 1, what="the question to arrive")
        asked.cancel()
        with contextlib.suppress(asyncio.CancelledError, MCPError):
            await asked
    await until(lambda: gate.ended == 1, what="the work to end")
    await until(lambda: not served.app.mcp._under_way, what="its place to be free")
    assert not gate.open.is_set()


async def test_a_stop_lets_answers_out_and_takes_no_more(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate(served, monkeypatch)
    held = asyncio.create_task(rpc(served, "tools/call", QUERY))
    await until(lambda: gate.waiting == 1, what="the question to arrive")
    stopping = asyncio.create_task(served.app.mcp.stop())
    await until(lambda: served.app.mcp._closed, what="the stop to begin")
    status, problem = await rpc(served, "tools/list")
    assert (status, problem["code"]) == (503, "OVERLOADED")
    gate.open.set()
    assert (await held)[0] == 200
    await stopping
