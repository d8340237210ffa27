"""Vocabularies: data files that say which attribute means which column and which span is what.

A file holds, each part optional:
    columns:   {column: [attribute, ...]}         the first attribute present wins
    kinds:     [{kind, when: {attribute: any | [value, ...]}, root, span_kind, remote_parent, resource}]
    resources: {metric name prefix: resource}     the longest prefix wins
    statuses:  {word: ok | error}
    logs:      {event name: Event}                a log event that tells a call, with columns of its own
    spans:     {span name: Event}                 the same for spans whose attributes have plain names
    usage:     {metric name: Usage}               a counter of tokens or money
    text:      [attribute, ...]                   prompts and answers, `*` is any part of the name;
                                                   EVENT/NAME is an attribute of a span's event
Files apply in the order of their `priority`. An attribute of the OTLP resource is named
`resource.<name>`. Nothing here is lost: an attribute that did not become a column stays in `attributes`,
but for `text`, of which only the length is kept unless the server was told to keep it.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError

from analytics.errors import ValidationError, unknown
from analytics.events import BY_NAME, KINDS, STATUSES

SPAN_KINDS = ("unspecified", "internal", "server", "client", "producer", "consumer")  # by their OTLP number
PARTS = (
    "vocabulary", "title", "description", "reference", "priority",
    "columns", "kinds", "resources", "statuses", "logs", "spans", "usage", "text",
)  # fmt: skip
COLUMNS = (
    "domain", "source", "agent", "model", "tool", "resource", "user", "error_type",
    "tokens_input", "tokens_output", "tokens_cached", "tokens_cache_written", "cost_usd", "session", "call_id",
)  # fmt: skip
EVENT_COLUMNS = (*COLUMNS, "duration_ms", "status")  # a span has its own, a log event only what it says
COUNTED = ("tokens_input", "tokens_output", "tokens_cached", "tokens_cache_written", "cost_usd")
LABELS = tuple(c for c in COLUMNS if c not in COUNTED)  # what a row may have that tells no model call
BODY = "log.body"
ALL = "*"
REMEMBERED = 64  # files

T = TypeVar("T", bound=msgspec.Struct)


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A span is `kind` where every condition given holds; `resource` names what it called."""

    kind: str
    when: dict[str, Literal["any"] | list[str]] = {}
    root: bool | None = None
    span_kind: str | None = None
    remote_parent: bool | None = None
    resource: str | None = None


