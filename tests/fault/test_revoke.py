"""Leaving in the middle of a tick: who was revoked or unsubscribed hears nothing more, everybody else does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from websockets.frames import Opcode

from analytics.api.websocket import AnalyticsSocket
from tests.conftest import Served, flow, until
from tests.fault.parts import BOARD, Raw, hear, hear_until, say, stand, v1

GUESTS = 20


def in_mid_tick(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Do something when the first socket has got its frame, and the others have not."""
    send = AnalyticsSocket.send
    done: list[bool] = []

    def sending(self: AnalyticsSocket, data: bytes) -> bool:
        taken = send(self, data)
        if data.startswith(b'{"type":"frame"') and not done:
            done.append(True)
            act()
        return taken

    monkeypatch.setattr(AnalyticsSocket, "send", sending)


def read_all(guest: Raw) -> list[tuple[int, Any]]:
    return [(op, json.loads(data) if op == Opcode.TEXT else int.from_bytes(data[:2])) for op, data in guest.frames()]


async def test_a_revocation_in_mid_tick_ends_all_and_harms_nobody(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    await served.ingest([flow()])
    key, text = served.app.keys.create("guest", ["read"])
    async with await v1(served.url, served.key) as first, await v1(served.url, served.key) as last:
        await stand(first)
        guests = [await asyncio.to_thread(Raw, served.url, text, "analytics.v1") for _ in range(GUESTS)]
        for guest in guests:
            guest.text({"type": "subscribe", "id": 1, "sub": "b", "request": BOARD})
        await until(lambda: served.app.service.hub.viewers() == 1 + GUESTS, what="guests")
        await stand(last)

        def revoke() -> None:
            served.app.keys.revoke(key.id)
            served.app.sockets.sweep()

        in_mid_tick(monkeypatch, revoke)
        heard = await asyncio.gather(*(asyncio.to_thread(read_all, guest) for guest in guests))
        for frames in heard:
            kinds = [opcode for opcode, _ in frames]
            assert kinds.index(Opcode.CLOSE) == len(kinds) - 1  # nothing after the close
            assert frames[-1] == (Opcode.CLOSE, 4503)
            assert [m["type"] for op, m in frames if op == Opcode.TEXT][:3] == [
                "welcome",
                "subscribed",
                "analytics_update",
            ]
        seqs = [[(await hear_until(s, lambda m: m["type"] == "frame"))["seq"] for _ in range(2)] for s in (first, last)]
        assert all(b == a + 1 for a, b in seqs)
        for guest in guests:
            guest.close()
        await until(lambda: len(served.app.sockets.open) == 2, what="the guests' sockets to go")
        assert served.app.service.hub.viewers() == 2


async def test_nothing_follows_unsubscribed_even_in_mid_tick(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    async with await v1(served.url, served.key) as first, await v1(served.url, served.key) as second:
        await stand(first)
        await stand(second)
        (standing,) = served.app.service.hub._standing.values()
        *_, leaver = standing.subscriptions

        def leave() -> None:
            leaver.subscriber.subscriptions.pop("b")()

        in_mid_tick(monkeypatch, leave)
        await hear_until(first, lambda m: m["type"] == "frame")
        await second.send(json.dumps({"type": "ping", "id": "p"}))
        heard = [await hear(second)]
        while heard[-1].get("id") != "p":
            heard.append(await hear(second))
        assert len([m for m in heard if m["type"] == "frame"]) == 0
        assert (await say(second, type="ping", id="q"))["id"] == "q"
