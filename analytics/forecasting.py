"""Answers `forecast`: reads a metric's history and continues it with intervals; says when limits are reached."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import numpy as np

from analytics import window as windows
from analytics.asking import LIVE_WITHIN, Answer, Asker, Context, freshness, live, rfc3339, times
from analytics.asks import series
from analytics.errors import PlumblineError, ValidationError
from analytics.insights import confidence as trusting
from analytics.insights.changes import Insight
from analytics.insights.confidence import Confidence
from analytics.insights.forecast import LEVEL
from analytics.insights.limits import Reach
from analytics.insights.reaching import Outlook, Turns, ahead, crossing
from analytics.messages import Forecast, Question
from analytics.query import Filter, Period, Result, Window
from analytics.sources import Trust
from analytics.tiles import by_group
from analytics.workspace import Board, Metric, Workspace

MAX_HORIZON = 60
STEPS = 400  # of history at most, where nobody says how long a step is
DEFAULT = "now-14d"
DAY_S, WEEK_S = 86_400, 604_800
SCALES = (("5m", "now-3d", timedelta(minutes=1)), ("1h", "now-28d", timedelta(minutes=10)))  # grain, history, how often
FAR = ("12h", "now-60d", timedelta(hours=1))  # of what is spent in a week or a month
UNMEASURED = 0.5  # what an interval is worth whose like was never measured
FEWEST = 12  # buckets, of which a number says nothing yet
DEADLINE_S = 2.0  # no board waits longer for a forecast
COUNTED = ("count", "sum", "distinct", "budget")
NEVER_NEGATIVE = ("ms", "s", "bytes", "bytes_per_s", "usd")

Memo = dict[Any, Any]


class History(msgspec.Struct, frozen=True, kw_only=True):
    """A metric in whole buckets, up to the watermark. `limit` is the newest reading of the metric that tells it."""

    metric: Metric
    result: Result
    grain: str
    starts: list[datetime]
    values: list[float | None]
    limit: float | None
    reading: bool  # it is what was read at the end of a bucket
    trust: Trust

    @property
    def reason(self) -> str | None:
        """Why it has no limit, where it should have one."""
        return self.result.totals[self.metric.name].reason

    @property
    def step(self) -> timedelta:
        return timedelta(seconds=windows.parse_grain(self.grain).seconds)

    def at(self, steps: float) -> datetime:
        """The moment so many steps after the newest value, which a sum or a mean has in the middle of its bucket."""
        return self.starts[-1] + self.step * (steps + (1.0 if self.reading else 0.5))

    def next(self, count: int, tz: str) -> list[datetime]:
        """The starts of the buckets that follow, on the same grid."""
        if not self.starts:
            return []
        span = Period(self.starts[-1], self.starts[-1] + self.step * (count + 2))
        return [edge for edge in windows.buckets(span, self.grain, tz) if edge > self.starts[-1]][:count]

    def ahead(self, horizon: int) -> Outlook:
        """The series continued."""
        lower, upper = _bounds(self.metric, self.values)
        turns = self._turns(horizon) if self.values else None
        return ahead(self.values, horizon, seasons=_seasons(self.grain), lower=lower, upper=upper, turns=turns)

    def _turns(self, horizon: int) -> Turns | None:
        """When a budget begins anew."""
        budget = self.metric.budget
        if budget is None or self.metric.part != "spent":
            return None
        begins = [budget.period_of(start + self.step).start for start in self.starts]
        ends = (self.starts[-1] + self.step * (k + 2) for k in range(horizon))
        resets = next((k for k, end in enumerate(ends) if budget.period_of(end).start != begins[-1]), horizon)
        return Turns([int(begin.timestamp()) for begin in begins], resets)


class Forecaster:
    """Forecasts metrics of one workspace. What it remembers is in the memo of each standing query."""

    def __init__(self, asker: Asker) -> None:
        self._asker = asker

    async def answer(self, request: Forecast, now: datetime, allowed: Sequence[Filter]) -> Answer:
        """Points, intervals and when a limit is reached. Raises NotFound, ValidationError, Timeout."""
        if not 1 <= request.horizon <= MAX_HORIZON:
            raise ValidationError(f"horizon: expected 1 to {MAX_HORIZON} steps, got {request.horizon}")
        ctx = self._asker.context(request, now, allowed, DEFAULT)
        metric = ctx.workspace.metric(request.metric, request.dataset)
        period = windows.resolve(ctx.base.window, ctx.now)
        history = await self._history(ctx, metric, request.grain or windows.auto_grain(period, STEPS))
        limit = history.limit if request.limit_at is None else request.limit_at
        outlook = await asyncio.to_thread(history.ahead, request.horizon)
        reach = None if limit is None or not history.values else _reach(history, outlook, limit, ctx.now)
        doubt = _doubt(history, outlook)
        told = [reach.insight(ctx.now, ctx.base.window.tz)] if reach and reach.at else []
        return Answer(
            analytics={
                **_about(history, outlook, ctx.base.window.tz),
                "limit_at": limit,
                "reaches": _wire(reach),
                "reason": (doubt or reach.reason) if reach else (history.reason or doubt),
                **freshness(history.trust),
            },
            insights=[each.wire() for each in told],
            confidence=_confidence(history, outlook),
        )

    async def tell(self, ctx: Context, board: Board, tiles: dict[str, dict[str, Any]], memo: Memo) -> list[Insight]:
        """Put into the heads of numbers when they reach their limits, and at the top of what changed what is near."""
        period = windows.resolve(ctx.base.window, ctx.now)
        if ctx.now - period.end >= LIVE_WITHIN:
            return []
        shown = [tile for tile in board.tiles if tile.type == "kpi" and tiles[tile.id]["head"]["state"] == "ok"]
        limited = [tile for tile in shown if ctx.workspace.metrics[tile.metrics[0]].limit is not None]
        asked = (self._outlook(ctx, tile.metrics[0], series(tile)[0].filters(), memo) for tile in limited)
        near: dict[str, Insight] = {}
        for tile, reach in zip(limited, await asyncio.gather(*asked), strict=True):
            if reach is None:
                continue
            tiles[tile.id]["head"]["forecast"] = reach.head(ctx.now, ctx.base.window.tz)
            if reach.news(ctx.now, period.end - period.start):
                near.setdefault(reach.metric.name, reach.insight(ctx.now, ctx.base.window.tz))
        for tile in board.tiles:
            if tile.type == "changes" and near:
                items = tiles[tile.id]["head"].get("items")
                tiles[tile.id]["head"]["items"] = [*(i.item() for i in near.values()), *(items or [])]
        return list(near.values())

    async def near(self, request: Question, now: datetime, allowed: Sequence[Filter], memo: Memo) -> list[Insight]:
        """What is told of every limit that is near."""
        ctx = self._asker.context(request, now, allowed, "now-1h")
        period = windows.resolve(ctx.base.window, ctx.now)
        if ctx.now - period.end >= LIVE_WITHIN:
            return []
        reaches = await asyncio.gather(*(self._outlook(ctx, name, [], memo) for name in limited(ctx.workspace)))
        told = [reach for reach in reaches if reach and reach.news(ctx.now, period.end - period.start)]
        return [reach.insight(ctx.now, ctx.base.window.tz) for reach in told]

    async def _outlook(self, ctx: Context, name: str, filters: Sequence[Filter], memo: Memo) -> Reach | None:
        return (await self.outlooks(ctx, name, filters, memo)).get(None)

    async def outlooks(
        self,
        ctx: Context,
        name: str,
        filters: Sequence[Filter],
        memo: Memo,
        limits: Mapping[str, float] | None = None,
    ) -> dict[str | None, Reach]:
        """When a metric reaches its limit, or each of these values of a budget's dimension its own: on the finest scale
        on which that is in sight, else what the coarsest says. Looked at again once a minute at most."""
        metric, found = ctx.workspace.metrics[name], dict[str | None, Reach]()
        far = metric.budget is not None and metric.budget.period != "day"
        for grain, since, often in (*SCALES, FAR) if far else SCALES:
            asked = tuple((f.dim, f.op, tuple(f.values)) for f in filters)
            key = ("forecast", name, grain, asked, tuple(sorted(limits or ())))
            kept = memo.get(key)
            if kept is None or kept[1] is not ctx.workspace or not ctx.now - kept[0] < often:
                window = Window(since, "now", ctx.base.window.tz)
                base = msgspec.structs.replace(ctx.base, window=window, filters=[*ctx.base.filters, *filters])
                there = msgspec.structs.replace(ctx, base=base)
                kept = memo[key] = (ctx.now, ctx.workspace, await self._reaches(there, metric, grain, limits))
            found |= {of: reach for of, reach in kept[2].items() if of not in found or not found[of].settled}
            if found and all(reach.settled for reach in found.values()):
                break
        return found

    async def _reaches(
        self, ctx: Context, metric: Metric, grain: str, limits: Mapping[str, float] | None
    ) -> dict[str | None, Reach]:
        try:
            told = await self._histories(ctx, metric, grain, limits, DEADLINE_S)
        except PlumblineError:  # a number without a forecast is better than no number
            return {}
        found: dict[str | None, Reach] = {}
        for of, history in told.items():
            if history.limit is not None and len(history.values) >= FEWEST:
                outlook = await asyncio.to_thread(history.ahead, MAX_HORIZON)
                found[of] = _reach(history, outlook, history.limit, ctx.now)
        return found

    async def _histories(
        self, ctx: Context, metric: Metric, grain: str, limits: Mapping[str, float] | None, deadline_s: float
    ) -> dict[str | None, History]:
        """That of a metric, or of each of these values of a budget's dimension."""
        if limits is None or metric.budget is None:
            return {None: await self._history(ctx, metric, grain, deadline_s)}
        by = metric.budget.by
        filters = [*ctx.base.filters, Filter(dim=by, op="in", values=[*limits])]
        asked = {"metrics": [metric.name], "group_by": [by], "filters": filters, "dataset": metric.dataset}
        query = msgspec.structs.replace(ctx.base, grain=grain, compare=None, **asked)
        result = await self._asker.run(ctx, query, deadline_s)
        stamps, groups = by_group(result, (by,), (metric.name,))
        starts = [datetime.fromtimestamp((stamp or 0) / 1000, UTC) for stamp in stamps]
        return {
            str(group[0]): self._told(ctx, metric, result, grain, starts, columns[0], limits[str(group[0])])
            for group, columns in groups.items()
            if group and str(group[0]) in limits
        }

    async def _history(self, ctx: Context, metric: Metric, grain: str, deadline_s: float | None = None) -> History:
        told = metric.limit if isinstance(metric.limit, str) else None
        names = [metric.name, *([told] if told else [])]
        query = msgspec.structs.replace(ctx.base, metrics=names, grain=grain, compare=None, dataset=metric.dataset)
        result = await self._asker.run(ctx, query, deadline_s)
        starts = [datetime.fromisoformat(t) for t in times(result, "time")]
        values = result.table[metric.name].to_pylist()
        limit = None if isinstance(metric.limit, str) else metric.limit
        if metric.budget is not None and result.totals[metric.name].reason:  # it limits more than is seen here
            limit = None
        if told:
            limit = next((v for v in reversed(result.table[told].to_pylist()) if v is not None), None)
        return self._told(ctx, metric, result, grain, starts, values, limit)

    def _told(
        self,
        ctx: Context,
        metric: Metric,
        result: Result,
        grain: str,
        starts: list[datetime],
        values: list[float | None],
        limit: float | None,
    ) -> History:
        """What is whole of a series, without the nothing before it."""
        first, end = _first(metric, values), self._end(ctx, result, metric, starts)
        while end > first and values[end - 1] is None:
            end -= 1
        return History(
            metric=metric,
            result=result,
            grain=grain,
            starts=starts[first:end],
            values=values[first:end],
            limit=limit,
            reading=_reading(metric, ctx.workspace),
            trust=self._asker.trust(ctx, result, metric.name),
        )

    def _end(self, ctx: Context, result: Result, metric: Metric, starts: Sequence[datetime]) -> int:
        """How many buckets are whole: over, and behind the watermark where data is still on its way."""
        end = len(starts) - (1 if result.partial_last else 0)
        trust = self._asker.trust(ctx, result, metric.name)
        if trust.watermark is None or not live(result, ctx.now):
            return end
        step = timedelta(seconds=result.grain_s or 0)
        while end > 1 and starts[end - 1] + step > trust.watermark:
            end -= 1
        return end


