"""One step of the expected range and its detector, over plain arrays of float64: the same as Python and `compiled`.

State of one series: `S` scalars at the places named here, `H` histograms of the features, `N` values already met,
`R` the ring of past values less their level, `P` how far values stray at each phase of the season.
"""

from __future__ import annotations

import math

from analytics.insights import shift
from analytics.insights.cells import Cells, middle_of, placed, put, within
from analytics.insights.rarity import HISTOGRAM, RAREST, rarity

NAN = math.nan
# Given once
FLOOR, ROOF, NEEDS, SEASON, RING = range(5)
# What has been learned
NOW, SEEN, PLACE, SLOW, DRIFT, RECENT, SHORT, LONG, SPREAD, SCALE, BELOW, ABOVE, TREND = range(5, 18)
LEVELS, ERRORS = 20, 24  # four smoothers and their errors; the fourth has a trend
NETS, NEAR = 28, 32  # values in each net, and what is too near to join it
# Quiet: buckets in a row, since when, how unlikely; buckets with a voice, pauses, and buckets in them
QUIET, HUSH, HUSHED, TALKS, PAUSES, PAUSED = range(36, 42)
# The incident
OPEN, RUN, BACK, CALM, SIDE, SUM = range(42, 48)
# What the last step said
LOW, HIGH, EXPECTED, EVIDENCE, EVENT, KIND, SINCE, UNTIL, SURE = range(48, 57)
SAID = 9  # of them, from LOW on; then what was said of a shift
# Values outside on one side: in a row, since when, how unlikely; buckets inside, such runs, and buckets in them
AWAY, LEFT, STRAYED, INSIDES, TRIPS, TRIPPED = range(57, 63)
WAVE = 63  # what the season adds
STATE = 64

SPIKE, DIP, SHIFT_UP, SHIFT_DOWN, SILENCE = range(1, 6)
OPENED, REOPENED, CHANGED, BACK_AGAIN, ADOPTED = range(1, 6)

FEATURES = 7
COMBINED = 5  # the histogram of the sum of the five before it
OUTSIDE = 6  # that of the distance from the expected value, in mean distances

RATES = (0.05, 0.2, 0.6, 0.3)
TREND_RATE = 0.05
NETS_KEPT = 4  # of the value, its residual, and the short mean of each
NET_SIZE = 512
MOST = 3.0  # one feature alone says no more than 1 in 1,000
MISSES = 0.05  # share of values that may lie outside
OPENS = 4.0  # evidence, -log10 of the tail, that opens an incident
RUNS = 5.0  # that of a run of values outside: asked at every bucket, it is asked for more
CLOSES = 3  # buckets back inside the range that close it
LINGERS = 24  # buckets in which the next value outside on the same side is still the same incident
SHIFTS = 12  # buckets outside until the new level is the expected one
HUSHES = 3  # quiet buckets that may be a silence


def novelty(S: Cells, N: Cells, net: int, value: float) -> float:
    """Distance to the nearest value that this net has met, which the value then joins unless it is as good as there."""
    at = net * NET_SIZE
    size = int(S[NETS + net])
    end = at + size
    place = placed(N, value, at, end)
    distance = 0.0
    if place < end:
        distance = N[place] - value
    if place > at and (place == end or value - N[place - 1] < distance):
        distance = value - N[place - 1]
    if size == 0 or distance > S[NEAR + net]:
        if size == NET_SIZE:
            thin(S, N, net)
            return distance
        put(N, value, place, end)
        S[NETS + net] = size + 1
    return distance


def thin(S: Cells, N: Cells, net: int) -> None:
    """Halve a net where it is dense: neighbours nearer than the typical gap become one."""
    at = net * NET_SIZE
    end = at + NET_SIZE
    near = typical_gap(N, at, end)
    kept = at + 1
    for i in range(at + 1, end):
        if N[i] - N[kept - 1] > near or i == end - 1:
            N[kept] = N[i]
            kept += 1
    S[NEAR + net] = near
    S[NETS + net] = kept - at


def typical_gap(N: Cells, at: int, end: int) -> float:
    """Median distance of neighbours."""
    return middle_of([N[i + 1] - N[i] for i in range(at, end - 1)])


