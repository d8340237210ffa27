"""An explained change in words and numbers: its causes, what is left, and why there may be none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from analytics import format as fmt
from analytics.insights.parts import Part
from analytics.query import Scalar
from analytics.workspace import Metric, Workspace

LOCAL = 0.3  # causes that carry less of the change together do not localise it
HEADS = ("tool", "model", "name", "resource", "error_type")  # what is spoken of first
TAILS = {"agent": "by {}", "domain": "in {}", "source": "from {}", "user": "for {}"}
NOWHERE = "no localised cause"
KINDS = {
    "distinct": "a distinct count does not add up: the same value may be in several groups",
    "last": "a newest reading is one row, it has no parts",
    "min": "a lowest value is one row, it has no parts",
    "max": "a highest value is one row, it has no parts",
}

BINNED = "of a quantile of histograms the single values are not known"


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """Rows that moved otherwise than the rest, and what they add to the change."""

    where: dict[str, Scalar]
    part: Part
    share: float
    confidence: float

    def wire(self, text: str) -> dict[str, Any]:
        """As the answer to `explain` carries it."""
        return {
            "where": self.where,
            "change": self.part.change,
            "share": self.share,
            **split_of(self.part),
            "baseline": self.part.baseline,
            "current": self.part.current,
            "n": self.part.n,
            "n_baseline": self.part.n_baseline,
            "confidence": round(self.confidence, 4),
            "text": text,
        }


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """The causes of one metric's change, the largest share first. `reason` says why there are none."""

    change: float | None
    causes: tuple[Cause, ...] = ()
    rest: Part = Part(0.0, 0.0, 0.0, 0.0, 0, 0)
    dimensions: tuple[str, ...] = ()
    reason: str | None = None

    @property
    def localised(self) -> bool:
        return bool(self.causes)


def unexplainable(metric: Metric, workspace: Workspace) -> str | None:
    """Why the change of a metric has no causes in its groups; None where it may have."""
    if workspace.binned(metric):
        return BINNED
    if metric.aggregate != "ratio":
        return KINDS.get(metric.aggregate)
    parts = [workspace.metric(str(name), metric.dataset) for name in (metric.numerator, metric.denominator)]
    wrong = [part for part in parts if part.aggregate not in ("count", "sum")]
    return f"{wrong[0].title or wrong[0].name} is neither a count nor a sum" if wrong else None


def split_of(part: Part) -> dict[str, float]:
    """The three kinds of change."""
    return {"volume": part.volume, "mix": part.mix, "rate": part.rate}


def said(where: Mapping[str, Scalar]) -> str:
    """A conjunction as people say it: `tool = web_search called by planner`."""
    heads = [dim for dim in HEADS if dim in where]
    heads += [dim for dim in where if dim not in heads and dim not in TAILS]
    heads = heads or [next(dim for dim in TAILS if dim in where)]
    spoken = " and ".join(f"{dim} = {_value(where[dim])}" if where[dim] is not None else f"no {dim}" for dim in heads)
    for dim, tail in TAILS.items():
        if dim in where and dim not in heads:
            if where[dim] is None:
                spoken += f" with no {dim}"
                continue
            called = "called " if dim == "agent" and heads[0] in ("tool", "model") else ""
            spoken += f" {called}{tail.format(_value(where[dim]))}"
    return spoken


def share_text(share: float) -> str:
    """A share of the change as a sentence says it."""
    return "all" if share >= 0.995 else f"{share:.0%}"


def sentence(metric: Metric, explanation: Explanation, cause: Cause) -> str:
    """One cause in words: what moved, and how much of the change that is."""
    rise = "rise" if (explanation.change or 0) > 0 else "fall"
    moved = f"{_text(metric, cause.part.baseline)} → {_text(metric, cause.part.current)}"
    kinds = {name: abs(value) for name, value in split_of(cause.part).items()}
    mostly = max(kinds, key=lambda name: kinds[name])
    if cause.share < 0:
        return f"{said(cause.where)} works against the {rise}, by {-cause.share:.0%} of it ({moved}, by {mostly})."
    return f"{share_text(cause.share)} of the {rise} comes from {said(cause.where)} ({moved}, by {mostly})."


def _value(value: Scalar) -> str:
    return str(value)[:60]


def _text(metric: Metric, value: float | None) -> str:
    return fmt.text(value, metric.unit, metric.per)
