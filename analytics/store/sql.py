"""The one compiler: a Query to SQL with bound parameters.

It reads the rows of both periods as a scan: p (0 current, 1 previous), i (bucket), g* (groups), w* (the metrics'
conditions as flags), c* (measured columns); `statement` makes the rest of it.

Names reach the text only from the catalogue and the columns of the dataset; values are parameters.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from math import gcd
from types import MappingProxyType

import msgspec

from analytics import window as windows
from analytics.errors import ValidationError
from analytics.query import ROWS, Period, Query
from analytics.store import cells, histograms, listing
from analytics.store.dialect import DuckDB
from analytics.store.intervals import beside
from analytics.store.plan import Measure, Plan, previous
from analytics.store.statement import Aggregate, Statement
from analytics.store.terms import Term, Terms, naive
from analytics.workspace import PER_SECONDS, Metric, Workspace

HISTOGRAM = ("distribution", "count", "value")  # the columns of one
MAX_GROUPS = 10_000
MAX_CELLS = 200_000  # groups times buckets
MAX_METRICS = 64
MAX_SELECTED = 10_000
# what the intervals of an aggregate need beside its value
MOMENTS = MappingProxyType({"sum": ("squares", "largest"), "avg": ("squares", "largest"), "last": ("sum", "squares")})


def compile(query: Query, workspace: Workspace, now: datetime, dialect: DuckDB | None = None) -> Plan:
    """The plan of a query at `now`. Raises ValidationError and NotFound; touches no data."""
    _check(query)
    dialect = dialect or DuckDB()
    period = windows.resolve(query.window, now)
    terms = Terms(workspace, _dataset(query, workspace), dialect, _span(query, period, now), query.as_of)
    if query.select:
        return listing.select(query, terms, period, now)
    if query.values:
        return listing.values(query, terms, period, now)
    if query.cells:
        return cells.plan(query, query.cells, terms, period, now)
    return _Compiler(query, terms, period, now).plan()


def _span(query: Query, period: Period, now: datetime) -> Period:
    """All that a query may read."""
    before = previous(query, period, now)
    return Period(min(period.start, before.start), max(period.end, before.end)) if before else period


def _check(query: Query) -> None:
    given = [name for name in ("metrics", "select", "values") if getattr(query, name)]
    if len(given) != 1:
        raise ValidationError(f"expected one of metrics, select or values, got {' and '.join(given) or 'none of them'}")
    for what, names, most in (("metrics", query.metrics, MAX_METRICS), ("group_by", query.group_by, 3)):
        if len(names) > most:
            raise ValidationError(f"{what}: expected at most {most}, got {len(names)}")
        if twice := next((n for n in names if names.count(n) > 1), None):
            raise ValidationError(f"{what}: {twice[:80]!r} appears twice")
    most = MAX_GROUPS if query.metrics else MAX_SELECTED
    if query.limit is not None and not 1 <= query.limit <= most:
        raise ValidationError(f"limit: expected 1 to {most:,}, got {query.limit}")
    if query.baseline and (query.compare or query.grain):
        raise ValidationError("baseline: expected neither compare nor grain with it")
    if not query.metrics and (query.group_by or query.grain or query.compare or query.baseline or query.cells):
        raise ValidationError(f"{given[0]} lists what is there: expected no grain, group_by or compare with it")


def _dataset(query: Query, workspace: Workspace) -> str:
    """The one dataset that a query is about."""
    if not query.metrics:
        return workspace.dataset(query.dataset or "events").name
    found = {name: workspace.metric(name, query.dataset).dataset for name in query.metrics if name != ROWS}
    if len(set(found.values())) > 1:
        listed = ", ".join(f"{metric} ({dataset})" for metric, dataset in found.items())
        raise ValidationError(f"expected metrics of one dataset, got {listed}", hint="ask once per dataset")
    return next(iter(found.values()), query.dataset or "events")


class _Compiler:
    """Collects what the scan must carry and which aggregates run over it, then writes the text."""

    def __init__(self, query: Query, terms: Terms, period: Period, now: datetime) -> None:
        self.query, self.terms, self.dialect, self.now = query, terms, terms.dialect, now
        self.period = period
        self.scan: dict[str, str] = {}  # SQL -> name in the scan
        self.aggregates: dict[Aggregate, str] = {}  # -> alias
        self.conditions: dict[str, str] = {}  # a metric's where -> its flag, "" where all rows count
        self.groups = [self._group(name) for name in query.group_by]
        self.measures = [self._measure(self._metric(name)) for name in query.metrics]
        self.previous = previous(query, period, now)
        self.grain = windows.auto_grain(period) if query.grain == "auto" else query.grain
        self.edges: list[datetime] = []
        self.previous_edges: list[datetime] = []
        if self.grain:
            self._cut(self.grain)

    def plan(self) -> Plan:
        return Plan(
            query=self.query,
            dataset=self.terms.dataset,
            sql=self._sql(),
            params=self.terms.params,
            period=self.period,
            now=self.now,
            previous=self.previous,
            grain=self.grain,
            edges=self.edges,
            previous_edges=self.previous_edges,
            groups=self.groups,
            measures=self.measures,
        )

    def _metric(self, name: str) -> Metric:
        """A metric under the name that was asked."""
        if name == ROWS:
            return Metric(name=ROWS, dataset=self.terms.dataset, aggregate="count")
        return msgspec.structs.replace(self.terms.workspace.metric(name, self.terms.dataset), name=name)

    def _group(self, name: str) -> Term:
        term = self.terms.dimension(name)
        if term.kind == "time":
            raise ValidationError(f"group_by: {name!r} is a time", hint="use grain for buckets of time")
        if name == "time" or any(name in (metric, *_beside(metric)) for metric in self.query.metrics):
            raise ValidationError(f"group_by: {name!r} is a column of the answer already")
        return term

    def _cut(self, grain: str) -> None:
        """Bucket edges of both periods, aligned by index."""
        window, compare = self.query.window, self.query.compare
        self.edges = windows.buckets(self.period, grain, window.tz)
        if self.previous and compare:
            self.previous_edges = windows.compared_edges(self.edges, self.period, self.previous, grain, window, compare)

    def _measure(self, metric: Metric, *, scaled: bool = True) -> Measure:
        """A metric's aggregates. The parts of a ratio are not scaled by time."""
        if metric.aggregate == "ratio":
            numerator, denominator = (
                self._measure(self._metric(str(name)), scaled=False) for name in (metric.numerator, metric.denominator)
            )
            return Measure(name=metric.name, aggregate="ratio", n=denominator.n, parts=(numerator, denominator))
        flag = self._flag(metric)
        if self.terms.workspace.binned(metric):
            return self._binned(metric, flag)
        per_s = PER_SECONDS[metric.per] if metric.per and scaled else None
        if metric.aggregate == "count":
            n = self._aggregate("count", "", flag)
            return Measure(name=metric.name, aggregate="count", value=n, n=n, per_s=per_s)
        value, aggregate, q = self._measured(metric), metric.aggregate, metric.q or 0.0
        moments = MOMENTS.get(aggregate, ())
        sides = (q - beside(q), q + beside(q)) if aggregate == "quantile" else ()
        measure = Measure(
            name=metric.name,
            aggregate=aggregate,
            value=self._aggregate("sum" if aggregate == "avg" else aggregate, value, flag, q),
            n=self._aggregate("count", value, flag),
            beside=tuple(self._aggregate("quantile", value, flag, side) for side in sides),
            per_s=per_s,
            q=q,
        )
        return msgspec.structs.replace(measure, **{moment: self._aggregate(moment, value, flag) for moment in moments})

    def _binned(self, metric: Metric, flag: str) -> Measure:
        """A quantile of histograms."""
        packed = self._carry(self.dialect.histogram(*(self.terms.column(name).sql for name in HISTOGRAM)))
        told = (self._aggregate(function, packed, flag, metric.q or 0.0) for function in histograms.TOLD)
        middle, within, reach, observed = told
        return Measure(name=metric.name, aggregate="histogram", value=middle, n=observed, within=within, reach=reach)

    def _flag(self, metric: Metric) -> str:
        if metric.dataset != self.terms.dataset:
            raise ValidationError(
                f"metric {metric.name!r} mixes the datasets {metric.dataset} and {self.terms.dataset}"
            )
        condition = self.terms.where(metric.where)
        return self.conditions.setdefault(condition, f"w{len(self.conditions)}" if condition else "")

    def _measured(self, metric: Metric) -> str:
        """The name in the scan of the column that a metric runs over."""
        if metric.aggregate == "distinct":
            return self._carry(self.terms.dimension(metric.column or "").sql)
        measured = self.terms.measured(metric)
        if metric.aggregate == "last":
            self._carry(self.dialect.name("time"))
        return self._carry(measured)

    def _carry(self, sql: str) -> str:
        return self.scan.setdefault(sql, f"c{len(self.scan)}")

    def _aggregate(self, function: str, value: str, flag: str, q: float = 0.0) -> str:
        return self.aggregates.setdefault(Aggregate(function, value, flag, q), f"a{len(self.aggregates)}")

    def _sql(self) -> str:
        # one condition for all metrics is in the scan's WHERE already
        single = len(self.conditions) == 1
        aggregates = {msgspec.structs.replace(a, flag="") if single else a: n for a, n in self.aggregates.items()}
        statement = Statement(
            self._scan(),
            aggregates,
            self.dialect,
            groups=len(self.groups),
            compared=self.previous is not None,
            grain=self.grain is not None,
            time=self.scan.get(self.dialect.name("time"), ""),
            rank=self.measures[0],
            limit=self.query.limit,
        )
        return statement.text(2 * MAX_CELLS + 3)

    def _scan(self) -> str:
        columns = [f"{sql} AS {name}" for sql, name in self.scan.items()]
        columns += [f"{term.sql} AS g{k}" for k, term in enumerate(self.groups)]
        kept = self.terms.counted(self.query.filters)
        if "" not in self.conditions:  # rows that count for no metric make no group
            kept.append("(" + " OR ".join(f"({condition})" for condition in self.conditions) + ")")
        if len(self.conditions) > 1:
            columns += [f"({condition}) AS {flag}" for condition, flag in self.conditions.items() if condition]
        step, even = _step(self.edges, self.previous_edges) if self.grain else (0, True)
        reads = []
        for within, period, origin in self._spans():
            named = [*columns, *([f"{period} AS p"] if self.previous else [])]
            if self.grain:
                slot = self.dialect.since(self.dialect.name("time"), origin, self.terms.bind(step))
                named.append(f"{slot} AS {'i' if even else 'slot'}")
            reads.append(f"SELECT {', '.join(named) or '1'} FROM {{events}} WHERE {' AND '.join([within, *kept])}")
        scan = " UNION ALL ".join(reads)
        return scan if even else self._looked_up(scan, step)

    def _spans(self) -> list[tuple[str, str, str]]:
        """What to read: the condition on time, and of each row its period (0 or 1) and the start of the period's
        buckets. At once where one period follows the other; else apart, for what lies between would be read too, or
        a row counts in both."""
        terms, previous = self.terms, self.previous
        origins = [terms.bind(_us(edges[0])) if edges else "0" for edges in (self.edges, self.previous_edges)]
        if previous is None:
            return [(terms.within(self.period), "0", origins[0])]
        if previous.end != self.period.start:
            periods = zip((self.period, previous), "01", origins, strict=True)
            return [(terms.within(period), p, origin) for period, p, origin in periods]
        current = f"{self.dialect.name('time')} >= {terms.bind(naive(self.period.start))}"
        origin = f"CASE WHEN {current} THEN {origins[0]} ELSE {origins[1]} END"
        both = terms.within(Period(previous.start, self.period.end))
        return [(both, f"CASE WHEN {current} THEN 0 ELSE 1 END", origin)]

    def _looked_up(self, scan: str, step: int) -> str:
        """Uneven buckets (months, days with a clock change): each even slot knows its bucket."""
        table: list[tuple[int, int, int]] = []
        for p, edges in enumerate((self.edges, self.previous_edges)):
            for i, (start, end) in enumerate(pairwise(edges)):
                first, last = (_us(edge) - _us(edges[0]) for edge in (start, end))
                table += [(p, slot, i) for slot in range(first // step, last // step)]
        columns = [
            (self.terms.bind(list(column)), name)
            for column, name in zip(zip(*table, strict=True), ("k_p", "k_slot", "k_i"), strict=True)
        ]
        period = " AND k_p = p" if self.previous else " AND k_p = 0"
        return (
            f"SELECT s.* EXCLUDE (slot), k_i AS i FROM ({scan}) AS s"
            f" JOIN {self.dialect.lookup(columns)} AS k ON k_slot = slot{period}"
        )


def _beside(metric: str) -> Iterator[str]:
    """The columns that an answer has beside the one of the metric itself."""
    return (metric + suffix for suffix in ("_previous", "__n", "__n_previous"))


def _step(*edge_lists: list[datetime]) -> tuple[int, bool]:
    """The longest step in us that divides all buckets, and whether every bucket is one step."""
    lengths = {(b - a) // windows.US for edges in edge_lists for a, b in pairwise(edges)}
    return gcd(*lengths), len(lengths) == 1


def _us(moment: datetime) -> int:
    return (moment - windows.EPOCH) // windows.US