def seasonal(S: Cells, R: Cells) -> float:
    """What the season adds at this phase: the middle of the last three seasons, each the mean of five neighbours."""
    season = int(S[SEASON])
    ring = int(S[RING])
    place = int(S[PLACE])
    if season < 2:
        return 0.0
    found = 0
    a = b = c = 0.0
    for back in range(1, 4):
        at = place - back * season
        if at < 0 or back * season + 2 >= ring:
            break
        total = 0.0
        n = 0
        first = max(at - 2, 0)
        cell = first % ring
        for _ in range(first, min(at + 3, place)):
            near = R[cell]
            if near == near:
                total += near
                n += 1
            cell = cell + 1 if cell + 1 < ring else 0
        if n:
            found += 1
            a, b, c = b, c, total / n
    if found == 3:
        return max(min(a, b), min(max(a, b), c))
    return (b + c) / found if found else 0.0


def step(S: Cells, H: Cells, N: Cells, R: Cells, P: Cells, value: float) -> None:
    """Judge one bucket by what came before, then learn it; nan is a gap, and learns nothing. Answers are in `S`."""
    place = int(S[PLACE])
    ring = int(S[RING])
    phase = place % int(max(S[SEASON], 1.0))
    season = S[WAVE] = seasonal(S, R)
    best = 0
    for i in range(1, 4):
        if S[ERRORS + i] < 0.97 * S[ERRORS + best]:
            best = i
    mean = season + S[LEVELS + best] + (S[TREND] if best == 3 else 0.0)
    scale = 0.5 * (S[SCALE] + P[phase]) if P[phase] > 0 else S[SCALE]
    low = within(mean - S[BELOW] * scale, S[FLOOR], S[ROOF])
    high = within(mean + S[ABOVE] * scale, S[FLOOR], S[ROOF])
    warm = S[SEEN] >= S[NEEDS]
    S[EXPECTED] = within(mean, S[FLOOR], S[ROOF]) if warm else NAN
    slack = 1e-9 * (abs(value) + abs(mean))
    outside = (value > high + slack) - (value < low - slack)
    S[LOW] = low if warm else NAN
    S[HIGH] = high if warm else NAN
    S[EVIDENCE] = S[EVENT] = 0.0
    S[PLACE] = place + 1
    if value != value:
        before = R[(place - int(S[SEASON])) % ring] if 2 <= S[SEASON] <= place else 0.0
        R[place % ring] = NAN
        listen(S, True, before != before)
        return
    evidence = weigh(S, H, N, value, season) if S[SEEN] > 0 else 0.0
    if warm:
        S[EVIDENCE] = evidence
        distance = min(abs(value - mean) / (scale + slack + 1e-300), 40.0)
        if S[OPEN] == 0 or S[KIND] == SILENCE:
            evidence = max(evidence, rarity(H, OUTSIDE * HISTOGRAM, 2.0 ** (0.5 * distance), OPENS))
        follow_incident(S, value, outside, evidence)
    listen(S, value <= S[FLOOR], outside == 0)
    learn(S, P, phase, value, value - season, mean, scale, outside, warm)
    R[place % ring] = value - S[SLOW] if S[SEASON] >= 2 else value


def weigh(S: Cells, H: Cells, N: Cells, value: float, season: float) -> float:
    """How rare this value is by every feature together: -log10 of the tail of their sum.

    Four novelties (of the value, of its residual, of the short means of both) and the short mean against the long one.
    """
    residual = value - season - S[SLOW]
    S[DRIFT] += max(0.1, 1 / S[SEEN]) * (residual - S[DRIFT])
    S[RECENT] += max(0.1, 1 / S[SEEN]) * (value - S[RECENT])
    swing = abs(S[SHORT] - S[LONG]) / (math.sqrt(S[SPREAD]) + 1e-12 * abs(S[LONG]) + 1e-300)
    total = min(rarity(H, 0, novelty(S, N, 0, value), RAREST), MOST)
    total += min(rarity(H, HISTOGRAM, novelty(S, N, 1, residual), RAREST), MOST)
    total += min(rarity(H, 2 * HISTOGRAM, novelty(S, N, 2, S[DRIFT]), RAREST), MOST)
    total += min(rarity(H, 3 * HISTOGRAM, novelty(S, N, 3, S[RECENT]), RAREST), MOST)
    total += min(rarity(H, 4 * HISTOGRAM, swing, RAREST), MOST)
    return rarity(H, COMBINED * HISTOGRAM, total, RAREST)


