"""What stands behind a cost: how much of it was reported, how much is estimated, and what has no price at all."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date, timedelta
from typing import Any

import msgspec

from analytics import window as windows
from analytics.asking import Asker, Context
from analytics.asks import series
from analytics.budgeting import asks, shown
from analytics.insights.changes import Insight
from analytics.insights.confidence import Confidence
from analytics.prices import Price
from analytics.query import ROWS, Filter, Query
from analytics.workspace import Board, Budget, Metric, Tile, Workspace
from analytics.workspace_budgets import ESTIMATED, SPENT, UNPRICED, is_money

COSTS = ("cost", "cost_estimated")  # columns of `prices.COMPUTED` that a metric may add up
SUMS = ("cost_reported", "cost_estimated")
OFTEN = timedelta(seconds=5)
MODELS = 500
NAMED = 3

Memo = dict[Any, Any]


class Paid(msgspec.Struct, frozen=True, kw_only=True):
    """Of a window: dollars reported and estimated, rows that have a cost, the rows of each model that have tokens and
    no cost (the most first), and the day on which the oldest price that was used was looked up."""

    reported: float = 0.0
    estimated: float = 0.0
    priced: int = 0
    unpriced: tuple[tuple[str | None, int], ...] = ()
    oldest: date | None = None
    example: bool = False  # whether a price that was used is a built-in example

    @property
    def missing(self) -> int:
        return sum(rows for _, rows in self.unpriced)

    @property
    def completeness(self) -> float:
        """The share of the rows that have tokens or a cost whose cost is known."""
        return self.priced / (self.priced + self.missing) if self.unpriced else 1.0

    def head(self) -> dict[str, Any] | None:
        """As a number's tile carries it; None where everything was reported."""
        if not (self.estimated or self.missing):
            return None
        share = self.estimated / (self.reported + self.estimated) if self.estimated else 0.0
        parts = [f"{'<1' if share < 0.005 else round(share * 100)}% estimated"] if share else []
        parts += [f"prices of {self.oldest:%Y-%m}"] if self.oldest else []
        parts += [f"{_calls(self.missing)} without a price"] if self.missing else []
        return {
            "text": ", ".join(parts),
            "estimated": round(share, 4),
            "oldest": self.oldest and self.oldest.isoformat(),
            "example": self.example,
            "unpriced": self.missing,
            "models": [model for model, _ in self.unpriced[:MODELS]],
        }

    def insight(self) -> Insight:
        """3 models have no price: x, y, z; 1,204 calls are not in Spend."""
        named = [model for model, _ in self.unpriced if model is not None]
        more = [f"{len(named) - NAMED} more"] if len(named) > NAMED else []
        models = f"{len(named)} models have" if len(named) > 1 else "1 model has" if named else "Calls of no model have"
        listed = f": {', '.join([*named[:NAMED], *more])}" if named else ""
        said = f"{_calls(self.missing)} {'are' if self.missing > 1 else 'is'}"
        return Insight(
            kind="unpriced",
            metric=None,
            parts=[{"t": f"{models} no price", "b": True, "tone": "bad"}, {"t": f"{listed}; {said} not in Spend."}],
            confidence=1.0,
            evidence={"models": named, "n": self.missing},
            tone="bad",
            note="add them to the prices of a workspace file",
        )

    def trusted(self, confidence: Confidence) -> Confidence:
        """A sum of costs is no more complete than its prices."""
        if not self.unpriced:
            return confidence
        whole = min(1.0 if confidence.completeness is None else confidence.completeness, self.completeness)
        return msgspec.structs.replace(confidence, completeness=whole)


