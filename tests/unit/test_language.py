"""The grammar of questions: the goals on the question set, what it echoes, and when it holds back."""

from __future__ import annotations

import re
import string
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.errors import NotFound, ValidationError
from analytics.language.grammar import Grammar, Understood
from analytics.language.meaning import Asked
from analytics.language.names import Names
from analytics.language.said import said
from analytics.language.tokens import close, singular, words
from analytics.messages import Question
from analytics.query import Filter, Window
from analytics.workspace import load
from tests.bench.insight_ask import Score, scored
from tests.language.questions import WORKSPACES, QuestionSet, judged, question_set

DOCS = Path(__file__).parents[2] / "assets/docs/ask.md"


@pytest.fixture(scope="module")
def questions() -> QuestionSet:
    return question_set()


@pytest.fixture(scope="module")
def grammar(questions: QuestionSet) -> Grammar:
    return Grammar(Names(questions.workspace), questions.live)


class Asker:
    """Asks at the time of the question set."""

    def __init__(self, grammar: Grammar, questions: QuestionSet) -> None:
        self.grammar, self.questions = grammar, questions

    def __call__(self, text: str, **stands: Any) -> Understood:
        return self.grammar.understand(text, Asked(now=self.questions.now, **stands))

    def told(self, text: str, **stands: Any) -> dict[str, Any]:
        request = self(text, **stands).request
        assert request is not None, self(text, **stands)
        found: dict[str, Any] = msgspec.to_builtins(request)
        return found

    def said(self, request: Question | None) -> str:
        assert request is not None
        return said(request, self.questions.workspace, self.questions.now)


@pytest.fixture
def ask(grammar: Grammar, questions: QuestionSet) -> Asker:
    return Asker(grammar, questions)


# the question set


@pytest.mark.parametrize("split", ["dev", "test", "later", "c", "d", "e"])
def test_the_goals_on_the_question_set(questions: QuestionSet, split: str) -> None:
    score: Score = scored(list(judged(questions, split)))
    assert score.precision >= 0.9
    assert score.confidently_wrong <= 0.02
    assert score.abstention >= 0.95
    assert score.coverage >= 0.9
    assert score.median_ms < 5


def test_the_question_set_is_what_it_says(questions: QuestionSet) -> None:
    cases = [case for case in questions.cases if case.split in ("dev", "test")]
    none = [case for case in cases if case.want is None]
    assert len(cases) >= 320
    assert len(none) >= len(cases) / 4
    assert abs(sum(case.split == "dev" for case in cases) - len(cases) / 2) <= 1
    assert len({(case.ask, case.tz) for case in cases}) == len(cases)
    e = [case for case in questions.cases if case.split == "e"]
    assert len(e) >= 250
    assert sum(case.want is None for case in e) >= 0.28 * len(e)
    assert len({(case.ask, case.tz) for case in questions.cases}) == len(questions.cases)


def table(heading: str) -> list[list[str]]:
    """The rows of the first table under a heading of the docs."""
    section = DOCS.read_text().split(f"\n## {heading}\n")[1]
    block = re.search(r"(?:^\|.*\n)+", section, re.MULTILINE)
    assert block
    return [[cell.strip() for cell in line.strip("|\n ").split("|")] for line in block[0].splitlines()[2:]]


@pytest.mark.parametrize(("text", "echo"), table("What it understands"), ids=str)
def test_the_docs_say_what_is_understood(ask: Asker, text: str, echo: str) -> None:
    assert ask.said(ask(text).request) == echo


@pytest.mark.parametrize(
    ("text", "reason", "readings"), table("What it does not answer"), ids=lambda row: str(row)[:30]
)
def test_the_docs_say_what_is_not(ask: Asker, text: str, reason: str, readings: str) -> None:
    found = ask(text)
    assert found.request is None
    assert found.reason == reason
    assert ("; ".join(ask.said(r) for r in found.readings) or "none") == readings


# names


def test_one_wrong_letter_is_put_right_and_said(ask: Asker) -> None:
    found = ask("spnd of planer yesteday")
    assert ask.said(found.request) == "spend per hour, where agent is planner, yesterday"
    assert found.corrected == (("spnd", "spend"), ("planer", "planner"), ("yesteday", "yesterday"))


