"""The analytics agent: a typed request in; numbers, what they mean and how far to trust them out.

Numbers come from results, never from text. No data is null with confidence 0, never a zero.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import msgspec

from analytics.agreement import Agreement
from analytics.asking import Answer, Asker, Context, executed, freshness, plain, times
from analytics.boards import Boards
from analytics.browse import Browser
from analytics.errors import Internal, NotFound, ValidationError, nearest
from analytics.expecting import glimpsed
from analytics.explaining import Explainer
from analytics.flow_tree import FlowTrees
from analytics.flows import FlowPages
from analytics.forecasting import Forecaster
from analytics.insights import anomalies
from analytics.insights import changes as changed
from analytics.insights import confidence as trusting
from analytics.insights.changes import Insight, change_of
from analytics.insights.confidence import Confidence
from analytics.insights.expected import Stepping
from analytics.language.interpreter import Interpreter, Rights
from analytics.language.model import Model
from analytics.messages import (
    AgentAnalytics,
    Ask,
    BoardRequest,
    Explain,
    FlowAnalytics,
    FlowDetail,
    Flows,
    Forecast,
    LedgerRequest,
    QueryRequest,
    Question,
    ResourceAnalytics,
    Rows,
    SourcesRequest,
    Values,
)
from analytics.pricing import Pricing, is_cost
from analytics.query import Filter, Result, Total
from analytics.sources import Sources
from analytics.store.base import Store
from analytics.tiles import stated
from analytics.workspace import Metric, Workspace

FLOW_METRICS = ("flows", "errors", "error_rate", "duration_p50", "duration_p95", "tokens", "spend", "model_calls",
                "tool_calls", "tool_error_rate", "agents_active")  # fmt: skip
AGENT_METRICS = ("agents_active", "flows", "errors", "error_rate", "duration_p50", "duration_p95", "tokens", "spend",
                 "model_calls", "tool_calls", "tool_error_rate")  # fmt: skip
RESOURCE_METRICS = ("tokens", "spend", "model_calls", "cpu", "memory", "disk", "network")
READING_METRICS = ("resource_last", "resource_avg", "resource_max", "readings")
LEADERS = 5

Memo = dict[Any, Any]


class AnalyticsAgent:
    """Answers questions over one store and one workspace. Holds no state of its own."""

    def __init__(
        self,
        store: Store,
        workspace: Callable[[], Workspace],
        sources: Sources,
        *,
        workspace_error: Callable[[], str | None] = lambda: None,
        model: Model | None = None,
        stepping: Stepping | None = None,
    ) -> None:
        self._asker = Asker(store, workspace, sources, stepping)
        self._explainer = Explainer(self._asker)
        self._boards = Boards(self._asker, self._explainer, workspace_error)
        self._browser = Browser(self._asker)
        self._pages = FlowPages(store, self._asker)
        self._trees = FlowTrees(store, self._asker)
        self._forecaster = Forecaster(self._asker)
        self._pricing = Pricing(self._asker)
        self._agreement = Agreement(store, self._asker, self._pricing)
        self._interpreter = Interpreter(self._asker, model)

    async def answer(
        self,
        request: Question,
        *,
        now: datetime,
        allowed: Sequence[Filter] = (),
        memo: dict[Any, Any] | None = None,
        rights: Rights | None = None,
    ) -> Answer:
        """Answer one request. `allowed` are the key's own filters; `memo` lives as long as a standing query; `rights`
        says what holds for another request of the same key, which is what a question in words becomes.

        Raises ValidationError, NotFound, Timeout.
        """
        match request:
            case FlowAnalytics():
                return await self._flows(request, now, allowed, {} if memo is None else memo)
            case AgentAnalytics():
                return await self._agents(request, now, allowed, {} if memo is None else memo)
            case ResourceAnalytics():
                return await self._resources(request, now, allowed, {} if memo is None else memo)
            case QueryRequest():
                return await self._query(request, now, allowed)
            case BoardRequest():
                return await self._boards.answer(request, now, allowed, {} if memo is None else memo)
            case Rows():
                return await self._browser.rows(request, now, allowed)
            case Values():
                return await self._browser.values(request, now, allowed)
            case SourcesRequest():
                return await self._browser.sources(request, now, allowed)
            case LedgerRequest():
                return await self._agreement.answer(request, now, allowed)
            case Flows():
                return await self._pages.page(request, now, allowed)
            case FlowDetail():
                return await self._trees.detail(request, now, allowed)
            case Explain():
                return await self._explainer.answer(request, now, allowed)
            case Forecast():
                return await self._forecaster.answer(request, now, allowed)
            case Ask():
                held = rights or (lambda _: allowed)
                return await self._interpreter.answer(
                    request, now, held, lambda asked, filters: self.answer(asked, now=now, allowed=filters)
                )
        raise Internal(f"no answer for {type(request).__name__}")

    # the three original requests

    async def _flows(self, request: FlowAnalytics, now: datetime, allowed: Sequence[Filter], memo: Memo) -> Answer:
        which = (FLOW_METRICS, "flow_id", request.flow_id, "flow", "name")
        return await self._population(request, now, allowed, memo, *which)

    async def _agents(self, request: AgentAnalytics, now: datetime, allowed: Sequence[Filter], memo: Memo) -> Answer:
        which = (AGENT_METRICS, "agent", request.agent_id, "agent", "agent")
        return await self._population(request, now, allowed, memo, *which)

    async def _resources(
        self, request: ResourceAnalytics, now: datetime, allowed: Sequence[Filter], memo: Memo
    ) -> Answer:
        wanted = request.resource_id
        if wanted is not None and wanted in self._asker.workspace().metrics and wanted in RESOURCE_METRICS:
            return await self._population(
                request, now, allowed, memo, (wanted,), "resource", None, "resource", "source"
            )
        metrics = READING_METRICS if wanted is not None else RESOURCE_METRICS
        answer = await self._population(request, now, allowed, memo, metrics, "resource", wanted, "resource", "model")
        if wanted is None:
            near = await self._forecaster.near(request, now, allowed, memo)
            answer.insights = [*(insight.wire() for insight in near), *answer.insights]
        return answer

    async def _population(
        self,
        request: Question,
        now: datetime,
        allowed: Sequence[Filter],
        memo: Memo,
        names: Sequence[str],
        column: str,
        wanted: str | None,
        what: str,
        leader: str,
    ) -> Answer:
        """Metrics of everything, or of the one thing whose `column` is `wanted`, with leaders by `leader`."""
        extra = [Filter(dim=column, values=[wanted])] if wanted is not None else []
        default = "now-1h" if wanted is None else "now-10y"
        ctx = self._asker.context(request, now, [*allowed, *extra], default)
        names = [n for n in names if n in ctx.workspace.metrics]
        grain = "auto" if wanted is None or request.window else None
        base = ctx.base if grain else msgspec.structs.replace(ctx.base, compare=None)
        query = msgspec.structs.replace(base, metrics=names, grain=grain)
        first = "flows" if "flows" in names else names[0]  # what makes a leader
        ranking = [first, *(n for n in names if n != first)]
        ranked = msgspec.structs.replace(
            query, metrics=ranking, grain=None, compare=None, group_by=[leader], limit=LEADERS
        )
        result, leaders = await asyncio.gather(self._asker.run(ctx, query), self._asker.run(ctx, ranked))
        if wanted is not None and result.rows == 0:
            raise await self._missing(what, column, wanted, request, now, allowed)
        costs = [name for name in names if is_cost(ctx.workspace.metrics[name], ctx.workspace)]
        paid = await self._pricing.behind(ctx, query, (), memo) if costs else None
        analytics, confidences = {}, {}
        for name in names:
            total = result.totals[name]
            confidences[name] = self._asker.confidence(ctx, result, name, total)
            if wanted is not None:  # one thing is a fact, not a sample
                parts = confidences[name]
                whole = 1.0 if parts.completeness is None else parts.completeness
                confidences[name] = Confidence(None, parts.freshness, whole)
            if paid and name in costs:
                confidences[name] = paid.trusted(confidences[name])
            analytics[name] = _described(ctx.workspace.metrics[name], result, total, confidences[name])
            analytics[name]["leaders"] = _leaders(leaders, leader, name)
            if paid and name in costs:
                analytics[name]["prices"] = paid.head()
        insights = await self._insights(ctx, result, names, confidences, memo)
        insights = [*([paid.insight()] if paid and paid.unpriced else []), *insights]
        return Answer(
            analytics=analytics,
            insights=[i.wire() for i in insights],
            confidence=confidences[names[0]] if result.rows else trusting.NOTHING,
        )

    async def _missing(
        self, what: str, column: str, wanted: str, request: Question, now: datetime, allowed: Sequence[Filter]
    ) -> NotFound:
        ctx = self._asker.context(request, now, allowed, "now-7d")
        query = msgspec.structs.replace(
            ctx.base, metrics=["events"], group_by=[column], compare=None, limit=500, filters=ctx.base.filters
        )
        result = await self._asker.run(ctx, query)
        known = [str(v) for v in result.table[column].to_pylist() if v is not None]
        inside = f" in domain {request.domain!r}" if request.domain else ""
        near = nearest(wanted, known) or next(iter(known), None)
        tail = f"; nearest: {near!r}" if near else ""
        return NotFound(f"no {what} {wanted[:200]!r}{inside}{tail}")

    # query

    async def _query(self, request: QueryRequest, now: datetime, allowed: Sequence[Filter]) -> Answer:
        if not request.metrics:
            raise ValidationError("metrics: expected at least one name", hint="see GET /api/metrics")
        ctx = self._asker.context(request, now, allowed, "now-1h")
        if request.dataset is not None:
            ctx.workspace.dataset(request.dataset)
        query = msgspec.structs.replace(
            ctx.base,
            metrics=list(request.metrics),
            grain=request.grain,
            group_by=list(request.group_by),
            compare=request.compare,
            limit=request.limit,
            dataset=request.dataset,
        )
        result = await self._asker.run(ctx, query)
        costs = [n for n in query.metrics if is_cost(ctx.workspace.metric(n, query.dataset), ctx.workspace)]
        paid = await self._pricing.behind(ctx, query) if costs else None
        parts = [self._asker.confidence(ctx, result, n, t) for n, t in result.totals.items()]
        parts = [paid.trusted(p) if paid and n in costs else p for n, p in zip(result.totals, parts, strict=True)]
        hidden = tuple(f"{m}__n{suffix}" for m in query.metrics for suffix in ("", "_previous"))
        columns = [c for c in result.table.column_names if c not in hidden]
        least = min(parts, key=lambda c: c.headline) if parts and result.rows else trusting.NOTHING
        return Answer(
            analytics={
                "columns": columns,
                "rows": [list(row) for row in zip(*(plain(result.table[c]) for c in columns), strict=True)],
                "totals": {
                    n: {"value": t.value, "previous": t.previous, "n": t.n, **stated(t)}
                    for n, t in result.totals.items()
                },
                "other": result.other,
                **executed(result, query.window.tz),
                **freshness(self._asker.trust(ctx, result, query.metrics[0])),
                **({"prices": paid.head()} if paid else {}),
            },
            insights=[paid.insight().wire()] if paid and paid.unpriced else [],
            confidence=least,
        )

    async def _insights(
        self, ctx: Context, result: Result, names: Sequence[str], confidences: dict[str, Confidence], memo: Memo
    ) -> list[Insight]:
        if result.rows == 0 or result.previous is None:
            return []
        totals = {n: result.totals[n] for n in names}
        explained = await self._explainer.moves(ctx, result, totals, (), memo, "insights")
        late = changed.late_sources(self._asker.trust(ctx, result, names[0]))
        moves = changed.changes(ctx.workspace.metrics, totals, explained, confidences)
        judged = filter(None, (glimpsed(ctx, result, n) for n in names))
        return late + anomalies.merged(anomalies.told(judged, ctx.base.window.tz, silent=bool(late)), moves)


def _described(metric: Metric, result: Result, total: Total, confidence: Confidence) -> dict[str, Any]:
    change, kind = change_of(metric, total.value, total.previous)
    series = []
    if result.grain:
        series = [
            {"time": t, "value": v}
            for t, v in zip(times(result, "time"), result.table[metric.name].to_pylist(), strict=True)
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
