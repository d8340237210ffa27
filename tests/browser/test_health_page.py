"""The page Health in a real browser: parts, connections, the button that closes one, and who sees what."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from tests.browser.conftest import Visitor
from tests.conftest import Running

ROWS = "[data-health=rows] tr"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    server = Running(tmp_path_factory.mktemp("health") / "data", "--no-demo", "--self-s", "0.2").start()
    yield server
    server.stop()


def test_an_administrator_sees_parts_numbers_and_connections(server: Running, visitor: Visitor) -> None:
    page = visitor.page
    page.goto(server.link)
    page.locator("nav summary", has_text="More").click()
    page.get_by_role("link", name="Health").click()
    expect(page).to_have_title("Health · Plumbline")
    for part in ("store", "writer", "hub", "disk", "workspace"):
        expect(page.locator(f"[data-part={part}]")).to_have_text(f"{part}ok")
    expect(page.locator("[data-tile=memory] .value")).to_contain_text("MB")
    page.wait_for_selector("[data-tile=slowest] .figure[data-drawn]")
    with connect(
        server.url.replace("http", "ws") + "/api/analytics/ws",
        additional_headers={"X-API-Key": server.key},
        subprotocols=[Subprotocol("analytics.v1")],
    ) as socket:
        assert json.loads(socket.recv())["type"] == "welcome"
        row = page.locator(ROWS, has_text="test")
        expect(row).to_have_count(1)
        expect(row).to_contain_text("open")
        page.get_by_role("button", name="Close the connection of test").click()
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=5)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4000
        expect(row).to_have_count(0)
    expect(page.locator(ROWS, has_text="owner")).to_have_count(1)  # this page's own
    assert visitor.errors == []


def test_a_page_whose_connection_is_closed_comes_back(server: Running, visitor: Visitor) -> None:
    page = visitor.page
    admin = server.create_key("operator", "read,admin")
    visitor.sign_in(server.url, admin, "/health")
    row = page.locator(ROWS, has_text="operator")
    expect(row).to_have_count(1)
    first = row.get_attribute("data-conn")
    row.get_by_role("button").click()
    expect(page.locator(f"[data-conn='{first}']")).to_have_count(0)
    expect(row).to_have_count(1)
    expect(page.locator("[data-control=live]")).to_contain_text("Live")


def test_a_reader_sees_the_board_and_no_connections(server: Running, visitor: Visitor) -> None:
    visitor.sign_in(server.url, server.key, "/health")
    page = visitor.page
    expect(page.locator("[data-part=store]")).to_have_text("storeok")
    expect(page.locator("[data-tile=memory] .value")).to_contain_text("MB")
    expect(page.get_by_role("heading", name="Connections")).to_have_count(1)  # the tile that counts them
    expect(page.locator("[data-health=connections]")).to_have_count(0)
    assert not [url for url in visitor.requests if "/api/connections" in url]
    assert visitor.errors == []


def test_an_unwell_part_says_why_and_a_lost_server_is_not_shown_as_well(server: Running, visitor: Visitor) -> None:
    page = visitor.page
    parts = {"store": {"ok": False, "reason": "the store was busy for more than 1 s"}}
    page.route("**/readyz", lambda route: route.fulfill(status=503, json={"status": "not ready", "parts": parts}))
    visitor.sign_in(server.url, server.key, "/health")
    store = page.locator("[data-part=store]")
    expect(store).to_have_text("storethe store was busy for more than 1 s")
    expect(store).to_have_attribute("data-ok", "false")
    page.unroute("**/readyz")
    page.route("**/readyz", lambda route: route.abort())
    expect(page.locator("[data-health=parts]")).to_have_attribute("data-old", "stale")


@pytest.mark.parametrize("width", [400, 900, 1440])
def test_the_page_is_never_wider_than_its_window(server: Running, visitor: Visitor, width: int) -> None:
    page = visitor.page
    page.set_viewport_size({"width": width, "height": 900})
    visitor.sign_in(server.url, server.create_key(f"operator {width}", "read,admin"), "/health")
    expect(page.locator(ROWS).first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
