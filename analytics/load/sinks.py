"""Where the rows of a load go: into the store of this process, or to a server over its API."""

from __future__ import annotations

import asyncio
import http.client
import json
import time
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar
from urllib.parse import quote, urlsplit

import msgspec
import pyarrow as pa

from analytics import errors
from analytics.errors import Overloaded, PlumblineError
from analytics.load.run import Declaration, Kept
from analytics.rights import Principal
from analytics.store.base import Ack

PATIENCE_S = 120.0  # for a store whose queue is full
ARROW = "application/vnd.apache.arrow.stream"
T = TypeVar("T")


class Verbs(Protocol):
    """What is needed of the service."""

    async def declare(self, principal: Principal, dataset: str, declaration: Declaration) -> bool: ...
    async def keep(self, principal: Principal, dataset: str, table: pa.Table) -> Ack: ...
    async def forget(self, principal: Principal, dataset: str) -> None: ...


class ServiceSink:
    """Calls the service of an event loop from a load's own thread."""

    def __init__(self, service: Verbs, principal: Principal, loop: asyncio.AbstractEventLoop) -> None:
        self._service, self._principal, self._loop = service, principal, loop

    def declare(self, dataset: str, declaration: Declaration) -> bool:
        return self._call(self._service.declare(self._principal, dataset, declaration))

    def append(self, dataset: str, table: pa.Table) -> Kept:
        ack = patient(lambda: self._call(self._service.keep(self._principal, dataset, table)))
        return Kept(ack.accepted, ack.repeated)

    def forget(self, dataset: str) -> None:
        self._call(self._service.forget(self._principal, dataset))

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


class ServerSink:
    """Sends rows as Arrow to a running server."""

    def __init__(self, url: str, key: str) -> None:
        where = urlsplit(url)
        kind = http.client.HTTPSConnection if where.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(where.hostname or "127.0.0.1", where.port, timeout=60)
        self._key = key

    def declare(self, dataset: str, declaration: Declaration) -> bool:
        body = msgspec.json.encode(declaration)
        return bool(self.call("PUT", f"/api/datasets/{quote(dataset)}", body, "application/json")["new"])

    def append(self, dataset: str, table: pa.Table) -> Kept:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        body = sink.getvalue().to_pybytes()
        answer = patient(lambda: self.call("POST", f"/api/ingest/{quote(dataset)}", body, ARROW))
        return Kept(answer["accepted"], answer["repeated"])

    def forget(self, dataset: str) -> None:
        self.call("DELETE", f"/api/datasets/{quote(dataset)}")

    def call(self, method: str, path: str, body: bytes | None = None, media: str = "application/json") -> Any:
        """One request. Raises the PlumblineError that the server answers, or Overloaded where it does not answer."""
        headers = {"X-API-Key": self._key} | ({"Content-Type": media} if body is not None else {})
        try:
            self._connection.request(method, path, body, headers)
            reply = self._connection.getresponse()
            raw = reply.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise Gone(
                f"the server does not answer: {error}", hint="load again: what is kept is not kept twice"
            ) from None
        if reply.status >= 400:
            raise _error(reply.status, raw)
        return json.loads(raw) if raw else None

    def close(self) -> None:
        self._connection.close()


class Gone(PlumblineError):
    """The server went away."""

    code, status, title = "INTERNAL", 500, "The server does not answer"


def patient(work: Callable[[], T]) -> T:
    """Try again while the store's queue is full. Raises what `work` raises."""
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            return work()
        except Overloaded:
            if time.monotonic() > until:
                raise
            time.sleep(0.2)


def _error(status: int, raw: bytes) -> PlumblineError:
    try:
        problem = json.loads(raw)
    except ValueError:
        problem = {}
    kinds = {c.code: c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, PlumblineError)}
    kind = kinds.get(problem.get("code", ""), PlumblineError)
    return kind(problem.get("detail") or f"the server answered {status}", hint=problem.get("hint"))
