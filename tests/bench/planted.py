"""Incidents whose causes are known: seeded tables of two periods, in which something was planted, or nothing.

A case has 4 to 8 dimensions of 2 to 24 values each, of heavy-tailed sizes, some dependent on others. Every value
drifts a little by itself between the periods, as real traffic does. What is planted can be seen: each cause moves the
metric by at least a tenth of the change and by five standard errors and hits at least 100 rows, all causes together
make at least half of the change, and no cause lies within another.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from analytics.insights.contrast import Cells, Flags, Floats, Form, Ints, Where, cells_of
from analytics.insights.explain import inside

KINDS = ("count", "sum", "mean", "ratio", "quantile")
CAUSES = (0, 0, 1, 1, 1, 1, 2, 2, 2, 3)
DEPTHS = (1, 1, 1, 2, 2, 3)
DRIFT = (0.005, 0.05)  # standard deviation of what a value's share changes by itself
TRIES = 400


class Case(NamedTuple):
    """What was planted, and the cells in which it has to be found. No causes: nothing, or all alike (`shift`)."""

    seed: int
    kind: str
    cells: Cells
    causes: list[Where]
    shift: float

    def same(self, found: Where, planted: Where) -> bool:
        """Whether both name the same rows, though perhaps in other words (a city, or a city and its country)."""
        return bool(np.array_equal(self.hit(found), self.hit(planted)))

    def hit(self, where: Where) -> Flags:
        return inside(self.cells, where)


class _Rows(NamedTuple):
    """Both periods' rows: dimensions, and the means that belong to each row by its values."""

    codes: list[Ints]  # (period) -> rows x dimensions
    base: list[Floats]  # log of the row's own level, from its values


def case(seed: int, kind: str | None = None, causes: int | None = None) -> Case:
    """The case of a seed. The same arguments always give the same case."""
    rng = np.random.default_rng([seed, 20260106])
    kind = kind or str(rng.choice(KINDS))
    count = int(rng.choice(CAUSES)) if causes is None else causes
    for _ in range(TRIES):
        made = _drawn(rng, seed, kind, count)
        if made is not None:
            return made
    raise AssertionError(f"seed {seed}: nothing that can be seen in {TRIES} tries")


def hit(codes: Ints, where: Where) -> Flags:
    kept = np.ones(len(codes), bool)
    for dim, value in where.items():
        kept &= codes[:, dim] == value
    return kept


def _drawn(rng: np.random.Generator, seed: int, kind: str, count: int) -> Case | None:
    rows = _population(rng)
    planted = _places(rng, rows.codes[1], count)
    if planted is None:
        return None
    if count == 0:
        shift = float(rng.choice([1.0, rng.uniform(0.5, 0.8), rng.uniform(1.25, 2.0)]))
    else:
        shift = float(rng.choice([1.0, 1.0, rng.uniform(0.93, 1.08)]))
    codes, x, y = _measured(rng, kind, rows, planted, shift)
    cells = _cells(kind, codes, x, y)
    if planted and not _visible(cells, [where for where, _ in planted]):
        return None
    return Case(seed, kind, cells, [where for where, _ in planted], shift)


def _population(rng: np.random.Generator) -> _Rows:
    """Rows of the baseline and of a current period that drifted a little, before anything happens."""
    dims = int(rng.integers(4, 9))
    cards = [int(rng.choice([2, 3, 5, 8, 12, 17, 24])) for _ in range(dims)]
    tails = [rng.uniform(0.4, 1.4) for _ in range(dims)]
    parents = [int(rng.integers(0, d)) if d and rng.random() < 0.35 else None for d in range(dims)]
    tied = [rng.uniform(0.3, 1.0) for _ in range(dims)]
    sizes = int(rng.integers(12_000, 60_000))
    level = [rng.normal(0, 0.25, card) for card in cards]
    unrest = rng.uniform(*DRIFT)
    drift = [rng.normal(0, unrest, card) for card in cards]
    codes, base = [], []
    order = [[rng.permutation(card) for _ in range(cards[p])] if p is not None else None
             for card, p in zip(cards, parents, strict=True)]  # fmt: skip
    for period in (0, 1):
        n = rng.poisson(sizes)
        drawn = np.empty((n, dims), np.int64)
        for d, (card, tail, parent, placed) in enumerate(zip(cards, tails, parents, order, strict=True)):
            weight = (1.0 + np.arange(card)) ** -tail * (np.exp(drift[d]) if period == 0 else 1.0)
            own = rng.choice(card, n, p=weight / weight.sum())
            if parent is not None and placed is not None:
                follow = rng.random(n) < tied[d]
                moved = np.array(placed)[drawn[:, parent], own]
                own = np.where(follow, moved, own)
            drawn[:, d] = own
        codes.append(drawn)
        base.append(sum((level[d][drawn[:, d]] for d in range(dims)), np.zeros(n)))
    return _Rows(codes, base)


