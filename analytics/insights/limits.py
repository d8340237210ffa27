"""Limits in words: when a metric reaches its own, in one line and as an insight."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from analytics.insights.changes import Insight
from analytics.insights.reaching import ALREADY, ANEW, BEYOND
from analytics.workspace import Metric

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
LOPSIDED = 2  # of an interval whose one side is so many times the other, both ends are told
SENSIBLE = DAY  # what is further away than this, and than the window, is no news


class Reach(msgspec.Struct, frozen=True, kw_only=True):
    """When a metric reaches its limit. `at` None: not until `until`, for `reason`. `doubt` says why the interval is not
    calibrated; `confidence` is 0..1."""

    metric: Metric
    at: datetime | None = None
    earliest: datetime | None = None
    latest: datetime | None = None
    until: datetime
    reason: str | None = None
    doubt: str | None = None
    confidence: float = 0.0

    @property
    def settled(self) -> bool:
        """Whether looking further ahead would tell nothing more."""
        return self.at is not None or self.reason != BEYOND

    def head(self, now: datetime, tz: str) -> dict[str, Any]:
        """As a number's tile carries it, times in ms since the epoch."""
        moments = {name: getattr(self, name) for name in ("at", "earliest", "latest")}
        return {
            **{name: None if m is None else int(m.timestamp() * 1000) for name, m in moments.items()},
            "text": self.line(now, tz),
            "confidence": round(self.confidence, 4),
            "reason": self._early(now, tz) or self.reason or self.doubt,
        }

    def line(self, now: datetime, tz: str) -> str:
        """In the fewest words: "Limit at 16:20 ± 12 min"."""
        if self.at is None:
            return self._not_yet(now, tz)
        if self.at <= now:
            return "At its limit about now"
        return f"Limit {self._when(now, tz)}{self._give_or_take(now, tz)}"

    def insight(self, now: datetime, tz: str) -> Insight:
        """Token quota reaches its limit at 16:20 ± 12 min at this pace."""
        assert self.at is not None
        when = "about now" if self.at <= now else self._when(now, tz)
        tone = "none" if self.metric.good == "none" else "bad"
        spread = "" if self.at <= now else self._give_or_take(now, tz)
        return Insight(
            kind="budget" if self.metric.budget else "forecast",
            metric=self.metric.name,
            parts=[
                {"t": f"{self.metric.title or self.metric.name} reaches its limit {when}", "b": True, "tone": tone},
                {"t": f"{spread} at this pace."},
            ],
            confidence=self.confidence,
            evidence={name: m and m.isoformat().replace("+00:00", "Z") for name, m in
                      (("at", self.at), ("earliest", self.earliest), ("latest", self.latest))},
            tone=tone,
            note=f"not calibrated: {self.doubt}" if self.doubt else "95 of 100 such intervals hold what comes",
        )  # fmt: skip

    def news(self, now: datetime, window: timedelta) -> bool:
        """Whether it is near enough to be told among what changed."""
        return self.at is not None and self.at - now <= max(SENSIBLE, window)

    def _not_yet(self, now: datetime, tz: str) -> str:
        budget = self.metric.budget
        if self.reason == ALREADY:
            return "At its limit"
        if self.reason == ANEW:
            if budget is None:
                return "Begins anew before its limit"
            return (
                "Limit not today" if budget.period == "day" else f"Limit not before {date(self._over(now), budget.tz)}"
            )
        if self._early(now, tz):
            return "Too early to say"
        return f"Limit not before {self._clock(self.earliest or self.until, now, tz)}"

    def _early(self, now: datetime, tz: str) -> str | None:
        """Why nothing can be said of the end of a week or a month yet: a few hours are no news of it."""
        known = self.earliest is not None and self.doubt is None
        seen = known or self.reason != BEYOND or self.until - now >= DAY
        if seen or not self._far or self.until >= self._over(now):
            return None
        return f"its history is too short to look beyond {clock(self.until, now, tz)}"

    @property
    def _far(self) -> bool:
        """Whether it is of a week or a month, where dates say more than hours."""
        return self.metric.budget is not None and self.metric.budget.period != "day"

    def _over(self, now: datetime) -> datetime:
        """When the period of its budget ends."""
        assert self.metric.budget is not None
        return self.metric.budget.period_of(now).end

    def _clock(self, moment: datetime, now: datetime, tz: str) -> str:
        said = clock(moment, now, tz)
        return date(moment, tz) if self._far and " " in said else said

    def _when(self, now: datetime, tz: str) -> str:
        assert self.at is not None
        said = self._clock(self.at, now, tz)
        return f"at {said}" if ":" in said else f"on {said}"

    def _give_or_take(self, now: datetime, tz: str) -> str:
        assert self.at is not None
        if self.latest is None:
            return f", earliest {self._clock(self.earliest, now, tz)}" if self.earliest else ""
        earliest = self.earliest or now
        before, after = self.at - earliest, self.latest - self.at
        if max(before, after) > LOPSIDED * min(before, after) and max(before, after) > 5 * MINUTE:
            return f" ({self._clock(earliest, now, tz)} to {self._clock(self.latest, now, tz)})"
        return f" ± {length(max(before, after))}"


def clock(moment: datetime, now: datetime, tz: str) -> str:
    """A moment to come: 16:20 today, Thu 16:20 this week, 12 Mar later."""
    local, today = moment.astimezone(ZoneInfo(tz)), now.astimezone(ZoneInfo(tz))
    if local.date() == today.date():
        return f"{local:%H:%M}"
    return f"{local:%a %H:%M}" if local.date() - today.date() < 6 * DAY else date(moment, tz)


def date(moment: datetime, tz: str) -> str:
    """A day: 12 Mar."""
    local = moment.astimezone(ZoneInfo(tz))
    return f"{local.day} {local:%b}"


def length(span: timedelta) -> str:
    """About how long: 12 min, 3 h, 4 d."""
    for unit, name, most in ((MINUTE, "min", 90), (HOUR, "h", 48)):
        if round(span / unit) <= most:
            return f"{max(1, round(span / unit))} {name}"
    return f"{round(span / DAY)} d"
