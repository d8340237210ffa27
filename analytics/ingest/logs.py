"""OTLP log records: one row per record, kind log unless a vocabulary says that its event tells a call."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import pyarrow as pa

from analytics.ingest.attributes import Attributes, Shared, any_value, finish, fragment, joined, key_value, length
from analytics.ingest.reasons import Drops
from analytics.ingest.records import collected
from analytics.ingest.vocabulary import ALL, BODY, COLUMNS, LABELS, Event, Vocabulary

NAME = "event.name"  # where the name of an event was before records had a field for it
NAME_BYTES = NAME.encode()
ERROR = 17  # severity number of the first of ERROR, ERROR2, ... FATAL4
NAME_MAX = 200


def table(request: Any, vocabulary: Vocabulary, drops: Drops) -> pa.Table:
    """Rows of an ExportLogsServiceRequest."""
    drops.noun = "log record"
    attributes, ids = Attributes(vocabulary, LABELS), Ids()
    groups = (
        (group.resource, scoped.scope, scoped.log_records)
        for group in request.resource_logs
        for scoped in group.scope_logs
    )
    return collected(groups, attributes, lambda record, shared: row(record, shared, attributes, vocabulary, ids), drops)


class Ids:
    """Makes ids of what the records of one request say. Texts that are not kept are in no id; those that differ by
    them alone are numbered, so that they stay two while the same request sent again is the same."""

    def __init__(self) -> None:
        self._met: dict[str, dict[Any, int]] = {}

    def of(self, said: tuple[Any, ...], whole: Any) -> str:
        """`whole` is all of the record that can be compared, texts too."""
        places = self._met.setdefault(digest(said), {})
        place = places.setdefault(whole, len(places))
        return digest((*said, place) if place else said)


def row(record: Any, shared: Shared, attributes: Attributes, vocabulary: Vocabulary, ids: Ids) -> dict[str, Any]:
    """The columns of one record. Raises Refused.

    Records have no id of their own: event_id is a hash of all they say, so that one sent twice is
    kept once, and so are two that are equal to the nanosecond.
    """
    body = any_value(record.body)
    name, event, given = told(record, body, shared, attributes, vocabulary)
    kind = event.kind if event is not None and event.kind is not None else "log"
    reader = attributes.of(event, COLUMNS if kind == "model" else LABELS)
    columns, rest, _ = reader.mapped(record.attributes, shared)
    if event is not None:
        finish(columns, event, given)
    trace, span = record.trace_id.hex(), record.span_id.hex()
    time = record.time_unix_nano or record.observed_time_unix_nano
    own = []
    if body is not None:
        hidden = vocabulary.hides(BODY, event)
        own.append(fragment(f"{BODY}.length", length(body)) if hidden else fragment(BODY, body))
    if record.severity_text:
        own.append(fragment("log.severity_text", record.severity_text))
    if record.severity_number:
        own.append(fragment("log.severity_number", record.severity_number))
    text = joined(rest + own)
    about, whole = (time, trace, span, record.event_name), (*record.attributes, repr(body))
    event_id = ids.of((*about, sorted(columns.items()), text), whole)
    if event is not None and ALL in event.identity:
        sender = (columns.get("source"), columns.get("session"))
        own += reader.fragments(record.attributes)
        columns["call_id"] = ids.of((*about, *sender, own), (*sender, *whole))
    failed = record.severity_number >= ERROR
    return (
        {"status": "error" if failed else event.status if event is not None else None}
        | columns
        | {
            "time": time // 1000 if time else None,
            "event_id": event_id,
            "kind": kind,
            "way": "log",
            "name": name,
            "flow_id": trace or None,
            "parent_id": f"{trace}:{span}" if trace and span else None,
            "attributes": text,
        }
    )


def told(
    record: Any, body: Any, shared: Shared, attributes: Attributes, vocabulary: Vocabulary
) -> tuple[str | None, Event | None, dict[str, Any]]:
    """The record's name, the event of a vocabulary that it is, and its attributes where that one asks for them.

    A body is a name only where there is no other, or a vocabulary knows it: it may be a person's words.
    """
    named = record.event_name or next((v for k, v in map(key_value, mentions(record)) if k == NAME), None)
    names = [word for word in (named, body) if isinstance(word, str) and word]
    name = next((word for word in names if word in vocabulary.logs), None)
    event = vocabulary.logs.get(name) if name else None
    if event is None:
        return (names[0][:NAME_MAX] if named else first_line(body)), None, {}
    given = attributes.plain(record.attributes) if event.asks else {}
    source = shared.won.get("source")
    if (source is not None and source.value in event.not_from) or not event.holds(given):
        return name, None, {}
    return name, event, given


def mentions(record: Any) -> list[bytes]:
    """The attributes that may be the event's name, without parsing the others."""
    return [raw for raw in record.attributes if NAME_BYTES in raw]


def first_line(body: Any) -> str | None:
    lines = body.strip().splitlines() if isinstance(body, str) else []
    return lines[0][:NAME_MAX] if lines else None


def digest(said: tuple[Any, ...]) -> str:
    return blake2b(repr(said).encode("utf-8", "replace"), digest_size=16).hexdigest()
