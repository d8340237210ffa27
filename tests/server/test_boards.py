"""Boards as an analyst bends them: other comparisons, the past, tiles of one's own, and the way back to the rows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from analytics.agent import AnalyticsAgent
from analytics.messages import BoardRequest, from_builtins
from analytics.query import Query
from tests.conftest import Served, flow, rfc3339

DAY = 86400.0

KPI = {"id": "one", "type": "kpi", "metric": "flows"}
LINE = {"id": "lines", "type": "line", "metric": "flows", "by": "agent"}
TABLE = {"id": "rows", "type": "table", "metrics": ["flows", "error_rate"], "by": "agent", "spark": "errors"}


async def board(served: Served, *tiles: dict[str, Any], **message: Any) -> dict[str, Any]:
    """An inline board's `analytics`."""
    answer = await served.ask(**({"type": "board", "board": "mine", "tiles": list(tiles)} | message))
    found: dict[str, Any] = answer["analytics"]
    return found


async def head(served: Served, tile: dict[str, Any], **message: Any) -> dict[str, Any]:
    found: dict[str, Any] = (await board(served, tile, **message))["tiles"][tile["id"]]["head"]
    return found


# compare


@pytest.mark.parametrize(
    ("compare", "ago", "label"), [("day", DAY, "same time yesterday"), ("week", 7 * DAY, "same time last week")]
)
async def test_a_board_compares_with_the_same_time_then(served: Served, compare: str, ago: float, label: str) -> None:
    await served.ingest([flow() for _ in range(3)] + [flow(ago_s=ago + 600) for _ in range(2)] + [flow(ago_s=4000)])
    answer = await board(served, KPI, compare=compare)
    assert answer["previous_label"] == label
    shown = answer["tiles"]["one"]["head"]
    assert (shown["value"], shown["previous"], shown["change"]) == (3, 2, pytest.approx(0.5))
    assert (await head(served, KPI))["previous"] == 1
    assert (await head(served, KPI, compare="off"))["previous"] is None


async def test_a_row_may_count_in_both_of_two_periods_that_overlap(served: Served) -> None:
    await served.ingest([flow(ago_s=600), flow(ago_s=DAY + 600), flow(ago_s=DAY + 700)])
    shown = await head(served, LINE, window="now-3d", compare="day")
    assert shown["n"] == 3
    columns = (await board(served, LINE, window="now-3d", compare="day"))["tiles"]["lines"]["columns"]
    assert (sum(columns["s0"]), sum(columns["p0"])) == (3, 2)


# the way back to the rows


