"""AsyncClient: the core's decisions carried out with asyncio, one socket and kept-alive HTTP."""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from datetime import datetime
from functools import partial
from random import Random
from typing import Any, Literal
from weakref import WeakSet

import msgspec

from analytics.client.arguments import Filters, WindowLike, base, checked, filtered, listed, windowed
from analytics.client.core import Core, State
from analytics.client.faults import fresh
from analytics.client.http import Http
from analytics.client.link import Link
from analytics.client.paging import followed
from analytics.client.results import Accepted, Drop, Result, Update
from analytics.client.retrying import Retrying
from analytics.client.sender import Sender, Stamp
from analytics.client.streams import States, Subscription, delivered
from analytics.client.topics import Mode
from analytics.errors import PlumblineError, Timeout
from analytics.messages import (
    AgentAnalytics,
    AnalyticsUpdate,
    BoardRequest,
    Compare,
    FlowAnalytics,
    Flows,
    Message,
    Ping,
    QueryRequest,
    Question,
    Request,
    ResourceAnalytics,
    Rows,
)

log = logging.getLogger(__name__)


class AsyncClient:
    """A connection to one Plumbline server, made when it is first needed and kept alive until `close`.

    url: http, https, ws or wss. key: an API key; without one, the variable PLUMBLINE_KEY.
    timeout_s: the longest any call waits; then it raises Timeout.
    reconnect: True for ever, "bounded" up to `attempts` times in a row, False never.
    retries: how often one request is repeated at most; all together about a tenth of the requests.
    tls: for a server whose certificate is not signed by a public authority.
    """

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        timeout_s: float = 10.0,
        retries: int = 3,
        reconnect: bool | Literal["bounded"] = True,
        attempts: int = 10,
        tls: ssl.SSLContext | None = None,
        random: Random | None = None,
    ) -> None:
        self.url = base(url)
        headers = {"Authorization": f"Bearer {checked(key)}"}  # websockets strips it on a redirect to elsewhere
        if tls is None and self.url.startswith("https"):
            tls = ssl.create_default_context()
        self._timeout_s = timeout_s
        stirred = asyncio.Event()
        self._core = Core(
            random=random or Random(),
            clock=time.monotonic,
            attempts=None if reconnect is True else attempts if reconnect == "bounded" else 0,
            retries=retries,
            on_state=self._tell,
            stir=stirred.set,
        )
        self._link = Link(self._core, stirred, url=self.url, headers=headers, timeout_s=timeout_s, tls=tls)
        self._http = Http(self.url, headers, timeout_s, tls)
        self._retrying = Retrying(self._http, self._core, timeout_s)
        self._callbacks: dict[object, Callable[[State], Any]] = {}
        self._watchers: WeakSet[States] = WeakSet()
        self._runner: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._senders: WeakSet[Sender] = WeakSet()
        self._stamp = Stamp()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r}, {self.state})"

    # the connection

    @property
    def state(self) -> State:
        """idle, connecting, connected, reconnecting(reason, attempt), closed or failed(reason)."""
        return self._core.state

    def on_state(self, callback: Callable[[State], Any]) -> Callable[[], None]:
        """Call back with every change of the state. Returns the way to stop that."""
        token = object()
        self._callbacks[token] = callback
        return lambda: self._callbacks.pop(token, None) and None

    def states(self) -> AsyncIterator[State]:
        """The state now and after every change, until it is closed or failed."""
        watcher = States(self._core.state)
        self._watchers.add(watcher)
        return watcher

    async def connect(self) -> None:
        """Connect now rather than with the first call; also after it failed. Raises Timeout, or why it failed."""
        if self.state.name == "failed":
            self._core.connecting()
        self._start()
        try:
            async with asyncio.timeout(self._timeout_s):
                async for state in self.states():
                    if state.name == "connected":
                        return
        except TimeoutError:
            raise self._too_late() from None
        assert self._core.error is not None
        raise fresh(self._core.error)

    async def close(self) -> None:
        """Flush the senders, end subscriptions and connection. Calls that wait raise Unreachable."""
        for sender in list(self._senders):
            await sender.close()
        if self.state.name != "closed":
            self._core.close()
        ending = [*self._tasks, *([self._runner] if self._runner else [])]
        for task in ending:
            if task is not asyncio.current_task():
                task.cancel()
        await asyncio.gather(*(t for t in ending if t is not asyncio.current_task()), return_exceptions=True)
        self._http.close()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    # questions

    async def query(
        self,
        metrics: str | Sequence[str],
        *,
        window: WindowLike = None,
        grain: str | None = None,
        group_by: str | Sequence[str] = (),
        filters: Filters = (),
        compare: Compare | None = None,
        limit: int | None = None,
        as_of: datetime | None = None,
        domain: str | None = None,
        dataset: str | None = None,
    ) -> Result:
        """Any metrics over a window. Without a grain there is one row per group, with one a `time` column.

        window: "now-1h", "now/d", or a pair (start, end) of those, RFC 3339 or aware datetimes.
        filters: {dimension: value or list of values}, or a list of Filter.
        """
        request = QueryRequest(
            metrics=listed(metrics),
            window=windowed(window),
            grain=grain,
            group_by=listed(group_by),
            filters=filtered(filters),
            compare=compare,
            limit=limit,
            as_of=as_of,
            domain=domain,
            dataset=dataset,
        )
        return (await self._ask(request)).result()

    async def table(self, request: QueryRequest | Flows | Rows, *, max_rows: int = 100_000) -> Result:
        """All rows of a message: flows and rows are followed from page to page; `next` is set where there are more."""
        return await followed(self._ask, request, max_rows)

    async def flow_analytics(
        self,
        flow_id: str | None = None,
        domain: str | None = None,
        window: WindowLike = None,
        *,
        filters: Filters = (),
    ) -> Update:
        """How flows do: one by its id, or all of them and the leaders. Raises NotFound naming the nearest."""
        return await self._ask(
            FlowAnalytics(flow_id=flow_id, domain=domain, window=windowed(window), filters=filtered(filters))
        )

    async def resource_analytics(
        self,
        resource_id: str | None = None,
        domain: str | None = None,
        window: WindowLike = None,
        *,
        filters: Filters = (),
    ) -> Update:
        """What is consumed: one resource by its id, or all of them. Raises NotFound naming the nearest."""
        return await self._ask(
            ResourceAnalytics(
                resource_id=resource_id, domain=domain, window=windowed(window), filters=filtered(filters)
            )
        )

    async def agent_analytics(
        self,
        agent_id: str | None = None,
        domain: str | None = None,
        window: WindowLike = None,
        *,
        filters: Filters = (),
    ) -> Update:
        """How agents do: one by its name, or all of them and the leaders. Raises NotFound naming the nearest."""
        return await self._ask(
            AgentAnalytics(agent_id=agent_id, domain=domain, window=windowed(window), filters=filtered(filters))
        )

    async def board(
        self,
        name: str,
        *,
        window: WindowLike = None,
        compare: Compare | Literal["off"] = "previous",
        grain: str | None = None,
        filters: Filters = (),
        domain: str | None = None,
        as_of: datetime | None = None,
        tiles: list[dict[str, Any]] | None = None,
    ) -> Update:
        """All tiles of one board: `analytics["tiles"][id]` has its head and columns. With `tiles`, of no file's."""
        return await self._ask(
            BoardRequest(
                board=name,
                window=windowed(window),
                compare=compare,
                grain=grain,
                filters=filtered(filters),
                domain=domain,
                as_of=as_of,
                tiles=tiles,
            )
        )

    async def ping(self) -> float:
        """Seconds to the server and back, over the socket."""
        started = time.perf_counter()
        await self._call(Ping())
        return time.perf_counter() - started

    async def catalogue(
        self, what: Literal["datasets", "dimensions", "metrics", "boards"] = "metrics"
    ) -> list[dict[str, Any]]:
        """What is declared on the server and visible to this key."""
        found: list[dict[str, Any]] = msgspec.json.decode(await self._retrying.exchange("GET", f"/api/{what}"))
        return found

    # streams

    def subscribe(
        self, request: Question, *, mode: Mode = "latest", on_update: Callable[[Update], Any] | None = None
    ) -> Subscription:
        """Answers to `request` now and whenever they change, across reconnects, until closed.

        request: BoardRequest, QueryRequest, FlowAnalytics, AgentAnalytics or ResourceAnalytics.
        Iterate over what this returns, best inside `with`; or give `on_update`, and do not iterate.
        latest: a slow reader gets the newest and how many were dropped. log: every one, or an error.
        Of a board each Update is its whole state.
        """
        self._start()
        subscription = Subscription(self._core, request, mode, self._timeout_s)
        if on_update is not None:
            task = asyncio.create_task(delivered(subscription, on_update), name="plumbline-updates")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return subscription

    # events

    async def ingest(self, events: Iterable[dict[str, Any]], dataset: str = "events") -> Accepted:
        """Send events in one request; they are durable when this returns.

        An event without an event_id gets one, so that the retries of this call cannot count it twice.
        """
        lines = [self._stamp.line(event) for event in events]
        return await self._retrying.ingest(dataset, lines)

    def sender(
        self,
        dataset: str = "events",
        *,
        max_events: int = 1_000,
        max_bytes: int = 512 << 10,
        max_age_s: float = 1.0,
        buffer: int = 20_000,
        on_dropped: Callable[[Drop], Any] | None = None,
    ) -> Sender:
        """A sender that collects events into batches: sent at `max_events`, `max_bytes` or `max_age_s`.

        It holds up to `buffer` events while the server is away or full. Close it, or use `with`.
        on_dropped: called with each Drop, the server's and our own.
        """
        if self._core.error is not None and self.state.name == "closed":
            raise fresh(self._core.error)
        sender = Sender(
            self._retrying.ingest_once,
            dataset,
            self._core.backoff,
            max_events=max_events,
            max_bytes=max_bytes,
            max_age_s=max_age_s,
            buffer=buffer,
            timeout_s=self._timeout_s,
            on_dropped=on_dropped,
        )
        self._senders.add(sender)
        return sender

    # one request

    async def _ask(self, request: Question) -> Update:
        reply = await self._call(request)
        assert isinstance(reply, AnalyticsUpdate)
        return Update.of(reply)

    async def _call(self, request: Request) -> Message:
        self._start()
        future: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        number = self._core.call(request, partial(_settle, future), deadline=time.monotonic() + self._timeout_s)
        try:
            async with asyncio.timeout(self._timeout_s):
                return await future
        except TimeoutError:
            raise self._too_late() from None
        finally:
            self._core.forget(number)

    def _too_late(self) -> Timeout:
        return Timeout(f"no answer within {self._timeout_s:g} s; the connection is {self.state}")

    # the socket

    def _start(self) -> None:
        if self._core.error is not None:
            raise fresh(self._core.error)
        if self._runner is None or self._runner.done():
            self._core.connecting()
            self._runner = asyncio.create_task(self._link.run(), name="plumbline-client")

    def _tell(self, state: State) -> None:
        for watcher in list(self._watchers):
            watcher.put(state)
        for callback in list(self._callbacks.values()):
            try:
                callback(state)
            except Exception:
                log.exception("on_state failed")


def _settle(future: asyncio.Future[Message], reply: Message | PlumblineError) -> None:
    if future.done():
        return
    if isinstance(reply, PlumblineError):
        future.set_exception(reply)
    else:
        future.set_result(reply)
