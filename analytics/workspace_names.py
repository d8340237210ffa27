"""What the names in workspace files mean: the file's own namespace comes first, then what all files declare."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from analytics.workspace import Metric, Tile
from analytics.workspace_checks import Declared


def resolve(declared: Declared) -> None:
    """Write every reference in full, and give ratios and tiles the dataset of the metrics they show."""
    for name, metric in declared.metrics.items():
        declared.metrics[name] = _metric(declared, metric)
    for name, metric in declared.metrics.items():
        declared.metrics[name] = msgspec.structs.replace(metric, dataset=_home(declared.metrics, metric))
    for name, board in declared.boards.items():
        tiles = tuple(_tile(declared, name, tile) for tile in board.tiles)
        declared.boards[name] = msgspec.structs.replace(board, tiles=tiles)


def _metric(declared: Declared, metric: Metric) -> Metric:
    namespace = declared.places["metric", metric.name].namespace
    full = {part: _full(declared, "metric", name, namespace) for part in ("numerator", "denominator", "limit")
            if isinstance(name := getattr(metric, part), str)}  # fmt: skip
    return msgspec.structs.replace(metric, where=_where(declared, metric.where, namespace), **full)


def _tile(declared: Declared, board: str, tile: Tile) -> Tile:
    namespace = declared.places["tile", f"{board}/{tile.id}"].namespace
    metrics = tuple(_full(declared, "metric", name, namespace) for name in tile.metrics)
    homes = [declared.metrics[name].dataset for name in metrics if name in declared.metrics]
    given = declared.places["tile", f"{board}/{tile.id}"].node.mapping or {}
    return msgspec.structs.replace(
        tile,
        metrics=metrics,
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
