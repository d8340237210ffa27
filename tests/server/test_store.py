"""The DuckDB store through its public door: durable, exactly once, never blocking."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from analytics.errors import Conflict, Overloaded, StorageFull, Timeout, ValidationError
from analytics.events import NAMES
from analytics.query import Query
from analytics.store.base import Ack, Store
from analytics.store.duckdb import DuckDBStore
from analytics.workspace import Metric
from tests.conftest import files_at_most
from tests.small import at, events, workspace

WORKSPACE = workspace(Metric(name="rows", aggregate="count"), Metric(name="spend", aggregate="sum", column="cost_usd"))
NOW = at("13:00")
PATIENCE_S = 10.0


@asynccontextmanager
async def opened(path: Path | None = None, **settings: Any) -> AsyncIterator[DuckDBStore]:
    store = DuckDBStore(path, lambda: WORKSPACE, **settings)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


async def count(store: Store, dataset: str = "events") -> int:
    table = await store.read("SELECT count(*) AS n FROM {events}", dataset=dataset)
    rows: int = table["n"][0].as_py()
    return rows


def numbered(*numbers: int, time: str = "12:00", cost: float = 1.0) -> pa.Table:
    return events("time event_id cost_usd", *((time, f"id-{n}", cost) for n in numbers))


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not await condition():  # noqa: ASYNC110 - the store itself is asked
            await asyncio.sleep(0)


class Gate:
    """A before_commit hook that a test closes and opens, or makes fail."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.open.set()
        self.error: Exception | None = None

    def __call__(self) -> None:
        assert self.open.wait(PATIENCE_S)
        if self.error:
            raise self.error


async def test_what_was_acknowledged_is_there_after_reopening(tmp_path: Path) -> None:
    async with opened(tmp_path / "plumbline.db") as store:
        assert await store.append("events", numbered(1, 2, 3)) == Ack(3, 0, 3)
        assert await store.append("events", numbered(4)) == Ack(1, 0, 4)
    async with opened(tmp_path / "plumbline.db") as store:
        assert await count(store) == 4
        assert store.stats()["rows"] == 4 and store.stats()["bytes"] > 0
        assert not (tmp_path / "plumbline.db.wal").exists()  # closing folds it in


async def test_a_repeated_id_is_kept_once_even_with_another_time_and_after_a_restart(tmp_path: Path) -> None:
    async with opened(tmp_path / "plumbline.db") as store:
        assert await store.append("events", numbered(1, 1, 2)) == Ack(2, 1, 2)
        assert await store.append("events", numbered(2, 3, time="12:30", cost=9.0)) == Ack(1, 1, 3)
        assert await store.append("other", numbered(1)) == Ack(1, 0, 1)  # ids belong to their dataset
    async with opened(tmp_path / "plumbline.db") as store:
        assert await store.append("events", numbered(1, 2, 3, 4, time="12:45")) == Ack(1, 3, 4)
        total = (await store.query(Query(metrics=["spend"]), now=NOW)).totals["spend"]
        assert total.value == 1 + 1 + 9 + 1


async def test_rows_without_an_id_are_never_repeats() -> None:
    async with opened() as store:
        anonymous = events("time event_id", ("12:00", None), ("12:00", None))
        assert await store.append("events", anonymous) == Ack(2, 0, 2)
        assert await store.append("events", anonymous) == Ack(2, 0, 4)


async def test_concurrent_senders_of_the_same_rows_are_told_the_truth() -> None:
    async with opened() as store:
        acks = await asyncio.gather(*(store.append("events", numbered(*range(50))) for _ in range(8)))
        assert sum(ack.accepted for ack in acks) == 50
        assert sum(ack.repeated for ack in acks) == 7 * 50
        assert await count(store) == 50


async def test_a_stalled_writer_hides_no_row_and_doubles_none() -> None:
    gate = Gate()
    async with opened(before_commit=gate) as store:
        await store.append("events", numbered(1, 2))
        gate.open.clear()
        waiting = [asyncio.create_task(store.append("events", numbered(2, 3, time="12:10")))]
        await until(lambda: _is(store, 3))
        waiting.append(asyncio.create_task(store.append("events", numbered(3, 4))))
        waiting.append(asyncio.create_task(store.append("fresh", numbered(1))))
        await until(lambda: _is(store, 4))
        await until(lambda: _is(store, 1, "fresh"))  # its table does not exist yet
        assert not any(task.done() for task in waiting)
        asked = await store.query(Query(metrics=["rows"], grain="10m"), now=NOW)
        assert asked.table["rows"].to_pylist() == [3, 1, 0, 0, 0, 0]
        gate.open.set()
        assert await asyncio.gather(*waiting) == [Ack(1, 1, 3), Ack(1, 1, 4), Ack(1, 0, 1)]
        assert await count(store) == 4


