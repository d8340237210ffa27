"""Answers `ledger`: what counts, by which rule, and how far the ways in which it was told agree."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from analytics import window as windows
from analytics.asking import LIVE_WITHIN, Answer, Asker, freshness, ms_of, named_sources, rfc3339
from analytics.booked import EVENTS, SESSION, compared_by, held_by, share, told_by, ways
from analytics.insights import confidence as trusting
from analytics.insights.confidence import Confidence
from analytics.messages import LedgerRequest
from analytics.pricing import Pricing
from analytics.query import Filter
from analytics.store.base import Store

RULE = (
    "Rows with one id of the call are one call. The fullest counts: tokens and cost before tokens, then cost, then"
    " neither; then a span before a log, a transcript and an event; then the one with more tokens.",
    "A log without that id, within the span of a model call, tells the same call; so does a span without it around a"
    " log that has one. The fuller counts, then the one with an id, then the span.",
    "What a counter grew by counts only where no call with tokens tells of its session, or without a session of its"
    " source and model on that day.",
    "All other rows are evidence: kept and shown, and counted by no metric.",
)


class Agreement:
    """Answers `ledger` over one store."""

    def __init__(self, store: Store, asker: Asker, pricing: Pricing) -> None:
        self._store, self._asker, self._pricing = store, asker, pricing

    async def answer(self, request: LedgerRequest, now: datetime, allowed: Sequence[Filter]) -> Answer:
        """Raises ValidationError, NotFound (an unknown dimension), Timeout."""
        ctx = self._asker.context(request, now, allowed, "now-1h")
        period = windows.resolve(ctx.base.window, ctx.now)
        told, more = await told_by(self._store, ctx.workspace, ctx.base, ctx.now)
        compared = await compared_by(self._store, ctx.workspace, ctx.base, ctx.now)
        narrowed = any(f.dim == SESSION for f in ctx.base.filters)  # to rows that prices can not tell apart
        paid = await self._pricing.behind(ctx, ctx.base) if told and not narrowed else None
        which = {"kinds": frozenset({"model", "usage"}), "sources": named_sources(ctx.base.filters)}
        await self._asker.book(ctx)
        trust = self._asker.trust_in(ctx, EVENTS, period.seconds, **which)
        record = share(held_by(told).values())
        live = ctx.now - period.end < LIVE_WITHIN
        arrived, whole = (trust.freshness, trust.completeness) if live else (None, 1.0)
        known = [part for part in (whole, record) if part is not None]
        spent = [each.spent for each in told if each.spent is not None]
        analytics = {
            "facts": {
                "calls": sum(each.counted_calls for each in told),
                "tokens": sum(each.counted_tokens for each in told) if told else None,
                "cost": round(sum(spent), 9) if spent else None,
                "estimated": round(sum(spent) - sum(each.counted_cost for each in told), 9) if spent else None,
                "completeness": record,
                "prices": paid.head() if paid else None,
                "priced": round(paid.completeness, 4) if paid else None,
            },
            "ways": ways(told, compared),
            "more": more,
            "rule": list(RULE),
            "window": {"from": rfc3339(period.start), "to": rfc3339(period.end), "tz": ctx.base.window.tz},
            "label": windows.describe(ctx.base.window)[0],
            "as_of": ms_of(ctx.base.as_of),
            **freshness(trust),
        }
        confidence = Confidence(None, arrived, min(known, default=None)) if told else trusting.NOTHING
        return Answer(analytics=analytics, confidence=confidence)
