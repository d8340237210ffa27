"""Increments of metric points: whatever way, order, repetition or restart they come in, the total is the truth."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.events import SCHEMA
from analytics.ingest import counters
from analytics.ingest.counters import Counters
from analytics.ingest.vocabulary import Usage
from tests.small import many

DAY = datetime(2026, 3, 1, tzinfo=UTC).replace(tzinfo=None)  # as the store has it
Point = dict[str, Any]


def at(seconds: float | None) -> datetime | None:
    return None if seconds is None else DAY + timedelta(seconds=seconds)


def point(time: float, value: float | None, start: float | None = 0, series: str | None = "s", **columns: Any) -> Point:
    """A point of a sum that only grows, cumulative unless told."""
    plain = {"kind": "resource", "name": "calls", "point": "sum", "temporality": "cumulative", "monotonic": True}
    told = {"time": at(time), "start_time": at(start), "value": value, "series": series}
    return plain | told | {"event_id": f"{series}:{time}:{start}"} | columns


def table(points: list[Point]) -> pa.Table:
    return pa.Table.from_pylist(points, schema=SCHEMA)


class Kept:
    """What a store would hold, repeats once, behind counters that can be lost and learnt again."""

    def __init__(self, **options: Any) -> None:
        self.options = options
        self.rows: dict[str, Point] = {}
        self.counters = self.fresh()

    def fresh(self) -> Counters:
        return Counters(lambda name, source: None, **self.options)

    def take(self, points: list[Point], *, refused: bool = False) -> None:
        counted = self.counters.count(table(points))
        if refused:
            self.counters.take_back(counted)
            return
        for row in (*points, *counted.rows.to_pylist()):
            self.rows.setdefault(row["event_id"], row)

    async def restart(self) -> None:
        async def read(sql: str, params: list[Any]) -> pa.Table:
            with duckdb.connect() as engine:
                engine.register("kept", table([*self.rows.values()]))
                return engine.sql(sql.replace("{events}", "kept"), params=params).to_arrow_table()

        self.counters = self.fresh()
        await self.counters.learn(read, DAY + timedelta(days=1))

    @property
    def increments(self) -> list[float]:
        return [row["value"] for row in self.rows.values() if row["kind"] == "usage"]

    @property
    def total(self) -> float:
        assert all(value > 0 for value in self.increments)
        return sum(self.increments)


def told(*points: Point) -> float:
    kept = Kept()
    for one in points:
        kept.take([one])
    return kept.total


Runs = list[tuple[str, list[int]]]  # per process run: its temporality and what it counted between two exports
runs = st.lists(
    st.tuples(st.sampled_from(["delta", "cumulative"]), st.lists(st.integers(0, 9), min_size=1, max_size=12)),
    min_size=1,
    max_size=4,
)


def exported(runs: Runs) -> list[list[Point]]:
    """The points of each run. All runs share one identity and overlap, as two processes and restarts do."""
    found = []
    for number, (temporality, counts) in enumerate(runs):
        start, total, own = number * 7 + 0.5, 0, []
        for place, count in enumerate(counts):
            total += count
            time = start + 10 * (place + 1)
            if temporality == "cumulative":
                own.append(point(time, total, start))
            else:
                own.append(point(time, count, time - 10, temporality="delta"))
        found.append(own)
    return found


@settings(max_examples=many(25), deadline=None)
@given(runs=runs, seed=st.integers(0, 2**32))
async def test_the_total_is_the_truth_in_any_order_with_repeats_gaps_refusals_and_restarts(
    runs: Runs, seed: int
) -> None:
    chance = random.Random(seed)
    sent = []
    for (temporality, _), points in zip(runs, exported(runs), strict=True):
        # a gap of a cumulative counter loses nothing but its last point
        sent += [p for p in points if temporality == "delta" or p is points[-1] or chance.random() < 0.7]
    sent += chance.choices(sent, k=len(sent) // 2)
    chance.shuffle(sent)
    kept = Kept()
    while sent:
        batch = [sent.pop() for _ in range(min(len(sent), chance.randint(1, 5)))]
        if chance.random() < 0.2:
            kept.take(batch, refused=True)
        if chance.random() < 0.1:
            await kept.restart()
        kept.take(batch)
    assert kept.total == sum(sum(counts) for _, counts in runs)


@settings(max_examples=many(20), deadline=None)
@given(
    lives=st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=8), min_size=1, max_size=4),
    seed=st.integers(0, 2**32),
)
async def test_a_counter_that_begins_anew_under_its_old_start_time(lives: list[list[int]], seed: int) -> None:
    chance = random.Random(seed)
    points, time, last = [], 0, 0
    truth = 0
    for counts in lives:
        total = 0
        if last and counts[0] >= last:  # what fell is seen to fall
            counts = [last - 1, *counts[1:]]
        for count in counts:
            total += count
            time += 1
            points.append(point(time, total))
        truth, last = truth + total, total
    chance.shuffle(points)
    kept = Kept()
    for one in points:
        if chance.random() < 0.1:
            await kept.restart()
        kept.take([one])
    assert kept.total == truth


@settings(deadline=None)
@given(counts=st.lists(st.integers(0, 9), min_size=1, max_size=20), seed=st.integers(0, 2**32))
def test_without_a_start_time_what_came_before_the_first_point_is_unknown(counts: list[int], seed: int) -> None:
    points = [point(n, 1000 + sum(counts[: n + 1]), None) for n in range(len(counts))]
    random.Random(seed).shuffle(points)
    assert told(*points) == sum(counts[1:])


def test_a_restart_is_no_spike_and_no_negative_rate() -> None:
    kept = Kept()
    for one in [point(1, 900), point(2, 1000), point(3, 4), point(4, 6), point(15, 3, 10), point(16, 5, 10)]:
        kept.take([one])
    assert kept.increments == [900, 100, 4, 2, 3, 2]


def test_a_first_point_at_its_own_start_is_what_the_rest_is_measured_from() -> None:
    assert told(point(0, 5000, 0), point(1, 5003, 0)) == 3
    assert told(point(1, 5003, 0), point(0, 5000, 0), point(2, 5010, 0)) == 5003, "late: paid back, never negative"


def test_what_is_no_growing_sum_has_no_increments() -> None:
    kept = Kept()
    kept.take(
        [
            point(1, 5, point="gauge", temporality=None, monotonic=None),
            point(2, 5, monotonic=False),
            point(3, None),
            point(4, -1),
            point(5, -1, temporality="delta"),
            point(6, 5, series=None),
            point(7, 0),
        ]
    )
    assert kept.increments == []


def test_an_increment_is_the_row_of_its_point_with_another_value() -> None:
    counted = Counters(lambda name, source: None).increments(
        table([point(1, 7, source="shop", unit="{call}", attributes='{"route": "/"}', model="m")])
    )
    assert counted.schema == SCHEMA
    (found,) = counted.to_pylist()
    assert {name: value for name, value in found.items() if value is not None} == {
        "time": at(1), "start_time": at(0), "event_id": "s:1:0:+0", "kind": "usage", "way": "metric",
        "name": "calls", "source": "shop", "model": "m", "value": 7.0, "unit": "{call}", "series": "s",
        "attributes": '{"route": "/"}',
    }  # fmt: skip


@pytest.mark.parametrize(
    ("attributes", "columns"),
    [
        ('{"type": "output"}', {"tokens_output": 40}),
        ('{"type": "cached"}', {"tokens_cached": 40, "tokens_input": 40}),
        ('{"type": "else"}', {}),
        (None, {}),
    ],
)
def test_counters_of_tokens_fill_their_columns(attributes: str | None, columns: dict[str, int]) -> None:
    usage = Usage(
        by="type",
        columns={"output": "tokens_output", "cached": "tokens_cached"},
        adds=frozenset({"tokens_cached"}),
    )
    counting = Counters(lambda name, source: usage if name == "tokens" else None)
    sent = [point(1, 40, name="tokens", attributes=attributes), point(1, 40, name="calls", series="t")]
    found, other = counting.increments(table(sent)).to_pylist()
    tokens = [name for name in SCHEMA.names if name.startswith("tokens_")]
    assert {name: found[name] for name in tokens if found[name] is not None} == columns
    assert [other[name] for name in tokens] == [None] * len(tokens)


def test_a_counter_of_money_fills_the_cost() -> None:
    counting = Counters(lambda name, source: Usage(columns={"": "cost_usd"}))
    found = counting.increments(table([point(1, 0.25), point(2, 0.75)])).to_pylist()
    assert [(row["value"], row["cost_usd"]) for row in found] == [(0.25, 0.25), (0.5, 0.5)]
    paid = Counters(lambda name, source: Usage(columns={"": "tokens_output"}, paid=True))
    (row,) = paid.increments(table([point(1, 7)])).to_pylist()
    assert (row["tokens_output"], row["cost_usd"]) == (7, 0.0), "another counter tells its money"


def test_batches_of_one_stream_may_be_under_way_at_once() -> None:
    counting = Counters(lambda name, source: None)
    first = counting.count(table([point(1, 10)]))
    second = counting.count(table([point(2, 25)]))
    counting.take_back(first)
    again = counting.count(table([point(1, 10)]))
    later = counting.count(table([point(3, 26)]))
    kept = [row for counted in (second, again, later) for row in counted.rows.to_pylist()]
    assert sum(row["value"] for row in kept) == 26
    assert len({row["event_id"] for row in kept}) == len(kept)


def test_a_refused_batch_sent_again_has_the_same_ids() -> None:
    counting = Counters(lambda name, source: None)
    refused = counting.count(table([point(1, 10), point(2, 20)]))
    counting.take_back(refused)
    again = counting.count(table([point(1, 10), point(2, 20)])).rows
    assert sum(again["value"].to_pylist()) == 20
    assert again["event_id"][0] == refused.rows["event_id"][0]


def test_streams_are_bounded_and_one_that_was_forgotten_is_not_counted_from_zero_again() -> None:
    kept = Kept(streams=2)
    for series in "abc":
        kept.take([point(1, 100, series=series)])
    assert len(kept.counters) == 2
    kept.take([point(2, 130, series="a")])
    assert kept.total == 300, "measured anew from here"
    kept.take([point(3, 135, series="a"), point(20, 7, start=10, series="d")])
    assert kept.total == 312


async def test_a_run_that_learns_only_the_last_days_counts_nothing_twice() -> None:
    kept = Kept()
    days = 86_400
    kept.take([point(1, 100, series="old"), point(1, 50, series="both"), point(9 * days, 60, series="both")])
    await kept.restart()
    assert len(kept.counters) == 1
    kept.take([point(9 * days + 1, 110, series="old"), point(9 * days + 1, 61, series="both")])
    assert kept.total == 161
    kept.take([point(9 * days + 2, 115, series="old"), point(9 * days + 2, 4, start=9 * days, series="new")])
    assert kept.total == 170


async def test_where_the_store_cannot_be_asked_nothing_counts_from_zero() -> None:
    async def read(sql: str, params: list[Any]) -> pa.Table:
        raise TimeoutError

    counting = Counters(lambda name, source: None)
    with pytest.raises(TimeoutError):
        await counting.learn(read, DAY + timedelta(seconds=10))
    assert counting.increments(table([point(12, 500)])).num_rows == 0
    assert counting.increments(table([point(13, 501), point(14, 3, start=12)]))["value"].to_pylist() == [1, 3]


def test_only_the_last_observations_of_a_stream_are_remembered() -> None:
    kept = Kept()
    points = [point(n, n) for n in range(1, 3 * counters.HISTORY)]
    kept.take(points)
    kept.take(points)
    assert kept.total == points[-1]["value"]
    kept.take([point(1.5, 90)])
    assert kept.total == points[-1]["value"], "too late to be placed"
