"""Walls: paired as with a TV, true to what they play, honest about its age."""

from __future__ import annotations

import re
import time
from itertools import pairwise
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.test_accessibility import fleet
from tests.browser.walls import AWAY, CODE, DRAWN, LIVE, SEEN, STATE, TITLE, Hall, plays, read_off, still
from tests.conftest import Running, wait_until

CLOCK = "#stage time"
FLASH = ".flash"
TOLD = "() => [...document.querySelectorAll('.board:not([hidden]) .tile:not([hidden])')].map((t) => t.dataset.tile)"
CUT_UP = """async (tiles) => {
  const script = document.querySelector("script[type=module]").src
  return (await import(new URL("layout.js", script))).screens(tiles)
}"""
CUT = """() => {
  const words = ":is(h2, .value, .name, .delta, em, s, td, th, li, .change)"
  const cut = (e) => {
    const box = e.getBoundingClientRect()
    const place = e.closest(".body, header, .scroll").getBoundingClientRect()
    const seen = box.left < place.right - 2 && box.top < place.bottom - 2
    return seen && (box.right > place.right + 2 || box.bottom > place.bottom + 2)
      || e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).overflowX !== "visible"
  }
  return [...document.querySelectorAll(`.board:not([hidden]) .tile:not([hidden]) ${words}`)]
    .filter((e) => e.checkVisibility() && e.getClientRects().length && cut(e))
    .map((e) => `${e.closest(".tile").dataset.tile}: ${e.className || e.tagName} ${e.textContent}`)
}"""


# pairing


def test_a_screen_is_paired_by_its_code_from_the_page_of_the_screens(hall: Hall, wall: Page, admin: Page) -> None:
    sent: list[str] = []
    wall.on("websocket", lambda socket: socket.on("framesent", lambda frame: sent.append(str(frame))))
    wall.clock.install()
    wall.goto(hall.wall)
    code = read_off(wall)
    assert wall.locator(".tile, .board").count() == 0
    expect(wall.locator(".where")).to_contain_text(f"{hall.server.url.removeprefix('http://')}/screens")
    admin.click("text=Add a screen")
    admin.keyboard.type(f"{code[:3]}-{code[3:]}".lower())  # the field has the focus
    admin.get_by_label("Name").fill("Kitchen")
    admin.get_by_label("Link of a board").fill(f"{hall.server.url}/overview?window=now-15m&agent=planner&tool!=shell")
    expect(admin.locator(".limited")).to_have_text(["agent = planner", "tool ≠ shell"])
    admin.get_by_label("Remove this board").first.click()
    admin.get_by_role("button", name="Pair").click()
    wall.wait_for_selector(DRAWN)
    expect(wall.locator(TITLE)).to_have_text("Overview")
    expect(wall.locator("#stage .label")).to_contain_text("last 15 minutes")
    asked = next(text for text in sent if '"board"' in text)
    assert '{"dim":"agent","op":"is","values":["planner"]}' in asked and '"op":"is_not"' in asked
    card = admin.locator(".screen", has_text="Kitchen")
    expect(card.locator(".status")).to_have_text(LIVE)
    expect(card).to_contain_text("1920 × 1080")
    expect(card).to_contain_text("127.0.0.1")
    wall.clock.fast_forward(8_000)  # until it sends what it plays, as a picture
    expect(card.locator("img")).to_be_visible(timeout=20_000)
    name = card.locator("img").get_attribute("src") or ""
    picture = hall.call("GET", name.partition("?")[0])
    assert picture.startswith(b"\xff\xd8\xff") and 5_000 < len(picture) < 200_000


def test_a_wrong_code_is_refused_in_words_and_nothing_typed_is_lost(hall: Hall, admin: Page) -> None:
    admin.click("text=Add a screen")
    admin.get_by_label("Code on the screen").fill("AAA222")
    admin.get_by_label("Name").fill("Roof")
    admin.keyboard.press("Enter")
    expect(admin.locator("#plan .refusal")).to_contain_text("no screen shows this code", ignore_case=True)
    expect(admin.get_by_label("Name")).to_have_value("Roof")
    admin.get_by_label("Link of a board").fill("https://elsewhere.example/board?board=nothing")
    expect(admin.locator("#link-told")).to_contain_text("no link to a board")


