"""The pages of agents in a real browser: the table that leads to one agent, the agent, and the choice of one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visitor
from tests.conftest import Running, flow

SLOW_MS = 20_000


def events() -> list[dict[str, Any]]:
    """Two agents with flows that fail and succeed, model calls that cost, tool calls that fail."""
    made = []
    for i in range(40):
        agent = ("planner", "coder")[i % 2]
        common: dict[str, Any] = {"agent": agent, "ago_s": 10.0 + 60 * i, "flow_id": f"f{i}"}
        failed: dict[str, Any] = {"status": "error", "error_type": "timeout"} if i % 10 == 0 else {"status": "ok"}
        made.append(flow("plan", **common, **failed))
        call = {"kind": "model", "model": "large", "tokens_input": 100, "tokens_output": 10, "cost_usd": 0.02}
        made.append(flow("chat", **common) | call)
        made.append(flow("search", **common) | {"kind": "tool", "tool": "web_search"} | failed)
    return made


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    server = Running(tmp_path_factory.mktemp("agents") / "data").start()
    server.post(events())
    yield server
    server.stop()


@pytest.fixture
def agents(server: Running, visitor: Visitor) -> Visitor:
    visitor.sign_in(server.url, server.key)
    return visitor


def test_the_table_leads_to_one_agent_and_keeps_the_scope(server: Running, agents: Visitor) -> None:
    page = agents.page
    page.goto(f"{server.url}/agents?window=now-3h&domain=professional")
    table = page.locator("[data-tile=agents]")
    row = table.locator("tbody tr", has=page.get_by_role("link", name="planner"))
    expect(row.locator(".course")).to_be_visible(timeout=SLOW_MS)
    expect(row).to_contain_text("$0.02")
    row.get_by_role("link", name="planner").click()
    expect(page).to_have_url(re.compile(r"/agent\?window=now-3h&domain=professional&agent=planner$"))
    expect(page.get_by_role("heading", name="planner")).to_be_visible()
    assert agents.errors == []


def test_an_agent_shows_its_tools_models_errors_and_cost(server: Running, agents: Visitor) -> None:
    page = agents.page
    page.goto(f"{server.url}/agent?agent=planner")
    expect(page.locator("[data-tile=tool_calls]")).to_contain_text("web_search", timeout=SLOW_MS)
    expect(page.locator("[data-tile=model_spend]")).to_contain_text("large")
    expect(page.locator("[data-tile=error_types]")).to_contain_text("timeout")
    # 20 calls of 2 cents for 16 flows that ended well
    expect(page.locator("[data-tile=cost] .value")).to_contain_text("$0.025")
    expect(page.locator("[data-tile=latest] tbody tr")).to_have_count(12)
    expect(page.locator("[data-control=live]")).to_contain_text("Live")
    page.get_by_role("link", name="All agents").click()
    expect(page).to_have_url(re.compile("/agents$"))


def test_without_an_agent_one_is_chosen(server: Running, agents: Visitor) -> None:
    page = agents.page
    page.goto(f"{server.url}/agent")
    expect(page.get_by_role("heading", name="Which agent?")).to_be_visible()
    expect(page.locator("[data-control=live]")).to_contain_text("Live", timeout=SLOW_MS)
    field = page.get_by_role("combobox", name="Agents")
    field.fill("cod")
    expect(page.get_by_role("option")).to_have_count(1)
    field.press("Enter")
    expect(page).to_have_url(re.compile("agent=coder$"))
    expect(page.locator("[data-tile=tool_calls]")).to_contain_text("web_search", timeout=SLOW_MS)
    page.get_by_role("button", name="Remove the filter agent").click()
    expect(page.get_by_role("heading", name="Which agent?")).to_be_visible()
    assert agents.errors == []