def test_a_letter_that_leads_to_two_names_leads_to_none(ask: Asker) -> None:
    found = ask("flows of researchr")  # the agent researcher, or the domain research
    assert found.request is None
    assert {"agent is researcher", "domain is research"} <= {
        ask.said(r).split("where ")[1].split(",")[0] for r in found.readings if "where" in ask.said(r)
    }


def test_a_value_in_two_dimensions_is_asked_back(ask: Asker) -> None:
    found = ask("flights of LGA")
    assert found.reason == "it could be flights.origin or flights.dest"
    assert [ask.said(r).split("where ")[1].split(",")[0] for r in found.readings] == [
        "origin is LGA",
        "destination is LGA",
    ]
    assert ask.told("flights with destination LGA")["filters"][0]["dim"] == "flights.dest"


def test_a_name_in_two_datasets_is_told_apart_by_the_others(ask: Asker) -> None:
    assert ask("rows").request is None
    assert ask.told("rows by carrier")["metrics"] == ["flights.rows"]
    assert ask.told("rows by country")["metrics"] == ["shop.rows"]


def test_synonyms_are_declared_in_the_workspace(tmp_path: Path, questions: QuestionSet) -> None:
    (tmp_path / "mine.yaml").write_text(
        "metrics:\n  refunds: {count: {}, where: {name: refund}, title: Refunds, synonyms: [money back, chargebacks]}\n"
        "dimensions:\n  tenant: {attribute: tenant, title: Tenant, synonyms: customer}\n"
    )
    grammar = Grammar(Names(load([*sorted(WORKSPACES.glob("*.yaml")), tmp_path / "mine.yaml"])), {})
    found = grammar.understand("chargebacks per customer today", Asked(now=questions.now)).request
    assert msgspec.to_builtins(found)["metrics"] == ["refunds"]
    assert msgspec.to_builtins(found)["group_by"] == ["tenant"]


@pytest.mark.parametrize(
    "wrong", ["[a, a]", "['12']", "[" + ", ".join(f"w{n}x" for n in range(21)) + "]", "7", f"{'x' * 61}"]
)
def test_synonyms_are_checked(tmp_path: Path, wrong: str) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(f"dimensions:\n  tenant: {{attribute: tenant, synonyms: {wrong}}}\n")
    with pytest.raises(ValidationError, match="synonyms"):
        load([file])


def test_a_name_of_the_workspace_counts_before_an_everyday_word(tmp_path: Path, questions: QuestionSet) -> None:
    (tmp_path / "mine.yaml").write_text("metrics: {latency: {avg: value, title: Latency}}\n")
    grammar = Grammar(Names(load([*sorted(WORKSPACES.glob("*.yaml")), tmp_path / "mine.yaml"])), {})
    found = grammar.understand("latency today", Asked(now=questions.now)).request
    assert msgspec.to_builtins(found)["metrics"] == ["latency"]


# what a request cannot say is never left out


@pytest.mark.parametrize(
    "text",
    [
        "agents without errors",  # a negation that denies no value
        "not failed flows",
        "errors not today",
        "flows without users",
        "spend not only planner",
        "errors of planner or support",  # filters hold all at once
        "errors of planner and ada",
        "agent planner or user ada errors",
        "errors except planner in support",
        "errors by agent or tool",
        "errors per flow",  # numbers are counted by dimensions
        "errors per planner",
        "flows by errors",
        "how many agents failed",
        "commits yesterday",
        "error and success rate by agent",  # one word for two names
        "p50 and p95 tool duration",
        "max average order value",
        "top 3 slowest p75 flows",
        "log errors",  # errors are of flows
        "tool without calls",
        "flow time by agent",  # a noun that adds something
        "error level events",
        "broken tools",
        "errors of all time",
        "errors through Monday",
        "errors on Mondays",
        "is spend high",
        "does memory exceed 90%",
        "explain what spend is",
        "expected spend yesterday",
        "flights to JFK",  # an origin
        "flights from LAX to JFK",
        "spend of ada and tokens of bruno",  # two questions
        "spend today plus tokens",
        "errors because of planner",  # a cause
        "did errors rise due to timeouts",
        "was the error rate ok yesterday",  # a judgement, and no rows with the status ok
        "worst agents by success rate",  # the smallest
        "percentage of errors by agent",  # of a count
        "which tools were not used by planner",
        "top 5 in the afternoon",
        "errors yesterday 9:00 and today 9:00",
        "errors 2 hours before 14:00",  # a moment, or a span
        "errors since the last week",
        "errors since 8 yesterday evening",
        "errors between 8 and 14 this morning",
        "errors by agent sorted by names",
        "ranked by spend",
        "errors by agent sorted by spend",
        "when will 2 disks be full",
    ],
)
def test_what_cannot_be_said_is_not_dropped(ask: Asker, text: str) -> None:
    found = ask(text)
    assert found.request is None
    assert found.reason


