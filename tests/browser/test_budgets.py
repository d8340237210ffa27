"""The page of budgets in a real browser: rows with their limits, what is spoken, what is clicked, and a mistake."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visitor
from tests.conftest import Running, flow

SLOW_MS = 20_000
EVIL = "<img src=x onerror=alert(1)>"
MINE = f"""
budgets:
  team: {{metric: spend, period: month, limit: 100, title: Team spend}}
  agents: {{metric: tokens, period: day, limit: 1000, by: agent, limits: {{planner: 4000}}, title: "{EVIL}"}}
boards:
  numbers:
    title: Numbers
    tiles:
      - {{id: team, type: kpi, metric: team_spent}}
      - {{id: left, type: kpi, metric: team_remaining}}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("budgets")
    (folder / "mine.yaml").write_text(MINE)
    server = Running(folder / "data", "--no-demo", "--workspace", str(folder / "mine.yaml")).start()
    call = {"kind": "model", "tokens_output": 0}
    told = [("coder", 1500, 80.0), ("planner", 1000, 10.0), (EVIL, 10, 0.5)]
    server.post([flow("chat", agent=a, tokens_input=n, cost_usd=usd) | call for a, n, usd in told])
    yield server
    server.stop()


def test_the_rows_say_how_much_of_which_limit(server: Running, visitor: Visitor) -> None:
    visitor.sign_in(server.url, server.key, "/budgets")
    page = visitor.page
    tile = page.locator("[data-tile=budgets]")
    rows = tile.locator("li.budget")
    expect(rows).to_have_count(4, timeout=SLOW_MS)
    expect(rows.nth(0)).to_contain_text("$90.50 of $100.00")
    expect(rows.nth(0)).to_contain_text("$9.50 left")
    expect(rows.nth(0).locator(".gauge")).to_have_attribute("data-level", "warn")
    expect(rows.nth(1)).to_contain_text("coder")
    expect(rows.nth(1)).to_contain_text("Limit reached")
    assert str(rows.nth(1).locator(".gauge").get_attribute("aria-label")).startswith(
        "150% of the limit, even would be "
    )
    expect(rows.nth(2)).to_contain_text("1,000 of 4,000")
    expect(rows.nth(3).get_by_role("button", name=EVIL)).to_be_visible()
    assert tile.locator("img").count() == 0
    expect(tile.locator(".visually-hidden").first).to_contain_text("Team spend $90.50 of $100.00")
    rows.nth(1).get_by_role("button", name="coder").focus()
    page.keyboard.press("Enter")
    expect(rows.nth(0)).to_contain_text("$80.00, a part", timeout=SLOW_MS)
    expect(page).to_have_url(f"{server.url}/budgets?agent=coder")
    page.goto(f"{server.url}/board?board=numbers")
    expect(page.locator("[data-tile=team] .gauge")).to_be_visible(timeout=SLOW_MS)
    expect(page.locator("[data-tile=left]")).to_contain_text("$9.50")
    assert visitor.errors == []
