"""A real Chromium for the benchmarks that look at the screen."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.chromium import find
from tests.conftest import Running

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
VIEW = {"width": 1440, "height": 1000}

# The line chart is there when its view has painted and there is data in it, asked once per animation frame.
OURS_DRAWN = """() => {
  const figure = document.querySelector("[data-tile=duration] .figure[data-drawn]")
  const drawer = figure?.closest(".tile").tile.drawer
  return Boolean(drawer?.view.has_finished() && drawer.source.get_length() > 0)
}"""
PEER_DRAWN = """() => {
  const model = globalThis.Bokeh?.documents[0]?.get_model_by_name("line")
  const view = model && Bokeh.index.find_one(model)
  return Boolean(view?.has_finished() && model.renderers[0].data_source.get_length() > 0)
}"""
CLOCK = """(() => {
  const drawn = %s
  const look = () => { if (drawn()) globalThis.firstChart = performance.now(); else requestAnimationFrame(look) }
  requestAnimationFrame(look)
})()"""


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    path = find()
    assert path, "no Chromium: python -m tests.browser.chromium gets one"
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield chromium
        chromium.close()


@contextlib.contextmanager
def visitor(chromium: Browser, drawn: str, server: Running | None = None, cookie: str = "") -> Iterator[Page]:
    """A page in a cold context, with the cookie where there is one, that notes when the first chart stands."""
    context = chromium.new_context(viewport=VIEW)  # type: ignore[arg-type]
    if server is not None:
        name, _, value = cookie.partition("=")
        context.add_cookies([{"name": name, "value": value, "url": server.url}])
    context.add_init_script(CLOCK % drawn)
    page = context.new_page()
    try:
        yield page
    finally:
        context.close()


def first_chart(page: Page, url: str) -> float:
    """Open it; ms from the start of the navigation until the first chart stood."""
    page.goto(url, wait_until="commit")
    found: Any = page.wait_for_function("globalThis.firstChart", timeout=30_000).json_value()
    return float(found)
