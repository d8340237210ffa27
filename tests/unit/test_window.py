"""Windows as people write them, and the buckets they are cut into."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.errors import ValidationError
from analytics.query import Period, Window
from analytics.window import auto_grain, buckets, compared, compared_edges, describe, parse, previous, resolve
from tests.small import at

NOW = at("14:07:23")
BERLIN = "Europe/Berlin"


def span(start: str, end: str = "now", tz: str = "UTC", now: datetime = NOW) -> tuple[str, str]:
    period = resolve(parse({"from": start, "to": end}, "now-1h", tz), now)
    return said(period)


def said(period: Period) -> tuple[str, str]:
    return period.start.strftime("%m-%d %H:%M:%S"), period.end.strftime("%m-%d %H:%M:%S")


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        ("now-1h", "now", ("01-06 13:07:23", "01-06 14:07:23")),
        ("now-2h/h", "now", ("01-06 12:00:00", "01-06 14:07:23")),
        ("now-1d+2h", "now", ("01-05 16:07:23", "01-06 14:07:23")),
        ("now/d", "now", ("01-06 00:00:00", "01-06 14:07:23")),
        ("now/d", "now/d", ("01-06 00:00:00", "01-07 00:00:00")),
        ("now-1d/d", "now-1d/d", ("01-05 00:00:00", "01-06 00:00:00")),
        ("now/w", "now", ("01-05 00:00:00", "01-06 14:07:23")),
        ("now-1M/M", "now-1M/M", ("12-01 00:00:00", "01-01 00:00:00")),
        ("2026-01-05", "2026-01-05", ("01-05 00:00:00", "01-06 00:00:00")),
        ("2026-01-06T12:00:00+02:00", "2026-01-06T12:00:00Z", ("01-06 10:00:00", "01-06 12:00:00")),
        ("1767700800000", "now", ("01-06 12:00:00", "01-06 14:07:23")),
    ],
)
def test_a_window_means_this_span(start: str, end: str, expected: tuple[str, str]) -> None:
    assert span(start, end) == expected


def test_a_lone_string_is_the_start_and_numbers_are_milliseconds() -> None:
    assert parse("now-2h/h", "now-1h") == Window("now-2h/h", "now", "UTC")
    assert parse(None, "now-15m", BERLIN) == Window("now-15m", "now", BERLIN)
    assert resolve(parse({"from": 1767700800000}, "now-1h"), NOW).start == at("12:00")


def test_days_follow_the_clock_of_the_time_zone_through_its_changes() -> None:
    """On 29 March 2026 Berlin's clocks go from 02:00 to 03:00: the day has 23 hours."""
    spring = datetime(2026, 3, 29, 10, 0, tzinfo=UTC)
    assert span("now/d", "now/d", BERLIN, spring) == ("03-28 23:00:00", "03-29 22:00:00")
    assert span("now-1d", "now", BERLIN, spring) == ("03-28 11:00:00", "03-29 10:00:00")
    autumn = datetime(2026, 10, 25, 12, 0, tzinfo=UTC)
    assert span("now/d", "now/d", BERLIN, autumn) == ("10-24 22:00:00", "10-25 23:00:00")


def test_hours_are_rounded_on_the_clock_of_a_half_hour_zone() -> None:
    assert span("now/h", "now", "Asia/Kolkata") == ("01-06 13:30:00", "01-06 14:07:23")


@pytest.mark.parametrize(
    ("window", "message"),
    [
        ("now-1h30m", "expected now with terms like -1h or /d"),
        ("yesterday", "got 'yesterday'"),
        ("now+1h", "expected from before to"),
        ("now-30y", "at most 10 years"),
        ("now-999999y", "too far away"),
        ("1969-12-31", "since 1970"),
        ("now-1h\x00", "expected now with terms"),
        ({"from": True}, "expected text or milliseconds"),
        ({"from": float("nan")}, "too far away"),
        ({"form": "now-1h"}, "got 'form'"),
        ({"from": "now-1h", "tz": "Mars/Base"}, "no time zone 'Mars/Base'"),
        ({"from": "now-1h", "tz": "../etc/passwd"}, "no time zone"),
        (5, "got int"),
    ],
)
def test_a_bad_window_says_what_was_expected(window: object, message: str) -> None:
    with pytest.raises(ValidationError, match=message) as refusal:
        resolve(parse(window, "now-1h"), NOW)  # type: ignore[arg-type]
    assert refusal.value.hint


