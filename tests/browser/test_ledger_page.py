"""The page of the ledger: what counts, which way is the record, how far the others agree and where they differ."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.sync_api import WebSocketRoute, expect

from tests.browser.conftest import Visitor
from tests.browser.test_accessibility import violations
from tests.browser.told import told
from tests.conftest import Running, flow

HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def started() -> datetime:
    return datetime.now(UTC)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, started: datetime) -> Iterator[Running]:
    server = Running(tmp_path_factory.mktemp("ledger") / "data", "--no-demo").start()
    one = flow("chat", kind="model", source=HOSTILE, call_id=HOSTILE * 8, session=HOSTILE, tokens_input=10)
    said = server.post([*told(), one | {"way": "span"}, one | {"way": "log", "tokens_output": 5}])
    assert said["dropped"] == []
    yield server
    server.stop()


class Between:
    """Hands a socket through, and answers `ledger` with an error while it is told to."""

    fails = False

    def __call__(self, socket: WebSocketRoute) -> None:
        onward = socket.connect_to_server()

        def sent(text: str | bytes) -> None:
            message = json.loads(text)
            if not (self.fails and message.get("type") == "ledger"):
                onward.send(text)
                return
            error = {"code": "timeout", "message": "the answer took longer than 10 s"}
            socket.send(json.dumps({"type": "error", "id": message["id"], "error": error}))

        socket.on_message(sent)


def test_the_ledger_is_read_narrowed_and_taken_along(server: Running, visitor: Visitor, started: datetime) -> None:
    page, between = visitor.page, Between()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.route_web_socket("**/api/analytics/ws", between)
    visitor.sign_in(server.url, server.key, "/ledger?source=claude-code&source=codex")
    facts, ways, differs = page.locator(".fact"), page.locator(".told tbody tr"), page.locator(".differs tbody tr")

    expect(facts.nth(0)).to_contain_text("told 156 times, counted once")
    expect(facts.locator(".value").first).to_have_text("80")
    expect(facts.nth(2)).to_contain_text("estimated, prices of")
    expect(page.locator(".ledger-page > [role=status]")).to_contain_text("Last 1 hour: 80 calls")
    expect(ways.nth(0)).to_contain_text("the record")
    lost = ways.filter(has_text="metrics")
    expect(lost).to_contain_text("evidence")
    expect(lost).to_contain_text("counted by the tool")
    expect(lost).to_contain_text("told 23.9% of the record")
    expect(page.locator(".rules")).to_contain_text("Rows with one id of the call are one call.")
    assert violations(page) == []

    ways.nth(0).locator(".name").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(differs).to_have_count(2)
    expect(differs.nth(0)).to_contain_text("+410 (+6.2%)")
    differs.nth(0).get_by_role("button", name="Copy").click()
    expect(differs.nth(0)).to_contain_text("Copied")
    line = "claude-code, transcripts, call msg_claude-code_021: tokens 7,040 told, 6,630 in the record, difference 410"
    assert page.evaluate("navigator.clipboard.readText()") == line
    page.keyboard.press("Escape")
    expect(differs).to_have_count(12)
    expect(differs.get_by_role("link", name="Open the flow of call msg_codex_009")).to_have_attribute(
        "href", "/flows?source=claude-code&source=codex&flow=trace-009"
    )

    differs.filter(has_text="refactor-7").get_by_role("button", name="Only session").click()
    expect(facts.nth(0).locator(".value")).to_have_text("4")
    expect(page.get_by_role("button", name="Only session refactor-7")).to_be_focused()
    page.keyboard.press("Enter")
    expect(facts.nth(0).locator(".value")).to_have_text("80")

    then = started.isoformat().replace("+00:00", "Z")
    page.evaluate("then => Plumbline.page.then(({ scope }) => scope.set({ as_of: then }))", then)
    expect(page.locator(".told .state")).to_contain_text("Nothing that is kept here tells of a call.")
    expect(page.locator(".rules")).to_contain_text("received by then")
    between.fails = True
    page.get_by_role("button", name="Back to now").click()
    expect(page.locator(".told .state")).to_contain_text("The answer took longer than 10 s.")
    between.fails = False
    page.get_by_role("button", name="Try again").click()
    expect(ways).to_have_count(5)
    expect(page.locator(".told .state")).to_be_hidden()
    assert visitor.errors == []


def test_of_a_server_that_is_gone_it_shows_nothing_as_new(tmp_path: Path, visitor: Visitor) -> None:
    page, server = visitor.page, Running(tmp_path / "data", "--no-demo").start()
    try:
        server.post(told())
        page.clock.install()
        visitor.sign_in(server.url, server.key, "/ledger")
        old, stand = page.locator(".told .old"), page.locator("main")
        expect(page.locator(".fact .value").first).to_have_text("80")
        expect(stand).to_have_attribute("data-state", "live")
        expect(old).to_be_hidden()
    finally:
        server.stop()
    expect(stand).to_have_attribute("data-state", "reconnecting")
    page.clock.fast_forward("00:40")
    expect(old).to_have_text(re.compile(r"[45]\d s old"))
    expect(page.locator(".fact .value").first).to_have_css("opacity", "0.45")
    expect(page.locator(".told .wide")).to_have_css("opacity", "0.45")


def test_it_fits_a_telephone_and_hostile_names_stay_text(server: Running, visitor: Visitor) -> None:
    visitor.page.set_viewport_size({"width": 400, "height": 860})
    visitor.sign_in(server.url, server.key, "/ledger?theme=dark")
    expect(visitor.page.locator(".told tbody tr")).to_have_count(8)
    expect(visitor.page.locator(".c-source", has_text=HOSTILE).first).to_be_visible()
    assert visitor.page.locator("img").count() == 0
    assert visitor.page.evaluate("document.documentElement.scrollWidth") == 400
    assert violations(visitor.page) == []
    assert visitor.errors == []
