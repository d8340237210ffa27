"""Level shifts: whether the newest values of a series lie on another level than those before them.

A two-sample test on what remains without the season, asked anew at every bucket: the last 5 to 12 values against up to
96 before them, as a difference of means of clipped values (Huber, 1964) over the scatter of the earlier ones, widened
for their autocorrelation by (1 + r) / (1 - r) (Bartlett, 1946). The level before is taken twice, as a mean and as a
line drawn on, and the lesser difference counts: a trend is no shift. Where the shift began is the split of the largest
statistic (Page, 1955; Hawkins, 1977).

State of one series: `U`, scalars at the places named here, then two rings: residuals, each written twice so that the
newest lie side by side, and the times of their buckets.
"""

from __future__ import annotations

import math

from analytics.insights.cells import Cells, middle_of, within

BEFORE = 96  # values that a shift is measured against, at most
LEAST = 24  # and at least
NEWEST = 12  # values that may lie on the new level
FEWEST = 5
RING = BEFORE + NEWEST
CLIP = 3.0  # robust standard deviations beyond which a value says no more
TELLS = 4.0  # the statistic that tells a shift
MORE = 0.75  # that a shift needs in addition for each one of late,
MOST = 2.0  # up to so many; half of them are forgotten in 350 buckets
FADES = 0.998
HOLDS = 2.6  # and that lets the range wait for what comes
LARGE = 1.2  # robust standard deviations that a shift has at least
NEAR = 8  # values right before the split,
STEEP = 0.6  # from which at least this share of the jump is seen
GATE = 0.9  # mean distances that the newest values must lie off before the test is worth its time
USUAL = 20  # buckets after which a new level is the expected one
PATIENT = 12  # buckets in which a range waits no longer

# What has been learned
MEAN, OFF, BELOW, ABOVE = range(4)
# What the test said: old and new level, the statistic, values on the new level
OLD, NEW, TOLD, RUN = range(4, 8)
# The range of its own: its level, and buckets that it waits; buckets since the shift began; shifts of late
LEVEL, HELD, AGE, OFTEN = range(8, 12)
# What the last step said: an event, when the level changed, to which side, from where to where; values met
EVENT, SINCE, SIDE, FROM, TO, MET = range(12, 18)
SAID = 6  # of them, from EVENT on
RINGS = 18
TIMES = RINGS + 2 * RING
STATE = TIMES + RING

SHIFTED, GREW, RETURNED, SETTLED = range(1, 5)


def watch(U: Cells, now: float, residual: float, below: float, above: float, frozen: bool, floor: float) -> None:
    """Take in one value less its season; `below` and `above` are how far the range reaches from what is expected.

    `frozen` says that an incident holds the range where it was. Answers are in `U`.
    """
    met = int(U[MET])
    at = met % RING
    U[RINGS + at] = U[RINGS + RING + at] = residual
    U[TIMES + at] = now
    U[MET] = met + 1
    U[EVENT] = 0
    rate = max(1 / (met + 1), 0.02)
    U[MEAN] += rate * (residual - U[MEAN])
    far = abs(residual - U[MEAN])
    U[OFF] += rate * (min(far, 4 * U[OFF] if met >= LEAST else far) - U[OFF])
    U[TOLD] = 0.0
    if met + 1 >= LEAST + FEWEST:
        newest = 0.0
        last = RINGS + RING + at
        for cell in range(last, last - FEWEST, -1):
            newest += U[cell]
        if abs(newest / FEWEST - U[MEAN]) > GATE * U[OFF]:
            compare(U)
    decide(U, below, above, frozen, floor)


