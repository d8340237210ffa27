"""Pages of flows: the roots that ended in a window, each with what its events add up to.

A flow is a row of kind `flow`, and its events are those with the same flow_id; a row without one is a flow of its own.
Pages follow each other by the value they are sorted by and the event_id, so that what arrives meanwhile shifts nothing.
"""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from analytics import window as windows
from analytics.asking import LIVE_WITHIN, Answer, Asker, Context, freshness, ms_of, rfc3339
from analytics.errors import ValidationError, unknown
from analytics.insights import confidence as trusting
from analytics.insights.confidence import Confidence
from analytics.messages import Flows
from analytics.query import Filter, Period
from analytics.sources import Trust
from analytics.store.base import Store
from analytics.store.dialect import Positional
from analytics.store.terms import Terms

OWN = ("event_id", "time", "name", "agent", "domain", "source", "user", "status", "error_type", "duration_ms")
SUMS = ("tokens", "cost", "cost_usd", "model_calls", "tool_calls", "errors")
COLUMNS = ("flow_id", *OWN, *SUMS)
SORTS = ("time", "duration_ms", "tokens", "cost", "cost_usd", "errors", "status", "name", "agent")
TEXTS = ("status", "name", "agent")
SEARCHED = ("name", "agent", "flow_id", "event_id", "error_type")
PAGE = 1000  # rows at most
MARGIN = timedelta(hours=1)  # how far from its root an event of a flow may lie: late calls, and clocks that differ
LONGEST_MS = 10 * 365 * 86_400_000.0

FLOW = "coalesce(flow_id, event_id)"
TOKENS = "coalesce(tokens_input, 0) + coalesce(tokens_output, 0)"
COUNTED = "kind = 'model' AND (tokens_input IS NOT NULL OR tokens_output IS NOT NULL)"
ADDED = (
    f"CAST(sum({TOKENS}) FILTER (WHERE {COUNTED}) AS BIGINT) AS tokens",
    "round(sum(cost_usd), 9) AS cost_usd",  # the order of adding must not show: it decides where a page ends
    "count(*) FILTER (WHERE kind = 'model') AS model_calls",
    "count(*) FILTER (WHERE kind = 'tool') AS tool_calls",
    "count(*) FILTER (WHERE status = 'error') AS errors",
)


