"""The tile of budgets: a row for each, or for each value that has a limit of its own, and when it is reached."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import msgspec

from analytics import window as windows
from analytics.asking import LIVE_WITHIN, Context, ms_of
from analytics.asks import Ask, where_of
from analytics.forecasting import Forecaster
from analytics.format import text
from analytics.insights.changes import Insight
from analytics.insights.limits import Reach
from analytics.query import Result
from analytics.tiles import Answered, values
from analytics.workspace import Board, Budget, Metric, Tile, Workspace
from analytics.workspace_budgets import parts

LACKING = "No budget is declared; a workspace file has them under `budgets`"
FORESEEN = 12  # rows of one budget whose limit is looked for, those nearest to it

Memo = dict[Any, Any]
Row = dict[str, Any]


def shown(tile: Tile, workspace: Workspace) -> list[Budget]:
    """The budgets of a tile: those it names, else all of its dataset."""
    named = [workspace.budgets[name] for name in tile.budgets] or list(workspace.budgets.values())
    return [budget for budget in named if workspace.metrics[budget.metric].dataset == tile.dataset]


def asks(tile: Tile, workspace: Workspace) -> list[Ask]:
    """One question for each budget, by its dimension; budgets of all together share one."""
    shape = Ask(dataset=tile.dataset, compare=False, where=where_of(tile))
    found = [
        msgspec.structs.replace(
            shape,
            role=budget.name,
            metrics=tuple(f"{budget.name}_{part}" for part in parts(workspace.metrics[budget.metric])),
            by=(budget.by,) if budget.by else (),
        )
        for budget in shown(tile, workspace)
    ]
    return found or [msgspec.structs.replace(shape, role="main", select=("event_id",), limit=1)]


def build(a: Answered) -> dict[str, Any]:
    """The rows of every budget, those nearest to their limit first."""
    rows: list[Row] = []
    more: dict[str, int] = {}
    budgets = shown(a.tile, a.workspace)
    for budget in budgets:
        found = _rows(a, budget, a.results[budget.name])
        found.sort(key=lambda row: (row["limit"] is None, -((row["spent"] or 0.0) / (row["limit"] or 1.0))))
        rows += found[: a.tile.limit]
        more |= {budget.name: len(found) - a.tile.limit} if len(found) > a.tile.limit else {}
    head = {"more": more, **_trusted(a, budgets, rows), "n": sum(row.pop("n") for row in rows)}
    if not budgets:
        head["lacking"] = LACKING
    known = [row["attention"] for row in rows]
    head["attention"] = next((level for level in ("bad", "warn") if level in known), None)
    return {"head": head, "columns": {name: [row[name] for row in rows] for name in (rows[0] if rows else ())}}


def _rows(a: Answered, budget: Budget, result: Result) -> list[Row]:
    metric = a.workspace.metrics[f"{budget.name}_spent"]
    period = budget.period_of(min(result.period.end, a.now))
    about = {
        "budget": budget.name,
        "title": budget.title,
        "by": budget.by or None,
        "unit": metric.unit,
        "period": budget.period,
        "until": ms_of(period.end),
        "even": (min(result.period.end, a.now) - period.start) / period.length,
        "example": budget.example,
    }
    told = ("spent", "remaining", "pace", "estimated", "unpriced")
    narrowed = result.totals[f"{budget.name}_remaining"].reason
    if not budget.by:
        totals = {part: result.totals.get(f"{budget.name}_{part}") for part in told}
        known = {part: total.value if total else None for part, total in totals.items()}
        limit = budget.limit if known["spent"] is None or known["remaining"] is not None else None
        n = totals["spent"].n if totals["spent"] else 0
        return [_row(about, budget, None, limit, known, n, narrowed)]
    columns = [values(result, f"{budget.name}_{part}") for part in told]
    labels, counts = values(result, budget.by), values(result, f"{budget.name}_spent__n")
    found = {}
    whole = True
    for label, n, *row in zip(labels, counts, *columns, strict=True):
        known = dict(zip(told, row, strict=True))
        limit = budget.limit_of(label)
        if limit is not None and known["spent"] is not None and known["remaining"] is None:
            limit, whole = None, False
        if row[0] or row[-1] or label is not None:  # of no agent or domain only what was spent
            found[label] = _row(about, budget, label, limit, known, n or 0, None if whole else narrowed)
    if result.rows and whole:  # who has a limit of his own and spent nothing
        nothing = {"spent": 0, "pace": 0.0, "estimated": 0.0, "unpriced": 0}
        for label, limit in budget.limits.items():
            found.setdefault(label, _row(about, budget, label, limit, nothing | {"remaining": limit}, 0))
    return list(found.values())


def _row(
    about: Row,
    budget: Budget,
    label: Any,
    limit: float | None,
    known: dict[str, Any],
    n: int,
    narrowed: str | None = None,
) -> Row:
    spent = known["spent"]
    share = None if spent is None or limit is None else spent / limit
    attention = None if share is None else "bad" if share >= 1 else "warn" if share >= budget.warn else None
    reason = narrowed if spent is not None else f"none of {known['unpriced'] or 'its'} calls has a price"
    return {**about, **known, "label": label, "limit": limit, "attention": attention, "reason": reason, "n": n}


def _trusted(a: Answered, budgets: Sequence[Budget], rows: Sequence[Row]) -> dict[str, Any]:
    """The least confident budget speaks; what has no price makes all less complete."""
    names = [f"{budget.name}_spent" for budget in budgets]
    weighed = [a.confidence(n, a.results[b.name].totals[n]) for b, n in zip(budgets, names, strict=True)]
    if not weighed:
        return {}
    least = min(weighed, key=lambda confidence: confidence.headline)
    told = least.parts()
    priced = [row["n"] / (row["n"] + row["unpriced"]) for row in rows if row["unpriced"]]
    if priced:
        told["completeness"] = round(min([*priced, 1.0 if told["completeness"] is None else told["completeness"]]), 4)
    known = [part for part in told.values() if part is not None]
    return {"confidence": min(known, default=0.0), "parts": told}


class Budgeting:
    """Foresees when budgets are spent. What it remembers is in the memo of each standing query."""

    def __init__(self, forecaster: Forecaster) -> None:
        self._forecaster = forecaster

    async def tell(self, ctx: Context, board: Board, tiles: dict[str, dict[str, Any]], memo: Memo) -> list[Insight]:
        """Put into each row when it comes to its limit; what is spent or soon will be is told."""
        period = windows.resolve(ctx.base.window, ctx.now)
        found: dict[tuple[str, str | None], Insight] = {}
        for tile in board.tiles:
            payload = tiles[tile.id]
            if tile.type != "budgets" or payload["head"]["state"] != "ok":
                continue
            names, columns = payload["columns"].keys(), payload["columns"].values()
            rows = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
            foreseen: list[dict[str, Any] | None] = [None] * len(rows)
            if ctx.now - period.end < LIVE_WITHIN:
                for budget in shown(tile, ctx.workspace):
                    places = [place for place, row in enumerate(rows) if row["budget"] == budget.name]
                    reaches = await self._reaches(ctx, tile, budget, [rows[place] for place in places], memo)
                    for place, reach in zip(places, reaches, strict=True):
                        foreseen[place] = reach.head(ctx.now, ctx.base.window.tz) if reach else None
                        if insight := _insight(ctx, rows[place], reach, period.length):
                            found.setdefault((budget.name, rows[place]["label"]), insight)
            payload["columns"]["forecast"] = foreseen
        return list(found.values())

    async def _reaches(
        self, ctx: Context, tile: Tile, budget: Budget, rows: Sequence[Row], memo: Memo
    ) -> list[Reach | None]:
        """Of each row, where it has a limit that is not reached yet."""
        name = f"{budget.name}_spent"
        filters = asks(tile, ctx.workspace)[0].filters()
        open_ = [r for r in rows if r["limit"] is not None and r["spent"] is not None and 0 < r["spent"] < r["limit"]]
        if not open_:
            return [None] * len(rows)
        limits = {row["label"]: row["limit"] for row in open_[:FORESEEN]} if budget.by else None
        reaches = await self._forecaster.outlooks(ctx, name, filters, memo, limits)
        return [reaches.get(row["label"]) if row in open_ else None for row in rows]


def _insight(ctx: Context, row: Row, reach: Reach | None, window: timedelta) -> Insight | None:
    """Team spend is over its limit: $512 of $500. Or when it will be."""
    metric = _named(ctx.workspace.metrics[f"{row['budget']}_spent"], row)
    if row["attention"] == "bad":
        amount = f": {text(row['spent'], row['unit'])} of {text(row['limit'], row['unit'])} this {row['period']}."
        return Insight(
            kind="budget",
            metric=metric.name,
            parts=[{"t": f"{metric.title} is spent", "b": True, "tone": "bad"}, {"t": amount}],
            confidence=1.0,
            evidence={"spent": row["spent"], "limit": row["limit"]},
            tone="bad",
        )
    if reach is None or not reach.news(ctx.now, window):
        return None
    return msgspec.structs.replace(reach, metric=metric).insight(ctx.now, ctx.base.window.tz)


def _named(metric: Metric, row: Row) -> Metric:
    label = "" if row["label"] is None else f", {row['label']}"
    return msgspec.structs.replace(metric, title=f"{row['title']}{label}")
