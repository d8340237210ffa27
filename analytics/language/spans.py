"""Days, units of the calendar and times of day as people say them."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple

UNITS = {"second": "s", "sec": "s", "s": "s", "minute": "m", "min": "m", "m": "m", "hour": "h", "hr": "h", "h": "h",
         "day": "d", "d": "d", "week": "w", "wk": "w", "w": "w", "month": "M", "mo": "M", "year": "y", "yr": "y",
         "y": "y"}  # fmt: skip
SMALL = ("one two three four five six seven eight nine ten eleven twelve").split()
NUMBERS = {"a": 1, "an": 1, "couple of": 2, **{word: n for n, word in enumerate(SMALL, 1)}}
DAYS = "monday tuesday wednesday thursday friday saturday sunday".split()
MONTHS = "january february march april may june july august september october november december".split()
HALVES = {"morning": "am", "afternoon": "pm", "evening": "pm"}
PAST = {"quarter": 15, "half": 30}  # minutes past the hour
PARTS = {"morning": (6, 12), "afternoon": (12, 18), "evening": (18, 24), "night": (18, 30)}


class Span(NamedTuple):
    """Two ends as a window has them; `day` where it is one day, `unit` where it is a unit of the calendar, `part` where
    it is a part of `day` by its name."""

    start: str
    end: str
    day: date | None = None
    unit: str = ""
    part: str = ""


class Clock(NamedTuple):
    """Times of a day in minutes. how: at, around, since, until or between; `exact` is false for a bare hour."""

    how: str
    first: int
    second: int = 0
    exact: bool = True


class Step(NamedTuple):
    """What something is compared with: so many units before; none is the period before."""

    units: int
    unit: str = ""


class Bad(Exception):
    """A time that there is not, or that no request can say; the message tells it."""


MONTH = "(?:" + "|".join(f"{name}|{name[:3]}" for name in MONTHS) + "|sept)"
ORDINAL = r"\d{1,2}(?: ?(?:st|nd|rd|th))?"
ISO = r"\d{4}-\d{2}-\d{2}"
DAY = (
    rf"(?:(?:the )?day before yesterday|today|yesterday|(?:(?:last|this|past) )?(?:{'|'.join(DAYS)})|{ISO}(?! \d)"
    rf"|{MONTH} {ORDINAL}(?: \d{{4}})?|{ORDINAL} (?:of )?{MONTH}(?: \d{{4}})?|\d+ day ago)"
)
UNIT = r"(?:minute|hours?|week|month|year|quarter)"
PERIOD = (
    rf"(?:(?:this|last|previous) {UNIT}|last weekend|q[1-4](?: \d{{4}})?"
    rf"|{MONTH} \d{{4}}|{MONTH}|\d{{4}}-\d{{2}}|\d{{4}})"
)
MOMENT = r"\d{4}-\d{2}-\d{2}[t ]\d{1,2}:\d{2}\S*"
_PART = r"(?: in the (?:morning|afternoon|evening))"
CLOCK = (
    rf"(?:(?:\d{{1,2}}:\d{{2}}(?::\d{{2}})?|(?:half|quarter) past (?:\d{{1,2}}|{'|'.join(SMALL)}))(?: ?[ap]m|{_PART})?"
    r"|\d{1,2} ?[ap]m|noon|midnight)"
)
HOUR = rf"\d{{1,2}}{_PART}?"  # a bare one is an hour only where a word of time stands before it
LOOSE = rf"(?:{CLOCK}|{HOUR})"


def rfc3339(moment: datetime) -> str:
    """RFC 3339 in UTC, as short as it can be."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def local_span(day: date, first: int, last: int, now: datetime) -> Span:
    """Minutes of a local day as a span of UTC times."""
    return Span(rfc3339(local_time(day, first, now)), rfc3339(local_time(day, last, now)))


