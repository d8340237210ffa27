"""Boards that no file declares: tiles out of a request, under the same grammar and checks as those of a workspace."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from analytics.errors import ValidationError
from analytics.workspace import Board, Metric, Problem, Tile, Workspace, meant
from analytics.workspace_checks import Declared, Place, check_tile
from analytics.workspace_reader import FileReader
from analytics.yaml_lines import MAX_DEPTH, Node

MAX_TILES = 24
SHOWN = 5  # problems named in one refusal


def board(name: str, tiles: Sequence[Mapping[str, Any]], workspace: Workspace, window: str = "now-1h") -> Board:
    """The board that these tiles make. Raises ValidationError that names each wrong tile by its id."""
    if not 1 <= len(tiles) <= MAX_TILES:
        raise ValidationError(f"tiles: expected 1 to {MAX_TILES}, got {len(tiles)}")
    declared = _declared(workspace)
    problems: list[Problem] = []
    nodes = Node([_node(tile, 0) for tile in tiles], 1)
    built = FileReader("", declared, problems).board(name, Place("", nodes), {"title": name, "tiles": nodes})
    places = {tile.id: declared.places["tile", f"{name}/{tile.id}"] for tile in built.tiles}
    resolved = tuple(_resolved(tile, places[tile.id], workspace) for tile in built.tiles)
    for tile in resolved:
        problems += check_tile(declared, tile, places[tile.id])
    if problems:
        told = list(dict.fromkeys(problem.text for problem in problems))
        more = [f"and {len(told) - SHOWN} more"] if len(told) > SHOWN else []
        raise ValidationError("; ".join([*told[:SHOWN], *more]), hint="tiles are written as in a workspace file")
    return msgspec.structs.replace(built, tiles=resolved, window=window)


def _declared(workspace: Workspace) -> Declared:
    """A workspace as the checks know it, without places to point at."""
    nowhere = Place("", Node({}, 1))
    kinds: dict[str, Mapping[str, Any]] = {"dataset": workspace.datasets, "dimension": workspace.dimensions}
    kinds |= {"metric": workspace.metrics, "budget": workspace.budgets}
    places = {(kind, name): nowhere for kind, names in kinds.items() for name in names}
    return Declared(workspace.datasets, workspace.dimensions, workspace.metrics, {}, places)


def _node(value: Any, depth: int) -> Node:
    """Plain data as the reader wants it. Raises ValidationError."""
    if depth > MAX_DEPTH:
        raise ValidationError(f"tiles: nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, Mapping):
        return Node({str(key): _node(inner, depth + 1) for key, inner in value.items()}, 1)
    if isinstance(value, list | tuple):
        return Node([_node(inner, depth + 1) for inner in value], 1)
    return Node(value, 1)


def _resolved(tile: Tile, place: Place, workspace: Workspace) -> Tile:
    """Bare names written in full, and the dataset that they are of."""
    given = tile.dataset if "dataset" in (place.node.mapping or {}) else None

    def metrics(names: Iterable[str]) -> list[Metric | str]:
        return [meant(workspace.metrics, name, given) or name for name in names]

    found = metrics(tile.metrics)
    home = given or next((metric.dataset for metric in found if isinstance(metric, Metric)), tile.dataset)

    def dimension(name: str) -> str:
        known = workspace.dimension(name, home)
        return known.name if known and known.dataset == home else name

    full = [metric.name if isinstance(metric, Metric) else metric for metric in found]
    spark = meant(workspace.metrics, tile.spark, home) if tile.spark else None
    return msgspec.structs.replace(
        tile,
        metrics=tuple(full),
        by=tuple(map(dimension, tile.by)),
        where={dimension(name): value for name, value in tile.where.items()},
        spark=spark.name if spark else tile.spark,
        dataset=home,
    )
