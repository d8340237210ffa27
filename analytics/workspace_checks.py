"""Whether what was declared fits together: every name that is referred to exists and suits its use."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec
import pyarrow as pa

from analytics import events
from analytics.errors import PlumblineError, unknown
from analytics.window import parse as parse_window
from analytics.workspace import Board, Dataset, Dimension, Metric, Problem, Tile
from analytics.yaml_lines import Node

NUMERIC = ("sum", "avg", "min", "max", "last", "quantile")
MANY = 20
WORDS = {"kind": events.KINDS, "status": events.STATUSES}  # columns that hold a few known words
TILE_RULES: dict[str, dict[str, tuple[int, int]]] = {
    "kpi": {"metrics": (1, 1)},
    "line": {"metrics": (1, 6)},
    "bars": {"metrics": (1, 1), "by": (1, 1)},
    "heatmap": {"metrics": (1, 1), "by": (1, 1)},
    "table": {"metrics": (1, MANY), "by": (1, MANY)},
    "changes": {"metrics": (1, MANY), "by": (1, MANY)},
    "latest": {"columns": (1, MANY)},
}


class Place(msgspec.Struct, frozen=True):
    """Where something was declared, for messages about it."""

    file: str
    node: Node
    label: str = ""

    def problem(self, told: str, *keys: str) -> Problem:
        """A problem on the line of the first of these fields that is there."""
        return Problem(self.file, self.node.line_of(*keys), f"{self.label}: {told}" if self.label else told)


class Declared(msgspec.Struct, frozen=True):
    """All that the files declare, merged. `places` (by kind and name; a tile's name is BOARD/ID) also
    has what was declared wrongly, so that one mistake is not repeated by all that refer to it."""

    datasets: dict[str, Dataset]
    dimensions: dict[str, Dimension]
    metrics: dict[str, Metric]
    boards: dict[str, Board]
    places: dict[tuple[str, str], Place]

    def names(self, kind: str) -> list[str]:
        return [name for declared, name in self.places if declared == kind]


def check(declared: Declared) -> Iterator[Problem]:
    """Every reference that does not hold."""
    for dimension in declared.dimensions.values():
        yield from _dimension(declared, dimension)
    for metric in declared.metrics.values():
        yield from _metric(declared, metric)
    for board in declared.boards.values():
        place = declared.places["board", board.name]
        try:
            parse_window(board.window, "now-1h")
        except PlumblineError as error:
            yield place.problem(error.message, "window")
        for tile in board.tiles:
            yield from _tile(declared, tile, declared.places["tile", f"{board.name}/{tile.id}"])


def _dimension(declared: Declared, dimension: Dimension) -> Iterator[Problem]:
    place = declared.places["dimension", dimension.name]
    yield from _names(declared, place, "dataset", [dimension.dataset], "dataset")
    if dimension.column is not None:
        yield from _columns(place, "column", [dimension.column], numeric=dimension.log is not None)
    elif dimension.log is not None:
        yield place.problem("`log` makes bins of a number column, not of an attribute", "log")


def _metric(declared: Declared, metric: Metric) -> Iterator[Problem]:
    place = declared.places["metric", metric.name]
    if metric.name == "time" or metric.name.endswith("_previous"):
        yield place.problem("results use this name for a column of their own; choose another")
    if ("dimension", metric.name) in declared.places:
        yield place.problem("a dimension has this name, and both would be columns of one result; choose another")
    yield from _names(declared, place, "dataset", [metric.dataset], "dataset")
    yield from _where(declared, place, metric.where)
    over = [column for column in (metric.column, *metric.columns) if column is not None]
    yield from _columns(place, metric.aggregate, over, numeric=metric.aggregate in NUMERIC)
    parts = [part for part in (metric.numerator, metric.denominator) if part is not None]
    yield from _names(declared, place, "ratio", parts, "metric")
    known = [declared.metrics[part] for part in parts if part in declared.metrics]
    if len({part.dataset for part in known}) > 1:
        yield place.problem("both metrics of a ratio must come from one dataset", "ratio")
    if cycle := _cycle(declared, metric.name):
        yield place.problem(f"a ratio may not lead back to itself: {' -> '.join(cycle)}", "ratio")


def _cycle(declared: Declared, start: str) -> list[str] | None:
    """The way through ratios from a metric back to itself, if there is one."""
    paths, seen = [[start]], set[str]()
    while paths:
        path = paths.pop()
        metric = declared.metrics.get(path[-1])
        for part in (metric.numerator, metric.denominator) if metric else ():
            if part == start:
                return [*path, start]
            if part is not None and part not in seen:
                seen.add(part)
                paths.append([*path, part])
    return None


def _tile(declared: Declared, tile: Tile, place: Place) -> Iterator[Problem]:
    yield from _names(declared, place, "metrics", tile.metrics, "metric")
    yield from _names(declared, place, "by", tile.by, "dimension")
    yield from _columns(place, "columns", tile.columns, numeric=False)
    yield from _where(declared, place, tile.where)
    for field in ("metrics", "by", "columns"):
        low, high = TILE_RULES[tile.type].get(field, (0, 0))
        count = len(getattr(tile, field))
        if count and not high:
            yield place.problem(f"a {tile.type} tile takes no `{field}`", field, "metric")
        elif not low <= count <= high and (count or field not in (place.node.mapping or {})):
            wanted = str(low) if low == high else f"{low} to {high}"
            yield place.problem(f"a {tile.type} tile needs {wanted} in `{field}`, got {count}", field)
    metrics = [declared.metrics[name] for name in tile.metrics if name in declared.metrics]
    units = {f"{metric.unit or 'no unit'}{' per ' + metric.per if metric.per else ''}": None for metric in metrics}
    if tile.type == "line" and len(units) > 1:
        yield place.problem(f"the metrics of one line tile share an axis; these have {', '.join(units)}", "metrics")
    bins = declared.dimensions.get(tile.by[0]) if tile.by else None
    if tile.type == "heatmap" and bins and bins.log is None:
        yield place.problem(f"a heatmap needs a dimension with `log` bins; {bins.name!r} has none", "by")


def _names(declared: Declared, place: Place, key: str, wanted: Iterable[str], kind: str) -> Iterator[Problem]:
    known = declared.names(kind)
    yield from (place.problem(unknown(kind, name, known), key, kind) for name in wanted if name not in known)


def _columns(place: Place, key: str, wanted: Sequence[str], *, numeric: bool) -> Iterator[Problem]:
    for name in wanted:
        if name not in events.BY_NAME:
            yield place.problem(unknown("column", name, events.NAMES), key)
        elif numeric and not _is_number(events.BY_NAME[name].type):
            numbers = ", ".join(column.name for column in events.COLUMNS if _is_number(column.type))
            yield place.problem(f"the column {name!r} is not a number; numbers are {numbers}", key)


def _where(declared: Declared, place: Place, where: dict[str, Any]) -> Iterator[Problem]:
    known = [*declared.names("dimension"), *events.NAMES]
    for name, values in where.items():
        if name not in known:
            yield place.problem(f"`where`: {unknown('dimension', name, known)}", "where")
            continue
        dimension = declared.dimensions.get(name)
        column = events.BY_NAME.get(name if dimension is None else dimension.column or "")
        for value in values if isinstance(values, list) else [values]:
            if column is not None and (told := _misfit(column, value)):
                yield place.problem(f"`where`: `{name}`: {told}", "where")


def _misfit(column: events.Column, value: Any) -> str | None:
    """Why a value can never be found in a column, or None where it can."""
    if value is None:
        return None
    if column.name in WORDS and value not in WORDS[column.name]:
        return unknown(column.name, value, WORDS[column.name])
    expected, fits = "text", isinstance(value, str)
    if _is_number(column.type):
        expected, fits = "a number", isinstance(value, int | float) and not isinstance(value, bool)
    elif pa.types.is_boolean(column.type):
        expected, fits = "true or false", isinstance(value, bool)
    return None if fits else f"expected {expected}, got {value!r}"


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))
