"""What a price book does to answers: one put right holds for the past too, and what has no price is named."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Served, flow, serving

MINE = """
rates:
  EUR: [{from: 2020-01-01, usd: 1.5}]
prices:
  mine: {input: 2, output: 4, checked: 2026-03-15}
  theirs: {model: "theirs-*", input: 2, output: 4, checked: 2026-05-15, currency: EUR}
boards:
  costs:
    title: Costs
    tiles:
      - {id: spend, type: kpi, metric: spend}
      - {id: flows, type: kpi, metric: flow_rate}
      - {id: changed, type: changes, metrics: [spend], by: [model]}
"""


class Desk:
    """A server with a workspace file of its own, which may be rewritten."""

    def __init__(self, served: Served, file: Path) -> None:
        self.served, self._file = served, file

    def write(self, text: str) -> bool:
        self._file.write_text(text)
        return bool(self.served.app.workspaces.reload_if_changed())

    async def total(self, metric: str, **more: Any) -> float | None:
        reply = await self.served.ask(type="query", metrics=[metric], window="now-1h", **more)
        found: float | None = reply["analytics"]["totals"][metric]["value"]
        return found

    async def board(self) -> dict[str, Any]:
        reply = await self.served.ask(type="board", board="costs")
        return {"insights": reply["insights"]} | {n: t["head"] for n, t in reply["analytics"]["tiles"].items()}


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    file = tmp_path / "mine.yaml"
    file.write_text(MINE)
    async with serving(tmp_path / "data", workspace=[file]) as served:
        yield Desk(served, file)


def call(model: str | None, tokens: int = 1_000_000, **fields: Any) -> dict[str, Any]:
    return flow("chat", kind="model", model=model, tokens_input=tokens, tokens_output=0, **fields)


async def test_an_edited_price_recomputes_the_past(desk: Desk) -> None:
    await desk.served.ingest([call("mine", ago_s=60.0 * k) for k in (1, 30, 50)])
    assert await desk.total("cost_estimated") == 6.0
    assert desk.write(MINE.replace("mine: {input: 2", "mine: {input: 5"))
    assert await desk.total("cost_estimated") == 15.0
    assert await desk.total("spend") == 15.0
    assert not desk.write(MINE.replace("mine: {input: 2", "mine: {input: two"))
    assert "price 'mine': `input`: expected a number from 0 on" in str(desk.served.app.workspaces.error)
    assert await desk.total("spend") == 15.0


async def test_a_reported_cost_is_preferred_and_an_estimate_is_marked_with_its_age(desk: Desk) -> None:
    await desk.served.ingest([call("mine", cost_usd=5.0), call("mine"), call("theirs-1"), flow()])
    reply = await desk.served.ask(type="query", metrics=["spend", "cost_reported"], window="now-1h")
    assert {n: t["value"] for n, t in reply["analytics"]["totals"].items()} == {"spend": 10.0, "cost_reported": 5.0}
    assert reply["analytics"]["prices"] == {
        "text": "50% estimated, prices of 2026-03", "estimated": 0.5, "oldest": "2026-03-15", "example": False,
        "unpriced": 0, "models": [],
    }  # fmt: skip
    board = await desk.board()
    assert board["spend"]["prices"]["text"] == "50% estimated, prices of 2026-03"
    assert board["spend"]["parts"]["completeness"] in (None, 1.0)
    assert "prices" not in board["flows"]
    assert [i for i in board["insights"] if i["kind"] == "unpriced"] == []


async def test_an_unknown_model_is_named_and_lowers_the_completeness(desk: Desk) -> None:
    calls = [call(model, 10 + k) for k, model in enumerate(["x", "x", "y", "mine", None])]
    await desk.served.ingest([*calls, flow()])
    board = await desk.board()
    told = "2 models have no price: x, y; 4 calls are not in Spend."
    assert [i["text"] for i in board["insights"] if i["kind"] == "unpriced"] == [told]
    (item,) = [i for i in board["changed"]["items"] if i["kind"] == "unpriced"]
    assert "".join(part["t"] for part in item["text"]) == told
    assert board["spend"]["prices"]["unpriced"] == 4
    assert board["spend"]["parts"]["completeness"] == 0.2
    assert board["spend"]["confidence"] <= 0.2
    for request in (
        {"type": "query", "metrics": ["spend"]},
        {"type": "flow_analytics"},
        {"type": "resource_analytics"},
    ):
        reply = await desk.served.ask(**request)
        assert told in [insight["text"] for insight in reply["insights"]]
    by = await desk.served.ask(type="query", metrics=["spend", "cost_unpriced_calls"], group_by=["model"])
    found = {row[0]: row[1:] for row in by["analytics"]["rows"]}
    assert found["x"] == [None, 2]
    assert found[None][1] == 1
    assert desk.write(MINE.replace('model: "theirs-*"', "model: ['theirs-*', x, y]"))
    later = await desk.board()
    assert [i["text"] for i in later["insights"] if i["kind"] == "unpriced"] == [
        "Calls of no model have no price; 1 call is not in Spend."
    ]


async def test_a_key_of_one_domain_hears_of_no_model_outside_it(desk: Desk) -> None:
    await desk.served.ingest([call("secret", domain="other"), call("mine", domain="support")])
    key = desk.served.app.keys.create("bound", ["read"], domains=["support"])[1]
    status, body = await desk.served.post("/api/analytics", {"type": "board", "board": "costs"}, key)
    assert status == 200
    assert "secret" not in str(body)
    assert body["analytics"]["tiles"]["spend"]["head"]["prices"]["unpriced"] == 0


async def test_a_change_of_price_in_the_middle_of_a_window(desk: Desk) -> None:
    text = "prices:\n  old: {model: m, input: 1, output: 1, from: 2026-01-01, to: 2026-01-09}\n"
    desk.write(text + "  new: {model: m, input: 10, output: 1, from: 2026-01-10}\n")
    times = ("2026-01-09T23:59:59Z", "2026-01-10T00:00:00Z")
    await desk.served.ingest([call("m") | {"time": time} for time in times])
    reply = await desk.served.ask(
        type="query", metrics=["cost_estimated"], window={"from": "2026-01-09", "to": "2026-01-10"}, grain="1d"
    )
    assert [row[1] for row in reply["analytics"]["rows"]] == [1.0, 10.0]
    assert reply["analytics"]["prices"]["oldest"] == "2026-01-01"
