"""What a board expects, over a real store: learnt once, judged once, told once, and cheap from then on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest

from analytics.agent import AnalyticsAgent
from analytics.asking import Answer
from analytics.errors import Timeout
from analytics.frames import board_difference
from analytics.messages import BoardRequest, FlowAnalytics, Question
from analytics.query import Filter, Query
from tests.conftest import Served, flow

LINE = {"id": "line", "type": "line", "metrics": ["duration_p50", "duration_p95"]}
COUNT = {"id": "line", "type": "line", "metric": "flows"}
KPI = {"id": "kpi", "type": "kpi", "metric": "duration_p50"}
CHANGES = {"id": "changed", "type": "changes", "metrics": ["duration_p50"], "by": ["agent"]}
TILES = [LINE, KPI, CHANGES]
MINUTE = timedelta(minutes=1)


class Counted:
    """A store that keeps what it was asked."""

    def __init__(self, store: Any) -> None:
        self.store = store
        self.asked: list[Query] = []
        self.slow = False

    async def query(self, query: Query, *, now: datetime, **more: Any) -> Any:
        self.asked.append(query)
        if self.slow and "deadline_s" in more:
            raise Timeout("the past is long")
        return await self.store.query(query, now=now, **more)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)


class Watched:
    """An agent over a served store, at moments that the test chooses. `now` is half a minute into a minute."""

    def __init__(self, served: Served) -> None:
        self.store = Counted(served.app.store)
        self.agent = AnalyticsAgent(
            self.store,
            lambda: served.app.workspaces.current,
            served.app.sources,
        )
        self.now = datetime.now(UTC).replace(second=30, microsecond=0) - 2 * MINUTE
        self.memo: dict[Any, Any] = {}

    async def board(self, after: timedelta = timedelta(), **fields: Any) -> Answer:
        asked: dict[str, Any] = {"board": "mine", "tiles": TILES, "window": "now-30m", "grain": "1m"}
        return await self.ask(BoardRequest(**(asked | fields)), after)

    async def ask(self, request: Question, after: timedelta = timedelta()) -> Answer:
        self.store.asked.clear()
        return await self.agent.answer(request, now=self.now + after, memo=self.memo)

    def histories(self) -> int:
        return sum(query.grain is not None and query.window.end != "now" for query in self.store.asked)


async def told(served: Served, now: datetime, minutes: int = 150, slow: int = 8, skip: tuple[int, ...] = ()) -> None:
    """Twelve flows a minute of about a second each; in the last `slow` minutes they take five."""
    noise, sent = Random(7), []
    for minute in range(-minutes, 3):
        if -minute in skip:
            continue
        for i in range(12):
            took = noise.uniform(900, 1100) * (5 if -slow <= minute <= 0 else 1)
            at = now.replace(second=0) + minute * MINUTE + timedelta(seconds=5 * i)
            ago_s = (datetime.now(UTC) - at).total_seconds()
            sent.append(flow(ago_s=ago_s, duration_ms=took, source="app", agent=f"a{i % 3}"))
    await served.ingest(sent)


@pytest.fixture
async def watched(served: Served) -> Watched:
    found = Watched(served)
    await told(served, found.now)
    return found


def line(answer: Answer) -> dict[str, Any]:
    found: dict[str, Any] = answer.analytics["tiles"]["line"]
    return found


async def test_a_line_has_a_band_and_one_mark_for_what_left_it(watched: Watched) -> None:
    answer = await watched.board()
    head, columns = line(answer)["head"], line(answer)["columns"]
    assert head["band"]["state"] == "ok" and head["band"]["level"] == 0.95
    assert len(columns["lo"]) == len(columns["hi"]) == len(columns["t"])
    assert all(low < 1000 < high for low, high in zip(columns["lo"][:15], columns["hi"][:15], strict=True))
    first, *others = head["marks"]
    assert others == []
    slow_from = (watched.now.replace(second=0) - 8 * MINUTE).timestamp() * 1000
    assert (first["tone"], abs(first["t"] - slow_from) <= 60_000) == ("bad", True)
    assert first["low"] < 1000 < first["high"] < first["value"]


async def test_an_incident_is_told_by_the_board_its_tiles_and_one_insight(watched: Watched) -> None:
    answer = await watched.board()
    (incident,) = answer.analytics["incidents"]
    assert (incident["tile"], incident["metric"], incident["tone"]) == ("line", "duration_p50", "bad")
    (insight,) = [i for i in answer.insights if i["metric"] == "duration_p50"]
    assert insight["kind"] == "anomaly"
    assert insight["text"].startswith("p50 duration left its expected range at ")
    assert insight["evidence"]["low"] < insight["evidence"]["high"] < insight["evidence"]["value"]
    if incident["until"] is None:
        assert answer.analytics["tiles"]["kpi"]["head"]["attention"] == "warn"
        assert line(answer)["head"]["attention"] == "warn"
    (item,) = answer.analytics["tiles"]["changed"]["head"]["items"]
    assert (item["kind"], item["why"]["type"]) == ("anomaly", "explain")


async def test_the_past_is_read_once_and_a_tick_asks_for_no_more_than_before(watched: Watched) -> None:
    await watched.board()
    assert watched.histories() == 1
    first = line(await watched.board(timedelta(seconds=1)))["columns"]
    assert watched.histories() == 0
    later = line(await watched.board(MINUTE))["columns"]
    assert watched.histories() == 0
    kept = slice(1, -3)
    assert later["lo"][:-4] == first["lo"][1:-3] and later["hi"][:-4] == first["hi"][kept]


async def test_a_tick_sends_no_more_than_its_tail(watched: Watched) -> None:
    first = await watched.board()
    second = await watched.board(timedelta(seconds=1))
    frame = board_difference(first.analytics, second.analytics)["tiles"].get("line", {})
    assert len(frame.get("columns", {}).get("t", [])) <= 1
    third = await watched.board(MINUTE)
    frame = board_difference(second.analytics, third.analytics)["tiles"]["line"]
    assert frame["drop"] == 1
    assert len(frame["columns"]["t"]) <= 3


async def test_a_past_that_takes_too_long_to_read_is_made_do_without(watched: Watched) -> None:
    watched.store.slow = True
    assert line(await watched.board(window="now-40m"))["head"]["band"]["state"] == "ok"


async def test_events_that_come_late_change_values_but_no_range(served: Served, watched: Watched) -> None:
    before = line(await watched.board())
    ago_s = (datetime.now(UTC) - watched.now).total_seconds() + 600
    await served.ingest([flow(ago_s=ago_s, duration_ms=9000.0) for _ in range(40)])
    after = line(await watched.board(timedelta(seconds=2)))
    assert after["columns"]["s0"] != before["columns"]["s0"]
    assert (after["columns"]["lo"], after["columns"]["hi"]) == (before["columns"]["lo"], before["columns"]["hi"])


async def test_a_young_series_says_that_it_is_learning(served: Served) -> None:
    watched = Watched(served)
    await told(served, watched.now, minutes=10, slow=-9)
    head = line(await watched.board())["head"]
    assert head["band"]["state"] == "learning"
    assert 5 <= head["band"]["has"] <= 12 < head["band"]["needs"]
    assert head["marks"] == []


async def test_minutes_in_which_nothing_came_are_a_silence_and_no_dip(served: Served) -> None:
    watched = Watched(served)
    await told(served, watched.now, slow=-9, skip=(14, 15, 16, 17, 18))
    (mark,) = line(await watched.board(tiles=[COUNT]))["head"]["marks"]
    assert (mark["kind"], mark["text"], mark["until"] - mark["t"]) == ("silence", "app silent", 5 * 60_000)


async def test_ranges_follow_the_filters_of_the_question(watched: Watched) -> None:
    nobody = await watched.board(filters=[Filter(dim="agent", values=["nobody"])])
    assert line(nobody)["head"]["state"] == "empty"
    watched.memo.clear()
    known = await watched.board(filters=[Filter(dim="agent", values=["a1"])])
    assert line(known)["head"]["band"]["state"] == "ok"
    assert {f.dim for query in watched.store.asked for f in query.filters} >= {"agent"}


async def test_a_board_of_the_past_has_its_band_too(watched: Watched) -> None:
    answer = await watched.board(as_of=watched.now)
    assert line(answer)["head"]["band"]["state"] in ("ok", "learning")
    assert len(line(answer)["columns"]["lo"]) == len(line(answer)["columns"]["t"])


async def test_lines_of_groups_have_no_band(served: Served) -> None:
    await told(served, datetime.now(UTC).replace(second=30, microsecond=0) - 2 * MINUTE, minutes=5)
    tiles = [{"id": "by", "type": "line", "metric": "flows", "by": "agent"}]
    answer = await served.ask(type="board", board="mine", tiles=tiles)
    head = answer["analytics"]["tiles"]["by"]["head"]
    assert "band" not in head and "marks" not in head


async def test_analytics_replies_tell_incidents_from_the_period_before(watched: Watched) -> None:
    answer = await watched.ask(FlowAnalytics(window="now-1h"))
    found = [i for i in answer.insights if i["metric"] == "duration_p50"]
    assert [i["kind"] for i in found] == ["anomaly"]
    assert watched.histories() == 0
