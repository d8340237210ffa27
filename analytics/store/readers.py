"""A bounded pool of reader threads with deadlines. The event loop only waits."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import duckdb

from analytics.errors import Overloaded, Timeout, TooLarge

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
        self._changed = threading.Condition()
        self._spare: list[duckdb.DuckDBPyConnection] = []
        self._at_work: list[duckdb.DuckDBPyConnection] = []
        self._away = False
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
        except (duckdb.FatalException, duckdb.ConnectionException):  # the writer opens the file anew
            raise Overloaded(
                "the store recovers from a failed disk", hint="ask again in a moment", retry_after_ms=1000
            ) from None
        finally:
            watchdog.cancel()

    def close(self) -> None:
        self._pool.shutdown(wait=True)

    @contextlib.contextmanager
    def away(self) -> Iterator[None]:
        """Within this no reader holds a cursor: who is at work is interrupted, who comes waits. Blocks."""
        with self._changed:
            self._away = True
            while self._at_work:
                for cursor in self._at_work:
                    cursor.interrupt()
                self._changed.wait(AGAIN_S)
            while self._spare:
                self._spare.pop().close()
        try:
            yield
        finally:
            with self._changed:
                self._away = False
                self._changed.notify_all()

    def _expire(self, loop: asyncio.AbstractEventLoop, job: _Job, future: Future[T]) -> None:
        job.stop()
        if not future.cancel() and not future.done():
            loop.call_later(AGAIN_S, self._expire, loop, job, future)

    def _work(self, job: _Job, work: Callable[[duckdb.DuckDBPyConnection], T]) -> T:
        cursor = self._take(job)
        broken = True
        try:
            with job.lock:
                if job.stopped:
                    raise duckdb.InterruptException("stopped before it began")
                job.cursor = cursor
            found = work(cursor)
            broken = False
            return found
        finally:
            with job.lock:
                job.cursor = None
                broken = broken or job.stopped  # the interrupt may have met the end of a transaction
            self._give(cursor, broken)

    def _take(self, job: _Job) -> duckdb.DuckDBPyConnection:
        with self._changed:
            while self._away:
                if job.stopped:
                    raise duckdb.InterruptException("stopped before it began")
                self._changed.wait(AGAIN_S)
            cursor = self._spare.pop() if self._spare else self._cursor()
            self._at_work.append(cursor)
            self.busy = len(self._at_work)
            return cursor

    def _give(self, cursor: duckdb.DuckDBPyConnection, broken: bool) -> None:
        if broken:  # an open transaction or a late interrupt must not meet the next job
            cursor.close()
        with self._changed:
            self._at_work.remove(cursor)
            self.busy = len(self._at_work)
            if not broken:
                self._spare.append(cursor)
            self._changed.notify_all()
