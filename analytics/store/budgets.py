"""Budgets answered: what was spent from the start of a period up to a moment, what remains of the limit, and how fast
it goes. As a series each is read at the end of every bucket, and begins anew with its period.

Nothing is scanned twice: a period is a sum of days, of the hours of its last day, and of what lies between the
moments that are asked; see `kept`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa

from analytics import window as windows
from analytics.errors import TooLarge, ValidationError
from analytics.events import UTC_US
from analytics.query import ROWS, Filter, Period, Query, Result, Total
from analytics.store.costs import lacking
from analytics.store.dialect import DuckDB
from analytics.store.kept import Group, Kept, Span, State, Sums, Touched, runs
from analytics.store.plan import Plan
from analytics.store.terms import Term, Terms, low
from analytics.workspace import Budget, Metric, Workspace
from analytics.workspace_budgets import ESTIMATED, PACE, REMAINING, SPENT, is_money

Fetch = Callable[[str, dict[str, Any]], pa.Table]
Place = tuple[datetime, Period, dict[Group, Sums]]  # a moment, its period, and what was spent of it by then
PLACE, ESTIMATE = "pl_place", "pl_estimate"
HOUR = timedelta(hours=1)
MAX_GROUPS, MAX_CELLS = 10_000, 200_000
NAMED = 3  # values of a filter that are named
SURE = 0.01  # so much of a period must be over before its pace means something
NOTHING: Sums = (0.0, 0.0, 0.0, 0.0)  # sum, rows that have one, rows that should and have none, how much is an estimate


class Reading(NamedTuple):
    """A budget at one moment: what is spent (None: unknown), its limit where it has one here or `why` it has none, the
    share of its period that is over, and the sums behind it."""

    sums: Sums
    limit: float | None
    why: str | None
    elapsed: float
    counted: bool

    @property
    def spent(self) -> float | None:
        total, known, unknown, _ = self.sums
        return None if unknown and not known else total

    def value(self, part: str | None) -> float | None:
        if part == SPENT:
            return int(self.sums[0]) if self.counted else self.spent
        if part == ESTIMATED:
            return self.sums[3]
        if part not in (REMAINING, PACE):
            return int(self.sums[2])
        if self.limit is None or self.spent is None:
            return None
        if part == REMAINING:
            return self.limit - self.spent
        return self.spent / self.limit / self.elapsed if self.elapsed >= SURE else None

    def reason(self, part: str | None) -> str | None:
        """Why a part has no value, or of what is spent why there is no limit to compare it with."""
        if part not in (SPENT, REMAINING, PACE):
            return None
        if self.spent is None:
            return f"none of {int(self.sums[2]):,} calls has a price"
        return self.why or ("the period has only begun" if self.value(part) is None else None)


class Asked(NamedTuple):
    """One budget in one query: its metrics by the name they were asked by."""

    budget: Budget
    of: Metric
    names: dict[str, Metric]


def asked(query: Query, workspace: Workspace) -> dict[str, Metric]:
    """The metrics of a query that tell of budgets."""
    found = {name: workspace.metric(name, query.dataset) for name in query.metrics if name != ROWS}
    return {name: metric for name, metric in found.items() if metric.budget}


def without(query: Query, budgets: Mapping[str, Metric]) -> Query:
    """The rest of a query, which says at which moments budgets are read. Raises ValidationError."""
    rest = [name for name in query.metrics if name not in budgets]
    dataset = next(iter(budgets.values())).dataset
    if query.cells or query.baseline:
        raise ValidationError(
            f"metric {next(iter(budgets))!r} is of a budget, and what moves it is asked of its metric"
        )
    if query.group_by and rest:
        raise ValidationError(
            f"metrics: expected budgets alone with group_by, got {rest[0]!r} too", hint="ask it apart"
        )
    return msgspec.structs.replace(query, metrics=rest or [ROWS], group_by=[], limit=None, dataset=dataset)


class Budgets:
    """Answers the budgets of queries. Safe for the readers' threads."""

    def __init__(self) -> None:
        self._kept: tuple[Workspace | None, Kept] = (None, Kept())

    def answer(
        self,
        query: Query,
        budgets: Mapping[str, Metric],
        rest: Result,
        plan: Plan,
        workspace: Workspace,
        now: datetime,
        touched: tuple[State, Touched],
        fetch: Fetch,
    ) -> Result:
        """The whole result, from that of the rest. Raises TooLarge."""
        known, kept = self._kept
        if known is not workspace:  # other prices, other conditions
            kept = Kept()
            self._kept = (workspace, kept)
        periods = [_moments(plan.period, plan.edges, now)]
        if plan.previous:
            periods.append(_moments(plan.previous, plan.previous_edges[: len(plan.edges)], now))
        read = [_Reader(query, budget, workspace, now, touched, kept, fetch, periods) for budget in _together(budgets)]
        return _assembled(query, rest, plan, read)


