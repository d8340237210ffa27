"""OTLP attributes to columns and to the JSON of `attributes`.

Keys in `attributes`: a span's own attribute keeps its name; `resource.*` and `scope.*` are those of
the resource and the scope, `span.*`, `log.*` and `metric.*` are fields of the record without a column.
An own attribute that starts with one of these prefixes gets `attributes.` before it, so none collide.
bytes become base64 text, NaN and infinities text. An attribute that became a column is not repeated.
Of what people and models wrote only `<name>.length` stays, in characters, unless the vocabulary keeps text.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa
from google.protobuf.message import DecodeError
from opentelemetry.proto.common.v1.common_pb2 import KeyValue

from analytics.events import BY_NAME
from analytics.ingest.reasons import Reason, Refused
from analytics.ingest.values import cleaned, jsonable
from analytics.ingest.vocabulary import COLUMNS, Event, Place, Vocabulary

RESERVED = ("resource.", "scope.", "span.", "log.", "metric.", "attributes.")
MEMO_MAX = 50_000  # distinct attributes remembered within one body
KEYS_MAX = 10_000
DEEP = 64  # below protobuf's own limit of 100

EXACT = {pa.string(): str, pa.int64(): int, pa.float64(): None}  # a float may be NaN, so it is looked at

_json = msgspec.json.Encoder().encode


class Key(NamedTuple):
    """What is known of an attribute by its key alone; `exact` is the Python type its column takes as it is."""

    column: str | None
    rank: int
    exact: type | None
    label: str
    watched: bool
    hidden: bool


class Attribute(NamedTuple):
    """A parsed attribute: its column (or None) with rank and value, its JSON, and the rules it fulfils."""

    column: str | None
    rank: int
    value: Any
    label: str
    fragment: str | None  # of a number it is made when asked for: few repeat, and most become columns
    rules: tuple[int, ...]

    def json(self) -> str:
        return self.fragment or self.label + value_json(self.value)


class Mapped(NamedTuple):
    """The attributes of one record: values by column, JSON fragments of the rest, rules fulfilled."""

    columns: dict[str, Any]
    rest: list[str]
    rules: tuple[int, ...]


class Shared(NamedTuple):
    """What the records of one resource and scope have in common; `identity` is all of it as JSON."""

    won: dict[str, Attribute]
    rest: list[str]
    identity: list[str]


class Attributes:
    """Maps the attributes of one request to `columns`, all others stay attributes; the memo lives as long.
    Those of an `event` have places of their own."""

    def __init__(self, vocabulary: Vocabulary, columns: tuple[str, ...] = COLUMNS, event: Event | None = None) -> None:
        self._vocabulary = vocabulary
        self._columns = frozenset(columns)
        self._event = event
        self._own: dict[str, Place] = event.places() if event else {}
        self._events: dict[int, Attributes] = {}
        self._memo: dict[bytes, Attribute] = {}
        self._keys: dict[str, dict[str, Key]] = {"": {}, "resource.": {}, "scope.": {}}

    def mapped(self, raws: Iterable[bytes], shared: Shared) -> Mapped:
        """Own attributes over those of resource and scope. Raises Refused."""
        won = shared.won.copy()
        rest = shared.rest.copy()
        rules: tuple[int, ...] = ()
        known, parsed = self._memo.get, self.parsed
        for raw in raws:
            attribute = known(raw) or parsed(raw)
            column, rank, _, _, text, fulfilled = attribute
            if fulfilled:
                rules += fulfilled
            if column is None:
                rest.append(text or attribute.json())
            elif column not in won:
                won[column] = attribute
            elif rank < won[column].rank:
                rest.append(won[column].json())
                won[column] = attribute
            else:
                rest.append(text or attribute.json())
        return Mapped({column: attribute.value for column, attribute in won.items()}, rest, rules)

    def of(self, event: Event | None, columns: tuple[str, ...] = COLUMNS) -> Attributes:
        """The mapping for records of this event, itself where it is none."""
        if event is None:
            return self
        found = self._events.get(id(event))
        if found is None:
            found = self._events[id(event)] = Attributes(self._vocabulary, columns, event)
        return found

    def shared(self, resource: Any, scope: Any) -> Shared:
        """What all records of a resource and a scope have in common. Raises Refused."""
        own = [self.parsed(raw, "resource.") for raw in resource.attributes]
        won: dict[str, Attribute] = {}
        for attribute in own:
            column = attribute.column
            if column is not None and (column not in won or attribute.rank < won[column].rank):
                won[column] = attribute
        about = [fragment(f"scope.{n}", v) for n, v in (("name", scope.name), ("version", scope.version)) if v]
        about += [self.parsed(raw, "scope.").json() for raw in scope.attributes]
        rest = [a.json() for a in own if a.column is None or won[a.column] is not a]
        return Shared(won, rest + about, [a.json() for a in own] + about)

    def fragments(self, raws: Iterable[bytes]) -> list[str]:
        """Every own attribute as JSON, for identity."""
        return [(self._memo.get(raw) or self.parsed(raw)).json() for raw in raws]

    def plain(self, raws: Iterable[bytes], within: str = "") -> dict[str, Any]:
        """Attributes as they are but for text, for events (`within` one of this name), links and exemplars."""
        found = dict(key_value(raw) for raw in raws)
        hides = self._vocabulary.hides
        for name in [n for n in found if hides(n, self._event) or (within and hides(f"{within}/{n}"))]:
            found[f"{name}.length"] = length(found.pop(name))
        return found

    def parsed(self, raw: bytes, prefix: str = "") -> Attribute:
        """One attribute read by itself. Raises Refused."""
        name, value = key_value(raw)
        column, rank, exact, label, watched, hidden = self.key(name, prefix)
        if hidden:
            value = length(value)
        if column is not None and (type(value) is not exact or value == ""):
            fit = fitting(column, value)
            column, value = (None, value) if fit is None else (column, fit)
        text = label + value_json(value) if column is None or exact is str else None
        rules = self._vocabulary.matches(name, value) if watched else ()
        attribute = Attribute(column, rank, value, label, text, rules)
        if not prefix and len(self._memo) < MEMO_MAX:
            self._memo[raw] = attribute
        return attribute

    def key(self, name: str, prefix: str = "") -> Key:
        """What is known of an attribute by its name."""
        return self._keys[prefix].get(name) or self._key(name, prefix)

    def _key(self, name: str, prefix: str) -> Key:
        own = name.startswith(RESERVED) and not prefix
        place = None if own else self._vocabulary.places.get(prefix + name)
        if place is not None and place.column not in self._columns:
            place = None
        place = place if prefix else self._own.get(name, place)
        hidden = self._vocabulary.hides(prefix + name, self._event)
        label = value_json(("attributes." if own else prefix) + name + (".length" if hidden else "")) + ":"
        watched = not prefix and self._vocabulary.watches(name)
        if place is None or hidden:
            key = Key(None, 0, None, label, watched, hidden)
        else:
            key = Key(place.column, place.rank, EXACT[BY_NAME[place.column].type], label, watched, hidden)
        if len(self._keys[prefix]) < KEYS_MAX:
            self._keys[prefix][name] = key
        return key


def fitting(column: str, value: Any) -> Any:
    """`value` as the column holds it; None where it cannot, then it stays an attribute."""
    if value is None or value == "" or (isinstance(value, list | dict) and BY_NAME[column].type != pa.string()):
        return None
    try:
        return cleaned(column, value)
    except Refused:
        return None


def finish(columns: dict[str, Any], event: Event, attributes: dict[str, Any]) -> None:
    """What takes several attributes: sums of numbers that the tool reports apart, and an identity of parts."""
    for column, names in event.adds.items():
        parts = [fitting(column, attributes[name]) for name in names if name in attributes]
        for part in parts:
            if part is not None and part > 0:
                columns[column] = columns.get(column, 0) + part
    if event.identity and event.identity[0] in attributes:
        columns.setdefault("call_id", ":".join(str(attributes.get(name, 0)) for name in event.identity))


def length(value: Any) -> int:
    """Characters of a text, or of the JSON of anything else."""
    return len(value if isinstance(value, str) else value_json(value))


def value_json(value: Any) -> str:
    plain = type(value) is int or (type(value) is str and "\0" not in value)  # protobuf has checked the Unicode
    return _json(value if plain else jsonable(value)).decode()


def fragment(key: str, value: Any) -> str:
    """`"key":value` of a JSON object."""
    return f"{value_json(key)}:{value_json(value)}"


def joined(fragments: list[str]) -> str | None:
    """The JSON object of the fragments, null when there are none."""
    return "{" + ",".join(fragments) + "}" if fragments else None


def key_value(raw: bytes) -> tuple[str, Any]:
    try:
        pair = KeyValue.FromString(raw)
    except DecodeError:
        raise Refused(Reason.BAD_ATTRIBUTE, "an attribute does not parse as a key and a value") from None
    return pair.key, any_value(pair.value)


def any_value(value: Any, level: int = 0) -> Any:
    """An AnyValue as Python has it. Raises Refused when nested too deep."""
    if level > DEEP:
        raise Refused(Reason.TOO_DEEP, f"an attribute is nested deeper than {DEEP} levels")
    if text := value.string_value:  # the usual case, without asking which it is
        return text
    kind = value.WhichOneof("value")
    return _READ[kind](value, level) if kind in _READ else None


_READ: dict[str, Callable[[Any, int], Any]] = {
    "string_value": lambda v, _: v.string_value,
    "int_value": lambda v, _: v.int_value,
    "double_value": lambda v, _: v.double_value,
    "bool_value": lambda v, _: v.bool_value,
    "bytes_value": lambda v, _: base64.b64encode(v.bytes_value).decode(),
    "array_value": lambda v, n: [any_value(x, n + 1) for x in v.array_value.values],
    "kvlist_value": lambda v, n: {x.key: any_value(x.value, n + 1) for x in v.kvlist_value.values},
}
