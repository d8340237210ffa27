"""The hub: one tick, one query, one encoding.

Viewers subscribe to standing queries; equal ones are one. On each tick every standing query is
answered once, what changed is encoded once, and the same bytes go to every subscriber.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Protocol

import msgspec

from analytics.agent import Answer, rfc3339
from analytics.errors import Internal, PlumblineError
from analytics.messages import AnalyticsUpdate, BoardRequest, ErrorReply, Question, encode
from analytics.query import Filter

log = logging.getLogger(__name__)

CHUNK = 200  # subscribers written between two breaths of the loop
QUIET_S = 5.0  # without new data an answer is asked again after this long; until then only a heartbeat
PARALLEL = 4


class Subscriber(Protocol):
    """Where messages of one subscription go. `send` gives False when the reader is too slow: the
    message was not taken, and the next one it gets is a snapshot."""

    def send(self, data: bytes) -> bool: ...


class Subscription:
    """One subscriber's place in one standing query."""

    def __init__(self, name: str, subscriber: Subscriber) -> None:
        self.name = name
        self.prefix = b',"sub":' + msgspec.json.encode(name)
        self.subscriber = subscriber
        self.started = False  # before its snapshot nothing may go out
        self.behind = False
        self.dropped = 0


class Standing:
    """One standing query: its request, who listens, and what it said last."""

    def __init__(self, request: Question, allowed: tuple[Filter, ...]) -> None:
        self.request = request
        self.allowed = allowed
        self.subscriptions: dict[Subscription, None] = {}
        self.seq = 0
        self.answer: Answer | None = None
        self.answered = 0.0
        self.data_version = -1
        self.memo: dict[Any, Any] = {}
        self.first = asyncio.Lock()  # the first answer is asked once, however many arrive together
        self._snapshot: tuple[int, bytes] = (-1, b"")

    def snapshot(self, epoch: str, now: datetime) -> bytes:
        """The whole last answer as bytes without its head, encoded once per seq."""
        assert self.answer is not None
        if self._snapshot[0] != self.seq:
            update = _update(self.answer, now, epoch, self.seq)
            self._snapshot = (self.seq, _body(encode(update)))
        return self._snapshot[1]


Ask = Callable[[Question, tuple[Filter, ...], dict[Any, Any]], Awaitable[Answer]]


class Hub:
    """Holds the standing queries and ticks them. All methods belong to one event loop.

    ask: answers a question (the analytics agent behind its deadline).
    min_interval_s: the least time between two ticks, however much data comes in.
    """

    def __init__(
        self,
        ask: Ask,
        *,
        epoch: str,
        now: Callable[[], datetime],
        interval_s: float = 1.0,
        min_interval_s: float = 0.25,
    ) -> None:
        self.epoch = epoch
        self._ask = ask
        self._now = now
        self._interval_s = interval_s
        self._min_interval_s = min_interval_s
        self._standing: dict[bytes, Standing] = {}
        self._data_version = 0
        self._ticking = asyncio.Lock()
        self._last_start = 0.0
        self._last_length = 0.0
        self._woken: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    # subscriptions

    async def subscribe(
        self, request: Question, allowed: tuple[Filter, ...], name: str, subscriber: Subscriber,
        ready: Callable[[int], None] = lambda seq: None,
    ) -> Callable[[], None]:  # fmt: skip
        """Join the standing query for `request`; the snapshot is sent before this returns.

        `ready(seq)` is called just before the snapshot goes out. Returns the way to leave.
        Raises what the first answer raises: the subscription then does not stand.
        """
        key = _identity(request, allowed)
        standing = self._standing.setdefault(key, Standing(request, allowed))
        subscription = Subscription(name, subscriber)
        standing.subscriptions[subscription] = None

        def leave() -> None:
            standing.subscriptions.pop(subscription, None)
            if not standing.subscriptions and self._standing.get(key) is standing:
                del self._standing[key]

        try:
            async with standing.first:
                if standing.answer is None:
                    await self._refresh(standing)
                    standing.seq += 1
        except BaseException:
            leave()
            raise
        if subscription in standing.subscriptions:
            ready(standing.seq)
            subscription.started = True
            self._send_snapshot(standing, subscription)
        return leave

    def viewers(self) -> int:
        """Subscriptions that stand."""
        return sum(len(s.subscriptions) for s in self._standing.values())

    def stats(self) -> dict[str, float]:
        """standing queries, subscriptions, length of the last tick in seconds."""
        return {"standing": len(self._standing), "subscriptions": self.viewers(), "tick_s": self._last_length}

    # ticking

    def data_changed(self) -> None:
        """New rows are there: tick early, but not more often than the least interval and a quarter of the time."""
        self._data_version += 1
        if self._woken is None and self._standing:
            pause = max(self._min_interval_s, 3 * self._last_length)
            delay = max(0.0, self._last_start + pause - self._monotonic())
            self._woken = asyncio.get_running_loop().call_later(delay, self._wake)

    def _wake(self) -> None:
        self._woken = None
        task = asyncio.get_running_loop().create_task(self.tick(woken=True))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def tick(self, *, woken: bool = False) -> None:
        """Answer every standing query once and send what changed; a periodic callback calls this."""
        if self._ticking.locked():
            return
        async with self._ticking:
            if not woken and self._monotonic() - self._last_start < 0.7 * self._interval_s:
                return
            self._last_start = self._monotonic()
            gate = asyncio.Semaphore(PARALLEL)
            await asyncio.gather(*(self._one(s, gate) for s in list(self._standing.values()) if s.answer is not None))
            self._last_length = self._monotonic() - self._last_start

    async def _one(self, standing: Standing, gate: asyncio.Semaphore) -> None:
        old = standing.answer
        assert old is not None
        async with gate:
            if standing.data_version == self._data_version and self._monotonic() - standing.answered < QUIET_S:
                changed = None  # the frame itself says that the server is alive and has looked
            else:
                try:
                    await self._refresh(standing)
                except PlumblineError as error:
                    await self._fan_out(standing, b'{"type":"error"', _body(encode(ErrorReply(error=error.body()))))
                    return
                changed = difference(standing, old)
        standing.seq += 1
        await self._fan_out(standing, *self._encoded(standing, changed))

    async def _refresh(self, standing: Standing) -> None:
        version = self._data_version
        try:
            standing.answer = await self._ask(standing.request, standing.allowed, standing.memo)
        except PlumblineError:
            raise
        except Exception:
            hidden = Internal.hidden()
            log.exception("standing query failed, reference %s", hidden.details["reference"])
            raise hidden from None
        standing.data_version = version
        standing.answered = self._monotonic()
        standing.answer.analytics["viewers"] = len(standing.subscriptions)

    def _encoded(self, standing: Standing, changed: dict[str, Any] | None) -> tuple[bytes, bytes]:
        if not isinstance(standing.request, BoardRequest):
            return b'{"type":"analytics_update"', standing.snapshot(self.epoch, self._now())
        frame = {"epoch": self.epoch, "seq": standing.seq, "at": int(self._now().timestamp() * 1000), **(changed or {})}
        return b'{"type":"frame"', b"," + msgspec.json.encode(frame)[1:]

    async def _fan_out(self, standing: Standing, head: bytes, body: bytes) -> None:
        same: dict[bytes, bytes] = {}
        for i, subscription in enumerate(list(standing.subscriptions), 1):
            if not subscription.started:
                continue
            if subscription.behind:
                self._send_snapshot(standing, subscription)
            else:
                data = same.get(subscription.prefix)
                if data is None:
                    data = same[subscription.prefix] = head + subscription.prefix + body
                if not subscription.subscriber.send(data):
                    subscription.behind = True
                    subscription.dropped += 1
            if i % CHUNK == 0:
                await asyncio.sleep(0)

    def _send_snapshot(self, standing: Standing, subscription: Subscription) -> None:
        dropped = b',"dropped":%d' % subscription.dropped
        body = standing.snapshot(self.epoch, self._now())
        taken = subscription.subscriber.send(b'{"type":"analytics_update"' + subscription.prefix + dropped + body)
        subscription.behind = not taken
        subscription.dropped = 0 if taken else subscription.dropped + 1

    async def close(self) -> None:
        """Forget all subscriptions and wait for a tick under way."""
        if self._woken is not None:
            self._woken.cancel()
            self._woken = None
        self._standing.clear()
        if self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    @staticmethod
    def _monotonic() -> float:
        return time.monotonic()