def learn(
    S: Cells, P: Cells, phase: int, value: float, level: float, mean: float, scale: float, outside: int, warm: bool
) -> None:
    """Move the smoothers, the scale and the conformal radii; an open incident moves none of them."""
    seen = S[SEEN]
    S[SEEN] = seen + 1
    if seen == 0:
        for i in range(4):
            S[LEVELS + i] = level
        S[SLOW] = level
        S[SHORT] = S[LONG] = value
    fresh = 1 / (seen + 1)
    share = max(fresh, 0.02)
    S[SHORT] += share * (value - S[SHORT])
    rate = max(fresh, 0.001)
    far = value - S[LONG]
    S[LONG] += rate * far
    S[SPREAD] = (1 - rate) * (S[SPREAD] + rate * far * far)
    if S[OPEN] > 0 or seen == 0:
        return
    S[SLOW] += max(fresh, 1 / S[SEASON] if S[SEASON] > 20 else 0.05) * (level - S[SLOW])
    most = 4 * scale + 0.5 * math.sqrt(S[SPREAD]) if warm else math.inf
    for i in range(4):
        error = level - S[LEVELS + i] - (S[TREND] if i == 3 else 0.0)
        off = abs(error)
        S[ERRORS + i] += share * ((2 * most if off > 2 * most else off) - S[ERRORS + i])
        error = within(error, -most, most)
        if i == 3:
            S[LEVELS + i] += S[TREND]
            S[TREND] += RATES[i] * TREND_RATE * error
        S[LEVELS + i] += max(fresh, RATES[i]) * error
    miss = min(abs(value - mean), most)
    S[SCALE] += share * (miss - S[SCALE])
    if S[SEASON] >= 2 and warm:
        P[phase] += (0.3 if P[phase] > 0 else 1.0) * (miss - P[phase])
    if seen >= 10:
        under_roof = mean + S[ABOVE] * scale < S[ROOF]
        over_floor = mean - S[BELOW] * scale > S[FLOOR]
        misses = MISSES / 2 if under_roof and over_floor else MISSES  # beyond a bound is none: one side has them all
        speed = max(0.2, 4 / math.sqrt(seen))
        if under_roof:
            S[ABOVE] = max(0.0, S[ABOVE] + speed * ((outside > 0) - misses))
        if over_floor:
            S[BELOW] = max(0.0, S[BELOW] + speed * ((outside < 0) - misses))


def follow_incident(S: Cells, value: float, outside: int, evidence: float) -> None:
    """Open an incident on a rare value outside its range; close it when values are back, or have become usual."""
    if S[OPEN] == 0:
        S[CALM] += 1
        lasts = persist(S, outside)
        if outside != 0 and (evidence >= OPENS or lasts >= RUNS):
            again = S[CALM] <= LINGERS and S[SIDE] == outside and S[KIND] <= DIP
            S[OPEN] = 1
            S[SURE] = min(max(evidence, lasts), math.log10(S[SEEN] + 1))
            S[EVENT] = REOPENED if again else OPENED
            S[KIND] = SPIKE if outside > 0 else DIP
            S[SIDE] = outside
            S[RUN] = 1
            S[BACK] = 0
            S[SUM] = value - S[EXPECTED]
            if not again:
                S[SINCE] = S[LEFT]
        return
    if S[KIND] == SILENCE:
        if value > S[FLOOR]:
            settle(S, S[NOW], BACK_AGAIN)
        return
    S[RUN] += 1
    S[SUM] += value - S[EXPECTED]
    if outside == S[SIDE]:
        S[BACK] = 0
    else:
        S[BACK] += 1
        if S[BACK] == 1:
            S[UNTIL] = S[NOW]
    if S[BACK] >= CLOSES:
        settle(S, S[UNTIL], BACK_AGAIN)
    elif S[RUN] >= 3 * SHIFTS or (S[RUN] >= SHIFTS and S[BACK] == 0):
        S[KIND] = SHIFT_UP if S[SIDE] > 0 else SHIFT_DOWN
        jump = S[SUM] / S[RUN]
        for i in range(4):
            S[LEVELS + i] += jump
        S[TREND] = 0
        S[SLOW] += jump
        settle(S, S[NOW], ADOPTED)


