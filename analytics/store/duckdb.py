"""The default store: one DuckDB file, one owning process, one writer, a few readers."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from analytics.errors import Conflict, Overloaded, ValidationError
from analytics.events import COLUMNS, NAMES, SCHEMA
from analytics.query import Query, Result
from analytics.store import rows, sql
from analytics.store.base import Ack
from analytics.store.readers import Readers
from analytics.store.writer import SQL_TYPES, Writer, empty
from analytics.workspace import Workspace

SCHEMA_VERSION = 1
DATASET = re.compile(r"[a-z][a-z0-9_]{0,62}")


class DuckDBStore:
    """Fulfils `store.base.Store`. `path` None keeps everything in memory.

    keep: how long the rows of a dataset stay; those not named stay for ever.
    memory_limit and threads are set before the configuration is locked; external access is off.
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
        }
        self._memory_limit, self._threads = memory_limit, threads
        self._callbacks: list[Callable[[str, pa.Table], None]] = []
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._writer: Writer | None = None
        self._readers: Readers | None = None

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
        """Keep rows of events.SCHEMA; returns when they are committed. Raises Overloaded, StorageFull."""
        return await self._open_writer().append(_named(dataset), _conformed(table))

    async def ensure(self, dataset: str) -> None:
        """Create the dataset's table if it is not there yet."""
        await self.append(dataset, empty())

    async def query(self, query: Query, *, now: datetime, deadline_s: float | None = None) -> Result:
        """Run one query at `now`. Raises ValidationError, NotFound, TooLarge, Timeout."""
        workspace = self._workspace()

        def work(cursor: duckdb.DuckDBPyConnection) -> Result:
            started = time.perf_counter()
            plan = sql.compile(query, workspace, now)
            raw = self._fetch(cursor, plan.dataset, plan.sql, plan.params)
            return rows.assemble(plan, raw, (time.perf_counter() - started) * 1000)

        return await self._open_readers().run(work, deadline_s or self._deadline_s)

    async def read(
        self, sql: str, params: Sequence[Any] = (), *, dataset: str = "events", deadline_s: float | None = None
    ) -> pa.Table:
        """Run one read-only statement of our own; `{events}` in it is the dataset with its live tail."""
        name = _named(dataset)
        return await self._open_readers().run(
            lambda cursor: self._fetch(cursor, name, sql, list(params)), deadline_s or self._deadline_s
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

    def _fetch(self, cursor: duckdb.DuckDBPyConnection, dataset: str, sql: str, params: Any) -> pa.Table:
        """One statement over the committed rows and the tail, every accepted row exactly once."""
        parts, exists = self._open_writer().tail(dataset)
        table = f'pl_data."{dataset}"'
        if exists and not parts:
            return cursor.sql(sql.replace("{events}", table), params=params).to_arrow_table()
        cursor.execute("BEGIN")
        # a tail taken before the snapshot may overlap it: the snapshot knows the last part it holds
        seq = cursor.execute("SELECT seq FROM pl_about.commits").fetchall() if exists else []
        held = seq[0][0] if seq else -1
        cursor.register("tail", pa.concat_tables([part.table for part in parts if part.seq > held] or [empty()]))
        source = f"(SELECT * FROM {table} UNION ALL BY NAME SELECT * FROM tail)" if exists else "tail"
        found = cursor.sql(sql.replace("{events}", source), params=params).to_arrow_table()
        cursor.execute("ROLLBACK")
        cursor.unregister("tail")
        return found

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


def _arrow(cursor: duckdb.DuckDBPyConnection, sql: str, params: Any) -> pa.Table:
    # a relation hands its Arrow over without the copy that execute() makes
    return cursor.sql(sql, params=params).to_arrow_table()


def _named(dataset: str) -> str:
    if not DATASET.fullmatch(dataset):
        raise ValidationError(
            f"dataset: expected a small letter, then small letters, digits or _, 63 at most; got {dataset[:80]!r}"
        )
    return dataset


def _conformed(table: pa.Table) -> pa.Table:
    if table.schema.equals(SCHEMA):
        return table
    try:
        return table.select(NAMES).cast(SCHEMA)
    except (KeyError, pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ValidationError(f"expected rows of the canonical columns: {error}") from None


def _migrate(connection: duckdb.DuckDBPyConnection) -> None:
    """Create what is missing; add canonical columns that are newer than the file."""
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
    tables = connection.execute(
        "SELECT table_name, list(column_name) FROM duckdb_columns() WHERE schema_name = 'pl_data' GROUP BY table_name"
    ).fetchall()
    for table, present in tables:
        for column in COLUMNS:
            if column.name not in present:
                kind = SQL_TYPES[str(column.type)]
                connection.execute(f'ALTER TABLE pl_data."{table}" ADD COLUMN "{column.name}" {kind}')
