"""Which season a series has, found in its own past."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

CALENDAR_MS = (3_600_000, 86_400_000, 604_800_000)  # an hour, a day, a week: believed sooner than any other length
LIKE = 0.2  # correlation with itself one season ago, at least
LIKE_OTHERS = 0.6
RISES = 0.15  # and so much above the lowest before it: slow wandering has no such valley
SHORTEST = 4


def autocorrelation(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Correlation of a series with itself at each lag up to half its length; nan are gaps. By Fourier transform."""
    n, half = len(values), len(values) // 2 + 1
    known = ~np.isnan(values)
    seen = values[known]
    if len(seen) < 2 * SHORTEST:
        return np.zeros(1)
    times = np.flatnonzero(known)
    low, high = _quantiles(seen, 0.02, 0.98)
    clipped = seen.clip(low, high)
    middle, level = times.mean(), clipped.mean()
    away = times - middle
    slope = away @ (clipped - level) / (away @ away)
    flat = np.zeros(n)
    flat[known] = clipped - level - slope * away
    size = 1 << (n + half - 1).bit_length()

    def matched(x: NDArray[np.float64]) -> NDArray[np.float64]:
        waves = np.fft.rfft(x, size)
        return np.fft.irfft(waves.real**2 + waves.imag**2, size)[:half]

    pairs = n - np.arange(half) if len(seen) == n else np.maximum(matched(known.astype(np.float64)), 1.0)
    found = matched(flat) / pairs
    start = level - slope * middle
    return found / found[0] if found[0] > 1e-18 * max(1.0, start * start) else np.zeros(1)


def _quantiles(values: NDArray[np.float64], *shares: float) -> list[float]:
    """The values that so many shares of all lie below, between two neighbours by their distance."""
    ranked = np.sort(values)
    places = [share * (len(values) - 1) for share in shares]
    return [float(ranked[int(at)] + at % 1 * (ranked[math.ceil(at)] - ranked[int(at)])) for at in places]


def detect(values: NDArray[np.float64], bucket_ms: float) -> int | None:
    """The season in buckets, or None.

    Two whole ones must have been seen, the second like the first; three of a length that no calendar has.
    """
    like = autocorrelation(values)
    n = len(like)
    calendar = np.zeros(n, dtype=bool)
    calendar[[lag for span in CALENDAR_MS if bucket_ms > 0 and (lag := round(span / bucket_ms)) < n]] = True
    padded = np.full(n + 4, -1.0)
    padded[2:-2] = like
    near = np.maximum.reduce([padded[i : n + i] for i in range(5)])
    peak = np.where(calendar, like >= near - 0.05, like >= near)
    peak[len(values) // 3 + 1 :] &= calendar[len(values) // 3 + 1 :]
    rises = like - np.minimum.accumulate(like) >= RISES
    found = np.flatnonzero(peak & rises & (like >= np.where(calendar, LIKE, LIKE_OTHERS)))
    best: int | None = None
    worth = like + 0.2 * calendar
    for lag in found[found >= SHORTEST].tolist():
        if best is None or worth[lag] > worth[best] + 0.05:  # the shortest of equals: the others are its multiples
            best = lag
    return best