def test_everything_since_the_epoch_is_allowed() -> None:
    assert span("1970-01-01") == ("01-01 00:00:00", "01-06 14:07:23")


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        ("now-1h", "now", ("01-06 12:07:23", "01-06 13:07:23")),
        ("now/d", "now", ("01-05 00:00:00", "01-05 14:07:23")),
        ("now/h", "now", ("01-06 13:00:00", "01-06 13:07:23")),
        ("now-1d/d", "now-1d/d", ("01-04 00:00:00", "01-05 00:00:00")),
        ("now-1M/M", "now-1M/M", ("11-01 00:00:00", "12-01 00:00:00")),
        ("now-6d/d", "now", ("12-24 00:00:00", "12-30 14:07:23")),
    ],
)
def test_the_previous_period_is_the_same_elapsed_part(start: str, end: str, expected: tuple[str, str]) -> None:
    window = Window(start, end)
    assert said(previous(resolve(window, NOW), window)) == expected


def test_today_after_a_clock_change_is_compared_to_the_same_clock_time_yesterday() -> None:
    window = Window("now/d", "now", BERLIN)
    noon = datetime(2026, 3, 29, 10, 0, tzinfo=UTC)  # 12:00 in Berlin, 11 hours after midnight
    assert said(previous(resolve(window, noon), window)) == ("03-27 23:00:00", "03-28 11:00:00")


def test_a_long_month_is_never_compared_into_itself() -> None:
    window = Window("now/M", "now")
    late = datetime(2026, 3, 30, 12, 0, tzinfo=UTC)
    assert said(previous(resolve(window, late), window)) == ("02-01 00:00:00", "03-01 00:00:00")


@pytest.mark.parametrize(
    "length_and_grain",
    "5m 5s, 15m 10s, 1h 1m, 6h 5m, 1d 15m, 7d 3h, 30d 12h, 90d 1d, 1y 1w, 10y 1M".split(", "),
)
def test_the_automatic_grain(length_and_grain: str) -> None:
    length, grain = length_and_grain.split()
    assert auto_grain(resolve(Window(f"now-{length}"), NOW)) == grain


def test_buckets_start_on_the_grid_and_cover_the_window() -> None:
    edges = buckets(Period(at("13:07:23"), at("14:07:23")), "1m", "UTC")
    assert (len(edges), edges[0], edges[-1]) == (62, at("13:07"), at("14:08"))
    local = buckets(Period(at("13:07:23"), at("14:07:23")), "1h", "Asia/Kolkata")
    assert local == [at("12:30"), at("13:30"), at("14:30")]


def test_days_and_quarter_days_follow_the_wall_clock() -> None:
    period = Period(datetime(2026, 3, 27, 23, tzinfo=UTC), datetime(2026, 3, 30, 22, tzinfo=UTC))
    assert [(b - a) / timedelta(hours=1) for a, b in pairwise(buckets(period, "1d", BERLIN))] == [24, 23, 24]
    assert [(b - a) / timedelta(hours=1) for a, b in pairwise(buckets(period, "12h", BERLIN))] == [
        12,
        12,
        11,
        12,
        12,
        12,
    ]


