"""Boards outside our own pages: served by Panel, saved as a file, and in a real JupyterLab."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Locator, Page, expect

from dashboard import Board
from tests.browser.harness import ROOT
from tests.browser.lab import jupyter, open_notebook, program, run_all
from tests.conftest import Running, flow, wait_until

NOTEBOOK = ROOT / "assets/docs/notebook.ipynb"
DRAWN = ".figure[data-drawn]"
ROWS = {
    "placed": [f"2026-03-02T{10 + i // 60:02}:{i % 60:02}:00Z" for i in range(300)],
    "shop": ["Berlin", "Lyon", "web"] * 100,
    "total": [10.0 + i % 7 for i in range(300)],
}
APP = """
import panel as pn
from dashboard import Board

def page():
    board = Board({arguments})
    said = pn.bind(lambda rows: f"selected {{0 if rows is None else rows.num_rows}}", board.param.selection)
    asked = pn.bind(lambda window: f"window {{window}}", board.scope.param.window)
    return pn.Column(pn.Row(board, sizing_mode="stretch_width"), said, asked)

pn.serve(page, port=0, show=False)
"""


@contextmanager
def opened(chromium: Browser, **options: Any) -> Iterator[tuple[Page, list[str], list[str]]]:
    """A page, the addresses it asked for and the errors it met."""
    context = chromium.new_context(
        viewport={"width": 1440, "height": 1400}, timezone_id="UTC", reduced_motion="reduce", **options
    )
    page, asked, errors = context.new_page(), [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    yield page, asked, errors
    context.close()


def served(tmp_path: Path, arguments: str) -> Any:
    script = tmp_path / "served.py"
    script.write_text(APP.format(arguments=arguments))
    return program(
        sys.executable,
        str(script),
        ready=r"(http://localhost:\d+)",
        BOKEH_RESOURCES="server",
        BOKEH_ALLOW_WS_ORIGIN="*",
    )


def highest(tile: Locator) -> Callable[[], Any]:
    """The highest point of a chart; the newest may be that of a minute that has only begun."""
    return lambda: tile.evaluate(
        "element => Math.max(0, ...(element.tile.drawer.source?.data.s0 ?? []).filter(Number.isFinite))"
    )


def test_a_board_served_by_panel_ticks_over_panels_own_channel_and_survives_its_server(
    chromium: Browser, running: Running, tmp_path: Path
) -> None:
    running.post([flow(ago_s=60.0 * i) for i in range(1, 9)])
    arguments = f"'overview', url={running.url!r}, key={running.key!r}"
    with served(tmp_path, arguments) as url, opened(chromium) as (page, asked, errors):
        page.goto(url)
        page.locator(f"[data-tile=duration] {DRAWN}").wait_for()
        stands = page.locator(".stands")
        expect(stands).to_contain_text("Live")
        before = highest(page.locator("[data-tile=duration]"))()
        running.post([flow(ago_s=1.0, duration_ms=9000.0)] * 3)
        wait_until(lambda: highest(page.locator("[data-tile=duration]"))() > before, what="a tick")
        assert [each for each in asked if not each.startswith((url, "blob:", "data:"))] == []
        running.stop()
        expect(stands).to_contain_text(re.compile("Reconnecting|Stale"), timeout=15_000)
        running.start()
        expect(stands).to_contain_text("Live", timeout=30_000)
        assert errors == []


def test_the_scope_and_the_selection_come_back_to_python(chromium: Browser, tmp_path: Path) -> None:
    with served(tmp_path, f"data={ROWS!r}") as url, opened(chromium) as (page, _, errors):
        page.goto(url)
        chart = page.locator(f"[data-tile=rows_line] {DRAWN}")
        chart.wait_for()
        expect(page.locator(".stands")).to_contain_text("300 rows")
        box = chart.bounding_box()
        assert box
        page.mouse.move(box["x"] + 200, box["y"] + 90)
        page.mouse.down()
        page.mouse.move(box["x"] + 400, box["y"] + 90, steps=3)
        page.mouse.up()
        expect(page.get_by_text(re.compile(r"selected [1-9]"))).to_be_visible()
        expect(page.get_by_text(re.compile(r"window 2026-03-02T1\d:.*Z to "))).to_be_visible()
        page.get_by_role("button", name="Back").click()
        expect(page.get_by_text("window 2026-03-02T10:00:00Z to 2026-03-02T14:59:01Z")).to_be_visible()
        page.locator("[data-tile=by_shop]").get_by_role("button", name="web").click()
        expect(page.locator(".chip")).to_contain_text("web")
        expect(page.locator("[data-tile=rows] .value")).to_have_text("100")
        page.get_by_role("button", name="Take away the filter").click()
        expect(page.locator("[data-tile=rows] .value")).to_have_text("300")
        assert errors == []


def test_a_saved_page_opens_from_a_disk_without_a_network_and_shows_the_same_numbers(
    chromium: Browser, tmp_path: Path
) -> None:
    with Board(data=ROWS, theme="dark") as board:
        path = board.save(tmp_path / "report.html")
        shops = board.to_arrow("by_shop").to_pydict()
    assert path.stat().st_size < 2_500_000
    with opened(chromium, offline=True) as (page, asked, errors):
        page.goto(path.as_uri())
        page.locator(f"[data-tile=rows_line] {DRAWN}").wait_for()
        expect(page.locator("[data-tile=rows] .value")).to_have_text("300")
        expect(page.locator("[data-tile=by_shop] .name")).to_have_text(shops["shop"])
        expect(page.locator(".as-of")).to_contain_text(re.compile(r"^As of \d+ \w+ \d{4}.*, UTC$"))
        expect(page.locator("#window")).to_contain_text("2 Mar")
        page.hover(f"[data-tile=rows_line] {DRAWN}", position={"x": 300, "y": 90})
        expect(page.locator(".tip")).to_contain_text("Rows")
        page.locator("[data-tile=by_shop] button.bar").first.click()
        expect(page.locator("[data-tile=rows] .value")).to_have_text("300")
        assert page.locator("text=/click to filter|Live/").count() == 0
        page.hover("[data-tile=rows_line]")
        page.locator("[data-tile=rows_line] .tile-menu").click()
        with page.expect_download() as download:
            page.get_by_role("menuitem", name="PNG").click()
        assert Path(download.value.path()).stat().st_size > 5_000
        assert [each for each in asked if not each.startswith(("file:", "blob:", "data:"))] == []
        assert errors == []


def test_the_tutorial_is_kept_without_outputs() -> None:
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert len(code) > 5
    assert [cell for cell in code if cell["outputs"] or cell["execution_count"]] == []


def test_the_tutorial_paints_and_ticks_in_jupyterlab(chromium: Browser, running: Running, tmp_path: Path) -> None:
    """Run all of it in a real Lab: drawn by this machine alone, live, its scope tied to the kernel's."""
    running.post([flow(ago_s=60.0 * i) for i in range(1, 9)])
    (tmp_path / "notebook.ipynb").write_bytes(NOTEBOOK.read_bytes())
    lab = jupyter(tmp_path, running)
    with lab as url, opened(chromium) as (page, asked, errors):
        open_notebook(page, f"{url}/lab/tree/notebook.ipynb")
        errors.clear()
        run_all(page)
        cells = page.locator(".jp-Notebook .leaf")
        board = cells.first
        board.locator(f"[data-tile=rows_line] {DRAWN}").wait_for(timeout=60_000)
        expect(board.locator(".chip")).to_contain_text("web", timeout=30_000)
        live = cells.filter(has=page.get_by_role("heading", name="Overview"))
        live.scroll_into_view_if_needed()
        live.locator(f"[data-tile=duration] {DRAWN}").wait_for(timeout=30_000)
        expect(live.locator(".stands")).to_contain_text("Live")
        before = highest(live.locator("[data-tile=duration]"))()
        running.post([flow(ago_s=1.0, duration_ms=9000.0)] * 3)
        wait_until(lambda: highest(live.locator("[data-tile=duration]"))() > before, what="a tick")
        assert [each for each in asked if not each.startswith((url, "blob:", "data:"))] == []
        assert errors == []
        assert (tmp_path / "report.html").stat().st_size > 1_000_000
