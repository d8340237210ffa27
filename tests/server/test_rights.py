"""A key bound to datasets: it reads nothing of the others, whatever a request names or leaves out."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from tests.conftest import Served, flow, serving
from tests.server.test_socket import key_of, say

SHOP = """
datasets: {visits: {columns: {page: text, took: number}}}
dimensions: {page: {dataset: visits, column: page}}
metrics: {visits: {dataset: visits, count: {}}, took: {dataset: visits, avg: took}}
boards:
  shop:
    tiles:
      - {id: visits, type: kpi, metric: visits}
      - {id: pages, type: table, metrics: [visits], by: page, spark: took}
  both: {tiles: [{id: visits, type: kpi, metric: visits}, {id: flows, type: kpi, metric: flows}]}
"""
VISITS = "visits"


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Served]:
    """A server with a dataset beside its events."""
    (tmp_path / "shop.yaml").write_text(SHOP)
    async with serving(tmp_path / "data", workspace=[tmp_path / "shop.yaml"]) as served:
        await served.ingest([flow()])
        status, _ = await served.post(f"/api/ingest/{VISITS}", [{"page": "home", "took": 3.0}])
        assert status == 200
        yield served


def bound(served: Served, *datasets: str) -> str:
    return str(served.app.keys.create("bound", ["read"], datasets=list(datasets))[1])


OF_VISITS: list[dict[str, Any]] = [
    {"type": "query", "metrics": ["visits"]},
    {"type": "query", "metrics": ["visits", "took"], "dataset": "visits", "group_by": ["page"]},
    {"type": "board", "board": "shop"},
    {"type": "board", "board": "mine", "tiles": [{"id": "a", "type": "kpi", "metric": "visits"}]},
    {"type": "values", "dim": "page"},
    {"type": "rows", "dataset": "visits"},
    {"type": "sources", "dataset": "visits"},
]
OF_EVENTS: list[dict[str, Any]] = [
    {"type": "flow_analytics"},
    {"type": "agent_analytics"},
    {"type": "resource_analytics"},
    {"type": "resource_analytics", "resource_id": "cpu"},
    {"type": "query", "metrics": ["flows"]},
    {"type": "query", "metrics": ["flows"], "dataset": "events"},
    {"type": "query", "metrics": ["*"]},
    {"type": "board", "board": "overview"},
    {"type": "board", "board": "mine", "tiles": [{"id": "a", "type": "kpi", "metric": "flows"}]},
    {"type": "board", "board": "mine", "tiles": [{"id": "a", "type": "latest", "columns": ["name"]}]},
    {"type": "flows"},
    {"type": "flow", "flow_id": "f-1"},
    {"type": "values", "dim": "agent"},
    {"type": "rows"},
    {"type": "sources"},
    {"type": "explain", "metric": "flows"},
    {"type": "forecast", "metric": "flows"},
]
MIXED: list[dict[str, Any]] = [
    {"type": "query", "metrics": ["flows"], "dataset": "visits"},  # looked up there, found elsewhere
    {"type": "explain", "metric": "flows", "dataset": "visits"},
    {"type": "forecast", "metric": "flows", "dataset": "visits"},
    {"type": "board", "board": "both"},
]


async def answers(served: Served, key: str, messages: list[dict[str, Any]]) -> list[tuple[int, str | None]]:
    found = [await served.post("/api/analytics", message, key) for message in messages]
    return [(status, body.get("detail")) for status, body in found]


async def test_what_reads_the_dataset_of_the_key_is_answered(shop: Served) -> None:
    assert await answers(shop, bound(shop, VISITS), OF_VISITS) == [(200, None)] * len(OF_VISITS)


async def test_what_reads_another_is_refused_also_where_none_is_named(shop: Served) -> None:
    refused = [(403, "this key may not read dataset 'events'")] * len(OF_EVENTS + MIXED)
    assert await answers(shop, bound(shop, VISITS), OF_EVENTS + MIXED) == refused
    refused = [(403, "this key may not read dataset 'visits'")] * len(OF_VISITS)
    assert await answers(shop, bound(shop, "events"), OF_VISITS) == refused


async def test_a_key_bound_to_both_reads_both(shop: Served) -> None:
    asked = [m for m in OF_EVENTS + OF_VISITS if m["type"] not in ("explain", "forecast", "flow")]
    found = await answers(shop, bound(shop, VISITS, "events"), asked)
    assert [status for status, _ in found if status == 403] == []


async def test_words_are_understood_within_the_datasets_of_the_key(shop: Served) -> None:
    async def understood(text: str) -> Any:
        status, body = await shop.post("/api/analytics", {"type": "ask", "text": text}, bound(shop, VISITS))
        assert status == 200
        return body["analytics"]["understood"]

    assert (await understood("visits by page in the last hour"))["metrics"] == ["visits"]
    assert await understood("flows by agent in the last hour") is None


async def test_an_unknown_name_is_still_named(shop: Served) -> None:
    status, problem = await shop.post("/api/analytics", {"type": "query", "metrics": ["nothing"]}, bound(shop, VISITS))
    assert (status, problem["code"]) == (404, "NOT_FOUND")


async def test_a_subscription_is_held_to_the_same(shop: Served) -> None:
    key = {"X-API-Key": bound(shop, VISITS)}
    async with connect(shop.socket_url, additional_headers=key, subprotocols=[Subprotocol("analytics.v1")]) as socket:
        await socket.recv()
        standing = {"type": "query", "metrics": ["flows"]}
        answer = await say(socket, type="subscribe", id=1, sub="s", request=standing)
    assert answer["error"]["code"] == "FORBIDDEN"


async def test_the_catalogue_lists_what_the_key_may_read(shop: Served) -> None:
    async def names(what: str, key: str) -> set[str]:
        _, _, body = await shop.get(f"/api/{what}", key)
        return {declared["name"] for declared in json.loads(body)}

    key = bound(shop, VISITS)
    assert await names("datasets", key) == {"visits"}
    assert await names("metrics", key) == {"visits", "took"}
    assert await names("dimensions", key) == {"page"}
    assert await names("boards", key) == {"shop"}
    assert {"overview", "shop", "both"} <= await names("boards", bound(shop, VISITS, "events"))
    assert {"flows", "visits"} <= await names("metrics", key_of(shop)["X-API-Key"])
