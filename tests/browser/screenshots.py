"""`python -m tests.browser.screenshots [NAME ...]`: the pictures of the documentation, all of them or those of these
names, taken anew from a running demo."""

from __future__ import annotations

import io
import json
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image
from playwright.sync_api import Browser, BrowserContext, sync_playwright

from tests.browser.chromium import find
from tests.browser.conftest import FLAGS
from tests.browser.lab import jupyter, open_notebook, run_all
from tests.browser.told import told
from tests.browser.walls import Hall
from tests.conftest import ROOT, Running, wait_until

IMAGES = ROOT / "assets/docs/images"
SETTLED = """() => document.querySelector("main").dataset.state === "live"
  && document.querySelectorAll(".tile").length > 0
  && !document.querySelector(".tile[data-state=loading]")
  && document.querySelectorAll(".figure").length === document.querySelectorAll(".figure[data-drawn]").length"""
PAINTED = """async () => {
  await document.fonts.ready
  for (let i = 0; i < 3; i++) await new Promise((done) => requestAnimationFrame(() => requestIdleCallback(done)))
}"""  # on a busy machine the first frame shows no more than a part
CELL = """from dashboard import Board

board = Board("overview", url="{}")
board"""
READINGS = 40  # of this machine's CPU, before a picture of its resources has a line to show
READ = """async (least) => {
  const filters = [{ dim: "name", values: ["system.cpu.utilization"] }]
  const body = JSON.stringify({ type: "query", metrics: ["readings"], window: "now-1h", filters })
  const answer = await (await fetch("/api/analytics", { method: "POST", body })).json()
  return answer.analytics.rows[0][0] >= least
}"""


class Shot(NamedTuple):
    """One picture: its name, the page, the colours, the window's size, whether somebody is signed in, what must be
    there before it is taken, the one part of the page that it shows, and whether it is a board."""

    name: str
    path: str
    theme: str
    size: tuple[int, int] = (1440, 1000)
    signed_in: bool = True
    ready: str = ""
    part: str = ""
    board: bool = True


SHOTS = (
    Shot("overview-light", "/overview", "light"),
    Shot("overview-dark", "/overview", "dark"),
    Shot("overview-narrow", "/overview", "light", (400, 900)),
    Shot("why-light", "/overview?why=duration_p95", "light", ready=".why .causes"),
    Shot("why-dark", "/overview?why=duration_p95", "dark", ready=".why .causes"),
    Shot("ask", "/overview?ask=p95+duration+by+agent+since+yesterday", "light", (1440, 640), ready=".ask-answer"),
    Shot("expected", "/overview", "light", part="[data-tile=duration]"),
    Shot("budgets", "/budgets", "light", ready='.gauge u[style*="%"]'),
    Shot("login", "/login", "light", (900, 640), signed_in=False),
    Shot("resources-dark", "/resources?window=now-2m", "dark"),
)
TOLD = (  # once tools have told their calls in several ways
    Shot("sources", "/sources", "light", ready=".senders:has(.way-of):not(:has(.c-rhythm:empty))", board=False),
    Shot(
        "ledger",
        "/ledger?source=claude-code&source=codex&source=gemini-cli",
        "light",
        ready=".told .part-bar",
        board=False,
    ),
)


def main(names: list[str]) -> None:
    """Write pictures to assets/docs/images: those of these names, or all."""
    path = find()
    assert path, "no Chromium: python tests/browser/chromium.py gets one"
    IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        server = Running(Path(folder), "--demo").start()
        try:
            history_sent(server)
            browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
            cookies = signed_in(browser, server)
            for shot in wanted(SHOTS, names):
                kept(shot.name, taken(browser, server, shot, cookies))
            if not names or {"wall", "screens"} & {*names}:
                for name, picture in walls(browser, server, cookies).items():
                    kept(name, picture)
            if not names or "notebook" in names:
                kept("notebook", notebook(browser, server, Path(folder) / "lab"))
            server.post(told())
            for shot in wanted(TOLD, names):
                kept(shot.name, taken(browser, server, shot, cookies))
            browser.close()
        finally:
            server.stop()


def wanted(shots: Iterable[Shot], names: list[str]) -> list[Shot]:
    return [shot for shot in shots if not names or shot.name in names]


