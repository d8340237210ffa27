"""What a budget makes of a metric: what is spent in this period, what remains of the limit, how fast it goes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from analytics.format import exact
from analytics.prices import COMPUTED
from analytics.workspace import Bounds, Budget, Metric

SPENT, REMAINING, PACE, ESTIMATED, UNPRICED = PARTS = ("spent", "remaining", "pace", "estimated", "unpriced")
ADDED = ("count", "sum")  # what a budget can be of


def parts(metric: Metric | None) -> tuple[str, ...]:
    """What is told of a budget of this metric; how much of it is an estimate only of money."""
    return PARTS if metric is None or is_money(metric) else PARTS[:3]


def is_money(metric: Metric) -> bool:
    return metric.dataset == "events" and any(c in COMPUTED.names for c in (metric.column, *metric.columns))


def metrics(budget: Budget, of: Metric) -> Iterator[Metric]:
    """NAME_spent, NAME_remaining, NAME_pace, and of money NAME_estimated and NAME_unpriced."""
    limit = None if budget.by else budget.limit
    each = f" of each {budget.by.rpartition('.')[2]}" if budget.by else ""
    allowed = f"{exact(budget.limit, of.unit)}{each} a {budget.period}"
    whole = Metric(
        name=budget.name,
        dataset=of.dataset,
        aggregate="budget",
        column=of.column,
        columns=of.columns,
        where=of.where | budget.where,
        unit=of.unit,
        title=budget.title,
        budget=budget,
    )
    told: dict[str, dict[str, Any]] = {
        SPENT: {"title": budget.title, "good": "down", "limit": limit, "description": f"Spent of {allowed}"}
        | {"bounds": None if limit is None else Bounds(warn=budget.warn * limit, bad=limit)},
        REMAINING: {"good": "up", "description": f"Left of {allowed}; below zero where more was spent"}
        | {"bounds": None if limit is None else Bounds(warn=(1 - budget.warn) * limit, bad=0.0)},
        PACE: {"good": "down", "unit": "percent", "description": f"Share that is spent of {allowed}, against the share"
               " of the period that is over; 100 % is even"},
        ESTIMATED: {"good": "none", "description": f"Part of what is spent of {allowed} that is an estimate"},
        UNPRICED: {"good": "down", "unit": "calls", "description": f"Calls without a price, which are not in what is"
                   f" spent of {allowed}"},
    }  # fmt: skip
    for part in parts(of):
        named = {"name": f"{budget.name}_{part}", "title": f"{budget.title}, {part}", "part": part}
        yield msgspec.structs.replace(whole, **named | told[part])
