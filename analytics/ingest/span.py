"""One OTLP span to its rows: one row per span; a root span is a flow.

A root that is itself an agent, tool or model call is two facts, so it becomes two rows: the flow it
opened, and below it the call with its tokens and cost. Nothing stands on both.
"""

from __future__ import annotations

from typing import Any

from analytics.ingest.attributes import Attributes, Shared, finish, fragment, joined
from analytics.ingest.reasons import Reason, Refused
from analytics.ingest.vocabulary import COUNTED, SPAN_KINDS, Vocabulary

REMOTE_PARENT = 0x200
ERROR = 2
CALLS = ("agent", "tool", "model")
CONSUMED = (*COUNTED, "call_id")
FIXED = (
    "time", "start_time", "duration_ms", "event_id", "flow_id", "parent_id", "name", "kind", "status", "attributes",
)  # fmt: skip
SPAN_KIND = {number: fragment("span.kind", name) for number, name in enumerate(SPAN_KINDS)}


def mapped_span(
    span: Any, shared: Shared, attributes: Attributes, vocabulary: Vocabulary
) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
    """A span's rows: the fixed columns in the order of FIXED, and those by vocabulary. Raises Refused."""
    trace, own, parent = span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex()
    if len(trace) != 32 or len(own) != 16 or not trace.strip("0") or not own.strip("0"):
        raise Refused(Reason.NO_IDENTITY, f"expected ids of 16 and 8 bytes, got {len(trace) // 2} and {len(own) // 2}")
    name = span.name
    event = vocabulary.spans.get(name)
    if event is not None:
        given = attributes.plain(span.attributes) if event.asks else {}
        event = event if event.holds(given) else None
        attributes = attributes.of(event)
    columns, rest, matched = attributes.mapped(span.attributes, shared)
    start, end, number, flags = span.start_time_unix_nano, span.end_time_unix_nano, span.kind, span.flags
    root = not parent.strip("0")
    kind, resource = vocabulary.kind(matched, root, number, flags & REMOTE_PARENT != 0)
    if resource is not None:
        columns.setdefault("resource", resource)
    call = vocabulary.kind(matched, False, number, False)[0] if root and kind == "flow" else kind
    if event is not None:
        call = event.kind or call
        kind = kind if root else call
        finish(columns, event, given)
    rest.append(SPAN_KIND.get(number, SPAN_KIND[0]))
    if span.events:
        rest.append(events(span.events, attributes, columns))
    if span.links:
        rest.append(links(span.links, attributes))
    if span.trace_state:
        rest.append(fragment("span.trace_state", span.trace_state))
    status = span.status
    if status.message:
        rest.append(fragment("span.status_message", status.message))
    times = (end // 1000, start // 1000 if start else None, (end - start) / 1e6 if start else None)
    outcome = "error" if status.code == ERROR else "ok"
    if call in CALLS and root:
        flow_id = f"{trace}:flow"
        opened = (*times, flow_id, trace, None, name, "flow", outcome, "{}")
        own_row = (*times, f"{trace}:{own}", trace, flow_id, name, call, outcome, joined(rest))
        return [(opened, {k: v for k, v in columns.items() if k not in CONSUMED}), (own_row, columns)]
    parent_id = None if root else f"{trace}:{parent}"
    return [((*times, f"{trace}:{own}", trace, parent_id, name, kind, outcome, joined(rest)), columns)]


def events(found: Any, attributes: Attributes, columns: dict[str, Any]) -> str:
    """The span's events as one attribute; the first exception gives the error type where none is set."""
    kept = []
    for event in found:
        values = attributes.plain(event.attributes, event.name)
        kept.append({"name": event.name, "time_unix_nano": event.time_unix_nano, "attributes": values})
        if event.name == "exception" and isinstance(values.get("exception.type"), str):
            columns.setdefault("error_type", values["exception.type"])
    return fragment("span.events", kept)


def links(found: Any, attributes: Attributes) -> str:
    return fragment(
        "span.links",
        [
            {"event_id": f"{x.trace_id.hex()}:{x.span_id.hex()}", "attributes": attributes.plain(x.attributes)}
            for x in found
        ],
    )
