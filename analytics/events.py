"""What an event is: one immutable fact, one wide row of canonical columns.

A span, a log record, a metric point and a JSON event all become this row; what has no column of
its own is kept in `attributes`. Adding a column is a change to COLUMNS and nothing else.
"""

from __future__ import annotations

import msgspec
import pyarrow as pa

KINDS = ("flow", "agent", "tool", "model", "usage", "resource", "log", "event")
WAYS = ("span", "log", "transcript", "metric", "event")
STATUSES = ("ok", "error")


class Column(msgspec.Struct, frozen=True):
    """One canonical column: its Arrow type, what it means, and whether people filter by it."""

    name: str
    type: pa.DataType
    doc: str
    dimension: bool = False


UTC_US = pa.timestamp("us")  # naive in the engine, always UTC: no time-zone extension is needed

COLUMNS: tuple[Column, ...] = (
    Column("time", UTC_US, "event time, UTC; for a span the moment it ended"),
    Column("received", UTC_US, "arrival at this server, UTC"),
    Column("event_id", pa.string(), "identity for de-duplication; a span: trace id + ':' + span id"),
    Column("kind", pa.string(), "flow, agent, tool, model, usage, resource, log or event", True),
    Column("name", pa.string(), "what happened: span name, flow name, metric name", True),
    Column("domain", pa.string(), "the part of the business it belongs to", True),
    Column("source", pa.string(), "who sent it: service name or exporter", True),
    Column("flow_id", pa.string(), "the flow (trace, conversation) it belongs to"),
    Column("session", pa.string(), "the session of the tool or conversation it belongs to"),
    Column("call_id", pa.string(), "the model's own id of the call, the same however the call was told"),
    Column("way", pa.string(), "how it was told: span, log, transcript, metric or event"),
    Column("evidence", pa.bool_(), "true where another row of the same call or session is the one that counts"),
    Column("evidence_since", UTC_US, "when it became evidence, UTC; null for what was evidence when it arrived"),
    Column("parent_id", pa.string(), "event_id of the parent, null at the root"),
    Column("agent", pa.string(), "the agent that acted", True),
    Column("model", pa.string(), "the model that was called", True),
    Column("tool", pa.string(), "the tool that was called", True),
    Column("resource", pa.string(), "what was consumed: cpu, memory, tokens, a quota", True),
    Column("user", pa.string(), "on whose behalf", True),
    Column("status", pa.string(), "ok or error", True),
    Column("error_type", pa.string(), "class of the error", True),
    Column("duration_ms", pa.float64(), "duration in milliseconds"),
    Column("tokens_input", pa.int64(), "input tokens, cached ones included"),
    Column("tokens_output", pa.int64(), "output tokens"),
    Column("tokens_cached", pa.int64(), "input tokens read from a cache"),
    Column("tokens_cache_written", pa.int64(), "input tokens written to a cache"),
    Column("cost_usd", pa.float64(), "cost in US dollars as the sender reported it"),
    Column("value", pa.float64(), "value of a resource reading or metric point; a histogram's sum"),
    Column("unit", pa.string(), "unit of value, UCUM where the sender uses it"),
    Column("start_time", UTC_US, "a span's start; a metric point's start time, UTC"),
    Column("point", pa.string(), "metric point type: gauge, sum, histogram, exponential_histogram, summary"),
    Column("temporality", pa.string(), "delta or cumulative; null for gauges and summaries"),
    Column("monotonic", pa.bool_(), "whether a sum only grows"),
    Column("series", pa.string(), "identity of the metric stream: hash of resource, scope, name, attributes"),
    Column("count", pa.int64(), "observations behind a histogram or summary point"),
    Column(
        "distribution",
        pa.string(),
        "JSON of a histogram's bounds and bucket counts, and the min and max between which they lie",
    ),
    Column("attributes", pa.string(), "JSON object of everything else, never lost"),
)

SCHEMA = pa.schema([pa.field(c.name, c.type) for c in COLUMNS])
NAMES = tuple(c.name for c in COLUMNS)
BY_NAME = {c.name: c for c in COLUMNS}
