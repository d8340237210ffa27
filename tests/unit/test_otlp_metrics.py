"""OTLP metric points to rows: every point type, the identity of series, and bad points."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from analytics.ingest.intake import Batch, Intake
from analytics.ingest.reasons import Reason
from analytics.ingest.vocabulary import load_folder
from tests.unit.test_otlp_traces import NOW, NOW_NS, SPAN, TRACE, fill

VOCABULARIES = Path(__file__).parents[2] / "assets" / "vocabularies"
TIMES = {"time_unix_nano": NOW_NS, "start_time_unix_nano": NOW_NS - 60 * 10**9}


@pytest.fixture(scope="module")
def intake() -> Intake:
    return Intake(load_folder(VOCABULARIES), now=lambda: NOW)


def request(build: Callable[[Any], None], name: str = "m", **resource: Any) -> ExportMetricsServiceRequest:
    """One metric; `build` fills it."""
    found = ExportMetricsServiceRequest()
    group = found.resource_metrics.add()
    fill(group.resource.attributes, {"service.name": "shop"} | resource)
    metric = group.scope_metrics.add().metrics.add(name=name, unit="1")
    build(metric)
    return found


def ingested(intake: Intake, found: ExportMetricsServiceRequest) -> Batch:
    return intake.ingest(found.SerializeToString(), format="otlp-metrics-protobuf", source="key")


def row(intake: Intake, build: Callable[[Any], None], name: str = "m") -> dict[str, Any]:
    batch = ingested(intake, request(build, name))
    assert batch.drops == []
    found: dict[str, Any] = batch.table.to_pylist()[0]
    return found


def gauge(value: float = 0.5, **attributes: Any) -> Callable[[Any], None]:
    def build(metric: Any) -> None:
        fill(metric.gauge.data_points.add(as_double=value, **TIMES).attributes, attributes)

    return build


def test_a_gauge_is_a_resource_reading(intake: Intake) -> None:
    found = row(intake, gauge(0.25, **{"cpu.mode": "user"}), "system.cpu.utilization")
    assert (found["kind"], found["name"], found["resource"], found["source"]) == (
        "resource", "system.cpu.utilization", "cpu", "shop",
    )  # fmt: skip
    assert (found["value"], found["unit"], found["point"], found["temporality"]) == (0.25, "1", "gauge", None)
    assert (found["status"], found["monotonic"], found["time"]) == (None, None, NOW.replace(tzinfo=None))
    assert (NOW.replace(tzinfo=None) - found["start_time"]).total_seconds() == 60
    assert json.loads(found["attributes"]) == {"cpu.mode": "user"}


def test_a_sum_says_whether_it_only_grows(intake: Intake) -> None:
    def build(metric: Any) -> None:
        metric.sum.aggregation_temporality = 1
        metric.sum.is_monotonic = True
        metric.sum.data_points.add(as_int=7, **TIMES)

    found = row(intake, build)
    assert (found["value"], found["point"], found["temporality"], found["monotonic"]) == (7.0, "sum", "delta", True)


def test_a_histogram_keeps_its_distribution(intake: Intake) -> None:
    def build(metric: Any) -> None:
        metric.histogram.aggregation_temporality = 2
        point = metric.histogram.data_points.add(
            count=3, sum=6.5, min=1, max=4, explicit_bounds=[1, 5], bucket_counts=[1, 2, 0], **TIMES
        )
        point.exemplars.add(as_double=4, time_unix_nano=NOW_NS, trace_id=TRACE, span_id=SPAN)

    found = row(intake, build)
    assert (found["value"], found["count"], found["temporality"]) == (6.5, 3, "cumulative")
    assert json.loads(found["distribution"]) == {"bounds": [1, 5], "counts": [1, 2, 0], "min": 1, "max": 4}
    (exemplar,) = json.loads(found["attributes"])["metric.exemplars"]
    assert (exemplar["value"], exemplar["event_id"]) == (4.0, f"{TRACE.hex()}:{SPAN.hex()}")


def test_an_exponential_histogram_and_a_summary_keep_theirs(intake: Intake) -> None:
    def exponential(metric: Any) -> None:
        point = metric.exponential_histogram.data_points.add(count=4, scale=3, zero_count=1, **TIMES)
        point.positive.offset = -2
        point.positive.bucket_counts.extend([1, 2])

    found = row(intake, exponential)
    shape = json.loads(found["distribution"])
    assert (found["point"], found["count"], found["value"]) == ("exponential_histogram", 4, None)
    assert (shape["scale"], shape["zero_count"], shape["positive"]) == (3, 1, {"offset": -2, "counts": [1, 2]})

    def summary(metric: Any) -> None:
        metric.summary.data_points.add(count=2, sum=3, **TIMES).quantile_values.add(quantile=0.5, value=1.5)

    found = row(intake, summary)
    assert (found["point"], found["count"], found["value"]) == ("summary", 2, 3.0)
    assert json.loads(found["distribution"]) == {"quantiles": [[0.5, 1.5]]}


def test_vocabularies_map_attributes_but_tokens_and_cost_stay_the_spans(intake: Intake) -> None:
    attributes = {"gen_ai.request.model": "m", "gen_ai.agent.name": "planner", "gen_ai.usage.input_tokens": 5}
    found = row(intake, gauge(1, **attributes), "gen_ai.client.token.usage")
    assert (found["model"], found["agent"], found["resource"], found["tokens_input"]) == (
        "m",
        "planner",
        "tokens",
        None,
    )


def test_a_series_is_its_resource_scope_name_and_attributes(intake: Intake) -> None:
    def ids(*requests: ExportMetricsServiceRequest) -> tuple[set[str], set[str]]:
        found = [ingested(intake, r).table.to_pylist()[0] for r in requests]
        return {f["series"] for f in found}, {f["event_id"] for f in found}

    same = ids(request(gauge(1, a=1, b=2)), request(gauge(1, b=2, a=1)))
    assert (len(same[0]), len(same[1])) == (1, 1), "an export sent again is the same event"
    base = request(gauge(1, a=1))
    others = [request(gauge(1, a=2)), request(gauge(1, a=1), name="n"), request(gauge(1, a=1), host="h")]
    assert len(ids(base, *others)[0]) == 4
    later = request(gauge(1, a=1))
    later.resource_metrics[0].scope_metrics[0].metrics[0].gauge.data_points[0].time_unix_nano -= 1
    series, events = ids(base, later)
    assert (len(series), len(events)) == (1, 2)


def test_a_point_without_recorded_value_is_kept_as_null(intake: Intake) -> None:
    found = row(intake, lambda m: m.gauge.data_points.add(flags=1, **TIMES) and None)
    assert found["value"] is None and found["series"]


@pytest.mark.parametrize(
    ("reason", "build"),
    [
        (Reason.NO_VALUE, lambda m: None),
        (Reason.NO_VALUE, lambda m: m.gauge.SetInParent()),
        (Reason.NO_VALUE, lambda m: m.gauge.data_points.add(**TIMES)),
        (Reason.BAD_NUMBER, lambda m: m.gauge.data_points.add(as_double=float("nan"), **TIMES)),
        (Reason.BAD_NUMBER, lambda m: m.summary.data_points.add(count=2**64 - 1, **TIMES)),
        (Reason.BAD_TIME, lambda m: m.gauge.data_points.add(as_double=1)),
        (Reason.BAD_DISTRIBUTION, lambda m: m.histogram.data_points.add(count=1, bucket_counts=[1, 0, 0], **TIMES)),
        (Reason.TOO_LARGE, lambda m: m.histogram.data_points.add(
            count=1, bucket_counts=[1] * 20_001, explicit_bounds=range(20_000), **TIMES)),
    ],
)  # fmt: skip
def test_a_bad_point_drops_alone(intake: Intake, reason: Reason, build: Callable[[Any], Any]) -> None:
    found = request(build)
    found.MergeFrom(request(gauge(1), name="good"))
    batch = ingested(intake, found)
    assert [(d.reason, d.count) for d in batch.drops] == [(reason, 1)]
    assert batch.drops[0].example.startswith("data point 1: ")
    assert batch.table["name"].to_pylist() == ["good"]


def test_otlp_json_gives_the_same_rows(intake: Intake) -> None:
    metric = {
        "name": "calls",
        "sum": {
            "aggregationTemporality": 2,
            "isMonotonic": True,
            "dataPoints": [
                {"asInt": "5", "timeUnixNano": str(NOW_NS), "attributes": [{"key": "a", "value": {"intValue": 1}}]}
            ],
        },
    }
    body = {"resourceMetrics": [{"scopeMetrics": [{"metrics": [metric]}]}]}
    batch = intake.ingest(json.dumps(body).encode(), format="otlp-metrics-json", source="key")
    (found,) = batch.table.to_pylist()
    assert (found["value"], found["temporality"], found["source"]) == (5.0, "cumulative", "key")
    assert json.loads(found["attributes"]) == {"a": 1}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    value=st.floats(),
    counts=st.lists(st.integers(0, 2**64 - 1), max_size=4),
    bounds=st.lists(st.floats(), max_size=4),
    count=st.integers(0, 2**64 - 1),
    time=st.integers(0, 2**64 - 1),
)
def test_any_point_is_a_row_or_a_drop(
    intake: Intake, value: float, counts: list[int], bounds: list[float], count: int, time: int
) -> None:
    def build(metric: Any) -> None:
        metric.histogram.data_points.add(
            time_unix_nano=time, sum=value, min=value, count=count, bucket_counts=counts, explicit_bounds=bounds
        )

    batch = ingested(intake, request(build))
    assert batch.table.num_rows + batch.dropped == 1
    assert all(json.loads(text) for text in batch.table["distribution"].to_pylist())