def compare(U: Cells) -> None:
    """The test: the statistic of the best split (signed), the levels on both sides of it, and when it was."""
    met = int(U[MET])
    kept = min(met, RING)
    newest = min(NEWEST, kept - LEAST)
    n = kept - newest
    first = RINGS + (met - kept) % RING
    old = U[first : first + n]
    new = U[first + n : first + kept]
    centre = middle_of(old)
    scatter = 1.4826 * middle_of([abs(x - centre) for x in old])
    if scatter <= 0:
        scatter = 1.2533 * sum(sorted([abs(x - centre) for x in old])) / n
    if scatter <= 1e-12 * abs(centre) or not off(new, centre, 0.999 * LARGE * scatter):
        return
    clipped = [within((x - centre) / scatter, -CLIP, CLIP) for x in old]
    mean = sum(clipped) / n
    middle = (n - 1) / 2
    slope = 0.0
    for i in range(n):
        slope += (i - middle) * clipped[i]
    slope /= n * (n * n - 1) / 12
    square = product = last = 0.0
    for i in range(n):
        error = clipped[i] - mean - slope * (i - middle)
        square += error * error
        product += error * last
        last = error
    if square <= 0:
        return
    alike = product / square
    alike = min(max(alike + (1 + 4 * alike) / n, 0.0), 0.95)
    wider = (1 + alike) / (1 - alike)
    variance = square / (n - 2)
    total = squares = 0.0
    for w in range(1, newest + 1):
        value = within((new[newest - w] - centre) / scatter, -CLIP - 1, CLIP + 1)
        total += value
        squares += value * value
        if w < FEWEST:
            continue
        after = wider * max(variance, (squares - total * total / w) / (w - 1)) / w
        before = wider * variance / n
        level = total / w - mean
        ahead = middle + newest - w / 2 + 0.5
        line = level - slope * ahead
        told = level / math.sqrt(after + before)
        drawn = line / math.sqrt(after + before * (1 + 12 * ahead * ahead / (n * n - 1)))
        if told * drawn <= 0:
            continue
        if abs(drawn) < abs(told):
            told = drawn
        if abs(told) > abs(U[TOLD]):
            U[TOLD] = told
            U[RUN] = w
    run = int(U[RUN])
    if U[TOLD] == 0:
        return
    late = middle_of(new[newest - 3 :])
    U[NEW] = middle_of(new[newest - run :])
    while run > 1 and abs(new[newest - run] - centre) < abs(new[newest - run] - U[NEW]):  # it still lies with the old
        run -= 1
    U[RUN] = run
    U[OLD] = centre
    jump = U[NEW] - centre
    near = 0.0  # how much of the jump lies right at the split: all of a step, little of a bend
    for back in range(run, run + NEAR):
        near += within((U[RINGS + (met - 1 - back) % RING] - centre) / scatter, -CLIP - 1, CLIP + 1) / NEAR
    if (
        jump * U[TOLD] < LARGE * scatter * abs(U[TOLD])
        or (late - centre) / jump < 0.5
        or 1 - near * scatter / jump < STEEP
    ):
        U[TOLD] = 0.0


def off(new: Cells, centre: float, least: float) -> bool:
    """Whether the middle of enough newest values lies that far from the centre: else no shift can be told."""
    over = under = 0
    for i in range(len(new)):
        away = new[len(new) - 1 - i] - centre
        over += away >= least
        under += away <= -least
        if i + 1 >= FEWEST and (2 * over > i or 2 * under > i):
            return True
    return False


def decide(U: Cells, below: float, above: float, frozen: bool, floor: float) -> None:
    """What the statistic means: a shift, more of the one that is open, its return, or only that the range waits."""
    side = (U[TOLD] > 0) - (U[TOLD] < 0)
    told = abs(U[TOLD]) >= TELLS + MORE * U[OFTEN]
    U[OFTEN] *= FADES
    if U[SIDE] != 0:
        U[AGE] += 1
        if told and side != U[SIDE] and (U[NEW] - (U[FROM] + U[LEVEL]) / 2) * U[SIDE] < 0:
            move(U, floor)
            U[EVENT] = RETURNED
            U[SIDE] = 0
            U[HELD] = 0
            return
        if told and side == U[SIDE]:
            since = U[SINCE]
            move(U, floor)
            U[SINCE] = since
            U[EVENT] = GREW
        else:
            last = RINGS + RING + (int(U[MET]) - 1) % RING + 1
            U[LEVEL] = middle_of(U[last - int(min(U[AGE], USUAL)) : last])
        U[TO] = U[LEVEL]
        if U[AGE] >= USUAL and not frozen:
            U[EVENT] = SETTLED
            U[SIDE] = 0
        return
    if told:
        U[FROM] = U[OLD]
        U[SIDE] = side
        U[TO] = U[NEW]
        U[AGE] = U[RUN]
        U[OFTEN] = min(U[OFTEN] + 1, MOST)
        U[HELD] = 0
        U[EVENT] = SHIFTED
        move(U, floor)
    elif abs(U[TOLD]) >= HOLDS and U[HELD] < PATIENT:
        if U[HELD] == 0:
            U[LEVEL] = U[OLD]
        U[HELD] += 1
    else:
        if abs(U[TOLD]) < HOLDS:
            U[HELD] = 0
        if U[HELD] == 0:
            U[BELOW] += (0.1 if U[BELOW] > 0 else 1.0) * (below - U[BELOW])
            U[ABOVE] += (0.1 if U[ABOVE] > 0 else 1.0) * (above - U[ABOVE])


def move(U: Cells, floor: float) -> None:
    """Take the new level for the usual one: all values before the split are moved on to it."""
    met, run = int(U[MET]), int(U[RUN])
    old, new = U[OLD], U[NEW]
    ratio = 1.0
    if floor >= 0 and old > 0 and new > 0:
        ratio = min(max(new / old, 0.5), 2.0)
    kept = min(met, RING)
    U[SINCE] = U[TIMES + (met - run) % RING]
    for i in range(met - kept, met - run):
        at = RINGS + i % RING
        U[at] = U[at + RING] = new + ratio * (U[at] - old)
    U[MEAN] = U[LEVEL] = new
    U[OFF] *= ratio
    U[BELOW] *= ratio
    U[ABOVE] *= ratio


def moved(U: Cells) -> bool:
    """Whether the range is to lie about LEVEL: after a shift until it is usual, and while one may have begun."""
    return bool(U[SIDE] != 0 or 0 < U[HELD] < PATIENT)
