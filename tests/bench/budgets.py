"""What a budget costs at each tick: `python -m tests.bench.budgets`.

A month of five million events, and a batch of new ones before each question, of which some are late. Measured against
the plain sum over the same month in the same run, in turns: on a shared machine times wander, their ratio holds.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa

from analytics.query import Query, Window
from analytics.store.duckdb import DuckDBStore
from analytics.workspace import Budget, Dimension, load
from analytics.workspace_budgets import metrics
from app import WORKSPACES
from tests.bench.common import Figure, cheaper, report
from tests.bench.explain_speed import CHUNK, EVENTS, events
from tests.small import workspace

ROUNDS = 21
NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
BUILT_IN = load(sorted(WORKSPACES.glob("*.yaml")))
SPEND = BUILT_IN.metrics["spend"]
BUDGETS = (
    Budget(name="team", metric="spend", period="month", limit=1e6, title="Team"),
    Budget(name="agents", metric="spend", period="month", limit=1e5, by="agent", title="Agents"),
)
WORKSPACE = msgspec.structs.replace(
    workspace(
        SPEND,
        *(metric for budget in BUDGETS for metric in metrics(budget, SPEND)),
        dimensions=(Dimension(name="agent", column="agent"),),
    ),
    budgets={budget.name: budget for budget in BUDGETS},
    book=BUILT_IN.book,
)
MONTH = Window("2026-01-01T00:00:00+00:00", "now")
QUESTIONS = {  # the budget, and the plain sum that says the same
    "number": (Query(metrics=["team_spent"]), Query(metrics=["spend"], window=MONTH)),
    "number and its course over an hour": (
        Query(metrics=["team_spent", "team_remaining", "team_pace"], grain="1m"),
        Query(metrics=["spend"], window=MONTH),
    ),
    "by agent": (
        Query(metrics=["agents_spent"], group_by=["agent"]),
        Query(metrics=["spend"], window=MONTH, group_by=["agent"]),
    ),
}


def slice_of(rng: np.random.Generator, first: int, count: int, newest: datetime, length: timedelta) -> pa.Table:
    """Model calls that nobody priced, by those of the other benchmarks, spread evenly over a span."""
    table = events(rng, first, count, EVENTS)
    step = length / timedelta(microseconds=1) / count
    start = np.datetime64((newest - length).replace(tzinfo=None), "us")
    times = pa.array(start + (np.arange(count) * step).astype("timedelta64[us]"))
    models = pa.array(["small", "medium", "large"]).take(pa.array(rng.integers(0, 3, count)))
    calls = {"kind": pa.array(["model"] * count), "model": models, "cost_usd": pa.nulls(count, pa.float64())}
    tokens = {name: pa.array(rng.integers(1, 4000, count)) for name in ("tokens_input", "tokens_output")}
    for name, column in {"time": times, "received": times, **calls, **tokens}.items():
        table = table.set_column(table.column_names.index(name), table.schema.field(name), column)
    return table


async def measured(count: int = EVENTS, rounds: int = ROUNDS) -> tuple[list[Figure], dict[str, float]]:
    rng = np.random.default_rng(1)
    length = NOW - datetime(2026, 1, 1, tzinfo=UTC)
    spent: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in QUESTIONS}
    first: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        store = DuckDBStore(Path(folder) / "events.db", lambda: WORKSPACE, deadline_s=60)
        await store.open()
        size = min(CHUNK, count)
        parts = count // size
        for k in range(parts):
            newest = NOW - length * ((parts - 1 - k) / parts)
            await store.append("events", slice_of(rng, k * size, size, newest, length / parts))
        now, sent = NOW, count
        for turn in range(rounds + 1):
            now += timedelta(seconds=1)
            late = timedelta(days=3) if turn % 3 == 2 else timedelta(0)  # an exporter that comes back
            await store.append("events", slice_of(rng, sent, 10, now - late, timedelta(seconds=1)))
            sent += 10
            for name, (ours, plain) in QUESTIONS.items():
                times = []
                for query in (ours, plain):
                    began = time.perf_counter()
                    await store.query(query, now=now, deadline_s=60)
                    times.append((time.perf_counter() - began) * 1000)
                if turn:
                    for kept, ms in zip(spent[name], times, strict=True):
                        kept.append(ms)
                else:
                    first[name] = round(times[0], 1)
        await store.close()
    return [cheaper(name, "ms", *times, 3) for name, times in spent.items()], first


def main() -> None:
    figures, first = asyncio.run(measured())
    notes = {"events": f"{EVENTS:,} in a month, 10 new before each question, in every third turn three days late",
             "first time, ms": first}  # fmt: skip
    report("budgets", "A budget at each tick", "plain sum", figures, notes)


if __name__ == "__main__":
    main()
