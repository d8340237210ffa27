"""Requests over HTTP, repeated as the core allows."""

from __future__ import annotations

import asyncio
import itertools
import time
from functools import partial

import msgspec

from analytics.client.core import Core
from analytics.client.faults import Unreachable
from analytics.client.http import Http
from analytics.client.results import Accepted
from analytics.client.sender import packed
from analytics.errors import PlumblineError, Timeout


class Retrying:
    """`timeout_s` is for all tries of one request together."""

    def __init__(self, http: Http, core: Core, timeout_s: float) -> None:
        self._http, self._core, self._timeout_s = http, core, timeout_s

    async def exchange(self, method: str, path: str, lines: list[bytes] | None = None) -> bytes:
        """The body of a 2xx answer; `lines` are events, as JSON. Raises Timeout, and what the last try raised."""
        deadline = time.monotonic() + self._timeout_s
        try:
            async with asyncio.timeout(self._timeout_s):
                for attempt in itertools.count():
                    try:
                        return await self._once(method, path, lines)
                    except PlumblineError as error:
                        pause = self._core.retry_pause(error, attempt)
                        if pause is None or time.monotonic() + pause > deadline:
                            raise
                        if isinstance(error, Unreachable):  # no connection to wait for here
                            pause = self._core.backoff.pause(attempt)
                    await asyncio.sleep(pause)
        except TimeoutError:
            raise Timeout(f"no answer to {method} {path} within {self._timeout_s:g} s") from None
        raise AssertionError

    async def ingest(self, dataset: str, lines: list[bytes]) -> Accepted:
        """Send events."""
        return _accepted(await self.exchange("POST", f"/api/ingest/{dataset}", lines))

    async def ingest_once(self, dataset: str, lines: list[bytes]) -> Accepted:
        """Send events for one who does the repeating."""
        return _accepted(await self._once("POST", f"/api/ingest/{dataset}", lines))

    async def _once(self, method: str, path: str, lines: list[bytes] | None) -> bytes:
        if lines is None:
            return await self._http.exchange(method, path)
        return await self._http.exchange(
            method, path, partial(packed, lines), Content_Type="application/x-ndjson", Content_Encoding="gzip"
        )


def _accepted(answer: bytes) -> Accepted:
    try:
        return msgspec.json.decode(answer, type=Accepted)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Unreachable("an answer that is not Plumbline's", hint="is there a proxy that signs people in?") from None
