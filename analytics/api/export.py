"""POST and GET /api/export: the rows of a message as a file."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any
from urllib.parse import quote

from tornado.iostream import StreamClosedError

from analytics import messages
from analytics.api.doorman import Doorman
from analytics.api.http import BodyHandler
from analytics.errors import Overloaded, ValidationError
from analytics.exports.files import FORMATS, format_of
from analytics.exports.gather import MAX_ROWS, File, Wanted, export
from analytics.exports.tables import Catalogue
from analytics.service import Service

AT_ONCE = 4  # exports under way; a fifth waits, and after QUEUE more nobody does
QUEUE = 16
CHUNK = 256 << 10
DEFAULT = "json"
ARGUMENTS = ("format", "q", "name", "max_rows")


class Turns:
    """So many exports at once, so many waiting; belongs to one event loop."""

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(AT_ONCE)
        self._here = 0

    @contextlib.asynccontextmanager
    async def taken(self) -> Any:
        """Wait for a turn. Raises Overloaded when too many do."""
        if self._here >= AT_ONCE + QUEUE:
            raise Overloaded("too many exports at once", hint="come back in a moment", retry_after_ms=2000)
        self._here += 1
        try:
            async with self._free:
                yield
        finally:
            self._here -= 1


class ExportHandler(BodyHandler):
    """Any message that has rows, in any format; the key sees what it would see in the answer."""

    def initialize(self, service: Service, doorman: Doorman, turns: Turns) -> None:  # type: ignore[override]
        super().initialize(service, doorman)
        self._turns = turns
        self._work: asyncio.Task[File] | None = None

    async def get(self) -> None:
        if "q" not in self.request.query_arguments:
            raise ValidationError("the argument q is missing", hint='q={"type": "query", "metrics": ["flows"]}')
        await self._export(self.get_query_argument("q", strip=False))

    async def post(self) -> None:
        if "q" in self.request.query_arguments:
            raise ValidationError("the message is in the body, and in q too", hint="send one of them")
        await self._export(self.body)

    def on_connection_close(self) -> None:
        """Whoever hung up has no use for the rest."""
        if self._work is not None:
            self._work.cancel()

    async def _export(self, raw: str | bytes) -> None:
        wanted = self._wanted(raw)
        principal = self.principal

        async def work() -> File:
            async with self._turns.taken():
                return await export(wanted, lambda m: self.service.answer(principal, m), self._catalogue)

        self._work = asyncio.create_task(work())
        try:
            await self._send(await self._work)
        except asyncio.CancelledError:
            if not self._work.cancelled():
                raise

    def _wanted(self, raw: str | bytes) -> Wanted:
        if strange := [a for a in self.request.query_arguments if a not in ARGUMENTS]:
            raise ValidationError(f"no argument {strange[0][:80]!r}", hint="known: " + ", ".join(ARGUMENTS))
        request = messages.decode(raw, plain=True)
        limit = self._max_rows()
        if isinstance(request, messages.Flows | messages.Rows) and "limit" in json.loads(raw):
            if request.limit < 1:
                raise ValidationError(f"limit: expected 1 or more, got {request.limit}")
            limit = min(limit, request.limit)
        return Wanted(
            request=request,
            format=format_of(self.get_query_argument("format", DEFAULT)),
            limit=limit,
            name=self.get_query_argument("name", ""),
            base=f"{self.request.protocol}://{self.request.host}",
        )

    def _max_rows(self) -> int:
        text = self.get_query_argument("max_rows", str(MAX_ROWS))
        if not (text.isascii() and text.isdecimal() and 1 <= int(text[:9]) <= MAX_ROWS):
            raise ValidationError(f"max_rows: expected 1 to {MAX_ROWS:,}, got {text[:40]!r}")
        return int(text)

    def _catalogue(self) -> Catalogue:
        return {what: self.service.catalogue(self.principal, what) for what in ("datasets", "metrics", "dimensions")}

    async def _send(self, file: File) -> None:
        with file.body:
            for name, value in headers(file).items():
                self.set_header(name, value)
            try:
                while chunk := await asyncio.to_thread(file.body.read, CHUNK):
                    self.write(chunk)
                    await self.flush()
                await self.finish()
            except StreamClosedError:
                return  # the reader is gone


def headers(file: File) -> dict[str, str]:
    """What a file is called, and the facts that a table itself has no room for."""
    window = file.about.get("window") or {}
    told: dict[str, Any] = {
        "Rows": file.about.get("rows"),
        "Truncated": str(file.about.get("truncated", False)).lower(),
        "Confidence": file.about.get("confidence"),
        "Watermark": file.about.get("watermark"),
        "Window": f"{window['from']}/{window['to']}" if window else None,
    }
    ascii_name = file.name.encode("ascii", "replace").decode().replace("?", "_")
    return {
        "Content-Type": file.media,
        "Content-Length": str(file.size),
        "Content-Disposition": f"attachment; filename=\"{ascii_name}\"; filename*=UTF-8''{quote(file.name, safe='')}",
    } | {f"X-Plumbline-{name}": str(value) for name, value in told.items() if value is not None}


TABLES = messages.QueryRequest | messages.Flows | messages.Rows | messages.BoardRequest
MEDIA = (*dict.fromkeys(f.media.partition(";")[0] for f in FORMATS.values()), "application/zip")
