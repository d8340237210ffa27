"""The hub: one tick, one query, one encoding.

Viewers subscribe to standing queries; equal ones are one. On each tick every standing query is
answered once, what changed is encoded once, and the same bytes go to every subscriber.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Literal, NamedTuple, Protocol

import msgspec

from analytics.asking import Answer, rfc3339
from analytics.errors import Internal, PlumblineError
from analytics.frames import board_difference
from analytics.messages import AnalyticsUpdate, BoardRequest, ErrorReply, Position, Question, encode
from analytics.query import Filter

log = logging.getLogger(__name__)

Mode = Literal["latest", "log"]

CHUNK = 200  # subscribers written between two breaths of the loop
BREATH_S = 0.01  # ... or the time after which it breathes anyway: a write may take long on a busy machine
RING = 256  # messages kept for those who come back ...
RING_S = 120.0  # ... within this time
QUIET_S = 5.0  # without new data an answer is asked again after this long; until then only a heartbeat
PARALLEL = 4


class Subscriber(Protocol):
    """Where messages of one subscription go. `send` gives False when the reader is too slow: the
    message was not taken. `overflow` ends a reader that asked for every message and cannot keep up."""

    def send(self, data: bytes) -> bool: ...
    def overflow(self) -> None: ...


class Subscription:
    """One subscriber's place in one standing query."""

    __slots__ = ("behind", "dropped", "mode", "name", "prefix", "started", "subscriber")

    def __init__(self, name: str, subscriber: Subscriber, mode: Mode) -> None:
        self.name = name
        self.mode = mode
        self.prefix = b',"sub":' + msgspec.json.encode(name)
        self.subscriber = subscriber
        self.started = False  # before its snapshot nothing may go out
        self.behind = False
        self.dropped = 0


class Sent(NamedTuple):
    """One message of a standing query, but for the name of the subscription, which goes between its two parts."""

    seq: int
    at: float
    head: bytes
    body: bytes