class Pricing:
    """Reads what stands behind costs. What it remembers is in the memo of each standing query."""

    def __init__(self, asker: Asker) -> None:
        self._asker = asker

    async def tell(self, ctx: Context, board: Board, tiles: dict[str, dict[str, Any]], memo: Memo) -> list[Insight]:
        """Put into the heads of costs what stands behind them, and among what changed which models have no price."""
        told: dict[tuple[str | None, ...], Insight] = {}
        for tile in board.tiles:
            head = tiles[tile.id]["head"]
            if head["state"] == "ok" and tile.type == "budgets":
                await self._date(ctx, tile, tiles[tile.id]["columns"], memo)
            if head["state"] != "ok" or tile.type not in ("kpi", "changes") or tile.dataset != "events":
                continue
            metrics = [ctx.workspace.metrics[name] for name in tile.metrics]
            spent = next((m.budget for m in metrics if m.budget and is_money(m)), None) if tile.type == "kpi" else None
            if not (spent or any(is_cost(metric, ctx.workspace) for metric in metrics)):
                continue
            filters = series(tile)[0].filters()
            paid = await (
                self._spent(ctx, spent, filters, memo) if spent else self.behind(ctx, ctx.base, filters, memo)
            )
            if paid is None:
                continue
            if tile.type == "kpi":
                _into(head, paid)
            elif paid.unpriced:
                insight = told.setdefault(tuple(model for model, _ in paid.unpriced), paid.insight())
                head["items"] = [insight.item(), *(head.get("items") or [])]
        return list(told.values())

    async def _date(self, ctx: Context, tile: Tile, columns: dict[str, list[Any]], memo: Memo) -> None:
        """Put into the rows of budgets how old the prices are that they are estimated by."""
        aged: dict[str, dict[str, Any] | None] = {}
        for budget in shown(tile, ctx.workspace):
            if is_money(ctx.workspace.metrics[f"{budget.name}_{SPENT}"]):
                used = await self._used(ctx, budget, asks(tile, ctx.workspace)[0].filters(), memo)
                aged[budget.name] = msgspec.to_builtins(_age(used)) if used else None
        rows = zip(columns["budget"], columns["estimated"], strict=True)
        columns["prices"] = [aged.get(name) if estimated else None for name, estimated in rows]

    async def _used(self, ctx: Context, budget: Budget, filters: Sequence[Filter], memo: Memo) -> frozenset[Price]:
        """The prices by which what is spent of a budget in its period is estimated. Looked at again every few seconds
        at most."""
        key = ("used", budget.name, ctx.base.window, *((f.dim, f.op, tuple(f.values)) for f in filters))
        kept = memo.get(key)
        if kept is None or kept[1] is not ctx.workspace or not ctx.now - kept[0] < OFTEN:
            name, moment = f"{budget.name}_{ESTIMATED}", min(windows.resolve(ctx.base.window, ctx.now).end, ctx.now)
            base = msgspec.structs.replace(ctx.base, compare=None, filters=[*ctx.base.filters, *filters])
            asked = msgspec.structs.replace(base, metrics=[name], group_by=["model"], limit=MODELS)
            table = (await self._asker.read(ctx, asked)).table
            models = [m for m, sum in zip(*(table[c].to_pylist() for c in ("model", name)), strict=True) if sum]
            period = budget.period_of(moment)
            used = frozenset(p for model in models for p in ctx.workspace.book.used(model, period))
            kept = memo[key] = (ctx.now, ctx.workspace, used)
        return kept[2]

    async def _spent(self, ctx: Context, budget: Budget, filters: Sequence[Filter], memo: Memo) -> Paid:
        """What stands behind what is spent of a budget in its period, not in the window."""
        names = [f"{budget.name}_{part}" for part in (SPENT, ESTIMATED, UNPRICED)]
        base = msgspec.structs.replace(ctx.base, compare=None, filters=[*ctx.base.filters, *filters])
        totals = (await self._asker.read(ctx, msgspec.structs.replace(base, metrics=names))).totals
        spent, estimated, unpriced = (totals[name].value or 0.0 for name in names)
        lacking = ((None, int(unpriced)),) if unpriced else ()
        used = await self._used(ctx, budget, filters, memo) if estimated else ()
        return Paid(
            reported=spent - estimated,
            estimated=estimated,
            priced=totals[names[0]].n,
            unpriced=lacking,
            **_age(used),
        )

    async def behind(
        self, ctx: Context, base: Query, filters: Sequence[Filter] = (), memo: Memo | None = None
    ) -> Paid | None:
        """What stands behind the costs of a window; None where the workspace does not measure it. Looked at again every
        few seconds at most."""
        if not {*SUMS} <= ctx.workspace.metrics.keys():
            return None
        key = ("prices", base.window, *((f.dim, f.op, tuple(f.values)) for f in filters))
        kept = memo.get(key) if memo is not None else None
        if kept is None or kept[1] is not ctx.workspace or not ctx.now - kept[0] < OFTEN:
            kept = (ctx.now, ctx.workspace, await self._read(ctx, base, filters))
            if memo is not None:
                memo[key] = kept
        return kept[2]

    async def _read(self, ctx: Context, base: Query, filters: Sequence[Filter]) -> Paid:
        known = Filter(dim="priced", op="in", values=[True, False])
        asked = Query(
            metrics=[ROWS, *SUMS],
            window=base.window,
            group_by=["model", "priced"],
            filters=[*base.filters, *filters, known],
            limit=MODELS,
            as_of=base.as_of,
        )
        result = await self._asker.read(ctx, asked)
        rows = list(zip(*(result.table[name].to_pylist() for name in ("model", "priced", ROWS, *SUMS)), strict=True))
        span = windows.resolve(base.window, ctx.now)
        used = {p for model, *_, estimated in rows if estimated for p in ctx.workspace.book.used(model, span)}
        return Paid(
            reported=sum(reported or 0.0 for *_, reported, _ in rows),
            estimated=sum(estimated or 0.0 for *_, estimated in rows),
            priced=sum(count for _, has, count, *_ in rows if has is not False),
            unpriced=tuple((model, count) for model, has, count, *_ in rows if has is False),
            **_age(used),
        )


def is_cost(metric: Metric, workspace: Workspace) -> bool:
    """Whether a metric adds up costs of the window that is asked, or divides what does."""
    if metric.numerator is not None:
        return is_cost(workspace.metrics[metric.numerator], workspace)
    of_events = metric.dataset == "events" and metric.budget is None
    return of_events and any(column in COSTS for column in (metric.column, *metric.columns))


def _age(used: Collection[Price]) -> dict[str, Any]:
    """Since when nobody looked up the oldest of these prices, and whether one is a built-in example."""
    return {
        "oldest": min((price.checked for price in used), default=None),
        "example": any(price.example for price in used),
    }


def _calls(count: int) -> str:
    return f"{count:,} {'call' if count == 1 else 'calls'}"


def _into(head: dict[str, Any], paid: Paid) -> None:
    head["prices"] = paid.head()
    if not paid.unpriced:
        return
    known = head["parts"].get("completeness")
    whole = round(min(1.0 if known is None else known, paid.completeness), 4)
    head["parts"] = head["parts"] | {"completeness": whole}
    if head.get("confidence") is not None:
        head["confidence"] = min(head["confidence"], whole)