class Event(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A log event or span by its name: its kind where every condition of `when` holds, and the columns that
    its attributes become (the first present wins, before those of all events).

    `adds` are attributes whose numbers are added to a column, for tools that report them apart; they stay
    what they are as well. `identity` are attributes that together are the call_id where the tool has none: a
    session and the call's tokens, so that another way to tell the call can say the same; `*` is all that a log event
    says, with its time, source and session, so that it is the same whoever passes it on. `text` are attributes
    (or log.body) that hold what people or models wrote. Sources in `not_from` tell the call by another event.
    """

    kind: str | None = None
    status: str | None = None
    when: dict[str, Literal["any"] | list[str]] = {}
    columns: dict[str, list[str]] = {}
    adds: dict[str, list[str]] = {}
    identity: list[str] = []
    text: list[str] = []
    not_from: list[str] = []

    @property
    def asks(self) -> bool:
        """Whether the attributes must be read before they are mapped."""
        return bool(self.when or self.adds or self.identity)

    def holds(self, attributes: Mapping[str, Any]) -> bool:
        return all(
            name in attributes and (wanted == "any" or str(attributes[name]) in wanted)
            for name, wanted in self.when.items()
        )

    def places(self) -> dict[str, Place]:
        """Where its attributes go; negative ranks win over those of the vocabulary."""
        found = [(name, column) for column, names in self.columns.items() for name in names]
        return {name: Place(column, rank - len(found)) for rank, (name, column) in enumerate(found)}


class Usage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the increments of a counter are: `columns` by the value of attribute `by`, or under "" whatever
    the attributes; a value without a column is no usage. Increments of the columns in `adds` count in
    tokens_input too, for the tool reports them apart. `labels` are the text columns that attributes of the
    points become. Sources in `not_from` tell the same by a counter of their own. What is `paid` has its money told by
    another counter, so that nobody estimates it."""

    columns: dict[str, str]
    by: str | None = None
    labels: dict[str, list[str]] = {}
    adds: frozenset[str] = frozenset()
    not_from: frozenset[str] = frozenset()
    paid: bool = False

    def column(self, attributes: Mapping[str, Any]) -> str | None:
        """The column that a point with these attributes counts in."""
        return self.columns.get(str(attributes.get(self.by, "")) if self.by else "")


class Place(msgspec.Struct, frozen=True):
    """Where an attribute goes; the lowest rank present wins the column."""

    column: str
    rank: int


class Vocabulary:
    """All files merged and compiled; immutable but for the memo of span kinds."""

    def __init__(
        self,
        places: dict[str, Place],
        rules: list[Rule],
        resources: dict[str, str],
        statuses: dict[str, str],
        *,
        logs: dict[str, Event] | None = None,
        spans: dict[str, Event] | None = None,
        usage: dict[str, Usage] | None = None,
        text: Iterable[str] = (),
        keep_text: bool = False,
    ):
        self.places = places
        self.rules = tuple(rules)
        self.statuses = statuses
        self.logs = logs or {}
        self.spans = spans or {}
        self.keep_text = keep_text
        self._usage = usage or {}
        self.points = {name: Event(columns=found.labels) for name, found in self._usage.items() if found.labels}
        self._text = re.compile("|".join(re.escape(name).replace(r"\*", ".*") for name in text) or r"(?!)")
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

    def call(self, event_name: str, attributes: Mapping[str, Any]) -> str | None:
        """The kind of call that a log event of this name tells; None where it tells none."""
        event = self.logs.get(event_name)
        return event.kind if event is not None and event.holds(attributes) else None

    def usage(self, metric: str, source: str | None = None) -> Usage | None:
        """What the increments of a counter of this name are, where it counts tokens or money."""
        found = self._usage.get(metric)
        return None if found is None or source in found.not_from else found

    def hides(self, attribute: str, event: Event | None = None) -> bool:
        """Whether only the length of this attribute is kept."""
        if self.keep_text:
            return False
        return (event is not None and attribute in event.text) or self._text.fullmatch(attribute) is not None

    def resource(self, metric: str) -> str | None:
        """What a metric of this name measures the consumption of."""
        return next((resource for prefix, resource in self._resources if metric.startswith(prefix)), None)


def load(paths: Iterable[Path], *, keep_text: bool = False) -> Vocabulary:
    """Read and compile vocabulary files. Raises ValidationError naming file, line and the nearest word."""
    files = sorted((_File(path) for path in paths), key=lambda f: (f.priority, f.path.name))
    places: dict[str, Place] = {}
    rules: list[Rule] = []
    resources: dict[str, str] = {}
    statuses: dict[str, str] = {}
    logs: dict[str, Event] = {}
    spans: dict[str, Event] = {}
    usage: dict[str, Usage] = {}
    text: list[str] = []
    for file in files:
        for column, attribute, line in file.columns():
            if attribute in places and places[attribute].column != column:
                raise file.error(line, f"{attribute!r} is a {places[attribute].column!r} already")
            places.setdefault(attribute, Place(column, len(places)))
        rules += file.rules()
        resources = dict(file.words("resources", None)) | resources
        statuses = dict(file.words("statuses", STATUSES)) | statuses
        logs = dict(file.events("logs", EVENT_COLUMNS)) | logs
        spans = dict(file.events("spans", COLUMNS)) | spans
        usage = dict(file.usage()) | usage
        text += file.text()
    return Vocabulary(
        places, rules, resources, statuses, logs=logs, spans=spans, usage=usage, text=text, keep_text=keep_text
    )


def load_folder(folder: Path, *, keep_text: bool = False) -> Vocabulary:
    return load(sorted(folder.glob("*.yaml")), keep_text=keep_text)


@functools.lru_cache(REMEMBERED)
def _tree(text: str) -> Any:
    """What YAML says, with its lines; nobody changes it. Reading it takes nearly all the time of `load`."""
    return YAML(typ="rt").load(text)


class _File:
    """One file with the lines its words stand on."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.body: Any = _tree(path.read_text("utf-8")) or {}
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

    def events(self, name: str, known: tuple[str, ...]) -> Iterable[tuple[str, Event]]:
        for word, item, line in self._items(name):
            event = self._read(name, item, Event, line)
            if event.kind is not None and event.kind not in KINDS:
                raise self.error(self.line(item, "kind"), unknown("kind", event.kind, KINDS))
            if event.status is not None and event.status not in STATUSES:
                raise self.error(self.line(item, "status"), unknown("status", event.status, STATUSES))
            for part, columns in (("columns", known), ("adds", COUNTED)):
                self._known(item, part, columns)
            yield word, event

    def usage(self) -> Iterable[tuple[str, Usage]]:
        for word, item, line in self._items("usage"):
            usage = self._read("usage", item, Usage, line)
            for column in (*usage.columns.values(), *usage.adds):
                if column not in COUNTED:
                    raise self.error(line, unknown("column", column, COUNTED))
            self._known(item, "labels", LABELS)
            yield word, usage

    def _known(self, item: Any, part: str, columns: tuple[str, ...]) -> None:
        for column in item.get(part) or ():
            if column not in columns:
                raise self.error(self.line(item[part], column), unknown("column", column, columns))

    def text(self) -> list[str]:
        part = self.body.get("text") or []
        if not isinstance(part, list) or not all(isinstance(name, str) for name in part):
            raise self.error(self.line(self.body, "text"), "text: expected a list of attribute names")
        return [str(name) for name in part]

    def _items(self, name: str) -> Iterable[tuple[str, Any, int]]:
        part = self._mapping(name)
        for word, item in part.items():
            line = self.line(part, word)
            if not isinstance(word, str) or not isinstance(item, dict):
                raise self.error(line, f"{name}: expected a name and a mapping")
            yield word, item, line

    def _read(self, part: str, item: Any, into: type[T], line: int) -> T:
        for word in item:
            if word not in into.__struct_fields__:
                raise self.error(self.line(item, word), unknown("word", word, into.__struct_fields__))
        try:
            return msgspec.convert(item, into)
        except msgspec.ValidationError as error:
            raise self.error(line, f"{part}: {error}") from None

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
