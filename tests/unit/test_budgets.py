"""Budgets: periods of the calendar, running sums against the plain truth, and what a declaration may not say."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from analytics.query import Filter, Query, Result, Window
from analytics.store.duckdb import DuckDBStore
from analytics.store.kept import GRID_US, Group, Kept, Span, State, Sums, Touched
from analytics.window import period_at
from analytics.workspace import Budget, Workspace, WorkspaceError
from analytics.workspace_reader import read
from app import WORKSPACES
from tests.small import at, events

BERLIN = ZoneInfo("Europe/Berlin")
MINE = """
budgets:
  money: {metric: spend, period: month, limit: 100, tz: Europe/Berlin}
  daily: {metric: spend, period: day, limit: 10, tz: Europe/Berlin}
  weekly: {metric: tokens, period: week, limit: 1000, tz: Asia/Kolkata, by: agent, limits: {b: 50}}
  calls: {metric: model_calls, period: day, limit: 5, where: {agent: a}}
"""
NOW = at("2026-04-02T09:17:31")
AGENTS = ("a", "b", None)


def declared(text: str) -> Workspace:
    built_in = [(path, path.read_bytes()) for path in sorted(WORKSPACES.glob("*.yaml"))]
    return read([*built_in, (Path("mine.yaml"), text.encode())])


@pytest.mark.parametrize(
    ("moment", "unit", "tz", "start", "hours"),
    [
        ("2026-03-29T12:00", "d", "Europe/Berlin", "2026-03-28T23:00", 23),
        ("2026-10-25T12:00", "d", "Europe/Berlin", "2026-10-24T22:00", 25),
        ("2026-03-15T12:00", "M", "Europe/Berlin", "2026-02-28T23:00", 31 * 24 - 1),
        ("2026-10-31T22:59", "M", "Europe/Berlin", "2026-09-30T22:00", 31 * 24 + 1),
        ("2026-02-14T00:00", "M", "UTC", "2026-02-01T00:00", 28 * 24),
        ("2024-02-29T23:59", "M", "UTC", "2024-02-01T00:00", 29 * 24),
        ("2026-01-06T18:29", "d", "Asia/Kolkata", "2026-01-05T18:30", 24),
        ("2026-01-06T12:00", "w", "UTC", "2026-01-05T00:00", 7 * 24),
    ],
)
def test_a_period_follows_the_calendar_of_its_zone(moment: str, unit: str, tz: str, start: str, hours: int) -> None:
    period = period_at(at(moment), unit, tz)
    assert (period.start, period.length) == (at(start), timedelta(hours=hours))


def test_the_end_of_a_period_still_belongs_to_it() -> None:
    budget = Budget(name="b", metric="spend", period="month", limit=1.0)
    assert budget.period_of(at("2026-02-01T00:00")).start == at("2026-01-01T00:00")
    assert budget.period_of(at("2026-02-01T00:00:01")).start == at("2026-02-01T00:00")


def start_of(moment: datetime, period: str, zone: ZoneInfo) -> datetime:
    """As a wall calendar has it."""
    local = (moment - timedelta(microseconds=1)).astimezone(zone)
    day = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    day = {"day": day, "week": day - timedelta(days=day.weekday()), "month": day.replace(day=1)}[period]
    return day.astimezone(UTC)


def brute(
    calls: list[dict[str, Any]], moment: datetime, period: str, zone: ZoneInfo, what: str, agent: Any = ...
) -> float:
    since = start_of(moment, period, zone)
    kept = [c for c in calls if since <= c["time"] < moment and agent in (..., c["agent"])]
    return sum(c[what] for c in kept)


def told(call: dict[str, Any], way: str, number: int) -> tuple[Any, ...]:
    return (call["time"].replace(tzinfo=None), call["time"].replace(tzinfo=None), f"{way}-{number}", "model",
            call["agent"], call["cost"], call["tokens"], f"call-{number}", way)  # fmt: skip


HEAD = "time received event_id kind agent cost_usd tokens_input call_id way"


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.soak)])
async def test_running_sums_are_the_plain_sums_in_any_order_of_arrival(seed: int) -> None:
    """Batches of calls over five weeks and a clock change; some late, some told again by a better way."""
    chance = random.Random(seed)
    workspace = declared(MINE)
    store = DuckDBStore(None, lambda: workspace)
    await store.open()
    calls: list[dict[str, Any]] = []
    try:
        for _ in range(6):
            late = timedelta(days=35 if chance.random() < 0.6 else 0.02)
            fresh = [
                {"time": NOW - late * chance.random(), "agent": chance.choice(AGENTS), "cost": chance.randint(1, 9),
                 "tokens": chance.randint(1, 9)} for _ in range(15)
            ]  # fmt: skip
            rows = [told(call, "log", len(calls) + k) for k, call in enumerate(fresh)]
            calls += fresh
            again = chance.sample([c for c in calls if "again" not in c], 5)
            for call in again:  # a span says it better: the log becomes evidence
                call |= {"again": True, "cost": call["cost"] + 1}
                rows.append(told(call, "span", calls.index(call)))
            await store.append("events", events(HEAD, *rows))
            await agree(store, calls, chance)
    finally:
        await store.close()


async def agree(store: DuckDBStore, calls: list[dict[str, Any]], chance: random.Random) -> None:
    """Ask at some moments, as numbers, series and groups; each must be what counting says."""
    end = NOW - chance.choice([timedelta(), timedelta(days=3, hours=2), timedelta(days=1, minutes=7)])
    window = Window((end - timedelta(hours=30)).isoformat(), end.isoformat(), "Europe/Berlin")
    names = ["money_spent", "daily_spent", "calls_spent"]
    ask = Query(metrics=names, window=window)
    found = await store.query(ask, now=NOW)
    counted = [c | {"one": 1} for c in calls]
    expected = {
        "money_spent": brute(counted, end, "month", BERLIN, "cost"),
        "daily_spent": brute(counted, end, "day", BERLIN, "cost"),
        "calls_spent": brute(counted, end, "day", ZoneInfo("UTC"), "one", "a"),
    }
    assert {name: found.totals[name].value for name in names} == expected
    grain = chance.choice(["1h", "6h", "1d", "15m"])
    series = await store.query(Query(metrics=names, window=window, grain=grain, compare="previous"), now=NOW)
    starts = [t.replace(tzinfo=UTC) for t in series.table["time"].to_pylist()]
    ends = [*starts[1:], end]
    assert series.table["daily_spent"].to_pylist() == [brute(counted, t, "day", BERLIN, "cost") for t in ends]
    assert series.totals["money_spent"].value == expected["money_spent"]
    by = await store.query(
        Query(metrics=["weekly_spent", "weekly_remaining"], window=window, group_by=["agent"]), now=NOW
    )
    assert groups(by) == {
        agent: (spent, limit and limit - spent)
        for agent, limit in (("a", 1000.0), ("b", 50.0), (None, None))
        if (spent := brute(counted, end, "week", ZoneInfo("Asia/Kolkata"), "tokens", agent)) or agent in groups(by)
    }


def groups(result: Result) -> dict[str | None, tuple[float, float | None]]:
    columns = [result.table[name].to_pylist() for name in ("agent", "weekly_spent", "weekly_remaining")]
    return {agent: (spent, remaining) for agent, spent, remaining in zip(*columns, strict=True)}


async def test_groups_beyond_a_limit_fold_and_a_filter_leaves_nothing_to_compare_with() -> None:
    workspace = declared(MINE)
    store = DuckDBStore(None, lambda: workspace)
    await store.open()
    calls = [{"time": NOW - timedelta(hours=1), "agent": a, "cost": 1, "tokens": n} for n, a in enumerate("abcd", 1)]
    await store.append("events", events(HEAD, *(told(call, "span", k) for k, call in enumerate(calls))))
    asked = Query(metrics=["weekly_spent", "weekly_remaining", "weekly_pace"], group_by=["agent"], limit=2)
    by = await store.query(asked, now=NOW)
    assert by.table["agent"].to_pylist() == ["d", "c", "other"]
    assert by.table["weekly_spent"].to_pylist() == [4, 3, 3]
    assert by.table["weekly_remaining"].to_pylist() == [996, 997, None]
    one = Query(metrics=["weekly_remaining", "money_remaining"], filters=[Filter(dim="agent", values=["b"])])
    assert {n: t.value for n, t in (await store.query(one, now=NOW)).totals.items()} == {
        "weekly_remaining": 48.0,
        "money_remaining": None,
    }
    await store.drop("events")
    assert (await store.query(Query(metrics=["money_spent"]), now=NOW)).totals["money_spent"].value == 0
    await store.close()


def test_only_what_was_touched_is_read_again() -> None:
    kept, touched, hour = Kept(), Touched(), 60 * GRID_US
    asked: list[Span] = []

    def fetch(spans: Any) -> list[dict[Group, Sums]]:
        asked.extend(spans)
        return [{(): (1.0,)} for _ in spans]

    edges = [k * hour for k in range(5)]
    for seq in (1, 1):
        kept.sums("key", edges, State(0, seq), touched, fetch)
    assert len(asked) == 4
    late = events("time", ("1970-01-01T02:30",))
    touched.add(2, late, None)
    kept.sums("key", edges, State(0, 2), touched, fetch)
    assert asked[4:] == [(2 * hour, 3 * hour)]
    touched.clear()
    kept.sums("key", edges, State(touched.era, 2), touched, fetch)
    assert len(asked) == 9


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{metric: spent, period: day, limit: 1}", "no metric 'spent'"),
        ("{metric: duration_p95, period: day, limit: 1}", "expected one that counts or adds up"),
        ("{metric: spend, period: year, limit: 1}", "`period`: expected one of day, week, month, got the text 'year'"),
        ("{metric: spend, period: day, limit: 0}", "`limit`: expected more than 0"),
        ("{metric: spend, period: day}", "`limit` is missing"),
        ("{metric: spend, period: day, limit: 1, tz: Berlin}", "`tz`: no time zone 'Berlin'"),
        ("{metric: spend, period: day, limit: 1, by: agnet}", "did you mean 'agent'?"),
        ("{metric: spend, period: day, limit: 1, by: duration_bin}", "expected a dimension whose values are text"),
        ("{metric: spend, period: day, limit: 1, limits: {a: 2}}", "say which in `by`"),
        ("{metric: spend, period: day, limit: 1, by: agent, limits: {a: no}}", "`limits`: `a`: expected a number"),
        ("{metric: tokens, period: day, limit: 1, where: {kind: flow}}", "has `kind` in its own `where`"),
        ("{metric: spend, period: day, limit: 1, warn: 3}", "`warn`: expected a number from 0 to 1"),
    ],
)
def test_a_mistake_is_told_with_its_file_and_line(text: str, told: str) -> None:
    with pytest.raises(WorkspaceError) as caught:
        declared(f"budgets:\n  mine: {text}\n")
    assert told in str(caught.value)
    assert str(caught.value).startswith("mine.yaml:2: budget 'mine'")


def test_a_budget_takes_no_name_of_another_metric() -> None:
    taken = "metrics:\n  b_spent: {count: {}}\nbudgets:\n  b: {metric: spend, period: day, limit: 1}\n"
    with pytest.raises(WorkspaceError, match="that name is taken"):
        declared(taken)
