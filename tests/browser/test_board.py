"""A board in a real browser: it draws, keeps up, holds still when asked, and never shows old data as new."""

from __future__ import annotations

import pytest
from playwright.sync_api import Dialog, Page, expect

from tests.browser.conftest import Mock
from tests.browser.harness import EVIL

CHART = "[data-tile=duration] .figure"
DRAWN = f"{CHART}[data-drawn]"
LIVE = "[data-control=live]"
SOURCE = "document.querySelector('[data-tile=duration]').tile.drawer.source"


def point_at_chart(page: Page) -> None:
    page.hover(CHART, position={"x": 420, "y": 140})


def newest(page: Page) -> float:
    """The last point the chart shows."""
    return float(page.evaluate(f"{SOURCE}.data.s0.at(-1)"))


def test_first_visit_shows_numbers_charts_and_a_live_session_from_this_server_alone(page: Page, mock: Mock) -> None:
    mock.sign_in(page)
    page.wait_for_selector(DRAWN)
    expect(page.locator("[data-tile=flows] .value")).to_contain_text("/min")
    expect(page.locator(LIVE)).to_contain_text("Live")
    page.wait_for_function("() => Bokeh.documents.some((d) => d.roots().some((r) => r.name === 'Board'))")
    assert [url for url in mock.requests if not url.startswith((mock.url, "blob:"))] == []
    assert mock.errors == []


def test_a_tick_streams_into_the_same_figure(page: Page, mock: Mock) -> None:
    mock.sign_in(page)
    page.wait_for_selector(DRAWN)
    page.evaluate(f"window.kept = document.querySelector('{CHART}').lastElementChild")
    before = newest(page)
    page.wait_for_function(f"(before) => {SOURCE}.data.s0.at(-1) !== before", arg=before)
    assert page.evaluate(f"window.kept === document.querySelector('{CHART}').lastElementChild")


def test_an_unchanged_start_of_a_series_is_not_sent_to_bokeh_again(page: Page, mock: Mock) -> None:
    mock.sign_in(page)
    page.wait_for_selector(DRAWN)
    work = page.evaluate(
        """async () => {
          const { sync } = await import(document.querySelector('link[href$="/figures.js"]').href)
          const calls = []
          const made = (data) => ({ data, patch: () => calls.push("patch"), stream: () => calls.push("stream") })
          const told = (old, fresh) => sync(made(old), fresh)
          const t = [1, 2, 3, 4, 5, 6, 7, 8]
          return [
            told({ t, s: t }, { t, s: [...t] }),
            told({ t, s: t }, { t, s: [1, 2, 3, 4, 5, 6, 7, 9] }),
            told({ t, s: t }, { t: [2, 3, 4, 5, 6, 7, 8, 9], s: [2, 3, 4, 5, 6, 7, 8, 9] }),
            told({ t, s: t }, { t: [50, 60], s: [1, 2] }),
            told({ t: [], s: [] }, { t, s: t }),
            told({ t, s: t.map(() => NaN) }, { t, s: t.map(() => NaN) }),
          ]
        }"""
    )
    assert work == ["none", "patch", "stream", "replace", "replace", "none"]


def test_a_chart_under_the_pointer_holds_still_and_counts_what_waits(page: Page, mock: Mock) -> None:
    mock.sign_in(page)
    page.wait_for_selector(DRAWN)
    point_at_chart(page)
    expect(page.locator(".tip")).to_contain_text("p95 duration")
    held = newest(page)
    expect(page.locator("[data-tile=duration] .tag.held")).to_contain_text("updates waiting")
    assert newest(page) == held
    expect(page.locator(".tip")).to_be_visible()
    page.mouse.move(5, 500)
    page.wait_for_function(f"(held) => {SOURCE}.data.s0.at(-1) !== held", arg=held)
    expect(page.locator("[data-tile=duration] .tag.held")).to_be_hidden()


def test_an_open_tip_follows_the_data_under_it(page: Page, mock: Mock) -> None:
    mock.sign_in(page)
    page.wait_for_selector(DRAWN)
    page.focus(CHART)
    page.keyboard.press("End")
    value = page.locator(".tip .n").first
    first = value.inner_text()
    expect(value).not_to_have_text(first)  # the last bucket changes with each tick; the keyboard holds nothing


