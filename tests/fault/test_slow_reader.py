"""A reader that stops reading, beside 200 that live: they do not feel it, its memory is bounded, and it is cut."""

from __future__ import annotations

import asyncio
import json
import re
import socket as sockets
import time
from pathlib import Path
from typing import Any

import msgspec
from websockets.asyncio.client import ClientConnection

from tests.conftest import Served, flow, serving, until
from tests.fault.parts import closed_with, hear_until, percentile, stand, v1

LIVE = 200
TICKS = 15
BUFFER_KB = 64
AT = re.compile(r'"at":(\d+)')
FAT: dict[str, Any] = {"type": "query", "metrics": ["flows", "tokens", "spend", "errors", "duration_p95"],
                       "group_by": ["name"], "limit": 500}  # fmt: skip


class Live:
    """A subscriber that notes how long each frame was on its way, in seconds."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.delays: list[float] = []

    async def read(self) -> None:
        async for raw in self.socket:
            if sent := AT.search(str(raw[:200])):
                self.delays.append(time.time() - int(sent[1]) / 1000)


async def news(served: Served, fat: bool = False) -> None:
    rows = 400 if fat else 1
    await served.ingest([flow(f"{'a long name of a flow ' * 5}{i}", ago_s=0.1, tokens_in=7) for i in range(rows)])


async def p99_of(served: Served, live: list[Live]) -> float:
    """The p99 of what all of them hear during some ticks with news."""
    await news(served)
    await until(lambda: all(one.delays for one in live), what="a first frame for everybody")
    for one in live:
        one.delays.clear()
    heard = 0
    while min(len(one.delays) for one in live) < TICKS:
        await news(served)
        await until(lambda: min(len(one.delays) for one in live) > heard, what="a frame for everybody")  # noqa: B023
        heard = min(len(one.delays) for one in live)
    return percentile([delay for one in live for delay in one.delays], 0.99)


async def narrow(served: Served) -> ClientConnection:
    """A socket that takes little at once: the kernel's buffers are soon full."""
    host, _, port = served.url.removeprefix("http://").partition(":")
    pipe = sockets.socket()
    pipe.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
    pipe.connect((host, int(port)))
    pipe.setblocking(False)
    return await v1(served.url, served.key, sock=pipe, max_queue=1)


async def test_a_slow_reader_is_felt_by_nobody_and_cut(tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        "sockets_per_key": 500,
        "tick_s": 0.2,
        "min_tick_s": 0.1,
        "socket_buffer_kb": BUFFER_KB,
        "slow_s": 60.0,
    }
    async with serving(tmp_path / "data", **settings) as served:
        await news(served, fat=True)
        live = [Live(await v1(served.url, served.key)) for _ in range(LIVE)]
        readers = []
        for one in live:
            await stand(one.socket)
            readers.append(asyncio.create_task(one.read()))
        alone = await p99_of(served, live)

        known = {s.conn for s in served.app.sockets.open}
        slow = await narrow(served)
        _, snapshot = await stand(slow, FAT)
        size = len(json.dumps(snapshot))
        connection = next(s for s in served.app.sockets.open if s.conn not in known)
        for i in range(9):  # ten times the same, so that it takes not long
            await slow.send(json.dumps({"type": "subscribe", "id": i, "sub": f"s{i}", "request": FAT}))
        buffered: list[int] = []

        async def pressed() -> None:
            while not connection._ending:
                buffered.append(connection.buffered)
                await news(served)
                await asyncio.sleep(0)

        pressing = asyncio.create_task(pressed())
        await until(lambda: connection._behind_since is not None, what="the reader to be behind")
        beside = await p99_of(served, live)
        assert max(buffered) <= (BUFFER_KB << 10) + 2 * size
        print(f"p99 of {LIVE}: alone {1000 * alone:.1f} ms, beside a slow one {1000 * beside:.1f} ms; buffered "
              f"{max(buffered) >> 10} KiB at most")  # fmt: skip
        caught_up = await hear_until(slow, lambda m: m.get("dropped"))
        assert caught_up["type"] == "analytics_update"
        connection.limits = msgspec.structs.replace(connection.limits, slow_s=0.5)
        await until(lambda: connection._ending, what="the slow reader to be cut")  # it stopped again
        assert await closed_with(slow) == 4008
        await pressing
        assert beside <= max(2 * alone, 0.1)
        assert len(served.app.sockets.open) == LIVE
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, *(one.socket.close() for one in live), return_exceptions=True)
