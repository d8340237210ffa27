"""Answers `rows`, `values` and `sources`: what is there, rather than what it adds up to."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from analytics import window as windows
from analytics.asking import Answer, Asker, Context, executed, freshness, live, plain, rfc3339
from analytics.errors import ValidationError
from analytics.insights import confidence as trusting
from analytics.insights.confidence import Confidence
from analytics.inventory import Inventory
from analytics.messages import Rows, SourcesRequest, Values
from analytics.query import Filter, Mark, Query, Result
from analytics.sources import Sender
from analytics.window import EPOCH, US
from analytics.workspace import schema

MAX_ROWS = 1000
MAX_VALUES = 1000
MAX_SOURCES = 500
MAX_SEARCH = 200


class Browser:
    """Lists what one store holds."""

    def __init__(self, asker: Asker) -> None:
        self._asker = asker
        self._inventory = Inventory(asker)

    async def rows(self, request: Rows, now: datetime, allowed: Sequence[Filter]) -> Answer:
        """A page of raw rows, the newest first. Raises ValidationError, NotFound."""
        _check_limit(request.limit, MAX_ROWS)
        ctx = self._asker.context(request, now, allowed, "now-1h")
        dataset = ctx.workspace.dataset(request.dataset)
        columns = list(dict.fromkeys(request.columns)) or schema(dataset).names
        query = msgspec.structs.replace(
            ctx.base,
            compare=None,
            select=list(dict.fromkeys([*columns, "time", "event_id"])),
            after=None if request.after is None else _mark(request.after),
            limit=request.limit + 1,
            dataset=dataset.name,
        )
        result = await self._asker.read(ctx, query)
        shown = result.table.slice(0, request.limit)
        more = result.table.num_rows > request.limit
        last = shown.slice(shown.num_rows - 1).to_pylist() if more else []
        return self._answer(
            ctx,
            result,
            {
                "dataset": dataset.name,
                "columns": columns,
                "rows": [list(row) for row in zip(*(plain(shown[c]) for c in columns), strict=True)],
                "next": _cursor(last[0]["time"], last[0]["event_id"]) if last else None,
            },
        )

    async def values(self, request: Values, now: datetime, allowed: Sequence[Filter]) -> Answer:
        """The values of a dimension under the other filters. Raises ValidationError, NotFound."""
        _check_limit(request.limit, MAX_VALUES)
        if len(request.search) > MAX_SEARCH:
            raise ValidationError(f"search: expected at most {MAX_SEARCH} characters, got {len(request.search)}")
        ctx = self._asker.context(request, now, allowed, "now-1h")
        known = ctx.workspace.dimension(request.dim, request.dataset)
        dataset = request.dataset or (known.dataset if known else "events")
        ctx.workspace.dataset(dataset)

        def full(name: str) -> str:
            found = ctx.workspace.dimension(name, dataset)
            return found.name if found else name

        others = [f for f in request.filters if full(f.dim) != full(request.dim)]
        ctx = self._asker.context(msgspec.structs.replace(request, filters=others), now, allowed, "now-1h")
        result = await self._listed(ctx, dataset, request.dim, request.limit, request.search)
        table = result.table
        pairs = zip(plain(table["value"]), table["n"].to_pylist(), strict=True)
        first = table.slice(0, 1).to_pylist()
        return self._answer(
            ctx,
            result,
            {
                "dim": request.dim,
                "dataset": dataset,
                "values": [{"value": value, "n": n} for value, n in pairs],
                "distinct": first[0]["distinct"] if first else 0,
                "rows": first[0]["rows"] if first else 0,
            },
        )

    async def sources(self, request: SourcesRequest, now: datetime, allowed: Sequence[Filter]) -> Answer:
        """Who sends. Under filters, and for a key that is bound to domains, told from the rows that are left and
        nothing else, and without detail: the rhythm of a sender is that of all it sends."""
        ctx = self._asker.context(request, now, allowed, "now-1h")
        dataset = ctx.workspace.dataset(request.dataset).name
        period = windows.resolve(ctx.base.window, now)
        trust = self._asker.trust_in(ctx, dataset, period.seconds)
        told: dict[str, Any] = {"dataset": dataset, "drops": [], "events_per_min": None, "dropped": None}
        if ctx.base.filters:
            result = await self._listed(ctx, dataset, "source", MAX_SOURCES)
            minutes = max((min(period.end, now) - period.start).total_seconds(), 1.0) / 60
            senders = [_seen(row, now, minutes) for row in result.table.to_pylist()]
        else:
            senders = self._asker.sources.senders(now, dataset)[:MAX_SOURCES]
            drops = self._asker.sources.lost(period.start, period.end, dataset)
            told |= {"drops": msgspec.to_builtins(drops), "dropped": sum(drop.count for drop in drops)}
            told["events_per_min"] = trust.events_per_min
        listed = [msgspec.to_builtins(s) | {"last_seen": rfc3339(s.last_seen)} for s in senders]
        if request.detail and not ctx.base.filters:
            seen = await self._inventory.of(ctx, dataset, [s.source for s in senders])
            listed = [s | seen.get(s["source"], {}) for s in listed]
        return Answer(
            analytics={"sources": listed, **told, **freshness(trust)},
            confidence=Confidence(None, trust.freshness, trust.completeness) if senders else trusting.NOTHING,
        )

    async def _listed(self, ctx: Context, dataset: str, dim: str, limit: int, search: str = "") -> Result:
        query: Query = msgspec.structs.replace(
            ctx.base, compare=None, values=dim, limit=limit, search=search, dataset=dataset
        )
        return await self._asker.read(ctx, query)

    def _answer(self, ctx: Context, result: Result, told: dict[str, Any]) -> Answer:
        trust = self._asker.trust(ctx, result)
        parts = (trust.freshness, trust.completeness) if live(result, ctx.now) else (None, 1.0)
        window = executed(result, ctx.base.window.tz)["window"]
        return Answer(
            analytics=told | {"window": window} | freshness(trust),
            confidence=Confidence(None, *parts) if result.table.num_rows else trusting.NOTHING,
        )


def _check_limit(limit: int, most: int) -> None:
    if not 1 <= limit <= most:
        raise ValidationError(f"limit: expected 1 to {most:,}, got {limit}")


def _seen(row: dict[str, Any], now: datetime, minutes: float) -> Sender:
    last = row["last"].replace(tzinfo=UTC)
    age = max(0.0, (now - last).total_seconds())
    return Sender(source=row["value"] or "", last_seen=last, age_s=age, events_per_min=row["n"] / minutes)


def _cursor(time: datetime, event_id: str | None) -> str:
    mark = Mark((time.replace(tzinfo=UTC) - EPOCH) // US, event_id)
    return base64.urlsafe_b64encode(msgspec.json.encode(mark)).decode().rstrip("=")


def _mark(cursor: str) -> Mark:
    try:
        raw = base64.b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4), b"-_", validate=True)
        mark = msgspec.json.decode(raw, type=Mark)
        EPOCH + mark.time_us * US  # a time that there is
    except (UnicodeError, binascii.Error, msgspec.DecodeError, OverflowError):
        raise ValidationError("after: expected the `next` of an answer", hint="leave it out to begin anew") from None
    return mark
