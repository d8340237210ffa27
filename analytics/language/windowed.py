"""What a question says of time, put together: a window, a comparison, the steps of a forecast."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta

from analytics import window as windows
from analytics.errors import ValidationError
from analytics.language.spans import PARTS, Bad, Clock, Span, Step, local_span, local_time, rfc3339
from analytics.language.times import Found
from analytics.query import Window

AROUND = {True: timedelta(minutes=10), False: timedelta(minutes=30)}  # beside 14:40, and beside 3 pm
HOURS_AHEAD = 60 * 24  # a forecast goes this far at most
LEAST_STEPS = 12
TWICE = "two times are named; one window is asked for"
SPAN_OF_GRAIN = {"s": "now-10m", "m": "now-1h", "h": "now-1d", "d": "now-7d", "w": "now-8w", "M": "now-12M",
                 "y": "now-5y"}  # fmt: skip


def _placed(clock: Clock, day: date | None, now: datetime, wide: bool) -> Span:
    """A time of day as a span: on the day that was said, else where it was last. `wide` looks to both sides."""
    at = now.hour * 60 + now.minute
    if clock.how == "between":
        first, last = clock.first, clock.second
        if last <= first:
            if first - last < 720:
                raise Bad("it ends before it starts")
            last += 1440
        chosen = day or (now.date() if first <= at and last < 1440 else now.date() - timedelta(days=1))
        return local_span(chosen, first, last, now)
    chosen = day or (now.date() if clock.first <= at else now.date() - timedelta(days=1))
    if clock.how == "until":
        return local_span(chosen, 0, clock.first, now)
    if clock.how == "since":
        start = local_span(chosen, clock.first, clock.first, now).start
        end = "now" if day is None or day == now.date() else rfc3339(local_time(day, 1440, now))
        return Span(start, end)
    if wide or clock.how == "around":
        middle = local_time(chosen, clock.first, now)
        beside = AROUND[clock.exact]
        return Span(rfc3339(middle - beside), rfc3339(min(middle + beside, now)))
    return local_span(chosen, clock.first, clock.first + (1 if clock.exact else 60), now)


def _within(clock: Clock, part: Span, now: datetime) -> Clock:
    """A clock in the part of a day that it was said of: 8 in the evening is 20:00. Raises Bad where it lies outside."""
    first, last = (hour * 60 for hour in PARTS[part.part])

    def placed(minutes: int) -> int:
        fitting = [each for each in (minutes, minutes + 720, minutes + 1440) if first <= each < last]
        if not fitting:
            raise Bad(TWICE)
        return fitting[0]

    if clock.how == "since" and part.day != now.date():
        raise Bad(TWICE)
    second = placed(clock.second) if clock.how == "between" else clock.second
    return clock._replace(first=placed(clock.first), second=second)


def window(found: Sequence[Found], now: datetime, tz: str, *, wide: bool = False) -> tuple[Window | None, Span | None]:
    """The window that was said, if one was, and the span behind it. Raises Bad for two, for none that can be, and for
    one that lies ahead."""
    local = now.astimezone(windows.zone(tz))
    for each in found:
        if each.kind == "bad":
            raise Bad(each.data)
    days = list(dict.fromkeys(each.data for each in found if each.kind == "day"))
    clocks = list(dict.fromkeys(each.data for each in found if each.kind == "clock"))
    spans = list(dict.fromkeys(each.data for each in found if each.kind == "window"))
    if len(clocks) == len(spans) == 1 and spans[0].part and not days:
        clocks = [_within(clocks[0], spans[0], local)]
        days, spans = spans, []
    if len(days) > 1 or len(clocks) > 1 or len(spans) > 1 or (spans and (days or clocks)):
        raise Bad(TWICE)
    span = spans[0] if spans else days[0] if days else None
    if clocks:
        span = _placed(clocks[0], days[0].day if days else None, local, wide)
    if span is None:
        return None, None
    made = Window(span.start, span.end, tz)
    try:
        period = windows.resolve(windows.parse(made, "now-1h"), now)
    except ValidationError as error:
        raise Bad(error.message.removeprefix("window: ")) from None
    if period.start >= now:
        raise Bad("that is in the future; say forecast to look ahead")
    return made, span


def comparison(step: Step, made: Window, span: Span | None, now: datetime) -> str:
    """`previous`, `day` or `week`. Raises Bad for any other."""
    if step.units == 0 or (span and step == Step(1, span.unit) and span.unit not in "dw"):
        return "previous"
    period = windows.resolve(made, now)
    length = step.units * windows.UNIT_SECONDS[step.unit]
    if step == Step(1, "d"):
        return "day"
    if step == Step(1, "w"):
        return "week"
    if abs(length - period.seconds) < 1:
        return "previous"
    raise Bad("a comparison is with the period before, or with the same time a day or a week ago")


def steps(seconds: float) -> tuple[str, int]:
    """Grain and horizon of a forecast so far ahead: the coarsest step that gives at least 12. Raises Bad."""
    if seconds > HOURS_AHEAD * 3600:
        raise Bad("a forecast reaches 60 days ahead at most")
    ladder = [g for g in windows.LADDER if g[-1] not in "wM"]
    fitting = [g for g in ladder if seconds / windows.parse_grain(g).seconds >= LEAST_STEPS]
    grain = fitting[-1] if fitting else ladder[0]
    return grain, max(1, min(60, round(seconds / windows.parse_grain(grain).seconds)))
