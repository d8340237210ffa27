"""From the engine's sparse rows to a Result: every bucket present, values scaled, totals with intervals."""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from analytics import window as windows
from analytics.errors import TooLarge
from analytics.events import UTC_US
from analytics.query import Result, Total
from analytics.store.plan import Plan
from analytics.store.sql import MAX_CELLS, MAX_GROUPS
from analytics.store.terms import low
from analytics.store.totals import COUNTS, Floats, aliases, covered, totals, value_of

OTHER = "other"

Ints = np.ndarray[Any, np.dtype[np.int64]]


class Groups(msgspec.Struct):
    """Which group each detail row belongs to, the groups' values per dimension, and their order."""

    of_row: Ints
    values: list[list[Any]]
    order: Ints
    other: bool = False

    @property
    def count(self) -> int:
        return len(self.order)


def assemble(plan: Plan, raw: pa.Table, engine_ms: float) -> Result:
    """The Result of a plan's rows. Raises TooLarge when there are more groups than can be shown."""
    end = min(plan.period.end, plan.now)
    result = Result(
        query=plan.query,
        table=raw,
        totals={},
        period=plan.period,
        previous=plan.previous,
        grain_s=windows.parse_grain(plan.grain).seconds if plan.grain else None,
        grain=plan.grain,
        partial_first=bool(plan.edges) and plan.edges[0] < plan.period.start,
        partial_last=bool(plan.edges) and plan.edges[-1] > end,
        engine_ms=engine_ms,
    )
    if plan.query.select or plan.query.cells:
        return result
    if plan.query.values:
        result.table = _lows(raw, plan.groups[0].log)
        return result
    detail, whole = _split(plan, raw)
    result.totals = totals(plan, whole, detail)
    if plan.grain or plan.groups:
        result.table, result.other = _table(plan, detail)
    else:
        result.table = _one_row(plan, result.totals)
    return result


