"""What every answer shares: the context of a question, its numbers, and what may be said of them.

No data is null with confidence 0, never a zero.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pyarrow as pa

from analytics import window as windows
from analytics.booked import EVENTS, evidence_of, held_by, told_by
from analytics.errors import Overloaded, Timeout, ValidationError
from analytics.insights import confidence as trusting
from analytics.insights.confidence import Confidence
from analytics.insights.expected import PLAIN, Form, Stepping
from analytics.messages import Question
from analytics.query import ROWS, Filter, Query, Result, Total
from analytics.sources import Silence, Sources, Trust
from analytics.store.base import Store
from analytics.tiles import ms
from analytics.workspace import Metric, Workspace

LIVE_WITHIN = timedelta(minutes=2)
LAST_HOUR = Query(window=windows.parse("now-1h", "now-1h"))
BOOKING_S = 1.0
THEN = Trust(
    watermark=None, age_s=None, freshness=None, completeness=None, reporting=0, reason="nobody knows how it stood then"
)


class Answer(msgspec.Struct, kw_only=True):
    """What a question got: ready for AnalyticsUpdate."""

    analytics: dict[str, Any]
    insights: list[dict[str, Any]] = []
    confidence: Confidence = trusting.NOTHING


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """What every step of one answer shares. With an `as_of` that is also its `now`."""

    workspace: Workspace
    now: datetime
    base: Query  # window, filters, compare and as_of, no metrics yet
    asked: tuple[Filter, ...] = ()  # the filters of the request; those of the base are the key's too
    domains: tuple[str, ...] | None = None  # the only ones a key may know of
    form: Form = PLAIN  # of the models that are made for it

    @property
    def past(self) -> bool:
        return self.base.as_of is not None


class Asker:
    """One store, one workspace and what is known of the senders. Holds no state of its own."""

    def __init__(
        self, store: Store, workspace: Callable[[], Workspace], sources: Sources, stepping: Stepping | None = None
    ) -> None:
        self._store = store
        self._stepping = stepping or Stepping()
        self.workspace = workspace
        self.sources = sources

    def context(self, request: Question, now: datetime, allowed: Sequence[Filter], default: str) -> Context:
        """The context of a request; `allowed` are its key's own filters. Raises ValidationError."""
        as_of = checked_as_of(getattr(request, "as_of", None), now)
        asked = list(request.filters)
        if request.domain is not None:
            asked.append(Filter(dim="domain", values=[request.domain]))
        return Context(
            workspace=self.workspace(),
            now=as_of or now,
            base=Query(
                window=windows.parse(request.window, default),
                filters=[*allowed, *asked],
                compare="previous",
                as_of=as_of,
            ),
            asked=tuple(asked),
            form=self._stepping.form,
            domains=next((tuple(str(v) for v in f.values) for f in allowed if f.dim == "domain"), None),
        )

    async def read(self, ctx: Context, query: Query) -> Result:
        """Run a query that lists: rows or values."""
        return await self._store.query(query, now=ctx.now)

    async def run(self, ctx: Context, query: Query, deadline_s: float | None = None) -> Result:
        """Run a query; a count of nothing stays a zero only where there is reason to believe it."""
        counted = bool(query.metrics) and not query.group_by
        asked = msgspec.structs.replace(query, metrics=[*query.metrics, ROWS]) if counted else query
        patience = {} if deadline_s is None else {"deadline_s": deadline_s}
        result = await self._store.query(asked, now=ctx.now, **patience)
        if any(_used(ctx, result, name) for name in result.totals):
            await self.book(ctx)
        if counted:
            spent = [t.n for name, t in result.totals.items() if name != ROWS and metric_of(ctx, result, name).budget]
            result.rows = max(result.totals.pop(ROWS).n, *spent, 0)  # a budget has the rows of its whole period
            result.table = result.table.drop_columns([c for c in result.table.column_names if c.startswith(ROWS)])
            result.query = query
        else:
            result.rows = max((t.n for t in result.totals.values()), default=result.table.num_rows)
        for name, total in result.totals.items():
            if total.value == 0 and total.n == 0 and not self._grounded(ctx, result, name, total):
                result.totals[name] = msgspec.structs.replace(total, value=None, half_width=None)
                place = result.table.column_names.index(name)
                unknown_all = pa.nulls(result.table.num_rows, result.table[name].type)
                result.table = result.table.set_column(place, name, unknown_all)
        return result

    async def book(self, ctx: Context) -> None:
        """Every few seconds, where one call is told in more than one way: how much of what was told counts, and which
        streams are evidence alone."""
        booked = self.sources.booked
        if ctx.past or not booked.due(ctx.now):
            return
        booked.measuring(ctx.now)
        with contextlib.suppress(Timeout, Overloaded):
            told, _ = await told_by(self._store, ctx.workspace, LAST_HOUR, ctx.now, deadline_s=BOOKING_S)
            booked.held, booked.evidence = held_by(told), evidence_of(told)

    def _grounded(self, ctx: Context, result: Result, name: str, total: Total) -> bool:
        """Whether a zero is a fact: events were there, and a stream that would have brought this kind."""
        if total.n_previous:
            return True
        stored = ctx.workspace.datasets[metric_of(ctx, result, name).dataset].columns  # a file has no streams
        if result.rows == 0 or stored or ctx.past:
            return result.rows > 0
        trust = self.trust(ctx, result, name)
        return trust.reporting > 0 or bool(trust.late)

    def trust(self, ctx: Context, result: Result, name: str | None = None) -> Trust:
        """What the streams behind a metric say, or with None those of the whole dataset that was asked."""
        metric = None if name is None else metric_of(ctx, result, name)
        sources = named_sources(ctx.base.filters)
        trust = self.trust_in(
            ctx,
            metric.dataset if metric else result.query.dataset or "events",
            result.period.seconds,
            kinds=_kinds(metric, ctx.workspace) if metric else None,
            sources=sources,
        )
        counted = self.sources.booked.share(sources) if name and not ctx.past and _used(ctx, result, name) else None
        if counted is None or trust.completeness is None:
            return trust
        return msgspec.structs.replace(trust, completeness=min(trust.completeness, counted))

    def silences(self, ctx: Context, result: Result, name: str) -> list[Silence]:
        """When those who send the events of a metric were silent; of the past nobody knows."""
        metric = metric_of(ctx, result, name)
        which = {"kinds": _kinds(metric, ctx.workspace), "sources": named_sources(ctx.base.filters)}
        return [] if ctx.past else self.sources.silences(ctx.now, dataset=metric.dataset, **which)

    def trust_in(self, ctx: Context, dataset: str, window_s: float, **which: frozenset[str] | None) -> Trust:
        """What the streams of a dataset say, of these `kinds` and `sources`; of the past they say nothing."""
        return THEN if ctx.past else self.sources.trust(ctx.now, dataset=dataset, window_s=window_s, **which)

    def confidence(self, ctx: Context, result: Result, name: str, total: Total) -> Confidence:
        """How far to trust one metric's total."""
        if result.rows == 0:
            return trusting.NOTHING
        trust = self.trust(ctx, result, name)
        return trusting.of(metric_of(ctx, result, name), total, trust, live=live(result, ctx.now))


