"""JSON events: an array, one object, or JSON lines, to a table.

Three ways, from fast to patient; a batch only takes the next when the one before cannot hold it:
typed (every event has canonical fields of the right type), typed with extras (unknown fields go to
`attributes`), and one by one (a bad event drops alone, values are read for what they mean).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Annotated, Any

import msgspec
import pyarrow as pa
from msgspec.structs import astuple

from analytics.errors import ValidationError
from analytics.events import COLUMNS, UTC_US
from analytics.ingest.reasons import Drops, Reason, Refused
from analytics.ingest.tables import rows
from analytics.ingest.values import INT64, cleaned, json_type, jsonable, time_us

Int64 = Annotated[int, msgspec.Meta(ge=INT64.start, le=INT64.stop - 1)]
SENT = tuple(c.name for c in COLUMNS if c.name not in ("received", "attributes"))  # received is ours to say
KNOWN = frozenset((*SENT, "attributes"))
CLASH = "@event"  # joined to the name of a field that `attributes` has too
TYPES: dict[pa.DataType, Any] = {
    UTC_US: datetime | int | float | None,
    pa.string(): str | None,
    pa.float64(): float | None,
    pa.int64(): Int64 | None,
    pa.bool_(): bool | None,
}
NEEDS_REPAIR = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")
TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*+"|[\[\]{},]|"', re.DOTALL)
SPACE = b" \t\r\n"


class NotFast(Exception):
    """The batch needs the next, more patient way."""


class Decoders:
    """One type, as an array of it or as lines."""

    def __init__(self, item: Any) -> None:
        self._array: msgspec.json.Decoder[Any] = msgspec.json.Decoder(list[item])
        self._line: msgspec.json.Decoder[Any] = msgspec.json.Decoder(item)

    def all(self, body: bytes, lines: bool) -> list[Any]:
        found: list[Any] = self._line.decode_lines(body) if lines else self._array.decode(body)
        return found


class JsonReader:
    """Holds the compiled decoders; build it once."""

    def __init__(self) -> None:
        fields = [(c.name, TYPES[c.type], None) for c in COLUMNS if c.name in SENT]
        fields.append(("attributes", dict[str, msgspec.Raw] | None, None))
        event = msgspec.defstruct("Event", fields, forbid_unknown_fields=True, gc=False)
        loose = msgspec.defstruct("LooseEvent", fields, gc=False)
        self._typed = Decoders(event)
        self._loose = Decoders(loose)
        self._fields = Decoders(dict[str, msgspec.Raw])
        self._encode = msgspec.json.Encoder().encode

    def table(self, body: bytes, drops: Drops, *, lines: bool) -> pa.Table:
        """Rows of events.SCHEMA as sent. `lines`: the sender says it is JSON lines.

        Raises ValidationError when nothing of the body is an event of JSON.
        """
        body = body.removeprefix(b"\xef\xbb\xbf").strip(SPACE) if not lines else body.removeprefix(b"\xef\xbb\xbf")
        opening = body.lstrip(SPACE)[:1]
        if not opening:
            raise ValidationError("the body is empty", hint="send a JSON array, one object, or one object per line")
        if not lines and opening not in b"[{":
            raise ValidationError(
                f"expected a JSON array or object at byte 0, got {opening.decode('latin-1')!r}",
                hint="send a JSON array, one object, or one object per line",
            )
        as_lines = lines or opening == b"{"
        drops.noun = "line" if as_lines else "event"
        try:
            return self._fast(body, as_lines)
        except NotFast:
            return self._patient(body, as_lines, drops, single=not lines)

    def _fast(self, body: bytes, lines: bool) -> pa.Table:
        if NEEDS_REPAIR.search(body):
            raise NotFast
        try:
            body.decode()  # what is kept as raw JSON is not looked into again
            events, attributes = self._decoded(body, lines)
            columns: dict[str, Sequence[Any] | pa.Array] = dict(
                zip(SENT, zip(*map(astuple, events), strict=True), strict=False)
            )
            columns["attributes"] = attributes
            for name in ("time", "start_time"):
                columns[name] = times(columns.get(name, ()))
        except (ValueError, RecursionError, Refused, pa.ArrowException):
            raise NotFast from None
        return rows(columns, places(body, len(events), lines))

    def _decoded(self, body: bytes, lines: bool) -> tuple[list[Any], list[str | None]]:
        try:
            events = self._typed.all(body, lines)
            return events, [self._object(e.attributes) if e.attributes else None for e in events]
        except msgspec.ValidationError as error:
            if "unknown field" not in str(error):
                raise
        events = self._loose.all(body, lines)
        fields = self._fields.all(body, lines)
        return events, [self._object(merged(e.attributes, f)) for e, f in zip(events, fields, strict=True)]

    def _object(self, value: dict[str, msgspec.Raw]) -> str | None:
        return self._encode(value).decode() if value else None

    def _patient(self, body: bytes, lines: bool, drops: Drops, *, single: bool) -> pa.Table:
        pieces = list(enumerate(split_lines(body) if lines else split_array(body), 1))
        if lines and single and (whole := one_object(body)) is not None:
            pieces = [(1, whole)]
        found: list[dict[str, Any]] = []
        at: list[int] = []
        first: Refused | None = None
        for place, piece in pieces:
            if not piece.strip(SPACE):
                continue
            try:
                found.append(patient(piece))
                at.append(place)
            except Refused as refused:
                first = first or refused
                drops.refuse(place, refused)
        if first and lines and not found and {d.reason for d in drops.list()} == {Reason.NOT_JSON}:
            raise ValidationError(f"nothing in the body is JSON: {drops.list()[0].example}")
        return rows({name: [f.get(name) for f in found] for name in (*SENT, "attributes")}, at)


def merged(given: dict[str, Any] | None, fields: dict[str, Any]) -> dict[str, Any]:
    """`attributes` with the unknown fields of the event; on a clash both stay, the field as name@event."""
    kept = dict(given or {})
    for name, value in fields.items():
        if name not in KNOWN:
            while name in kept:
                name += CLASH
            kept[name] = value
    return kept


def times(values: Sequence[Any]) -> pa.Array:
    """datetimes (naive is UTC) and epoch numbers to UTC microseconds. Raises Refused."""
    if set(map(type, values)) <= {datetime, type(None)}:
        return pa.array(values, pa.timestamp("us", "UTC")).cast(UTC_US)
    return pa.array([None if v is None else time_us(v) for v in values], pa.int64()).cast(UTC_US)


def patient(piece: bytes) -> dict[str, Any]:
    """One event of JSON bytes to clean values by column. Raises Refused."""
    try:
        event = json.loads(piece.decode("utf-8", "replace"), parse_constant=no_constant, parse_int=bounded_int)
    except RecursionError:
        raise Refused(Reason.TOO_DEEP, "nested too deep to parse") from None
    except json.JSONDecodeError as error:
        raise Refused(Reason.NOT_JSON, f"does not parse at character {error.pos}: {error.msg}") from None
    if not isinstance(event, dict):
        raise Refused(Reason.NOT_AN_OBJECT, f"expected an object, got {json_type(event)}")
    given = event.get("attributes")
    if given is not None and not isinstance(given, dict):
        given = {"attributes": given}
    clean = {name: cleaned(name, event[name]) for name in SENT if name in event}
    try:
        rest = jsonable(merged(given, event))
        clean["attributes"] = msgspec.json.encode(rest).decode() if rest else None
    except RecursionError:
        raise Refused(Reason.TOO_DEEP, "attributes are nested too deep") from None
    return clean


def no_constant(name: str) -> float:
    raise Refused(Reason.BAD_NUMBER, f"{name} is not JSON; send null where there is no number")


def bounded_int(digits: str) -> int | float:
    """Thousands of digits would cost quadratic time; nobody means them."""
    return int(digits) if len(digits) <= 40 else math.inf


def one_object(body: bytes) -> bytes | None:
    """The body when it is one JSON object over several lines, else None."""
    try:
        return body if b"\n" in body and isinstance(json.loads(body), dict) else None
    except (ValueError, RecursionError):
        return None


def split_lines(body: bytes) -> list[bytes]:
    return body.split(b"\n")


def places(body: bytes, count: int, lines: bool) -> Sequence[int]:
    """1-based numbers of the events: of their lines where each has one of its own, else in their order."""
    found = [i for i, line in enumerate(split_lines(body), 1) if line and not line.isspace()] if lines else []
    return found if len(found) == count else range(1, count + 1)


def split_array(body: bytes) -> list[bytes]:
    """The elements of a JSON array, each as its bytes, even where one does not parse; not recursive.

    Raises ValidationError where the array does not close, for then it was cut on its way.
    """
    elements: list[bytes] = []
    depth, start, end = 0, 1, None
    for token in _structure(body):
        mark, at = token
        if mark in b"[{":
            depth += 1
        elif mark in b"]}":
            depth -= 1
            if depth == 0:
                end = at
                break
        elif depth == 1:
            elements.append(body[start:at])
            start = at + 1
    if end is None:
        raise ValidationError(
            f"the JSON array does not close: the body ends at byte {len(body)} inside element {len(elements) + 1}",
            hint="the body may have been cut on its way; send it again",
        )
    if body[end + 1 :].strip(SPACE):
        raise ValidationError(f"the body is not JSON: unexpected text after the array at byte {end + 1}")
    return [*elements, body[start:end]]


def _structure(body: bytes) -> Iterator[tuple[bytes, int]]:
    """Brackets and commas outside of strings, with their places."""
    for match in TOKEN.finditer(body):
        mark = match.group()
        if mark == b'"':  # a string that never closes: looking on would cost quadratic time
            return
        if len(mark) == 1:
            yield mark, match.start()