def _split(plan: Plan, raw: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Detail rows and the rows of the totals."""
    if raw.num_rows > 2 * MAX_CELLS + 2:
        raise TooLarge(f"the answer has more than {2 * MAX_CELLS:,} rows", hint="use a limit or a coarser grain")
    if "t" not in raw.column_names:
        return raw.slice(0, 0), raw
    is_total = pc.equal(raw["t"], 1)
    return raw.filter(pc.invert(is_total)), raw.filter(is_total)


def _one_row(plan: Plan, totals: dict[str, Total]) -> pa.Table:
    """Without grain and groups the table is the totals in one row."""
    values: dict[str, Any] = {}
    counts: dict[str, Any] = {}
    for measure in plan.measures:
        total = totals[measure.name]
        kind = pa.int64() if measure.aggregate in COUNTS and not measure.per_s else pa.float64()
        values[measure.name] = pa.array([total.value], kind)
        counts[f"{measure.name}__n"] = pa.array([total.n], pa.int64())
        if plan.previous:
            values[f"{measure.name}_previous"] = pa.array([total.previous], kind)
            counts[f"{measure.name}__n_previous"] = pa.array([total.n_previous], pa.int64())
    return pa.table(values | counts)


def _table(plan: Plan, rows: pa.Table) -> tuple[pa.Table, bool]:
    """All buckets by all groups, in the order that Result promises."""
    groups = _grouped(plan, rows)
    buckets = max(len(plan.edges) - 1, 1)
    if groups.count > MAX_GROUPS or groups.count * buckets > MAX_CELLS:
        raise TooLarge(
            f"expected at most {MAX_GROUPS:,} groups, {MAX_CELLS:,} cells; got {groups.count:,} in {buckets:,} buckets",
            hint="use a limit: the largest groups stay, the rest fold into one",
        )
    period = _ints(rows, "p") if plan.previous else np.zeros(rows.num_rows, np.int64)
    bucket = _ints(rows, "i") if plan.grain else np.zeros(rows.num_rows, np.int64)
    inside = bucket < buckets  # the previous period may have a bucket more (a longer month)
    shape = (2 if plan.previous else 1, buckets, groups.count)
    place = (period[inside], bucket[inside], groups.of_row[inside])
    known = {}
    for alias in set().union(*(aliases(m) for m in plan.measures)):
        known[alias] = np.full(shape, np.nan)
        known[alias][place] = _floats(rows, alias)[inside]
    seconds = _seconds(plan, buckets)[:, :, np.newaxis]
    values = {m.name: np.broadcast_to(value_of(m, known, seconds), shape) for m in plan.measures}
    order = _order(values[plan.measures[0].name][0], groups)

    columns: dict[str, Any] = {}
    if plan.grain:
        starts = np.array([_naive_us(edge) for edge in plan.edges[:-1]], "datetime64[us]")
        columns["time"] = pa.array(np.repeat(starts, groups.count), UTC_US)
    for k, term in enumerate(plan.groups):
        columns[term.name] = pa.array(groups.values[k]).take(pa.array(order % max(groups.count, 1)))
    for measure in plan.measures:
        whole = measure.aggregate in COUNTS and not measure.per_s
        for p, suffix in enumerate(("", "_previous")[: shape[0]]):
            columns[measure.name + suffix] = _arrow(values[measure.name][p].ravel()[order], whole)
    for measure in plan.measures:
        for p, suffix in enumerate(("__n", "__n_previous")[: shape[0]]):
            columns[measure.name + suffix] = pa.array(
                np.nan_to_num(known[measure.n][p].ravel()[order]).astype(np.int64)
            )
    return pa.table(columns), groups.other


def _grouped(plan: Plan, rows: pa.Table) -> Groups:
    if not plan.groups:
        return Groups(np.zeros(rows.num_rows, np.int64), [], np.zeros(1, np.int64))
    names = [f"g{k}" for k in range(len(plan.groups))]
    keys = ["r"] if "r" in rows.column_names else names
    of_row = np.zeros(rows.num_rows, np.int64)
    for key in keys:
        codes = rows[key].combine_chunks().dictionary_encode(null_encoding="encode")
        of_row = of_row * max(len(codes.dictionary), 1) + codes.indices.to_numpy(zero_copy_only=False)
    _, first, of_row = np.unique(of_row, return_index=True, return_inverse=True)
    values = [
        [_shown(term.log, v) for v in rows[g].take(first).to_pylist()]
        for term, g in zip(plan.groups, names, strict=True)
    ]
    order = np.empty(len(first), np.int64)
    if keys == ["r"]:
        rank = np.nan_to_num(_floats(rows, "r")[first], nan=np.inf)
        order[np.argsort(rank)] = np.arange(len(first))
        other = int(np.argmax(rank)) if np.isinf(rank).any() else None
        if other is not None:
            for k, term in enumerate(plan.groups):
                values[k][other] = OTHER if term.kind == "text" else None
        return Groups(of_row, values, order, other is not None)
    labels = sorted(range(len(first)), key=lambda g: [(v[g] is None, v[g] if v[g] is not None else 0) for v in values])
    order[labels] = np.arange(len(first))
    return Groups(of_row, values, order)


def _order(leading: Floats, groups: Groups) -> Ints:
    """Cells by bucket, then by the first metric, biggest first and null last; the fold always last."""
    buckets = leading.shape[0]
    bucket = np.repeat(np.arange(buckets), groups.count)
    tie = np.tile(groups.order, buckets)
    folded = tie == groups.count - 1 if groups.other else np.zeros(len(tie), bool)
    falling = np.where(np.isnan(leading), np.inf, -leading).ravel()
    return np.lexsort((tie, falling, folded, bucket))


def _seconds(plan: Plan, buckets: int) -> Floats:
    """Covered seconds per period and bucket: cut by the window, and by now."""
    if not plan.edges:
        current = [covered(plan.period.start, plan.period.end, plan.period, plan.now)]
        return np.array([current, [plan.previous.seconds]] if plan.previous else [current])
    spans = [[covered(a, b, plan.period, plan.now) for a, b in pairwise(plan.edges)]]
    if plan.previous:
        edges = plan.previous_edges[: buckets + 1]
        before = [covered(a, b, plan.previous, plan.now) for a, b in pairwise(edges)]
        spans.append(before + [0.0] * (buckets - len(before)))
    return np.array(spans)


def _shown(log: int, value: Any) -> Any:
    return low(value, log) if log and value is not None else value


def _lows(listed: pa.Table, log: int) -> pa.Table:
    """Values of a dimension as they are shown: a bin as its lower bound."""
    shown = pa.array([_shown(log, v) for v in listed["value"].to_pylist()], pa.float64()) if log else listed["value"]
    return listed.set_column(0, "value", shown)


def _ints(rows: pa.Table, name: str) -> Ints:
    values: Ints = rows[name].to_numpy().astype(np.int64)
    return values


def _floats(rows: pa.Table, name: str) -> Floats:
    values: Floats = rows[name].cast(pa.float64()).to_numpy()
    return values


def _arrow(values: Floats, whole: bool) -> pa.Array:
    missing = np.isnan(values)
    return pa.array(np.where(missing, 0, values).astype(np.int64) if whole else values, mask=missing)


def _naive_us(moment: datetime) -> datetime:
    return moment.replace(tzinfo=None)