def test_a_playlist_is_put_in_order_by_keys(hall: Hall, admin: Page) -> None:
    admin.click("text=Add a screen")
    admin.get_by_role("button", name="Add a board").press("Enter")
    admin.keyboard.type("Res")  # the new board has the focus
    boards = admin.locator(".playlist [aria-label=Board]")
    assert [b.input_value() for b in boards.all()] == ["overview", "resources"]
    admin.get_by_label("Earlier").last.press("Enter")
    assert [b.input_value() for b in boards.all()] == ["resources", "overview"]
    expect(admin.get_by_label("Later").first).to_be_focused()
    admin.get_by_label("Remove this board").first.press("Enter")
    expect(admin.get_by_label("Remove this board")).to_be_disabled()  # the last one stays
    expect(boards.first).to_be_focused()


def test_a_new_code_comes_before_the_old_one_ends(hall: Hall, wall: Page) -> None:
    wall.clock.install()
    wall.goto(hall.wall)
    first = read_off(wall)
    wall.clock.fast_forward("09:57")
    expect(wall.locator(CODE)).not_to_have_attribute("aria-label", f"Code {' '.join(first)}")
    assert read_off(wall) != first


def test_a_screen_stays_paired_when_its_browser_starts_anew(hall: Hall, wall: Page) -> None:
    plays(hall, wall, script=False)
    wall.reload()
    wall.wait_for_selector(DRAWN)


def test_a_server_that_is_gone_is_said_on_the_page_of_the_screens(hall: Hall, admin: Page) -> None:
    admin.route("**/api/screens", lambda route: route.abort())
    expect(admin.get_by_role("alert").filter(has_text="The server does not answer")).to_be_visible()
    admin.unroute("**/api/screens")
    expect(admin.locator("[data-control=trouble]")).to_be_hidden()


# what it plays


def test_every_board_is_cut_into_screens_without_an_empty_place(hall: Hall, wall: Page) -> None:
    wall.goto(hall.wall)
    for board in hall.call("GET", "/api/boards"):
        tiles = [{"id": tile["id"], "type": tile["type"]} for tile in board["tiles"]]
        screens = wall.evaluate(CUT_UP, tiles)
        rows = [row for screen in screens for row in screen]
        assert all(len(screen) <= 2 and sum(map(len, screen)) <= 6 for screen in screens)
        assert all(sum(tile["width"] for tile in row) == 3 for row in rows)
        shown = [tile["id"] for row in rows for tile in row]
        assert shown == [t["id"] for t in sorted(tiles, key=lambda t: t["type"] != "kpi")]


def turned(wall: Page) -> None:
    """Let the wall's clock run until another screen is shown."""
    shown = wall.evaluate(TOLD)
    for _ in range(120):
        wall.clock.run_for(500)
        if wall.evaluate(TOLD) != shown:
            return
    raise AssertionError("no other screen came within a minute")


def test_a_board_on_its_way_is_waited_for_and_one_that_does_not_come_is_passed_over(hall: Hall, wall: Page) -> None:
    held: list[Route] = []

    def hold(route: Route) -> None:  # the first of them that is asked for, as often as it is
        if not held or route.request.url == held[0].request.url:
            held.append(route)
        else:
            route.continue_()

    wall.clock.install()
    plays(hall, wall, "overview", "agents", "resources", seconds=10)
    wall.route("**/specs/*.json", hold)
    still(wall)
    for _ in range(2):
        turned(wall)
    last = wall.evaluate(TOLD)
    wall.clock.run_for(12_000)  # it is due, and was asked for 8 seconds ago
    assert len(held) == 1 and wall.evaluate(TOLD) == last
    turned(wall)
    assert wall.inner_text(TITLE) == "Resources"


