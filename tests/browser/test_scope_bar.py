"""The scope bar: filters, range, zone, comparison, grain, undo, sharing, data status, time travel; by key too."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Mock, address
from tests.browser.harness import EVIL

CASES: dict[str, Any] = json.loads((Path(__file__).parents[1] / "unit/scope_cases.json").read_text("utf-8"))
LIVE = "[data-control=live]"
ASKED = "() => Plumbline.page.then(({ feed }) => feed.request)"

ADDRESSES = """async (cases) => {
  const { Scope } = await import(document.querySelector('link[href$="/scope.js"]').href)
  return cases.flatMap((c) => {
    const scope = new Scope({}, { args: ["flow"] })
    const state = scope.read(c.query)
    const filters = state.filters.map((f) => [f.dim, f.op, f.values])
    const wanted = { ...scope.defaults, ...c.state, filters: state.filters }
    const alike = (a, b) => JSON.stringify(a) === JSON.stringify(b)
    const written = scope.query(state)
    const same = alike(filters, c.filters) && alike(state, wanted)
    return same && written === (c.written ?? c.query) ? [] : [[c.query, filters, state, written]]
  })
}"""

WINDOWS = """async ({ now, windows }) => {
  const times = await import(document.querySelector('link[href$="/times.js"]').href)
  const ms = (text) => text && Date.parse(text)
  return windows.flatMap((c) => {
    const found = times.tried(c.window, Date.parse(now), c.tz)
    return (found?.from ?? null) === ms(c.from) && (found?.to ?? null) === ms(c.to) ? [] : [[c, found]]
  })
}"""


def query(page: Page) -> dict[str, list[str]]:
    return parse_qs(urlsplit(address(page)).query, keep_blank_values=True)


def asked(page: Page) -> dict[str, Any]:
    """The standing request of the board."""
    return dict(page.evaluate(ASKED))


def pick(page: Page, dimension: str) -> None:
    """Open the picker at the values of a dimension, by keyboard."""
    page.keyboard.press("f")
    page.get_by_role("combobox", name="Filter by").press_sequentially(dimension)
    page.get_by_role("option", name=dimension).first.wait_for()
    page.keyboard.press("Enter")
    page.get_by_role("option").first.wait_for()


def test_an_address_reads_as_it_does_on_the_server(page: Page, mock: Mock) -> None:
    mock.sign_in(page)
    assert page.evaluate(ADDRESSES, CASES["addresses"]) == []


def test_a_window_means_what_the_server_takes_it_for(page: Page, mock: Mock) -> None:
    mock.sign_in(page)
    assert page.evaluate(WINDOWS, {"now": CASES["now"], "windows": CASES["windows"]}) == []


def test_a_filter_is_made_edited_negated_and_removed_by_keyboard_alone(page: Page, mock: Mock) -> None:
    mock.sign_in(page)
    pick(page, "Agent")
    expect(page.get_by_role("option").first).to_have_text("planner5,210")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    chip = page.locator(".chip")
    expect(chip).to_have_text("agentplanner, researcher")
    assert query(page) == {"agent": ["planner", "researcher"]}
    assert asked(page)["filters"] == [{"dim": "agent", "op": "in", "values": ["planner", "researcher"]}]

    chip.get_by_role("button", name="Edit").press("Enter")
    page.get_by_role("radio", name="is", exact=True).press("ArrowRight")
    expect(chip).to_have_text("agent notplanner, researcher")
    assert query(page) == {"agent!": ["planner", "researcher"]}
    page.keyboard.press("Escape")
    expect(chip.get_by_role("button", name="Edit")).to_be_focused()
    page.keyboard.press("Delete")
    expect(chip).to_have_count(0)
    expect(page.locator("[data-control=filter]")).to_be_focused()
    assert query(page) == {}


def test_a_filter_made_in_one_picker_is_one_step_to_undo(page: Page, mock: Mock) -> None:
    mock.sign_in(page)
    pick(page, "Agent")
    for name in ("coder", "planner", "reviewer"):
        page.get_by_role("option", name=name).click()
        expect(page.get_by_role("option", name=name)).to_have_attribute("aria-selected", "true")
    page.get_by_role("button", name="Done").click()
    assert query(page) == {"agent": ["coder", "planner", "reviewer"]}
    page.keyboard.press("z")
    expect(page.locator(".chip")).to_have_count(0)
    page.keyboard.press("Z")
    expect(page.locator(".chip")).to_have_text("agentcoder, planner, reviewer")


def test_values_are_searched_typed_contained_and_none(page: Page, mock: Mock) -> None:
    mock.sign_in(page)
    pick(page, "Tool")
    expect(page.get_by_role("option")).to_have_count(60)
    expect(page.locator(".picker .note")).to_have_text("60 of 200 values, most frequent first")
    page.keyboard.type("tool_19")
    expect(page.get_by_role("option", name=re.compile("^tool_"))).to_have_count(10)
    page.keyboard.press("Control+a")
    page.keyboard.type("tool_unheard_of")
    expect(page.get_by_role("option")).to_have_text(["is “tool_unheard_of”"])
    page.keyboard.press("Enter")
    expect(page.locator(".chip")).to_have_text("tooltool_unheard_of")
    page.get_by_role("radio", name="contains").click()
    expect(page.locator(".chip")).to_have_text("tool containstool_unheard_of")
    page.get_by_role("combobox").fill("_1")
    page.get_by_role("option", name="contains “_1”").click()
    assert query(page) == {"tool~": ["_1"]}
    page.keyboard.press("Escape")
    pick(page, "Agent")
    page.get_by_role("option", name="(none)").click()
    expect(page.locator(".chip").nth(1)).to_have_text("agent(none)")
    assert asked(page)["filters"][1] == {"dim": "agent", "op": "is", "values": [None]}
    assert address(page).endswith("agent=")


def test_a_click_adds_a_filter_and_the_cross_takes_it_away(page: Page, mock: Mock) -> None:
    mock.sign_in(page)
    page.click("[data-control=filter]")
    page.get_by_role("option", name="Domain").click()
    page.get_by_role("option", name=EVIL).click()
    page.mouse.click(700, 5)
    expect(page.locator(".chip")).to_contain_text(EVIL)
    page.get_by_role("button", name="Remove the filter domain").click()
    expect(page.locator(".chip")).to_have_count(0)


def test_a_filter_that_fits_nothing_says_so(page: Page, mock: Mock) -> None:
    mock.sign_in(page, "/overview?agent=planner&domain=nowhere")
    expect(page.locator(".chip[data-none]")).to_have_text("domainnowhere")
    expect(page.locator("[data-control=nothing]")).to_contain_text("Nothing in this window has domain is nowhere.")
    page.get_by_role("button", name="Clear filters").click()
    expect(page.locator("[data-control=nothing]")).to_be_hidden()
    assert query(page) == {}


def test_many_chips_wrap(page: Page, mock: Mock) -> None:
    page.set_viewport_size({"width": 400, "height": 900})
    names = "&".join(f"agent~=a_rather_long_name_of_an_agent_{i}" for i in range(9))
    mock.sign_in(page, f"/overview?{names}")
    expect(page.locator(".chip")).to_have_count(9)
    assert page.evaluate("document.documentElement.scrollWidth") == 400


def test_a_quick_range_and_a_typed_one(page: Page, mock: Mock) -> None:
    mock.sign_in(page)
    page.click("[data-control=range]")
    page.get_by_role("button", name="Last 6 hours").click()
    assert query(page) == {"window": ["now-6h"]}
    expect(page.locator("[data-control=range]")).to_have_text("Last 6 hours")
    page.click("[data-control=range]")
    field = page.get_by_label("Time range, typed")
    help = page.locator("form.typed .help")
    field.fill("now-2x")
    expect(help).to_contain_text("“-2x” is not understood")
    expect(page.locator("form.typed button")).to_be_disabled()
    field.fill("now-2h to now-1h")
    expect(help).to_have_text(re.compile(r"^\d+ \w+, \d\d:\d\d:\d\d – .*\d\d:\d\d:\d\d, 1 h$"))
    field.press("Enter")
    assert query(page) == {"window": ["now-2h to now-1h"]}
    expect(page.locator("[data-control=range]")).to_have_text("2 h to 1 h ago")
    expect(page.locator(LIVE)).to_contain_text("Past")
    page.click(LIVE)
    expect(page.locator(LIVE)).to_contain_text("Live")


def test_two_ends_are_read_in_the_chosen_zone(page: Page, mock: Mock) -> None:
    mock.sign_in(page)
    page.click("[data-control=range]")
    page.get_by_role("button", name="this browser's").click()
    page.keyboard.type("tokyo")
    expect(page.get_by_role("option")).to_have_text(["Asia/TokyoUTC+09:00"])
    page.keyboard.press("Enter")
    page.get_by_label("From", exact=True).fill("2026-01-06 12:00")
    to = page.get_by_label("To", exact=True)
    to.fill("2026-01-06 11:00")
    expect(page.locator("form.ends-of .help")).to_have_text("The start must come before the end")
    to.fill("2026-01-06 13:30")
    to.press("Enter")
    assert query(page) == {"window": ["2026-01-06T03:00:00Z to 2026-01-06T04:30:00Z"], "tz": ["Asia/Tokyo"]}
    expect(page.locator("[data-control=range]")).to_have_text("6 Jan 12:00 – 13:30")
    assert asked(page)["window"] == {"from": "2026-01-06T03:00:00Z", "to": "2026-01-06T04:30:00Z", "tz": "Asia/Tokyo"}


def test_absolute_and_relative_windows_pan_and_zoom_alike(page: Page, mock: Mock) -> None:
    mock.sign_in(page, "/overview?window=2026-01-06T12:00:00Z+to+2026-01-06T13:00:00Z")
    page.get_by_role("button", name="Back in time").click()
    assert query(page)["window"] == ["2026-01-06T11:30:00Z to 2026-01-06T12:30:00Z"]
    page.keyboard.press("]")
    assert query(page)["window"] == ["2026-01-06T12:00:00Z to 2026-01-06T13:00:00Z"]
    page.get_by_role("button", name="Zoom out").click()
    assert query(page)["window"] == ["2026-01-06T11:30:00Z to 2026-01-06T13:30:00Z"]
    page.keyboard.press("+")
    page.keyboard.press("+")
    assert query(page)["window"] == ["2026-01-06T12:15:00Z to 2026-01-06T12:45:00Z"]
    page.keyboard.press("0")
    assert query(page) == {}
    expect(page.get_by_role("button", name="Forward in time")).to_be_disabled()
    page.keyboard.press("-")
    assert query(page)["window"] == ["now-2h"]
    page.keyboard.press("[")
    assert query(page)["window"] == ["now-3h to now-1h"]
    page.keyboard.press("]")
    assert query(page)["window"] == ["now-2h"]


def test_comparison_has_a_menu_and_a_key(page: Page, mock: Mock) -> None:
    mock.sign_in(page)
    page.locator("[data-control=compare]").press("Enter")
    expect(page.get_by_role("menuitemradio", name="Previous period")).to_be_focused()
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    assert query(page) == {"compare": ["week"]}
    expect(page.locator("[data-control=compare]")).to_contain_text("Same time last week")
    page.keyboard.press("c")
    assert query(page) == {"compare": ["off"]}
    page.keyboard.press("c")
    assert query(page) == {"compare": ["week"]}


def test_only_a_grain_that_fits_the_window_may_be_chosen(page: Page, mock: Mock) -> None:
    mock.sign_in(page)
    page.click("[data-control=grain]")
    expect(page.get_by_role("menuitemradio", name="1 h")).to_have_attribute("aria-disabled", "true")
    page.get_by_role("menuitemradio", name="10 s").click()
    assert query(page) == {"grain": ["10s"]} and asked(page)["grain"] == "10s"
    page.click("[data-control=range]")
    page.get_by_role("button", name="Last 7 days").click()
    assert query(page) == {"window": ["now-7d"]}, "ten seconds are too fine for a week"
    page.click("[data-control=grain]")
    expect(page.get_by_role("menuitemradio", name="10 s")).to_have_attribute("aria-disabled", "true")


def test_undo_and_redo_go_through_the_history_and_never_leave_the_page(page: Page, mock: Mock) -> None:
    mock.sign_in(page)
    page.keyboard.press("c")
    page.keyboard.press("[")
    expect(page).to_have_url(re.compile("window=.*compare=off"))
    for _ in range(5):
        page.keyboard.press("z")
    expect(page).to_have_url(f"{mock.url}/overview")
    page.keyboard.press("Control+Shift+z")
    expect(page).to_have_url(f"{mock.url}/overview?compare=off")
    page.reload()
    page.wait_for_selector("main[data-state=live]")
    page.click("[data-control=more]")
    page.get_by_role("menuitem", name="Redo").click()
    expect(page).to_have_url(re.compile("window=.*compare=off"))
    page.go_back()
    expect(page).to_have_url(f"{mock.url}/overview?compare=off")
    page.keyboard.press("Control+z")
    expect(page).to_have_url(f"{mock.url}/overview")
    page.click("[data-control=more]")
    expect(page.get_by_role("menuitem", name="Undo")).to_have_attribute("aria-disabled", "true")


def test_a_shared_link_moves_with_time_or_is_pinned_to_it(page: Page, mock: Mock) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    mock.sign_in(page, "/overview?agent!=planner")
    page.keyboard.press("Space")
    page.keyboard.press("s")
    page.keyboard.press("Enter")
    expect(page.locator("[data-control=share]")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == f"{mock.url}/overview?agent!=planner"
    page.click("[data-control=share]")
    page.get_by_role("menuitem", name="pinned").click()
    page.wait_for_function("async () => (await navigator.clipboard.readText()).includes('as_of')")
    link = page.evaluate("navigator.clipboard.readText()")
    pinned = parse_qs(urlsplit(link).query)
    moment = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
    assert re.fullmatch(f"{moment} to {moment}", pinned["window"][0]) and re.fullmatch(moment, pinned["as_of"][0])
    page.goto(link)
    expect(page.locator(LIVE)).to_contain_text("As known at")


def test_the_data_status_tells_sources_drops_and_the_watermark_while_it_is_open(page: Page, mock: Mock) -> None:
    mock.sign_in(page)
    page.click("[data-control=facts]")
    box = page.get_by_role("dialog", name="Data status")
    expect(box.get_by_role("row").nth(1)).to_have_text("billing-exporterLate41 s agowithin 12 s1,500")
    expect(box).to_contain_text("12 bad time")
    expect(box).to_contain_text("got 'yesterday'")
    watermark = box.locator("dd").last
    first = watermark.inner_text()
    expect(watermark).not_to_have_text(first)
    page.keyboard.press("Escape")
    expect(box).to_be_hidden()
    expect(page.locator("[data-control=facts]")).to_be_focused()


def test_time_travel_shows_the_past_and_says_so(page: Page, mock: Mock) -> None:
    mock.sign_in(page)
    page.click("[data-control=more]")
    page.get_by_role("menuitem", name="As known at").click()
    slider = page.get_by_role("slider", name="Known at")
    expect(slider).to_be_focused()
    first = asked(page)["as_of"]
    page.keyboard.press("PageDown")
    page.wait_for_function(f"async (first) => (await ({ASKED})()).as_of < first", arg=first)
    shown = str(slider.get_attribute("aria-valuetext"))
    assert re.fullmatch(r"As known at (\d+ \w+ )?\d\d:\d\d:\d\d", shown)
    expect(page.locator(LIVE)).to_contain_text(shown)
    expect(page.locator(LIVE)).not_to_contain_text("Live")
    expect(page).to_have_title(re.compile(f"^{shown} · Overview"))
    expect(page.locator(".tile .tag.old:visible")).to_have_count(0)
    before = asked(page)["as_of"]
    page.get_by_role("radio", name="60×").click()
    page.get_by_role("button", name="Play").click()
    page.wait_for_function(f"async (before) => (await ({ASKED})()).as_of > before", arg=before)
    page.get_by_role("button", name="Stop the replay").click()
    page.keyboard.press("z")
    expect(page).to_have_url(f"{mock.url}/overview")
    expect(page.locator(LIVE)).to_contain_text("Live")
    page.keyboard.press("Z")
    page.get_by_role("button", name="Back to now").click()
    expect(page.locator("[data-control=travel]")).to_be_hidden()
    assert "as_of" not in asked(page)


def test_a_drag_through_time_asks_no_more_often_than_the_pace(page: Page, mock: Mock) -> None:
    mock.sign_in(page, "/overview?as_of=2026-01-06T14:02:10Z&window=2026-01-06T13:00:00Z+to+2026-01-06T15:00:00Z")
    expect(page.locator("[data-control=travel] strong")).to_have_text("As known at 6 Jan 14:02:10")
    told = page.evaluate(
        """async () => {
          const { scope } = await Plumbline.page
          const slider = document.querySelector(".slider")
          const [asked, length] = [[], history.length]
          scope.on((state, patch) => asked.push([performance.now(), state.as_of]))
          const began = performance.now()
          await new Promise((done) => {
            const drag = setInterval(() => {
              slider.value = Number(slider.value) + 60000
              slider.dispatchEvent(new Event("input"))
              if (performance.now() - began > 1500) { clearInterval(drag); setTimeout(done, 500) }
            }, 20)
          })
          const gaps = asked.slice(1).map(([at], i) => at - asked[i][0])
          return { gaps, steps: history.length - length, last: Date.parse(asked.at(-1)[1]), at: Number(slider.value) }
        }"""
    )
    assert 1 <= len(told["gaps"]) <= 5 and min(told["gaps"]) > 300 and told["steps"] == 0
    assert abs(told["last"] - told["at"]) < 1000  # where the drag ended


def test_single_keys_mean_nothing_while_one_types_or_a_menu_is_open(page: Page, mock: Mock) -> None:
    mock.sign_in(page)
    page.click("[data-control=filter]")
    page.keyboard.type("ct0z ")
    expect(page.get_by_role("combobox")).to_have_value("ct0z ")
    page.keyboard.press("Escape")
    page.click("[data-control=compare]")
    page.keyboard.press("t")
    page.keyboard.press("[")
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    page.keyboard.press("c")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    page.keyboard.press("Escape")
    assert query(page) == {}
    expect(page.locator("html")).to_have_attribute("data-theme", "light")


def test_keys_reach_what_changed_and_the_board_alone(page: Page, mock: Mock) -> None:
    mock.sign_in(page)
    page.locator(".change").first.wait_for()
    page.keyboard.press("w")
    expect(page.locator(".why h2")).to_be_focused()
    page.keyboard.press("Escape")
    page.keyboard.press("k")
    expect(page.locator("header.top")).to_be_hidden()
    expect(page.locator(".tile").first).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("header.top")).to_be_visible()


def test_the_pages_keep_what_is_looked_at(page: Page, mock: Mock) -> None:
    mock.sign_in(page, "/overview?window=now-6h&agent!=planner&tz=Asia/Tokyo")
    expect(page.get_by_role("link", name="Agents")).to_have_attribute(
        "href", "/agents?window=now-6h&agent!=planner&tz=Asia/Tokyo"
    )
    page.keyboard.press("0")
    page.get_by_role("button", name="Remove the filter agent").click()
    expect(page.get_by_role("link", name="Agents")).to_have_attribute("href", "/agents?tz=Asia/Tokyo")


@pytest.mark.parametrize(
    "control", ["compare", "earlier", "range", "wider", "live", "pause", "share", "more", "filter", "grain", "facts"]
)
def test_every_control_is_within_reach_on_a_narrow_screen(page: Page, mock: Mock, control: str) -> None:
    page.set_viewport_size({"width": 400, "height": 900})
    mock.sign_in(page)
    button = page.locator(f"[data-control={control}]")
    box = button.bounding_box()
    assert box and box["x"] >= 0 and box["x"] + box["width"] <= 400 and box["width"] >= 24 and box["height"] >= 22
    button.click()
    menu = page.locator("body > .menu")
    if control in ("compare", "range", "share", "more", "filter", "grain", "facts"):
        place = menu.bounding_box()
        assert place and place["x"] >= 0 and place["x"] + place["width"] <= 400 and place["y"] + place["height"] <= 900
    assert page.evaluate("document.documentElement.scrollWidth") == 400