async def answered(served: Served, request: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of a tile's own request."""
    answer = (await served.ask(**request))["analytics"]
    return [dict(zip(answer["columns"], row, strict=True)) for row in answer["rows"]]


async def test_every_tile_knows_the_request_that_returns_its_rows(served: Served) -> None:
    await served.ingest(
        [
            flow(ago_s=30 * i, agent=f"a{i % 7}", status="error" if i % 3 else "ok", tool="t", cost_usd=0.5)
            for i in range(60)
        ]
    )
    filters = [{"dim": "agent", "op": "in", "values": [f"a{i}" for i in range(7)]}]
    answer = (await served.ask(type="board", board="overview", filters=filters, compare="day"))["analytics"]
    for tile in answer["tiles"].values():
        from_builtins(tile["head"]["request"])
        assert tile["head"]["request"]["filters"][:1] == filters
    tiles = answer["tiles"]
    pinned = {"window": {name: answer["window"][name] for name in ("from", "to", "tz")}}
    spend = await answered(served, tiles["spend_by_agent"]["head"]["request"] | pinned)
    assert [row["agent"] for row in spend] == tiles["spend_by_agent"]["columns"]["label"]
    assert [row["spend"] for row in spend] == pytest.approx(tiles["spend_by_agent"]["columns"]["value"])
    duration = await answered(served, tiles["duration"]["head"]["request"] | pinned)
    assert [row["duration_p95"] for row in duration][-5:] == tiles["duration"]["columns"]["s0"][-5:]
    assert "duration_p95_previous" in duration[0]
    latest = await answered(served, tiles["latest"]["head"]["request"] | pinned)
    assert [row["event_id"] for row in latest] == tiles["latest"]["columns"]["id"]


async def test_a_tile_that_failed_still_says_what_it_asked(served: Served) -> None:
    tile = KPI | {"where": {"status": "ok"}}
    shown = await head(served, tile, filters=[{"dim": "nothing", "values": [1]}])
    assert shown["state"] == "error"
    assert [f["dim"] for f in shown["request"]["filters"]] == ["nothing", "status"]


# lines by a dimension, tables with sparks


async def test_a_line_by_a_dimension_draws_the_largest_groups_and_the_rest(served: Served) -> None:
    sizes = {"e": 9, "a": 8, "d": 7, "b": 6, None: 5, "z": 2, "y": 1}
    await served.ingest([flow(ago_s=60 + i, agent=agent) for agent, size in sizes.items() for i in range(size)])
    tile = (await board(served, LINE))["tiles"]["lines"]
    series = tile["head"]["series"]
    assert [(s["name"], s["title"], s["other"]) for s in series] == [
        ("a", "a", False), ("b", "b", False), ("d", "d", False), ("e", "e", False), (None, "(none)", False),
        (None, "other", True),
    ]  # fmt: skip
    assert {(s["dim"], s["unit"], s["per"]) for s in series} == {("agent", "flows", None)}
    columns = tile["columns"]
    assert [sum(columns[f"s{i}"]) for i in range(6)] == [8, 6, 7, 9, 5, 3]
    assert {len(column) for column in columns.values()} == {len(columns["t"])}
    assert len(set(columns["t"])) == len(columns["t"])


async def test_a_group_that_is_called_other_is_not_the_rest(served: Served) -> None:
    await served.ingest([flow(agent="other") for _ in range(9)] + [flow(agent=f"a{i}") for i in range(6)])
    tile = (await board(served, LINE))["tiles"]["lines"]
    named = {s["title"]: sum(tile["columns"][f"s{i}"]) for i, s in enumerate(tile["head"]["series"]) if not s["other"]}
    (rest,) = (sum(tile["columns"][f"s{i}"]) for i, s in enumerate(tile["head"]["series"]) if s["other"])
    assert named["other"] == 9
    assert rest == 2


async def test_a_table_has_a_series_beside_each_row(served: Served) -> None:
    await served.ingest(
        [flow(ago_s=600, agent="a", status="error"), flow(ago_s=600, agent="a"), flow(ago_s=600, agent="b")]
        + [flow(ago_s=600, agent=f"c{i}", status="error") for i in range(3)]
    )
    tile = (await board(served, TABLE | {"limit": 2}))["tiles"]["rows"]
    columns = tile["columns"]
    assert columns["agent"] == ["a", "b", "other"]
    assert [sum(spark) for spark in columns["spark"]] == [1, 0, 3]
    assert len(columns["spark"][0]) in (59, 60)  # whole minutes only
    assert tile["head"]["spark"] == {"metric": "errors", "unit": "flows", "per": None}


# inline boards


@pytest.mark.parametrize(
    ("tile", "told"),
    [
        ({"id": "x"}, "tile 'x': `type` is missing"),
        ({"type": "kpi", "metric": "flows"}, "tile '1': `id` is missing"),
        (KPI | {"metric": "flws"}, "tile 'one': no metric 'flws'; did you mean 'flows'?"),
        (KPI | {"id": "no spaces"}, "an id is letters"),
        (KPI | {"height": "tall"}, "tile 'one': `height`: expected a whole number"),
        (KPI | {"colour": 1}, "did you mean 'color'?"),
        (KPI | {"by": ["agent"]}, "a kpi tile takes no `by`"),
        (LINE | {"metric": None, "metrics": ["flows", "errors"]}, "`metric`: expected text"),
        ({"id": "l", "type": "line", "metrics": ["flows", "errors"], "by": "agent"}, "takes one metric, got 2"),
        (LINE | {"spark": "flows"}, "a line tile takes no `spark`"),
        (TABLE | {"spark": "nothing"}, "tile 'rows': no metric 'nothing'"),
        (KPI | {"where": {"statsu": "ok"}}, "did you mean 'status'?"),
        (KPI | {"where": [[[[]]]]}, "tile 'one': `where`: expected a mapping"),
    ],
)
async def test_a_wrong_tile_is_refused_by_its_id(served: Served, tile: dict[str, Any], told: str) -> None:
    status, problem = await served.post("/api/analytics", {"type": "board", "board": "mine", "tiles": [tile]})
    assert status == 400
    assert told in problem["detail"]


async def test_an_inline_board_is_bounded(served: Served) -> None:
    for tiles in ([], [KPI | {"id": f"t{i}"} for i in range(25)]):
        status, problem = await served.post("/api/analytics", {"type": "board", "board": "mine", "tiles": tiles})
        assert (status, problem["detail"]) == (400, f"tiles: expected 1 to 24, got {len(tiles)}")


async def test_an_inline_board_has_a_layout_of_its_own(served: Served) -> None:
    first, same, other = [
        await board(served, tile, window="now-15m") for tile in (KPI, dict(KPI), KPI | {"share": "left"})
    ]
    assert first["layout"] == same["layout"] != other["layout"]
    assert (first["label"], first["dataset"]) == ("Last 15 minutes", "events")


async def test_a_key_that_is_bound_to_boards_brings_no_tiles_of_its_own(served: Served) -> None:
    _, key = served.app.keys.create("wall", ["read"], boards=["overview"])
    asked = {"type": "board", "board": "overview"}
    assert (await served.post("/api/analytics", asked, key))[0] == 200
    status, problem = await served.post("/api/analytics", asked | {"tiles": [KPI]}, key)
    assert (status, problem["code"]) == (403, "FORBIDDEN")


async def test_two_tiles_by_one_dimension_are_each_ranked_by_their_own_metric(served: Served) -> None:
    costs = [flow(kind="model", agent=f"costly {i}", cost_usd=5.0) for i in range(2)]
    await served.ingest(costs + [flow(agent=f"busy {i}") for i in range(2) for _ in range(5)])
    tiles = [{"id": m, "type": "bars", "metric": m, "by": "agent", "limit": 2} for m in ("spend", "flows")]
    found = (await board(served, *tiles))["tiles"]
    assert sorted(found["spend"]["columns"]["label"][:2]) == ["costly 0", "costly 1"]
    assert sorted(found["flows"]["columns"]["label"][:2]) == ["busy 0", "busy 1"]


# the past


class Counted:
    """A store that counts what it is asked."""

    def __init__(self, store: Any) -> None:
        self.store, self.times = store, 0

    async def query(self, query: Query, *, now: datetime, **more: Any) -> Any:
        self.times += 1
        return await self.store.query(query, now=now, **more)


async def test_a_board_of_the_past_is_computed_once(served: Served) -> None:
    await served.ingest([flow()])
    store = Counted(served.app.store)
    agent = AnalyticsAgent(store, lambda: served.app.workspaces.current, served.app.sources)  # type: ignore[arg-type]
    now, memo = datetime.now(UTC), {}  # type: ignore[var-annotated]

    async def ask(ago_s: float) -> int:
        before = store.times
        request = BoardRequest(board="overview", as_of=now - timedelta(seconds=ago_s))
        await agent.answer(request, now=now, memo=memo)
        return store.times - before

    assert await ask(1) > 0  # what was received a second ago may still be on its way into the store
    assert await ask(1) > 0
    assert await ask(60) > 0
    assert await ask(60) == 0


# names


OWN = """namespace: trips
datasets:
  trips: {columns: {city: text, agent: text, km: number, departure: time}, time: departure}
dimensions:
  city: {column: city}
metrics:
  rides: {count: {}, unit: rides}
  length: {avg: km, unit: km}
"""


async def test_bare_names_mean_what_their_dataset_has_and_answers_use_them(served: Served) -> None:
    (served.app.settings.data / "workspaces").mkdir(parents=True, exist_ok=True)
    (served.app.settings.data / "workspaces" / "trips.yaml").write_text(OWN)
    served.app.workspaces.reload_if_changed()
    assert served.app.workspaces.error is None
    now = rfc3339(datetime.now(UTC))
    for asked in ({}, {"dataset": "trips"}):
        answer = (await served.ask(type="query", metrics=["rides"], group_by=["city"], **asked))["analytics"]
        assert (answer["columns"], list(answer["totals"])) == (["city", "rides"], ["rides"])
    answer = (await served.ask(type="query", metrics=["trips.rides"], window={"from": "now-1h", "to": now}))[
        "analytics"
    ]
    assert answer["columns"] == ["trips.rides"]
    tile = (await board(served, {"id": "a", "type": "bars", "metric": "rides", "by": "city"}))["tiles"]["a"]["head"]
    assert (tile["state"], tile["reason"]) == ("empty", "No rows in last 1 hour.")
    assert tile["request"]["dataset"] == "trips"