def _together(budgets: Mapping[str, Metric]) -> list[Asked]:
    found: dict[str, Asked] = {}
    for name, metric in budgets.items():
        assert metric.budget is not None
        found.setdefault(metric.budget.name, Asked(metric.budget, metric, {})).names[name] = metric
    return list(found.values())


def _moments(period: Period, edges: Sequence[datetime], now: datetime) -> list[datetime | None]:
    """When budgets are read: at the end of each bucket, or of the period; None for what has not begun."""
    end = min(period.end, now)
    return [min(b, end) if a < end else None for a, b in pairwise(edges)] if edges else [end]


class _Reader:
    """Reads one budget at all moments of both periods, for each group."""

    def __init__(
        self,
        query: Query,
        asked: Asked,
        workspace: Workspace,
        now: datetime,
        touched: tuple[State, Touched],
        kept: Kept,
        fetch: Fetch,
        periods: Sequence[Sequence[datetime | None]],
    ) -> None:
        self.asked, self.budget = asked, asked.budget
        self._query, self._workspace, self._fetch = query, workspace, fetch
        self._money = is_money(asked.of)
        self._counted = workspace.metrics[self.budget.metric].aggregate == "count"
        self.terms = Terms(workspace, asked.of.dataset, DuckDB())
        self.groups = [self.terms.dimension(name) for name in query.group_by]
        filters = msgspec.json.encode([query.filters, query.as_of, query.group_by])
        key = (self.budget.name, filters)
        self.at: list[list[Place | None]] = []
        for moments in periods:
            known = sorted({moment for moment in moments if moment is not None})
            by_moment: dict[datetime, Place] = {}
            for period, within in _by_period(self.budget, known):
                edges = [_us(edge) for edge in _cuts(self.budget, period, within)]
                cells = kept.sums(key, edges, *touched, self._read)
                totals = dict(zip(edges[1:], accumulate(cells, _added), strict=True))
                by_moment |= {moment: (moment, period, totals.get(_us(moment), {})) for moment in within}
            self.at.append([None if moment is None else by_moment[moment] for moment in moments])

    def reading(self, place: Place, group: Group, sums: Sums) -> Reading:
        moment, period, _ = place
        return Reading(sums, *self._limit(group), (moment - period.start) / period.length, self._counted)

    def _limit(self, group: Group) -> tuple[float | None, str | None]:
        """Of a group, where all that counts against the limit is in it, else why it is not."""
        budget, dims = self.budget, self._query.group_by
        if own := [f for f in self._query.filters if self._narrows(f)]:
            return None, f"a budget counts all that it covers; this view is filtered to {_listed(map(_words, own))}"
        by = budget.by.rpartition(".")[2]
        if by and len(dims) == 1 and self._is_by(dims[0]):
            limit = budget.limit_of(group[0])
            return limit, None if limit is not None else f"each {by} has a limit of its own"
        if dims:
            parted = _listed(name.rpartition(".")[2] for name in dims)
            return None, f"a budget counts all that it covers; this view is divided by {parted}"
        if not by:
            return budget.limit, None
        one = [f for f in self._query.filters if self._is_by(f.dim) and f.op in ("is", "in") and len(f.values) == 1]
        limit = budget.limit_of(one[0].values[0]) if one else None
        return limit, None if limit is not None else f"each {by} has a limit of its own"

    def _narrows(self, wanted: Filter) -> bool:
        """Whether a filter leaves out some of what counts against a limit."""
        if self.budget.by and self._is_by(wanted.dim):
            return False
        own = self.asked.of.where.get(self._full(wanted.dim), [])
        values = own if isinstance(own, list) else [own]
        return not (values and wanted.op in ("is", "in") and {*values} <= {*wanted.values})

    def _is_by(self, name: str) -> bool:
        return self._full(name) == self.budget.by

    def _full(self, name: str) -> str:
        found = self._workspace.dimension(name, self.asked.of.dataset)
        return found.name if found else name

    def _read(self, spans: Sequence[Span]) -> list[dict[Group, Sums]]:
        """Add up the rows of each span, one statement for all."""
        span = Period(_moment(spans[0][0]), _moment(spans[-1][1]))
        terms = Terms(self._workspace, self.asked.of.dataset, DuckDB(), span, self._query.as_of)
        found: list[dict[Group, Sums]] = []
        reads = []
        for run in runs(spans):
            reads.append(self._rows(terms, run, len(found)))
            found += [{} for _ in run]
        columns = [PLACE, *self._sums(terms), *(terms.dimension(name).sql for name in self._query.group_by)]
        grouping = ", ".join(str(n) for n in (1, *range(6, len(columns) + 1)))
        rows = f"({' UNION ALL '.join(reads)}) AS found"
        sql = f"SELECT {', '.join(columns)} FROM {rows} GROUP BY {grouping} LIMIT {MAX_CELLS + 1}"
        table = self._fetch(sql, terms.params)
        if table.num_rows > MAX_CELLS:
            raise TooLarge(f"the budget {self.budget.name!r} has too many groups", hint="filter, or group by less")
        for row in zip(*(column.to_pylist() for column in table.columns), strict=True):
            group = tuple(_shown(term, value) for term, value in zip(self.groups, row[5:], strict=True))
            found[row[0]][group] = tuple(float(value or 0.0) for value in row[1:5])
        return found

    def _rows(self, terms: Terms, run: Sequence[Span], first: int) -> str:
        """The rows that count in a run, each with the place of its span, and of money with what it is estimated at:
        to say that once is most of what a short read costs."""
        start, length = run[0][0], run[0][1] - run[0][0]
        dialect = terms.dialect
        place = f"{dialect.since(dialect.name('time'), terms.bind(start), terms.bind(length))} + {first} AS {PLACE}"
        estimate = f"{terms.column('cost_estimated').sql} AS {ESTIMATE}" if self._money else f"NULL AS {ESTIMATE}"
        conditions = [
            terms.within(Period(_moment(start), _moment(run[-1][1]))),
            *terms.counted(self._query.filters),
            terms.where(self.asked.of.where),
        ]
        return f"SELECT *, {place}, {estimate} FROM {{events}} WHERE {' AND '.join(filter(None, conditions))}"

    def _sums(self, terms: Terms) -> list[str]:
        """What is added up, in the order of NOTHING."""
        of, value = self.asked.of, "1.0"
        if self._money and of.column == "cost":
            value = f"coalesce(cost_usd, {ESTIMATE})"
        elif not self._counted:
            value = terms.measured(of)
        absent = lacking(ESTIMATE) if self._money else f"{value} IS NULL"
        estimate = f"sum({ESTIMATE})" if self._money else "0.0"
        return [f"sum({value})", f"count({value})", f"count(*) FILTER ({absent})", estimate]


