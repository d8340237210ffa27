"""Events out, in batches: bounded, patient, and nothing is lost in silence."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import itertools
import logging
import secrets
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any

import msgspec

from analytics.client.faults import Unreachable, fresh, retry_after_s
from analytics.client.policy import Backoff
from analytics.client.results import Accepted, Drop
from analytics.errors import (
    Internal,
    Overloaded,
    PlumblineError,
    RateLimited,
    StorageFull,
    Timeout,
    TooLarge,
    UnsupportedMedia,
    ValidationError,
)

log = logging.getLogger(__name__)

PATIENT = (RateLimited, Overloaded, StorageFull, Unreachable, Timeout)  # tried again until it works
SPOILED = (ValidationError, TooLarge, UnsupportedMedia)  # this batch will never pass, the next one may
INTERNAL_TRIES = 5  # a batch that breaks the server must not block the others for ever

Post = Callable[[str, list[bytes]], Awaitable[Accepted]]


class Stamp:
    """Gives each event an event_id that has none, so that sending it twice counts once."""

    def __init__(self) -> None:
        self._stem, self._number = secrets.token_hex(8), 0

    def line(self, event: dict[str, Any]) -> bytes:
        """The event as one JSON line."""
        if event.get("event_id") is None:
            self._number += 1
            event = {**event, "event_id": f"{self._stem}-{self._number}"}
        return msgspec.json.encode(event)


def packed(batch: Iterable[bytes]) -> bytes:
    """A request's body: JSON lines, gzip."""
    return gzip.compress(b"\n".join(batch) + b"\n", compresslevel=1, mtime=0)


class Report(msgspec.Struct, frozen=True):
    """Counts of events since the sender began; `dropped` by reason."""

    accepted: int = 0
    repeated: int = 0
    dropped: dict[str, int] = {}
    buffered: int = 0


