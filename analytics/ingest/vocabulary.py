"""Vocabularies: data files that say which attribute means which column and which span is what.

A file holds, each part optional:
    columns:   {column: [attribute, ...]}         the first attribute present wins
    kinds:     [{kind, when: {attribute: any | [value, ...]}, root, span_kind, remote_parent, resource}]
    resources: {metric name prefix: resource}     the longest prefix wins
    statuses:  {word: ok | error}
Files apply in the order of their `priority`. An attribute of the OTLP resource is named
`resource.<name>`. Nothing here is lost: an attribute that did not become a column stays in `attributes`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import msgspec
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError

from analytics.errors import ValidationError, unknown
from analytics.events import BY_NAME, KINDS, STATUSES

SPAN_KINDS = ("unspecified", "internal", "server", "client", "producer", "consumer")  # by their OTLP number
PARTS = ("vocabulary", "title", "description", "reference", "priority", "columns", "kinds", "resources", "statuses")
COLUMNS = (
    "domain", "source", "agent", "model", "tool", "resource", "user", "error_type",
    "tokens_input", "tokens_output", "tokens_cached", "cost_usd",
)  # fmt: skip


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A span is `kind` where every condition given holds; `resource` names what it called."""

    kind: str
    when: dict[str, Literal["any"] | list[str]] = {}
    root: bool | None = None
    span_kind: str | None = None
    remote_parent: bool | None = None
    resource: str | None = None


class Place(msgspec.Struct, frozen=True):
    """Where an attribute goes; the lowest rank present wins the column."""

    column: str
    rank: int


class Vocabulary:
    """All files merged and compiled; immutable but for the memo of span kinds."""

    def __init__(
        self, places: dict[str, Place], rules: list[Rule], resources: dict[str, str], statuses: dict[str, str]
    ):
        self.places = places
        self.rules = tuple(rules)
        self.statuses = statuses
        self._resources = sorted(resources.items(), key=lambda item: -len(item[0]))
        self._by_attribute: dict[str, list[tuple[int, frozenset[str] | None]]] = {}
        for number, rule in enumerate(rules):
            for attribute, values in rule.when.items():
                wanted = None if values == "any" else frozenset(values)
                self._by_attribute.setdefault(attribute, []).append((number, wanted))
        self._memo: dict[tuple[tuple[int, ...], bool, int, bool], tuple[str, str | None]] = {}

    def watches(self, attribute: str) -> bool:
        """Whether any rule asks for this attribute."""
        return attribute in self._by_attribute

    def matches(self, attribute: str, value: Any) -> tuple[int, ...]:
        """The numbers of the rules of which this attribute fulfils a condition."""
        conditions = self._by_attribute.get(attribute)
        if not conditions:
            return ()
        return tuple(n for n, wanted in conditions if wanted is None or str(value) in wanted)

    def kind(self, matched: tuple[int, ...], root: bool, span_kind: int, remote: bool) -> tuple[str, str | None]:
        """(kind, resource) of a span by the first rule that holds; `matched` is the sum of `matches`."""
        key = (matched, root, span_kind, remote)
        found = self._memo.get(key)
        if found is None:
            found = self._kind(*key)
            if len(self._memo) < 10_000:  # hostile spans may repeat one attribute in endless patterns
                self._memo[key] = found
        return found

    def _kind(self, matched: tuple[int, ...], root: bool, span_kind: int, remote: bool) -> tuple[str, str | None]:
        name = SPAN_KINDS[span_kind] if 0 <= span_kind < len(SPAN_KINDS) else "unspecified"
        for number, rule in enumerate(self.rules):
            if (
                matched.count(number) >= len(rule.when)
                and rule.root in (None, root)
                and rule.span_kind in (None, name)
                and rule.remote_parent in (None, remote)
            ):
                return rule.kind, rule.resource
        return "event", None

    def resource(self, metric: str) -> str | None:
        """What a metric of this name measures the consumption of."""
        return next((resource for prefix, resource in self._resources if metric.startswith(prefix)), None)


