"""HTTP for asyncio out of the standard library: kept-alive connections, each request on a thread of ours."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import socket
import ssl
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from analytics.client.faults import Unreachable, from_response
from analytics.errors import Timeout

THREADS = 4
Body = bytes | Callable[[], bytes] | None


class Http:
    """Belongs to one event loop. `url` is the server's base; `headers` go with every request."""

    def __init__(
        self, url: str, headers: dict[str, str], timeout_s: float, tls: ssl.SSLContext | None, name: str = "plumbline"
    ) -> None:
        self._parts = urlsplit(url)
        self._headers, self._timeout_s, self._tls = headers, timeout_s, tls
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix=f"{name}-http")
        self._idle: list[http.client.HTTPConnection] = []
        self._busy: set[http.client.HTTPConnection] = set()
        self._closed = False

    async def exchange(self, method: str, path: str, body: Body = None, **headers: str) -> bytes:
        """The body of a 2xx answer. A body that must be made first is made on the thread.

        Raises Unreachable, Timeout, and what the server answered.
        """
        if self._closed:
            raise Unreachable("the client is closed")
        sent = self._headers | {name.replace("_", "-"): value for name, value in headers.items()}
        while True:
            used = bool(self._idle)
            connection = self._idle.pop() if used else self._new()
            try:
                status, told, answer = await self._run(connection, method, path, body, sent)
            except Unreachable:
                if used:  # the server had hung up on an idle connection: a new one may do
                    continue
                raise
            if 200 <= status < 300:
                return answer
            raise from_response(status, told, answer)

    def close(self) -> None:
        """End all connections; requests under way fail."""
        self._closed = True
        for connection in self._busy:
            _cut(connection)
        for connection in self._idle:
            connection.close()
        self._idle.clear()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _new(self) -> http.client.HTTPConnection:
        host, port = self._parts.hostname or "", self._parts.port
        if self._parts.scheme == "https":
            return http.client.HTTPSConnection(host, port, timeout=self._timeout_s, context=self._tls)
        return http.client.HTTPConnection(host, port, timeout=self._timeout_s)

    async def _run(
        self, connection: http.client.HTTPConnection, method: str, path: str, body: Body, headers: dict[str, str]
    ) -> tuple[int, dict[str, str], bytes]:
        def work() -> tuple[int, dict[str, str], bytes]:
            connection.request(method, self._parts.path + path, body() if callable(body) else body, headers)
            with connection.getresponse() as response:
                return response.status, dict(response.headers), response.read()

        self._busy.add(connection)
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except BaseException as error:
            _cut(connection)  # the thread is free as soon as its socket is gone
            if isinstance(error, TimeoutError):
                raise Timeout(f"no answer to {method} {path} within {self._timeout_s:g} s") from None
            if isinstance(error, OSError | http.client.HTTPException):
                raise Unreachable(str(error) or type(error).__name__) from None
            raise
        finally:
            self._busy.discard(connection)
        self._idle.append(connection)
        return answer


def _cut(connection: http.client.HTTPConnection) -> None:
    if connection.sock is not None:
        with contextlib.suppress(OSError):
            connection.sock.shutdown(socket.SHUT_RDWR)
    connection.close()
