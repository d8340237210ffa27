"""One series of a board: its model, the range of each bucket, and what happened outside it or in silence."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from itertools import pairwise
from math import isnan
from statistics import median
from typing import Any, NamedTuple

from analytics.insights import confidence as trusting
from analytics.insights.anomalies import Incident
from analytics.insights.expected import LEVEL, PLAIN, Expected, Form, Mark
from analytics.sources import Silence
from analytics.window import Grain
from analytics.workspace import Metric

USUAL = 20  # of so many buckets at most one is empty where an empty one means silence
COUNTED = ("count", "sum", "distinct")
SILENT = 2  # buckets without a value that are told as a silence
METER = 12  # steps of a reading, before it can be seen that it only grows
SHIFTS = ("shift_up", "shift_down")
FAILED = "its values could not be judged"
UNMEASURED = "no value has met its range yet"
GROWS = "a meter that only grows has no usual level"

log = logging.getLogger(__name__)

Point = tuple[int, float | None]  # start of a bucket in ms, value


class Bucket(NamedTuple):
    """A whole bucket: [start, end) in ms, its value, and who was silent in it (None: nobody)."""

    start: int
    end: int
    value: float | None
    silent: str | None = None


class Quiet(NamedTuple):
    """Neighbouring buckets without a value because `source` was silent ("": nothing at all arrived)."""

    start: int
    end: int
    length: int
    source: str


class Series:
    """One series: its model, the range of each bucket it judged, and its silences."""

    def __init__(
        self, metric: Metric, past: Sequence[Point], now: Sequence[float | None], grain: Grain, form: Form = PLAIN
    ) -> None:
        """`past` is learnt; `now` are the values still to come, which tell with it where the series has its limits."""
        self.metric = metric
        self.grain_ms = int(1000 * grain.seconds)
        self.last = past[-1][0] if past else 0
        self.end = 0  # of the bucket judged last, ms
        self.due = 0  # nothing can be judged sooner, ms
        self.bounds: dict[int, tuple[float | None, float | None]] = {}
        self.quiet: list[Quiet] = []
        self.incidents: tuple[Incident, ...] = ()
        self._seen = self._empty = 0  # buckets since the first event, and those of them without any
        known = [v for _, v in past if v is not None]
        meter = metric.aggregate == "last" and _grows([*known, *(v for v in now if v is not None)])
        self.grows = meter or metric.budget is not None
        least = min([*known, *(v for v in now if v is not None)], default=0.0)
        share = metric.unit == "percent" and metric.aggregate == "ratio"
        self.model = Expected(lower=0.0 if least >= 0 else None, upper=1.0 if share else None, form=form)
        self.failed = False
        self._past: Sequence[Point] = past

    def learn(self) -> None:
        """Learn the past before the first bucket, once: of all that a series does the longest."""
        past, self._past = self._past, ()
        if past and not self.grows and not self.failed:
            self.model.feed([t for t, _ in past], [self._known(v) for _, v in past])

    def judge(self, buckets: Sequence[Bucket]) -> None:
        """Judge and learn whole buckets, in order of time."""
        self.learn()
        if buckets:
            self.last, self.end = buckets[-1].start, buckets[-1].end
        if self.grows or self.failed or not buckets:
            return
        known = [None if b.silent is not None else self._known(b.value) for b in buckets]
        for bucket, row in zip(buckets, self.model.feed([b.start for b in buckets], known).tolist(), strict=True):
            low, high = row[:2]
            self.bounds[bucket.start] = (None, None) if isnan(low) else (low, high)
            if bucket.silent is not None or self._missed(bucket.value):
                self._silent(bucket)

    def fail(self) -> None:
        """Go on without a range, after an error that the log explains: the board shows everything else."""
        log.exception("the expected range of %s is off: %s", self.metric.name, FAILED)
        self.failed = True
        self.bounds, self.quiet, self.incidents = {}, [], ()

    def forget(self, before: int) -> None:
        """Forget ranges of buckets that left the window."""
        for t in [t for t in self.bounds if t < before]:
            del self.bounds[t]
        self.quiet = [q for q in self.quiet if q.end > before]

    def spoken(self, silences: Sequence[Silence], memory: int) -> None:
        """Forget silences, as far as senders are remembered, that late events have filled."""
        self.quiet = [q for q in self.quiet if not q.source or q.start < memory or _still(q, silences)]

    def _known(self, value: float | None) -> float | None:
        """A count of nothing is unknown before the first event, and where it means silence; else it is a zero."""
        if self.metric.aggregate not in COUNTED:
            return value
        if self._seen or value:
            self._seen += 1
            self._empty += not value
        return None if not self._seen or self._missed(value) else value

    def _missed(self, value: float | None) -> bool:
        """Whether a bucket without anything counted is silence: because hardly any other is empty."""
        return not value and 0 < self._empty * USUAL <= self._seen and self.metric.aggregate in COUNTED

    def _silent(self, bucket: Bucket) -> None:
        source = bucket.silent or ""
        last = self.quiet[-1] if self.quiet else None
        if last and last.end == bucket.start and last.source == source:
            self.quiet[-1] = last._replace(end=bucket.end, length=last.length + 1)
        else:
            self.quiet.append(Quiet(bucket.start, bucket.end, 1, source))

    # what is told of it

    @property
    def coverage(self) -> float | None:
        """Share of its own past that lay inside its range."""
        return self.model.coverage

    def band(self) -> dict[str, Any]:
        """The state of the range, as a line tile's head has it. `model` is how far it kept its word: a confidence of
        its own, for the value beside it rests on no range."""
        if self.grows or self.failed:
            off = {"state": "off", "has": 0, "needs": 0, "level": LEVEL, "coverage": None, "model": None}
            return {**off, "reason": FAILED if self.failed else GROWS}
        learning, covered = self.model.learning, self.coverage
        has, needs = learning or (0, 0)
        kept = None if learning else trusting.model(covered, LEVEL)
        unmeasured = UNMEASURED if covered is None else None
        return {
            "state": "learning" if learning else "ok",
            "has": has,
            "needs": needs,
            "level": LEVEL,
            "coverage": None if covered is None else round(covered, 3),
            "model": None if kept is None else round(kept, 4),
            "reason": f"learning, {has} of {needs} buckets" if learning else unmeasured,
        }

    def columns(self, times: Sequence[int | None]) -> tuple[list[float | None], list[float | None]]:
        """Low and high for each bucket. Until a bucket is judged, the range of the one before it stands in."""
        last = self.bounds.get(self.last, (None, None))
        found = [self.bounds.get(t or 0, last if (t or 0) > self.last else (None, None)) for t in times]
        return [low for low, _ in found], [high for _, high in found]

    def tell(self, points: Sequence[Point], now: int) -> None:
        """Put what happened within the buckets that are shown into `incidents`, oldest first."""
        if self.failed:
            return
        shown = dict(points)
        first = min(shown, default=0)
        marks = [m for m in self.model.marks if m.kind != "silence" and (m.until is None or m.until > first)]
        found = [self._told(m, points, now) for m in marks if not _came_back(m, shown)]
        found += [self._silence(q, now) for q in self.quiet if q.length >= SILENT and not _filled(q, points)]
        self.incidents = tuple(sorted(found, key=lambda i: i.since))

    def _told(self, mark: Mark, points: Sequence[Point], now: int) -> Incident:
        began = mark.since if mark.kind in SHIFTS else mark.t
        since = [v for t, v in points if v is not None and t >= began and (mark.until is None or t <= mark.until)]
        return Incident(
            metric=self.metric,
            kind=mark.kind,
            t=mark.t,
            since=mark.since,
            until=mark.until,
            value=mark.value,
            low=mark.low,
            high=mark.high,
            level=median(since) if since else mark.value,
            usual=mark.usual,
            confidence=mark.confidence,
            grain_ms=self.grain_ms,
            now=now,
        )

    def _silence(self, quiet: Quiet, now: int) -> Incident:
        return Incident(
            metric=self.metric,
            kind="silence",
            t=quiet.start,
            since=quiet.start,
            until=None if quiet.end >= self.end else quiet.end,
            source=quiet.source,
            confidence=LEVEL,
            grain_ms=self.grain_ms,
            now=now,
        )


def _grows(known: Sequence[float]) -> bool:
    """Whether a reading is a meter: from bucket to bucket it grows, and hardly ever begins anew."""
    steps = [b > a for a, b in pairwise(known)]
    return len(steps) >= METER and sum(steps) > 0.9 * len(steps)


def _came_back(mark: Mark, shown: dict[int, float | None]) -> bool:
    """Whether late events brought a marked value back into its range."""
    value = shown.get(mark.t)
    if value is None or mark.low is None or mark.high is None or mark.kind in SHIFTS:
        return False
    return mark.low <= value <= mark.high and value != mark.value


def _still(quiet: Quiet, silences: Sequence[Silence]) -> bool:
    return any(s.source == quiet.source and s.start * 1000 < quiet.end and (s.end is None or s.end * 1000 > quiet.start)
               for s in silences)  # fmt: skip


def _filled(quiet: Quiet, points: Sequence[Point]) -> bool:
    """Whether all of a full silence has values by now."""
    return not quiet.source and all(v for t, v in points if quiet.start <= t < quiet.end)