@pytest.mark.parametrize("grain", ["7m", "0s", "2d", "fast", "90", ""])
def test_a_bad_grain_names_good_ones(grain: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        buckets(Period(at("12:00"), at("13:00")), grain, "UTC")
    assert "1m" in str(refusal.value.hint)


def test_too_many_buckets_are_refused_with_a_better_grain() -> None:
    with pytest.raises(ValidationError, match="10,000 buckets") as refusal:
        buckets(resolve(Window("now-1d"), NOW), "1s", "UTC")
    assert "use 15m" in str(refusal.value.hint)


@pytest.mark.parametrize(
    ("start", "end", "labels"),
    [
        ("now-1h", "now", ("Last 1 hour", "previous hour")),
        ("now-15m", "now", ("Last 15 minutes", "previous 15 minutes")),
        ("now/d", "now", ("Today so far", "yesterday")),
        ("now-1d/d", "now-1d/d", ("Yesterday", "the day before")),
        ("now/M", "now", ("This month so far", "last month")),
        ("2026-01-05", "now", ("2026-01-05 to now", "previous period")),
    ],
)
def test_how_people_say_it(start: str, end: str, labels: tuple[str, str]) -> None:
    assert describe(Window(start, end)) == labels


UNITS = st.sampled_from("smhdwM")
STARTS = st.builds(lambda n, u, r: f"now-{n}{u}{r}", st.integers(1, 60), UNITS, st.sampled_from(["", "/h", "/d", "/M"]))
NOWS = st.datetimes(datetime(2025, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
ZONES = st.sampled_from(["UTC", BERLIN, "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe"])


@given(STARTS, NOWS, ZONES)
def test_any_window_is_covered_by_its_buckets_and_never_overlaps_the_one_before(
    start: str, now: datetime, tz: str
) -> None:
    window = parse(start, "now-1h", tz)
    period = resolve(window, now)
    before = previous(period, window)
    assert before.start < before.end <= period.start
    edges = buckets(period, auto_grain(period), tz)
    assert edges == sorted(set(edges)) and edges[0] <= period.start < edges[1] and edges[-2] < period.end <= edges[-1]


@given(st.text(max_size=30))
def test_any_text_is_a_window_or_a_clear_refusal(text: str) -> None:
    with contextlib.suppress(ValidationError):
        assert parse(text, "now-1h").end == "now"


# compared with the same time then


def beside(start: str, end: str, compare: str, tz: str = BERLIN, grain: str = "1h") -> tuple[list[str], list[str]]:
    """Local hours of the edges now, and of those that stand beside them."""
    window = Window(start, end, tz)
    period = resolve(window, NOW)
    then = compared(period, window, compare)
    edges = buckets(period, grain, tz)
    both = (edges, compared_edges(edges, period, then, grain, window, compare))
    zone = ZoneInfo(tz)
    now, before = ([e.astimezone(zone).strftime("%d %H:%M") for e in each] for each in both)
    return now, before


def test_the_same_time_then_is_that_of_the_clock_on_the_wall() -> None:
    window = Window("2026-03-29T12:00:00", "2026-03-29T13:00:00", BERLIN)  # the day the clocks went forward
    period = resolve(window, NOW)
    assert said(period) == ("03-29 10:00:00", "03-29 11:00:00")
    assert said(compared(period, window, "day")) == ("03-28 11:00:00", "03-28 12:00:00")
    assert said(compared(period, window, "week")) == ("03-22 11:00:00", "03-22 12:00:00")
    assert compared(period, window, "previous") == previous(period, window)


def test_buckets_stand_beside_those_of_the_same_hour() -> None:
    now, before = beside("2026-01-06T08:00:00", "2026-01-06T11:00:00", "week")
    assert now == ["06 08:00", "06 09:00", "06 10:00", "06 11:00"]
    assert before == ["30 08:00", "30 09:00", "30 10:00", "30 11:00"]
    now, before = beside("2026-01-05", "2026-01-06", "day", grain="1d")
    assert (now, before) == (["05 00:00", "06 00:00", "07 00:00"], ["04 00:00", "05 00:00", "06 00:00"])


def test_an_hour_that_the_clock_skips_or_repeats_keeps_the_buckets_in_order() -> None:
    now, before = beside("2026-03-29T00:00:00", "2026-03-29T05:00:00", "day")
    assert now == ["29 00:00", "29 01:00", "29 03:00", "29 04:00", "29 05:00"]
    assert before == ["28 00:00", "28 01:00", "28 03:00", "28 04:00", "28 05:00"]
    now, before = beside("2026-10-25T00:00:00", "2026-10-25T04:00:00", "day", grain="30m")
    assert now[4:9] == ["25 02:00", "25 02:30", "25 02:00", "25 02:30", "25 03:00"]
    assert before[4:9] == ["24 02:00", "24 02:30", "24 02:30", "24 02:30", "24 03:00"]
    now, before = beside("2026-03-30T02:00:00", "2026-03-30T03:00:00", "day", grain="30m")
    assert before == sorted(before)  # on the day before there was no such hour


@pytest.mark.parametrize(
    ("compare", "label"), [("day", "same time yesterday"), ("week", "same time last week"), (None, "previous hour")]
)
def test_what_it_is_compared_with_has_a_name(compare: str | None, label: str) -> None:
    assert describe(Window("now-1h"), compare) == ("Last 1 hour", label)
