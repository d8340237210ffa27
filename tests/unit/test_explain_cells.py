"""The cells in which causes are looked for, over a table small enough to add up by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from analytics.errors import NotFound, ValidationError
from analytics.query import Cells, Filter, Query, Window
from analytics.store.duckdb import DuckDBStore
from analytics.store.sql import compile
from analytics.workspace import Dimension, Metric
from tests.small import at, events, workspace

NOW = at("13:00")
HOUR = Window("2026-01-06T12:00:00Z", "2026-01-06T13:00:00Z")
WORKSPACE = workspace(
    Metric(name="flows", aggregate="count", where={"kind": "flow"}),
    Metric(name="errors", aggregate="count", where={"kind": "flow", "status": "error"}),
    Metric(name="error_rate", aggregate="ratio", numerator="errors", denominator="flows"),
    Metric(name="spend", aggregate="sum", column="cost_usd"),
    Metric(name="cost_per_flow", aggregate="ratio", numerator="spend", denominator="flows"),
    Metric(name="mean", aggregate="avg", column="duration_ms"),
    Metric(name="p50", aggregate="quantile", column="duration_ms", q=0.5),
    Metric(name="agents", aggregate="distinct", column="agent"),
    dimensions=(Dimension(name="agent", column="agent"),),
)
SIX = events(
    "time kind agent status duration_ms cost_usd",
    ("11:10", "flow", "planner", "ok", 500.0, 1.00),
    ("12:05", "flow", "planner", "ok", 100.0, 0.25),
    ("12:06", "flow", "planner", "error", 200.0, None),
    ("12:30", "flow", "writer", "ok", 300.0, 0.50),
    ("12:30", "tool", "writer", "error", 40.0, 2.00),
    ("12:59", "flow", None, "ok", 400.0, 0.25),
)


@pytest.fixture
async def store() -> AsyncIterator[DuckDBStore]:
    opened = DuckDBStore(None, lambda: WORKSPACE, readers=1, threads=1)
    await opened.open()
    await opened.append("events", SIX)
    yield opened
    await opened.close()


async def cells(store: DuckDBStore, metric: str, wanted: Cells, **query: Any) -> dict[tuple[int, Any], tuple[Any, ...]]:
    """(period, first key) -> (n, x, y)."""
    asked: dict[str, Any] = {"metrics": [metric], "window": HOUR, "compare": "previous", "cells": wanted} | query
    table = (await store.query(Query(**asked), now=NOW)).table
    return {(row["p"], row.get("g0")): (row["n"], row["x"], row["y"]) for row in table.to_pylist()}


BY_AGENT = Cells(dims=["agent"])


async def test_each_kind_of_metric_by_agent(store: DuckDBStore) -> None:
    assert await cells(store, "flows", BY_AGENT) == {
        (0, "planner"): (2, 2.0, 2.0), (0, "writer"): (1, 1.0, 1.0),
        (0, None): (1, 1.0, 1.0), (1, "planner"): (1, 1.0, 1.0),
    }  # fmt: skip
    rate = await cells(store, "error_rate", BY_AGENT)
    assert (rate[0, "planner"], rate[0, "writer"], rate[1, "planner"]) == (
        (2, 1.0, 2.0),
        (1, None, 1.0),
        (1, None, 1.0),
    )
    assert (await cells(store, "spend", BY_AGENT))[0, "writer"] == (2, 2.5, 2.0)
    assert (await cells(store, "mean", BY_AGENT))[0, "planner"] == (2, 300.0, 2.0)
    beyond = await cells(store, "p50", Cells(dims=["agent"], beyond=150.0))
    assert (beyond[0, "planner"], beyond[1, "planner"]) == ((2, 1.0, 2.0), (1, 1.0, 1.0))


async def test_a_ratio_may_have_its_parts_in_different_rows(store: DuckDBStore) -> None:
    found = await cells(store, "cost_per_flow", BY_AGENT)
    assert found[0, "writer"] == (1, 2.5, 1.0)  # the tool call costs, the flow is what it is divided by


async def test_parts_hold_each_row_once_and_the_rest_comes_last(store: DuckDBStore) -> None:
    parts = [
        [Filter("agent", "is", ["planner"]), Filter("status", "is", ["error"])],
        [Filter("agent", "is", ["planner"])],
    ]
    found = await cells(store, "flows", Cells(parts=parts))
    assert found == {(0, 0): (1, 1.0, 1.0), (0, 1): (1, 1.0, 1.0), (0, 2): (2, 2.0, 2.0), (1, 1): (1, 1.0, 1.0)}
    (nobody,) = (await cells(store, "flows", Cells(parts=[[Filter("agent", "is", [None])]]))).keys() & {(0, 0)}
    assert nobody == (0, 0)


async def test_a_baseline_may_be_any_window_and_is_cut_like_the_window(store: DuckDBStore) -> None:
    early = Window("2026-01-06T11:00:00Z", "2026-01-06T11:30:00Z")
    found = await cells(store, "flows", Cells(), compare=None, baseline=early)
    assert found == {(0, None): (4, 4.0, 4.0), (1, None): (1, 1.0, 1.0)}
    plan = compile(
        Query(metrics=["flows"], window=HOUR, cells=Cells(), baseline=Window(early.start, "2026-01-06T12:00:00Z")),
        WORKSPACE, at("12:05"),
    )  # fmt: skip
    assert plan.previous is not None
    assert plan.previous.end == at("11:05")


async def test_a_row_counts_in_both_of_two_periods_that_overlap(store: DuckDBStore) -> None:
    wide = Window("2026-01-06T12:00:00Z", "2026-01-06T12:30:30Z")
    found = await cells(store, "flows", Cells(), compare=None, baseline=wide)
    assert found == {(0, None): (4, 4.0, 4.0), (1, None): (3, 3.0, 3.0)}


async def test_a_sample_is_the_same_each_time(store: DuckDBStore) -> None:
    many = events("time kind event_id", *((f"12:{i // 60 % 60:02}:{i % 60:02}", "flow", f"x{i}") for i in range(3000)))
    await store.append("events", many)
    first = await cells(store, "flows", Cells(sample=0.5))
    assert first == await cells(store, "flows", Cells(sample=0.5))
    assert 1200 < first[0, None][0] < 1800


def test_values_only_ever_become_parameters() -> None:
    evil = "x' OR 1=1 --"
    wanted = Cells(parts=[[Filter("agent", "is", [evil])]], beyond=1234.5)
    plan = compile(Query(metrics=["p50"], window=HOUR, compare="previous", cells=wanted), WORKSPACE, NOW)
    assert evil not in plan.sql
    assert "1234.5" not in plan.sql
    assert {evil, 1234.5} <= set(plan.params.values())


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ({"metrics": ["agents"]}, ValidationError),
        ({"metrics": ["p50"]}, ValidationError),
        ({"metrics": ["flows", "spend"]}, ValidationError),
        ({"metrics": ["flows"], "compare": None}, ValidationError),
        ({"metrics": ["flows"], "grain": "1h"}, ValidationError),
        ({"metrics": ["flows"], "baseline": HOUR}, ValidationError),
        ({"metrics": ["flows"], "cells": Cells(dims=["nothing"])}, NotFound),
    ],
)
def test_what_has_no_cells_is_refused(query: dict[str, Any], error: type[Exception]) -> None:
    asked: dict[str, Any] = {"window": HOUR, "compare": "previous", "cells": BY_AGENT} | query
    with pytest.raises(error):
        compile(Query(**asked), WORKSPACE, NOW)
