"""Boards in the pages of another site, in a real browser: Plumbline on 127.0.0.1, the site on localhost."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Frame, FrameLocator, Page, expect

from tests.browser.conftest import Visitor
from tests.browser.site import Site, opened
from tests.browser.test_accessibility import AXE, CALM, RUN
from tests.conftest import Running, flow, request, wait_until

OVERVIEW = '<plumbline-board board="overview" ticket-url="/my-ticket"></plumbline-board>'
FRAME = "<iframe src='SRC' style='width:100%;height:1400px'></iframe>"
LATEST = "[data-tile=latest]"
LIVE = ".embed .live"
BANNER = "body > .banner"
STATES = """addEventListener("plumbline-state", (e) => (window.states ??= []).push([e.detail.name, e.detail.reason]))"""


class Shop:
    """A site, the Plumbline server that it embeds boards of, and a visitor's page."""

    def __init__(self, site: Site, server: Running) -> None:
        self.site, self.server = site, server
        self.admin = server.create_key("admin", "admin")
        self.key_id, site.key = self.create_key()
        site.plumbline = server.url

    def create_key(self) -> tuple[str, str]:
        made = self.ask("POST", "/api/keys", {"name": "shop", "scopes": ["read"]})
        return made["id"], made["key"]

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        status, _, found = request(self.server.url + path, data, {"X-API-Key": self.admin}, method)
        assert status < 300, found
        return json.loads(found) if found else None

    def sockets(self) -> list[str]:
        """The names of the open sockets of the site's key."""
        return [c["conn"] for c in self.ask("GET", "/api/connections")["connections"] if c["key_id"] == self.key_id]

    def cut(self) -> None:
        for conn in self.sockets():
            self.ask("DELETE", f"/api/connections/{conn}")


