"""What the names in workspace files mean: the file's own namespace comes first, then what all files declare."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from analytics.workspace import Budget, Metric, Tile, is_binned
from analytics.workspace_budgets import ADDED, metrics, parts
from analytics.workspace_checks import INCREMENT, Declared


def resolve(declared: Declared) -> None:
    """Write every reference in full, and give ratios and tiles the dataset of the metrics they show."""
    for name, metric in declared.metrics.items():
        declared.metrics[name] = _metric(declared, metric)
    for name, metric in declared.metrics.items():
        declared.metrics[name] = msgspec.structs.replace(metric, dataset=_home(declared.metrics, metric))
    for name, budget in declared.budgets.items():
        declared.budgets[name] = full = _budget(declared, budget)
        of = declared.metrics.get(full.metric)
        for part in parts(of):
            declared.places.setdefault(("metric", f"{name}_{part}"), declared.places["budget", name])
        if of and of.aggregate in ADDED:
            for each in metrics(full, of):
                declared.metrics.setdefault(each.name, each)
    for name, board in declared.boards.items():
        tiles = tuple(_tile(declared, name, tile) for tile in board.tiles)
        declared.boards[name] = msgspec.structs.replace(board, tiles=tiles)


def _metric(declared: Declared, metric: Metric) -> Metric:
    namespace = declared.places["metric", metric.name].namespace
    full = {part: _full(declared, "metric", name, namespace) for part in ("numerator", "denominator", "limit")
            if isinstance(name := getattr(metric, part), str)}  # fmt: skip
    where = _where(declared, metric.where, namespace)
    if is_binned(metric, declared.datasets.get(metric.dataset)):
        where = {"kind": INCREMENT} | where
    return msgspec.structs.replace(metric, where=where, **full)


def _budget(declared: Declared, budget: Budget) -> Budget:
    namespace = declared.places["budget", budget.name].namespace
    return msgspec.structs.replace(
        budget,
        metric=_full(declared, "metric", budget.metric, namespace),
        by=_full(declared, "dimension", budget.by, namespace),
        where=_where(declared, budget.where, namespace),
    )


def _tile(declared: Declared, board: str, tile: Tile) -> Tile:
    namespace = declared.places["tile", f"{board}/{tile.id}"].namespace
    shown = tuple(_full(declared, "metric", name, namespace) for name in tile.metrics)
    homes = [declared.metrics[name].dataset for name in shown if name in declared.metrics]
    given = declared.places["tile", f"{board}/{tile.id}"].node.mapping or {}
    return msgspec.structs.replace(
        tile,
        metrics=shown,
        budgets=tuple(_full(declared, "budget", name, namespace) for name in tile.budgets),
        by=tuple(_full(declared, "dimension", name, namespace) for name in tile.by),
        where=_where(declared, tile.where, namespace),
        spark=_full(declared, "metric", tile.spark, namespace),
        dataset=homes[0] if homes and "dataset" not in given else tile.dataset,
    )


def _where(declared: Declared, where: Mapping[str, Any], namespace: str) -> dict[str, Any]:
    return {_full(declared, "dimension", name, namespace): value for name, value in where.items()}


def _full(declared: Declared, kind: str, name: str, namespace: str) -> str:
    own = f"{namespace}.{name}"
    return own if namespace and (kind, own) in declared.places else name


def _home(metrics: Mapping[str, Metric], metric: Metric) -> str:
    """The dataset of what a ratio divides; of a ratio that leads nowhere, its own."""
    part: Metric | None = metric
    for _ in range(len(metrics)):
        if part is None or part.numerator is None:
            break
        part = metrics.get(part.numerator)
    return (part or metric).dataset
