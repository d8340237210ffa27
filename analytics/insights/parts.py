"""What a change is made of: volume, mix and rate of each part, which sum to the change exactly.

A part's change is split at the middle of both periods (E. M. Kitagawa 1955, JASA 50; the order of the periods does not
matter, as in A. Oaxaca's and A. Blinder's form of 1973 it does):

    sum    volume = (n1 - n0) (r0 + r1) / 2, rate = (r1 - r0) (n0 + n1) / 2, with r = x / n per row
    ratio  mix = (w1 - w0) ((r0 + r1) / 2 - R), rate = (r1 - r0) (w0 + w1) / 2, with w = y / Y the part's weight,
           r = x / y, and R the mean of the whole's two ratios

A quantile is split through the share of rows beyond the baseline's value, scaled so that the parts sum to the change
of the quantile itself: the first step of a recentred influence function (S. Firpo, N. Fortin, T. Lemieux 2009,
Econometrica 77), taken exactly.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from analytics.insights.contrast import BEFORE, NOW, Floats, Form, N, X, Y


class Part(NamedTuple):
    """What one set of rows adds to the change: change = volume + mix + rate, in the metric's unit."""

    change: float
    volume: float
    mix: float
    rate: float
    n: int
    n_baseline: int
    current: float | None = None  # the metric's own value of these rows
    baseline: float | None = None


def split(form: Form, sums: Floats, change: float | None = None) -> list[Part]:
    """The parts of a partition. sums: periods (0 current, 1 baseline) x (n, x, y, ...) x parts.

    change: what the parts must sum to, where that is not the change of the sums themselves (a quantile).
    """
    if form == "sum":
        volume, mix, rate = _of_sum(sums)
        value = sums[:, X]
    else:
        volume, mix, rate = _of_ratio(sums)
        value = np.divide(sums[:, X], sums[:, Y], out=np.full(sums[:, X].shape, np.nan), where=sums[:, Y] != 0)
    whole = float((volume + mix + rate).sum())
    scale = 1.0 if change is None or not whole else change / whole
    return [
        Part(
            change=float(scale * (volume[k] + mix[k] + rate[k])),
            volume=float(scale * volume[k]),
            mix=float(scale * mix[k]),
            rate=float(scale * rate[k]),
            n=int(sums[NOW, N, k]),
            n_baseline=int(sums[BEFORE, N, k]),
            current=_known(value[NOW, k]),
            baseline=_known(value[BEFORE, k]),
        )
        for k in range(sums.shape[2])
    ]


def total(parts: list[Part]) -> Part:
    """Several parts as one; their own values are not known of it."""
    return Part(*(sum(column) for column in list(zip(*(part[:6] for part in parts), strict=True))))


def _of_sum(sums: Floats) -> tuple[Floats, Floats, Floats]:
    n, x = sums[:, N], sums[:, X]
    r = _per(x, n)
    volume = (n[NOW] - n[BEFORE]) * (r[NOW] + r[BEFORE]) / 2
    return volume, np.zeros_like(volume), x[NOW] - x[BEFORE] - volume


def _of_ratio(sums: Floats) -> tuple[Floats, Floats, Floats]:
    x, y = sums[:, X], sums[:, Y]
    weights = y.sum(axis=1, keepdims=True)
    weights = np.where(weights == 0, 1.0, weights)
    middle = float((x.sum(axis=1, keepdims=True) / weights).mean())
    w, r = y / weights, _per(x, y)
    z = x / weights - middle * w
    mix = np.where(y.any(axis=0), (w[NOW] - w[BEFORE]) * ((r[NOW] + r[BEFORE]) / 2 - middle), 0.0)
    return np.zeros_like(mix), mix, z[NOW] - z[BEFORE] - mix


def _per(x: Floats, n: Floats) -> Floats:
    """x / n per period; where one period has none, that of the other, so that nothing counts as a change of rate."""
    r = np.divide(x, n, out=np.full(x.shape, np.nan), where=n != 0)
    r = np.where(np.isnan(r), r[::-1], r)
    known: Floats = np.nan_to_num(r)
    return known


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
