"""What is expected of the series of a board: learnt once from the past before its window, then bucket by bucket.

A bucket is judged once, when it is over and its events have had time to arrive. What late events add afterwards is
shown but not judged again: its range stays, and a mark whose value they brought back into it is shown no longer.
Where who sends a metric's events was silent the value is unknown: neither judged nor learnt.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from analytics import window as windows
from analytics.asking import Asker, Context, ms_of
from analytics.asks import HISTORY, Ask, Where, where_of
from analytics.errors import PlumblineError
from analytics.insights.expected import Form
from analytics.query import Period, Result
from analytics.series import Bucket, Point, Series
from analytics.sources import MEMORY_S, Silence
from analytics.tiles import ms, values
from analytics.workspace import Board, Tile, Workspace

PATIENCE_S = (2.0, 15.0)  # the least and the most that a bucket's events are waited for
NEEDED = 0.05  # a source that sends less of the events than this may be silent without making a value unknown
PLACES = ("line", "kpi", "changes")  # tiles that show a series, the best picture of it first

Key = tuple[str, str, Where]  # dataset, metric, conditions of its tile
Shown = tuple[Tile, Result, Result | PlumblineError | None]  # a tile, its answer, that of the past where it was asked


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

    def __init__(self, workspace: Workspace, grain: str, form: Form) -> None:
        self._workspace, self._form = workspace, form
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
            kept = memo["expecting"] = cls(ctx.workspace, grain, ctx.form)
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
                series = self.series[key] = Series(metric, points, column, self._grain, self._form)
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
    series = Series(ctx.workspace.metrics[name], past, column, windows.parse_grain(result.grain), ctx.form)
    _taken([Turn(series, True, whole, whole, [], ms_of(ctx.now) or 0)])
    return series


def _period_before(ctx: Context, result: Result, name: str) -> list[Point]:
    """What a result is compared with, where that is the period right before it."""
    if result.previous is None or result.grain is None or ctx.base.compare != "previous":
        return []
    ago = int(1000 * (result.period.start - result.previous.start).total_seconds())
    whole = _whole(result, _times(result), values(result, f"{name}_previous"))
    return [(bucket.start - ago, bucket.value) for bucket in whole]


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


def asked_of(tile: Tile) -> list[Ask]:
    """The past before the window from which a tile's ranges are learnt."""
    names = tuple(key[1] for key in keys_of(tile))
    return [Ask(role="history", dataset=tile.dataset, metrics=names, grain=True, compare=False, back=HISTORY,
                where=where_of(tile))] if names else []  # fmt: skip
