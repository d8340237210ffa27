"""What the compiler hands to the engine, and what `rows.assemble` needs to read its answer."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from analytics import window as windows
from analytics.query import Period, Query
from analytics.store.terms import Term


class Measure(msgspec.Struct, frozen=True, kw_only=True):
    """A metric as aggregates by their alias: the value and the rows behind it; and for its intervals the sum, the sum
    of squares, the largest |x|, and the quantiles on either side of one. A quantile of histograms has instead the most
    that it can be off (`within`), and its `reach`: the same with what a sample leaves open."""

    name: str
    aggregate: str
    value: str = ""
    n: str = ""
    sum: str = ""
    squares: str = ""
    largest: str = ""
    beside: tuple[str, ...] = ()
    within: str = ""
    reach: str = ""
    per_s: float | None = None
    q: float = 0.0
    parts: tuple[Measure, Measure] | None = None  # numerator and denominator of a ratio


def previous(query: Query, period: Period, now: datetime) -> Period | None:
    """What a query compares its period with: as much of it as has elapsed."""
    elapsed = Period(period.start, min(period.end, now)) if now > period.start else period
    if query.baseline is None:
        return windows.compared(elapsed, query.window, query.compare) if query.compare else None
    before = windows.resolve(query.baseline, now)
    return before if elapsed.end == period.end else Period(before.start, min(before.end, before.start + elapsed.length))


class Plan(msgspec.Struct, kw_only=True):
    """One statement with its parameters, over `{events}` of the dataset."""

    query: Query
    dataset: str
    sql: str
    params: dict[str, Any]
    period: Period
    now: datetime
    previous: Period | None = None
    grain: str | None = None
    edges: list[datetime] = []
    previous_edges: list[datetime] = []
    groups: list[Term] = []
    measures: list[Measure] = []
