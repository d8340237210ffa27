"""A panel of simple forecasters, all of them from every origin at once.

Two families. Exponential smoothing with a level, a trend, the day's and the week's pattern and an autocorrelated
remainder, over a grid of fixed weights (J. W. Taylor, "Short-term electricity demand forecasting using double seasonal
exponential smoothing", Journal of the Operational Research Society 54, 2003), in the unit of the series and of its
logarithm. And what repeats itself: the last season, the mean of the last weeks, the change from season to season.
Which of them to believe is not decided here but in `forecast`.
"""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Places = NDArray[np.int64]

WEEKS = 2  # the first patterns are taken from so many weeks
BELIEVED = 0.7  # of the first pattern of the week; so few weeks hold much chance
MOST = 690.0  # the largest logarithm whose exponential is a number


def panel(series: Array, origins: Places, horizon: int, day: int, week: int) -> Array:
    """Forecasts of shape (origins, horizon, forecasters). Those of origin `o` begin at step `o` and know
    `series[:o]`; only the patterns' starting values come from the first weeks whole. `day` and `week` are seasons in
    steps; day 1 is none, week 0 is none."""
    found = [repeated(series, origins, horizon, day, week), smoothed(series, origins, horizon, day, week)]
    if series.min() > 0:
        found.append(np.exp(np.minimum(smoothed(np.log(series), origins, horizon, day, week), MOST)))
    return np.concatenate(found, axis=2)


def grid(day: int, week: int) -> Array:
    """Each column one combination: weights of level, remainder, day, week and trend, and how much of the first
    pattern of the week is believed."""
    days = (0.1, 0.4) if day > 1 else (0.0,)
    columns = [*product((0.003, 0.1), (0.6, 0.97), days, (0.0,), (0.0,), (0.0,))]
    columns += product(
        (0.02, 0.1, 0.3), (0.0,), (0.1, 0.6) if day > 1 else (0.0,), (0.0,), (0.0002, 0.001, 0.005), (0,)
    )
    if week:
        columns += product((0.003, 0.1), (0.6, 0.97), (0.03, 0.4), (0.0, 0.1, 0.3), (0.0,), (BELIEVED,))
    return np.array(columns).T


def smoothed(series: Array, origins: Places, horizon: int, day: int, week: int) -> Array:
    """Exponential smoothing for every column of the grid: (origins, horizon, columns)."""
    of_level, kept, of_day, of_week, of_trend, believed = grid(day, week)
    level, daily, weekly = _started(series, day, week)
    levels, trends, rest = np.full(kept.size, level), np.zeros(kept.size), np.zeros(kept.size)
    days, weeks = np.repeat(daily[:, None], kept.size, 1), weekly[:, None] * believed
    ahead = np.arange(1, horizon + 1)[:, None]
    lasting = kept**ahead
    out = np.empty((len(origins), horizon, kept.size))
    wanted = {int(origin): place for place, origin in enumerate(origins)}
    for t in range(int(max(origins)) + 1):
        if (place := wanted.get(t)) is not None:
            steps = np.arange(t, t + horizon)
            out[place] = levels + trends * ahead + days[steps % day] + weeks[steps % len(weeks)] + lasting * rest
        if t == len(series):
            break
        today, this = days[t % day], weeks[t % len(weeks)]
        levels += trends
        left = series[t] - levels - today - this
        error = left - kept * rest
        levels += of_level * error
        trends += of_trend * error
        today += of_day * error
        this += of_week * error
        rest = left
    return out


def _started(series: Array, day: int, week: int) -> tuple[float, Array, Array]:
    """Level, pattern of the day and pattern of the week at the beginning."""
    first = series[: WEEKS * week] if week else series[: max(day, min(WEEKS * 7, len(series) // day) * day)]
    level = float(first.mean())
    daily = np.array([first[place::day].mean() for place in range(day)]) - level
    if not week:
        return level, daily, np.zeros(1)
    weekly = np.array([first[place::week].mean() for place in range(week)]) - level
    return level, daily, weekly - np.resize(daily, week)


def repeated(series: Array, origins: Places, horizon: int, day: int, week: int) -> Array:
    """What was a season ago, as it was and with its change carried on: (origins, horizon, ways)."""
    ahead = np.arange(horizon)
    start = origins[:, None]
    last, times = series[start - day + ahead % day], 1 + ahead // day
    seasons = min(5, int(min(origins)) // day - 1)  # as many changes as every origin has behind it
    back = start + np.arange(-seasons * day, 0)
    changes = (series[back] - series[back - day]).reshape(len(origins), seasons, day)
    found = [last]
    found += [
        last + times * changes[:, -n:].mean((1, 2))[:, None] for n in dict.fromkeys((1, min(3, seasons), seasons))
    ]
    found += [last + times * changes[:, -n:].mean(1)[:, ahead % day] for n in dict.fromkeys((1, min(3, seasons)))]
    if week:
        found += _weekly(series, origins, ahead, day, week)
    return np.stack(found, axis=2)


def _weekly(series: Array, origins: Places, ahead: Places, day: int, week: int) -> list[Array]:
    """The last week, the mean of the last weeks, and that mean moved to where the last day lay."""
    start = origins[:, None]
    weeks = max(1, min(4, int(min(origins)) // week))
    ago = np.stack([series[start - n * week + ahead % week] for n in range(1, weeks + 1)])
    found = [ago[0], *(ago[:n].mean(0) for n in range(2, weeks + 1))]
    there = [
        series[start - n * week + np.arange(-day, 0)] for n in range(1, weeks + 1) if n * week + day <= min(origins)
    ]
    if there:
        moved = series[start + np.arange(-day, 0)] - np.mean(there[:3], axis=0)
        mean, shift = ago[:3].mean(0), moved.mean(1)[:, None]
        found += [mean + shift, mean + 0.4 * shift + 0.6 * moved[:, ahead % day]]
    return found
