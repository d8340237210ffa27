"""Work that comes round again."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable
from typing import Any

log = logging.getLogger(__name__)


class Every:
    """Calls `work` every so many seconds of the monotonic clock, and not again while it is at it.

    Tornado's PeriodicCallback goes by the wall clock: set back by an hour, it would pause for an hour.
    """

    def __init__(self, seconds: float, work: Callable[[], Any]) -> None:
        self._seconds, self._work = seconds, work
        self._task: asyncio.Task[None] | None = None
        self._planned: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._planned = asyncio.get_running_loop().call_later(self._seconds, self._due)

    def stop(self) -> None:
        if self._planned is not None:
            self._planned.cancel()

    def _due(self) -> None:
        self.start()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._once())

    async def _once(self) -> None:
        try:
            found = self._work()
            if inspect.isawaitable(found):
                await found
        except Exception:
            log.exception("a periodic task failed")
