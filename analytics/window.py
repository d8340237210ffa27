"""Spans of time as people write them, and the buckets they are cut into.

    time = anchor term*            now-1h, now-1d/d, 2026-01-06, 2026-01-06T12:00:00Z, 1767700800000
    term = (+|-) N unit | / unit   s m h d w M y; days and longer follow the calendar of the time zone

`/unit` rounds to the unit's start, and in `to` to its end. A date in `to` includes that day.
"""

from __future__ import annotations

import calendar
import re
from datetime import UTC, date, datetime, timedelta
from itertools import accumulate
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from analytics.errors import ValidationError
from analytics.query import Period, Window

LADDER = ("1s 5s 10s 15s 30s 1m 5m 10m 15m 30m 1h 3h 6h 12h 1d 1w 1M").split()
UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "M": 2629800, "y": 31557600}
UNIT_NAMES = {"s": "second", "m": "minute", "h": "hour", "d": "day", "w": "week", "M": "month", "y": "year"}
MAX_BUCKETS = 10_000
MAX_LENGTH = timedelta(days=3660)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
US = timedelta(microseconds=1)
HINT = 'for example "now-1h", "now/d", "2026-01-06T12:00:00Z" or {"from": "now-1d/d", "to": "now/d"}'

_TERM = re.compile(r"([+-])(\d{1,6})([smhdwMy])|/([smhdwMy])")
_MILLISECONDS = re.compile(r"\d{11,15}")
_GRAIN = re.compile(r"(\d{1,5})([smhdwMy])")


class Grain(msgspec.Struct, frozen=True):
    """The length of a bucket: `count` units; `seconds` is nominal for days and longer."""

    count: int
    unit: str

    @property
    def seconds(self) -> float:
        return float(self.count * UNIT_SECONDS[self.unit])

    def __str__(self) -> str:
        return f"{self.count}{self.unit}"


def parse(window: Window | str | dict[str, Any] | None, default: str, tz: str = "UTC") -> Window:
    """Any accepted spelling to a Window whose syntax is known to be good. None means `default`."""
    if window is None:
        window = default
    if isinstance(window, str):
        start, _, end = window.partition(" to ")  # "now-2h to now-1h" is how one address holds a past range
        window = Window(start.strip(), end.strip() or "now", tz)
    elif isinstance(window, dict):
        if extra := sorted(set(window) - {"from", "to", "tz"}):
            raise ValidationError(f"window: expected the keys from, to and tz, got {extra[0]!r}", hint=HINT)
        window = Window(window.get("from", default), window.get("to", "now"), window.get("tz", tz))
    elif not isinstance(window, Window):
        raise ValidationError(f"window: expected text or an object, got {type(window).__name__}", hint=HINT)
    parsed = Window(_text(window.start), _text(window.end), window.tz)
    resolve_time(parsed.start, EPOCH + MAX_LENGTH, zone(parsed.tz), up=False)
    resolve_time(parsed.end, EPOCH + MAX_LENGTH, zone(parsed.tz), up=True)
    return parsed


def resolve(window: Window, now: datetime) -> Period:
    """The span a window means at `now`. Raises ValidationError when it is empty or out of bounds."""
    tz = zone(window.tz)
    start = resolve_time(window.start, now, tz, up=False)
    end = resolve_time(window.end, now, tz, up=True)
    if start >= end:
        raise ValidationError(
            f"window: expected from before to, got from {_iso(start)} and to {_iso(end)}",
            hint='"now-1h" means from then to now; ' + HINT,
        )
    if start < EPOCH:
        raise ValidationError(f"window: expected a time since 1970, got from {_iso(start)}", hint=HINT)
    if end - start > MAX_LENGTH and start != EPOCH:
        raise ValidationError(
            f"window: expected at most 10 years, got {_iso(start)} to {_iso(end)}",
            hint='for everything there is, use {"from": "1970-01-01", "to": "now"}',
        )
    return Period(start, end)


def zone(name: str) -> ZoneInfo:
    """The time zone of an IANA name."""
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, TypeError, LookupError):  # ZoneInfo raises each of them for some wrong name
        shown = repr(name)[:60]
        raise ValidationError(
            f"tz: no time zone {shown}", hint='an IANA name such as "Europe/Berlin" or "UTC"'
        ) from None


def resolve_time(text: str, now: datetime, tz: ZoneInfo, *, up: bool) -> datetime:
    """One end of a window as a UTC datetime; `up` makes rounding and dates go to their end."""
    try:
        if text.startswith("now"):
            return _relative(text, now, tz, up)
        if _MILLISECONDS.fullmatch(text):
            return EPOCH + timedelta(milliseconds=int(text))
        if len(text) == 10:
            day = datetime.combine(date.fromisoformat(text), datetime.min.time())
            return _utc(day + timedelta(days=1) if up else day, tz)
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo else _utc(moment, tz)
    except OverflowError:
        raise ValidationError(f"window: {text[:60]!r} is too far away", hint=HINT) from None
    except ValueError:
        raise ValidationError(
            f"window: expected now with terms like -1h or /d, an RFC 3339 time or a date, got {text[:60]!r}", hint=HINT
        ) from None