@pytest.mark.parametrize(
    ("typed", "name"),
    [("scheduled", "scheduler"), ("deployed", "deployer"), ("larger", "large"), ("triage", "triager")],
)
def test_another_ending_is_another_word(ask: Asker, typed: str, name: str) -> None:
    assert ask(f"flows of {name} today").request is not None
    assert ask(f"flows of {typed} today").request is None


@pytest.mark.parametrize(
    ("text", "understood"),
    [
        ("errors except planner and coder", "errors, where agent is not planner or coder, last 1 hour"),
        ("errors for agent planner and user ada", "errors, where agent is planner and user is ada, last 1 hour"),
        ("spend not on large, by agent", "spend per hour, by agent, where model is not large, last 1 hour"),
        ("errors and error rate by agent", "errors and error rate, by agent, last 1 hour"),
        ("p50 and p95 duration", "p50 duration of flows and p95 duration of flows, last 1 hour"),
        ("network in on web-1", "network in, where source is web-1, last 1 hour"),
        ("tokens in large", "tokens, where model is large, last 1 hour"),
        ("how much did each model cost us today", "spend per hour, by model, today so far"),
        ("flights of US", "rows of flights, where carrier is US, 1 Jan 2013 to 31 Dec 2013"),
        ("number of agents seen today", "agents active, today so far"),
        ("errors this afternoon", "errors, since 12:00"),
        ("how many errors by agent", "errors, by agent, last 1 hour"),
        ("errors of everything but planner", "errors, where agent is not planner, last 1 hour"),
        ("errors due to timeout today", "errors, where error type is timeout, today so far"),
        ("which tools does planner use today", "values of tool, where agent is planner, today so far"),
        (
            "revenue of web vs store",
            "total amount of shop, by channel, where channel is web or store, 1 Oct 2025 to Wed 31 Dec",
        ),
        ("what share of the token quota is used", "token quota, last 1 hour"),
        ("errors between 2 and half past 3 in the afternoon", "errors, 14:00 to 15:30"),
        ("errors 8:00 - 9:30", "errors, 08:00 to 09:30"),
        ("errors in the last 2 hours and a half", "errors, last 150 minutes"),
        ("flows in the last quarter of an hour", "flows, last 15 minutes"),
        ("flows in the 20 minutes before 14:00", "flows, 13:40 to 14:00"),
        ("flows from yesterday 22:00 to today 6:00", "flows, yesterday 22:00 to 06:00"),
        ("flows from 10 pm yesterday to 6 am today", "flows, yesterday 22:00 to 06:00"),
        ("spend from the 2nd to the 4th of January", "spend per hour, Fri 2 Jan to Sun 4 Jan"),
        ("errors between 8 and 10 this morning", "errors, 08:00 to 10:00"),
        ("errors yesterday evening at 8", "errors, yesterday 20:00 to 21:00"),
        ("flows at 3 last night", "flows, 03:00 to 04:00"),
        ("agents sorted by tokens", "tokens, by agent, last 1 hour"),
        ("when will disk be 80% full", "forecast of disk, until it reaches 80.0%"),
        ("which tool was called most often", "tool calls, the first 5 by tool, last 1 hour"),
        ("spend year to date", "spend per hour, this year so far"),
        ("spend mtd", "spend per hour, this month so far"),
        ("spend since the start of the week", "spend per hour, this week so far"),
        ("spend the month before last", "spend per hour, 1 Nov 2025 to Sun 30 Nov"),
    ],
)
def test_what_can_be_said_still_is(ask: Asker, text: str, understood: str) -> None:
    assert ask.said(ask(text).request) == understood


