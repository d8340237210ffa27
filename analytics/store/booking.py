"""The ledger's way to rows: a table as the numbers it is resolved by, and what it turned into evidence as SQL."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from analytics.ledger import (
    CALL,
    COUNTED,
    FULL,
    HOUR_US,
    RECORD,
    USAGE,
    Entry,
    Ledger,
    Rows,
    Told,
)
from analytics.store.columns import Columns, key, table_of
from analytics.store.ids import Hashes
from analytics.store.terms import SINCE

EVENTS = "events"
NEEDED = ("event_id", "time", "received", "kind", "way", "call_id", "session", "evidence", "parent_id", "source",
          "model", "tokens_input", "tokens_output", "tokens_cached", "tokens_cache_written", "cost_usd")  # fmt: skip
TOLD = pa.array(["model", "tool", "usage"])
WAYS = pa.array(["event", "transcript", "log", "span"])  # as WAY counts them, from 1
LOG_WAY, SPAN_WAY = 3, 4
REMEMBERED = 100_000  # sessions, sources and models by the hour
MANY = 15  # gaps at most at which the times of one commit's updates are cut
NEAR_US = HOUR_US // 6  # what is no longer than this is not cut

DAY = f"{24 * HOUR_US}"
TOKENS = "(tokens_input IS NOT NULL OR tokens_output IS NOT NULL)"
BOUNDED = " + ".join(f"least(greatest(coalesce({c}, 0), 0), {1 << 56})" for c in ("tokens_input", "tokens_output"))
FULLNESS = f"CASE WHEN {TOKENS} THEN 2 ELSE 0 END + CASE WHEN cost_usd IS NULL THEN 0 ELSE 1 END"
WAY = "CASE way WHEN 'span' THEN 4 WHEN 'log' THEN 3 WHEN 'transcript' THEN 2 WHEN 'event' THEN 1 ELSE 0 END"
RANK = f"CAST((({FULLNESS}) * 8 + {WAY}) * {1 << 58}::BIGINT + {BOUNDED} AS BIGINT)"
KEY = "CASE WHEN call_id IS NULL THEN 0::UBIGINT ELSE hash('call', kind, call_id) END"
SPAN = "CASE WHEN kind = 'model' AND way = 'span' THEN hash(event_id) ELSE 0::UBIGINT END"
PARENT = "CASE WHEN kind = 'model' AND way = 'log' AND parent_id IS NOT NULL THEN hash(parent_id) ELSE 0::UBIGINT END"
CALLED = "kind IN ('model', 'tool') AND way IS DISTINCT FROM 'metric' AND event_id IS NOT NULL"
LINKED = "kind = 'model' AND (way = 'span' OR (way = 'log' AND parent_id IS NOT NULL)) AND event_id IS NOT NULL"
TELLS = (
    f"hash(event_id) AS id, epoch_us(time) AS time, {RANK} AS rank, {KEY} AS key, {SPAN} AS span, {PARENT} AS parent"
)

PLACE = "coalesce(source, ''), coalesce(model, '')"
FIRST = (
    f"CASE WHEN session IS NOT NULL THEN hash('session', session)"
    f" ELSE hash('any', {PLACE}, epoch_us(time) // {DAY}) END"
)
SECOND = f"CASE WHEN session IS NULL THEN 0::UBIGINT ELSE hash('none', {PLACE}, epoch_us(time) // {DAY}) END"
TELLING = "coalesce(tokens_input, tokens_output, tokens_cached, tokens_cache_written, cost_usd) IS NOT NULL"
INCREMENT = f"kind = 'usage' AND event_id IS NOT NULL AND {TELLING}"  # others count what no call tells
COVERED_BY = f"kind = 'model' AND way IS DISTINCT FROM 'metric' AND {TOKENS}"


def _marks(table: str, condition: str = COVERED_BY) -> str:
    """The keys that the calls of a table cover, rows where the condition holds. An increment may come an hour after
    its call, on the next day; one without a model is covered by any of its source."""
    spread = ", ".join(
        f"CASE WHEN {condition} THEN hash('{kind}', source, {model}, {day}) END"
        for kind, condition in (("any", "TRUE"), ("none", "session IS NULL"))
        for model in ("model", "''")
        for day in ("first", "last")
    )
    told = (
        f"SELECT DISTINCT session, coalesce(source, '') AS source, coalesce(model, '') AS model,"
        f" epoch_us(time) // {DAY} AS first, (epoch_us(time) + {HOUR_US}) // {DAY} AS last"
        f" FROM {table} WHERE {condition}"
    )
    session = "CASE WHEN session IS NOT NULL THEN hash('session', session) END"
    return (
        f"SELECT DISTINCT mark FROM (SELECT unnest([{session}, {spread}]) AS mark FROM ({told})) WHERE mark IS NOT NULL"
    )


class Reader:
    """Reads batches for the ledger. Most tell little of it: only the rows of calls and usage are looked at, those of
    plain spans without SQL, and what covers nothing new is not hashed again."""

    def __init__(self, cursor: duckdb.DuckDBPyConnection) -> None:
        self._cursor = cursor
        self._covering: set[Any] = set()

    def forget(self) -> None:
        """What was covered may have been undone."""
        self._covering = set()

    def told(self, table: pa.Table, hashes: Hashes) -> Told | None:
        """A batch and the hashes of its ids; None where it tells of no call and no usage."""
        if not set(NEEDED) <= set(table.column_names):
            return None
        places = np.flatnonzero(pc.is_in(table["kind"], value_set=TOLD).to_numpy())
        if not len(places):
            return None
        rows = table.select(NEEDED).take(pa.array(places)).append_column("place", pa.array(places))
        at = pc.max(rows["received"]).cast(pa.int64()).as_py() or 0
        kinds, ways = (set(pc.unique(rows[name]).to_pylist()) for name in ("kind", "way"))
        if rows["call_id"].null_count == len(places) and "usage" not in kinds and "log" not in ways:
            return Told(_spans(rows, hashes[places]), np.zeros(0, USAGE), self._marks(rows), at)
        usage = self._usage(rows) if "usage" in kinds else np.zeros(0, USAGE)
        return Told(self._calls(rows, hashes[places]), usage, self._marks(rows), at)

    def _calls(self, rows: pa.Table, hashes: Hashes) -> Rows:
        """What CALLED and TELLS say in SQL: only what is hashed goes to the engine."""
        model, tool = (pc.equal(rows["kind"], kind).to_numpy() for kind in ("model", "tool"))
        way = pc.add(pc.index_in(rows["way"], value_set=WAYS), 1).fill_null(0).to_numpy().astype(np.int64)
        metric = pc.equal(rows["way"], "metric").fill_null(False).to_numpy()
        named, identified, nested = (rows[c].is_valid().to_numpy() for c in ("call_id", "event_id", "parent_id"))
        span, log = model & (way == SPAN_WAY), model & (way == LOG_WAY) & nested
        ours = np.flatnonzero((model | tool) & ~metric & identified & (named | span | log))
        given, named, span, log = rows.take(pa.array(ours)), named[ours], span[ours], log[ours]
        calls = np.zeros(len(ours), CALL)
        calls["place"], calls["id"] = given["place"].to_numpy(), hashes[ours]
        calls["time"], calls["rank"] = given["time"].cast(pa.int64()).to_numpy(), _ranks(given, way[ours])
        calls["span"][span] = hashes[ours][span]
        if named.any():
            few = given.select(["kind", "call_id"]).filter(pa.array(named))
            calls["key"][named] = self._hashes(few, "SELECT hash('call', kind, call_id) AS mark FROM fresh")
        if log.any():
            few = given.select(["parent_id"]).filter(pa.array(log))
            calls["parent"][log] = self._hashes(few, "SELECT hash(parent_id) AS mark FROM fresh")
        return calls

    def _usage(self, rows: pa.Table) -> Rows:
        increments = f"epoch_us(time) AS time, {FIRST} AS first, {SECOND} AS second FROM told WHERE {INCREMENT}"
        self._cursor.register("told", rows)
        try:
            return _rows(self._cursor, f"SELECT place, {increments}", USAGE)
        finally:
            self._cursor.unregister("told")

    def _marks(self, rows: pa.Table) -> Hashes:
        """Keys that these calls cover, of those that were not met lately: sessions, and sources with their models."""
        tokens = pc.or_(pc.is_valid(rows["tokens_input"]), pc.is_valid(rows["tokens_output"]))
        calls = pc.and_(pc.equal(rows["kind"], "model"), pc.not_equal(rows["way"], "metric").fill_null(True))
        told = rows.select(["session", "source", "model", "time"]).filter(pc.and_(calls, tokens))
        told = told.append_column("hour", pc.divide(told["time"].cast(pa.int64()), HOUR_US))
        told = told.append_column("alone", pc.is_null(told["session"]))
        places = told.group_by(["source", "model", "hour", "alone"], use_threads=False).aggregate(
            [("session", "min"), ("time", "min")]
        )
        met = list(zip(*(places[name].to_pylist() for name in ("source", "model", "hour", "alone")), strict=True))
        new = [at for at, each in enumerate(met) if each not in self._covering]
        sessions = [each for each in told["session"].unique().to_pylist() if each not in self._covering]
        if len(self._covering) > REMEMBERED:
            self.forget()
        self._covering.update((met[at] for at in new), sessions)
        found = [np.zeros(0, np.uint64)]
        if new:
            few = places.take(pa.array(new)).rename_columns({"session_min": "session", "time_min": "time"})
            found.append(self._hashes(few, _marks("fresh", "TRUE")))
        if named := [each for each in sessions if each is not None]:
            few = pa.table({"session": pa.array(named, pa.string())})
            found.append(self._hashes(few, "SELECT hash('session', session) AS mark FROM fresh"))
        return np.concatenate(found)

    def _hashes(self, fresh: pa.Table, sql: str) -> Hashes:
        self._cursor.register("fresh", fresh)
        try:
            return _hashes(self._cursor, sql)
        finally:
            self._cursor.unregister("fresh")


def _spans(rows: pa.Table, hashes: Hashes) -> Rows:
    """The spans of models among rows that name no call: what a log may be linked to later."""
    ours = pc.and_kleene(pc.equal(rows["kind"], "model"), pc.equal(rows["way"], "span"))
    ours = pc.and_kleene(ours, pc.is_valid(rows["event_id"])).fill_null(False).to_numpy()
    spans = np.zeros(int(ours.sum()), CALL)
    tokens = pc.or_(pc.is_valid(rows["tokens_input"]), pc.is_valid(rows["tokens_output"])).to_numpy()
    full = 2 * tokens.astype(np.int64) + pc.is_valid(rows["cost_usd"]).to_numpy()
    spans["place"], spans["id"], spans["span"] = rows["place"].to_numpy()[ours], hashes[ours], hashes[ours]
    spans["time"], spans["rank"] = rows["time"].cast(pa.int64()).to_numpy()[ours], full[ours] << FULL
    return spans


def _ranks(calls: pa.Table, way: Rows) -> Rows:
    """RANK of calls, with the place of their way in WAYS, from 1."""
    tokens, bounded = np.zeros(len(way), np.bool_), np.zeros(len(way), np.int64)
    for name in ("tokens_input", "tokens_output"):
        tokens |= calls[name].is_valid().to_numpy()
        bounded += np.clip(calls[name].fill_null(0).to_numpy(), 0, 1 << 56)
    full = 2 * tokens.astype(np.int64) + calls["cost_usd"].is_valid().to_numpy()
    ranks: Rows = ((full * 8 + way) << (FULL - 3)) + bounded
    return ranks


def learnt(cursor: duckdb.DuckDBPyConnection, columns: Columns | None, *, limit: int) -> Ledger:
    """A ledger that knows what the table of events holds, and looks up there what it lets go of; a table from before
    the ledger tells it nothing."""
    ledger = Ledger(lambda keys, since, until: older(cursor, keys, since, until), limit=limit)
    if columns is None or any(key(name) not in columns for name in NEEDED):
        return ledger
    table, newest = table_of(EVENTS), f"ORDER BY time DESC LIMIT {int(limit)}"
    counting = "evidence IS NOT TRUE"
    calls = f"SELECT 0 AS place, {TELLS} FROM {table} WHERE {CALLED} AND call_id IS NOT NULL AND {counting} {newest}"
    links = f"SELECT 0 AS place, {TELLS} FROM {table} WHERE {LINKED} {newest}"
    each = f"SELECT time, unnest([{FIRST}, {SECOND}]) AS key FROM {table} WHERE {INCREMENT} AND {counting}"
    counted = (
        "SELECT key, epoch_us(min(time)) AS since, epoch_us(max(time)) AS until"
        f" FROM ({each}) WHERE key <> 0 GROUP BY key"
    )
    ledger.learn(
        _rows(cursor, calls, CALL),
        _rows(cursor, links, CALL),
        _rows(cursor, counted, COUNTED),
        _hashes(cursor, _marks(table)),
    )
    return ledger


def older(cursor: duckdb.DuckDBPyConnection, keys: Hashes, since: int, until: int) -> Rows:
    """The calls of these keys that count, between two times, from the table."""
    cursor.register("asked", pa.table({"asked": keys}))
    try:
        sql = (
            f"SELECT {TELLS}, 0::BIGINT AS seq FROM {table_of(EVENTS)} WHERE {_between(since, until)} AND {CALLED}"
            f" AND call_id IS NOT NULL AND evidence IS NOT TRUE AND {KEY} IN (SELECT asked FROM asked)"
        )
        return _rows(cursor, sql, RECORD)
    finally:
        cursor.unregister("asked")


def marked(table: pa.Table, entry: Entry) -> pa.Table:
    """The batch with its evidence told; what the sender said of that does not count."""
    mask = np.zeros(table.num_rows, np.bool_)
    mask[entry.evidence] = True
    said = {"evidence": pa.array(mask, mask=~mask), SINCE: pa.nulls(table.num_rows, pa.timestamp("us"))}
    for name, told in said.items():
        if name in table.column_names and not (told.null_count == table[name].null_count == table.num_rows):
            place = table.column_names.index(name)
            table = table.set_column(place, table.schema.field(place), told)
    return table


def turn(cursor: duckdb.DuckDBPyConnection, entries: Iterable[Entry]) -> None:
    """Inside a transaction: make the kept rows evidence that these batches turned."""
    turned = _turned(cursor, entries)
    for condition, at in turned:
        cursor.execute(
            f"UPDATE {table_of(EVENTS)} SET evidence = TRUE, {SINCE} = make_timestamp({at})"
            f" WHERE evidence IS NOT TRUE AND {condition}"
        )
    if turned:
        release(cursor)


def overlaid(cursor: duckdb.DuckDBPyConnection, source: str, entries: Iterable[Entry]) -> str:
    """A source of rows as it is once these batches are committed; what it needs is the cursor's until `release`."""
    turned = _turned(cursor, entries)
    if not turned:
        return source
    cases = " ".join(f"WHEN {condition} THEN make_timestamp({at})" for condition, at in turned)
    found = f"SELECT *, CASE WHEN evidence THEN NULL {cases} END AS turned_at FROM {source}"
    evidence = "CASE WHEN turned_at IS NULL THEN evidence ELSE TRUE END AS evidence"
    return (
        f"(SELECT * EXCLUDE (turned_at) REPLACE ({evidence}, coalesce(turned_at, {SINCE}) AS {SINCE}) FROM ({found}))"
    )


