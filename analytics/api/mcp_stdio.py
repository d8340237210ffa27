"""The same tools over stdin and stdout: a program that a client starts, and that asks a running server."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
from mcp.server.stdio import stdio_server

from analytics import messages
from analytics.api.mcp_protocol import Protocol
from analytics.api.tools import What
from analytics.messages import AnalyticsUpdate, Request

Ask = Callable[[str, str, bytes | None], Awaitable[bytes]]


class FarDesk:
    """A server over HTTP. `ask` sends method, path and body with the key, and raises PlumblineError."""

    def __init__(self, url: str, ask: Ask) -> None:
        self.url, self._ask = url, ask

    async def answer(self, request: Request) -> AnalyticsUpdate:
        raw = await self._ask("POST", "/api/analytics", messages.encode(request))
        return msgspec.json.decode(raw, type=AnalyticsUpdate)

    async def catalogue(self, what: What) -> list[dict[str, Any]]:
        return msgspec.json.decode(await self._ask("GET", f"/api/{what}", None), type=list[dict[str, Any]])


async def talk(desk: FarDesk, docs: Path, leave: Callable[[], None]) -> None:
    """Serve until stdin ends. A signal calls `leave`, which does not return: nothing wakes the thread that reads."""
    loop = asyncio.get_running_loop()
    with contextlib.suppress(NotImplementedError):  # no such handlers on Windows
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, leave)
    server = Protocol(lambda ctx: desk, docs).server()
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())
