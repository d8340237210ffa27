"""Compare in a real browser: two sides, each with its own scope, all of it in the address."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Visitor, address
from tests.conftest import Running, flow

SLOW_MS = 20_000


def events() -> list[dict[str, Any]]:
    """Eight flows of alpha and four of beta in the last hour, four of alpha in the hour before."""
    alpha = [flow("now", ago_s=60 + 300 * i, domain="alpha", agent="planner", duration_ms=2000.0) for i in range(8)]
    beta = [flow("now", ago_s=90 + 300 * i, domain="beta", agent="coder", duration_ms=1000.0) for i in range(4)]
    before = [flow("then", ago_s=4000 + 300 * i, domain="alpha", agent="planner", duration_ms=1000.0) for i in range(4)]
    return [*alpha, *beta, *before]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    server = Running(tmp_path_factory.mktemp("compare") / "data").start()
    server.post(events())
    yield server
    server.stop()


@pytest.fixture
def compare(server: Running, visitor: Visitor) -> Visitor:
    visitor.sign_in(server.url, server.key)
    return visitor


def opened(visitor: Visitor, server: Running, query: str = "") -> Page:
    visitor.page.goto(f"{server.url}/compare{query}")
    return visitor.page


def figure(page: Page, title: str) -> Locator:
    """One card of the strip."""
    return page.locator(".strip .figures", has=page.get_by_role("rowheader", name=title, exact=True))


def side(page: Page, letter: str) -> Locator:
    return page.get_by_role("group", name=f"Side {letter}")


def test_the_period_before_stands_beside_the_present_one(server: Running, compare: Visitor) -> None:
    page = opened(compare, server)
    shown = figure(page, "p95 duration")
    expect(shown.locator(".of-a em")).to_have_text("2.00 s", timeout=SLOW_MS)
    expect(shown.locator(".of-b em")).to_have_text("1.00 s", timeout=SLOW_MS)
    expect(shown.locator(".versus b")).to_have_text("▲ 100%")
    expect(shown.locator(".versus b")).to_have_class("bad")
    expect(side(page, "B").get_by_role("button").first).to_contain_text("2 h to 1 h ago")
    expect(page.locator("[data-control=live]")).to_contain_text("Live")
    assert "a=" not in address(page)
    assert compare.errors == []


def test_tiles_of_both_sides_stand_beside_each_other_on_one_scale(server: Running, compare: Visitor) -> None:
    page = opened(compare, server)
    for letter in "ab":
        page.wait_for_selector(f".side-{letter} [data-tile=duration] .figure[data-drawn]", timeout=SLOW_MS)
    tops = page.evaluate(
        "() => ['a', 'b'].map((s) => [...document.querySelectorAll(`.side-${s} .tile:not(.t-kpi)`)]"
        ".map((t) => Math.round(t.getBoundingClientRect().top)))"
    )
    assert tops[0] == tops[1]
    ends = (
        "['a', 'b'].map((s) => document.querySelector(`.side-${s} [data-tile=duration]`)"
        ".tile.drawer.view.model.y_range.end)"
    )
    page.wait_for_function(f"() => new Set({ends}).size === 1")


def test_each_side_is_changed_by_itself_and_kept_in_the_address(server: Running, compare: Visitor) -> None:
    page = opened(compare, server, "?b=window%3Dnow-1h%26domain%3Dbeta")
    shown = figure(page, "p95 duration")
    expect(shown.locator(".of-b em")).to_have_text("1.00 s", timeout=SLOW_MS)
    expect(side(page, "B").locator(".chip")).to_contain_text("beta")
    expect(side(page, "A").locator(".chip")).to_have_count(0)
    side(page, "B").get_by_role("button", name="Remove the filter domain").click()
    expect(shown.locator(".of-b em")).to_have_text("2.00 s", timeout=SLOW_MS)
    expect(page).to_have_url(re.compile(r"[?&]b=window%3Dnow-1h$"))
    page.go_back()
    expect(side(page, "B").locator(".chip")).to_contain_text("beta")


def test_sides_swap_and_copy(server: Running, compare: Visitor) -> None:
    page = opened(compare, server, "?a=window%3Dnow-1h%26domain%3Dalpha&b=window%3Dnow-1h%26domain%3Dbeta")
    expect(side(page, "A").locator(".chip")).to_contain_text("alpha")
    page.get_by_role("button", name="Swap").click()
    expect(side(page, "A").locator(".chip")).to_contain_text("beta")
    expect(side(page, "B").locator(".chip")).to_contain_text("alpha")
    page.get_by_role("button", name="Copy A to B").click()
    expect(side(page, "B").locator(".chip")).to_contain_text("beta")
    expect(figure(page, "p95 duration").locator(".versus b")).to_have_text("the same", timeout=SLOW_MS)


def test_another_domain_or_time_is_one_choice_away(server: Running, compare: Visitor) -> None:
    page = opened(compare, server)
    expect(figure(page, "p95 duration").locator(".of-a em")).to_have_text("2.00 s", timeout=SLOW_MS)
    side(page, "B").get_by_role("button", name="Set B to").click()
    page.get_by_role("menuitem", name="beta").click()
    expect(side(page, "B").locator(".chip")).to_contain_text("beta")
    side(page, "B").get_by_role("button", name="Set B to").click()
    page.get_by_role("menuitem", name="Same time yesterday as A").click()
    expect(side(page, "B").locator(".chip")).to_have_count(0)
    expect(figure(page, "p95 duration").locator(".of-b em")).to_have_text("–", timeout=SLOW_MS)


def test_another_board_is_compared_just_the_same(server: Running, compare: Visitor) -> None:
    page = opened(compare, server)
    page.get_by_label("Board", exact=True).select_option("agents")
    expect(page.locator(".side-a [data-tile=agents]")).to_contain_text("planner", timeout=SLOW_MS)
    expect(page).to_have_url(re.compile("board=agents"))
    page.goto(f"{server.url}/compare?board=nonesuch")
    expect(page.get_by_role("alert").first).to_contain_text("The board did not load")
