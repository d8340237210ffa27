"""Where a notebook's board has its numbers from: a server, or data in the kernel itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Protocol

import msgspec

from analytics.client import Client, Update
from analytics.errors import PlumblineError
from analytics.local import NAME, Local
from analytics.messages import BoardRequest
from analytics.workspace import Board, Dataset, Dimension, Metric, Workspace

Heard = Callable[[dict[str, Any]], None]
ROOT = Path(__file__).resolve().parent.parent
BEAT_S = 1.0
WHAT: tuple[Literal["datasets", "dimensions", "metrics", "boards"], ...] = (
    "datasets",
    "dimensions",
    "metrics",
    "boards",
)


class Source(Protocol):
    """What a board in a notebook needs. `default` is the board that is shown when none is named."""

    default: str

    def workspace(self) -> Workspace: ...
    def follow(self, request: BoardRequest, heard: Heard) -> Callable[[], None]:
        """Answer now and on every change, from a thread; returns the way to stop."""

    def close(self) -> None: ...


class RemoteSource:
    """A Plumbline server, through its public API."""

    default = "overview"

    def __init__(self, url: str, key: str | None) -> None:
        self._client = Client(url, key)
        self._url = url

    def __repr__(self) -> str:
        return f"url={self._url!r}"

    def workspace(self) -> Workspace:
        """What the key may see of it."""
        told = {what: self._client.catalogue(what) for what in WHAT}
        kinds: dict[str, Any] = {"datasets": Dataset, "dimensions": Dimension, "metrics": Metric, "boards": Board}
        made = {what: {x["name"]: msgspec.convert(x, kinds[what]) for x in found} for what, found in told.items()}
        return Workspace(**made)

    def follow(self, request: BoardRequest, heard: Heard) -> Callable[[], None]:
        def arrived(update: Update) -> None:
            if update.error is not None:
                heard({"type": "error", "error": {"message": update.error.message, "hint": update.error.hint}})
            else:
                heard({"type": "analytics_update", "analytics": update.analytics, "insights": update.insights})

        return self._client.subscribe(request, on_update=arrived).close

    def close(self) -> None:
        self._client.close()


class LocalSource:
    """Data without a server, in an engine of the kernel's own."""

    def __init__(self, data: Any, time: str | None) -> None:
        self._local = Local(data, time, workspaces=sorted((ROOT / "assets/workspaces").glob("*.yaml")))
        is_file = isinstance(data, str | Path)
        self.default = "overview" if is_file else NAME
        self._told = f"data={str(data)!r}" if is_file else f"data={type(data).__name__}"

    def __repr__(self) -> str:
        return self._told

    def workspace(self) -> Workspace:
        return self._local.workspace

    def follow(self, request: BoardRequest, heard: Heard) -> Callable[[], None]:
        task = asyncio.run_coroutine_threadsafe(self._follow(request, heard), self._local.loop)
        return lambda: _cancelled(task)

    async def _follow(self, request: BoardRequest, heard: Heard) -> None:
        """One answer, for the data does not change; then a sign of life each second, so that its age is told right."""
        try:
            answer = await self._local.answer(request)
        except PlumblineError as error:
            heard({"type": "error", "error": {"message": error.message, "hint": error.hint}})
            return
        heard({"type": "analytics_update", "analytics": answer.analytics, "insights": answer.insights})
        while True:
            await asyncio.sleep(BEAT_S)
            heard({"type": "frame", "at": int(datetime.now(UTC).timestamp() * 1000), "board": {}, "tiles": {}})

    def close(self) -> None:
        self._local.close()


def _cancelled(task: Future[None]) -> None:
    task.cancel()
