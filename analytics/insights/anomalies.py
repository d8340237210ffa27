"""Incidents in words: what left its expected range, when, by how much, and whether it came back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol
from zoneinfo import ZoneInfo

import msgspec

from analytics import format as fmt
from analytics.insights.changes import Insight, change_of, tone_of
from analytics.insights.expected import LEVEL, Kind
from analytics.workspace import Metric

MOST = 3  # incidents told of one board, beside what changed
TOLD = 5  # statements in all


class Incident(msgspec.Struct, frozen=True, kw_only=True):
    """One incident of one series. Times in ms; `until` None while it lasts. `level` is the median of the values since
    it began, `usual` the level before a shift, `source` who fell silent ("" where nothing at all arrived)."""

    metric: Metric
    kind: Kind
    t: int
    since: int
    until: int | None
    value: float | None = None
    low: float | None = None
    high: float | None = None
    level: float | None = None
    usual: float | None = None
    source: str = ""
    confidence: float
    grain_ms: int
    now: int

    @property
    def shift(self) -> bool:
        return self.kind in ("shift_up", "shift_down")

    @property
    def expected(self) -> float | None:
        """The level before a shift; else the middle of the range at its first bucket."""
        if self.shift and self.usual is not None:
            return self.usual
        return None if self.low is None or self.high is None else (self.low + self.high) / 2

    def change(self) -> tuple[float | None, str]:
        """How far the values lie from what was expected, and its kind as `change_of` has it."""
        return change_of(self.metric, self.level if self.shift else self.value, self.expected)

    def tone(self) -> str:
        """good, bad or none: a silence is never good."""
        if self.kind == "silence":
            return "bad"
        return tone_of(self.metric, 1.0 if self.kind in ("spike", "shift_up") else -1.0)

    def label(self) -> str:
        """In the fewest words, for beside its place in a chart: "level shift +84%", "spike 9.10 s"."""
        if self.kind == "silence":
            return f"{self.source} silent" if self.source else "no data"
        if not self.shift:
            return f"{self.kind} {self._text(self.value)}"
        change, kind = self.change()
        return f"level shift {signed(change, kind)}" if change else f"level shift to {self._text(self.level)}"

    def mark(self) -> dict[str, Any]:
        """As a line tile's head has it."""
        return {
            "t": self.since if self.shift else self.t,
            "until": self.until,
            "value": self.value,
            "low": self.low,
            "high": self.high,
            "kind": self.kind,
            "text": self.label(),
            "tone": self.tone(),
            "confidence": round(self.confidence, 4),
        }

    def listed(self, tile: str, tz: str) -> dict[str, Any]:
        """As a board's `incidents` have it."""
        return {
            "tile": tile,
            "metric": self.metric.name,
            "kind": self.kind,
            "since": self.since,
            "until": self.until,
            "text": "".join(part["t"] for part in self.parts(tz)),
            "tone": self.tone(),
            "confidence": round(self.confidence, 4),
        }

    def parts(self, tz: str) -> list[dict[str, Any]]:
        """The sentence about it, as text runs."""
        title = self.metric.title or self.metric.name
        since = clock(self.since, tz, self.now)
        if self.kind == "silence":
            until = f"from {since} to {clock(self.until, tz, self.since)}" if self.until else f"since {since}"
            said = f"{self.source or 'everything behind it'} {'was' if self.until else 'is'} silent {until}"
            return [{"t": title, "b": True, "tone": "bad"}, {"t": f": {said}."}]
        if self.shift:
            change, kind = self.change()
            by = f" ({signed(change, kind)})" if change else ""
            return [
                {"t": f"{title} shifted {'up' if self.kind == 'shift_up' else 'down'}", "b": True, "tone": self.tone()},
                {"t": f" at {since}: about "},
                {"t": self._about(self.level), "b": True},
                {"t": f" where {self._about(self.expected)} was usual{by}."},
            ]
        return [
            {"t": f"{title} left its expected range", "b": True, "tone": self.tone()},
            {"t": f" at {since}: "},
            {"t": self._text(self.value), "b": True},
            {"t": f" where {self._span()} was expected; {self._end(tz)}."},
        ]

    def insight(self, tz: str, note: str) -> Insight:
        """The statement, with the numbers in it as evidence."""
        change, kind = self.change()
        tone = self.tone()
        return Insight(
            kind="anomaly",
            metric=self.metric.name,
            parts=self.parts(tz),
            confidence=self.confidence,
            evidence={
                "kind": self.kind,
                "since": moment(self.since),
                "until": None if self.until is None else moment(self.until),
                "value": self.value,
                "low": self.low,
                "high": self.high,
                "level": self.level,
                "change": change,
                "change_kind": kind,
                "source": self.source or None,
                **self._asked(),
            },
            tone=tone,
            weight=(2.0 if self.until is None else 0.0) + (1.0 if tone == "bad" else 0.0),
            note=note,
        )

    def _asked(self) -> dict[str, Any]:
        """The window and the baseline with which to ask `explain` about it: as long before it as it lasted."""
        if self.kind == "silence":
            return {}
        began = self.since if self.shift else self.t
        length = max((self.until or self.now) - began, self.grain_ms)
        spans = {"window": (began, began + length), "baseline": (began - length, began)}
        return {name: {"from": moment(start), "to": moment(end)} for name, (start, end) in spans.items()}

    def _span(self) -> str:
        low, high = (fmt.value(v, self.metric.unit, self.metric.per) for v in (self.low, self.high))
        return f"{low[0]}{'' if low[1] == high[1] else low[1]} to {''.join(high)}"

    def _end(self, tz: str) -> str:
        if self.until is None:
            return "still outside"
        return f"back inside at {clock(self.until, tz, self.since)}"

    def _about(self, value: float | None) -> str:
        """A level, which is known to two digits: "4.2 s"."""
        number, unit = fmt.value(None if value is None else float(f"{value:.2g}"), self.metric.unit, self.metric.per)
        return (number.rstrip("0").rstrip(".") if "." in number else number) + unit

    def _text(self, value: float | None) -> str:
        return fmt.text(value, self.metric.unit, self.metric.per)


