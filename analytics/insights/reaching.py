"""When a series comes to its limit: growth between new beginnings, and where the paths of a projection cross it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from analytics.insights.forecast import Projection, project
from analytics.insights.smoothing import Array, Places

ALREADY = "it is at its limit already"
ANEW = "it begins anew before"
BEYOND = "not within the horizon"

FALLEN = 0.5  # a reading that grows all the time and is suddenly less than half began anew
RISES = 3  # fewer say nothing of whether a reading only grows


class Turns(NamedTuple):
    """When a series begins anew, where that is known: the period of each value, and the step in which the next one
    begins."""

    periods: Sequence[int]
    resets: int


class Outlook(NamedTuple):
    """A series continued. `last` is its newest value; `resets` the step (from 0) in which it begins anew, None where
    that is not known; `growing` says that it is a total, whose pace was continued. `made` may lie above `upper`, so
    that one can tell when it gets there."""

    made: Projection
    last: float | None
    growing: bool = False
    resets: int | None = None
    upper: float | None = None

    @property
    def shown(self) -> Projection:
        """Nothing above what can be."""
        if self.upper is None:
            return self.made
        value, low, high = (np.minimum(each, self.upper) for each in self.made[:3])
        return self.made._replace(value=value, low=low, high=high)


class Crossing(NamedTuple):
    """When a limit is reached, in steps after the newest value: 0 is now, 1.5 the middle of the second step. `at` is
    None where that is not within the horizon, and then `reason` says why; `latest` is None where it may not be."""

    at: float | None
    earliest: float | None = None
    latest: float | None = None
    reason: str | None = None


def ahead(
    values: Sequence[float | None],
    horizon: int,
    *,
    seasons: Sequence[int] = (),
    lower: float | None = None,
    upper: float | None = None,
    turns: Turns | None = None,
) -> Outlook:
    """Continue a series, or the pace of one that only grows and begins anew. As `project` has it."""
    series = np.array([np.nan if v is None else v for v in values], dtype=float)
    known = np.flatnonzero(np.isfinite(series))
    last = float(series[known[-1]]) if len(known) else None
    began = np.flatnonzero(np.diff(np.array(turns.periods)[known])) + 1 if turns else _began(series[known])
    if last is None or began is None:
        return Outlook(project(series, horizon, seasons=seasons, lower=lower), last, upper=upper)
    made = project(_pace(series, known, began), horizon, seasons=seasons, lower=0.0, growing=True)
    resets = turns.resets if turns else _next(known[began], int(known[-1]))
    made = made._replace(value=last + made.value, low=last + made.low, high=last + made.high)
    if resets is not None and resets < horizon:
        made = _anew(made, last, resets)
    return Outlook(made, last, True, resets, upper)


def _began(known: Array) -> Places | None:
    """Where a series that only grows began anew; None where it does not only grow."""
    steps = np.diff(known)
    falls = np.flatnonzero(steps < 0) + 1
    if (steps > 0).sum() < max(RISES, 10 * len(falls)) or known.min() < 0:
        return None
    return falls if (known[falls] < FALLEN * known[falls - 1]).all() else None


def _pace(series: Array, known: Places, began: Places) -> Array:
    """Growth per step; what fell into a gap is spread evenly over it, and that across a new beginning is unknown."""
    gaps = np.diff(known)
    growth = np.diff(series[known]) / gaps
    growth[began - 1] = np.nan
    return np.repeat(growth, gaps)


def _next(began: Places, newest: int) -> int | None:
    """Steps from the newest value to the next beginning, where past ones came evenly."""
    lengths = np.diff(began)
    if not len(lengths) or np.ptp(lengths) > 1 + 0.02 * lengths.mean():
        return None
    left = round(float(began[-1] + lengths.mean())) - newest - 1
    return left if left >= 0 else None


def _anew(made: Projection, last: float, resets: int) -> Projection:
    """From the new beginning on the same growth from zero."""
    rest = len(made.value) - resets
    value, low, high = (np.concatenate([each[:resets], each[:rest] - last]) for each in made[:3])
    return made._replace(value=value, low=low, high=high)


def crossing(outlook: Outlook, limit: float, good: str = "none") -> Crossing:
    """When the path of the values, the upper and the lower end of their intervals come to a limit. A metric that is
    good `up` falls to its limit, any other comes from the side on which it is."""
    made, last = outlook.made, outlook.last
    if last is None:
        return Crossing(None, reason="there are no values yet")
    falling = good == "up" or (good == "none" and last > limit)
    sign = -1.0 if falling else 1.0
    if sign * last >= sign * limit:
        return Crossing(None, reason=ALREADY)
    until = len(made.value) if outlook.resets is None else outlook.resets
    near, far = (made.low, made.high) if falling else (made.high, made.low)
    at, first, latest = (_crossed(sign * last, sign * each[:until], sign * limit) for each in (made.value, near, far))
    if at is None and outlook.resets is not None and outlook.resets < len(made.value):
        return Crossing(None, earliest=first, reason=ANEW)
    if at is None:
        return Crossing(None, first, reason=BEYOND)
    return Crossing(at, first, latest)


def _crossed(last: float, path: Array, limit: float) -> float | None:
    """Steps until a path from `last` is at or above a limit, a straight line between two values."""
    over = np.flatnonzero(path >= limit)
    if not len(over):
        return None
    step = int(over[0])
    before = last if step == 0 else float(path[step - 1])
    return step + float((limit - before) / (path[step] - before))
