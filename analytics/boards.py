"""Answers `board`: every distinct query of the tiles once, then each tile's columns and head."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from analytics import budgeting, inline
from analytics import window as windows
from analytics.asking import Answer, Asker, Context, executed, freshness, live, ms_of, rfc3339
from analytics.asks import Ask
from analytics.budgeting import Budgeting
from analytics.errors import NotFound, PlumblineError, unknown
from analytics.expecting import Expecting, asked_of
from analytics.explaining import Explainer, why
from analytics.forecasting import Forecaster
from analytics.insights import anomalies
from analytics.insights import changes as changed
from analytics.insights import confidence as trusting
from analytics.insights.causes import Explanation
from analytics.insights.changes import Insight
from analytics.insights.confidence import Confidence
from analytics.messages import BoardRequest
from analytics.pricing import Pricing
from analytics.query import Filter, Period, Result
from analytics.sources import Trust
from analytics.tiles import TILES, Answered
from analytics.workspace import Board, Tile, Workspace, layout

SETTLED = timedelta(seconds=10)  # what was received so long ago has all been committed
LEARNING_S = 3.0  # so long the past before a window may take to read; else ranges are learnt from the period before

Answers = dict[tuple[Any, ...], Result | PlumblineError]
Payload = dict[str, Any]
Explained = dict[str, dict[str, Explanation]]  # tile -> metric


class Boards:
    """Assembles boards. What it remembers is in the memo of each standing query."""

    def __init__(self, asker: Asker, explainer: Explainer, workspace_error: Callable[[], str | None]) -> None:
        self._asker, self._explainer, self._forecaster = asker, explainer, Forecaster(asker)
        self._pricing, self._budgeting = Pricing(asker), Budgeting(self._forecaster)
        self._workspace_error = workspace_error

    async def answer(
        self, request: BoardRequest, now: datetime, allowed: Sequence[Filter], memo: dict[Any, Any]
    ) -> Answer:
        """The whole board; the past does not change, so it is answered once. Raises NotFound, ValidationError."""
        workspace = self._asker.workspace()
        if (kept := memo.get("past")) and kept[0] is workspace:
            return kept[1]  # type: ignore[no-any-return]
        board = self._board(request, workspace)
        ctx = self._asker.context(request, now, allowed, board.window)
        compare = None if request.compare == "off" else request.compare
        base = msgspec.structs.replace(ctx.base, grain=request.grain, compare=compare)
        answer = await self._assembled(msgspec.structs.replace(ctx, base=base), board, memo)
        whole = all(tile["head"]["state"] != "error" for tile in answer.analytics["tiles"].values())
        if ctx.past and whole and now - ctx.now > SETTLED:
            memo["past"] = (workspace, answer)
        return answer

    def _board(self, request: BoardRequest, workspace: Workspace) -> Board:
        if request.tiles is not None:
            return inline.board(request.board, request.tiles, workspace)
        if request.board not in workspace.boards:
            raise NotFound(unknown("board", request.board, workspace.boards))
        return workspace.boards[request.board]

    async def _assembled(self, ctx: Context, board: Board, memo: dict[Any, Any]) -> Answer:
        started = time.perf_counter()
        period = windows.resolve(ctx.base.window, ctx.now)
        answers = await self._ask_all(ctx, board, period, memo)
        expecting = Expecting.of(memo, ctx, period)
        await self._follow(ctx, board, answers, expecting)
        explained = await self._explained(ctx, board, answers, memo)
        tiles: dict[str, Payload] = {}
        insights: list[Insight] = []
        for tile in board.tiles:
            tiles[tile.id], found = self._tile(ctx, tile, answers, expecting, explained)
            insights += found
        insights = [*await self._pricing.tell(ctx, board, tiles, memo), *insights]
        insights = [*await self._forecaster.tell(ctx, board, tiles, memo), *insights]
        insights = [*await self._budgeting.tell(ctx, board, tiles, memo), *insights]
        shown = next((r for r in answers.values() if isinstance(r, Result)), None)
        heads = [t["head"]["confidence"] for t in tiles.values() if t["head"].get("confidence") is not None]
        trust = self._asker.trust_in(ctx, dataset_of(board), period.seconds)
        fields = self._fields(ctx, board, shown, trust)
        fields["incidents"] = expecting.listed(board, ctx.base.window.tz)
        fields["query_ms"] = round((time.perf_counter() - started) * 1000, 1)
        return Answer(
            analytics=fields | {"tiles": tiles},
            insights=[i.wire() for i in insights],
            confidence=Confidence(min(heads, default=0.0), trust.freshness, trust.completeness)
            if heads
            else trusting.NOTHING,
        )

    async def _ask_all(self, ctx: Context, board: Board, period: Period, memo: dict[Any, Any]) -> Answers:
        """Run each distinct query of the board once; asks that differ only in metrics share one."""
        asks = [ask for tile in board.tiles for ask in self._asks(ctx, tile)]
        expecting = Expecting.of(memo, ctx, period)
        asks += [ask for tile in board.tiles if not expecting.knows(tile) for ask in asked_of(tile)]
        return await self._shared(ctx, asks, period)

    async def _shared(self, ctx: Context, asks: Sequence[Ask], period: Period) -> Answers:
        shared: dict[tuple[Any, ...], tuple[Ask, list[str]]] = {}
        for ask in asks:
            first, metrics = shared.get(ask.sharing_key(), (ask, []))
            shared[ask.sharing_key()] = (first, [*metrics, *(m for m in ask.metrics if m not in metrics)])

        async def one(ask: Ask, metrics: list[str]) -> Result | PlumblineError:
            try:
                limit = LEARNING_S if ask.back else None
                return await self._asker.run(ctx, ask.query(metrics, ctx.base, period), limit)
            except PlumblineError as error:
                return error

        found = await asyncio.gather(*(one(*asked) for asked in shared.values()))
        return dict(zip(shared, found, strict=True))

    async def _explained(self, ctx: Context, board: Board, answers: Answers, memo: dict[Any, Any]) -> Explained:
        """What is behind the changes that each tile tells; looked for after the rest, and only of what moved."""
        found: Explained = {}
        for tile in board.tiles:
            result = answers[self._asks(ctx, tile)[0].sharing_key()]
            if tile.type == "changes" and isinstance(result, Result):
                totals = {n: result.totals[n] for n in tile.metrics}
                found[tile.id] = await self._explainer.moves(ctx, result, totals, tile.by, memo, tile.id)
        return found

    async def _follow(self, ctx: Context, board: Board, answers: Answers, expecting: Expecting) -> None:
        """Let every series whose range is shown or told learn what is new."""
        shown = [
            (tile, main, answers.get(ask.sharing_key()))
            for tile in board.tiles
            for ask in asked_of(tile)
            if isinstance(main := answers[self._asks(ctx, tile)[0].sharing_key()], Result)
        ]
        await expecting.advance(ctx, self._asker, shown)

    def _asks(self, ctx: Context, tile: Tile) -> list[Ask]:
        """What a tile asks; marks among the events mean nothing to the rows of a file."""
        if tile.type == "budgets":
            return budgeting.asks(tile, ctx.workspace)
        stored = ctx.workspace.datasets[tile.dataset].columns
        return [ask for ask in TILES[tile.type].asks(tile) if not (stored and ask.role == "annotations")]

    def _tile(
        self, ctx: Context, tile: Tile, answers: Answers, expecting: Expecting, explained: Explained
    ) -> tuple[Payload, list[Insight]]:
        results: dict[str, Result] = {}
        asks = self._asks(ctx, tile)
        request = request_of(ctx, asks[0])
        for ask in asks:
            result = answers[ask.sharing_key()]
            if isinstance(result, PlumblineError):
                head = {"state": "error", "reason": result.message, "confidence": None, "request": request}
                return {"head": head, "columns": {}}, []
            results[ask.role] = result
        main = results[asks[0].role]
        insights: list[Insight] = []
        if tile.type == "changes":
            payload, insights = self._changes(ctx, tile, main, expecting, explained[tile.id])
        else:
            payload = self._built(ctx, tile, main, results, expecting)
        trust = self._asker.trust(ctx, main, tile.metrics[0] if tile.metrics else None)
        head = payload["head"] | {"request": request}
        lacking = head.pop("lacking", None)
        own = asks if tile.type == "budgets" else asks[:1]
        empty = tile.type != "changes" and (lacking or not any(results[ask.role].rows for ask in own))
        head["state"] = "empty" if empty else "ok"
        if empty:
            head |= {"reason": lacking or _why_empty(ctx, trust, tile.dataset), "confidence": 0.0}
        head.setdefault("confidence", trust.freshness)
        head.setdefault("parts", Confidence(None, trust.freshness, trust.completeness).parts())
        if live(main, ctx.now) and trust.age_s is not None:
            head |= {"newest": ms_of(ctx.now - timedelta(seconds=trust.age_s)), "usual_s": trust.usual_s}
        return payload | {"head": head}, insights

    def _built(
        self, ctx: Context, tile: Tile, main: Result, results: Mapping[str, Result], expecting: Expecting
    ) -> Payload:
        build = budgeting.build if tile.type == "budgets" else TILES[tile.type].build
        assert build is not None
        series = next(iter(expecting.of_tile(tile)), None)
        told = Answered(
            tile=tile,
            workspace=ctx.workspace,
            results=results,
            confidence=lambda name, total: self._asker.confidence(ctx, main, name, total),
            late=self._asker.trust(ctx, main, tile.metrics[0] if tile.metrics else None).late,
            now=ctx.now,
            expected=series,
            incidents=series.incidents if series else (),
        )
        payload = build(told)
        if outside := expecting.attention(tile):
            payload["head"]["attention"] = payload["head"].get("attention") or outside
        return payload

    def _changes(
        self,
        ctx: Context,
        tile: Tile,
        main: Result,
        expecting: Expecting,
        explained: Mapping[str, Explanation],
    ) -> tuple[Payload, list[Insight]]:
        totals = {n: main.totals[n] for n in tile.metrics}
        confidences = {n: self._asker.confidence(ctx, main, n, t) for n, t in totals.items()}
        found = []
        if main.rows and main.previous:
            found = changed.changes(ctx.workspace.metrics, totals, explained, confidences)
        late = changed.late_sources(self._asker.trust(ctx, main, tile.metrics[0]))
        left = anomalies.told(expecting.of_tile(tile), ctx.base.window.tz, silent=bool(late))
        found = late + anomalies.merged(left, found)
        where = self._asks(ctx, tile)[0].filters()
        for insight in found:
            spans = anomalies.spans(insight)
            if insight.metric and insight.why is None and (main.previous or spans):
                insight.why = why(ctx, insight.metric, tile.dataset, where) | spans
        label = windows.describe(ctx.base.window, ctx.base.compare)[1]
        watched = ", ".join(ctx.workspace.metrics[m].title or m for m in tile.metrics)
        compared = main.previous is not None and any(t.n_previous for t in totals.values())
        quiet = f"Nothing moved beyond chance. Watching {watched}."
        if not compared:
            lacking = f"no {label}" if ctx.base.compare == "previous" else f"nothing from the {label}"
            quiet = f"There is {lacking} to compare with yet." if main.previous else "Comparison is off."
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

    def _fields(self, ctx: Context, board: Board, shown: Result | None, trust: Trust) -> Payload:
        """What is said of the board as a whole."""
        label, previous = windows.describe(ctx.base.window, ctx.base.compare)
        dataset = dataset_of(board)
        known = self._asker.sources.domains(dataset)
        return {
            "board": board.name,
            "layout": layout(board, ctx.workspace),
            "title": board.title,
            "description": board.description,
            "file": board.file,
            "empty": board.empty,
            "dataset": dataset,
            **(executed(shown, ctx.base.window.tz) if shown else {"window": None, "partial": None}),
            "label": label,
            "previous_label": previous,
            "compare": ctx.base.compare is not None,
            "now": ms_of(ctx.now),
            "as_of": ms_of(ctx.base.as_of),
            **freshness(trust),
            "watermark": ms_of(trust.watermark),
            "newest": None if trust.age_s is None else ms_of(ctx.now - timedelta(seconds=trust.age_s)),
            "usual_s": trust.usual_s,
            **_traffic(ctx, trust),
            "domains": [d for d in known if ctx.domains is None or d in ctx.domains],
            "workspace_error": self._workspace_error(),
        }


def dataset_of(board: Board) -> str:
    """The dataset a board's header speaks of: that of all its metrics, or the events."""
    found = {tile.dataset for tile in board.tiles if tile.metrics} or {tile.dataset for tile in board.tiles}
    return found.pop() if len(found) == 1 else "events"


