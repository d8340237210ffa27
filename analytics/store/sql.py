"""The one compiler: a Query to SQL with bound parameters, one scan of the table.

    scan   the rows of both periods: p (0 current, 1 previous), i (bucket), g* (groups), w* (the
           metrics' conditions as flags), c* (measured columns)
    top    with a limit: the groups that stay, r their place; all others have no r and fold into one
    detail per p, i and group, and in the same pass the totals per p

Names reach the text only from the catalogue and the canonical columns; values are parameters.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from math import gcd
from typing import Any

import msgspec

from analytics import window as windows
from analytics.errors import NotFound, ValidationError, unknown
from analytics.events import NAMES
from analytics.query import Period, Query
from analytics.store.dialect import DuckDB
from analytics.store.terms import Term, Terms
from analytics.workspace import PER_SECONDS, Metric, Workspace

MAX_GROUPS = 10_000
MAX_CELLS = 200_000  # groups times buckets
MAX_METRICS = 64
MAX_SELECTED = 10_000
SELECTED = 100

US = timedelta(microseconds=1)


class Aggregate(msgspec.Struct, frozen=True):
    """One aggregate function over a column of the scan, where a flag is set."""

    function: str
    value: str = ""
    flag: str = ""
    q: float = 0.0


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
    """What to run, and what `rows.assemble` needs to read the answer."""

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


def compile(query: Query, workspace: Workspace, now: datetime, dialect: DuckDB | None = None) -> Plan:
    """The plan of a query at `now`. Raises ValidationError and NotFound; touches no data."""
    _check(query)
    dialect = dialect or DuckDB()
    period = windows.resolve(query.window, now)
    terms = Terms(workspace, _dataset(query, workspace), dialect)
    if query.select:
        return _select(query, terms, period, now)
    return _Compiler(query, terms, period, now).plan()


def _check(query: Query) -> None:
    if bool(query.metrics) == bool(query.select):
        raise ValidationError("expected either metrics or select, got " + ("both" if query.metrics else "neither"))
    for what, names, most in (("metrics", query.metrics, MAX_METRICS), ("group_by", query.group_by, 3)):
        if len(names) > most:
            raise ValidationError(f"{what}: expected at most {most}, got {len(names)}")
        if twice := next((n for n in names if names.count(n) > 1), None):
            raise ValidationError(f"{what}: {twice[:80]!r} appears twice")
    most = MAX_SELECTED if query.select else MAX_GROUPS
    if query.limit is not None and not 1 <= query.limit <= most:
        raise ValidationError(f"limit: expected 1 to {most:,}, got {query.limit}")
    if query.select and (query.group_by or query.grain or query.compare):
        raise ValidationError("select returns raw rows: expected no grain, group_by or compare with it")


def _dataset(query: Query, workspace: Workspace) -> str:
    """The one dataset that a query is about."""
    if query.select:
        name = query.dataset or "events"
        if name not in workspace.datasets:
            raise NotFound(unknown("dataset", name, workspace.datasets))
        return name
    found = {name: _metric(workspace, name).dataset for name in query.metrics}
    if len(set(found.values())) > 1:
        listed = ", ".join(f"{metric} ({dataset})" for metric, dataset in found.items())
        raise ValidationError(f"expected metrics of one dataset, got {listed}", hint="ask once per dataset")
    return found[query.metrics[0]]


def _metric(workspace: Workspace, name: str) -> Metric:
    if name not in workspace.metrics:
        raise NotFound(unknown("metric", name, workspace.metrics))
    return workspace.metrics[name]


def _select(query: Query, terms: Terms, period: Period, now: datetime) -> Plan:
    """Raw rows, newest first."""
    for name in query.select:
        if name not in NAMES:
            raise NotFound(unknown("column", name, NAMES))
    listed = ", ".join(terms.dialect.name(name) for name in dict.fromkeys(query.select))
    where = " AND ".join([_within(terms, period), *_kept(terms, query)])
    limit = query.limit or SELECTED
    newest = f"{terms.dialect.name('time')} DESC, {terms.dialect.name('event_id')}"
    sql = f"SELECT {listed} FROM {{events}} WHERE {where} ORDER BY {newest} LIMIT {int(limit)}"
    return Plan(query=query, dataset=terms.dataset, sql=sql, params=terms.params, period=period, now=now)


def _within(terms: Terms, period: Period) -> str:
    time = terms.dialect.name("time")
    return f"{time} >= {terms.bind(_naive(period.start))} AND {time} < {terms.bind(_naive(period.end))}"


def _kept(terms: Terms, query: Query) -> list[str]:
    kept = [terms.condition(f) for f in query.filters]
    if query.as_of:
        kept.append(f"{terms.dialect.name('received')} <= {terms.bind(_naive(query.as_of))}")
    return kept


class _Compiler:
    """Collects what the scan must carry and which aggregates run over it, then writes the text."""

    def __init__(self, query: Query, terms: Terms, period: Period, now: datetime) -> None:
        self.query, self.terms, self.dialect, self.now = query, terms, terms.dialect, now
        self.period = period
        self.scan: dict[str, str] = {}  # SQL -> name in the scan
        self.aggregates: dict[Aggregate, str] = {}  # -> alias
        self.conditions: dict[str, str] = {}  # a metric's where -> its flag, "" where all rows count
        self.groups = [self._group(name) for name in query.group_by]
        self.measures = [self._measure(_metric(terms.workspace, name)) for name in query.metrics]
        elapsed = Period(period.start, min(period.end, now)) if now > period.start else period
        self.previous = windows.previous(elapsed, query.window) if query.compare else None
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

    def _group(self, name: str) -> Term:
        term = self.terms.dimension(name)
        if term.kind == "time":
            raise ValidationError(f"group_by: {name!r} is a time", hint="use grain for buckets of time")
        return term

    def _cut(self, grain: str) -> None:
        """Bucket edges of both periods, aligned by index."""
        tz = self.query.window.tz
        self.edges = windows.buckets(self.period, grain, tz)
        if self.previous and windows.parse_grain(grain).seconds <= 3600:
            back = self.period.start - self.previous.start
            self.previous_edges = [edge - back for edge in self.edges]
        elif self.previous:
            self.previous_edges = windows.buckets(self.previous, grain, tz)

    def _measure(self, metric: Metric, *, scaled: bool = True) -> Measure:
        """A metric's aggregates. The parts of a ratio are not scaled by time."""
        if metric.aggregate == "ratio":
            numerator, denominator = (
                self._measure(_metric(self.terms.workspace, str(name)), scaled=False)
                for name in (metric.numerator, metric.denominator)
            )
            return Measure(name=metric.name, aggregate="ratio", n=denominator.n, parts=(numerator, denominator))
        flag = self._flag(metric)
        per_s = PER_SECONDS[metric.per] if metric.per and scaled else None
        if metric.aggregate == "count":
            n = self._aggregate("count", "", flag)
            return Measure(name=metric.name, aggregate="count", value=n, n=n, per_s=per_s)
        value = self._measured(metric)
        return Measure(
            name=metric.name,
            aggregate=metric.aggregate,
            value=self._aggregate("sum" if metric.aggregate == "avg" else metric.aggregate, value, flag, metric.q or 0),
            n=self._aggregate("count", value, flag),
            squares=self._aggregate("squares", value, flag) if metric.aggregate in ("sum", "avg") else "",
            per_s=per_s,
            q=metric.q or 0.0,
        )

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
        parts = [self.terms.number(name) for name in metric.columns or (metric.column or "",)]
        if metric.aggregate == "last":
            self._carry(self.dialect.name("time"))
        if len(parts) == 1:
            return self._carry(parts[0])
        some = " OR ".join(f"{part} IS NOT NULL" for part in parts)
        return self._carry(f"CASE WHEN {some} THEN {' + '.join(f'coalesce({part}, 0)' for part in parts)} END")

    def _carry(self, sql: str) -> str:
        return self.scan.setdefault(sql, f"c{len(self.scan)}")

    def _aggregate(self, function: str, value: str, flag: str, q: float = 0.0) -> str:
        return self.aggregates.setdefault(Aggregate(function, value, flag, q), f"a{len(self.aggregates)}")

    def _render(self, aggregate: Aggregate, *extra: str) -> str:
        """The SQL of an aggregate; `extra` are more conditions on its rows."""
        # one condition for all metrics is in the scan's WHERE already
        flags = [aggregate.flag] if aggregate.flag and len(self.conditions) > 1 else []
        kept = " AND ".join([*flags, *extra])
        where = f" FILTER (WHERE {kept})" if kept else ""
        value = aggregate.value
        match aggregate.function:
            case "count":
                return f"count({value or '*'}){where}"
            case "distinct":
                return f"count(DISTINCT {value}){where}"
            case "squares":
                return f"sum({value} * {value}){where}"
            case "last":
                return self.dialect.last(value, self.scan[self.dialect.name("time")], where)
            case "quantile":
                same = [a for a in self.aggregates if a.function == "quantile" and a.value == value]
                qs = sorted({a.q for a in same if a.flag == aggregate.flag})
                return self.dialect.quantiles(value, qs, where, qs.index(aggregate.q) + 1)
            case function:
                return f"{function}({value}){where}"

    def _sql(self) -> str:
        keys = ["p"] if self.previous else []
        names = [f"g{k}" for k in range(len(self.groups))]
        limited = bool(self.query.limit and names)
        detail = keys + (["i"] if self.grain else []) + (["r"] if limited else names)
        columns = [f"{self._render(a)} AS {alias}" for a, alias in self.aggregates.items()]
        if limited:
            columns += [f"{self.dialect.first_value('scan.' + g)} AS {g}" for g in names]
        ctes, source = [self._scan()], "scan"
        if limited:
            ctes.append(self._top(names))
            same = " AND ".join(self.dialect.matches(f"scan.{g}", f"top.{g}") for g in names)
            source = f"scan LEFT JOIN top ON {same}"
        if detail != keys:
            columns.append(f"grouping({detail[-1]}) AS t")
            grouping = f"GROUP BY GROUPING SETS (({', '.join(detail)}), ({', '.join(keys)}))"
        else:
            grouping = f"GROUP BY {keys[0]}" if keys else ""
        text = f"WITH {', '.join(ctes)} SELECT {', '.join(detail + columns)} FROM {source} {grouping}"
        return f"{text} LIMIT {2 * MAX_CELLS + 3}"

    def _scan(self) -> str:
        columns = [f"{sql} AS {name}" for sql, name in self.scan.items()]
        columns += [f"{term.sql} AS g{k}" for k, term in enumerate(self.groups)]
        kept = [self._spans(), *_kept(self.terms, self.query)]
        if "" not in self.conditions:  # rows that count for no metric make no group
            kept.append("(" + " OR ".join(f"({condition})" for condition in self.conditions) + ")")
        if len(self.conditions) > 1:
            columns += [f"({condition}) AS {flag}" for condition, flag in self.conditions.items() if condition]
        time = self.dialect.name("time")
        if self.previous:
            columns.append(f"CASE WHEN {time} >= {self.terms.bind(_naive(self.period.start))} THEN 0 ELSE 1 END AS p")
        if not self.grain:
            return f"scan AS (SELECT {', '.join(columns) or '1'} FROM {{events}} WHERE {' AND '.join(kept)})"
        step, even = _step(self.edges, self.previous_edges)
        columns.append(f"{self._slot(step)} AS {'i' if even else 'slot'}")
        scan = f"SELECT {', '.join(columns)} FROM {{events}} WHERE {' AND '.join(kept)}"
        return f"scan AS ({scan if even else self._looked_up(scan, step)})"

    def _spans(self) -> str:
        """The rows of both periods; one outer span first, for the zone maps."""
        if not self.previous:
            return _within(self.terms, self.period)
        outer = _within(self.terms, Period(self.previous.start, self.period.end))
        if self.previous.end == self.period.start:
            return outer
        return f"{outer} AND (({_within(self.terms, self.period)}) OR ({_within(self.terms, self.previous)}))"

    def _slot(self, step: int) -> str:
        """Steps since the first edge of the row's own period."""
        origin = self.terms.bind(_us(self.edges[0]))
        if self.previous_edges:
            before = self.terms.bind(_us(self.previous_edges[0]))
            start = self.terms.bind(_naive(self.period.start))
            origin = f"CASE WHEN {self.dialect.name('time')} >= {start} THEN {origin} ELSE {before} END"
        return self.dialect.since(self.dialect.name("time"), origin, self.terms.bind(step))

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

    def _top(self, names: list[str]) -> str:
        """The groups that stay under a limit, by the first metric in the current period."""
        listed = ", ".join(names)
        ranked = f"SELECT {listed}, {self._ranked(self.measures[0])} AS v FROM scan GROUP BY {listed}"
        return (
            f"top AS (SELECT {listed}, row_number() OVER (ORDER BY v DESC NULLS LAST, {listed}) AS r"
            f" FROM ({ranked}) ORDER BY r LIMIT {int(self.query.limit or 0)})"
        )

    def _ranked(self, measure: Measure) -> str:
        if measure.parts:
            numerator, denominator = (self._ranked(part) for part in measure.parts)
            return f"({numerator}) / nullif({denominator}, 0)"
        extra = ["p = 0"] if self.previous else []
        by_alias = {alias: aggregate for aggregate, alias in self.aggregates.items()}
        value = self._render(by_alias[measure.value], *extra)
        return f"{value} / {self._render(by_alias[measure.n], *extra)}" if measure.aggregate == "avg" else value


def _step(*edge_lists: list[datetime]) -> tuple[int, bool]:
    """The longest step in us that divides all buckets, and whether every bucket is one step."""
    lengths = {(b - a) // US for edges in edge_lists for a, b in pairwise(edges)}
    return gcd(*lengths), len(lengths) == 1


def _naive(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None)


def _us(moment: datetime) -> int:
    return (moment - windows.EPOCH) // US
