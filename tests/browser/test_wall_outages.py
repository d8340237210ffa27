"""Walls heal: from a revoked key to a night asleep, whatever ended comes back by itself, or says why not."""

from __future__ import annotations

import re
import signal
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect

from tests.browser.test_accessibility import fleet
from tests.browser.walls import AWAY, DRAWN, LIVE, SEEN, STATE, Hall, plays, read_off, scripted, still
from tests.conftest import Running, request, wait_until


def test_a_revoked_screen_shows_its_code_within_two_seconds(hall: Hall, wall: Page) -> None:
    screen = plays(hall, wall, script=False)
    hall.call("DELETE", f"/api/screens/{screen['id']}")
    revoked = time.monotonic()
    expect(wall.locator(".board")).to_have_count(0, timeout=2000)
    read_off(wall)
    assert time.monotonic() - revoked < 4  # the page is loaded anew meanwhile, on whatever machine this is
    assert wall.locator(".tile").count() == 0


def test_a_revoked_screen_ends_on_the_page_of_the_screens_too(hall: Hall, wall: Page, admin: Page) -> None:
    plays(hall, wall, script=False, name="Basement")
    card = admin.locator(".screen", has_text="Basement")
    card.get_by_role("button", name="Revoke").click()
    expect(admin.get_by_role("button", name="Cancel")).to_be_focused()
    admin.locator("#revoke .danger").click()
    expect(card).to_have_count(0)
    read_off(wall)


def test_a_dropped_socket_is_opened_again(hall: Hall, wall: Page) -> None:
    plays(hall, wall)
    wall.evaluate("feed.every(200)")
    wall.evaluate("feed.down = true; feed.drop()")
    expect(wall.locator(STATE)).to_have_text(re.compile("Reconnecting|Delayed|Stale"))
    wall.evaluate("feed.down = false")
    expect(wall.locator(STATE)).to_have_text("Live", timeout=10_000)


def test_it_heals_when_the_server_is_killed_and_comes_back_as_another_version(wall: Page, tmp_path: Path) -> None:
    server = Running(tmp_path / "data").start()
    hall = Hall(server)
    server.post(fleet())
    loads: list[str] = []
    wall.on("framenavigated", lambda frame: loads.append(frame.url))
    wall.clock.install()
    plays(hall, wall, script=False)
    wall.evaluate("window.same = true")
    try:
        server.stop(signal.SIGKILL)
        wall.clock.fast_forward(6_000)
        expect(wall.locator(AWAY)).to_contain_text("does not answer", timeout=15_000)
        expect(wall.locator(AWAY)).to_contain_text("What you see is from")
        server.start()
        wall.clock.fast_forward(5_000)  # the longest pause between two tries
        expect(wall.locator(AWAY)).to_be_hidden(timeout=15_000)
        expect(wall.locator(STATE)).to_have_text(LIVE, timeout=15_000)
        assert wall.evaluate("window.same")  # the same version: nothing is loaded
        server.stop(signal.SIGKILL)
        server.program = "tests/browser/newer.py"
        server.start()
        wall.wait_for_function("() => !window.same", timeout=20_000)
        wall.wait_for_selector(DRAWN)
        expect(wall.locator(STATE)).to_have_text(LIVE)
        wait_until(lambda: hall.call("GET", "/api/screens")[0]["version"] == "newer", what="a sign of life")
        assert len(loads) == 2  # once at first, and once for the version
    finally:
        server.stop()


def test_a_frozen_browser_heals_when_it_wakes_after_an_outage(wall: Page, tmp_path: Path) -> None:
    server = Running(tmp_path / "data").start()
    hall = Hall(server)
    server.post(fleet())
    try:
        plays(hall, wall, script=False)
        control = wall.context.new_cdp_session(wall)
        control.send("Page.setWebLifecycleState", {"state": "frozen"})
        server.stop(signal.SIGKILL)
        server.start()
        control.send("Page.setWebLifecycleState", {"state": "active"})
        expect(wall.locator(STATE)).to_have_text(LIVE, timeout=20_000)
        expect(wall.locator(AWAY)).to_be_hidden()
    finally:
        server.stop()


def test_it_is_live_again_after_a_night_asleep(hall: Hall, wall: Page) -> None:
    wall.clock.install()
    plays(hall, wall)
    wall.evaluate("feed.every(1000)")
    wall.clock.fast_forward("12:00:00")
    expect(wall.locator(STATE)).to_have_text("Live")
    expect(wall.locator(f"{SEEN}[data-old]")).to_have_count(0)
    expect(wall.locator(AWAY)).to_be_hidden()
    expect(wall.locator("#stage footer")).to_contain_text(re.compile(r"Refreshed \d(\.\d)? s ago"))


def test_a_server_that_is_down_at_the_very_start_is_waited_for(hall: Hall, wall: Page) -> None:
    wall.clock.install()
    scripted(wall, hall, "overview")
    asked = re.compile(r"/wall/me\.json$|/api/wall/")
    wall.route(asked, lambda route: route.abort())
    wall.goto(hall.wall)
    wall.clock.run_for(8000)
    expect(wall.locator(AWAY)).to_contain_text("This screen keeps trying")
    wall.unroute(asked)
    wall.clock.run_for(8000)
    hall.pair(wall)
    wall.clock.run_for(3000)
    wall.wait_for_selector(DRAWN)
    expect(wall.locator(AWAY)).to_be_hidden()


def test_a_spec_of_an_old_workspace_is_asked_for_anew(hall: Hall, wall: Page) -> None:
    gone: list[str] = []

    def once(route: Any) -> None:
        gone.append(route.request.url)
        if len(gone) == 1:
            route.fulfill(status=404, body="{}")
        else:
            route.continue_()

    wall.route("**/specs/*.json", once)
    plays(hall, wall)
    assert len(gone) == 2


def test_charts_that_did_not_load_are_loaded_anew(hall: Hall, wall: Page) -> None:
    scripts = re.compile(r"/bokeh\.min\.js$")
    wall.route(scripts, lambda route: route.abort(), times=1)
    plays(hall, wall)
    wall.wait_for_selector(".figure[data-drawn]", state="attached", timeout=20_000)


def test_a_feed_that_was_closed_for_good_is_opened_again(hall: Hall, wall: Page) -> None:
    wall.clock.install()
    plays(hall, wall)
    still(wall)
    wall.evaluate("[...feed.sockets].forEach((s) => s.end(4504))")  # too many sockets of one key, for a while
    wall.clock.run_for(3000)
    expect(wall.locator(STATE)).to_have_text("Ended")
    wall.clock.run_for(15_000)
    expect(wall.locator(STATE)).to_have_text("Live")


def test_a_browser_shows_no_boards_with_the_cookie_of_a_person(hall: Hall, wall: Page, admin: Page) -> None:
    status, _, _ = request(f"{hall.server.url}/wall/me.json")
    assert status == 401
    page = admin.context.new_page()
    page.goto(hall.wall)
    read_off(page)  # signed in or not, a browser is paired or shows its code
