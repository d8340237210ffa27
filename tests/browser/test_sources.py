"""The page of the sources: who sends, what of it has a column, what was refused; and a tool that is connected."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, Route, WebSocketRoute, expect

from tests.browser.conftest import Visitor, address
from tests.browser.test_accessibility import violations
from tests.conftest import Running, flow

LEDGER = {
    "ways": [
        {"source": "crew", "way": "span", "completeness": 1.0, "agreement": 1.0, "differs": []},
        {"source": "crew", "way": "metric", "completeness": 0.9, "agreement": 0.98,
         "differs": [{"session": "s1", "what": "tokens", "here": 90, "record": 100}]},
    ]
}  # fmt: skip


def fleet() -> list[dict[str, Any]]:
    """A sender that stopped ten minutes ago, and one that goes on and has more to tell than there are columns for."""
    late = [flow("run", 600 + 10 * i, source="stopped", agent="a") for i in range(60)]
    crew = [flow("run", 50 * i, source="crew", agent="planner", crew_role="lead", plan={"steps": 3}) for i in range(60)]
    return [*late, *crew]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    server = Running(tmp_path_factory.mktemp("sources") / "data", "--no-demo").start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def admin(server: Running) -> str:
    return server.create_key("anna", "read,ingest,admin")


@pytest.fixture(scope="module")
def fed(server: Running) -> None:
    server.post([*fleet(), flow(source="crew", duration_ms=-5.0)])


def opened(visitor: Visitor, server: Running, key: str, path: str = "/sources") -> Page:
    visitor.sign_in(server.url, key, path)
    expect(visitor.page.get_by_role("heading", name="Connect a tool")).to_be_visible()
    return visitor.page


def test_without_a_source_connecting_one_comes_first(server: Running, admin: str, visitor: Visitor) -> None:
    page = opened(visitor, server, admin)
    titles = page.locator("main h2").all_text_contents()
    assert titles[:2] == ["No source has sent anything in the last hour", "Connect a tool"]
    assert violations(page) == []


def test_a_tool_is_connected_and_its_test_event_is_seen_to_arrive(
    server: Running, admin: str, visitor: Visitor
) -> None:
    page = opened(visitor, server, admin)
    page.get_by_role("tab", name="OpenTelemetry").focus()
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("tab", name="Claude Code")).to_be_focused()
    lines = page.get_by_label("Before you start claude", exact=True)
    expect(lines).to_contain_text(f"export OTEL_EXPORTER_OTLP_ENDPOINT={server.url}\n")
    expect(lines).to_contain_text('"x-api-key=KEY"')
    page.get_by_role("button", name="Make a key").click()
    field = page.get_by_label("Key for the lines below")
    expect(field).not_to_have_value("")
    key = field.input_value()
    expect(lines).to_contain_text(f'"x-api-key={key}"')
    page.get_by_role("button", name="Send a test event").click()
    expect(page.locator(".outcome")).to_contain_text("It arrived: kept after", timeout=20_000)
    page.get_by_role("button", name="Show it").click()
    expect(page.locator(".sender h2")).to_have_text("connection-test")
    expect(page.locator(".sender h2")).to_be_focused()
    stored = page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie, location.href])")
    assert key not in stored
    assert key.startswith("pl_")
    page.reload()
    expect(field).to_have_value("")


def test_what_is_wrong_with_a_key_is_said(server: Running, admin: str, visitor: Visitor) -> None:
    page = opened(visitor, server, admin)
    field = page.get_by_label("Key for the lines below")
    field.fill("no key; rm -rf")
    expect(page.locator(".key-bar .refusal")).to_contain_text("does not look like a key")
    expect(page.locator(".setup pre").first).to_contain_text("KEY")
    field.fill(server.create_key("reader", "read"))
    page.get_by_role("button", name="Send a test event").click()
    expect(page.locator(".outcome.bad")).to_contain_text("ingest")


def test_who_may_not_make_keys_is_told_who_may(server: Running, visitor: Visitor) -> None:
    page = opened(visitor, server, server.create_key("ben", "read"))
    expect(page.get_by_role("button", name="Make a key")).to_have_count(0)
    expect(page.locator(".key-bar")).to_contain_text("takes the scope admin")


@pytest.mark.usefixtures("fed")
def test_late_ones_come_first_and_a_sender_opens_by_keyboard(server: Running, admin: str, visitor: Visitor) -> None:
    page = opened(visitor, server, admin)
    names = page.locator(".senders .name")
    expect(names.first).to_have_text("stopped")
    expect(page.locator(".senders tbody tr").first).to_contain_text("Late: quiet for longer than its usual")
    expect(page.locator(".senders .sub")).to_contain_text("1 late")
    page.keyboard.press("l")
    page.keyboard.type("CREW")
    expect(names).to_have_text(["crew"])
    expect(page.locator(".senders tbody tr")).to_contain_text("2 kept beside")
    names.first.focus()
    page.keyboard.press("Enter")
    panel = page.locator(".sender")
    expect(panel.locator("h2")).to_be_focused()
    expect(panel).to_contain_text("crew_role")
    expect(panel).to_contain_text("Nothing of it is lost")
    expect(panel).to_contain_text("duration_ms: expected zero or more")
    assert "sender=crew" in address(page)
    assert violations(page) == []
    page.keyboard.press("Escape")
    expect(panel).to_be_hidden()
    expect(names.first).to_be_focused()


@pytest.mark.usefixtures("fed")
def test_what_was_refused_names_its_senders(server: Running, admin: str, visitor: Visitor) -> None:
    page = opened(visitor, server, admin)
    losses = page.locator(".losses")
    expect(losses).to_contain_text("negative 1")
    losses.get_by_role("button", name="crew").click()
    expect(page.locator(".sender h2")).to_have_text("crew")


@pytest.mark.usefixtures("fed")
@pytest.mark.parametrize("kept", [True, False])
def test_the_record_shows_where_the_server_keeps_one(server: Running, admin: str, visitor: Visitor, kept: bool) -> None:
    def answer(socket: WebSocketRoute) -> None:
        onward = socket.connect_to_server()

        def sent(text: str | bytes) -> None:
            message = json.loads(text)
            if message.get("type") != "ledger":
                onward.send(text)
                return
            good = {"type": "analytics_update", "id": message["id"], "analytics": LEDGER}
            bad = {"type": "error", "id": message["id"], "error": {"code": "validation", "message": "no such message"}}
            socket.send(json.dumps(good if kept else bad))

        socket.on_message(sent)

    visitor.page.route_web_socket("**/api/analytics/ws", answer)
    page = opened(visitor, server, admin, "/sources?sender=crew")
    row = page.locator(".senders tbody tr", has_text="crew")
    expect(row.locator("svg.rhythm")).to_be_visible()
    expect(row.locator(".c-told")).to_have_text("90.0%") if kept else expect(row.locator(".c-told")).to_be_hidden()
    expect(page.locator(".sender .ledger")).to_have_count(1 if kept else 0)
    if kept:
        page.locator(".ledger summary").click()
        expect(page.locator(".ledger")).to_contain_text("tokens: 90 here, 100 in the record")


def test_a_server_that_does_not_keep_the_event_says_why(server: Running, admin: str, visitor: Visitor) -> None:
    page = opened(visitor, server, admin)

    def full(route: Route) -> None:
        problem = {"title": "storage_full", "detail": "the disk is full", "hint": "make room"}
        route.fulfill(status=507, json=problem)

    page.route("**/api/ingest/events", full)
    page.get_by_label("Key for the lines below").fill(admin)
    page.get_by_role("button", name="Send a test event").click()
    expect(page.locator(".outcome.bad")).to_have_text("The disk is full. Make room.")


@pytest.mark.usefixtures("fed")
def test_nothing_is_wider_than_a_telephone(server: Running, admin: str, visitor: Visitor) -> None:
    visitor.page.set_viewport_size({"width": 400, "height": 860})
    page = opened(visitor, server, admin, "/sources?sender=crew&theme=dark")
    expect(page.locator(".sender")).to_contain_text("crew_role")
    assert page.evaluate("document.documentElement.scrollWidth") == 400
    assert violations(page) == []
