"""Tiles: what each type asks, and how its answer becomes columns and a head for the screen.

TILES is the list; adding a tile type is one entry here and one renderer in assets/board.js.
Columns hold times in ms since the epoch and null for unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import msgspec
import pyarrow as pa

from analytics.insights.changes import change_of
from analytics.insights.confidence import Confidence
from analytics.query import Filter, Query, Result, Total
from analytics.sources import Late
from analytics.workspace import Metric, Tile, Workspace

MAX_SERIES = 6
CAUSE_GROUPS = 20
MAX_ANNOTATIONS = 20
ANNOTATION = (("kind", ("event",)), ("resource", ("annotation",)))


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """The shape of one query a tile needs; `role` tells its answers apart."""

    role: str
    metrics: tuple[str, ...] = ()
    grain: bool = False
    by: tuple[str, ...] = ()
    compare: bool = True
    limit: int | None = None
    where: tuple[tuple[str, tuple[Any, ...]], ...] = ()
    select: tuple[str, ...] = ()

    def sharing_key(self) -> tuple[Any, ...]:
        """Asks alike in all but their metrics are answered by one query."""
        return (self.grain, self.by, self.compare, self.limit, self.where, self.select)

    def query(self, metrics: list[str], base: Query) -> Query:
        """As a Query inside the board's window and filters."""
        filters = [Filter(dim=d, op="in" if len(v) > 1 else "is", values=list(v)) for d, v in self.where]
        return msgspec.structs.replace(
            base,
            metrics=metrics,
            grain=(base.grain or "auto") if self.grain else None,
            group_by=list(self.by),
            filters=[*base.filters, *filters],
            compare=base.compare if self.compare else None,
            limit=self.limit,
            select=list(self.select),
            dataset="events" if self.select else None,
        )


class Answered(msgspec.Struct, kw_only=True):
    """What a tile's builder is given."""

    tile: Tile
    workspace: Workspace
    results: Mapping[str, Result]  # role -> result
    confidence: Callable[[str, Total], Confidence]  # metric name, its total
    late: tuple[Late, ...] = ()
    now: datetime

    @property
    def metric(self) -> Metric:
        return self.workspace.metrics[self.tile.metrics[0]]


def where_of(tile: Tile) -> tuple[tuple[str, tuple[Any, ...]], ...]:
    return tuple(sorted((k, tuple(v) if isinstance(v, list | tuple) else (v,)) for k, v in tile.where.items()))


def _series(tile: Tile) -> list[Ask]:
    return [Ask(role="main", metrics=tile.metrics, grain=True, where=where_of(tile))]


def _line(tile: Tile) -> list[Ask]:
    columns = ("event_id", "time", "name", "status")
    marked = Ask(role="annotations", compare=False, limit=MAX_ANNOTATIONS, where=ANNOTATION, select=columns)
    return [*_series(tile), marked]


def _ranked(tile: Tile) -> list[Ask]:
    return [Ask(role="main", metrics=tile.metrics, by=tile.by, limit=tile.limit, where=where_of(tile))]


def _binned(tile: Tile) -> list[Ask]:
    return [Ask(role="main", metrics=tile.metrics[:1], by=tile.by[:1], grain=True, compare=False, where=where_of(tile))]


def _rows(tile: Tile) -> list[Ask]:
    columns = tuple(dict.fromkeys(("event_id", "time", *tile.columns)))
    return [Ask(role="main", compare=False, limit=tile.limit, where=where_of(tile), select=columns)]


def _causes(tile: Tile) -> list[Ask]:
    whole = Ask(role="main", metrics=tile.metrics, grain=True, where=where_of(tile))
    return [whole] + [
        Ask(role=dim, metrics=tile.metrics, by=(dim,), limit=CAUSE_GROUPS, where=where_of(tile)) for dim in tile.by
    ]


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
            "previous": total.previous,
            "change": change,
            "change_kind": kind,
        },
        "columns": {"t": ms(result.table["time"])[skip:end], "v": values(result, metric.name)[skip:end]},
    }


def line(a: Answered) -> dict[str, Any]:
    result = a.results["main"]
    names = a.tile.metrics[:MAX_SERIES]
    skip = _whole_buckets(result)
    times = ms(result.table["time"])[skip:]
    columns: dict[str, list[Any]] = {"t": times}
    for i, name in enumerate(names):
        columns[f"s{i}"] = values(result, name, skip)
        columns[f"p{i}"] = values(result, f"{name}_previous", skip)
    metrics = [a.workspace.metrics[n] for n in names]
    return {
        "head": {
            **trusted(a, list(names)),
            "series": [{"name": m.name, "title": m.title or m.name, "unit": m.unit, "per": m.per} for m in metrics],
            "partial": times[-1] if result.partial_last and times else None,
            "start": times[0] if times else _ms(result.period.start),
            "end": _ms(result.period.end),
            "grain_ms": int((result.grain_s or 0) * 1000),
            "annotations": marks_on(a),
        },
        "columns": columns,
    }


def marks_on(a: Answered) -> list[dict[str, Any]]:
    """What senders marked (events of the resource `annotation`) and where a source fell silent."""
    marks = a.results["annotations"].table
    found = [
        {"t": t, "text": str(name)[:80], "tone": "bad" if status == "error" else "none"}
        for t, name, status in zip(
            ms(marks["time"]), marks["name"].to_pylist(), marks["status"].to_pylist(), strict=True
        )
        if name
    ]
    silent = [
        {"t": _ms(a.now) - int(x.age_s * 1000), "text": f"{x.source or 'a source'} silent", "tone": "bad"}
        for x in a.late
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
    columns: dict[str, list[Any]] = {d: [None if v is None else str(v) for v in values(result, d)] for d in a.tile.by}
    columns |= {m.name: values(result, m.name) for m in metrics}
    return {
        "head": {
            **trusted(a, [m.name for m in metrics]),
            "by": list(a.tile.by),
            "fields": [{"name": m.name, **about(m)} for m in metrics],
        },
        "columns": columns,
    }


UNITS = {"duration_ms": "ms", "cost_usd": "usd", "tokens_input": "tokens", "tokens_output": "tokens", "time": "time"}


def latest(a: Answered) -> dict[str, Any]:
    rows = a.results["main"].table
    shown = a.tile.columns
    columns: dict[str, list[Any]] = {"id": rows["event_id"].to_pylist()}
    columns |= {c: ms(rows[c]) if pa.types.is_timestamp(rows[c].type) else rows[c].to_pylist() for c in shown}
    return {
        "head": {
            "n": rows.num_rows,
            "fields": [
                {"name": c, "title": c.removesuffix("_ms").replace("_", " ").capitalize(), "unit": UNITS.get(c, "")}
                for c in shown
            ],
        },
        "columns": columns,
    }


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
    """A tile type: what it asks and how it is built. `changes` is built by the agent, which knows trust."""

    asks: Callable[[Tile], list[Ask]]
    build: Callable[[Answered], dict[str, Any]] | None


TILES: dict[str, TileType] = {
    "kpi": TileType(_series, kpi),
    "line": TileType(_line, line),
    "bars": TileType(_ranked, bars),
    "heatmap": TileType(_binned, heatmap),
    "table": TileType(_ranked, table),
    "latest": TileType(_rows, latest),
    "changes": TileType(_causes, None),
}
