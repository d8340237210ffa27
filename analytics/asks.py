"""What each type of tile asks of the store: the shape of its queries, and which of them tiles may share."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec

from analytics import window as windows
from analytics.query import Filter, Period, Query, Window
from analytics.workspace import Tile

MAX_SERIES = 6
MAX_GROUPS = 5  # lines of a chart by a dimension; one more is for the rest
MAX_ANNOTATIONS = 20
ANNOTATION = (("kind", ("event",)), ("resource", ("annotation",)))
MARKS = ("event_id", "time", "name", "status")
SPARKS = 60  # buckets of a series beside a row
HISTORY = 600  # buckets before a window, from which is learnt what to expect in it

Where = tuple[tuple[str, tuple[Any, ...]], ...]


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """The shape of one query a tile needs; `role` tells its answers apart."""

    role: str = "main"
    dataset: str = "events"
    metrics: tuple[str, ...] = ()
    grain: bool = False
    buckets: int = 0  # with a grain: at most so many, whatever grain was chosen
    by: tuple[str, ...] = ()
    compare: bool = True
    limit: int | None = None
    where: Where = ()
    select: tuple[str, ...] = ()
    back: int = 0  # with a grain: not the window, but so many buckets before the first whole one of it

    def sharing_key(self) -> tuple[Any, ...]:
        """Asks alike in all but their metrics are answered by one query; where groups are limited, the metric that
        ranks them must be the same too."""
        rank = self.metrics[:1] if self.limit and self.by else ()
        shape = (self.grain, self.buckets, self.by, self.compare, self.limit, self.where, self.select, self.back)
        return (self.dataset, rank, *shape)

    def filters(self) -> list[Filter]:
        """The tile's own conditions."""
        return [Filter(dim=d, op="in" if len(v) > 1 else "is", values=list(v)) for d, v in self.where]

    def query(self, metrics: list[str], base: Query, period: Period) -> Query:
        """As a Query inside the board's window and filters."""
        grain = windows.auto_grain(period, self.buckets) if self.buckets else base.grain or "auto"
        if self.back:
            grain = windows.auto_grain(period) if grain == "auto" else grain
            base = msgspec.structs.replace(base, window=_before(period, grain, base.window.tz, self.back))
        return msgspec.structs.replace(
            base,
            metrics=metrics,
            grain=grain if self.grain else None,
            group_by=list(self.by),
            filters=[*base.filters, *self.filters()],
            compare=base.compare if self.compare else None,
            limit=self.limit,
            select=list(self.select),
            dataset=self.dataset,
        )


def _before(period: Period, grain: str, tz: str, count: int) -> Window:
    """So many buckets before the first whole one of a period."""
    edges = windows.buckets(period, grain, tz)
    first = edges[0] if edges[0] == period.start or len(edges) < 3 else edges[1]
    length = min(timedelta(seconds=count * windows.parse_grain(grain).seconds), windows.MAX_LENGTH)
    return Window(max(first - length, windows.EPOCH).isoformat(), first.isoformat(), tz)


def where_of(tile: Tile) -> Where:
    """A tile's conditions in a form that can be compared."""
    return tuple(sorted((k, tuple(v) if isinstance(v, list | tuple) else (v,)) for k, v in tile.where.items()))


def series(tile: Tile) -> list[Ask]:
    """Metrics over time."""
    return [Ask(dataset=tile.dataset, metrics=tile.metrics, grain=True, where=where_of(tile))]


def traced(tile: Tile) -> list[Ask]:
    """Lines over time, of several metrics or of the largest groups, and what was marked on the way."""
    if tile.by:
        limit = min(tile.limit, MAX_GROUPS)
        groups = Ask(dataset=tile.dataset, metrics=tile.metrics[:1], by=tile.by[:1], grain=True, limit=limit)
        main = [msgspec.structs.replace(groups, where=where_of(tile))]
    else:
        main = series(tile)
    marked = Ask(role="annotations", compare=False, limit=MAX_ANNOTATIONS, where=ANNOTATION, select=MARKS)
    return [*main, marked]


def ranked(tile: Tile) -> list[Ask]:
    """The largest groups."""
    shape = Ask(dataset=tile.dataset, metrics=tile.metrics, by=tile.by, limit=tile.limit)
    return [msgspec.structs.replace(shape, where=where_of(tile))]


def sparked(tile: Tile) -> list[Ask]:
    """The largest groups, and a short series of each."""
    if not tile.spark:
        return ranked(tile)
    both = tuple(dict.fromkeys((tile.metrics[0], tile.spark)))  # ranked by the same metric, they are the same groups
    (main,) = ranked(tile)
    beside = msgspec.structs.replace(main, role="spark", metrics=both, grain=True, buckets=SPARKS, compare=False)
    return [main, beside]


def binned(tile: Tile) -> list[Ask]:
    """One metric over time in bins."""
    shape = Ask(dataset=tile.dataset, metrics=tile.metrics[:1], by=tile.by[:1], grain=True, compare=False)
    return [msgspec.structs.replace(shape, where=where_of(tile))]


def listed(tile: Tile) -> list[Ask]:
    """The newest rows."""
    columns = tuple(dict.fromkeys(("event_id", "time", *tile.columns)))
    shape = Ask(dataset=tile.dataset, compare=False, limit=tile.limit, select=columns)
    return [msgspec.structs.replace(shape, where=where_of(tile))]