def previous(period: Period, window: Window) -> Period:
    """The same elapsed part of the period before; it ends where `period` starts, or earlier.

    A window that starts on a calendar boundary (`now/d`, `now-1M/M`) looks back whole units on the
    wall clock: today until 14:07 is compared with yesterday until 14:07. Any other is shifted by
    its own length.
    """
    unit = _rounded_to(window.start)
    if unit is None:
        return period.shifted(period.start - period.end)
    tz = zone(window.tz if unit in "dwMy" else "UTC")
    start, end = _local(period.start, tz), _local(period.end, tz)
    units = 1
    while _add(start, units, unit) < end:
        units += 1
    before = _add(start, -units, unit)
    complete = _add(start, units, unit) == end
    finish = start if complete else min(start, before + (end - start))
    return Period(_utc(before, tz), _utc(finish, tz))


def compared(period: Period, window: Window, compare: str) -> Period:
    """What a period is compared with: `previous`, or the same time a `day` or a `week` ago on the wall clock."""
    if compare == "previous":
        return previous(period, window)
    start, end = _earlier([period.start, period.end], window.tz, compare)
    return Period(start, end)


def compared_edges(
    edges: list[datetime], now: Period, then: Period, grain: str, window: Window, compare: str
) -> list[datetime]:
    """The edges of the buckets of `then` that stand beside those of `now`, by index."""
    if compare != "previous":
        return _earlier(edges, window.tz, compare)
    if parse_grain(grain).seconds > 3600:
        return buckets(then, grain, window.tz)
    return [edge - (now.start - then.start) for edge in edges]


def parse_grain(text: str) -> Grain:
    """`30s`, `5m`, `1h`, `1d`, `1w`, `1M`, `1y`: below a day it must divide the day."""
    found = _GRAIN.fullmatch(text)
    hint = "one of " + ", ".join(LADDER)
    if not found:
        raise ValidationError(f"grain: expected a number and a unit, got {text[:40]!r}", hint=hint)
    grain = Grain(int(found[1]), found[2])
    if grain.unit in "smh" and (grain.count == 0 or 86400 % grain.seconds):
        raise ValidationError(f"grain: expected one that divides a day evenly, got {text!r}", hint=hint)
    if grain.unit in "dwMy" and grain.count != 1:
        raise ValidationError(f"grain: expected one day, week, month or year, got {text!r}", hint=hint)
    return grain


def auto_grain(period: Period, most: int = 100) -> str:
    """The finest grain of LADDER that cuts the period into at most so many buckets."""
    return next((g for g in LADDER if period.seconds / parse_grain(g).seconds <= most), LADDER[-1])


def buckets(period: Period, grain: str, tz: str) -> list[datetime]:
    """The edges of the buckets that cover the period, UTC, one more than there are buckets.

    The first edge is at or before the start, the last at or after the end. Grains above an hour
    follow the wall clock, so a day may have 23 or 25 hours.
    """
    step, info = parse_grain(grain), zone(tz)
    if period.seconds / step.seconds > MAX_BUCKETS:
        raise ValidationError(
            f"grain: expected at most {MAX_BUCKETS:,} buckets, got {period.seconds / step.seconds:,.0f} of {grain}",
            hint=f"use {auto_grain(period)} or a shorter window",
        )
    if step.seconds <= 3600:
        return _even_edges(period, timedelta(seconds=step.seconds), info)
    calendar_unit = step.unit in "dwMy"
    unit, count = (step.unit, 1) if calendar_unit else ("s", int(step.seconds))
    local = _floor(_local(period.start, info), unit if calendar_unit else "d")
    while not calendar_unit and _utc(_add(local, count, unit), info) <= period.start:
        local = _add(local, count, unit)
    edges = [_utc(local, info)]
    while edges[-1] < period.end:
        local = _add(local, count, unit)
        edges.append(_utc(local, info))
    return edges


def period_at(moment: datetime, unit: str, tz: str) -> Period:
    """The day, week (from Monday), month or year of a time zone that a moment lies in; a day may have 23 hours."""
    info = zone(tz)
    start = _floor(_local(moment, info), unit)
    return Period(_utc(start, info), _utc(_add(start, 1, unit), info))


def describe(window: Window, compare: str | None = "previous") -> tuple[str, str]:
    """How people say it, and how they say what it is compared with: ("Last 1 hour", "previous hour")."""
    said, before = _said(window)
    return said, {"day": "same time yesterday", "week": "same time last week"}.get(compare or "", before)


