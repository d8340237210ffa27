"""What real exporters count is what a metric sums: in both temporalities, over restarts and refusals."""

from __future__ import annotations

import asyncio
import json
import math
import random
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import (
    Aggregation,
    ExplicitBucketHistogramAggregation,
    ExponentialBucketHistogramAggregation,
)
from opentelemetry.sdk.resources import Resource

from analytics.rights import Principal
from tests.conftest import Served, serving, until

WORKSPACE = """metrics:
  requests: {sum: value, where: {kind: usage, name: http.server.requests}, title: Requests}
  took_p50: {quantile: distribution, q: 0.5, where: {name: http.server.duration}, unit: ms, title: Median}
  took_p95: {quantile: distribution, q: 0.95, where: {name: http.server.duration}, unit: ms, title: p95}
"""
NAME = "http.server.requests"


def counting(folder: Path, port: int = 0) -> AbstractAsyncContextManager[Served]:
    file = folder / "mine.yaml"
    file.write_text(WORKSPACE)
    return serving(folder / "data", port=port, workspace=[file])


async def requests(served: Served) -> float:
    """What the metric says."""
    answer = await served.ask(type="query", metrics=["requests"], window="now-1h")
    return float(answer["analytics"]["totals"]["requests"]["value"] or 0)


async def total(served: Served, metric: str) -> dict[str, Any]:
    answer = await served.ask(type="query", metrics=[metric], window="now-1h")
    found: dict[str, Any] = answer["analytics"]["totals"][metric]
    return found


async def rows(served: Served, what: str, where: str) -> list[dict[str, Any]]:
    found = await served.app.store.read(f"SELECT {what} FROM {{events}} WHERE {where} ORDER BY time")
    told: list[dict[str, Any]] = found.to_pylist()
    return told


class Process:
    """A program with the SDK. Two of them have one identity, as two workers of one service do."""

    def __init__(self, served: Served, temporality: AggregationTemporality, buckets: Aggregation | None = None) -> None:
        exporter = OTLPMetricExporter(
            endpoint=f"{served.url}/v1/metrics",
            headers={"x-api-key": served.key},
            preferred_temporality={Counter: temporality, Histogram: temporality},
            preferred_aggregation={Histogram: buckets or ExponentialBucketHistogramAggregation()},
        )
        reader = PeriodicExportingMetricReader(exporter, export_interval_millis=float("inf"))
        self.provider = MeterProvider([reader], resource=Resource.create({"service.name": "shop"}))
        meter = self.provider.get_meter("shop")
        self.counter = meter.create_counter(NAME)
        self.gauge = meter.create_gauge("queue.length")
        self.open = meter.create_up_down_counter("connections")
        self.took = meter.create_histogram("http.server.duration", unit="ms")

    async def served(self, *counts: int) -> None:
        for count in counts:
            self.counter.add(count)
            self.gauge.set(count)
            self.open.add(-1)
            self.took.record(100.0 * count)
        await asyncio.to_thread(self.provider.force_flush)


@pytest.fixture(params=[AggregationTemporality.DELTA, AggregationTemporality.CUMULATIVE], ids=["delta", "cumulative"])
def temporality(request: pytest.FixtureRequest) -> AggregationTemporality:
    found: AggregationTemporality = request.param
    return found


async def test_two_processes_and_a_restart_of_either_side_count_once(
    tmp_path: Path, temporality: AggregationTemporality
) -> None:
    async with counting(tmp_path) as served:
        port, key = served.app.server.port, served.key
        one, other = Process(served, temporality), Process(served, temporality)
        await one.served(3, 4)
        await other.served(10)
        await one.served(5)
        assert await requests(served) == 22
    async with counting(tmp_path, port) as served:
        served.key = key
        await one.served(1)
        await other.served()
        await asyncio.to_thread(other.provider.shutdown)
        after = Process(served, temporality)
        await after.served(2)
        for process in (one, after):
            await asyncio.to_thread(process.provider.shutdown)
        assert await requests(served) == 25
        told = await rows(served, "name, value, count, distribution, way", "kind = 'usage'")
        assert {row["name"] for row in told} == {NAME, "http.server.duration"}
        assert {row["way"] for row in told} == {"metric"}
        median = await total(served, "took_p50")
        assert median["n"] == 6 and abs(median["value"] - 300) <= median["within"] + 1e-9 < 10


BUCKETS: dict[str, Callable[[], Aggregation]] = {
    "exponential": ExponentialBucketHistogramAggregation,
    "explicit": ExplicitBucketHistogramAggregation,
    "others": lambda: ExplicitBucketHistogramAggregation([50, 150, 900]),
    "coarse": lambda: ExponentialBucketHistogramAggregation(max_size=4),
}


