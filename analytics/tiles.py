"""Tiles: what each type asks, and how its answer becomes columns and a head for the screen.

TILES is the list; adding a tile type is one entry here and one renderer in assets/board.js.
Columns hold times in ms since the epoch and null for unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

import msgspec
import pyarrow as pa

from analytics.asks import MAX_GROUPS, MAX_SERIES, Ask, binned, listed, ranked, series, sparked, traced
from analytics.insights.anomalies import Incident
from analytics.insights.changes import change_of
from analytics.insights.confidence import Confidence
from analytics.query import Result, Total
from analytics.sources import Late
from analytics.workspace import Metric, Tile, Workspace

Columns = dict[str, list[Any]]
Group = tuple[Any, ...] | None  # a value for each dimension; None is the fold of the rest


class Range(Protocol):
    """What is expected of one series: `expecting.Series`."""

    def band(self) -> dict[str, Any]:
        """Its state for the head."""

    def columns(self, times: Sequence[int | None]) -> tuple[list[float | None], list[float | None]]:
        """Low and high for each bucket."""


class Answered(msgspec.Struct, kw_only=True):
    """What a tile's builder is given."""

    tile: Tile
    workspace: Workspace
    results: Mapping[str, Result]  # role -> result
    confidence: Callable[[str, Total], Confidence]  # metric name, its total
    late: tuple[Late, ...] = ()
    now: datetime
    expected: Range | None = None  # of the first series of a line tile
    incidents: tuple[Incident, ...] = ()

    @property
    def metric(self) -> Metric:
        return self.workspace.metrics[self.tile.metrics[0]]


