"""Questions over tables small enough to answer by hand."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analytics.errors import NotFound, TooLarge, ValidationError
from analytics.query import Filter, Mark, Query, Result, Window
from analytics.store import intervals
from analytics.store.dialect import DuckDB
from analytics.store.duckdb import DuckDBStore
from analytics.store.sql import compile
from analytics.workspace import Dimension, Metric
from tests.small import at, events, many, workspace

NOW = at("13:00")
HOUR = Window("2026-01-06T12:00:00Z", "2026-01-06T13:00:00Z")

WORKSPACE = workspace(
    Metric(name="flows", aggregate="count", where={"kind": "flow"}),
    Metric(name="flow_rate", aggregate="count", where={"kind": "flow"}, per="minute"),
    Metric(name="errors", aggregate="count", where={"kind": "flow", "status": "error"}),
    Metric(name="error_rate", aggregate="ratio", numerator="errors", denominator="flows"),
    Metric(name="p50", aggregate="quantile", column="duration_ms", q=0.5),
    Metric(name="p90", aggregate="quantile", column="duration_ms", q=0.9),
    Metric(name="tokens", aggregate="sum", columns=("tokens_input", "tokens_output")),
    Metric(name="spend", aggregate="sum", column="cost_usd", per="hour"),
    Metric(name="cost_per_flow", aggregate="ratio", numerator="spend", denominator="flows"),
    Metric(name="mean", aggregate="avg", column="duration_ms"),
    Metric(name="fastest", aggregate="min", column="duration_ms"),
    Metric(name="slowest", aggregate="max", column="duration_ms"),
    Metric(name="reading", aggregate="last", column="value"),
    Metric(name="agents", aggregate="distinct", column="agent"),
    Metric(name="ended", aggregate="count", where={"status": ["ok", "error"]}),
    Metric(name="rows", aggregate="count"),
    Metric(name="orders", aggregate="count", dataset="shop"),
    Metric(name="size", aggregate="sum", column="body_size"),
    dimensions=(
        Dimension(name="agent", column="agent"),
        Dimension(name="duration_bin", column="duration_ms", log=1),
        Dimension(name="route", attribute="http.route/~v1"),
        Dimension(name="body_size", attribute="size"),
    ),
)

SIX = events(
    "time kind agent status duration_ms tokens_input tokens_output cost_usd value",
    ("11:10", "flow", "planner", "ok", 500.0, 10, 1, 1.00, 0.5),
    ("12:05", "flow", "planner", "ok", 100.0, 20, None, 0.25, 0.1),
    ("12:06", "flow", "planner", "error", 200.0, None, None, None, 0.7),
    ("12:30", "flow", "writer", "ok", 300.0, 30, 5, 0.50, 0.3),
    ("12:30", "tool", "writer", "error", 40.0, None, None, None, None),
    ("12:59", "flow", None, "ok", 400.0, None, 7, 0.25, 0.2),
)


@pytest.fixture
async def store() -> AsyncIterator[DuckDBStore]:
    opened = DuckDBStore(None, lambda: WORKSPACE, readers=1, threads=1)
    await opened.open()
    yield opened
    await opened.close()


async def ask(store: DuckDBStore, table: pa.Table = SIX, *, now: datetime = NOW, **query: Any) -> Result:
    await store.append("events", table)
    return await store.query(Query(**({"window": HOUR} | query)), now=now)


def column(result: Result, name: str) -> list[Any]:
    values: list[Any] = result.table[name].to_pylist()
    return values


ANSWERS: dict[str, Any] = {
    "flows": 4,
    "errors": 1,
    "ended": 5,
    "rows": 5,
    "flow_rate": 4 / 60,
    "error_rate": 0.25,
    "p50": 200.0,
    "p90": 360.0,
    "tokens": 62.0,
    "spend": 1.0,
    "cost_per_flow": 0.25,
    "mean": 208.0,
    "fastest": 40.0,
    "slowest": 400.0,
    "reading": 0.2,
    "agents": 2,
}


async def test_every_kind_of_metric_over_the_hour(store: DuckDBStore) -> None:
    result = await ask(store, metrics=list(ANSWERS))
    assert {name: total.value for name, total in result.totals.items()} == pytest.approx(ANSWERS)
    assert {name: column(result, name)[0] for name in ANSWERS} == pytest.approx(ANSWERS)
    assert (result.totals["tokens"].n, column(result, "tokens__n")) == (3, [3])


async def test_nothing_counted_is_zero_and_nothing_measured_is_null(store: DuckDBStore) -> None:
    result = await ask(store, metrics=list(ANSWERS), filters=[Filter("agent", "is", ["nobody"])])
    values = {name: total.value for name, total in result.totals.items()}
    assert {name for name, value in values.items() if value == 0} == {
        *("flows", "errors", "ended", "rows", "flow_rate", "agents")
    }
    assert {value for value in values.values() if value != 0} == {None}


async def test_every_bucket_appears_and_a_partial_one_is_divided_by_what_has_elapsed(store: DuckDBStore) -> None:
    result = await ask(
        store, metrics=["flow_rate", "p50", "flows"], grain="10m", window=Window("now-30m"), now=at("12:35")
    )
    assert column(result, "time") == [at(t).replace(tzinfo=None) for t in ("12:00", "12:10", "12:20", "12:30")]
    assert column(result, "flow_rate") == [0.4, 0.0, 0.0, 0.2]  # 2 in 5 covered minutes, ..., 1 in 5
    assert column(result, "p50") == [150.0, None, None, 170.0]
    assert column(result, "flows__n") == [2, 0, 0, 1]
    assert (result.partial_first, result.partial_last, result.grain_s) == (True, True, 600)


async def test_what_has_not_happened_yet_is_unknown(store: DuckDBStore) -> None:
    early = SIX.slice(0, 1)
    result = await ask(store, early, metrics=["flows"], grain="12h", window=Window("now/d", "now/d"), now=at("11:30"))
    assert column(result, "flows") == [1, None]


async def test_compare_puts_the_previous_hour_beside_this_one(store: DuckDBStore) -> None:
    result = await ask(store, metrics=["flows", "p50"], grain="30m", compare="previous")
    assert result.table.column_names == [
        *("time", "flows", "flows_previous", "p50", "p50_previous"),
        *("flows__n", "flows__n_previous", "p50__n", "p50__n_previous"),
    ]
    assert (column(result, "flows"), column(result, "flows_previous")) == ([2, 2], [1, 0])
    assert (column(result, "p50"), column(result, "p50_previous")) == ([150.0, 300.0], [500.0, None])
    total = result.totals["flows"]
    assert (total.value, total.previous, total.n_previous) == (4, 1, 1)


async def test_today_so_far_is_compared_to_the_same_part_of_yesterday(store: DuckDBStore) -> None:
    table = events("time kind", ("2026-01-05T11:00", "flow"), ("2026-01-05T14:00", "flow"), ("12:00", "flow"))
    for window in (Window("now/d", "now"), Window("now/d", "now/d")):
        result = await ask(store, table, metrics=["flows"], window=window, compare="previous")
        assert (result.totals["flows"].value, result.totals["flows"].previous) == (1, 1)


async def test_groups_are_sorted_biggest_first_and_none_is_a_group(store: DuckDBStore) -> None:
    result = await ask(store, metrics=["flows", "error_rate"], group_by=["agent"])
    assert column(result, "agent") == ["planner", "writer", None]
    assert column(result, "flows") == [2, 1, 1]
    assert column(result, "error_rate") == [0.5, 0.0, 0.0]


async def test_a_group_that_was_only_there_before_is_still_shown(store: DuckDBStore) -> None:
    table = events("time kind agent", ("11:30", "flow", "gone"), ("12:30", "flow", "here"))
    result = await ask(store, table, metrics=["flows"], group_by=["agent"], compare="previous")
    assert list(
        zip(column(result, "agent"), column(result, "flows"), column(result, "flows_previous"), strict=True)
    ) == [
        ("here", 1, 0),
        ("gone", 0, 1),
    ]


async def test_a_limit_folds_the_rest_from_its_rows_not_from_its_numbers(store: DuckDBStore) -> None:
    table = events(
        "time agent duration_ms",
        ("12:00", "slow", 900.0),
        ("12:01", "other", 100.0),
        ("12:02", "other", 101.0),
        ("12:03", "b", 1.0),
        ("12:04", "b", 9.0),
        ("12:05", "c", 5.0),
    )
    result = await ask(store, table, metrics=["p50"], group_by=["agent"], limit=2)
    assert (column(result, "agent"), column(result, "p50")) == (["slow", "other", "other"], [900.0, 100.5, 5.0])
    assert result.other  # the last one is the fold; the second is somebody called "other"
    whole = await ask(store, table, metrics=["p50"], group_by=["agent"], limit=4)
    assert not whole.other and whole.table.num_rows == 4


async def test_the_fold_is_last_in_every_bucket(store: DuckDBStore) -> None:
    table = events("time agent", ("12:00", "a"), ("12:01", "a"), ("12:40", "b"), ("12:41", "c"), ("12:42", None))
    result = await ask(store, table, metrics=["rows"], group_by=["agent"], limit=1, grain="30m")
    assert column(result, "agent") == ["a", "other", "a", "other"]
    assert column(result, "rows") == [2, 0, 0, 3]


async def test_two_dimensions_and_log_bins(store: DuckDBStore) -> None:
    result = await ask(store, metrics=["rows"], group_by=["duration_bin", "kind"])
    assert list(zip(*(column(result, n) for n in ("duration_bin", "kind", "rows")), strict=True)) == [
        (100.0, "flow", 4),
        (10.0, "tool", 1),
    ]
    one = await ask(store, metrics=["rows"], filters=[Filter("duration_bin", "is", [100])])
    assert one.totals["rows"].value == 4


async def test_attributes_are_dimensions_and_measures_whatever_their_key(store: DuckDBStore) -> None:
    table = events(
        "time attributes",
        ("12:00", json.dumps({"http.route/~v1": "/a", "size": 10})),
        ("12:01", json.dumps({"http.route/~v1": "/a", "size": 5.5})),
        ("12:02", json.dumps({"http.route/~v1": "'; DROP TABLE events; --", "size": "n/a"})),
        ("12:03", "not JSON"),
        ("12:04", None),
    )
    result = await ask(store, table, metrics=["rows", "size"], group_by=["route"])
    assert column(result, "route") == [None, "/a", "'; DROP TABLE events; --"] or column(result, "rows") == [2, 2, 1]
    assert result.totals["size"].value == 15.5
    found = await ask(store, table, metrics=["rows"], filters=[Filter("route", "is", ["'; DROP TABLE events; --"])])
    assert found.totals["rows"].value == 1
    assert (await ask(store, table, metrics=["rows"], filters=[Filter("body_size", "is", [10])])).totals[
        "rows"
    ].value == 1


@pytest.mark.parametrize(
    ("op", "values", "kept"),
    [
        ("is", ["100% a_b"], ["100% a_b"]),
        ("is", [None], [None]),
        ("is_not", ["100% a_b"], ["1000 axb", "Ärger", None]),
        ("is_not", [None], ["100% a_b", "1000 axb", "Ärger"]),
        ("in", ["Ärger", None], ["Ärger", None]),
        ("not_in", ["Ärger"], ["100% a_b", "1000 axb", None]),
        ("not_in", ["Ärger", None], ["100% a_b", "1000 axb"]),
        ("contains", ["0% A_"], ["100% a_b"]),
        ("contains", ["ärg"], ["Ärger"]),
        ("contains", ["%"], ["100% a_b"]),
    ],
)
async def test_filters(store: DuckDBStore, op: Any, values: list[Any], kept: list[Any]) -> None:
    table = events("time user", ("12:00", "100% a_b"), ("12:01", "1000 axb"), ("12:02", "Ärger"), ("12:03", None))
    result = await ask(store, table, metrics=["rows"], group_by=["user"], filters=[Filter("user", op, values)])
    assert sorted(map(str, column(result, "user"))) == sorted(map(str, kept))


async def test_as_of_leaves_out_what_arrived_later(store: DuckDBStore) -> None:
    table = events("time received", ("12:00", at("12:01")), ("12:00", at("12:30")))
    result = await ask(store, table, metrics=["rows"], as_of=at("12:10"))
    assert result.totals["rows"].value == 1


async def test_raw_rows_newest_first(store: DuckDBStore) -> None:
    result = await ask(store, select=["agent", "duration_ms"], filters=[Filter("kind", "is", ["flow"])], limit=2)
    assert result.table.to_pylist() == [
        {"agent": None, "duration_ms": 400.0},
        {"agent": "writer", "duration_ms": 300.0},
    ]


async def test_months_and_days_with_a_clock_change(store: DuckDBStore) -> None:
    """Berlin, 29 March 2026 has 23 hours: 21:59Z is still the 29th, 22:00Z is the 30th."""
    table = events(
        "time kind",
        ("2026-02-28T22:59", "flow"),
        ("2026-03-28T22:59", "flow"),
        ("2026-03-28T23:00", "flow"),
        ("2026-03-29T21:59", "flow"),
        ("2026-03-29T22:00", "flow"),
    )
    now = datetime(2026, 3, 30, 12, tzinfo=UTC)
    days = await ask(
        store, table, metrics=["flows"], grain="1d", window=Window("now-2d/d", "now", "Europe/Berlin"), now=now
    )
    assert column(days, "flows") == [1, 2, 1]
    months = await ask(
        store,
        table,
        metrics=["flows"],
        grain="1M",
        window=Window("now-1M/M", "now", "Europe/Berlin"),
        now=now,
        compare="previous",
    )
    assert (column(months, "flows"), column(months, "flows_previous")) == ([1, 4], [0, 0])


async def test_intervals(store: DuckDBStore) -> None:
    result = await ask(store, metrics=["flows", "flow_rate", "tokens", "mean", "error_rate", "p50", "reading"])
    half = {name: total.half_width for name, total in result.totals.items()}
    assert half.pop("reading") is None
    assert half == pytest.approx(
        {
            "flows": 1.96 * (4 + 0.96) ** 0.5,
            "flow_rate": 1.96 * (4 + 0.96) ** 0.5 / 60,
            "tokens": intervals.total(62, 20**2 + 35**2 + 7**2, 35),
            "mean": intervals.mean(5, 208, 100**2 + 200**2 + 300**2 + 40**2 + 400**2, 400),
            "error_rate": 1.96 * (0.3725 * 0.6275 / 7.84) ** 0.5,  # as if 1.92 of 3.84 more had failed
            "p50": 1.96 * (0.25 / 7) ** 0.5,
        },
        rel=1e-3,
    )


@pytest.mark.parametrize(
    ("query", "error", "message"),
    [
        ({"metrics": ["flowz"]}, NotFound, "no metric 'flowz'; did you mean 'flows'?"),
        ({"metrics": ["flows"], "group_by": ["agnt"]}, NotFound, "did you mean 'agent'?"),
        ({"metrics": ["flows"], "filters": [Filter("x;--", "is", ["1"])]}, NotFound, "no dimension 'x;--'"),
        ({"metrics": ["flows", "orders"]}, ValidationError, r"one dataset, got flows \(events\), orders \(shop\)"),
        ({"metrics": ["flows", "flows"]}, ValidationError, "'flows' appears twice"),
        ({"metrics": ["flows"], "group_by": ["agent", "kind", "user", "model"]}, ValidationError, "at most 3, got 4"),
        ({"metrics": ["flows"], "group_by": ["time"]}, ValidationError, "is a time"),
        ({"metrics": ["flows"], "limit": 0}, ValidationError, "expected 1 to 10,000, got 0"),
        ({"metrics": ["flows"], "filters": [Filter("agent", "in", [])]}, ValidationError, "at least one value"),
        ({"metrics": ["flows"], "filters": [Filter("duration_ms", "is", ["x"])]}, ValidationError, "expected a number"),
        ({"metrics": ["flows"], "filters": [Filter("agent", "is", ["\ud800"])]}, ValidationError, "not valid Unicode"),
        ({"metrics": []}, ValidationError, "one of metrics, select or values, got none"),
        ({"select": ["password"]}, NotFound, "no column 'password'"),
        ({"select": ["time"], "dataset": "nope"}, NotFound, "no dataset 'nope'"),
    ],
)
def test_a_wrong_question_is_refused_with_the_nearest_right_one(
    query: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        compile(Query(**query), WORKSPACE, NOW)


def test_values_never_reach_the_text() -> None:
    evil = "x' OR 1=1 --"
    plan = compile(
        Query(
            metrics=["flows", "p50"], filters=[Filter("agent", "contains", [evil]), Filter("route", "in", [evil, 7])]
        ),
        WORKSPACE,
        NOW,
        DuckDB(),
    )
    assert evil not in plan.sql and "http.route" not in plan.sql
    assert evil in plan.params.values() and "/http.route~1~0v1" in plan.params.values()


async def test_too_many_groups_are_refused_with_the_way_out(store: DuckDBStore) -> None:
    table = events("time user", *(("12:00", f"u{n}") for n in range(10_001)))
    with pytest.raises(TooLarge, match="10,001") as refusal:
        await ask(store, table, metrics=["rows"], group_by=["user"])
    assert "limit" in str(refusal.value.hint)
    limited = await ask(store, table, metrics=["rows"], group_by=["user"], limit=3)
    assert column(limited, "rows") == [1, 1, 1, 9_998]


ROWS = st.lists(
    st.tuples(
        st.integers(0, 119).map(lambda m: f"{11 + m // 60}:{m % 60:02d}"),
        st.sampled_from(["flow", "tool"]),
        st.sampled_from([None, "a", "b", "other", "c"]),
        st.sampled_from(["ok", "error"]),
        st.none() | st.floats(0, 1e6),
    ),
    max_size=30,
)


@settings(max_examples=many(20), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS, limit=st.none() | st.integers(1, 4), grain=st.sampled_from([None, "5m", "1h"]))
async def test_groups_and_the_fold_add_up_to_the_whole(rows: list[Any], limit: int | None, grain: str | None) -> None:
    store = DuckDBStore(None, lambda: WORKSPACE, readers=1, threads=1)
    await store.open()
    try:
        table = events("time kind agent status duration_ms", *rows)
        result = await ask(
            store,
            table,
            metrics=["flows", "errors", "rows"],
            group_by=["agent"],
            limit=limit,
            grain=grain,
            compare="previous",
        )
        for name in ("flows", "errors", "rows"):
            assert sum(column(result, name)) == result.totals[name].value
            assert sum(column(result, f"{name}_previous")) == result.totals[name].previous
        assert result.totals["rows"].value == sum(row[0] >= "12" for row in rows)
    finally:
        await store.close()


# the same time then, values, pages


async def test_a_metric_beside_itself_of_yesterday_and_last_week(store: DuckDBStore) -> None:
    then = events("time kind", ("2026-01-05 12:30", "flow"), ("2026-01-05 13:00", "flow"), ("2025-12-30 12:10", "flow"),
                  ("2026-01-02 12:30", "flow"))  # fmt: skip
    then = then.set_column(2, "event_id", pa.array([f"then{i}" for i in range(4)]))
    await store.append("events", then)
    result = await ask(store, metrics=["flows"], grain="30m", compare="day")
    assert (column(result, "flows"), column(result, "flows_previous")) == ([2, 2], [0, 1])
    result = await store.query(Query(metrics=["flows", "p50"], window=HOUR, compare="week"), now=NOW)
    assert (result.totals["flows"].value, result.totals["flows"].previous) == (4, 1)


async def test_periods_that_overlap_count_a_row_in_both(store: DuckDBStore) -> None:
    rows = events("time kind duration_ms", ("2026-01-04 12:30", "flow", 1.0), ("2026-01-05 12:30", "flow", 3.0))
    window = Window("2026-01-05T00:00:00Z", "2026-01-07T00:00:00Z")
    for grain in (None, "1d"):
        result = await ask(store, rows, metrics=["flows", "p50"], window=window, compare="day", grain=grain)
        assert (result.totals["flows"].value, result.totals["flows"].previous) == (1, 2)
        assert (result.totals["p50"].value, result.totals["p50"].previous) == (3.0, 2.0)


async def test_values_of_a_dimension(store: DuckDBStore) -> None:
    result = await ask(store, values="agent", dataset="events", limit=2)
    assert result.table.to_pydict() == {
        "value": ["planner", "writer"],
        "n": [2, 2],
        "last": [at("12:06").replace(tzinfo=None), at("12:30").replace(tzinfo=None)],
        "distinct": [3, 3],
        "rows": [5, 5],
    }
    result = await store.query(Query(values="duration_bin", window=HOUR), now=NOW)
    assert column(result, "value") == [100.0, 10.0]
    result = await store.query(Query(values="agent", search="%", window=HOUR), now=NOW)
    assert result.table.num_rows == 0


async def test_rows_after_a_mark(store: DuckDBStore) -> None:
    first = await ask(store, select=["event_id", "time"], limit=2)
    assert column(first, "event_id") == ["e5", "e3"]
    at_us = int(column(first, "time")[-1].replace(tzinfo=UTC).timestamp() * 1e6)
    second = await store.query(Query(select=["event_id"], window=HOUR, after=Mark(at_us, "e3")), now=NOW)
    assert column(second, "event_id") == ["e4", "e2", "e1"]


METRICS = [
    "flows",
    "flow_rate",
    "tokens",
    "mean",
    "fastest",
    "slowest",
    "reading",
    "agents",
    "p50",
    "p90",
    "cost_per_flow",
]


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=st.sampled_from(METRICS), limit=st.sampled_from([None, 1, 2]), grain=st.sampled_from([None, "30m"]))
async def test_every_metric_alone_says_what_it_says_among_others(
    store: DuckDBStore, first: str, limit: int | None, grain: str | None
) -> None:
    """What adds up comes out of cells and what does not out of rows: together they are the same numbers."""
    await store.append("events", SIX)
    asked = Query(window=HOUR, group_by=["agent"], limit=limit, grain=grain, compare="previous")
    every = await store.query(
        msgspec.structs.replace(asked, metrics=[first, *(m for m in METRICS if m != first)]), now=NOW
    )
    alone = await store.query(msgspec.structs.replace(asked, metrics=[first]), now=NOW)

    def said(result: Result) -> dict[Any, Any]:
        columns = [column(result, c) for c in ("agent", *(["time"] if grain else []), first, f"{first}_previous")]
        return {row[:-2]: row[-2:] for row in zip(*columns, strict=True)}

    assert said(every) | said(alone) == said(every)
    assert every.totals[first] == alone.totals[first]