def test_a_hostile_name_is_text_everywhere(page: Page, mock: Mock) -> None:
    dialogs: list[str] = []

    def refuse(dialog: Dialog) -> None:
        dialogs.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", refuse)
    mock.mood("hostile")
    mock.sign_in(page)
    page.wait_for_selector(DRAWN)
    point_at_chart(page)
    for place in (".tip", "[data-tile=duration] .legend", "[data-tile=changed]", "[data-tile=latest]"):
        expect(page.locator(place)).to_contain_text(EVIL)
    page.click("[data-control=filter]")
    page.get_by_role("option", name="Domain").click()
    page.get_by_role("option", name=EVIL).click()
    page.keyboard.press("Escape")
    expect(page.locator(".chip")).to_contain_text(EVIL)
    assert page.locator("img").count() == 0
    assert dialogs == []


def test_a_mute_server_is_delayed_then_stale_and_live_again_after(page: Page, mock: Mock) -> None:
    mock.sign_in(page)
    mock.mood("silent")
    expect(page.locator(LIVE)).to_contain_text("Delayed")
    expect(page.locator(LIVE)).to_contain_text("Stale")
    expect(page.locator("[data-tile=flows] .tag.old")).to_contain_text("s old")
    mock.mood("live")
    expect(page.locator(LIVE)).to_contain_text("Live", timeout=12_000)
    expect(page.locator("[data-tile=flows] .tag.old")).to_be_hidden()


def test_a_lost_connection_says_so_and_comes_back_without_a_hand(page: Page, mock: Mock) -> None:
    page.clock.install()
    mock.sign_in(page)
    mock.mood("down")
    expect(page.locator(LIVE)).to_contain_text("Reconnecting")
    expect(page.get_by_role("status").filter(has_text="Reconnecting")).to_be_attached()
    page.clock.run_for(3_500)
    expect(page.locator(LIVE)).to_contain_text("Delayed")
    mock.mood("live")
    page.clock.run_for(5_000)
    expect(page.locator(LIVE)).to_contain_text("Live")


def test_a_restarted_server_gets_the_page_anew_once_with_its_scope(page: Page, mock: Mock) -> None:
    mock.sign_in(page, "/overview?domain=professional")
    page.evaluate("window.before = true")
    mock.mood("down")
    expect(page.locator(LIVE)).to_contain_text("Reconnecting")
    with page.expect_navigation():
        mock.mood("restart")
    page.wait_for_selector("main[data-state=live]")
    assert page.evaluate("window.before") is None
    expect(page.locator(".chip")).to_contain_text("professional")


def test_late_data_is_live_but_shows_its_age(page: Page, mock: Mock) -> None:
    mock.mood("late")
    mock.sign_in(page)
    expect(page.locator(LIVE)).to_contain_text("data 4")
    expect(page.locator("[data-tile=spend] .tag.old")).to_contain_text("s old")


def test_empty_and_failed_tiles_say_why_and_what_to_do(page: Page, mock: Mock) -> None:
    mock.mood("empty")
    mock.sign_in(page)
    expect(page.locator(".welcome code")).to_contain_text(f"{mock.url}/api/ingest/events")
    expect(page.locator("[data-tile=flows] .state")).to_contain_text("no events in the last hour")
    mock.mood("error")
    expect(page.locator("[data-tile=duration] .state")).to_contain_text("slower than the deadline")
    expect(page.locator("[data-tile=duration] .state")).to_contain_text("since")
    mock.mood("live")
    page.locator("[data-tile=duration]").get_by_role("button", name="Retry").click()
    page.wait_for_selector(DRAWN, timeout=6000)  # though the pointer rests on it


def test_a_refused_window_shows_the_reason_and_the_way_back(page: Page, mock: Mock) -> None:
    page.goto(f"{mock.url}/overview?window=now-bad")
    page.fill("#key", mock.key)
    page.click("button.primary")
    expect(page.locator("main .banner")).to_contain_text("Write it like now-1h")
    expect(page.locator(LIVE)).to_contain_text("No answer")
    page.keyboard.press("0")
    expect(page.locator(LIVE)).to_contain_text("Live")
    expect(page.locator("main .banner")).to_be_hidden()


def test_keys_and_the_address_move_the_scope_back_and_forth(page: Page, mock: Mock) -> None:
    mock.sign_in(page)
    page.keyboard.press("c")
    expect(page).to_have_url(f"{mock.url}/overview?compare=off")
    page.keyboard.press("[")
    expect(page).to_have_url(f"{mock.url}/overview?window=now-90m+to+now-30m&compare=off")
    page.go_back()
    expect(page).to_have_url(f"{mock.url}/overview?compare=off")
    page.keyboard.press("0")
    page.keyboard.press(" ")
    expect(page.locator(LIVE)).to_contain_text("Paused")
    expect(page.locator(LIVE)).to_contain_text("waiting")
    page.keyboard.press(" ")
    expect(page.locator(LIVE)).to_contain_text("Live")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()