def _places(rng: np.random.Generator, codes: Ints, count: int) -> list[tuple[Where, float]] | None:
    """So many places with the strength of what happens there; None where the draw has none that fit."""
    planted: list[tuple[Where, float]] = []
    taken: list[Flags] = []
    up = rng.random() < 0.65
    for _ in range(count):
        for _ in range(40):
            depth = int(rng.choice(DEPTHS))
            row = codes[rng.integers(len(codes))]
            where = {int(d): int(row[d]) for d in rng.choice(codes.shape[1], depth, replace=False)}
            rows = hit(codes, where)
            share = rows.mean()
            apart = all((rows & other).sum() <= 0.2 * min(rows.sum(), other.sum()) for other in taken)
            if 0.01 <= share <= 0.4 and rows.sum() >= 100 and apart:
                break
        else:
            return None
        same = up if rng.random() < 0.85 else not up
        planted.append((where, float(rng.uniform(1.7, 5.0) if same else rng.uniform(0.0, 0.55))))
        taken.append(rows)
    return planted


def _measured(
    rng: np.random.Generator, kind: str, rows: _Rows, planted: list[tuple[Where, float]], shift: float
) -> tuple[list[Ints], list[Floats], list[Floats]]:
    """Per period the rows that stay and their numerator and denominator."""
    volume = kind == "count" or (kind == "sum" and rng.random() < 0.5)
    codes, logs = list(rows.codes), [b.copy() for b in rows.base]
    factor = np.full(len(codes[0]), shift)
    for where, strength in planted:
        factor[hit(codes[0], where)] = strength * shift
    if volume:
        times = rng.poisson(factor) if (factor > 1).any() else (rng.random(len(factor)) < factor).astype(int)
        codes[0], logs[0] = np.repeat(codes[0], times, axis=0), np.repeat(logs[0], times)
        factor = np.ones(len(codes[0]))
    log_factor = [np.log(np.maximum(factor, 1e-3)), np.zeros(len(codes[1]))]
    spread = rng.uniform(0.4, 1.1)
    x = [np.exp(b + f + rng.normal(0, spread, len(b))) for b, f in zip(logs, log_factor, strict=True)]
    y = [np.ones(len(b)) for b in logs]
    if kind == "count":
        return codes, y, y
    if kind == "ratio":
        usual = np.log(rng.uniform(0.01, 0.15))
        chance = [1 / (1 + np.exp(-(usual + b + 1.3 * f))) for b, f in zip(logs, log_factor, strict=True)]
        return codes, [(rng.random(len(c)) < c).astype(float) for c in chance], y
    if kind == "quantile":
        q = float(rng.choice([0.5, 0.9, 0.95]))
        beyond = np.quantile(x[1], q)
        return codes, [(v > beyond).astype(float) for v in x], y
    return codes, x, y


def _cells(kind: str, codes: list[Ints], x: list[Floats], y: list[Floats]) -> Cells:
    form: Form = "sum" if kind in ("count", "sum") else "share" if kind in ("ratio", "quantile") else "mean"
    period = np.repeat([0, 1], [len(c) for c in codes])
    xs, ys = np.concatenate(x), np.concatenate(y)
    every = [np.ascontiguousarray(column) for column in np.concatenate(codes).T]
    cards = [int(column.max()) + 1 for column in every]
    return cells_of(form, every, cards, period, np.array([np.ones(len(xs)), xs, ys, xs * xs, xs * ys, ys * ys]))


def _visible(cells: Cells, planted: list[Where]) -> bool:
    """Whether each cause moves the metric by a tenth of the change and by five standard errors."""
    d, variance = cells.contributions()
    whole = d.sum()
    places = [inside(cells, where) for where in planted]
    moved = [d[rows].sum() for rows in places]
    errors = [np.sqrt(variance[rows].sum()) for rows in places]
    large = all(abs(m) >= 0.1 * abs(whole) and abs(m) >= 5 * e for m, e in zip(moved, errors, strict=True))
    seen = abs(whole) >= 3 * np.sqrt(variance.sum()) and abs(whole) >= 0.5 * max(map(abs, moved))
    return bool(large and seen and sum(moved) / whole >= 0.5)
