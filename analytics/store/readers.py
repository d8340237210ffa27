"""A bounded pool of reader threads with deadlines. The event loop only waits."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import duckdb

from analytics.errors import Timeout, TooLarge

T = TypeVar("T")
AGAIN_S = 0.05  # an interrupt between two statements is lost, so it is repeated


class _Job:
    """One piece of work: shared by the loop, which may stop it, and the thread that runs it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.cursor: duckdb.DuckDBPyConnection | None = None
        self.stopped = False

    def stop(self) -> None:
        with self.lock:
            self.stopped = True
            if self.cursor is not None:
                self.cursor.interrupt()


class Readers:
    """Runs functions of a cursor in `count` threads, each job under a deadline that includes its wait."""

    def __init__(self, cursor: Callable[[], duckdb.DuckDBPyConnection], count: int) -> None:
        self._cursor = cursor
        self._pool = ThreadPoolExecutor(count, "store-reader")
        self._cursors = threading.local()
        self.busy = 0

    async def run(self, work: Callable[[duckdb.DuckDBPyConnection], T], deadline_s: float) -> T:
        """The result of `work`, or Timeout. A caller that goes away stops its query."""
        loop = asyncio.get_running_loop()
        job = _Job()
        future = self._pool.submit(self._work, job, work)
        watchdog = loop.call_later(deadline_s, self._expire, loop, job, future)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            if job.stopped and future.cancelled():
                raise Timeout(
                    f"the store was busy for more than {deadline_s:g} s", hint="ask again, or ask for less"
                ) from None
            self._expire(loop, job, future)
            raise
        except duckdb.InterruptException:
            raise Timeout(
                f"the query ran for more than {deadline_s:g} s", hint="use a shorter window or fewer groups"
            ) from None
        except duckdb.OutOfMemoryException:
            raise TooLarge(
                "the query needs more memory than the store may use", hint="use a shorter window or fewer groups"
            ) from None
        finally:
            watchdog.cancel()

    def close(self) -> None:
        self._pool.shutdown(wait=True)

    def _expire(self, loop: asyncio.AbstractEventLoop, job: _Job, future: Future[T]) -> None:
        job.stop()
        if not future.cancel() and not future.done():
            loop.call_later(AGAIN_S, self._expire, loop, job, future)

    def _work(self, job: _Job, work: Callable[[duckdb.DuckDBPyConnection], T]) -> T:
        if not hasattr(self._cursors, "mine"):
            self._cursors.mine = self._cursor()
        with job.lock:
            if job.stopped:
                raise duckdb.InterruptException("stopped before it began")
            job.cursor = self._cursors.mine
            self.busy += 1
        broken = True
        try:
            found = work(self._cursors.mine)
            broken = False
            return found
        finally:
            with job.lock:
                job.cursor = None
                self.busy -= 1
            if broken:  # an open transaction or a late interrupt must not meet the next job
                self._cursors.mine.close()
                del self._cursors.mine
