"""Confidence: each component is a claim, and the claim is checked on samples with a known truth."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import numpy as np
import pytest

from analytics.insights import confidence as trusting
from analytics.insights.confidence import Confidence
from analytics.query import Total
from analytics.sources import Trust
from analytics.store import intervals
from analytics.workspace import Metric

NOW = datetime(2026, 1, 6, 12, tzinfo=UTC)
COUNT = Metric(name="flows", aggregate="count")
MEAN = Metric(name="mean", aggregate="avg", column="duration_ms")
RATIO = Metric(name="error_rate", aggregate="ratio", unit="percent")
P95 = Metric(name="p95", aggregate="quantile", q=0.95)


def trust(freshness: float | None = 1.0, completeness: float | None = 1.0) -> Trust:
    return Trust(watermark=NOW, age_s=1.0, freshness=freshness, completeness=completeness, reporting=1)


def test_the_headline_is_the_least_known_component() -> None:
    assert Confidence(0.9, 0.4, None).headline == 0.4
    assert Confidence(None, None, None).headline == 0


def test_no_rows_no_confidence() -> None:
    assert trusting.of(COUNT, Total(None, 0), trust()).headline == 0


def test_a_true_zero_rests_on_its_streams() -> None:
    assert trusting.of(COUNT, Total(0, 0, 1.92), trust(freshness=0.8)).headline == 0.8


@pytest.mark.parametrize(("n", "expected"), [(4, 0), (9, 0.3125), (100, 0.803), (10_000, 0.9804)])
def test_a_count_is_as_sure_as_its_size(n: int, expected: float) -> None:
    total = Total(n, n, intervals.count(n))
    assert trusting.of(COUNT, total, trust()).sample == pytest.approx(expected, abs=0.001)


def test_what_is_missing_is_part_of_the_true_value_of_a_count_but_not_of_a_share() -> None:
    """90 of 100 are there, so the truth is 111 % of what is shown, give or take 11 %: 22 % away at most."""
    lacking = trust(completeness=0.9)
    found = trusting.of(COUNT, Total(10_000, 10_000, 1000), lacking)
    assert found.sample == pytest.approx(2 - 1.1 / 0.9)
    assert found.headline == found.sample
    assert trusting.of(RATIO, Total(0.03, 1000, 0.01), lacking).parts() == {
        "sample": 0.99,
        "freshness": 1.0,
        "completeness": 0.9,
        "model": None,
    }
    assert trusting.of(COUNT, Total(10_000, 10_000, 1000), trust(completeness=0.0)).sample == 0


def test_one_row_says_nothing_of_a_mean() -> None:
    assert trusting.of(MEAN, Total(5.0, 1, math.inf), trust()).headline == 0


def test_a_model_speaks_only_where_there_is_one() -> None:
    assert Confidence(0.9, 1, 1, trusting.model(0.76)).headline == pytest.approx(0.8)
    assert Confidence(0.9, 1, 1, trusting.model(None)).headline == 0.9


def test_the_count_claim_holds_95_times_in_100() -> None:
    rng = np.random.default_rng(3)
    for rate in (50, 400, 5000):
        counts = rng.poisson(rate, 4000)
        claimed = [trusting.sample(COUNT, n, intervals.count(n), int(n)) or 0.0 for n in counts]
        kept = np.mean([abs(rate - n) <= (1 - c) * n + 1e-9 for n, c in zip(counts, claimed, strict=True)])
        assert 0.93 <= kept <= 0.97


def test_the_quantile_claim_holds_95_times_in_100() -> None:
    rng = np.random.default_rng(5)
    n, truth = 800, float(np.exp(1.6448536))  # p95 of a log-normal
    claimed = trusting.sample(P95, 1.0, intervals.quantile(0.95, n), n)
    assert claimed is not None
    kept = []
    for _ in range(1500):
        shown = np.quantile(rng.lognormal(size=n), 0.95)
        beyond = 1 - 0.5 * (1 + math.erf(math.log(shown) / math.sqrt(2)))  # the true share above what is shown
        kept.append(abs(beyond - 0.05) <= (1 - claimed) * 0.05)
    assert truth == pytest.approx(5.18, abs=0.01)
    assert 0.93 <= np.mean(kept) <= 0.97


def test_a_ratio_speaks_in_points() -> None:
    assert trusting.sample(RATIO, 0.03, 0.01, 1000) == pytest.approx(0.99)


def test_a_window_that_ended_long_ago_has_no_freshness_to_lose() -> None:
    found = trusting.of(COUNT, Total(100, 100, 19.6), trust(freshness=0.1, completeness=0.1), live=False)
    assert found.headline == pytest.approx(0.804)
