"""Window, Query, Result: what is asked and what was answered. Pure data, no engine.

Times are timezone-aware UTC datetimes in Python, RFC 3339 in messages.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Literal

import msgspec
import pyarrow as pa

Scalar = str | int | float | bool | None
ROWS = "*"  # the metric that counts every row of a dataset
Op = Literal["is", "is_not", "in", "not_in", "contains"]


class Period(msgspec.Struct, frozen=True):
    """A half-open span of time [start, end), both UTC-aware."""

    start: datetime
    end: datetime

    @property
    def length(self) -> timedelta:
        return self.end - self.start

    @property
    def seconds(self) -> float:
        return self.length.total_seconds()

    def shifted(self, delta: Any) -> Period:
        return Period(self.start + delta, self.end + delta)


class Window(msgspec.Struct, frozen=True, rename={"start": "from", "end": "to"}):
    """A span as people write it: `now-1h`, `now/d`, RFC 3339; `from` and `to` in a time zone.

    On the wire a window is this object or one string, its `from` (then `to` is `now`);
    `analytics.window` parses and resolves it.
    """

    start: str = "now-1h"
    end: str = "now"
    tz: str = "UTC"


class Filter(msgspec.Struct, frozen=True):
    """Keep rows whose dimension fits. `values` has one entry for is, is_not and contains."""

    dim: str
    op: Op = "is"
    values: list[Scalar] = []


Compare = Literal["previous", "day", "week"]


class Mark(msgspec.Struct, frozen=True, array_like=True):
    """The place of a row in its dataset, newest first: its time in us since the epoch, and its event_id."""

    time_us: int
    event_id: str | None


class Cells(msgspec.Struct, frozen=True, kw_only=True):
    """What a search for causes reads of one metric in both periods: a `sample` (0 to 1) of its rows, folded by
    `dims`; or, with `parts`, all rows, each in the first part whose filters it fits.

    beyond: of a quantile, the value beyond which a row counts.
    """

    dims: list[str] = []
    parts: list[list[Filter]] = []
    sample: float = 1.0
    beyond: float | None = None


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """Metrics over a window, or raw rows (`select`) newest first, or the `values` of one dimension.

    grain: None gives one row per group (no time column), "auto" picks one, "1m" is taken as said.
    compare: "previous" adds the same elapsed part of the period before, "day" and "week" the same time then.
    baseline: compares with this window instead; without a grain.
    cells: with one metric and what it is compared with, its rows as the search for causes reads them.
    limit: how many groups at most, by the first metric; the rest fold into one group "other". Of rows and
    values: how many.
    as_of: only what had been received by then.
    after: with select, only the rows that follow this one.
    search: with values, only those whose text contains it.
    """

    metrics: list[str] = []
    window: Window = Window()
    grain: str | None = None
    group_by: list[str] = []
    filters: list[Filter] = []
    compare: Compare | None = None
    baseline: Window | None = None
    cells: Cells | None = None
    limit: int | None = None
    as_of: datetime | None = None
    select: list[str] = []
    after: Mark | None = None
    values: str | None = None
    search: str = ""
    dataset: str | None = None  # where names are looked up first; of select and values what is read


class Total(msgspec.Struct, frozen=True):
    """One metric over the whole window. `half_width` is the 95 % sampling half-width in the
    metric's own unit (for a quantile: of the share of rows above it), None where it has no meaning.
    `noise` is what chance alone does to the value between two periods, in its own unit; None where that is unknown.
    Of a quantile of histograms `half_width` is in the metric's own unit, and `within` is that part of it which their
    buckets make. `reason` says why there is no value, where more is known than that no row counts."""

    value: float | None
    n: int  # rows behind the value
    half_width: float | None = None
    previous: float | None = None
    n_previous: int = 0
    half_width_previous: float | None = None
    noise: float | None = None
    noise_previous: float | None = None
    within: float | None = None
    reason: str | None = None


class Result(msgspec.Struct, kw_only=True):
    """What came back, and what was really executed.

    table columns, in order: `time` (bucket start, naive UTC timestamp[us]) if there is a grain, the
    group_by dimensions, then per metric `M` and, with compare, `M_previous`. Sorted by time, then by
    the first metric, biggest first, "other" last. Absent is null.
    With `values` they are: value, n (rows that hold it), last (the newest's time); and in each row the same
    `distinct` (how many values) and `rows` (that hold one of them). Most frequent first.
    """

    query: Query
    table: pa.Table
    totals: dict[str, Total]
    period: Period
    previous: Period | None
    grain_s: float | None  # None without a grain; a calendar grain gives its nominal length
    grain: str | None
    partial_first: bool
    partial_last: bool
    engine_ms: float
    rows: int = 0  # rows of the dataset inside the window and the filters, whatever the metrics keep
    other: bool = False  # whether the last group is the fold of the rest
