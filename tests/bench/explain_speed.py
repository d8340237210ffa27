"""How long an explanation of five million events takes: `python -m tests.bench.explain_speed`.

Measured against a plain scan (one grouped count and sum over the same rows) in the same run, in turns: on a shared
machine times wander, their ratio holds.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from analytics.asking import Asker
from analytics.events import NAMES, SCHEMA
from analytics.explaining import Explainer
from analytics.messages import Explain
from analytics.query import Query, Window
from analytics.sources import Sources
from analytics.store.duckdb import DuckDBStore
from analytics.workspace import Dimension, Metric
from tests.bench.common import median
from tests.bench.tables import Table
from tests.small import workspace

EVENTS = 5_000_000
CHUNK = 500_000
ROUNDS = 7
NOW = datetime(2026, 1, 6, 12, tzinfo=UTC)
LENGTH = timedelta(hours=2)
DIMENSIONS = {"domain": 5, "source": 8, "agent": 17, "model": 3, "tool": 12, "user": 24, "name": 15, "resource": 30}
WORKSPACE = workspace(
    Metric(name="events", aggregate="count"),
    Metric(name="spend", aggregate="sum", column="cost_usd"),
    Metric(name="mean", aggregate="avg", column="duration_ms"),
    Metric(name="p95", aggregate="quantile", column="duration_ms", q=0.95),
    dimensions=tuple(Dimension(name=name, column=name) for name in DIMENSIONS),
)
WINDOW = Window((NOW - LENGTH / 2).isoformat(), NOW.isoformat())


def events(rng: np.random.Generator, first: int, count: int, total: int) -> pa.Table:
    """A slice of events, evenly over LENGTH; in the second half tool 3 of agent 2 is four times slower and dearer."""
    at = first + np.arange(count)
    columns: dict[str, Any] = {name: pa.nulls(count, SCHEMA.field(name).type) for name in NAMES}
    time_us = np.datetime64((NOW - LENGTH).replace(tzinfo=None), "us") + (
        at * (LENGTH / timedelta(microseconds=1) / total)
    ).astype("timedelta64[us]")
    codes = {
        name: np.minimum((card * rng.random(count) ** 2).astype(np.int8), card - 1) for name, card in DIMENSIONS.items()
    }
    slow = (at >= total // 2) & (codes["tool"] == 3) & (codes["agent"] == 2)
    value = np.exp(rng.normal(5, 0.8, count)) * np.where(slow, 4.0, 1.0)
    for name, card in DIMENSIONS.items():
        labels = pa.array([f"{name} {k}" for k in range(card)])
        columns[name] = pa.DictionaryArray.from_arrays(pa.array(codes[name]), labels).cast(pa.string())
    columns |= {
        "time": pa.array(time_us),
        "received": pa.array(time_us),
        "event_id": pa.array([f"e{k}" for k in at]),
        "duration_ms": pa.array(value),
        "cost_usd": pa.array(value / 1000),
    }
    return pa.table(
        [pa.chunked_array([columns[name]]) if isinstance(columns[name], pa.Array) else columns[name] for name in NAMES],
        schema=SCHEMA,
    )


async def measured(count: int = EVENTS, rounds: int = ROUNDS) -> dict[str, tuple[float, float, list[dict[str, Any]]]]:
    """Per metric: median ms of the explanation and of the plain scan, and the causes that were found."""
    rng = np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as folder:
        store = DuckDBStore(Path(folder) / "events.db", lambda: WORKSPACE, deadline_s=60)
        await store.open()
        try:
            for first in range(0, count, CHUNK):
                await store.append("events", events(rng, first, min(CHUNK, count - first), count))
            explainer = Explainer(Asker(store, lambda: WORKSPACE, Sources()))
            return {metric: await _timed(explainer, store, metric, rounds) for metric in WORKSPACE.metrics}
        finally:
            await store.close()


async def _timed(
    explainer: Explainer, store: DuckDBStore, metric: str, rounds: int
) -> tuple[float, float, list[dict[str, Any]]]:
    request = Explain(metric=metric, window=WINDOW)
    plain = Query(metrics=["events", "spend"], window=WINDOW, group_by=["agent"], compare="previous")
    ours, scans, causes = [], [], []
    for _ in range(rounds):
        started = time.perf_counter()
        await store.query(plain, now=NOW)
        scans.append((time.perf_counter() - started) * 1000)
        started = time.perf_counter()
        answer = await explainer.answer(request, NOW, ())
        ours.append((time.perf_counter() - started) * 1000)
        causes = answer.analytics["causes"]
    return median(ours), median(scans), causes


def table() -> Table:
    """The figures beside the goal."""
    found = asyncio.run(measured())
    rows: list[tuple[str, ...]] = [
        (metric, f"{ours:,.0f} ms", f"{scan:,.0f} ms", f"{ours / scan:.1f}", causes[0]["text"] if causes else "none")
        for metric, (ours, scan, causes) in found.items()
    ]
    return Table(
        title="Explaining five million events",
        command="python -m tests.bench.explain_speed",
        columns=("metric", "explain", "plain scan", "ratio", "first cause"),
        rows=rows,
        goal="under 1 s on 5 million events and 8 dimensions",
        note=f"{EVENTS:,} events, {len(DIMENSIONS)} dimensions, medians of {ROUNDS} rounds in turns, 2 threads.",
    )


def main() -> None:
    print(table().markdown())


if __name__ == "__main__":
    main()