async def _is(store: Store, rows: int, dataset: str = "events") -> bool:
    return await count(store, dataset) == rows


async def test_counts_only_grow_while_rows_stream_in(tmp_path: Path) -> None:
    """Readers race commits and checkpoints: a row is never missing again once seen, and never there twice."""
    async with opened(tmp_path / "plumbline.db", batch_rows=50, checkpoint_bytes=20_000) as store:
        sent, seen = 0, 0

        async def send() -> None:
            nonlocal sent
            for start in range(0, 3_000, 20):
                sent += 20
                await store.append("events", numbered(*range(start, start + 20)))
                assert await count(store) >= sent

        async def watch() -> None:
            nonlocal seen
            while seen < 3_000:
                now = await count(store)
                assert seen <= now <= sent
                seen = now

        async with asyncio.timeout(60):
            await asyncio.gather(send(), watch())
        assert await count(store) == 3_000


async def test_a_failed_commit_keeps_nothing_and_the_same_rows_can_come_again() -> None:
    gate = Gate()
    async with opened(before_commit=gate) as store:
        await store.append("events", numbered(1))
        gate.error = OSError(28, "No space left on device")
        gate.open.clear()
        first = asyncio.create_task(store.append("events", numbered(1, 2)))
        await until(lambda: _is(store, 2))
        repeat = asyncio.create_task(store.append("events", numbered(2)))  # counts on the first copy
        await until(lambda: _queued(store, 3))
        gate.open.set()
        for task in (first, repeat):
            with pytest.raises(StorageFull, match="No space left"):
                await task
        assert await count(store) == 1
        gate.error = None
        assert await store.append("events", numbered(1, 2)) == Ack(1, 1, 2)
        assert store.stats()["queue_rows"] == 0


async def _queued(store: Store, rows: int) -> bool:
    await asyncio.sleep(0)
    return bool(store.stats()["queue_rows"] == rows)


async def test_a_disk_that_is_really_full_is_said_so_and_recovered_from(tmp_path: Path) -> None:
    async with opened(tmp_path / "plumbline.db") as store:
        await store.append("events", numbered(1))
        long = events("time event_id attributes", *(("12:00", f"n{n}", "x" * 1000) for n in range(2_000)))
        with files_at_most(1_000_000), pytest.raises(StorageFull, match="nothing of this batch was kept"):
            await store.append("events", long)
        assert await count(store) == 1
        assert await store.append("events", long) == Ack(2_000, 0, 2_001)
    async with opened(tmp_path / "plumbline.db") as store:
        assert await count(store) == 2_001


async def test_a_full_queue_is_refused_and_drains() -> None:
    gate = Gate()
    async with opened(before_commit=gate, queue_rows=3) as store:
        gate.open.clear()
        waiting = asyncio.create_task(store.append("events", numbered(1, 2)))
        await until(lambda: _queued(store, 2))
        with pytest.raises(Overloaded, match="2 of 3 rows wait"):
            await store.append("events", numbered(3, 4))
        gate.open.set()
        assert await waiting == Ack(2, 0, 2)
        assert await store.append("events", numbered(3, 4)) == Ack(2, 0, 4)


async def test_a_query_past_its_deadline_is_stopped_and_the_loop_never_waits() -> None:
    endless = "SELECT sum(sqrt(range)) FROM range(100000000000)"
    async with opened(readers=1) as store:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0)

        ticking = asyncio.create_task(tick())
        with pytest.raises(Timeout, match="ran for more than 0.2 s"):
            await store.read(endless, deadline_s=0.2)
        assert ticks > 20
        slow = asyncio.create_task(store.read(endless, deadline_s=0.6))
        await until(lambda: _busy(store))
        with pytest.raises(Timeout, match="busy for more than 0.1 s"):  # waiting for the one reader counts
            await store.read("SELECT 1", deadline_s=0.1)
        with pytest.raises(Timeout):
            await slow
        ticking.cancel()
        assert await count(store) == 0


