"""Whether what was declared fits together: every name that is referred to exists and suits its use."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec
import pyarrow as pa

from analytics import events
from analytics.errors import PlumblineError, unknown
from analytics.prices import DOLLAR, Price, Rate
from analytics.window import parse as parse_window
from analytics.workspace import Board, Bounds, Budget, Dataset, Dimension, Metric, Problem, Tile, is_binned, readable
from analytics.workspace_budgets import ADDED, PARTS
from analytics.yaml_lines import Node

NUMERIC = ("sum", "avg", "min", "max", "last", "quantile")
INCREMENT = "usage"  # the kind of what histograms grew by; their points themselves may hold the same twice
MANY = 20
WORDS = {"kind": events.KINDS, "status": events.STATUSES}  # columns that hold a few known words
TILE_RULES: dict[str, dict[str, tuple[int, int]]] = {
    "kpi": {"metrics": (1, 1)},
    "line": {"metrics": (1, 6), "by": (0, 1)},
    "bars": {"metrics": (1, 1), "by": (1, 1)},
    "heatmap": {"metrics": (1, 1), "by": (1, 1)},
    "table": {"metrics": (1, MANY), "by": (1, MANY)},
    "changes": {"metrics": (1, MANY), "by": (1, MANY)},
    "latest": {"columns": (1, MANY)},
    "budgets": {"budgets": (0, MANY)},
}


class Place(msgspec.Struct, frozen=True):
    """Where something was declared, for messages about it."""

    file: str
    node: Node
    label: str = ""
    namespace: str = ""

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
    prices: dict[str, Price] = {}
    rates: dict[str, tuple[Rate, ...]] = {}
    budgets: dict[str, Budget] = {}

    def names(self, kind: str, namespace: str = "") -> list[str]:
        """The names of a kind, those of the namespace as its own file writes them."""
        own = f"{namespace}." if namespace else ""
        return [name.removeprefix(own) for declared, name in self.places if declared == kind]

    def fields(self, dataset: str) -> pa.Schema | None:
        """The columns of a dataset; None where it was not declared, or wrongly."""
        return readable(self.datasets[dataset]) if dataset in self.datasets else None


def check(declared: Declared) -> Iterator[Problem]:
    """Every reference that does not hold."""
    for dimension in declared.dimensions.values():
        yield from _dimension(declared, dimension)
    for metric in declared.metrics.values():
        if metric.budget is None:
            yield from _metric(declared, metric)
    for budget in declared.budgets.values():
        yield from _budget(declared, budget, declared.places["budget", budget.name])
    for board in declared.boards.values():
        place = declared.places["board", board.name]
        try:
            parse_window(board.window, "now-1h")
        except PlumblineError as error:
            yield place.problem(error.message, "window")
        for tile in board.tiles:
            yield from check_tile(declared, tile, declared.places["tile", f"{board.name}/{tile.id}"])
    for price in declared.prices.values():
        yield from _price(declared, price, declared.places["price", price.name])


def _price(declared: Declared, price: Price, place: Place) -> Iterator[Problem]:
    """Whether a price can be told in dollars, and holds on any day."""
    if price.since and price.until and price.since > price.until:
        yield place.problem(f"it ends on {price.until}, before it begins on {price.since}", "to")
    if price.currency != DOLLAR and ("rate", price.currency) not in declared.places:
        told = unknown("rate for the currency", price.currency, [DOLLAR, *declared.names("rate")])
        yield place.problem(f"`currency`: {told}", "currency")


def _budget(declared: Declared, budget: Budget, place: Place) -> Iterator[Problem]:
    """Whether a budget is of something that adds up, and has a limit for each value that may have one."""
    yield from _names(declared, place, "metric", [budget.metric] if budget.metric else [], "metric")
    of = declared.metrics.get(budget.metric)
    for part in PARTS:
        owner = declared.metrics.get(f"{budget.name}_{part}")
        if (owner and owner.budget is None) or ("dimension", f"{budget.name}_{part}") in declared.places:
            told = f"it would declare the metric '{budget.name}_{part}', and that name is taken; choose another"
            yield place.problem(told)
    if budget.limits and not budget.by:
        yield place.problem("`limits` are of the values of a dimension: say which in `by`", "limits")
    if of is None:
        return
    if of.aggregate not in ADDED:
        told = f"`metric`: expected one that counts or adds up, and {of.name!r} is a {of.aggregate}"
        yield place.problem(told, "metric")
    yield from _where(declared, place, budget.where, of.dataset)
    if both := sorted(of.where.keys() & budget.where.keys()):
        yield place.problem(f"`where`: the metric {of.name!r} has `{both[0]}` in its own `where`", "where")
    if budget.by:
        yield from _names(declared, place, "by", [budget.by], "dimension")
        by = declared.dimensions.get(budget.by)
        if by and by.dataset != of.dataset:
            yield place.problem(f"the dimension {by.name!r} is of the dataset {by.dataset!r}, not {of.dataset!r}", "by")
        elif by and not _is_text(declared, by):
            yield place.problem(f"`by`: expected a dimension whose values are text, got {by.name!r}", "by")


def _is_text(declared: Declared, dimension: Dimension) -> bool:
    fields = declared.fields(dimension.dataset)
    if dimension.column is None or fields is None or dimension.column not in fields.names:
        return True
    return not dimension.log and bool(pa.types.is_string(fields.field(dimension.column).type))


def _dimension(declared: Declared, dimension: Dimension) -> Iterator[Problem]:
    place = declared.places["dimension", dimension.name]
    if dimension.name.rpartition(".")[2] == "time":
        yield place.problem("results use this name for a column of their own; choose another")
    yield from _names(declared, place, "dataset", [dimension.dataset], "dataset")
    if dimension.column is not None:
        numeric = dimension.log is not None
        yield from _columns(declared, place, "column", [dimension.column], dimension.dataset, numeric=numeric)
    elif dimension.log is not None:
        yield place.problem("`log` makes bins of a number column, not of an attribute", "log")
    elif dimension.dataset in declared.datasets and declared.datasets[dimension.dataset].columns:
        yield place.problem(f"the dataset {dimension.dataset!r} has columns, no attributes", "attribute")


def _metric(declared: Declared, metric: Metric) -> Iterator[Problem]:
    place = declared.places["metric", metric.name]
    own = metric.name.rpartition(".")[2]
    if own == "time" or own.endswith("_previous"):
        yield place.problem("results use this name for a column of their own; choose another")
    if ("dimension", metric.name) in declared.places:
        yield place.problem("a dimension has this name, and both would be columns of one result; choose another")
    yield from _names(declared, place, "dataset", [metric.dataset], "dataset")
    yield from _where(declared, place, metric.where, metric.dataset)
    over = [column for column in (metric.column, *metric.columns) if column is not None]
    binned = is_binned(metric, declared.datasets.get(metric.dataset))
    if binned and metric.where.get("kind") != INCREMENT:
        wanted = f"leave `kind` out, or say `kind: {INCREMENT}`"
        yield place.problem(f"a quantile of distributions is one of increments: {wanted}", "where")
    numeric = metric.aggregate in NUMERIC and not binned
    yield from _columns(declared, place, metric.aggregate, over, metric.dataset, numeric=numeric)
    parts = [part for part in (metric.numerator, metric.denominator) if part is not None]
    yield from _names(declared, place, "ratio", parts, "metric")
    known = [declared.metrics[part] for part in parts if part in declared.metrics]
    if budget := next((part.name for part in known if part.budget), None):
        yield place.problem(f"a ratio is of metrics of rows, and {budget!r} is of a budget", "ratio")
    if len({part.dataset for part in known}) > 1:
        yield place.problem("both metrics of a ratio must come from one dataset", "ratio")
    if cycle := _cycle(declared, metric.name):
        yield place.problem(f"a ratio may not lead back to itself: {' -> '.join(cycle)}", "ratio")
    if metric.bounds and (told := _bounds(metric.good, metric.bounds)):
        yield place.problem(told, "bounds")
    if isinstance(metric.limit, str):
        yield from _limit(declared, metric, metric.limit, place)


def _limit(declared: Declared, metric: Metric, name: str, place: Place) -> Iterator[Problem]:
    """Whether the metric that tells a limit can be laid beside the one it limits."""
    yield from _names(declared, place, "limit", [name], "metric")
    other = declared.metrics.get(name)
    if name == metric.name:
        yield place.problem("a metric cannot be its own limit", "limit")
    elif other and other.dataset != metric.dataset:
        yield place.problem(f"its limit {name!r} is of the dataset {other.dataset!r}, not {metric.dataset!r}", "limit")
    elif other and (other.unit, other.per) != (metric.unit, metric.per):
        told = " and its limit has ".join(_unit(each) for each in (metric, other))
        yield place.problem(f"it has {told}; they need the same", "limit")


def _unit(metric: Metric) -> str:
    """A unit as messages name it."""
    return f"{metric.unit or 'no unit'}{' per ' + metric.per if metric.per else ''}"


def _bounds(good: str, bounds: Bounds) -> str | None:
    """Why bounds mean nothing, or None where they do."""
    if good == "none":
        return "`bounds` need `good: up` or `good: down`, which says on which side of them it is bad"
    if bounds.warn is None or bounds.bad is None:
        return None
    first, worse = ("above", bounds.warn < bounds.bad) if good == "up" else ("below", bounds.warn > bounds.bad)
    return f"with `good: {good}`, `warn` is {first} `bad`" if worse else None


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


def check_tile(declared: Declared, tile: Tile, place: Place) -> Iterator[Problem]:
    """Every reference of one tile that does not hold."""
    yield from _names(declared, place, "dataset", [tile.dataset], "dataset")
    yield from _names(declared, place, "metrics", tile.metrics, "metric")
    yield from _names(declared, place, "by", tile.by, "dimension")
    yield from _names(declared, place, "spark", [tile.spark] if tile.spark else [], "metric")
    yield from _columns(declared, place, "columns", tile.columns, tile.dataset, numeric=False)
    yield from _where(declared, place, tile.where, tile.dataset)
    yield from _names(declared, place, "budgets", tile.budgets, "budget")
    for field in ("metrics", "by", "columns", "budgets"):
        low, high = TILE_RULES[tile.type].get(field, (0, 0))
        count = len(getattr(tile, field))
        if count and not high:
            yield place.problem(f"a {tile.type} tile takes no `{field}`", field, "metric")
        elif not low <= count <= high and (count or field not in (place.node.mapping or {})):
            wanted = str(low) if low == high else f"{low} to {high}"
            yield place.problem(f"a {tile.type} tile needs {wanted} in `{field}`, got {count}", field)
    for field in ("spark", "link"):
        if getattr(tile, field) and tile.type != "table":
            yield place.problem(f"a {tile.type} tile takes no `{field}`", field)
    if tile.type == "line" and tile.by and len(tile.metrics) > 1:
        yield place.problem(f"a line tile `by` a dimension takes one metric, got {len(tile.metrics)}", "metrics")
    yield from _together(declared, tile, place)


def _together(declared: Declared, tile: Tile, place: Place) -> Iterator[Problem]:
    """Whether the metrics and the dimensions of a tile suit one another."""
    metrics = [declared.metrics[name] for name in tile.metrics if name in declared.metrics]
    drawn = [declared.metrics[tile.spark]] if tile.spark in declared.metrics else []
    if len(of := dict.fromkeys(metric.dataset for metric in [*metrics, *drawn])) > 1:
        yield place.problem(f"the metrics of one tile share a dataset; these are of {', '.join(of)}", "metrics")
    elif metrics and "dataset" in (place.node.mapping or {}) and tile.dataset not in of:
        yield place.problem(f"its metrics are of the dataset {', '.join(of)}", "dataset")
    units = {_unit(metric): None for metric in metrics}
    if tile.type == "line" and len(units) > 1:
        yield place.problem(f"the metrics of one line tile share an axis; these have {', '.join(units)}", "metrics")
    fields = declared.fields(tile.dataset)
    for name in tile.by:
        dimension = declared.dimensions.get(name)
        if dimension and fields and dimension.dataset != tile.dataset and name not in fields.names:
            told = f"the dimension {name!r} is of the dataset {dimension.dataset!r}, the metric of {tile.dataset!r}"
            yield place.problem(told, "by")
    bins = declared.dimensions.get(tile.by[0]) if tile.by else None
    if tile.type == "heatmap" and bins and bins.log is None:
        yield place.problem(f"a heatmap needs a dimension with `log` bins; {bins.name!r} has none", "by")


def _names(declared: Declared, place: Place, key: str, wanted: Iterable[str], kind: str) -> Iterator[Problem]:
    for name in wanted:
        if (kind, name) not in declared.places:
            yield place.problem(unknown(kind, name, declared.names(kind, place.namespace)), key, kind)


def _columns(
    declared: Declared, place: Place, key: str, wanted: Sequence[str], dataset: str, *, numeric: bool
) -> Iterator[Problem]:
    fields = declared.fields(dataset)
    if fields is None:
        return
    for name in wanted:
        if name not in fields.names:
            yield place.problem(unknown("column", name, fields.names), key)
        elif numeric and not _is_number(fields.field(name).type):
            numbers = ", ".join(field.name for field in fields if _is_number(field.type)) or "none"
            yield place.problem(f"the column {name!r} is not a number; numbers are {numbers}", key)


def _where(declared: Declared, place: Place, where: dict[str, Any], dataset: str) -> Iterator[Problem]:
    fields = declared.fields(dataset)
    if fields is None:
        return
    for name, values in where.items():
        if ("dimension", name) not in declared.places and name not in fields.names:
            known = [*declared.names("dimension", place.namespace), *fields.names]
            yield place.problem(f"`where`: {unknown('dimension', name, known)}", "where")
            continue
        dimension = declared.dimensions.get(name)
        column = name if dimension is None else dimension.column
        if column is None or column not in fields.names:
            continue
        words = () if declared.datasets[dataset].columns else WORDS.get(column, ())
        for value in values if isinstance(values, list) else [values]:
            if told := _misfit(fields.field(column), value, words):
                yield place.problem(f"`where`: `{name}`: {told}", "where")


def _misfit(column: pa.Field, value: Any, words: Sequence[str]) -> str | None:
    """Why a value can never be found in a column, or None where it can."""
    if value is None:
        return None
    if words and value not in words:
        return unknown(column.name, value, words)
    expected, fits = "text", isinstance(value, str)
    if _is_number(column.type):
        expected, fits = "a number", isinstance(value, int | float) and not isinstance(value, bool)
    elif pa.types.is_boolean(column.type):
        expected, fits = "true or false", isinstance(value, bool)
    return None if fits else f"expected {expected}, got {value!r}"


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))
