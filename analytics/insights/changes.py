"""What changed against the previous period, and where: the simple, honest insights.

A change is told only when it is larger than the noise of both periods: of lists in which nothing changed,
about 95 in 100 stay empty, however many metrics they watch. Where it comes from is what the search for causes
found, see `explain`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Any

import msgspec

from analytics import format as fmt
from analytics.insights.causes import Cause, Explanation, said, share_text
from analytics.insights.confidence import Confidence
from analytics.query import Total
from analytics.sources import Late, Trust
from analytics.workspace import Metric

NORMAL = NormalDist()
MIN_ROWS = 30  # a quantile of fewer rows is not called a change
LEVEL = 0.05  # of chance, for a list as a whole
RAREST = 0.002  # tail probabilities over-claim: nothing is surer than 499 in 500
MIN_RELATIVE = 0.05
MIN_POINTS = 0.005
TOLD = 4
NAMED = 2  # causes in one sentence
NAMED_SHARE = 0.1


class Insight(msgspec.Struct, kw_only=True):
    """One statement. `parts` are text runs ({t, b?, tone?}); `evidence` holds the numbers in it."""

    kind: str
    metric: str | None
    parts: list[dict[str, Any]]
    confidence: float
    evidence: dict[str, Any]
    tone: str = "none"
    weight: float = 0.0
    shares: list[dict[str, Any]] = []
    note: str = ""
    why: dict[str, Any] | None = None  # the request that explains it

    def wire(self) -> dict[str, Any]:
        """As the analytics replies carry it."""
        return {
            "kind": self.kind,
            "text": "".join(p["t"] for p in self.parts),
            "metric": self.metric,
            "confidence": round(self.confidence, 4),
            "evidence": self.evidence,
        }

    def item(self) -> dict[str, Any]:
        """As the "What changed" tile shows it."""
        return {
            "kind": self.kind,
            "metric": self.metric,
            "tone": self.tone,
            "confidence": round(self.confidence, 4),
            "n": self.evidence.get("n", 0),
            "text": self.parts,
            "shares": self.shares,
            "note": self.note,
            "why": self.why,
        }


def change_of(metric: Metric, value: float | None, previous: float | None) -> tuple[float | None, str]:
    """The change and its kind: points for a percentage, else relative; None where it has no meaning."""
    if metric.unit == "percent":
        return (None if value is None or previous is None else value - previous), "pp"
    if value is None or previous is None or previous == 0:
        return (0.0 if value == 0 and previous == 0 else None), "relative"
    return (value - previous) / abs(previous), "relative"


def tone_of(metric: Metric, change: float | None) -> str:
    """good, bad or none: only where the metric declares a direction."""
    if not change or metric.good == "none":
        return "none"
    return "good" if (change > 0) == (metric.good == "up") else "bad"


def significant(metric: Metric, total: Total, *, among: int = 1) -> bool:
    """Whether the change is larger than what chance does to two samples of these sizes, when so many metrics are
    watched at once (C. E. Bonferroni 1936)."""
    change, kind = change_of(metric, total.value, total.previous)
    if change is None or abs(change) < (MIN_POINTS if kind == "pp" else MIN_RELATIVE):
        return False
    if metric.aggregate == "quantile" and min(total.n, total.n_previous) < MIN_ROWS:
        return False
    if total.noise is None or total.noise_previous is None:
        return False
    assert total.value is not None and total.previous is not None
    reach = NORMAL.inv_cdf(1 - LEVEL / 2 / max(among, 1)) / NORMAL.inv_cdf(1 - LEVEL / 2)
    return abs(total.value - total.previous) > reach * math.hypot(total.noise, total.noise_previous)


def moved(metrics: Mapping[str, Metric], totals: Mapping[str, Total], *, most: int = TOLD) -> list[str]:
    """The metrics with the largest significant changes, biggest first."""
    found = [name for name, total in totals.items() if significant(metrics[name], total, among=len(totals))]
    return sorted(found, key=lambda name: -_weight(metrics[name], totals[name]))[:most]


def _weight(metric: Metric, total: Total) -> float:
    """How much a change matters beside others."""
    change, kind = change_of(metric, total.value, total.previous)
    bad = tone_of(metric, change) == "bad"
    return abs(change or 0.0) * (10 if kind == "pp" else 1) * (1.5 if bad else 1)


def changes(
    metrics: Mapping[str, Metric],
    totals: Mapping[str, Total],
    explained: Mapping[str, Explanation],
    confidences: Mapping[str, Confidence],
) -> list[Insight]:
    """The largest significant changes, biggest first, with their causes as far as they were explained."""
    found = []
    for name in moved(metrics, totals):
        metric, total = metrics[name], totals[name]
        change, kind = change_of(metric, total.value, total.previous)
        assert change is not None
        causes = explained[name].causes if name in explained else ()
        named = [cause for cause in causes if cause.share >= NAMED_SHARE][:NAMED]
        tone = tone_of(metric, change)
        found.append(
            Insight(
                kind="change",
                metric=name,
                parts=_sentence(metric, total, change, kind, tone, named),
                confidence=confidences[name].headline,
                evidence={
                    "value": total.value,
                    "previous": total.previous,
                    "change": change,
                    "change_kind": kind,
                    "n": total.n,
                    "causes": [
                        {"where": c.where, "share": c.share, "confidence": round(c.confidence, 4)} for c in causes
                    ],
                },
                tone=tone,
                weight=_weight(metric, total),
                shares=_shares(causes),
                note=f"from {total.n:,} {_rows(metric, metrics)}",
            )
        )
    return found


def late_sources(trust: Trust, *, most: int = 2) -> list[Insight]:
    """One insight per source that fell silent, where chance does not do it to one of so many sources: an event of its
    own, not a zero. Its confidence is that at such a moment none of them is this late with nothing wrong."""
    watched = trust.reporting + len(trust.late)
    found = [(late, watched * idle(late)) for late in trust.late]
    return [
        Insight(
            kind="source_late",
            metric=None,
            parts=[
                {"t": f"{late.source or 'A source'} is silent", "b": True, "tone": "bad"},
                {"t": f" for {fmt.age(late.age_s)}; it usually sends within {fmt.age(late.usual_s)}."},
            ],
            confidence=1.0 - max(doubt, RAREST),
            evidence={"source": late.source, "age_s": round(late.age_s, 1), "usual_s": round(late.usual_s, 1)},
            tone="bad",
            note="against 99 % of its own gaps",
        )
        for late, doubt in found
        if doubt <= LEVEL
    ][:most]


def idle(late: Late) -> float:
    """The share of its time that a source that is well spends at such an age or beyond. 1 gap in 100 reaches the usual
    age and is as long again by half, which weighs the more the shorter the others are; from there the share falls as
    that of the heaviest tail that still has a variance."""
    return min(0.01 * late.usual_s / (2 * late.between_s) * (late.usual_s / late.age_s) ** 2, 1.0)


NOUNS = {"flow": "flows", "model": "model calls", "tool": "tool calls", "agent": "agent runs", "resource": "readings"}


def _rows(metric: Metric, metrics: Mapping[str, Metric]) -> str:
    """What the n of a metric counts, as people call it."""
    if metric.denominator:
        return _rows(metrics[metric.denominator], metrics)
    kind = metric.where.get("kind")
    return NOUNS.get(kind, "events") if isinstance(kind, str) else "events"


def _shares(causes: Sequence[Cause]) -> list[dict[str, Any]]:
    """The causes as lengths of one bar."""
    left, shares = 1.0, []
    for cause in causes:
        if cause.share > 0 and left > 0:
            shares.append({"label": said(cause.where), "share": min(left, cause.share)})
            left -= cause.share
    return shares


def _sentence(
    metric: Metric, total: Total, change: float, kind: str, tone: str, causes: Sequence[Cause]
) -> list[dict[str, Any]]:
    verb, noun = ("rose", "rise") if change > 0 else ("fell", "fall")
    amount = fmt.change(abs(change), kind).lstrip("▲▼ ")
    parts: list[dict[str, Any]] = [
        {"t": f"{metric.title or metric.name} {verb} {amount}", "b": True, "tone": tone},
        {"t": f", {_text(metric, total.previous)} → {_text(metric, total.value)}."},
    ]
    for k, cause in enumerate(causes):
        parts += [
            {"t": ", " if k else " "},
            {"t": share_text(cause.share), "b": True},
            {"t": " from " if k else f" of the {noun} comes from "},
            {"t": said(cause.where), "b": True},
        ]
    return [*parts, {"t": "."}] if causes else parts


def _text(metric: Metric, value: float | None) -> str:
    return fmt.text(value, metric.unit, metric.per)
