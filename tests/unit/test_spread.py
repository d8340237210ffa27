"""Histogram points: their increments, whole again when summed, and quantiles whose stated bounds hold."""

from __future__ import annotations

import math
import random
from bisect import bisect_left
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.ingest.counters import Counters
from analytics.ingest.spread import Spread, quantile, read
from analytics.ingest.values import as_json
from analytics.ingest.vocabulary import Usage
from tests.unit.test_counters import Kept, Point, point, table

BOUNDS = [0.0, 5.0, 10.0, 25.0, 50.0, 100.0]
observations = st.lists(st.floats(0.01, 400), min_size=1, max_size=60)


def explicit(values: list[float], *, ends: bool = True) -> str:
    counts = [0] * (len(BOUNDS) + 1)
    for value in values:
        counts[bisect_left(BOUNDS, value)] += 1
    shape: dict[str, Any] = {"bounds": BOUNDS, "counts": counts}
    return as_json(shape | ({"min": min(values), "max": max(values)} if ends and values else {}))


def exponential(values: list[float], scale: int = 3, threshold: float = 0.0) -> str:
    """Values above the threshold by their exponent, those below it in the zero bucket."""
    sides = {
        name: Counter(math.ceil(math.log2(abs(v)) * 2**scale) - 1 for v in values if v * sign > threshold)
        for name, sign in (("positive", 1), ("negative", -1))
    }
    shape: dict[str, Any] = {"scale": scale, "zero_threshold": threshold}
    shape["zero_count"] = len(values) - sum(sum(side.values()) for side in sides.values())
    for name, side in sides.items():
        first, last = min(side, default=0), max(side, default=-1)
        shape[name] = {"offset": first, "counts": [side[i] for i in range(first, last + 1)]}
    return as_json(shape)


def spread(values: list[float], shape: str) -> Spread:
    return read(shape, len(values), sum(values))


def histogram(time: float, values: list[float], start: float = 0, scale: int | None = None, **more: Any) -> Point:
    shape = explicit(values) if scale is None else exponential(values, scale)
    kind = "histogram" if scale is None else "exponential_histogram"
    said = {"point": kind, "monotonic": None, "count": len(values), "distribution": shape}
    return point(time, more.pop("value", sum(values)), start, **said | more)


def true_quantile(values: list[float], q: float) -> float:
    return sorted(values)[max(1, math.ceil(q * len(values))) - 1]


@settings(deadline=None)
@given(values=observations, q=st.floats(0, 1), scale=st.integers(-1, 8))
def test_the_true_quantile_is_within_the_stated_bounds(values: list[float], q: float, scale: int) -> None:
    true = true_quantile(values, q)
    for shape in (explicit(values), exponential(values, scale), exponential([-v for v in values], scale)):
        found = quantile(spread(values, shape), q)
        wanted = true if '"negative":{"offset":0,"counts":[]}' in shape or "bounds" in shape else None
        assert found is not None and found.low <= found.value <= found.high
        assert abs(found.value - found.low) <= found.error + 1e-12 >= abs(found.high - found.value)
        if wanted is not None:
            assert found.low * (1 - 1e-12) <= wanted <= found.high * (1 + 1e-12)


@given(values=observations, q=st.floats(0, 1))
def test_an_exponential_quantile_is_off_by_a_stated_share_at_most(values: list[float], q: float) -> None:
    scale = 5
    base = 2**2**-scale
    found = quantile(spread(values, exponential(values, scale)), q)
    true = true_quantile(values, q)
    assert found is not None and abs(found.value - true) <= true * (base - 1) / (base + 1) * (1 + 1e-9)


def test_an_explicit_quantile_lies_in_its_bucket_in_proportion() -> None:
    found = quantile(spread([1] * 4, as_json({"bounds": [10, 20], "counts": [0, 4, 0]})), 0.5)
    assert found is not None and (found.value, found.low, found.high, found.error) == (15, 10, 20, 5)


@pytest.mark.parametrize(
    ("shape", "count"),
    [
        ('{"bounds":[],"counts":[]}', 3),
        ('{"bounds":[10],"counts":[0,3]}', 3),  # above the last bound, and no max told
        ('{"bounds":[10],"counts":[0,0]}', 0),
        ('{"quantiles":[]}', 3),
        ("not JSON", 3),
        (None, 3),
    ],
)
def test_no_quantile_where_none_can_be_stated(shape: str | None, count: int) -> None:
    assert quantile(read(shape, count, 1.0), 0.9) is None


