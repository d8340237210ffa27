"""What the compiler hands to the engine, and what `rows.assemble` needs to read its answer."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from analytics.query import Period, Query
from analytics.store.terms import Term


class Measure(msgspec.Struct, frozen=True, kw_only=True):
    """A metric as aggregates by their alias: the value, the rows behind it, and the sum of squares."""

    name: str
    aggregate: str
    value: str = ""
    n: str = ""
    squares: str = ""
    per_s: float | None = None
    q: float = 0.0
    parts: tuple[Measure, Measure] | None = None  # numerator and denominator of a ratio


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
