"""One flow whole: its events as a tree in time, with the critical path."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from analytics import window as windows
from analytics.asking import Answer, Asker, Context, rfc3339
from analytics.critical import Interval, critical_path
from analytics.errors import NotFound, nearest
from analytics.flows import COUNTED, FLOW, LONGEST_MS, MARGIN, TOKENS
from analytics.insights.confidence import Confidence
from analytics.messages import FlowDetail
from analytics.query import Filter, Period
from analytics.store.base import Store
from analytics.store.dialect import Positional
from analytics.store.terms import Terms
from analytics.window import EPOCH, US

SPANS = 2_000  # at most; the longest stay
ATTRIBUTES = 2 << 20  # characters of attributes in one answer; those of the longest spans first
NEAR = 500  # newest flows among which a mistyped id is looked for

COPIED = ("kind", "name", "agent", "tool", "model", "resource", "source", "domain", "user", "status", "error_type",
          "duration_ms", "tokens_input", "tokens_output", "tokens_cached", "cost_usd", "value", "unit",
          "parent_id", "flow_id", "evidence")  # fmt: skip
READ = ("event_id", "time", "start_time", "received", *COPIED)
COUNTS = "evidence IS NOT TRUE"
LONGEST_FIRST = "ORDER BY kind = 'flow' DESC, duration_ms DESC NULLS LAST, time, event_id"


class FlowTrees:
    """Answers `flow` over one store."""

    def __init__(self, store: Store, asker: Asker) -> None:
        self._store, self._asker = store, asker

    async def detail(self, request: FlowDetail, now: datetime, allowed: Sequence[Filter]) -> Answer:
        """The flow of this id, in any time unless the request has a window. Raises NotFound, naming the nearest id."""
        ctx = self._asker.context(request, now, allowed, "now-1h")
        period = windows.resolve(ctx.base.window, ctx.now) if request.window else None
        rows = await self._rows(self._statement(request.flow_id, ctx, period))
        if not rows:
            raise await self._missing(request, ctx)
        analytics = tree(request.flow_id, rows)
        return Answer(analytics=analytics, confidence=Confidence(None, None, 1.0))  # a fact, not a sample

    def _statement(self, flow: str, ctx: Context, period: Period | None) -> tuple[str, Terms]:
        """The longest events of a flow, each once, with the sums over all of them."""
        terms = _terms(ctx)
        one = terms.bind(flow)
        kept = [f"(flow_id = {one} OR (flow_id IS NULL AND event_id = {one}))", *terms.kept(ctx.base.filters)]
        if period is not None:
            kept.append(terms.within(Period(max(period.start - MARGIN, EPOCH), period.end + MARGIN)))
        name = terms.dialect.name
        once = "QUALIFY row_number() OVER (PARTITION BY event_id ORDER BY received) = 1"
        read = f"{', '.join(map(name, READ))}, {terms.number('cost')} AS cost"
        found = f"SELECT {read}, attributes FROM {{events}} WHERE {' AND '.join(kept)} {once}"
        used = f"sum(coalesce(length(attributes), 0)) OVER ({LONGEST_FIRST} ROWS UNBOUNDED PRECEDING)"
        sums = (
            f"CAST(sum({TOKENS}) FILTER (WHERE {COUNTED} AND {COUNTS}) OVER () AS BIGINT) AS all_tokens",
            f"round(sum(cost) FILTER (WHERE {COUNTS}) OVER (), 9) AS all_cost",
            f"round(sum(cost_usd) FILTER (WHERE {COUNTS}) OVER (), 9) AS all_reported",
            "count(*) OVER () AS all_spans",
            f"CASE WHEN {used} <= {ATTRIBUTES} THEN coalesce(attributes, '{{}}') END AS kept_attributes",
        )
        sql = f"WITH found AS ({found}) SELECT * EXCLUDE (attributes), {', '.join(sums)} FROM found"
        return f"{sql} {LONGEST_FIRST} LIMIT {SPANS}", terms

    async def _missing(self, request: FlowDetail, ctx: Context) -> NotFound:
        terms = _terms(ctx)
        where = " AND ".join(["kind = 'flow'", *terms.kept(ctx.base.filters)])
        sql = f"SELECT {FLOW} AS id FROM {{events}} WHERE {where} ORDER BY time DESC LIMIT {NEAR}"
        known = [row["id"] for row in await self._rows((sql, terms))]
        near = nearest(request.flow_id, known) or next(iter(known), None)
        inside = f" in domain {request.domain!r}" if request.domain else ""
        return NotFound(f"no flow {request.flow_id[:200]!r}{inside}" + (f"; nearest: {near!r}" if near else ""))

    async def _rows(self, statement: tuple[str, Terms]) -> list[dict[str, Any]]:
        sql, terms = statement
        rows: list[dict[str, Any]] = (await self._store.read(sql, list(terms.params.values()))).to_pylist()
        return rows


def _terms(ctx: Context) -> Terms:
    return Terms(ctx.workspace, "events", Positional())


def tree(flow_id: str, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The answer from the rows of a flow: READ, kept_attributes and the sums, in any order."""
    known = {row["event_id"]: row for row in rows}
    spans = {name: _interval(row) for name, row in known.items()}
    parents = _acyclic({name: row["parent_id"] if row["parent_id"] in known else None for name, row in known.items()})
    tops = [name for name, parent in parents.items() if parent is None]
    flows = [name for name in tops if known[name]["kind"] == "flow"]
    roots = [name for name in flows if known[name]["parent_id"] is None] or flows or tops
    roots.sort(key=lambda name: (spans[name].start, name))
    parents |= {name: _home(spans[name], roots, spans) for name in tops if name not in roots}
    children: defaultdict[str, list[str]] = defaultdict(list)
    for name in sorted(spans, key=lambda n: (spans[n].start, -spans[n].end, n)):
        if (parent := parents[name]) is not None:
            children[parent].append(name)
    own = critical_path(spans, children, roots)
    listed = [
        _span(known[name], spans[name], parents[name], depth, own.get(name)) for name, depth in _walk(roots, children)
    ]
    below = sum(us for name, us in own.items() if name not in roots)
    start, end = min(spans[r].start for r in roots), max(spans[r].end for r in roots)
    first, failed = known[roots[0]], any(known[r]["status"] == "error" for r in roots)
    return {
        "flow_id": flow_id,
        "name": first["name"],
        "status": ("error" if failed else "ok") if flows else None,  # without its root it has not ended
        "start": rfc3339(EPOCH + start * US),
        "end": rfc3339(EPOCH + end * US),
        "duration_ms": first["duration_ms"] if len(roots) == 1 else (end - start) / 1000,
        "tokens": first["all_tokens"],
        "cost": first["all_cost"],
        "cost_usd": first["all_reported"],
        "spans": listed,
        "count": first["all_spans"],
        "truncated": first["all_spans"] > len(rows),
        "critical_ms": (below if len(own) > len(roots) else sum(own.values())) / 1000,
    }