class Sender:
    """Collects events and sends them by count, size or age. Made by `client.sender(...)`.

    While the server is away or full the events wait, then `send` waits, then it raises Timeout.
    """

    def __init__(
        self,
        post: Post,
        dataset: str,
        backoff: Backoff,
        *,
        max_events: int = 1_000,
        max_bytes: int = 512 << 10,
        max_age_s: float = 1.0,
        buffer: int = 20_000,
        timeout_s: float = 10.0,
        on_dropped: Callable[[Drop], Any] | None = None,
    ) -> None:
        self._post, self._dataset, self._backoff, self._on_dropped = post, dataset, backoff, on_dropped
        self._max_events, self._max_bytes, self._max_age_s = max_events, max_bytes, max_age_s
        self._limit, self._timeout_s = max(buffer, max_events), timeout_s
        self._stamp = Stamp()
        self._buffer: deque[tuple[float, bytes]] = deque()  # when it came, its line
        self._bytes = 0
        self._counts: Counter[str] = Counter()
        self._dropped: Counter[str] = Counter()
        self._taken = self._settled = 0  # events that came in; events whose fate is known
        self._wanted = 0  # a flush waits until so many are settled
        self._changed = asyncio.Event()  # for the worker
        self._progress = asyncio.Event()  # for who waits for it; a new one after each step
        self._error: PlumblineError | None = None
        self._worker: asyncio.Task[None] | None = None

    @property
    def report(self) -> Report:
        """What became of the events so far."""
        return Report(
            self._counts["accepted"], self._counts["repeated"], dict(self._dropped), self._taken - self._settled
        )

    async def send(self, *events: dict[str, Any]) -> None:
        """Take events in; waits while the buffer is full. Raises Timeout, or why nothing is taken any more."""
        for event in events:
            if len(self._buffer) >= self._limit:
                await self._until(lambda: len(self._buffer) < self._limit, "the buffer is full")
            if self._error is not None:
                raise fresh(self._error)
            if self._worker is None:
                self._worker = asyncio.create_task(self._work(), name="plumbline-sender")
            line = self._stamp.line(event)
            self._buffer.append((asyncio.get_running_loop().time(), line))
            self._bytes += len(line)
            self._taken += 1
            if len(self._buffer) == 1 or self._enough:
                self._changed.set()

    async def flush(self) -> Report:
        """Send what is buffered now; returns when the fate of all of it is known. Raises Timeout."""
        goal = self._wanted = self._taken
        self._changed.set()
        await self._until(lambda: self._settled >= goal, "not everything could be sent")
        return self.report

    async def close(self) -> Report:
        """Flush and end. What could not be sent within the timeout is dropped, with the reason UNSENT."""
        with contextlib.suppress(Timeout):
            await self.flush()
        self._end(Unreachable("the sender is closed"), "UNSENT")
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.gather(self._worker, return_exceptions=True)
            self._worker = None
        return self.report

    async def __aenter__(self) -> Sender:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    # the worker

    async def _work(self) -> None:
        try:
            while True:
                await self._due()
                await self._deliver(list(self._next_batch()))
        except PlumblineError as error:
            self._end(error, error.code)
        except Exception as error:
            log.exception("the sender failed")
            self._end(Internal(f"the sender failed: {type(error).__name__}"), Internal.code)

    @property
    def _enough(self) -> bool:
        return len(self._buffer) >= self._max_events or self._bytes >= self._max_bytes

    async def _due(self) -> None:
        """Wait for enough events, for one that is old enough, or for a flush."""
        while True:
            self._changed.clear()
            wait = None
            if self._buffer:
                wait = self._buffer[0][0] + self._max_age_s - asyncio.get_running_loop().time()
                if self._enough or self._settled < self._wanted or wait <= 0:
                    return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._changed.wait()

    def _next_batch(self) -> Iterator[bytes]:
        size = 0
        for number, (_, line) in enumerate(self._buffer):
            size += len(line) + 1
            if number == self._max_events or (number and size > self._max_bytes):
                return
            yield line

    async def _deliver(self, batch: list[bytes]) -> None:
        """Send one batch for as long as it takes. Raises what no patience can mend."""
        parts = [batch]
        while parts:
            part = parts.pop()
            try:
                told = await self._patiently(part)
            except (*SPOILED, Internal) as error:
                if isinstance(error, TooLarge) and len(part) > 1:
                    middle = len(part) // 2
                    parts += [part[middle:], part[:middle]]
                    continue
                self._drop(error.code, len(part), error.message)
            else:
                self._counts.update(accepted=told.accepted, repeated=told.repeated)
                for drop in told.dropped:
                    self._drop(drop.reason, drop.count, drop.example)
            self._take_off(len(part))

    async def _patiently(self, part: list[bytes]) -> Accepted:
        for attempt in itertools.count():
            try:
                return await self._post(self._dataset, part)
            except (*PATIENT, Internal) as error:
                if isinstance(error, Internal) and attempt + 1 >= INTERNAL_TRIES:
                    raise
                pause = self._backoff.pause(attempt, retry_after_s(error))
                log.info("events wait %.1f s: %s", pause, error.message)
                await asyncio.sleep(pause)
        raise AssertionError

    def _drop(self, reason: str, count: int, example: Any) -> None:
        self._dropped[reason] += count
        if self._on_dropped is None:
            log.warning("%d events dropped: %s", count, reason)
            return
        try:
            self._on_dropped(Drop(reason, count, example))
        except Exception:
            log.exception("on_dropped failed")

    def _take_off(self, count: int) -> None:
        for _ in range(count):
            self._bytes -= len(self._buffer.popleft()[1])
        self._settled += count
        self._step()

    def _end(self, error: PlumblineError, reason: str) -> None:
        """Nothing is taken from here on; what is left is dropped."""
        if self._error is None:
            self._error = error
        if self._buffer:
            self._drop(reason, len(self._buffer), None)
            self._take_off(len(self._buffer))
        self._step()

    def _step(self) -> None:
        self._progress.set()
        self._progress = asyncio.Event()

    async def _until(self, condition: Callable[[], bool], else_: str) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                while not condition():
                    await self._progress.wait()
        except TimeoutError:
            raise Timeout(f"{else_} for {self._timeout_s:g} s") from None
