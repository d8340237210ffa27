"""The analytics agent: a typed request in; numbers, what they mean and how far to trust them out.

Numbers come from results, never from text. No data is null with confidence 0, never a zero.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pyarrow as pa

from analytics import window as windows
from analytics.errors import Internal, NotFound, PlumblineError, ValidationError, nearest, unknown
from analytics.insights import changes as changed
from analytics.insights import confidence as trusting
from analytics.insights.changes import Insight, change_of
from analytics.insights.confidence import Confidence
from analytics.messages import (
    AgentAnalytics,
    BoardRequest,
    FlowAnalytics,
    QueryRequest,
    Question,
    ResourceAnalytics,
)
from analytics.query import Filter, Query, Result, Total
from analytics.sources import Sources, Trust
from analytics.store.base import Store
from analytics.tiles import TILES, Answered, Ask, ms
from analytics.workspace import Board, Metric, Tile, Workspace, layout

FLOW_METRICS = ("flows", "errors", "error_rate", "duration_p50", "duration_p95", "tokens", "spend", "model_calls",
                "tool_calls", "tool_error_rate", "agents_active")  # fmt: skip
AGENT_METRICS = ("agents_active", "flows", "errors", "error_rate", "duration_p50", "duration_p95", "tokens", "spend",
                 "model_calls", "tool_calls", "tool_error_rate")  # fmt: skip
RESOURCE_METRICS = ("tokens", "spend", "model_calls", "cpu", "memory", "disk", "network")
READING_METRICS = ("resource_last", "resource_avg", "resource_max", "readings")
ALL = "events"  # the metric that counts every row
LEADERS = 5
LIVE_WITHIN = timedelta(minutes=2)
CAUSES_EVERY = timedelta(seconds=5)  # groups behind "What changed" move slowly and cost the most


class Answer(msgspec.Struct, kw_only=True):
    """What a question got: ready for AnalyticsUpdate."""

    analytics: dict[str, Any]
    insights: list[dict[str, Any]]
    confidence: Confidence


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """What every step of one answer shares."""

    workspace: Workspace
    now: datetime
    base: Query  # window, filters and compare, no metrics yet
    domains: tuple[str, ...] | None = None  # the only ones a key may know of

    def trust_of(self, sources: Sources, metric: Metric, window_s: float) -> Trust:
        return sources.trust(
            self.now,
            dataset=metric.dataset,
            kinds=_kinds(metric, self.workspace),
            sources=_named_sources(self.base.filters),
            window_s=window_s,
        )


class AnalyticsAgent:
    """Answers questions over one store and one workspace. Holds no state of its own."""

    def __init__(
        self,
        store: Store,
        workspace: Callable[[], Workspace],
        sources: Sources,
        *,
        workspace_error: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._store = store
        self._workspace = workspace
        self._sources = sources
        self._workspace_error = workspace_error

    async def answer(
        self, request: Question, *, now: datetime, allowed: Sequence[Filter] = (), memo: dict[Any, Any] | None = None
    ) -> Answer:
        """Answer one request. `allowed` are the key's own filters; `memo` lives as long as a standing query.

        Raises ValidationError, NotFound, Timeout.
        """
        match request:
            case FlowAnalytics():
                return await self._flows(request, now, allowed)
            case AgentAnalytics():
                return await self._agents(request, now, allowed)
            case ResourceAnalytics():
                return await self._resources(request, now, allowed)
            case QueryRequest():
                return await self._query(request, now, allowed)
            case BoardRequest():
                return await self._board(request, now, allowed, {} if memo is None else memo)
        raise Internal(f"no answer for {type(request).__name__}")

    # the three original requests

    async def _flows(self, request: FlowAnalytics, now: datetime, allowed: Sequence[Filter]) -> Answer:
        return await self._population(request, now, allowed, FLOW_METRICS, "flow_id", request.flow_id, "flow", "name")

    async def _agents(self, request: AgentAnalytics, now: datetime, allowed: Sequence[Filter]) -> Answer:
        return await self._population(request, now, allowed, AGENT_METRICS, "agent", request.agent_id, "agent", "agent")

    async def _resources(self, request: ResourceAnalytics, now: datetime, allowed: Sequence[Filter]) -> Answer:
        wanted = request.resource_id
        if wanted is not None and wanted in self._workspace().metrics and wanted in RESOURCE_METRICS:
            return await self._population(request, now, allowed, (wanted,), "resource", None, "resource", "source")
        metrics = READING_METRICS if wanted is not None else RESOURCE_METRICS
        return await self._population(request, now, allowed, metrics, "resource", wanted, "resource", "model")

    async def _population(
        self,
        request: Question,
        now: datetime,
        allowed: Sequence[Filter],
        names: Sequence[str],
        column: str,
        wanted: str | None,
        what: str,
        leader: str,
    ) -> Answer:
        """Metrics of everything, or of the one thing whose `column` is `wanted`, with leaders by `leader`."""
        extra = [Filter(dim=column, values=[wanted])] if wanted is not None else []
        default = "now-1h" if wanted is None else "now-10y"
        ctx = self._context(request, now, [*allowed, *extra], default)
        names = [n for n in names if n in ctx.workspace.metrics]
        grain = "auto" if wanted is None or request.window else None
        base = ctx.base if grain else msgspec.structs.replace(ctx.base, compare=None)
        query = msgspec.structs.replace(base, metrics=names, grain=grain)
        first = "flows" if "flows" in names else names[0]  # what makes a leader
        ranking = [first, *(n for n in names if n != first)]
        ranked = msgspec.structs.replace(
            query, metrics=ranking, grain=None, compare=None, group_by=[leader], limit=LEADERS
        )
        result, leaders = await asyncio.gather(self._run(ctx, query), self._run(ctx, ranked))
        if wanted is not None and result.rows == 0:
            raise await self._missing(what, column, wanted, request, now, allowed)
        analytics, confidences = {}, {}
        for name in names:
            total = result.totals[name]
            confidences[name] = self._confidence(ctx, result, name, total)
            if wanted is not None:  # one thing is a fact, not a sample
                parts = confidences[name]
                whole = 1.0 if parts.completeness is None else parts.completeness
                confidences[name] = Confidence(None, parts.freshness, whole)
            analytics[name] = _described(ctx.workspace.metrics[name], result, total, confidences[name])
            analytics[name]["leaders"] = _leaders(leaders, leader, name)
        insights = await self._insights(ctx, result, names, confidences)
        return Answer(
            analytics=analytics,
            insights=[i.wire() for i in insights],
            confidence=confidences[names[0]] if result.rows else trusting.NOTHING,
        )

    async def _missing(
        self, what: str, column: str, wanted: str, request: Question, now: datetime, allowed: Sequence[Filter]
    ) -> NotFound:
        ctx = self._context(request, now, allowed, "now-7d")
        query = msgspec.structs.replace(
            ctx.base, metrics=["events"], group_by=[column], compare=None, limit=500, filters=ctx.base.filters
        )
        result = await self._run(ctx, query)
        known = [str(v) for v in result.table[column].to_pylist() if v is not None]
        inside = f" in domain {request.domain!r}" if request.domain else ""
        near = nearest(wanted, known) or next(iter(known), None)
        tail = f"; nearest: {near!r}" if near else ""
        return NotFound(f"no {what} {wanted[:200]!r}{inside}{tail}")

    # query

    async def _query(self, request: QueryRequest, now: datetime, allowed: Sequence[Filter]) -> Answer:
        if not request.metrics:
            raise ValidationError("metrics: expected at least one name", hint="see GET /api/metrics")
        ctx = self._context(request, now, allowed, "now-1h")
        query = msgspec.structs.replace(
            ctx.base,
            metrics=list(request.metrics),
            grain=request.grain,
            group_by=list(request.group_by),
            compare=request.compare,
            limit=request.limit,
            as_of=request.as_of,
        )
        result = await self._run(ctx, query)
        parts = [self._confidence(ctx, result, n, t) for n, t in result.totals.items()]
        trust = self._trust(ctx, result, query.metrics[0])
        hidden = tuple(f"{m}__n{suffix}" for m in query.metrics for suffix in ("", "_previous"))
        columns = [c for c in result.table.column_names if c not in hidden]
        listed = [_times(result, c) if c == "time" else result.table[c].to_pylist() for c in columns]
        least = min(parts, key=lambda c: c.headline) if parts and result.rows else trusting.NOTHING
        return Answer(
            analytics={
                "columns": columns,
                "rows": [list(row) for row in zip(*listed, strict=True)],
                "totals": {n: {"value": t.value, "previous": t.previous, "n": t.n} for n, t in result.totals.items()},
                "other": result.other,
                **_executed(result, query.window.tz),
                **_freshness(trust),
            },
            insights=[],
            confidence=least,
        )

    # boards

    async def _board(
        self, request: BoardRequest, now: datetime, allowed: Sequence[Filter], memo: dict[Any, Any]
    ) -> Answer:
        board = self._workspace().boards.get(request.board)
        if board is None:
            raise NotFound(unknown("board", request.board, self._workspace().boards))
        ctx = self._context(request, now, allowed, board.window)
        ctx = msgspec.structs.replace(
            ctx,
            base=msgspec.structs.replace(
                ctx.base, grain=request.grain, compare="previous" if request.compare == "previous" else None
            ),
        )
        started = time.perf_counter()
        answers = await self._ask_all(ctx, board, memo)
        tiles: dict[str, Any] = {}
        insights: list[Insight] = []
        for tile in board.tiles:
            tiles[tile.id], found = self._tile(ctx, board, tile, answers)
            insights += found
        shown = next((r for r in answers.values() if isinstance(r, Result)), None)
        heads = [t["head"]["confidence"] for t in tiles.values() if t["head"].get("confidence") is not None]
        trust = self._sources.trust(now, dataset=_dataset(board, ctx.workspace), window_s=ctx_seconds(ctx, now))
        return Answer(
            analytics=self._board_fields(ctx, board, shown, trust, started) | {"tiles": tiles},
            insights=[i.wire() for i in insights],
            confidence=Confidence(min(heads, default=0.0), trust.freshness, trust.completeness)
            if heads
            else trusting.NOTHING,
        )

    async def _ask_all(
        self, ctx: Context, board: Board, memo: dict[Any, Any]
    ) -> dict[tuple[Any, ...], Result | PlumblineError]:
        """Run each distinct query of the board once; asks that differ only in metrics share one."""
        shared: dict[tuple[Any, ...], tuple[Ask, list[str], bool]] = {}
        for tile in board.tiles:
            for ask in TILES[tile.type].asks(tile):
                key = _key(ctx, ask)
                first, metrics, slow = shared.get(key, (ask, [], True))
                slow = slow and tile.type == "changes" and ask.role != "main"
                shared[key] = (first, [*metrics, *(m for m in ask.metrics if m not in metrics)], slow)

        async def one(key: tuple[Any, ...], ask: Ask, metrics: list[str], slow: bool) -> Result | PlumblineError:
            kept = memo.get(key)
            if slow and kept is not None and ctx.now - kept[0] < CAUSES_EVERY:
                return kept[1]  # type: ignore[no-any-return]
            try:
                result = await self._run(ctx, ask.query(metrics, ctx.base))
            except PlumblineError as error:
                return error
            if slow:
                memo[key] = (ctx.now, result)
            return result

        found = await asyncio.gather(*(one(k, *v) for k, v in shared.items()))
        return dict(zip(shared, found, strict=True))

    def _tile(
        self, ctx: Context, board: Board, tile: Tile, answers: dict[tuple[Any, ...], Result | PlumblineError]
    ) -> tuple[dict[str, Any], list[Insight]]:
        results: dict[str, Result] = {}
        for ask in TILES[tile.type].asks(tile):
            result = answers[_key(ctx, ask)]
            if isinstance(result, PlumblineError):
                return {"head": {"state": "error", "reason": result.message, "confidence": None}, "columns": {}}, []
            results[ask.role] = result
        main = results["main"]
        confidence = lambda name, total: self._confidence(ctx, main, name, total)  # noqa: E731
        insights: list[Insight] = []
        if tile.type == "changes":
            payload, insights = self._changes(ctx, tile, results)
        else:
            build = TILES[tile.type].build
            assert build is not None
            late = self._trust(ctx, main, tile.metrics[0] if tile.metrics else None).late
            told = Answered(
                tile=tile, workspace=ctx.workspace, results=results, confidence=confidence, late=late, now=ctx.now
            )
            payload = build(told)
        metric = tile.metrics[0] if tile.metrics else None
        trust = self._trust(ctx, main, metric)
        head = payload["head"]
        empty = main.rows == 0 and tile.type != "changes"
        head["state"] = "empty" if empty else "ok"
        if empty:
            head |= {"reason": _why_empty(ctx, trust), "confidence": 0.0}
        head.setdefault("confidence", trust.freshness)
        head.setdefault("parts", Confidence(None, trust.freshness, trust.completeness).parts())
        if self._live(main, ctx.now) and trust.age_s is not None:
            head |= {"newest": ms_of(ctx.now - timedelta(seconds=trust.age_s)), "usual_s": trust.usual_s}
        return payload, insights

    def _changes(self, ctx: Context, tile: Tile, results: dict[str, Result]) -> tuple[dict[str, Any], list[Insight]]:
        main = results["main"]
        totals = {n: main.totals[n] for n in tile.metrics}
        confidences = {n: self._confidence(ctx, main, n, t) for n, t in totals.items()}
        groups = {dim: r for dim, r in results.items() if dim != "main"}
        found = (
            changed.changes(ctx.workspace.metrics, totals, groups, confidences) if main.rows and main.previous else []
        )
        found = changed.late_sources(self._trust(ctx, main, tile.metrics[0])) + found
        label = windows.describe(ctx.base.window)[1]
        watched = ", ".join(ctx.workspace.metrics[m].title or m for m in tile.metrics)
        compared = main.previous is not None and any(t.n_previous for t in totals.values())
        quiet = f"Nothing moved beyond chance. Watching {watched}."
        if not compared:
            quiet = f"There is no {label} to compare with yet." if main.previous else "Comparison is off."
        head = {
            "since": label,
            "items": [i.item() for i in found],
            "quiet": quiet,
            "compared": compared,
            "n": main.rows,
        }
        if not compared and not found:
            head |= {"confidence": None, "parts": trusting.NOTHING.parts()}
        return {"head": head, "columns": {}}, found

    def _board_fields(
        self,
        ctx: Context,
        board: Board,
        shown: Result | None,
        trust: Trust,
        started: float,
    ) -> dict[str, Any]:
        label, previous = windows.describe(ctx.base.window)
        dataset = _dataset(board, ctx.workspace)
        executed = _executed(shown, ctx.base.window.tz) if shown else {"window": None, "partial": None}
        return {
            "board": board.name,
            "layout": layout(board, ctx.workspace),
            "title": board.title,
            "description": board.description,
            "file": board.file,
            "empty": board.empty,
            **executed,
            "label": label,
            "previous_label": previous,
            "compare": ctx.base.compare is not None,
            "now": ms_of(ctx.now),
            **_freshness(trust),
            "watermark": ms_of(trust.watermark),
            "newest": None if trust.age_s is None else ms_of(ctx.now - timedelta(seconds=trust.age_s)),
            "usual_s": trust.usual_s,
            **self._traffic(ctx, trust),
            "query_ms": round((time.perf_counter() - started) * 1000, 1),
            "domains": [d for d in self._sources.domains(dataset) if ctx.domains is None or d in ctx.domains],
            "workspace_error": self._workspace_error(),
        }

    def _traffic(self, ctx: Context, trust: Trust) -> dict[str, Any]:
        """What the header says of all senders; nothing of others' to a key that is bound to domains."""
        if ctx.domains is not None:
            return {"sources": None, "events_per_min": None, "dropped": None}
        late = [{"source": x.source, "age_s": round(x.age_s, 1)} for x in trust.late]
        return {
            "sources": {"reporting": trust.reporting, "late": late},
            "events_per_min": trust.events_per_min,
            "dropped": trust.dropped,
        }

    # shared steps

    def _context(self, request: Question, now: datetime, allowed: Sequence[Filter], default: str) -> Context:
        filters = [*allowed, *request.filters]
        if request.domain is not None:
            filters.append(Filter(dim="domain", values=[request.domain]))
        window = windows.parse(request.window, default)
        own = next((tuple(str(v) for v in f.values) for f in allowed if f.dim == "domain"), None)
        return Context(
            workspace=self._workspace(),
            now=now,
            base=Query(window=window, filters=filters, compare="previous"),
            domains=own,
        )

    async def _run(self, ctx: Context, query: Query) -> Result:
        """Run a query; a count of nothing stays a zero only where there is reason to believe it."""
        counted = not (query.group_by or query.select or ALL in query.metrics) and _counts(ctx.workspace, query)
        asked = msgspec.structs.replace(query, metrics=[*query.metrics, ALL]) if counted else query
        result = await self._store.query(asked, now=ctx.now)
        if counted:
            result.rows = result.totals.pop(ALL).n
            result.table = result.table.drop_columns(
                [c for c in result.table.column_names if c == ALL or c.startswith((f"{ALL}_previous", f"{ALL}__n"))]
            )
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

    def _grounded(self, ctx: Context, result: Result, name: str, total: Total) -> bool:
        """Whether a zero is a fact: events were there, and a stream that would have brought this kind."""
        if total.n_previous:
            return True
        trust = self._trust(ctx, result, name)
        return result.rows > 0 and (trust.reporting > 0 or bool(trust.late))

    def _live(self, result: Result, now: datetime) -> bool:
        return now - result.period.end < LIVE_WITHIN

    def _trust(self, ctx: Context, result: Result, metric: str | None) -> Trust:
        seconds = result.period.seconds
        if metric is None:
            return self._sources.trust(ctx.now, sources=_named_sources(ctx.base.filters), window_s=seconds)
        return ctx.trust_of(self._sources, ctx.workspace.metrics[metric], seconds)

    def _confidence(self, ctx: Context, result: Result, name: str, total: Total) -> Confidence:
        if result.rows == 0:
            return trusting.NOTHING
        live = self._live(result, ctx.now)
        return trusting.of(ctx.workspace.metrics[name], total, self._trust(ctx, result, name), live=live)

    async def _insights(
        self, ctx: Context, result: Result, names: Sequence[str], confidences: dict[str, Confidence]
    ) -> list[Insight]:
        if result.rows == 0 or result.previous is None:
            return []
        totals = {n: result.totals[n] for n in names}
        moved = [n for n in names if changed.significant(ctx.workspace.metrics[n], totals[n])]
        groups: dict[str, Result] = {}
        if moved:
            dims = [d for d in ("agent", "tool", "model", "domain") if d in ctx.workspace.dimensions]
            base = msgspec.structs.replace(ctx.base, metrics=moved, limit=20)
            asked = (self._run(ctx, msgspec.structs.replace(base, group_by=[d])) for d in dims)
            groups = dict(zip(dims, await asyncio.gather(*asked), strict=True))
        late = changed.late_sources(self._trust(ctx, result, names[0]))
        return late + changed.changes(ctx.workspace.metrics, totals, groups, confidences)


