"""Why a metric changed: the smallest set of causes that accounts for it.

A cause is a conjunction of at most three dimension values whose rows moved otherwise than all other rows did. Every
metric that can be explained is a sum over rows, so that what rows contribute adds up to the change:

    sum    x of the current period, -x of the baseline
    ratio  (x - R y) / Y of the current period, less the same of the baseline; R is the mean of both ratios
           (E. M. Kitagawa 1955, JASA 50)

The search looks at the contrast of inside against outside, as a scan statistic does (M. Kulldorff 1997, Commun. Stat.
26): where everything moves alike no place stands out, the ripple effect of Squeeze (Z. Li et al. 2019, ISSRE). A cause
must also carry part of the change, its explanatory power in Adtributor (R. Bhagwan et al. 2014, NSDI), and a further
dimension must pay for its description (J. Rissanen 1978, Automatica 14). What was found is taken out and the rest is
searched again, until nothing stands out of the unrest that all values have.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from math import exp, log
from typing import NamedTuple

import numpy as np

from analytics.insights.contrast import Cells, Flags, Floats, Ints, N, Where, contrast, effect

MAX_DEPTH = 3
MIN_SHARE = 0.08  # of the change; less is part of the rest
MIN_Z = 4.0
SUSPECT_Z = 2.0  # values below this start no conjunction
SUSPECTS = 8  # values of a dimension that do
CLEAR = 2.0  # standard errors
TRIED = 3  # places that are looked at, one after the other, for one that stands out of the unrest
UNREST = 0.01  # the least relative drift that any value has
ALIKE = 0.5  # siblings that moved by so much of a cause belong to it
COLD = 0.25  # siblings that moved by no more of it do not
FIRM = 5.0  # standard errors: less was expected of a value than shows its drift
WIDE = 0.9  # share of all rows beyond which a place is no place
SAME = 0.01  # share of rows in which two places may differ and still be one
CONFIDENCE = (-2.99, 1.28, 0.137)  # of log z and margin, fitted by `python -m tests.bench.insight_explain fit`


class Found(NamedTuple):
    """A cause: where it is, its evidence (a log likelihood ratio), how far it stands out of noise and unrest in
    standard errors, by how much evidence it beats its neighbours, and its share of the change."""

    where: Where
    score: float
    z: float
    margin: float
    share: float

    @property
    def confidence(self) -> float:
        """How often a cause like this is one that was planted."""
        a, b, c = CONFIDENCE
        return 1 / (1 + exp(-(a + b * log(max(self.z, 1.0)) + c * min(self.margin, 20.0))))


def clear(cells: Cells) -> bool:
    """Whether the change is more than the noise of both periods."""
    contributed, variance = cells.contributions()
    return bool(contributed.sum() ** 2 > CLEAR**2 * variance.sum())


def causes(cells: Cells, most: int = 5, change: float | None = None) -> list[Found]:
    """The causes of a change, the largest share first; empty where none stands out.

    change: what the cells contribute together, where that is known better than from a sample.
    """
    contributed, _ = cells.contributions()
    whole = float(contributed.sum()) if change is None else change
    if not whole:
        return []
    share = contributed / whole
    found: list[Found] = []
    for _ in range(most):
        best = _best(cells, _free(cells, found), share)
        if best is None:
            break
        found.append(best)
    if len(found) > 1:
        found = _reconsidered(cells, found, share)
    return sorted(_apart(cells, found), key=lambda each: -each.share)


def inside(cells: Cells, where: Mapping[int, int]) -> Flags:
    """Which cells a conjunction holds."""
    kept = np.ones(cells.size, bool)
    for dim, value in where.items():
        kept &= cells.codes[dim] == value
    return kept


def strengths(cells: Cells) -> list[float]:
    """Per dimension how strongly its values differ in what they did."""
    share = np.zeros(cells.size)
    return [float(_scored(cells, (d,), cells.totals(), share).score.max(initial=0.0)) for d in range(len(cells.cards))]


class _Groups(NamedTuple):
    """The conjunctions of values of some dimensions, one each."""

    dims: tuple[int, ...]
    codes: Ints  # dims x groups
    score: Floats  # evidence that it moved otherwise than the rest
    reach: Floats  # what was expected, in standard errors
    share: Floats  # of the change


def _free(cells: Cells, found: Sequence[Found]) -> Flags:
    """What no cause holds yet."""
    free = np.ones(cells.size, bool)
    for each in found:
        free &= ~inside(cells, each.where)
    return free


def _reconsidered(cells: Cells, found: list[Found], share: Floats) -> list[Found]:
    """Each cause searched again with all others known."""
    kept = list(found)
    for i in range(len(kept)):
        best = _best(cells, _free(cells, kept[:i] + kept[i + 1 :]), share)
        if best is not None:
            kept[i] = best
    return kept


def _apart(cells: Cells, found: list[Found]) -> list[Found]:
    """The causes in words that hold no row twice, where one more word does that and changes nothing else."""
    taken = np.zeros(cells.size, bool)
    kept = []
    for each in found:
        mine = inside(cells, each.where)
        if (mine & taken).any() and len(each.where) < MAX_DEPTH:
            each = each._replace(where=_narrower(cells, each.where, mine & ~taken))
        kept.append(each)
        taken |= mine
    return kept


def _narrower(cells: Cells, where: Where, rows: Flags) -> Where:
    n = cells.rows()
    for d in range(len(cells.cards)):
        if d not in where:
            held = np.bincount(cells.codes[d][rows] + 1, n[rows], cells.cards[d] + 1)[1:]
            value = int(np.argmax(held))
            if held[value] >= (1 - SAME) * n[rows].sum():
                return where | {d: value}
    return where


def _best(cells: Cells, free: Flags, share: Floats) -> Found | None:
    """The conjunction with the strongest contrast that carries part of the change."""
    open_cells, open_share = cells.only(free), share[free]
    groups = list(_candidates(open_cells, open_share))
    values = [_value(each, cells.cards) for each in groups]
    for _ in range(TRIED):
        k = max(range(len(groups)), key=lambda g: values[g].max(initial=0.0), default=None)
        if k is None or values[k].max(initial=0.0) <= 0:
            return None
        i, each = int(np.argmax(values[k])), groups[k]
        where = {d: int(c) for d, c in zip(each.dims, each.codes[:, i], strict=True)}
        unrest = _unrest(open_cells.only(~inside(open_cells, where)))
        reach = float(each.reach[i])
        stands = float(np.sqrt(2 * each.score[i] / (1 + len(where) * (unrest * reach) ** 2)))
        if stands >= MIN_Z:
            margin = float(values[k][i]) - _neighbour(groups, values, where)
            fitted = _fitted(open_cells, where, unrest)
            carried = float(open_share[inside(open_cells, fitted)].sum())
            if abs(carried) >= MIN_SHARE:
                return Found(fitted, float(each.score[i]), stands, margin, carried)
        values[k][i] = 0.0
    return None


def _value(groups: _Groups, cards: Sequence[int]) -> Floats:
    """The evidence for each place beyond what its words cost; none where it carries too little of the change."""
    cost = sum(log(cards[d] * len(cards)) for d in groups.dims)
    enough = (np.abs(groups.share) >= MIN_SHARE) & (2 * groups.score >= MIN_Z**2)
    value: Floats = np.where(enough, np.maximum(groups.score - cost, 0.0), 0.0)
    return value


def _fitted(cells: Cells, where: Where, unrest: float) -> Where:
    """The place as wide as what happened: one word less where what it leaves out moved as well, one more where what
    it should leave out did not."""
    seen = [where]
    for _ in range(2 * MAX_DEPTH):
        moved = _wider(cells, where, unrest) or _tighter(cells, where, unrest)
        if moved is None or moved in seen:
            break
        where = moved
        seen.append(where)
    return where


def _wider(cells: Cells, where: Where, unrest: float) -> Where | None:
    """Without one of its words, if the rows that it leaves out moved by at least half as much."""
    best: tuple[float, Where] | None = None
    for d in where if len(where) > 1 else ():
        parent = {k: v for k, v in where.items() if k != d}
        held = inside(cells, parent)
        mine, left, around = _sums(cells, held & (cells.codes[d] == where[d]), held, ~held)
        moved, doubt = effect(cells.form, mine, around)
        other, noise = effect(cells.form, left, around)
        z = other / np.sqrt(noise + unrest**2)
        firm = moved**2 > MIN_Z**2 * doubt
        if firm and other / moved >= ALIKE and abs(z) >= MIN_Z and (best is None or abs(z) > best[0]):
            best = abs(z), parent
    return best[1] if best else None


def _tighter(cells: Cells, where: Where, unrest: float) -> Where | None:
    """With one more word, if what that leaves out is some part of it and moved as all others did."""
    held = inside(cells, where)
    best: tuple[float, Where] | None = None
    for d in range(len(cells.cards)) if len(where) < MAX_DEPTH else ():
        if d in where:
            continue
        value = _hottest(cells, held, d)
        if value is None:
            continue
        mine, left, around = _sums(cells, held & (cells.codes[d] == value), held, ~held)
        moved, noise = effect(cells.form, mine, around)
        other, doubt = effect(cells.form, left, around)
        z = abs(moved - other) / np.sqrt(noise + doubt + 2 * unrest**2)
        if moved**2 > MIN_Z**2 * noise and abs(other / moved) <= COLD and z >= MIN_Z and (best is None or z > best[0]):
            best = float(z), where | {d: value}
    return best[1] if best else None


def _hottest(cells: Cells, held: Flags, d: int) -> int | None:
    """The value of a dimension within some rows that moved most evidently."""
    rows = np.flatnonzero(held & (cells.codes[d] >= 0))
    s = cells.by(cells.codes[d][rows], cells.cards[d], rows)
    e, variance, _ = contrast(cells.form, s, cells.totals())
    score = np.where(variance > 0, e * e / np.where(variance > 0, variance, 1.0), 0.0)
    return int(np.argmax(score)) if (score > 0).sum() > 1 else None


def _sums(cells: Cells, mine: Flags, held: Flags, around: Flags) -> tuple[Floats, Floats, Floats]:
    """The sums of some rows, of what else is held, and of all around."""
    key = np.where(mine, 0, np.where(held, 1, 2))
    s = cells.by(key.astype(np.int64), 3)
    return s[:, :, 0], s[:, :, 1], s[:, :, 2]


def _unrest(cells: Cells) -> float:
    """By how much single values usually move by themselves, as a standard deviation of their ratio. The median hardly
    feels the few that causes move."""
    share = np.zeros(cells.size)
    totals = cells.totals()
    single = [_scored(cells, (d,), totals, share) for d in range(len(cells.cards))]
    reach = np.concatenate([each.reach for each in single])
    z2 = 2 * np.concatenate([each.score for each in single])
    firm = reach > FIRM
    if firm.sum() < 4:
        return UNREST
    beyond = np.median((z2[firm] - 1) / reach[firm] ** 2) / 0.455  # the median of a squared normal
    return float(max(np.sqrt(max(beyond, 0.0)), UNREST))


def _neighbour(groups: Sequence[_Groups], values: Sequence[Floats], where: Where) -> float:
    """The value of the best other place that shares a word with this one, at least 0."""
    best = 0.0
    for each, value in zip(groups, values, strict=True):
        shared = np.zeros(len(value), np.int64)
        for k, d in enumerate(each.dims):
            if d in where:
                shared += each.codes[k] == where[d]
        same = shared == len(where) if len(each.dims) == len(where) else np.zeros(len(value), bool)
        best = max(best, float(value[(shared > 0) & ~same].max(initial=0.0)))
    return best


def _candidates(cells: Cells, share: Floats) -> Iterator[_Groups]:
    """All single values, and the conjunctions of those among them that stand out."""
    totals = cells.totals()
    hot: dict[int, Flags] = {}
    for d, card in enumerate(cells.cards):
        group = _scored(cells, (d,), totals, share)
        yield group
        strongest = np.argsort(-group.score)[:SUSPECTS]
        suspects = strongest[2 * group.score[strongest] >= SUSPECT_Z**2]
        if len(suspects) and len(group.score) > 1:
            marked = np.zeros(card + 1, bool)  # the last place is that of the fold, -1
            marked[group.codes[0, suspects]] = True
            hot[d] = marked[cells.codes[d]]
    for depth in range(2, MAX_DEPTH + 1):
        for dims in combinations(hot, depth):
            held = np.flatnonzero(np.logical_and.reduce([hot[d] for d in dims]))
            if len(held):
                yield _scored(cells, dims, totals, share, held)


def _scored(
    cells: Cells, dims: tuple[int, ...], totals: Floats, share: Floats, held: Ints | slice = slice(None)
) -> _Groups:
    """The contrast of every conjunction of values of these dimensions."""
    key, size = np.zeros(1, np.int64), 1
    for d in dims:
        key = key * cells.cards[d] + cells.codes[d][held]
        size *= cells.cards[d]
    if isinstance(held, slice) and (key < 0).any():
        held = np.flatnonzero(key >= 0)
        key = key[held]
    there = np.flatnonzero(np.bincount(key, minlength=size))
    s = cells.by(key, size, held)[:, :, there]
    e, variance, expected = contrast(cells.form, s, totals)
    noisy = variance > 0
    safe = np.where(noisy, variance, 1.0)
    wide = s[:, N].sum(axis=0) > WIDE * totals[:, N].sum()
    score = np.where(noisy & ~wide, e * e / (2 * safe), 0.0)
    reach = np.where(noisy, expected / np.sqrt(safe), 0.0)
    codes = np.array(np.unravel_index(there, [cells.cards[d] for d in dims]))
    shares: Floats = np.bincount(key, share[held], size)[there].astype(np.float64)
    return _Groups(dims, codes, np.nan_to_num(score), reach, shares)