def _by_period(budget: Budget, moments: Sequence[datetime]) -> Iterable[tuple[Period, list[datetime]]]:
    """The periods in which moments lie, with those of each."""
    found: dict[datetime, tuple[Period, list[datetime]]] = {}
    for moment in moments:
        period = budget.period_of(moment)
        found.setdefault(period.start, (period, []))[1].append(moment)
    return found.values()


def _cuts(budget: Budget, period: Period, moments: Sequence[datetime]) -> list[datetime]:
    """From where to where is added up: whole days, whole hours of the day of the first moment, then the moments."""
    edges = {period.start, *moments}
    day = windows.period_at(moments[0] - windows.US, "d", budget.tz)
    edges |= {edge for edge in windows.buckets(period, "1d", budget.tz) if edge <= day.start}
    hours = int((moments[0] - max(day.start, period.start)) / HOUR)
    edges |= {max(day.start, period.start) + k * HOUR for k in range(hours + 1)}
    return sorted(edge for edge in edges if period.start <= edge <= moments[-1])


def _added(so_far: dict[Group, Sums], more: dict[Group, Sums]) -> dict[Group, Sums]:
    if not more:
        return so_far
    return so_far | {group: _sum(so_far.get(group, NOTHING), sums) for group, sums in more.items()}


def _sum(one: Sums, other: Sums) -> Sums:
    return tuple(a + b for a, b in zip(one, other, strict=True))


def _assembled(query: Query, rest: Result, plan: Plan, read: Sequence[_Reader]) -> Result:
    """The rest with the budgets beside it; grouped there is nothing beside them."""
    groups, folded = _ranked(query, read) if query.group_by else ([()], False)
    buckets = max(len(plan.edges) - 1, 1)
    if len(groups) > MAX_GROUPS or len(groups) * buckets > MAX_CELLS:
        raise TooLarge(f"expected at most {MAX_GROUPS:,} groups, got {len(groups):,}", hint="use a limit")
    values: dict[str, list[Any]] = {}
    counts: dict[str, list[int]] = {}
    totals: dict[str, Total] = {}
    for reader in read:
        for place, moments in enumerate(reader.at):
            rows = [_row(reader, moment, groups, folded) for moment in moments]
            whole = _row(
                reader, moments[-1] or next((m for m in reversed(moments) if m), None), [()], False, sum_all=True
            )
            for name, metric in reader.asked.names.items():
                suffix = "_previous" if place else ""
                told = [None if cell is None else cell.value(metric.part) for row in rows for cell in row]
                values[name + suffix] = told
                counts[f"{name}__n{suffix}"] = [
                    0 if cell is None else int(cell.sums[1]) for row in rows for cell in row
                ]
                last = whole[0]
                value, n = (None, 0) if last is None else (last.value(metric.part), int(last.sums[1]))
                reason = last.reason(metric.part) if last else None
                totals[name] = (
                    msgspec.structs.replace(totals[name], previous=value, n_previous=n)
                    if place
                    else Total(value, n, reason=reason)
                )
    result = msgspec.structs.replace(rest, query=query, totals=rest.totals | totals, other=folded)
    result.table = _table(query, rest, plan, groups, values, counts)
    result.totals = {name: result.totals[name] for name in query.metrics}
    return result