def ctx_seconds(ctx: Context, now: datetime) -> float:
    return windows.resolve(ctx.base.window, now).seconds


def _key(ctx: Context, ask: Ask) -> tuple[Any, ...]:
    dataset = ctx.workspace.metrics[ask.metrics[0]].dataset if ask.metrics else "events"
    return (dataset, *ask.sharing_key())


def _dataset(board: Board, workspace: Workspace) -> str:
    """The dataset a board's header speaks of: that of all its metrics, or the events."""
    found = {workspace.metrics[name].dataset for tile in board.tiles for name in tile.metrics}
    return found.pop() if len(found) == 1 else "events"


def _counts(workspace: Workspace, query: Query) -> bool:
    """Whether ALL counts the rows that these metrics are made of."""
    metrics = workspace.metrics
    return ALL in metrics and all(metrics[n].dataset == metrics[ALL].dataset for n in query.metrics if n in metrics)


def _kinds(metric: Metric, workspace: Workspace) -> frozenset[str] | None:
    """The kinds of event a metric is made of; None when it takes any."""
    if metric.aggregate == "ratio" and metric.denominator:
        return _kinds(workspace.metrics[metric.denominator], workspace)
    kind = metric.where.get("kind")
    if kind is None:
        return None
    return frozenset(kind if isinstance(kind, list | tuple) else [kind])


