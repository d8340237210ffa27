"""The store contract: everything the rest of the program may ask of an engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec
import pyarrow as pa

from analytics.query import Query, Result


class Ack(msgspec.Struct, frozen=True):
    """An append that is durable: rows kept, rows that were already there, and the dataset's row cursor."""

    accepted: int
    repeated: int
    cursor: int


class Store(Protocol):
    """One owner of the data. All methods belong to one event loop; the work happens in threads."""

    async def append(self, dataset: str, table: pa.Table) -> Ack:
        """Keep rows of the dataset's schema (`workspace.schema`). Returns only after they are committed; they are
        visible to reads before that. A repeated event_id is kept once. Raises ValidationError, Conflict, Overloaded,
        StorageFull."""

    async def drop(self, dataset: str) -> int:
        """Forget all rows of a dataset; returns how many there were. Raises Overloaded, StorageFull."""

    async def query(self, query: Query, *, now: Any, deadline_s: float | None = None) -> Result:
        """Run one query. Raises ValidationError, NotFound (unknown names), Timeout."""

    async def read(
        self, sql: str, params: Sequence[Any] = (), *, dataset: str = "events", deadline_s: float | None = None
    ) -> pa.Table:
        """Run one read-only statement of our own; `{events}` in it is the dataset with its live tail."""

    def on_commit(self, callback: Callable[[str, pa.Table], None]) -> None:
        """Call back in the event loop after each commit, with the dataset and the new rows."""

    def stats(self) -> dict[str, Any]:
        """rows, bytes, queue_rows, commits, last_commit_ms, reader threads busy."""

    async def close(self) -> None:
        """Flush, checkpoint, stop the threads."""
