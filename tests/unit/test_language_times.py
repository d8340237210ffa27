"""What words mean by a time, on Wednesday 7 January 2026 at 15:20 UTC."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from analytics import window as windows
from analytics.language.spans import Bad
from analytics.language.times import scan
from analytics.language.tokens import tokens
from analytics.language.windowed import comparison, steps, window

NOW = datetime(2026, 1, 7, 15, 20, tzinfo=UTC)


def spoken(text: str, tz: str = "UTC", now: datetime = NOW, wide: bool = False) -> tuple[str, str]:
    """The two ends that words mean, in local time."""
    found = scan([token.word for token in tokens(text)], now, windows.zone(tz))
    made, _ = window(found, now, tz, wide=wide)
    assert made is not None, found
    period = windows.resolve(made, now)
    zone = windows.zone(tz)
    start, end = (moment.astimezone(zone).strftime("%m-%d %H:%M") for moment in (period.start, period.end))
    return start, end


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("last 3 hours", "01-07 12:20", "01-07 15:20"),
        ("in the past 90 minutes", "01-07 13:50", "01-07 15:20"),
        ("last half hour", "01-07 14:50", "01-07 15:20"),
        ("today", "01-07 00:00", "01-07 15:20"),
        ("yesterday", "01-06 00:00", "01-07 00:00"),
        ("the day before yesterday", "01-05 00:00", "01-06 00:00"),
        ("this week", "01-05 00:00", "01-07 15:20"),
        ("last week", "12-29 00:00", "01-05 00:00"),
        ("over the last week", "12-31 15:20", "01-07 15:20"),
        ("last month", "12-01 00:00", "01-01 00:00"),
        ("last quarter", "10-01 00:00", "01-01 00:00"),
        ("in q4", "10-01 00:00", "01-01 00:00"),
        ("last weekend", "01-03 00:00", "01-05 00:00"),
        ("on Monday", "01-05 00:00", "01-06 00:00"),
        ("on Wednesday", "12-31 00:00", "01-01 00:00"),  # nobody calls today by its name
        ("since Monday", "01-05 00:00", "01-07 15:20"),
        ("on 5 January", "01-05 00:00", "01-06 00:00"),
        ("on Dec 24th", "12-24 00:00", "12-25 00:00"),  # the last one
        ("in December", "12-01 00:00", "01-01 00:00"),
        ("2026-01-03", "01-03 00:00", "01-04 00:00"),
        ("from 2026-01-01 to 2026-01-03", "01-01 00:00", "01-04 00:00"),
        ("since 2026-01-07T08:00:00Z", "01-07 08:00", "01-07 15:20"),
        ("since 14:00", "01-07 14:00", "01-07 15:20"),
        ("since 16:00", "01-06 16:00", "01-07 15:20"),  # not yet today
        ("after 3pm", "01-07 15:00", "01-07 15:20"),
        ("between 14:00 and 15:00", "01-07 14:00", "01-07 15:00"),
        ("yesterday between 9 and 12", "01-06 09:00", "01-06 12:00"),
        ("between 22:00 and 2:00", "01-06 22:00", "01-07 02:00"),
        ("between 2 and 3 pm", "01-07 14:00", "01-07 15:00"),
        ("at 14:40", "01-07 14:40", "01-07 14:41"),
        ("around 14:40", "01-07 14:30", "01-07 14:50"),
        ("at 3 pm yesterday", "01-06 15:00", "01-06 16:00"),
        ("this morning", "01-07 06:00", "01-07 12:00"),
        ("last night", "01-06 18:00", "01-07 06:00"),
        ("yesterday afternoon", "01-06 12:00", "01-06 18:00"),
        ("2 hours ago", "01-07 13:20", "01-07 14:20"),
        ("3 days ago", "01-04 00:00", "01-05 00:00"),
        ("until noon", "01-07 00:00", "01-07 12:00"),
    ],
)
def test_a_window_in_words(text: str, start: str, end: str) -> None:
    assert spoken(text) == (start, end)


def test_times_are_meant_in_the_askers_zone() -> None:
    assert spoken("today", "America/New_York") == ("01-07 00:00", "01-07 10:20")
    assert spoken("since 9am", "America/New_York") == ("01-07 09:00", "01-07 10:20")
    late = datetime(2026, 1, 7, 23, 30, tzinfo=UTC)  # already Thursday in Berlin
    assert spoken("yesterday", "Europe/Berlin", late) == ("01-07 00:00", "01-08 00:00")


def test_a_day_with_23_hours_is_a_day() -> None:
    now = datetime(2026, 3, 30, 8, 0, tzinfo=UTC)
    assert spoken("between 1:00 and 4:00 yesterday", "Europe/Berlin", now) == ("03-29 01:00", "03-29 04:00")


def test_a_question_for_causes_looks_to_both_sides() -> None:
    assert spoken("at 14:40", wide=True) == ("01-07 14:30", "01-07 14:50")
    assert spoken("at 3 pm yesterday", wide=True) == ("01-06 14:30", "01-06 15:30")
    assert spoken("at 15:15", wide=True) == ("01-07 15:05", "01-07 15:20")  # not beyond now


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("last 0 hours", "no length"),
        ("last hours", "how many"),
        ("between 15:00 and 14:00", "ends before it starts"),
        ("between 10:00", "two times"),
        ("at 25:70", "no time of day"),
        ("on 2026-02-31", "no day 31 in month 2"),
        ("since tomorrow", "in the future"),
        ("in 2031", "in the future"),
        ("since", "missing"),
        ("today and last week", "two times"),
        ("from yesterday to last week", "expected from before to"),
        ("until yesterday", "needs a start"),
    ],
)
def test_a_time_that_there_is_not_is_refused(text: str, told: str) -> None:
    with pytest.raises(Bad, match=told):
        spoken(text)


@pytest.mark.parametrize(
    ("text", "compare"),
    [
        ("today vs yesterday", "day"),
        ("this week compared to last week", "week"),
        ("last 3 hours vs the 3 hours before", "previous"),
        ("this month vs last month", "previous"),
        ("last hour than before", "previous"),
        ("today week over week", "week"),
    ],
)
def test_comparisons(text: str, compare: str) -> None:
    found = scan([token.word for token in tokens(text)], NOW, windows.zone("UTC"))
    made, span = window(found, NOW, "UTC")
    assert made is not None
    (step,) = [each.data for each in found if each.kind == "compare"]
    assert comparison(step, made, span, NOW) == compare


def test_no_request_compares_with_three_weeks_ago() -> None:
    found = scan("today vs 3 week ago".split(), NOW, windows.zone("UTC"))
    made, span = window(found, NOW, "UTC")
    assert made is not None
    with pytest.raises(Bad, match="a comparison is"):
        comparison(next(each.data for each in found if each.kind == "compare"), made, span, NOW)


@pytest.mark.parametrize(
    ("hours", "grain", "horizon"), [(0.5, "1m", 30), (1, "5m", 12), (12, "1h", 12), (24, "1h", 24), (168, "12h", 14)]
)
def test_the_steps_of_a_forecast(hours: float, grain: str, horizon: int) -> None:
    assert steps(hours * 3600) == (grain, horizon)


def test_a_forecast_has_an_end() -> None:
    with pytest.raises(Bad, match="60 days"):
        steps(5 * 365 * 86400)