class Told(Protocol):
    """A series that was judged."""

    @property
    def incidents(self) -> Sequence[Incident]: ...

    @property
    def coverage(self) -> float | None: ...


def told(followed: Iterable[Told], tz: str, *, silent: bool, most: int = MOST) -> list[Insight]:
    """The newest incident of each series as a statement: those that last first. With `silent` the silences are said
    already, of the sources themselves."""
    newest = []
    for series in followed:
        kept = [i for i in series.incidents if i.kind != "silence" or not (silent or i.source)]
        if kept:
            last = max(kept, key=lambda i: (i.until is None, i.since))
            newest.append((last, range_note(series.coverage)))
    newest.sort(key=lambda found: (found[0].until is not None, found[0].tone() != "bad", -found[0].since))
    return [incident.insight(tz, note) for incident, note in newest[:most]]


def merged(anomalies: Sequence[Insight], changes: Sequence[Insight], *, most: int = TOLD) -> list[Insight]:
    """Anomalies first; a change of the same metric in the same direction becomes the end of its anomaly."""
    left = {change.metric: change for change in changes if change.kind == "change"}
    told: list[Insight] = []
    for anomaly in anomalies:
        change = left.get(anomaly.metric)
        if change is None or not same_way(anomaly, change):
            told.append(anomaly)
            continue
        del left[anomaly.metric]
        told.append(_joined(anomaly, change))
    rest = [c for c in changes if c.kind != "change" or c.metric in left]
    return [*told, *rest][:most]


def same_way(anomaly: Insight, change: Insight) -> bool:
    """Whether both say that the metric went up, or both that it went down."""
    moved, since = anomaly.evidence.get("change"), change.evidence.get("change")
    return bool(moved and since and (moved > 0) == (since > 0))


def _joined(anomaly: Insight, change: Insight) -> Insight:
    """One statement of two: when it began, then how much it is against the period before, and from where."""
    first, *rest = change.parts
    title = anomaly.parts[0]["t"]
    for said in (" left its expected range", " shifted up", " shifted down"):
        title = title.removesuffix(said)
    told = first["t"].removeprefix(title).lstrip()
    return msgspec.structs.replace(
        anomaly,
        parts=[*anomaly.parts, {"t": " It "}, {"t": told, "b": True}, *rest],
        evidence=change.evidence | anomaly.evidence | {"against": change.evidence},
        shares=change.shares,
        note=change.note,
        why=change.why,
        weight=anomaly.weight + change.weight,
    )


def spans(insight: Insight) -> dict[str, Any]:
    """The window and the baseline of an anomaly that is told alone; one that ends in a change is asked as that."""
    found = insight.evidence if insight.kind == "anomaly" and "against" not in insight.evidence else {}
    return {name: found[name] for name in ("window", "baseline") if name in found}


def range_note(coverage: float | None) -> str:
    """How well the range held so far, for below a statement."""
    held = "" if coverage is None else f", held {coverage:.0%} of its past"
    return f"expected range {LEVEL:.0%}{held}"


def signed(change: float | None, kind: str) -> str:
    """A change with its sign: "+84%", "−1.9 pp"."""
    return fmt.change(change, kind).replace("▲ ", "+").replace("▼ ", fmt.MINUS)


def moment(t: int) -> str:
    """ms since the epoch as RFC 3339 in UTC."""
    return datetime.fromtimestamp(t / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def clock(t: int, tz: str, beside: int) -> str:
    """The time of day; with its date where it is not that of `beside`."""
    at = datetime.fromtimestamp(t / 1000, ZoneInfo(tz))
    same = datetime.fromtimestamp(beside / 1000, ZoneInfo(tz)).date() == at.date()
    return f"{at:%H:%M}" if same else f"{at:%H:%M} on {at.day} {at:%b}"
