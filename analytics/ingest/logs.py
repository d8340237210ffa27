"""OTLP log records: one row per record, kind log."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import pyarrow as pa

from analytics.ingest.attributes import Attributes, Shared, any_value, fragment, joined
from analytics.ingest.reasons import Drops
from analytics.ingest.records import collected
from analytics.ingest.vocabulary import Vocabulary

ERROR = 17  # severity number of the first of ERROR, ERROR2, ... FATAL4
NAME_MAX = 200


def table(request: Any, vocabulary: Vocabulary, drops: Drops) -> pa.Table:
    """Rows of an ExportLogsServiceRequest."""
    drops.noun = "log record"
    attributes = Attributes(vocabulary)
    groups = (
        (group.resource, scoped.scope, scoped.log_records)
        for group in request.resource_logs
        for scoped in group.scope_logs
    )
    return collected(groups, attributes, lambda record, shared: row(record, shared, attributes), drops)


def row(record: Any, shared: Shared, attributes: Attributes) -> dict[str, Any]:
    """The columns of one record. Raises Refused.

    Records have no id of their own: event_id is a hash of all they say, so that one sent twice is
    kept once, and so are two that are equal to the nanosecond.
    """
    columns, rest, _ = attributes.mapped(record.attributes, shared)
    body = any_value(record.body)
    trace, span = record.trace_id.hex(), record.span_id.hex()
    time = record.time_unix_nano or record.observed_time_unix_nano
    if body is not None:
        rest.append(fragment("log.body", body))
    if record.severity_text:
        rest.append(fragment("log.severity_text", record.severity_text))
    if record.severity_number:
        rest.append(fragment("log.severity_number", record.severity_number))
    text = joined(rest)
    said = (time, trace, span, record.event_name, sorted(columns.items()), text)
    return columns | {
        "time": time // 1000 if time else None,
        "event_id": blake2b(repr(said).encode("utf-8", "replace"), digest_size=16).hexdigest(),
        "kind": "log",
        "name": record.event_name or first_line(body),
        "flow_id": trace or None,
        "parent_id": f"{trace}:{span}" if trace and span else None,
        "status": "error" if record.severity_number >= ERROR else None,
        "attributes": text,
    }


def first_line(body: Any) -> str | None:
    lines = body.strip().splitlines() if isinstance(body, str) else []
    return lines[0][:NAME_MAX] if lines else None
