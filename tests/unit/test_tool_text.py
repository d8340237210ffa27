"""The lines that a model reads of each kind of answer."""

from __future__ import annotations

from typing import Any

import pytest

from analytics.api.tool_text import ROWS_SHOWN, said
from analytics.messages import AnalyticsUpdate
from analytics.workspace import Metric

METRICS = {
    "flows": Metric(name="flows", aggregate="count", unit="flows"),
    "spend": Metric(name="spend", aggregate="sum", unit="usd", per="hour"),
}
WINDOW = {"from": "2026-01-06T11:00:00.123456Z", "to": "2026-01-06T12:00:00.123456Z", "tz": "UTC", "grain": None}
PARTS = {"sample": 0.93, "freshness": 1.0, "completeness": 0.98, "model": None}


def lines(kind: str, analytics: dict[str, Any], *insights: str) -> list[str]:
    update = AnalyticsUpdate(
        analytics=analytics,
        insights=[{"kind": "x", "text": text} for text in insights],
        confidence=0.93,
        confidence_parts=PARTS,
        timestamp="2026-01-06T12:00:00.000000Z",
    )
    *told, trusted = said(kind, update, METRICS.get).splitlines()
    assert trusted == "Confidence 0.93 of 1: sample 0.93, freshness 1.00, completeness 0.98."
    return told


def total(value: float | None, n: int, previous: float | None = None) -> dict[str, Any]:
    return {"value": value, "previous": previous, "n": n}


def test_a_query() -> None:
    columns = ["agent", "flows", "flows_previous", "spend", "spend_previous"]
    rows = [["planner", 812, 790, 38.2, None], [None, 4, 0, None, None]]
    totals = {"flows": total(816, 816, 790), "spend": total(None, 0)}
    assert lines("query", {"columns": columns, "rows": rows, "totals": totals, "window": WINDOW}) == [
        "flows: 816 flows (before: 790 flows)",
        "spend: unknown, no rows in this window",
        "From 2026-01-06T11:00:00Z to 2026-01-06T12:00:00Z.",
        "agent | flows | flows_previous | spend | spend_previous",
        "planner | 812 | 790 | $38.20/h | unknown",
        "(none) | 4 | 0 | unknown | unknown",
    ]


def test_a_query_without_groups_has_no_table_and_a_long_one_is_cut() -> None:
    totals = {"flows": total(816, 816)}
    one = lines("query", {"columns": ["flows"], "rows": [[816]], "totals": totals, "window": WINDOW})
    assert one == ["flows: 816 flows", "From 2026-01-06T11:00:00Z to 2026-01-06T12:00:00Z."]
    rows = [[f"agent\n{i}" + "x" * 500, i] for i in range(ROWS_SHOWN + 5)]
    many = lines("query", {"columns": ["agent", "flows"], "rows": rows, "totals": totals, "window": WINDOW})
    assert many[-1] == "... and 5 more rows in the structured answer"
    assert len(many) == ROWS_SHOWN + 4
    assert max(map(len, many)) < 120


EXPLAINED = {"metric": "spend", "unit": "usd", "per": "hour", "baseline": 30.0, "current": 45.0, "reason": None}
CAUSE = {"where": {"agent": "planner", "tool": None}, "change": 12.0, "share": 0.8, "confidence": 0.9}


def test_an_explanation() -> None:
    assert lines("explain", EXPLAINED | {"causes": [CAUSE], "rest": 3.0}, "Spend rose by half.") == [
        "Spend rose by half.",
        "spend: from $30.00/h to $45.00/h",
        "- agent planner, tool (none), 80% of the change, confidence 0.90",
        "- everything else: $3.00/h",
    ]
    nothing = {"causes": [], "rest": 15.0, "reason": "no localised cause"}
    assert lines("explain", EXPLAINED | nothing) == ["spend: from $30.00/h to $45.00/h", "no localised cause"]


def test_a_forecast() -> None:
    points = [{"t": f"2026-01-06T1{i}:00:00.000000Z", "value": i, "low": i - 1, "high": i + 1} for i in (3, 4, 5)]
    reaches = {"at": "2026-01-06T16:20:00Z", "earliest": "2026-01-06T16:08:00Z", "latest": None}
    asked = {"metric": "flows", "unit": "flows", "per": None, "points": points, "limit_at": 9.0, "reason": None}
    assert lines("forecast", asked | {"reaches": reaches}) == [
        "flows next, 2026-01-06T13:00:00Z: 3 flows (2 flows to 4 flows)",
        "flows last, 2026-01-06T15:00:00Z: 5 flows (4 flows to 6 flows)",
        "Reaches 9 flows at 2026-01-06T16:20:00Z, between 2026-01-06T16:08:00Z and later.",
    ]
    assert lines("forecast", asked | {"points": [], "reaches": None, "reason": "too few values"}) == [
        "flows: no forecast",
        "too few values",
    ]


def test_a_question_in_words() -> None:
    query = {"columns": ["flows"], "rows": [[816]], "totals": {"flows": total(816, 816)}, "window": WINDOW}
    understood = {"understood": {"type": "query"}, "said": "flows, last 1 hour", "answer": query, "reason": None}
    assert lines("ask", understood)[:2] == ["Understood: flows, last 1 hour", "flows: 816 flows"]
    readings = [{"request": {}, "said": "flows by agent"}]
    unsure = {"understood": None, "readings": readings, "answer": None, "reason": "no metric 'flobs'"}
    assert lines("ask", unsure) == ["Not understood.", "no metric 'flobs'", "Perhaps:", "- flows by agent"]


@pytest.mark.parametrize("kind", ["board", "rows", "sources", "flow_analytics"])
def test_any_other_answer_is_at_least_trusted(kind: str) -> None:
    metrics = {"spend": {"value": None, "unit": "usd", "per": "hour", "reason": "no events in this window"}, "rows": []}
    assert lines(kind, metrics) == ["spend: unknown (no events in this window)"]


def test_values_and_flows_of_nothing() -> None:
    window = "From 2026-01-06T11:00:00Z to 2026-01-06T12:00:00Z."
    empty = {"dim": "tool", "values": [], "distinct": 0, "window": WINDOW}
    assert lines("values", empty) == ["tool: no values in this window", window]
    columns = ["flow_id", "name", "agent", "status", "duration_ms", "cost_usd", "errors"]
    assert lines("flows", {"columns": columns, "rows": [], "next": None, "window": WINDOW}) == [
        "no flows in this window",
        window,
    ]
    many = [{"value": f"tool {i}", "n": 2000 - i} for i in range(50)]
    (told, _) = lines("values", {"dim": "tool", "values": many, "distinct": 70, "window": WINDOW})
    assert told.startswith("tool, by rows: tool 0 (2,000), tool 1 (1,999), ")
    assert told.endswith(", ... and 50 more")
