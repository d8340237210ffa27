"""What a series should be: a streaming 95 % range, how rare each value is, and one mark per incident.

The range: a smoothed level on top of the season (the middle of the last three), and conformal radii that follow their
own misses (Gibbs and Candès, 2021; Angelopoulos, Candès and Tibshirani, 2023). The marks: how far a value, its residual
and their short means lie from everything met before, each as a tail probability; these are summed, and the sum has its
own tail. The arithmetic is in `kernel`, that of level shifts, which no single value tells, in `shift`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from analytics.insights import kernel as k
from analytics.insights import shift
from analytics.insights.cells import Cells
from analytics.insights.rarity import HISTOGRAM
from analytics.insights.season import detect

LEVEL = 0.95
NEEDS = 30  # values before anything is judged; with a given season, two of them
MARKS = 50  # kept per series, the newest
RAREST = 500  # a mark never claims to be rarer than 1 in this many
RING = 4344  # past values kept while no season is known: three days of minutes
SEASONS = 3
FIRST_LOOK = 64  # buckets after which a season is first looked for, then each time a quarter more
RADIUS = 2.5  # of the range before any miss, in mean distances
EVIDENCE = k.EVIDENCE - k.LOW
EVENT = k.EVENT - k.LOW
SHIFT = k.SAID
SAID = k.SAID + shift.SAID

Floats = NDArray[np.float64]
Kind = Literal["spike", "dip", "shift_up", "shift_down", "silence"]
KINDS: tuple[Kind, ...] = ("spike", "dip", "shift_up", "shift_down", "silence")


class Verdict(NamedTuple):
    """What was expected of one bucket, in the unit of the series, and how rare its value is (0..1)."""

    expected: float | None
    low: float | None
    high: float | None
    score: float


class Mark(msgspec.Struct):
    """One incident: the bucket `t` that told it, and from when until when it lasted (ms; None: still open).

    `usual` and `level` are the levels before and after a shift that the test of two samples found.
    """

    t: int
    value: float | None
    low: float | None
    high: float | None
    kind: Kind
    since: int
    until: int | None
    confidence: float
    usual: float | None = None
    level: float | None = None


class Followed(NamedTuple):
    """A whole series judged: arrays as long as it (nan where unknown or learning), and the model to go on with."""

    low: Floats
    high: Floats
    expected: Floats
    score: Floats
    marks: list[Mark]
    learning: tuple[int, int] | None
    coverage: float | None
    model: Expected


class Form(NamedTuple):
    """A way to step through a series, `kernel.run` or the same compiled, and how it wants its numbers kept."""

    kept: Callable[[Floats], Cells]
    run: Callable[..., None]


PLAIN = Form(np.ndarray.tolist, k.run)


class Stepping:
    """The form of the models to come: plain until a faster one is ready."""

    def __init__(self) -> None:
        self.form = PLAIN


class Expected:
    """One series, fed bucket by bucket in order of time, a bucket without a value included.

    `season` is in buckets; None looks for one. `lower` and `upper` are what no value can pass: 0 for counts,
    durations and money. `marks` holds one Mark per incident, the newest last. The `form` is for good.
    """

    def __init__(
        self,
        *,
        season: int | None = None,
        lower: float | None = None,
        upper: float | None = None,
        form: Form = PLAIN,
    ) -> None:
        self.marks: list[Mark] = []
        self._kept, self._step = form
        self._state = self._cells(k.STATE)
        self._histograms = self._cells(k.FEATURES * HISTOGRAM)
        self._nets = self._cells(k.NETS_KEPT * k.NET_SIZE)
        self._shift = self._cells(shift.STATE)
        self._incident: Mark | None = None  # the one that the kernel speaks of
        self._shifted: Mark | None = None  # the shift that is open
        self._begun: float | None = None
        self._strays = self._cells(0)
        self._judged = self._inside = 0
        state = self._state
        state[k.FLOOR] = -math.inf if lower is None else lower
        state[k.ROOF] = math.inf if upper is None else upper
        state[k.BELOW] = state[k.ABOVE] = RADIUS
        state[k.SEASON] = season or 0
        state[k.NEEDS] = max(NEEDS, 2 * (season or 0))
        self._look: float = math.inf if season else FIRST_LOOK
        self._keep(season * SEASONS + 8 if season else FIRST_LOOK, season or 1)

    @property
    def learning(self) -> tuple[int, int] | None:
        """(values seen, values needed) while the range is not to be trusted yet; nothing is marked until then."""
        has, needs = int(self._state[k.SEEN]), int(self._state[k.NEEDS])
        return (has, needs) if has < needs else None

    @property
    def coverage(self) -> float | None:
        """Share of the judged values that lay inside their range."""
        return self._inside / self._judged if self._judged else None

    @property
    def season(self) -> int | None:
        """Buckets of the season that the range follows."""
        return int(self._state[k.SEASON]) or None

    def update(self, t: int, value: float | None) -> Verdict:
        """Judge the bucket that starts at `t` (ms) by what came before, then learn it. None learns nothing."""
        low, high, expected, score = self.feed((t,), (value,))[0].tolist()
        return Verdict(_known(expected), _known(low), _known(high), score)

    def feed(self, times: Sequence[int], values: Sequence[float | None]) -> Floats:
        """Judge and learn many buckets at once. Rows of low, high, expected, score; nan where unknown."""
        numbers = np.array(values, dtype=np.float64)
        numbers[np.isinf(numbers)] = math.nan
        starts = np.asarray(times, dtype=np.float64)
        said = self._run(starts, numbers)
        low, high = said[:, 0], said[:, 1]
        judged = ~np.isnan(low) & ~np.isnan(numbers)
        self._judged += int(judged.sum())
        self._inside += int((judged & (low <= numbers) & (numbers <= high)).sum())
        for i in np.flatnonzero(said[:, EVENT] + said[:, SHIFT]):
            row = said[i].tolist()
            if row[EVENT]:
                self._mark(int(starts[i]), float(numbers[i]), row[:SHIFT])
            if row[SHIFT]:
                self._shift_told(int(starts[i]), float(numbers[i]), row)
        said[:, EVIDENCE] = 1 - 10 ** -said[:, EVIDENCE]
        return said[:, : EVIDENCE + 1]

    def _run(self, starts: Floats, numbers: Floats) -> Floats:
        """What the kernel says of each bucket. It stops to look for a season when it is time to."""
        n = len(numbers)
        rows, at, given = self._cells(n * SAID), self._kept(starts), self._kept(numbers)
        if self._begun is None and n:
            self._begun = float(starts[0])
        first = 0
        while first < n:
            end = int(min(n, first + self._look - self._state[k.PLACE]))
            self._step(
                self._state,
                self._histograms,
                self._nets,
                self._ring,
                self._strays,
                self._shift,
                at,
                given,
                rows,
                first,
                end,
            )
            first = end
            if self._state[k.PLACE] >= self._look:
                self._look_for_season()
        return np.asarray(rows, dtype=np.float64).reshape(n, SAID)

    def _cells(self, n: int) -> Cells:
        return self._kept(np.zeros(n))

    def _look_for_season(self) -> None:
        """Look for a season in the past that is kept, and keep more of it until one is found."""
        state = self._state
        place, old = int(state[k.PLACE]), int(state[k.SEASON])
        past = self._past()
        bucket_ms = (state[k.NOW] - (self._begun or 0.0)) / max(place - 1, 1)
        found = detect(past, bucket_ms) or old
        self._look = math.ceil(1.25 * place) if place < RING else place + RING
        size = min(RING, self._look)
        if found != old:
            level = float(np.nanmean(past))
            past -= level
            state[k.SLOW] = level + (state[k.SLOW] if old else 0.0)
            state[k.SEASON] = found
        self._keep(size, found or 1, past)
        if found != old:
            self._shift[shift.MET] = 0
            for i in range(4):
                state[k.LEVELS + i] = state[k.SLOW]
            state[k.TREND] = 0.0

    def _past(self) -> Floats:
        """The values that the ring holds, oldest first."""
        place, size = int(self._state[k.PLACE]), len(self._ring)
        ring = np.array(self._ring)
        return np.roll(ring, -(place % size)) if place >= size else ring[:place]

    def _keep(self, size: int, season: int, past: Floats | None = None) -> None:
        """Make room for `size` past values, and one scatter for each phase of the season."""
        ring = np.full(size, math.nan)
        self._state[k.RING] = size
        if len(self._strays) != season:
            self._strays = self._cells(season)
        if past is not None:
            place = int(self._state[k.PLACE])
            kept = min(len(past), size)
            ring[np.arange(place - kept, place) % size] = past[len(past) - kept :]
        self._ring = self._kept(ring)

    def _mark(self, t: int, value: float, said: list[float]) -> None:
        """Write down what happened to an incident. While a shift is open, what is rare beside it is a part of it."""
        low, high, _, _, event, kind, since, until, sure = said
        named = KINDS[int(kind) - 1]
        if event == k.OPENED or (event == k.CHANGED and self._incident is None):
            part = self._shifted is not None and named != "silence"
            rarest = max(10**-sure, 1 / RAREST)
            mark = Mark(t, _known(value), _known(low), _known(high), named, int(since), None, 1 - rarest)
            self._incident = None if part else self._add(mark)
        elif self._incident is not None:
            self._incident.kind = named
            self._incident.until = None if event in (k.REOPENED, k.CHANGED) else int(until)

    def _shift_told(self, t: int, value: float, said: list[float]) -> None:
        """Write down a shift: as what became of the incident that it began as, where there is one."""
        low, high, *_ = said
        event, since, side, old, new, met = said[SHIFT:]
        last = self.marks[-1] if self.marks else None
        kinds: tuple[Kind, Kind] = ("spike", "shift_up") if side > 0 else ("dip", "shift_down")
        if event == shift.SHIFTED:
            if last is None or last.kind not in kinds or (last.until is not None and last.until <= since):
                sure = 1 - max(1 / RAREST, 1 / (met + 1))
                last = self._add(Mark(t, _known(value), _known(low), _known(high), kinds[1], 0, None, sure))
            if last is self._incident:
                self._incident = None
            last.kind, last.since, last.until, self._shifted = kinds[1], int(since), None, last
        if (mark := self._shifted) is None:
            return
        mark.usual, mark.level = old, new
        if event == shift.RETURNED:
            mark.kind = "spike" if mark.kind == "shift_up" else "dip"
        if event in (shift.RETURNED, shift.SETTLED):
            mark.until = int(since) if event == shift.RETURNED else t
            self._shifted = None

    def _add(self, mark: Mark) -> Mark:
        self.marks = [*self.marks, mark][-MARKS:]
        return mark


def follow(
    times: Sequence[int],
    values: Sequence[float | None],
    *,
    season: int | None = None,
    lower: float | None = None,
    upper: float | None = None,
) -> Followed:
    """Judge a whole series (starts of buckets in ms, values) at once: the same answers as `update` one by one."""
    model = Expected(season=season, lower=lower, upper=upper)
    low, high, expected, score = model.feed(times, values).T
    return Followed(low, high, expected, score, model.marks, model.learning, model.coverage, model)


def _known(number: float) -> float | None:
    return None if math.isnan(number) else number