def request_of(ctx: Context, ask: Ask) -> Payload:
    """The message whose answer has the rows that a tile shows. Its window is the one that was asked, so that it does
    not change from tick to tick."""
    base = ctx.base
    compare, grain = base.compare if ask.compare else None, (base.grain or "auto") if ask.grain else None
    message = {
        "type": "rows" if ask.select else "query",
        "dataset": ask.dataset,
        "columns": list(ask.select),
        "metrics": list(ask.metrics),
        "window": msgspec.to_builtins(base.window),
        "filters": msgspec.to_builtins([*ctx.asked, *ask.filters()]),
        "grain": grain,
        "group_by": list(ask.by),
        "compare": compare,
        "limit": ask.limit,
        "as_of": rfc3339(base.as_of) if base.as_of else None,
    }
    return {name: value for name, value in message.items() if value not in (None, [])}


def _traffic(ctx: Context, trust: Trust) -> Payload:
    """What the header says of all senders: nothing to a key that is bound to domains, and nothing of the past."""
    if ctx.domains is not None or ctx.past:
        return {"sources": None, "events_per_min": None, "dropped": None}
    late = [{"source": x.source, "age_s": round(x.age_s, 1)} for x in trust.late]
    return {
        "sources": {"reporting": trust.reporting, "late": late},
        "events_per_min": trust.events_per_min,
        "dropped": trust.dropped,
    }


def _why_empty(ctx: Context, trust: Trust, dataset: str) -> str:
    if ctx.base.filters:
        named = ", ".join(f"{f.dim} {f.op.replace('_', ' ')} {', '.join(map(str, f.values))}" for f in ctx.base.filters)
        return f"No events in this window where {named[:200]}."
    stored = ctx.workspace.datasets[dataset].columns
    if not (trust.reporting or stored or ctx.past):
        return "No source is sending yet."
    label = windows.describe(ctx.base.window)[0]
    known = ", as far as was known then" if ctx.past else ""
    return f"No {'rows' if stored else 'events of this kind'} in {label[0].lower() + label[1:]}{known}."
