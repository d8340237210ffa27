"""`explain` over events whose truth is known: a table of errors, a fleet with an incident, and what cannot be told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from analytics.messages import Explain, from_builtins
from tests.bench.insight_explain import fleet
from tests.conftest import Served, flow, rfc3339

BEFORE_S, NOW_S = 5400, 1800  # ago: inside the hour before, and inside the last


def calls(ago_s: float, **tools: tuple[int, int]) -> list[dict[str, Any]]:
    """Tool calls of an even mix of agents: so many per tool, the first so many of them failed."""
    return [
        flow("call", ago_s, kind="tool", tool=tool, agent=f"agent {i % 5}", status="error" if i < failed else "ok")
        for tool, (count, failed) in tools.items()
        for i in range(count)
    ]


@pytest.fixture
async def failing(served: Served) -> Served:
    """The worked example of the docs."""
    await served.ingest(calls(BEFORE_S, sql_query=(400, 8), web_search=(600, 6)))
    await served.ingest(calls(NOW_S, sql_query=(500, 50), web_search=(500, 5)))
    return served


async def explained(served: Served, **message: Any) -> dict[str, Any]:
    found: dict[str, Any] = (await served.ask(**({"type": "explain", "window": "now-1h"} | message)))["analytics"]
    return found


def exact(answer: dict[str, Any]) -> None:
    """Causes and rest are the change, and volume, mix and rate are each of them."""
    parts = [*answer["causes"], answer["rest_parts"] | {"change": answer["rest"]}]
    size = abs(answer["change"])
    assert sum(p["change"] for p in parts) == pytest.approx(answer["change"], rel=1e-9)
    for part in parts:
        assert part["volume"] + part["mix"] + part["rate"] == pytest.approx(part["change"], rel=1e-9, abs=1e-9 * size)
    assert answer["change"] == pytest.approx(answer["current"] - answer["baseline"], rel=1e-9)


async def test_the_tool_that_fails_is_the_cause_with_its_rate_and_mix(failing: Served) -> None:
    reply = await failing.ask(type="explain", metric="tool_error_rate", window="now-1h")
    answer = reply["analytics"]
    exact(answer)
    (cause,) = answer["causes"]
    assert cause["where"] == {"tool": "sql_query"}
    assert (cause["baseline"], cause["current"]) == (0.02, 0.1)
    assert (cause["n"], cause["n_baseline"]) == (500, 400)
    assert [cause[k] for k in ("volume", "mix", "rate")] == pytest.approx([0.0, 0.00255, 0.036])
    assert cause["share"] == pytest.approx(0.03855 / 0.041)
    assert (answer["baseline"], answer["current"]) == (0.014, 0.055)
    assert (answer["localised"], answer["reason"], answer["change_kind"]) == (True, None, "pp")
    assert {"status", "kind", "error_type"} & set(answer["dimensions"]) == set()
    (insight,) = reply["insights"]
    assert insight["kind"] == "cause"
    assert insight["text"] == "Tool error rate: 94% of the rise comes from tool = sql_query (2.0% → 10.0%, by rate)."


async def test_a_window_of_its_own_is_a_baseline(failing: Served) -> None:
    now = datetime.now(UTC)
    window = {"from": rfc3339(now - timedelta(minutes=40)), "to": rfc3339(now - timedelta(minutes=20))}
    baseline = {"from": rfc3339(now - timedelta(minutes=100)), "to": rfc3339(now - timedelta(minutes=80))}
    answer = await explained(failing, metric="tool_error_rate", window=window, baseline=baseline)
    exact(answer)
    assert answer["causes"][0]["where"] == {"tool": "sql_query"}
    assert {k: answer["baseline_window"][k] for k in ("from", "to")} == baseline
    assert (answer["n"], answer["n_baseline"]) == (1000, 1000)


async def test_the_filters_of_a_question_hold_for_its_causes(failing: Served) -> None:
    filters = [{"dim": "tool", "values": ["web_search"]}]
    answer = await explained(failing, metric="tool_errors", filters=filters)
    assert (answer["baseline"], answer["current"], answer["causes"]) == (6, 5, [])
    assert answer["reason"] == "no localised cause: the change is within noise"
    assert answer["rest"] == answer["change"] == -1


async def test_what_grew_everywhere_has_no_localised_cause(served: Served) -> None:
    await served.ingest(calls(BEFORE_S, a=(300, 0), b=(300, 0)) + calls(NOW_S, a=(600, 0), b=(600, 0)))
    answer = await explained(served, metric="tool_calls")
    assert (answer["localised"], answer["causes"]) == (False, [])
    assert answer["reason"] == "no localised cause: the change is spread evenly"


async def test_sums_and_quantiles_are_exact_too(served: Served) -> None:
    def runs(ago_s: float, slow_ms: float, usd: float) -> list[dict[str, Any]]:
        return [
            flow("run", ago_s - i / 10, agent=f"a{i % 4}", tool=f"t{i % 3}", cost_usd=usd if i % 12 == 5 else 0.01,
                 duration_ms=(slow_ms if i % 12 == 5 else 800.0) + i)
            for i in range(600)
        ]  # fmt: skip

    await served.ingest(runs(BEFORE_S, 900.0, 0.01) + runs(NOW_S, 9000.0, 0.30))
    for metric in ("duration_p95", "spend"):
        answer = await explained(served, metric=metric, dimensions=["agent", "tool", "domain"])
        exact(answer)
        assert answer["causes"][0]["where"] == {"agent": "a1", "tool": "t2"}
        assert answer["causes"][0]["share"] > 0.9
        assert answer["dimensions"] == ["agent", "tool"]  # one domain explains nothing


async def test_a_dimension_that_somebody_asks_for_is_searched(failing: Served) -> None:
    answer = await explained(failing, metric="tool_error_rate", dimensions=["status", "tool"])
    assert answer["dimensions"] == ["status", "tool"]
    exact(answer)


async def test_what_is_no_sum_says_so(failing: Served) -> None:
    answer = await explained(failing, metric="agents_active", filters=[{"dim": "tool", "values": ["sql_query"]}])
    assert (answer["localised"], answer["causes"]) == (False, [])
    assert "a distinct count does not add up" in answer["reason"]


async def test_without_a_baseline_nothing_is_explained(served: Served) -> None:
    await served.ingest([flow()])
    answer = await explained(served, metric="duration_p95")
    assert (answer["change"], answer["reason"]) == (None, "there is nothing to compare with")


@pytest.mark.parametrize(
    ("message", "status", "told"),
    [
        ({"metric": "tool_eror_rate"}, 404, "did you mean 'tool_error_rate'"),
        ({"metric": "flows", "dimensions": ["agnt"]}, 404, "did you mean 'agent'"),
        ({"metric": "flows", "dimensions": ["duration_bin"]}, 400, "expected text"),
        ({"metric": "flows", "dimensions": list("abcdefghi")}, 400, "at most 8, got 9"),
        ({"metric": "flows", "limit": 0}, 400, "expected 1 to 20, got 0"),
        ({"metric": "flows", "baseline": {"from": "yesteryear"}}, 400, "'yesteryear'"),
    ],
)
async def test_a_wrong_question_is_refused(served: Served, message: dict[str, Any], status: int, told: str) -> None:
    found, problem = await served.post("/api/analytics", {"type": "explain", "window": "now-1h"} | message)
    assert found == status
    assert told in problem["detail"]


async def test_a_key_that_is_bound_to_a_domain_sees_only_its_causes(served: Served) -> None:
    for domain, times in (("support", 1), ("research", 4)):
        await served.ingest([flow(ago_s=BEFORE_S, domain=domain, agent=f"a{i % 3}") for i in range(120)])
        grown = [flow(ago_s=NOW_S, domain=domain, agent=f"a{i % 3}") for i in range(120) for _ in range(times)]
        await served.ingest(grown)
    _, key = served.app.keys.create("support", ["read"], domains=["support"])
    status, reply = await served.post("/api/analytics", {"type": "explain", "metric": "flows", "window": "now-1h"}, key)
    assert (status, reply["analytics"]["change"], reply["analytics"]["causes"]) == (200, 0, [])
    everything = await explained(served, metric="flows")
    assert everything["causes"][0]["where"] == {"domain": "research"}


async def test_what_changed_names_the_cause_and_how_to_ask_for_it(failing: Served) -> None:
    tile = {"id": "changed", "type": "changes", "metrics": ["tool_error_rate"], "by": ["agent", "tool"]}
    filters = [{"dim": "kind", "op": "is", "values": ["tool"]}]
    asked = {"type": "board", "board": "mine", "tiles": [tile], "window": "now-1h", "filters": filters}
    board = (await failing.ask(**asked))["analytics"]
    item = next(i for i in board["tiles"]["changed"]["head"]["items"] if i["metric"] == "tool_error_rate")
    text = "".join(part["t"] for part in item["text"])
    assert text.endswith("94% of the rise comes from tool = sql_query.")
    assert item["shares"] == [{"label": "tool = sql_query", "share": pytest.approx(0.03855 / 0.041)}]
    request = from_builtins(item["why"])
    assert isinstance(request, Explain)
    assert item["why"]["filters"] == filters
    answer = (await failing.ask(**item["why"]))["analytics"]
    assert answer["causes"][0]["where"] == {"tool": "sql_query"}


async def test_the_three_replies_name_causes(failing: Served) -> None:
    reply = await failing.ask(type="flow_analytics", window="now-1h")
    insight = next(i for i in reply["insights"] if i["metric"] == "tool_error_rate")
    assert insight["evidence"]["causes"][0]["where"] == {"tool": "sql_query"}


async def test_incidents_of_the_fleet_are_named() -> None:
    told = {t.incident.kind: t for t in await fleet(hours=4.5) if t.incident.kind in ("error_burst", "cost_runaway")}
    assert told["error_burst"].exact
    assert told["cost_runaway"].named
    for each in told.values():
        exact(each.answer)
