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
import secrets
import time
from collections.abc import Callable
from typing import Any

import msgspec
from tornado.iostream import StreamClosedError
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from analytics import messages
from analytics.api.doorman import Doorman
from analytics.errors import PlumblineError, RateLimited, ValidationError
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
from analytics.rights import Principal
from analytics.service import Service, faced

log = logging.getLogger(__name__)

V1 = "analytics.v1"
DRAIN = 4001
FLOOD = 4029
ABUSE = 20  # refused messages in a row before the socket is closed


class SocketLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of one socket; each is a setting."""

    message_bytes: int = 64 << 10
    subscriptions: int = 100
    in_flight: int = 16
    messages_per_s: int = 20
    burst: int = 40
    buffer_bytes: int = 256 << 10
    ping_s: float = 20.0


class Sockets:
    """The open sockets, so that a drain can close each of them properly."""

    def __init__(self) -> None:
        self.open: set[AnalyticsSocket] = set()
        self._emptied = asyncio.Event()

    def left(self, socket: AnalyticsSocket) -> None:
        self.open.discard(socket)
        if not self.open:
            self._emptied.set()

    async def drain(self, reconnect_after_ms: int = 1000, grace_s: float = 2.0) -> None:
        """Tell everyone, close with 4001, and wait until they are gone or the grace is over."""
        going = messages.encode(messages.GoingAway(reconnect_after_ms=reconnect_after_ms))
        for socket in list(self.open):
            if socket.selected_subprotocol == V1:
                socket.send(going)
            socket.close(DRAIN, "draining")
        if self.open:
            self._emptied.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._emptied.wait(), grace_s)


class Bucket:
    """A token bucket: `rate` messages a second, `burst` at once."""

    def __init__(self, rate: float, burst: int) -> None:
        self._rate, self._burst, self._level, self._at = rate, burst, float(burst), time.monotonic()

    def take(self) -> float:
        """0 when there was a token, else the seconds until there is one."""
        now = time.monotonic()
        self._level = min(self._burst, self._level + (now - self._at) * self._rate)
        self._at = now
        if self._level >= 1:
            self._level -= 1
            return 0.0
        return (1 - self._level) / self._rate


class AnalyticsSocket(WebSocketHandler):
    """One connection."""

    def initialize(self, service: Service, doorman: Doorman, sockets: Sockets, limits: SocketLimits) -> None:
        self.service = service
        self.doorman = doorman
        self.sockets = sockets
        self.limits = limits
        self.principal: Principal
        self.conn = secrets.token_hex(6)
        self.subscriptions: dict[str, Callable[[], None] | None] = {}
        self._inbox: asyncio.Queue[str | bytes] = asyncio.Queue(limits.burst + limits.in_flight)
        self._bucket = Bucket(limits.messages_per_s, limits.burst)
        self._tasks: set[asyncio.Task[None]] = set()
        self._refused = 0

    # the handshake

    def prepare(self) -> None:
        self.principal = self.doorman.principal(self.request)
        self.principal.require("read")

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        error = kwargs.get("exc_info", (None, None))[1]
        shown = faced(error) if isinstance(error, PlumblineError) else None
        problem = shown.problem() if shown else {"type": "about:blank", "title": self._reason, "status": status_code}
        self.set_status(shown.status if shown else status_code)
        self.set_header("Content-Type", "application/problem+json")
        self.finish(msgspec.json.encode(problem))

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        if not isinstance(value, PlumblineError):
            super().log_exception(typ, value, tb)

    def check_origin(self, origin: str) -> bool:
        return self.doorman.key_in(self.request) is not None or self.doorman.origin_allowed(self.request)

    def select_subprotocol(self, subprotocols: list[str]) -> str | None:
        return V1 if V1 in subprotocols else None

    @property
    def max_message_size(self) -> int:
        """Twice the limit: what is a little over it is answered, what is far over it is cut by Tornado."""
        return 2 * self.limits.message_bytes

    @property
    def ping_interval(self) -> float:
        return self.limits.ping_s

    @property
    def ping_timeout(self) -> float:
        return self.limits.ping_s

    def open(self, *args: str, **kwargs: str) -> None:
        self.set_nodelay(True)
        self.sockets.open.add(self)
        self._start(self._work())
        if self.selected_subprotocol == V1:
            limits = {k: int(v) for k, v in msgspec.structs.asdict(self.limits).items()}
            self._reply(
                Welcome(
                    v=1,
                    conn=self.conn,
                    epoch=self.service.hub.epoch,
                    ping_s=self.limits.ping_s,
                    limits=limits,
                    principal=self.principal.name,
                )
            )

    # in

    def on_message(self, message: str | bytes) -> None:
        wait = self._bucket.take()
        if wait or self._inbox.full():
            self._refuse(RateLimited("too many messages", retry_after_ms=max(1, int(wait * 1000))))
            return
        self._inbox.put_nowait(message)

    async def _work(self) -> None:
        gate = asyncio.Semaphore(self.limits.in_flight)
        while True:
            raw = await self._inbox.get()
            try:
                request = self._decoded(raw)
            except PlumblineError as error:
                self._refuse(error, _id_in(raw))
                continue
            self._refused = 0
            if request.id is None or isinstance(request, Subscribe | Unsubscribe):
                await self._handle(request)
            else:
                await gate.acquire()
                self._start(self._handle(request)).add_done_callback(lambda _: gate.release())
            await asyncio.sleep(0)  # a chatty client must not starve the others

    def _decoded(self, raw: str | bytes) -> Request:
        size = len(raw) if isinstance(raw, bytes) else len(raw.encode("utf-8", "surrogatepass"))
        if size > self.limits.message_bytes:
            raise ValidationError(f"the message has {size:,} bytes, the limit is {self.limits.message_bytes:,}")
        return messages.decode(raw, plain=self.selected_subprotocol != V1)

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
            self._reply(
                ErrorReply(id=_answering(request.id), error=faced(error).body(), sub=getattr(request, "sub", None))
            )

    async def _subscribe(self, message: Subscribe) -> None:
        if message.sub in self.subscriptions:
            raise ValidationError(f"there is a subscription {message.sub[:80]!r} already", hint="unsubscribe it first")
        if len(self.subscriptions) >= self.limits.subscriptions:
            raise RateLimited(f"this socket has {len(self.subscriptions)} subscriptions, the most it may have")
        self.subscriptions[message.sub] = None
        epoch = self.service.hub.epoch

        def ready(seq: int) -> None:
            self._reply(Subscribed(id=_answering(message.id), sub=message.sub, epoch=epoch, seq=seq, recovered=False))

        try:
            self.subscriptions[message.sub] = await self.service.subscribe(self.principal, message, self, ready)
        except BaseException:
            self.subscriptions.pop(message.sub, None)
            raise

    # out

    def send(self, data: bytes) -> bool:
        """Write one text message; False when the reader is too slow or gone, and it was not taken."""
        connection = self.ws_connection
        if connection is None or connection.is_closing():
            return True  # nobody is there to miss it
        stream = connection.stream
        if stream is not None and len(stream._write_buffer) > self.limits.buffer_bytes:
            return False
        try:
            future = self.write_message(data, binary=False)
        except WebSocketClosedError:
            return True
        future.add_done_callback(_looked_at)  # or Tornado logs a traceback for each unsent message
        return True

    def _reply(self, message: Message) -> None:
        self.send(messages.encode(message))

    def _refuse(self, error: PlumblineError, id: str | int | None = None) -> None:
        self._reply(ErrorReply(id=_answering(id), error=error.body()))
        self._refused += 1
        if self._refused >= ABUSE:
            self.close(FLOOD, "too many refused messages")

    # the end

    def on_close(self) -> None:
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
    except (ValueError, AttributeError, RecursionError):
        return None
    return found if isinstance(found, str | int) and not isinstance(found, bool) else None
