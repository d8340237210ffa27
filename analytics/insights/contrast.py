"""Cells, and how far a group of them moved beyond what all others did."""

from __future__ import annotations

from collections.abc import Sequence
from math import log
from typing import Any, Literal, NamedTuple

import numpy as np

Floats = np.ndarray[Any, np.dtype[np.float64]]
Ints = np.ndarray[Any, np.dtype[np.int64]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]
Form = Literal["sum", "share", "mean", "ratio"]
Where = dict[int, int]  # dimension -> value, both by their place

NOW, BEFORE = 0, 1  # the periods
N, X, Y, XX, XY, YY = range(6)
# Which sums a form needs; the others follow: a sum's y is 1, of a share x and y are 0 or 1, a mean's y is 1.
KEPT: dict[Form, tuple[int, ...]] = {
    "sum": (N, X, XX),
    "share": (X, Y),
    "mean": (X, Y, XX),
    "ratio": (X, Y, XX, XY, YY),
}
FULL: dict[Form, tuple[int, ...]] = {
    "sum": (0, 1, 0, 2, 1, 0),
    "share": (1, 0, 1, 0, 0, 1),
    "mean": (1, 0, 1, 2, 0, 1),
    "ratio": (1, 0, 1, 2, 3, 4),
}


class Cells(NamedTuple):
    """Rows of both periods, or cells of rows alike.

    codes: per dimension the place of each cell's value among the dimension's values, -1 for the fold of rare ones.
    cards: how many values each dimension has. period: 0 current, 1 baseline. sums: those of KEPT x cells.
    """

    form: Form
    codes: tuple[Ints, ...]
    cards: tuple[int, ...]
    period: Ints
    sums: Floats

    @property
    def size(self) -> int:
        return len(self.period)

    def rows(self) -> Floats:
        """What each cell weighs."""
        rows: Floats = self.sums[FULL[self.form][N]]
        return rows

    def only(self, kept: Flags) -> Cells:
        codes = tuple(code[kept] for code in self.codes)
        return Cells(self.form, codes, self.cards, self.period[kept], self.sums[:, kept])

    def by(self, key: Ints, size: int, cells: Ints | slice = slice(None)) -> Floats:
        """All six sums per period and group: 2 x 6 x size. key: the group of each of the `cells`."""
        place = key + self.period[cells] * size
        added = np.array([np.bincount(place, row[cells], 2 * size) for row in self.sums])
        full: Floats = added.reshape(len(added), 2, size).swapaxes(0, 1)[:, list(FULL[self.form])]
        return full

    def totals(self) -> Floats:
        """All six sums per period: 2 x 6."""
        whole: Floats = self.by(np.zeros(self.size, np.int64), 1)[:, :, 0]
        return whole

    def contributions(self) -> tuple[Floats, Floats]:
        """What each cell adds to the change, and the sampling variance of that (compound Poisson)."""
        s = self.sums[list(FULL[self.form])]
        sign = np.where(self.period == NOW, 1.0, -1.0)
        if self.form == "sum":
            return sign * s[X], s[XX]
        whole = self.totals()
        weights = np.maximum(whole[:, Y], 1e-300)
        middle = float((whole[:, X] / weights).mean())
        weight = weights[self.period]
        variance = s[XX] - 2 * middle * s[XY] + middle**2 * s[YY]
        return sign * (s[X] - middle * s[Y]) / weight, variance / weight**2


def cells_of(form: Form, codes: Sequence[Ints], cards: Sequence[int], period: Ints, sums: Floats) -> Cells:
    """Cells of all six sums (n, x, y, xx, xy, yy) x cells."""
    return Cells(form, tuple(codes), tuple(cards), period, np.ascontiguousarray(sums[list(KEPT[form])]))


def contrast(form: Form, s: Floats, totals: Floats) -> tuple[Floats, Floats, Floats]:
    """Per group: how far it moved beyond what all others did, the variance of that, and what was expected of it.

    s: periods x sums x groups; totals: periods x sums. All in the unit of x.
    """
    out = np.maximum(totals[:, :, np.newaxis] - s, 0.0)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return _of_sums(s, out, totals) if form == "sum" else _of_ratios(form, s, out, totals)


