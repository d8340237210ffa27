"""Histogram points: their increments, whole again when summed."""

from __future__ import annotations

import math
import random
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.ingest.counters import Counters
from analytics.ingest.spread import Spread, read
from analytics.ingest.values import as_json
from analytics.ingest.vocabulary import Usage
from tests.small import many
from tests.unit.test_counters import Kept, Point, point, table

BOUNDS = (0.0, 5.0, 10.0, 25.0, 50.0, 100.0)


def explicit(values: list[float], bounds: Sequence[float] = BOUNDS, *, ends: bool = True) -> str:
    counts = [0] * (len(bounds) + 1)
    for value in values:
        counts[bisect_left(bounds, value)] += 1
    shape: dict[str, Any] = {"bounds": list(bounds), "counts": counts}
    return as_json(shape | ({"min": min(values), "max": max(values)} if ends and values else {}))


def bucket(value: float, scale: int) -> int:
    return math.ceil(math.log2(value) * 2**scale) - 1


def exponential(values: list[float], scale: int = 3, threshold: float = 0.0) -> str:
    """Values above the threshold by their exponent, those below it in the zero bucket."""
    sides = {
        name: Counter(bucket(abs(v), scale) for v in values if v * sign > threshold)
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


def test_a_scale_or_threshold_that_grew_coarser_is_still_subtracted() -> None:
    early, late = [1.0, 2.5, 3.0], [40.0, 0.001]
    grown = spread(early + late, exponential(early + late, 1, 0.01)).minus(spread(early, exponential(early, 4)))
    assert grown is not None and (grown.count, grown.zero, grown.scale) == (2, 1, 1)
    assert {i: n for i, n in grown.positive.items() if n} == {bucket(40.0, 1): 1}


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


@settings(max_examples=many(15), deadline=None)
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
        delta = histogram(1, [float(value) for value in part], scale=scale)
        found, alone = (read(r["distribution"], r["count"], r["value"]) for r in (row, delta))
        assert +Counter(found.positive) == +Counter(alone.positive)
        if found.low is not None and found.high is not None:
            assert found.low <= min(part) and max(part) <= found.high, "those of the whole time hold what came, too"
        assert (found.low is None) == (scale is not None)


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