def limited(workspace: Workspace) -> list[str]:
    """The metrics of the events that have a limit; not those of which another is the share that is used."""
    found = [m for m in workspace.metrics.values() if m.limit is not None and m.dataset == "events"]
    return [m.name for m in found if not any(other.numerator == m.name for other in found)]


def _about(history: History, outlook: Outlook, tz: str) -> dict[str, Any]:
    """What was read and what comes next, as the reply has it."""
    metric, made = history.metric, outlook.shown
    value, low, high = ([v if np.isfinite(v) else None for v in each.tolist()] for each in made[:3])
    return {
        "metric": metric.name,
        "unit": metric.unit,
        "per": metric.per,
        "good": metric.good,
        "dataset": metric.dataset,
        "window": {
            "from": rfc3339(history.result.period.start),
            "to": rfc3339(history.result.period.end),
            "tz": tz,
        },
        "grain": history.grain,
        "grain_s": windows.parse_grain(history.grain).seconds,
        "history": [{"t": rfc3339(t), "value": v} for t, v in zip(history.starts, history.values, strict=True)],
        "points": [
            {"t": rfc3339(t), "value": v, "low": lo, "high": hi}
            for t, v, lo, hi in zip(history.next(len(value), tz), value, low, high, strict=False)
        ],
        "level": LEVEL,
        "calibrated": made.calibrated,
        "coverage": None if made.coverage is None else round(made.coverage, 4),
    }


