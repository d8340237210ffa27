"""Answers `board`: every distinct query of the tiles once, then each tile's columns and head."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from analytics import inline
from analytics import window as windows
from analytics.asking import Answer, Asker, Context, executed, freshness, live, ms_of, rfc3339
from analytics.asks import Ask
from analytics.errors import NotFound, PlumblineError, unknown
from analytics.insights import changes as changed
from analytics.insights import confidence as trusting
from analytics.insights.changes import Insight
from analytics.insights.confidence import Confidence
from analytics.messages import BoardRequest
from analytics.query import Filter, Period, Result
from analytics.sources import Trust
from analytics.tiles import TILES, Answered
from analytics.workspace import Board, Tile, Workspace, layout

CAUSES_EVERY = timedelta(seconds=5)  # groups behind "What changed" move slowly and cost the most
SETTLED = timedelta(seconds=10)  # what was received so long ago has all been committed

Answers = dict[tuple[Any, ...], Result | PlumblineError]
Payload = dict[str, Any]


class Boards:
    """Assembles boards. What it remembers is in the memo of each standing query."""

    def __init__(self, asker: Asker, workspace_error: Callable[[], str | None]) -> None:
        self._asker = asker
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
        tiles: dict[str, Payload] = {}
        insights: list[Insight] = []
        for tile in board.tiles:
            tiles[tile.id], found = self._tile(ctx, tile, answers)
            insights += found
        shown = next((r for r in answers.values() if isinstance(r, Result)), None)
        heads = [t["head"]["confidence"] for t in tiles.values() if t["head"].get("confidence") is not None]
        trust = self._asker.trust_in(ctx, dataset_of(board), period.seconds)
        fields = self._fields(ctx, board, shown, trust)
        fields["query_ms"] = round((time.perf_counter() - started) * 1000, 1)
        return Answer(
            analytics=fields | {"tiles": tiles},
            insights=[i.wire() for i in insights],
            confidence=Confidence(min(heads, default=0.0), trust.freshness, trust.completeness)
            if heads
            else trusting.NOTHING,
        )

    async def _ask_all(self, ctx: Context, board: Board, period: Period, memo: dict[Any, Any]) -> Answers:
        """Run each distinct query of the board once; asks that differ only in metrics share one. Causes are looked
        for after the rest, and only of what moved."""
        asks = [ask for tile in board.tiles for ask in self._asks(ctx, tile) if not _is_cause(tile, ask)]
        answers = await self._shared(ctx, asks, period)
        for tile in board.tiles:
            if tile.type == "changes":
                answers |= await self._causes(ctx, tile, answers, period, memo)
        return answers

    async def _shared(self, ctx: Context, asks: Sequence[Ask], period: Period) -> Answers:
        shared: dict[tuple[Any, ...], tuple[Ask, list[str]]] = {}
        for ask in asks:
            first, metrics = shared.get(ask.sharing_key(), (ask, []))
            shared[ask.sharing_key()] = (first, [*metrics, *(m for m in ask.metrics if m not in metrics)])

        async def one(ask: Ask, metrics: list[str]) -> Result | PlumblineError:
            try:
                return await self._asker.run(ctx, ask.query(metrics, ctx.base, period))
            except PlumblineError as error:
                return error

        found = await asyncio.gather(*(one(*asked) for asked in shared.values()))
        return dict(zip(shared, found, strict=True))

    async def _causes(
        self, ctx: Context, tile: Tile, answers: Answers, period: Period, memo: dict[Any, Any]
    ) -> Answers:
        """The groups behind what moved, by each dimension; those of a moment ago are good enough."""
        main, *dims = self._asks(ctx, tile)
        result = answers[main.sharing_key()]
        moved = _moved(ctx, tile, result) if isinstance(result, Result) else ()
        kept = memo.get(("causes", tile.id))
        if kept is None or kept[0] != moved or not ctx.now - kept[1] < CAUSES_EVERY:
            asks = [msgspec.structs.replace(ask, metrics=moved) for ask in dims] if moved else []
            found = await self._shared(ctx, asks, period)
            kept = memo["causes", tile.id] = (
                moved,
                ctx.now,
                {("causes", tile.id, a.role): found[a.sharing_key()] for a in asks},
            )
        return kept[2]

    def _asks(self, ctx: Context, tile: Tile) -> list[Ask]:
        """What a tile asks; marks among the events mean nothing to the rows of a file."""
        stored = ctx.workspace.datasets[tile.dataset].columns
        return [ask for ask in TILES[tile.type].asks(tile) if not (stored and ask.role == "annotations")]

    def _tile(self, ctx: Context, tile: Tile, answers: Answers) -> tuple[Payload, list[Insight]]:
        results: dict[str, Result] = {}
        asks = self._asks(ctx, tile)
        request = request_of(ctx, asks[0])
        for ask in asks:
            key = ("causes", tile.id, ask.role) if _is_cause(tile, ask) else ask.sharing_key()
            if key not in answers:
                continue
            result = answers[key]
            if isinstance(result, PlumblineError):
                head = {"state": "error", "reason": result.message, "confidence": None, "request": request}
                return {"head": head, "columns": {}}, []
            results[ask.role] = result
        main = results["main"]
        insights: list[Insight] = []
        if tile.type == "changes":
            payload, insights = self._changes(ctx, tile, results)
        else:
            payload = self._built(ctx, tile, results)
        trust = self._asker.trust(ctx, main, tile.metrics[0] if tile.metrics else None)
        head = payload["head"] | {"request": request}
        empty = main.rows == 0 and tile.type != "changes"
        head["state"] = "empty" if empty else "ok"
        if empty:
            head |= {"reason": _why_empty(ctx, trust, tile.dataset), "confidence": 0.0}
        head.setdefault("confidence", trust.freshness)
        head.setdefault("parts", Confidence(None, trust.freshness, trust.completeness).parts())
        if live(main, ctx.now) and trust.age_s is not None:
            head |= {"newest": ms_of(ctx.now - timedelta(seconds=trust.age_s)), "usual_s": trust.usual_s}
        return payload | {"head": head}, insights

    def _built(self, ctx: Context, tile: Tile, results: Mapping[str, Result]) -> Payload:
        build = TILES[tile.type].build
        assert build is not None
        main = results["main"]
        told = Answered(
            tile=tile,
            workspace=ctx.workspace,
            results=results,
            confidence=lambda name, total: self._asker.confidence(ctx, main, name, total),
            late=self._asker.trust(ctx, main, tile.metrics[0] if tile.metrics else None).late,
            now=ctx.now,
        )
        return build(told)

    def _changes(self, ctx: Context, tile: Tile, results: Mapping[str, Result]) -> tuple[Payload, list[Insight]]:
        main = results["main"]
        totals = {n: main.totals[n] for n in tile.metrics}
        confidences = {n: self._asker.confidence(ctx, main, n, t) for n, t in totals.items()}
        groups = {dim: r for dim, r in results.items() if dim != "main"}
        found = (
            changed.changes(ctx.workspace.metrics, totals, groups, confidences) if main.rows and main.previous else []
        )
        found = changed.late_sources(self._asker.trust(ctx, main, tile.metrics[0])) + found
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


def _is_cause(tile: Tile, ask: Ask) -> bool:
    return tile.type == "changes" and ask.role != "main"


def _moved(ctx: Context, tile: Tile, result: Result) -> tuple[str, ...]:
    """The metrics of a tile that changed by more than chance."""
    if not result.rows or result.previous is None:
        return ()
    return tuple(n for n in tile.metrics if changed.significant(ctx.workspace.metrics[n], result.totals[n]))


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