def _interval(row: dict[str, Any]) -> Interval:
    """When it ran: it ended at its time, and began its duration before; without one, at its start time."""
    end = (row["time"].replace(tzinfo=UTC) - EPOCH) // US
    if row["duration_ms"] is not None:
        return Interval(max(end - round(min(row["duration_ms"], LONGEST_MS) * 1000), 0), end)
    began = row["start_time"]
    return Interval(min((began.replace(tzinfo=UTC) - EPOCH) // US, end) if began else end, end)


def _acyclic(parents: dict[str, str | None]) -> dict[str, str | None]:
    """The same, but whoever closes a circle of parents has none."""
    whole: set[str] = set()  # known to lead to a top
    for name in parents:
        walked: dict[str, None] = {}
        at: str | None = name
        while at is not None and at not in whole:
            if at in walked:
                parents[at] = None
                break
            walked[at] = None
            at = parents[at]
        whole |= walked.keys()
    return parents


def _home(span: Interval, roots: Sequence[str], spans: dict[str, Interval]) -> str:
    """The root an orphan belongs to: the last that began before it, else the first."""
    return next((r for r in reversed(roots) if spans[r].start <= span.start), roots[0])


def _walk(roots: Iterable[str], children: dict[str, list[str]]) -> Iterable[tuple[str, int]]:
    waiting = [(name, 0) for name in reversed(list(roots))]
    while waiting:
        name, depth = waiting.pop()
        yield name, depth
        waiting += [(child, depth + 1) for child in reversed(children.get(name, []))]


def _span(row: dict[str, Any], span: Interval, parent: str | None, depth: int, own_us: int | None) -> dict[str, Any]:
    attributes = row["kept_attributes"]
    return {
        "id": row["event_id"],
        "parent": parent,
        "depth": depth,
        **{name: row[name] for name in COPIED},
        "cost": row["cost"],
        "start": span.start / 1000,
        "end": span.end / 1000,
        "received": row["received"] and (row["received"].replace(tzinfo=UTC) - EPOCH) / US / 1000,
        "critical": own_us is not None,
        "critical_ms": (own_us or 0) / 1000,
        "attributes": None if attributes is None else _decoded(attributes),  # null: left out, the answer was full
    }


def _decoded(attributes: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(attributes, type=dict[str, Any])
    except msgspec.MsgspecError:
        return {"attributes": attributes}