def _named_sources(filters: Sequence[Filter]) -> frozenset[str] | None:
    for f in filters:
        if f.dim == "source" and f.op in ("is", "in"):
            return frozenset(str(v) for v in f.values)
    return None


def _described(metric: Metric, result: Result, total: Total, confidence: Confidence) -> dict[str, Any]:
    change, kind = change_of(metric, total.value, total.previous)
    series = []
    if result.grain:
        series = [
            {"time": t, "value": v}
            for t, v in zip(_times(result, "time"), result.table[metric.name].to_pylist(), strict=True)
        ]
    return {
        "value": total.value,
        "unit": metric.unit,
        "per": metric.per,
        "previous": total.previous,
        "change": change,
        "change_kind": kind,
        "good": metric.good,
        "n": total.n,
        "series": series,
        "confidence": round(confidence.headline, 4),
        "confidence_parts": confidence.parts(),
        "reason": "no events in this window" if total.value is None and total.n == 0 else None,
    }


def _leaders(result: Result, dim: str, metric: str) -> list[dict[str, Any]]:
    rows = zip(
        result.table[dim].to_pylist(),
        result.table[metric].to_pylist(),
        result.table[f"{metric}__n"].to_pylist(),
        strict=True,
    )
    listed = list(rows)[: -1 if result.other else None]
    ranked = sorted((r for r in listed if r[0] is not None and r[1] and r[2]), key=lambda r: -r[1])
    return [{"name": label, "value": value, "n": n} for label, value, n in ranked]