def load(paths: Iterable[Path]) -> Vocabulary:
    """Read and compile vocabulary files. Raises ValidationError naming file, line and the nearest word."""
    files = sorted((_File(path) for path in paths), key=lambda f: (f.priority, f.path.name))
    places: dict[str, Place] = {}
    rules: list[Rule] = []
    resources: dict[str, str] = {}
    statuses: dict[str, str] = {}
    for file in files:
        for column, attribute, line in file.columns():
            if attribute in places and places[attribute].column != column:
                raise file.error(line, f"{attribute!r} is a {places[attribute].column!r} already")
            places.setdefault(attribute, Place(column, len(places)))
        rules += file.rules()
        resources = dict(file.words("resources", None)) | resources
        statuses = dict(file.words("statuses", STATUSES)) | statuses
    return Vocabulary(places, rules, resources, statuses)


def load_folder(folder: Path) -> Vocabulary:
    return load(sorted(folder.glob("*.yaml")))


class _File:
    """One file with the lines its words stand on."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.body: Any = YAML(typ="rt").load(path.read_text("utf-8")) or {}
        except MarkedYAMLError as error:
            line = error.problem_mark.line if error.problem_mark else 0
            raise self.error(line, f"not YAML: {error.problem}") from None
        if not isinstance(self.body, dict):
            raise self.error(0, "expected a mapping with columns, kinds, resources or statuses")
        for part in self.body:
            if part not in PARTS:
                raise self.error(self.line(self.body, part), unknown("part", part, PARTS))
        self.priority = self.body.get("priority", 100)
        if not isinstance(self.priority, int):
            raise self.error(self.line(self.body, "priority"), "priority: expected a whole number")

    def error(self, line: int, message: str) -> ValidationError:
        return ValidationError(f"{self.path.name}, line {line + 1}: {message}", file=self.path.name, line=line + 1)

    @staticmethod
    def line(node: Any, key: Any) -> int:
        """0-based line of a key or an index, 0 where the reader did not note it."""
        try:
            return int((node.lc.item if isinstance(key, int) else node.lc.key)(key)[0])
        except (AttributeError, KeyError, TypeError):
            return 0

    def columns(self) -> Iterable[tuple[str, str, int]]:
        part = self._mapping("columns")
        for column, attributes in part.items():
            line = self.line(part, column)
            if column not in COLUMNS:
                known = COLUMNS if column not in BY_NAME else [c for c in COLUMNS if c != column]
                raise self.error(line, unknown("column to map to", column, known))
            if not isinstance(attributes, list) or not all(isinstance(a, str) for a in attributes):
                raise self.error(line, f"{column}: expected a list of attribute names")
            for index, attribute in enumerate(attributes):
                yield column, attribute, self.line(attributes, index) or line

    def rules(self) -> list[Rule]:
        part = self.body.get("kinds") or []
        if not isinstance(part, list):
            raise self.error(self.line(self.body, "kinds"), "kinds: expected a list of rules")
        return [self._rule(item, self.line(part, index)) for index, item in enumerate(part)]

    def _rule(self, item: Any, line: int) -> Rule:
        for word in item if isinstance(item, dict) else ():
            if word not in Rule.__struct_fields__:
                raise self.error(self.line(item, word), unknown("condition", word, Rule.__struct_fields__))
        try:
            rule = msgspec.convert(item, Rule)
        except msgspec.ValidationError as error:
            raise self.error(line, f"kinds: {error}") from None
        if rule.kind not in KINDS:
            raise self.error(line, unknown("kind", rule.kind, KINDS))
        if rule.span_kind is not None and rule.span_kind not in SPAN_KINDS:
            raise self.error(line, unknown("span kind", rule.span_kind, SPAN_KINDS))
        return rule

    def words(self, name: str, known: tuple[str, ...] | None) -> Iterable[tuple[str, str]]:
        part = self._mapping(name)
        for word, value in part.items():
            line = self.line(part, word)
            if not isinstance(word, str) or not isinstance(value, str):
                raise self.error(line, f"{name}: expected text on both sides, quote words such as true or 200")
            if known and value not in known:
                raise self.error(line, unknown("status", value, known))
            yield word.lower() if known else word, value

    def _mapping(self, name: str) -> Any:
        part = self.body.get(name) or {}
        if not isinstance(part, dict):
            raise self.error(self.line(self.body, name), f"{name}: expected a mapping")
        return part