@pytest.fixture(scope="module")
def shops(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with opened() as site:
        server = Running(tmp_path_factory.mktemp("embed"), "--no-demo", "--embed-origin", site.origin)
        try:
            server.start().post([flow(agent=a, ago_s=30.0 * i + 5) for i, a in enumerate(["planner", "coder"] * 10)])
            yield Shop(site, server)
        finally:
            server.stop()


@pytest.fixture
def shop(shops: Shop) -> Iterator[Shop]:
    yield shops
    shops.site.instead, shops.site.asks = None, {"boards": ["overview", "resources"]}


def board(page: Page) -> FrameLocator:
    return page.frame_locator("iframe[src*='/embed']").first


def frame_of(page: Page) -> Frame:
    return next(frame for frame in page.frames if "/embed" in frame.url)


def lively(page: Page) -> FrameLocator:
    """The frame, once its board is live and drawn."""
    inside = board(page)
    expect(inside.locator("main .board")).to_have_attribute("data-state", "live", timeout=15_000)
    expect(inside.locator(".tile:is([data-state=ok], [data-state=empty])").first).to_be_attached()
    return inside


def change(page: Page, name: str, value: str) -> None:
    page.evaluate("([n, v]) => document.querySelector('plumbline-board').setAttribute(n, v)", [name, value])


# it paints


def test_the_element_paints_and_ticks(shop: Shop, visitor: Visitor) -> None:
    visitor.page.goto(shop.site.page(OVERVIEW))
    inside = lively(visitor.page)
    expect(inside.get_by_role("heading", level=1)).to_have_text("Overview")
    expect(inside.locator(".figure[data-drawn]").first).to_be_visible()
    shop.server.post([flow("while you watch", ago_s=0)])
    expect(inside.locator(LATEST)).to_contain_text("while you watch")
    assert visitor.page.context.cookies() == []
    assert [url for url in visitor.requests if "ticket=" in url or "token" in url] == []
    assert [e for e in visitor.errors if "favicon" not in e and "404" not in e] == []


def test_a_plain_frame_paints_and_keeps_the_ticket_out_of_its_address(shop: Shop, visitor: Visitor) -> None:
    asked = "board=overview&window=now-15m&agent=coder&theme=dark&lang=de"
    src = f"{shop.server.url}/embed?{asked}#ticket={shop.site.fresh()}"
    visitor.page.goto(shop.site.page(FRAME.replace("SRC", src)))
    inside = lively(visitor.page)
    expect(inside.locator(".label")).to_have_text("Last 15 minutes")
    expect(inside.locator(".chip")).to_contain_text("coder")
    frame = frame_of(visitor.page)
    assert frame.evaluate("location.href").endswith("&theme=dark&lang=de")
    assert frame.evaluate("[document.documentElement.dataset.theme, document.documentElement.lang]") == ["dark", "de"]
    assert [url for url in visitor.requests if "ticket=" in url] == []


def test_it_has_no_way_into_what_needs_a_sign_in(shop: Shop, visitor: Visitor) -> None:
    visitor.page.goto(shop.site.page(OVERVIEW))
    inside = lively(visitor.page)
    inside.locator(f"{LATEST} .tile-menu").focus()
    inside.locator(f"{LATEST} .tile-menu").press("Enter")
    expect(inside.get_by_role("menuitem", name="PNG")).to_be_visible()
    expect(inside.get_by_role("menuitem", name="CSV")).to_have_count(0)
    expect(inside.locator("main a[href]")).to_have_count(0)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_shuts_nobody_out(shop: Shop, visitor: Visitor, theme: str) -> None:
    visitor.page.goto(shop.site.page(OVERVIEW.replace("ticket-url", f'theme="{theme}" scope="agent=coder" ticket-url')))
    lively(visitor.page)
    frame = frame_of(visitor.page)
    frame.wait_for_function(CALM)
    frame.evaluate(AXE)
    assert frame.evaluate(RUN) == []


# who may


def test_the_browser_refuses_a_page_of_a_foreign_origin(shop: Shop, visitor: Visitor) -> None:
    foreign = shop.site.page(OVERVIEW).replace("localhost", "127.0.0.1")
    before = shop.site.minted
    visitor.page.goto(foreign)
    said = visitor.page.locator("plumbline-board").get_by_role("alert")
    expect(said).to_contain_text(f"{shop.server.url} shows no boards on http://127.0.0.1:{shop.site.port}")
    assert shop.site.minted == before
    assert any("frame-ancestors" in error for error in visitor.errors)


def test_a_ticket_of_another_site_is_refused_in_words(shop: Shop, visitor: Visitor) -> None:
    shop.site.asks = {"origin": "https://other.example"}
    visitor.page.goto(shop.site.page(OVERVIEW))
    expect(board(visitor.page).locator(BANNER)).to_contain_text("may not embed boards of this server")
    expect(board(visitor.page).locator(LIVE)).to_have_text("Ended")
    shop.site.asks = {}
    board(visitor.page).get_by_role("button", name="Try again").click()
    lively(visitor.page)


def test_a_board_that_the_ticket_does_not_show_is_refused_in_words(shop: Shop, visitor: Visitor) -> None:
    shop.site.asks = {"boards": ["overview"]}
    visitor.page.goto(shop.site.page(OVERVIEW))
    inside = lively(visitor.page)
    change(visitor.page, "board", "resources")
    expect(inside.locator(BANNER)).to_contain_text("This ticket may not show board 'resources'")
    expect(inside.locator(".tile")).to_have_count(0)
    change(visitor.page, "board", "overview")
    lively(visitor.page)
    expect(inside.locator(BANNER)).to_be_hidden()


def test_a_revoked_key_ends_it_and_says_so(shop: Shop, visitor: Visitor) -> None:
    key_id, kept = shop.key_id, shop.site.key
    shop.key_id, shop.site.key = shop.create_key()
    visitor.page.goto(shop.site.page(OVERVIEW))
    inside = lively(visitor.page)
    before = shop.site.minted
    shop.ask("DELETE", f"/api/keys/{shop.key_id}")
    revoked = time.monotonic()
    expect(inside.locator(BANNER)).to_contain_text("The key was revoked", timeout=5000)
    assert time.monotonic() - revoked < 2
    expect(inside.locator(LIVE)).to_have_text("Ended")
    assert shop.site.minted == before
    shop.key_id, shop.site.key = key_id, kept


def test_only_the_page_around_is_listened_to(shop: Shop, visitor: Visitor) -> None:
    said = '{plumbline: "set", board: "resources", lang: "xx"}, "*"'
    shop.site.pages["/sibling"] = f"""<script>parent.frames[0].postMessage({said})
        parent.postMessage("posted", "*")</script>"""
    page = visitor.page
    src = f"{shop.server.url}/embed?board=overview#ticket={shop.site.fresh()}"
    page.goto(shop.site.page(FRAME.replace("SRC", src)))
    inside = lively(page)
    page.evaluate(
        """() => new Promise((done) => {
          addEventListener("message", ({ data }) => { if (data === "posted") done() })
          document.body.append(Object.assign(document.createElement("iframe"), { src: "/sibling" }))
        })"""
    )
    page.evaluate("frames[0].postMessage({ plumbline: 'set', lang: 'fr' }, '*')")  # said later, by who may
    frame_of(page).wait_for_function("document.documentElement.lang === 'fr'")
    expect(inside.get_by_role("heading", level=1)).to_have_text("Overview")


# tickets come and go


def test_a_used_ticket_is_followed_by_a_fresh_one(shop: Shop, visitor: Visitor) -> None:
    text = shop.site.fresh()
    given = f'<plumbline-board board="overview" ticket="{text}"></plumbline-board>'
    visitor.page.goto(shop.site.page(given))
    lively(visitor.page)
    assert visitor.page.locator("plumbline-board").get_attribute("ticket") is None
    before = shop.site.minted
    again = given.replace("></", ' ticket-url="/my-ticket"></')
    visitor.page.goto(shop.site.page(again))
    lively(visitor.page)
    assert shop.site.minted == before + 1
    visitor.page.goto(shop.site.page(given))
    expect(board(visitor.page).locator(BANNER)).to_contain_text("it needs `ticket-url`, or to answer the event")
    change(visitor.page, "ticket", shop.site.fresh())
    lively(visitor.page)


def test_each_connection_asks_for_a_ticket_of_its_own(shop: Shop, visitor: Visitor) -> None:
    visitor.page.goto(shop.site.page(OVERVIEW, head=f"<script>{STATES}</script>"))
    inside = lively(visitor.page)
    before = shop.site.minted
    shop.cut()
    wait_until(lambda: shop.site.minted == before + 1, what="a fresh ticket")
    shop.server.post([flow("after the cut", ago_s=0)])
    expect(inside.locator(LATEST)).to_contain_text("after the cut")
    shop.site.instead = (503, "{}")
    shop.cut()
    visitor.page.wait_for_function("states.some(([, reason]) => reason.includes('/my-ticket answered 503'))")
    shop.site.instead = None
    shop.server.post([flow("after the gap", ago_s=0)])
    expect(inside.locator(LATEST)).to_contain_text("after the gap", timeout=15_000)
    lively(visitor.page)


def test_a_refusal_by_the_site_is_said_and_not_asked_again(shop: Shop, visitor: Visitor) -> None:
    shop.site.instead = (403, "{}")
    visitor.page.goto(shop.site.page(OVERVIEW))
    expect(board(visitor.page).locator(BANNER)).to_contain_text(
        "There is no ticket for this board. /my-ticket answered 403."
    )
    shop.site.instead = (200, '{"tick": 1}')
    board(visitor.page).get_by_role("button", name="Try again").click()
    expect(board(visitor.page).locator(BANNER)).to_contain_text("answered without a ticket")


def test_the_page_may_bring_tickets_itself(shop: Shop, visitor: Visitor) -> None:
    listens = """<script>addEventListener("plumbline-ticket", (event) => event.detail.provide(
        fetch("/my-ticket", { method: "POST" }).then((r) => r.json()).then((r) => r.ticket)))</script>"""
    visitor.page.goto(shop.site.page('<plumbline-board board="overview"></plumbline-board>', head=listens))
    inside = lively(visitor.page)
    shop.cut()
    shop.server.post([flow("brought by the page", ago_s=0)])
    expect(inside.locator(LATEST)).to_contain_text("brought by the page", timeout=10_000)


def test_a_plain_frame_says_how_to_get_a_ticket_or_asks_the_page_around(shop: Shop, visitor: Visitor) -> None:
    page = visitor.page
    src = f"{shop.server.url}/embed?board=overview#ticket={shop.site.fresh()}"
    page.clock.install()
    page.goto(shop.site.page(FRAME.replace("SRC", src)))
    inside = lively(page)
    shop.cut()
    for _ in range(3):  # a try, and then the page around has its time to answer
        page.clock.run_for(3_000)
    expect(inside.locator(BANNER)).to_contain_text("a ticket counts once", timeout=12_000)
    page.evaluate(
        """([server]) => {
          addEventListener("message", async ({ data, origin, source }) => {
            if (origin !== server || data.plumbline !== "ticket") return
            const { ticket } = await (await fetch("/my-ticket", { method: "POST" })).json()
            source.postMessage({ plumbline: "ticket", ticket }, origin)
          })
        }""",
        [shop.server.url],
    )
    inside.get_by_role("button", name="Try again").click()
    lively(page)
    shop.cut()
    shop.server.post([flow("asked the page", ago_s=0)])
    expect(inside.locator(LATEST)).to_contain_text("asked the page", timeout=10_000)


def test_opened_by_itself_it_says_what_is_missing(shop: Shop, visitor: Visitor) -> None:
    visitor.page.goto(f"{shop.server.url}/embed?board=overview")
    expect(visitor.page.locator(BANNER)).to_contain_text("opened without a ticket")
    visitor.page.goto(f"{shop.server.url}/embed")
    expect(visitor.page.locator(BANNER)).to_contain_text("/embed?board=overview")


# live attributes


def test_attributes_are_live_and_the_socket_stays(shop: Shop, visitor: Visitor) -> None:
    page = visitor.page
    page.goto(shop.site.page(OVERVIEW))
    inside = lively(page)
    frame = frame_of(page)
    frame.evaluate("window.same = true")
    before = shop.site.minted
    for theme in ("dark", "light", "dark"):
        change(page, "theme", theme)
        frame.wait_for_function("(t) => document.documentElement.dataset.theme === t", arg=theme)
    change(page, "scope", "window=now-15m&agent=planner")
    expect(inside.locator(".label")).to_have_text("Last 15 minutes")
    expect(inside.locator(".chip")).to_contain_text("planner")
    inside.get_by_role("button", name="Remove the filter agent").click()
    expect(inside.locator(".chip")).to_have_count(0)
    inside.get_by_role("button", name="Back to the start").click()
    expect(inside.locator(".chip")).to_contain_text("planner")
    change(page, "lang", "de-AT")
    frame.wait_for_function("document.documentElement.lang === 'de-AT'")
    change(page, "board", "resources")
    expect(inside.get_by_role("heading", level=1)).to_have_text("Resources")
    expect(inside.locator("[data-tile=cpu]")).to_be_attached()
    assert page.locator("plumbline-board iframe").get_attribute("title") == "Board resources"
    assert frame.evaluate("window.same") is True
    assert shop.site.minted == before and len(shop.sockets()) == 1


def test_an_automatic_theme_follows_the_page(shop: Shop, visitor: Visitor) -> None:
    page = visitor.page
    page.emulate_media(color_scheme="dark")
    page.goto(shop.site.page(OVERVIEW, head="<style>:root { color-scheme: light dark }</style>"))
    lively(page)
    assert frame_of(page).evaluate("document.documentElement.dataset.theme") == "dark"
    page.emulate_media(color_scheme="light")
    frame_of(page).wait_for_function("document.documentElement.dataset.theme === 'light'")


# its place in the page

MEASURE = """() => {
  const element = document.querySelector("plumbline-board"), frame = element.shadowRoot.querySelector("iframe")
  const { offsetHeight: host, offsetWidth: width, scrollHeight: inside } = element
  return { host, width, inside, frame: frame.offsetHeight }
}"""
COUNT = """<script>addEventListener("message", ({ data }) => {
  if (data.plumbline === "size") (window.sizes ??= []).push(data.height)
})</script>"""


def settled(page: Page) -> dict[str, int]:
    """The sizes, once the frame is as tall as what is in it."""
    body = "Math.ceil(document.body.getBoundingClientRect().height)"

    def fits() -> dict[str, int] | None:
        found: dict[str, int] = page.evaluate(MEASURE)
        return found if found["frame"] == frame_of(page).evaluate(body) else None

    found: dict[str, int] = wait_until(fits, what="the frame to fit")
    return found


def test_it_is_as_tall_as_its_content_and_no_loop_keeps_it_growing(shop: Shop, visitor: Visitor) -> None:
    page = visitor.page
    page.goto(shop.site.page(f"<div id=room>{OVERVIEW}</div>", head=COUNT))
    inside = lively(page)
    expect(inside.locator(".figure[data-drawn]").first).to_be_visible()
    wide = settled(page)
    assert wide["host"] == wide["frame"] > 700
    page.evaluate("document.querySelector('#room').style.width = '420px'")
    wait_until(lambda: settled(page)["frame"] > wide["frame"] + 200, what="a narrow board to be taller")
    page.evaluate("document.querySelector('#room').style.width = ''")
    wait_until(lambda: settled(page)["frame"] == wide["frame"], what="the old height")
    told = page.evaluate("sizes.length")
    for name in ("one", "two", "three"):  # three more ticks change no height
        shop.server.post([flow(name, ago_s=0)])
        expect(inside.locator(LATEST)).to_contain_text(name)
    assert page.evaluate("sizes.length") == told
    assert frame_of(page).evaluate("document.documentElement.scrollHeight <= innerHeight") is True


@pytest.mark.parametrize(
    "around",
    [
        "<div style='display:flex;width:1000px'><nav style='flex:0 0 200px'>menu</nav>BOARD</div>",
        "<div style='display:grid;grid-template-columns:200px 1fr;width:1000px'><nav>menu</nav>BOARD</div>",
    ],
)
def test_it_takes_the_room_that_flex_and_grid_leave(shop: Shop, visitor: Visitor, around: str) -> None:
    visitor.page.goto(shop.site.page(around.replace("BOARD", OVERVIEW)))
    lively(visitor.page)
    assert settled(visitor.page)["width"] == 800


def test_the_page_sets_limits_to_its_height(shop: Shop, visitor: Visitor) -> None:
    style = "<style>plumbline-board { max-height: 300px }</style>"
    visitor.page.goto(shop.site.page(OVERVIEW, head=style))
    lively(visitor.page)
    found = settled(visitor.page)
    assert found["host"] == 300 and found["inside"] == found["frame"] > 700  # it scrolls
    visitor.page.goto(shop.site.page(OVERVIEW, head="<style>plumbline-board { min-height: 4000px }</style>"))
    lively(visitor.page)
    assert visitor.page.evaluate(MEASURE)["frame"] == 4000


def test_an_element_that_is_taken_out_closes_its_socket(shop: Shop, visitor: Visitor) -> None:
    page = visitor.page
    page.goto(shop.site.page(OVERVIEW))
    lively(page)
    assert len(shop.sockets()) == 1
    page.evaluate("(window.board = document.querySelector('plumbline-board')).remove()")
    wait_until(lambda: not shop.sockets(), timeout_s=5, what="the socket to close")
    before = shop.site.minted
    page.evaluate("document.body.append(window.board)")
    lively(page)
    assert shop.site.minted == before + 1 and len(shop.sockets()) == 1


def test_a_server_that_is_away_is_said_and_comes_back(shop: Shop, visitor: Visitor) -> None:
    page = visitor.page
    page.clock.install()
    page.goto(shop.site.page(OVERVIEW))
    inside = lively(page)
    before = shop.site.minted
    shop.server.stop()
    page.clock.fast_forward(8_000)
    expect(inside.locator(LIVE)).to_contain_text("Stale", timeout=15_000)
    expect(inside.locator(LATEST)).to_have_attribute("data-old", "stale")
    page.evaluate(  # one that comes while nobody is there
        "const e = document.createElement('plumbline-board'); e.setAttribute('board', 'overview');"
        "e.setAttribute('ticket-url', '/my-ticket'); document.body.prepend(e)"
    )
    said = page.locator("plumbline-board").first.get_by_role("alert")
    expect(said).to_contain_text(f"{shop.server.url} does not answer", timeout=10_000)
    assert shop.site.minted == before  # no ticket is asked for meanwhile
    shop.server.start()
    page.clock.fast_forward(5_000)  # the longest pause between two tries
    for i in range(2):
        found = page.frame_locator("plumbline-board iframe").nth(i)
        expect(found.locator("main .board")).to_have_attribute("data-state", "live", timeout=30_000)
    expect(said).to_be_hidden()


# hostile values

EVIL = "\"'><img src=x onerror=top.hacked=1>{{7*7}}"


HOSTILE = [
    ("board", EVIL, "This ticket may not show board"),
    ("board", "../specs/x", "This ticket may not show board"),
    ("board", "", "No board is named"),
    ("scope", f"agent={EVIL}", ""),
    ("scope", "window=javascript:alert(1)", "Window: expected"),
    ("scope", "%%%&=&&__proto__=x", ""),
    ("theme", EVIL, ""),
    ("lang", EVIL, ""),
    ("ticket", EVIL, ""),
]


def test_hostile_values_are_words_and_nothing_else(shop: Shop, visitor: Visitor) -> None:
    page = visitor.page
    page.goto(shop.site.page(OVERVIEW))
    inside = lively(page)
    frame = frame_of(page)
    for name, value, said in HOSTILE:
        change(page, name, value)
        if name != "ticket":
            frame.wait_for_function("([name, value]) => Plumbline.embed.asked[name] === value", arg=[name, value])
        if said:
            expect(inside.locator(".banner:visible").first).to_contain_text(said)
        assert frame.evaluate("[document.documentElement.lang, document.querySelectorAll('img').length]") == ["en", 0]
        assert frame.evaluate("['light', 'dark'].includes(document.documentElement.dataset.theme)")
        change(page, name, {"board": "overview"}.get(name, ""))
        lively(page)
    assert page.evaluate("window.hacked") is None


@pytest.mark.parametrize("src", ["javascript:alert(1)", "data:text/html,x", "http://", "file:///etc/passwd"])
def test_a_source_that_is_no_server_is_said(shop: Shop, visitor: Visitor, src: str) -> None:
    visitor.page.goto(shop.site.page(f'<plumbline-board src="{src}" board="overview"></plumbline-board>'))
    expect(visitor.page.locator("plumbline-board").get_by_role("alert")).to_contain_text("has no server")
    expect(visitor.page.locator("iframe")).to_have_count(0)


@pytest.mark.parametrize("url", ["https://evil.example/t", "javascript:alert(1)", "http://["])
def test_tickets_come_from_the_site_itself(shop: Shop, visitor: Visitor, url: str) -> None:
    visitor.page.goto(shop.site.page(f'<plumbline-board board="overview" ticket-url="{url}"></plumbline-board>'))
    expect(board(visitor.page).locator(BANNER)).to_contain_text("`ticket-url` is to be an address of this site")


def test_two_boards_share_a_page_and_no_ticket(shop: Shop, chromium: Browser) -> None:
    page = chromium.new_page()
    page.goto(shop.site.page(OVERVIEW + OVERVIEW.replace('"overview"', '"resources"')))
    for i, title in enumerate(("Overview", "Resources")):
        inside = page.frame_locator("iframe").nth(i)
        expect(inside.get_by_role("heading", level=1)).to_have_text(title)
    wait_until(lambda: len(shop.sockets()) == 2, what="two sockets")
    page.close()