def kept(name: str, picture: bytes) -> None:
    """Write one picture."""
    target = IMAGES / f"{name}.png"
    target.write_bytes(small(picture))
    print(f"{target.relative_to(ROOT)}  {target.stat().st_size / 1024:,.0f} KiB")


def walls(browser: Browser, server: Running, visitor: BrowserContext) -> dict[str, bytes]:
    """What a wall shows, and the page where it was paired."""
    hall = Hall(server)
    wall = browser.new_page(viewport={"width": 1920, "height": 1080}, timezone_id="UTC")
    wall.goto(hall.wall)
    screen = hall.pair(wall, "overview", "resources", seconds=600, name="Lobby 2")
    wall.wait_for_selector("body[data-state=playing] .tile[data-state=ok]")
    wait_until(lambda: hall.heard(screen)["picture_at"], 60, "a picture of what it plays")
    numbers = wall.screenshot()
    page = visitor.new_page()
    page.set_viewport_size({"width": 1000, "height": 420})
    page.goto(f"{server.url}/screens")
    page.wait_for_function("() => document.querySelector('.screen img')?.naturalWidth")
    listed = page.screenshot()
    page.close()
    wall.close()
    return {"wall": numbers, "screens": listed}


def notebook(browser: Browser, server: Running, folder: Path) -> bytes:
    """A live board below its three lines of Python, one moment pointed at."""
    folder.mkdir()
    cell: dict[str, Any] = {
        "cell_type": "code",
        "id": "one",
        "metadata": {},
        "execution_count": None,
        "outputs": [],
        "source": CELL.format(server.url),
    }
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    book = {"cells": [cell], "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}
    (folder / "fleet.ipynb").write_text(json.dumps(book))
    with jupyter(folder, server) as url:
        context = browser.new_context(
            viewport={"width": 1280, "height": 1000}, timezone_id="UTC", reduced_motion="reduce"
        )
        page = context.new_page()
        open_notebook(page, f"{url}/doc/tree/fleet.ipynb")
        run_all(page)
        chart = page.locator("[data-tile=duration] .figure[data-drawn]")
        chart.wait_for(timeout=60_000)
        page.wait_for_function("() => !document.querySelector('.tile[data-state=loading]')")
        page.get_by_role("button", name="No", exact=True).click()  # it asks whether news are wanted
        page.wait_for_function("() => !document.querySelector('.Toastify__toast')")
        chart.hover(position={"x": 640, "y": 60})
        page.evaluate(PAINTED)
        picture = page.screenshot()
        context.close()
    return picture


def history_sent(server: Running) -> None:
    """Wait for the demo fleet to have told its past."""
    assert server.process is not None
    if not any("history sent" in line for line in server.process.stdout):
        raise AssertionError("the demo fleet ended before its history was sent")


def signed_in(browser: Browser, server: Running) -> BrowserContext:
    """A context that opened the printed link; the others get its cookies."""
    context = browser.new_context()
    context.new_page().goto(server.link)
    return context


def taken(browser: Browser, server: Running, shot: Shot, visitor: BrowserContext) -> bytes:
    """One picture, once the board is live and every tile has drawn itself."""
    width, height = shot.size
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if shot.theme == "dark" else "light",
        timezone_id="UTC",
        reduced_motion="reduce",
    )
    if shot.signed_in:
        context.add_cookies(visitor.cookies())  # type: ignore[arg-type]  # the cookies it gives are those it takes
    page = context.new_page()
    page.goto(server.url + shot.path)
    if shot.signed_in:
        if shot.path.startswith("/resources"):
            wait_until(lambda: page.evaluate(READ, READINGS), 300, "readings of this machine")
        if shot.board:
            page.wait_for_function(SETTLED, timeout=60_000)
    if shot.ready:
        page.wait_for_selector(shot.ready)
    page.evaluate(PAINTED)
    picture = page.locator(shot.part).screenshot() if shot.part else page.screenshot()
    context.close()
    return picture


def small(picture: bytes) -> bytes:
    """The same picture in 256 colours chosen to miss none by more than an eye can see: a third of the bytes."""
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    packed = io.BytesIO()
    chosen = image.quantize(256, method=Image.Quantize.MAXCOVERAGE, kmeans=1, dither=Image.Dither.NONE)
    chosen.save(packed, "PNG", optimize=True)
    return packed.getvalue()


if __name__ == "__main__":
    main(sys.argv[1:])