def _executed(result: Result, tz: str) -> dict[str, Any]:
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


def _freshness(trust: Trust) -> dict[str, Any]:
    return {
        "watermark": rfc3339(trust.watermark) if trust.watermark else None,
        "freshness_s": None if trust.age_s is None else round(trust.age_s, 3),
        "completeness": None if trust.completeness is None else round(trust.completeness, 4),
    }


def _why_empty(ctx: Context, trust: Trust) -> str:
    if ctx.base.filters:
        named = ", ".join(f"{f.dim} {f.op.replace('_', ' ')} {', '.join(map(str, f.values))}" for f in ctx.base.filters)
        return f"No events in this window where {named[:200]}."
    label = windows.describe(ctx.base.window)[0]
    return (
        f"No events of this kind in {label[0].lower() + label[1:]}." if trust.reporting else "No source is sending yet."
    )


def _times(result: Result, column: str) -> list[str]:
    return [rfc3339(datetime.fromtimestamp((m or 0) / 1000, UTC)) for m in ms(result.table[column])]


def ms_of(moment: datetime | None) -> int | None:
    """Milliseconds since the epoch."""
    return None if moment is None else int(moment.timestamp() * 1000)


def rfc3339(moment: datetime) -> str:
    """RFC 3339 in UTC with microseconds, as the wire has it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