class Cursor(msgspec.Struct, frozen=True, array_like=True):
    """The last row of a page: what it was sorted by, its value there (a time in us) and its event_id."""

    sort: str
    descending: bool
    value: str | int | float | None
    event_id: str


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A request, resolved: which rows may be seen, which flows are wanted, and from when to when."""

    request: Flows
    ctx: Context
    period: Period
    visible: tuple[Filter, ...]  # the key's own filters: the other rows are not there at all
    since: datetime  # before the start of the first flow

    @property
    def summed(self) -> bool:
        """Whether the sums decide the order, so that those of all flows are needed."""
        return self.request.sort in SUMS

    def kept(self, terms: Terms, filters: Sequence[Filter] = ()) -> list[str]:
        """The conditions on every row that is read, and further ones."""
        return terms.kept((*self.visible, *filters))

    def counted(self, terms: Terms) -> list[str]:
        """The conditions on the rows that are added up."""
        return terms.counted(self.visible)


class FlowPages:
    """Answers `flows` over one store."""

    def __init__(self, store: Store, asker: Asker) -> None:
        self._store, self._asker = store, asker

    async def page(self, request: Flows, now: datetime, allowed: Sequence[Filter]) -> Answer:
        """One page. Raises ValidationError, NotFound (an unknown dimension), Timeout."""
        started = time.perf_counter()
        _check(request)
        ctx = self._asker.context(request, now, allowed, "now-1h")
        asked = await self._asked(request, ctx, tuple(allowed))
        rows = await self._rows(self._statement(asked))
        more, rows = len(rows) > request.limit, rows[: request.limit]
        if rows and not asked.summed:
            sums = {row["flow_id"]: row for row in await self._rows(self._sums_of(asked, rows))}
            rows = [row | sums.get(row["flow_id"], {}) for row in rows]
        trust = self._asker.trust_in(ctx, "events", asked.period.seconds, kinds=frozenset({"flow"}))
        analytics = {
            "columns": list(COLUMNS),
            "rows": [[_wire(row.get(column)) for column in COLUMNS] for row in rows],
            "next": _cursor(request, rows[-1]) if more else None,
            **self._head(asked, trust),
            "query_ms": round((time.perf_counter() - started) * 1000, 1),
        }
        live = ctx.now - asked.period.end < LIVE_WITHIN
        parts = (trust.freshness, trust.completeness) if live else (None, 1.0)
        return Answer(analytics=analytics, confidence=Confidence(None, *parts) if rows else trusting.NOTHING)

    async def _asked(self, request: Flows, ctx: Context, visible: tuple[Filter, ...]) -> Asked:
        period = windows.resolve(ctx.base.window, ctx.now)
        asked = Asked(request=request, ctx=ctx, period=period, visible=visible, since=period.start)
        if not (ctx.asked or asked.summed):
            return asked
        terms = self._terms(ctx)
        first = f"min(time - to_microseconds(CAST(least(coalesce(duration_ms, 0), {LONGEST_MS}) * 1000 AS BIGINT)))"
        where = " AND ".join(["kind = 'flow'", terms.within(period), *asked.kept(terms)])
        found = await self._rows((f"SELECT {first} AS since FROM {{events}} WHERE {where}", terms))
        since = found[0]["since"]
        return msgspec.structs.replace(asked, since=since.replace(tzinfo=UTC) if since else period.start)

    def _statement(self, asked: Asked) -> tuple[str, Terms]:
        """The roots of one page and one more, in order; with their sums where those decide the order."""
        request, terms = asked.request, self._terms(asked.ctx)
        key, way = terms.dialect.name(request.sort), "DESC" if request.descending else "ASC"
        with_sums = f"WITH roots AS ({self._roots(asked, terms)})"
        source = "roots"
        if asked.summed:
            sums = self._sums(asked, terms, asked.since, asked.period.end, "(SELECT flow_id FROM roots)")
            with_sums, source = f"{with_sums}, sums AS ({sums})", "roots LEFT JOIN sums USING (flow_id)"
        after = f"WHERE {_following(request, terms)}" if request.after else ""
        order = f"ORDER BY {key} {way} NULLS LAST, event_id {way} LIMIT {request.limit + 1}"
        return f"{with_sums} SELECT * FROM {source} {after} {order}", terms

    def _roots(self, asked: Asked, terms: Terms) -> str:
        request, name = asked.request, terms.dialect.name
        kept = ["kind = 'flow'", terms.within(asked.period), *asked.kept(terms)]
        if request.search:
            part = terms.bind(request.search)
            kept.append("(" + " OR ".join(terms.dialect.contains(name(c), part) for c in SEARCHED) + ")")
        if asked.ctx.asked:
            near = terms.within(_around(asked.since, asked.period.end))
            fits = " AND ".join([near, *asked.kept(terms, asked.ctx.asked)])
            kept.append(f"{FLOW} IN (SELECT {FLOW} FROM {{events}} WHERE {fits})")
        return f"SELECT {FLOW} AS flow_id, {', '.join(map(name, OWN))} FROM {{events}} WHERE {' AND '.join(kept)}"

    def _sums_of(self, asked: Asked, rows: Sequence[dict[str, Any]]) -> tuple[str, Terms]:
        """The sums of the flows of one page; only the time they ran in is read."""
        terms = self._terms(asked.ctx)
        ends = [row["time"].replace(tzinfo=UTC) for row in rows]
        took = (timedelta(milliseconds=min(row["duration_ms"] or 0, LONGEST_MS)) for row in rows)
        since = min(end - duration for end, duration in zip(ends, took, strict=True))
        names = terms.bind([row["flow_id"] for row in rows])
        return self._sums(asked, terms, since, max(ends), f"(SELECT unnest({names}))"), terms

    def _sums(self, asked: Asked, terms: Terms, since: datetime, until: datetime, flows: str) -> str:
        within = terms.within(_around(since, until))
        where = " AND ".join([within, *asked.counted(terms), f"{FLOW} IN {flows}"])
        added = (*ADDED, f"round(sum({terms.number('cost')}), 9) AS cost")
        return f"SELECT {FLOW} AS flow_id, {', '.join(added)} FROM {{events}} WHERE {where} GROUP BY 1"

    def _head(self, asked: Asked, trust: Trust) -> dict[str, Any]:
        """What the header of a screen says; nothing of all senders to a key that is bound to domains."""
        ctx, period = asked.ctx, asked.period
        everybody = self._asker.trust_in(ctx, "events", period.seconds)
        known = self._asker.sources.domains()
        late = [{"source": x.source, "age_s": round(x.age_s, 1)} for x in everybody.late]
        open_to_all = ctx.domains is None and not ctx.past
        return {
            "window": {"from": rfc3339(period.start), "to": rfc3339(period.end), "tz": ctx.base.window.tz},
            "label": windows.describe(ctx.base.window)[0],
            "as_of": ms_of(ctx.base.as_of),
            **freshness(trust),
            "usual_s": trust.usual_s,
            "domains": [d for d in known if ctx.domains is None or d in ctx.domains],
            "sources": {"reporting": everybody.reporting, "late": late} if open_to_all else None,
            "events_per_min": everybody.events_per_min if open_to_all else None,
            "dropped": everybody.dropped if open_to_all else None,
        }

    def _terms(self, ctx: Context) -> Terms:
        return Terms(ctx.workspace, "events", Positional(), as_of=ctx.base.as_of)

    async def _rows(self, statement: tuple[str, Terms]) -> list[dict[str, Any]]:
        sql, terms = statement
        table = await self._store.read(sql, list(terms.params.values()))
        rows: list[dict[str, Any]] = table.to_pylist()
        return rows


def _check(request: Flows) -> None:
    if request.sort not in SORTS:
        raise ValidationError(f"sort: {unknown('such order', request.sort, SORTS)}")
    if not 1 <= request.limit <= PAGE:
        raise ValidationError(f"limit: expected 1 to {PAGE:,}, got {request.limit}")


def _cursor(request: Flows, row: dict[str, Any]) -> str:
    value = row[request.sort]
    if isinstance(value, datetime):
        value = (value.replace(tzinfo=UTC) - windows.EPOCH) // timedelta(microseconds=1)
    packed = msgspec.json.encode(Cursor(request.sort, request.descending, value, row["event_id"]))
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def _following(request: Flows, terms: Terms) -> str:
    """The rows behind the cursor; those without a value come last, whichever the direction."""
    text = request.after or ""
    try:
        cursor = msgspec.json.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=Cursor)
    except (msgspec.MsgspecError, binascii.Error, ValueError):
        raise ValidationError(f"after: expected the `next` of a page, got {text[:60]!r}") from None
    if cursor.value is not None and isinstance(cursor.value, str) != (cursor.sort in TEXTS):
        raise ValidationError(f"after: expected the `next` of a page, got {text[:60]!r}")
    if (cursor.sort, cursor.descending) != (request.sort, request.descending):
        raise ValidationError("after: that page was sorted in another way", hint="start from the first page")
    beyond, key = "<" if request.descending else ">", terms.dialect.name(request.sort)
    behind = f"event_id {beyond} {terms.bind(cursor.event_id)}"
    if cursor.value is None:
        return f"({key} IS NULL AND {behind})"
    at = terms.bind(_place(cursor.value) if request.sort == "time" else cursor.value)
    return f"({key} {beyond} {at} OR ({key} = {at} AND {behind}) OR {key} IS NULL)"


def _place(us: Any) -> datetime:
    return (windows.EPOCH + timedelta(microseconds=min(max(us, 0), 2**53))).replace(tzinfo=None)


def _around(since: datetime, until: datetime) -> Period:
    return Period(max(since - MARGIN, windows.EPOCH), until + MARGIN)


def _wire(value: Any) -> Any:
    """As JSON has it: the engine's times as RFC 3339."""
    return rfc3339(value.replace(tzinfo=UTC)) if isinstance(value, datetime) else value
