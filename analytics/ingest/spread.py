"""Distributions of histogram points: read, subtracted and added.

A spread is what `distribution`, `count` and `value` of a row say. Explicit histograms hold their buckets by the
index of their upper bound, exponential ones by the exponent index of OTLP: bucket i is (base^i, base^(i+1)] with
base = 2^(2^-scale).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

import msgspec

from analytics.ingest.values import as_json

SPAN_MAX = 5_000  # buckets that one side may span when it is written again

Buckets = dict[int, int]


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """`count` observations, their sum where the sender said it, and how many fell where; `positive` holds all buckets
    of an explicit histogram. A spread whose buckets are unknown has `known` false."""

    count: int
    sum: float | None = None
    known: bool = True
    bounds: tuple[float, ...] = ()
    positive: Buckets = {}
    negative: Buckets = {}
    scale: int | None = None  # None: explicit
    zero: int = 0
    threshold: float = 0.0
    low: float | None = None
    high: float | None = None

    def minus(self, last: Spread) -> Spread | None:
        """What came since `last`; None where that cannot be its past, for it began anew. Its min and max are those of
        the whole time, between which it lies as well."""
        if self.count < last.count:
            return None
        total = None if self.sum is None or last.sum is None else self.sum - last.sum
        found = _together(self, last)
        if found is None:
            return Spread(count=self.count - last.count, sum=total, known=False)
        new, old = found
        positive, negative = _less(new.positive, old.positive), _less(new.negative, old.negative)
        zero = new.zero - old.zero
        if min(zero, *positive.values(), *negative.values(), 0) < 0:
            return None
        return msgspec.structs.replace(
            new, count=self.count - last.count, sum=total, positive=positive, negative=negative, zero=zero
        )

    def plus(self, other: Spread) -> Spread:
        """Both together; where their buckets do not fit each other, only how many and how much."""
        count = self.count + other.count
        total = None if self.sum is None or other.sum is None else self.sum + other.sum
        found = _together(self, other)
        if found is None:
            return Spread(count=count, sum=total, known=False)
        one, two = found
        return msgspec.structs.replace(
            one, count=count, sum=total, zero=one.zero + two.zero,
            positive=dict(Counter(one.positive) + Counter(two.positive)),
            negative=dict(Counter(one.negative) + Counter(two.negative)),
            low=None if self.low is None or other.low is None else min(self.low, other.low),
            high=None if self.high is None or other.high is None else max(self.high, other.high),
        )  # fmt: skip

    def text(self) -> str | None:
        """The JSON of `distribution`; None where the buckets are unknown or span too many."""
        if not self.known:
            return None
        shape: dict[str, Any]
        if self.scale is None:
            size = len(self.bounds) + 1 if self.positive or self.bounds else 0
            shape = {"bounds": list(self.bounds), "counts": [self.positive.get(i, 0) for i in range(size)]}
        else:
            sides = {"positive": _dense(self.positive), "negative": _dense(self.negative)}
            if None in sides.values():
                return None
            shape = {"scale": self.scale, "zero_count": self.zero, "zero_threshold": self.threshold, **sides}
        ends = {"min": self.low, "max": self.high}
        return as_json(shape | {name: end for name, end in ends.items() if end is not None})


def read(distribution: str | None, count: int, total: float | None) -> Spread:
    """The spread of a histogram row. One that cannot be read keeps its count and sum."""
    try:
        shape: dict[str, Any] = msgspec.json.decode(distribution or "null", type=dict[str, Any])
        if "scale" not in shape:
            counts = shape["counts"]
            return Spread(
                count=count, sum=total, known=bool(counts), bounds=tuple(shape["bounds"]),
                positive=dict(enumerate(counts)), low=shape.get("min"), high=shape.get("max"),
            )  # fmt: skip
        return Spread(
            count=count, sum=total, scale=shape["scale"], zero=shape["zero_count"],
            threshold=shape["zero_threshold"], positive=_sparse(shape["positive"]),
            negative=_sparse(shape["negative"]), low=shape.get("min"), high=shape.get("max"),
        )  # fmt: skip
    except (msgspec.MsgspecError, KeyError, TypeError):
        return Spread(count=count, sum=total, known=False)


def edge(index: int, scale: int) -> float:
    """The lower bound of bucket `index` of an exponential histogram."""
    try:
        return float(2.0 ** math.ldexp(index, -scale))
    except OverflowError:
        return 0.0 if index < 0 else math.inf


def _together(one: Spread, two: Spread) -> tuple[Spread, Spread] | None:
    """Both with the same buckets: exponential ones at the coarser scale and the wider zero bucket."""
    if not (one.known and two.known) or one.bounds != two.bounds or (one.scale is None) != (two.scale is None):
        return None
    if one.scale is None or two.scale is None:
        return one, two
    scale, threshold = min(one.scale, two.scale), max(one.threshold, two.threshold)
    return _coarser(one, scale, threshold), _coarser(two, scale, threshold)


def _coarser(spread: Spread, scale: int, threshold: float) -> Spread:
    if (spread.scale, spread.threshold) == (scale, threshold):
        return spread
    assert spread.scale is not None
    zero, sides = spread.zero, []
    for side in (spread.positive, spread.negative):
        kept: Counter[int] = Counter()
        for index, n in side.items():
            if edge(index + 1, spread.scale) <= threshold:
                zero += n
            else:
                kept[index >> (spread.scale - scale)] += n
        sides.append(dict(kept))
    return msgspec.structs.replace(
        spread, scale=scale, threshold=threshold, zero=zero, positive=sides[0], negative=sides[1]
    )


def _less(new: Mapping[int, int], old: Mapping[int, int]) -> Buckets:
    return {i: new.get(i, 0) - old.get(i, 0) for i in {**new, **old}}


def _sparse(side: Mapping[str, Any]) -> Buckets:
    return {side["offset"] + at: n for at, n in enumerate(side["counts"]) if n}


def _dense(side: Buckets) -> dict[str, Any] | None:
    held = [index for index, n in side.items() if n]
    if not held:
        return {"offset": 0, "counts": []}
    first, last = min(held), max(held)
    if last - first >= SPAN_MAX:
        return None
    return {"offset": first, "counts": [side.get(i, 0) for i in range(first, last + 1)]}
