"""Attention: where a value has come to a bound of its metric, in the direction that is not good."""

from __future__ import annotations

import pytest

from analytics.tiles import attention
from analytics.workspace import Bounds, Good, Metric


@pytest.mark.parametrize(
    ("good", "bounds", "value", "wanted"),
    [
        ("down", Bounds(warn=0.8, bad=0.95), 0.79, None),
        ("down", Bounds(warn=0.8, bad=0.95), 0.8, "warn"),
        ("down", Bounds(warn=0.8, bad=0.95), 0.95, "bad"),
        ("up", Bounds(warn=0.98, bad=0.95), 0.981, None),
        ("up", Bounds(warn=0.98, bad=0.95), 0.97, "warn"),
        ("up", Bounds(warn=0.98, bad=0.95), 0.5, "bad"),
        ("up", Bounds(warn=0.98), 0.1, "warn"),
        ("down", Bounds(bad=0.9), 0.89, None),
        ("down", Bounds(bad=0.9), 0.9, "bad"),
        ("down", Bounds(bad=0.0), None, None),
        ("down", None, 5.0, None),
    ],
)
def test_a_value_at_or_past_a_bound_wants_attention(
    good: Good, bounds: Bounds | None, value: float | None, wanted: str | None
) -> None:
    metric = Metric(name="m", aggregate="last", column="value", good=good, bounds=bounds)
    assert attention(metric, value) == wanted
