"""/flows in a real browser on a real server: the list, however long, and one flow as a waterfall."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Visitor, address
from tests.conftest import Running, flow, rfc3339

HOSTILE = '<img src=x onerror="window.hacked=true">{{7*7}}\'"--'
LIST = ".list .row"
SPAN = ".waterfall .row"
MANY = 420
HUGE = 2100


@functools.cache
def start() -> datetime:
    """When these tests began, which may be long after they were collected."""
    return datetime.now(UTC)


def span(flow_id: str, name: str, begins_ms: float, takes_ms: float, **fields: Any) -> dict[str, Any]:
    """A span of a flow that began two minutes before the tests."""
    base = {"kind": "tool", "event_id": f"{flow_id}:{name}", "flow_id": flow_id, "parent_id": f"{flow_id}:root"}
    ended = start() - timedelta(minutes=2) + timedelta(milliseconds=begins_ms + takes_ms)
    return flow(name) | base | {"time": rfc3339(ended), "duration_ms": takes_ms, "agent": None} | fields


def root(flow_id: str, name: str, takes_ms: float, **fields: Any) -> dict[str, Any]:
    about = {"kind": "flow", "name": name, "agent": "planner", "parent_id": None}
    return span(flow_id, "root", 0, takes_ms) | about | fields


def story() -> list[dict[str, Any]]:
    """A flow of 4.8 s: two searches at the same time, of which the failing one is waited for, then an answer."""
    agent = "story:invoke planner"
    return [
        root("story", "the story", 4800, user="ada"),
        span("story", "invoke planner", 100, 4600, kind="agent", agent="planner"),
        span("story", "short search", 200, 500, tool="kb_search", parent_id=agent, agent="planner"),
        span("story", "long search", 200, 3000, tool="web_search", parent_id=agent, agent="planner", status="error",
             error_type="timeout", attributes={"span.status_message": "gave up after 3 s", "url.full": "https://x.test"}),
        span("story", "chat large", 3300, 1200, kind="model", model="large", parent_id=agent, agent="planner",
             tokens_input=2000, tokens_output=345, cost_usd=0.0421),
    ]  # fmt: skip


def call(i: int) -> str:
    return f"call {i:04d}"


def odd() -> list[dict[str, Any]]:
    """Flows that are not as they should be."""
    return [
        root("clocks", "wrong clocks", 1000),
        span("clocks", "an hour early", -3_600_000, 200),
        span("clocks", "too late", 90_000, 200),
        span("clocks", "overlapping", 900, 250),
        span("clocks", "no time at all", 500, 0),
        root("lonely", "one span", 20),
        root("instant", "no duration", 0),
        root("evil", HOSTILE, 10, agent=HOSTILE),
        span("evil", HOSTILE, 1, 5, tool=HOSTILE, error_type=HOSTILE, status="error", attributes={HOSTILE: HOSTILE}),
        root("huge", "two thousand spans", 10_000),
        *(span("huge", call(i), 4 * i, 8, parent_id="huge:" + (call(i - i % 20) if i % 20 else "root"))
          for i in range(HUGE)),
    ]  # fmt: skip


def many() -> list[dict[str, Any]]:
    """Flows of the last hour, the older the higher their number; number 7 takes longest."""
    return [
        flow(f"flow {i:03d}", 300 + 5 * i, flow_id=f"m{i:03d}", event_id=f"m{i:03d}", domain="many",
             duration_ms=9000.0 if i == 7 else 100.0 + i, agent="coder" if i % 2 else "reviewer")
        for i in range(MANY)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    server = Running(tmp_path_factory.mktemp("flows") / "data").start()
    server.post(many() + story() + odd())
    yield server
    server.stop()


@pytest.fixture
def page(server: Running, visitor: Visitor) -> Iterator[Page]:
    """A signed-in page on /flows."""
    visitor.sign_in(server.url, server.key, "/flows")
    visitor.page.wait_for_selector(LIST)
    yield visitor.page
    assert visitor.errors == []


def row(page: Page, name: str) -> Locator:
    return page.locator(LIST).filter(has=page.locator(".c-name a", has_text=re.compile(f"^{re.escape(name)}$")))


def spans(page: Page) -> list[str]:
    return page.locator(f"{SPAN} .label").all_text_contents()


def opened(page: Page, server: Running, flow_id: str, more: str = "") -> None:
    page.goto(f"{server.url}/flows?flow={flow_id}{more}")
    page.wait_for_selector(SPAN)


def test_an_empty_list_says_how_to_fill_it(running: Running, visitor: Visitor) -> None:
    visitor.sign_in(running.url, running.key, "/flows")
    state = visitor.page.locator(".list .state")
    expect(state).to_contain_text("No flow ended in the last hour.")
    expect(state.locator("code")).to_contain_text(f"{running.url}/api/ingest/events")
    running.post([flow("the first")])
    expect(row(visitor.page, "the first")).to_be_visible()
    expect(state).to_be_hidden()
    assert visitor.errors == []


def test_a_row_says_how_the_flow_went(page: Page) -> None:
    line = row(page, "the story")
    expect(line.locator(".c-status")).to_have_text("ok")
    expect(line.locator(".c-agent")).to_have_text("planner")
    expect(line.locator(".c-duration_ms")).to_have_text("4.80 s")
    expect(line.locator(".c-tokens")).to_have_text("2,345")
    expect(line.locator(".c-cost")).to_have_text("$0.0421")
    expect(line.locator(".c-calls")).to_have_text("1 model call2 tool calls")
    expect(line.locator(".c-errors")).to_have_text("1")
    expect(page.locator("[data-control=live]")).to_contain_text("Live")
    expect(page.locator("[data-control=facts]")).to_contain_text("watermark")


def test_hundreds_of_flows_scroll_by_with_few_rows_in_the_page(page: Page) -> None:
    page.evaluate(
        """() => {
          window.most = 0
          const count = () => { most = Math.max(most, document.querySelectorAll(".list .row").length) }
          new MutationObserver(count).observe(document.querySelector(".list .sight"), { childList: true })
        }"""
    )
    page.locator(".list .rows").focus()
    while "more" in page.locator(".list .count").inner_text():
        page.keyboard.press("End")
    expect(page.locator(".list .count")).to_have_text(f"{MANY + 6} flows")
    page.keyboard.press("End")
    expect(row(page, f"flow {MANY - 1}")).to_be_visible()
    assert page.evaluate("most") < 80
    page.keyboard.press("Home")
    expect(page.locator(LIST).first).to_have_attribute("aria-rowindex", "2")


def test_a_new_flow_comes_on_top_where_nobody_reads(page: Page, server: Running) -> None:
    server.post([flow("fresh on top", 1)])
    expect(page.locator(LIST).first).to_contain_text("fresh on top")
    expect(page.locator(".pill")).to_be_hidden()


def test_what_is_read_does_not_move_and_a_pill_counts_what_is_new(page: Page, server: Running) -> None:
    page.locator(".list .rows").evaluate("e => { e.scrollTop = 1500 }")
    page.wait_for_function("document.querySelector('.list .row').getAttribute('aria-rowindex') > 20")
    shown = "e => [...e.querySelectorAll('.row')].map((r) => [r.innerText, r.offsetTop + r.offsetParent.offsetTop])"
    before = page.locator(".list .rows").evaluate(shown), page.locator(".list .rows").evaluate("e => e.scrollTop")
    server.post([flow("unseen one", 1), flow("unseen two", 1)])
    expect(page.locator(".pill")).to_have_text("2 new flows")
    assert (
        page.locator(".list .rows").evaluate(shown),
        page.locator(".list .rows").evaluate("e => e.scrollTop"),
    ) == before
    page.locator(".pill").click()
    expect(page.locator(LIST).first).to_contain_text("unseen")
    expect(page.locator(".pill")).to_be_hidden()
    assert page.locator(".list .rows").evaluate("e => e.scrollTop") == 0


def test_a_paused_list_stands_still(page: Page, server: Running) -> None:
    page.locator("[data-control=pause]").click()
    expect(page.locator("[data-control=live]")).to_contain_text("Paused")
    first = page.locator(LIST).first.inner_text()
    server.post([flow("while paused", 1)])
    expect(page.locator("[data-control=live]")).to_contain_text("1 waiting")
    assert page.locator(LIST).first.inner_text() == first
    page.locator("[data-control=pause]").click()
    expect(page.locator(LIST).first).to_contain_text("while paused")


def test_a_header_sorts_and_back_takes_it_back(page: Page) -> None:
    head = page.get_by_role("columnheader", name="Duration")
    head.get_by_role("button").click()
    expect(head).to_have_attribute("aria-sort", "descending")
    expect(page.locator(LIST).first).to_contain_text("two thousand spans")
    assert "sort=-duration_ms" in address(page)
    head.get_by_role("button").click()
    expect(head).to_have_attribute("aria-sort", "ascending")
    expect(page.locator(LIST).first).to_contain_text("no duration")
    page.go_back()
    page.go_back()
    expect(page.get_by_role("columnheader", name="Ended")).to_have_attribute("aria-sort", "descending")
    assert "sort" not in address(page)


def test_search_narrows_and_is_kept_in_the_address(page: Page, server: Running) -> None:
    page.keyboard.press("l")
    page.keyboard.type("FLOW 41")
    expect(page.locator(LIST)).to_have_count(10)
    assert "search=FLOW+41" in address(page)
    page.goto(page.url)
    expect(page.locator(LIST)).to_have_count(10)
    page.locator(".find input").fill("no such thing")
    expect(page.locator(".list .state")).to_contain_text("fits “no such thing”")
    page.get_by_role("button", name="Clear search and filters").click()
    expect(page.locator(LIST).first).to_be_visible()
    assert "search" not in address(page)


def test_a_question_that_fails_says_why_and_can_be_asked_again(page: Page, server: Running) -> None:
    page.goto(f"{server.url}/flows?duration_bin=soon")
    state = page.locator(".list .state")
    expect(state).to_contain_text("The flows could not be listed")
    expect(state).to_contain_text("expected a bin's lower bound")
    expect(page.locator("[data-control=live]")).to_contain_text("No answer")
    state.get_by_role("button", name="Try again").click()
    expect(state).to_contain_text("expected a bin's lower bound")


def test_a_flow_opens_as_a_waterfall_and_back_closes_it(page: Page) -> None:
    row(page, "the story").click()
    expect(page.locator(".detail h2")).to_have_text("the story")
    expect(page.locator(SPAN)).to_have_count(5)
    assert spans(page) == ["the story", "invoke planner", "long search", "short search", "chat large"]
    assert "flow=story" in address(page)
    expect(row(page, "the story")).to_have_attribute("aria-selected", "true")
    levels = [r.get_attribute("aria-level") for r in page.locator(SPAN).all()]
    assert levels == ["1", "2", "3", "3", "3"]
    page.go_back()
    expect(page.locator(".detail")).to_be_hidden()
    assert "flow=" not in address(page)


def test_bars_stand_where_the_spans_ran_and_the_critical_path_is_underlined(page: Page, server: Running) -> None:
    opened(page, server, "story")
    scale = page.locator(f"{SPAN} .scale").first.bounding_box()
    bar = page.locator(SPAN, has_text="chat large").locator("u").bounding_box()
    assert scale and bar
    assert (bar["x"] - scale["x"]) / scale["width"] == pytest.approx(3300 / 4800, abs=0.01)
    assert bar["width"] / scale["width"] == pytest.approx(1200 / 4800, abs=0.01)
    on = [r.locator(".label").inner_text() for r in page.locator(SPAN).all() if r.locator(".path").is_visible()]
    assert on == ["the story", "invoke planner", "long search", "chat large"]
    expect(page.locator(SPAN, has_text="long search")).to_contain_text("on the critical path")
    expect(page.locator(SPAN, has_text="short search")).not_to_contain_text("on the critical path")
    expect(page.locator(".path-note")).to_have_text("critical path 4.60 s of 4.80 s")
    expect(page.locator(SPAN, has_text="long search").locator(".flag .icon")).to_be_visible()
    ticks = page.locator(".ticks span").all_inner_texts()
    assert (ticks[0], ticks[-1]) == ("0 s", "4 s")


def test_hover_tells_exact_values(page: Page, server: Running) -> None:
    opened(page, server, "story")
    page.locator(SPAN, has_text="chat large").locator("u").hover()
    for words in ("takes 1,200 ms", "2,000 tokens in", "345 tokens out", "$0.0421", "begins at +3.30 s"):
        expect(page.locator(".tip")).to_contain_text(words, ignore_case=True)


def test_a_link_opens_the_flow_at_a_span(page: Page, server: Running) -> None:
    opened(page, server, "story", f"&span={quote('story:long search')}")
    expect(page.locator("aside h3")).to_have_text("long search")
    expect(page.locator("aside .failure")).to_have_text("timeout: gave up after 3 s")
    expect(page.locator("aside .attributes")).to_contain_text("https://x.test")


def test_every_dimension_of_a_span_is_a_filter_and_a_way_to_the_board(page: Page, server: Running) -> None:
    opened(page, server, "story", f"&span={quote('story:long search')}")
    chips = page.locator("aside .chip")
    named = ["planner", "web_search", "professional", "test", "timeout", "long search"]
    expect(chips).to_have_text(named, use_inner_text=True)
    chips.filter(has_text="web_search").click()
    expect(chips.filter(has_text="web_search")).to_have_attribute("aria-pressed", "true")
    expect(page.locator(LIST)).to_have_count(1)
    assert "tool=web_search" in address(page)
    link = page.get_by_role("link", name="Open in board: tool web_search")
    assert str(link.get_attribute("href")).endswith("/overview?window=now-1h&tool=web_search")
    chips.filter(has_text="web_search").click()
    expect(page.locator(LIST).nth(3)).to_be_visible()
    assert "tool=" not in address(page)


def test_the_raw_event_is_there_to_copy(page: Page, server: Running) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    opened(page, server, "story", f"&span={quote('story:chat large')}")
    page.get_by_text("Raw event").click()
    page.get_by_role("button", name="Copy the event").click()
    expect(page.get_by_role("button", name="Copy the event")).to_have_text("Copied")
    event = json.loads(page.evaluate("navigator.clipboard.readText()"))
    assert (event["event_id"], event["kind"], event["tokens_input"], event["cost_usd"]) == (
        "story:chat large", "model", 2000, 0.0421)  # fmt: skip
    assert event["parent_id"] == "story:invoke planner"


def test_the_keys_alone_walk_the_list_and_the_flow(page: Page) -> None:
    page.locator(".find input").fill("the story")
    expect(page.locator(LIST)).to_have_count(1)
    page.keyboard.press("ArrowDown")
    expect(page.locator(".list .rows")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator(SPAN)).to_have_count(5)
    expect(page.locator(".waterfall .rows")).to_be_focused()
    active = page.locator(f"{SPAN}[aria-selected=true] .label")
    for key, name in (("ArrowDown", "invoke planner"), ("ArrowRight", "long search"), ("End", "chat large"),
                      ("ArrowLeft", "invoke planner"), ("Home", "the story")):  # fmt: skip
        page.keyboard.press(key)
        expect(active).to_have_text(name)
        expect(page.locator("aside h3")).to_have_text(name)
    page.keyboard.press("ArrowLeft")
    expect(page.locator(SPAN)).to_have_count(1)
    expect(page.locator(SPAN)).to_have_attribute("aria-expanded", "false")
    expect(page.locator(SPAN)).to_contain_text("+4")
    page.keyboard.press("ArrowRight")
    expect(page.locator(SPAN)).to_have_count(5)
    page.keyboard.press("Escape")
    expect(page.locator(".detail")).to_be_hidden()
    expect(page.locator(".list .rows")).to_be_focused()


def test_wrong_clocks_stay_in_sight_without_squeezing_the_rest(page: Page, server: Running) -> None:
    opened(page, server, "clocks")
    assert spans(page) == ["wrong clocks", "an hour early", "no time at all", "overlapping", "too late"]
    expect(page.locator(SPAN, has_text="an hour early").locator(".took")).to_have_text(re.compile("before the flow$"))
    expect(page.locator(SPAN, has_text="too late").locator(".took")).to_have_text(re.compile("after the flow$"))
    whole, bar = page.locator(".scale").first.bounding_box(), page.locator(f"{SPAN} u").first.bounding_box()
    assert whole and bar
    assert bar["width"] > 0.6 * whole["width"]
    none = page.locator(SPAN, has_text="no time at all").locator("u").bounding_box()
    assert none and none["width"] == 3


@pytest.mark.parametrize("flow_id", ["lonely", "instant"])
def test_a_flow_of_one_span_is_whole(page: Page, server: Running, flow_id: str) -> None:
    opened(page, server, flow_id)
    expect(page.locator(SPAN)).to_have_count(1)
    expect(page.locator(".path-note")).to_be_hidden()


def test_two_thousand_spans_scroll_with_few_rows_in_the_page(page: Page, server: Running) -> None:
    opened(page, server, "huge")
    expect(page.locator(".facts-line")).to_contain_text("the longest 2,000 of 2,101 spans")
    page.locator(".waterfall .rows").focus()
    page.keyboard.press("End")
    expect(page.locator(f"{SPAN}[aria-selected=true]")).to_be_visible()
    assert page.locator(SPAN).count() < 80
    page.keyboard.press("Home")
    page.keyboard.press("ArrowLeft")
    expect(page.locator(SPAN)).to_have_count(1)


def test_hostile_names_are_text(page: Page, server: Running) -> None:
    row(page, HOSTILE).click()
    expect(page.locator(".detail h2")).to_have_text(HOSTILE)
    page.locator(SPAN).nth(1).click()
    expect(page.locator("aside h3")).to_have_text(HOSTILE)
    expect(page.locator("aside .attributes")).to_contain_text(HOSTILE)
    page.locator("aside .chip", has_text=HOSTILE).first.click()
    expect(page.locator(LIST)).to_have_count(1)
    assert page.evaluate("window.hacked") is None
    assert page.locator("main img").count() == 0


def test_an_unknown_flow_says_so(page: Page, server: Running) -> None:
    page.goto(f"{server.url}/flows?flow=storey")
    expect(page.locator(".detail .state")).to_contain_text("No flow 'storey'; nearest: 'story'.")
    page.get_by_role("button", name="Close the flow").click()
    expect(page.locator(".detail")).to_be_hidden()


def test_on_a_telephone_the_flow_takes_the_whole_page(page: Page, server: Running) -> None:
    page.set_viewport_size({"width": 400, "height": 800})
    row(page, "the story").click()
    expect(page.locator(".list")).to_be_hidden()
    expect(page.locator(SPAN)).to_have_count(5)
    assert page.evaluate("document.documentElement.scrollWidth") == 400
    page.reload()
    expect(page.locator(SPAN)).to_have_count(5)
    page.get_by_role("button", name="‹ Flows").click()
    expect(page.locator(LIST).first).to_be_visible()
    expect(page.get_by_label("Sort by")).to_be_visible()