async def _busy(store: Store) -> bool:
    await asyncio.sleep(0)
    return bool(store.stats()["readers_busy"])


async def test_a_caller_that_goes_away_stops_its_query() -> None:
    async with opened(readers=1) as store:
        asking = asyncio.create_task(store.read("SELECT count(*) FROM range(1000000000) a, range(1000000000) b"))
        await until(lambda: _busy(store))
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert await count(store) == 0


async def test_a_second_process_is_told_what_is_the_matter(tmp_path: Path) -> None:
    path = tmp_path / "plumbline.db"
    script = f"import duckdb, sys; c = duckdb.connect({str(path)!r}); print('open', flush=True); sys.stdin.read()"
    pipe = asyncio.subprocess.PIPE
    other = await asyncio.create_subprocess_exec(sys.executable, "-c", script, stdin=pipe, stdout=pipe)
    assert other.stdout and await other.stdout.readline() == b"open\n"
    with pytest.raises(Conflict, match="another Plumbline is running on this data directory"):
        await DuckDBStore(path, lambda: WORKSPACE).open()
    await other.communicate(b"")


async def test_columns_that_are_newer_than_the_file_are_added(tmp_path: Path) -> None:
    path = tmp_path / "plumbline.db"
    async with opened(path) as store:
        await store.append("events", numbered(1))
    with duckdb.connect(str(path)) as older:
        older.execute("ALTER TABLE pl_data.events DROP COLUMN cost_usd; ALTER TABLE pl_data.events DROP COLUMN agent")
    async with opened(path) as store:
        assert await store.append("events", numbered(1, 2)) == Ack(1, 1, 2)
        assert (await store.read("SELECT * FROM {events}")).num_rows == 2
        total = (await store.query(Query(metrics=["spend"]), now=NOW)).totals["spend"]
        assert (total.value, total.n) == (1.0, 1)


async def test_a_file_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "plumbline.db"
    async with opened(path):
        pass
    with duckdb.connect(str(path)) as newer:
        newer.execute("UPDATE pl_about.meta SET value = '999'")
    with pytest.raises(Conflict, match="written by a newer Plumbline"):
        await DuckDBStore(path, lambda: WORKSPACE).open()


async def test_the_engine_cannot_reach_files_nor_its_own_settings(tmp_path: Path) -> None:
    async with opened(tmp_path / "plumbline.db") as store:
        for statement in ("SELECT * FROM read_csv('/etc/hostname')", "SET threads = 1", "INSTALL icu", "ATTACH 'x.db'"):
            with pytest.raises(duckdb.Error):
                await store.read(statement)


async def test_commits_are_told_in_the_loop_with_the_new_rows_only() -> None:
    told: list[tuple[str, int, bool]] = []
    loop_thread = threading.get_ident()
    async with opened() as store:
        store.on_commit(
            lambda dataset, table: told.append((dataset, table.num_rows, threading.get_ident() == loop_thread))
        )
        await store.append("events", numbered(1, 2))
        await store.append("events", numbered(2, 3))
        await store.append("events", numbered(3))
    assert told == [("events", 2, True), ("events", 1, True)]


async def test_datasets_are_made_on_demand_and_reading_none_is_empty() -> None:
    async with opened() as store:
        assert await count(store, "flights") == 0
        await store.ensure("flights")
        assert store.stats()["datasets"] == {"flights": 0}
        assert (await store.read("SELECT * FROM {events}", dataset="select")).column_names == list(NAMES)
        for name in ("Flights", "1st", "a-b", "x" * 64, "", 'a"b', "events; drop"):
            with pytest.raises(ValidationError, match="dataset: expected a small letter"):
                await store.append(name, numbered(1))


async def test_rows_of_another_shape_are_refused() -> None:
    async with opened() as store:
        with pytest.raises(ValidationError, match="the columns of the dataset .events."):
            await store.append("events", pa.table({"time": [1]}))


async def test_a_closed_store_says_so() -> None:
    async with opened() as store:
        pass
    with pytest.raises(Overloaded, match="not open"):
        await store.append("events", numbered(1))
    await store.close()
