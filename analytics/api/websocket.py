"""`/api/analytics/ws`: plain request and reply, and `analytics.v1` with subscriptions.

`on_message` only queues: the engine is never awaited in the read loop, or pongs would go unread and
a healthy client would be cut. One worker task per connection answers in order; requests with an id
may overtake each other.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import random
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from tornado.iostream import IOStream, StreamClosedError
from tornado.websocket import WebSocketClosedError

from analytics import messages
from analytics.api.doorman import Doorman
from analytics.api.handshake import Handshake
from analytics.api.sockets import CLOSE_GRACE_S, V1, Bucket, Close, Sockets
from analytics.api.tickets import Tickets
from analytics.errors import PlumblineError, RateLimited, TooLarge, ValidationError
from analytics.messages import (
    ErrorReply,
    Message,
    Ping,
    Pong,
    Request,
    Subscribe,
    Subscribed,
    Unsubscribe,
    Unsubscribed,
    Welcome,
)
from analytics.service import Service, faced

log = logging.getLogger(__name__)

ABUSE = 20  # refused messages in a row before the socket is closed
REPLY_FACTOR = 4  # answers may fill the buffer this far beyond what frames may
FLOOD_GRACE_S = 0.05  # what a flood has sent already is not read to its end


class AnalyticsSocket(Handshake):
    """One connection. Its own fields are slots, for there are thousands of these and a large dictionary costs."""

    __slots__ = (
        "_behind_since", "_bucket", "_cut", "_ending", "_heard_at", "_inbox", "_life", "_refused", "_shared_bucket",
        "_tasks", "_worker", "conn", "last_seen", "limits", "opened_at", "protocol", "subscriptions", "under_way",
    )  # fmt: skip

    def initialize(self, service: Service, doorman: Doorman, sockets: Sockets, tickets: Tickets) -> None:
        super().initialize(service, doorman, sockets, tickets)
        self.limits = limits = sockets.limits
        self.conn = secrets.token_hex(6)
        self.protocol: str | None = None  # Tornado forgets it when a close begins
        self.opened_at = self.last_seen = time.time()  # for people; how long it is silent goes by its own clock
        self._heard_at = time.monotonic()
        self.subscriptions: dict[str, Callable[[], None] | None] = {}
        self.under_way: set[asyncio.Task[None]] = set()
        # most sockets only listen: what answers is made when something is asked, and gone after it
        self._inbox: list[str | bytes] = []
        self._worker: asyncio.Task[None] | None = None
        self._bucket = Bucket(limits.messages_per_s, limits.burst)
        self._tasks: set[asyncio.Task[None]] = set()
        self._refused = 0
        self._behind_since: float | None = None
        self._ending = False
        self._cut: asyncio.Future[None] | None = None

    # the beginning

    @property
    def max_message_size(self) -> int:
        """Twice the limit: what is a little over it is answered, what is far over it is cut by Tornado."""
        return 2 * self.limits.message_bytes

    @property
    def ping_interval(self) -> float:
        return self.limits.ping_s

    @property
    def ping_timeout(self) -> float:
        """Never: `swept` counts any inbound byte as life, so a busy client whose pong is late is not cut."""
        return 0

    def open(self, *args: str, **kwargs: str) -> None:
        self.set_nodelay(True)
        self.protocol = self.selected_subprotocol
        if self._unwelcome is not None:
            self.end(*self._unwelcome)
            return
        self._shared_bucket = self.sockets.joined(self)
        life = self.limits.lifetime_s * random.uniform(0.9, 1.0)  # jitter: not all at once
        self._life = asyncio.get_running_loop().call_later(life, self.end, Close.LIFETIME, "lifetime is over")
        if self.protocol == V1:
            self._reply(
                Welcome(
                    v=1,
                    conn=self.conn,
                    epoch=self.service.hub.epoch,
                    ping_s=self.limits.ping_s,
                    limits={k: int(v) for k, v in msgspec.structs.asdict(self.limits).items()},
                    principal=self.principal.name,
                    token=self.token or msgspec.UNSET,
                )
            )

    # in

    def on_pong(self, data: bytes) -> None:
        self._seen()

    def on_ping(self, data: bytes) -> None:
        self._seen()
        if not self._ending and self._unwelcome is None:
            self._let_in(b"")

    def _seen(self) -> None:
        self.last_seen, self._heard_at = time.time(), time.monotonic()

    def on_message(self, message: str | bytes) -> Awaitable[None] | None:
        self._seen()
        if self._ending:
            if self._cut is None or self._cut.done():
                raise RateLimited("this socket is closed")  # or Tornado reads on in what has come already
            return self._cut  # no frame is read before
        if self._let_in(message):
            self._inbox.append(message)
            if self._worker is None:
                self._worker = self._start(self._work())
        return None

    def _let_in(self, message: str | bytes) -> bool:
        """Whether a frame is within the rates; one that is not is refused."""
        wait = self._bucket.take() or self._shared_bucket.take()
        if wait or len(self._inbox) >= self.limits.burst + self.limits.in_flight:
            refusal = RateLimited("too many messages", retry_after_ms=max(1, int(wait * 1000)))
            self._refuse(refusal, _id_in(message) if len(message) < 4096 else None)
            return False
        return True

    async def _work(self) -> None:
        while self._inbox and not self._ending:
            raw = self._inbox.pop(0)
            try:
                request = self._decoded(raw)
            except Exception as error:  # whatever it was, the next message must find its worker
                self._refuse(faced(error), _id_in(raw))
                continue
            self._refused = 0
            task = self._start(self._handle(request))
            self.under_way.add(task)
            task.add_done_callback(self.under_way.discard)
            if request.id is None or isinstance(request, Subscribe | Unsubscribe):
                await asyncio.wait([task])
            while len(self.under_way) >= self.limits.in_flight:
                await asyncio.wait(self.under_way, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.sleep(0)  # a chatty client must not starve the others
        self._worker = None

    def _decoded(self, raw: str | bytes) -> Request:
        size = len(raw) if isinstance(raw, bytes) else len(raw.encode("utf-8", "surrogatepass"))
        if size > self.limits.message_bytes:
            raise TooLarge(f"the message has {size:,} bytes, the limit is {self.limits.message_bytes:,}")
        return messages.decode(raw, plain=self.protocol != V1)

    async def _handle(self, request: Request) -> None:
        try:
            match request:
                case Ping():
                    self._reply(Pong(id=_answering(request.id), at=int(time.time() * 1000)))
                case Subscribe():
                    await self._subscribe(request)
                case Unsubscribe():
                    leave = self.subscriptions.pop(request.sub, None)
                    if leave is not None:
                        leave()
                    self._reply(Unsubscribed(id=_answering(request.id), sub=request.sub))
                case _:
                    self._reply(await self.service.answer(self.principal, request))
        except asyncio.CancelledError:
            raise
        except Exception as error:
            shown = faced(error, {"conn": self.conn, "principal": self.principal.name})
            self._reply(ErrorReply(id=_answering(request.id), error=shown.body(), sub=getattr(request, "sub", None)))

    async def _subscribe(self, message: Subscribe) -> None:
        if message.sub in self.subscriptions:
            raise ValidationError(f"there is a subscription {message.sub[:80]!r} already", hint="unsubscribe it first")
        if len(self.subscriptions) >= self.limits.subscriptions:
            raise RateLimited(f"this socket has {len(self.subscriptions)} subscriptions, the most it may have")
        self.subscriptions[message.sub] = None
        epoch = self.service.hub.epoch

        def ready(seq: int, recovered: bool) -> None:
            self._reply(
                Subscribed(id=_answering(message.id), sub=message.sub, epoch=epoch, seq=seq, recovered=recovered)
            )

        try:
            self.subscriptions[message.sub] = await self.service.subscribe(self.principal, message, self, ready)
        except BaseException:
            self.subscriptions.pop(message.sub, None)
            raise

    # out

    @property
    def buffered(self) -> int:
        """Bytes that the kernel has not taken yet."""
        stream = self.ws_connection.stream if self.ws_connection is not None else None
        return 0 if stream is None else len(stream._write_buffer)

    def send(self, data: bytes) -> bool:
        """Write one text message; False when the reader is too slow, and it was not taken."""
        if not self._listening():
            return True  # nobody is there to miss it
        if self.buffered > self.limits.buffer_bytes:
            if self._behind_since is None:
                self._behind_since = time.monotonic()
            return False
        self._behind_since = None
        self._write(data)
        return True

    def _listening(self) -> bool:
        return self.ws_connection is not None and not self._ending and not self.ws_connection.is_closing()

    def _write(self, data: bytes) -> None:
        with contextlib.suppress(WebSocketClosedError):
            future = self.write_message(data, binary=False)
            future.add_done_callback(_looked_at)  # or Tornado logs a traceback for each unsent message

    def overflow(self) -> None:
        self.end(Close.SLOW_READER, "reads too slowly for a log")

    def swept(self) -> None:
        """Cut a half-open or a hopelessly slow peer."""
        if time.monotonic() - self._heard_at > 2 * self.limits.ping_s + 1:
            self.end(Close.NO_PONG, "no sign of life")
        elif self._behind_since is not None and time.monotonic() - self._behind_since > self.limits.slow_s:
            self.end(Close.SLOW_READER, "reads too slowly")

    def described(self) -> dict[str, Any]:
        """This connection as plain data; times in ms since the epoch."""
        behind = self._behind_since
        state = "closing" if self._ending else "behind" if behind is not None else "open"
        return {
            "conn": self.conn,
            "key_id": self.principal.key_id,
            "principal": self.principal.name,
            "address": self.request.remote_ip,
            "protocol": self.protocol or "plain",
            "opened": int(self.opened_at * 1000),
            "last_seen": int(self.last_seen * 1000),
            "state": state,
            "subscriptions": sorted(self.subscriptions),
            "lag_s": 0.0 if behind is None else round(time.monotonic() - behind, 3),
            "buffered": self.buffered,
        }

    @property
    def ending(self) -> bool:
        """Whether it is closed or about to be."""
        return self._ending

    def end(self, code: int, reason: str) -> None:
        """Close with a code; a peer that does not answer (its buffer is full, its network gone) is cut."""
        if self._ending:
            return
        self._ending = True
        for leave in self.subscriptions.values():
            if leave is not None:
                leave()
        stream = self.ws_connection.stream if self.ws_connection is not None else None
        self.close(int(code), reason)
        if stream is not None:
            loop = asyncio.get_running_loop()
            self._cut = loop.create_future()
            grace = FLOOD_GRACE_S if code == Close.FLOOD else CLOSE_GRACE_S
            loop.call_later(grace, self._cut_off, stream)

    def _cut_off(self, stream: IOStream) -> None:
        stream.close()
        if self._cut is not None and not self._cut.done():
            self._cut.set_result(None)

    def _reply(self, message: Message) -> None:
        """What was asked for is never skipped; who asks and does not read is cut."""
        if self._listening():
            if self.buffered > REPLY_FACTOR * self.limits.buffer_bytes:
                self.end(Close.SLOW_READER, "does not read its answers")
            else:
                self._write(messages.encode(message))

    def _refuse(self, error: PlumblineError, id: str | int | None = None) -> None:
        self._reply(ErrorReply(id=_answering(id), error=error.body()))
        self._refused += 1
        if self._refused >= ABUSE:
            self.end(Close.FLOOD, "too many refused messages")

    # the end

    def on_close(self) -> None:
        self._ending = True
        if self._unwelcome is None and self in self.sockets.open:
            self._life.cancel()
        self.sockets.left(self)
        for leave in self.subscriptions.values():
            if leave is not None:
                leave()
        self.subscriptions.clear()
        for task in self._tasks:
            task.cancel()

    def _start(self, work: Any) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _answering(id: str | int | None) -> str | int | msgspec.UnsetType:
    return msgspec.UNSET if id is None else id


def _looked_at(future: asyncio.Future[None]) -> None:
    if not future.cancelled():
        error = future.exception()
        if error is not None and not isinstance(error, WebSocketClosedError | StreamClosedError):
            log.warning("a socket write failed: %s", type(error).__name__)


def _id_in(raw: str | bytes) -> str | int | None:
    """The id of a message that did not decode, where it can be read at all."""
    try:
        found = json.loads(raw).get("id")
        msgspec.json.encode(found)
    except (ValueError, AttributeError, RecursionError):
        return None
    return found if isinstance(found, str | int) and not isinstance(found, bool) else None
