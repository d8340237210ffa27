"""What a board expects of its series: learnt once, judged bucket by bucket, and never from what is not known."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest

from analytics.asks import Ask, where_of
from analytics.expecting import Turn, _taken, asked_of, keys_of
from analytics.insights import anomalies
from analytics.insights.anomalies import Incident
from analytics.insights.changes import Insight
from analytics.query import Period, Query, Window
from analytics.series import FAILED, Bucket, Series
from analytics.sources import Sources
from analytics.window import Grain
from analytics.workspace import Metric, Tile

MINUTE = 60_000
NOW = datetime(2026, 1, 6, 12, tzinfo=UTC)
P95 = Metric(name="p95", aggregate="quantile", unit="ms", good="down", title="p95 duration")
FLOWS = Metric(name="flows", aggregate="count", unit="flows", title="Flows")


def steady(count: int, level: float = 1000.0, seed: int = 1) -> list[float | None]:
    noise = Random(seed)
    return [level + noise.uniform(-50, 50) for _ in range(count)]


def series(past: Sequence[float | None], metric: Metric = P95) -> Series:
    """A series that learnt these minutes."""
    found = Series(metric, [(i * MINUTE, v) for i, v in enumerate(past)], [], Grain(1, "m"))
    found.learn()
    return found


def fed(one: Series, values: Sequence[float | None], silent: str | None = None) -> list[tuple[int, float | None]]:
    """Judge the minutes that follow; gives them as points."""
    first = one.last // MINUTE + 1
    one.judge([Bucket((first + i) * MINUTE, (first + i + 1) * MINUTE, v, silent) for i, v in enumerate(values)])
    return [((first + i) * MINUTE, v) for i, v in enumerate(values)]


# ranges


def test_a_range_says_how_far_its_learning_is_until_it_knows_enough() -> None:
    young = series(steady(12))
    assert (young.band()["state"], young.band()["has"]) == ("learning", 12)
    points = fed(young, steady(3))
    assert young.columns([t for t, _ in points]) == ([None] * 3, [None] * 3)
    grown = series(steady(200))
    assert grown.band() | {"coverage": None, "model": None} == {
        "state": "ok", "has": 0, "needs": 0, "level": 0.95, "coverage": None, "model": None, "reason": None,
    }  # fmt: skip


def test_a_range_that_held_less_than_it_said_is_trusted_less() -> None:
    learning = series(steady(12)).band()
    assert (learning["model"], learning["reason"]) == (None, "learning, 12 of 30 buckets")
    steps = [5000.0 * 3 ** (i // 4) for i in range(40)]  # no past prepares for these
    wild = series([*steady(60), *steps])
    held = wild.coverage
    assert held is not None and held < 0.9
    assert wild.band()["model"] == pytest.approx(held / 0.95, abs=1e-3)
    calm = series(steady(400)).band()
    assert calm["model"] == pytest.approx(min(1.0, calm["coverage"] / 0.95), abs=1e-3)
    assert wild.band()["model"] < calm["model"]


def test_what_has_no_range_has_no_confidence_in_it() -> None:
    failed = series(steady(200))
    failed.fail()
    meter = series([float(i) for i in range(200)], Metric(name="meter", aggregate="last", column="value"))
    assert [(s.band()["model"], bool(s.band()["reason"])) for s in (failed, meter)] == [(None, True)] * 2


def test_the_range_of_a_bucket_stays_as_it_was_judged() -> None:
    one = series(steady(200))
    points = fed(one, steady(5, seed=2))
    times = [t for t, _ in points]
    low, high = one.columns(times)
    assert all(a is not None and b is not None and a < 1000 < b for a, b in zip(low, high, strict=True))
    fed(one, [1800.0, 1900.0])
    assert one.columns(times) == (low, high)


def test_a_bucket_that_is_not_over_has_the_range_of_the_one_before_it() -> None:
    one = series(steady(200))
    ((last, _),) = fed(one, [1000.0])
    low, high = one.columns([last, last + MINUTE])
    assert low[0] == low[1] and high[0] == high[1]


def test_a_meter_that_only_grows_has_no_range() -> None:
    meter = Metric(name="used", aggregate="last", unit="tokens")
    one = series([float(i) for i in range(200)], meter)
    one.tell(fed(one, [200.0, 201.0, 0.0, 1.0]), 0)
    assert (one.band()["state"], one.incidents) == ("off", ())


def test_a_series_that_cannot_be_judged_is_without_a_range_and_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broken, whole = series(steady(200)), series(steady(200))

    def fails(*_: object) -> None:
        raise ZeroDivisionError("a flaw")

    monkeypatch.setattr(broken.model, "feed", fails)
    for minute in (200, 201):
        over = [Bucket(minute * MINUTE, (minute + 1) * MINUTE, 4800.0)]
        _taken([Turn(one, False, over, over, [], 300 * MINUTE) for one in (broken, whole)])
    assert (broken.band()["state"], broken.band()["reason"]) == ("off", FAILED)
    assert (broken.incidents, broken.columns([200 * MINUTE])) == ((), ([None], [None]))
    assert whole.band()["state"] == "ok" and len(whole.incidents) == 1
    assert [r.levelname for r in caplog.records] == ["ERROR"] and "a flaw" in caplog.text


# incidents


def test_a_moderate_shift_is_told_against_the_level_before_it() -> None:
    one = series(steady(200, seed=5))
    noise = Random(3)
    points = fed(one, [1000 * 1.09 + noise.uniform(-50, 50) for _ in range(8)])
    one.tell(points, 300 * MINUTE)
    (incident,) = one.incidents
    assert (incident.kind, incident.since, incident.mark()["t"]) == ("shift_up", 200 * MINUTE, 200 * MINUTE)
    assert 980 < (incident.usual or 0) < 1020 and 1060 < (incident.level or 0) < 1120
    assert incident.label() == f"level shift {anomalies.signed(*incident.change())}"
    assert "".join(p["t"] for p in incident.parts("UTC")).startswith(
        "p95 duration shifted up at 03:20: about 1.1 s where"
    )


def test_an_incident_is_told_once_however_long_it_lasts() -> None:
    one = series(steady(200))
    points = fed(one, [*steady(5, seed=3), 4800.0, 4900.0, 4700.0])
    one.tell(points, 300 * MINUTE)
    (incident,) = one.incidents
    assert (incident.t, incident.until, incident.value) == (205 * MINUTE, None, 4800.0)
    text = "".join(part["t"] for part in incident.parts("UTC"))
    assert text.startswith("p95 duration left its expected range at 03:25: 4.80 s where ")
    assert text.endswith(" was expected; still outside.")


def test_a_mark_whose_value_late_events_brought_back_is_shown_no_longer() -> None:
    one = series(steady(200))
    points = fed(one, [*steady(5, seed=3), 4800.0, *steady(6, seed=4)])
    one.tell(points, 0)
    assert len(one.incidents) == 1
    one.tell([(t, 1000.0 if v == 4800.0 else v) for t, v in points], 0)
    assert not one.incidents


def test_what_left_the_window_is_forgotten() -> None:
    one = series(steady(200))
    points = fed(one, [4800.0, *steady(20, seed=3)])
    one.tell(points[-3:], 0)
    one.forget(points[-3][0])
    assert (one.incidents, len(one.bounds)) == ((), 3)


# silence


def test_nothing_counted_is_silence_where_every_bucket_counts_something() -> None:
    one = series([60.0 + i % 5 for i in range(200)], FLOWS)
    points = fed(one, [0, 0, 0])
    one.tell(points, 0)
    (incident,) = one.incidents
    assert (incident.kind, incident.until, incident.label()) == ("silence", None, "no data")
    fed(one, [61.0])
    one.tell(points, 0)
    assert one.incidents[0].until == 203 * MINUTE


def test_nothing_counted_is_a_zero_where_that_is_usual() -> None:
    one = series([i % 2 for i in range(200)], FLOWS)
    one.tell(fed(one, [0, 0, 0]), 0)
    assert one.incidents == ()


def test_a_rate_of_nothing_is_a_value_from_the_beginning() -> None:
    one = series([0.0] * 100, Metric(name="rate", aggregate="ratio", unit="percent"))
    assert one.band()["state"] == "ok"


def test_time_before_the_first_event_teaches_nothing() -> None:
    one = series([0] * 100 + [60.0 + i % 5 for i in range(10)], FLOWS)
    assert one.band()["has"] == 10


def test_a_bucket_in_which_a_source_was_silent_is_neither_judged_nor_a_mark() -> None:
    one = series(steady(200))
    points = fed(one, [200.0, 210.0], silent="billing")
    one.tell(points, 0)
    (incident,) = one.incidents
    assert (incident.kind, incident.source, incident.label()) == ("silence", "billing", "billing silent")
    assert one.columns([points[0][0]])[0][0] is not None  # what was expected is known all the same


def test_a_silence_that_late_events_filled_is_forgotten() -> None:
    one = series(steady(200))
    points = fed(one, [200.0, 210.0], silent="billing")
    one.spoken([], 0)
    one.tell(points, 0)
    assert one.incidents == ()


def test_sources_know_when_a_stream_was_silent() -> None:
    import pyarrow as pa

    sources, seconds = Sources(), [*range(0, 600, 2), *range(900, 1200, 2)]
    begin = NOW.timestamp() - 1230
    times = pa.array([int((begin + s) * 1e6) for s in seconds], pa.timestamp("us"))
    table = {"source": ["a"] * len(seconds), "kind": ["flow"] * len(seconds), "time": times}
    sources.observe("events", pa.table(table), NOW)
    first, lasting = sources.silences(NOW, dataset="events", kinds=frozenset({"flow"}))
    assert (first.start - begin, first.end and first.end - begin, first.share) == (598, 900, 1.0)
    assert (lasting.start - begin, lasting.end) == (1198, None)
    assert sources.silences(NOW, kinds=frozenset({"tool"})) == []


# what is asked


@pytest.mark.parametrize(
    ("tile", "watched"),
    [
        (Tile(id="a", type="line", metrics=("x", "y")), ["x"]),
        (Tile(id="a", type="line", metrics=("x",), by=("agent",)), []),
        (Tile(id="a", type="changes", metrics=("x", "y"), by=("agent",)), ["x", "y"]),
        (Tile(id="a", type="kpi", metrics=("x",)), []),
    ],
)
def test_the_first_line_and_all_whose_changes_are_told_are_followed(tile: Tile, watched: list[str]) -> None:
    assert keys_of(tile) == [("events", name, where_of(tile)) for name in watched]
    assert [list(ask.metrics) for ask in asked_of(tile)] == ([watched] if watched else [])


def test_the_past_is_whole_buckets_up_to_the_first_whole_one_of_the_window() -> None:
    period = Period(NOW - timedelta(minutes=30, seconds=10), NOW)
    asked = Ask(role="history", metrics=("x",), grain=True, compare=False, back=600)
    query = asked.query(["x"], Query(grain="1m", compare="previous"), period)
    assert query.window == Window("2026-01-06T01:30:00+00:00", "2026-01-06T11:30:00+00:00", "UTC")
    assert (query.grain, query.compare) == ("1m", None)


# words


def incident(**fields: object) -> Incident:
    base: dict[str, object] = {
        "metric": P95, "kind": "shift_up", "t": 0, "since": 0, "until": None, "value": 4800.0, "low": 1900.0,
        "high": 3200.0, "level": 4700.0, "confidence": 0.99, "grain_ms": MINUTE, "now": 20 * MINUTE,
    }  # fmt: skip
    return Incident(**(base | fields))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "label", "tone", "end"),
    [
        ({}, "level shift +84%", "bad", ": about 4.7 s where 2.6 s was usual (+84%)."),
        ({"until": 12 * MINUTE}, "level shift +84%", "bad", "was usual (+84%)."),
        ({"kind": "spike", "until": 3 * MINUTE}, "spike 4.80 s", "bad", "back inside at 00:03."),
        ({"kind": "dip", "value": 800.0}, "dip 800 ms", "good", "still outside."),
        ({"usual": 2350.0, "level": 4230.0}, "level shift +80%", "bad", ": about 4.2 s where 2.4 s was usual (+80%)."),
        ({"kind": "silence", "source": "billing"}, "billing silent", "bad", "billing is silent since 00:00."),
    ],
)  # fmt: skip
def test_an_incident_in_words(fields: dict[str, object], label: str, tone: str, end: str) -> None:
    one = incident(**fields)
    assert (one.label(), one.tone()) == (label, tone)
    assert "".join(part["t"] for part in one.parts("UTC")).endswith(end)


def test_a_change_is_the_end_of_its_anomaly_and_not_said_twice() -> None:
    parts: list[dict[str, Any]] = [
        {"t": "p95 duration rose 84%", "b": True, "tone": "bad"},
        {"t": ", 2.60 s → 4.80 s."},
    ]
    evidence = {"change": 0.84, "n": 8412}
    rose = Insight(kind="change", metric="p95", parts=parts, confidence=0.9, evidence=evidence, note="from 8,412 flows")
    other = Insight(
        kind="change", metric="spend", parts=[{"t": "Spend rose"}], confidence=0.9, evidence={"change": 1.0}
    )
    (first, second) = anomalies.merged([incident().insight("UTC", "")], [rose, other])
    assert (first.kind, second.metric) == ("anomaly", "spend")
    assert first.wire()["text"].endswith("was usual (+84%). It rose 84%, 2.60 s → 4.80 s.")
    assert first.item()["n"] == 8412
    fell = incident(kind="dip", value=800.0).insight("UTC", "")
    assert [i.kind for i in anomalies.merged([fell], [rose])] == ["anomaly", "change"]
