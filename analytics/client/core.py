"""The client without IO: who waits for what, what goes out next, what comes in, when to come back.

`next` gives the bytes to write, `received` takes the bytes that were read, `lost` says how long to wait before
the next connection. All methods belong to one thread; the clock and chance come from outside.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import math
from collections.abc import Callable
from random import Random
from typing import Literal

import msgspec

from analytics.client.faults import Unreachable, fresh, from_body, retry_after_s
from analytics.client.policy import Backoff, Pacer, RetryBudget
from analytics.client.topics import Mode, Reader, Topic
from analytics.errors import Internal, Overloaded, PlumblineError, RateLimited, StorageFull, Timeout, TooLarge
from analytics.messages import (
    AnalyticsUpdate,
    ErrorReply,
    Frame,
    GoingAway,
    Message,
    Pong,
    Question,
    Request,
    Subscribed,
    Unsubscribe,
    Unsubscribed,
    Welcome,
    encode,
)

log = logging.getLogger(__name__)

STABLE_S = 5.0  # a connection that lasted so long was a success: the next pause is short again
TRANSIENT = (RateLimited, Overloaded, StorageFull, Unreachable, Timeout, Internal)  # a standing subscription waits

_DECODER = msgspec.json.Decoder(
    AnalyticsUpdate | Frame | ErrorReply | Welcome | Subscribed | Unsubscribed | Pong | GoingAway
)


class State(msgspec.Struct, frozen=True):
    """Of the connection. `reason` says why it is reconnecting or failed, `attempt` counts tries since it was up."""

    name: Literal["idle", "connecting", "connected", "reconnecting", "closed", "failed"]
    reason: str | None = None
    attempt: int = 0

    def __str__(self) -> str:
        return self.name + (f" ({self.reason})" if self.reason else "")


class Call:
    """A request that waits for its reply. `lasting`: it is asked again on the next connection."""

    def __init__(self, data: bytes, done: Callable[[Message | PlumblineError], None], deadline: float, lasting: bool):
        self.data, self.done, self.deadline, self.lasting = data, done, deadline, lasting
        self.attempt = 0


class Core:
    """attempts: connections tried in a row before giving up, None for ever. retries: per request, within a budget.

    on_state is called with every change, stir whenever `next` may have something new.
    """

    def __init__(
        self,
        *,
        random: Random,
        clock: Callable[[], float],
        attempts: int | None = None,
        retries: int = 3,
        on_state: Callable[[State], None] = lambda state: None,
        stir: Callable[[], None] = lambda: None,
    ) -> None:
        self.state = State("idle")
        self.error: PlumblineError | None = None  # set while failed or closed
        self.ping_s = math.inf
        self.topics: dict[str, Topic] = {}
        self.backoff = Backoff(random)
        self._clock, self._attempts, self._retries = clock, attempts, retries
        self._on_state, self._stir = on_state, stir
        self._ids = itertools.count(1)
        self._calls: dict[int, Call] = {}
        self._outbox: list[tuple[float, int, int]] = []  # heap of due, order, id
        self._order = itertools.count()
        self._in_flight: set[int] = set()
        self._most_in_flight = 16
        self._message_bytes = 64 << 10
        self._pacer = Pacer(20, 40, clock())
        self._budget = RetryBudget()
        self._heard = self._up_since = clock()
        self._attempt = 0
        self._leaving_s: float | None = None  # the server said that it goes, and when to come back

    # what the program asks for

    def call(
        self,
        request: Request,
        done: Callable[[Message | PlumblineError], None],
        *,
        deadline: float = math.inf,
        lasting: bool = True,
        after: float = 0.0,
    ) -> int:
        """Queue a request; `done` gets its reply or its error, once. Raises TooLarge, or why all is over."""
        if self.error is not None:
            raise fresh(self.error)
        number = next(self._ids)
        data = encode(msgspec.structs.replace(request, id=number))
        if len(data) > self._message_bytes:
            raise TooLarge(f"the request has {len(data):,} bytes, the server takes {self._message_bytes:,}")
        self._calls[number] = Call(data, done, deadline, lasting)
        self._budget.asked()
        self._queue(number, after)
        return number

    def forget(self, number: int) -> None:
        """Nobody waits for this reply any more."""
        self._calls.pop(number, None)
        self._in_flight.discard(number)
        self._stir()

    def subscribe(self, request: Question, mode: Mode, reader: Reader) -> Topic:
        """A subscription that is taken up again on every connection. Raises why all is over."""
        if self.error is not None:
            raise fresh(self.error)
        topic = Topic(f"s{next(self._ids)}", request, mode, reader)
        self.topics[topic.name] = topic
        if self.state.name == "connected":
            self._begin(topic)
        return topic

    def unsubscribe(self, topic: Topic) -> None:
        """Nothing of it is delivered from here on."""
        if self.topics.pop(topic.name, None) is None or self.error is not None:
            return
        topic.reader.end(None)
        if self.state.name == "connected":
            self.call(Unsubscribe(sub=topic.name), lambda reply: None, lasting=False)

    # what goes over the wire

    def next(self) -> tuple[bytes | None, float | None]:
        """The message to write now; or None and the seconds after which to ask again (None: when stirred)."""
        now = self._clock()
        while self._outbox and self._outbox[0][2] not in self._calls:
            heapq.heappop(self._outbox)
        held = self.state.name != "connected" or self._leaving_s is not None
        if held or not self._outbox or len(self._in_flight) >= self._most_in_flight:
            return None, None
        due, _, number = self._outbox[0]
        if (wait := due - now) > 0 or (wait := self._pacer.take(now)) > 0:
            return None, wait
        heapq.heappop(self._outbox)
        self._in_flight.add(number)
        return self._calls[number].data, None

    def received(self, data: bytes | str) -> None:
        """One message of the server."""
        try:
            message = _DECODER.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            log.warning("a message of the server was not understood: %s", error)
            return
        match message:
            case Welcome():
                self._welcomed(message)
            case GoingAway():
                self._leaving_s = message.reconnect_after_ms / 1000
            case ErrorReply(id=int(number)) | Subscribed(id=int(number)):
                self._answered(number, message)
            case ErrorReply(sub=str(name)):
                if topic := self.topics.get(name):
                    topic.failed(message)
            case ErrorReply():
                self._refused(from_body(message.error))
            case AnalyticsUpdate(sub=str(name)):
                if topic := self.topics.get(name):
                    topic.update(message)
            case Frame():
                if (topic := self.topics.get(message.sub)) and not topic.frame(message):
                    self._renew(topic)
            case AnalyticsUpdate(id=int(number)) | Pong(id=int(number)) | Unsubscribed(id=int(number)):
                self._answered(number, message)

    # the life of the connection

    def connecting(self) -> None:
        """A first connection is being made."""
        if self.state.name in ("idle", "failed"):
            self.error = None
            self._attempt = 0
            self._become(State("connecting"))

    def heard(self) -> None:
        """Any inbound byte counts as life."""
        self._heard = self._clock()

    def silence(self) -> Literal["fine", "ask", "dead"]:
        """Whether to ask the server for a sign of life (nothing for ping_s), or to give it up (for twice that)."""
        quiet = self._clock() - self._heard
        return "dead" if quiet > 2 * self.ping_s else "ask" if quiet > self.ping_s else "fine"

    @property
    def done(self) -> bool:
        """The server is leaving and has answered everything: this side may hang up."""
        return self._leaving_s is not None and not self._in_flight

    def lost(self, error: PlumblineError, *, final: bool = False) -> float | None:
        """There is no connection (any more). Seconds to wait before the next try, or None: it is over."""
        was_up = self.state.name == "connected"
        if was_up and self._clock() - self._up_since >= STABLE_S:
            self._attempt = 0
        if final or (self._attempts is not None and self._attempt >= self._attempts):
            if not final and self._attempt:
                error = Unreachable(f"gave up after {self._attempt} attempts: {error.message}")
            self.fail(error)
            return None
        told = max(retry_after_s(error), self._leaving_s or 0.0)
        self._leaving_s = None
        pause = self.backoff.pause(self._attempt, told)
        self._attempt += 1
        self._become(State("reconnecting", error.message, self._attempt))
        self._calls = {number: call for number, call in self._calls.items() if call.lasting}
        for number in sorted(self._in_flight):
            self._unanswered(number, Unreachable(f"no answer before the connection was lost: {error.message}"))
        self._in_flight.clear()
        return pause

    def fail(self, error: PlumblineError) -> None:
        """It is over until someone connects anew: everyone who waits hears why."""
        self._finish(State("failed", error.message), error, error)

    def close(self) -> None:
        """It is over: calls that wait raise, subscriptions end."""
        self._finish(State("closed"), Unreachable("the client is closed"), None)

    # steps

    def retry_pause(self, error: PlumblineError, attempt: int) -> float | None:
        """Seconds before an idempotent request is tried again, or None when it must not be."""
        if self.error is not None:
            return None
        told = retry_after_s(error)
        if isinstance(error, RateLimited):
            return self.backoff.pause(attempt, told)
        if (
            isinstance(error, Overloaded | StorageFull | Unreachable)
            and attempt < self._retries
            and self._budget.take()
        ):
            return 0.0 if isinstance(error, Unreachable) and not told else self.backoff.pause(attempt, told)
        return None

    def _queue(self, number: int, after: float) -> None:
        heapq.heappush(self._outbox, (self._clock() + after if after else 0.0, next(self._order), number))
        self._stir()

    def _answered(self, number: int, message: Message) -> None:
        self._in_flight.discard(number)
        self._stir()
        if isinstance(message, ErrorReply):
            self._unanswered(number, from_body(message.error))
        elif call := self._calls.pop(number, None):
            call.done(message)

    def _unanswered(self, number: int, error: PlumblineError) -> None:
        """Ask again where that is allowed and still in time, else the caller gets the error."""
        call = self._calls.get(number)
        if call is None:
            return
        pause = self.retry_pause(error, call.attempt) if call.lasting else None
        if pause is None or self._clock() + pause > call.deadline:
            del self._calls[number]
            call.done(error)
        else:
            call.attempt += 1
            self._queue(number, pause)

    def _refused(self, error: PlumblineError) -> None:
        """An error without an id: some message was not even read. All requests are safe to repeat, so all are."""
        if not isinstance(error, RateLimited):
            log.warning("the server refused a message: %s", error.message)
            return
        self._pacer.hold(self.backoff.pause(0, retry_after_s(error)), self._clock())
        for number in sorted(self._in_flight):
            self._queue(number, 0.0)
        self._in_flight.clear()

    def _welcomed(self, message: Welcome) -> None:
        limits, now = message.limits, self._clock()
        self.ping_s = message.ping_s
        self._most_in_flight = limits.get("in_flight", self._most_in_flight)
        self._message_bytes = limits.get("message_bytes", self._message_bytes)
        # a tenth below what is allowed: the two clocks do not run alike
        self._pacer = Pacer(
            max(0.1, 0.9 * limits.get("messages_per_s", 20)), max(1, 0.9 * limits.get("burst", 40)), now
        )
        self._up_since, self._leaving_s = now, None
        self._become(State("connected"))
        for topic in list(self.topics.values()):
            self._begin(topic)

    def _begin(self, topic: Topic, after: float = 0.0) -> None:
        def done(reply: Message | PlumblineError) -> None:
            if topic.name not in self.topics:
                return
            if isinstance(reply, Subscribed):
                topic.subscribed(reply)
            elif isinstance(reply, TRANSIENT) and (topic.stands or topic.attempt < self._retries):
                topic.attempt += 1
                self._begin(topic, self.backoff.pause(topic.attempt, retry_after_s(reply)))
            elif isinstance(reply, PlumblineError):
                del self.topics[topic.name]
                topic.reader.end(reply)

        try:
            self.call(topic.subscribe(), done, lasting=False, after=after)
        except TooLarge as error:
            done(error)

    def _renew(self, topic: Topic) -> None:
        topic.forget()
        self.call(Unsubscribe(sub=topic.name), lambda reply: None, lasting=False)
        self._begin(topic)

    def _finish(self, state: State, error: PlumblineError, end: PlumblineError | None) -> None:
        calls, topics = list(self._calls.values()), list(self.topics.values())
        self._calls, self.topics, self._outbox, self._in_flight = {}, {}, [], set()
        self.error = error
        self._become(state)
        for call in calls:
            call.done(fresh(error))
        for topic in topics:
            topic.reader.end(end and fresh(end))

    def _become(self, state: State) -> None:
        if state != self.state:
            self.state = state
            self._on_state(state)
            self._stir()
