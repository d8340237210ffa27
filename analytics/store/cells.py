"""The cells in which a cause is looked for: one metric's rows of both periods, folded by dimensions or into parts.

Per row a metric is a numerator x and a denominator y (a sum's y is 1, of a quantile x says whether the row lies beyond
the given value). Per cell come n (rows with a y), and the sums of x, y, xx, xy and yy.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from analytics.errors import ValidationError
from analytics.query import ROWS, Cells, Period, Query
from analytics.store.plan import Plan, previous
from analytics.store.terms import Terms, naive
from analytics.workspace import Metric

ADDED = ("count", "sum")
SAMPLES = 1_000_000  # the finest share of rows that can be read is one in so many
MAX_PARTS = 50
MAX_DIMS = 24
MAX_CELLS = 1_000_000


class Row(NamedTuple):
    """What a metric is in one row, as SQL: null where the row does not count; `where` keeps the rows that do. Of a
    quantile also the number itself."""

    x: str
    y: str
    where: str
    value: str = ""
    q: float = 0.0


def plan(query: Query, cells: Cells, terms: Terms, period: Period, now: datetime) -> Plan:
    """Columns p (0 current, 1 baseline), g0 to gN (or g0, the place of the part, after the last one the rest), n, x,
    y, xx, xy, yy. Raises ValidationError where a metric is no sum over rows."""
    before = previous(query, period, now)
    if len(query.metrics) != 1 or before is None or query.grain or query.group_by:
        raise ValidationError("cells: expected one metric and what it is compared with, without grain and groups")
    if len(cells.dims) > MAX_DIMS or len(cells.parts) > MAX_PARTS:
        raise ValidationError(f"cells: expected at most {MAX_DIMS} dimensions and {MAX_PARTS} parts")
    row = _per_row(terms, cells, query.metrics[0])
    keys = [f"{sql} AS g{k}" for k, sql in enumerate(_keys(terms, cells))]
    kept = [*terms.counted(query.filters), *([row.where] if row.where else [])]
    if cells.sample < 1:
        share = terms.bind(round(cells.sample * SAMPLES))
        kept.append(f"{terms.dialect.scattered(_apart(terms), SAMPLES)} < {share}")
    columns = [*keys, f"{row.x} AS x", f"{row.y} AS y", *([f"{row.value} AS z"] if row.value else [])]
    reads = [
        f"SELECT {', '.join([f'{p} AS p', *columns])} FROM {{events}} WHERE {' AND '.join([within, *kept])}"
        for p, within in _spans(terms, period, before)
    ]
    groups = ", ".join(["p", *(f"g{k}" for k in range(len(keys)))])
    sums = "count(y) AS n, sum(x) AS x, sum(y) AS y, sum(x * x) AS xx, sum(x * y) AS xy, sum(y * y) AS yy"
    if row.value and cells.parts:
        sums += f", {terms.dialect.quantiles('z', [row.q], '', 1)} AS v"
    sql = f"SELECT {groups}, {sums} FROM ({' UNION ALL '.join(reads)}) AS scan GROUP BY {groups} LIMIT {MAX_CELLS}"
    return Plan(
        query=query, dataset=terms.dataset, sql=sql, params=terms.params, period=period, now=now, previous=before
    )


def _keys(terms: Terms, cells: Cells) -> list[str]:
    """What folds the rows, as SQL."""
    if not cells.parts:
        return [terms.dimension(name).sql for name in cells.dims]
    cases = [
        f"WHEN {' AND '.join(terms.condition(f) for f in part)} THEN {int(k)}" for k, part in enumerate(cells.parts)
    ]
    return [f"CASE {' '.join(cases)} ELSE {len(cells.parts)} END"]


def _apart(terms: Terms) -> list[str]:
    """What tells rows apart well enough for a sample. Events have their microsecond, which is much faster to hash than
    an id; of the rows of a file a whole day may have one time."""
    dataset = terms.workspace.datasets.get(terms.dataset)
    names = ("time", "event_id") if dataset and dataset.columns else ("time",)
    return [terms.dialect.name(name) for name in names]


def _per_row(terms: Terms, cells: Cells, name: str) -> Row:
    metric = _metric(terms, name)
    if metric.aggregate == "ratio":
        (x, first), (y, second) = (
            _added(terms, _metric(terms, str(part))) for part in (metric.numerator, metric.denominator)
        )
        either = f"(({first}) OR ({second}))" if first and second else ""
        return Row(_where(x, first), _where(y, second), either)
    where = terms.where(metric.where)
    if metric.aggregate in ADDED:
        x, where = _added(terms, metric)
        return Row(x, "1.0", where)
    if metric.aggregate not in ("avg", "quantile") or (metric.aggregate == "quantile" and cells.beyond is None):
        raise ValidationError(f"metric {name!r} is no sum over rows: a {metric.aggregate} has no cells")
    value = terms.measured(metric)
    kept = " AND ".join(filter(None, [where, f"{value} IS NOT NULL"]))
    if metric.aggregate == "avg":
        return Row(value, "1.0", kept)
    beyond = f"CASE WHEN {value} > {terms.bind(float(cells.beyond or 0.0))} THEN 1.0 ELSE 0.0 END"
    return Row(beyond, "1.0", kept, value, metric.q or 0.0)


def _added(terms: Terms, metric: Metric) -> tuple[str, str]:
    """What a row adds to a count or a sum, and the rows that add."""
    if metric.aggregate not in ADDED:
        raise ValidationError(f"metric {metric.name!r} is no sum over rows: a {metric.aggregate} has no cells")
    where = terms.where(metric.where)
    if metric.aggregate == "count":
        return "1.0", where
    value = terms.measured(metric)
    return value, " AND ".join(filter(None, [where, f"{value} IS NOT NULL"]))


def _where(value: str, condition: str) -> str:
    return f"CASE WHEN {condition} THEN {value} END" if condition else value


def _metric(terms: Terms, name: str) -> Metric:
    if name == ROWS:
        return Metric(name=ROWS, dataset=terms.dataset, aggregate="count")
    metric = terms.workspace.metric(name, terms.dataset)
    if metric.dataset != terms.dataset:
        raise ValidationError(f"metric {name!r} mixes the datasets {metric.dataset} and {terms.dataset}")
    return metric


def _spans(terms: Terms, period: Period, before: Period) -> list[tuple[str, str]]:
    """Of each read the period as SQL and its condition on time: one read where the periods meet."""
    if before.end != period.start:
        return [("0", terms.within(period)), ("1", terms.within(before))]
    current = f"{terms.dialect.name('time')} >= {terms.bind(naive(period.start))}"
    return [(f"CASE WHEN {current} THEN 0 ELSE 1 END", terms.within(Period(before.start, period.end)))]