def test_a_click_on_a_bar_filters_and_the_session_hears_of_it(page: Page, mock: Mock) -> None:
    mock.sign_in(page)
    page.wait_for_function("() => globalThis.Bokeh?.documents.some((d) => d.roots().some((r) => r.name === 'Board'))")
    page.locator("[data-tile=spend_by_agent]").get_by_role("button", name="researcher").click()
    expect(page).to_have_url(f"{mock.url}/overview?agent=researcher")
    scope = "() => Bokeh.documents.flatMap((d) => d.roots()).find((r) => r.name === 'Board').data.scope.filters[0]?.dim"
    page.wait_for_function(scope)


def test_a_change_of_theme_repaints_the_figures_that_stand(page: Page, mock: Mock) -> None:
    mock.sign_in(page, "/overview?theme=light")
    page.wait_for_selector(DRAWN)
    page.evaluate(f"window.kept = document.querySelector('{CHART}').lastElementChild")
    page.keyboard.press("t")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    colour = "document.querySelector('[data-tile=duration]').tile.drawer.find('axis:y').major_label_text_color"
    assert page.evaluate(colour) == page.evaluate(
        "() => getComputedStyle(document.documentElement).getPropertyValue('--faint')"
    )
    assert page.evaluate(f"window.kept === document.querySelector('{CHART}').lastElementChild")


@pytest.mark.parametrize("width", [400, 820, 1280, 2560])
def test_no_width_scrolls_sideways(page: Page, mock: Mock, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    mock.sign_in(page)
    page.wait_for_selector(DRAWN, state="attached")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    kpis = page.locator(".t-kpi").evaluate_all("tiles => new Set(tiles.map(t => t.offsetTop)).size")
    assert kpis == {400: 6, 820: 2, 1280: 1, 2560: 1}[width]


def test_a_refused_key_is_not_repeated_and_a_foreign_next_is_not_followed(page: Page, mock: Mock) -> None:
    page.goto(f"{mock.url}/login?next=//elsewhere.example/")
    page.fill("#key", "pl_live_wrong")
    page.click("button.primary")
    expect(page.get_by_role("alert")).to_be_visible()
    assert "pl_live_wrong" not in page.content()
    page.fill("#key", mock.key)
    page.click("button.primary")
    expect(page).to_have_url(f"{mock.url}/overview")


def test_signing_out_ends_the_session(page: Page, mock: Mock) -> None:
    mock.sign_in(page)
    page.click("[data-control=more]")
    page.get_by_role("menuitem", name="Sign out").click()
    expect(page).to_have_url(f"{mock.url}/login")
    page.goto(f"{mock.url}/overview")
    expect(page).to_have_url(f"{mock.url}/login?next=%2Foverview")


def test_a_board_stands_in_a_shadow_root_too_and_takes_no_room_of_the_page(page: Page, mock: Mock) -> None:
    """As in a notebook: no header, its own style sheet, the same drawing."""
    mock.sign_in(page)
    page.wait_for_selector(DRAWN)
    page.evaluate(
        """async () => {
          const { specs } = JSON.parse(document.getElementById("page").textContent)
          const board = document.querySelector('link[href$="/board.js"]').href
          const { cell } = await import(board.replace("board.js", "cell.js"))
          const spec = await (await fetch(specs.light)).json()
          const style_text = await (await fetch(board.replace("board.js", "app.css"))).text()
          const { view } = document.querySelector(".tile").tile
          const tiles = Object.fromEntries([...view.tiles].map(([id, { head, columns }]) => [id, { head, columns }]))
          const sent = window.sent = []
          const model = { scope: { window: "now-5m", filters: [] }, spec, style_text, state: {},
            send_msg: (message) => sent.push(message),
            on(name, heard) {
              if (name === "msg:custom") heard({ type: "analytics_update", analytics: { ...view.board, tiles } })
            } }
          const host = document.body.appendChild(document.createElement("div"))
          host.id = "embed"
          await cell(model, host.attachShadow({ mode: "open" }))
        }"""
    )
    page.locator("#embed [data-tile=duration] .figure[data-drawn]").wait_for()
    expect(page.locator("#embed [data-tile=flows] .value")).to_contain_text("/min")
    assert page.locator("#embed .tile").first.evaluate("e => getComputedStyle(e).borderRadius") == "10px"
    chart = page.locator("#embed [data-tile=duration] .figure")
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    assert box
    page.mouse.move(box["x"] + 200, box["y"] + 90)
    page.mouse.down()
    page.mouse.move(box["x"] + 400, box["y"] + 90, steps=3)
    page.mouse.up()
    assert page.evaluate("sent.find((m) => m.type === 'brushed').tile") == "duration"
