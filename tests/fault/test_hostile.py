"""Malformed and hostile frames: each is answered; none is a traceback, a leak, or the end of the socket."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from tests.conftest import Served, flow, serving, until
from tests.fault.parts import BOARD, hear, v1

CODES = {"VALIDATION_ERROR", "NOT_FOUND", "FORBIDDEN", "TOO_LARGE"}
LONE = "\ud800"  # half a character: legal in a JSON escape, not in UTF-8

REQUESTS: tuple[dict[str, Any], ...] = (
    {"type": "flow_analytics", "flow_id": "f1", "domain": "professional", "window": "now-1h"},
    {"type": "resource_analytics", "resource_id": "cpu"},
    {"type": "agent_analytics", "agent_id": "planner", "timestamp": "2026-01-06T12:00:00Z"},
    {"type": "query", "metrics": ["flows"], "window": {"from": "now-1h", "to": "now", "tz": "UTC"}, "grain": "1m",
     "group_by": ["agent"], "filters": [{"dim": "domain", "op": "in", "values": ["professional"]}],
     "compare": "previous", "limit": 5, "as_of": "2026-01-06T12:00:00Z"},
    {**BOARD, "compare": "off", "grain": "1m", "filters": [{"dim": "agent", "op": "contains", "values": ["p"]}]},
    {"type": "subscribe", "sub": "s", "request": BOARD, "mode": "latest", "since": {"epoch": "e", "seq": 3}},
    {"type": "unsubscribe", "sub": "nobody"},
    {"type": "ping"},
)  # fmt: skip

nasty: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, -1, 0, 2**31, 2**63, 2**64, -(2**70), 10**30, 1e308, -0.0, 0.5, float("nan"), float("inf"), "", "\x00",
     LONE, "a" + LONE, "\u202e\ufeff", "x" * 300, "'; DROP TABLE", "%s%n{}", "now-999999y", "now+999999y", "now/y",
     "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "../../etc/passwd", [], {}, [[]], [None], [LONE],
     [2**70], ["\x00"], [float("nan")], {"from": LONE}, {"": ""}, {LONE: LONE}]
)  # fmt: skip
anything = st.recursive(
    nasty | st.text() | st.integers() | st.floats(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@st.composite
def twisted(draw: st.DrawFn) -> str:
    """A good request in which something at any depth is something else."""
    request = json.loads(json.dumps(draw(st.sampled_from(REQUESTS))))
    for _ in range(draw(st.integers(1, 2))):
        place: Any = request
        while True:
            slots = list(place) if isinstance(place, dict) else list(range(len(place)))
            slot = draw(st.sampled_from([*slots, "extra"] if isinstance(place, dict) else slots or [0]))
            inner = place[slot] if slot in slots else None
            if not isinstance(inner, dict | list) or not inner or draw(st.booleans()):
                break
            place = inner
        if isinstance(place, dict) or place:
            place[slot] = copy.deepcopy(draw(nasty | anything))  # or it would be twisted itself, for good
    return json.dumps(request)


@st.composite
def shouted(draw: st.DrawFn) -> str:
    """Text that is not one JSON object of ours: too deep, too long, cut, doubled."""
    deep = draw(st.sampled_from([50, 999, 5_000, 30_000]))
    return draw(
        st.sampled_from(
            ["[" * deep, "[" * deep + "]" * deep, '{"a":' * (deep // 5), '{"type":"ping","id":1,"id":2}',
             '{"type":"ping"', '{"type":"ping"}{"type":"ping"}',
             '{"type":"query","metrics":[' + "[" * 900 + "]" * 900 + "]}",
             '{"type":"ping","x":' + "9" * 5_000 + "}", '{"type":"ping","x":1e999}', '{"type":"ping","x":-Infinity}',
             '{"type":"flow_analytics","flow_id":"\x01"}', '\ufeff{"type":"ping"}', "", " ", "null", "true", "7", '"x"',
             '{"type":"ping","x":"' + "x" * 70_000 + '"}', '{"type":"flow_analytics","flow_id":"' + "é" * 40_000 + '"}',
             '{"type":"\\ud800"}', '{"type":"ping","\\udfff":1}', '{"type":"subscribe","sub":"\\ud83d","request":{}}']
        )
        | st.text(max_size=200).map(lambda text: json.dumps(text)[1:-1])
    )  # fmt: skip


frames = twisted() | shouted() | anything.map(json.dumps) | st.binary(max_size=300) | twisted().map(str.encode)


class Talk:
    """One socket for all examples. A hostile frame, then a good request that must be answered."""

    def __init__(self, served: Served) -> None:
        self.served = served
        self.socket: ClientConnection | None = None
        self.turn = 0

    async def send(self, frame: str | bytes) -> None:
        if self.socket is None:
            self.socket = await v1(self.served.url, self.served.key)
        self.turn += 1
        good = f"good {self.turn}"
        await self.socket.send(frame)
        await self.socket.send(json.dumps({"type": "ping", "id": good}))
        heard = False
        while not heard:
            reply = await self._hear(frame)
            heard = reply.get("id") == good
            if reply["type"] == "error":
                assert reply["error"]["code"] in CODES, (frame, reply)
            assert "Traceback" not in json.dumps(reply)
        await self._left()

    async def _hear(self, frame: str | bytes) -> dict[str, Any]:
        assert self.socket is not None
        try:
            return await hear(self.socket)
        except (TimeoutError, ConnectionClosed) as error:
            self.socket = None
            raise AssertionError(f"no answer after {frame!r}: {error!r}") from None

    async def _left(self) -> None:
        assert self.socket is not None
        if self.served.app.service.hub.viewers():  # it was no bad subscription after all
            name = next(iter(next(iter(self.served.app.sockets.open)).subscriptions))
            await self.socket.send(json.dumps({"type": "unsubscribe", "sub": name}))
            while (await hear(self.socket))["type"] != "unsubscribed":
                pass


@pytest.fixture
async def talk(tmp_path: Path) -> AsyncIterator[Talk]:
    settings: dict[str, Any] = {"messages_per_s": 100_000, "message_burst": 100_000, "key_messages_per_s": 100_000}
    async with serving(tmp_path / "data", **settings) as served:
        await served.ingest([flow(flow_id="f1")])
        talk = Talk(served)
        await talk.send('{"type": "ping"}')
        yield talk
        if talk.socket:
            await talk.socket.close()


async def unharmed(talk: Talk, after: Callable[[], Awaitable[None]]) -> None:
    before = len(asyncio.all_tasks())
    await after()
    await until(lambda: len(asyncio.all_tasks()) <= before, what="tasks to end")
    assert len(talk.served.app.sockets.open) == 1
    assert talk.served.app.service.hub.viewers() == 0
    assert talk.served.app.store.stats()["readers_busy"] == 0


quick = settings(
    max_examples=60, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck),
    phases=[Phase.generate],
)  # fmt: skip
long = settings(max_examples=3_000, deadline=None, suppress_health_check=list(HealthCheck))


async def hostile(talk: Talk, sent: list[str | bytes]) -> None:
    async def all_of_them() -> None:
        for frame in sent:
            await talk.send(frame)

    await unharmed(talk, all_of_them)


@quick
@given(sent=st.lists(frames, min_size=1, max_size=15))
async def test_hostile_frames_are_answered_and_the_socket_lives(talk: Talk, sent: list[str | bytes]) -> None:
    await hostile(talk, sent)


@pytest.mark.soak
@long
@given(sent=st.lists(frames, min_size=1, max_size=15))
async def test_many_hostile_frames_are_answered_and_the_socket_lives(talk: Talk, sent: list[str | bytes]) -> None:
    await hostile(talk, sent)
