"""Charts and tiles under the hand: pointing, selecting, filtering, walking by keys, and the table behind each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser import oddities as odd
from tests.browser.conftest import Mock, Visitor, address
from tests.conftest import Running, flow

FIGURE = "[data-tile=duration] .figure"
CELLS = "[data-tile=distribution] .figure"
DRAWN = f"{FIGURE}[data-drawn]", f"{CELLS}[data-drawn]"
ABSOLUTE = re.compile(r"window=(20[\d-]+T[\d:]+Z) to (20[\d-]+T[\d:]+Z)")


@pytest.fixture
def board(page: Page, mock: Mock) -> Page:
    """The overview with its charts drawn."""
    mock.sign_in(page)
    for chart in DRAWN:
        page.wait_for_selector(chart)
    return page


def drawer(tile: str, what: str) -> str:
    return f"document.querySelector('[data-tile=\"{tile}\"]').tile.drawer.{what}"


def place(page: Page, selector: str, x: float, y: float = 0.4) -> tuple[float, float]:
    """A point of an element, by shares of its width and height."""
    box = page.locator(selector).bounding_box()
    assert box
    return box["x"] + x * box["width"], box["y"] + y * box["height"]


def drag(page: Page, selector: str, start: float, end: float) -> None:
    page.mouse.move(*place(page, selector, start))
    page.mouse.down()
    page.mouse.move(*place(page, selector, end), steps=4)


def spoken(page: Page) -> Locator:
    return page.locator("main > [role=status]").last


def menu(page: Page, tile: str, entry: str) -> None:
    page.locator(f'[data-tile="{tile}"]').get_by_role("button", name="Menu of").focus()
    page.keyboard.press("Enter")
    page.get_by_role("menuitem", name=entry).click()


# pointing


def covers(over: Locator, first: Locator, end: Locator) -> bool:
    """Whether something lies over all from the top of `first` to the top of `end`."""
    box, top, bottom = (each.bounding_box() for each in (over, first, end))
    assert box and top and bottom
    return abs(box["y"] - top["y"]) < 1 and abs(box["y"] + box["height"] - bottom["y"]) < 1


def test_a_moment_is_shown_in_all_charts_at_once(board: Page) -> None:
    board.mouse.move(*place(board, FIGURE, 0.5))
    expect(board.locator(".tip")).to_contain_text("p95 duration")
    expect(board.locator("[data-tile=distribution] .readout")).to_contain_text(re.compile(r"flows ?\d+"))
    for tile in ("flows", "success", "p95", "spend", "tokens", "agents"):
        expect(board.locator(f"[data-tile={tile}] .readout")).to_be_visible()
        expect(board.locator(f"[data-tile={tile}] .marks i")).to_have_count(1)
        read, delta, line = (board.locator(f"[data-tile={tile}] {part}") for part in (".readout", ".delta", ".mini"))
        assert covers(read, delta, line)
    expect(board.locator("[data-tile=duration] .readout")).to_be_hidden()
    board.mouse.move(2, 500)
    expect(board.locator(".readout:visible")).to_have_count(0)
    expect(board.locator(".tip")).to_be_hidden()


def test_the_short_reading_is_exact_and_of_the_bucket_that_was_pointed_at(board: Page) -> None:
    board.mouse.move(*place(board, CELLS, 0.5))
    readout = board.locator("[data-tile=duration] .readout")
    expect(readout).to_be_visible()
    said = board.evaluate(
        f"""() => {{
          const chart = {drawer("duration", "")[:-1]}
          const i = chart.times().findLastIndex((t) => t <= chart.board.hover.t)
          return [chart.columns.s0[i], chart.columns.s1[i]]
        }}"""
    )
    for value in said:
        assert f"{float(f'{value:.6g}'):,}" in readout.inner_text()


def test_a_number_s_line_is_a_chart_like_the_large_ones(board: Page) -> None:
    board.mouse.move(*place(board, "[data-tile=p95] .mini", 0.5))
    expect(board.locator(".tip")).to_contain_text(" ms")
    expect(board.locator("[data-tile=duration] .readout")).to_contain_text("p95 duration")


def test_a_finger_reads_values_and_what_it_showed_stays(chromium: Browser, mock: Mock) -> None:
    context = chromium.new_context(viewport={"width": 1000, "height": 1400}, has_touch=True, timezone_id="UTC")
    page = context.new_page()
    mock.sign_in(page)
    page.wait_for_selector(DRAWN[0])
    page.touchscreen.tap(*place(page, FIGURE, 0.5))
    expect(page.locator(".tip")).to_contain_text("p95 duration")
    expect(page.locator("[data-tile=flows] .readout")).to_be_visible()
    page.touchscreen.tap(*place(page, "[data-tile=changed] h2", 0.5))
    expect(page.locator(".tip")).to_be_hidden()
    context.close()


@pytest.mark.parametrize("tile", ["spend_by_agent", "latest"])
def test_bars_and_tables_hold_still_under_the_pointer_and_count_what_waits(board: Page, tile: str) -> None:
    box = board.locator(f"[data-tile={tile}]")
    box.hover(position={"x": 60, "y": 60})
    held = box.locator(".body").inner_text()
    expect(box.locator(".tag.held")).to_contain_text("update", timeout=10_000)
    assert box.locator(".body").inner_text() == held
    board.mouse.move(2, 500)
    expect(box.locator(".tag.held")).to_be_hidden()
    expect(box.locator(".body")).not_to_have_text(held, use_inner_text=True, timeout=10_000)


# selecting a span


def test_a_drag_selects_a_span_and_its_end_zooms_every_tile(board: Page) -> None:
    drag(board, FIGURE, 0.3, 0.6)
    expect(board.locator("[data-tile=duration] .band")).to_be_visible()
    expect(board.locator("[data-tile=duration] .chosen")).to_have_text(
        re.compile(r"\d\d:\d\d(:\d\d)?–\d\d:\d\d(:\d\d)? · \d+ m")  # whole minutes do without seconds
    )
    assert "window=" not in address(board)
    board.mouse.up()
    board.wait_for_url(re.compile("window="))
    found = ABSOLUTE.search(unquote(board.url).replace("+", " "))
    assert found and found[1] < found[2]
    expect(board.locator("[data-tile=duration] .band")).to_be_hidden()
    board.locator(FIGURE).dblclick(position={"x": 300, "y": 100})
    expect(board).to_have_url(re.compile("/overview$"))


def test_a_drag_of_a_few_pixels_is_none_and_escape_lets_go(board: Page) -> None:
    x, y = place(board, FIGURE, 0.5)
    board.mouse.move(x, y)
    board.mouse.down()
    board.mouse.move(x + 4, y)
    board.mouse.up()
    drag(board, FIGURE, 0.3, 0.6)
    board.keyboard.press("Escape")
    expect(board.locator("[data-tile=duration] .band")).to_be_hidden()
    board.mouse.up()
    expect(board).to_have_url(re.compile("/overview$"))


def test_a_small_line_and_a_heatmap_are_selected_in_too(board: Page) -> None:
    for selector in ("[data-tile=spend] .mini", CELLS):
        drag(board, selector, 0.4, 0.8)
        board.mouse.up()
        board.wait_for_url(re.compile("window="))
        board.keyboard.press("Escape")
        expect(board).to_have_url(re.compile("/overview$"))


def test_keys_select_a_span_and_enter_zooms(board: Page) -> None:
    board.locator(FIGURE).focus()
    board.keyboard.press("Home")
    for _ in range(4):
        board.keyboard.press("Shift+ArrowRight")
    expect(spoken(board)).to_contain_text("selected")
    board.keyboard.press("Escape")
    expect(board.locator("[data-tile=duration] .band")).to_be_hidden()
    board.keyboard.press("Shift+ArrowRight")
    board.keyboard.press("Enter")
    board.wait_for_url(re.compile("window="))
    board.keyboard.press("Escape")
    expect(board).to_have_url(re.compile("/overview$"))


# walking


def test_a_chart_is_walked_point_by_point_and_read_aloud(board: Page) -> None:
    board.locator(FIGURE).focus()
    board.keyboard.press("End")
    expect(spoken(board)).to_have_text(
        re.compile(r"^p95 duration [\d,.]+ ms, expected [\d.]+ to [\d.]+ s, \d\d:\d\d.*not over yet$")
    )
    board.keyboard.press("ArrowLeft")
    before = spoken(board).inner_text()
    board.keyboard.press("ArrowDown")
    expect(spoken(board)).to_have_text(re.compile("^p50 duration"))
    board.keyboard.press("ArrowUp")
    expect(spoken(board)).to_have_text(before)
    board.keyboard.press("Home")
    expect(spoken(board)).not_to_have_text(before)
    assert board.evaluate(drawer("duration", "spot === ") + drawer("duration", "times()[0]"))
    board.locator("[data-tile=flows] .mini").focus()
    board.keyboard.press("ArrowLeft")
    expect(spoken(board)).to_have_text(re.compile("^Flows .*flows/min"))


def test_each_chart_has_its_sentence(board: Page) -> None:
    chart = board.get_by_role("application", name="Flow duration")
    description = board.locator(f"#{chart.get_attribute('aria-describedby')}")
    expect(description).to_have_text(
        re.compile(r"^Flow duration, last 1 hour: p95 duration now [\d.]+ s, between .* highest at \d\d:\d\d; rose \d+")
    )
    for name in ("Flows, over time", "Duration distribution"):
        described = board.get_by_role("application", name=name).get_attribute("aria-describedby")
        expect(board.locator(f"#{described}")).to_have_text(re.compile(r"last 1 hour: .+\.$"))
    bars = board.get_by_role("list", name="Spend by agent").get_attribute("aria-describedby")
    expect(board.locator(f"#{bars}")).to_contain_text("planner $")


# filtering


def filters(page: Page) -> Any:
    return page.evaluate("window.oddSteps.at(-1)?.filters")


def test_a_cell_of_a_heatmap_filters_by_its_bin_once(board: Page) -> None:
    board.locator(CELLS).focus()
    board.keyboard.press("End")
    board.keyboard.press("ArrowDown")
    expect(board.locator(".tip")).to_contain_text("Filter duration_bin")
    expect(spoken(board)).to_contain_text("Enter filters")
    board.keyboard.press("Enter")
    board.wait_for_url(re.compile(r"duration_bin=\d"))
    board.keyboard.press("Escape")
    expect(board).to_have_url(re.compile("/overview$"))
    i = board.evaluate(f"{drawer('distribution', 'columns.t.length')} >> 1")
    x, y = board.evaluate(
        f"""(i) => {{
          const chart = {drawer("distribution", "")[:-1]}, {{ t, low, high }} = chart.columns
          return [chart.place(t[i] + chart.head.grain_ms / 2), chart.height(Math.log10(Math.sqrt(low[i] * high[i])))]
        }}""",
        i,
    )
    board.locator(CELLS).click(position={"x": x, "y": y})
    board.wait_for_url(re.compile(r"duration_bin=\d"))


def test_a_double_click_on_a_cell_undoes_and_does_not_filter(board: Page) -> None:
    board.locator("[data-tile=spend_by_agent]").get_by_role("button", name="coder").click()
    board.wait_for_url(re.compile("agent=coder"))
    board.locator(CELLS).dblclick(position={"x": 200, "y": 60})
    expect(board).to_have_url(re.compile("/overview$"))


def test_cells_of_the_latest_rows_that_are_dimensions_filter(board: Page) -> None:
    cell = board.locator("[data-tile=latest]").get_by_role("button", name="coder").first
    expect(cell).to_have_attribute("data-tip", re.compile("Filter agent = coder"))
    cell.focus()
    board.keyboard.press("Enter")
    board.wait_for_url(re.compile("agent=coder"))
    expect(board.locator("[data-tile=latest] .pick[aria-pressed=true]").first).to_have_text("coder")
    expect(board.locator("[data-tile=latest] td:first-child button")).to_have_count(0)


def test_names_in_a_legend_filter_and_what_is_left_does_not(board: Page) -> None:
    odd.show(board, [odd.groups(width=6)])
    legend = board.locator("[data-tile=groups] .legend")
    expect(legend.get_by_role("button")).to_have_count(5)
    expect(legend).to_contain_text("other")
    legend.get_by_role("button", name="coder").click()
    assert filters(board) == [{"dim": "agent", "op": "is", "values": ["coder"]}]
    legend.get_by_role("button", name="(none)").click()
    assert filters(board) == [{"dim": "agent", "op": "in", "values": ["coder", None]}]
    name = legend.get_by_role("button", name=odd.LONG)
    expect(name).to_have_attribute("data-tip", re.compile(f"{odd.LONG}\nFilter"))
    assert name.locator(".name").evaluate("e => e.scrollWidth > e.clientWidth")


def test_bars_filter_by_nothing_too_but_not_by_the_rest(board: Page) -> None:
    odd.show(board, [odd.bars("mixed", [("planner", 4.0), (None, 2.0), ("other", 1.0)], other=True)])
    bars = board.locator("[data-tile=mixed]")
    bars.get_by_role("button", name="(none)").click()
    assert filters(board) == [{"dim": "agent", "op": "is", "values": [None]}]
    bars.get_by_role("button", name="other").click(force=True)
    assert filters(board) == [{"dim": "agent", "op": "is", "values": [None]}]
    expect(bars.get_by_role("button", name="planner")).to_have_attribute(
        "data-tip", re.compile("Filter agent = planner")
    )


def test_a_row_of_a_table_filters_by_its_dimensions(board: Page) -> None:
    odd.show(board, [odd.table("rows", 5)])
    table = board.locator("[data-tile=rows]")
    table.get_by_role("row").filter(has_text="agent-00000").locator("td").last.click()
    assert filters(board) == [{"dim": "agent", "op": "is", "values": ["agent-00000"]}]
    table.get_by_role("button", name="(none)").press("Enter")
    assert filters(board) == [{"dim": "agent", "op": "in", "values": ["agent-00000", None]}]


# the table behind, the whole window


@pytest.mark.parametrize(
    ("tile", "heading"),
    [("duration", "p50 duration"), ("distribution", "Up to"), ("flows", "Time"), ("spend_by_agent", "Agent")],
)
def test_every_chart_has_a_table_behind_it_that_stays(board: Page, tile: str, heading: str) -> None:
    menu(board, tile, "Show as table")
    box = board.locator(f"[data-tile={tile}]")
    expect(box.get_by_role("columnheader", name=heading)).to_be_visible()
    expect(box.locator(".body")).to_be_hidden()
    board.mouse.move(2, 500)
    heard = board.evaluate("document.querySelector('.tile').tile.view.heard")
    board.wait_for_function("(heard) => document.querySelector('.tile').tile.view.heard > heard + 1500", arg=heard)
    expect(box.locator(".body")).to_be_hidden()
    expect(box.locator("tbody tr:not(.pad)").first).to_contain_text(re.compile(r"\d"))
    menu(board, tile, "Show as chart")
    expect(box.locator(".body")).to_be_visible()
    expect(box.locator(".sheeted")).to_have_count(0)


def test_a_tile_fills_the_window_and_gives_it_back(board: Page) -> None:
    board.locator(FIGURE).focus()
    board.keyboard.press("m")
    board.get_by_role("menuitem", name="Full screen").click()
    box = board.get_by_role("dialog", name="Flow duration")
    expect(box).to_be_visible()
    size = box.bounding_box()
    assert size and size["width"] > 1350 and size["height"] > 900
    assert board.evaluate("document.querySelector('header.top').inert")
    board.wait_for_function(f"{drawer('duration', 'frame().bottom')} > 600")
    board.mouse.move(*place(board, FIGURE, 0.5))
    expect(board.locator(".tip")).to_contain_text("p95 duration")
    board.keyboard.press("Escape")
    expect(board.locator(".tile.large")).to_have_count(0)
    assert not board.evaluate("document.querySelector('header.top').inert")
    expect(board).to_have_url(re.compile("/overview$"))


def test_the_menu_ends_with_the_ways_out(board: Page) -> None:
    board.locator("[data-tile=flows]").get_by_role("button", name="Menu of Flows").press("Enter")
    for entry in ("Show as table", "Full screen", "PNG"):
        expect(board.get_by_role("menuitem", name=entry)).to_be_visible()


# data at its worst


def test_a_point_between_two_gaps_is_seen(board: Page) -> None:
    odd.show(board, [odd.line("gaps", [5.0, None, 7.0, None, 9.0, 9.5, None, 4.0])])
    board.wait_for_selector("[data-tile=gaps] .figure[data-drawn]")
    assert board.evaluate(drawer("gaps", "find('points').data.v")) == [5, 7, 4]
    odd.show(board, [odd.kpi("lone", 3.0, [None, 3.0, None], "calls")])
    expect(board.locator("[data-tile=lone] .spark-dots")).to_have_attribute("d", re.compile("^M80.0,20.0h0$"))


def test_charts_that_share_an_axis_have_one_range(board: Page) -> None:
    low, high = odd.line("low", [1.0, 2.0, 3.0], share="small"), odd.line("high", [100.0, 400.0, 150.0], share="small")
    odd.show(board, [low, high, odd.line("own", [1.0, 2.0, 3.0])])
    for tile in ("low", "high", "own"):
        board.wait_for_selector(f"[data-tile={tile}] .figure[data-drawn]")
    end = "view.model.y_range.end"
    board.wait_for_function(f"{drawer('low', end)} === {drawer('high', end)}")
    assert board.evaluate(drawer("low", end)) >= 400
    assert board.evaluate(drawer("own", end)) < 10


def test_thousands_of_rows_are_a_window_of_them(board: Page) -> None:
    odd.show(board, [odd.table("many", 5000)])
    table = board.locator("[data-tile=many]")
    expect(table.get_by_text("agent-00000")).to_be_visible()
    assert table.locator("tbody tr").count() < 100
    table.locator(".scroll").evaluate("e => { e.scrollTop = e.scrollHeight }")
    expect(table.get_by_text("agent-04999")).to_be_visible()
    assert table.locator("tbody tr").count() < 100
    expect(table.get_by_role("row").filter(has_text="agent-04999")).to_have_attribute("aria-rowindex", "5001")
    width = table.locator("thead th").first.bounding_box()
    table.locator(".scroll").evaluate("e => { e.scrollTop = 0 }")
    expect(table.get_by_text(odd.LONG)).to_be_visible()
    assert table.locator("thead th").first.bounding_box() == width


@pytest.mark.parametrize("width", [400, 1440])
def test_the_worst_of_data_draws_without_a_fault_and_within_its_width(page: Page, mock: Mock, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 1000})
    mock.sign_in(page)
    page.wait_for_selector(DRAWN[0], state="attached")
    odd.show(page, odd.all_of_them())
    page.wait_for_selector("[data-tile=narrow] .figure[data-drawn]", state="attached")
    expect(page.locator("[data-tile='all null'] .hollow")).to_have_text("No values in this window")
    expect(page.locator("[data-tile='empty bars']")).to_contain_text("No rows in this window")
    limited = page.locator("[data-tile=limited] .forecast").first
    expect(limited).to_have_text(str(odd.LIMIT["text"]))
    expect(limited).to_have_attribute("data-near", "")
    expect(limited).to_have_attribute("data-tip", re.compile(r"At this pace 6 Jan 16:20\nEarliest 6 Jan 16:08\n"))
    page.locator("[data-tile='of histograms'] .value").hover()
    expect(page.locator(".tip")).to_contain_text("within 9.50 ms: half its histograms' bucket")
    expect(page.locator("[data-tile='without any']")).to_contain_text("–no histogram in this window")
    newer, older = page.locator("[data-tile=rows] tbody tr").all()
    expect(newer).to_have_text(re.compile(r"^\d\d:\d\d:\d\d0\.3001002003$"))
    expect(older).to_have_text(re.compile(r"^\d+ \w+, \d\d:\d\d:\d\d27$"))
    page.locator("[data-tile=groups] .figure").scroll_into_view_if_needed()
    page.mouse.move(*place(page, "[data-tile=groups] .figure", 0.6))
    expect(page.locator(".tip")).to_contain_text(odd.LONG)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert mock.errors == []


# a real server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Half an hour of two agents, slow and quick."""
    server = Running(tmp_path_factory.mktemp("interaction") / "data").start()
    agents = (("planner", 2000.0), ("coder", 300.0))
    server.post(
        [
            flow(f"{agent} {i}", ago_s=20.0 * i + 5, agent=agent, duration_ms=ms + i, event_id=f"{agent}{i}")
            for i in range(90)
            for agent, ms in agents
        ]
    )
    yield server
    server.stop()


def test_zoom_and_filters_ask_the_real_server(server: Running, visitor: Visitor) -> None:
    page = visitor.page
    page.goto(server.link)
    for chart in DRAWN:
        page.wait_for_selector(chart)
    drag(page, FIGURE, 0.75, 0.9)
    page.mouse.up()
    page.wait_for_url(re.compile("window="))
    expect(page.locator("main")).not_to_have_attribute("aria-busy", "true")
    page.wait_for_function(f"{drawer('duration', 'head.end')} - {drawer('duration', 'head.start')} < 1200000")
    page.keyboard.press("Escape")
    expect(page).to_have_url(re.compile("/overview$"))
    expect(page.locator("[data-tile=latest]")).to_contain_text("coder")
    page.locator(CELLS).focus()
    page.keyboard.press("End")
    expect(page.locator(".tip")).to_contain_text("Filter duration_bin")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("duration_bin="))
    expect(page.locator("[data-tile=latest]")).not_to_contain_text("coder")
    expect(page.locator("[data-tile=latest]")).to_contain_text("planner")
    page.reload()
    page.wait_for_selector(DRAWN[0])
    expect(page.locator("[data-tile=latest]")).not_to_contain_text("coder")
    assert visitor.errors == []
