"""What the real OpenTelemetry SDK sends, caught at its transport and mapped."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import SpanKind, set_span_in_context
from requests.adapters import BaseAdapter

from analytics.ingest.intake import Intake
from analytics.ingest.vocabulary import load_folder

VOCABULARIES = Path(__file__).parents[2] / "assets" / "vocabularies"
GENAI = "gen_ai.operation.name"


class Wire(BaseAdapter):
    """A transport that keeps what an exporter sends and answers 200."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[bytes] = []

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        body = request.body if isinstance(request.body, bytes) else b""
        self.sent.append(body)
        response = requests.Response()
        response.status_code = 200
        response.request = request
        response._content = b""
        return response

    def close(self) -> None:
        """Nothing is open."""


def session(wire: Wire) -> requests.Session:
    found = requests.Session()
    found.mount("http://", wire)
    return found


def mapped(wire: Wire, format: str, encoding: str = "") -> list[dict[str, Any]]:
    intake = Intake(load_folder(VOCABULARIES), now=lambda: datetime.now(UTC))
    found: list[dict[str, Any]] = []
    for body in wire.sent:
        batch = intake.ingest(body, format=format, encoding=encoding)
        assert batch.drops == []
        found += batch.table.to_pylist()
    return found


@pytest.mark.parametrize(("compression", "encoding"), [(Compression.NoCompression, ""), (Compression.Gzip, "gzip")])
def test_spans_arrive(compression: Compression, encoding: str) -> None:
    wire = Wire()
    exporter = OTLPSpanExporter(endpoint="http://intake/v1/traces", session=session(wire), compression=compression)
    provider = TracerProvider(resource=Resource.create({"service.name": "planner-service"}))
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("agents", "1.2")
    with (
        tracer.start_as_current_span("plan a trip"),
        tracer.start_as_current_span(
            "invoke_agent planner", attributes={GENAI: "invoke_agent", "gen_ai.agent.name": "planner"}
        ),
        tracer.start_as_current_span(
            "chat m", kind=SpanKind.CLIENT, attributes={GENAI: "chat", "gen_ai.request.model": "m"}
        ),
        pytest.raises(ZeroDivisionError),
        tracer.start_as_current_span("execute_tool div", attributes={GENAI: "execute_tool", "gen_ai.tool.name": "div"}),
    ):
        print(1 / 0)
    provider.shutdown()
    found = mapped(wire, "otlp-traces-protobuf", encoding)
    by_kind = {f["kind"]: f for f in found}
    assert list(by_kind) == ["tool", "model", "agent", "flow"]
    assert {f["flow_id"] for f in found} == {by_kind["flow"]["event_id"].split(":")[0]}
    assert by_kind["tool"]["parent_id"] == by_kind["model"]["event_id"]
    assert (by_kind["tool"]["status"], by_kind["tool"]["error_type"]) == ("error", "ZeroDivisionError")
    assert by_kind["flow"]["parent_id"] is None and by_kind["flow"]["source"] == "planner-service"
    assert by_kind["flow"]["duration_ms"] >= by_kind["model"]["duration_ms"] > 0


def test_metrics_arrive_and_the_same_series_keeps_its_name() -> None:
    wire = Wire()
    exporter = OTLPMetricExporter(endpoint="http://intake/v1/metrics", session=session(wire))
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=float("inf"))
    provider = MeterProvider([reader], resource=Resource.create({"service.name": "planner-service"}))
    meter = provider.get_meter("agents")
    tokens = meter.create_histogram("gen_ai.client.token.usage", unit="{token}")
    calls = meter.create_counter("calls")
    for _ in range(2):
        tokens.record(120, {"gen_ai.request.model": "m", "gen_ai.token.type": "input"})
        calls.add(3)
        provider.force_flush()
    provider.shutdown()
    found = mapped(wire, "otlp-metrics-protobuf")
    usage = [f for f in found if f["name"] == "gen_ai.client.token.usage"]
    assert {(f["kind"], f["resource"], f["model"], f["source"], f["point"]) for f in usage} == {
        ("resource", "tokens", "m", "planner-service", "histogram")
    }
    assert (usage[0]["value"], usage[0]["count"], usage[1]["value"], usage[1]["count"]) == (120.0, 1, 240.0, 2)
    assert len({f["series"] for f in usage}) == 1 and len({f["event_id"] for f in usage}) == len(usage)
    total = [f for f in found if f["name"] == "calls"]
    assert (total[1]["value"], total[1]["temporality"], total[1]["monotonic"]) == (6.0, "cumulative", True)


def test_logs_arrive_with_their_span() -> None:
    wire = Wire()
    provider = LoggerProvider(resource=Resource.create({"service.name": "planner-service"}))
    provider.add_log_record_processor(
        SimpleLogRecordProcessor(OTLPLogExporter(endpoint="http://intake", session=session(wire)))
    )
    logger = provider.get_logger("agents")
    with TracerProvider().get_tracer("agents").start_as_current_span("work") as span:
        logger.emit(
            LogRecord(
                timestamp=int(datetime.now(UTC).timestamp()) * 10**9,
                context=set_span_in_context(span),
                severity_number=SeverityNumber.ERROR,
                body="tool failed\ndetails",
                attributes={"attempt": 2},
            )
        )
    provider.shutdown()
    (found,) = mapped(wire, "otlp-logs-protobuf")
    assert (found["kind"], found["name"], found["status"]) == ("log", "tool failed", "error")
    assert found["flow_id"] == f"{span.get_span_context().trace_id:032x}"
    assert found["parent_id"] == f"{found['flow_id']}:{span.get_span_context().span_id:016x}"
