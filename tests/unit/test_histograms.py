"""Quantiles of histograms: the true one lies within the stated error, however the observations were told."""

from __future__ import annotations

import math
import random
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import duckdb
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analytics.insights import causes
from analytics.insights.confidence import sample
from analytics.query import Query, Result, Window
from analytics.store import intervals
from analytics.store.duckdb import DuckDBStore
from analytics.workspace import Metric
from tests.small import at, events, many, workspace
from tests.unit.test_spread import BOUNDS, explicit, exponential

QS = (0.0, 0.1, 0.5, 0.95, 1.0)
METRICS = [Metric(name=f"q{q}", aggregate="quantile", column="distribution", q=q, where={"kind": "usage"}) for q in QS]
WORKSPACE = workspace(*METRICS, Metric(name="sent", aggregate="count", where={"kind": "usage"}))
NOW = at("13:00")
HOUR = Window("2026-01-06T12:00:00Z", "2026-01-06T13:00:00Z")
COLUMNS = "time kind source session distribution count value event_id"
SETS = (BOUNDS, (1.0, 2.0, 4.0, 8.0, 16.0, 32.0), (10.0,), (0.5, 7.0, 300.0))
ROUNDED = 1 + 1e-9  # the ends of exponential buckets are rounded

Told = tuple[str, str, list[float]]  # minute, source, observations
told = st.lists(
    st.tuples(
        st.sampled_from(["11:30", "12:05", "12:20", "12:40"]),
        st.sampled_from(["a", "b", "c"]),
        st.lists(st.floats(0.01, 400), min_size=1, max_size=40),
    ),
    min_size=1,
    max_size=12,
)


@pytest.fixture
async def store() -> AsyncIterator[DuckDBStore]:
    opened = DuckDBStore(None, lambda: WORKSPACE, readers=1, threads=1)
    await opened.open()
    yield opened
    await opened.close()


def row(minute: str, source: str, distribution: str | None, values: list[float], *, total: bool = True) -> Any:
    known = sum(values) if total else None
    return (minute, "usage", source, None, distribution, len(values), known, f"{random.random()}")


def packed(values: list[float], chance: random.Random) -> str | None:
    """The same observations in buckets of any kind, or in none."""
    match chance.randint(0, 9):
        case 0:
            return None
        case kind if kind < 6:
            return explicit(values, chance.choice(SETS), ends=chance.random() < 0.7)
    return exponential(values, chance.randint(-1, 8), chance.choice([0.0, 0.5]))


def true_quantile(values: list[float], q: float) -> float:
    return sorted(values)[max(1, math.ceil(q * len(values) - 1e-9)) - 1]


def holds(result: Result, name: str, values: list[float], q: float) -> bool:
    """Whether a total is what is known of these observations: a value with its error, or none with its reason."""
    total = result.totals[name]
    assert total.n == len(values)
    if total.value is None:
        return total.reason is not None
    true = true_quantile(values, q)
    assert total.within is not None and total.half_width is not None and total.within <= total.half_width * ROUNDED
    low, high = total.value - total.within, total.value + total.within
    return low / ROUNDED - 1e-9 <= true <= high * ROUNDED + 1e-9


