"""Out again, in a real browser: files with the rows on screen, pictures of it, and code that asks the same."""

from __future__ import annotations

import ast
import csv
import io
import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from PIL import Image
from playwright.sync_api import Browser, Download, Locator, Page, Route, expect

from tests.browser.conftest import Visitor
from tests.conftest import ROOT, Running, flow, request, rfc3339

EVIL = 'it\'s "$(id)" `id` \\ # +\n\t\u2028 é 🜨'
SVG = "{http://www.w3.org/2000/svg}"
TOAST = ".toast"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    server = Running(tmp_path_factory.mktemp("export") / "data").start()
    agents = ("planner", "coder", EVIL)
    server.post(
        [
            flow(
                f"flow {i}",
                agent=agents[i % 3],
                ago_s=60 + 55 * i,
                duration_ms=1000.0 + 10 * i,
                cost_usd=0.25 * (i % 3),
            )
            for i in range(60)
        ]
    )
    yield server
    server.stop()


@pytest.fixture(scope="module")
def board(server: Running, chromium: Browser) -> Iterator[Page]:
    """The overview over a range that is over, so that everybody sees the same rows. All tests look at one page."""
    context = chromium.new_context(viewport={"width": 1440, "height": 1000}, timezone_id="UTC", reduced_motion="reduce")
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    visitor = Visitor(context.new_page())
    end = datetime.now(UTC).replace(second=0, microsecond=0)
    window = f"{rfc3339(end - timedelta(hours=1))} to {rfc3339(end)}"
    page = visitor.page
    visitor.sign_in(server.url, server.key)
    page.goto(f"{server.url}/overview?window={window}&tz=UTC")
    expect(tile(page, "latest")).to_have_attribute("data-state", "ok")
    page.wait_for_selector("[data-tile=duration] .figure[data-drawn]")
    yield page
    context.close()


def tile(page: Page, name: str) -> Locator:
    return page.locator(f"[data-tile={name}]")


def choose(page: Page, name: str, entry: str) -> None:
    """An entry of a tile's menu, or of the page's."""
    opener = tile(page, name).locator(".tile-menu") if name else page.locator("[data-control=share]")
    opener.click()
    page.get_by_role("menuitem", name=entry, exact=True).click()


def saved(page: Page, name: str, entry: str) -> Download:
    with page.expect_download() as found:
        choose(page, name, entry)
    return found.value


def body(download: Download) -> bytes:
    return Path(download.path()).read_bytes()


def copied(page: Page, name: str, entry: str) -> str:
    choose(page, name, entry)
    expect(page.locator(TOAST).last).to_contain_text("Copied")
    text: str = page.evaluate("navigator.clipboard.readText()")
    return text