def _identity(request: Question, allowed: tuple[Filter, ...]) -> bytes:
    plain = msgspec.structs.replace(request, id=None, timestamp=None)
    return msgspec.json.encode([type(request).__name__, plain, allowed], order="deterministic")


def _update(answer: Answer, now: datetime, epoch: str, seq: int) -> AnalyticsUpdate:
    return AnalyticsUpdate(
        analytics=answer.analytics,
        insights=answer.insights,
        confidence=round(answer.confidence.headline, 4),
        confidence_parts=answer.confidence.parts(),
        timestamp=rfc3339(now),
        epoch=epoch,
        seq=seq,
    )


def _body(encoded: bytes) -> bytes:
    """All of an encoded message after its `type`, so that a subscription's name can stand between."""
    return encoded[encoded.index(b",") :]


def difference(standing: Standing, old: Answer) -> dict[str, Any] | None:
    """What a board's frame must carry to turn `old` into the standing query's new answer."""
    new = standing.answer
    assert new is not None
    if not isinstance(standing.request, BoardRequest):
        return None
    was, now = old.analytics, new.analytics
    board = {k: v for k, v in now.items() if k != "tiles" and was.get(k, _ABSENT) != v}
    tiles = {}
    for name, tile in now["tiles"].items():
        if changed := tile_difference(was["tiles"].get(name), tile):
            tiles[name] = changed
    return {"board": board, "tiles": tiles}


_ABSENT = object()


def tile_difference(was: dict[str, Any] | None, now: dict[str, Any]) -> dict[str, Any] | None:
    """The frame of one tile, or None when nothing changed.

    Rows that left at the front are dropped; everything from the first row that differs is replaced.
    """
    if was is None:
        return {"drop": 0, "from": 0, "columns": now["columns"], "head": now["head"]}
    head = {k: v for k, v in now["head"].items() if was["head"].get(k, _ABSENT) != v}
    gone = [k for k in was["head"] if k not in now["head"]]
    head |= dict.fromkeys(gone)
    before, after = was["columns"], now["columns"]
    if before == after:
        return {"head": head} if head else None
    if before.keys() != after.keys() or not after:
        return {"drop": 0, "from": 0, "columns": after, "head": head}
    drop = _dropped_rows(before, after)
    start = min(_common(before[k], after[k], drop) for k in after)
    return {"drop": drop, "from": start, "columns": {k: v[start:] for k, v in after.items()}, "head": head}


def _dropped_rows(before: dict[str, list[Any]], after: dict[str, list[Any]]) -> int:
    key = next(iter(after))
    if not after[key] or not before[key]:
        return 0
    try:
        return before[key].index(after[key][0])
    except ValueError:
        return 0


def _common(before: list[Any], after: list[Any], drop: int) -> int:
    for i, value in enumerate(after):
        if drop + i >= len(before) or before[drop + i] != value:
            return i
    return len(after)
