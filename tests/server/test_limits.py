"""Limits, tickets, revocation and the drain, on real sockets."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin, Subprotocol

from tests.conftest import Served, flow, serving, until
from tests.server.test_socket import hear, key_of, say, v1

ELSEWHERE = "https://shop.example"


@pytest.fixture
async def small(tmp_path: Path) -> AsyncIterator[Served]:
    """A server with room for hardly anybody."""
    async with serving(
        tmp_path / "data", sockets=3, sockets_per_key=2, messages_per_s=1, message_burst=5, socket_subscriptions=2,
        ping_s=0.2, slow_s=0.2, socket_buffer_kb=1,
    ) as served:  # fmt: skip
        yield served


async def closed_with(socket: ClientConnection) -> int:
    async def drained() -> None:
        while True:
            await asyncio.wait_for(socket.recv(), 10)

    with pytest.raises(ConnectionClosed) as closed:
        await drained()
    return closed.value.rcvd.code if closed.value.rcvd else 1006


async def refused(served: Served, key: str) -> dict[str, Any]:
    with pytest.raises(InvalidStatus) as answer:
        await connect(served.socket_url, additional_headers={"X-API-Key": key})
    problem: dict[str, Any] = json.loads(answer.value.response.body or b"")
    assert answer.value.response.status_code == problem["status"]
    return problem


async def test_a_key_and_the_server_have_only_so_many_sockets(small: Served) -> None:
    _, other = small.app.keys.create("other", ["read"])
    async with (
        connect(small.socket_url, additional_headers=key_of(small)),
        connect(small.socket_url, additional_headers=key_of(small)),
    ):
        assert (await refused(small, small.key))["code"] == "RATE_LIMITED"
        async with connect(small.socket_url, additional_headers={"X-API-Key": other}):
            assert (await refused(small, other))["code"] == "OVERLOADED"
    await until(lambda: not small.app.sockets.open, what="room again")
    async with connect(small.socket_url, additional_headers=key_of(small)):
        pass


async def test_a_flood_is_slowed_with_a_time_to_wait(small: Served) -> None:
    async with connect(small.socket_url, additional_headers=key_of(small)) as socket:
        for _ in range(8):
            await socket.send('{"type": "flow_analytics"}')
        answers = [await hear(socket) for _ in range(8)]
    limited = [a["error"] for a in answers if a["type"] == "error"]
    assert {e["code"] for e in limited} == {"RATE_LIMITED"}
    assert all(e["retry_after_ms"] > 0 for e in limited)
    assert len(limited) == 3


async def test_a_message_over_the_limit_is_answered_and_the_socket_lives(served: Served) -> None:
    async with await v1(served) as socket:
        answer = await say(socket, type="flow_analytics", id=1, filler="x" * (65 << 10))
        assert answer["error"]["code"] == "TOO_LARGE"
        assert (await say(socket, type="ping", id=2))["type"] == "pong"


async def test_subscriptions_are_counted(small: Served) -> None:
    async with await v1(small) as socket:
        for i in range(3):
            request = {"type": "query", "metrics": ["flows"]}
            await socket.send(json.dumps({"type": "subscribe", "id": i, "sub": f"s{i}", "request": request}))
        while (answer := await hear(socket))["type"] != "error":
            pass
    assert answer["id"] == 2
    assert answer["error"]["code"] == "RATE_LIMITED"


async def test_a_revoked_key_loses_its_sockets_within_a_second(served: Served) -> None:
    key, text = served.app.keys.create("guest", ["read"])
    socket = await connect(served.socket_url, additional_headers={"X-API-Key": text})
    other = await connect(served.socket_url, additional_headers=key_of(served))
    served.app.keys.revoke(key.id)
    started = time.monotonic()
    assert await closed_with(socket) == 4503
    assert time.monotonic() - started < 1
    assert (await say(other, type="flow_analytics"))["type"] == "analytics_update"
    await other.close()


async def test_a_half_open_peer_is_let_go(small: Served) -> None:
    """A peer that shook hands and then vanished: it answers no ping."""
    host, port = small.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = {"Host": f"{host}:{port}", "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
    head |= {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "X-API-Key": small.key}
    lines = ["GET /api/analytics/ws HTTP/1.1", *(f"{name}: {value}" for name, value in head.items()), "", ""]
    writer.write("\r\n".join(lines).encode())
    await reader.readuntil(b"\r\n\r\n")
    await until(lambda: len(small.app.sockets.open) == 1, what="the socket")
    await until(lambda: not small.app.sockets.open, what="the server to give up")
    writer.close()


async def test_a_log_reader_that_does_not_read_is_closed_as_slow(small: Served) -> None:
    socket = await v1(small)
    await say(socket, type="subscribe", id=1, sub="b", mode="log", request={"type": "board", "board": "overview"})
    connection = next(iter(small.app.sockets.open))
    connection.limits = type(connection.limits)(buffer_bytes=-1)  # as if the kernel took nothing
    small.app.service.hub.data_changed()
    assert await closed_with(socket) == 4008


async def test_a_reader_that_stays_behind_is_cut(small: Served) -> None:
    socket = await v1(small)
    await say(socket, type="subscribe", id=1, sub="b", request={"type": "board", "board": "overview"})
    connection = next(iter(small.app.sockets.open))
    connection.limits = type(connection.limits)(buffer_bytes=-1, slow_s=0.1)
    assert await closed_with(socket) == 4008


async def test_coming_back_to_a_subscription_misses_nothing(served: Served) -> None:
    request = {"type": "board", "board": "overview"}
    socket = await v1(served)
    said = await say(socket, type="subscribe", id=1, sub="b", request=request)
    snapshot = await hear(socket)
    await socket.close()
    async with await v1(served) as socket:
        since = {"epoch": said["epoch"], "seq": snapshot["seq"]}
        back = await say(socket, type="subscribe", id=1, sub="b", request=request, since=since)
        assert back["recovered"] is True
        assert back["seq"] == snapshot["seq"]
        await served.ingest([flow("while away")])
        frame = await hear(socket)
        assert frame["type"] == "frame"
        assert frame["seq"] == snapshot["seq"] + 1
    async with await v1(served) as socket:
        since = {"epoch": "before the restart", "seq": 3}
        back = await say(socket, type="subscribe", id=1, sub="b", request=request, since=since)
        assert back["recovered"] is False
        assert (await hear(socket))["type"] == "analytics_update"


async def ticket(served: Served, **asked: Any) -> str:
    status, reply = await served.post("/api/tickets", {"origin": ELSEWHERE} | asked)
    assert status == 200, reply
    return str(reply["ticket"])


async def by_ticket(served: Served, text: str, origin: str = ELSEWHERE) -> ClientConnection:
    spoken = [Subprotocol("analytics.v1"), Subprotocol(f"ticket.{text}")]
    return await connect(served.socket_url, origin=Origin(origin), subprotocols=spoken)


async def test_a_ticket_opens_one_socket_for_a_page_of_another_origin(served: Served) -> None:
    text = await ticket(served, boards=["overview"])
    async with await by_ticket(served, text) as socket:
        assert (await hear(socket))["type"] == "welcome"
        allowed = await say(socket, type="board", id=1, board="overview")
        assert allowed["type"] == "analytics_update"
        assert (await say(socket, type="board", id=2, board="resources"))["error"]["code"] == "FORBIDDEN"
    assert await closed_with(await by_ticket(served, text)) == 4501  # it counts once


async def test_a_ticket_is_bound_to_its_origin_and_its_key(served: Served) -> None:
    assert await closed_with(await by_ticket(served, await ticket(served), "https://evil.example")) == 4501
    assert await closed_with(await by_ticket(served, "made-up")) == 4501
    _, key = served.app.keys.create("narrow", ["read"], boards=["overview"])
    status, problem = await served.post("/api/tickets", {"origin": ELSEWHERE, "boards": ["resources"]}, key=key)
    assert (status, problem["code"]) == (403, "FORBIDDEN")
    status, problem = await served.post("/api/tickets", {"orgin": ELSEWHERE})
    assert (status, problem["code"]) == (400, "VALIDATION_ERROR")


async def test_a_drain_lets_requests_end_and_says_when_to_come_back(served: Served) -> None:
    await served.ingest([flow()])
    socket = await v1(served)
    await socket.send(json.dumps({"type": "board", "id": 1, "board": "overview"}))
    await until(lambda: next(iter(served.app.sockets.open)).under_way, what="the request to be under way")
    started = time.monotonic()
    await served.app.sockets.drain()
    heard = [await hear(socket) for _ in range(2)]
    assert {m["type"] for m in heard} == {"going_away", "analytics_update"}
    assert next(m for m in heard if m["type"] == "going_away")["reconnect_after_ms"] >= 500
    assert await closed_with(socket) == 4001
    assert time.monotonic() - started < 10
    assert (await refused(served, served.key))["code"] == "OVERLOADED"
