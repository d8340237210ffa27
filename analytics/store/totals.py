"""Totals: a metric over a whole period, how far its sample supports it, and what chance alone would do to it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from math import sqrt
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from analytics.query import Period, Total
from analytics.store import intervals
from analytics.store.plan import Measure, Plan

COUNTS = ("count", "distinct")
UNTOLD = "no histogram in this window"
OPEN = "it falls in an open bucket: no sender told a min or max that closes it"
BLOCKS = 24  # a period is cut into so many for the swing between neighbours; with fewer than half it says little

Floats = np.ndarray[Any, np.dtype[np.float64]]
Known = dict[str, Floats]


def totals(plan: Plan, whole: pa.Table, detail: pa.Table) -> dict[str, Total]:
    """From the rows of the totals, one per period; `detail` are those of the buckets, where there are any."""
    periods = whole["p"].to_pylist() if plan.previous else [0] * whole.num_rows
    by_period = dict(zip(periods, whole.to_pylist(), strict=True))
    spans = [covered(plan.period.start, plan.period.end, plan.period, plan.now)]
    spans += [plan.previous.seconds] if plan.previous else []
    told = []
    for period, seconds in enumerate(spans):
        row, blocks = by_period.get(period, {}), _blocks(plan, detail, period)
        told.append({m.name: _total(m, row, blocks, seconds) for m in plan.measures})
    if not plan.previous:
        return told[0]
    return {name: _beside(total, told[1][name]) for name, total in told[0].items()}


def _beside(total: Total, before: Total) -> Total:
    return msgspec.structs.replace(
        total,
        previous=before.value,
        n_previous=before.n,
        half_width_previous=before.half_width,
        noise_previous=before.noise,
    )


def _total(measure: Measure, row: dict[str, Any], blocks: Known, seconds: float) -> Total:
    """One value with its intervals, from the one row of a period (empty when nothing matched)."""
    columns = {k: np.array([np.nan if v is None else float(v)]) for k, v in row.items() if k.startswith("a")}
    absent = np.array([np.nan])
    known = {alias: columns.get(alias, absent) for alias in aliases(measure)}
    value = float(value_of(measure, known, np.array([seconds]))[0])
    n = int(np.nan_to_num(known[measure.n][0]))
    binned = measure.aggregate == "histogram"
    if np.isnan(value):
        return Total(None, n, reason=(OPEN if n else UNTOLD) if binned else None)
    scale = measure.per_s / seconds if measure.per_s and seconds else 1.0
    half_width, noise = _half_width(measure, known, value, n), _noise(measure, known, value / scale, n)
    swing = _swing(measure, known, blocks, value)
    if swing is not None:
        noise = max(noise or 0.0, swing)
    return Total(
        int(value) if measure.aggregate in COUNTS and not measure.per_s else value,
        n,
        None if half_width is None else half_width * scale,
        noise=None if noise is None else noise * scale,
        within=float(known[measure.within][0]) if binned else None,
    )


def _half_width(measure: Measure, known: Known, value: float, n: int) -> float | None:
    """The 95 % sampling half-width before any scaling by time; None where it has no meaning."""
    match measure.aggregate:
        case "count":
            return intervals.count(n)
        case "sum":
            return intervals.total(*_first(known, measure.value, measure.squares, measure.largest))
        case "avg":
            return intervals.mean(n, value, *_first(known, measure.squares, measure.largest))
        case "quantile" if n:
            return intervals.quantile(measure.q, n)
        case "histogram":
            return float(known[measure.reach][0])
    if measure.parts and all(part.aggregate == "count" for part in measure.parts) and 0 <= value <= 1 and n:
        return intervals.share(value, n)
    return None


def _noise(measure: Measure, known: Known, value: float, n: int) -> float | None:
    """The 95 % half-width of what chance does to a value before any scaling by time, were its rows independent.
    Heavy tails may do without the room of `_half_width`: they cancel in a difference. None for what nobody can say, as
    of an extreme, and for a ratio of other things than counts."""
    match measure.aggregate:
        case "sum":
            return intervals.Z * sqrt(*_first(known, measure.squares))
        case "avg":
            return intervals.deviation(n, n * value, *_first(known, measure.squares)) / sqrt(n)
        case "last":
            return intervals.deviation(n, *_first(known, measure.sum, measure.squares))
        case "quantile" if n:
            return intervals.around(measure.q, n, *_first(known, *measure.beside))
        case "distinct":
            return intervals.count(value)
    return _half_width(measure, known, value, n)


def _swing(measure: Measure, known: Known, blocks: Known, value: float) -> float | None:
    """The same from how much neighbouring blocks of the period differ: more where rows come in clumps, as the calls of
    one flow do. None where there are too few blocks, and for what does not add up."""
    residuals = _residuals(measure, blocks, value)
    if residuals is None or len(residuals) < BLOCKS // 2:
        return None
    if measure.aggregate in ("count", "sum"):
        return intervals.swing(residuals)
    size = value_of(measure.parts[1], known, np.array([1.0]))[0] if measure.parts else known[measure.n][0]
    return intervals.swing(residuals) / float(size) if size else None


def _residuals(measure: Measure, blocks: Known, value: float) -> Floats | None:
    """What each block adds to a count or a sum; of a mean or a ratio what it adds beyond its share."""
    if not blocks:
        return None
    if measure.aggregate in ("count", "sum"):
        return blocks[measure.value]
    if measure.aggregate == "avg":
        return np.asarray(blocks[measure.value] - value * blocks[measure.n])
    if measure.parts and all(part.aggregate in ("count", "sum") for part in measure.parts):
        numerator, denominator = (blocks[part.value] for part in measure.parts)
        return np.asarray(numerator - value * denominator)
    return None


def _blocks(plan: Plan, detail: pa.Table, period: int) -> Known:
    """Sums over blocks of whole buckets of one period, by alias; empty where nothing is compared, there are no buckets,
    or they are those of groups."""
    edges = plan.previous_edges if period else plan.edges
    if not plan.previous or plan.groups or len(edges) < BLOCKS // 2:
        return {}
    span = plan.previous if period else plan.period
    first = int(edges[0] < span.start)
    end = len(edges) - 1 - int(edges[-1] > min(span.end, plan.now))
    per_block = max(-(-(end - first) // BLOCKS), 1)
    size = (end - first) // per_block
    here = detail.filter(pc.equal(detail["p"], period))
    at = here["i"].to_numpy().astype(np.int64) - first
    inside = (at >= 0) & (at < size * per_block)
    found: Known = {}
    for name in set().union(*(_adding_up(measure) for measure in plan.measures)):
        values = np.nan_to_num(here[name].cast(pa.float64()).to_numpy())[inside]
        found[name] = np.bincount(at[inside] // per_block, values, minlength=max(size, 0)).astype(np.float64)
    return found


def _adding_up(measure: Measure) -> set[str]:
    """The aggregates of a metric that blocks are made of."""
    if measure.parts:
        return _adding_up(measure.parts[0]) | _adding_up(measure.parts[1])
    return {measure.value, measure.n} if measure.aggregate in ("count", "sum", "avg") else set()


def value_of(measure: Measure, known: Known, seconds: Floats) -> Floats:
    """A metric's values from its aggregates; nan where there is no answer. Arrays broadcast."""
    with np.errstate(divide="ignore", invalid="ignore"):
        if measure.parts:
            numerator, denominator = (value_of(part, known, seconds) for part in measure.parts)
            return np.where(denominator == 0, np.nan, numerator / denominator)
        value = known[measure.value]
        if measure.aggregate in COUNTS:  # nothing counted is 0, but what has not happened yet is unknown
            value = np.where(np.isnan(value), np.where(seconds > 0, 0.0, np.nan), value)
        if measure.aggregate == "avg":
            value = value / known[measure.n]
        if measure.per_s:
            value = np.where(seconds > 0, value * measure.per_s / seconds, np.nan)
        return value


def aliases(measure: Measure) -> set[str]:
    """The names of all aggregates behind a metric."""
    inner = set().union(*(aliases(part) for part in measure.parts)) if measure.parts else set()
    own = (measure.value, measure.n, measure.sum, measure.squares, measure.largest, measure.within, measure.reach,
           *measure.beside)  # fmt: skip
    return inner | {alias for alias in own if alias}


def covered(start: datetime, end: datetime, period: Period, now: datetime) -> float:
    """The seconds of [start, end) that lie inside the period and have passed."""
    return max((min(end, period.end, now) - max(start, period.start)).total_seconds(), 0.0)


def _first(known: Known, *names: str) -> Sequence[float]:
    return [float(known[name][0]) for name in names]
