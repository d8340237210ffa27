"""Spans as columns say exactly what spans one by one say: rows, their order, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from analytics.ingest import spans
from analytics.ingest.reasons import Drops
from analytics.ingest.vocabulary import Vocabulary, load_folder
from analytics.ingest.wire import OtlpReader
from tests.bench.otlp_fleet import bodies
from tests.small import many
from tests.unit.test_otlp_traces import NOW_NS, fill

VOCABULARIES = Path(__file__).parents[2] / "assets" / "vocabularies"

KEYS = (
    "gen_ai.operation.name", "gen_ai.agent.name", "gen_ai.agent.id", "gen_ai.request.model", "gen_ai.response.model",
    "llm.model_name", "llm.response.model", "gen_ai.system", "gen_ai.usage.input_tokens", "gen_ai.usage.cost",
    "gen_ai.conversation.id", "session.id", "gen_ai.response.id", "gen_ai.prompt", "input.value", "error.type",
    "openinference.span.kind", "traceloop.span.kind", "domain", "user.id", "service.name", "span.kind", "resource.x",
    "metric.x", "app.score", "app.tags", "", "ключ", 'quo"ted',
)  # fmt: skip
texts = st.sampled_from(
    ("chat", "execute_tool", "invoke_agent", "AGENT", "LLM", "tool", "workflow", "gpt-5", "", "a\0b", 'say "no"\n')
) | st.text(max_size=40)
values = st.one_of(
    texts,
    texts,
    st.integers(-(2**63), 2**63 - 1),
    st.integers(0, 300),
    st.floats(),
    st.booleans(),
    st.binary(max_size=8),
    st.lists(st.integers(0, 3), max_size=3),
    st.dictionaries(st.sampled_from(("a", "b")), st.integers(0, 3), max_size=2),
)
attributes = st.dictionaries(st.sampled_from(KEYS), values, max_size=12)
ids = st.sampled_from((b"\1" * 16, b"\2" * 16, bytes(16), b"\3" * 8, b""))
own_ids = st.sampled_from((b"\1" * 8, b"\xfe" * 8, bytes(8), b"\4" * 16, b""))
times = st.sampled_from((0, 1, NOW_NS - 1_234_567, NOW_NS, 2**63 - 1, 2**63, 2**64 - 1))
span_fields = st.fixed_dictionaries(
    {
        "trace_id": st.just(b"\1" * 16) | ids,
        "span_id": st.just(b"\1" * 8) | own_ids,
        "parent_span_id": st.sampled_from((b"", b"\7" * 8, bytes(8), b"\7")),
        "name": st.sampled_from(("chat gpt", "claude_code.llm_request", "claude_code.tool", "", "a\0b")),
        "kind": st.integers(-1, 7),
        "flags": st.sampled_from((0, 0x101, 0x300)),
        "start_time_unix_nano": times,
        "end_time_unix_nano": times,
    }
)
odd_parts = st.sampled_from(("", "", "", "", "event", "link", "state", "message", "twice", "error", "broken", "deep"))
whole_spans = st.tuples(span_fields, attributes, odd_parts)
groups = st.lists(st.tuples(attributes, st.text(max_size=5), st.lists(whole_spans, max_size=12)), max_size=4)


@pytest.fixture(scope="module", params=[False, True], ids=["lengths", "texts"])
def vocabulary(request: pytest.FixtureRequest) -> Vocabulary:
    return load_folder(VOCABULARIES, keep_text=request.param)


def both(body: bytes, vocabulary: Vocabulary) -> None:
    """The same body both ways."""
    found = []
    for few in (0, 10**9):
        drops = Drops()
        found.append((spans.table(OtlpReader().protobuf("traces", body), vocabulary, drops, few), drops.list()))
    (columns, refused), (one_by_one, refused_by_one) = found
    assert refused == refused_by_one
    assert columns.to_pylist() == one_by_one.to_pylist() or columns.equals(one_by_one)  # a time may be too far off
    assert columns.schema == one_by_one.schema


@given(told=groups)
@settings(max_examples=many(50), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_body_becomes_the_same_rows_both_ways(told: list[Any], vocabulary: Vocabulary) -> None:
    request = ExportTraceServiceRequest()
    for resource, scope, members in told:
        group = request.resource_spans.add()
        fill(group.resource.attributes, resource)
        scoped = group.scope_spans.add()
        scoped.scope.name = scope
        for fields, own, odd in members:
            add(scoped, fields, own, odd)
    both(request.SerializeToString(), vocabulary)


def add(scoped: Any, fields: dict[str, Any], own: dict[str, Any], odd: str) -> None:
    span = scoped.spans.add(**fields)
    fill(span.attributes, own)
    match odd:
        case "event":
            fill(span.events.add(name="exception").attributes, {"exception.type": "Boom"})
        case "link":
            span.links.add(trace_id=b"\1" * 16, span_id=b"\1" * 8)
        case "state":
            span.trace_state = "a=b"
        case "message":
            span.status.message = "no"
        case "twice":
            fill(span.attributes, {"domain": "a"} | own)
        case "error":
            span.status.code = 2
        case "broken":
            span.attributes.add()  # an attribute without a key and a value
        case "deep":
            slot = span.attributes.add(key="deep").value
            for _ in range(70):
                slot = slot.array_value.values.add()


@pytest.mark.parametrize("size", [1, 65, 500])
def test_a_fleet_becomes_the_same_rows_both_ways(size: int, vocabulary: Vocabulary) -> None:
    for body in bodies(2, size, seed=size):
        both(body, vocabulary)


@pytest.mark.parametrize(("count", "each"), [(30, 100), (3, 200)], ids=["many keys", "many attributes"])
def test_more_than_columns_take_goes_one_by_one(count: int, each: int, vocabulary: Vocabulary) -> None:
    request = ExportTraceServiceRequest()
    scoped = request.resource_spans.add().scope_spans.add()
    for i in range(count):
        span = scoped.spans.add(trace_id=b"\1" * 16, span_id=(i + 1).to_bytes(8), end_time_unix_nano=NOW_NS)
        fill(span.attributes, {f"key.{i}.{j}": "value" for j in range(each)})
    both(request.SerializeToString(), vocabulary)


RAW = [
    b"", b"\x0a", b"\x0a\x00", b"\x0a\x01a", b"\x0a\x01a\x12", b"\x0a\x01a\x12\x00", b"\x0a\x7fa\x12\x00", b"\xff" * 12,
    b"\x0a\x01a\x12\x02\x0a\x00", b"\x0a\x01a\x12\x03\x0a\x01\xff", b"\x0a\x01\xff\x12\x03\x0a\x01b",
    b"\x12\x03\x0a\x01b\x0a\x01a", b"\x0a\x01a\x12\x02\x18\x80", b"\x0a\x01a\x12\x0b\x18" + b"\xff" * 9 + b"\x01",
    b"\x0a\x01a\x12\x0b\x18" + b"\xff" * 9 + b"\x7f", b"\x0a\x01a\x12\x0c\x18" + b"\xff" * 10 + b"\x01",
    b"\x0a\x01a\x12\x03\x18\x81\x00", b"\x0a\x01a\x12\x09\x21" + b"\x00" * 8, b"\x0a\x01a\x12\x05\x21\x00\x00\x00\x00",
    b"\x0a\x01a\x12\x06\x0a\x01b\x0a\x01c", b"\x0a\x81\x00a\x12\x03\x0a\x01b", b"\x0a\x01a\x12\x84\x00\x0a\x82\x00bc",
    b"\x0a\x01a\x12\xff\xff\xff\xff\xff\x01\x0a", b"\x0a\x01a\x12\x02\x10\x01", b"\x0a\x01a\x1a\x01b",
]  # fmt: skip


@pytest.mark.parametrize("raw", RAW, ids=bytes.hex)
def test_bytes_that_no_exporter_writes_mean_the_same_both_ways(raw: bytes, vocabulary: Vocabulary) -> None:
    request = OtlpReader().protobuf("traces", next(bodies(1, 40, seed=1)))
    request.resource_spans[0].scope_spans[0].spans[3].attributes.append(raw)
    both(request.SerializeToString(), vocabulary)
