"""Is it alive, is it able to answer, how does it feel, and who is connected.

`/healthz`, `/readyz` and `/metrics` are open: they name no key, no address and no path.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping

import msgspec
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from analytics.api.doorman import Doorman
from analytics.api.http import ApiHandler
from analytics.api.sockets import Sockets
from analytics.errors import NotFound, PlumblineError, ValidationError
from analytics.service import Service
from analytics.store.base import Store
from analytics.telemetry import Telemetry

STORE_S = 1.0  # the store answers `select 1` within
WRITER_S = 10.0  # rows wait at most so long for their commit
HUB_S = 5.0  # live boards are at most so late
DISK_BYTES = 256 << 20  # the least room
MOST = 10_000  # connections in one list
AGAIN_S = 0.5  # one look serves everyone who asks so soon after it


class Part(msgspec.Struct, frozen=True):
    """Whether one part does its work, and why not."""

    ok: bool
    reason: str


class Readiness:
    """Looks at every part of PARTS. hub: `Hub.stats`. disk_free: bytes. workspace_error: `Workspaces.error`."""

    def __init__(
        self,
        *,
        store: Store,
        hub: Callable[[], Mapping[str, float]],
        disk_free: Callable[[], int],
        workspace_error: Callable[[], str | None],
    ) -> None:
        self.store, self.hub, self.disk_free, self.workspace_error = store, hub, disk_free, workspace_error
        self._looking = asyncio.Lock()
        self._found: dict[str, Part] = {}
        self._found_at = float("-inf")

    async def parts(self) -> dict[str, Part]:
        """Every part by name; a part that cannot be looked at is not ok."""
        async with self._looking:
            if time.monotonic() - self._found_at > AGAIN_S:
                self._found = {name: await _looked(look(self)) for name, look in PARTS.items()}
                self._found_at = time.monotonic()
            return self._found


async def _looked(look: Awaitable[Part]) -> Part:
    try:
        return await look
    except PlumblineError as error:
        return Part(False, error.message)
    except OSError as error:
        return Part(False, error.strerror or "the system refused to say")


async def store(ready: Readiness) -> Part:
    """The engine answers."""
    started = time.perf_counter()
    await ready.store.read("select 1 as one", deadline_s=STORE_S)
    return Part(True, f"answered in {(time.perf_counter() - started) * 1000:.0f} ms")


async def writer(ready: Readiness) -> Part:
    """What is accepted gets committed."""
    stats = ready.store.stats()
    rows, waited = stats["queue_rows"], stats["queue_s"]
    return Part(waited <= WRITER_S, f"{rows:,} rows wait, the oldest for {waited:.1f} s" if rows else "nothing waits")


async def hub(ready: Readiness) -> Part:
    """Live boards tick in time."""
    stats = ready.hub()
    late = max(stats["late_s"], stats["tick_s"])
    if late > HUB_S:
        return Part(False, f"live boards are {late:.1f} s late")
    return Part(True, f"the last tick took {stats['tick_s'] * 1000:.0f} ms")


async def disk(ready: Readiness) -> Part:
    """There is room for what will be accepted."""
    free = ready.disk_free()
    return Part(free >= DISK_BYTES, f"{free / 1e9:,.1f} GB free" if free >= 1e9 else f"{free / 1e6:,.0f} MB free")


async def workspace(ready: Readiness) -> Part:
    """The files say what is in use. What is wrong with them is on every board, for those who may see one."""
    if ready.workspace_error() is None:
        return Part(True, "its files are in use")
    return Part(False, "a file has an error; the last good version is in use")


PARTS: Mapping[str, Callable[[Readiness], Awaitable[Part]]] = {
    "store": store,
    "writer": writer,
    "hub": hub,
    "disk": disk,
    "workspace": workspace,
}


class OpenHandler(ApiHandler):
    """A handler that needs no key."""

    def prepare(self) -> None:
        pass


class HealthHandler(OpenHandler):
    """GET /healthz: the process is alive. Says nothing else."""

    def get(self) -> None:
        self.send({"status": "ok"})


class ReadyHandler(OpenHandler):
    """GET /readyz: 200 when every part is ok, else 503; each part with its reason."""

    def initialize(self, service: Service, doorman: Doorman, readiness: Readiness) -> None:  # type: ignore[override]
        super().initialize(service, doorman)
        self._readiness = readiness

    async def get(self) -> None:
        parts = await self._readiness.parts()
        ready = all(part.ok for part in parts.values())
        self.send({"status": "ready" if ready else "not ready", "parts": parts}, 200 if ready else 503)


class MetricsHandler(OpenHandler):
    """GET /metrics: the figures of analytics.telemetry, for scrapers."""

    def initialize(self, service: Service, doorman: Doorman, telemetry: Telemetry) -> None:  # type: ignore[override]
        super().initialize(service, doorman)
        self._telemetry = telemetry

    def get(self) -> None:
        text = self._telemetry.text()
        self.set_header("Content-Type", CONTENT_TYPE_LATEST)
        self.finish(text)


class ConnectionsHandler(ApiHandler):
    """GET /api/connections?limit= (the slowest first), GET and DELETE /api/connections/CONN, for administrators."""

    scope = "admin"

    def initialize(self, service: Service, doorman: Doorman, sockets: Sockets) -> None:  # type: ignore[override]
        super().initialize(service, doorman)
        self._sockets = sockets

    def get(self, conn: str | None = None) -> None:
        found = self._sockets.list()
        if conn is None:
            slowest = sorted(found, key=lambda c: (-c["lag_s"], -c["buffered"], c["opened"], c["conn"]))
            now = int(time.time() * 1000)
            self.send({"now": now, "total": len(found), "connections": slowest[: self._limit()]})
            return
        one = next((c for c in found if c["conn"] == conn), None)
        if one is None:
            raise _no_such(conn)
        self.send(one)

    def _limit(self) -> int:
        text = self.get_query_argument("limit", "1000")
        if not text.isdecimal() or not 1 <= int(text[:9]) <= MOST:
            raise ValidationError(f"limit: expected 1 to {MOST:,}, got {text[:40]!r}")
        return int(text)

    def delete(self, conn: str | None = None) -> None:
        if conn is None or not self._sockets.close(conn):
            raise _no_such(conn or "")
        self.set_status(204)
        self.finish()


def _no_such(conn: str) -> NotFound:
    return NotFound(f"no open connection {conn[:80]!r}", hint="it may have closed by itself; list them anew")
