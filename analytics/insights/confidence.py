"""Confidence is computed from claims that can be tested, and the headline is their minimum.

sample        the true value lies within (1 - c) of the shown one, 95 times in 100: relative to the
              value for counts, sums and means, in points for a ratio, and for a quantile relative
              to the share of rows beyond it, or where it is of histograms to its value. What is known to be
              missing from a count or a sum is part of its true value, so it widens the interval.
freshness     1 while every stream is younger than 99 % of its own gaps, then usual / age.
completeness  arrived / (arrived + refused + expected from streams that fell silent).
model         how often the intervals that an answer rests on (forecasts, expected ranges) held what came,
              against how often they said: measured / stated, at most 1; None where no model speaks.
"""

from __future__ import annotations

import math

import msgspec

from analytics.query import Total
from analytics.sources import Trust
from analytics.workspace import Metric

ADDITIVE = ("count", "sum")


class Confidence(msgspec.Struct, frozen=True):
    """Components 0..1 or None when unknown; `headline` is the least of the known ones."""

    sample: float | None
    freshness: float | None
    completeness: float | None
    model: float | None = None

    @property
    def headline(self) -> float:
        return min((part for part in msgspec.structs.astuple(self) if part is not None), default=0.0)

    def parts(self) -> dict[str, float | None]:
        """The components, rounded for the wire."""
        return {name: None if part is None else round(part, 4) for name, part in msgspec.structs.asdict(self).items()}


NOTHING = Confidence(0.0, None, None)


def sample(
    metric: Metric, value: float | None, half_width: float | None, n: int, *, arrived: float = 1.0, binned: bool = False
) -> float | None:
    """How far the rows support the value; 0 with no rows, None where sampling has no meaning. `arrived` is the share
    of the rows that are there; `binned` says that a quantile is of histograms."""
    if value is None or n == 0:
        return 0.0
    if half_width is None or math.isnan(half_width):
        return None
    if metric.aggregate == "ratio":
        return clip(1 - half_width)
    if metric.aggregate == "quantile" and not binned:
        q = metric.q or 0.5
        return clip(1 - half_width / min(q, 1 - q))
    if not value or not arrived:
        return 0.0
    spread = half_width / abs(value)
    return clip(1 - ((1 + spread) / arrived - 1 if metric.aggregate in ADDITIVE else spread))


def of(metric: Metric, total: Total, trust: Trust, *, live: bool = True) -> Confidence:
    """Confidence in one metric's total. A window that ended long ago has no freshness to lose."""
    arrived = 1.0 if not live or trust.completeness is None else trust.completeness
    binned = total.within is not None
    base = sample(metric, total.value, total.half_width, total.n, arrived=arrived, binned=binned)
    if total.value == 0 and total.n == 0:
        base = None  # a true zero: the streams were there, the events were not
    if not live:
        return Confidence(base, None, None)
    return Confidence(base, trust.freshness, trust.completeness)


def model(coverage: float | None, level: float = 0.95) -> float | None:
    """How far intervals keep their word: the share of what came that they held, against the share they claimed.
    Wider than claimed is no reason for doubt; None where nothing was measured yet."""
    return None if coverage is None else clip(coverage / level)


def clip(x: float) -> float:
    """Into 0..1."""
    return max(0.0, min(1.0, x))
