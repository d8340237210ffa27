"""Workspace files to a Workspace: the shape of each declaration, then whether they fit together.

Reading goes on after a mistake, so that one run names every mistake with its file and line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from analytics.errors import unknown
from analytics.workspace import AGGREGATES, Board, Dataset, Dimension, Metric, Problem, Tile, Workspace, WorkspaceError
from analytics.workspace_checks import Declared, Place, check
from analytics.workspace_fields import FIELDS, Check, Wrong, shown, text
from analytics.yaml_lines import Node, parse

MAX_TILES = 40
PER_AGGREGATES = ("count", "sum", "distinct")  # the others do not grow with time: "per hour" would mean nothing
SECTIONS = {"datasets": "dataset", "dimensions": "dimension", "metrics": "metric", "boards": "board"}
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")  # boards and tiles: names that only URLs and ids see


def read(sources: Sequence[tuple[Path, bytes]]) -> Workspace:
    """The workspace that these files declare together; a later file may replace what an earlier one
    declared. Raises WorkspaceError with every problem found."""
    every = Dataset(name="events", title="Events", description="All events, in canonical columns")
    declared = Declared({"events": every}, {}, {}, {}, {("dataset", "events"): Place("", Node({}, 1))})
    problems: list[Problem] = []
    labels = _labels([path for path, _ in sources])
    for label, (_, raw) in zip(labels, sources, strict=True):
        _File(label, declared, problems).read(raw)
    problems += check(declared)
    if problems:
        raise WorkspaceError(sorted(problems, key=lambda problem: (labels.index(problem.file), problem.line)))
    return Workspace(
        datasets=declared.datasets,
        dimensions=declared.dimensions,
        metrics={name: _placed(metric, declared.metrics) for name, metric in declared.metrics.items()},
        boards=declared.boards,
    )


def _labels(paths: Sequence[Path]) -> list[str]:
    """What messages call each file: its name, with its folder where two files have one name."""
    names = [path.name for path in paths]
    return [f"{path.parent.name}/{path.name}" if names.count(path.name) > 1 else path.name for path in paths]


def _placed(metric: Metric, metrics: Mapping[str, Metric]) -> Metric:
    """A ratio lives in the dataset of what it divides."""
    part = metric
    while part.numerator is not None:
        part = metrics[part.numerator]
    return msgspec.structs.replace(metric, dataset=part.dataset)


class _File:
    """One file's declarations, checked for their shape and put into `declared`."""

    def __init__(self, name: str, declared: Declared, problems: list[Problem]) -> None:
        self.name, self.declared, self.problems = name, declared, problems

    def read(self, raw: bytes) -> None:
        before = len(self.problems)
        root = parse(raw, lambda line, told: self.problems.append(Problem(self.name, line, told)))
        if root is None or root.mapping is None:
            if len(self.problems) == before:
                self.problems.append(Problem(self.name, 1, f"expected a mapping with {', '.join(SECTIONS)}"))
            return
        place = Place(self.name, root, "")
        self.fields(place, {"workspace": text, "title": text} | dict.fromkeys(SECTIONS, lambda node: node))
        for section, kind in SECTIONS.items():
            self.section(section, kind, root.mapping.get(section))

    def section(self, section: str, kind: str, node: Node | None) -> None:
        if node is None:
            return
        if node.mapping is None:
            told = f"expected a mapping of names to {section}, got {shown(node)}"
            self.problems.append(Problem(self.name, node.line, f"{section}: {told}"))
            return
        for name, entry in node.mapping.items():
            place = Place(self.name, entry, f"{kind} {name[:64]!r}")
            self.declared.places[kind, name] = place
            getattr(self.declared, section).pop(name, None)
            if entry.mapping is None:
                self.problems.append(place.problem(f"expected a mapping of fields, got {shown(entry)}"))
                continue
            if not (SLUG if kind == "board" else NAME).fullmatch(name):
                self.problems.append(place.problem("a name is letters, digits and _ (at most 64), a letter first"))
                continue
            build: Callable[[str, Place, dict[str, Any]], Any] = getattr(self, kind)
            getattr(self.declared, section)[name] = build(name, place, self.fields(place, FIELDS[kind]))

    def fields(self, place: Place, checks: Mapping[str, Check]) -> dict[str, Any]:
        """The fields that are right; each unknown or wrong one becomes a problem."""
        good: dict[str, Any] = {}
        for key, node in (place.node.mapping or {}).items():
            if key not in checks:
                comma = "; text that holds a comma needs quotes" if node.value is None else ""
                self.problems.append(place.problem(unknown("field", key, checks) + comma, key))
                continue
            try:
                good[key] = checks[key](node)
            except Wrong as wrong:
                self.problems.append(place.problem(f"`{key}`: {wrong}", key))
        return good

    def dataset(self, name: str, place: Place, fields: dict[str, Any]) -> Dataset:
        return Dataset(name=name, **_titled(name, fields))

    def dimension(self, name: str, place: Place, fields: dict[str, Any]) -> Dimension:
        given = place.node.mapping or {}
        if ("column" in given) == ("attribute" in given):
            self.problems.append(place.problem("expected either `column` or `attribute`"))
        return Dimension(name=name, **_titled(name, fields))

    def metric(self, name: str, place: Place, fields: dict[str, Any]) -> Metric:
        given = [word for word in AGGREGATES if word in (place.node.mapping or {})]
        if len(given) != 1:
            came = " and ".join(given) if given else "none"
            told = f"expected exactly one of {', '.join(AGGREGATES)}; got {came}"
            self.problems.append(place.problem(told, given[-1] if given else ""))
        aggregate = given[0] if given else "count"
        self.metric_rules(aggregate, place)
        over = {word: fields.pop(word, None) for word in given}.get(aggregate)
        if aggregate == "ratio" and over:
            fields |= {"numerator": over[0], "denominator": over[1]}
        elif aggregate == "sum" and over:
            fields |= {"column": over[0]} if len(over) == 1 else {"columns": over}
        elif aggregate != "count":
            fields["column"] = over
        return Metric(name=name, aggregate=aggregate, **_titled(name, fields))

    def metric_rules(self, aggregate: str, place: Place) -> None:
        """Fields that need or exclude one another."""
        given = place.node.mapping or {}
        if aggregate == "quantile" and "q" not in given:
            self.problems.append(place.problem("a quantile needs `q`, a number from 0 to 1"))
        if aggregate != "quantile" and "q" in given:
            self.problems.append(place.problem(f"`q` belongs to quantile, not to {aggregate}", "q"))
        if aggregate not in PER_AGGREGATES and "per" in given:
            self.problems.append(place.problem(f"`per` goes with {', '.join(PER_AGGREGATES)}, not {aggregate}", "per"))
        if aggregate == "ratio" and "where" in given:
            self.problems.append(place.problem("put `where` on the two metrics of the ratio", "where"))

    def board(self, name: str, place: Place, fields: dict[str, Any]) -> Board:
        tiles = fields.pop("tiles", None)
        entries = tiles.value if tiles is not None and isinstance(tiles.value, list) else []
        if not 1 <= len(entries) <= MAX_TILES:
            came = str(len(entries)) if tiles is not None and isinstance(tiles.value, list) else "no list"
            told = f"`tiles`: expected a list of 1 to {MAX_TILES} tiles, got {came}"
            self.problems.append(place.problem(told, "tiles"))
        taken: dict[str, int] = {}
        built = [self.tile(name, index, entry, taken) for index, entry in enumerate(entries[:MAX_TILES], 1)]
        kept = tuple(tile for tile in built if tile is not None)
        return Board(name=name, tiles=kept, file=self.name, **_titled(name, fields))

    def tile(self, board: str, index: int, node: Node, taken: dict[str, int]) -> Tile | None:
        """One tile, or None where it has no usable id and type. `taken` maps ids to their lines."""
        given = node.mapping or {}
        told_id = given["id"].value if "id" in given and isinstance(given["id"].value, str) else str(index)
        place = Place(self.name, node, f"board {board[:64]!r}, tile {told_id[:64]!r}")
        fields = self.fields(place, FIELDS["tile"])
        for key in ("id", "type"):
            if key not in given:
                self.problems.append(place.problem(f"`{key}` is missing"))
        if "metric" in given and "metrics" in given:
            self.problems.append(place.problem("expected `metric` or `metrics`, got both", "metrics"))
        if not {"id", "type"} <= fields.keys():
            return None
        if fields["id"] in taken:
            line = taken[fields["id"]]
            self.problems.append(place.problem(f"this id is taken, by the tile on line {line}", "id"))
            return None
        taken[fields["id"]] = node.line_of("id")
        if not SLUG.fullmatch(fields["id"]):
            self.problems.append(place.problem("an id is letters, digits, _ and -, at most 64", "id"))
        if metric := fields.pop("metric", None):
            fields.setdefault("metrics", (metric,))
        self.declared.places["tile", f"{board}/{fields['id']}"] = place
        return Tile(**fields)


def _titled(name: str, fields: dict[str, Any]) -> dict[str, Any]:
    return {"title": name.replace("_", " ").capitalize()} | fields
