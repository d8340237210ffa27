"""Workspace files to a Workspace: the shape of each declaration, then whether they fit together.

Reading goes on after a mistake, so that one run names every mistake with its file and line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

from analytics.errors import unknown
from analytics.prices import Book, Price, Rate
from analytics.workspace import (
    AGGREGATES,
    OWN,
    Board,
    Budget,
    Column,
    Dataset,
    Dimension,
    Metric,
    Problem,
    Tile,
    Workspace,
    WorkspaceError,
)
from analytics.workspace_checks import Declared, Place, check
from analytics.workspace_fields import CURRENCY, FIELDS, MODEL, Check, Wrong, shown, text
from analytics.workspace_names import resolve
from analytics.yaml_lines import Node, Parsed, parse

MAX_TILES = 40
MAX_COLUMNS = 2000
PER_AGGREGATES = ("count", "sum", "distinct")  # the others do not grow with time: "per hour" would mean nothing
SECTIONS = {"datasets": "dataset", "dimensions": "dimension", "metrics": "metric", "boards": "board",
            "budgets": "budget", "prices": "price", "rates": "rate"}  # fmt: skip
NAMESPACED = ("dimension", "metric", "budget")
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")  # boards and tiles: names that only URLs and ids see
NAMES = {  # of what is not named by the plain rule, and how that is said
    "board": (SLUG, "letters, digits and _ (at most 64), a letter first"),
    "price": (MODEL, "at most 120 characters, none of them a bracket"),
    "rate": (CURRENCY, "three capital letters such as EUR"),
}
TABLE = re.compile(r"[a-z][a-z0-9_]{0,62}")  # datasets: the store has a table of this name
COLUMN = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]{1,120}")


def read(sources: Sequence[tuple[Path, bytes]]) -> Workspace:
    """The workspace that these files declare together; a later file may replace what an earlier one
    declared. Raises WorkspaceError with every problem found."""
    every = Dataset(name="events", title="Events", description="All events, in canonical columns")
    declared = Declared({"events": every}, {}, {}, {}, {("dataset", "events"): Place("", Node({}, 1))})
    problems: list[Problem] = []
    named = labels(path for path, _ in sources)
    for label, (_, raw) in zip(named, sources, strict=True):
        FileReader(label, declared, problems).read(parse(raw))
    resolve(declared)
    problems += check(declared)
    if problems:
        raise WorkspaceError(sorted(problems, key=lambda problem: (named.index(problem.file), problem.line)))
    return Workspace(
        datasets=declared.datasets,
        dimensions=declared.dimensions,
        metrics=declared.metrics,
        boards=declared.boards,
        budgets=declared.budgets,
        book=Book(_in_order(declared, named), declared.rates),
    )


def _in_order(declared: Declared, files: Sequence[str]) -> tuple[Price, ...]:
    """All prices, those of later files first."""
    place = {price.name: files.index(declared.places["price", price.name].file) for price in declared.prices.values()}
    return tuple(sorted(declared.prices.values(), key=lambda price: -place[price.name]))


def labels(paths: Iterable[Path]) -> list[str]:
    """What messages call each file: its name, with its folder where two files have one name."""
    paths = list(paths)
    names = [path.name for path in paths]
    return [f"{path.parent.name}/{path.name}" if names.count(path.name) > 1 else path.name for path in paths]


class FileReader:
    """One file's declarations, checked for their shape and put into `declared`."""

    def __init__(self, name: str, declared: Declared, problems: list[Problem]) -> None:
        self.name, self.declared, self.problems = name, declared, problems
        self.namespace, self.home = "", "events"

    def read(self, parsed: Parsed) -> None:
        root = parsed.root
        self.problems += [Problem(self.name, line, told) for line, told in parsed.problems]
        if root is None or root.mapping is None:
            if not parsed.problems:
                self.problems.append(Problem(self.name, 1, f"expected a mapping with {', '.join(SECTIONS)}"))
            return
        place = Place(self.name, root, "")
        about = dict.fromkeys(("workspace", "title", "namespace"), text)
        fields = self.fields(place, about | dict.fromkeys(SECTIONS, lambda node: node))
        self.namespace = fields.get("namespace", "")
        if self.namespace and not NAME.fullmatch(self.namespace):
            self.problems.append(place.problem("a namespace is letters, digits and _, a letter first", "namespace"))
            self.namespace = ""
        own = root.mapping.get("datasets")
        if self.namespace and own and own.mapping and len(own.mapping) == 1:
            (self.home,) = own.mapping
        for section, kind in SECTIONS.items():
            self.section(section, kind, root.mapping.get(section))

    def section(self, section: str, kind: str, node: Node | None) -> None:
        if node is None:
            return
        if node.mapping is None:
            told = f"expected a mapping of names to {section}, got {shown(node)}"
            self.problems.append(Problem(self.name, node.line, f"{section}: {told}"))
            return
        for own, entry in node.mapping.items():
            place = Place(self.name, entry, f"{kind} {own[:64]!r}", self.namespace)
            name = f"{self.namespace}.{own}" if self.namespace and kind in NAMESPACED else own
            self.declared.places[kind, name] = place
            before = getattr(self.declared, section).pop(name, None)
            allowed, told = NAMES.get(kind, (NAME, NAMES["board"][1]))
            if not allowed.fullmatch(own):
                self.problems.append(place.problem(f"a name is {told}"))
                continue
            if kind == "rate":
                self.declared.rates[name] = self.rates(place)
                continue
            if entry.mapping is None:
                self.problems.append(place.problem(f"expected a mapping of fields, got {shown(entry)}"))
                continue
            if before is not None and kind == "dataset" and bool(before.columns) != ("columns" in entry.mapping):
                self.problems.append(place.problem("another file has this dataset with other columns; rename it"))
                continue
            build: Callable[[str, Place, dict[str, Any]], Any] = getattr(self, kind)
            fields = self.fields(place, FIELDS[kind])
            fields = fields if kind == "price" else _titled(own, fields)
            getattr(self.declared, section)[name] = build(name, place, fields)

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
        if not TABLE.fullmatch(name):
            self.problems.append(place.problem("a dataset is small letters, digits and _ (at most 63), a letter first"))
        if (columns := fields.pop("columns", None)) is not None:
            fields["columns"] = self.columns(name, place, columns)
        when, declared = fields.get("time"), fields.get("columns", {})
        if when and when != "time" and (when not in declared or declared[when].type != "time"):
            times = [column for column, about in declared.items() if about.type == "time"]
            told = unknown("column of the type time", when, ["time", *times])
            self.problems.append(place.problem(f"`time`: {told}", "time"))
        return Dataset(name=name, **fields)

    def columns(self, dataset: str, place: Place, node: Node) -> dict[str, Column]:
        """What a dataset declares, as `NAME: TYPE` or `NAME: {type: TYPE, title: TITLE}`."""
        if not node.mapping or len(node.mapping) > MAX_COLUMNS:
            told = f"`columns`: expected a mapping of 1 to {MAX_COLUMNS} names to types, got "
            self.problems.append(place.problem(told + (str(len(node.mapping)) if node.mapping else shown(node))))
            return {}
        found: dict[str, Column] = {}
        taken = {own: own for own in OWN}
        for name, entry in node.mapping.items():
            at = Place(self.name, entry, f"dataset {dataset[:64]!r}, column {name[:120]!r}")
            given = entry if entry.mapping is not None else Node({"type": entry}, entry.line)
            fields = self.fields(Place(at.file, given, at.label), FIELDS["column"])
            if "type" not in (given.mapping or {}):
                self.problems.append(at.problem("`type` is missing"))
            if not COLUMN.fullmatch(name):
                self.problems.append(at.problem("a name is 1 to 120 characters, none of them a control character"))
            elif (key := name.lower()) in taken:
                told = "the rows' own" if taken[key] in OWN else repr(taken[key])
                self.problems.append(at.problem(f"this name is {told}, and small and capital letters count alike"))
            elif "type" in fields:
                taken[key] = name
                found[name] = Column(**{"title": name} | fields)
        return found

    def dimension(self, name: str, place: Place, fields: dict[str, Any]) -> Dimension:
        given = place.node.mapping or {}
        if ("column" in given) == ("attribute" in given):
            self.problems.append(place.problem("expected either `column` or `attribute`"))
        return Dimension(name=name, **{"dataset": self.home} | fields)

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
        return Metric(name=name, aggregate=aggregate, **{"dataset": self.home} | fields)

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

    def budget(self, name: str, place: Place, fields: dict[str, Any]) -> Budget:
        lacking = [key for key in ("metric", "period", "limit") if key not in (place.node.mapping or {})]
        self.problems += [place.problem(f"`{key}` is missing") for key in lacking]
        absent: dict[str, Any] = {"metric": "", "period": "month", "limit": 1.0}
        return Budget(name=name, **absent | fields)

    def price(self, name: str, place: Place, fields: dict[str, Any]) -> Price:
        """A price for the models that it names, else for the one whose name it bears."""
        given = place.node.mapping or {}
        for key in ("input", "output"):
            if key not in given:
                self.problems.append(place.problem(f"`{key}` is missing: what a million tokens cost"))
        if not {"checked", "from"} & given.keys():
            self.problems.append(place.problem("prices age: say when it was looked up in `checked`, or `from` when on"))
        since, until = fields.pop("from", None), fields.pop("to", None)
        found = {"models": fields.pop("model", (name,)), "checked": since or date.min, "input": 0.0, "output": 0.0}
        return Price(name=name, since=since, until=until, **found | fields)

    def rates(self, place: Place) -> tuple[Rate, ...]:
        """What a currency was worth, as `[{from: DAY, usd: NUMBER}, ...]`, oldest first."""
        entries = place.node.value if isinstance(place.node.value, list) else []
        if not entries:
            told = f"expected a list such as [{{from: 2026-01-01, usd: 1.08}}], got {shown(place.node)}"
            self.problems.append(place.problem(told))
        found: list[tuple[Rate, Place]] = []
        for entry in entries:
            at = Place(self.name, entry, place.label)
            fields = self.fields(at, FIELDS["rate"])
            if lacking := [key for key in FIELDS["rate"] if key not in (entry.mapping or {})]:
                self.problems.append(at.problem(f"`{lacking[0]}` is missing"))
            elif len(fields) == len(FIELDS["rate"]):
                found.append((Rate(fields["from"], fields["usd"]), at))
        for (before, _), (after, at) in pairwise(found):
            if after.since <= before.since:
                told = f"`from`: expected a day after {before.since}, the one before it; got {after.since}"
                self.problems.append(at.problem(told, "from"))
        return tuple(rate for rate, _ in found)

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
        return Board(name=name, tiles=kept, file=self.name, **fields)

    def tile(self, board: str, index: int, node: Node, taken: dict[str, int]) -> Tile | None:
        """One tile, or None where it has no usable id and type. `taken` maps ids to their lines."""
        given = node.mapping or {}
        told_id = given["id"].value if "id" in given and isinstance(given["id"].value, str) else str(index)
        place = Place(self.name, node, f"board {board[:64]!r}, tile {told_id[:64]!r}", self.namespace)
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
        return Tile(**{"dataset": self.home} | fields)


def _titled(name: str, fields: dict[str, Any]) -> dict[str, Any]:
    return {"title": name.replace("_", " ").capitalize()} | fields
