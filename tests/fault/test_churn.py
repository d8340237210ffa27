"""Connecting and leaving, again and again, by every kind of end: no memory, no task, no socket is left."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from pathlib import Path

import pytest
from websockets.asyncio.client import ClientConnection

from tests.conftest import Served, flow, serving, until
from tests.fault.parts import stand, v1

PER_CYCLE = 500  # bytes; one forgotten socket costs more than ten thousand


async def leave(served: Served, socket: ClientConnection, how: int) -> None:
    """Politely, by a dead network, or because the server wants it."""
    if how == 0:
        await socket.close()
    elif how == 1:
        socket.transport.abort()
    else:
        (connection,) = served.app.sockets.open
        served.app.sockets.close(connection.conn)
    await socket.wait_closed()


async def cycles(served: Served, count: int) -> int:
    """So many comings and goings; gives the bytes in use after them."""
    for i in range(count):
        socket = await v1(served.url, served.key)
        await stand(socket)
        await leave(served, socket, i % 3)
        await until(lambda: not served.app.sockets.open, what="the server to let go")
    await until(lambda: not any("_cut_off" in repr(h) for h in timers()), what="the last graces to be over")
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def timers() -> list[object]:
    return [h for h in asyncio.get_running_loop()._scheduled if not h.cancelled()]  # type: ignore[attr-defined]


@pytest.mark.parametrize("half", [100, pytest.param(500, marks=pytest.mark.soak)])
async def test_coming_and_going_leaves_nothing_behind(tmp_path: Path, half: int) -> None:
    async with serving(tmp_path / "data", tick_s=30.0, self_s=0.0) as served:
        await served.ingest([flow()])
        tracemalloc.start()
        try:
            await cycles(served, 30)  # caches fill once
            tasks = len(asyncio.all_tasks())
            first = await cycles(served, half)
            second = await cycles(served, half)
        finally:
            tracemalloc.stop()
        print(f"{2 * half} cycles: {(second - first) / half:.0f} bytes each in the second half")
        assert second - first < PER_CYCLE * half
        await until(lambda: len(asyncio.all_tasks()) <= tasks, what="tasks to end")
        assert served.app.service.hub.viewers() == 0
        assert served.app.service.hub.stats()["standing"] == 0
        assert served.app.sockets._per_key == {} == served.app.sockets._buckets