def persist(S: Cells, outside: int) -> float:
    """How unlikely this run of values outside on one side is, by the runs before it (as `listen` does for quiet)."""
    if S[AWAY] != 0 and outside * S[AWAY] <= 0:
        S[TRIPS] += 1
        S[TRIPPED] += abs(S[AWAY])
        S[AWAY] = S[STRAYED] = 0
    if outside == 0:
        S[INSIDES] += 1
    elif S[AWAY] == 0:
        S[LEFT] = S[NOW]
        S[STRAYED] = -math.log10((S[TRIPS] + 1) / (S[INSIDES] + 2))
    else:
        S[STRAYED] += -math.log10((S[TRIPPED] - S[TRIPS] + 1) / (S[TRIPPED] + 2))
    S[AWAY] += outside
    return float(S[STRAYED])


def settle(S: Cells, until: float, event: int) -> None:
    """Close the incident."""
    S[OPEN] = S[CALM] = S[AWAY] = S[STRAYED] = 0
    S[UNTIL] = until
    S[EVENT] = event


def listen(S: Cells, quiet: bool, usual: bool) -> None:
    """How unlikely this run of quiet buckets is: a two-state chain, each with the rule of succession (Laplace).

    Quiet is a gap or a value at the floor; `usual` says that the range allows for it.
    """
    was = S[QUIET] > 0
    if not quiet:
        S[TALKS] += 1
        if was:
            S[PAUSES] += 1
            S[PAUSED] += S[QUIET]
        S[QUIET] = S[HUSHED] = 0
        return
    S[QUIET] += 1
    if not was:
        S[HUSH] = S[NOW]
    if usual:
        return
    S[HUSHED] += -math.log10((S[PAUSED] - S[PAUSES] + 1) / (S[PAUSED] + 2) if was else (S[PAUSES] + 1) / (S[TALKS] + 2))
    silent = S[OPEN] > 0 and S[KIND] == SILENCE
    if S[HUSHED] >= OPENS and S[QUIET] >= HUSHES and not silent and S[SEEN] >= S[NEEDS]:
        if S[OPEN] > 0:
            S[EVENT] = CHANGED
        else:
            S[EVENT] = OPENED
            S[SINCE] = S[HUSH]
            S[SIDE] = -1
            S[RUN] = S[QUIET]
        S[OPEN] = 1
        S[KIND] = SILENCE
        S[SURE] = min(S[HUSHED], math.log10(S[SEEN] + 1))


def run(
    S: Cells, H: Cells, N: Cells, R: Cells, P: Cells, U: Cells,
    times: Cells, values: Cells, rows: Cells, first: int, end: int,
) -> None:  # fmt: skip
    """Step through the values from `first` to before `end`; each fills its row with what was said of it."""
    for i in range(first, end):
        S[NOW] = times[i]
        step(S, H, N, R, P, values[i])
        shifted(S, U, values[i])
        row = i * (SAID + shift.SAID)
        rows[row : row + SAID] = S[LOW : LOW + SAID]
        rows[row + SAID : row + SAID + shift.SAID] = U[shift.EVENT : shift.EVENT + shift.SAID]


def shifted(S: Cells, U: Cells, value: float) -> None:
    """Let the range lie where the last shift left it, and ask whether this value makes one. No score knows of it."""
    below, above = S[EXPECTED] - S[LOW], S[HIGH] - S[EXPECTED]
    if S[EXPECTED] == S[EXPECTED] and shift.moved(U):
        level = U[shift.LEVEL] + S[WAVE]
        S[LOW] = within(level - U[shift.BELOW], S[FLOOR], S[ROOF])
        S[HIGH] = within(level + U[shift.ABOVE], S[FLOOR], S[ROOF])
        S[EXPECTED] = within(level, S[FLOOR], S[ROOF])
    U[shift.EVENT] = 0
    silent = (S[OPEN] > 0 and S[KIND] == SILENCE) or (value <= S[FLOOR] and S[HUSHED] > 0)
    if value == value and below == below and not silent:
        shift.watch(U, S[NOW], value - S[WAVE], below, above, S[OPEN] > 0, S[FLOOR])