def release(cursor: duckdb.DuckDBPyConnection) -> None:
    for name in ("turned", "covered"):
        cursor.unregister(name)


def _turned(cursor: duckdb.DuckDBPyConnection, entries: Iterable[Entry]) -> list[tuple[str, int]]:
    """Conditions on the rows that some batches turned, each with its time, and from when they are evidence; what they
    name becomes the cursor's."""
    turned = [entry.turned for entry in entries if entry.turned]
    if not turned:
        return []
    _register(cursor, "turned", [each.rows["id"] for each in turned])
    _register(cursor, "covered", [each.covered["key"] for each in turned])
    found = []
    for batch, each in enumerate(turned):
        ids, keys = (f"(SELECT key FROM {name} WHERE batch = {batch})" for name in ("turned", "covered"))
        conditions = [
            f"{_between(since, until)} AND kind IN ('model', 'tool') AND hash(event_id) IN {ids}"
            for since, until in _stretches(np.sort(each.rows["time"]), MANY // len(turned))
        ]
        if len(covered := each.covered):
            within = _between(covered["since"].min(), covered["until"].max())
            conditions.append(f"{within} AND {INCREMENT} AND ({FIRST} IN {keys} OR {SECOND} IN {keys})")
        found += [(condition, each.at) for condition in conditions]
    return found


def _register(cursor: duckdb.DuckDBPyConnection, name: str, keys: list[Hashes]) -> None:
    """Keys as a table, with the number of the batch that has them."""
    batch = np.repeat(np.arange(len(keys)), [len(each) for each in keys])
    cursor.register(name, pa.table({"key": np.concatenate(keys), "batch": batch}))


def _between(since: int, until: int) -> str:
    return f"time BETWEEN make_timestamp({int(since)}) AND make_timestamp({int(until)})"


def _stretches(times: Rows, most: int) -> list[tuple[int, int]]:
    """Sorted times as a few stretches, cut at most so often: at their longest gaps."""
    if not len(times):
        return []
    gaps = np.sort(np.argsort(np.diff(times))[max(len(times) - 1 - most, 0) :])
    starts, ends = np.append(0, gaps + 1), np.append(gaps, len(times) - 1)
    found = [(int(times[a]), int(times[b])) for a, b in zip(starts, ends, strict=True)]
    return found if found[-1][1] - found[0][0] > NEAR_US else [(found[0][0], found[-1][1])]


def _rows(cursor: duckdb.DuckDBPyConnection, sql: str, dtype: np.dtype[Any]) -> Rows:
    columns: Mapping[str, Any] = cursor.execute(sql).fetchnumpy()
    rows = np.zeros(len(next(iter(columns.values()))), dtype)
    for name in dtype.names or ():
        rows[name] = columns[name]
    return rows


def _hashes(cursor: duckdb.DuckDBPyConnection, sql: str) -> Hashes:
    found: Hashes = np.asarray(cursor.execute(sql).fetchnumpy()["mark"], dtype=np.uint64)
    return found
