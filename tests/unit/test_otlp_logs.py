"""OTLP log records to rows."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from analytics.ingest.intake import Batch, Intake
from analytics.ingest.reasons import Reason
from analytics.ingest.vocabulary import load_folder
from tests.unit.test_otlp_traces import NOW, NOW_NS, SPAN, TRACE, fill, put

VOCABULARIES = Path(__file__).parents[2] / "assets" / "vocabularies"


@pytest.fixture(scope="module")
def intake() -> Intake:
    return Intake(load_folder(VOCABULARIES), now=lambda: NOW)


def request(body: Any = None, attributes: dict[str, Any] | None = None, **fields: Any) -> ExportLogsServiceRequest:
    found = ExportLogsServiceRequest()
    group = found.resource_logs.add()
    fill(group.resource.attributes, {"service.name": "shop"})
    record = group.scope_logs.add().log_records.add(**{"time_unix_nano": NOW_NS} | fields)
    put(record.body, body)
    fill(record.attributes, attributes or {})
    return found


def ingested(intake: Intake, found: ExportLogsServiceRequest) -> Batch:
    return intake.ingest(found.SerializeToString(), format="otlp-logs-protobuf", source="key")


def row(intake: Intake, *args: Any, **fields: Any) -> dict[str, Any]:
    batch = ingested(intake, request(*args, **fields))
    assert batch.drops == []
    found: dict[str, Any] = batch.table.to_pylist()[0]
    return found


def test_a_record_becomes_a_row(intake: Intake) -> None:
    found = row(
        intake,
        "\n  disk is full\nsecond line",
        {"gen_ai.agent.name": "planner", "exception.type": "OSError", "path": "/var"},
        trace_id=TRACE,
        span_id=SPAN,
        severity_number=17,
        severity_text="ERROR",
    )
    assert (found["kind"], found["name"], found["source"], found["agent"]) == ("log", "disk is full", "shop", "planner")
    assert (found["status"], found["error_type"], found["flow_id"]) == ("error", "OSError", TRACE.hex())
    assert found["parent_id"] == f"{TRACE.hex()}:{SPAN.hex()}"
    assert json.loads(found["attributes"]) == {
        "path": "/var",
        "log.body": "\n  disk is full\nsecond line",
        "log.severity_text": "ERROR",
        "log.severity_number": 17,
    }


def test_the_event_name_names_the_row_and_low_severity_has_no_status(intake: Intake) -> None:
    found = row(intake, {"a": [1, b"\xff"]}, event_name="shop.order", severity_number=9)
    assert (found["name"], found["status"], found["flow_id"]) == ("shop.order", None, None)
    assert json.loads(found["attributes"])["log.body"] == {"a": [1, "/w=="]}


def test_time_falls_back_to_the_observed_one_then_to_arrival(intake: Intake) -> None:
    observed = row(intake, "x", time_unix_nano=0, observed_time_unix_nano=NOW_NS - 10**9)
    assert observed["time"] == datetime(2026, 1, 6, 11, 59, 59, tzinfo=UTC).replace(tzinfo=None)
    assert row(intake, "x", time_unix_nano=0)["time"] == NOW.replace(tzinfo=None)


def test_a_record_sent_again_has_the_same_id_and_another_one_has_not(intake: Intake) -> None:
    first = row(intake, "x", {"a": 1}, observed_time_unix_nano=5)["event_id"]
    assert first == row(intake, "x", {"a": 1}, observed_time_unix_nano=9)["event_id"]
    others = [
        row(intake, "y", {"a": 1}),
        row(intake, "x", {"a": 2}),
        row(intake, "x", {"a": 1}, span_id=SPAN),
        row(intake, "x", {"a": 1}, time_unix_nano=NOW_NS - 1),
        row(intake, "x", {"gen_ai.agent.name": "a"}),
    ]
    assert len({first, *(o["event_id"] for o in others)}) == 6


def test_a_long_name_is_bounded_and_an_empty_body_names_nothing(intake: Intake) -> None:
    assert len(row(intake, "x" * 5000)["name"]) == 200
    assert row(intake, "  \n ")["name"] is None
    assert row(intake)["name"] is None


def test_a_record_from_the_future_drops_alone(intake: Intake) -> None:
    found = request("bad", time_unix_nano=NOW_NS + 3600 * 10**9)
    found.MergeFrom(request("good"))
    batch = ingested(intake, found)
    assert [(d.reason, d.count) for d in batch.drops] == [(Reason.TIME_IN_FUTURE, 1)]
    assert batch.drops[0].example.startswith("log record 1: ")
    assert batch.table["name"].to_pylist() == ["good"]


def test_texts_that_are_not_kept_tell_records_of_one_request_apart(intake: Intake) -> None:
    uses = [
        request(attributes={"event.name": "gemini_cli.tool_call", "function_args": text}) for text in ("a", "b", "a")
    ]
    both = ExportLogsServiceRequest()
    for use in uses:
        both.MergeFrom(use)
    ids = [(row["event_id"], row["call_id"]) for row in ingested(intake, both).table.to_pylist()]
    assert ids[0] == ids[2] and not set(ids[0]) & set(ids[1])
    assert ids == [(row["event_id"], row["call_id"]) for row in ingested(intake, both).table.to_pylist()]
    alone = [ingested(intake, use).table["call_id"][0].as_py() for use in uses]
    assert alone == [ids[0][1]] * 3  # no text is in an id


def test_otlp_json_gives_the_same_row(intake: Intake) -> None:
    record = {
        "timeUnixNano": str(NOW_NS),
        "severityNumber": "SEVERITY_NUMBER_ERROR",
        "traceId": TRACE.hex(),
        "spanId": SPAN.hex(),
        "body": {"stringValue": "x"},
    }
    body = json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]}).encode()
    (found,) = intake.ingest(body, format="otlp-logs-json").table.to_pylist()
    assert (found["name"], found["status"], found["flow_id"]) == ("x", "error", TRACE.hex())