def ms(column: pa.ChunkedArray) -> list[int | None]:
    """Naive UTC timestamps[us] as ms since the epoch."""
    return [None if us is None else us // 1000 for us in column.cast(pa.int64()).to_pylist()]


def values(result: Result, name: str, skip: int = 0) -> list[Any]:
    column = result.table[name].to_pylist() if name in result.table.column_names else [None] * result.table.num_rows
    return column[skip:]


def _whole_buckets(result: Result) -> int:
    """Rows to skip so that the first bucket shown is a whole one: a cut bucket looks like a drop."""
    return 1 if result.partial_first and result.table.num_rows > 2 else 0


def kpi(a: Answered) -> dict[str, Any]:
    result, metric = a.results["main"], a.metric
    total = result.totals[metric.name]
    change, kind = change_of(metric, total.value, total.previous)
    skip = _whole_buckets(result)
    # a sparkline has no room to say that its last bucket is not over; only a reading is whole at once
    end = -1 if result.partial_last and metric.aggregate != "last" and result.table.num_rows > skip + 2 else None
    return {
        "head": {
            **about(metric),
            **trusted(a, [metric.name]),
            "value": total.value,
            **stated(total),
            "previous": total.previous,
            "change": change,
            "change_kind": kind,
            "attention": None if metric.budget and total.reason else attention(metric, total.value),
            **limited(a, result, total),
        },
        "columns": {"t": ms(result.table["time"])[skip:end], "v": values(result, metric.name)[skip:end]},
    }


def limited(a: Answered, result: Result, total: Total) -> dict[str, Any]:
    """Of what is spent of a budget: its limit, and the share of the period that is over."""
    budget, now = a.metric.budget, min(result.period.end, a.now)
    if budget is None or budget.by or a.metric.part != "spent" or total.value is None or total.reason:
        return {}
    period = budget.period_of(now)
    even = (now - period.start) / period.length
    return {"budget": {"limit": budget.limit, "even": even, "period": budget.period, "until": _ms(period.end)}}


def line(a: Answered) -> dict[str, Any]:
    result = a.results["main"]
    names = a.tile.metrics[:1] if a.tile.by else a.tile.metrics[:MAX_SERIES]
    drawn, columns = _grouped_lines(a) if a.tile.by else _lines(a, names)
    times = columns["t"]
    ranged: dict[str, Any] = {}
    if a.expected is not None:
        columns["lo"], columns["hi"] = a.expected.columns(times)
        ranged = {"band": a.expected.band(), "marks": [i.mark() for i in a.incidents]}
    return {
        "head": {
            **trusted(a, list(names)),
            **ranged,
            "series": drawn,
            "partial": times[-1] if result.partial_last and times else None,
            "start": times[0] if times else _ms(result.period.start),
            "end": _ms(result.period.end),
            "grain_ms": int((result.grain_s or 0) * 1000),
            "annotations": marks_on(a),
        },
        "columns": columns,
    }


def _lines(a: Answered, names: Sequence[str]) -> tuple[list[dict[str, Any]], Columns]:
    """One line for each metric, and one for what it is compared with."""
    result = a.results["main"]
    skip = _whole_buckets(result)
    columns: Columns = {"t": ms(result.table["time"])[skip:]}
    for i, name in enumerate(names):
        columns[f"s{i}"] = values(result, name, skip)
        columns[f"p{i}"] = values(result, f"{name}_previous", skip)
    metrics = [a.workspace.metrics[name] for name in names]
    return [{"name": m.name, "title": m.title or m.name, "unit": m.unit, "per": m.per} for m in metrics], columns


def _grouped_lines(a: Answered) -> tuple[list[dict[str, Any]], Columns]:
    """One line for each of the largest groups, in the order of their names so that a live chart keeps its colours,
    and one for the rest."""
    metric, dim, result = a.metric, a.tile.by[0], a.results["main"]
    times, groups = by_group(result, (dim,), (metric.name, f"{metric.name}_previous"))
    skip = 1 if result.partial_first and len(times) > 2 else 0
    columns: Columns = {"t": times[skip:]}
    drawn: list[dict[str, Any]] = []
    for i, group in enumerate(sorted(groups, key=_by_name)[: MAX_GROUPS + 1]):
        value = None if group is None or group[0] is None else str(group[0])
        title = "other" if group is None else value or "(none)"
        shown = {"name": value, "title": title, "unit": metric.unit, "per": metric.per}
        drawn.append(shown | {"dim": dim, "other": group is None})
        columns[f"s{i}"], columns[f"p{i}"] = (column[skip:] for column in groups[group])
    return drawn, columns


def _by_name(group: Group) -> tuple[bool, bool, list[str]]:
    """What has no value comes behind what has one, the fold of the rest last."""
    return group is None, group is not None and None in group, [str(v) for v in group or ()]


def by_group(
    result: Result, by: Sequence[str], names: Sequence[str]
) -> tuple[list[int | None], dict[Group, tuple[list[Any], ...]]]:
    """The times of the buckets, and per group one list for each name, a value for each bucket. The fold of the rest
    is told from a group that bears its name by its place: the last of each bucket."""
    every = ms(result.table["time"])
    times = list(dict.fromkeys(every))
    size = len(every) // len(times) if times else 0
    keys = list(zip(*(values(result, dim) for dim in by), strict=True))
    columns = [values(result, name) for name in names]
    groups: dict[Group, tuple[list[Any], ...]] = {}
    for row, key in enumerate(keys):
        group: Group = None if result.other and row % size == size - 1 else key
        for into, column in zip(groups.setdefault(group, tuple([] for _ in names)), columns, strict=True):
            into.append(column[row])
    return times, groups


def marks_on(a: Answered) -> list[dict[str, Any]]:
    """What senders marked (events of the resource `annotation`) and where a source fell silent."""
    found = []
    if marked := a.results.get("annotations"):
        columns = (ms(marked.table["time"]), values(marked, "name"), values(marked, "status"))
        found = [
            {"t": t, "text": str(name)[:80], "tone": "bad" if status == "error" else "none"}
            for t, name, status in zip(*columns, strict=True)
            if name
        ]
    silent = [
        {"t": _ms(a.now) - int(x.age_s * 1000), "text": f"{x.source or 'a source'} silent", "tone": "bad"}
        for x in a.late
        if x.source not in {i.source for i in a.incidents if i.until is None}
    ]
    return sorted(found + silent, key=lambda m: m["t"] or 0)


def bars(a: Answered) -> dict[str, Any]:
    result, metric = a.results["main"], a.metric
    current = values(result, metric.name)
    previous = values(result, f"{metric.name}_previous")
    moved = [change_of(metric, v, p) for v, p in zip(current, previous, strict=True)]
    return {
        "head": {
            **about(metric),
            **trusted(a, [metric.name]),
            "by": a.tile.by[0],
            "other": result.other,
            "max": max((abs(v) for v in current if v is not None), default=None),
        },
        "columns": {
            "label": [None if v is None else str(v) for v in values(result, a.tile.by[0])],
            "value": current,
            "previous": previous,
            "change": [c for c, _ in moved],
            "kind": [k for _, k in moved],
        },
    }


def heatmap(a: Answered) -> dict[str, Any]:
    result, metric = a.results["main"], a.metric
    dim = a.workspace.dimensions[a.tile.by[0]]
    rows = [
        r
        for r in zip(ms(result.table["time"]), values(result, dim.name), values(result, metric.name), strict=True)
        if r[1] is not None and r[2]
    ]
    rows.sort(key=lambda r: (r[0], r[1]))
    ratio = 10 ** (1 / (dim.log or 1))
    return {
        "head": {
            **trusted(a, [metric.name]),
            "grain_ms": int((result.grain_s or 0) * 1000),
            "unit": dim.unit,
            "by": dim.name,
            "max": max((r[2] for r in rows), default=None),
            "start": _ms(result.period.start),
            "end": _ms(result.period.end),
            "per_decade": dim.log,
        },
        "columns": {
            "t": [r[0] for r in rows],
            "low": [r[1] for r in rows],
            "high": [r[1] * ratio for r in rows],
            "n": [r[2] for r in rows],
        },
    }


def table(a: Answered) -> dict[str, Any]:
    result = a.results["main"]
    metrics = [a.workspace.metrics[m] for m in a.tile.metrics]
    columns: Columns = {d: [None if v is None else str(v) for v in values(result, d)] for d in a.tile.by}
    columns |= {m.name: values(result, m.name) for m in metrics}
    head = {
        **trusted(a, [m.name for m in metrics]),
        "by": list(a.tile.by),
        "fields": [{"name": m.name, **about(m)} for m in metrics],
        "other": result.other,
    }
    if a.tile.spark:
        columns["spark"] = _sparks(a)
        metric = a.workspace.metrics[a.tile.spark]
        head["spark"] = {"metric": metric.name, "unit": metric.unit, "per": metric.per}
    return {"head": head, "columns": columns}


def _sparks(a: Answered) -> list[list[Any]]:
    """A short series beside each row of a table, whole buckets only."""
    main, spark = a.results["main"], a.results["spark"]
    times, groups = by_group(spark, a.tile.by, (a.tile.spark,))
    skip = 1 if spark.partial_first and len(times) > 2 else 0
    end = -1 if spark.partial_last and len(times) > skip + 2 else None
    rows: list[Group] = list(zip(*(values(main, dim) for dim in a.tile.by), strict=True))
    if main.other:
        rows[-1] = None
    return [groups[row][0][skip:end] if row in groups else [] for row in rows]


UNITS = {"duration_ms": "ms", "cost_usd": "usd", "cost": "usd", "tokens_input": "tokens", "tokens_output": "tokens"}


def latest(a: Answered) -> dict[str, Any]:
    rows = a.results["main"].table
    shown, own = a.tile.columns, a.workspace.datasets[a.tile.dataset].columns
    columns: dict[str, list[Any]] = {"id": rows["event_id"].to_pylist()}
    columns |= {c: ms(rows[c]) if pa.types.is_timestamp(rows[c].type) else rows[c].to_pylist() for c in shown}
    return {
        "head": {
            "n": rows.num_rows,
            "fields": [
                {
                    "name": c,
                    "title": own[c].title if c in own else c.removesuffix("_ms").replace("_", " ").capitalize(),
                    "unit": "time" if pa.types.is_timestamp(rows[c].type) else "" if c in own else UNITS.get(c, ""),
                }
                for c in shown
            ],
        },
        "columns": columns,
    }


def _heading(a: Answered, column: str) -> str:
    """What people call a column: as its dataset says, else by its name."""
    declared = a.workspace.datasets[a.tile.dataset].columns.get(column)
    return declared.title if declared else column.removesuffix("_ms").replace("_", " ").capitalize()


def about(metric: Metric) -> dict[str, Any]:
    """What a head says of its metric."""
    return {
        "metric": metric.name,
        "unit": metric.unit,
        "per": metric.per,
        "good": metric.good,
        "title": metric.title or metric.name,
        "description": metric.description,
    }


def stated(total: Total) -> dict[str, Any]:
    """Of a quantile of histograms, the most that its value can be off, or why it has none."""
    told = {"within": total.within, "reason": total.reason}
    return {name: known for name, known in told.items() if known is not None}


def attention(metric: Metric, value: float | None) -> str | None:
    """`bad` or `warn` where a value has come to a bound of its metric, else None."""
    bounds = metric.bounds
    if bounds is None or value is None:
        return None
    sign = -1 if metric.good == "up" else 1
    reached = [n for n, v in (("bad", bounds.bad), ("warn", bounds.warn)) if v is not None and sign * value >= sign * v]
    return reached[0] if reached else None


def trusted(a: Answered, names: list[str]) -> dict[str, Any]:
    """Rows and confidence of a tile: the least confident of its metrics speaks."""
    totals = a.results["main"].totals
    weighed = [a.confidence(name, totals[name]) for name in names]
    least = min(weighed, key=lambda c: c.headline)
    return {
        "n": max(totals[name].n for name in names),
        "confidence": round(least.headline, 4),
        "parts": least.parts(),
    }


def _ms(moment: Any) -> int:
    return int(moment.timestamp() * 1000)


class TileType(msgspec.Struct, frozen=True):
    """A tile type: what it asks and how it is built. `changes` is built by the agent, which knows trust; `budgets` asks
    for all that the workspace has."""

    asks: Callable[[Tile], list[Ask]]
    build: Callable[[Answered], dict[str, Any]] | None


TILES: dict[str, TileType] = {
    "kpi": TileType(series, kpi),
    "line": TileType(traced, line),
    "bars": TileType(ranked, bars),
    "heatmap": TileType(binned, heatmap),
    "table": TileType(sparked, table),
    "latest": TileType(listed, latest),
    "changes": TileType(series, None),
    "budgets": TileType(lambda tile: [], None),
}
