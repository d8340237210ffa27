"""Who sends, in detail: minutes, ways, and which attributes have a column."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from tests.conftest import Served, flow, request

DETAIL = {"minutes", "sampled", "ways", "mapped", "unmapped", "unmapped_names"}


async def senders(served: Served, key: str = "", **message: Any) -> dict[str, dict[str, Any]]:
    """The answer by source."""
    status, body = await served.post("/api/analytics", {"type": "sources", "detail": True} | message, key)
    assert status == 200, body
    return {s["source"]: s for s in body["analytics"]["sources"]}


def counts(listed: list[dict[str, Any]]) -> dict[str, int]:
    return {entry["name"]: entry["count"] for entry in listed}


async def test_what_has_a_column_and_what_is_kept_beside_is_counted(served: Served) -> None:
    one = flow(source="crew", agent="planner", domain=None, plan="a", team={"name": "blue", "size": 3})
    await served.ingest([one, flow(source="crew", agent=None, domain=None, team="red")])
    crew = (await senders(served))["crew"]
    assert crew["sampled"] == 2
    assert (counts(crew["mapped"])["agent"], "domain" in counts(crew["mapped"])) == (1, False)
    assert crew["unmapped"] == [{"name": "team", "count": 2}, {"name": "plan", "count": 1}]
    assert crew["unmapped_names"] == 2


async def test_only_the_most_frequent_names_are_told_and_how_many_there_are(served: Served) -> None:
    await served.ingest([flow(source="crew") | {f"a{i}": 1 for i in range(n)} for n in (30, 1)])
    crew = (await senders(served))["crew"]
    assert crew["unmapped"][0] == {"name": "a0", "count": 2}
    assert (len(crew["unmapped"]), crew["unmapped_names"]) == (20, 30)


async def test_a_sender_that_others_drown_out_is_looked_at_too(served: Served) -> None:
    await served.ingest([flow(source="quiet", ago_s=900, note="x")])
    await served.ingest([flow(source="loud", ago_s=1 + i / 10) for i in range(1200)])
    found = await senders(served)
    assert counts(found["quiet"]["unmapped"]) == {"note": 1}
    assert found["loud"]["sampled"] == 1000


async def test_minutes_are_those_of_the_last_hour_the_newest_last(served: Served) -> None:
    await served.ingest([flow(source="crew", ago_s=ago) for ago in (5, 6, 125, 3500)])
    minutes = (await senders(served))["crew"]["minutes"]
    assert (len(minutes), sum(minutes)) == (60, 4)
    assert (minutes[-1], minutes[-3], minutes[1]) == (2, 1, 1)


async def test_a_new_sender_is_told_of_at_once(served: Served) -> None:
    await served.ingest([flow(source="first")])
    assert set(await senders(served)) == {"first"}
    await served.ingest([flow(source="second", note="x")])
    assert counts((await senders(served))["second"]["unmapped"]) == {"note": 1}


async def test_detail_is_for_who_asks_and_for_no_part_of_the_rows(served: Served) -> None:
    await served.ingest([flow(source="crew", domain="legal", secret="x")])
    _, bound = served.app.keys.create("bound", ["read"], domains=["legal"])
    filters = [{"dim": "domain", "values": ["legal"]}]
    for key, message in ((bound, {}), ("", {"filters": filters}), ("", {"detail": False})):
        found = await senders(served, key, **message)
        assert not DETAIL & found["crew"].keys()
    assert found["crew"].keys() | DETAIL == (await senders(served))["crew"].keys()


async def test_a_drop_names_who_sent_it(served: Served) -> None:
    await served.ingest([flow(source="one"), flow(source="one", duration_ms=-1.0)])
    await served.ingest([flow(source="two"), flow(source="two", duration_ms=-1.0)])
    answer = (await served.ask(type="sources"))["analytics"]
    assert [(d["reason"], d["count"], d["sources"]) for d in answer["drops"]] == [("negative", 2, ["one", "two"])]


async def test_rows_of_a_file_have_minutes_and_no_attributes(served: Served) -> None:
    declared = json.dumps({"columns": {"page": {"type": "text"}}}).encode()
    headers = {"X-API-Key": served.app.keys.create("admin", ["admin"])[1], "Content-Type": "application/json"}
    status, *_ = await asyncio.to_thread(request, f"{served.url}/api/datasets/visits", declared, headers, "PUT")
    assert status in (200, 201)
    status, _ = await served.post("/api/ingest/visits", [{"page": "home"}])
    assert status == 200
    found = await senders(served, dataset="visits")
    assert all(DETAIL & sender.keys() == {"minutes"} for sender in found.values())
    assert len(found) == 1
