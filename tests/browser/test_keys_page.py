"""The page of the keys: made, shown once, copied, rotated and revoked by hand and by keyboard, and what it says."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page, expect
from websockets.sync.client import connect

from tests.browser.conftest import Visitor
from tests.conftest import Running, request

HOSTILE = '<img src=x onerror="window.hacked=true">'
FIELD = "#fresh-key"
KEY = re.compile(r"pl_live_[a-z0-9]{10}_\w{32}_\w{6}")
LOOKS_MS = 5_000  # how often the page looks


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    server = Running(tmp_path_factory.mktemp("keys") / "data").start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def admin(server: Running) -> str:
    return server.create_key("anna", "read,admin")


@pytest.fixture
def page(server: Running, admin: str, visitor: Visitor) -> Page:
    visitor.page.clock.install()
    visitor.sign_in(server.url, admin, "/keys")
    expect(visitor.page.locator("main")).to_have_attribute("data-state", "ok")
    return visitor.page


def counts(server: Running, key: str) -> bool:
    return request(f"{server.url}/api/session", headers={"X-API-Key": key})[0] == 204


def create(page: Page, name: str) -> str:
    """Make a key as a person does; gives what the page shows."""
    page.get_by_role("button", name="New key").click()
    page.get_by_label("Name").fill(name)
    page.get_by_role("button", name="Create key").click()
    expect(page.locator(FIELD)).to_have_value(KEY)
    return page.input_value(FIELD)


def row(page: Page, name: str) -> Locator:
    return page.locator("[data-control=keys] tr").filter(has_text=name)


def test_a_key_is_made_shown_once_and_can_be_copied(server: Running, page: Page, visitor: Visitor) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    key = create(page, "wall")
    assert counts(server, key)
    expect(page.locator(FIELD)).to_be_focused()
    expect(page.get_by_role("region", name="The key “wall” is made")).to_contain_text("it is not shown again")
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == key
    expect(row(page, "wall")).to_contain_text("Valid")
    page.get_by_role("button", name="Done").click()
    expect(page.get_by_role("button", name="New key")).to_be_focused()
    assert page.input_value(FIELD) == ""
    assert key not in page.content()
    page.reload()
    expect(row(page, "wall")).to_be_visible()
    assert key not in page.content()
    assert visitor.errors == []
    assert [url for url in visitor.requests if not url.startswith(server.url)] == []


def test_what_is_wrong_is_said_in_the_dialog_and_nothing_typed_is_lost(page: Page) -> None:
    page.get_by_role("button", name="New key").click()
    page.get_by_role("button", name="Create key").click()
    refusal = page.get_by_role("dialog").get_by_role("alert")
    expect(refusal).to_have_text("Give it a name, so that you know later what it is for.")
    page.get_by_label("Name").fill("office")
    page.get_by_text("Limits", exact=True).last.click()
    page.get_by_label("Networks").fill("10.0.0.0.1")
    page.get_by_role("button", name="Create key").click()
    expect(refusal).to_contain_text("does not appear to be an IPv4 or IPv6 network")
    page.get_by_label("Networks").fill("10.0.0.0/8, 2001:db8::/32")
    page.get_by_role("button", name="Create key").click()
    expect(row(page, "office")).to_contain_text("networks 10.0.0.0/8, 2001:db8::/32")


def test_a_revocation_asks_first_and_then_counts(server: Running, page: Page) -> None:
    key = create(page, "guest")
    with connect(
        server.url.replace("http", "ws") + "/api/analytics/ws", additional_headers={"X-API-Key": key}
    ) as socket:
        page.clock.fast_forward(LOOKS_MS)
        expect(row(page, "guest").get_by_role("cell").nth(5)).to_have_text("1")
        revoke = page.get_by_role("button", name="Revoke the key guest")
        revoke.focus()
        page.keyboard.press("Enter")
        asked = page.get_by_role("dialog", name="Revoke “guest”?")
        expect(asked).to_contain_text("Its live connection is closed.")
        expect(asked.get_by_role("button", name="Cancel")).to_be_focused()
        page.keyboard.press("Escape")
        expect(asked).to_be_hidden()
        expect(revoke).to_be_focused()
        assert counts(server, key)
        revoke.click()
        asked.get_by_role("button", name="Revoke key").click()
        expect(row(page, "guest")).to_have_count(0)
        with pytest.raises(Exception, match="4503"):
            socket.recv(5)
    assert not counts(server, key)
    expect(page.get_by_role("heading", name="API keys")).to_be_focused()
    page.get_by_role("button", name="Show ended").click()
    expect(row(page, "guest")).to_contain_text("Revoked")
    expect(page.locator("[data-control=audit] tr").filter(has_text="guest").first).to_contain_text("By anna")


def test_a_rotation_leaves_both_keys_until_the_grace_is_over(server: Running, page: Page) -> None:
    old = create(page, "exporter")
    page.get_by_role("button", name="Rotate the key exporter").click()
    page.get_by_role("button", name="Rotate key").click()
    expect(page.get_by_role("region", name="The new key of “exporter”")).to_contain_text("The old one goes on for 24 h")
    new = page.input_value(FIELD)
    assert new != old
    assert [counts(server, key) for key in (old, new)] == [True, True]
    expect(row(page, "Rotated")).to_contain_text("in 24 h")


def test_text_stays_text(server: Running, page: Page, visitor: Visitor) -> None:
    create(page, HOSTILE)
    expect(row(page, HOSTILE)).to_be_visible()
    page.get_by_role("button", name=f"Revoke the key {HOSTILE}").click()
    expect(page.get_by_role("dialog")).to_contain_text(HOSTILE)
    assert page.evaluate("window.hacked") is None
    assert visitor.errors == []


def test_a_server_that_does_not_answer_is_said_and_can_be_asked_again(page: Page) -> None:
    page.route("**/api/keys", lambda route: route.abort())
    trouble = page.locator("[data-control=trouble]")
    page.clock.fast_forward(LOOKS_MS)
    expect(trouble).to_contain_text("The server does not answer.")
    expect(row(page, "anna")).to_be_visible()
    page.unroute("**/api/keys")
    trouble.get_by_role("button", name="Try again").click()
    expect(trouble).to_be_hidden()


def test_who_is_signed_out_is_told_where_to_sign_in(server: Running, page: Page) -> None:
    page.context.clear_cookies()
    trouble = page.locator("[data-control=trouble]")
    page.clock.fast_forward(LOOKS_MS)
    expect(trouble).to_contain_text("You are signed out.")
    expect(trouble.get_by_role("link", name="Sign in")).to_have_attribute("href", "/login?next=/keys")


def test_a_reader_sees_no_entry_and_no_page(server: Running, visitor: Visitor) -> None:
    visitor.sign_in(server.url, server.key)
    expect(visitor.page.get_by_role("navigation")).not_to_contain_text("Keys")
    visitor.page.goto(server.url + "/keys")
    expect(visitor.page.get_by_role("heading", name="This page is for admins")).to_be_visible()


@pytest.mark.parametrize("width", [400, 768, 1024, 1440])
def test_the_page_fits(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    expect(page.get_by_role("button", name="Revoke the key anna")).to_be_visible()
    box = page.get_by_role("button", name="Revoke the key anna").bounding_box()
    assert box is not None
    assert box["x"] + box["width"] <= width