def _said(window: Window) -> tuple[str, str]:
    if (found := re.fullmatch(r"now-(\d+)([smhdwMy])", window.start)) and window.end == "now":
        count, name = int(found[1]), UNIT_NAMES[found[2]]
        names = name if count == 1 else f"{name}s"
        return f"Last {count} {names}", f"previous {name if count == 1 else f'{count} {names}'}"
    if found := re.fullmatch(r"now/([hdwMy])", window.start):
        name = UNIT_NAMES[found[1]]
        said = "Today" if name == "day" else f"This {name}"
        before = "yesterday" if name == "day" else f"last {name}"
        if window.end == "now":
            return f"{said} so far", before
        if window.end == window.start:
            return said, before
    if found := re.fullmatch(r"now-1([hdwMy])/\1", window.start):
        name = UNIT_NAMES[found[1]]
        if window.end == window.start:
            return "Yesterday" if name == "day" else f"Last {name}", f"the {name} before"
    return f"{window.start} to {window.end}", "previous period"


def _text(value: Any) -> str:
    """A window's end as text; numbers are milliseconds since the epoch."""
    if isinstance(value, bool) or not isinstance(value, str | int | float | datetime):
        raise ValidationError(f"window: expected text or milliseconds, got {type(value).__name__}", hint=HINT)
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, datetime):
        return value.isoformat()
    try:
        return (EPOCH + timedelta(milliseconds=value)).isoformat()
    except (OverflowError, ValueError):
        raise ValidationError(f"window: {value} ms since 1970 is too far away", hint=HINT) from None


def _relative(text: str, now: datetime, tz: ZoneInfo, up: bool) -> datetime:
    moment, at = now.astimezone(UTC), 3
    while at < len(text):
        term = _TERM.match(text, at)
        if not term:
            raise ValueError(text)
        sign, count, unit, rounding = term.groups()
        if rounding:
            moment = _round(moment, rounding, tz, up)
        elif unit in "smh":
            moment += timedelta(seconds=int(sign + count) * UNIT_SECONDS[unit])
        else:
            moment = _utc(_add(_local(moment, tz), int(sign + count), unit), tz)
        at = term.end()
    return moment


def _round(moment: datetime, unit: str, tz: ZoneInfo, up: bool) -> datetime:
    if unit in "smh":
        step = timedelta(seconds=UNIT_SECONDS[unit])
        floor = moment - (moment + _offset(moment, tz) - EPOCH) % step
        return floor + step if up else floor
    floor = _floor(_local(moment, tz), unit)
    return _utc(_add(floor, 1, unit) if up else floor, tz)


def _rounded_to(text: str) -> str | None:
    """The unit a start is rounded to, if rounding is its last term; a date is rounded to the day."""
    if len(text) == 10 and not text.startswith("now"):
        return "d"
    found = re.search(r"/([smhdwMy])$", text)
    return found[1] if found else None


def _even_edges(period: Period, step: timedelta, tz: ZoneInfo) -> list[datetime]:
    """Equal steps from the local midnight at or before the start."""
    midnight = _utc(_floor(_local(period.start, tz), "d"), tz)
    first = period.start - (period.start - midnight) % step
    count = -((first - period.end) // step)
    return [first + i * step for i in range(count + 1)]


def _earlier(moments: list[datetime], tz: str, unit: str) -> list[datetime]:
    """The same wall-clock times a day or a week before, in order even where the clock repeats an hour."""
    info = zone(tz)
    return list(accumulate((_utc(_add(_local(m, info), -1, unit[0]), info) for m in moments), max))


def _local(moment: datetime, tz: ZoneInfo) -> datetime:
    return moment.astimezone(tz).replace(tzinfo=None, fold=0)


def _utc(local: datetime, tz: ZoneInfo) -> datetime:
    return local.replace(tzinfo=tz).astimezone(UTC)


def _offset(moment: datetime, tz: ZoneInfo) -> timedelta:
    return moment.astimezone(tz).utcoffset() or timedelta()


def _floor(local: datetime, unit: str) -> datetime:
    """The start of the day, week (Monday), month or year of a wall-clock time."""
    day = local.replace(hour=0, minute=0, second=0, microsecond=0)
    if unit == "w":
        return day - timedelta(days=day.weekday())
    if unit == "M":
        return day.replace(day=1)
    return day.replace(month=1, day=1) if unit == "y" else day


def _add(local: datetime, count: int, unit: str) -> datetime:
    """Wall-clock arithmetic; a day that the month does not have becomes its last one."""
    if unit in "smhdw":
        return local + timedelta(seconds=count * UNIT_SECONDS[unit])
    months = local.year * 12 + local.month - 1 + count * (12 if unit == "y" else 1)
    year, month = divmod(months, 12)
    if not 1 <= year <= 9999:
        raise OverflowError(year)
    return local.replace(year=year, month=month + 1, day=min(local.day, calendar.monthrange(year, month + 1)[1]))


def _iso(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
