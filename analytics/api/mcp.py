"""The Model Context Protocol at `/mcp`: tools and pages for language models, over the service that answers all else.

It keeps no sessions. Every message brings its key and is checked anew, so there is nothing to open, to expire or to
take over, and a restart of the server is no event for its clients.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analytics.api.asgi import Exchange
from analytics.api.doorman import Doorman
from analytics.api.http import BodyHandler
from analytics.api.tools import Desk, What
from analytics.errors import Forbidden, Overloaded, RateLimited, Unauthorized
from analytics.messages import AnalyticsUpdate, Request
from analytics.rights import Principal
from analytics.service import Service

if TYPE_CHECKING:
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

    from analytics.api.mcp_protocol import Context

Application = Callable[..., Awaitable[None]]
AT_ONCE = 64  # messages under way, of all keys
OF_ONE_KEY = 16
DRAIN_S = 5.0


class OwnDesk:
    """The service of this process, for one principal."""

    def __init__(self, service: Service, principal: Principal, url: str) -> None:
        self._service, self._principal, self.url = service, principal, url

    async def answer(self, request: Request) -> AnalyticsUpdate:
        return await self._service.answer(self._principal, request)

    async def catalogue(self, what: What) -> list[dict[str, Any]]:
        return self._service.catalogue(self._principal, what)


def _desk(ctx: Context) -> Desk:
    """The one that McpHandler gave along with the message."""
    return ctx.request.state.desk  # type: ignore[no-any-return, union-attr]


class Mcp:
    """The protocol's server in this process, until `stop`; counts what is under way. Its SDK takes longer to import
    than most of what starts with the server, so it comes with the first message."""

    def __init__(self, docs: Path) -> None:
        self._docs = docs
        self._under_way: Counter[str] = Counter()
        self._quiet = asyncio.Event()
        self._over = asyncio.Event()
        self._ready: asyncio.Task[Application] | None = None
        self._running: asyncio.Task[None] | None = None
        self._closed = False

    async def stop(self) -> None:
        """Take no more messages, let those under way end for a moment, cut the rest."""
        self._closed = True
        if self._under_way.total():
            self._quiet.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._quiet.wait(), DRAIN_S)
        self._over.set()
        if self._running is not None:
            await self._running

    async def _application(self) -> Application:
        if self._ready is None:
            self._ready = asyncio.create_task(self._begin())
        return await asyncio.shield(self._ready)

    async def _begin(self) -> Application:
        manager = await asyncio.to_thread(_manager, self._docs)
        begun = asyncio.Event()

        async def run() -> None:
            async with manager.run():  # its tasks end in the task that began them
                begun.set()
                await self._over.wait()

        self._running = asyncio.create_task(run())
        await begun.wait()
        return manager.handle_request

    @contextlib.asynccontextmanager
    async def place(self, key: str) -> AsyncIterator[Application]:
        """Room for one message of a key, and the application that answers it. Raises Overloaded, RateLimited."""
        if self._closed:
            raise Overloaded("the server is about to stop", hint="come back in a moment", retry_after_ms=1000)
        if self._under_way.total() >= AT_ONCE:
            raise Overloaded("too many messages at once", hint="come back in a moment", retry_after_ms=1000)
        if self._under_way[key] >= OF_ONE_KEY:
            raise RateLimited(
                f"this key has {OF_ONE_KEY} messages under way, the most it may have",
                hint="wait for an answer before the next call",
                retry_after_ms=1000,
            )
        self._under_way[key] += 1
        try:
            yield await self._application()
        finally:
            self._under_way[key] -= 1
            if not self._under_way[key]:
                del self._under_way[key]
            if not self._under_way:
                self._quiet.set()


def _manager(docs: Path) -> StreamableHTTPSessionManager:
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

    from analytics.api.mcp_protocol import Protocol

    return StreamableHTTPSessionManager(Protocol(_desk, docs).server(), json_response=True, stateless=True)


class McpHandler(BodyHandler):
    """POST /mcp. There is no GET, since the server says nothing unasked, and no DELETE, since no session is kept."""

    def initialize(  # type: ignore[override]
        self, service: Service, doorman: Doorman, mcp: Mcp, max_bytes: int
    ) -> None:
        super().initialize(service, doorman, max_bytes)
        self._mcp = mcp
        self._exchange: Exchange | None = None

    def prepare(self) -> None:
        """A key in a header and nothing else: no page acts here with a person's sign-in, wherever a name leads."""
        if not self.doorman.origin_allowed(self.request):
            raise Forbidden("pages of another origin may not call this")
        key = self.doorman.key_in(self.request)
        if key is None:
            raise Unauthorized(
                "this needs an API key", hint="send it as `X-API-Key: KEY` or `Authorization: Bearer KEY`"
            )
        self.principal = self.doorman.verify(key, self.request.remote_ip)
        self.principal.require("read")

    async def post(self) -> None:
        url = f"{self.request.protocol}://{self.request.host}"
        desk = OwnDesk(self.service, self.principal, url)
        async with self._mcp.place(self.principal.key_id) as application:
            self._exchange = Exchange(self, self.body, {"desk": desk})
            await self._exchange.run(application)

    def on_connection_close(self) -> None:
        if self._exchange is not None:
            self._exchange.hung_up()

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        if status_code == 405:
            self.set_header("Allow", "POST")
        super().write_error(status_code, **kwargs)
