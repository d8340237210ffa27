"""What the analytics agent says of events whose truth is known."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Served, flow, serving


def fleet(ago_s: float, large: int, web_ms: float) -> list[dict[str, object]]:
    """100 model calls, `large` of them by the large model, 200 flows, half of them with web_search, one tool call."""
    calls = [
        flow("call", ago_s, kind="model", model="large" if i < large else "small", cost_usd=0.1 if i < large else 0.01)
        for i in range(100)
    ]
    runs = [
        flow(
            "run", ago_s, tool="web_search" if i % 2 else "shell", duration_ms=web_ms if i % 2 else 1000.0, status="ok"
        )
        for i in range(200)
    ]
    return [*calls, *runs, flow("search", ago_s, kind="tool", tool="web_search")]


@pytest.fixture
async def changed(served: Served) -> Served:
    await served.ingest(fleet(4000, large=10, web_ms=1000.0) + fleet(60, large=60, web_ms=5000.0))
    return served


async def test_the_largest_changes_are_told_with_their_share(changed: Served) -> None:
    answer = await changed.ask(type="board", board="overview")
    told = [i["text"] for i in answer["insights"] if i["kind"] == "change"]
    spend = next(i for i in answer["insights"] if i["metric"] == "spend" and i["evidence"].get("causes"))
    (cause,) = spend["evidence"]["causes"]
    assert cause["where"] == {"model": "large"}
    # 10 -> 60 calls at 0.10 is +5.00, 90 -> 40 at 0.01 is -0.50: the large model is 5.00 of a change of 4.50
    assert cause["share"] == pytest.approx(5.0 / 4.5, rel=0.01)
    assert spend["text"].endswith("all of the rise comes from model = large.")
    slower = next(i for i in answer["insights"] if i["metric"] == "duration_p95" and i["evidence"].get("causes"))
    assert slower["evidence"]["causes"][0]["where"] == {"tool": "web_search"}
    assert slower["text"].startswith("p95 duration rose 400%")
    assert all("Flows" not in text for text in told)  # as many flows as before is no news


async def test_a_board_answers_every_tile(changed: Served) -> None:
    answer = await changed.ask(type="board", board="overview")
    tiles = answer["analytics"]["tiles"]
    assert {t["head"]["state"] for t in tiles.values()} == {"ok"}
    assert tiles["flows"]["head"]["n"] == 200
    assert tiles["duration"]["head"]["partial"] is not None
    assert len(tiles["duration"]["columns"]["t"]) == len(tiles["duration"]["columns"]["p0"])
    assert tiles["spend_by_agent"]["columns"]["label"] == ["planner"]
    assert sum(tiles["distribution"]["columns"]["n"]) == 200
    assert tiles["latest"]["columns"]["status"] == ["ok"] * 8


async def test_what_senders_mark_is_an_annotation(served: Served) -> None:
    await served.ingest([flow(), flow("release 7", 30, kind="event", resource="annotation", status=None)])
    marks = (await served.ask(type="board", board="overview"))["analytics"]["tiles"]["duration"]["head"]["annotations"]
    assert [m["text"] for m in marks] == ["release 7"]


async def test_without_a_previous_period_nothing_is_called_a_change(served: Served) -> None:
    await served.ingest([flow() for _ in range(50)])
    answer = await served.ask(type="board", board="overview")
    assert answer["insights"] == []
    head = answer["analytics"]["tiles"]["changed"]["head"]
    assert head["quiet"] == "There is no previous hour to compare with yet."
    assert head["confidence"] is None


async def test_an_empty_tile_says_why(served: Served) -> None:
    await served.ingest([flow()])
    answer = await served.ask(type="board", board="overview", domain="nowhere")
    head = answer["analytics"]["tiles"]["latest"]["head"]
    assert head["state"] == "empty"
    assert "domain is nowhere" in head["reason"]
    assert answer["confidence"] == 0


async def test_an_unknown_board_names_the_nearest(served: Served) -> None:
    status, problem = await served.post("/api/analytics", {"type": "board", "board": "overvew"})
    assert (status, problem["code"]) == (404, "NOT_FOUND")
    assert "'overview'" in problem["detail"]


OWN = """workspace: mine
metrics:
  long_flows: {count: {}, where: {kind: flow}, unit: flows, title: TITLE, description: All of them}
boards:
  mine:
    title: Mine
    tiles: [{id: one, type: kpi, metric: long_flows}]
"""


async def test_an_edited_workspace_counts_at_once_and_a_broken_one_keeps_the_last_good(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(OWN.replace("TITLE", "First"))
    async with serving(tmp_path / "data", workspace=[file]) as served:
        await served.ingest([flow()])

        async def title() -> tuple[str, str | None, str]:
            found = (await served.ask(type="board", board="mine"))["analytics"]
            return found["tiles"]["one"]["head"]["title"], found["workspace_error"], found["layout"]

        first = await title()
        assert first[:2] == ("First", None)
        file.write_text(OWN.replace("TITLE", "Second"))
        assert served.app.workspaces.reload_if_changed()
        second = await title()
        assert second[:2] == ("Second", None)
        assert second[2] != first[2]
        file.write_text(OWN.replace("count:", "cout:"))
        served.app.workspaces.reload_if_changed()
        kept, error, layout = await title()
        assert kept == "Second"
        assert layout == second[2]
        assert error is not None
        assert "mine.yaml:3" in error
        assert "'count'" in error
