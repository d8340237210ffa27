"""`python -m tests.browser.gallery [NAME ...] [--to DIR] [--width N ...]`: every page and state, light and dark, from a
running demo in which three tools tell their calls too; and boards on a wall.

To look at after a change: nothing here asserts. The pictures land in test-results/gallery.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.browser.chromium import find
from tests.browser.conftest import FLAGS
from tests.browser.screenshots import history_sent, signed_in
from tests.browser.told import told
from tests.browser.walls import DRAWN, Hall
from tests.conftest import ROOT, Running

WIDE, NARROW, WALL = (1440, 1000), (400, 900), (1920, 1080)
Step = Callable[[Page], None]


def click(selector: str) -> Step:
    return lambda page: page.locator(selector).first.click()


def press(keys: str) -> Step:
    return lambda page: page.keyboard.press(keys)


def hover(selector: str, x: float, y: float) -> Step:
    """Point at a share of an element's width and height."""

    def point(page: Page) -> None:
        box = page.locator(selector).first.bounding_box()
        assert box, selector
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=4)

    return point


def drag(selector: str, start: float, end: float) -> Step:
    def brush(page: Page) -> None:
        hover(selector, start, 0.5)(page)
        page.mouse.down()
        hover(selector, end, 0.5)(page)

    return brush


class View(NamedTuple):
    """One state of one page: where it is, what was done there, and how large the window is."""

    name: str
    path: str
    steps: tuple[Step, ...] = ()
    size: tuple[int, int] = WIDE


CHART = "[data-tile=duration] .figure"
VIEWS = (
    View("overview", "/overview"),
    View("overview-hover", "/overview", (hover(CHART, 0.6, 0.4),)),
    View("overview-brush", "/overview", (drag(CHART, 0.4, 0.7),)),
    View("overview-filtered", "/overview?agent=planner&agent=coder&domain!=personal"),
    View("overview-nothing", "/overview?agent=nobody"),
    View("overview-paused", "/overview", (press("Space"),)),
    View("overview-as-of", "/overview?as_of={ten_minutes_ago}"),
    View("overview-day", "/overview?compare=day&window=now-6h"),
    View("overview-narrow", "/overview", size=NARROW),
    View("menu-range", "/overview", (click("[data-control=range]"),)),
    View("menu-filter", "/overview", (click("[data-control=filter]"),)),
    View("menu-share", "/overview", (click("[data-control=share]"),)),
    View("menu-more", "/overview", (click("[data-control=more]"),)),
    View("menu-pages", "/overview", (click(".pages summary"),)),
    View("menu-status", "/overview", (click("[data-control=facts]"),)),
    View("keys-sheet", "/overview", (press("?"),)),
    View("flows", "/flows"),
    View("flows-narrow", "/flows", size=NARROW),
    View("flow", "/flows", (press("ArrowDown"), press("Enter"))),
    View("agents", "/agents"),
    View("agent", "/agent?agent=planner"),
    View("agent-none", "/agent"),
    View("resources", "/resources"),
    View("explore", "/explore"),
    View("explore-lines", "/explore?metrics=spend&by=agent"),
    View("explore-multiples", "/explore?metrics=duration_p95&by=tool&multiples=1"),
    View("explore-bars", "/explore?metrics=tokens&by=model&chart=bars"),
    View("explore-narrow", "/explore?metrics=spend&by=agent", size=NARROW),
    View("compare", "/compare"),
    View("budgets", "/budgets"),
    View("budgets-narrow", "/budgets", size=NARROW),
    View("ledger", "/ledger"),
    View("ledger-narrow", "/ledger", size=NARROW),
    View("sources", "/sources"),
    View("sources-narrow", "/sources", size=NARROW),
    View("load", "/load"),
    View("health", "/health"),
    View("keys", "/keys"),
    View("screens", "/screens"),
    View("api", "/api"),
    View("docs", "/docs"),
)
WALLS = ("overview", "budgets", "resources")
READY = """() => !document.querySelector(".tile[data-state=loading], main[aria-busy=true], .stage[aria-busy]")
  && document.querySelector(".tile, main :is(table, h1, h2)")
  && !document.querySelector(".btn.live")?.textContent.includes("Connecting")"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="views whose names begin like this; all without")
    parser.add_argument("--to", type=Path, default=ROOT / "test-results/gallery")
    parser.add_argument("--theme", choices=["light", "dark"])
    parser.add_argument("--width", type=int, nargs="*", default=[], help="of windows, instead of each view's own")
    asked = parser.parse_args()
    asked.to.mkdir(parents=True, exist_ok=True)
    named = tuple(asked.names) or ("",)
    views = [v for v in VIEWS if v.name.startswith(named)]
    if asked.width:
        wide = [v for v in views if v.size == WIDE]
        views = [v._replace(name=f"{v.name}-{w}", size=(w, v.size[1])) for v in wide for w in asked.width]
    walls = [board for board in WALLS if f"wall-{board}".startswith(named)]
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        server = Running(Path(folder), "--demo").start()
        try:
            history_sent(server)
            browser = playwright.chromium.launch(executable_path=find(), args=FLAGS)
            visitor = signed_in(browser, server)
            server.post(told())
            for theme in [asked.theme] if asked.theme else ["light", "dark"]:
                for view in views:
                    take(visitor, server, view, theme, asked.to / f"{view.name}-{theme}.png")
                for board in walls:
                    hang(browser, Hall(server), board, theme, asked.to / f"wall-{board}-{theme}.png")
        finally:
            server.stop()


def take(visitor: BrowserContext, server: Running, view: View, theme: str, target: Path) -> None:
    assert visitor.browser
    width, height = view.size
    context = visitor.browser.new_context(viewport={"width": width, "height": height}, reduced_motion="reduce")
    context.add_cookies(visitor.cookies())  # type: ignore[arg-type]  # the cookies it gives are those it takes
    context.add_init_script(f"localStorage.setItem('plumbline.theme', '{theme}')")
    page = context.new_page()
    ago = page.evaluate("new Date(Date.now() - 600_000).toISOString()")
    page.goto(server.url + view.path.format(ten_minutes_ago=ago))
    said = ""
    try:
        page.wait_for_function(READY, timeout=15_000)
        page.wait_for_timeout(700)  # a moment of the living page
        for step in view.steps:
            step(page)
            page.wait_for_timeout(500)
    except Exception as error:  # a picture of what went wrong says more
        said = f"  {str(error).splitlines()[0]}"
    page.screenshot(path=target)
    print(f"{target.name}{said}", flush=True)
    context.close()


def hang(browser: Browser, hall: Hall, board: str, theme: str, target: Path) -> None:
    """A board on a wall."""
    width, height = WALL
    page = browser.new_page(viewport={"width": width, "height": height})
    page.goto(hall.wall)
    hall.pair(page, board, seconds=600, name=f"{board} {theme}", theme=theme)
    page.wait_for_selector(DRAWN)
    page.wait_for_timeout(1000)  # a moment of the living wall
    page.screenshot(path=target)
    print(target.name, flush=True)
    page.close()


if __name__ == "__main__":
    main()
