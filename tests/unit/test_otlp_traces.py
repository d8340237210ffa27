"""OTLP spans to rows: the mapping, the real SDK's bytes, OTLP JSON, and what hostile spans do."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from google.rpc.status_pb2 import Status
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from analytics.errors import PlumblineError, TooLarge, ValidationError
from analytics.ingest.intake import Batch, Intake
from analytics.ingest.reasons import Reason
from analytics.ingest.replies import error_body, explained, partial_success
from analytics.ingest.vocabulary import load_folder

VOCABULARIES = Path(__file__).parents[2] / "assets" / "vocabularies"
NOW = datetime(2026, 1, 6, 12, tzinfo=UTC)
NOW_NS = int(NOW.timestamp()) * 10**9
TRACE = bytes(range(1, 17))
SPAN = bytes(range(1, 9))
PARENT = b"\xaa" * 8


def fill(target: Any, values: dict[str, Any]) -> None:
    """Python values to repeated KeyValue."""
    for key, value in values.items():
        put(target.add(key=key).value, value)


def put(slot: Any, value: Any) -> None:
    match value:
        case bool():
            slot.bool_value = value
        case str():
            slot.string_value = value
        case int():
            slot.int_value = value
        case float():
            slot.double_value = value
        case bytes():
            slot.bytes_value = value
        case list():
            slot.array_value.SetInParent()
            for item in value:
                put(slot.array_value.values.add(), item)
        case dict():
            slot.kvlist_value.SetInParent()
            fill(slot.kvlist_value.values, value)


def span_request(
    attributes: dict[str, Any] | None = None, resource: dict[str, Any] | None = None, **fields: Any
) -> ExportTraceServiceRequest:
    """One span that took 1.5 s and ended now; below a parent unless told otherwise."""
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    fill(group.resource.attributes, {"service.name": "shop"} if resource is None else resource)
    scoped = group.scope_spans.add()
    scoped.scope.name = "lib"
    usual = {
        "trace_id": TRACE,
        "span_id": SPAN,
        "parent_span_id": PARENT,
        "name": "work",
        "start_time_unix_nano": NOW_NS - 1_500_000_000,
        "end_time_unix_nano": NOW_NS,
    }
    fill(scoped.spans.add(**usual | fields).attributes, attributes or {})
    return request


@pytest.fixture(scope="module")
def intake() -> Intake:
    return Intake(load_folder(VOCABULARIES), now=lambda: NOW)


def ingested(intake: Intake, request: Any) -> Batch:
    return intake.ingest(request.SerializeToString(), format="otlp-traces-protobuf", source="key")


def row(intake: Intake, *args: Any, **fields: Any) -> dict[str, Any]:
    batch = ingested(intake, span_request(*args, **fields))
    assert batch.drops == []
    found: dict[str, Any] = batch.table.to_pylist()[0]
    return found | {"attributes": json.loads(found["attributes"])}


def test_a_span_becomes_a_row(intake: Intake) -> None:
    found = row(intake, {"region": "eu", "attempt": 2}, kind=3)
    assert found["time"] == NOW.replace(tzinfo=None)
    assert found["start_time"] == (NOW - timedelta(seconds=1.5)).replace(tzinfo=None)
    assert found["duration_ms"] == 1500.0
    assert found["event_id"] == f"{TRACE.hex()}:{SPAN.hex()}"
    assert found["flow_id"] == TRACE.hex()
    assert found["parent_id"] == f"{TRACE.hex()}:{PARENT.hex()}"
    assert (found["name"], found["kind"], found["source"], found["status"]) == ("work", "event", "shop", "ok")
    assert found["attributes"] == {"region": "eu", "attempt": 2, "span.kind": "client", "scope.name": "lib"}


GENAI = "gen_ai.operation.name"


@pytest.mark.parametrize(
    ("attributes", "fields", "expected"),
    [
        ({}, {"parent_span_id": b""}, {"kind": "flow", "parent_id": None}),
        ({}, {"parent_span_id": b"\0" * 8}, {"kind": "flow", "parent_id": None}),
        (
            {GENAI: "invoke_agent", "gen_ai.agent.name": "planner", "gen_ai.request.model": "m"},
            {"parent_span_id": b""},
            {"kind": "flow", "agent": "planner", "model": "m"},
        ),
        ({GENAI: "invoke_workflow"}, {}, {"kind": "flow"}),
        ({GENAI: "invoke_agent", "gen_ai.agent.name": "planner"}, {}, {"kind": "agent", "agent": "planner"}),
        ({GENAI: "create_agent", "gen_ai.agent.id": "a-7"}, {}, {"kind": "agent", "agent": "a-7"}),
        ({GENAI: "execute_tool", "gen_ai.tool.name": "search"}, {}, {"kind": "tool", "tool": "search"}),
        (
            {
                GENAI: "chat",
                "gen_ai.provider.name": "openai",
                "gen_ai.request.model": "m",
                "gen_ai.response.model": "m-2026",
                "gen_ai.usage.input_tokens": 100,
                "gen_ai.usage.output_tokens": 20,
                "gen_ai.usage.cache_read.input_tokens": 60,
                "gen_ai.usage.cost": 0.25,
            },
            {},
            {
                "kind": "model",
                "model": "m-2026",
                "tokens_input": 100,
                "tokens_output": 20,
                "tokens_cached": 60,
                "cost_usd": 0.25,
            },
        ),
        ({GENAI: "embeddings"}, {}, {"kind": "model"}),
        (
            {"gen_ai.system": "openai", "gen_ai.request.model": "m", "gen_ai.usage.prompt_tokens": 5},
            {},
            {"kind": "model", "model": "m", "tokens_input": 5},
        ),
        (
            {GENAI: "chat", "gen_ai.usage.input_tokens": 7, "gen_ai.usage.prompt_tokens": 5},
            {},
            {"tokens_input": 7},
        ),
        ({"llm.usage.total_cost": "0.5"}, {}, {"cost_usd": 0.5}),
        ({"openinference.span.kind": "LLM", "llm.model_name": "m"}, {}, {"kind": "model", "model": "m"}),
        ({"traceloop.span.kind": "tool"}, {}, {"kind": "tool"}),
        ({"http.request.method": "GET"}, {"kind": 2}, {"kind": "event", "resource": "http"}),
        ({"db.system.name": "postgresql"}, {"kind": 3}, {"kind": "event", "resource": "postgresql"}),
        ({"rpc.system": "grpc"}, {}, {"kind": "event", "resource": "grpc"}),
        ({"messaging.system": "kafka"}, {}, {"kind": "event", "resource": "kafka"}),
        ({"http.request.method": "GET"}, {"kind": 2, "flags": 0x300}, {"kind": "event"}),
        ({"enduser.id": "u1"}, {}, {"user": "u1"}),
        ({"domain": "professional"}, {}, {"domain": "professional"}),
        ({"plumbline.domain": "legal"}, {}, {"domain": "legal"}),
    ],
)
def test_vocabularies_name_kind_and_columns(
    intake: Intake, attributes: dict[str, Any], fields: dict[str, Any], expected: dict[str, Any]
) -> None:
    found = row(intake, attributes, **fields)
    assert {name: found[name] for name in expected} == expected


def test_columns_stay_null_where_the_exporter_sent_nothing(intake: Intake) -> None:
    found = row(intake, {GENAI: "chat"})
    assert [found[n] for n in ("tokens_input", "tokens_output", "tokens_cached", "cost_usd", "model")] == [None] * 5


def test_what_loses_a_column_or_does_not_fit_it_stays_in_attributes(intake: Intake) -> None:
    found = row(
        intake, {"gen_ai.response.model": "a", "gen_ai.request.model": "b", "gen_ai.usage.input_tokens": "many"}
    )
    assert found["model"] == "a" and found["tokens_input"] is None
    assert found["attributes"]["gen_ai.request.model"] == "b"
    assert found["attributes"]["gen_ai.usage.input_tokens"] == "many"
    assert "gen_ai.response.model" not in found["attributes"]


def test_resource_attributes_never_collide_with_the_spans_own(intake: Intake) -> None:
    found = row(
        intake,
        {"host.name": "own", "resource.host.name": "posing", "resource.service.name": "posing", "span.kind": "posing"},
        resource={"service.name": "shop", "service.namespace": "retail", "host.name": "h1"},
    )
    assert (found["source"], found["domain"]) == ("shop", "retail")
    assert found["attributes"] == {
        "host.name": "own",
        "resource.host.name": "h1",
        "attributes.resource.host.name": "posing",
        "attributes.resource.service.name": "posing",
        "attributes.span.kind": "posing",
        "span.kind": "unspecified",
        "scope.name": "lib",
    }


def test_a_resource_attribute_that_loses_its_column_is_kept(intake: Intake) -> None:
    found = row(intake, {"domain": "legal"}, resource={"service.namespace": "retail"})
    assert (found["domain"], found["attributes"]["resource.service.namespace"]) == ("legal", "retail")


def test_without_a_service_name_the_key_is_the_source(intake: Intake) -> None:
    assert row(intake, resource={})["source"] == "key"


def test_errors_say_their_type_by_attribute_or_exception_event(intake: Intake) -> None:
    request = span_request()
    span = request.resource_spans[0].scope_spans[0].spans[0]
    span.status.code = 2
    span.status.message = "it broke"
    event = span.events.add(name="exception", time_unix_nano=NOW_NS)
    event.attributes.add(key="exception.type").value.string_value = "ValueError"
    link = span.links.add(trace_id=TRACE, span_id=PARENT)
    link.attributes.add(key="why").value.string_value = "retry"
    found = ingested(intake, request).table.to_pylist()[0]
    kept = json.loads(found["attributes"])
    assert (found["status"], found["error_type"]) == ("error", "ValueError")
    assert kept["span.status_message"] == "it broke"
    assert kept["span.events"][0]["attributes"] == {"exception.type": "ValueError"}
    assert kept["span.links"] == [{"event_id": f"{TRACE.hex()}:{PARENT.hex()}", "attributes": {"why": "retry"}}]
    span.attributes.add(key="error.type").value.string_value = "timeout"
    assert ingested(intake, request).table["error_type"].to_pylist() == ["timeout"]


def test_attribute_values_of_every_type_are_kept(intake: Intake) -> None:
    values = {
        "text": "<b>é\U0001f6eb</b>",
        "nul": "a\0b",
        "bytes": b"\x00\xff",
        "list": [1, "two", [3.5]],
        "map": {"a": {"b": True}},
        "nan": float("nan"),
        "large": 2**63 - 1,
        "none": None,
    }
    kept = row(intake, values)["attributes"]
    assert kept["text"] == "<b>é\U0001f6eb</b>" and kept["nul"] == "a\ufffdb" and kept["bytes"] == "AP8="
    assert kept["list"] == [1, "two", [3.5]] and kept["map"] == {"a": {"b": True}}
    assert kept["nan"] == "NaN" and kept["large"] == 2**63 - 1 and kept["none"] is None
    assert row(intake, {"gen_ai.agent.name": ["a", "b"]})["agent"] == '["a","b"]'


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("reason", "attributes", "fields"),
    [
        (Reason.NO_IDENTITY, {}, {"trace_id": b""}),
        (Reason.NO_IDENTITY, {}, {"trace_id": b"\0" * 16}),
        (Reason.NO_IDENTITY, {}, {"span_id": b"\0" * 8}),
        (Reason.NO_IDENTITY, {}, {"span_id": b"\1" * 9}),
        (Reason.BAD_TIME, {}, {"end_time_unix_nano": 0, "start_time_unix_nano": 0}),
        (Reason.NEGATIVE, {}, {"start_time_unix_nano": NOW_NS + 5}),
        (Reason.NEGATIVE, {"gen_ai.usage.input_tokens": -3}, {}),
        (Reason.TIME_IN_FUTURE, {}, {"end_time_unix_nano": NOW_NS + 3600 * 10**9}),
        (Reason.TIME_IN_FUTURE, {}, {"end_time_unix_nano": 2**64 - 1}),
        (Reason.TOO_DEEP, {"deep": nested(33)}, {}),
        (Reason.TOO_LARGE, {"blob": "x" * 2_000_000}, {}),
    ],
)
def test_a_bad_span_drops_alone(
    intake: Intake, reason: Reason, attributes: dict[str, Any], fields: dict[str, Any]
) -> None:
    request = span_request(attributes, **fields)
    request.MergeFrom(span_request(span_id=b"\7" * 8))
    batch = ingested(intake, request)
    assert [(d.reason, d.count) for d in batch.drops] == [(reason, 1)]
    assert batch.drops[0].example.startswith("span 1: ")
    assert batch.table["event_id"].to_pylist() == [f"{TRACE.hex()}:{'07' * 8}"]


def test_an_attribute_that_does_not_parse_drops_its_span(intake: Intake) -> None:
    body = span_request({"key": "value"}).SerializeToString()
    broken = body.replace(b"\x0a\x03key", b"\x0a\x7fkey")
    batch = intake.ingest(broken, format="otlp-traces-protobuf")
    assert [d.reason for d in batch.drops] == [Reason.BAD_ATTRIBUTE]


def test_otlp_json_means_the_same_as_protobuf(intake: Intake) -> None:
    span = {
        "traceId": TRACE.hex().upper(),
        "spanId": SPAN.hex(),
        "parentSpanId": PARENT.hex(),
        "name": "chat",
        "kind": 3,
        "startTimeUnixNano": str(NOW_NS - 10**9),
        "endTimeUnixNano": NOW_NS,
        "attributes": [
            {"key": GENAI, "value": {"stringValue": "chat"}},
            {"key": "gen_ai.usage.input_tokens", "value": {"intValue": "12"}},
            {"key": "traceId", "value": {"stringValue": "not an id"}},
        ],
        "status": {"code": 2},
        "newerField": {"x": 1},
    }
    good = {"resourceSpans": [{"resource": {}, "scopeSpans": [{"spans": [span, span | {"spanId": "xyz"}]}]}]}
    batch = intake.ingest(json.dumps(good).encode(), format="otlp-traces-json")
    found = batch.table.to_pylist()[0]
    assert found["event_id"] == f"{TRACE.hex()}:{SPAN.hex()}"
    assert (found["kind"], found["tokens_input"], found["status"], found["duration_ms"]) == (
        "model",
        12,
        "error",
        1000.0,
    )
    assert json.loads(found["attributes"])["traceId"] == "not an id"
    assert [d.reason for d in batch.drops] == [Reason.NO_IDENTITY]


@pytest.mark.parametrize("body", [b"", b"[]", b"nope", b'{"resourceSpans": 3}'])
def test_json_that_is_no_request_is_refused_whole(intake: Intake, body: bytes) -> None:
    with pytest.raises(ValidationError, match="OTLP traces request in JSON"):
        intake.ingest(body, format="otlp-traces-json")


def test_bytes_that_are_no_request_are_refused_whole(intake: Intake) -> None:
    with pytest.raises(ValidationError, match="OTLP traces request in protobuf"):
        intake.ingest(b'{"resourceSpans": []}', format="otlp-traces-protobuf")


def test_partial_success_speaks_the_exporters_encoding(intake: Intake) -> None:
    batch = ingested(intake, span_request(trace_id=b""))
    message = explained(batch.drops)
    reply = ExportTraceServiceResponse.FromString(partial_success("traces", batch.dropped, message))
    assert reply.partial_success.rejected_spans == 1 and "no_identity" in reply.partial_success.error_message
    assert partial_success("traces", 0, "") == b"" and partial_success("logs", 0, "", json=True) == b"{}"
    assert json.loads(partial_success("metrics", 2, "why", json=True)) == {
        "partialSuccess": {"rejectedDataPoints": "2", "errorMessage": "why"}
    }


def test_refusals_are_a_google_rpc_status() -> None:
    status = Status.FromString(error_body(TooLarge("too big", hint="send less")))
    assert (status.code, status.message) == (3, "too big; send less")
    assert json.loads(error_body(TooLarge("too big"), json=True)) == {"code": 3, "message": "too big"}


SCALARS = st.text(max_size=20) | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.booleans() | st.binary(max_size=9)
ANY = st.recursive(
    SCALARS, lambda x: st.lists(x, max_size=3) | st.dictionaries(st.text(max_size=5), x, max_size=3), max_leaves=8
)
KEYS = st.sampled_from([GENAI, "gen_ai.usage.input_tokens", "gen_ai.usage.cost", "error.type", "resource.x"]) | st.text(
    max_size=9
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    attributes=st.dictionaries(KEYS, ANY, max_size=6),
    name=st.text(max_size=30),
    times=st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1)),
    ids=st.tuples(st.binary(max_size=17), st.binary(max_size=9), st.binary(max_size=9)),
    cut=st.integers(0, 400),
)
def test_any_span_is_a_row_or_a_drop(
    intake: Intake,
    attributes: dict[str, Any],
    name: str,
    times: tuple[int, int],
    ids: tuple[bytes, bytes, bytes],
    cut: int,
) -> None:
    for trace, span, parent in (ids, (TRACE, SPAN, ids[2])):
        request = span_request(
            attributes,
            name=name,
            start_time_unix_nano=times[0],
            end_time_unix_nano=times[1],
            trace_id=trace,
            span_id=span,
            parent_span_id=parent,
        )
        batch = ingested(intake, request)
        assert batch.table.num_rows + batch.dropped == 1
        batch.table.validate(full=True)
        for text in batch.table["attributes"].to_pylist():
            assert isinstance(json.loads(text), dict)
    try:
        intake.ingest(request.SerializeToString()[:cut], format="otlp-traces-protobuf")
    except PlumblineError:
        return


def test_a_root_that_is_a_call_itself_opens_a_flow_and_counts_once() -> None:
    chat = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m", "gen_ai.usage.input_tokens": 7}
    request = span_request(chat | {"gen_ai.agent.name": "solo"}, parent_span_id=b"", name="chat m")
    intake = Intake(load_folder(VOCABULARIES), now=lambda: NOW)
    batch = intake.ingest(request.SerializeToString(), format="otlp-traces-protobuf")
    flow, call = batch.table.select(["kind", "event_id", "parent_id", "agent", "tokens_input"]).to_pylist()
    assert flow == {
        "kind": "flow", "event_id": f"{TRACE.hex()}:flow", "parent_id": None, "agent": "solo", "tokens_input": None
    }  # fmt: skip
    assert call == {
        "kind": "model", "event_id": f"{TRACE.hex()}:{SPAN.hex()}", "parent_id": f"{TRACE.hex()}:flow",
        "agent": "solo", "tokens_input": 7,
    }  # fmt: skip