# where the asker stands


def test_the_askers_range_and_filters_count_where_the_words_say_nothing(ask: Asker) -> None:
    stands = {
        "window": Window("now-6h", "now", "UTC"),
        "filters": (Filter(dim="domain", values=["support"]), Filter(dim="agent", values=["coder"])),
    }
    found = ask.told("errors of planner", **stands)
    assert found["window"]["from"] == "now-6h"
    assert [(f["dim"], f["values"]) for f in found["filters"]] == [("domain", ["support"]), ("agent", ["planner"])]
    assert ask.told("errors today", **stands)["window"]["from"] == "now/d"
    assert "window" not in ask.told("forecast spend for the next 12 hours", **stands)
    assert "filters" not in ask.told("flights by carrier", **stands)  # a file has no domain
    assert ask.told("flights by carrier", **stands)["window"]["from"] == "2013-01-01"


# holding back


@pytest.mark.parametrize(
    "text",
    ["", "?", "the", "'; DROP TABLE events; --", "errors; delete from events", '{"type": "query"}', "errors 5",
     "🙂 errors", "errors errorz zorblax", "a" * 501, "errors " * 120, "spend\x00", "errors > 5", "who did errors"],
)  # fmt: skip
def test_what_is_no_question_gets_a_reason(ask: Asker, text: str) -> None:
    found = ask(text)
    assert found.request is None
    assert found.reason


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.sampled_from("errors of planner by tool since yesterday 14:00 vs last week top 5 why did forecast next 3 "
                        "hours failed flows except between and 2026-01-05 not when will run out per hour zorb".split())
        | st.text(string.printable, max_size=6),
        max_size=9,
    )
)  # fmt: skip
def test_any_words_give_a_request_or_a_reason(grammar: Grammar, questions: QuestionSet, heard: Sequence[str]) -> None:
    found = grammar.understand(" ".join(heard), Asked(now=questions.now))
    assert (found.request is None) == bool(found.reason)
    for request in (found.request, *found.readings):
        if request is not None:
            assert said(request, questions.workspace, questions.now)


def test_every_reading_is_a_request_that_holds(grammar: Grammar, questions: QuestionSet) -> None:
    for case in questions.cases:
        for request in grammar.understand(case.ask, Asked(now=questions.now, tz=case.tz)).readings:
            told = msgspec.to_builtins(request)
            for name in [*told.get("metrics", []), *([told["metric"]] if "metric" in told else [])]:
                questions.workspace.metric(name)  # NotFound where there is none
            assert "zorblax" not in said(request, questions.workspace, questions.now)


def test_failed_things_are_not_all_things(ask: Asker) -> None:
    assert ask.told("failed tool calls by tool")["metrics"] == ["tool_errors"]
    assert ask("failed model calls").request is None  # nothing counts them
    assert ask.told("how many flows failed today")["metrics"] == ["errors"]


# small parts


@pytest.mark.parametrize(
    ("word", "one"),
    [
        ("errors", "error"),
        ("status", "status"),
        ("replies", "reply"),
        ("classes", "class"),
        ("tools", "tool"),
        ("is", "is"),
    ],
)
def test_singulars(word: str, one: str) -> None:
    assert singular(word) == one


def test_names_are_cut_at_their_joints() -> None:
    assert words("gateway-eu.web_search") == ("gateway", "eu", "web", "search")


@pytest.mark.parametrize(
    ("typed", "meant", "one"),
    [("eror", "error", True), ("modle", "model", True), ("plannner", "planner", True), ("plammer", "planner", False)],
)
def test_one_edit(typed: str, meant: str, one: bool) -> None:
    assert close(typed, meant) is one


def test_an_unknown_metric_in_an_echo_is_not_found(questions: QuestionSet) -> None:
    from analytics.messages import QueryRequest

    with pytest.raises(NotFound):
        said(QueryRequest(metrics=["nothing"]), questions.workspace, datetime.now(UTC))