def _row(
    reader: _Reader,
    at: Place | None,
    groups: Sequence[Group],
    folded: bool,
    *,
    sum_all: bool = False,
) -> list[Reading | None]:
    """One budget at one moment, for each group; the last one is the fold of those that are not listed."""
    if at is None:
        return [None] * len(groups)
    sums = at[2]
    if sum_all:
        total = NOTHING
        for each in sums.values():
            total = _sum(total, each)
        return [reader.reading(at, (None,) if reader.groups else (), total)]
    listed = groups[:-1] if folded else groups
    found: list[Reading | None] = [reader.reading(at, group, sums.get(group, NOTHING)) for group in listed]
    if folded:
        other = NOTHING
        for group, each in sums.items():
            if group not in listed:
                other = _sum(other, each)
        found.append(reader.reading(at, (None,), other))
    return found


def _ranked(query: Query, read: Sequence[_Reader]) -> tuple[list[Group], bool]:
    """All groups, biggest first by the first metric at the newest moment; whether the last one is a fold."""
    found = dict.fromkeys(group for reader in read for moments in reader.at for m in moments if m for group in m[2])
    first = next(reader for reader in read if query.metrics[0] in reader.asked.names)
    newest = next((m for m in reversed(first.at[0]) if m), None)
    part = first.asked.names[query.metrics[0]].part

    def rank(group: Group) -> tuple[bool, float, list[str]]:
        value = first.reading(newest, group, newest[2].get(group, NOTHING)).value(part) if newest else None
        return value is None, -(value or 0.0), [str(each) for each in group]

    ordered = sorted(found, key=rank)
    if query.limit is None or len(ordered) <= query.limit:
        return ordered, False
    other: Group = tuple("other" if term.kind == "text" else None for term in first.groups)
    return [*ordered[: query.limit], other], True


def _table(
    query: Query, rest: Result, plan: Plan, groups: Sequence[Group], values: dict[str, Any], counts: dict[str, Any]
) -> pa.Table:
    """Columns in the order that Result promises."""
    columns: dict[str, Any] = {}
    if plan.edges:
        starts = [edge.replace(tzinfo=None) for edge in plan.edges[:-1]]
        columns["time"] = pa.array([start for start in starts for _ in groups], UTC_US)
    buckets = max(len(plan.edges) - 1, 1)
    for k, name in enumerate(query.group_by):
        columns[name] = pa.array([group[k] for group in groups] * buckets)
    known = {} if query.group_by else {name: rest.table[name] for name in rest.table.column_names}
    for suffix in ("", "_previous", "__n", "__n_previous"):
        made = counts if suffix.startswith("__n") else values
        for name in query.metrics:
            if name + suffix in made:
                whole = suffix.startswith("__n") or all(
                    isinstance(v, int) for v in made[name + suffix] if v is not None
                )
                columns[name + suffix] = pa.array(made[name + suffix], pa.int64() if whole else pa.float64())
            elif name + suffix in known:
                columns[name + suffix] = known[name + suffix]
    return pa.table(columns)


def _words(wanted: Filter) -> str:
    """A filter as people say it: agent coder or planner."""
    how = {"is_not": "not ", "not_in": "not ", "contains": "with "}.get(wanted.op, "")
    values = ["none" if value is None else str(value)[:40] for value in wanted.values[:NAMED]]
    values += ["others"] if len(wanted.values) > NAMED else []
    return f"{wanted.dim.rpartition('.')[2]} {how}{' or '.join(values)}"


def _listed(words: Iterable[str]) -> str:
    return " and ".join(dict.fromkeys(words))


def _shown(term: Term, value: Any) -> Any:
    return low(value, term.log) if term.log and value is not None else value


def _us(moment: datetime) -> int:
    return (moment - windows.EPOCH) // windows.US


def _moment(us: int) -> datetime:
    return windows.EPOCH + us * windows.US