def test_boards_follow_each_other_in_screens_of_at_most_six_tiles(hall: Hall, wall: Page) -> None:
    wall.clock.install()
    plays(hall, wall, "overview", "agents", seconds=10)
    still(wall)
    seen = []
    for _ in range(7):
        tiles = wall.evaluate(TOLD)
        assert 1 <= len(tiles) <= 6
        assert wall.evaluate(CUT) == []
        seen.append((wall.inner_text(TITLE), tiles[0]))
        turned(wall)
    kinds = [title for title, _ in seen]
    assert kinds[:6] == ["Overview", "Overview", "Overview", "Agents", "Agents", "Overview"]
    assert seen[0] == seen[5] and seen[1] == seen[6] and seen[0][1] == "flows"
    assert wall.evaluate("document.querySelectorAll('.board').length") == 2  # built once each, and kept


@pytest.mark.parametrize("size", [(1920, 1080), (3840, 2160), (1280, 720), (1080, 1920)])
def test_no_text_is_cut_in_any_size(hall: Hall, wall: Page, size: tuple[int, int]) -> None:
    wall.set_viewport_size({"width": size[0], "height": size[1]})
    wall.clock.install()
    plays(hall, wall, "overview", seconds=10)
    wall.evaluate("feed.attention = { success: 'bad', p95: 'warn' }")
    still(wall)
    expect(wall.locator("[data-tile=success] .attention")).to_have_text("critical")
    expect(wall.locator("[data-tile=p95]")).to_have_attribute("data-attention", "warn")
    for _ in range(3):
        assert wall.evaluate(CUT) == []
        assert wall.evaluate("document.documentElement.scrollHeight <= innerHeight")
        wall.clock.run_for(10_000)


def test_a_plan_changes_while_it_plays(hall: Hall, wall: Page) -> None:
    screen = plays(hall, wall, script=False)
    wall.evaluate("window.same = true")
    hall.change(screen, playlist=[{"board": "agents", "window": "now-5m"}])
    expect(wall.locator(TITLE)).to_have_text("Agents")
    expect(wall.locator("#stage .label")).to_contain_text("last 5 minutes")
    wall.wait_for_selector(DRAWN)  # its key may read the other board now
    assert wall.evaluate("window.same") and wall.locator(".board").count() == 1


def test_a_flash_shows_its_name_and_goes_again(hall: Hall, wall: Page) -> None:
    screen = plays(hall, wall, script=False)
    hall.call("POST", f"/api/screens/{screen['id']}/flash")
    expect(wall.locator(FLASH)).to_be_visible()
    expect(wall.locator(FLASH)).to_have_text("Lobby 2")
    expect(wall.locator(FLASH)).to_be_hidden()


def test_light_by_day_and_dark_by_night(hall: Hall, wall: Page) -> None:
    wall.clock.install()
    hour = wall.evaluate("new Date().getUTCHours()")
    screen = plays(hall, wall, theme="auto", day=[hour, (hour + 2) % 24])
    root = wall.locator("html")
    expect(root).to_have_attribute("data-theme", "light")
    wall.route("**/api/wall/beat", lambda route: route.abort())  # or it would hear that its clock is wrong
    wall.clock.fast_forward("02:00:00")
    expect(root).to_have_attribute("data-theme", "dark")
    wall.unroute("**/api/wall/beat")
    expect(root).to_have_attribute("data-theme", "light")
    hall.change(screen, theme="dark")
    expect(root).to_have_attribute("data-theme", "dark")


def test_the_picture_drifts_by_some_pixels_each_minute(hall: Hall, wall: Page) -> None:
    wall.clock.install()
    plays(hall, wall)
    still(wall)
    places = []
    for _ in range(10):
        wall.clock.fast_forward("01:00")
        box = wall.locator("#stage").bounding_box()
        assert box is not None
        places.append((box["x"], box["y"]))
    assert len(set(places)) >= 8 and all(abs(x) <= 5 and abs(y) <= 5 for x, y in places)
    assert all(a != b for a, b in pairwise(places))