def _reach(history: History, outlook: Outlook, limit: float, now: datetime) -> Reach:
    """The crossing of a limit in time; nothing that is to come lies before now."""
    found = crossing(outlook, limit, history.metric.good)
    moments = (found.at, found.earliest, found.latest)
    at, earliest, latest = (None if steps is None else max(now, history.at(steps)) for steps in moments)
    return Reach(
        metric=history.metric,
        at=at,
        earliest=earliest,
        latest=latest,
        until=history.at(len(outlook.made.value)),
        reason=found.reason,
        doubt=_doubt(history, outlook),
        confidence=_confidence(history, outlook).headline,
    )


def _wire(reach: Reach | None) -> dict[str, str | None] | None:
    if reach is None or reach.at is None:
        return None
    moments = (("at", reach.at), ("earliest", reach.earliest), ("latest", reach.latest))
    return {name: None if moment is None else rfc3339(moment) for name, moment in moments}


def _confidence(history: History, outlook: Outlook) -> Confidence:
    """An interval that was never measured is worth no more than even odds."""
    if not history.values:
        return trusting.NOTHING
    made = outlook.made
    model = trusting.model(made.coverage, LEVEL) if made.calibrated else UNMEASURED
    return Confidence(None, history.trust.freshness, history.trust.completeness, model)


