"""The ask box: how it opens, what it understood as chips that change it, and the answers it draws."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.conftest import Mock
from tests.browser.reasons import Sent
from tests.browser.test_accessibility import AXE, CALM
from tests.browser.test_why import AUDIT


@pytest.fixture
def sent(page: Page) -> Sent:
    return Sent(page)


@pytest.fixture
def board(page: Page, mock: Mock, sent: Sent) -> Iterator[Page]:
    mock.sign_in(page)
    page.locator(".change").first.wait_for()
    yield page
    assert mock.errors == []


def field(page: Page) -> Locator:
    return page.get_by_role("combobox", name="Ask a question")


def result(page: Page) -> Locator:
    return page.locator(".ask-result")


def ask(page: Page, text: str) -> Locator:
    """Type a question and wait for what comes of it."""
    page.keyboard.press("/")
    expect(field(page)).to_be_focused()
    field(page).fill(text)
    page.keyboard.press("Enter")
    expect(result(page)).to_be_visible()
    expect(result(page)).not_to_have_attribute("aria-busy", "true")
    return result(page)


def test_slash_opens_it_with_questions_that_work_and_escape_leaves(board: Page) -> None:
    button = board.locator("[data-tile=spend_by_agent]").get_by_role("button", name="coder")
    button.focus()
    board.keyboard.press("/")
    expect(field(board)).to_be_focused()
    expect(field(board)).to_have_attribute("aria-expanded", "true")
    options = board.get_by_role("listbox", name="Questions").get_by_role("option")
    expect(options).to_have_text(
        [
            "p95 duration by agent since yesterday",
            "why did spend change?",
            "compare flows with last week",
            "tokens over time today",
        ]
    )
    expect(field(board)).to_have_attribute("placeholder", "For example: p95 duration by agent since yesterday")
    board.keyboard.press("ArrowDown")
    expect(options.first).to_have_attribute("aria-selected", "true")
    assert field(board).get_attribute("aria-activedescendant") == options.first.get_attribute("id")
    board.keyboard.type("spend/")
    expect(field(board)).to_have_value("spend/")
    board.keyboard.press("Escape")
    expect(field(board)).to_have_attribute("aria-expanded", "false")
    expect(button).to_be_focused()


def test_one_number_is_large_and_compared(board: Page, sent: Sent) -> None:
    shown = ask(board, "p95")
    expect(shown.locator(".ask-said")).to_have_text("p95 duration, last 1 hour")
    expect(shown.locator(".value")).to_have_text("4.82s")
    expect(shown.locator(".delta")).to_have_text("▲ 85%from 2.61 s")
    expect(shown.get_by_role("button", name="Confidence 0.93")).to_be_visible()
    asked = sent.until("ask", text="p95", tz="UTC")
    assert (asked["window"], asked["filters"]) == ("now-1h", [])
    expect(board.locator(".ask-panel > [role=status]")).to_have_text(
        "p95 duration, last 1 hour. p95 duration 4.82 s, ▲ 85% against before"
    )
    expect(shown.get_by_role("link", name="Open in Explore")).to_have_attribute(
        "href", "/explore?metrics=duration_p95&chart=number"
    )


def test_groups_are_bars_and_the_chips_change_the_question(board: Page, sent: Sent) -> None:
    shown = ask(board, "p95 by tool")
    expect(shown.get_by_role("list", name="p95 duration").get_by_role("listitem")).to_have_count(3)
    expect(shown.locator(".chip")).to_have_text("agentplanner")
    expect(shown.get_by_role("button", name=re.compile("^Time range: Since"))).to_be_visible()
    expect(shown.get_by_role("link", name="Open in Explore")).to_have_attribute(
        "href", "/explore?window=now-1d/d&agent=planner&metrics=duration_p95&by=tool&chart=bars"
    )
    shown.get_by_role("button", name="Remove the filter agent").click()
    sent.until("query", filters=[], group_by=["tool"], compare="previous")
    expect(shown.locator(".chip")).to_have_count(0)
    shown.get_by_role("button", name="sql_query").click()
    sent.until("query", filters=[{"dim": "tool", "op": "is", "values": ["sql_query"]}])
    expect(shown.locator(".ask-said")).to_contain_text("p95 duration, by tool, where tool is sql_query")
    shown.get_by_role("button", name="Compared with").click()
    board.get_by_role("menuitemradio", name="Off").click()
    assert "compare" not in sent.until("query", compare=None)
    shown.get_by_role("button", name="Grouped by tool").click()
    board.get_by_role("option", name=re.compile("^Model")).click()
    sent.until("query", group_by=["model"])
    shown.get_by_role("button", name="Do not group").click()
    sent.until("query", group_by=[])
    expect(shown.locator(".value")).to_have_text("4.82s")
    shown.get_by_role("button", name="Metric: p95 duration").click()
    board.get_by_role("combobox", name="Metrics").fill("spend")
    board.get_by_role("option", name=re.compile("^Spend")).first.click()
    sent.until("query", metrics=["spend"])
    shown.get_by_role("button", name=re.compile("^Time range")).click()
    board.get_by_role("button", name="Last 15 minutes").click()
    sent.until("query", window="now-15m")
    assert board.url.endswith("/overview")


def test_a_course_is_a_line_that_is_walked(board: Page) -> None:
    shown = ask(board, "p95 over time")
    chart = shown.get_by_role("application", name="p95 duration, over time")
    expect(chart.locator(".course-line")).to_have_attribute("d", re.compile("^M.*L"))
    chart.focus()
    board.keyboard.press("End")
    expect(board.locator(".ask-panel > [role=status]")).to_have_text(re.compile(r"^p95 duration [\d,]+ ms, \d\d:\d\d"))
    board.keyboard.press("ArrowLeft")
    expect(board.locator(".ask-panel .tip")).to_contain_text(" ms")


def test_a_forecast_has_its_interval_and_says_when_the_limit_is_reached(board: Page) -> None:
    shown = ask(board, "when is the quota used up")
    expect(shown.locator(".ask-sentence")).to_have_text("Token quota reaches its limit at 16:20 ± 12 min at this pace.")
    expect(shown.locator(".interval")).to_have_attribute("d", re.compile("Z$"))
    expect(shown.locator(".limit-of")).to_have_text("limit 100%")
    expect(shown.locator(".legend span")).to_have_text(["measured", "forecast", "95% interval"])


def test_why_opens_the_drawer_beside_it(board: Page, sent: Sent) -> None:
    shown = ask(board, "why did p95 rise?")
    drawer = board.get_by_role("complementary", name="Why did p95 duration rise?")
    expect(drawer).to_have_attribute("data-state", "ok")
    expect(field(board)).to_be_focused()
    assert not [m for m in sent if m["type"] == "explain"]  # the answer came with the question
    shown.get_by_role("button", name=re.compile("^Time range")).click()
    board.get_by_role("button", name="Last 6 hours").click()
    sent.until("explain", window="now-6h")
    expect(board).to_have_url(re.compile("why=duration_p95&why_from=now-6h"))
    box, side = board.locator(".ask-box").bounding_box(), drawer.bounding_box()
    assert box and side and box["x"] + box["width"] <= side["x"]


def test_flows_are_listed_with_their_links(board: Page) -> None:
    shown = ask(board, "flows that failed")
    expect(shown.locator(".ask-flows li")).to_have_count(3)
    expect(shown.locator(".ask-flows a").nth(1)).to_have_attribute("href", "/flows?flow=f1")
    expect(shown.get_by_role("link", name="Open in Flows")).to_have_attribute("href", "/flows?sort=duration_ms")


def test_when_unsure_it_offers_readings(board: Page, sent: Sent) -> None:
    shown = ask(board, "duration")
    expect(shown).to_contain_text("Not sure what is meant")
    shown.get_by_role("group", name="Did you mean").get_by_role("button", name="p50 duration").click()
    sent.until("query", metrics=["duration_p50"])
    expect(shown.locator(".ask-said")).to_have_text("p50 duration")


def test_it_abstains_and_says_what_works(board: Page, sent: Sent) -> None:
    shown = ask(board, "what is the <b>weather</b>")
    expect(shown).to_contain_text("No answer, rather than a guess")
    expect(shown).to_contain_text("No metric is named in it.")
    expect(shown.locator("mark")).to_have_text("<b>weather</b>")
    tries = shown.locator(".ask-readings button")
    expect(tries).to_have_count(3)
    tries.first.click()
    expect(field(board)).to_have_value("p95 duration by agent since yesterday")
    sent.until("ask", text="p95 duration by agent since yesterday")


def test_pages_without_a_feed_send_it_to_one_that_answers(admin: Page) -> None:
    admin.keyboard.press("/")
    expect(admin.get_by_role("textbox", name="Ask a question")).to_be_focused()
    admin.keyboard.type("flows by agent")
    admin.keyboard.press("Enter")
    admin.wait_for_url(re.compile("/overview$"))
    expect(result(admin).get_by_role("list", name="Flows").get_by_role("button", name="planner")).to_be_visible()


def test_what_was_asked_is_remembered(board: Page) -> None:
    ask(board, "p95")
    board.keyboard.press("Escape")
    ask(board, "duration")
    board.reload()
    board.wait_for_selector("main[data-state=live]")
    board.keyboard.press("/")
    expect(board.get_by_role("option").first).to_have_text("duration")
    board.keyboard.press("ArrowUp")
    expect(field(board)).to_have_value("duration")
    board.keyboard.press("ArrowUp")
    expect(field(board)).to_have_value("p95")
    board.keyboard.press("ArrowDown")
    expect(field(board)).to_have_value("duration")
    board.keyboard.press("ArrowDown")
    expect(field(board)).to_have_value("")


def test_a_link_brings_its_question(board: Page) -> None:
    board.goto(board.url + "?ask=p95+by+tool")
    expect(result(board).locator(".ask-said")).to_contain_text("where agent is planner")
    expect(board).to_have_url(re.compile("/overview$"))


def test_an_answer_that_does_not_come_is_waited_for_and_left(board: Page, mock: Mock) -> None:
    shown = ask(board, "p95")
    shown.get_by_role("button", name="Metric: p95 duration").click()
    mock.mood("mute")
    board.get_by_role("combobox", name="Metrics").fill("token")
    board.get_by_role("option").first.click()
    expect(shown).to_have_attribute("aria-busy", "true")
    field(board).press("Escape")
    expect(shown).to_be_hidden()
    mock.mood("live")


def test_a_press_elsewhere_lets_go(board: Page) -> None:
    ask(board, "p95")
    board.mouse.click(20, 700)
    expect(board.locator(".ask-panel")).to_be_hidden()
    expect(board.locator(".ask")).not_to_have_attribute("data-open", "")


def test_a_phone_has_it_behind_a_button(board: Page) -> None:
    board.set_viewport_size({"width": 400, "height": 800})
    expect(field(board)).to_be_hidden()
    board.get_by_role("button", name="Ask a question").click()
    expect(field(board)).to_be_focused()
    board.keyboard.type("p95 by tool")
    board.keyboard.press("Enter")
    expect(result(board).locator(".ask-said")).to_be_visible()
    assert board.locator(".ask-panel").evaluate("e => e.scrollWidth <= e.clientWidth")
    board.get_by_role("button", name="Close").click()
    expect(board.locator(".ask-panel")).to_be_hidden()
    board.keyboard.press("/")
    expect(field(board)).to_be_focused()
    field(board).fill("why did p95 rise?")
    board.keyboard.press("Enter")  # its answer takes the panel's place at once
    expect(board.get_by_role("heading", name="Why did p95 duration rise?")).to_be_focused()


def test_the_keys_tell_of_it(board: Page) -> None:
    board.keyboard.press("?")
    keys = board.get_by_role("dialog", name="Keys")
    expect(keys).to_contain_text("ask a question")
    expect(keys).to_contain_text("why: the largest change")


@pytest.mark.parametrize("question", ["p95 by tool", "when is the quota used up", "what is the weather", ""])
def test_it_shuts_nobody_out(board: Page, question: str) -> None:
    if question:
        ask(board, question)
    else:
        board.keyboard.press("/")
        expect(board.locator(".ask-list")).to_be_visible()
    board.evaluate(AXE)
    for theme in ("light", "dark"):
        board.evaluate("theme => { document.documentElement.dataset.theme = theme }", theme)
        board.wait_for_function(CALM)
        assert board.evaluate(AUDIT) == []


def test_without_storage_it_still_answers(chromium: Browser, mock: Mock) -> None:
    context = chromium.new_context(viewport={"width": 1440, "height": 1000}, timezone_id="UTC", reduced_motion="reduce")
    context.add_init_script(
        "Object.defineProperty(window, 'localStorage', { get() { throw new DOMException('no', 'SecurityError') } })"
    )
    page = context.new_page()
    mock.sign_in(page)
    expect(ask(page, "p95").locator(".value")).to_have_text("4.82s")
    context.close()
