"""Confidence is right as often as it says: every claim of every part, held against simulated worlds whose truth is
known. `python -m tests.bench insight_calibration` measures the same on more cases."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import numpy as np
import pytest

from analytics.insights import confidence as trusting
from analytics.insights.changes import late_sources
from analytics.store import intervals
from tests.bench import truth
from tests.bench.truth import GAPS, HOUR, LOSSES, NOW, Case, Held, heard


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    """A thousand numbers that claim anything, of a real store with real sources."""
    shown = asyncio.run(truth.shown(1, 1450, largest=300))
    return [case for case in shown if case.confidence.headline > 0][:1000]


# sample


@pytest.fixture(scope="module")
def samples() -> list[Held]:
    return list(truth.sampled(1, (10, 30, 100, 1000), draws=400))


def test_intervals_hold_the_truth_95_times_in_100(samples: list[Held]) -> None:
    saying = [held for held in samples if held.width < 1]  # wider than the value, they say nothing: confidence 0
    assert len(saying) > 50
    assert 0.94 <= np.mean([held.share for held in saying]) <= 0.98
    for kind in {held.what for held in saying}:
        assert np.mean([held.share for held in saying if held.what == kind]) >= 0.93, kind


def test_no_population_that_was_tried_breaks_them(samples: list[Held]) -> None:
    """The worst are means of ten rows from a heavy tail, most of which lack the rows that make the mean."""
    assert [held for held in samples if held.width < 1 and held.share < 0.84] == []
    assert [held for held in samples if held.of.startswith("n 1,000") and held.share < 0.92] == []


def test_intervals_are_not_wider_than_they_must_be() -> None:
    assert intervals.count(10_000) == pytest.approx(196, rel=0.001)
    assert intervals.total(10_000, 10_000, 1) == pytest.approx(196, rel=0.02)
    assert intervals.share(0.5, 10_000) == pytest.approx(0.0098, rel=0.01)
    assert intervals.quantile(0.5, 10_000) == pytest.approx(0.0098, rel=0.01)
    assert intervals.mean(10_000, 100, 10_000 * (100**2 + 15**2), 160) == pytest.approx(0.294, rel=0.05)


def test_a_mean_of_rows_that_are_all_alike_is_not_certain() -> None:
    """Three rows in a hundred may differ and one sample in twenty does not have them."""
    assert intervals.mean(100, 5.0, 2500.0, 5.0) == pytest.approx(0.15)
    assert intervals.mean(1, 5.0, 25.0, 5.0) == np.inf


# freshness


@pytest.mark.parametrize(("gaps", "least"), [(20, 0.96), (100, 0.975), (300, 0.985)])
def test_a_stream_stays_within_its_usual_age_99_times_in_100(gaps: int, least: float) -> None:
    found = list(truth.on_time(2, gaps, hours=60))
    assert [held for held in found if held.share < least] == []
    assert np.mean([held.share for held in found]) >= 0.985


def test_senders_that_post_in_batches_are_given_their_time() -> None:
    assert [held for held in truth.on_time(3, 100, hours=20, posted_s=30) if held.share < 0.97] == []


def test_who_is_well_is_not_called_silent() -> None:
    found = list(truth.false_alarms(4, hours=25, senders=5))
    assert np.mean([held.share for held in found]) >= 0.97
    assert [held for held in found if held.share < 0.87] == []


@pytest.mark.parametrize("name", GAPS)
def test_who_stopped_is_called_silent_and_the_surer_the_longer(name: str) -> None:
    rng = np.random.default_rng(5)
    ago = np.cumsum(GAPS[name](rng, 6000))
    surest = []
    for stopped_s in (900, 1800, 2700):
        (told,) = late_sources(heard([("gone", ago[ago < HOUR - stopped_s] + stopped_s)]).trust(NOW))
        surest.append(told.confidence)
    assert surest == sorted(surest)
    assert 0.95 <= surest[0] <= surest[-1] <= 0.998


# completeness


@pytest.mark.parametrize("how", LOSSES)
@pytest.mark.parametrize("lost", [0.0, 0.1, 0.3, 0.5, 0.7, 0.9])
def test_what_is_missing_lowers_completeness_by_as_much(how: str, lost: float) -> None:
    found = np.array(truth.missing(6, lost, 8, how))
    assert np.abs(found[:, 0] - found[:, 1]).mean() <= 0.05
    assert abs((found[:, 0] - found[:, 1]).mean()) <= 0.035


def test_a_source_that_was_silent_all_window_long_is_missing_from_it() -> None:
    """Twice as much as the other sent, and none of it in the last ten minutes."""
    rng = np.random.default_rng(7)
    gone, there = 1200 + rng.random(1600) * 2400, rng.random(1200) * HOUR
    trust = heard([("gone", gone), ("there", there)]).trust(NOW, window_s=600)
    assert trust.completeness == pytest.approx(1 / 3, abs=0.05)
    assert trust.freshness == pytest.approx(1 / 3, abs=0.05)


def test_what_comes_at_last_makes_it_whole_again() -> None:
    rng = np.random.default_rng(8)
    ages = rng.random(2000) * HOUR
    sources = heard([("s", ages[ages > 600])])
    assert sources.trust(NOW).completeness == pytest.approx(5 / 6, abs=0.03)
    later = NOW + timedelta(seconds=1)
    sources.observe("events", truth.rows_of([("s", ages[ages <= 600])]), later)
    assert sources.trust(later).completeness == 1


# model


def test_ranges_that_hold_less_than_they_say_lower_the_model_part() -> None:
    rng = np.random.default_rng(9)
    came = rng.normal(size=20_000)
    for reach, said in ((1.96, 1.0), (1.0, 0.68 / 0.95), (0.3, 0.24 / 0.95), (3.0, 1.0)):
        told = trusting.model(float(np.mean(np.abs(came) <= reach)))
        assert told == pytest.approx(said, abs=0.01)
    assert trusting.model(None) is None


# the headline


def test_the_truth_lies_within_what_the_headline_leaves_95_times_in_100(cases: list[Case]) -> None:
    assert len(cases) == 1000
    assert 0.93 <= np.mean([case.held for case in cases]) <= 0.98
    for low, high in ((0.0, 0.5), (0.5, 0.8), (0.8, 1.0)):
        some = [case.held for case in cases if low <= case.confidence.headline < high]
        assert len(some) > 50
        assert np.mean(some) >= 0.91, (low, high)


def test_the_expected_calibration_error_is_at_most_5_percent(cases: list[Case]) -> None:
    assert truth.calibration(cases, seed=1) <= 0.05


def test_the_measure_finds_who_says_too_much_or_too_little(cases: list[Case]) -> None:
    def scaled(case: Case, by: float) -> Case:
        sample = max(0.001, 1 - (1 - (case.confidence.sample or 0.0)) * by)
        return case._replace(confidence=trusting.Confidence(sample, None, None))

    whole = [case for case in cases if case.confidence.completeness == 1]
    assert truth.calibration([scaled(case, 0.5) for case in whole], seed=1) > 0.1
    assert truth.calibration([scaled(case, 2) for case in whole], seed=1) > 0.1


def test_what_is_missing_from_a_count_or_a_sum_is_part_of_its_truth(cases: list[Case]) -> None:
    lossy = [c for c in cases if c.metric.aggregate in trusting.ADDITIVE and (c.confidence.completeness or 1) < 0.9]
    assert len(lossy) > 30
    assert np.mean([case.held for case in lossy]) >= 0.93
    assert all((c.confidence.sample or 0) < (c.confidence.completeness or 0) for c in lossy)


# what changed


def test_unchanged_numbers_are_told_as_changed_at_most_5_times_in_100() -> None:
    cases = asyncio.run(truth.shown(10, 320, largest=300, lossy=False, compare=True))
    assert np.mean(truth.told_changes(cases)) <= 0.05


def test_an_incident_is_no_chance() -> None:
    """24 blocks of about 100 rows swing by as much as independent rows do, and a spike of 2,000 adds little."""
    steady = np.random.default_rng(12).poisson(100, 24).astype(float)
    spiked = steady + np.where(np.arange(24) == 9, 2000, 0)
    assert intervals.swing(spiked) == pytest.approx(intervals.swing(steady), rel=0.35)
    assert intervals.swing(steady) == pytest.approx(intervals.count(2400), rel=0.35)


@pytest.mark.parametrize("clumps", [False, True])
def test_a_list_of_six_metrics_stays_empty_where_nothing_changed(clumps: bool) -> None:
    """Also where events come in clumps, which makes every count swing more than its rows do."""
    assert np.mean(asyncio.run(truth.unchanged_lists(11, 40, clumps=clumps))) <= 0.125  # 5 in 100, of 40
