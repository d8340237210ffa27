"""Level shifts: told once, soon, at the right bucket, with both levels; and not told of what is none."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from analytics.insights.expected import Expected, Followed, follow
from tests.bench.insight_shift import CALM, Floats, fleet, patterned, times

MINUTE = 60_000
AT = 100


def judged(values: Floats) -> Followed:
    return follow(times(len(values)), values.tolist(), lower=0)


def stepped(size: float, seed: int, length: int = 100) -> Floats:
    """Noise of 5 about 100 that moves by `size` standard deviations at AT, for `length` buckets."""
    values = np.random.default_rng(seed).normal(100, 5, AT + 100)
    values[AT : AT + length] += 5 * size
    return np.asarray(values)


@pytest.mark.parametrize("size", [3, -3, 6])
@pytest.mark.parametrize("seed", [1, 2])
def test_a_step_is_one_shift_told_soon_with_both_levels(size: float, seed: int) -> None:
    found = judged(stepped(size, seed))
    (mark,) = found.marks
    assert mark.kind == ("shift_up" if size > 0 else "shift_down")
    assert abs(mark.since - AT * MINUTE) <= 2 * MINUTE and mark.t <= (AT + 8) * MINUTE
    assert mark.usual == pytest.approx(100, abs=3) and mark.level == pytest.approx(100 + 5 * size, abs=5)
    assert mark.until is not None and mark.until <= (AT + 40) * MINUTE


def test_the_range_steps_to_the_new_level_and_keeps_its_width() -> None:
    found = judged(stepped(4, 1))
    width = found.high - found.low
    after = slice(AT + 8, AT + 20)
    assert float(np.mean(found.expected[after])) == pytest.approx(120, abs=4)
    assert width[after].max() < 1.5 * float(np.median(width[60:AT]))


def test_a_shift_that_goes_back_while_it_is_open_is_one_incident() -> None:
    (mark,) = judged(stepped(5, 1, length=9)).marks
    assert mark.kind == "spike" and mark.until is not None and abs(mark.until - (AT + 9) * MINUTE) <= 2 * MINUTE


def test_one_by_one_tells_the_same_shifts() -> None:
    values = np.concatenate([stepped(3, 4), stepped(-4, 5), stepped(8, 6, 8)])
    one = Expected(lower=0)
    bounds = [one.update(t, v)[1:3] for t, v in zip(times(len(values)), values.tolist(), strict=True)]
    whole = judged(values)
    assert one.marks == whole.marks and sum(m.usual is not None for m in whole.marks) >= 3
    told = np.array(bounds, dtype=np.float64)
    assert np.array_equal(told[:, 0], whole.low, equal_nan=True) and np.array_equal(
        told[:, 1], whole.high, equal_nan=True
    )


def test_what_is_no_shift_is_told_as_one_less_than_once_in_2000_buckets() -> None:
    made = [make(np.random.default_rng(500), 1500) for make in CALM.values()]
    told = [m for values in made for m in judged(values).marks if m.usual is not None]
    assert len(told) <= sum(map(len, made)) / 2000


@cache
def world(seed: int) -> tuple[Floats, float]:
    return fleet(seed)


@pytest.mark.parametrize("seed", [201, 202, 203])
def test_the_slow_tool_of_the_fleet_is_marked(seed: int) -> None:
    values, at = world(seed)
    near = [m for m in judged(values).marks if at - 4 <= m.since / MINUTE <= at + 20]
    assert [m.kind for m in near] == ["shift_up"]
    assert abs(near[0].since / MINUTE - at) <= 3 and near[0].t / MINUTE <= at + 9


def test_related_noise_has_the_scatter_it_claims() -> None:
    values = patterned(np.random.default_rng(1), 4000, 0.9)
    assert float(np.std(values)) == pytest.approx(5, rel=0.2)
