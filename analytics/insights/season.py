"""Which season a series has, found in its own past."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CALENDAR_MS = (3_600_000, 86_400_000, 604_800_000)  # an hour, a day, a week: believed sooner than any other length
LIKE = 0.2  # correlation with itself one season ago, at least
LIKE_OTHERS = 0.6
RISES = 0.15  # and so much above the lowest before it: slow wandering has no such valley
SHORTEST = 4


def autocorrelation(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Correlation of a series with itself at each lag up to half its length; nan are gaps. By Fourier transform."""
    known = ~np.isnan(values)
    if known.sum() < 2 * SHORTEST:
        return np.zeros(1)
    low, high = np.quantile(values[known], (0.02, 0.98))
    clipped = np.clip(values, low, high)
    times = np.arange(len(values))
    slope, level = np.polyfit(times[known], clipped[known], 1)
    flat = np.where(known, clipped - level - slope * times, 0.0)
    size = 1 << (2 * len(values) - 1).bit_length()
    half = len(values) // 2 + 1

    def matched(x: NDArray[np.float64]) -> NDArray[np.float64]:
        seen = np.fft.rfft(x, size)
        return np.fft.irfft(seen * np.conj(seen), size)[:half]

    pairs = np.maximum(matched(known.astype(np.float64)), 1.0)
    found = matched(flat) / pairs
    return found / found[0] if found[0] > 1e-18 * max(1.0, level * level) else np.zeros(1)


def detect(values: NDArray[np.float64], bucket_ms: float) -> int | None:
    """The season in buckets, or None.

    Two whole ones must have been seen, the second like the first; three of a length that no calendar has.
    """
    like = autocorrelation(values)
    lags = np.arange(len(like))
    calendar = np.isin(lags, [round(span / bucket_ms) for span in CALENDAR_MS] if bucket_ms > 0 else [])
    near = np.lib.stride_tricks.sliding_window_view(np.pad(like, 2, constant_values=-1.0), 5).max(axis=1)
    peak = np.where(calendar, like >= near - 0.05, (like >= near) & (3 * lags <= len(values)))
    rises = like - np.minimum.accumulate(like) >= RISES
    found = np.flatnonzero(peak & rises & (like >= np.where(calendar, LIKE, LIKE_OTHERS)) & (lags >= SHORTEST))
    best: int | None = None
    worth = like + 0.2 * calendar
    for lag in found.tolist():
        if best is None or worth[lag] > worth[best] + 0.05:  # the shortest of equals: the others are its multiples
            best = lag
    return best