def test_min_and_max_close_the_open_buckets() -> None:
    found = quantile(spread([200.0, 300.0], explicit([200.0, 300.0])), 1.0)
    assert found is not None and (found.low, found.high) == (200, 300)


def test_a_scale_or_threshold_that_grew_coarser_is_still_subtracted() -> None:
    early, late = [1.0, 2.5, 3.0], [40.0, 0.001]
    grown = spread(early + late, exponential(early + late, 1, 0.01)).minus(spread(early, exponential(early, 4)))
    assert grown is not None and (grown.count, grown.zero, grown.scale) == (2, 1, 1)
    (low, high, count) = [*grown.ranges()][-1]
    assert low < 40 <= high and count == 1


def test_buckets_that_do_not_fit_leave_count_and_sum() -> None:
    other = read('{"bounds":[1],"counts":[1,0]}', 1, 0.5)
    grown = spread([6.0, 7.0], explicit([6.0, 7.0])).minus(other)
    assert grown is not None and (grown.count, grown.sum, grown.text()) == (1, 12.5, None)
    assert other.plus(spread([6.0], explicit([6.0]))).text() is None


def test_a_hostile_spread_is_never_written_out() -> None:
    far = read('{"scale":0,"zero_count":0,"zero_threshold":0,"positive":{"offset":-2000000000,"counts":[1]},'
               '"negative":{"offset":0,"counts":[]}}', 1, 1.0)  # fmt: skip
    near = read(exponential([1.0]), 1, 1.0)
    assert far.plus(near).text() is None
    assert quantile(far, 0.5) is not None


@settings(max_examples=30, deadline=None)
@given(
    parts=st.lists(st.lists(st.integers(1, 300), max_size=8), min_size=1, max_size=6),
    scale=st.sampled_from([None, 3]),
    seed=st.integers(0, 2**32),
)
async def test_increments_of_cumulative_histograms_are_the_delta_ones(
    parts: list[list[int]], scale: int | None, seed: int
) -> None:
    chance = random.Random(seed)
    kept, so_far = Kept(), list[float]()
    for number, part in enumerate(parts):
        so_far += part
        sent = histogram(number + 1, so_far, scale=scale)
        kept.take([sent], refused=chance.random() < 0.3)
        kept.take([sent])
        kept.take([sent])
        if chance.random() < 0.3:
            await kept.restart()
    told = [row for row in kept.rows.values() if row["kind"] == "usage"]
    grown = [part for part in parts if part]
    assert [(row["count"], row["value"]) for row in told] == [(len(part), sum(part)) for part in grown]
    assert [row["distribution"] is not None for row in told] == [True] * len(told)
    for row, part in zip(told, grown, strict=True):
        found = quantile(read(row["distribution"], row["count"], row["value"]), 0.5)
        true = true_quantile([float(v) for v in part], 0.5)
        assert found is not None or (scale is None and true > 100), "no max is known of an increment"
        assert found is None or found.low * (1 - 1e-12) <= true <= found.high * (1 + 1e-12)


def test_a_histogram_that_began_anew_counts_whole_and_a_late_one_not_at_all() -> None:
    kept = Kept()
    for sent in ([1.0, 6.0, 6.0], [6.0, 30.0], [30.0, 6.0, 7.0]):
        kept.take([histogram(len(kept.rows) + 1, sent)])
    kept.take([histogram(1.5, [1.0])])
    assert kept.increments == [13.0, 36.0, 7.0]


def test_delta_histograms_and_those_without_a_sum_count_too() -> None:
    counting = Counters(lambda name, source: Usage(columns={"": "tokens_input"}))
    sent = [
        histogram(1, [1.0, 6.0], temporality="delta"),
        histogram(1, [3.0], value=None, series="t"),
        histogram(2, [], temporality="delta"),
    ]
    found = counting.increments(table(sent)).to_pylist()
    assert [(row["value"], row["count"], row["tokens_input"]) for row in found] == [(7.0, 2, 7), (None, 1, None)]