def local_time(day: date, minutes: int, now: datetime) -> datetime:
    """So many minutes by the clock after the start of a local day; 1440 and more are on the next one."""
    at = time(minutes // 60 % 24, minutes % 60)
    return datetime.combine(day + timedelta(days=minutes // 1440), at, now.tzinfo)


def count_of(text: str | None) -> float:
    if text is None:
        return 1
    if text.startswith("half"):
        return 0.5
    return NUMBERS.get(text) or int(text)


def unit_of(text: str) -> str:
    return UNITS[text if text in UNITS else text.removesuffix("s")]


def day_of(text: str, now: datetime) -> Span:
    """A day as it was said. Raises Bad."""
    today = now.date()
    if text == "today":
        return Span("now/d", "now", today, "d")
    if text == "yesterday":
        return Span("now-1d/d", "now-1d/d", today - timedelta(days=1), "d")
    if text.endswith("day before yesterday"):
        return Span("now-2d/d", "now-2d/d", today - timedelta(days=2), "d")
    if (ago := re.fullmatch(r"(\d+) day ago", text)) and int(ago[1]) > 0:
        return Span(f"now-{ago[1]}d/d", f"now-{ago[1]}d/d", today - timedelta(days=int(ago[1])), "d")
    if (named := text.rpartition(" ")[2]) in DAYS:  # a day is never called by its name on that day
        back = (today.weekday() - DAYS.index(named)) % 7 or 7
        return _on(today - timedelta(days=back))
    if re.fullmatch(ISO, text):
        return _on(_date(int(text[:4]), int(text[5:7]), int(text[8:])))
    if parts := re.fullmatch(rf"({MONTH}) (\d+)\D*?(?: (\d{{4}}))?", text):
        month, day, year = parts[1], parts[2], parts[3]
    elif parts := re.fullmatch(rf"(\d+) ?(?:st|nd|rd|th)? (?:of )?({MONTH})(?: (\d{{4}}))?", text):
        day, month, year = parts[1], parts[2], parts[3]
    else:
        raise Bad(f"{text!r} is no day")
    number = _month(month)
    if year:
        return _on(_date(int(year), number, int(day)))
    this = _date(today.year, number, int(day))
    return _on(this if this <= today else _date(today.year - 1, number, int(day)))


def _on(day: date) -> Span:
    return Span(day.isoformat(), day.isoformat(), day, "d")


def _date(year: int, month: int, day: int) -> date:
    try:
        return date(year, month, day)
    except ValueError:
        raise Bad(f"there is no day {day} in month {month} of {year}") from None


def _month(text: str) -> int:
    return next(n for n, name in enumerate(MONTHS, 1) if name.startswith(text[:3]))


def period_of(text: str, now: datetime) -> Span:
    """A unit of the calendar as it was said."""
    if "quarter" in text or text[0] == "q":
        return _quarter(text, now)
    if text == "last weekend":
        sunday = now.date() - timedelta(days=now.weekday() + 1)
        return Span((sunday - timedelta(days=1)).isoformat(), sunday.isoformat())
    if found := re.fullmatch(r"(this|last|previous) (\w+)", text):
        unit = unit_of(found[2])
        if found[1] == "this":
            return Span(f"now/{unit}", "now", unit=unit)
        return Span(f"now-1{unit}/{unit}", f"now-1{unit}/{unit}", unit=unit)
    if re.fullmatch(r"\d{4}", text):
        first, last, unit = _date(int(text), 1, 1), _date(int(text), 12, 31), "y"
    else:
        name, _, year = text.partition(" ")
        month = int(text[5:]) if text[0].isdigit() else _month(name)
        of = int(text[:4]) if text[0].isdigit() else int(year or now.year - (month > now.month))
        first = _date(of, month, 1)
        last, unit = (first + timedelta(days=32)).replace(day=1) - timedelta(days=1), "M"
    return Span(first.isoformat(), last.isoformat(), unit=unit)


def _quarter(text: str, now: datetime) -> Span:
    """A quarter of a year as days."""
    present = now.year * 4 + (now.month - 1) // 3
    if text[0] == "q":
        name, _, year = text.partition(" ")
        number = int(year or now.year) * 4 + int(name[1]) - 1
        number -= 4 if not year and number > present else 0
    else:
        number = present - (0 if text.startswith("this") else 1)
    first = date(number // 4, number % 4 * 3 + 1, 1)
    end = date((number + 1) // 4, (number + 1) % 4 * 3 + 1, 1)
    return Span(first.isoformat(), "now" if number == present else (end - timedelta(days=1)).isoformat())


def span_of(text: str, now: datetime) -> Span:
    text = text.removeprefix("on ").removeprefix("the ")
    if re.fullmatch(DAY, text):
        return day_of(text, now)
    if re.fullmatch(MOMENT, text):
        moment = datetime.fromisoformat(text.upper().replace(" ", "T"))
        at = moment if moment.tzinfo else moment.replace(tzinfo=now.tzinfo)
        return Span(rfc3339(at), rfc3339(at))
    return Span("now", "now") if text == "now" else period_of(text, now)


def half_of(text: str) -> str:
    """`am` or `pm` where a time of day says which half of the day it is in."""
    return HALVES.get(text.rpartition(" ")[2], text[-2:] if text.endswith(("am", "pm")) else "")


def minutes_of(text: str) -> tuple[int, bool]:
    """A time of day in minutes, and whether it named the minute. Raises Bad."""
    if text in ("noon", "midnight"):
        return (720 if text == "noon" else 0), False
    if past := re.match(r"(half|quarter) past (\w+)", text):
        hour = NUMBERS.get(past[2]) or int(past[2])
        text = f"{hour}:{PAST[past[1]]}{text[past.end() :]}"
    text = text.partition(" in the ")[0] + half_of(text) if " in the " in text else text
    found = re.fullmatch(r"(\d{1,2})(?::(\d{2}))?(?::\d{2})?(?: ?([ap]m))?", text)
    assert found
    hour, minute, half = int(found[1]), int(found[2] or 0), found[3]
    if half and not 1 <= hour <= 12:
        raise Bad(f"{text!r} is no time of day")
    hour = hour % 12 + (12 if half == "pm" else 0) if half else hour
    if hour > 24 or minute > 59 or (hour == 24 and minute):
        raise Bad(f"{text!r} is no time of day")
    return hour * 60 + minute, found[2] is not None
