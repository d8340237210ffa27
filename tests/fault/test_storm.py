"""A reconnect storm: 300 subscribers, dropped by a drain, come back as they were told; the loop breathes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from analytics.hub import Hub
from tests.conftest import ROOT, flow, serving

CROWD = 300
BACK_S = 20.0
LOOP_S = 0.5  # a busy machine stops the whole process now and then; the figure that counts is printed


class Lag:
    """The longest time that the loop did not come round."""

    def __init__(self) -> None:
        self.worst = 0.0

    async def watch(self) -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.001)
            self.worst = max(self.worst, time.monotonic() - before - 0.001)


@contextlib.asynccontextmanager
async def crowd(url: str, key: str) -> AsyncIterator[asyncio.StreamReader]:
    command = [sys.executable, "-m", "tests.fault.crowd", url, str(CROWD)]
    env = os.environ | {"PLUMBLINE_KEY": key}
    program = await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=env, stdout=asyncio.subprocess.PIPE)
    assert program.stdout
    try:
        yield program.stdout
    finally:
        program.terminate()
        await program.wait()


async def all_here(said: asyncio.StreamReader) -> dict[str, Any]:
    line = await asyncio.wait_for(said.readline(), 60)
    assert line.startswith(b"here ")
    return dict(json.loads(line[5:]))


async def ticks(hub: Hub, count: int) -> float:
    """So many ticks with everybody there; gives the longest fan-out in seconds."""
    longest, until = 0.0, hub.stats()["ticks"] + count
    while hub.stats()["ticks"] < until:
        await asyncio.sleep(0.01)
        longest = max(longest, hub.stats()["fanout_s"])
    return longest


async def test_a_crowd_that_was_drained_comes_back(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"sockets_per_key": 2 * CROWD, "key_messages_per_s": 10 * CROWD, "tick_s": 0.5}
    async with contextlib.AsyncExitStack() as first:
        served = await first.enter_async_context(serving(tmp_path / "data", **settings))
        await served.ingest([flow() for _ in range(50)])
        port, key = served.app.server.port, served.key
        async with crowd(served.url, key) as said:
            await all_here(said)
            await first.aclose()
            async with serving(tmp_path / "data", port=port, **settings) as again:
                lag = Lag()
                watching = asyncio.create_task(lag.watch())
                back = await all_here(said)
                storm, lag.worst = lag.worst, 0.0
                fanout = await ticks(again.app.service.hub, 6)
                watching.cancel()
                print(f"{CROWD} back in {back['took_s']} s; refusals {back['refusals']}; loop held at most "
                      f"{1000 * storm:.0f} ms in the storm, {1000 * lag.worst:.0f} ms after; fan-out "
                      f"{1000 * fanout:.1f} ms")  # fmt: skip
                assert back["codes"] == {"4001": CROWD}
                assert set(back["refusals"]) <= {"503", "no server"}  # while it drained, and while nobody was there
                assert back["took_s"] < BACK_S
                assert again.app.service.hub.viewers() == CROWD
                assert again.app.service.hub.stats()["standing"] == 1
                assert max(storm, lag.worst) < LOOP_S
                assert fanout < LOOP_S
