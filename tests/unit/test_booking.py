"""What a batch tells of calls is read in numpy, what a table tells in SQL: both say the same of any row."""

from __future__ import annotations

import random
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from analytics.events import SCHEMA
from analytics.ledger import CALL
from analytics.store import booking
from analytics.store.booking import CALLED, LINKED, TELLS, Reader

CHOICES: dict[str, tuple[Any, ...]] = {
    "kind": ("model", "model", "tool", "flow"),
    "way": (None, "span", "log", "transcript", "event", "metric"),
    "call_id": (None, "c1", "c2"),
    "parent_id": (None, "p1"),
    "session": (None, "s1"),
    "tokens_input": (None, -5, 0, 7, 2**60),
    "tokens_output": (None, 3, 2**58),
    "cost_usd": (None, 1.0),
}


def test_numpy_and_sql_tell_the_same_of_calls() -> None:
    rng = random.Random(7)
    events = [
        {"event_id": rng.choice((None, f"e{i}")), "time": rng.randrange(10**15)}
        | {name: rng.choice(values) for name, values in CHOICES.items()}
        for i in range(2_000)
    ]
    table = pa.table({f.name: pa.array([event.get(f.name) for event in events], f.type) for f in SCHEMA})
    with duckdb.connect(":memory:") as connection:
        connection.register("told", table.append_column("place", pa.array(range(len(events)))))
        sql = f"SELECT place, {TELLS} FROM told WHERE {CALLED} AND (call_id IS NOT NULL OR {LINKED}) ORDER BY place"
        columns = connection.execute(sql).fetchnumpy()
        hashes = connection.execute("SELECT hash(event_id) AS h FROM told").fetchnumpy()["h"]
        told = Reader(connection).told(table, hashes)
        marks = connection.execute(booking._marks("told")).fetchnumpy()["mark"]
    assert told is not None
    assert len(told.calls) == len(columns["place"]) > 400
    for name in CALL.names or ():
        assert np.array_equal(told.calls[name], columns[name]), name
    assert set(told.marks.tolist()) == set(marks.tolist())
