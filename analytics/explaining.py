"""Answers `explain`: reads the cells of both periods and has the search find what accounts for the change.

The search reads a sample where there are many rows; what it found is then counted over all of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from math import hypot
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from analytics import window as windows
from analytics.asking import Answer, Asker, Context, metric_of, rfc3339
from analytics.errors import NotFound, PlumblineError, ValidationError, unknown
from analytics.insights import changes as changed
from analytics.insights import confidence as trusting
from analytics.insights import explain
from analytics.insights.causes import LOCAL, NOWHERE, Cause, Explanation, sentence, split_of, unexplainable
from analytics.insights.changes import Insight, change_of, tone_of
from analytics.insights.contrast import Form
from analytics.insights.folding import SUMS, chosen, fold, known, scaled
from analytics.insights.parts import split
from analytics.messages import Explain
from analytics.query import Cells, Filter, Period, Result, Scalar, Total
from analytics.workspace import ARROW, OWN, PER_SECONDS, Dimension, Metric, Workspace, names_in, schema

MAX_DIMS = 8
CANDIDATES = 12  # dimensions that are read to choose from
MAX_CAUSES = 20
ROWS = 100_000  # that the search looks at
GLANCED = 50_000  # that it looks at for a sentence among others
AGAIN = timedelta(seconds=5)  # what is behind a change moves slowly and costs the most
EVENLY = f"{NOWHERE}: the change is spread evenly"
IDS = (*OWN[:3], "flow_id", "parent_id")


class Explainer:
    """Explains changes over one store. Holds no state of its own."""

    def __init__(self, asker: Asker) -> None:
        self._asker = asker

    async def answer(self, request: Explain, now: datetime, allowed: Sequence[Filter]) -> Answer:
        """Causes of a change, largest first. Raises NotFound, ValidationError, Timeout."""
        if not 1 <= request.limit <= MAX_CAUSES:
            raise ValidationError(f"limit: expected 1 to {MAX_CAUSES}, got {request.limit}")
        ctx = self._asker.context(request, now, allowed, "now-1h")
        if request.dataset is not None:
            ctx.workspace.dataset(request.dataset)
        query = msgspec.structs.replace(ctx.base, metrics=[request.metric], dataset=request.dataset)
        if not isinstance(request.baseline, str):
            query = msgspec.structs.replace(query, compare=None, baseline=windows.parse(request.baseline, "now-1h"))
        else:
            query = msgspec.structs.replace(query, compare=request.baseline)
        result = await self._asker.run(ctx, query)
        metric = metric_of(ctx, result, request.metric)
        dims = _asked(request.dimensions, metric, ctx.workspace)
        found = await self.explain(ctx, result, request.metric, dims, asked=bool(dims), most=request.limit)
        return self._answer(ctx, result, request.metric, found)

    async def explain(
        self,
        ctx: Context,
        result: Result,
        name: str,
        dims: Sequence[str] = (),
        *,
        asked: bool = False,
        most: int = 5,
        rows: int = ROWS,
    ) -> Explanation:
        """Why a metric of a compared result changed. At most 8 of the dimensions are searched, without them of all
        that suit; those that somebody `asked` for even if they look as if they told nothing."""
        metric = metric_of(ctx, result, name)
        told = result.totals[name]
        if told.value is None or told.previous is None:
            return Explanation(change=None, reason="there is nothing to compare with")
        change = told.value - told.previous
        if reason := _nothing_to_find(metric, told, change, ctx.workspace):
            return Explanation(change=change, reason=reason)
        dims = dims or suited(metric, ctx.workspace)
        beyond = float(told.previous) if metric.aggregate == "quantile" else None
        sample = min(1.0, rows / max(told.n + told.n_previous, 1))
        query = msgspec.structs.replace(result.query, metrics=[name], grain=None, group_by=[], limit=None)
        read = Cells(dims=list(dims), sample=sample, beyond=beyond)
        table = (await self._asker.read(ctx, msgspec.structs.replace(query, cells=read))).table
        scale = _scale(metric, result, ctx.now)
        whole = {"sum": change * sample, "mean": change, "ratio": change}.get(_form(metric))
        searched = await asyncio.to_thread(_search, table, dims, _form(metric), scale, whole, most, asked)
        if not searched.wheres:
            return Explanation(change=change, dimensions=searched.dims, reason=EVENLY)
        counted = Cells(parts=[_filters(where) for where in searched.wheres], beyond=beyond)
        parts = (await self._asker.read(ctx, msgspec.structs.replace(query, cells=counted))).table
        return _explained(metric, change, parts, scale, searched)

    async def moves(
        self,
        ctx: Context,
        result: Result,
        totals: Mapping[str, Total],
        dims: Sequence[str],
        memo: dict[Any, Any],
        key: str,
    ) -> dict[str, Explanation]:
        """The explanations of what moved most; those of a moment ago are good enough. Without `dims` in all that suit.
        What cannot be read in time has none."""
        metrics = {name: metric_of(ctx, result, name) for name in totals}
        names = changed.moved(metrics, totals) if result.rows and result.previous else []
        kept = memo.get(("explained", key))
        if kept is None or kept[0] != names or not ctx.now - kept[1] < AGAIN:

            async def one(name: str) -> Explanation:
                try:
                    return await self.explain(ctx, result, name, dims, rows=GLANCED)
                except PlumblineError as error:
                    return Explanation(change=None, reason=error.message)

            found = dict(zip(names, await asyncio.gather(*map(one, names)), strict=True))
            kept = memo["explained", key] = (names, ctx.now, found)
        found_then: dict[str, Explanation] = kept[2]
        return found_then

    def _answer(self, ctx: Context, result: Result, name: str, found: Explanation) -> Answer:
        metric, told, window = metric_of(ctx, result, name), result.totals[name], result.query.window
        confidence = self._asker.confidence(ctx, result, name, told)
        relative, kind = change_of(metric, told.value, told.previous)
        causes = [cause.wire(sentence(metric, found, cause)) for cause in found.causes]
        analytics = {
            "metric": name,
            "unit": metric.unit,
            "per": metric.per,
            "good": metric.good,
            "dataset": metric.dataset,
            "dimensions": list(found.dimensions),
            "window": _span(result.period) | {"tz": window.tz},
            "baseline_window": _span(result.previous) if result.previous else None,
            "baseline": told.previous,
            "current": told.value,
            "change": found.change,
            "change_kind": kind,
            "causes": causes,
            "rest": found.rest.change if causes else found.change,
            "rest_parts": split_of(found.rest),
            "localised": found.localised,
            "reason": found.reason,
            "n": told.n,
            "n_baseline": told.n_previous,
        }
        insights = [_insight(metric, name, found, confidence.headline, relative).wire()] if found.causes else []
        return Answer(
            analytics=analytics, insights=insights, confidence=confidence if result.rows else trusting.NOTHING
        )


class Searched(msgspec.Struct, frozen=True):
    """What the search brought: dimensions it looked in, causes and how sure it is."""

    dims: tuple[str, ...]
    wheres: list[dict[str, Scalar]]
    confidences: list[float]


def why(ctx: Context, name: str, dataset: str, filters: Sequence[Filter] = ()) -> dict[str, Any]:
    """The request that explains a metric of an answer, as a client may send it."""
    base = ctx.base
    message = {
        "type": "explain",
        "metric": name,
        "dataset": dataset,
        "window": msgspec.to_builtins(base.window),
        "baseline": base.compare or "previous",
        "filters": msgspec.to_builtins([*ctx.asked, *filters]),
        "as_of": rfc3339(base.as_of) if base.as_of else None,
    }
    return {key: value for key, value in message.items() if value not in (None, [])}


def suited(metric: Metric, workspace: Workspace) -> list[str]:
    """The dimensions in which a cause may be: declared text that is no id and that the metric does not fix itself."""
    fixed = _fixed(metric, workspace)
    kinds = {field.name: field.type for field in schema(workspace.datasets[metric.dataset])}

    def fits(dimension: Dimension) -> bool:
        column = dimension.column or dimension.name
        text = dimension.attribute is not None or kinds.get(column) in (ARROW["text"], ARROW["boolean"])
        return text and not dimension.log and column not in IDS and not {dimension.name, column} & fixed

    here = [d for d in workspace.dimensions.values() if d.dataset == metric.dataset and fits(d)]
    once = {d.attribute or d.column or d.name: d.name for d in reversed(here)}  # two names of one column are one
    return list(reversed(once.values()))[:CANDIDATES]


def _nothing_to_find(metric: Metric, told: Total, change: float, workspace: Workspace) -> str | None:
    """Why a change needs no search; None where it does."""
    if reason := unexplainable(metric, workspace):
        return f"{metric.title or metric.name} cannot be explained: {reason}"
    if not change:
        return f"{NOWHERE}: it did not change"
    known = told.noise is not None and told.noise_previous is not None
    if known and abs(change) < hypot(told.noise or 0.0, told.noise_previous or 0.0):
        return f"{NOWHERE}: the change is within noise"
    return None


def _asked(names: Sequence[str], metric: Metric, workspace: Workspace) -> list[str]:
    if len(names) > MAX_DIMS:
        raise ValidationError(f"dimensions: expected at most {MAX_DIMS}, got {len(names)}")
    known = {field.name for field in schema(workspace.datasets[metric.dataset])}
    for name in names:
        found = workspace.dimension(name, metric.dataset)
        if name not in known and not (found and found.dataset == metric.dataset):
            raise NotFound(unknown("dimension", name, names_in(workspace.dimensions, metric.dataset)))
        if found and found.log:
            raise ValidationError(f"dimensions: {name!r} is a number in bins, expected text")
    return list(dict.fromkeys(names))


def _fixed(metric: Metric, workspace: Workspace) -> set[str]:
    """What the conditions of a metric are about: a change of it is no news by these."""
    names = [str(n) for n in (metric.numerator, metric.denominator) if n]
    parts = [workspace.metric(name, metric.dataset) for name in names]
    return set(metric.where).union(*(part.where for part in parts))


def _form(metric: Metric) -> Form:
    if metric.aggregate in ("count", "sum"):
        return "sum"
    return "share" if metric.aggregate == "quantile" else "mean" if metric.aggregate == "avg" else "ratio"


def _scale(metric: Metric, result: Result, now: datetime) -> tuple[float, float]:
    """What turns a sum over rows into the metric, per period."""
    if metric.per is None or _form(metric) != "sum" or result.previous is None:
        return 1.0, 1.0
    seconds = (min(result.period.end, now) - result.period.start).total_seconds()
    return PER_SECONDS[metric.per] / max(seconds, 1e-9), PER_SECONDS[metric.per] / max(result.previous.seconds, 1e-9)


def _search(
    table: pa.Table,
    dims: Sequence[str],
    form: Form,
    scale: tuple[float, float],
    change: float | None,
    most: int,
    asked: bool,
) -> Searched:
    """The causes in cells as they were read. change: what the cells contribute, where that is known."""
    cells, labels = fold(table, len(dims), form, scale)
    cells, kept = chosen(cells, labels, MAX_DIMS, asked=asked)
    found = explain.causes(cells, most, change)
    return Searched(
        dims=tuple(dims[d] for d in kept),
        wheres=[{dims[kept[d]]: labels[kept[d]][value] for d, value in sorted(each.where.items())} for each in found],
        confidences=[each.confidence for each in found],
    )


def _explained(
    metric: Metric, change: float, table: pa.Table, scale: tuple[float, float], searched: Searched
) -> Explanation:
    """The causes with their exact numbers; where they carry too little of the change, none."""
    count = len(searched.wheres)
    sums = np.zeros((2, len(SUMS), count + 1))
    places = table["p"].to_numpy(), table["g0"].to_numpy()
    for k, name in enumerate(SUMS):
        sums[places[0], k, places[1]] = np.nan_to_num(table[name].cast(pa.float64()).to_numpy())
    form = _form(metric)
    parts = split(form, scaled(sums, scale), change if metric.aggregate == "quantile" else None)
    if metric.aggregate == "quantile":
        values = np.full((2, count + 1), np.nan)
        values[places] = table["v"].cast(pa.float64()).to_numpy()
        parts = [p._replace(current=known(values[0, k]), baseline=known(values[1, k])) for k, p in enumerate(parts)]
    change = sum(p.change for p in parts)
    listed = [
        Cause(where=where, part=part, share=part.change / change if change else 0.0, confidence=confidence)
        for where, part, confidence in zip(searched.wheres, parts, searched.confidences, strict=False)
    ]
    if not change or sum(max(cause.share, 0.0) for cause in listed) < LOCAL:
        return Explanation(change=change, dimensions=searched.dims, reason=EVENLY)
    listed.sort(key=lambda cause: -cause.share)
    return Explanation(change=change, causes=tuple(listed), rest=parts[-1], dimensions=searched.dims)


def _filters(where: Mapping[str, Scalar]) -> list[Filter]:
    return [Filter(dim=dim, values=[value]) for dim, value in where.items()]


def _insight(metric: Metric, name: str, found: Explanation, headline: float, relative: float | None) -> Insight:
    first = found.causes[0]
    title = metric.title or name
    return Insight(
        kind="cause",
        metric=name,
        parts=[{"t": f"{title}: ", "b": True}, {"t": sentence(metric, found, first)}],
        confidence=min(headline, first.confidence),
        evidence={"where": first.where, "share": first.share, "change": first.part.change, "n": first.part.n},
        tone=tone_of(metric, relative),
    )


def _span(period: Period) -> dict[str, str]:
    return {"from": rfc3339(period.start), "to": rfc3339(period.end)}