def checked_as_of(as_of: datetime | None, now: datetime) -> datetime | None:
    """A moment of the past. Raises ValidationError."""
    if as_of is None:
        return None
    if as_of.tzinfo is None:
        raise ValidationError("as_of: expected a time with its offset, got one without", hint="end it in Z for UTC")
    if as_of > now:
        raise ValidationError(
            f"as_of: expected a time up to now, {rfc3339(now)}; got {rfc3339(as_of)}", hint="leave it out to follow now"
        )
    return as_of.astimezone(UTC)


def metric_of(ctx: Context, result: Result, name: str) -> Metric:
    """The metric that a result calls by the name it was asked by."""
    return ctx.workspace.metric(name, result.query.dataset)


def live(result: Result, now: datetime) -> bool:
    """Whether a window reaches up to now, so that its newest rows may still be on their way."""
    return now - result.period.end < LIVE_WITHIN


def executed(result: Result, tz: str) -> dict[str, Any]:
    """The window as it was resolved, and whether its first and last buckets are whole."""
    return {
        "window": {
            "from": rfc3339(result.period.start),
            "to": rfc3339(result.period.end),
            "tz": tz,
            "grain": result.grain,
            "grain_s": result.grain_s,
        },
        "partial": {"first": result.partial_first, "last": result.partial_last},
    }


def freshness(trust: Trust) -> dict[str, Any]:
    """What an answer says of its watermark."""
    return {
        "watermark": rfc3339(trust.watermark) if trust.watermark else None,
        "freshness_s": None if trust.age_s is None else round(trust.age_s, 3),
        "completeness": None if trust.completeness is None else round(trust.completeness, 4),
    }


def plain(column: pa.ChunkedArray) -> list[Any]:
    """A column's values for the wire: times as RFC 3339."""
    if not pa.types.is_timestamp(column.type):
        listed: list[Any] = column.to_pylist()
        return listed
    return [None if v is None else rfc3339(v.replace(tzinfo=UTC)) for v in column.to_pylist()]


def times(result: Result, column: str) -> list[str]:
    """The starts of buckets, RFC 3339."""
    return [rfc3339(datetime.fromtimestamp((m or 0) / 1000, UTC)) for m in ms(result.table[column])]


def ms_of(moment: datetime | None) -> int | None:
    """Milliseconds since the epoch."""
    return None if moment is None else int(moment.timestamp() * 1000)


def rfc3339(moment: datetime) -> str:
    """RFC 3339 in UTC with microseconds, as the wire has it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _kinds(metric: Metric, workspace: Workspace) -> frozenset[str] | None:
    """The kinds of event a metric is made of; None when it takes any."""
    if metric.aggregate == "ratio" and metric.denominator:
        return _kinds(workspace.metrics[metric.denominator], workspace)
    kind = metric.where.get("kind")
    if kind is None:
        return None
    return frozenset(kind if isinstance(kind, list | tuple) else [kind])


def _used(ctx: Context, result: Result, name: str) -> bool:
    """Whether a metric adds up tokens or money of events."""
    if name == ROWS:
        return False
    metric = metric_of(ctx, result, name)
    if metric.aggregate == "ratio" and metric.numerator:
        return _used(ctx, result, metric.numerator)
    columns = metric.columns or (metric.column or "",)
    return metric.dataset == EVENTS and any(column.startswith(("tokens_", "cost")) for column in columns)


def named_sources(filters: Sequence[Filter]) -> frozenset[str] | None:
    for f in filters:
        if f.dim == "source" and f.op in ("is", "in"):
            return frozenset(str(v) for v in f.values)
    return None
