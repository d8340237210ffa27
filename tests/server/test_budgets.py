"""Budgets through the public door: YAML to tile, limits of their own, time travel, filters, forecasts, hot reload."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from analytics.window import period_at
from tests.conftest import Served, flow, serving

MINE = """
budgets:
  team: {metric: spend, period: month, limit: 100, title: Team spend}
  today: {metric: spend, period: day, limit: 10, title: Spend today}
  agents: {metric: tokens, period: month, limit: 2_000_000, by: agent, limits: {planner: 5_000_000, idle: 7}}
boards:
  mine:
    title: Mine
    tiles:
      - {id: budgets, type: budgets, budgets: [team, agents]}
      - {id: team, type: kpi, metric: team_spent}
      - {id: left, type: kpi, metric: team_remaining}
      - {id: pace, type: kpi, metric: team_pace}
"""
Row = dict[str, Any]


class Desk:
    """A server with a workspace file of its own, which may be rewritten."""

    def __init__(self, served: Served, file: Path) -> None:
        self.served, self._file = served, file

    def write(self, text: str) -> bool:
        self._file.write_text(text)
        return bool(self.served.app.workspaces.reload_if_changed())

    async def values(self, *metrics: str, **more: Any) -> dict[str, Any]:
        reply = await self.served.ask(type="query", metrics=list(metrics), **{"window": "now-1h"} | more)
        return {name: total["value"] for name, total in reply["analytics"]["totals"].items()}

    async def board(self, name: str = "mine", **more: Any) -> dict[str, Any]:
        reply: dict[str, Any] = await self.served.ask(type="board", board=name, **more)
        return reply

    async def rows(self, **more: Any) -> list[Row]:
        columns = (await self.board(**more))["analytics"]["tiles"]["budgets"]["columns"]
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    file = tmp_path / "mine.yaml"
    file.write_text(MINE)
    async with serving(tmp_path / "data", workspace=[file]) as served:
        yield Desk(served, file)


def call(cost: float | None = None, tokens: int = 1000, **fields: Any) -> Row:
    return flow("chat", kind="model", tokens_input=tokens, tokens_output=0, cost_usd=cost, **fields)


def past(share: float) -> float:
    """So many seconds ago that this share of the present month lies behind."""
    now = datetime.now(UTC)
    start = period_at(now, "M", "UTC").start
    return float((1 - share) * (now - start).total_seconds())


async def test_a_budget_is_what_was_spent_since_its_period_began_whatever_the_window(desk: Desk) -> None:
    month = period_at(datetime.now(UTC), "M", "UTC")
    before = (datetime.now(UTC) - month.start).total_seconds() + 60
    await desk.served.ingest([call(30.0, ago_s=past(0.5)), call(5.0), call(1000.0, ago_s=before)])
    for window in ("now-1m", "now-1h", "now-60d"):
        found = await desk.values("team_spent", "team_remaining", window=window)
        assert found == {"team_spent": 35.0, "team_remaining": 65.0}
    pace = (await desk.values("team_pace"))["team_pace"]
    elapsed = (datetime.now(UTC) - month.start) / month.length
    assert pace == pytest.approx(0.35 / elapsed, rel=0.01) if elapsed > 0.02 else True
    series = (await desk.served.ask(type="query", metrics=["team_spent"], window="now-60d", grain="1d"))["analytics"]
    course = [row[1] for row in series["rows"]]
    assert course[-1] == 35.0
    assert 1000.0 in course


async def test_the_rows_of_the_tile_have_their_own_limits_and_those_nearest_stand_first(desk: Desk) -> None:
    calls = [call(1.0, 1_800_000, agent="coder"), call(1.0, 2_500_000, agent="planner"), call(1.0, 50, agent=None)]
    await desk.served.ingest(calls)
    team, *agents = await desk.rows()
    assert (team["spent"], team["limit"], team["remaining"], team["label"]) == (3.0, 100.0, 97.0, None)
    assert [(r["label"], r["spent"], r["limit"], r["attention"]) for r in agents] == [
        ("coder", 1_800_000, 2_000_000, "warn"),
        ("planner", 2_500_000, 5_000_000, None),
        ("idle", 0, 7, None),
        (None, 50, None, None),
    ]
    head = (await desk.board())["analytics"]["tiles"]["team"]["head"]
    assert head["budget"]["limit"] == 100
    assert 0 < head["budget"]["even"] <= 1


async def test_a_budget_that_is_spent_is_told(desk: Desk) -> None:
    await desk.served.ingest([call(112.5)])
    board = await desk.board()
    assert board["analytics"]["tiles"]["left"]["head"]["value"] == -12.5
    assert board["analytics"]["tiles"]["left"]["head"]["attention"] == "bad"
    assert board["analytics"]["tiles"]["budgets"]["head"]["attention"] == "bad"
    (told,) = [insight for insight in board["insights"] if insight["kind"] == "budget"]
    assert told["text"] == "Team spend is spent: $112.50 of $100.00 this month."


async def test_what_nobody_priced_is_unknown_and_an_estimate_is_marked(desk: Desk) -> None:
    assert (await desk.board())["analytics"]["tiles"]["budgets"]["head"]["state"] == "empty"
    await desk.served.ingest([call(None, model="nobody knows"), call(None, model="nobody knows")])
    assert await desk.values("team_spent", "team_unpriced") == {"team_spent": None, "team_unpriced": 2}
    team, *_ = await desk.rows()
    assert team["reason"] == "none of 2 calls has a price"
    await desk.served.ingest([call(1.0), call(None, 1_000_000, model="medium")])
    assert await desk.values("team_spent", "team_estimated") == {"team_spent": 4.0, "team_estimated": 3.0}
    tiles = (await desk.board())["analytics"]["tiles"]
    assert tiles["team"]["head"]["prices"]["text"] == "75% estimated, prices of 2026-08, 2 calls without a price"
    (team, *agents) = await desk.rows()
    assert team["prices"] == {"oldest": "2026-08-01", "example": True}
    assert not any(row["prices"] for row in agents)  # of tokens
    assert tiles["budgets"]["head"]["parts"]["completeness"] == 0.5


async def test_a_filter_shows_its_part_and_says_nothing_of_what_remains(desk: Desk) -> None:
    await desk.served.ingest([call(3.0, 10, agent="coder"), call(4.0, 20, agent="planner")])
    coder = [{"dim": "agent", "op": "is", "values": ["coder"]}]
    found = await desk.values("team_spent", "team_remaining", "team_pace", filters=coder)
    assert found == {"team_spent": 3.0, "team_remaining": None, "team_pace": None}
    why = "a budget counts all that it covers; this view is filtered to agent coder"
    reply = await desk.served.ask(type="query", metrics=["team_spent", "team_remaining", "team_pace"], filters=coder)
    assert [total.get("reason") for total in reply["analytics"]["totals"].values()] == [why] * 3
    tiles = (await desk.board(filters=coder))["analytics"]["tiles"]
    assert [tiles[name]["head"].get("reason") for name in ("team", "left", "pace")] == [why] * 3
    assert "budget" not in tiles["team"]["head"]
    assert await desk.values("agents_remaining", filters=coder) == {"agents_remaining": 1_999_990}
    assert await desk.values("agents_spent", "agents_remaining") == {"agents_spent": 30, "agents_remaining": None}
    team, agent, *_ = await desk.rows(filters=coder)
    assert (team["spent"], team["limit"], team["reason"]) == (3.0, None, why)
    assert (agent["label"], agent["limit"], agent["reason"]) == ("coder", 2_000_000, None)
    part = [
        {"dim": "tool", "op": "not_in", "values": ["search", "shell"]},
        {"dim": "name", "op": "contains", "values": ["cha"]},
    ]
    why = "a budget counts all that it covers; this view is filtered to tool not search or shell and name with cha"
    for row in await desk.rows(filters=part):
        assert (row["limit"], row["attention"], row["reason"]) == (None, None, why)
    reply = await desk.served.ask(type="query", metrics=["agents_pace"], window="now-1h")
    assert reply["analytics"]["totals"]["agents_pace"]["reason"] == "each agent has a limit of its own"
    reply = await desk.served.ask(type="query", metrics=["team_pace"], group_by=["agent"], window="now-1h")
    divided = "a budget counts all that it covers; this view is divided by agent"
    assert reply["analytics"]["totals"]["team_pace"]["reason"] == divided


async def test_it_travels_in_time_and_learns_of_late_events(desk: Desk) -> None:
    await desk.served.ingest([call(3.0)])
    then = datetime.now(UTC).isoformat()
    assert await desk.values("team_spent") == {"team_spent": 3.0}
    await desk.served.ingest([call(4.0, ago_s=past(0.2))])
    assert await desk.values("team_spent") == {"team_spent": 7.0}
    assert await desk.values("team_spent", as_of=then) == {"team_spent": 3.0}


async def test_an_edited_limit_or_price_holds_at_once_and_a_mistake_is_told(desk: Desk) -> None:
    await desk.served.ingest([call(None, 1_000_000, model="medium")])
    assert await desk.values("team_spent", "team_remaining") == {"team_spent": 3.0, "team_remaining": 97.0}
    price = "prices:\n  medium: {input: 6, output: 15, checked: 2026-08-01}\n"
    assert desk.write(price + MINE.replace("limit: 100", "limit: 200"))
    assert await desk.values("team_spent", "team_remaining") == {"team_spent": 6.0, "team_remaining": 194.0}
    assert not desk.write(MINE.replace("metric: spend, period: month", "metric: spent, period: month"))
    assert "mine.yaml:3: budget 'team': no metric 'spent'" in str(desk.served.app.workspaces.error)
    assert await desk.values("team_remaining") == {"team_remaining": 194.0}


async def test_the_day_budget_says_when_it_is_spent(desk: Desk) -> None:
    """Ten dollars a day; three days of steady spending that needs sixteen hours for them."""
    day = period_at(datetime.now(UTC), "d", "UTC").start
    first = day - timedelta(days=3)
    steps = int((datetime.now(UTC) - first) / timedelta(minutes=5))
    calls = [call(10 / 16 / 12, time=(first + timedelta(minutes=5 * k + 1)).isoformat()) for k in range(steps)]
    await desk.served.ingest(calls)
    (tile,) = [{"id": "b", "type": "budgets", "budgets": ["today"]}]
    columns = (await desk.served.ask(type="board", board="x", tiles=[tile]))["analytics"]["tiles"]["b"]["columns"]
    (forecast,) = columns["forecast"]
    reached = day + timedelta(hours=16)
    if datetime.now(UTC) < reached - timedelta(minutes=10):
        assert abs(forecast["at"] / 1000 - reached.timestamp()) < 1200
        assert forecast["text"].startswith("Limit at ")
    elif datetime.now(UTC) > reached + timedelta(minutes=10):
        assert columns["attention"] == ["bad"]
    reply = await desk.served.ask(type="forecast", metric="today_spent", window="now-3d", grain="1h")
    assert reply["analytics"]["limit_at"] == 10
    chat = [{"dim": "tool", "op": "is_not", "values": ["search"]}]
    asked = {"metric": "today_spent", "window": "now-3d", "grain": "1h", "filters": chat}
    part = (await desk.served.ask(type="forecast", **asked))["analytics"]
    assert (part["limit_at"], part["reaches"]) == (None, None)
    assert part["reason"] == "a budget counts all that it covers; this view is filtered to tool not search"
    tile = {"id": "t", "type": "kpi", "metric": "today_spent"}
    reply = await desk.served.ask(type="board", board="x", tiles=[tile], filters=chat)
    assert "forecast" not in reply["analytics"]["tiles"]["t"]["head"]
