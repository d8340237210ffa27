"""The default store: one DuckDB file, one owning process, one writer, a few readers."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from analytics.errors import Conflict, Overloaded, ValidationError
from analytics.ledger import LIMIT
from analytics.query import Query, Result
from analytics.store import booking, rows, sql
from analytics.store.base import Ack
from analytics.store.budgets import Budgets, asked, without
from analytics.store.columns import check, missing, table_of
from analytics.store.parts import joined
from analytics.store.readers import Readers
from analytics.store.writer import Writer
from analytics.workspace import Dataset, Workspace, schema

SCHEMA_VERSION = 1
DATASET = re.compile(r"[a-z][a-z0-9_]{0,62}")
SOURCE = re.compile(r'"(?:[^"]|"")*"|\{events\}')  # a quoted name may look like the place of the dataset


class DuckDBStore:
    """Fulfils `store.base.Store`. `path` None keeps everything in memory.

    keep: how long the rows of a dataset stay; those not named stay for ever.
    memory_limit and threads are set before the configuration is locked; external access is off.
    ledger_rows: how many calls the ledger keeps in memory; those before are looked up.
    before_commit runs in the write thread inside each transaction: tests stall or fail it there.
    """

    def __init__(
        self,
        path: Path | None,
        workspace: Callable[[], Workspace],
        *,
        readers: int = 3,
        deadline_s: float = 5.0,
        batch_rows: int = 10_000,
        batch_ms: float = 50.0,
        queue_rows: int = 500_000,
        checkpoint_bytes: int = 64 << 20,
        memory_limit: str = "1GB",
        threads: int = 2,
        keep: Mapping[str, timedelta] | None = None,
        before_commit: Callable[[], None] | None = None,
        ledger_rows: int = LIMIT,
    ) -> None:
        self._path, self._workspace = path, workspace
        self._reader_count, self._deadline_s = readers, deadline_s
        self._writing: dict[str, Any] = {
            "batch_rows": batch_rows,
            "batch_ms": batch_ms,
            "queue_rows": queue_rows,
            "checkpoint_bytes": checkpoint_bytes,
            "keep": keep,
            "before_commit": before_commit,
            "ledger_rows": ledger_rows,
        }
        self._memory_limit, self._threads = memory_limit, threads
        self._callbacks: list[Callable[[str, pa.Table], None]] = []
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._writer: Writer | None = None
        self._readers: Readers | None = None
        self._budgets = Budgets()

    async def open(self) -> None:
        """Open or create the file, migrate it, start the threads. Raises Conflict when it is in use."""
        self._connection = await asyncio.to_thread(self._connect)
        self._readers = Readers(self._cursor, self._reader_count)
        writer = Writer(self._cursor(), self._path, reopen=self._reopen, on_commit=self._committed, **self._writing)
        await asyncio.to_thread(writer.start)
        self._writer = writer

    async def close(self) -> None:
        """Flush, checkpoint, stop the threads. Closing twice is fine."""
        writer, readers = self._writer, self._readers
        self._writer = self._readers = None
        if writer:
            await asyncio.to_thread(writer.stop)
        if readers:
            await asyncio.to_thread(readers.close)
        if self._connection:
            self._connection.close()
            self._connection = None

    async def append(self, dataset: str, table: pa.Table) -> Ack:
        """Keep rows of the dataset's schema; returns when they are committed. Raises ValidationError, Conflict
        where a column has another type than its table, Overloaded, StorageFull."""
        writer, shape = self._open_writer(), self._schema(dataset)
        check(dataset, writer.tail(dataset)[1] or {}, shape)
        return await writer.append(dataset, _conformed(dataset, table, shape))

    async def ensure(self, dataset: str) -> None:
        """Create the dataset's table if it is not there yet."""
        await self.append(dataset, self._schema(dataset).empty_table())

    async def drop(self, dataset: str) -> int:
        """Forget all rows of a dataset; returns how many were committed. Rows still on their way are refused.
        Raises Overloaded, StorageFull."""
        return await self._open_writer().drop(_named(dataset))

    async def query(self, query: Query, *, now: datetime, deadline_s: float | None = None) -> Result:
        """Run one query at `now`. Raises ValidationError, NotFound, TooLarge, Timeout."""
        workspace = self._workspace()

        def work(cursor: duckdb.DuckDBPyConnection) -> Result:
            started = time.perf_counter()
            budgets = asked(query, workspace)
            plan = sql.compile(without(query, budgets) if budgets else query, workspace, now)
            shape = shape_of(workspace, plan.dataset)
            touched = self._open_writer().touched(plan.dataset)  # before anything is read
            raw = self._fetch(cursor, plan.dataset, plan.sql, plan.params, shape)
            result = rows.assemble(plan, raw, (time.perf_counter() - started) * 1000)
            if budgets:
                result = self._budgets.answer(
                    query, budgets, result, plan, workspace, now, touched,
                    lambda text, params: self._fetch(cursor, plan.dataset, text, params, shape),
                )  # fmt: skip
                result.engine_ms = (time.perf_counter() - started) * 1000
            return result

        return await self._open_readers().run(work, deadline_s or self._deadline_s)

    async def read(
        self, sql: str, params: Sequence[Any] = (), *, dataset: str = "events", deadline_s: float | None = None
    ) -> pa.Table:
        """Run one read-only statement of our own; `{events}` in it is the dataset with its live tail."""
        shape = self._schema(dataset)
        return await self._open_readers().run(
            lambda cursor: self._fetch(cursor, dataset, sql, list(params), shape), deadline_s or self._deadline_s
        )

    def on_commit(self, callback: Callable[[str, pa.Table], None]) -> None:
        """Call back in the event loop after each commit, with the dataset and the new rows."""
        self._callbacks.append(callback)

    def stats(self) -> dict[str, Any]:
        """rows (all, and per dataset), bytes on disk, queue_rows, queue_s (age of the oldest of
        them), commits, last_commit_ms, readers_busy."""
        writer, readers = self._open_writer(), self._open_readers()
        files = [self._path, self._path.with_name(self._path.name + ".wal")] if self._path else []
        return {
            "rows": sum(writer.rows.values()),
            "datasets": dict(writer.rows),
            "bytes": sum(file.stat().st_size for file in files if file.exists()),
            "queue_rows": writer.queued,
            "queue_s": writer.waited_s(),
            "commits": writer.commits,
            "last_commit_ms": writer.last_commit_ms,
            "readers_busy": readers.busy,
        }

    def _cursor(self) -> duckdb.DuckDBPyConnection:
        assert self._connection is not None
        return self._connection.cursor()

    def _reopen(self) -> duckdb.DuckDBPyConnection:
        """The file opened anew, as a cursor; DuckDB keeps a failed one as long as anybody holds a connection to it."""
        assert self._connection is not None and self._path is not None
        with self._open_readers().away():
            self._connection.close()
            self._connection = self._connect()
        return self._cursor()

    def _connect(self) -> duckdb.DuckDBPyConnection:
        config: dict[str, Any] = {
            "enable_external_access": False,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "memory_limit": self._memory_limit,
            "threads": self._threads,
            "temp_directory": str(self._path.parent / "spill") if self._path else "",  # never the working directory
            "checkpoint_threshold": "1TB",  # never inside a commit: the writer checkpoints between them
        }
        if self._path:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        try:
            connection = duckdb.connect(str(self._path or ":memory:"), config=config)
        except duckdb.IOException as error:
            if "lock" not in str(error):
                raise
            raise Conflict(
                "another Plumbline is running on this data directory", hint="stop it, or give this one its own --data"
            ) from None
        _migrate(connection)
        connection.execute("SET lock_configuration = true")
        return connection

    def _schema(self, dataset: str) -> pa.Schema:
        return shape_of(self._workspace(), _named(dataset))

    def _fetch(
        self, cursor: duckdb.DuckDBPyConnection, dataset: str, sql: str, params: Any, shape: pa.Schema
    ) -> pa.Table:
        """One statement over the committed rows and the tail, every accepted row exactly once."""
        try:
            return self._fetched(cursor, dataset, sql, params, shape)
        except duckdb.CatalogException:  # dropped between the look at the writer and the statement
            return self._fetched(cursor, dataset, sql, params, shape)

    def _fetched(
        self, cursor: duckdb.DuckDBPyConnection, dataset: str, sql: str, params: Any, shape: pa.Schema
    ) -> pa.Table:
        parts, columns = self._open_writer().tail(dataset)
        check(dataset, columns or {}, shape)
        if columns is not None and not parts and not missing(columns, shape):
            return cursor.sql(_over(table_of(dataset), sql), params=params).to_arrow_table()
        cursor.execute("BEGIN")
        try:
            # a tail taken before the snapshot may overlap it: the snapshot knows the last part it holds
            seq = cursor.execute("SELECT seq FROM pl_about.commits").fetchall() if columns is not None else []
            held = seq[0][0] if seq else -1
            later = [part for part in parts if part.seq > held]
            tables = [part.table for part in later]
            cursor.register("tail", joined([shape.empty_table(), *tables]))  # has every column, the table may not yet
            both = f"(SELECT * FROM {table_of(dataset)} UNION ALL BY NAME SELECT * FROM tail)"
            entries = [part.entry for part in later if part.entry]
            source = booking.overlaid(cursor, "tail" if columns is None else both, entries)
            return cursor.sql(_over(source, sql), params=params).to_arrow_table()
        finally:
            with contextlib.suppress(duckdb.Error):  # after a fatal error there is nothing to roll back
                cursor.execute("ROLLBACK")
                cursor.unregister("tail")
                booking.release(cursor)

    def _committed(self, dataset: str, table: pa.Table) -> None:
        for callback in self._callbacks:
            callback(dataset, table)

    def _open_writer(self) -> Writer:
        if self._writer is None:
            raise Overloaded("the store is not open", hint="try again in a moment")
        return self._writer

    def _open_readers(self) -> Readers:
        if self._readers is None:
            raise Overloaded("the store is not open", hint="try again in a moment")
        return self._readers


