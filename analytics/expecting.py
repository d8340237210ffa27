"""What is expected of the series of a board: learnt once from the past before its window, then bucket by bucket.

A bucket is judged once, when it is over and its events have had time to arrive. What late events add afterwards is
shown but not judged again: its range stays, and a mark whose value they brought back into it is shown no longer.
Where who sends a metric's events was silent the value is unknown: neither judged nor learnt.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from math import isnan
from statistics import median
from typing import Any, NamedTuple

from analytics import window as windows
from analytics.asking import Asker, Context, ms_of
from analytics.asks import HISTORY, Ask, Where, where_of
from analytics.errors import PlumblineError
from analytics.insights import confidence as trusting
from analytics.insights.anomalies import Incident
from analytics.insights.expected import LEVEL, Expected, Mark
from analytics.query import Period, Result
from analytics.sources import MEMORY_S, Silence
from analytics.tiles import ms, values
from analytics.window import Grain
from analytics.workspace import Board, Metric, Tile, Workspace

PATIENCE_S = (2.0, 15.0)  # the least and the most that a bucket's events are waited for
NEEDED = 0.05  # a source that sends less of the events than this may be silent without making a value unknown
USUAL = 20  # of so many buckets at most one is empty where an empty one means silence
COUNTED = ("count", "sum", "distinct")
SILENT = 2  # buckets without a value that are told as a silence
METER = 12  # steps of a reading, before it can be seen that it only grows
SHIFTS = ("shift_up", "shift_down")
FAILED = "its values could not be judged"
UNMEASURED = "no value has met its range yet"
GROWS = "a meter that only grows has no usual level"
PLACES = ("line", "kpi", "changes")  # tiles that show a series, the best picture of it first

log = logging.getLogger(__name__)

Key = tuple[str, str, Where]  # dataset, metric, conditions of its tile
Point = tuple[int, float | None]  # start of a bucket in ms, value
Shown = tuple[Tile, Result, Result | PlumblineError | None]  # a tile, its answer, that of the past where it was asked


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

    def __init__(self, metric: Metric, past: Sequence[Point], now: Sequence[float | None], grain: Grain) -> None:
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
        self.model = Expected(lower=0.0 if least >= 0 else None, upper=1.0 if share else None)
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


class Turn(NamedTuple):
    """What is new to a series: buckets that are shown, those of them that came to their end, and who was silent."""

    series: Series
    first: bool
    whole: list[Bucket]
    over: list[Bucket]
    silences: list[Silence]
    now: int


class Expecting:
    """The series of one standing query. It lives in the query's memo, and starts afresh where its window leapt."""

    def __init__(self, workspace: Workspace, grain: str) -> None:
        self._workspace = workspace
        self._grain = windows.parse_grain(grain)
        self.grain = grain
        self.series: dict[Key, Series] = {}

    @classmethod
    def of(cls, memo: dict[Any, Any], ctx: Context, period: Period) -> Expecting:
        """That of a memo, as far as it still counts."""
        asked = ctx.base.grain or "auto"
        grain = windows.auto_grain(period) if asked == "auto" else asked
        kept: Expecting | None = memo.get("expecting")
        if kept is None or kept._workspace is not ctx.workspace or kept.grain != grain or kept._leapt(period):
            kept = memo["expecting"] = cls(ctx.workspace, grain)
        return kept

    def _leapt(self, period: Period) -> bool:
        """Whether buckets went by that nobody fed and that the window no longer shows."""
        start = ms_of(period.start) or 0
        return any(s.last and s.last + 2000 * self._grain.seconds < start for s in self.series.values())

    def knows(self, tile: Tile) -> bool:
        """Whether the past of all its series has been learnt."""
        return all(key in self.series for key in keys_of(tile))

    async def advance(self, ctx: Context, asker: Asker, shown: Iterable[Shown]) -> None:
        """Judge what came to its end in the series of these tiles. A new series learns its past beside the loop."""
        found = {turn.series: turn for tile, main, past in shown for turn in self._turns(ctx, asker, tile, main, past)}
        if any(turn.first for turn in found.values()):
            await asyncio.to_thread(_taken, found.values())
        else:
            _taken(found.values())

    def _turns(self, ctx: Context, asker: Asker, tile: Tile, main: Result, past: Any) -> Iterator[Turn]:
        now = ms_of(ctx.now) or 0
        for key in keys_of(tile):
            series, metric = self.series.get(key), ctx.workspace.metrics[key[1]]
            if series and now < series.due:
                continue
            starts, column = _times(main), values(main, metric.name)
            first = series is None
            if series is None:
                read = isinstance(past, Result)
                points = _points(past, metric.name) if read else _period_before(ctx, main, metric.name)
                series = self.series[key] = Series(metric, points, column, self._grain)
            usual_s = asker.trust(ctx, main, metric.name).usual_s or 0.0
            patience = int(1000 * min(max(usual_s, PATIENCE_S[0]), PATIENCE_S[1]))
            whole = _whole(main, starts, column)
            over = [b for b in whole if b.start > series.last and b.end + patience <= now]
            next_end = next(
                (b.end for b in whole if b.end + patience > now), (whole[-1].end if whole else now) + series.grain_ms
            )
            series.due = next_end + patience
            silences = asker.silences(ctx, main, metric.name) if over else []
            yield Turn(series, first, whole, [b._replace(silent=_silent_in(b, silences)) for b in over], silences, now)

    def of_tile(self, tile: Tile) -> list[Series]:
        """The series of a tile, in the order of its metrics."""
        return [self.series[key] for key in keys_of(tile) if key in self.series]

    def attention(self, tile: Tile) -> str | None:
        """`warn` while the series that a tile shows is outside its range, and not to the good."""
        key = (tile.dataset, tile.metrics[0], where_of(tile)) if tile.type in ("kpi", "line") and not tile.by else None
        told = self.series[key].incidents if key in self.series else ()
        return "warn" if any(i.until is None and i.tone() != "good" for i in told) else None

    def listed(self, board: Board, tz: str) -> list[dict[str, Any]]:
        """The `incidents` of a board, each with the first tile that shows it: open ones first, then the newest."""
        found = []
        for key, series in self.series.items():
            first = min((t for t in board.tiles if _shows(t, key)), key=lambda t: PLACES.index(t.type), default=None)
            found += [(i, first.id) for i in series.incidents if first]
        ranked = sorted(found, key=lambda f: (f[0].until is not None, -f[0].since, f[1]))
        return [incident.listed(tile, tz) for incident, tile in ranked]


