"""Explore in a real browser on a real server: what is chosen, what is drawn, what the address keeps, what is said."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import Visitor, address
from tests.conftest import Running, flow

SPEND = "/explore?metrics=spend&by=agent"
TILE = ".stage .inline:not(.coming) .tile"
SAID = ".saying"
SLOW_MS = 20_000  # a picture takes its time on a busy machine


def events() -> list[dict[str, Any]]:
    """Three agents that spend, thirty users, readings below zero and one dimension that knows one value."""
    made = []
    for i in range(90):
        agent = ("planner", "coder", "tester")[i % 3]
        more = {"cost_usd": 0.01 * (1 + i % 3), "user": f"user{i % 30:02}", "status": "error" if i % 9 == 0 else "ok"}
        made.append(flow("work", ago_s=20 + 30 * i, agent=agent, duration_ms=300.0 + 40 * i, **more))
    for i in range(20):
        reading = {"kind": "resource", "resource": "balance", "value": -5.0 - i, "source": "bank"}
        made.append(flow("balance", ago_s=30 + 60 * i) | reading)
    return made


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    server = Running(tmp_path_factory.mktemp("explore") / "data").start()
    server.post(events())
    yield server
    server.stop()


@pytest.fixture
def explore(server: Running, visitor: Visitor) -> Visitor:
    visitor.sign_in(server.url, server.key)
    return visitor


def at(visitor: Visitor, server: Running, path: str) -> Page:
    visitor.page.goto(server.url + path)
    return visitor.page


def drawn(page: Page, count: int = 1) -> None:
    """The picture stands: so many tiles, the first of them with data."""
    expect(page.locator(TILE)).to_have_count(count, timeout=SLOW_MS)
    expect(page.locator(TILE).first).to_have_attribute("data-state", "ok", timeout=SLOW_MS)


def picked(page: Page, name: str, text: str) -> None:
    """Choose from one of the two pickers by typing."""
    page.get_by_role("button", name=re.compile(f"^{name}")).click()
    field = page.get_by_role("combobox", name=name)
    field.fill(text)
    expect(page.get_by_role("listbox").get_by_role("option").first).to_contain_text(text)
    field.press("Enter")


def test_it_begins_with_questions_and_one_click_asks_them(server: Running, explore: Visitor) -> None:
    page = at(explore, server, "/explore")
    page.get_by_role("link", name="Explore: Who spends").click()
    expect(page.locator(SAID)).to_have_text("Spend per hour by agent, all 3, last 1 hour")
    expect(page).to_have_url(re.compile(r"metrics=spend&by=agent$"))
    page.go_back()
    expect(page.get_by_role("link", name="Explore: Who spends")).to_be_visible()
    assert explore.errors == []


def test_a_question_is_built_from_the_keyboard(server: Running, explore: Visitor) -> None:
    page = at(explore, server, "/explore")
    picked(page, "Metrics", "Spend")
    page.keyboard.press("Escape")
    picked(page, "Group by", "Agent")
    expect(page).to_have_url(re.compile(r"metrics=spend&by=agent$"))
    drawn(page)
    expect(page.locator(SAID)).to_contain_text("Spend per hour by agent, all 3")
    for name in ("planner", "coder", "tester"):
        expect(page.locator(f"{TILE} .legend")).to_contain_text(name)
    expect(page.locator("[data-control=live]")).to_contain_text("Live")


@pytest.mark.parametrize(
    ("chart", "part"), [("Bars", ".bar"), ("Table", "td .course"), ("Heatmap", ".figure"), ("Number", ".value")]
)
def test_every_chart_type_draws(server: Running, explore: Visitor, chart: str, part: str) -> None:
    page = at(explore, server, "/explore?metrics=flows&by=agent")
    drawn(page)
    page.get_by_role("radio", name=chart).click()
    expect(page.locator(f"{TILE} {part}").first).to_be_visible(timeout=SLOW_MS)
    expect(page.locator(TILE).first).to_have_attribute("data-state", "ok")
    assert f"chart={chart.lower()}" in address(page)
    assert explore.errors == []


def test_metrics_of_different_units_get_a_chart_each(server: Running, explore: Visitor) -> None:
    page = at(explore, server, "/explore?metrics=spend,duration_p50,duration_p95")
    drawn(page, 2)
    expect(page.locator(f"{TILE} h2").last).to_have_text("p50 duration, p95 duration")


def test_small_multiples_are_at_most_twelve_and_say_how_many_are_left_out(server: Running, explore: Visitor) -> None:
    page = at(explore, server, "/explore?metrics=flows&by=user")
    page.get_by_role("button", name="Small multiples").click()
    drawn(page, 12)
    expect(page.locator(SAID)).to_contain_text("12 of 30, 18 left out")
    ends = "[...document.querySelectorAll('.stage .tile')].map((t) => t.tile.drawer.view?.model.y_range.end)"
    page.wait_for_function(f"() => new Set({ends}).size === 1")
    page.locator(".builder select").select_option("4")
    drawn(page, 4)


def test_the_picture_stays_while_the_next_one_loads(server: Running, explore: Visitor) -> None:
    page = at(explore, server, SPEND)
    drawn(page)
    held: list[Route] = []
    page.route("**/specs", lambda route: held.append(route))
    page.get_by_role("radio", name="Bars").click()
    page.wait_for_selector(".stage[aria-busy]")
    expect(page.locator(f"{TILE} .figure")).to_be_visible()
    held[0].continue_()
    expect(page.locator(f"{TILE} .bar").first).to_be_visible(timeout=SLOW_MS)
    expect(page.locator(".stage .inline")).to_have_count(1)
    expect(page.locator(".stage[aria-busy]")).to_have_count(0)


def test_what_cannot_be_drawn_is_said_in_plain_words(server: Running, explore: Visitor) -> None:
    page = at(explore, server, "/explore?metrics=spendd")
    expect(page.get_by_role("alert")).to_contain_text("No metric 'spendd'; did you mean 'spend'?")
    page.goto(server.url + "/explore?metrics=spend&chart=bars")
    expect(page.locator(".prompt")).to_contain_text("Bars compare groups")
    page.locator(".prompt").get_by_role("button", name="Agent").click()
    expect(page.locator(f"{TILE} .bar").first).to_contain_text("tester")
    page.goto(server.url + "/explore?metrics=spend&by=agent&multiples=1&window=now-40d+to+now-39d")
    expect(page.locator(".prompt")).to_contain_text("No groups in this window")
    expect(page.locator("[data-control=live]")).not_to_contain_text("Connecting")


def test_the_numbers_are_those_of_the_chart(server: Running, explore: Visitor) -> None:
    page = at(explore, server, "/explore?metrics=errors&by=agent&chart=bars")
    page.locator(".numbers summary").click()
    table = page.locator(".numbers table")
    expect(table.get_by_role("columnheader").first).to_have_text("Agent")
    expect(table.locator("tbody")).to_contain_text("planner")
    expect(table.locator("tbody tr").first).to_contain_text("10")


def test_values_below_zero_and_single_groups_look_right(server: Running, explore: Visitor) -> None:
    page = at(explore, server, "/explore?metrics=resource_avg&by=resource")
    expect(page.locator(SAID)).to_contain_text("the only one")
    page.wait_for_selector(f"{TILE} .figure[data-drawn]")
    assert page.evaluate("document.querySelector('.stage .tile').tile.drawer.view.model.y_range.start") < -20
    page.get_by_role("radio", name="Bars").click()
    expect(page.locator(f"{TILE} .bar em").first).to_contain_text("−14.5")


def test_pinning_needs_an_admin_and_says_so(server: Running, explore: Visitor) -> None:
    page = at(explore, server, SPEND)
    button = page.get_by_role("button", name="Pin to board…")
    expect(button).to_have_attribute("aria-disabled", "true")
    expect(button).to_have_attribute("title", re.compile("scope admin"))


def test_a_chart_is_pinned_and_taken_off_again(server: Running, visitor: Visitor) -> None:
    visitor.sign_in(server.url, server.create_key("chief", "read,admin"), "/overview")
    page = at(visitor, server, SPEND)
    page.get_by_role("button", name="Pin to board…").click()
    dialog = page.get_by_role("dialog", name="Pin to board")
    dialog.get_by_label("Board").select_option(label="A new board…")
    dialog.get_by_label("Its title").fill("Morning check")
    dialog.get_by_label("Tile title").fill("Who spends")
    dialog.get_by_role("button", name="Pin", exact=True).click()
    file = Path(server.data) / "workspaces" / "boards.yaml"
    expect(page.locator(".toast")).to_contain_text("Pinned to Morning check")
    assert "Who spends" in file.read_text()
    page.locator(".toast").get_by_role("button", name="Undo").click()
    expect(page.locator(".toast").last).to_contain_text("Taken off again")
    assert "Who spends" not in file.read_text()
    page.get_by_role("button", name="Pin to board…").click()
    dialog.get_by_label("Board").select_option(label="Overview")
    dialog.get_by_label("Tile title").fill("Pinned here")
    dialog.get_by_role("button", name="Pin", exact=True).click()
    page.locator(".toast").get_by_role("button", name="Open board").click()
    expect(page).to_have_url(re.compile("/overview$"))
    expect(page.get_by_role("heading", name="Pinned here")).to_be_visible()
    assert visitor.errors == []
