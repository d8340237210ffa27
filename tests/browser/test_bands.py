"""What is expected, seen: the band, its entry in the legend, what left it, and the way to ask why."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser import oddities as odd
from tests.browser.conftest import Mock
from tests.browser.test_interaction import drawer, spoken
from tests.browser.walls import Hall, plays, still

TILE = "[data-tile=duration]"
DRAWN = f"{TILE} .figure[data-drawn]"
HEARD = "document.addEventListener('plumbline:why', (event) => { window.asked = event.detail }, true)"
SHOWN = drawer("duration", "find('band').data.t.length")
SHIFT = re.compile(r"\d\d:\d\d level shift \+84%")


@pytest.fixture
def board(page: Page, mock: Mock) -> Page:
    """The overview, whose p95 duration left its range a quarter of an hour ago."""
    mock.sign_in(page)
    page.wait_for_selector(DRAWN)
    page.evaluate(HEARD)
    return page


def data(page: Page, source: str, column: str, tile: str = "duration") -> list[Any]:
    found: list[Any] = page.evaluate(drawer(tile, f"find('{source}').data.{column}"))
    return found


def entry(page: Page) -> Locator:
    return page.locator(f"{TILE} .legend button.ranged")


def at_the_shift(page: Page) -> None:
    """Walk with the keys to where the level shifted."""
    page.locator(f"{TILE} .figure").focus()
    since = page.evaluate(drawer("duration", "head.marks[0].t"))
    page.keyboard.press("End")
    for _ in range(60):
        if page.evaluate(drawer("duration", "spot")) == since:
            return
        page.keyboard.press("ArrowLeft")
    raise AssertionError("the keys never came to the mark")


def test_the_band_is_drawn_behind_the_line_and_can_be_taken_away(board: Page) -> None:
    expect(entry(board)).to_have_text("expected 95%")
    assert len(data(board, "band", "t")) > 60
    assert all(low < high for low, high in zip(data(board, "band", "lo"), data(board, "band", "hi"), strict=True))
    entry(board).click()
    expect(entry(board)).to_have_attribute("aria-pressed", "false")
    board.wait_for_function(f"{SHOWN} === 0")
    entry(board).press("Enter")
    board.wait_for_function(f"{SHOWN} > 60")


def test_a_range_that_is_still_learning_says_how_far_it_is(page: Page, mock: Mock) -> None:
    mock.sign_in(page, "/overview?window=now-15m")
    page.wait_for_selector(DRAWN)
    expect(entry(page)).to_have_text("learning, 34 of 60")
    assert data(page, "band", "t") == []


def test_points_outside_are_circled_and_a_shift_has_its_line_and_words(board: Page) -> None:
    assert any(SHIFT.fullmatch(text) for text in data(board, "notes", "text"))
    sizes = data(board, "points", "size")
    assert 2 <= len([size for size in sizes if size == 8]) <= 8
    palette = board.evaluate(drawer("duration", "board.palette()"))
    assert palette["bad"] in data(board, "points", "line")


def test_the_label_of_a_shift_asks_why_with_its_span_and_the_one_before(board: Page) -> None:
    board.get_by_role("button", name=re.compile("level shift .* Ask why")).click()
    asked = board.wait_for_function("window.asked").json_value()
    assert (asked["metric"], asked["tile"]) == ("duration_p95", "duration")
    assert asked["baseline"]["to"] == asked["window"]["from"]
    assert asked["baseline"]["from"] < asked["window"]["from"] < asked["window"]["to"]


def test_keys_and_tips_say_what_was_expected_and_what_happened(board: Page) -> None:
    at_the_shift(board)
    told = re.compile(
        r"^p95 duration [\d,.]+ ms, expected [\d.]+ to [\d.]+ s, .*level shift \+84% since \d\d:\d\d, Enter asks why$"
    )
    expect(spoken(board)).to_have_text(told)
    expect(board.locator(".tip")).to_contain_text(re.compile(r"expected ?[\d.]+ to [\d.]+ s"))
    expect(board.locator(".tip")).to_contain_text("level shift +84% since")
    board.keyboard.press("Enter")
    assert board.wait_for_function("window.asked").json_value()["metric"] == "duration_p95"


def test_a_hidden_band_is_not_spoken_of(board: Page) -> None:
    entry(board).click()
    board.locator(f"{TILE} .figure").focus()
    board.keyboard.press("End")
    expect(spoken(board)).to_have_text(re.compile(r"^p95 duration [\d,.]+ ms, \d\d:\d\d"))


def test_the_sentence_of_a_chart_tells_its_incident(board: Page) -> None:
    chart = board.get_by_role("application", name="Flow duration")
    said = board.locator(f"#{chart.get_attribute('aria-describedby')}")
    expect(said).to_have_text(re.compile(r"expected [\d.]+ to [\d.]+ s, level shift \+84% at \d\d:\d\d and still"))


def quiet() -> odd.Odd:
    """A line with a silence in its middle and a dip that came back."""
    values: list[float | None] = [1000.0 + i % 7 for i in range(60)]
    values[20:26] = [None] * 6
    values[45] = 200.0
    made = odd.line("quiet", values, unit="ms")
    made.columns |= {"lo": [900.0] * 60, "hi": [1100.0] * 60}
    made.head["band"] = {"state": "ok", "has": 0, "needs": 0, "level": 0.95, "coverage": 0.95, "reason": None}
    at = made.columns["t"]
    made.head["marks"] = [
        mark("silence", "billing silent", at[20], at[26], "bad"),
        mark("dip", "dip 200 ms", at[45], at[46], "good", value=200.0),
    ]
    return made


def mark(kind: str, text: str, t: int, until: int | None, tone: str, value: float | None = None) -> dict[str, Any]:
    limits = {"low": 900.0, "high": 1100.0, "confidence": 0.99}
    return {"kind": kind, "text": text, "t": t, "until": until, "tone": tone, "value": value} | limits


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_silence_is_a_hatched_gap_with_words(board: Page, theme: str) -> None:
    odd.show(board, [quiet()], theme)
    board.wait_for_selector("[data-tile=quiet] .figure[data-drawn]")
    (left,), (right,) = data(board, "gaps", "left", "quiet"), data(board, "gaps", "right", "quiet")
    assert right - left == 6 * odd.MINUTE
    assert [text for text in data(board, "notes", "text", "quiet") if "billing silent" in text]
    assert "dip 200 ms" in data(board, "notes", "text", "quiet")
    board.locator("[data-tile=quiet] .figure").focus()
    board.keyboard.press("Home")
    for _ in range(22):
        board.keyboard.press("ArrowRight")
    expect(spoken(board)).to_have_text(re.compile("billing silent 12:20 to 12:26"))


def test_nobody_is_asked_where_nobody_listens(board: Page) -> None:
    odd.show(board, [quiet()])
    board.wait_for_selector("[data-tile=quiet] .figure[data-drawn]")
    expect(board.locator("[data-tile=quiet] .spots button")).to_have_count(0)


def test_a_picture_holds_the_band_and_the_words(board: Page) -> None:
    drawn = board.evaluate(
        """async (tile) => {
          const beside = document.querySelector('link[href$="/figures.js"]').href
          const { picture } = await import(beside.replace("figures.js", "picture.js"))
          return (await picture(document.querySelector(tile))).svg
        }""",
        TILE,
    )
    assert "level shift +84%" in drawn
    assert "NaN" not in drawn


def test_a_wall_says_in_a_word_which_chart_wants_to_be_looked_at(hall: Hall, wall: Page) -> None:
    wall.set_viewport_size({"width": 1920, "height": 1080})
    wall.clock.install()
    plays(hall, wall, "overview", seconds=5)
    wall.evaluate("feed.attention = { duration: 'warn' }")
    still(wall)
    chart = wall.locator(TILE)
    while not chart.is_visible():
        wall.clock.run_for(1_000)
    wall.clock.run_for(1_000)
    expect(chart).to_have_attribute("data-attention", "warn")
    expect(chart.locator("header .attention")).to_have_text("attention")