def run(command: list[str], key: str, cwd: Path) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=cwd, timeout=60,
        env=os.environ | {"PLUMBLINE_KEY": key, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def asked(server: Running, message: dict[str, Any]) -> dict[str, Any]:
    headers = {"X-API-Key": server.key, "Content-Type": "application/json"}
    status, _, raw = request(f"{server.url}/api/analytics", json.dumps(message).encode(), headers)
    assert status == 200, raw
    found: dict[str, Any] = json.loads(raw)["analytics"]
    return found


def message_of(page: Page, name: str) -> dict[str, Any]:
    """What the tile asked."""
    found: dict[str, Any] = page.evaluate("(id) => document.querySelector(`[data-tile=${id}]`).tile.head.request", name)
    return found


def test_csv_of_a_tile_has_the_rows_on_screen(board: Page) -> None:
    download = saved(board, "latest", "CSV")
    assert re.fullmatch(r"overview-latest_\d{8}T\d{6}Z_\d{8}T\d{6}Z\.csv", download.suggested_filename)
    head, *rows = list(csv.reader(io.StringIO(body(download).decode(), newline="")))
    shown = tile(board, "latest").locator("tbody tr")
    assert [row[head.index("name")] for row in rows] == [line.locator("td").nth(1).inner_text() for line in shown.all()]
    expect(board.locator(TOAST).last).to_contain_text("Saved overview-latest")


def test_parquet_of_a_chart_has_its_points(board: Page) -> None:
    download = saved(board, "duration", "Parquet")
    table = pq.read_table(io.BytesIO(body(download)))
    drawn = board.evaluate("() => document.querySelector('[data-tile=duration]').tile.columns.s0")
    found = table["duration_p95"].to_pylist()
    assert found[-len(drawn) :] == drawn
    assert any(v is not None for v in drawn)


def test_a_page_is_a_zip_of_its_tiles(board: Page) -> None:
    download = saved(board, "", "CSV of every tile")
    with zipfile.ZipFile(io.BytesIO(body(download))) as archive:
        assert {"about.json", "duration.csv", "latest.csv"} <= set(archive.namelist())
        assert json.loads(archive.read("about.json"))["board"] == "overview"


@pytest.mark.parametrize("name", ["duration", ""])
def test_png_is_a_picture_of_the_right_size_with_something_on_it(board: Page, name: str) -> None:
    picture = Image.open(io.BytesIO(body(saved(board, name, "PNG"))))
    box = (tile(board, name) if name else board.locator("main .grid")).bounding_box()
    assert box is not None
    assert abs(picture.width - 2 * (box["width"] + 40)) <= 4
    assert picture.height > 2 * box["height"]
    colours = picture.convert("RGB").getcolors(1 << 24)
    assert colours is not None
    blue = sum(n for n, (r, g, b) in colours if abs(r - 0x00) + abs(g - 0x72) + abs(b - 0xB2) < 12)  # type: ignore[misc]
    assert len(colours) > 100 and blue > 200, "the line of the chart is not there"


@pytest.mark.parametrize("name", ["spend_by_agent", "duration", "flows", "latest"])
def test_copied_python_gets_the_same_rows_in_a_clean_interpreter(
    board: Page, server: Running, tmp_path: Path, name: str
) -> None:
    text = copied(board, name, "Copy as Python")
    assert server.key not in text
    (tmp_path / "copied.py").write_text(
        text + "\nimport json\nprint(json.dumps([[*map(str, r.values())] for r in rows]))\n"
    )
    lines = run([sys.executable, "copied.py"], server.key, tmp_path).splitlines()
    wanted = asked(server, message_of(board, name))
    found = json.loads(lines[-1])
    assert len(found) == len(lines) - 1 == len(wanted["rows"]) > 0
    plain = [i for i, column in enumerate(wanted["columns"]) if column != "time"]
    assert [[row[i] for i in plain] for row in found] == [[str(row[i]) for i in plain] for row in wanted["rows"]]


def test_copied_curl_gets_the_same_rows(board: Page, server: Running, tmp_path: Path) -> None:
    text = copied(board, "spend_by_agent", "Copy as curl")
    assert server.key not in text
    rows = list(csv.reader(io.StringIO(run(["sh", "-c", text], server.key, tmp_path), newline="")))
    wanted = asked(server, message_of(board, "spend_by_agent"))
    assert rows[0] == wanted["columns"]
    assert [row[0] for row in rows[1:]] == [row[0] for row in wanted["rows"]]


def test_a_page_is_copied_too(board: Page, server: Running, tmp_path: Path) -> None:
    (tmp_path / "board.py").write_text(copied(board, "", "Copy as Python"))
    told = run([sys.executable, "board.py"], server.key, tmp_path)
    assert "spend_by_agent" in told and "planner" in told
    run(["sh", "-c", copied(board, "", "Copy as curl")], server.key, tmp_path)
    assert zipfile.ZipFile(tmp_path / "overview.zip").testzip() is None


def test_hostile_names_stay_text_in_what_is_copied(board: Page, server: Running, tmp_path: Path) -> None:
    message = {
        "type": "query", "metrics": ["flows"], "window": {"from": "now-2h", "to": "now", "tz": "Europe/Berlin"},
        "filters": [{"dim": "agent", "op": "is", "values": [EVIL]}], "group_by": ["agent"],
        "as_of": rfc3339(datetime.now(UTC)),
    }  # fmt: skip
    script = """async ([message, title]) => {
      const base = new URL(".", document.querySelector('script[src$="page.js"]').src).href
      const { python, curl } = await import(base + "recipes.js")
      return [python(message, title), curl(message, title)]
    }"""
    python, curl = board.evaluate(script, [message, EVIL])
    ast.parse(python)
    assert "to pin it" in python and "to pin it" in curl
    (tmp_path / "evil.py").write_text(python, encoding="utf-8")
    assert ast.literal_eval(run([sys.executable, "evil.py"], server.key, tmp_path)) == {"agent": EVIL, "flows": 20}
    rows = list(csv.reader(io.StringIO(run(["sh", "-c", curl], server.key, tmp_path), newline="")))
    assert rows[1] == [EVIL, "20"]


def test_a_failed_export_says_why_and_tries_again(board: Page) -> None:
    problem = {"type": "about:blank", "title": "Overloaded", "status": 503, "detail": "too many exports at once"}

    def refuse(route: Route) -> None:
        route.fulfill(status=503, body=json.dumps(problem), content_type="application/problem+json")

    board.route("**/api/export*", refuse)
    choose(board, "latest", "CSV")
    note = board.locator(TOAST).last
    expect(note).to_contain_text("The export failed. Too many exports at once.")
    board.unroute("**/api/export*")
    with board.expect_download():
        note.get_by_role("button", name="Try again").click()


def test_a_long_export_is_told_and_can_be_stopped(board: Page) -> None:
    held: list[Route] = []
    board.route("**/api/export*", lambda route: held.append(route))
    choose(board, "latest", "Parquet")
    note = board.locator(TOAST).last
    expect(note).to_contain_text("Exporting Latest flows")
    expect(board.locator(".toasts")).to_have_attribute("aria-live", "polite")
    note.get_by_role("button", name="Cancel").click()
    expect(board.locator(TOAST).last).to_contain_text("cancelled")
    assert len(held) == 1


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_svg_stands_alone_and_says_what_it_is(board: Page, theme: str) -> None:
    if board.locator("html").get_attribute("data-theme") != theme:
        board.keyboard.press("t")
        expect(board.locator("html")).to_have_attribute("data-theme", theme)
    text = body(saved(board, "duration", "SVG")).decode()
    root = ET.fromstring(text)
    words = ["".join(t.itertext()) for t in root.iter(f"{SVG}text")]
    assert root.tag == f"{SVG}svg"
    assert words.count("Flow duration") == 1
    assert any(w.startswith("Flow duration · ") for w in words)
    assert any(w.startswith("As of ") and "UTC" in w for w in words)
    assert any("confidence" in w for w in words)
    assert len(list(root.iter(f"{SVG}path"))) > 3
    assert "foreignObject" not in text and "data:font/woff2;base64," in text
    assert set(re.findall(r"https?://[^\s\"'<>)]+", text)) == {"http://www.w3.org/2000/svg"}
    ground = {"light": "#f6f7f9", "dark": "#0d1117"}[theme]
    assert root.find(f"{SVG}rect").get("fill") == ground  # type: ignore[union-attr]
