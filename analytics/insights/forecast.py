"""A series continued: a value and a 95 % interval for each of the next steps.

Many simple forecasters (`smoothing`) are run from past origins of the series itself; they are weighted by the errors
they made there, and the errors that remain give the intervals: scaled by step, by the time of day and by
the size of the forecast (after A. Pawlikowski and A. Chorowska, "Weighted ensemble of
statistical models", International Journal of Forecasting 36, 2020; and of split conformal prediction). The constants
were chosen on the training parts of the M4 hourly series.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from analytics.insights.smoothing import Array, Places, panel

LEVEL = 0.95
NORMAL = 1.96  # half of a normal distribution's 95 % interval, in standard deviations
PATH = 0.85  # the steps of a path that an interval should hold
WIDER = 1.18  # what comes differs from what was more than the past from itself
WIDER_COLD = 2.0  # the same where the past is short
DRIFT = 2.0  # by how much more than the errors an interval grows from step to step: late errors go together
KEPT = 0.8  # of what the early steps would have without it
STERN = 20.0  # how much a worse forecaster loses: exp(-STERN * (error / least error - 1))
FADING = 0.03  # the weight of an origin's errors, per origin that came after it
ORIGINS = 60
FEWEST = 8  # origins from which errors say anything of intervals
LONGEST = 1500  # steps of history that are looked at


class Projection(NamedTuple):
    """What comes next. Arrays of shape (horizon,). `coverage` is the share of past values that such intervals, drawn
    then, would have held; None where too little is known. `reason` says why it is not calibrated."""

    value: Array
    low: Array
    high: Array
    calibrated: bool
    reason: str | None = None
    coverage: float | None = None


def project(
    values: Sequence[float | None] | Array,
    horizon: int,
    *,
    seasons: Sequence[int] = (),
    lower: float | None = None,
    growing: bool = False,
) -> Projection:
    """Continue a series of equal steps, oldest first; None and NaN are unknown.

    seasons: lengths in steps that the calendar suggests, such as 24 and 168 hours, shortest first.
    lower: what no value can be below. growing: `values` are increments, and their sum from now on is asked for.
    """
    series = _known(values, seasons[0] if seasons else len(values))[-LONGEST:]
    if not len(series):
        unknown = np.full(horizon, np.nan)
        return Projection(unknown, unknown, unknown, False, "there are no values yet")
    day, week, reason = _seasons(series, horizon, seasons)
    first = max(2 * day, week + 1, len(series) // 3, 2)
    origins = _origins(len(series), first, horizon, day)
    if len(origins) < 2:
        return _bounded(_plain(series, horizon, growing), lower)
    forecasts = panel(series, np.append(origins, len(series)), horizon, day, week)
    actual = np.append(series, np.full(horizon, np.nan))[origins[:, None] + np.arange(horizon)]
    if growing:
        forecasts, actual = forecasts.cumsum(1), actual.cumsum(1)
    if np.isfinite(actual[:, -1]).sum() < FEWEST:
        reason = reason or "too little history for such a horizon"
    places = np.append(origins, len(series))[:, None] + np.arange(horizon)
    hours = places % day if day > 1 and not growing else None
    made = _projected(forecasts, actual, hours, not growing, reason)
    return _bounded(_unsure(made, int(np.ptp(origins))) if growing else made, lower)


def _known(values: Sequence[float | None] | Array, season: int) -> Array:
    """From the first known value to the last. A gap holds what was there a season before and after it, or else a
    straight line."""
    series = np.array([np.nan if v is None else v for v in values], dtype=float)
    known = np.flatnonzero(np.isfinite(series))
    if not len(known):
        return series[:0]
    series = series[known[0] : known[-1] + 1]
    gaps, known = np.flatnonzero(~np.isfinite(series)), known - known[0]
    around = np.array([[gaps - season], [gaps + season]]).reshape(2, -1)
    there = np.where((around >= 0) & (around < len(series)), series[around.clip(0, len(series) - 1)], np.nan)
    count = np.isfinite(there).sum(0)
    line = np.interp(gaps, known, series[known])
    series[gaps] = np.where(count > 0, np.nan_to_num(there).sum(0) / np.maximum(count, 1), line)
    return series


def _seasons(series: Array, horizon: int, seasons: Sequence[int]) -> tuple[int, int, str | None]:
    """The season (1: none), seven of it where there are two such weeks (0: none), and why it is not calibrated."""
    expected = seasons[0] if seasons else 1
    if len(series) < 2 * expected + horizon:
        return 1, 0, "less than two seasons of history"
    day = _found(series, expected)
    week = 7 * day if day > 1 and len(series) >= 14 * day + horizon else 0
    return day, week, None


def _found(series: Array, expected: int) -> int:
    """The season that the values show, where it is far clearer than the expected one: a day that lost an hour."""
    if expected < 12:
        return expected
    size = np.abs(series - np.median(series)).mean()
    change = {m: float(np.abs(series[m:] - series[:-m]).mean()) for m in range(expected // 2, 2 * expected + 1)}
    best = min(change, key=lambda m: change[m])
    return best if change[best] < 0.8 * change[expected] and change[best] < 0.6 * size else expected


def _origins(size: int, first: int, horizon: int, day: int) -> Places:
    """Moments of the past to forecast from, newest first: whole horizons where there are enough, else what there is."""
    last = size - horizon if size - horizon - first >= FEWEST else size - 1
    room = last - first
    step = max(1, min(day // 2, room // 12)) if day > 1 else max(1, room // ORIGINS)
    return np.arange(last, first - 1, -step)[:ORIGINS]


def _projected(forecasts: Array, actual: Array, hours: Places | None, levelled: bool, reason: str | None) -> Projection:
    """Weigh the forecasters and scale their interval. forecasts: (origins and now, horizon, forecasters), actual:
    (origins, horizon), hours: the place in the season of each forecast, levelled: larger values err more."""
    there = np.isfinite(actual)
    actual = np.where(there, actual, 0.0)
    fresh = np.exp(-FADING * np.arange(len(actual)))[:, None] * there
    loss = np.einsum("oh,ohf->f", fresh, np.abs(forecasts[:-1] - actual[:, :, None])) / fresh.sum()
    loss += 1e-9 * np.abs(actual).max() + 1e-300
    weights = np.exp(-STERN * (loss / loss.min() - 1))
    weights /= weights.sum()
    middle = forecasts @ weights
    error = np.where(there, actual - middle[:-1], 0.0)
    level = np.abs(middle if levelled else np.repeat(middle[:, -1:], middle.shape[1], 1))
    unit = np.sqrt(0.1 + level / (level[:-1].mean() + 1e-300)) ** (1 if levelled else 2)
    if hours is not None:
        unit = unit * _by_hour(np.abs(error) * fresh, fresh, hours)
    growth = _growth(np.abs(error / unit[:-1]) * fresh, fresh)
    reach = _reach(error / unit[:-1], fresh, growth)
    if levelled:
        drifting = growth + DRIFT * np.maximum(growth - growth[0], 0)
        reach = np.maximum(KEPT * reach, _reach(error / unit[:-1], fresh, drifting))
    reach = (WIDER_COLD if reason and levelled else WIDER) * unit * reach
    held = float((np.abs(error) <= reach[:-1])[there].mean())
    reach = reach[-1]
    return Projection(middle[-1], middle[-1] - reach, middle[-1] + reach, reason is None, reason, held)


def _unsure(made: Projection, span: int) -> Projection:
    """Sums over many steps were seen few times without overlap: the quantile of Student's distribution for so many
    (Cornish and Fisher, "Moments and cumulants in the specification of distributions", 1938)."""
    freedom = np.maximum(1.0, span / np.arange(1, len(made.value) + 1) - 1)
    wider = 1 + 1.21 / freedom + 1.44 / freedom**2
    return made._replace(
        low=made.value - wider * (made.value - made.low), high=made.value + wider * (made.high - made.value)
    )


def _by_hour(error: Array, weight: Array, hours: Places) -> Array:
    """The size of errors at each place in the season against the mean place, damped."""
    day = int(hours.max()) + 1
    size = np.bincount(hours[:-1].ravel(), error.ravel(), day) / (
        np.bincount(hours[:-1].ravel(), weight.ravel(), day) + 1e-300
    )
    size /= size.mean() + 1e-300
    size = (np.roll(size, 1) + 2 * size + np.roll(size, -1)) / 4
    damped: Array = np.sqrt(0.05 + size)
    return damped[hours]


def _growth(error: Array, weight: Array) -> Array:
    """The size of errors by step: even, rather rising than falling, and where nothing is known the root of the step."""
    known = weight.sum(0) > 0
    size = error.sum(0)[known] / weight.sum(0)[known]
    size = _smooth(size)
    size = (size + np.maximum.accumulate(size)) / 2
    steps = np.arange(1, len(known) + 1)
    return np.append(size, size[-1] * np.sqrt(steps[len(size) :] / len(size))) + 1e-300


def _reach(error: Array, weight: Array, growth: Array) -> Array:
    """Half of an interval at each step, of such a shape by step."""
    return growth * _size(error / growth, weight)


def _size(scaled: Array, weight: Array) -> float:
    """Half of an interval: what 95 % of single steps stay within if errors are normal, or what 95 % of the past paths
    stay within for 85 % of their steps, whichever is more. Errors of one path go together; a band that forgets this
    misses few steps on average and whole paths too often."""
    steps = NORMAL * float(np.sqrt((scaled**2 * weight).sum() / weight.sum()))
    whole = weight[:, -1] > 0
    if whole.sum() < FEWEST:
        return steps
    paths = np.sort(np.abs(scaled[whole]), axis=1)[:, int(np.ceil(PATH * scaled.shape[1])) - 1]
    order = np.argsort(paths)
    share = np.cumsum(weight[whole, 0][order]) / weight[whole, 0].sum()
    return max(steps, float(paths[order][min(int(np.searchsorted(share, LEVEL)), len(paths) - 1)]))


def _smooth(row: Array) -> Array:
    """Means of nine steps."""
    return np.convolve(np.pad(row, 4, mode="edge"), np.full(9, 1 / 9), "valid")


def _plain(series: Array, horizon: int, growing: bool) -> Projection:
    """From a few values: they stay where they are, or grow as they did, and chance adds up."""
    steps = np.arange(1, horizon + 1)
    value = series.mean() * steps if growing else np.full(horizon, series[-1])
    moved = series - series.mean() if growing else np.diff(series)
    if len(series) < 3:
        return Projection(value, np.full(horizon, np.nan), np.full(horizon, np.nan), False, "too few values")
    reach = NORMAL * WIDER_COLD * np.sqrt((moved**2).mean() * steps)
    return Projection(value, value - reach, value + reach, False, "too few values")


def _bounded(made: Projection, lower: float | None) -> Projection:
    """Nothing below what can be."""
    if lower is None:
        return made
    value, low, high = (np.maximum(each, lower) for each in made[:3])
    return made._replace(value=value, low=low, high=high)