def _of_sums(s: Floats, out: Floats, totals: Floats) -> tuple[Floats, Floats, Floats]:
    """Expected is the baseline times the growth of all others."""
    unit = float(totals[:, XX].sum() / max(totals[:, X].sum(), 1e-300))
    around = np.maximum(out[:, X], 0.0) + 0.5 * unit  # few others prove little
    growth = around[NOW] / around[BEFORE]
    expected = growth * s[BEFORE, X]
    noise = (out[:, XX] + 0.5 * unit**2) / around**2
    variance = s[NOW, XX] + growth**2 * s[BEFORE, XX] + expected**2 * noise.sum(axis=0)
    return s[NOW, X] - expected, variance, expected


def _of_ratios(form: Form, s: Floats, out: Floats, totals: Floats) -> tuple[Floats, Floats, Floats]:
    """Expected is the baseline's ratio, moved as that of all others was (of a share: in odds), on as many rows; and a
    weight among all rows that grew as little as that of all others."""
    weights = np.maximum(totals[:, Y], 1e-300)
    whole = float(totals[:, X].sum() / weights.sum())
    unit = float(totals[:, XX].sum() / max(totals[:, X].sum(), 1e-300))
    r, around = _rate(s, whole), _rate(out, whole)
    if form == "share":
        moved = _odds(around[NOW]) / _odds(around[BEFORE]) * _odds(r[BEFORE])
        usual = moved / (1 + moved)
    else:
        usual = around[NOW] / around[BEFORE] * r[BEFORE]
    y1, y0 = s[NOW, Y], s[BEFORE, Y]
    expected = usual * y1
    back = np.where(r[BEFORE] > 0, usual / r[BEFORE], 1.0) * y1 / np.maximum(y0, 1e-9)
    noise = _spread(s, r) + 0.5 * unit**2
    others = (_spread(out, around) + 0.5 * unit**2) / (out[:, X] + 0.5 * unit) ** 2
    variance = noise[NOW] + np.where(y0 > 0, back**2 * noise[BEFORE], 0.0) + expected**2 * others.sum(axis=0)
    away = (r[NOW] + r[BEFORE]) / 2 - whole
    w1, w0 = y1 / weights[NOW], y0 / weights[BEFORE]
    mix = away * (w1 - w0 * (1 - w1) / np.maximum(1 - w0, 1e-9)) * weights[NOW]
    variance = variance + away**2 * (s[NOW, YY] + (weights[NOW] / weights[BEFORE]) ** 2 * s[BEFORE, YY])
    rate = np.where(y0 > 0, s[NOW, X] - expected, 0.0)
    return rate + mix, variance, expected


def _rate(s: Floats, whole: float) -> Floats:
    """Per period x / y, drawn a little to the whole where rows are few."""
    rate: Floats = (s[:, X] + 0.5 * whole) / (s[:, Y] + 0.5)
    return rate


def _odds(p: Floats) -> Floats:
    near = np.clip(p, 1e-6, 1 - 1e-6)
    odds: Floats = near / (1 - near)
    return odds


def _spread(s: Floats, r: Floats) -> Floats:
    """Per period the sum over rows of (x - r y) squared."""
    spread: Floats = np.maximum(s[:, XX] - 2 * r * s[:, XY] + r**2 * s[:, YY], 0.0)
    return spread


def effect(form: Form, s: Floats, out: Floats) -> tuple[float, float]:
    """How many times more one group moved than others did, as a logarithm, and the variance of that: of a sum's x, of
    a share's odds, of other ratios. s, out: periods x sums of the group and of the others."""
    moved, variance = 0.0, 0.0
    for sums, sign in ((s, 1.0), (out, -1.0)):
        for p, way in ((NOW, sign), (BEFORE, -sign)):
            level, noise = _level(form, sums[p])
            moved += way * level
            variance += noise
    return moved, variance


def _level(form: Form, s: Floats) -> tuple[float, float]:
    """The logarithm of a level and its variance."""
    unit = s[XX] / s[X] if s[X] > 0 else 1.0
    x = max(float(s[X]), 0.0) + 0.5 * unit
    if form == "sum":
        return log(x), (float(s[XX]) + 0.5 * unit**2) / x**2
    if form == "share":
        rest = max(float(s[Y] - s[X]), 0.0) + 0.5
        return log(x / rest), 1 / x + 1 / rest
    y = max(float(s[Y]), 1e-300)
    r = x / y
    spread = max(float(s[XX] - 2 * r * s[XY] + r * r * s[YY]), 0.0) + 0.5 * unit**2
    return log(r), spread / x**2
