"""/api in a real browser on a real server: read, try, stop, copy, and what was copied runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, expect

from tests.browser.conftest import Visitor
from tests.conftest import Running, flow

HOSTILE = '<img src=x onerror="document.title=1">'


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    server = Running(tmp_path_factory.mktemp("reference") / "data").start()
    server.post([flow(ago_s=i) for i in range(1, 30)] + [flow(agent=HOSTILE)])
    yield server
    server.stop()


@pytest.fixture
def reader(server: Running, visitor: Visitor) -> Iterator[Visitor]:
    """Somebody signed in on the page, who must meet no error and no other host."""
    visitor.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    visitor.sign_in(server.url, server.key, "/api")
    yield visitor
    assert visitor.errors == []
    assert all(url.startswith(server.url) for url in visitor.requests)


def opened(reader: Visitor, name: str) -> Locator:
    """Choose an entry from the list; gives its article."""
    link(reader, name).click()
    article = reader.page.get_by_role("article", name=name, exact=True)
    expect(article).to_be_visible()
    expect(reader.page.locator("article:visible")).to_have_count(1)
    return article


def link(reader: Visitor, name: str) -> Locator:
    """An entry of the list: its name, and a summary."""
    listed = reader.page.get_by_label("Routes and messages").get_by_role("link", include_hidden=True)
    return listed.filter(has=reader.page.locator("b").get_by_text(name, exact=True))


def sent(article: Locator, body: str | None = None) -> Locator:
    """Press Send; gives the line that tells how it went."""
    if body is not None:
        article.get_by_role("textbox", name=re.compile("^(Message|Body)$")).fill(body)
    article.get_by_role("button", name="Send").click()
    return article.get_by_role("status")


def copied(reader: Visitor, article: Locator, how: str) -> str:
    article.get_by_role("button", name=how).click()
    expect(article.get_by_role("status")).to_have_text("Copied")
    return str(reader.page.evaluate("navigator.clipboard.readText()"))


def run(server: Running, *command: str) -> str:
    done = subprocess.run(
        command, env=os.environ | {"PLUMBLINE_KEY": server.key}, capture_output=True, text=True, timeout=30, check=True
    )
    return done.stdout


def test_a_query_is_answered_over_the_socket_with_its_time_and_size(reader: Visitor) -> None:
    article = opened(reader, "query")
    expect(sent(article)).to_have_text(re.compile(r"^analytics_update · \S+ m?s · \S+ k?B$"))
    expect(article.get_by_label("Reply")).to_contain_text('"duration_p95": {"value": 1000')
    expect(article.get_by_label("Reply")).to_contain_text(HOSTILE.replace('"', '\\"'))
    assert reader.page.locator("img").count() == 0


def test_a_mistake_is_explained_and_the_next_try_works(reader: Visitor) -> None:
    article = opened(reader, "query")
    told = sent(article, '{"type": "query", "id": 1, "metrics": ["flow"]}')
    expect(told).to_have_text(re.compile("^error · "))
    expect(article.get_by_label("Reply")).to_contain_text("did you mean")
    expect(sent(article, "{oops")).to_have_text(re.compile("^error · "))
    expect(article.get_by_label("Reply")).to_contain_text("VALIDATION_ERROR")
    expect(sent(article, '{"type": "query", "metrics": ["flows"]}')).to_have_text(re.compile("^analytics_update · "))


def test_a_subscription_counts_its_messages_until_it_is_stopped(reader: Visitor) -> None:
    article = opened(reader, "subscribe")
    expect(sent(article)).to_have_text(re.compile("^subscribed · "))
    expect(article.locator(".count")).to_have_text(re.compile(r"^[2-9] messages, "))
    expect(article.get_by_label("Reply")).to_contain_text('"sub": "fleet"')
    article.get_by_role("button", name="Stop").click()
    expect(article.get_by_role("status")).to_have_text("Stopped")
    expect(article.get_by_role("button", name="Send")).to_be_visible()
    expect(sent(article)).to_have_text(re.compile("^subscribed · "))


def test_a_question_goes_over_http_too_and_its_curl_asks_the_same(reader: Visitor, server: Running) -> None:
    article = opened(reader, "flow_analytics")
    article.get_by_label("over").select_option("http")
    expect(sent(article)).to_have_text(re.compile("^200 OK · "))
    command = copied(reader, article, "Copy as curl")
    assert command.startswith(f"curl '{server.url}/api/analytics'")
    assert server.key not in command
    assert '"type":"flow_analytics"' in command


def test_a_plain_link_is_tried_where_it_stands(reader: Visitor) -> None:
    article = opened(reader, "GET /api/analytics/flows")
    expect(article.get_by_label("Address")).to_have_value("/api/analytics/flows?window=now-15m")
    expect(sent(article)).to_have_text(re.compile("^200 OK · "))
    expect(article.get_by_label("Reply")).to_contain_text('"type": "analytics_update"')


@pytest.mark.parametrize("name", ["query", "POST /api/ingest/{dataset}"])
def test_the_python_it_copies_runs(reader: Visitor, server: Running, name: str) -> None:
    told = run(server, sys.executable, "-c", copied(reader, opened(reader, name), "Copy as Python"))
    assert '"analytics_update"' in told if name == "query" else '"accepted":1' in told


def test_an_address_of_an_entry_opens_it_and_back_goes_back(reader: Visitor, server: Running) -> None:
    page = reader.page
    page.goto(f"{server.url}/api#frame")
    expect(page.get_by_role("heading", name="frame", level=1)).to_be_visible()
    opened(reader, "ping")
    expect(page.get_by_role("heading", name="ping", level=1)).to_be_focused()
    expect(page).to_have_title("ping · API · Plumbline")
    page.go_back()
    expect(page.get_by_role("heading", name="frame", level=1)).to_be_visible()


def test_it_can_be_used_from_the_keyboard_alone(reader: Visitor) -> None:
    page = reader.page
    link(reader, "ping").focus()
    page.keyboard.press("Enter")
    article = page.get_by_role("article", name="ping", exact=True)
    expect(page.get_by_role("heading", name="ping", level=1)).to_be_focused()
    for _ in range(2):  # from the heading: the message, then Send
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(article.get_by_role("status")).to_have_text(re.compile("^pong · "))


@pytest.mark.parametrize("name", ["query", "socket", "post_api_ingest_dataset", "delete_api_keys_id"])
def test_a_narrow_screen_scrolls_only_downwards(reader: Visitor, server: Running, name: str) -> None:
    page = reader.page
    page.set_viewport_size({"width": 400, "height": 900})
    page.goto(f"{server.url}/api#{name}")
    expect(page.locator("article:visible")).to_have_count(1)
    assert page.evaluate("document.documentElement.scrollWidth") == 400
    page.get_by_text("Routes and messages", exact=True).click()
    link(reader, "pong").click()
    expect(page.get_by_role("heading", name="pong", level=1)).to_be_visible()
    expect(link(reader, "pong")).to_be_hidden()


def test_the_board_leads_to_it(visitor: Visitor, server: Running) -> None:
    visitor.sign_in(server.url, server.key)
    visitor.page.locator("[data-control=more][aria-haspopup]").click()
    visitor.page.get_by_role("menuitem", name="API").click()
    expect(visitor.page).to_have_title(re.compile("API · Plumbline$"))
