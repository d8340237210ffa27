"""axe-core finds nothing serious on any page, in either theme."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from dashboard.pages import PAGES
from tests.browser.told import told
from tests.browser.walls import read_off
from tests.conftest import ROOT, Running, flow

AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text()
# what is dimmed because it is old carries its age in words beside it
RUN = """async () => (await axe.run({ exclude: ["[data-old] .body"] }, { resultTypes: ["violations"] })).violations
  .filter((v) => v.impact === "serious" || v.impact === "critical")
  .flatMap((v) => v.nodes.map((n) => `${v.id}: ${n.target.join(" ")} ${n.failureSummary}`))"""
CALM = """() => !document.querySelector("[data-state=loading]:not(.live), [aria-busy=true]")
  && document.getAnimations().every((a) => a.playState !== "running" || a.effect.getTiming().iterations === Infinity)"""
APART = {"/board?board=overview", "/keys", "/screens", "/wall", "/docs", "/api"}
PATHS = sorted(({page.url for page in PAGES} - {"/board"}) | APART)
STATES = (
    "/flows?flow=f3",
    "/agent?agent=planner",
    "/explore?metrics=spend&by=agent",
    "/overview?agent!=planner&as_of=NOW",
)


def fleet() -> list[dict[str, Any]]:
    """Half an hour of a few agents: flows with their model and tool calls, an error now and then."""
    events = []
    for i in range(60):
        agent, ago = ("planner", "coder", "reviewer")[i % 3], 30.0 * i + 5
        shared = {"flow_id": f"f{i}", "agent": agent, "source": "crew"}
        events += [
            flow(ago_s=ago, event_id=f"f{i}", status="ok" if i % 7 else "error", duration_ms=900.0 + 40 * i, **shared),
            flow("chat", ago + 0.2, kind="model", parent_id=f"f{i}", event_id=f"m{i}", model="large", duration_ms=500.0,
                 tokens_input=900, tokens_output=80, cost_usd=0.01 * (1 + i % 4), **shared),
            flow("search", ago + 0.1, kind="tool", parent_id=f"f{i}", event_id=f"t{i}", tool="web_search",
                 duration_ms=200.0, status="ok", **shared),
        ]  # fmt: skip
    return events


@pytest.fixture(scope="module")
def context(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, BrowserContext]]:
    """The address of a server with a small fleet, tools that tell their calls, and budgets; its owner is signed in."""
    flags = ("--no-demo", "--workspace", str(ROOT / "assets/examples/budgets.yaml"))
    server = Running(tmp_path_factory.mktemp("accessible"), *flags).start()
    try:
        server.post(fleet() + told())
        context = chromium.new_context(
            viewport={"width": 1440, "height": 1000}, timezone_id="UTC", reduced_motion="reduce"
        )
        context.new_page().goto(server.link)
        yield server.url, context
        context.close()
    finally:
        server.stop()


def violations(page: Page) -> list[str]:
    """What axe-core holds against a page, one line per element."""
    page.wait_for_function(CALM)
    page.evaluate(AXE)
    found: list[str] = page.evaluate(RUN)
    return found


@pytest.mark.parametrize("path", [*PATHS, *STATES])
def test_no_page_shuts_anybody_out(context: tuple[str, BrowserContext], path: str) -> None:
    url, visitor = context
    page = visitor.new_page()
    page.add_init_script("localStorage.setItem('plumbline.theme', 'light')")
    page.goto(url + path.replace("NOW", "2026-01-01T00:00:00Z"))
    page.wait_for_load_state("networkidle") if path in ("/docs", "/api") else page.wait_for_selector("main")
    assert violations(page) == []
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    assert violations(page) == []
    page.close()


def test_the_door_shuts_nobody_out(context: tuple[str, BrowserContext], chromium: Browser) -> None:
    page = chromium.new_page(reduced_motion="reduce")
    page.goto(context[0] + "/login")
    page.evaluate(AXE)
    assert page.evaluate(RUN) == []
    page.close()


@pytest.mark.parametrize("control", ["range", "more", "filter"])
def test_open_menus_shut_nobody_out(context: tuple[str, BrowserContext], control: str) -> None:
    url, visitor = context
    page = visitor.new_page()
    page.goto(url + "/overview")
    page.wait_for_selector("main[data-state=live]")
    page.click(f"[data-control={control}]")
    page.locator(".menu:visible").first.wait_for()
    assert violations(page) == []
    page.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_page_of_a_paired_screen_shuts_nobody_out(context: tuple[str, BrowserContext], theme: str) -> None:
    url, visitor = context
    wall = visitor.browser.new_page() if visitor.browser else visitor.new_page()
    wall.goto(url + "/wall")
    code = read_off(wall)
    page = visitor.new_page()
    page.add_init_script(f"localStorage.setItem('plumbline.theme', '{theme}')")
    page.goto(url + "/screens")
    page.click("text=Add a screen")
    page.fill("[name=code]", code)
    page.fill("[name=name]", f"Lobby {theme}")
    page.fill("[data-control=link]", f"{url}/overview?agent=planner")
    page.click("text=Add a board")
    assert violations(page) == []
    page.get_by_role("button", name="Pair").click()
    page.locator(".screen", has_text=f"Lobby {theme}").wait_for()
    assert violations(page) == []
    wall.wait_for_selector(".tile:not([data-state=loading])")
    assert violations(wall) == []
    wall.close()
    page.close()
