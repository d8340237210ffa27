"""Causes of changes whose truth is known, and parts that sum to the change."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.insights import explain
from analytics.insights.causes import Cause, Explanation, said, sentence, unexplainable
from analytics.insights.contrast import Cells, Floats, Form, Ints, N, X, Y, cells_of
from analytics.insights.parts import Part, split, total
from analytics.query import Scalar
from analytics.workspace import Metric
from tests.bench.insight_explain import first_right, fitted, measured
from tests.small import workspace

PAGE = Path(__file__).parents[2] / "assets/docs/explain.md"

#            sql_query   web_search        calls and errors, now and before
ERRORS = (((500, 500), (50, 5)), ((400, 600), (8, 6)))


def sums(counts: tuple[tuple[tuple[float, ...], tuple[float, ...]], ...]) -> Floats:
    """Periods x sums x parts of shares, from (y, x) per period."""
    made = np.zeros((2, 6, len(counts[0][0])))
    for p, (y, x) in enumerate(counts):
        made[p, [N, Y]], made[p, X] = y, x
    return made


# parts


def test_the_worked_example_of_the_docs() -> None:
    sql_query, web_search = split("share", sums(ERRORS))
    assert (sql_query.baseline, sql_query.current) == (0.02, 0.10)
    assert sql_query[:4] == pytest.approx((0.03855, 0.0, 0.00255, 0.036))
    assert web_search[:4] == pytest.approx((0.00245, 0.0, 0.00245, 0.0))
    assert total([sql_query, web_search]).change == pytest.approx(0.055 - 0.014)
    text = PAGE.read_text()
    for part in (sql_query, web_search):
        row = " | ".join(f"{100 * value + 1e-9:.3f}" for value in (part.rate, part.mix, part.change))
        assert row in text, row
    assert f"**{sql_query.change / 0.041:.0%}**" in text


def test_a_sum_splits_into_volume_and_value_per_row() -> None:
    made = np.zeros((2, 6, 1))
    made[0, [N, X], 0], made[1, [N, X], 0] = (150, 4.5), (100, 2.0)  # 150 calls of $0.03, 100 of $0.02
    (part,) = split("sum", made)
    assert part[:4] == pytest.approx((2.5, 1.25, 0.0, 1.25))
    assert "$1.25 is volume and $1.25 is rate" in PAGE.read_text()


def test_what_is_new_is_volume_and_not_rate() -> None:
    made = np.zeros((2, 6, 1))
    made[0, [N, X], 0] = (10, 7.0)
    assert split("sum", made)[0][:4] == pytest.approx((7.0, 7.0, 0.0, 0.0))


def test_rows_that_have_no_denominator_count_as_rate() -> None:
    spend, flows = split("mean", sums((((0, 10), (30, 0)), ((0, 10), (20, 0)))))
    assert (spend.rate, spend.mix, flows.change) == pytest.approx((1.0, 0.0, 0.0))


numbers = st.floats(0, 1e6, allow_nan=False)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(["sum", "mean", "share"]),
    st.lists(st.tuples(*[st.integers(0, 10_000)] * 2, *[numbers] * 2), min_size=1, max_size=5),
    st.one_of(st.none(), st.floats(-1e4, 1e4, allow_nan=False)),
)
def test_parts_sum_to_the_change(form: Form, rows: list[tuple[int, int, float, float]], change: float | None) -> None:
    made = np.zeros((2, 6, len(rows)))
    for k, (n1, n0, x1, x0) in enumerate(rows):
        made[0, [N, Y], k], made[1, [N, Y], k] = n1, n0
        made[0, X, k], made[1, X, k] = x1 if n1 else 0.0, x0 if n0 else 0.0
    if form != "sum" and not made[:, Y].sum(axis=1).all():
        return  # a ratio of nothing has no change
    parts = split(form, made, change)
    x, y = made[:, X].sum(axis=1), made[:, Y].sum(axis=1)
    moved = float(x[0] - x[1] if form == "sum" else x[0] / y[0] - x[1] / y[1])
    size = max(abs(part.change) for part in split(form, made)) + max(abs(moved), 1.0)
    if change is not None and abs(moved) > 1e-6 * size:
        assert sum(part.change for part in parts) == pytest.approx(change, rel=1e-9, abs=1e-9)
    if change is None:
        assert sum(part.change for part in parts) == pytest.approx(moved, rel=1e-9, abs=1e-9 * size)
    for part in parts:
        scale = abs(part.volume) + abs(part.mix) + abs(part.rate)
        assert part.volume + part.mix + part.rate == pytest.approx(part.change, rel=1e-9, abs=1e-9 * scale)


# the search


def cells(now: Ints, before: Ints) -> Cells:
    """Counts by two dimensions, one row per cell and period."""
    places = np.indices(now.shape).reshape(2, -1)
    n = np.concatenate([now.ravel(), before.ravel()]).astype(float)
    period = np.repeat([0, 1], now.size)
    return cells_of("sum", [np.tile(place, 2) for place in places], now.shape, period, np.array([n] * 6))


def test_one_value_that_grew_is_the_cause() -> None:
    before = np.full((4, 5), 100)
    now = before.copy()
    now[2] *= 3
    (found,) = explain.causes(cells(now, before))
    assert found.where == {0: 2}
    assert found.share == pytest.approx(1.0)


def test_a_pair_that_grew_is_the_cause_and_none_of_its_parents() -> None:
    before = np.full((4, 5), 100)
    now = before.copy()
    now[2, 3] *= 5
    (found,) = explain.causes(cells(now, before))
    assert found.where == {0: 2, 1: 3}


def test_causes_hold_no_row_twice() -> None:
    before = np.full((2, 6), 200)
    now = before.copy()
    now[0] *= 2
    now[1, 3] = 0
    first, second = explain.causes(cells(now, before))
    assert (first.where, second.where) == ({0: 0}, {0: 1, 1: 3})


def test_where_all_moved_alike_there_is_no_cause() -> None:
    before = np.full((4, 5), 100)
    assert explain.causes(cells(before * 2, before)) == []
    assert explain.causes(cells(before, before)) == []


def test_most_planted_causes_are_found_exactly() -> None:
    score = measured(range(1000, 1012))["all"]
    assert score.f1 >= 0.70
    assert first_right(range(2000, 2008))[0] >= 7


def test_nothing_is_found_where_nothing_was_planted() -> None:
    score = measured(range(3000, 3006), causes=0)["all"]
    assert score.whole >= 5


def test_confidence_grows_with_the_evidence() -> None:
    weak, strong = (explain.Found({}, 10.0, z, margin, 0.5).confidence for z, margin in ((4.2, 0.5), (15.0, 50.0)))
    assert 0 < weak < strong < 1
    _, by_z, _ = fitted([(explain.Found({}, 0, z, 0, 0), z > 6) for z in np.linspace(4, 9, 40)])
    assert by_z > 1


# words


@pytest.mark.parametrize(
    ("where", "text"),
    [
        ({"tool": "web_search"}, "tool = web_search"),
        ({"agent": "planner"}, "agent = planner"),
        ({"agent": "planner", "tool": "web_search"}, "tool = web_search called by planner"),
        ({"agent": "planner", "model": "large", "domain": "support"}, "model = large called by planner in support"),
        ({"source": "edge", "agent": "planner"}, "agent = planner from edge"),
        ({"agent": "a", "name": "run", "user": "u"}, "name = run by a for u"),
        ({"city": "Rome", "gate": "B"}, "city = Rome and gate = B"),
        ({"tool": None, "agent": "a"}, "no tool called by a"),
        ({"city": "Rome", "source": None}, "city = Rome with no source"),
    ],
)
def test_a_place_is_said_as_people_say_it(where: dict[str, Scalar], text: str) -> None:
    assert said(where) == text


def test_a_cause_in_a_sentence() -> None:
    metric = Metric(name="p95", aggregate="quantile", column="duration_ms", q=0.95, unit="ms")
    part = Part(910.0, 0.0, 110.0, 800.0, 50, 40, 4820.0, 1100.0)
    cause = Cause(where={"tool": "shell", "agent": "coder"}, part=part, share=0.91, confidence=0.9)
    text = sentence(metric, Explanation(change=1000.0, causes=(cause,)), cause)
    assert text == "91% of the rise comes from tool = shell called by coder (1.10 s → 4.82 s, by rate)."


@pytest.mark.parametrize(
    ("metric", "told"),
    [
        (Metric(name="m", aggregate="distinct", column="agent"), "does not add up"),
        (Metric(name="m", aggregate="last", column="value"), "newest reading"),
        (Metric(name="m", aggregate="max", column="value"), "highest value"),
        (Metric(name="m", aggregate="ratio", numerator="last", denominator="rows"), "neither a count nor a sum"),
        (Metric(name="m", aggregate="quantile", column="value", q=0.5), None),
        (Metric(name="m", aggregate="ratio", numerator="rows", denominator="rows"), None),
    ],
)
def test_some_metrics_have_no_parts(metric: Metric, told: str | None) -> None:
    known = workspace(Metric(name="rows", aggregate="count"), Metric(name="last", aggregate="last", column="value"))
    reason = unexplainable(metric, known)
    assert (reason is None) if told is None else re.search(told, reason or "")
