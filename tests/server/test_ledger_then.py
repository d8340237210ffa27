"""What the ledger and every metric said at a moment they say again when that moment is asked for later."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analytics.events import SCHEMA
from analytics.messages import LedgerRequest
from analytics.query import Filter, Query
from analytics.store.base import Store
from tests.server.test_ledger import (
    CENT,
    HOUR,
    NOW,
    ONE,
    Call,
    Row,
    _holds,
    asked,
    increments,
    opened,
    stories,
    table,
    told,
    totals,
)
from tests.server.test_store import Gate, until
from tests.small import many

EVIDENCE = [Filter(dim="evidence", op="is", values=[True])]


def moment(number: int) -> datetime:
    return NOW + timedelta(seconds=number)


async def receive(store: Store, number: int, *rows: Row) -> None:
    """Rows that all came at this moment."""
    made = table(rows)
    came = pa.array([moment(number).replace(tzinfo=None)] * len(rows), SCHEMA.field("received").type)
    await store.append("events", made.set_column(SCHEMA.get_field_index("received"), "received", came))


async def said(store: Store, as_of: datetime | None) -> tuple[Any, ...]:
    """Everything that tells what counts: totals, evidence, rows and the ledger."""
    answer = (await asked(store).answer(LedgerRequest(window=HOUR, as_of=as_of), now=moment(1000))).analytics
    listed = await store.query(Query(select=["event_id", "evidence"], window=HOUR, limit=1000, as_of=as_of), now=NOW)
    evidence = await totals(store, filters=EVIDENCE, window=HOUR, as_of=as_of)
    return (
        await totals(store, window=HOUR, as_of=as_of),
        evidence,
        listed.table.to_pylist(),
        answer["facts"],
        answer["ways"],
    )


@settings(max_examples=many(6), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(story=stories(), data=st.data())
def test_a_moment_says_the_same_however_much_is_told_after_it(
    tmp_path_factory: pytest.TempPathFactory, story: tuple[list[Call], list[Row]], data: st.DataObject
) -> None:
    order = data.draw(st.permutations(story[1]))
    cuts = sorted(data.draw(st.sets(st.integers(1, len(order)), max_size=6)) | {len(order)})
    batches = [order[start:end] for start, end in pairwise((0, *cuts))]
    restart = data.draw(st.integers(1, len(batches)))
    path = tmp_path_factory.mktemp("then") / "plumbline.db"

    async def tell() -> None:
        then = []
        for first, last in pairwise((0, restart, len(batches))):
            async with opened(path) as store:
                for number, batch in enumerate(batches[first:last], first):
                    await receive(store, number, *batch)
                    then.append(await said(store, None))
        async with opened(path) as store:
            for number, expected in enumerate(then):
                assert await said(store, moment(number)) == expected

    asyncio.run(tell())


async def test_rows_that_are_not_committed_yet_say_it_as_they_will() -> None:
    gate = Gate()
    async with opened(before_commit=gate) as store:
        await receive(store, 0, *increments([ONE], "p1"))
        gate.open.clear()
        waiting, then = [], [await said(store, None)]
        for number, way in enumerate(("transcript", "log", "span"), 1):
            waiting.append(asyncio.create_task(receive(store, number, told(ONE, way))))
            await until(lambda rows=3 + number: _holds(store, rows))  # type: ignore[misc]
            then.append(await said(store, None))
        assert [await said(store, moment(number)) for number in range(4)] == then
        gate.open.set()
        await asyncio.gather(*waiting)
        assert [await said(store, moment(number)) for number in range(4)] == then
        assert [totals for totals, *_ in then] == [(120, CENT, 0)] + [(120, CENT, 1)] * 3


async def test_what_a_sender_says_of_the_moment_does_not_count() -> None:
    async with opened() as store:
        await receive(store, 1, told(ONE, "span"))
        await receive(store, 2, told(ONE, "log") | {"evidence_since": moment(9).replace(tzinfo=None)})
        assert await totals(store, window=HOUR, as_of=moment(3)) == (120, CENT, 1)


async def test_what_was_evidence_before_anybody_noted_when_stays_it(tmp_path: Path) -> None:
    path = tmp_path / "plumbline.db"
    async with opened(path) as store:
        await receive(store, 1, told(ONE, "log"))
        await receive(store, 2, told(ONE, "span"))
    with duckdb.connect(str(path)) as direct:
        direct.execute("ALTER TABLE pl_data.events DROP COLUMN evidence_since")
    async with opened(path) as store:
        assert await totals(store, window=HOUR, as_of=moment(1)) == (None, None, 0)
        assert await totals(store, window=HOUR, as_of=moment(2)) == (120, CENT, 1)
        await receive(store, 3, *increments([Call(2, "s2", 1, 2, CENT)], "p1"))
        await receive(store, 4, told(Call(2, "s2", 1, 2, CENT), "log"))
        assert [(await totals(store, window=HOUR, as_of=moment(n)))[2] for n in (2, 3, 4)] == [1, 1, 2]
