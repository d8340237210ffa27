"""What `forecast` answers over a store whose truth is known, and what a board says of limits."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from analytics.agent import AnalyticsAgent
from analytics.messages import BoardRequest
from tests.conftest import Served, rfc3339

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


def whole_hour() -> datetime:
    """One whose last rows are no longer waited for."""
    return (datetime.now(UTC) - timedelta(minutes=10)).replace(minute=0, second=0, microsecond=0)


def readings(name: str, values: list[float], step: timedelta, end: datetime, **fields: Any) -> list[dict[str, Any]]:
    """One reading in the middle of each of the last steps before `end`."""
    base = {"kind": "resource", "resource": "quota", "name": name, "source": "meter"}
    first = end - step * len(values)
    return [
        base | {"time": rfc3339(first + step * (i + 0.5)), "value": value} | fields for i, value in enumerate(values)
    ]


def daily(hours: int) -> list[float]:
    return [100 + 40 * math.sin(math.tau * hour / 24) + 3 * math.sin(hour * 1.7) for hour in range(hours)]


async def test_a_daily_metric_is_continued_on_its_grid(served: Served) -> None:
    end, values = whole_hour(), daily(14 * 24 + 24)
    await served.ingest(readings("system.cpu.load_average.1m", values[: 14 * 24], HOUR, end))
    reply = await served.ask(
        type="forecast", metric="load", window={"from": rfc3339(end - 14 * 24 * HOUR), "to": rfc3339(end)}, grain="1h"
    )
    said = reply["analytics"]
    assert said["calibrated"] is True
    assert said["reason"] is None
    assert [len(said["history"]), len(said["points"])] == [14 * 24, 24]
    assert [p["t"] for p in said["points"][:2]] == [rfc3339(end), rfc3339(end + HOUR)]
    assert [p["value"] for p in said["points"]] == pytest.approx(values[14 * 24 :], abs=6)
    assert all(p["low"] <= v <= p["high"] for p, v in zip(said["points"], values[14 * 24 :], strict=True))
    assert reply["confidence_parts"]["model"] > 0.9
    assert said["reaches"] is None


async def test_the_partial_bucket_is_no_history_and_a_short_one_is_not_calibrated(served: Served) -> None:
    now = datetime.now(UTC)
    steps = [now - timedelta(seconds=60 * ago) for ago in range(30, -1, -1)]
    base = {"kind": "resource", "name": "system.cpu.load_average.1m", "source": "meter", "resource": "load"}
    await served.ingest([base | {"time": rfc3339(t), "value": 1.0} for t in steps])
    reply = await served.ask(type="forecast", metric="load", window="now-40m", grain="5m", horizon=3)
    said = reply["analytics"]
    assert said["calibrated"] is False
    assert said["reason"] == "less than two days of history"
    assert all(datetime.fromisoformat(h["t"]) + timedelta(minutes=5) <= now for h in said["history"])
    last = datetime.fromisoformat(said["history"][-1]["t"])
    assert [datetime.fromisoformat(p["t"]) for p in said["points"]] == [
        last + timedelta(minutes=5 * step) for step in (1, 2, 3)
    ]
    assert reply["confidence"] <= 0.5


async def test_what_cannot_be_asked_is_refused_by_name(served: Served) -> None:
    for horizon in (0, 61):
        status, body = await served.post("/api/analytics", {"type": "forecast", "metric": "load", "horizon": horizon})
        assert (status, body["code"]) == (400, "VALIDATION_ERROR")
        assert f"1 to 60 steps, got {horizon}" in body["detail"]
    status, body = await served.post("/api/analytics", {"type": "forecast", "metric": "lode"})
    assert (status, body["detail"]) == (404, "no metric 'lode'; did you mean 'load'?")


async def test_nothing_known_is_no_forecast(served: Served) -> None:
    reply = await served.ask(type="forecast", metric="load")
    assert reply["analytics"]["points"] == []
    assert reply["analytics"]["reason"] == "there are no values yet"
    assert reply["confidence"] == 0


async def test_a_quota_that_is_used_up_says_when(served: Served) -> None:
    """1,000 tokens a minute of a limit of 100,000: at 70,000 now, it is there in half an hour."""
    now = datetime.now(UTC)
    sent = []
    for minute in range(70):
        time = now - timedelta(minutes=69 - minute)
        for name, value in (("used", 1000.0 * (minute + 1)), ("limit", 100_000.0)):
            sent += readings(f"quota.tokens.{name}", [value], timedelta(0), time)
    even = [0.3 + 0.01 * (place % 3) for place in range(200)]
    sent += readings("system.memory.utilization", even, timedelta(minutes=5), now, source="host")
    sent += readings("system.filesystem.utilization", even[:3], timedelta(minutes=5), now, source="host")
    await served.ingest(sent)
    truth = now + timedelta(minutes=30)
    reply = await served.ask(type="forecast", metric="quota_used", window="now-70m", grain="1m", horizon=60)
    reaches = {name: datetime.fromisoformat(t) for name, t in reply["analytics"]["reaches"].items()}
    assert reply["analytics"]["limit_at"] == 100_000
    assert abs(reaches["at"] - truth) < timedelta(minutes=2)
    assert reaches["earliest"] <= reaches["at"] <= reaches["latest"]
    (told,) = reply["insights"]
    assert told["kind"] == "forecast"
    assert told["text"].startswith("Quota used reaches its limit at ")

    board = await served.ask(type="board", board="resources")
    head = board["analytics"]["tiles"]["quota"]["head"]
    assert head["forecast"]["text"].startswith("Limit at ")
    assert abs(head["forecast"]["at"] - truth.timestamp() * 1000) < 6 * 60_000
    items = board["analytics"]["tiles"]["changed"]["head"]["items"]
    assert [i["kind"] for i in items].count("forecast") == 1
    assert "Token quota reaches its limit" in " ".join(i["text"] for i in board["insights"])
    heads = {name: tile["head"] for name, tile in board["analytics"]["tiles"].items()}
    assert heads["memory"]["forecast"]["text"].startswith("Limit not before ")
    assert heads["memory"]["forecast"]["at"] is None
    assert "forecast" not in heads["disk"]  # three readings say nothing
    assert "forecast" not in heads["tokens"]  # it has no limit

    everything = await served.ask(type="resource_analytics")
    assert [i["metric"] for i in everything["insights"] if i["kind"] == "forecast"] == ["quota_share"]


async def test_a_limit_that_is_far_away_is_said_to_be(served: Served) -> None:
    end = whole_hour()
    await served.ingest(readings("system.cpu.load_average.1m", daily(10 * 24), HOUR, end))
    window = {"from": rfc3339(end - 10 * 24 * HOUR), "to": rfc3339(end)}
    reply = await served.ask(type="forecast", metric="load", window=window, grain="1h", limit_at=1000.0)
    assert reply["analytics"]["reaches"] is None
    assert reply["analytics"]["reason"] == "not within the horizon"
    assert reply["insights"] == []


async def test_a_number_looks_ahead_once_a_minute(served: Served) -> None:
    """A standing board keeps what it foresaw, whatever arrives within the minute."""
    now = datetime.now(UTC).replace(second=0, microsecond=0)  # no bucket ends between a reading of one and the other
    filling = [0.3 + 0.002 * place for place in range(90)]
    await served.ingest(readings("system.memory.utilization", filling, MINUTE, now))
    agent = AnalyticsAgent(served.app.store, lambda: served.app.workspaces.current, served.app.sources)
    memo: dict[Any, Any] = {}

    async def foreseen(later: timedelta) -> Any:
        answer = await agent.answer(BoardRequest(board="resources"), now=now + later, memo=memo)
        return answer.analytics["tiles"]["memory"]["head"]["forecast"]["at"]

    first = await foreseen(timedelta(0))
    await served.ingest(readings("system.memory.utilization", [0.95] * 60, MINUTE / 10, now, source="other"))
    assert await foreseen(timedelta(seconds=59)) == first
    assert await foreseen(timedelta(minutes=7)) != first
