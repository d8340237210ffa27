"""The original test list of the analytics endpoint, on a real server with a real client."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from tests.conftest import Served, flow, until


def key_of(served: Served) -> dict[str, str]:
    return {"X-API-Key": served.key}


async def say(socket: ClientConnection, **message: object) -> dict[str, Any]:
    await socket.send(json.dumps(message))
    return await hear(socket)


async def hear(socket: ClientConnection) -> dict[str, Any]:
    return json.loads(await asyncio.wait_for(socket.recv(), 10))


# connection and API-key authentication


async def test_a_client_with_a_key_is_connected(served: Served) -> None:
    async with connect(served.socket_url, additional_headers=key_of(served)) as socket:
        assert socket.subprotocol is None


async def test_a_bearer_key_counts_the_same(served: Served) -> None:
    async with connect(served.socket_url, additional_headers={"Authorization": f"Bearer {served.key}"}):
        pass


@pytest.mark.parametrize(
    ("headers", "status"), [({}, 401), ({"X-API-Key": "pl_live_nonsense"}, 401), ({"Authorization": "Bearer x"}, 401)]
)
async def test_without_a_good_key_the_upgrade_is_refused_with_a_problem(
    served: Served, headers: dict[str, str], status: int
) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await connect(served.socket_url, additional_headers=headers)
    assert refused.value.response.status_code == status
    assert refused.value.response.headers["Content-Type"] == "application/problem+json"
    assert json.loads(refused.value.response.body)["code"] == "UNAUTHORIZED"


async def test_a_key_without_the_read_scope_is_forbidden(served: Served) -> None:
    _, key = served.app.keys.create("sender", ["ingest"])
    with pytest.raises(InvalidStatus) as refused:
        await connect(served.socket_url, additional_headers={"X-API-Key": key})
    assert refused.value.response.status_code == 403


# request and response


@pytest.mark.parametrize("kind", ["flow_analytics", "resource_analytics", "agent_analytics"])
async def test_each_request_gets_an_answer_of_the_documented_structure(served: Served, kind: str) -> None:
    await served.ingest([flow(duration_ms=100.0 * i) for i in range(1, 7)])
    async with connect(served.socket_url, additional_headers=key_of(served)) as socket:
        answer = await say(socket, type=kind, domain="professional", timestamp="2026-01-06T12:00:00Z")
    assert answer["type"] == "analytics_update"
    assert isinstance(answer["analytics"], dict)
    assert isinstance(answer["insights"], list)
    assert 0 <= answer["confidence"] <= 1
    assert set(answer["confidence_parts"]) == {"sample", "freshness", "completeness", "model"}
    assert answer["timestamp"].endswith("Z")
    for metric in answer["analytics"].values():
        assert {"value", "unit", "previous", "change", "series"} <= set(metric)


async def test_numbers_are_those_of_the_events(served: Served) -> None:
    events = [flow(duration_ms=100.0 * i, status="error" if i == 6 else "ok", flow_id=f"f{i}") for i in range(1, 7)]
    await served.ingest(events)
    async with connect(served.socket_url, additional_headers=key_of(served)) as socket:
        everything = await say(socket, type="flow_analytics")
        one = await say(socket, type="flow_analytics", flow_id="f6", domain="professional")
    assert everything["analytics"]["flows"]["value"] == 6
    assert everything["analytics"]["errors"]["value"] == 1
    assert everything["analytics"]["duration_p50"]["value"] == 350
    assert one["analytics"]["flows"]["value"] == 1
    assert one["analytics"]["errors"]["value"] == 1
    assert one["confidence"] > everything["confidence"]


async def test_no_data_is_null_with_confidence_zero(served: Served) -> None:
    async with connect(served.socket_url, additional_headers=key_of(served)) as socket:
        answer = await say(socket, type="flow_analytics")
    assert answer["analytics"]["flows"]["value"] is None
    assert answer["confidence"] == 0


async def test_requests_are_answered_in_order(served: Served) -> None:
    await served.ingest([flow(agent=f"a{i}") for i in range(5)])
    async with connect(served.socket_url, additional_headers=key_of(served)) as socket:
        for i in range(5):
            await socket.send(json.dumps({"type": "agent_analytics", "agent_id": f"a{i}" if i != 2 else "missing"}))
        answers = [await hear(socket) for _ in range(5)]
    assert [a["type"] for a in answers] == ["analytics_update"] * 2 + ["error"] + ["analytics_update"] * 2


# error handling


async def test_an_unknown_flow_names_the_nearest(served: Served) -> None:
    await served.ingest([flow(flow_id="f1")])
    async with connect(served.socket_url, additional_headers=key_of(served)) as socket:
        answer = await say(socket, type="flow_analytics", flow_id="f9", domain="professional")
    assert answer == {
        "type": "error",
        "error": {"code": "NOT_FOUND", "message": "no flow 'f9' in domain 'professional'; nearest: 'f1'"},
    }


@pytest.mark.parametrize(
    ("raw", "part"),
    [
        ("not json", "expected one JSON object"),
        ("[]", "expected a JSON object, got list"),
        ('{"no": "type"}', "`type` is missing"),
        ('{"type": "flow_analitics"}', "did you mean 'flow_analytics'"),
        ('{"type": "flow_analytics", "flow_id": 7}', "flow_id"),
        ('{"type": "flow_analytics", "window": "yesteryear"}', "window"),
        ('{"type": "flow_analytics", "type": "flow_analytics"}', "twice"),
        ('{"type": "query", "metrics": ["flowz"]}', "flowz"),
        ('{"type": "query", "metrics": ["flows"], "window": NaN}', "NaN"),
    ],
)
async def test_a_bad_message_gets_an_error_and_the_socket_lives(served: Served, raw: str, part: str) -> None:
    async with connect(served.socket_url, additional_headers=key_of(served)) as socket:
        await socket.send(raw)
        answer = await hear(socket)
        assert answer["type"] == "error"
        assert answer["error"]["code"] in ("VALIDATION_ERROR", "NOT_FOUND")
        assert part in answer["error"]["message"]
        assert "Traceback" not in json.dumps(answer)
        assert (await say(socket, type="flow_analytics"))["type"] == "analytics_update"


async def test_repeated_abuse_closes_the_socket(served: Served) -> None:
    async with connect(served.socket_url, additional_headers=key_of(served)) as socket:

        async def abuse() -> None:
            for _ in range(200):
                await socket.send("nonsense")
                await hear(socket)

        with pytest.raises(ConnectionClosed) as closed:
            await abuse()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4029


# analytics.v1


async def v1(served: Served) -> ClientConnection:
    socket = await connect(
        served.socket_url, additional_headers=key_of(served), subprotocols=[Subprotocol("analytics.v1")]
    )
    welcome = await hear(socket)
    assert welcome["type"] == "welcome"
    assert welcome["v"] == 1
    assert welcome["principal"] == "test"
    return socket


async def test_replies_carry_the_id_of_their_request(served: Served) -> None:
    async with await v1(served) as socket:
        assert (await say(socket, type="ping", id=7))["id"] == 7
        assert (await say(socket, type="query", id="q", metrics=["flows"]))["id"] == "q"
        assert (await say(socket, type="query", id="e", metrics=["nope"]))["id"] == "e"


async def test_a_subscription_gets_a_snapshot_at_once_then_frames_with_new_data(served: Served) -> None:
    await served.ingest([flow()])
    async with await v1(served) as socket:
        said = await say(socket, type="subscribe", id=1, sub="b", request={"type": "board", "board": "overview"})
        assert said["type"] == "subscribed"
        assert said["recovered"] is False
        snapshot = await hear(socket)
        assert snapshot["type"] == "analytics_update"
        assert snapshot["sub"] == "b"
        assert snapshot["seq"] == said["seq"]
        assert snapshot["analytics"]["tiles"]["latest"]["columns"]["name"] == ["answer question"]
        await served.ingest([flow("a new one", ago_s=0)])
        seq, started = snapshot["seq"], time.monotonic()
        while True:
            frame = await hear(socket)
            assert frame["type"] == "frame"
            assert frame["seq"] == seq + 1
            seq = frame["seq"]
            if "latest" in frame.get("tiles", {}):
                break
        assert frame["tiles"]["latest"]["columns"]["name"] == ["a new one", "answer question"]
        assert time.monotonic() - started < 2


async def test_a_frame_comes_each_tick_even_when_nothing_happens(served: Served) -> None:
    async with await v1(served) as socket:
        await say(socket, type="subscribe", id=1, sub="b", request={"type": "board", "board": "overview"})
        await hear(socket)
        started = time.monotonic()
        assert (await hear(socket))["type"] == "frame"
        assert (await hear(socket))["type"] == "frame"
        assert time.monotonic() - started < 4


async def test_equal_subscriptions_share_one_standing_query(served: Served) -> None:
    async with await v1(served) as one, await v1(served) as two:
        for socket in (one, two):
            await say(socket, type="subscribe", id=1, sub="x", request={"type": "query", "metrics": ["flows"]})
        assert served.app.service.hub.stats()["standing"] == 1
        assert served.app.service.hub.stats()["subscriptions"] == 2
        await one.send(json.dumps({"type": "unsubscribe", "sub": "x"}))
        while (await hear(one))["type"] != "unsubscribed":
            pass
        assert served.app.service.hub.stats()["subscriptions"] == 1


async def test_a_subscription_that_cannot_be_answered_does_not_stand(served: Served) -> None:
    async with await v1(served) as socket:
        answer = await say(socket, type="subscribe", id=3, sub="b", request={"type": "board", "board": "overvew"})
        assert answer["type"] == "error"
        assert answer["id"] == 3
        assert "overview" in answer["error"]["message"]
        assert served.app.service.hub.stats()["standing"] == 0


# graceful cleanup


async def test_both_sides_close_quickly_and_nothing_is_left(served: Served) -> None:
    before = asyncio.all_tasks()
    socket = await v1(served)
    await say(socket, type="subscribe", id=1, sub="b", request={"type": "board", "board": "overview"})
    started = time.monotonic()
    await socket.close()
    assert time.monotonic() - started < 1
    await until(lambda: not served.app.sockets.open, what="the server to let go")
    assert time.monotonic() - started < 1
    assert served.app.service.hub.stats()["standing"] == 0
    await until(lambda: asyncio.all_tasks() <= before, what="tasks to end")


async def test_the_server_says_that_it_is_going_away(served: Served) -> None:
    socket = await v1(served)
    started = time.monotonic()
    await served.app.sockets.drain()
    assert (await hear(socket))["type"] == "going_away"
    with pytest.raises(ConnectionClosed) as closed:
        await hear(socket)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4001
    assert time.monotonic() - started < 1
    assert not served.app.sockets.open
