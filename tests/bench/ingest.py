"""Events a second over HTTP into a file database, acknowledged, against a raw DuckDB insert of the same rows."""

from __future__ import annotations

import http.client
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pyarrow as pa
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

from analytics.events import NAMES, SCHEMA
from analytics.ingest.intake import Intake
from analytics.ingest.vocabulary import load
from analytics.store.columns import create_sql
from app import VOCABULARIES, utc_now
from tests.bench.common import Meter, fleet_events, median, pid_of, plumbline, report, share
from tests.conftest import Running

ROUNDS, SENDERS = 3, 4
BATCH, BATCHES, SPAN_BATCHES = 5_000, 16, 4
MEDIA = {
    "lines": "application/x-ndjson",
    "array": "application/json",
    "extras": "application/x-ndjson",  # lines with a field that is no column and not in `attributes`
    "otlp": "application/x-protobuf",
}

Event = dict[str, Any]


def main() -> None:
    events = [canonical(event) for event in fleet_events(2.0, flows_per_min=120)[: BATCH * BATCHES]]
    intake = Intake(load(sorted(VOCABULARIES.glob("*.yaml"))), now=utc_now)
    serial = count()
    rates: dict[str, list[float]] = {name: [] for name in ("raw", *MEDIA)}
    cpu: dict[str, list[float]] = {name: [] for name in MEDIA}
    with plumbline("--no-demo", history_h=0) as server, tempfile.TemporaryDirectory() as folder:
        post(server, "lines", [msgspec.json.Encoder().encode_lines(renamed(events[:BATCH], next(serial)))])
        meter = Meter(pid_of(server))
        for turn in range(ROUNDS):
            tables = [
                intake.ingest(encoded("lines", batch, next(serial)), format="ndjson", source="bench").table
                for batch in batches(events)
            ]
            rates["raw"].append(raw_insert(Path(folder) / f"{turn}.duckdb", tables))
            for name in MEDIA:
                sent = batches(events)[: SPAN_BATCHES if name == "otlp" else BATCHES]
                bodies = [encoded(name, batch, next(serial)) for batch in sent]
                before = meter.cpu_ms()
                seconds = post(server, name, bodies)
                rates[name].append(sum(map(len, sent)) / seconds)
                cpu[name].append(1000 * (meter.cpu_ms() - before) / sum(map(len, sent)))
    figures = [
        share("JSON lines", "events/s", rates["lines"], rates["raw"], 0.5, at_least=True),
        share("JSON array", "events/s", rates["array"], rates["raw"], 0.5, at_least=True),
        share("JSON lines with unknown fields", "events/s", rates["extras"], rates["raw"], at_least=True),
        share("OTLP spans, protobuf", "events/s", rates["otlp"], rates["raw"], at_least=True),
    ]
    notes = {
        "batches": f"{BATCH:,} events a request, {SENDERS} senders at once, no gzip, answered when durable",
        "server CPU per event, us": {name: round(median(values), 1) for name, values in cpu.items()},
    }
    report("ingest", "Intake over HTTP", "raw DuckDB insert", figures, notes)


def batches(events: Sequence[Event]) -> list[Sequence[Event]]:
    return [events[at : at + BATCH] for at in range(0, len(events), BATCH)]


def canonical(event: Event) -> Event:
    """What is no column goes to `attributes`, as a sender who cares for speed does it."""
    extras = {k: v for k, v in event.items() if k not in NAMES}
    return {k: v for k, v in event.items() if k in NAMES} | ({"attributes": extras} if extras else {})


def renamed(events: Sequence[Event], serial: int) -> list[Event]:
    """The same events under ids of their own, or they would be repeats."""
    return [event | {"event_id": f"{serial}-{event['event_id']}"} for event in events]


def encoded(name: str, events: Sequence[Event], serial: int) -> bytes:
    if name == "otlp":
        return spans(events, serial)
    given = renamed(events, serial)
    if name == "extras":
        given = [event | event.pop("attributes", {}) for event in given]
    return msgspec.json.encode(given) if name == "array" else msgspec.json.Encoder().encode_lines(given)


def spans(events: Sequence[Event], serial: int) -> bytes:
    """The events as spans with the attributes of the GenAI conventions."""
    told = []
    for i, event in enumerate(events):
        text = {"gen_ai.agent.name": event.get("agent"), "gen_ai.request.model": event.get("model")}
        text |= {"gen_ai.tool.name": event.get("tool"), "gen_ai.operation.name": "chat" if event.get("model") else None}
        number = {"gen_ai.usage.input_tokens": event.get("tokens_input")}
        number |= {"gen_ai.usage.output_tokens": event.get("tokens_output")}
        attributes = [KeyValue(key=k, value=AnyValue(string_value=v)) for k, v in text.items() if v]
        attributes += [KeyValue(key=k, value=AnyValue(int_value=v)) for k, v in number.items() if v]
        end = time.time_ns() - 10**9
        told.append(
            Span(
                trace_id=(serial << 64 | i // 8 + 1).to_bytes(16),
                span_id=(serial << 24 | i + 1).to_bytes(8),
                name=event.get("name") or "span",
                start_time_unix_nano=end - int(1e6 * (event.get("duration_ms") or 0)),
                end_time_unix_nano=end,
                attributes=attributes,
            )
        )
    service = KeyValue(key="service.name", value=AnyValue(string_value="bench"))
    whole = ResourceSpans(resource=Resource(attributes=[service]), scope_spans=[ScopeSpans(spans=told)])
    return bytes(ExportTraceServiceRequest(resource_spans=[whole]).SerializeToString())


def post(server: Running, name: str, bodies: list[bytes]) -> float:
    """Send all, several at once; seconds until the last was acknowledged."""
    host, _, port = server.url.removeprefix("http://").partition(":")
    headers = {"X-API-Key": server.key, "Content-Type": MEDIA[name]}

    path = "/v1/traces" if name == "otlp" else "/api/ingest/events"

    def send(mine: list[bytes]) -> None:
        connection = http.client.HTTPConnection(host, int(port), timeout=60)
        for body in mine:
            connection.request("POST", path, body, headers)
            reply = connection.getresponse()
            said = reply.read()
            assert reply.status == 200, said
        connection.close()

    began = time.perf_counter()
    with ThreadPoolExecutor(SENDERS) as pool:
        list(pool.map(send, [bodies[i::SENDERS] for i in range(SENDERS)]))
    return time.perf_counter() - began


def raw_insert(path: Path, tables: list[pa.Table]) -> float:
    """Rows a second of one INSERT ... SELECT and one commit per batch."""
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE SCHEMA pl_data")
        connection.execute(create_sql("events", SCHEMA))
        began = time.perf_counter()
        for batch in tables:
            connection.register("batch", batch)
            connection.execute('INSERT INTO pl_data."events" SELECT * FROM batch')
            connection.unregister("batch")
        seconds = time.perf_counter() - began
    return sum(t.num_rows for t in tables) / seconds
