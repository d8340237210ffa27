"""Confidence is computed from claims that can be tested, and the headline is their minimum.

sample        the true value lies within (1 - c) of the shown one, 95 times in 100: relative to the
              value for counts, sums and means, in points for a ratio, and for a quantile relative
              to the share of rows beyond it.
freshness     1 while every stream is younger than 99 % of its own past gaps, then usual / age.
completeness  arrived / (arrived + refused + expected from streams that fell silent).
"""

from __future__ import annotations

import math

import msgspec

from analytics.query import Total
from analytics.sources import Trust
from analytics.workspace import Metric


class Confidence(msgspec.Struct, frozen=True):
    """Components 0..1 or None when unknown; `headline` is the least of the known ones."""

    sample: float | None
    freshness: float | None
    completeness: float | None

    @property
    def headline(self) -> float:
        return min((p for p in (self.sample, self.freshness, self.completeness) if p is not None), default=0.0)

    def parts(self) -> dict[str, float | None]:
        """The components, rounded for the wire."""
        return {
            name: None if (p := getattr(self, name)) is None else round(p, 4)
            for name in ("sample", "freshness", "completeness")
        }


NOTHING = Confidence(0.0, None, None)


def sample(metric: Metric, value: float | None, half_width: float | None, n: int) -> float | None:
    """How far the sample alone supports the value; 0 with no rows, None where sampling has no meaning."""
    if value is None or n == 0:
        return 0.0
    if half_width is None or not math.isfinite(half_width):
        return None
    if metric.aggregate == "ratio":
        return clip(1 - half_width)
    if metric.aggregate == "quantile":
        q = metric.q or 0.5
        return clip(1 - half_width / min(q, 1 - q))
    return clip(1 - half_width / abs(value)) if value else 0.0


def of(metric: Metric, total: Total, trust: Trust, *, live: bool = True) -> Confidence:
    """Confidence in one metric's total. A window that ended long ago has no freshness to lose."""
    base = sample(metric, total.value, total.half_width, total.n)
    if total.value == 0 and total.n == 0:
        base = None  # a true zero: the streams were there, the events were not
    if not live:
        return Confidence(base, None, None)
    return Confidence(base, trust.freshness, trust.completeness)


def clip(x: float) -> float:
    """Into 0..1."""
    return max(0.0, min(1.0, x))