class Standing:
    """One standing query: its request, who listens, what it said last, and its latest messages.

    It outlives its last subscriber by RING_S without being asked, so that who comes back misses nothing.
    """

    def __init__(self, request: Question, allowed: tuple[Filter, ...]) -> None:
        self.request = request
        self.allowed = allowed
        self.subscriptions: dict[Subscription, None] = {}
        self.seq = 0
        self.answer: Answer | None = None
        self.answered = 0.0
        self.data_version = -1
        self.memo: dict[Any, Any] = {}
        self.advancing = asyncio.Lock()  # one question at a time, however many arrive together
        self.ring: deque[Sent] = deque(maxlen=RING)
        self.left_at: float | None = None
        self._snapshot: tuple[int, bytes] = (-1, b"")

    def snapshot(self, epoch: str, now: datetime) -> bytes:
        """The whole last answer as bytes without its head, encoded once per seq."""
        assert self.answer is not None
        if self._snapshot[0] != self.seq:
            update = _update(self.answer, now, epoch, self.seq)
            self._snapshot = (self.seq, _body(encode(update)))
        return self._snapshot[1]

    def keep(self, sent: Sent) -> None:
        """Remember a message for those who come back."""
        self.ring.append(sent)
        while self.ring and self.ring[0].at < sent.at - RING_S:
            self.ring.popleft()

    def missed(self, epoch: str, since: Position | None) -> list[Sent] | None:
        """The messages after a position, or None when they are not all here."""
        if since is None or since.epoch != epoch or self.answer is None or since.seq > self.seq:
            return None
        found = [sent for sent in self.ring if sent.seq > since.seq]
        return found if len(found) == self.seq - since.seq else None


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
        self._last_woken = False
        self._last_length = 0.0
        self._ticks = self._dropped = self._coalesced = 0
        self._fanout_s = 0.0
        self._woken: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    # subscriptions

    async def subscribe(
        self,
        request: Question,
        allowed: tuple[Filter, ...],
        name: str,
        subscriber: Subscriber,
        ready: Callable[[int, bool], None] = lambda seq, recovered: None,
        *,
        mode: Mode = "latest",
        since: Position | None = None,
    ) -> Callable[[], None]:
        """Join the standing query for `request`; its snapshot, or what was missed, is sent before this returns.

        `ready(seq, recovered)` is called just before that. Returns the way to leave.
        Raises what the first answer raises: the subscription then does not stand.
        """
        key = _identity(request, allowed)
        standing = self._standing.setdefault(key, Standing(request, allowed))
        subscription = Subscription(name, subscriber, mode)
        standing.subscriptions[subscription] = None
        standing.left_at = None

        def leave() -> None:
            if standing.subscriptions.pop(subscription, self) is self or standing.subscriptions:
                return
            standing.left_at = self._monotonic()
            if standing.answer is None and self._standing.get(key) is standing:
                del self._standing[key]

        try:
            async with standing.advancing:
                if standing.answer is None:
                    await self._refresh(standing)
                    standing.seq += 1
            missed = standing.missed(self.epoch, since)
            if missed is None and self._monotonic() - standing.answered > 2 * self._interval_s:
                await self._advance(standing)  # it rested while nobody listened
        except BaseException:
            leave()
            raise
        if subscription in standing.subscriptions:
            self._begin(standing, subscription, missed, ready)
        return leave

    def _begin(
        self,
        standing: Standing,
        subscription: Subscription,
        missed: list[Sent] | None,
        ready: Callable[[int, bool], None],
    ) -> None:
        subscription.started = True
        if missed is None:
            ready(standing.seq, False)
            self._send_snapshot(standing, subscription)
            return
        ready(standing.seq - len(missed), True)
        for sent in missed:
            self._send(standing, subscription, sent.head + subscription.prefix + sent.body)

    def viewers(self) -> int:
        """Subscriptions that stand."""
        return sum(len(s.subscriptions) for s in self._standing.values())

    def stats(self) -> dict[str, float]:
        """standing queries (and those resting), subscriptions, ticks, seconds of the last tick and of its longest
        fan-out, messages dropped for slow readers, and snapshots that made up for them."""
        active = sum(1 for s in self._standing.values() if s.subscriptions)
        return {
            "standing": active,
            "resting": len(self._standing) - active,
            "subscriptions": self.viewers(),
            "ticks": self._ticks,
            "tick_s": self._last_length,
            "fanout_s": self._fanout_s,
            "dropped": self._dropped,
            "coalesced": self._coalesced,
            "late_s": max(0.0, self._monotonic() - self._last_start - self._interval_s) if active else 0.0,
        }

    # ticking

    def data_changed(self) -> None:
        """New rows are there: tick early, but not more often than the least interval and a quarter of the time."""
        self._data_version += 1
        if self._woken is None and self._standing:
            # news after a rest is told at once; a steady stream is told once an interval
            steady = 0.9 * self._interval_s if self._last_woken else 0.0
            pause = max(self._min_interval_s, 3 * self._last_length, steady)
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
            self._last_woken = woken
            self._last_start = self._monotonic()
            self._forget_rested()
            self._fanout_s = 0.0
            gate = asyncio.Semaphore(PARALLEL)

            async def one(standing: Standing) -> None:
                async with gate:
                    await self._advance(standing)

            active = [s for s in self._standing.values() if s.subscriptions and s.answer is not None]
            await asyncio.gather(*(one(s) for s in active))
            self._ticks += 1
            self._last_length = self._monotonic() - self._last_start

    def _forget_rested(self) -> None:
        before = self._monotonic() - RING_S
        for key, standing in list(self._standing.items()):
            if not standing.subscriptions and standing.left_at is not None and standing.left_at < before:
                del self._standing[key]

    async def _advance(self, standing: Standing) -> None:
        """Ask again where there may be news, and send what changed."""
        async with standing.advancing:
            old = standing.answer
            if old is None:
                return
            changed: dict[str, Any] | None = None  # a board's frame itself says: alive, and looked
            if standing.data_version != self._data_version or self._monotonic() - standing.answered >= QUIET_S:
                try:
                    await self._refresh(standing)
                except PlumblineError as error:
                    await self._fan_out(standing, b'{"type":"error"', _body(encode(ErrorReply(error=error.body()))))
                    return
                changed = difference(standing, old)
            if changed is None and not isinstance(standing.request, BoardRequest):
                return
            standing.seq += 1
            head, body = self._encoded(standing, changed)
            standing.keep(Sent(standing.seq, self._monotonic(), head, body))
            started = self._monotonic()
            await self._fan_out(standing, head, body)
            self._fanout_s = max(self._fanout_s, self._monotonic() - started)

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
        breath = self._monotonic() + BREATH_S
        for i, subscription in enumerate(list(standing.subscriptions), 1):
            if not subscription.started or subscription not in standing.subscriptions:  # it left in mid-tick
                continue
            if subscription.behind:
                self._send_snapshot(standing, subscription)
            else:
                data = same.get(subscription.prefix)
                if data is None:
                    data = same[subscription.prefix] = head + subscription.prefix + body
                self._send(standing, subscription, data)
            if i % CHUNK == 0 or self._monotonic() > breath:
                await asyncio.sleep(0)
                breath = self._monotonic() + BREATH_S

    def _send(self, standing: Standing, subscription: Subscription, data: bytes) -> None:
        if subscription.behind:  # in the middle of a replay: a snapshot follows with the next tick
            subscription.dropped += 1
        elif not subscription.subscriber.send(data):
            self._dropped += 1
            subscription.behind = True
            subscription.dropped += 1
            if subscription.mode == "log":
                subscription.subscriber.overflow()

    def _send_snapshot(self, standing: Standing, subscription: Subscription) -> None:
        dropped = b',"dropped":%d' % subscription.dropped
        body = standing.snapshot(self.epoch, self._now())
        taken = subscription.subscriber.send(b'{"type":"analytics_update"' + subscription.prefix + dropped + body)
        if taken:
            self._coalesced += bool(subscription.dropped)
            subscription.dropped = 0
        else:
            self._dropped += 1
            subscription.dropped += 1
        subscription.behind = not taken

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
    """What a board's frame must carry to turn `old` into the new answer; None for other requests without news."""
    new = standing.answer
    assert new is not None
    if not isinstance(standing.request, BoardRequest):
        return None if (old.analytics, old.insights) == (new.analytics, new.insights) else {}
    return board_difference(old.analytics, new.analytics)