def _shows(tile: Tile, key: Key) -> bool:
    """Whether a tile shows a series, as a line, a number or a sentence."""
    shown = tile.metrics if tile.type == "changes" else tile.metrics[:1]
    return tile.type in PLACES and (tile.dataset, where_of(tile)) == (key[0], key[2]) and key[1] in shown and not (
        tile.by and tile.type == "line")  # fmt: skip


def keys_of(tile: Tile) -> list[Key]:
    """The series of a tile whose range is followed: the first of a line, all whose changes are told."""
    watched = tile.metrics if tile.type == "changes" else tile.metrics[:1] if tile.type == "line" else ()
    return [] if tile.by and tile.type == "line" else [(tile.dataset, metric, where_of(tile)) for metric in watched]


def glimpsed(ctx: Context, result: Result, name: str) -> Series | None:
    """One metric judged where nothing is kept: the period before is what there is to learn from."""
    past = _period_before(ctx, result, name)
    if not past or result.grain is None:
        return None
    column = values(result, name)
    whole = _whole(result, _times(result), column)
    series = Series(ctx.workspace.metrics[name], past, column, windows.parse_grain(result.grain))
    _taken([Turn(series, True, whole, whole, [], ms_of(ctx.now) or 0)])
    return series


def _period_before(ctx: Context, result: Result, name: str) -> list[Point]:
    """What a result is compared with, where that is the period right before it."""
    if result.previous is None or result.grain is None or ctx.base.compare != "previous":
        return []
    ago = int(1000 * (result.period.start - result.previous.start).total_seconds())
    whole = _whole(result, _times(result), values(result, f"{name}_previous"))
    return [(bucket.start - ago, bucket.value) for bucket in whole]


def _grows(known: Sequence[float]) -> bool:
    """Whether a reading is a meter: from bucket to bucket it grows, and hardly ever begins anew."""
    steps = [b > a for a, b in pairwise(known)]
    return len(steps) >= METER and sum(steps) > 0.9 * len(steps)


def _taken(turns: Iterable[Turn]) -> None:
    """Let the series of these turns judge and tell. One that cannot is without a range from then on."""
    for turn in turns:
        try:
            _take(*turn)
        except Exception:  # whatever it is, it must not take the board down
            turn.series.fail()


def _take(
    series: Series, first: bool, whole: list[Bucket], over: list[Bucket], silences: list[Silence], now: int
) -> None:
    series.judge(over)
    if whole:
        series.forget(whole[0].start)
    if over:
        series.spoken(silences, now - 1000 * MEMORY_S)
    series.tell([(b.start, b.value) for b in whole], now)


def _times(result: Result) -> list[int]:
    """The starts of its buckets in ms."""
    return [t or 0 for t in ms(result.table["time"])]


def _points(result: Result, name: str) -> list[Point]:
    """Whole buckets of a result that ended before now."""
    points = list(zip(_times(result), values(result, name), strict=True))
    return points[1:] if result.partial_first else points


def _whole(result: Result, starts: Sequence[int], column: Sequence[float | None]) -> list[Bucket]:
    """The buckets of a result that are not cut by its window."""
    ends = [*starts[1:], ms_of(result.period.end) or 0]
    found = [Bucket(t, end, v) for t, end, v in zip(starts, ends, column, strict=True)]
    return found[1 if result.partial_first else 0 : -1 if result.partial_last else None]


def _silent_in(bucket: Bucket, silences: Iterable[Silence]) -> str | None:
    """Who was silent for half of a bucket or more and usually sends enough to matter."""
    missing = []
    for silence in silences:
        end = bucket.end if silence.end is None else silence.end * 1000
        if 2 * (min(end, bucket.end) - max(silence.start * 1000, bucket.start)) >= bucket.end - bucket.start:
            missing.append(silence)
    if sum(s.share for s in missing) < NEEDED:
        return None
    return max(missing, key=lambda s: s.share).source


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


def asked_of(tile: Tile) -> list[Ask]:
    """The past before the window from which a tile's ranges are learnt."""
    names = tuple(key[1] for key in keys_of(tile))
    return [Ask(role="history", dataset=tile.dataset, metrics=names, grain=True, compare=False, back=HISTORY,
                where=where_of(tile))] if names else []  # fmt: skip
