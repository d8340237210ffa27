"""Freshness and completeness are measured against a stream's own rhythm."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from analytics import events
from analytics.sources import Sources

START = datetime(2026, 1, 6, 12, 0, tzinfo=UTC)


def rows(*moments: datetime, source: str = "exporter-1", kind: str = "flow", domain: str | None = None) -> pa.Table:
    row = {"source": source, "kind": kind, "domain": domain}
    return pa.Table.from_pylist([row | {"time": m.replace(tzinfo=None)} for m in moments], schema=events.SCHEMA)


def steady(sources: Sources, minutes: int, every_s: int, source: str = "exporter-1") -> datetime:
    now = START
    for i in range(minutes * 60 // every_s):
        now = START + timedelta(seconds=i * every_s)
        sources.observe("events", rows(now, source=source), now)
    return now


def test_nothing_known_is_null_with_a_reason() -> None:
    trust = Sources().trust(START)
    assert (trust.freshness, trust.completeness, trust.watermark) == (None, None, None)
    assert "no source" in (trust.reason or "")


def test_a_steady_source_is_fresh_until_it_is_later_than_its_own_gaps() -> None:
    sources = Sources()
    last = steady(sources, minutes=10, every_s=10)
    assert sources.trust(last + timedelta(seconds=9)).freshness == 1
    late = sources.trust(last + timedelta(seconds=110))
    assert late.freshness == pytest.approx(11 / 110, rel=0.05)
    assert [x.source for x in late.late] == ["exporter-1"]
    assert late.age_s == 110


def test_a_slow_source_is_not_late_when_a_fast_one_would_be() -> None:
    slow = Sources()
    last = steady(slow, minutes=50, every_s=300)
    assert slow.trust(last + timedelta(seconds=110)).freshness == 1


def test_silence_lowers_completeness_by_what_is_missing() -> None:
    sources = Sources()
    steady(sources, minutes=30, every_s=2, source="a")
    last = steady(sources, minutes=30, every_s=2, source="b")
    now = last
    for i in range(1, 151):  # b goes on for five minutes, a is silent
        now = last + timedelta(seconds=2 * i)
        sources.observe("events", rows(now, source="b"), now)
    trust = sources.trust(now)
    expected, arrived = 2 * 1050, 2 * 900 + 150
    assert trust.completeness == pytest.approx(arrived / expected, abs=0.01)
    assert trust.reporting == 1
    assert [x.source for x in trust.late] == ["a"]


def test_refused_events_are_missing_ones() -> None:
    sources = Sources()
    last = steady(sources, minutes=10, every_s=6)
    sources.dropped(100, last)
    trust = sources.trust(last)
    assert trust.completeness == pytest.approx(100 / 200)
    assert trust.dropped == 100


def test_what_one_source_lost_is_not_missed_from_another() -> None:
    sources = Sources()
    steady(sources, minutes=10, every_s=6, source="a")
    last = steady(sources, minutes=10, every_s=6, source="b")
    sources.dropped(100, last, senders=frozenset({"a"}))
    assert sources.trust(last, sources=frozenset({"a"})).completeness == pytest.approx(0.5)
    assert sources.trust(last, sources=frozenset({"b"})).completeness == 1


def test_a_backfill_does_not_spoil_the_rhythm() -> None:
    sources = Sources()
    for i in range(60):  # an hour of history arrives within a second
        sources.observe("events", rows(START + timedelta(minutes=i)), START + timedelta(minutes=60))
    trust = sources.trust(START + timedelta(minutes=60))
    assert trust.freshness == 1
    assert trust.late == ()


def test_an_event_from_the_future_does_not_move_the_watermark() -> None:
    sources = Sources()
    last = steady(sources, minutes=5, every_s=5)
    sources.observe("events", rows(last + timedelta(minutes=5)), last)
    watermark = sources.trust(last).watermark
    assert watermark is not None
    assert watermark <= last


def test_domains_are_remembered_and_bounded() -> None:
    sources = Sources()
    for i in range(300):
        sources.observe("events", rows(START, domain=f"d{i}"), START)
    assert len(sources.domains()) == 200


def test_senders_are_told_one_by_one_the_late_ones_first() -> None:
    sources = Sources()
    steady(sources, minutes=10, every_s=10, source="silent")
    last = steady(sources, minutes=10, every_s=10, source="busy")
    now = last + timedelta(minutes=5)
    sources.observe("events", rows(now, now, source="busy", kind="tool"), now)
    silent, busy = sources.senders(now)
    assert (silent.source, silent.late, silent.age_s, silent.usual_s) == ("silent", True, 300.0, 11.0)
    assert (busy.source, busy.late, busy.events_per_min, busy.kinds) == ("busy", False, 2.0, ["flow", "tool"])
    assert sources.senders(now, dataset="other") == []


def test_what_was_refused_is_told_by_reason_within_a_time() -> None:
    sources = Sources()
    for seconds, count, reason in ((0, 9, "too_large"), (60, 1, "negative"), (70, 2, "bad_time"), (80, 2, "negative")):
        moment = START + timedelta(seconds=seconds)
        sources.dropped(count, moment, reason=reason, example=f"at {seconds}")
    lost = sources.lost(START + timedelta(seconds=30), START + timedelta(seconds=90))
    assert [(x.reason, x.count, x.example) for x in lost] == [("negative", 3, "at 80"), ("bad_time", 2, "at 70")]


def test_rows_of_a_file_have_neither_kind_nor_domain() -> None:
    sources = Sources()
    plain = rows(START, source="trips.csv").select(["time", "source"])
    sources.observe("trips", plain, START)
    (sender,) = sources.senders(START, dataset="trips")
    assert (sender.source, sender.kinds) == ("trips.csv", [])