def test_what_the_workspace_changes_is_drawn_without_a_reload(wall: Page, tmp_path: Path) -> None:
    board = 'boards: {lobby: {title: Lobby, tiles: [{id: one, type: kpi, title: "%s", metric: flows}]}}\n'
    folder = tmp_path / "data" / "workspaces"
    folder.mkdir(parents=True)
    (folder / "lobby.yaml").write_text(board % "Before")
    server = Running(tmp_path / "data").start()
    try:
        server.post(fleet())
        wall.clock.install()
        hall = Hall(server)
        plays(hall, wall, "lobby", script=False)
        expect(wall.locator("h2", has_text="Before")).to_be_visible()
        wall.evaluate("window.same = true")
        (folder / "lobby.yaml").write_text(board % "After")
        expect(wall.locator("h2", has_text="After")).to_be_visible(timeout=10_000)
        (folder / "lobby.yaml").write_text(board.replace("lobby", "other") % "Other")
        expect(wall.locator(STATE)).to_have_text("No answer", timeout=10_000)
        wall.clock.run_for(7_000)  # until it asks whether the board is gone
        expect(wall.locator(".idle")).to_contain_text("Nothing to play")
        (folder / "lobby.yaml").write_text(board % "Again")
        wait_until(lambda: "lobby" in [b["name"] for b in hall.call("GET", "/api/boards")], what="the board")
        wall.clock.fast_forward(5_000)
        expect(wall.locator("h2", has_text="Again")).to_be_visible(timeout=10_000)
        assert wall.evaluate("window.same")
    finally:
        server.stop()


# its age


def test_a_tile_says_its_age_once_it_is_late_and_is_veiled_once_it_is_stale(hall: Hall, wall: Page) -> None:
    wall.clock.install()
    plays(hall, wall)
    still(wall)
    tile = wall.locator("[data-tile=tokens]")
    wall.evaluate("feed.late = { tokens: Date.now() }")  # a source that speaks every two seconds falls silent
    wall.clock.run_for(4500)
    expect(tile.locator(".old")).to_be_hidden()
    wall.clock.run_for(2000)
    expect(tile.locator(".old")).to_have_text(re.compile(r"^[67](\.\d)? s old$"))
    expect(tile).not_to_have_attribute("data-veiled", "")
    wall.clock.run_for(7000)
    expect(tile).not_to_have_attribute("data-veiled", "")
    wall.clock.run_for(3000)
    expect(tile).to_have_attribute("data-veiled", "")
    expect(wall.locator("[data-tile=spend] .old")).to_be_hidden()  # the others speak
    wall.evaluate("feed.late = {}")
    wall.clock.run_for(2000)
    expect(tile.locator(".old")).to_be_hidden()


def test_all_of_it_is_veiled_when_no_frame_comes(hall: Hall, wall: Page) -> None:
    wall.clock.install()
    plays(hall, wall)
    still(wall)
    wall.evaluate("feed.silent = true")
    wall.clock.run_for(4500)
    expect(wall.locator(STATE)).to_have_text("Delayed")
    wall.clock.run_for(5000)
    expect(wall.locator(STATE)).to_have_text(re.compile("Stale|Reconnecting"))
    expect(wall.locator(f"{SEEN}[data-veiled]")).to_have_count(6)
    wall.evaluate("feed.silent = false; feed.drop()")
    wall.clock.run_for(12_000)
    expect(wall.locator(STATE)).to_have_text("Live")
    expect(wall.locator("[data-veiled]")).to_have_count(0)


def test_a_screen_whose_clock_is_wrong_shows_the_right_time(hall: Hall, wall: Page) -> None:
    wall.clock.install(time=time.time() + 86_400 * 40 + 3 * 3600)
    wall.add_init_script("addEventListener('DOMContentLoaded', () => { feed.skew = -(86400 * 40 + 3 * 3600) * 1000 })")
    plays(hall, wall)
    right = [time.strftime("%H:%M", time.gmtime(time.time() + s)) for s in (0, 60)]
    expect(wall.locator(CLOCK)).to_have_text(re.compile(rf"^({'|'.join(right)}):\d\d$"))
    wall.evaluate("feed.tick()")
    expect(wall.locator("[data-old]")).to_have_count(0)
    wall.clock.set_system_time(time.time() - 86_400)  # and is set back while it plays
    wall.evaluate("feed.skew = 86400000; feed.tick()")
    expect(wall.locator(CLOCK)).to_have_text(re.compile(rf"^({'|'.join(right)}):\d\d$"))
    expect(wall.locator(AWAY)).to_be_hidden()