async def test_quantiles_of_real_histograms_are_within_what_they_state(
    tmp_path: Path, temporality: AggregationTemporality
) -> None:
    chance = random.Random(5)
    took: list[float] = []
    async with counting(tmp_path) as served:
        silent = await total(served, "took_p95")
        assert (silent["value"], silent["reason"]) == (None, "no histogram in this window")
        for kind, made in BUCKETS.items():
            process = Process(served, temporality, made())
            for _ in range(3):
                batch = [chance.lognormvariate(5, 1) for _ in range(40)]
                for value in batch:
                    process.took.record(value, {"kind": kind})
                await asyncio.to_thread(process.provider.force_flush)
                took += batch
            await asyncio.to_thread(process.provider.shutdown)
            for name, rank in (("took_p50", 0.5), ("took_p95", 0.95)):
                found = await total(served, name)
                true = sorted(took)[math.ceil(rank * len(took)) - 1]
                assert found["n"] == len(took)
                assert abs(found["value"] - true) <= found["within"] * (1 + 1e-9)
                assert found["within"] < found["value"]
        answer = await served.ask(type="query", metrics=["took_p95"], window="now-1h", group_by=["source"], limit=3)
        assert answer["analytics"]["rows"] == [["shop", found["value"]]]
        assert 0 < answer["confidence_parts"]["sample"] < 1
        tiles = [
            {"id": "now", "type": "kpi", "metric": "took_p95"},
            {"id": "course", "type": "line", "metric": "took_p95"},
        ]
        board = (await served.ask(type="board", board="took", tiles=tiles, window="now-1h"))["analytics"]["tiles"]
        assert board["now"]["head"]["value"] == found["value"]
        assert board["now"]["head"]["within"] == found["within"]
        assert [v for v in board["course"]["columns"]["s0"] if v is not None] == [found["value"]]
        assert board["course"]["head"]["band"]["model"] is None
        why = await served.ask(type="explain", metric="took_p95", window="now-1h")
        assert why["analytics"]["reason"]


def export(value: int, time: int, start: int) -> dict[str, Any]:
    point = {"asInt": str(value), "timeUnixNano": str(time), "startTimeUnixNano": str(start)}
    total = {"aggregationTemporality": 2, "isMonotonic": True, "dataPoints": [point]}
    return {"resourceMetrics": [{"scopeMetrics": [{"metrics": [{"name": NAME, "sum": total}]}]}]}


async def test_what_the_store_refuses_is_counted_when_it_is_sent_again(tmp_path: Path) -> None:
    def full() -> None:
        raise OSError(28, "No space left on device")

    start = int(datetime.now(UTC).timestamp() - 60) * 10**9
    async with counting(tmp_path) as served:
        writer = served.app.store._writer
        assert (await served.post("/v1/metrics", export(5, start + 1_000_000, start)))[0] == 200
        writer._before_commit = full
        for _ in range(2):
            assert (await served.post("/v1/metrics", export(8, start + 2_000_000, start)))[0] == 507
        writer._before_commit = None
        for _ in range(2):
            assert (await served.post("/v1/metrics", export(8, start + 2_000_000, start)))[0] == 200
        assert await requests(served) == 8
        assert [row["value"] for row in await rows(served, "value", "kind = 'usage'")] == [5, 3]


async def test_who_hangs_up_has_still_been_counted_once(tmp_path: Path) -> None:
    start = int(datetime.now(UTC).timestamp() - 60) * 10**9
    async with counting(tmp_path) as served:
        sender = Principal(key_id="shop", name="shop", scopes=frozenset({"ingest"}))
        body = json.dumps(export(5, start + 1_000_000, start)).encode()
        waiting = asyncio.create_task(served.app.service.ingest(sender, "events", body, format="otlp-metrics-json"))
        await until(lambda: len(served.app.increments) == 1, what="the point to be counted")
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert (await served.post("/v1/metrics", export(9, start + 2_000_000, start)))[0] == 200
        assert await requests(served) == 9


async def test_what_counts_no_tokens_is_never_covered_by_calls(tmp_path: Path) -> None:
    start = int(datetime.now(UTC).timestamp() - 60) * 10**9
    async with counting(tmp_path) as served:
        call = {"kind": "model", "name": "chat", "source": "test", "tokens_input": 5, "tokens_output": 1}
        await served.ingest([call])
        assert (await served.post("/v1/metrics", export(9, start + 2_000_000, start)))[0] == 200
        await served.ingest([call])
        assert await requests(served) == 9
