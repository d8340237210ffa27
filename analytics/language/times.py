"""The grammar of time: since yesterday, last 3 hours, between 14:00 and 15:00, on Monday, vs last week, next 12 hours.

`scan` finds what a question says of time; `windowed` puts it together.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from analytics import window as windows
from analytics.errors import ValidationError
from analytics.language.spans import (
    CLOCK,
    DAY,
    DAYS,
    HOUR,
    ISO,
    LOOSE,
    MOMENT,
    MONTH,
    ORDINAL,
    PARTS,
    PERIOD,
    SMALL,
    Bad,
    Clock,
    Span,
    Step,
    count_of,
    day_of,
    half_of,
    local_span,
    local_time,
    minutes_of,
    period_of,
    rfc3339,
    span_of,
    unit_of,
)

TO_DATE = {"ytd": "year", "qtd": "quarter", "mtd": "month"}
GRAINS = {"minutely": "1m", "hourly": "1h", "daily": "1d", "weekly": "1w", "monthly": "1M"}


class Found(NamedTuple):
    """What tokens [at, end) say: `kind` is day, window, clock, compare, grain, ahead or bad."""

    kind: str
    at: int
    end: int
    data: Any


_N = r"(?P<n>\d+|an?|couple of|half an?|half|" + "|".join(SMALL) + ")"
_U = r"(?P<u>second|sec|s|minute|min|m|hours?|hr|h|day|d|week|wk|w|month|mo|year|yr|y)"
_ON = r"(?:(?:on|in|during|for|of|from|at) )?(?:the )?"
_STRONG = r"(?:vs|versus|against|than|compared? to|compared? with|relative to|over)"
_PAST = (
    rf"(?:the )?(?:same (?:time|period|hours?|day) )?(?:of )?(?:the )?(?P<past>yesterday|previou?s? (?:{_N} ?)?{_U}"
    rf"|last (?:{_N.replace('<n>', '<n2>')} ?)?{_U.replace('<u>', '<u2>')}"
    r"|before|previou?s? period|period before|earlier"
    rf"|(?:{_N.replace('<n>', '<n3>')} ?)?{_U.replace('<u>', '<u3>')} (?:before|ago|earlier))"
)


def scan(words: Sequence[str], now: datetime, tz: ZoneInfo) -> list[Found]:
    """Everything that is said of time, the longest first at each place, none overlapping."""
    text, starts = " ".join(words), [0]
    for word in words:
        starts.append(starts[-1] + len(word) + 1)
    local, found, at = now.astimezone(tz), [], 0
    while at < len(words):
        best: tuple[int, Rule, re.Match[str]] | None = None
        for rule in RULES:
            match = rule.pattern.match(text, starts[at])
            if match is None or (rule.needs and rule.needs not in text[: match.start()]):
                continue
            if best is None or match.end() > best[0]:
                best = match.end(), rule, match
        if best is None:
            at += 1
            continue
        end = next(i for i in range(at, len(words) + 1) if starts[i] > best[0])
        try:
            said = best[1].read(best[2], local)
        except (Bad, ValueError, ValidationError, OverflowError) as error:
            told = str(error) if isinstance(error, Bad) else f"{best[2][0]!r} is no time"
            said = ("bad", told)
        found.append(Found(said[0], at, end, said[1]))
        at = end
    return found


# rules: what is matched, and what it means

Said = tuple[str, Any]


class Rule(NamedTuple):
    pattern: re.Pattern[str]
    read: Callable[[re.Match[str], datetime], Said]
    needs: str = ""  # only after this


def _relative(count: float, unit: str) -> str:
    """`now-3h`; half an hour is 30 minutes."""
    if count == 0.5:
        halves = {"h": "30m", "m": "30s", "d": "12h", "y": "6M"}
        if unit not in halves:
            raise Bad(f"half a {windows.UNIT_NAMES[unit]} is no length that a window can have")
        return f"now-{halves[unit]}"
    if count < 1:
        raise Bad("a window of no length")
    return f"now-{int(count)}{unit}"


def _past(match: re.Match[str], now: datetime) -> Said:
    count, unit = match["n"], unit_of(match["u"])
    if count is None and match["u"] == "hours":
        raise Bad("how many hours?")
    rolling = count is not None or unit in "smhd" or match["word"] == "past" or bool(match["lead"])
    if rolling:
        return "window", Span(_relative(count_of(count), unit), "now")
    return "window", Span(f"now-1{unit}/{unit}", f"now-1{unit}/{unit}", unit=unit)


def _and_half(match: re.Match[str], now: datetime) -> Said:
    parts, smaller = {"d": (24, "h"), "h": (60, "m"), "m": (60, "s")}[unit_of(match["u"] or match["u2"])]
    return "window", Span(f"now-{int((count_of(match['n'] or match['n2']) + 0.5) * parts)}{smaller}", "now")


def _quarters(match: re.Match[str], now: datetime) -> Said:
    return "window", Span("now-45m" if match["three"] else "now-15m", "now")


def _to_date(match: re.Match[str], now: datetime) -> Said:
    return "window", period_of(f"this {match['u'] or TO_DATE[match['short']]}", now)


def _before_last(match: re.Match[str], now: datetime) -> Said:
    unit = unit_of(match["u"])
    return "window", Span(f"now-2{unit}/{unit}", f"now-2{unit}/{unit}", unit=unit)


def _beside(match: re.Match[str], now: datetime) -> Said:
    """`the 20 minutes before 14:00`, where that was last."""
    minutes, _ = minutes_of(match["t"])
    length = timedelta(seconds=count_of(match["n"]) * windows.UNIT_SECONDS[unit_of(match["u"])])
    today = minutes <= now.hour * 60 + now.minute
    at = local_time(now.date() if today else now.date() - timedelta(days=1), minutes, now)
    first, last = (at - length, at) if match["p"] == "before" else (at, at + length)
    return "window", Span(rfc3339(first), rfc3339(last))


def _moments(match: re.Match[str], now: datetime) -> Said:
    """`yesterday 22:00 to today 6:00`."""
    ends = []
    for which in "ab":
        day = day_of(match[f"d{which}"], now).day
        assert day is not None
        ends.append(rfc3339(local_time(day, minutes_of(match[f"t{which}"])[0], now)))
    return "window", Span(ends[0], ends[1])


def _days(match: re.Match[str], now: datetime) -> Said:
    """`from the 2nd to the 4th of January`."""
    last = day_of(match["b"], now).day
    number = int(re.sub(r"\D", "", match["a"]))
    if last is None or not 1 <= number <= last.day:
        raise Bad("it ends before it starts")
    return "window", Span(last.replace(day=number).isoformat(), last.isoformat())


def _at(match: re.Match[str], now: datetime) -> Said:
    minutes, exact = minutes_of(match["t"])
    how = {"since": "since", "from": "since", "after": "since", "starting": "since", "until": "until", "till": "until",
           "before": "until", "around": "around", "about": "around", "near": "around"}  # fmt: skip
    return "clock", Clock(how.get(match["p"] or "", "at"), minutes, exact=exact)


def _between(match: re.Match[str], now: datetime) -> Said:
    half = half_of(match["b"]) if match["a"].isdigit() else ""
    (first, _), (second, _) = minutes_of(match["a"] + half), minutes_of(match["b"])
    return "clock", Clock("between", first, second)


def _range(match: re.Match[str], now: datetime) -> Said:
    start, end = span_of(match["a"], now), span_of(match["b"], now)
    return "window", Span(start.start, end.end)


def _since(match: re.Match[str], now: datetime) -> Said:
    span = span_of(match["x"], now)
    if match["p"] in ("until", "till", "before"):
        raise Bad("a window needs a start; say from when")
    return "window", Span(span.start, "now")


def _day(match: re.Match[str], now: datetime) -> Said:
    return "day", day_of(match["x"], now)


def _period(match: re.Match[str], now: datetime) -> Said:
    return "window", period_of(match["x"], now)


def _part(match: re.Match[str], now: datetime) -> Said:
    word, part = match["d"], match["part"]
    first, last = PARTS[part]
    today = now.date()
    if word == "last" or (word == "this" and part == "night"):
        day = today - timedelta(days=1) if word == "last" else today
    else:
        day = today if word == "this" else day_of(word, now).day or today
    span = local_span(day, first * 60, last * 60, now)
    ahead = local_time(day, last * 60, now) > now >= local_time(day, first * 60, now)
    if match["since"]:
        return "window", Span(span.start, "now")
    return "window", Span(span.start, "now" if ahead else span.end, day, part=part)


def _ago(match: re.Match[str], now: datetime) -> Said:
    count, unit = count_of(match["n"]), unit_of(match["u"])
    if count < 1:
        raise Bad("a window of no length")
    if unit in "dwMy":
        return "window", Span(f"now-{int(count)}{unit}/{unit}", f"now-{int(count)}{unit}/{unit}", unit=unit)
    start = now.astimezone(UTC) - timedelta(seconds=count * windows.UNIT_SECONDS[unit])
    return "window", Span(rfc3339(start), rfc3339(start + timedelta(seconds=windows.UNIT_SECONDS[unit])))


def _compare(match: re.Match[str], now: datetime) -> Said:
    if match["past"] == "yesterday":
        return "compare", Step(1, "d")
    unit = match["u"] or match["u2"] or match["u3"]
    if unit is None:
        return "compare", Step(0)
    count = count_of(match["n"] or match["n2"] or match["n3"])
    return "compare", Step(int(count), unit_of(unit))


def _over(match: re.Match[str], now: datetime) -> Said:
    return "compare", Step(1, unit_of(match["u"]))


def _grain(match: re.Match[str], now: datetime) -> Said:
    count, unit = count_of(match["n"]), unit_of(match["u"])
    grain = "30m" if (count, unit) == (0.5, "h") else f"{int(count)}{unit}"
    try:
        windows.parse_grain(grain)
    except ValidationError as error:
        raise Bad(error.message) from None
    return "grain", grain


def _ahead(match: re.Match[str], now: datetime) -> Said:
    count, unit = count_of(match["n"]), unit_of(match["u"])
    if count <= 0:
        raise Bad("a forecast of no length")
    return "ahead", count * windows.UNIT_SECONDS[unit]


def _wrong(told: str) -> Callable[[re.Match[str], datetime], Said]:
    def read(match: re.Match[str], now: datetime) -> Said:
        raise Bad(told)

    return read


def _rule(pattern: str, read: Callable[[re.Match[str], datetime], Said], needs: str = "") -> Rule:
    return Rule(re.compile(rf"(?:{pattern})(?= |$)"), read, needs)


RULES = (
    _rule(rf"(?:(?:in|over|for|during|within|of|from) )?(?P<lead>the )?(?P<word>last|past) (?:{_N} ?)?{_U}"
          r"(?: so far)?", _past),
    _rule(rf"(?:(?:in|over|for|during|within|of|from) )?(?:the )?(?:last|past) (?:(?:{_N} )?(?P<u>minute|hours?|day)"
          rf" and (?:a )?half|{_N.replace('<n>', '<n2>')} and (?:a )?half (?P<u2>minute|hours?|day))", _and_half),
    _rule(r"(?:(?:in|over|for|during|within|of|from) )?(?:the )?(?:last|past) (?P<three>three |3 )?quarter of an hour",
          _quarters),
    _rule(r"(?:for |in )?(?:the )?(?:(?P<u>year|quarter|month|week) to date|(?P<short>[yqm]td))", _to_date),
    _rule(r"since (?:the )?(?:beginning|start) of (?:the |this )?(?P<u>year|quarter|month|week)(?P<short>)", _to_date),
    _rule(rf"{_ON}(?P<u>week|month|year) before last", _before_last),
    _rule(rf"(?:(?:in|during|for|over|of) )?the (?:{_N} ?)?(?P<u>second|minute|min|hours?) (?P<p>before|after) "
          rf"(?P<t>{CLOCK})", _beside),
    _rule(rf"(?:(?P<two>between )|from )?(?P<da>{DAY})(?: at)? (?P<ta>{CLOCK}) (?(two)and|(?:to|until|till)) "
          rf"(?P<db>{DAY})(?: at)? (?P<tb>{CLOCK})", _moments),
    _rule(rf"(?:(?P<two>between )|from )(?P<ta>{CLOCK}) (?P<da>{DAY}) (?(two)and|(?:to|until|till)) "
          rf"(?P<tb>{CLOCK}) (?P<db>{DAY})", _moments),
    _rule(rf"(?:between|from) (?:the )?(?P<a>{ORDINAL}) (?:and|to|until|till) (?:the )?"
          rf"(?P<b>{ORDINAL} (?:of )?{MONTH}(?: \d{{4}})?)", _days),
    _rule(rf"{_ON}(?P<x>{DAY})(?: so far)?", _day),
    _rule(rf"{_ON}(?P<x>(?:this|last) (?:minute|hours?|week|month|year|quarter)|last weekend|q[1-4] \d{{4}}|q[1-4])"
          r"(?: so far)?", _period),
    _rule(rf"(?:in|during|for|of) (?P<x>{PERIOD})", _period),
    _rule(rf"(?P<x>{MONTH} \d{{4}}|\d{{4}}-\d{{2}})", _period),
    _rule(rf"(?:(?P<since>since) |{_ON})(?P<d>this|last|yesterday|{'|'.join(DAYS)}) "
          r"(?P<part>morning|afternoon|evening|night)", _part),
    _rule(rf"between (?:{LOOSE}|{DAY}|{MOMENT})", _wrong("between needs two times")),
    _rule(rf"(?:between|from) (?P<a>{LOOSE}) (?:and|to|until|till|-) (?P<b>{LOOSE})", _between),
    _rule(r"(?P<a>\d{1,2}:\d{2}) (?:and|to|until|till|-) (?P<b>\d{1,2}:\d{2})", _between),
    _rule(rf"(?:between|from) (?P<a>{MOMENT}|{DAY}|{PERIOD}) (?:and|to|until|till|-) "
          rf"(?P<b>{MOMENT}|{DAY}|{PERIOD}|now)", _range),
    _rule(rf"(?P<a>{MOMENT}|{ISO}) (?:to|until|till|-) (?P<b>{MOMENT}|{ISO}|now)", _range),
    _rule(rf"(?P<p>since|after|starting|from|until|till|before) (?:on )?(?:the (?!last|past|this|previous))?"
          rf"(?P<x>{MOMENT}|{DAY}|{PERIOD})", _since),
    _rule(rf"(?P<p>since|after|starting|from|until|till|before|around|about|near|at)?(?:(?<= )|(?<=^))? ?(?:about )?"
          rf"(?P<t>{CLOCK})", _at),
    _rule(rf"(?P<p>since|after|at|around|about|until|till|before) (?P<t>{HOUR})", _at),
    _rule(rf"{_N} ?{_U} ago", _ago),
    _rule(rf"{_STRONG} {_PAST}", _compare),
    _rule(rf"(?:with|to|and) {_PAST}", _compare, "compar"),
    _rule(r"(?P<u>day|week|month|year) (?:over|on) (?P=u)", _over),
    _rule(rf"(?:per|by|every|each|by the) (?:{_N} ?)?{_U}", _grain),
    _rule(rf"(?:in |with )?(?:an? )?{_N} ?{_U} (?:step|bucket|interval|grain|resolution|bin)", _grain),
    _rule("|".join(GRAINS), lambda match, now: ("grain", GRAINS[match[0]])),
    _rule(r"(?:as an? )?(?:over time|trend|trending|timeline|time line|graph|chart|plot|history|time series|course"
          r"|curve|development|evolution|line chart)(?: of)?", lambda match, now: ("grain", "auto")),
    _rule(rf"(?:for |over |in |during |within )?(?:the )?(?:next|coming|following) (?:{_N} ?)?{_U}", _ahead),
    _rule(r"tomorrow", lambda match, now: ("ahead", 86400)),
    _rule(rf"(?:since|from) (?:tomorrow|next {_U})", _wrong("that is in the future")),
    _rule(r"(?:since|until|till|between|from)$", _wrong("the time is missing")),
)  # fmt: skip
