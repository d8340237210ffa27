"""Client: an AsyncClient on an event loop of its own, in a thread of its own.

Nothing is written twice: each method here is one of aio's, turned by `blocking`, `direct` or `facing`, with its
signature and docstring. Every method may be called from any thread. Callbacks run one after the other on a
second thread, so they may call the client and take their time.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import inspect
import logging
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

from analytics.client.aio import AsyncClient
from analytics.client.core import State
from analytics.client.faults import Unreachable
from analytics.client.results import Update
from analytics.client.sender import Report, Sender
from analytics.client.streams import Subscription

log = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
F = TypeVar("F")
Held = TypeVar("Held", covariant=True)
END: Any = object()


class Bridge:
    """A thread with a running event loop, and a thread for callbacks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.open = True
        self._ready: concurrent.futures.Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = (
            concurrent.futures.Future()
        )
        self._callbacks = ThreadPoolExecutor(1, thread_name_prefix="plumbline-callbacks")
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), name="plumbline", daemon=True)
        self._thread.start()
        self._loop, self._stop = self._ready.result()

    async def _main(self) -> None:
        stop = asyncio.Event()
        self._ready.set_result((asyncio.get_running_loop(), stop))
        await stop.wait()

    def run(self, work: Callable[[], Awaitable[R]]) -> R:
        """Do it in the loop and wait. Raises what it raises, and Unreachable after the end."""
        if threading.current_thread() is self._thread:
            raise RuntimeError("this would wait for itself: await the AsyncClient instead")

        async def step() -> R:
            return await work()

        with self._lock:  # whatever got in before the end is still heard
            if not self.open:
                raise Unreachable("the client is closed")
            future = asyncio.run_coroutine_threadsafe(step(), self._loop)
        try:
            return future.result()
        except concurrent.futures.CancelledError:
            raise Unreachable("the client is closed") from None
        except BaseException:
            future.cancel()  # Ctrl-C: the work is not wanted any more
            raise

    def calling(self, callback: Callable[[Any], Any]) -> Callable[[Any], Awaitable[Any]]:
        """The same callback for the loop: runs on the callbacks' thread, done when that is done."""

        def guarded(value: Any) -> None:
            try:
                callback(value)
            except Exception:
                log.exception("a callback failed")

        def call(value: Any) -> Awaitable[Any]:
            try:
                return asyncio.wrap_future(self._callbacks.submit(guarded, value))
            except RuntimeError:  # closed meanwhile
                return asyncio.sleep(0)

        return call

    def close(self, last: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Do the last thing, then end both threads. Twice is once."""
        with self._lock:
            if not self.open:
                return
            self.open = False
            future = asyncio.run_coroutine_threadsafe(last(), self._loop)
        try:
            future.result()
        finally:
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()
            self._callbacks.shutdown(wait=False)


class Face(Generic[Held]):
    """The blocking side of one object that lives in the loop."""

    def __init__(self, inner: Held, bridge: Bridge) -> None:
        self._inner, self._bridge = inner, bridge

    def __repr__(self) -> str:
        return repr(self._inner).replace("AsyncClient", "Client")


def following(self: Face[AsyncIterator[R]]) -> R:
    """The next item. Waits for it; StopIteration at the end."""
    item = self._bridge.run(lambda: anext(self._inner, END)) if self._bridge.open else END
    if item is END:
        raise StopIteration
    return item


class Stream(Face[AsyncIterator[R]], Generic[R]):
    """The blocking side of an async iterator."""

    __next__ = following

    def __iter__(self) -> Iterator[R]:
        return self


def blocking(method: Callable[Concatenate[T, P], Awaitable[R]]) -> Callable[Concatenate[Face[T], P], R]:
    """A coroutine method, waited for."""

    @functools.wraps(method)
    def call(self: Face[T], /, *args: P.args, **kwargs: P.kwargs) -> R:
        return self._bridge.run(lambda: method(self._inner, *args, **kwargs))

    return call


def direct(method: Callable[Concatenate[T, P], R]) -> Callable[Concatenate[Face[T], P], R]:
    """A plain method, called inside the loop; functions given to it are called back outside."""

    @functools.wraps(method)
    def call(self: Face[T], /, *args: P.args, **kwargs: P.kwargs) -> R:
        back = self._bridge.calling
        given: Any = [back(a) if callable(a) else a for a in args]
        named: Any = {name: back(a) if callable(a) else a for name, a in kwargs.items()}

        async def work() -> R:
            return method(self._inner, *given, **named)

        return self._bridge.run(work)

    return call


def facing(
    method: Callable[Concatenate[T, P], R], face: Callable[[R, Bridge], F]
) -> Callable[Concatenate[Face[T], P], F]:
    """A plain method whose result lives in the loop too and gets a face of its own."""
    inside = direct(method)

    @functools.wraps(method)
    def call(self: Face[T], /, *args: P.args, **kwargs: P.kwargs) -> F:
        return face(inside(self, *args, **kwargs), self._bridge)

    call.__signature__ = inspect.signature(method).replace(return_annotation=face)  # type: ignore[attr-defined]
    return call


def built(init: Callable[Concatenate[AsyncClient, P], None]) -> Callable[Concatenate[Client, P], None]:
    """The constructor, with the same arguments."""

    @functools.wraps(init)
    def call(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> None:
        Face.__init__(self, AsyncClient(*args, **kwargs), Bridge())  # type: ignore[arg-type]

    return call


class SyncSubscription(Face[Subscription]):
    """An iterator of Update, as Subscription is an async one."""

    __next__ = following
    close = direct(Subscription.close)

    def __iter__(self) -> Iterator[Update]:
        return self

    def __enter__(self) -> SyncSubscription:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class SyncSender(Face[Sender]):
    """A Sender whose methods wait."""

    send = blocking(Sender.send)
    flush = blocking(Sender.flush)
    close = blocking(Sender.close)

    @property
    def report(self) -> Report:
        """What became of the events so far."""
        return self._inner.report

    def __enter__(self) -> SyncSender:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class Client(Face[AsyncClient]):
    __doc__ = AsyncClient.__doc__
    __init__ = built(AsyncClient.__init__)

    connect = blocking(AsyncClient.connect)
    query = blocking(AsyncClient.query)
    table = blocking(AsyncClient.table)
    flow_analytics = blocking(AsyncClient.flow_analytics)
    resource_analytics = blocking(AsyncClient.resource_analytics)
    agent_analytics = blocking(AsyncClient.agent_analytics)
    board = blocking(AsyncClient.board)
    ping = blocking(AsyncClient.ping)
    catalogue = blocking(AsyncClient.catalogue)
    ingest = blocking(AsyncClient.ingest)
    sender = facing(AsyncClient.sender, SyncSender)
    subscribe = facing(AsyncClient.subscribe, SyncSubscription)
    states = facing(AsyncClient.states, Stream[State])
    on_state = direct(AsyncClient.on_state)

    @property
    def url(self) -> str:
        """The server's base address."""
        return self._inner.url

    @property
    def state(self) -> State:
        """idle, connecting, connected, reconnecting(reason, attempt), closed or failed(reason)."""
        return self._inner.state

    def close(self) -> None:
        self._bridge.close(self._inner.close)

    close.__doc__ = AsyncClient.close.__doc__

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
