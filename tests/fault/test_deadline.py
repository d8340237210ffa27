"""An engine slower than its deadline: TIMEOUT is said, the socket lives, the statement is stopped, and it recovers."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Served, flow, serving, until
from tests.fault.parts import hear, hear_until, say, stand, v1

ENDLESS = "SELECT count(*) FROM range(1000000000) a, range(1000000000) b"
FLOWS = {"type": "query", "metrics": ["flows"]}


class Brake:
    """Makes every read of a store endless while it is on."""

    def __init__(self, served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
        self.on = False
        fetch = served.app.store._fetch

        def slow(cursor: Any, *rest: Any) -> Any:
            if self.on:
                cursor.execute(ENDLESS)
            return fetch(cursor, *rest)

        monkeypatch.setattr(served.app.store, "_fetch", slow)


async def test_a_slow_engine_is_a_timeout_and_the_socket_lives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(tmp_path / "data", deadline_s=0.3, readers=2) as served:
        await served.ingest([flow()])
        brake = Brake(served, monkeypatch)
        async with await v1(served.url, served.key) as socket:
            brake.on = True
            started = time.monotonic()
            for i in range(4):  # twice as many as there are readers: the wait for a reader counts too
                await socket.send(json.dumps({**FLOWS, "id": i}))
            assert (await say(socket, type="ping", id="p"))["type"] == "pong"  # nobody waits behind them
            assert time.monotonic() - started < 0.3
            answers = [await hear(socket) for _ in range(4)]
            assert {a["error"]["code"] for a in answers} == {"TIMEOUT"}
            assert {a["id"] for a in answers} == {0, 1, 2, 3}
            await until(lambda: served.app.store.stats()["readers_busy"] == 0, 1.0, "the statements to be stopped")
            brake.on = False
            assert (await say(socket, **FLOWS, id=5))["analytics"]["totals"]["flows"]["value"] == 1


async def test_a_subscription_says_timeout_and_recovers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(tmp_path / "data", deadline_s=0.2, tick_s=0.2, min_tick_s=0.05) as served:
        await served.ingest([flow()])
        brake = Brake(served, monkeypatch)
        async with await v1(served.url, served.key) as socket:
            said, snapshot = await stand(socket, FLOWS)
            assert snapshot["analytics"]["totals"]["flows"]["value"] == 1
            brake.on = True
            await served.ingest([flow()])
            failed = await hear_until(socket, lambda m: m["type"] == "error")
            assert failed["sub"] == "b"
            assert failed["error"]["code"] == "TIMEOUT"
            brake.on = False
            update = await hear_until(socket, lambda m: m["type"] == "analytics_update")
            assert update["analytics"]["totals"]["flows"]["value"] == 2
            assert update["seq"] == said["seq"] + 1  # an error is no message of the log
            await until(lambda: served.app.store.stats()["readers_busy"] == 0, 1.0, "the statements to be stopped")


async def test_a_client_that_leaves_takes_its_slow_query_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(tmp_path / "data", deadline_s=30.0) as served:
        await served.ingest([flow()])
        brake = Brake(served, monkeypatch)
        brake.on = True
        tasks = len(asyncio.all_tasks())
        socket = await v1(served.url, served.key)
        await socket.send(json.dumps(FLOWS))
        await until(lambda: served.app.store.stats()["readers_busy"], what="the query to run")
        await socket.close()
        await until(lambda: served.app.store.stats()["readers_busy"] == 0, 2.0, "the statement to be stopped")
        await until(lambda: len(asyncio.all_tasks()) <= tasks, what="tasks to end")
