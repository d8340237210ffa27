"""Whatever an address holds, a scope comes of it."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics import window
from analytics.errors import ValidationError
from dashboard.scope import MAX_CHARS, MAX_FILTERS, MAX_VALUES, Scope

DIMENSIONS = ("domain", "agent", "model")
CASES: dict[str, Any] = json.loads(Path(__file__).with_name("scope_cases.json").read_text("utf-8"))


def scope(query: str) -> tuple[Scope, list[str]]:
    return Scope.from_query(parse_qs(query, keep_blank_values=True), dimensions=DIMENSIONS)


def test_an_address_becomes_a_scope_and_back() -> None:
    query = "window=now-6h&domain=professional&domain=personal&agent=planner&compare=off&theme=dark"
    found, messages = scope(query)
    assert messages == []
    assert found.filters == [
        {"dim": "domain", "op": "in", "values": ["professional", "personal"]},
        {"dim": "agent", "op": "is", "values": ["planner"]},
    ]
    assert found.to_query() == query


@pytest.mark.parametrize("case", CASES["addresses"], ids=lambda c: c["query"] or "nothing")
def test_an_address_reads_as_it_does_in_the_browser(case: dict[str, Any]) -> None:
    """assets/scope.js is held to the same cases in tests/browser/test_scope_bar.py."""
    query = parse_qs(case["query"], keep_blank_values=True)
    found, messages = Scope.from_query(query, dimensions=DIMENSIONS, arguments=("flow",))
    assert messages == []
    assert [[f["dim"], f["op"], f["values"]] for f in found.filters] == case["filters"]
    assert found.state() == Scope().state() | {"filters": found.filters} | case.get("state", {})
    assert found.to_query() == case.get("written", case["query"])


@pytest.mark.parametrize("case", CASES["windows"], ids=lambda c: f"{c['window']} in {c['tz']}")
def test_a_window_means_what_the_browser_says_it_means(case: dict[str, Any]) -> None:
    now = datetime.fromisoformat(CASES["now"])
    if case["from"] is None:
        with pytest.raises(ValidationError):
            window.resolve(window.parse(case["window"], "now-1h", case["tz"]), now)
        return
    period = window.resolve(window.parse(case["window"], "now-1h", case["tz"]), now)
    assert [period.start, period.end] == [datetime.fromisoformat(case["from"]), datetime.fromisoformat(case["to"])]


def test_a_strange_mark_after_a_name_is_named() -> None:
    found, messages = scope("agent~!=x")
    assert found.filters == []
    assert messages == ["agent~! in the address was not used: expected =, != or ~= after the name."]


def test_defaults_leave_no_trace_in_the_address() -> None:
    assert scope("window=now-1h&compare=previous&paused=0")[0].to_query() == ""


def test_what_cannot_be_used_is_named_and_left_out() -> None:
    found, messages = scope("window=<script>&theme=pink&compare=yes&tz=Nowhere/City&domian=x")
    assert found.state() == Scope().state()
    assert len(messages) == 5
    assert "did you mean 'domain'?" in messages[-1]


def test_a_window_is_judged_by_the_grammar_that_is_given() -> None:
    def check(text: str) -> None:
        raise ValidationError(f"no window {text!r}")

    found, messages = Scope.from_query({"window": ["now-1x"]}, dimensions=DIMENSIONS, check_window=check)
    assert found.window == "now-1h" and messages == ["window in the address was not used: no window 'now-1x'."]


def test_floods_are_bounded() -> None:
    many = {f"d{i}": [f"{'v' * 500}{j}" for j in range(500)] for i in range(500)}
    found, messages = Scope.from_query(many, dimensions=set(many))
    assert len(found.filters) == MAX_FILTERS and messages == []
    assert all(len(f["values"]) <= MAX_VALUES for f in found.filters)
    assert all(len(v) <= MAX_CHARS for f in found.filters for v in f["values"])


TEXT = st.text(max_size=40)
MARKED = [name + mark for name in DIMENSIONS for mark in ("", "!", "~")]
NAMES = st.one_of(st.sampled_from(["window", "tz", "compare", "paused", "theme", *MARKED]), TEXT)


@given(st.dictionaries(NAMES, st.lists(TEXT, max_size=4), max_size=8))
def test_no_address_is_too_strange(query: dict[str, list[str]]) -> None:
    found, messages = Scope.from_query(query, dimensions=DIMENSIONS)
    again, _ = Scope.from_query(parse_qs(found.to_query(), keep_blank_values=True), dimensions=DIMENSIONS)
    assert again.state() == found.state()
    assert len(messages) <= 5
