"""The way of a row into the store: queued, admitted (visible to reads), committed (acknowledged).

    append -> incoming -> [admit thread: drop repeats] -> tail -> [write thread: one transaction] -> table

Admission and writing are two threads so that a slow commit or a checkpoint hides no new row: the
tail is what has been admitted and not yet committed. Every transaction also stores the number of
its last part, so a reader that takes the tail first and its snapshot second knows from the
snapshot itself which parts it already holds. No lock is held around a commit.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from analytics.errors import Conflict, Internal, Overloaded, PlumblineError, StorageFull
from analytics.ledger import LIMIT, Ledger
from analytics.store import booking
from analytics.store.base import Ack
from analytics.store.booking import EVENTS
from analytics.store.columns import Columns, add_sql, columns_of, create_sql, missing, of_schema, table_of
from analytics.store.ids import Hashes, SeenIds
from analytics.store.kept import State, Touched
from analytics.store.parts import Append, Drop, Part, joined

log = logging.getLogger(__name__)

TRIM_ROWS = 10_000
QUOTED = re.compile(r"""(["']).*?\1""")
CHECKPOINT_AGAIN_S = 10.0  # after one that failed
REOPEN_AGAIN_S = 0.5
QUIET_S = 0.002  # a batch is closed early when nothing joined it for so long


class Writer:
    """Owns the one connection that writes, the queue before it and the tail behind it."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        path: Path | None,
        *,
        batch_rows: int,
        batch_ms: float,
        queue_rows: int,
        checkpoint_bytes: int,
        reopen: Callable[[], duckdb.DuckDBPyConnection],
        keep: Mapping[str, timedelta] | None = None,
        before_commit: Callable[[], None] | None = None,
        on_commit: Callable[[str, pa.Table], None] = lambda dataset, table: None,
        ledger_rows: int = LIMIT,
    ) -> None:
        self._connection, self._wal = connection, path and path.with_name(path.name + ".wal")
        self._batch_rows, self._batch_s, self._queue_rows = batch_rows, batch_ms / 1000, queue_rows
        self._checkpoint_bytes, self._checkpoint_from = checkpoint_bytes, 0.0
        self._reopen = reopen
        self._keep = dict(keep or {})
        self._trimmed_at = dict.fromkeys(self._keep, 0)
        self._before_commit, self._on_commit = before_commit, on_commit
        self._changed = threading.Condition()
        self._incoming: list[Append] = []
        self._tail: list[Part] = []
        self._drops: list[Drop] = []
        self._seen: dict[str, SeenIds] = {}
        self._ledger, self._ledger_rows = Ledger(), ledger_rows
        self._reader = booking.Reader(duckdb.connect(":memory:", config={"threads": 1}))
        self._looking = connection.cursor()  # of the admit thread, for calls that memory has let go of
        self._booking = threading.Lock()  # held while a batch becomes a part, and while what is known is learnt anew
        self._stopping = False
        self._admitted_all = False
        self.rows: dict[str, int] = {}  # committed rows per table that exists
        self._columns: dict[str, Columns] = {}  # of each table that exists
        self._touched: dict[str, Touched] = {}
        self.queued = 0
        self.commits = 0
        self.last_commit_ms = 0.0
        self._seq = 0
        self._loop = asyncio.get_running_loop()
        self._threads = [
            threading.Thread(target=run, name=f"store{run.__name__}", daemon=True) for run in (self._admit, self._write)
        ]

    def start(self) -> None:
        """Learn what is there (rows, ids) and start the threads."""
        self._seq = self._one("SELECT seq FROM pl_about.commits")
        self._learn()
        for thread in self._threads:
            thread.start()

    def _learn(self) -> None:
        with self._booking:
            tables = columns_of(self._connection)
            self._learn_ids(tables)
            self._ledger = booking.learnt(self._looking, tables.get(EVENTS), limit=self._ledger_rows)
            self._reader.forget()
            for part in [part for part in self._tail if part.entry]:
                told = self._reader.told(part.table, self._hashed(self._connection, part.table["event_id"]))
                part.entry = self._ledger.resolve(told, part.seq) if told else None

    def _learn_ids(self, tables: Mapping[str, Columns]) -> None:
        for name, columns in tables.items():
            ids = f'SELECT hash(event_id) AS h FROM pl_data."{name}" WHERE event_id IS NOT NULL'
            seen = SeenIds(self._connection.execute(ids).fetchnumpy()["h"])
            rows = self._one(f'SELECT count(*) FROM pl_data."{name}"')
            with self._changed:
                for part in self._tail:
                    if part.dataset == name:
                        seen.add(part.hashes)
                self._seen[name], self.rows[name], self._columns[name] = seen, rows, columns

    def append(self, dataset: str, table: pa.Table) -> asyncio.Future[Ack]:
        """Queue rows; the future is done when they are committed. Raises Overloaded."""
        with self._changed:
            self._check_open()
            if self.queued and self.queued + table.num_rows > self._queue_rows:
                raise Overloaded(
                    f"the write queue is full: {self.queued:,} of {self._queue_rows:,} rows wait",
                    hint="send the same events again in a moment",
                )
            waiting = Append(dataset, table, self._loop.create_future())
            self._incoming.append(waiting)
            self.queued += table.num_rows
            self._changed.notify_all()
        return waiting.future

    def drop(self, dataset: str) -> asyncio.Future[int]:
        """Queue the end of a dataset; the future tells how many committed rows it had. Raises Overloaded."""
        with self._changed:
            self._check_open()
            drop = Drop(dataset, self._loop.create_future())
            self._drops.append(drop)
            self._changed.notify_all()
        return drop.future

    def _check_open(self) -> None:
        if self._stopping:
            raise Overloaded("the store is closing", hint="send the same events again in a moment")

    def tail(self, dataset: str) -> tuple[list[Part], Columns | None]:
        """The rows that a snapshot taken later may lack, and the columns of the table; None where there is none."""
        with self._changed:
            return [part for part in self._tail if part.dataset == dataset], self._columns.get(dataset)

    def touched(self, dataset: str) -> tuple[State, Touched]:
        """What a snapshot taken later has at least, and what changes after it."""
        with self._changed:
            touched = self._touched.setdefault(dataset, Touched())
            return State(touched.era, self._seq), touched

    def waited_s(self) -> float:
        """Age of the oldest rows that are not committed yet."""
        with self._changed:
            waiting = [*(append for part in self._tail[:1] for append in part.appends), *self._incoming[:1]]
            return max((time.monotonic() - append.since for append in waiting), default=0.0)

    def stop(self) -> None:
        """Commit what is queued, checkpoint, end the threads. Blocks."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        for thread in self._threads:
            if thread.ident:
                thread.join()
        self._looking.close()

    def _admit(self) -> None:
        """Thread: drop repeated ids and move rows to the tail, all that wait at once."""
        with duckdb.connect(":memory:", config={"threads": 1}) as hasher:
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: self._incoming or self._stopping)
                    taken, self._incoming = self._incoming, []
                    if not taken:
                        self._admitted_all = True
                        self._changed.notify_all()
                        return
                for dataset in dict.fromkeys(append.dataset for append in taken):
                    appends = [append for append in taken if append.dataset == dataset]
                    try:
                        self._admit_dataset(hasher, dataset, appends)
                    except Exception as error:  # the thread must live on; the callers learn of it
                        self._reader.forget()
                        self._settle(appends, error)

    def _admit_dataset(self, hasher: duckdb.DuckDBPyConnection, dataset: str, appends: list[Append]) -> None:
        table = joined([append.table for append in appends])
        ids = table["event_id"]
        hashes = self._hashed(hasher, ids)
        named = ids.is_valid().to_numpy()
        with self._booking:
            with self._changed:
                seen = self._seen.setdefault(dataset, SeenIds())
            fresh = np.ones(len(hashes), np.bool_)  # a row without an id is never a repeat
            fresh[named] = seen.new(hashes[named])
            at = 0
            for append in appends:
                append.accepted = int(fresh[at : at + append.table.num_rows].sum())
                at += append.table.num_rows
            added = hashes[fresh & named]
            table = table if fresh.all() else table.filter(pa.array(fresh))
            told = self._reader.told(table, hashes[fresh]) if dataset == EVENTS else None
            entry = self._ledger.resolve(told, self._seq + 1) if told else None
            with self._changed:
                seen.add(added)
                self._seq += 1
                table = booking.marked(table, entry) if entry else table
                self._touched.setdefault(dataset, Touched()).add(self._seq, table, entry)
                self._tail.append(Part(self._seq, table, added, appends, entry))
                self._changed.notify_all()

    def _write(self) -> None:
        """Thread: commit the tail from its front, in batches; checkpoint between them."""
        while batch := self._next_batch():
            if isinstance(batch, Drop):
                self._forget(batch)
                continue
            started = time.perf_counter()
            try:
                tables = self._commit(batch)
            except Exception as error:
                self._fail(error)
                if isinstance(error, duckdb.FatalException):
                    self._recover()
                continue
            self.last_commit_ms = (time.perf_counter() - started) * 1000
            self.commits += 1
            self._committed(batch, tables)
            self._trim()
            grown = self._wal is not None and self._size(self._wal) > self._checkpoint_bytes
            if grown and time.monotonic() > self._checkpoint_from:
                self._checkpoint()
        self._checkpoint()

    def _next_batch(self) -> list[Part] | Drop:
        """The parts of the next transaction, or a dataset to drop; empty when all is written and the store closes."""
        with self._changed:
            self._changed.wait_for(lambda: self._tail or self._drops or self._admitted_all)
            if self._drops:
                return self._drops.pop(0)
            closes_at = time.monotonic() + self._batch_s
            while sum(part.table.num_rows for part in self._tail) < self._batch_rows and not self._stopping:
                left = min(closes_at - time.monotonic(), QUIET_S)
                if left <= 0 or not self._changed.wait(left):
                    break
            rows, batch = 0, []
            for part in self._tail:
                batch.append(part)
                rows += part.table.num_rows
                if rows >= self._batch_rows:
                    break
            return batch

    def _commit(self, batch: list[Part]) -> dict[str, pa.Table]:
        """One transaction for all parts; returns the new rows per dataset."""
        tables = {
            dataset: joined([part.table for part in batch if part.dataset == dataset])
            for dataset in dict.fromkeys(part.dataset for part in batch)
        }
        with self._transaction():
            for dataset, table in tables.items():
                self._shape(dataset, table.schema)
                if table.num_rows:
                    self._connection.register("batch", table)
                    self._connection.execute(f"INSERT INTO {table_of(dataset)} BY NAME SELECT * FROM batch")
            booking.turn(self._connection, [part.entry for part in batch if part.entry])
            self._connection.execute("UPDATE pl_about.commits SET seq = ?", [batch[-1].seq])
            if self._before_commit:
                self._before_commit()
        return tables

    def _shape(self, dataset: str, schema: pa.Schema) -> None:
        """Inside a transaction: make the table, or add the columns that were declared since."""
        columns = self._columns.get(dataset)
        if columns is None:
            self._connection.execute(create_sql(dataset, schema))
            return
        for field in missing(columns, schema):
            self._connection.execute(add_sql(dataset, field))

    def _forget(self, drop: Drop) -> None:
        """Drop a dataset. Rows that were on their way to it are refused; later ones begin it anew."""
        name = drop.dataset
        with self._booking, self._changed:
            gone = [part for part in self._tail if part.dataset == name]
            self._tail = [part for part in self._tail if part.dataset != name]
            rows = self.rows.pop(name, 0)
            self._columns.pop(name, None)
            self._seen.pop(name, None)
            if name == EVENTS:
                self._ledger = Ledger(limit=self._ledger_rows)
                self._reader.forget()
        waiting = [append for part in gone for append in part.appends]
        try:
            with self._transaction():
                self._connection.execute(f"DROP TABLE IF EXISTS {table_of(name)}")
        except Exception as error:  # the thread must live on; the caller learns of it
            refusal = _refusal(error)
            self._settle(waiting, error)
            self._call(lambda: drop.end(refusal))
            if isinstance(error, duckdb.FatalException):
                self._recover()
            else:
                self._learn()
            return
        if name in self._trimmed_at:
            self._trimmed_at[name] = 0
        with self._changed:
            self._touched.setdefault(name, Touched()).clear()
        self._settle(waiting, Conflict(f"the dataset {name!r} was dropped while these rows were on their way"))
        self._call(lambda: drop.end(rows))

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(duckdb.Error):  # a failed COMMIT has rolled back already
                self._connection.execute("ROLLBACK")
            raise
        finally:
            with contextlib.suppress(duckdb.Error):
                self._connection.unregister("batch")

    def _committed(self, batch: list[Part], tables: dict[str, pa.Table]) -> None:
        acks: list[tuple[Append, Ack]] = []
        with self._changed:
            del self._tail[: len(batch)]
            self._ledger.committed = batch[-1].seq
            for dataset, table in tables.items():
                self._columns[dataset] = {**self._columns.get(dataset, {}), **of_schema(table.schema)}
            for part in batch:
                cursor = self.rows[part.dataset] = self.rows.get(part.dataset, 0) + part.table.num_rows
                for append in part.appends:
                    self.queued -= append.table.num_rows
                    acks.append((append, Ack(append.accepted, append.table.num_rows - append.accepted, cursor)))
            self._changed.notify_all()

        def tell() -> None:
            for append, ack in acks:
                if not append.future.done():
                    append.future.set_result(ack)
            for dataset, table in tables.items():
                if table.num_rows:
                    self._on_commit(dataset, table)

        self._call(tell)

    def _fail(self, error: Exception) -> None:
        """Drop the whole tail: a repeat in it counted on a first copy that was not kept."""
        with self._booking, self._changed:
            failed, self._tail = self._tail, []
            for part in failed:
                self._touched.setdefault(part.dataset, Touched()).clear()
                self._seen[part.dataset].discard(part.hashes)
            self._reader.forget()
            self._ledger.undo(part.entry for part in failed if part.entry)
        self._settle([append for part in failed for append in part.appends], error)

    def _settle(self, appends: list[Append], error: Exception) -> None:
        refusal = _refusal(error)
        with self._changed:
            self.queued -= sum(append.table.num_rows for append in appends)

        def tell() -> None:
            for append in appends:
                if not append.future.done():
                    append.future.set_exception(refusal)

        self._call(tell)

    def _call(self, tell: Callable[[], None]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is gone; so are the callers
            self._loop.call_soon_threadsafe(tell)

    def _checkpoint(self) -> None:
        """Fold the WAL into the file. One that fails is tried again later; all that was committed is in the WAL."""
        try:
            self._connection.execute("CHECKPOINT")
        except duckdb.Error as error:
            self._checkpoint_from = time.monotonic() + CHECKPOINT_AGAIN_S
            if isinstance(error, duckdb.FatalException):
                log.warning("a checkpoint failed, all data is safe: %s", str(error).splitlines()[0][:300])
                self._recover()

    def _recover(self) -> None:
        """After a fatal error (a disk that fills up in a checkpoint) the engine answers nothing more, not even
        reads: open the file anew and learn again what it holds. Refuses what waits as long as that fails."""
        while not self._stopping:
            try:
                with self._booking:
                    self._looking.close()
                    self._connection.close()
                    self._connection = self._reopen()
                    self._looking = self._connection.cursor()
                self._learn()
                return
            except Exception as error:  # the thread must live on
                self._fail(error)
                with self._changed:
                    self._changed.wait_for(lambda: self._stopping, REOPEN_AGAIN_S)

    def _trim(self) -> None:
        """Delete what is too old in the datasets that are kept for a time, once per TRIM_ROWS new rows of each.

        Old is measured from the newest row, so that a clock set wrongly for a while costs nothing else.
        """
        for dataset, span in self._keep.items():
            if self.rows.get(dataset, 0) < self._trimmed_at[dataset] + TRIM_ROWS:
                continue
            table = table_of(dataset)
            oldest = f"(SELECT max(time) FROM {table}) - INTERVAL {int(span.total_seconds())} SECOND"
            with contextlib.suppress(duckdb.Error):  # tried again after the next commit
                gone = self._one(f"DELETE FROM {table} WHERE time < {oldest}")
                with self._changed:
                    self._trimmed_at[dataset] = self.rows[dataset] = self.rows[dataset] - gone
                    if gone:
                        self._touched.setdefault(dataset, Touched()).clear()

    def _one(self, sql: str) -> int:
        row = self._connection.execute(sql).fetchone()
        return int(row[0]) if row else 0

    @staticmethod
    def _hashed(hasher: duckdb.DuckDBPyConnection, ids: pa.ChunkedArray) -> Hashes:
        hasher.register("ids", pa.table({"id": ids}))
        hashes: Hashes = hasher.execute("SELECT hash(id) AS h FROM ids").fetchnumpy()["h"]
        return hashes

    @staticmethod
    def _size(path: Path) -> int:
        try:
            return path.stat().st_size
        except FileNotFoundError:
            return 0


def _refusal(error: Exception) -> Exception:
    if isinstance(error, PlumblineError):
        return error
    if isinstance(error, duckdb.IOException | duckdb.FatalException | duckdb.TransactionException | OSError):
        told = str(error).splitlines()[0][:300]
        log.warning("a batch was not kept: %s", told)
        why = (error.strerror if isinstance(error, OSError) else None) or told.rpartition(": ")[2]
        return StorageFull(
            f"nothing of this batch was kept: {QUOTED.sub('...', why)}",  # without the names of our files
            hint="make room, then send the same events again",
        )
    hidden: Any = Internal.hidden()
    hidden.__cause__ = error
    return hidden  # type: ignore[no-any-return]
