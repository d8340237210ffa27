"""The demo fleet: always the same however it is sliced, and true to its incidents."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from analytics.world import World
from analytics.world.fleet import AGENTS, FLOWS, SOURCES, TOOLS

LIVE = datetime(2026, 1, 6, 15, tzinfo=UTC)
HOUR, MINUTE, SECOND = timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1)
KINDS = {"slow_tool", "error_burst", "exporter_delayed", "exporter_lost", "cost_runaway"}

Row = dict[str, Any]


def flat(batches: Iterator[list[Row]]) -> list[Row]:
    return [event for batch in batches for event in batch]


def within(rows: list[Row], start: datetime, end: datetime) -> list[Row]:
    """Rows by event time; the texts sort as the times do."""
    first, last = (f"{at:%Y-%m-%dT%H:%M:%S.%f}Z" for at in (start, end))
    return [row for row in rows if first <= row["time"] < last]


def matching(rows: list[Row], **where: str) -> list[Row]:
    return [row for row in rows if all(row.get(key) == value for key, value in where.items())]


def p95(rows: list[Row]) -> float:
    return statistics.quantiles((row["duration_ms"] for row in matching(rows, kind="flow")), n=20)[-1]


@pytest.fixture(scope="module", params=[7, 11])
def world(request: pytest.FixtureRequest) -> World:
    return World(request.param, LIVE)


@pytest.fixture(scope="module")
def history(world: World) -> list[Row]:
    return flat(world.events(world.start, world.live))


# --- the stream


def test_it_is_a_pure_function_of_seed_and_live() -> None:
    span = (LIVE - 3 * MINUTE, LIVE + MINUTE)
    assert flat(World(7, LIVE).events(*span)) == flat(World(7, LIVE).events(*span))
    assert flat(World(7, LIVE).events(*span)) != flat(World(8, LIVE).events(*span))


def test_slices_fit_together_wherever_they_are_cut() -> None:
    world = World(7, LIVE)
    held = next(i for i in world.incidents(world.start, LIVE) if i.kind == "exporter_delayed")
    start, end = held.end - 2 * MINUTE, held.end + MINUTE
    whole = flat(world.events(start, end))
    cuts = [
        start,
        start + timedelta(microseconds=123_457),
        held.end - SECOND / 3,
        held.end,
        held.end + 7.5 * SECOND,
        end,
    ]
    pieces = [flat(world.events(a, b)) for a, b in pairwise(cuts)]
    assert [event for piece in pieces for event in piece] == whole
    assert flat(world.events(end, end)) == []


def test_an_endless_stream_gives_one_list_per_second() -> None:
    world = World(7, LIVE)
    stream = world.events(LIVE)
    ten = [next(stream) for _ in range(10)]
    assert [event for batch in ten for event in batch] == flat(world.events(LIVE, LIVE + 10 * SECOND))
    for number, batch in enumerate(ten):
        assert batch == sorted(batch, key=lambda row: row["time"])
        assert within(batch, LIVE + number * SECOND, LIVE + (number + 1) * SECOND) == batch


def test_volume_and_money_are_as_intended(world: World, history: list[Row]) -> None:
    calm = within(history, LIVE - 60 * MINUTE, LIVE - 46 * MINUTE)
    flows = matching(calm, kind="flow")
    assert 52 < len(flows) / 14 < 72
    assert 7 < len(calm) / len(flows) < 9
    assert 700 < statistics.median(row["duration_ms"] for row in flows) < 1200
    assert 2000 < p95(calm) < 3100
    assert 0.975 < len(matching(flows, status="ok")) / len(flows) <= 1
    assert 25 < sum(row.get("cost_usd", 0) for row in calm) / 14 * 60 < 45
    assert {row["agent"] for row in history if "agent" in row} == {agent.name for agent in AGENTS}
    assert {row["source"] for row in history} == set(SOURCES)


def test_volume_is_a_setting() -> None:
    rows = flat(World(7, LIVE, flows_per_min=600).events(LIVE - 90 * MINUTE, LIVE - 88 * MINUTE))
    assert 480 < len(matching(rows, kind="flow")) / 2 < 720


def test_generating_two_hours_costs_little(world: World) -> None:
    began = time.process_time()
    count = sum(len(batch) for batch in world.events(world.start, world.live))
    assert count > 50_000
    assert time.process_time() - began < 4  # about 1 s on an idle core


# --- each flow


def test_events_nest(world: World, history: list[Row]) -> None:
    by_id = {row["event_id"]: row for row in history}
    assert len(by_id) == len(history)
    lost = [i for i in world.incidents(world.start, LIVE) if i.kind == "exporter_lost"]
    for row in matching(history, kind="flow"):
        assert "parent_id" not in row
    for row in history:
        if row["kind"] in ("flow", "resource", "event"):
            continue
        parent = by_id.get(row["parent_id"])
        if parent is None:  # ended after the window, or was lost with its exporter
            around = within([row], LIVE - MINUTE, LIVE)
            assert around or any(row["source"] == i.where["source"] for i in lost)
            continue
        assert parent["kind"] == {"tool": "agent", "model": "agent"}.get(row["kind"], parent["kind"])
        assert parent["kind"] in ("flow", "agent")
        assert parent["start_time"] <= row["start_time"] <= row["time"] <= parent["time"]
        assert all(parent[key] == row[key] for key in ("flow_id", "source", "domain", "user"))


def test_a_change_that_starts_an_incident_is_marked(world: World, history: list[Row]) -> None:
    marks = [row for row in history if row.get("resource") == "annotation"]
    changes = [i for i in world.incidents(world.start, LIVE) if i.change and i.start >= world.start]
    assert [mark["name"] for mark in marks] == [i.change for i in changes] != []


def test_numbers_are_never_negative_and_kinds_carry_their_own(history: list[Row]) -> None:
    for row in history:
        assert all(v >= 0 for v in row.values() if isinstance(v, int | float))
        assert ("cost_usd" in row) == ("tokens_input" in row) == (row["kind"] == "model")
        assert (row.get("status") == "error") == ("error_type" in row)
    assert all(row["tokens_cached"] <= row["tokens_input"] for row in matching(history, kind="model"))


def test_the_tables_name_each_other_rightly() -> None:
    agents, tools = {agent.name for agent in AGENTS}, {tool.name for tool in TOOLS}
    assert {a for flow in FLOWS for a in (flow.lead, *flow.helpers)} == agents
    assert {t for flow in FLOWS for t in flow.tools} == tools
    assert len({flow.name for flow in FLOWS}) == len(FLOWS)


def test_the_quota_only_grows_within_its_period(history: list[Row]) -> None:
    used = [row["value"] for row in matching(history, resource="quota", name="quota.tokens.used")]
    limit = {row["value"] for row in matching(history, name="quota.tokens.limit")}
    assert len(used) > 200
    assert used == sorted(used)
    assert len(limit) == 1
    assert 0.5 < used[-1] / limit.pop() < 0.75


# --- what goes wrong


@pytest.mark.parametrize("seed", range(5))
def test_something_has_always_happened_lately(seed: int) -> None:
    world = World(seed, LIVE)
    for minutes in range(0, 24 * 60, 10):
        now = LIVE + minutes * MINUTE
        assert len([i for i in world.incidents(now - HOUR, now) if i.start >= now - HOUR]) >= 1
        assert len(world.incidents(now - HOUR, now)) >= 2


def test_incidents_are_the_same_from_wherever_they_are_seen(world: World) -> None:
    day = world.incidents(LIVE, LIVE + 24 * HOUR)
    pieces = {i.start: i for h in range(24) for i in world.incidents(LIVE + h * HOUR, LIVE + (h + 1) * HOUR)}
    assert [pieces[start] for start in sorted(pieces)] == day
    assert {i.kind for i in day} == KINDS


def test_the_first_screen_tells_of_a_slow_tool(world: World, history: list[Row]) -> None:
    slow = next(i for i in world.incidents(LIVE - MINUTE, LIVE) if i.kind == "slow_tool")
    assert slow.start == LIVE - 20 * MINUTE
    assert slow.where == {"agent": "planner", "tool": "web_search"}
    before, during = within(history, LIVE - 2 * HOUR, slow.start), within(history, slow.start + MINUTE, LIVE)
    calls = [[row["duration_ms"] for row in matching(rows, kind="tool", **slow.where)] for rows in (before, during)]
    assert 3 <= statistics.median(calls[1]) / statistics.median(calls[0]) <= 5
    others = [
        statistics.median(row["duration_ms"] for row in matching(rows, kind="tool", tool="sql_query"))
        for rows in (before, during)
    ]
    assert others[1] < 1.3 * others[0]
    assert 3900 < p95(during) < 5700
    assert p95(during) > 1.6 * p95(before)


def test_an_error_burst_fails_its_tool(world: World, history: list[Row]) -> None:
    burst = next(i for i in world.incidents(world.start, LIVE) if i.kind == "error_burst")
    during = matching(within(history, burst.start + 5 * SECOND, burst.end), kind="tool", **burst.where)
    after = matching(within(history, burst.end + MINUTE, LIVE), kind="tool", **burst.where)
    assert 0.25 < len(matching(during, status="error")) / len(during) < 0.45
    assert len(matching(after, status="error")) / len(after) < 0.05


def test_a_runaway_agent_spends_more_on_as_many_calls(world: World, history: list[Row]) -> None:
    runaway = next(i for i in world.incidents(LIVE - HOUR, LIVE) if i.kind == "cost_runaway")
    during = matching(within(history, runaway.start, runaway.end), kind="model", **runaway.where)
    before = matching(within(history, world.start, runaway.start), kind="model", **runaway.where)
    dollars = [sum(row["cost_usd"] for row in rows) / len(rows) for rows in (before, during)]
    assert dollars[1] > 1.7 * dollars[0]
    assert len(matching(during, model="large")) / len(during) > 0.2


def test_a_lost_exporter_leaves_a_hole(world: World, history: list[Row]) -> None:
    lost = next(i for i in world.incidents(world.start, LIVE) if i.kind == "exporter_lost")
    assert not matching(within(history, lost.start, lost.end), **lost.where)
    assert matching(within(history, lost.end, lost.end + MINUTE), **lost.where)


def test_a_delayed_exporter_sends_all_at_the_end(world: World, history: list[Row]) -> None:
    held = next(i for i in world.incidents(world.start, LIVE) if i.kind == "exporter_delayed")
    assert not matching(flat(world.events(held.start, held.end)), **held.where)
    late = matching(next(world.events(held.end)), **held.where)
    assert within(late, held.start, held.end) == matching(within(history, held.start, held.end), **held.where)
    assert len(late) > 200