@settings(deadline=None, max_examples=many(10), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(told=told, seed=st.integers(0, 2**32))
async def test_the_true_quantile_is_within_the_stated_error(store: DuckDBStore, told: list[Told], seed: int) -> None:
    chance = random.Random(seed)
    rows = [row(minute, source, packed(values, chance), values) for minute, source, values in told]
    await store.drop("events")
    await store.append("events", events(COLUMNS, *rows))
    names = [metric.name for metric in METRICS]
    result = await store.query(Query(metrics=names, window=HOUR, compare="previous"), now=NOW)
    now = [value for minute, _, values in told for value in values if minute >= "12"]
    for name, q in zip(names, QS, strict=True):
        assert holds(result, name, now, q)
        assert result.totals[name].n_previous == sum(len(values) for minute, _, values in told if minute < "12")
    await check_groups(store, told, result, limit=chance.choice([None, 1, 2]))


async def check_groups(store: DuckDBStore, told: list[Told], whole: Result, limit: int | None) -> None:
    """Each group in each bucket is what it is when it is asked for alone, and the fold what is left."""
    asked = Query(metrics=["q0.95", "sent"], window=HOUR, group_by=["source"], compare="previous", limit=limit)
    query = msgspec.structs.replace(asked, grain="20m")
    result = await store.query(query, now=NOW)
    assert result.totals["q0.95"] == whole.totals["q0.95"]
    ranked = (await store.query(asked, now=NOW)).table["q0.95"].to_pylist()[:limit]
    known = [value for value in ranked if value is not None]
    assert known == sorted(known, reverse=True) and ranked[: len(known)] == known
    cells = {(t, s): (v, n) for t, s, v, n in zip(*(result.table[c].to_pylist() for c in ("time", "source", "q0.95",
             "q0.95__n")), strict=True)}  # fmt: skip
    assert sum(n for _, n in cells.values()) == whole.totals["q0.95"].n
    assert all(n or value is None for value, n in cells.values())
    named = [(*place, value) for place, (value, n) in cells.items() if place[1] != "other" and n]
    for time, source, value in named[:2]:
        window = Window(f"{time.isoformat()}Z", f"{(time + timedelta(minutes=20)).isoformat()}Z")
        alone = await store.query(Query(metrics=["q0.95"], window=window, group_by=["source"]), now=NOW)
        found = dict(zip(alone.table["source"].to_pylist(), alone.table["q0.95"].to_pylist(), strict=True))
        assert found[source] == value


async def ask(store: DuckDBStore, q: float, *rows: Any) -> Any:
    await store.append("events", events(COLUMNS, *rows))
    name = f"q{q}"
    return (await store.query(Query(metrics=[name], window=HOUR), now=NOW)).totals[name]


async def test_the_error_is_half_the_bucket_and_at_most_half_the_step_of_an_exponential_one(
    store: DuckDBStore,
) -> None:
    four = [12.0] * 4
    total = await ask(store, 0.5, row("12:05", "a", '{"bounds":[10,20],"counts":[0,4,0]}', four))
    assert (total.value, total.within, total.n) == (15, 5, 4)
    await store.drop("events")
    values = [random.Random(1).uniform(1, 1000) for _ in range(500)]
    total = await ask(store, 0.95, row("12:05", "a", exponential(values, 5), values))
    assert total.within <= total.value * (2**2**-5 - 1) / 2 * ROUNDED


async def test_different_bounds_and_scales_meet_in_what_both_allow(store: DuckDBStore) -> None:
    rows = [
        row("12:05", "a", '{"bounds":[10,20],"counts":[0,1,0]}', [12.0]),
        row("12:06", "b", '{"bounds":[11,16,30],"counts":[0,1,0,0]}', [12.0]),
        row("12:07", "c", exponential([12.0], 0), [12.0]),
    ]
    total = await ask(store, 0.5, *rows)
    ends = (total.value - total.within, total.value + total.within)
    assert ends == (10, 16), "the second of 8, 10, 11 and of 16, 16, 20"


async def test_a_sample_widens_what_the_bucket_leaves_open(store: DuckDBStore) -> None:
    values = [random.Random(3).lognormvariate(2, 1) for _ in range(4000)]
    total = await ask(store, 0.5, row("12:05", "a", exponential(values, 8), values))
    assert total.within < total.half_width < 1 and total.noise == total.half_width
    confidence = sample(METRICS[2], total.value, total.half_width, total.n, binned=True)
    assert confidence == pytest.approx(1 - total.half_width / total.value)


@pytest.mark.parametrize("n", [1, 7, 400, 10**6])
@pytest.mark.parametrize("q", [0.05, 0.5, 0.95])
def test_the_engine_and_the_interval_agree(q: float, n: int) -> None:
    found = duckdb.execute(f"SELECT {intervals.quantile_sql(q, str(n))}").fetchall()
    assert found[0][0] == pytest.approx(intervals.quantile(q, n))


@pytest.mark.parametrize(
    "shape",
    [
        '{"bounds":[10],"counts":[0,3]}',  # above the last bound, and no max told
        '{"quantiles":[]}',
        "not JSON",
        '{"scale":0,"zero_count":0,"positive":{"offset":9e18,"counts":[3]},"negative":{}}',
        '{"scale":1e9,"zero_count":0,"positive":{"offset":1,"counts":[3]},"negative":{}}',
        '{"bounds":["NaN"],"counts":[1,2]}',
        '{"bounds":[1,2],"counts":[0,1e300,"many"]}',
        '{"bounds":[1,2],"counts":[-5]}',
        '{"bounds":{"a":1},"counts":7,"min":"x"}',
        None,
    ],
)
async def test_no_quantile_where_none_can_be_stated(store: DuckDBStore, shape: str | None) -> None:
    total = await ask(store, 0.95, row("12:05", "a", shape, [11.0, 12.0, 13.0]))
    assert (total.value, total.n, total.half_width) == (None, 3, None)
    assert "open bucket" in total.reason


async def test_no_histogram_is_null_with_a_reason(store: DuckDBStore) -> None:
    total = await ask(store, 0.95, ("12:05", "usage", "a", None, None, None, 5.0, "x"))
    assert (total.value, total.n, total.reason) == (None, 0, "no histogram in this window")


async def test_min_max_and_a_sum_close_the_open_buckets(store: DuckDBStore) -> None:
    ends = explicit([200.0, 300.0])
    total = await ask(store, 1.0, row("12:05", "a", ends, [200.0, 300.0]))
    assert (total.value, total.within) == (250, 50)
    await store.drop("events")
    total = await ask(store, 0.5, row("12:05", "a", '{"bounds":[4],"counts":[3,0]}', [1.0, 2.0, 3.0]))
    assert (total.value, total.within) == (2, 2)  # OTLP tells a sum only where nothing is negative
    await store.drop("events")
    total = await ask(store, 0.5, row("12:05", "a", '{"bounds":[4],"counts":[3,0]}', [1.0, 2.0, 3.0], total=False))
    assert total.value is None


async def test_negative_observations_are_told_without_a_sum(store: DuckDBStore) -> None:
    values = [-8.5, -3.0, -2.5, 0.1, 6.0]
    total = await ask(store, 0.5, row("12:05", "a", exponential(values, 4), values, total=False))
    assert total.value == pytest.approx(-2.5, rel=0.03) and total.within < 0.1


def test_its_change_has_no_causes() -> None:
    assert "single values" in (causes.unexplainable(METRICS[0], WORKSPACE) or "")
