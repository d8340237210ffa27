"""Pages of flows and one flow whole, over a real server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.conftest import Served, flow, rfc3339

NOW = datetime.now(UTC)


def event(flow_id: str, kind: str, *, ended_s: float, took_ms: float, **fields: Any) -> dict[str, Any]:
    """An event of a flow that ended `ended_s` before now."""
    name = fields.pop("name", kind)
    return flow(name, 0, kind=kind, flow_id=flow_id, duration_ms=took_ms) | {
        "time": rfc3339(NOW - timedelta(seconds=ended_s)), "event_id": f"{flow_id}:{kind}{ended_s:g}", "agent": None
    } | fields  # fmt: skip


def run(flow_id: str, ago_s: float = 10.0, **fields: Any) -> list[dict[str, Any]]:
    """A flow of two seconds: a tool call that fails, and two model calls, the second one after it."""
    root = f"{flow_id}:root"
    return [
        event(flow_id, "model", ended_s=ago_s + 1.5, took_ms=500, parent_id=root, model="small", tokens_input=100,
              tokens_output=20, cost_usd=0.001),
        event(flow_id, "tool", ended_s=ago_s + 1, took_ms=500, parent_id=root, tool="web_search", status="error",
              error_type="timeout"),
        event(flow_id, "model", ended_s=ago_s, took_ms=900, parent_id=root, model="large", tokens_input=1000,
              tokens_output=200, cost_usd=0.02),
        event(flow_id, "flow", ended_s=ago_s, took_ms=2000, event_id=root, name=f"answer {flow_id}", agent="planner")
        | fields,
    ]  # fmt: skip


def listed(answer: dict[str, Any], column: str = "flow_id") -> list[Any]:
    at = answer["analytics"]["columns"].index(column)
    return [row[at] for row in answer["analytics"]["rows"]]


async def pages(served: Served, **asked: Any) -> list[list[Any]]:
    """The flow ids of every page."""
    found, after = [], None
    while True:
        answer = await served.ask(type="flows", **asked, **({"after": after} if after else {}))
        found.append(listed(answer))
        after = answer["analytics"]["next"]
        if after is None:
            return found


async def test_a_flow_has_the_sums_of_its_events(served: Served) -> None:
    await served.ingest(run("f1"))
    answer = await served.ask(type="flows")
    row = dict(zip(answer["analytics"]["columns"], answer["analytics"]["rows"][0], strict=True))
    assert len(answer["analytics"]["rows"]) == 1
    assert (row["flow_id"], row["event_id"], row["name"], row["agent"]) == ("f1", "f1:root", "answer f1", "planner")
    assert (row["tokens"], row["cost_usd"]) == (1320, 0.021)
    assert (row["model_calls"], row["tool_calls"], row["errors"]) == (2, 1, 1)
    assert row["time"] == rfc3339(NOW - timedelta(seconds=10))
    assert answer["analytics"]["watermark"] is not None
    assert answer["analytics"]["next"] is None


async def test_a_cost_that_nobody_reported_is_estimated_and_evidence_counts_in_no_sum(served: Served) -> None:
    call = {"parent_id": "f1:root", "call_id": "c1", "model": "medium", "tokens_input": 2000, "tokens_output": 500}
    twice = [
        event("f1", "model", ended_s=11, took_ms=100, event_id=way, way=way, **call) for way in ("span", "transcript")
    ]
    await served.ingest([*run("f1"), *twice])
    answer = await served.ask(type="flows", sort="cost")
    (tokens,), (cost,), (reported,) = (listed(answer, name) for name in ("tokens", "cost", "cost_usd"))
    assert (tokens, reported, cost) == (1320 + 2500, 0.021, 0.021 + 0.0135)
    found = await detail(served)
    assert (found["tokens"], found["cost"], found["cost_usd"]) == (tokens, cost, reported)
    assert {s["id"]: s["evidence"] for s in found["spans"] if s["model"] == "medium"} == {
        "span": None,
        "transcript": True,
    }
    assert {s["cost"] for s in found["spans"] if s["model"] == "medium"} == {0.0135}


async def test_events_without_a_flow_id_are_flows_of_their_own(served: Served) -> None:
    await served.ingest([flow("alone", event_id="a1", cost_usd=0.5), flow("other", event_id="a2")])
    answer = await served.ask(type="flows", sort="name", descending=False)
    assert listed(answer) == ["a1", "a2"]
    assert listed(answer, "cost_usd") == listed(answer, "cost") == [0.5, None]
    assert listed(answer, "tokens") == [None, None]  # nobody told: unknown is not zero
    one = (await served.ask(type="flow", flow_id="a1"))["analytics"]
    assert [span["id"] for span in one["spans"]] == ["a1"]


@pytest.mark.parametrize("descending", [True, False])
@pytest.mark.parametrize(
    "sort", ["time", "duration_ms", "tokens", "cost", "cost_usd", "errors", "status", "name", "agent"]
)
async def test_pages_hold_every_flow_once_in_every_order(served: Served, sort: str, descending: bool) -> None:
    for i in range(7):  # values that are the same, and some that are unknown
        about = {"duration_ms": float(i % 3), "agent": [None, "a", "b"][i % 3], "status": ["ok", "error"][i % 2]}
        await served.ingest(run(f"f{i}", 10 + i // 2, **about)[i % 2 * 3 :])
    found = await pages(served, sort=sort, descending=descending, limit=2)
    assert [len(page) for page in found] == [2, 2, 2, 1]
    assert sorted(flow_id for page in found for flow_id in page) == [f"f{i}" for i in range(7)]
    whole = await served.ask(type="flows", sort=sort, descending=descending)
    assert [flow_id for page in found for flow_id in page] == listed(whole)
    values = [v for v in listed(whole, sort) if v is not None]
    assert values == sorted(values, reverse=descending)
    assert listed(whole, sort)[: len(values)] == values  # what is unknown comes last


async def test_what_arrives_between_two_pages_shifts_nothing(served: Served) -> None:
    for i in range(4):
        await served.ingest(run(f"f{i}", 10 + i))
    first = await served.ask(type="flows", limit=2)
    await served.ingest(run("new", 1))
    second = await served.ask(type="flows", limit=2, after=first["analytics"]["next"])
    assert listed(first) + listed(second) == ["f0", "f1", "f2", "f3"]


async def test_a_filter_keeps_the_flows_that_hold_one_event_which_fits_all_of_it(served: Served) -> None:
    await served.ingest(run("web") + run("other")[-1:])
    tool = {"dim": "tool", "op": "is", "values": ["web_search"]}
    failed = {"dim": "status", "op": "is", "values": ["error"]}
    large = {"dim": "model", "op": "is", "values": ["large"]}
    assert listed(await served.ask(type="flows", filters=[tool])) == ["web"]
    assert listed(await served.ask(type="flows", filters=[tool, failed])) == ["web"]
    assert listed(await served.ask(type="flows", filters=[large, failed])) == []  # the large model did not fail
    assert listed(await served.ask(type="flows", filters=[tool], sort="tokens"), "tokens") == [1320]
    assert sorted(listed(await served.ask(type="flows", domain="professional"))) == ["other", "web"]


async def test_a_long_flow_is_found_by_what_it_did_before_the_window(served: Served) -> None:
    early = event("long", "tool", ended_s=3000, took_ms=10, tool="shell", status="error")
    await served.ingest([early, event("long", "flow", ended_s=5, took_ms=3_100_000.0)])
    fits = [{"dim": "tool", "op": "is", "values": ["shell"]}]
    answer = await served.ask(type="flows", window="now-30m", filters=fits)
    assert listed(answer) == ["long"]
    assert listed(answer, "errors") == [1]


@pytest.mark.parametrize("text", ["ANSWER F1", "f1", "PlanNer", "rate_l"])
async def test_search_finds_part_of_name_agent_id_and_error_in_any_case(served: Served, text: str) -> None:
    await served.ingest(run("f1", status="error", error_type="rate_limited") + run("f2", agent="coder"))
    assert listed(await served.ask(type="flows", search=text)) == ["f1"]


async def test_search_takes_no_wildcards(served: Served) -> None:
    await served.ingest(run("f1"))
    for text in ("%", "_", "answer%f1", "' OR 1=1 --"):
        assert listed(await served.ask(type="flows", search=text)) == []


async def test_a_key_of_a_domain_sees_nothing_of_the_others(served: Served) -> None:
    await served.ingest(run("mine") + run("theirs", domain="secret"))
    elsewhere = event("mine", "model", ended_s=11, took_ms=5, domain="secret", tokens_input=5000, tokens_output=0)
    await served.ingest([elsewhere])
    key = served.app.keys.create("bound", ["read"], domains=["professional"])[1]

    async def ask(**message: Any) -> tuple[int, dict[str, Any]]:
        return await served.post("/api/analytics", message, key=key)

    _, answer = await ask(type="flows", sort="tokens")
    assert listed(answer) == ["mine"]
    assert listed(answer, "tokens") == [1320]
    assert answer["analytics"]["sources"] is None
    assert answer["analytics"]["domains"] == ["professional"]
    _, one = await ask(type="flow", flow_id="mine")
    assert one["analytics"]["tokens"] == 1320
    assert {span["domain"] for span in one["analytics"]["spans"]} == {"professional"}
    status, problem = await ask(type="flow", flow_id="their")
    assert status == 404
    assert "theirs" not in problem["detail"]


async def test_as_of_hides_what_came_later(served: Served) -> None:
    await served.ingest(run("early"))
    then = datetime.now(UTC)
    await served.ingest(run("late", 20))
    assert listed(await served.ask(type="flows", as_of=rfc3339(then))) == ["early"]
    assert sorted(listed(await served.ask(type="flows"))) == ["early", "late"]


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"sort": "tokns"}, "did you mean 'tokens'"),
        ({"limit": 0}, "expected 1 to 1,000, got 0"),
        ({"limit": 5000}, "expected 1 to 1,000"),
        ({"after": "???"}, "expected the `next` of a page"),
        ({"after": "WyJ0aW1lIix0cnVlLCJ4IiwiYSJd"}, "expected the `next` of a page"),  # ["time",true,"x","a"]
        ({"after": "WyJuYW1lIix0cnVlLDEsImEiXQ"}, "expected the `next` of a page"),  # ["name",true,1,"a"]
        ({"after": "WyJuYW1lIix0cnVlLCJhIiwiYSJd"}, "sorted in another way"),  # ["name",true,"a","a"]
    ],
)
async def test_a_request_that_cannot_be_answered_says_why(served: Served, asked: dict[str, Any], told: str) -> None:
    status, problem = await served.post("/api/analytics", {"type": "flows"} | asked)
    assert status == 400
    assert told in problem["detail"]


# one flow


async def detail(served: Served, flow_id: str = "f1") -> dict[str, Any]:
    found: dict[str, Any] = (await served.ask(type="flow", flow_id=flow_id))["analytics"]
    return found


def shape(answer: dict[str, Any]) -> list[tuple[int, str]]:
    return [(span["depth"], span["name"]) for span in answer["spans"]]


async def test_a_flow_is_a_tree_in_time_with_its_critical_path(served: Served) -> None:
    await served.ingest(run("f1") + run("f2"))
    found = await detail(served)
    assert shape(found) == [(0, "answer f1"), (1, "model"), (1, "tool"), (1, "model")]
    assert (found["name"], found["status"], found["duration_ms"]) == ("answer f1", "ok", 2000)
    assert (found["tokens"], found["cost_usd"], found["count"], found["truncated"]) == (1320, 0.021, 4, False)
    root, first, tool, second = found["spans"]
    assert root["start"] == pytest.approx((NOW - timedelta(seconds=12)).timestamp() * 1000, abs=0.01)
    assert second["end"] == root["end"]
    assert [span["critical"] for span in found["spans"]] == [True] * 4
    assert [span["critical_ms"] for span in (root, first, tool, second)] == [100, 500, 500, 900]
    assert found["critical_ms"] == 1900
    assert sum(span["critical_ms"] for span in found["spans"]) == found["duration_ms"]


async def test_orphans_and_circles_hang_under_the_root(served: Served) -> None:
    await served.ingest(
        [
            *run("f1")[-1:],
            event("f1", "tool", ended_s=11, took_ms=1, parent_id="never sent", name="orphan"),
            event("f1", "agent", ended_s=11, took_ms=5, event_id="a", parent_id="b", name="a"),
            event("f1", "agent", ended_s=11, took_ms=4, event_id="b", parent_id="a", name="b"),
            event("f1", "model", ended_s=11, took_ms=3, event_id="self", parent_id="self", name="self"),
        ]
    )
    found = await detail(served)
    assert shape(found)[0] == (0, "answer f1")
    assert sorted(name for _, name in shape(found)) == ["a", "answer f1", "b", "orphan", "self"]
    assert {"orphan", "self"} <= {name for depth, name in shape(found) if depth == 1}
    assert next(s for s in found["spans"] if s["name"] == "orphan")["parent_id"] == "never sent"


async def test_a_wrong_clock_stays_visible_and_off_the_path(served: Served) -> None:
    early = event("f1", "tool", ended_s=4000, took_ms=500, parent_id="f1:root", name="early")
    late = event("f1", "tool", ended_s=2, took_ms=500, parent_id="f1:root", name="late")
    await served.ingest([early, *run("f1")[-1:], late])
    found = await detail(served)
    assert shape(found) == [(0, "answer f1"), (1, "early"), (1, "late")]
    assert found["duration_ms"] == 2000
    assert [span["critical"] for span in found["spans"]] == [True, False, False]
    assert found["spans"][1]["end"] < found["spans"][0]["start"]


async def test_an_event_sent_twice_is_one_span(served: Served) -> None:
    await served.ingest(run("f1"))
    await served.ingest(run("f1"))
    assert (await detail(served))["count"] == 4


async def test_a_flow_whose_root_has_not_come_is_running(served: Served) -> None:
    await served.ingest(run("f1")[:-1])
    found = await detail(served)
    assert found["status"] is None
    assert {depth for depth, _ in shape(found)} == {0}
    assert found["duration_ms"] == pytest.approx(2000, abs=1)


async def test_the_turns_of_a_conversation_are_roots_side_by_side(served: Served) -> None:
    again = event("f1", "flow", ended_s=2, took_ms=1000, event_id="f1:again", name="and then", status="error")
    below = event("f1", "tool", ended_s=2.1, took_ms=10, parent_id="lost", name="orphan")
    await served.ingest([*run("f1"), again, below])
    found = await detail(served)
    assert [s for s in shape(found) if s[0] == 0] == [(0, "answer f1"), (0, "and then")]
    assert shape(found)[-1] == (1, "orphan")  # under the turn in which it ran
    assert (found["status"], found["duration_ms"]) == ("error", 10_000)


async def test_of_a_huge_flow_the_longest_spans_stay_and_the_sums_are_of_all(served: Served) -> None:
    calls = [
        event("f1", "model", ended_s=11, took_ms=float(i), event_id=f"c{i}", parent_id="f1:root", tokens_output=1)
        for i in range(2_100)
    ]
    await served.ingest([*calls, *run("f1")[-1:]])
    found = await detail(served)
    assert (len(found["spans"]), found["count"], found["truncated"], found["tokens"]) == (2_000, 2_101, True, 2_100)
    assert found["spans"][0]["id"] == "f1:root"
    assert min(s["duration_ms"] for s in found["spans"]) == 101


async def test_attributes_come_whole_until_the_answer_is_full(served: Served) -> None:
    prompt = "x" * 30_000
    calls = [
        event(
            "f1",
            "model",
            ended_s=11,
            took_ms=float(i),
            event_id=f"c{i}",
            attributes={"prompt": prompt, "n": {"a": [1]}},
        )
        for i in range(100)
    ]
    await served.ingest([*calls, *run("f1")[-1:]])
    spans = {span["id"]: span for span in (await detail(served))["spans"]}
    assert spans["c99"]["attributes"]["n"] == {"a": [1]}  # the longest spans first
    assert spans["c0"]["attributes"] is None
    assert spans["f1:root"]["attributes"] == {}


async def test_an_unknown_flow_names_the_nearest(served: Served) -> None:
    await served.ingest(run("abcdef0123") + run("zzz"))
    status, problem = await served.post("/api/analytics", {"type": "flow", "flow_id": "abcdef0124"})
    assert (status, problem["code"]) == (404, "NOT_FOUND")
    assert problem["detail"] == "no flow 'abcdef0124'; nearest: 'abcdef0123'"


async def test_a_window_looks_for_the_flow_there(served: Served) -> None:
    await served.ingest(run("f1", 20_000))
    assert (await detail(served))["count"] == 4
    status, _ = await served.post("/api/analytics", {"type": "flow", "flow_id": "f1", "window": "now-1h"})
    assert status == 404