def _doubt(history: History, outlook: Outlook) -> str | None:
    """Why the intervals are not calibrated."""
    told = outlook.made.reason
    seasons = _seasons(history.grain)
    if told is None or not seasons:
        return told
    return told.replace("seasons", "days" if seasons[0] * history.step.total_seconds() == DAY_S else "weeks")


def _seasons(grain: str) -> tuple[int, ...]:
    """Lengths of the day or the week in buckets; grains that divide neither have none."""
    step = windows.parse_grain(grain).seconds
    return tuple(int(season / step) for season in (DAY_S, WEEK_S) if season % step == 0 and season > step)


def _reading(metric: Metric, workspace: Workspace) -> bool:
    """Whether a metric is what was read last, or a ratio of such."""
    if metric.numerator is not None:
        return _reading(workspace.metrics[metric.numerator], workspace)
    return metric.aggregate in ("last", "max", "min", "budget")


def _bounds(metric: Metric, values: Sequence[float | None]) -> tuple[float | None, float | None]:
    """What no value of a metric can leave: counts are never negative, shares never more than the whole."""
    known = [v for v in values if v is not None]
    lower = metric.aggregate in COUNTED or metric.unit in NEVER_NEGATIVE or metric.unit == "percent"
    upper = metric.unit == "percent" and max(known, default=0.0) <= 1
    return 0.0 if lower and min(known, default=0.0) >= 0 else None, 1.0 if upper else None


def _first(metric: Metric, values: Sequence[float | None]) -> int:
    """The first bucket that tells something: a count of nothing before the first event is no history."""
    nothing = (None, 0) if metric.aggregate in COUNTED else (None,)
    return next((place for place, value in enumerate(values) if value not in nothing), len(values))
