"""The page that loads data: dropped, looked at, corrected, loaded; by hand and by keyboard; and its refusals."""

from __future__ import annotations

import base64
import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visitor
from tests.conftest import Running

SHOP = "day,amount,place\n" + "".join(f"{i % 28 + 1:02}/03/2026,{i}.5,Town {i % 7}\n" for i in range(40))
BAD = SHOP + "29/03/2026,oops,Town 1\n30/03/2026,1\n"
DROP = """([name, body]) => {
  const bytes = Uint8Array.from(atob(body), (c) => c.charCodeAt(0))
  const data = new DataTransfer()
  data.items.add(new File([bytes], name))
  const options = { dataTransfer: data, bubbles: true, cancelable: true }
  const zone = document.querySelector(".drop")
  for (const type of ["dragenter", "dragover", "drop"]) zone.dispatchEvent(new DragEvent(type, options))
}"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    server = Running(tmp_path_factory.mktemp("load") / "data").start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def admin(server: Running) -> str:
    return server.create_key("anna", "read,ingest,admin")


@pytest.fixture
def page(server: Running, admin: str, visitor: Visitor) -> Page:
    visitor.sign_in(server.url, admin, "/load")
    expect(visitor.page.get_by_role("heading", name="Drop files here")).to_be_visible()
    return visitor.page


def drop(page: Page, name: str, body: str | bytes) -> None:
    raw = body if isinstance(body, bytes) else body.encode()
    page.evaluate(DROP, [name, base64.b64encode(raw).decode()])


def ready(page: Page) -> None:
    expect(page.get_by_role("button", name="Load", exact=True)).to_be_visible(timeout=15_000)


def test_a_file_is_dropped_corrected_loaded_and_shown(page: Page, visitor: Visitor) -> None:
    drop(page, "shop.csv.gz", gzip.compress(BAD.encode()))
    ready(page)
    expect(page.get_by_label("Type of day")).to_have_value("time:%d/%m/%Y")
    expect(page.get_by_label("Type of day").locator("option:checked")).to_have_text("Time, DD/MM/YYYY")
    expect(page.get_by_role("radio", name="Rows' time")).to_be_checked()
    expect(page.locator(".bad-rows summary")).to_contain_text("2 rows cannot be kept")
    expect(page.locator(".bad-rows tbody tr")).to_contain_text(
        ["Column amount: expected a number, got 'oops'.", "Expected 3 fields, got 2."]
    )
    page.get_by_label("Type of amount").focus()
    page.get_by_label("Type of amount").select_option("text")
    expect(page.locator(".bad-rows summary")).to_contain_text("1 row cannot be kept")
    expect(page.get_by_label("Type of amount")).to_be_focused()
    page.get_by_label("Type of amount").select_option("number")
    page.get_by_label("Dataset").fill("my_shop")
    expect(page.locator(".makes")).to_contain_text("Loading makes the dataset my_shop with")
    page.get_by_role("button", name="Load", exact=True).click()
    expect(page.get_by_role("heading", name="40 new rows in my_shop")).to_be_focused(timeout=15_000)
    with page.expect_download() as download:
        page.get_by_role("link", name="Download all of them as CSV").click()
    assert "42,bad_type" in Path(download.value.path()).read_text()
    page.get_by_role("link", name="Open the board").click()
    page.wait_for_url("**/board?board=my_shop")
    expect(page.locator(".t-kpi .value").first).to_have_text("40", timeout=15_000)
    assert visitor.errors == []


def test_a_name_that_cannot_be_is_said_and_the_old_one_stays(page: Page) -> None:
    drop(page, "names.csv", SHOP)
    ready(page)
    page.get_by_label("Dataset").fill("events")
    expect(page.get_by_role("alert")).to_contain_text("The dataset 'events' holds events")
    expect(page.get_by_role("button", name="Load", exact=True)).to_have_attribute("aria-disabled", "true")
    page.get_by_label("Type of place").select_option("text")
    page.get_by_label("Type of amount").select_option("text")  # another change does not hide it
    expect(page.get_by_role("alert")).to_contain_text("The dataset 'events' holds events")
    page.get_by_label("Dataset").fill("names")
    expect(page.get_by_role("alert")).to_be_hidden()
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("heading", name="Drop files here")).to_be_visible()


def test_by_keyboard(page: Page, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("day,n\n2026-01-01,1\n")
    (tmp_path / "b.csv").write_text("day,n\n2026-01-02,2\n")
    page.get_by_role("button", name="Choose files").focus()
    page.evaluate("document.getElementById('load-files').onclick = () => { document.title = 'asked for files' }")
    page.keyboard.press("Enter")
    expect(page).to_have_title("asked for files")
    page.set_input_files("#load-files", [tmp_path / "a.csv", tmp_path / "b.csv"])
    ready(page)
    expect(page.get_by_role("heading", name="2 files")).to_be_focused()
    expect(page.locator(".load [role=status]")).to_contain_text("Loading makes the dataset a")
    page.get_by_role("radio", name="No column").press("Space")
    expect(page.get_by_role("radio", name="No column")).to_be_checked()
    page.get_by_role("button", name="Load", exact=True).press("Enter")
    expect(page.get_by_role("heading", name="2 new rows in a")).to_be_focused(timeout=15_000)


def test_a_reload_finds_what_was_being_looked_at(page: Page) -> None:
    drop(page, "kept.csv", SHOP)
    ready(page)
    page.reload()
    ready(page)
    expect(page.get_by_role("heading", name="kept.csv")).to_be_visible()


def test_a_file_that_is_no_data_is_said_to_be_none(page: Page) -> None:
    drop(page, "report.pdf", b"%PDF-1.7 nothing")
    expect(page.get_by_role("alert")).to_contain_text("Report.pdf is a PDF document", timeout=15_000, ignore_case=True)
    page.get_by_role("button", name="Choose other files").click()
    expect(page.get_by_role("heading", name="Drop files here")).to_be_visible()


def test_who_is_no_admin_learns_what_it_takes(server: Running, visitor: Visitor) -> None:
    visitor.sign_in(server.url, server.create_key("reader", "read"), "/load")
    expect(visitor.page.get_by_role("heading", name="Loading data needs an admin")).to_be_visible()
    assert visitor.page.locator("input[type=file]").count() == 0


@pytest.mark.parametrize("width", [1440, 400])
def test_nothing_sticks_out(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    drop(
        page,
        "wide.csv",
        ",".join(f"column_number_{i}" for i in range(40)) + "\n" + ",".join("2026-01-01" for _ in range(40)) + "\n",
    )
    ready(page)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
