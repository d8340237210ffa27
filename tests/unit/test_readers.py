"""The pool of reader threads: what one job leaves behind meets no other."""

from __future__ import annotations

import asyncio
import threading

import duckdb
import pytest

from analytics.store.readers import Readers


async def test_a_cursor_whose_job_was_stopped_at_its_very_end_is_not_used_again() -> None:
    """An interrupt that meets the end of a transaction leaves it open; the caller is gone by then."""
    entered, release = threading.Event(), threading.Event()

    def work(cursor: duckdb.DuckDBPyConnection) -> int:
        cursor.execute("BEGIN")
        entered.set()
        release.wait(10)
        return 1

    def begins(cursor: duckdb.DuckDBPyConnection) -> int:
        cursor.execute("BEGIN")
        cursor.execute("ROLLBACK")
        return 2

    with duckdb.connect(":memory:") as connection:
        readers = Readers(connection.cursor, 1)
        asked = asyncio.create_task(readers.run(work, 10))
        await asyncio.to_thread(entered.wait, 10)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        release.set()
        assert await readers.run(begins, 10) == 2
        readers.close()
