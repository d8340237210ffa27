"""A program of many subscribers that come back: `python -m tests.fault.crowd URL COUNT`, the key in PLUMBLINE_KEY.

It says `here` when all are subscribed for the first time and again each time all are back after a loss; with the
seconds since the first was lost, the refusals met on the way, and the close codes, as JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import time
from collections import Counter

from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from tests.fault.parts import BOARD, v1


class Crowd:
    """What all of them know together."""

    def __init__(self, url: str, count: int) -> None:
        self._url, self._count = url, count
        self._here = 0
        self._lost_at: float | None = None
        self._refusals: Counter[str] = Counter()
        self._codes: Counter[int] = Counter()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(self._count):
                group.create_task(self._member())

    async def _member(self) -> None:
        after_s, attempt = 0.2, 0
        while True:
            await asyncio.sleep(random.uniform(0, after_s))  # full jitter: not all at once
            try:
                after_s = await self._stay()
                attempt = 0
            except (OSError, InvalidHandshake) as error:
                refused = error.response.status_code if isinstance(error, InvalidStatus) else "no server"
                self._refusals[str(refused)] += 1
                attempt += 1
                after_s = min(5.0, 0.25 * 2**attempt)

    async def _stay(self) -> float:
        """Subscribe and listen to the end; gives the seconds to stay away."""
        after_s = 0.5
        socket = await v1(self._url, os.environ["PLUMBLINE_KEY"], open_timeout=30)
        try:
            await socket.send(json.dumps({"type": "subscribe", "id": 1, "sub": "b", "request": BOARD}))
            here = False
            async for raw in socket:
                if not here and str(raw[:30]).startswith('{"type":"analytics_update"'):
                    here = True
                    self._came()
                elif str(raw[:30]).startswith('{"type":"going_away"'):
                    after_s = json.loads(raw)["reconnect_after_ms"] / 1000
        except ConnectionClosed:
            pass
        self._codes[socket.close_code or 1006] += 1
        self._here -= here
        self._lost_at = self._lost_at or time.monotonic()
        return after_s

    def _came(self) -> None:
        self._here += 1
        if self._here == self._count:
            took = 0.0 if self._lost_at is None else time.monotonic() - self._lost_at
            said = {"took_s": round(took, 2), "refusals": self._refusals, "codes": self._codes}
            print("here", json.dumps(said), flush=True)
            self._lost_at = None


if __name__ == "__main__":
    asyncio.run(Crowd(sys.argv[1], int(sys.argv[2])).run())
