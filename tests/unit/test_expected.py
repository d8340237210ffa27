"""Expected ranges and marks: series with a known truth, planted incidents, and the scoring of the public benchmark."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.insights.expected import RAREST, Expected, Followed, follow
from analytics.insights.season import detect
from tests.bench import nab
from tests.bench.nab import PROFILES, Stream

MINUTE = 60_000
HOUR = 60  # buckets
AT = 900  # where an incident is planted
Floats = nab.Floats


def times(n: int) -> list[int]:
    return list(range(1_700_000_000_000, 1_700_000_000_000 + n * MINUTE, MINUTE))


def hourly(n: int, seed: int = 1) -> Floats:
    """Calls per minute: a wave of an hour between 60 and 140, and noise of 4."""
    rng = np.random.default_rng(seed)
    return np.asarray(100 + 40 * np.sin(np.arange(n) * 2 * np.pi / HOUR) + rng.normal(0, 4, n))


def judged(values: Floats, season: int | None = None, lower: float | None = 0) -> Followed:
    known = [None if np.isnan(v) else float(v) for v in values]
    return follow(times(len(values)), known, season=season, lower=lower)


def begun(found: Followed, values: Floats) -> list[tuple[int, str]]:
    """Bucket and kind of each mark."""
    place = {t: i for i, t in enumerate(times(len(values)))}
    return [(place[m.since], m.kind) for m in found.marks]


def test_one_by_one_gives_the_same_answers() -> None:
    values = hourly(400)
    values[200:206] = np.nan
    values[300] = 400
    whole = judged(values, season=HOUR)
    one = Expected(season=HOUR, lower=0)
    told = [one.update(t, None if np.isnan(v) else float(v)) for t, v in zip(times(400), values, strict=True)]
    for name in ("low", "high", "expected", "score"):
        single = np.array([getattr(v, name) for v in told], dtype=np.float64)
        assert np.array_equal(single, getattr(whole, name), equal_nan=True)
    assert one.marks == whole.marks != []


def test_what_is_fed_in_parts_is_learned_whole() -> None:
    values = hourly(300)
    parts = Expected(lower=0)
    rows = np.vstack([parts.feed(times(300)[a:b], values[a:b].tolist()) for a, b in ((0, 70), (70, 71), (71, 300))])
    assert np.array_equal(rows[:, 0], judged(values).low, equal_nan=True)
    assert parts.season == judged(values).model.season == HOUR


def test_below_its_needs_it_says_so_and_marks_nothing() -> None:
    values = hourly(110)
    values[100] = 5000
    found = judged(values, season=HOUR)
    assert found.learning == (110, 120) and found.marks == [] and found.coverage is None
    assert np.isnan(found.low).all() and not found.score.any()
    assert judged(hourly(120), season=HOUR).learning is None


def test_a_gap_learns_nothing_and_has_no_score() -> None:
    model = Expected(lower=0)
    model.feed(times(100), hourly(100).tolist())
    before, after = (model.update(t, None) for t in (times(102)[100], times(102)[101]))
    assert before.low is not None and before.score == after.score == 0
    assert (before.low, before.high) == (after.low, after.high)
    assert model.learning is None and model.marks == []


@settings(max_examples=25, deadline=None)
@given(st.lists(st.one_of(st.none(), st.floats(0, 1e12)), min_size=40, max_size=120), st.sampled_from([None, 7]))
def test_no_band_leaves_what_is_possible(values: list[float | None], season: int | None) -> None:
    found = follow(times(len(values)), values, season=season, lower=0)
    band = ~np.isnan(found.low)
    assert (found.low[band] >= 0).all() and (found.low[band] <= found.high[band]).all()
    assert (found.expected[band] >= 0).all() and np.isfinite(found.high[band]).all()
    assert ((found.score >= 0) & (found.score <= 1)).all()


def test_a_share_stays_a_share() -> None:
    values = np.random.default_rng(2).beta(30, 1, 500).tolist()
    found = follow(times(500), values, lower=0, upper=1)
    assert np.nanmax(found.high) <= 1


def _wandering(rng: np.random.Generator, n: int) -> Floats:
    return np.asarray(1000 + np.cumsum(rng.normal(0, 2, n)))


SERIES = {
    "seasonal": lambda rng, n: hourly(n, int(rng.integers(99))),
    "counts by season": lambda rng, n: rng.poisson(50 + 45 * np.sin(np.arange(n) * 2 * np.pi / HOUR)).astype(float),
    "noise": lambda rng, n: rng.normal(100, 5, n),
    "few": lambda rng, n: rng.poisson(3, n).astype(float),
    "skewed": lambda rng, n: rng.lognormal(3, 0.7, n),
    "growing": lambda rng, n: 50 + 0.1 * np.arange(n) + rng.normal(0, 2, n),
    "wandering": _wandering,
}


@pytest.mark.parametrize("name", SERIES)
def test_the_range_covers_95_in_100(name: str) -> None:
    covered = [judged(SERIES[name](np.random.default_rng(seed), 1500)).coverage or 0.0 for seed in range(2)]
    assert 0.93 <= float(np.mean(covered)) <= 0.97
    assert min(covered) >= 0.92


def test_the_range_of_a_season_is_narrow() -> None:
    found = judged(hourly(1200))
    assert float(np.median((found.high - found.low)[600:])) < 26  # 16 is the noise alone, 160 what the wave sweeps


class Planted(NamedTuple):
    kind: str
    change: float
    length: int


PLANTED = {
    "spike": Planted("spike", 80, 2),
    "dip": Planted("dip", -50, 2),
    "shift up": Planted("shift_up", 60, 300),
    "shift down": Planted("shift_down", -45, 300),
}


@pytest.mark.parametrize("name", PLANTED)
@pytest.mark.parametrize("seed", [1, 2])
def test_an_incident_is_found_once_with_its_kind_and_time(name: str, seed: int) -> None:
    kind, change, length = PLANTED[name]
    values = hourly(1200, seed)
    values[AT : AT + length] += change
    found = judged(values)
    assert begun(found, values) == [(AT, kind)]
    mark = found.marks[0]
    assert mark.t == mark.since and mark.value == values[AT]
    assert mark.until is not None and times(1200)[AT] < mark.until <= times(1200)[AT + 40]
    assert mark.low is not None and mark.high is not None and not mark.low <= values[AT] <= mark.high


def test_values_that_come_back_close_an_incident_when_they_do() -> None:
    values = hourly(1200)
    values[AT : AT + 4] += 90
    assert judged(values).marks[0].until == times(1200)[AT + 4]


def test_an_incident_stays_open_until_then() -> None:
    values = hourly(AT + 2)
    values[AT:] += 90
    assert [m.until for m in judged(values).marks] == [None]


def test_a_new_level_becomes_the_expected_one() -> None:
    values = hourly(1200)
    values[AT:] += 60
    found = judged(values)
    inside = (found.low <= values) & (values <= found.high)
    assert inside[AT + 20 : AT + 200].mean() > 0.85


@pytest.mark.parametrize("gone", [np.nan, 0.0])
def test_a_source_that_stops_is_a_silence(gone: float) -> None:
    values = hourly(1200)
    values[AT : AT + 60] = gone
    found = judged(values)
    assert begun(found, values) == [(AT, "silence")]
    assert found.marks[0].until == times(1200)[AT + 60]


def test_gaps_that_are_usual_are_no_silence() -> None:
    values = hourly(1500)
    values[np.random.default_rng(4).random(1500) < 0.2] = np.nan
    assert judged(values).marks == []


def test_noise_has_few_marks() -> None:
    rng = np.random.default_rng(8)
    marks = [m for _ in range(4) for m in judged(rng.normal(100, 5, 2000), lower=None).marks]
    assert len(marks) <= 3  # of 8,000 buckets


def test_a_constant_series_has_none_and_tells_its_first_change() -> None:
    values = np.full(300, 7.0)
    assert judged(values).marks == []
    values[250] = 9
    assert begun(judged(values), values) == [(250, "spike")]


def test_no_mark_claims_more_than_its_past_can_show() -> None:
    values = hourly(1200)
    values[AT] = 1e9
    assert judged(values).marks[0].confidence == 1 - 1 / RAREST
    young = np.random.default_rng(1).normal(100, 5, 80)
    young[75] = 1e9
    (mark,) = judged(young).marks
    assert 0.9 < mark.confidence <= 1 - 1 / 76


def test_a_season_is_found_where_there_is_one() -> None:
    assert detect(hourly(200), MINUTE) == HOUR
    assert detect(np.tile(np.arange(11.0), 12), MINUTE) == 11
    assert detect(np.random.default_rng(3).normal(0, 1, 400), MINUTE) is None
    assert detect(np.full(300, 5.0), MINUTE) is None


# The benchmark's rules on streams like its own


def stream(seed: int, n: int = 1600) -> Stream:
    """Five-minute buckets with a level, a wave or bursts; one spike and one shift, each within a labelled window."""
    rng = np.random.default_rng(seed)
    wave = (0, 20, 40)[seed % 3] * np.sin(np.arange(n) * 2 * np.pi / 288)
    values = 100 + wave + rng.normal(0, 3, n) + rng.exponential(3, n)
    spike, shift = int(rng.integers(500, 800)), int(rng.integers(1000, 1400))
    values[spike] += 70
    values[shift : shift + 40] -= 45
    windows = [(spike - 40, spike + 40), (shift - 40, shift + 40)]
    return Stream(f"made/{seed}", np.arange(n) * 5 * MINUTE, values, windows, {})


def alarms(made: Stream) -> Floats:
    rows = Expected().feed(made.times.tolist(), made.values.tolist())
    return nab.alarms(-np.log10(np.maximum(1 - rows[:, 3], 1e-16)))


def test_a_threshold_from_some_streams_serves_others() -> None:
    sheets = [nab.sheet(made, alarms(made)) for made in map(stream, range(6))]
    standard = PROFILES["standard"]
    threshold = nab.best(sheets[:3], standard)[1]
    assert nab.score(sheets[3:], threshold, standard) >= 60


def test_the_scorer_knows_null_perfect_and_what_lies_between() -> None:
    made = stream(1)._replace(windows=[(600, 699)])
    standard = PROFILES["standard"]

    def earned(*places: int) -> float:
        scores = np.zeros(1600)
        scores[list(places)] = 1
        return nab.score([nab.sheet(made, scores)], 0.5, standard)

    assert earned() == 0
    assert earned(600) == pytest.approx(100)
    assert earned(600, 640, 699) == pytest.approx(100)  # of a window the earliest counts
    assert earned(649) == pytest.approx(50 + 50 * 0.8494 / 0.9866, abs=0.5)
    assert earned(300) == pytest.approx(-5.5)  # nothing before it: a whole false alarm
    assert -5.5 < earned(705) < 0  # just behind its window: a small one
    assert earned(10) == 0  # probation
