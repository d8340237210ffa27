"""What changed against the previous period, and where: the simple, honest insights.

A change is told only when it is larger than the noise of both periods (95 % half-widths). Where the
metric adds up (counts, sums), each group's share of the change is exact; for ratios and quantiles
the group that moved most is named, without a share.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec

from analytics import format as fmt
from analytics.insights.confidence import Confidence
from analytics.query import Result, Total
from analytics.sources import Trust
from analytics.workspace import Metric

ADDITIVE = ("count", "sum")
MIN_ROWS = 30  # a quantile or a last reading of fewer rows is not called a change
MIN_RELATIVE = 0.05
MIN_POINTS = 0.005


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


def significant(metric: Metric, total: Total) -> bool:
    """Whether the change is larger than what chance does to two samples of these sizes."""
    change, kind = change_of(metric, total.value, total.previous)
    if change is None or abs(change) < (MIN_POINTS if kind == "pp" else MIN_RELATIVE):
        return False
    if metric.aggregate == "quantile":
        return min(total.n, total.n_previous) >= MIN_ROWS and abs(change) >= 2 * MIN_RELATIVE
    if total.half_width is None or total.half_width_previous is None:
        return min(total.n, total.n_previous) >= MIN_ROWS
    assert total.value is not None and total.previous is not None
    return abs(total.value - total.previous) > math.hypot(total.half_width, total.half_width_previous)


def changes(
    metrics: Mapping[str, Metric],
    totals: Mapping[str, Total],
    groups: Mapping[str, Result],
    confidences: Mapping[str, Confidence],
    *,
    most: int = 4,
) -> list[Insight]:
    """The largest significant changes, biggest first.

    groups: dimension -> a compared result grouped by that one dimension.
    """
    found = []
    for name, total in totals.items():
        metric = metrics[name]
        if not significant(metric, total):
            continue
        change, kind = change_of(metric, total.value, total.previous)
        assert change is not None
        cause = _cause(metric, total, groups)
        tone = tone_of(metric, change)
        found.append(
            Insight(
                kind="change",
                metric=name,
                parts=_sentence(metric, total, change, kind, tone, cause),
                confidence=confidences[name].headline,
                evidence={
                    "value": total.value,
                    "previous": total.previous,
                    "change": change,
                    "change_kind": kind,
                    "n": total.n,
                    "cause": cause,
                },
                tone=tone,
                weight=abs(change) * (10 if kind == "pp" else 1) * (1.5 if tone == "bad" else 1),
                shares=[{"label": cause["value"], "share": max(0.0, min(1.0, cause["share"]))}]
                if cause and cause.get("share") is not None
                else [],
                note=f"from {total.n:,} {_rows(metric, metrics)}",
            )
        )
    return sorted(found, key=lambda i: -i.weight)[:most]


def late_sources(trust: Trust, *, most: int = 2) -> list[Insight]:
    """One insight per source that fell silent: an event of its own, not a zero."""
    return [
        Insight(
            kind="source_late",
            metric=None,
            parts=[
                {"t": f"{late.source or 'A source'} is silent", "b": True, "tone": "bad"},
                {"t": f" for {fmt.age(late.age_s)}; it usually sends within {fmt.age(late.usual_s)}."},
            ],
            confidence=1.0 - min(1.0, late.usual_s / late.age_s),
            evidence={"source": late.source, "age_s": round(late.age_s, 1), "usual_s": round(late.usual_s, 1)},
            tone="bad",
            note="against 99 % of its own gaps",
        )
        for late in trust.late[:most]
    ]


NOUNS = {"flow": "flows", "model": "model calls", "tool": "tool calls", "agent": "agent runs", "resource": "readings"}


def _rows(metric: Metric, metrics: Mapping[str, Metric]) -> str:
    """What the n of a metric counts, as people call it."""
    if metric.denominator:
        return _rows(metrics[metric.denominator], metrics)
    kind = metric.where.get("kind")
    return NOUNS.get(kind, "events") if isinstance(kind, str) else "events"


def _cause(metric: Metric, total: Total, groups: Mapping[str, Result]) -> dict[str, Any] | None:
    """The one value of one dimension that moved most in the direction of the change."""
    best: dict[str, Any] | None = None
    assert total.value is not None and total.previous is not None
    change = total.value - total.previous
    for dim, result in groups.items():
        rows = zip(
            result.table[dim].to_pylist(),
            result.table[metric.name].to_pylist(),
            result.table[f"{metric.name}_previous"].to_pylist(),
            result.table[f"{metric.name}__n"].to_pylist(),
            strict=True,
        )
        listed = [r for r in rows if r[0] is not None]
        if len(listed) < 2:
            continue  # one group explains nothing
        for label, value, previous, n in listed[: -1 if result.other else None]:
            score, share = _score(metric, value, previous, n, total, change)
            if score > (best["score"] if best else 0.0):
                best = {"dimension": dim, "value": str(label), "share": share, "score": score,
                        "current": value, "previous": previous, "n": n}  # fmt: skip
    if best is None or (best["share"] is not None and best["share"] < 0.25):
        return None
    return {k: v for k, v in best.items() if k != "score"}


def _score(
    metric: Metric, value: float | None, previous: float | None, n: int | None, total: Total, change: float
) -> tuple[float, float | None]:
    if metric.aggregate in ADDITIVE:
        share = ((value or 0.0) - (previous or 0.0)) / change
        return share, share
    if value is None or previous is None or not n or n < MIN_ROWS:
        return 0.0, None
    moved = (value - previous) / change  # how much more than the whole it moved, weighted by its size:
    reach = total.n * min(metric.q or 1.0, 1 - (metric.q or 0.0))  # for a quantile the rows beyond it are enough
    return moved * min(1.0, n / max(reach, 1)), None


def _sentence(
    metric: Metric, total: Total, change: float, kind: str, tone: str, cause: dict[str, Any] | None
) -> list[dict[str, Any]]:
    verb = "rose" if change > 0 else "fell"
    amount = fmt.change(abs(change), kind).lstrip("▲▼ ")
    parts: list[dict[str, Any]] = [
        {"t": f"{metric.title or metric.name} {verb} {amount}", "b": True, "tone": tone},
        {"t": f", {_text(metric, total.previous)} → {_text(metric, total.value)}."},
    ]
    if cause is None:
        return parts
    where = {"t": f"{cause['dimension']} = {cause['value'][:60]}", "b": True}
    if cause["share"] is not None:
        share = "all" if cause["share"] >= 0.995 else f"{cause['share']:.0%}"
        return [
            *parts,
            {"t": " "},
            {"t": share, "b": True},
            {"t": f" of the {'rise' if change > 0 else 'fall'} is "},
            where,
            {"t": "."},
        ]
    moved = f" ({_text(metric, cause['previous'])} → {_text(metric, cause['current'])})."
    return [*parts, {"t": " It moved most for "}, where, {"t": moved}]


def _text(metric: Metric, value: float | None) -> str:
    return fmt.text(value, metric.unit, metric.per)
