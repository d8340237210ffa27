"""Calls told in five ways, in any order, again and again, over restarts: the totals are the truth."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analytics.agent import AnalyticsAgent
from analytics.errors import StorageFull, ValidationError
from analytics.events import SCHEMA
from analytics.messages import LedgerRequest, QueryRequest
from analytics.query import Filter, Query, Window
from analytics.sources import Sources
from analytics.store.base import Store
from analytics.store.duckdb import DuckDBStore
from analytics.workspace import Metric
from tests.server.test_store import Gate, until
from tests.small import at, events, many, workspace

NOW = at("13:00")
HOUR = Window("2026-01-06T12:00:00Z", "2026-01-06T13:00:00Z")
WORKSPACE = workspace(
    Metric(name="tokens", aggregate="sum", columns=("tokens_input", "tokens_output")),
    Metric(name="spend", aggregate="sum", column="cost_usd"),
    Metric(name="calls", aggregate="count", where={"kind": "model"}),
)
CENT = 1 / 128  # adds up without rounding
CALLED = ("span", "log", "transcript")

Row = dict[str, Any]


class Call(msgspec.Struct, frozen=True):
    """One call of a model as it happened."""

    number: int
    session: str
    tokens_input: int
    tokens_output: int
    cost_usd: float


def told(call: Call, way: str) -> Row:
    """A call as a span, a log or a transcript tells it."""
    return {
        "time": NOW - timedelta(minutes=30 - call.number % 20, seconds=CALLED.index(way)),
        "event_id": f"{way}-{call.number}",
        "kind": "model",
        "way": way,
        "source": "desk",
        "model": "large",
        "session": call.session if way != "span" else None,  # what a span often lacks
        "call_id": f"msg_{call.number}",
        "tokens_input": call.tokens_input,
        "tokens_output": call.tokens_output,
        "cost_usd": call.cost_usd,
    }


def increments(calls: Sequence[Call], process: str) -> list[Row]:
    """What the counters of one process grew by: input, output and money apart."""
    return [
        {"time": NOW - timedelta(minutes=29 - call.number % 20), "event_id": f"{process}-{column}-{call.number}",
         "kind": "usage", "way": "metric", "source": "desk", "model": "large", "session": call.session,
         column: getattr(call, column)}
        for call in calls for column in ("tokens_input", "tokens_output", "cost_usd")
    ]  # fmt: skip


def table(rows: Sequence[Row]) -> pa.Table:
    made = [
        {**row, "time": row["time"].replace(tzinfo=None), "received": row["time"].replace(tzinfo=None)} for row in rows
    ]
    return pa.Table.from_pylist(made, SCHEMA)


@asynccontextmanager
async def opened(path: Path | None = None, **settings: Any) -> AsyncIterator[DuckDBStore]:
    store = DuckDBStore(path, lambda: WORKSPACE, readers=1, threads=1, **settings)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


async def totals(store: Store, **query: Any) -> tuple[Any, ...]:
    result = await store.query(Query(metrics=["tokens", "spend", "calls"], **query), now=NOW)
    return tuple(result.totals[name].value for name in ("tokens", "spend", "calls"))


async def append(store: Store, *rows: Row) -> None:
    await store.append("events", table(rows))


ONE = Call(1, "s1", 100, 20, CENT)


@st.composite
def stories(draw: st.DrawFn) -> tuple[list[Call], list[Row]]:
    """Calls of a few sessions and what is told of them: each session whole in one way at least, in pieces in others;
    one that is told by calls at all is told whole by one kind of them."""
    calls: list[Call] = []
    rows: list[Row] = []
    chance = random.Random(draw(st.integers(0, 2**32)))
    for session in range(draw(st.integers(1, 4))):
        few = [
            Call(
                100 * session + n,
                f"s{session}",
                chance.randrange(5000),
                chance.randrange(900),
                chance.randrange(99) * CENT,
            )
            for n in range(draw(st.integers(1, 5)))
        ]
        calls += few
        whole = draw(st.sampled_from((*CALLED, "metric")))
        others = draw(st.sets(st.sampled_from((*CALLED, "metric"))))
        for way in {whole} | (others if whole != "metric" else set()):
            kept = [call for call in few if way == whole or chance.random() < 0.5]
            if way == "metric":
                half = len(kept) // 2  # two processes with one id of the session
                rows += increments(kept[:half], "p1") + increments(kept[half:], "p2")
            else:
                rows += [told(call, way) for call in kept]
    return calls, [row | {"session": row["session"] or f"s{int(row['event_id'].split('-')[1]) // 100}"} for row in rows]


@settings(max_examples=many(8), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(story=stories(), data=st.data())
def test_totals_are_the_truth_in_any_order_with_repeats_and_restarts(
    tmp_path_factory: pytest.TempPathFactory, story: tuple[list[Call], list[Row]], data: st.DataObject
) -> None:
    calls, rows = story
    truth = (sum(c.tokens_input + c.tokens_output for c in calls), sum(c.cost_usd for c in calls))
    repeated = data.draw(st.lists(st.sampled_from(rows), max_size=6))
    order = data.draw(st.permutations(rows + repeated))
    path = tmp_path_factory.mktemp("ledger") / "plumbline.db"

    cuts = sorted(data.draw(st.sets(st.integers(1, len(order)), max_size=5)) | {len(order)})
    batches = [order[start:end] for start, end in pairwise((0, *cuts))]
    restarts = data.draw(st.sets(st.integers(1, len(batches)), max_size=2))

    async def tell() -> None:
        first = 0
        for last in (*sorted(restarts), len(batches)):
            async with opened(path) as store:
                for batch in batches[first:last]:
                    await append(store, *batch)
            first = last
        async with opened(path) as store:
            assert (await totals(store))[:2] == truth

    asyncio.run(tell())


async def test_evidence_counts_for_no_metric_and_is_there_for_who_asks() -> None:
    async with opened() as store:
        await append(store, told(ONE, "log"), *increments([ONE], "p1"))
        await append(store, told(ONE, "span"), told(ONE, "transcript"))
        assert await totals(store) == (120, CENT, 1)
        evidence = [Filter(dim="evidence", op="is", values=[True])]
        assert (await totals(store, filters=evidence)) == (360, 3 * CENT, 2)
        listed = await store.query(Query(select=["way", "evidence"]), now=NOW)
        shown = sorted(zip(*(listed.table[c].to_pylist() for c in ("way", "evidence")), strict=True))
        assert shown == [("log", True), *[("metric", True)] * 3, ("span", None), ("transcript", True)]


async def test_what_a_sender_says_of_evidence_does_not_count() -> None:
    async with opened() as store:
        await append(store, told(ONE, "span") | {"evidence": True})
        assert await totals(store) == (120, CENT, 1)


async def test_no_reader_ever_sees_a_call_twice_or_not_at_all() -> None:
    gate = Gate()
    async with opened(before_commit=gate) as store:
        await append(store, *increments([ONE], "p1"))
        gate.open.clear()
        waiting = []
        for expected, row in enumerate((told(ONE, "transcript"), told(ONE, "log"), told(ONE, "span")), 4):
            waiting.append(asyncio.create_task(append(store, row)))
            await until(lambda rows=expected: _holds(store, rows))  # type: ignore[misc]
            assert await totals(store) == (120, CENT, 1)
        assert not any(task.done() for task in waiting)
        gate.open.set()
        await asyncio.gather(*waiting)
        assert await totals(store) == (120, CENT, 1)


async def _holds(store: Store, rows: int) -> bool:
    return bool((await store.read("SELECT count(*) AS n FROM {events}"))["n"][0].as_py() == rows)


async def test_a_batch_that_fails_takes_its_turn_back() -> None:
    gate = Gate()
    async with opened(before_commit=gate) as store:
        await append(store, told(ONE, "log"), *increments([msgspec.structs.replace(ONE, session="s2")], "p1"))
        gate.error = OSError(28, "No space left on device")
        second = told(ONE, "span") | {"session": "s2"}
        with pytest.raises(StorageFull):
            await append(store, second)
        gate.error = None
        assert await totals(store) == (240, 2 * CENT, 1)
        await append(store, told(ONE, "transcript"))
        assert await totals(store) == (240, 2 * CENT, 1)
        await append(store, second)
        assert await totals(store) == (120, CENT, 1)


async def test_a_table_from_before_the_ledger_counts_as_it_did(tmp_path: Path) -> None:
    path = tmp_path / "plumbline.db"
    new = ("session", "call_id", "way", "evidence", "evidence_since", "tokens_cache_written")
    async with opened(path) as store:
        await append(store, told(ONE, "span"))
    with duckdb.connect(str(path)) as direct:
        for column in new:
            direct.execute(f"ALTER TABLE pl_data.events DROP COLUMN {column}")
    async with opened(path) as store:
        assert await totals(store) == (120, CENT, 1)
        await append(store, told(ONE, "log"))
        assert await totals(store) == (240, 2 * CENT, 2)  # nobody knows what the old row's call was
        await append(store, told(ONE, "transcript"))
        assert await totals(store) == (240, 2 * CENT, 2)


async def test_a_dropped_dataset_is_forgotten() -> None:
    async with opened() as store:
        await append(store, told(ONE, "span"))
        await store.drop("events")
        await append(store, told(ONE, "transcript"), *increments([ONE], "p1"))
        assert await totals(store) == (120, CENT, 1)


async def test_calls_beyond_memory_are_found_in_the_store(tmp_path: Path) -> None:
    calls = [Call(n, f"s{n}", 10, 1, CENT) for n in range(60)]
    async with opened(tmp_path / "plumbline.db", ledger_rows=8) as store:
        apart = {call.number: timedelta(days=2 * call.number) for call in calls}
        for way in ("transcript", "span", "log"):
            for some in (calls[:30], calls[30:]):
                await append(store, *({**(row := told(c, way)), "time": row["time"] - apart[c.number]} for c in some))
        every = events("time event_id", ("12:00", "last"))
        await store.append("events", every)
        counting = await store.read("SELECT way, count(*) AS n FROM {events} WHERE evidence IS NOT TRUE GROUP BY way")
        assert dict(zip(counting["way"].to_pylist(), counting["n"].to_pylist(), strict=True)) == {"span": 60, None: 1}


def asked(store: Store, sources: Sources | None = None) -> AnalyticsAgent:
    return AnalyticsAgent(store, lambda: WORKSPACE, sources or Sources())


async def test_three_quarters_of_the_points_dropped_the_total_stands_and_the_ledger_says_so() -> None:
    calls = [Call(n, f"s{n}", 100, 20, CENT) for n in range(4)]
    async with opened() as store:
        await append(store, *(told(call, "log") for call in calls), *increments(calls[:1], "p1"))
        answer = (await asked(store).answer(LedgerRequest(window=HOUR), now=NOW)).analytics
        facts = {"calls": 4, "tokens": 480, "cost": 4 * CENT, "estimated": 0.0, "completeness": 1.0}
        assert answer["facts"] == facts | {"prices": None, "priced": None}  # a workspace that measures no costs
        log, metric = answer["ways"]
        assert (log["way"], log["tokens"], log["completeness"], log["agreement"]) == ("log", 480, 1.0, None)
        assert (metric["way"], metric["tokens"], metric["counted_tokens"]) == ("metric", 120, 0)
        assert (metric["completeness"], metric["agreement"]) == (0.25, 0.25)
        page = (Path(__file__).parents[2] / "assets" / "docs" / "ledger.md").read_text()
        assert "| log | 480 | 480 | 1 | – |\n| metric | 120 | 0 | 0.25 | 0.25 |" in page  # the example of the page
        assert {d["session"] for d in metric["differs"]} == {"s1", "s2", "s3"}
        assert metric["differs"][0] | {"session": ""} == {"session": "", "what": "tokens", "here": 0, "record": 120}


async def test_the_ledger_names_the_calls_that_two_ways_tell_differently() -> None:
    async with opened() as store:
        other = told(msgspec.structs.replace(ONE, tokens_output=15), "transcript")
        await append(store, told(ONE, "span"), other, *increments([ONE], "p1"))
        answer = (await asked(store).answer(LedgerRequest(window=HOUR), now=NOW)).analytics
        by_way = {way["way"]: way for way in answer["ways"]}
        differs = {"call_id": "msg_1", "flow_id": None, "what": "tokens", "here": 115, "record": 120}
        assert by_way["transcript"]["differs"] == [differs]
        assert by_way["transcript"]["agreement"] == by_way["transcript"]["completeness"] == round(115 / 120, 4)
        assert by_way["metric"]["agreement"] == by_way["metric"]["completeness"] == 1.0  # its session is the span's
        nothing = await asked(store).answer(LedgerRequest(filters=[Filter("source", "is", ["else"])]), now=NOW)
        assert (nothing.analytics["ways"], nothing.confidence.headline) == ([], 0)


async def test_a_tile_is_less_complete_where_another_way_tells_more_than_the_record() -> None:
    async with opened() as store:
        sources = Sources()
        store.on_commit(lambda dataset, rows: sources.observe(dataset, rows, NOW))
        calls = [Call(n, "s1", 100, 20, CENT) for n in range(4)]
        await append(store, told(calls[0], "span") | {"session": "s1"}, *increments(calls, "p1"))
        ask = QueryRequest(metrics=["tokens"], window=HOUR)
        answer = (await asked(store, sources).answer(ask, now=NOW)).analytics
        assert (answer["totals"]["tokens"]["value"], answer["completeness"]) == (120, 0.25)


async def test_evidence_that_stopped_does_not_make_the_record_look_old() -> None:
    calls = [Call(n, f"s{n // 10}", 100, 20, CENT) for n in range(120)]

    def moments(row: Row, number: int) -> Row:
        return row | {"time": NOW - timedelta(seconds=10 * (119 - number))}

    async with opened() as store:
        sources = Sources()
        store.on_commit(lambda dataset, rows: sources.observe(dataset, rows, NOW))
        counters = [moments(row, call.number) for call in calls[:60] for row in increments([call], "p1")]
        await append(store, *counters)  # the record, until the calls are told
        agent = asked(store, sources)
        old = await agent.answer(LedgerRequest(window=HOUR), now=NOW)
        assert (old.confidence.freshness or 1) < 0.1
        await append(store, *(moments(told(call, "log"), call.number) for call in calls))
        later = NOW + timedelta(seconds=5)
        answer = await agent.answer(LedgerRequest(), now=later)
        assert (answer.confidence.freshness, answer.confidence.completeness) == (1, 1)
        tile = await agent.answer(QueryRequest(metrics=["tokens"], window=HOUR), now=later)
        assert (tile.confidence.freshness, tile.confidence.completeness) == (1, 1)
        assert [sender.late for sender in sources.senders(later)] == [False]


async def test_the_ledger_of_a_past_moment_knows_what_had_been_received_by_then() -> None:
    async with opened() as store:
        first, second = (told(msgspec.structs.replace(ONE, number=n), "log") for n in (1, 2))
        store_times = (NOW - timedelta(minutes=20), NOW - timedelta(minutes=5))
        for row, received in zip((first, second), store_times, strict=True):
            late = table([row]).set_column(
                SCHEMA.get_field_index("received"),
                "received",
                pa.array([received.replace(tzinfo=None)], SCHEMA.field("received").type),
            )
            await store.append("events", late)
        agent = asked(store)
        now = (await agent.answer(LedgerRequest(window=HOUR), now=NOW)).analytics
        then = (await agent.answer(LedgerRequest(window=HOUR, as_of=NOW - timedelta(minutes=10)), now=NOW)).analytics
        assert (now["facts"]["calls"], now["as_of"]) == (2, None)
        assert (then["facts"]["calls"], then["facts"]["tokens"]) == (1, 120)
        assert then["as_of"] == 1000 * int((NOW - timedelta(minutes=10)).timestamp())
        assert then["watermark"] is None
        with pytest.raises(ValidationError, match="up to now"):
            await agent.answer(LedgerRequest(as_of=NOW + timedelta(minutes=1)), now=NOW)


async def test_a_session_is_told_whole_although_its_spans_do_not_name_it() -> None:
    async with opened() as store:
        await append(store, told(ONE, "span") | {"flow_id": "f1"}, told(ONE, "transcript") | {"cost_usd": None})
        await append(store, told(msgspec.structs.replace(ONE, number=7, session="s7"), "log"))
        session = [Filter("session", "is", ["s1"])]
        answer = (await asked(store).answer(LedgerRequest(window=HOUR, filters=session), now=NOW)).analytics
        assert (answer["facts"]["calls"], answer["facts"]["tokens"]) == (1, 120)
        assert [(way["way"], way["counted_calls"]) for way in answer["ways"]] == [("span", 1), ("transcript", 0)]


async def test_the_ledger_says_whose_money_another_counter_tells() -> None:
    async with opened() as store:
        tokens, output, cost = increments([ONE], "p1")
        await append(store, tokens | {"cost_usd": 0.0}, output | {"cost_usd": 0.0}, cost)
        answer = (await asked(store).answer(LedgerRequest(window=HOUR), now=NOW)).analytics
        assert [(way["paid"], way["cost"], way["counted_calls"]) for way in answer["ways"]] == [(True, CENT, 0)]
        free = increments([msgspec.structs.replace(ONE, session="s9")], "p2")[:2]  # nobody tells their money
        await append(store, *({**row, "source": "other"} for row in free))
        paid = {
            way["source"]: way["paid"]
            for way in (await asked(store).answer(LedgerRequest(window=HOUR), now=NOW)).analytics["ways"]
        }
        assert paid == {"desk": True, "other": False}
