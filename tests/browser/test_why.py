"""The Why drawer: how it opens, what it shows, what can be done about a cause, and that the board lives beside it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser import oddities as odd
from tests.browser.conftest import Mock, address
from tests.browser.reasons import EVIL, LONG, Sent
from tests.browser.test_accessibility import AXE, CALM, RUN

AUDIT = RUN.replace("{ exclude:", "{ include: ['.why, .ask'], exclude:")
FIGURE = "[data-tile=duration] .figure"


@pytest.fixture
def sent(page: Page) -> Sent:
    return Sent(page)


@pytest.fixture
def board(page: Page, mock: Mock, sent: Sent) -> Iterator[Page]:
    """The overview with its changes listed."""
    mock.sign_in(page)
    page.locator(".change").first.wait_for()
    yield page
    assert mock.errors == []


def query(page: Page) -> dict[str, list[str]]:
    return parse_qs(urlsplit(address(page)).query)


def why(page: Page) -> Locator:
    return page.get_by_role("complementary", name=re.compile("^Why did"))


def ask(page: Page, metric: str, **parts: Any) -> Locator:
    """Ask as any part of the page may, and wait for the answer."""
    page.evaluate(
        "detail => document.dispatchEvent(new CustomEvent('plumbline:why', { detail }))", {"metric": metric} | parts
    )
    drawer = why(page)
    expect(drawer).to_have_attribute("data-state", re.compile("ok|even"))
    return drawer


def test_an_item_of_what_changed_opens_it_and_escape_gives_the_focus_back(board: Page) -> None:
    button = board.locator(".change").first.get_by_role("button", name="Why: p95 duration rose 84%")
    button.click()
    drawer = why(board)
    expect(drawer.get_by_role("heading", name="Why did p95 duration rise?")).to_be_focused()
    expect(drawer).to_contain_text("91% of the rise comes from tool web_search called by agent planner")
    assert query(board)["why"] == ["duration_p95"]
    expect(drawer.locator(".why-values")).to_contain_text(re.compile(r"2\.61 s.*4\.80 s.*▲ 84%.*0\.93", re.DOTALL))
    expect(drawer.locator(".why-windows")).to_have_text(
        re.compile(r"^\d\d:\d\d–\d\d:\d\d compared with \d\d:\d\d–\d\d:\d\d$")
    )
    board.keyboard.press("Escape")
    expect(drawer).to_have_count(0)
    expect(board.locator(".change").first.locator(".ask-why")).to_be_focused()
    assert query(board) == {}
    open_quota = board.get_by_role("link", name="Open: Token quota reaches its limit at 16:20")
    expect(open_quota).to_have_attribute("href", "/resources")


def test_the_board_lives_beside_it_and_is_not_covered(board: Page) -> None:
    board.keyboard.press("w")
    drawer = why(board)
    expect(drawer).to_have_attribute("data-state", "ok")
    tile = board.locator("[data-tile=changed]").bounding_box()
    box = drawer.bounding_box()
    assert tile and box and tile["x"] + tile["width"] <= box["x"]
    before = board.locator("[data-tile=p95] .value").inner_text()
    expect(board.locator("[data-tile=p95] .value")).not_to_have_text(before, use_inner_text=True, timeout=10_000)


def test_a_shared_link_opens_it(board: Page, sent: Sent) -> None:
    board.keyboard.press("w")
    expect(why(board)).to_have_attribute("data-state", "ok")
    board.goto(board.url)
    expect(why(board).get_by_role("heading", name="Why did p95 duration rise?")).to_be_visible()
    board.goto(board.url.split("?")[0] + "?why=spend&why_from=2026-01-06T10:00:00Z&why_to=2026-01-06T11:00:00Z")
    expect(why(board).locator(".why-windows")).to_contain_text("6 Jan 10:00–11:00 compared with 6 Jan 09:00–10:00")
    sent.until("explain", window={"from": "2026-01-06T10:00:00Z", "to": "2026-01-06T11:00:00Z", "tz": "UTC"})
    expect(board.get_by_role("heading", name="Why did spend rise?")).to_be_visible()


def test_the_steps_of_the_picture_lead_from_before_to_now(board: Page) -> None:
    drawer = ask(board, "duration_p95", title="p95 duration")
    rows = drawer.locator(".waterfall [role=listitem]")
    expect(rows).to_have_count(6)
    expect(rows.locator(".amount")).to_have_text(["2.61 s", "+1.98 s", "+135 ms", "−52.3 ms", "+126 ms", "4.80 s"])
    rows.first.focus()
    board.keyboard.press("ArrowDown")
    expect(rows.nth(1)).to_be_focused()
    expect(rows.nth(1)).to_have_attribute(
        "aria-label", "tool web_search and agent planner, raises it by 1.98 s, 90% of the change"
    )
    expect(drawer.get_by_role("tooltip")).to_contain_text("90% of the change")
    board.keyboard.press("End")
    expect(rows.last).to_be_focused()
    ends = rows.locator(".step-bar").evaluate_all(
        "bars => bars.map((b) => [b.getBBox().x, b.getBBox().x + b.getBBox().width])"
    )
    assert ends[1][0] == pytest.approx(ends[0][1], abs=1) and ends[2][0] == pytest.approx(ends[1][1], abs=1)
    assert ends[4][1] == pytest.approx(ends[5][1], abs=1)


def test_a_cause_says_how_it_came_about(board: Page) -> None:
    drawer = ask(board, "spend", title="Spend")
    cause = drawer.locator(".cause")
    expect(cause).to_have_count(1)
    expect(cause.locator(".wherein")).to_have_text("modellarge")
    expect(cause.locator(".words-of li")).to_have_text(["Rate +$0.40/h", "Mix +$5.90/h", "Volume +$0.10/h"])
    expect(drawer.locator(".why-rest")).to_contain_text("All else")


def test_a_cause_filters_the_board_and_undo_takes_it_back(board: Page, sent: Sent) -> None:
    drawer = ask(board, "duration_p95")
    drawer.locator(".cause").first.get_by_role("button", name="Filter to this").click()
    board.wait_for_url(re.compile("tool=web_search&agent=planner"))
    expect(board.locator(".scope .chip")).to_have_count(2)
    kept = [{"dim": d, "op": "is", "values": [v]} for d, v in (("tool", "web_search"), ("agent", "planner"))]
    sent.until("explain", filters=kept)
    board.keyboard.press("z")
    expect(board.locator(".scope .chip")).to_have_count(0)
    expect(why(board)).to_be_visible()
    why(board).locator(".cause").nth(1).get_by_role("button", name="Without this").click()
    board.wait_for_url(re.compile("tool!=sql_query"))
    board.keyboard.press("z")
    why(board).locator(".cause").first.get_by_role("button", name="Without …").click()
    board.get_by_role("menuitem", name="Without agent planner").click()
    board.wait_for_url(re.compile("agent!=planner"))


def test_the_flows_behind_a_cause_are_a_link_away(board: Page) -> None:
    drawer = ask(board, "duration_p95")
    link = drawer.locator(".cause").first.get_by_role("link", name="Show flows")
    expect(link).to_have_attribute("href", "/flows?tool=web_search&agent=planner")


def test_the_menus_of_numbers_and_lines_ask(board: Page, sent: Sent) -> None:
    for tile, entry, metric in (
        ("spend", "Why did it change?", "spend"),
        ("duration", "Why did p95 duration change?", "duration_p95"),
    ):
        board.locator(f"[data-tile={tile}]").get_by_role("button", name="Menu of").focus()
        board.keyboard.press("Enter")
        board.get_by_role("menuitem", name=entry).click()
        sent.until("explain", metric=metric, baseline="previous", window="now-1h")
        assert query(board)["why"] == [metric]


def test_a_selected_span_is_asked_about(board: Page, sent: Sent) -> None:
    board.wait_for_selector(f"{FIGURE}[data-drawn]")
    box = board.locator(FIGURE).bounding_box()
    assert box
    y = box["y"] + box["height"] * 0.4
    board.mouse.move(box["x"] + box["width"] * 0.3, y)
    board.mouse.down()
    board.mouse.move(box["x"] + box["width"] * 0.6, y, steps=4)
    board.mouse.up()
    board.wait_for_url(re.compile("window="))
    board.locator("[data-tile=duration]").get_by_role("button", name=re.compile("^Why")).click()
    expect(why(board)).to_have_attribute("data-state", "ok")
    window = query(board)["window"][0].split(" to ")
    sent.until("explain", window={"from": window[0], "to": window[1], "tz": "UTC"}, baseline="previous")
    assert "why_from" not in query(board)
    expect(board.locator(".after-brush")).to_have_count(0)
    box = board.locator(FIGURE).bounding_box()
    assert box
    board.mouse.move(box["x"] + box["width"] * 0.3, y)
    board.mouse.down()
    board.mouse.move(box["x"] + box["width"] * 0.6, y, steps=4)
    board.keyboard.press("w")  # asks at once, without a zoom
    board.wait_for_url(re.compile("why_from="))
    board.mouse.up()
    assert query(board)["window"] == [" to ".join(window)]


def test_a_span_selected_by_keys_is_asked_about_without_a_zoom(board: Page, sent: Sent) -> None:
    board.wait_for_selector(f"{FIGURE}[data-drawn]")
    board.locator(FIGURE).focus()
    board.keyboard.press("Home")
    for _ in range(4):
        board.keyboard.press("Shift+ArrowRight")
    board.keyboard.press("w")
    expect(why(board)).to_have_attribute("data-state", "ok")
    assert "window" not in query(board)
    span = {"from": query(board)["why_from"][0], "to": query(board)["why_to"][0], "tz": "UTC"}
    sent.until("explain", window=span)
    board.evaluate("Plumbline.page.then(({ scope }) => scope.set({ window: 'now-6h' }))")
    sent.until("explain", window="now-6h")
    assert "why_from" not in query(board)


def test_a_baseline_of_its_own_is_kept_in_the_address(board: Page, sent: Sent) -> None:
    span = [{"from": f"2026-01-06T{h}:00:00Z", "to": f"2026-01-06T{h + 1}:00:00Z"} for h in (12, 10)]
    where = [{"dim": "tool", "op": "is", "values": ["web_search"]}]
    ask(board, "spend", window=span[0], baseline=span[1], filters=where)
    first = sent.until("explain", window=span[0] | {"tz": "UTC"}, baseline=span[1] | {"tz": "UTC"}, filters=where)
    expect(why(board).locator(".why-windows")).to_contain_text("where tool is web_search")
    board.reload()
    sent.until("explain", first, window=first["window"], baseline=first["baseline"], filters=where)


def test_it_asks_again_with_the_scope_and_says_when(board: Page, sent: Sent) -> None:
    drawer = ask(board, "duration_p95")
    expect(drawer.locator("time")).to_have_text(re.compile(r"^As of \d\d:\d\d:\d\d"))
    board.evaluate("Plumbline.page.then(({ scope }) => scope.set({ window: 'now-6h', compare: 'week' }))")
    board.wait_for_url(re.compile("now-6h"))
    again = sent.until("explain", window="now-6h", baseline="week")
    drawer.get_by_role("button", name="Refresh").click()
    sent.until("explain", again)
    expect(drawer.locator("time")).to_contain_text("ago", timeout=10_000)


def test_back_and_escape_close_it_and_undo_nothing_else(board: Page) -> None:
    board.keyboard.press("w")
    expect(why(board)).to_be_visible()
    board.go_back()
    expect(why(board)).to_have_count(0)
    board.locator("[data-tile=spend_by_agent]").get_by_role("button", name="coder").click()
    board.wait_for_url(re.compile("agent=coder"))
    board.keyboard.press("w")
    expect(why(board)).to_have_attribute("data-state", "ok")
    board.locator("main").focus()
    board.keyboard.press("Escape")
    expect(why(board)).to_have_count(0)
    assert query(board) == {"agent": ["coder"]}
    board.keyboard.press("Escape")
    board.wait_for_url(re.compile("/overview$"))


def test_a_change_of_everything_has_no_localised_cause(board: Page) -> None:
    drawer = ask(board, "flow_rate", title="Flows")
    expect(drawer.get_by_role("heading")).to_have_text("Why did flows rise?")
    expect(drawer.locator(".why-even")).to_have_text(
        "No localised causeNo value of agent, domain, model or tool moved more than the others."
    )
    expect(drawer.locator(".why-rest")).to_have_text("Everything together100% · +75/minVolume alone")
    expect(drawer.locator(".cause, .waterfall")).to_have_count(0)


def test_what_fails_says_so_and_can_be_tried_again(board: Page, sent: Sent) -> None:
    board.evaluate("document.dispatchEvent(new CustomEvent('plumbline:why', { detail: { metric: 'agents_active' } }))")
    alert = why(board).get_by_role("alert")
    expect(alert).to_contain_text("No rows of 'agents_active' in this window. Try a longer window.")
    first = sent.until("explain")
    alert.get_by_role("button", name="Try again").click()
    sent.until("explain", first)


def test_it_has_bones_while_it_waits(board: Page, mock: Mock) -> None:
    mock.mood("mute")
    board.keyboard.press("w")
    expect(why(board)).to_have_attribute("aria-busy", "true")
    expect(why(board).locator(".why-bones")).to_be_visible()
    expect(why(board).get_by_role("button", name="Refresh")).to_be_hidden()
    board.keyboard.press("Escape")
    expect(why(board)).to_have_count(0)


def test_names_are_text_whatever_they_hold(board: Page, mock: Mock) -> None:
    mock.mood("hostile")
    drawer = ask(board, "duration_p95")
    expect(drawer.locator(".why-said")).to_have_text(EVIL)
    expect(drawer.locator(".cause").first.locator("b").nth(1)).to_have_text(LONG)
    assert drawer.locator("img").count() == 0
    name = drawer.locator(".waterfall text.name").nth(1)
    expect(name.locator("title")).to_have_text(f"{EVIL} × {LONG}")
    assert len(name.evaluate("e => e.lastChild.textContent")) <= 22


def test_a_phone_shows_it_over_the_board(board: Page) -> None:
    board.set_viewport_size({"width": 400, "height": 800})
    drawer = ask(board, "duration_p95")
    box = drawer.bounding_box()
    assert box and box["width"] == 400 and 600 < box["height"] < 800
    assert drawer.evaluate("e => e.scrollWidth <= e.clientWidth")
    drawer.get_by_role("button", name="Close").click()
    expect(drawer).to_have_count(0)


def test_its_text_can_be_copied(board: Page) -> None:
    board.context.grant_permissions(["clipboard-read", "clipboard-write"])
    ask(board, "duration_p95", title="p95 duration").get_by_role("button", name="Copy or save").click()
    board.get_by_role("menuitem", name="Copy text").click()
    expect(board.locator(".toast")).to_contain_text("Copied")
    text = board.evaluate("navigator.clipboard.readText()")
    assert "2.61 s → 4.80 s" in text and "1. tool web_search and agent planner: 90% of the change, +1.98 s" in text


def test_boards_that_are_only_looked_at_do_not_ask(page: Page, mock: Mock) -> None:
    mock.sign_in(page)
    page.locator(".ask-why").first.wait_for()
    odd.show(page, [odd.bars("mixed", [("planner", 4.0)])])
    page.evaluate("document.querySelector('[data-tile]').tile.view.common.why === null || (() => { throw Error() })()")


@pytest.mark.parametrize("metric", ["duration_p95", "flow_rate"])
def test_it_shuts_nobody_out(board: Page, metric: str) -> None:
    ask(board, metric)
    board.evaluate(AXE)
    for theme in ("light", "dark"):
        board.evaluate("theme => { document.documentElement.dataset.theme = theme }", theme)
        board.wait_for_function(CALM)
        assert board.evaluate(AUDIT) == []
