"""Metric points to exact increments: rows of kind `usage` whose `value` may simply be summed.

A delta point is its own increment. A cumulative point is one observation of a counter that began at its start time,
so what counts is the growth from observation to observation of one stream (series, start):

    known start      the first observation counts whole; not one taken at the start itself, which is what it began from
    unknown start    the first observation is what the rest is measured from
    below the last   the counter began anew: the observation counts whole
    late             takes its place in order; it adds what only it shows, which is nothing but beside a reset

The growth of a set of observations does not depend on the order in which they came, and no step of it is negative.
What a stream has grown and not told yet is `untold`; it is told with the next point. A batch that the store refuses
gives back what it told, so that batches of one stream may be under way at once and none waits for another.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from threading import Lock
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from analytics.events import SCHEMA
from analytics.ingest.spread import Spread, read
from analytics.ingest.vocabulary import Usage

HISTORY = 32  # observations of a stream that a late one can still be placed among
STREAMS_MAX = 100_000
LEARNT = timedelta(days=3)  # how far back from the newest reading a new run looks
READ = ("series", "start_time", "time", "point", "temporality", "value", "count", "distribution", "event_id")
LEARNED = ("series", "start_time", "point", "time", "value", "count", "distribution")
HISTOGRAMS = ("histogram", "exponential_histogram")
UNSAID = ("point", "temporality", "monotonic")  # of an increment: it is no point of a stream
COUNTS = """kind = 'resource' AND temporality = 'cumulative' AND series IS NOT NULL
    AND ((monotonic AND value >= 0) OR (point IN ('histogram', 'exponential_histogram') AND "count" IS NOT NULL))"""
# parameter: since when; the newest observations of every stream, and the newest start of all that may be older
RECENT = f"""SELECT series, start_time, point, time, value, "count", distribution FROM {{events}}
    WHERE time >= ? AND {COUNTS} QUALIFY row_number() OVER (PARTITION BY series, start_time ORDER BY time DESC)
        <= CASE WHEN point = 'sum' THEN {HISTORY} ELSE 1 END"""
OLDER = f"SELECT max(start_time) AS start FROM {{events}} WHERE time < ? AND {COUNTS}"


class Sum:
    """One cumulative sum that began at `start`; `known` says whether its first observation here is its first."""

    __slots__ = ("_cut", "_start", "_times", "_values", "tellings", "untold")

    def __init__(self, start: int | None, known: bool) -> None:
        self._start = start if known else None
        self._cut = False  # older observations are forgotten
        self._times, self._values = array("q"), array("d")
        self.untold = 0.0
        self.tellings = 0

    def see(self, row: Row) -> None:
        """Place one observation; what it adds becomes untold."""
        time, value, times, values = row.time, row.value, self._times, self._values
        at = bisect_left(times, time)
        if (at < len(times) and times[at] == time) or (at == 0 and self._cut):
            return
        self.untold += self._growth(at, time, value)
        if at < len(times):
            self.untold += step(value, values[at]) - self._growth(at, times[at], values[at])
        times.insert(at, time)
        values.insert(at, value)
        if len(times) > HISTORY:
            del times[0], values[0]
            self._cut = True

    def _growth(self, at: int, time: int, value: float) -> float:
        """Of an observation in place `at`, over the one before it."""
        if at:
            return step(self._values[at - 1], value)
        return 0.0 if self._start in (None, time) else value

    def tell(self) -> float | None:
        """What is untold, if there is any; now it is told."""
        if self.untold <= 0:
            return None
        found, self.untold = self.untold, 0.0
        return found

    def untell(self, told: float) -> None:
        self.untold += told

    def learned(self, whole: bool) -> None:
        """What was seen so far an earlier run has told; `whole` says that nothing older is missing."""
        self.untold = 0.0
        self._cut = not whole or self._start is None or len(self._times) >= HISTORY


class Histogram:
    """One cumulative histogram. Only its newest observation is kept, as text, so that a late one adds nothing."""

    __slots__ = ("_last", "_start", "tellings", "untold")

    def __init__(self, start: int | None, known: bool) -> None:
        self._start = start if known else None
        self._last: Row | None = None
        self.untold: Spread | None = None
        self.tellings = 0

    def see(self, row: Row) -> None:
        last = self._last
        if last is not None and row.time <= last.time:
            return
        self._last = row
        if last is None and self._start in (None, row.time):
            return
        grown = row.spread
        if last is not None:
            grown = grown.minus(last.spread) or grown
        self.untell(grown)

    def tell(self) -> Spread | None:
        found, self.untold = self.untold, None
        return found if found and found.count else None

    def untell(self, told: Spread) -> None:
        self.untold = told if self.untold is None else self.untold.plus(told)

    def learned(self, whole: bool) -> None:
        self.untold = None


class Row(NamedTuple):
    """What a point says of its stream."""

    time: int
    value: Any  # of a histogram None where the sender told no sum
    observations: int | None = None
    distribution: str | None = None

    @property
    def spread(self) -> Spread:
        return read(self.distribution, self.observations or 0, self.value)


Stream = Sum | Histogram


class Told(NamedTuple):
    """One increment of a stream that was told, to be taken back where it is not kept."""

    stream: Any
    grown: Any
    number: int


class Counted(NamedTuple):
    """Increments as rows of events.SCHEMA, and what they changed."""

    rows: pa.Table
    told: list[Told]


class Counters:
    """The streams of cumulative points, at most `streams`: those heard last. Safe to call from several threads.

    `usage` says which column a counter of a name, from a source, counts tokens or money in.
    """

    def __init__(self, usage: Callable[[str, str | None], Usage | None], streams: int = STREAMS_MAX) -> None:
        self._usage = usage
        self._most = streams
        self._streams: OrderedDict[tuple[str, int | None], Stream] = OrderedDict()
        self._forgotten: int | None = None  # the newest start of a stream that may have been told and is not held
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._streams)

    def increments(self, points: pa.Table) -> pa.Table:
        """The increments of rows that are certain to be kept."""
        return self.count(points).rows

    def count(self, points: pa.Table) -> Counted:
        """The increments of rows of events.SCHEMA; rows that are no counting points have none. Where the rows are
        not kept after all, `take_back` what this returns."""
        counting = points.filter(_counting(points))
        grown: list[tuple[int, Any, str]] = []
        told: list[Told] = []
        columns = zip(*(_plain(counting[name]) for name in READ), strict=True)
        with self._lock:
            for at, (series, start, time, point, temporality, value, count, shape, event_id) in enumerate(columns):
                row = Row(time, value, count, shape)
                if temporality == "delta":
                    found = row.spread if point in HISTOGRAMS else value
                    if found if isinstance(found, float) else found.count:
                        grown.append((at, found, f"{event_id}:+"))
                    continue
                stream = self._stream(series, start, point)
                stream.see(row)
                if (increment := stream.tell()) is not None:
                    grown.append((at, increment, f"{event_id}:+{stream.tellings}"))
                    told.append(Told(stream, increment, stream.tellings))
                    stream.tellings += 1
        return Counted(self._rows(counting, grown), told)

    def take_back(self, counted: Counted) -> None:
        """The rows were refused: their increments are untold again, and come with the next point of their stream,
        or with the same points sent again."""
        with self._lock:
            for stream, grown, number in reversed(counted.told):
                stream.untell(grown)
                if stream.tellings == number + 1:  # sent again, the same increment has the same id
                    stream.tellings = number

    def load(self, recent: pa.Table | None, since: datetime, forgotten: datetime | None) -> None:
        """Learn the streams of an earlier run: the rows of RECENT, since when they are, and the answer of OLDER
        (both naive UTC)."""
        with self._lock:
            self._forgotten = None if forgotten is None else _us(forgotten)
            rows = zip(*(_plain(recent[name]) for name in LEARNED), strict=True) if recent else ()
            for series, start, point, *seen in sorted(rows, key=lambda row: row[3]):
                self._stream(series, start, point, known=True).see(Row(*seen))
            for (_, start), stream in self._streams.items():
                stream.learned(whole=start is not None and start >= _us(since))

    async def learn(self, read: Callable[[str, list[Any]], Awaitable[pa.Table]], now: datetime) -> None:
        """Come back to where an earlier run was, from the last days of what is stored; `read` runs one statement of
        ours. Where that takes too long, nothing that began before `now` counts from zero."""
        with self._lock:
            self._forgotten = _us(now)
        newest = (await read("SELECT max(time) AS time FROM {events} WHERE kind = 'resource'", []))["time"][0].as_py()
        if newest is None:
            since, recent, older = now, None, None
        else:
            since = newest - LEARNT
            recent = await read(RECENT, [since])
            older = (await read(OLDER, [since]))["start"][0].as_py()
        self.load(recent, since, older)

    def _stream(self, series: str, start: int | None, point: str, known: bool = False) -> Stream:
        key = (series, start)
        found = self._streams.get(key)
        if found is None:
            known = known or self._forgotten is None or (start is not None and start > self._forgotten)
            found = self._streams[key] = (Histogram if point in HISTOGRAMS else Sum)(start, known)
            if len(self._streams) > self._most:
                (_, gone), _ = self._streams.popitem(last=False)
                self._forgotten = max(self._forgotten or 0, gone or 0)
        else:
            self._streams.move_to_end(key)
        return found

    def _rows(self, counting: pa.Table, grown: list[tuple[int, Any, str]]) -> pa.Table:
        """One row per increment: its point's, with the increment in place of the reading."""
        at = [place for place, _, _ in grown]
        table = counting.take(pa.array(at, pa.int64()))
        spreads = [g if isinstance(g, Spread) else None for _, g, _ in grown]
        values = [g.sum if isinstance(g, Spread) else g for _, g, _ in grown]
        columns: dict[str, list[Any]] = {
            "event_id": [event_id for _, _, event_id in grown],
            "kind": ["usage"] * len(at),
            "way": ["metric"] * len(at),
            "value": values,
            "count": [s and s.count for s in spreads],
            "distribution": [s and s.text() for s in spreads],
            **{name: [None] * len(at) for name in UNSAID},
            **self._meant(table, values),
        }
        for name, found in columns.items():
            index = SCHEMA.get_field_index(name)
            table = table.set_column(index, SCHEMA.field(index), pa.array(found, SCHEMA.field(index).type))
        return table

    def _meant(self, table: pa.Table, values: list[float | None]) -> dict[str, list[Any]]:
        """The columns of tokens and money that increments of these names count in."""
        meant: dict[str, list[Any]] = {}
        said = zip(*(table[name].to_pylist() for name in ("name", "source", "attributes")), values, strict=True)
        for at, (name, source, attributes, value) in enumerate(said):
            usage = self._usage(name or "", source)
            if usage is None or value is None or not 0 <= value < 2**63:
                continue
            column = usage.column(msgspec.json.decode(attributes or "{}"))
            if column is None:
                continue
            for into in {column, "tokens_input"} if column in usage.adds else {column}:
                whole = pa.types.is_integer(SCHEMA.field(into).type)
                meant.setdefault(into, [None] * len(values))[at] = round(value) if whole else value
            if usage.paid:
                meant.setdefault("cost_usd", [None] * len(values))[at] = 0.0
        return meant


def step(last: float, value: float) -> float:
    """The growth of a counter between two observations; one that fell began anew."""
    return value - last if value >= last else value


def _counting(table: pa.Table) -> pa.ChunkedArray:
    """Which rows are points that count: sums that only grow, and histograms."""
    every = pc.and_kleene
    sums = every(pc.equal(table["point"], "sum"), every(table["monotonic"], pc.greater_equal(table["value"], 0)))
    histograms = every(pc.is_in(table["point"], pa.array(HISTOGRAMS)), pc.is_valid(table["count"]))
    streamed = every(pc.is_valid(table["series"]), pc.is_valid(table["temporality"]))
    return pc.fill_null(every(streamed, pc.or_kleene(sums, histograms)), False)


def _plain(column: pa.ChunkedArray) -> list[Any]:
    """Python values; times as us since the epoch."""
    found: list[Any] = (column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column).to_pylist()
    return found


def _us(moment: datetime) -> int:
    return int(pa.scalar(moment, pa.timestamp("us")).cast(pa.int64()).as_py())
