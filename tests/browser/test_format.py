"""The screen's numbers, in the browser that shows them, against the cases the server's are held to."""

from __future__ import annotations

import json
from pathlib import Path

from playwright.sync_api import Page

from tests.browser.conftest import Mock

CASES = json.loads((Path(__file__).parents[1] / "unit/format_cases.json").read_text("utf-8"))

CHECK = """(cases) => {
  const { value, change, age, exact } = Plumbline.format
  const told = (got, want, c) => JSON.stringify(got) === JSON.stringify(want) ? [] : [[c, got]]
  return [
    ...cases.values.flatMap((c) => told(value(c.value, c.unit, c.per), [c.text, c.suffix], c)),
    ...cases.changes.flatMap((c) => told(change(c.value, c.kind), c.text, c)),
    ...cases.ages.flatMap((c) => told(age(c.value), c.text, c)),
    ...cases.exacts.flatMap((c) => told(exact(c.value, c.unit, c.per), c.text, c)),
  ]
}"""


def test_numbers_read_alike_on_screen_and_in_text(page: Page, mock: Mock) -> None:
    mock.sign_in(page)
    assert page.evaluate(CHECK, CASES) == []


def test_axis_labels_have_no_more_decimals_than_their_step(page: Page, mock: Mock) -> None:
    mock.sign_in(page)
    axis = "([ticks, step, unit]) => Plumbline.format.axis(ticks, step, unit)"
    assert page.evaluate(axis, [[0, 1000, 2000], 1000, "ms"]) == ["0 s", "1 s", "2 s"]
    assert page.evaluate(axis, [[0, 0.25, 0.5], 0.25, "percent"]) == ["0%", "25%", "50%"]
    assert page.evaluate(axis, [[0, 20_000], 20_000, "flows"]) == ["0", "20k"]
    assert page.evaluate(axis, [[0, 2e6], 2e6, "bytes_per_s"]) == ["0 MB/s", "2 MB/s"]
    assert page.evaluate(axis, [[0, 120_000], 120_000, "ms"]) == ["0", "2 m"]
