"""The whole way in a real browser: a real server, real exporters, and what the screen says of both."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from playwright.sync_api import expect

from tests.browser.conftest import Visitor, address
from tests.conftest import Running, flow

HOSTILE = '<img src=x onerror="window.hacked=true">{{7*7}}\'"--'
LATEST = "[data-tile=latest]"
LIVE = "[data-control=live]"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    server = Running(tmp_path_factory.mktemp("live") / "data").start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    server = Running(tmp_path_factory.mktemp("demo") / "data", "--demo").start()
    yield server
    server.stop()


def test_a_bad_key_is_refused_and_a_good_one_let_in(server: Running, visitor: Visitor) -> None:
    page = visitor.page
    page.goto(server.url + "/overview")
    expect(page).to_have_title("Sign in · Plumbline")
    page.fill("#key", "pl_live_not_a_key")
    page.click("button.primary")
    expect(page.get_by_role("alert")).to_be_visible()
    assert "pl_live_not_a_key" not in page.content()
    page.fill("#key", server.key)
    page.click("button.primary")
    expect(page).to_have_title("Overview · Plumbline")


def test_the_one_time_link_opens_the_overview(server: Running, visitor: Visitor) -> None:
    visitor.page.goto(server.link)
    expect(visitor.page).to_have_title("Overview · Plumbline")


def test_an_empty_server_says_why_and_how_to_fill_it(server: Running, visitor: Visitor) -> None:
    visitor.sign_in(server.url, server.key)
    latest = visitor.page.locator(LATEST)
    expect(latest).to_have_attribute("data-state", "empty")
    expect(latest).to_contain_text("No source is sending yet.")
    expect(latest).to_contain_text(f"{server.url}/api/ingest/events")


def test_the_overview_paints_every_tile_of_the_demo_fleet(demo: Running, visitor: Visitor) -> None:
    page = visitor.page
    visitor.sign_in(demo.url, demo.key)
    page.wait_for_selector("[data-tile=duration] .figure[data-drawn]")
    page.wait_for_selector("[data-tile=distribution] .figure[data-drawn]")
    tiles = page.locator(".tile[data-tile]")
    expect(tiles).to_have_count(12)
    for tile in tiles.all():
        expect(tile).to_have_attribute("data-state", "ok")
    expect(page.locator("[data-tile=flows] .value")).to_contain_text("/min")
    expect(page.locator("[data-tile=changed] article").first).to_be_visible()
    expect(page.locator("[data-tile=spend_by_agent]")).to_contain_text("planner")
    expect(page.locator(LIVE)).to_contain_text("Live")
    assert visitor.errors == []
    assert [url for url in visitor.requests if not url.startswith((demo.url, "blob:"))] == []


def test_the_resources_of_this_machine_are_live(demo: Running, visitor: Visitor) -> None:
    visitor.sign_in(demo.url, demo.key, "/resources")
    expect(visitor.page.locator("[data-tile=cpu] .value")).to_contain_text("%")
    expect(visitor.page.locator("[data-tile=memory] .value")).to_contain_text("%")
    visitor.page.wait_for_selector("[data-tile=cpu_memory] .figure[data-drawn]")
    assert visitor.errors == []


def test_a_span_of_the_real_sdk_is_on_the_page_within_two_seconds(server: Running, visitor: Visitor) -> None:
    visitor.sign_in(server.url, server.key)
    expect(visitor.page.locator(LIVE)).to_contain_text("Live")
    exporter = OTLPSpanExporter(f"{server.url}/v1/traces", headers={"X-API-Key": server.key})
    provider = TracerProvider(resource=Resource({"service.name": "my-service"}))
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with provider.get_tracer("test").start_as_current_span("my very own flow") as span:
        span.set_attribute("gen_ai.agent.name", "my-agent")
    sent = time.monotonic()
    expect(visitor.page.locator(LATEST)).to_contain_text("my very own flow", timeout=5000)
    took = time.monotonic() - sent
    provider.shutdown()
    assert took < 2
    expect(visitor.page.locator(LATEST)).to_contain_text("my-agent")


def test_hostile_names_are_shown_as_text(server: Running, visitor: Visitor) -> None:
    server.post([flow(HOSTILE, agent=HOSTILE, domain=HOSTILE, cost_usd=1.0) for _ in range(3)])
    visitor.sign_in(server.url, server.key)
    expect(visitor.page.locator(LATEST)).to_contain_text(HOSTILE)
    expect(visitor.page.locator("[data-tile=spend_by_agent]")).to_contain_text(HOSTILE)
    visitor.page.get_by_role("button", name="+ Filter").click()
    expect(visitor.page.get_by_text(HOSTILE).last).to_be_visible()
    assert visitor.page.evaluate("window.hacked") is None
    assert visitor.page.locator("main img").count() == 0
    assert visitor.errors == []


def test_a_range_and_a_domain_are_kept_in_the_url(server: Running, visitor: Visitor) -> None:
    page = visitor.page
    server.post([flow("inside", domain="alpha"), flow("outside", domain="beta")])
    visitor.sign_in(server.url, server.key)
    expect(page.locator(LATEST)).to_contain_text("outside")
    page.goto(server.url + "/overview?window=now-15m&domain=alpha")
    expect(page.locator(LATEST)).to_contain_text("inside")
    expect(page.locator(LATEST)).not_to_contain_text("outside")
    expect(page.locator("[data-control=range]")).to_contain_text("15 minutes")
    page.get_by_role("button", name="Remove the filter domain").click()
    expect(page.locator(LATEST)).to_contain_text("outside")
    assert "domain" not in address(page)
    page.go_back()
    expect(page.locator(LATEST)).not_to_contain_text("outside")
    assert "domain=alpha" in address(page)


def test_a_stopped_server_is_said_and_a_restarted_one_heals_the_page(tmp_path: Path, visitor: Visitor) -> None:
    server = Running(tmp_path / "data").start()
    try:
        server.post([flow("before the fall")])
        page = visitor.page
        page.clock.install()
        visitor.sign_in(server.url, server.key)
        expect(page.locator(LATEST)).to_contain_text("before the fall")
        server.stop(signal.SIGKILL)
        expect(page.locator(LIVE)).to_contain_text("Reconnecting")
        page.clock.fast_forward(8_000)
        expect(page.locator(LATEST)).to_have_attribute("data-old", "stale")
        expect(page.locator(f"{LATEST} .old, {LATEST} [class*=old]").first).to_be_visible()
        expect(page.locator(LIVE)).to_contain_text("Stale")
        server.start()
        server.post([flow("after the fall")])
        page.clock.fast_forward(5_000)  # the longest pause between two tries
        expect(page.locator(LATEST)).to_contain_text("after the fall", timeout=15_000)
        expect(page.locator(LIVE)).to_contain_text("Live")
        expect(page.locator(LATEST)).not_to_have_attribute("data-old", "stale")
    finally:
        server.stop()