def shape_of(workspace: Workspace, dataset: str) -> pa.Schema:
    """The schema of a dataset; one that nobody declared has the canonical columns."""
    return schema(workspace.datasets.get(dataset) or Dataset(name=dataset))


def _named(dataset: str) -> str:
    if not DATASET.fullmatch(dataset):
        raise ValidationError(
            f"dataset: expected a small letter, then small letters, digits or _, 63 at most; got {dataset[:80]!r}"
        )
    return dataset


def _over(source: str, sql: str) -> str:
    """A statement with its dataset in place of `{events}`."""
    return SOURCE.sub(lambda found: source if found[0] == "{events}" else found[0], sql)


def _conformed(dataset: str, table: pa.Table, shape: pa.Schema) -> pa.Table:
    if table.schema.equals(shape):
        return table
    try:
        return table.select(shape.names).cast(shape)
    except (KeyError, pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ValidationError(f"expected rows with the columns of the dataset {dataset!r}: {error}") from None


def _migrate(connection: duckdb.DuckDBPyConnection) -> None:
    """Create what is missing. Columns that are newer than a table are added by the first append that has them."""
    connection.execute("CREATE SCHEMA IF NOT EXISTS pl_data")
    connection.execute("CREATE SCHEMA IF NOT EXISTS pl_about")
    connection.execute("CREATE TABLE IF NOT EXISTS pl_about.meta (key VARCHAR, value VARCHAR)")
    connection.execute("CREATE TABLE IF NOT EXISTS pl_about.commits (seq BIGINT)")
    connection.execute("INSERT INTO pl_about.commits SELECT 0 WHERE NOT EXISTS (FROM pl_about.commits)")
    found = connection.execute("SELECT value FROM pl_about.meta WHERE key = 'schema_version'").fetchone()
    if found and int(found[0]) > SCHEMA_VERSION:
        raise Conflict(
            f"the data was written by a newer Plumbline (schema {found[0]}, this one knows {SCHEMA_VERSION})",
            hint="upgrade this Plumbline",
        )
    if not found:
        connection.execute("INSERT INTO pl_about.meta VALUES ('schema_version', ?)", [str(SCHEMA_VERSION)])
