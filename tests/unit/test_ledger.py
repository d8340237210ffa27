"""The ledger on numbers made by hand: what counts never depends on the order of arrival."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.ledger import CALL, FULL, RECORD, USAGE, Entry, Ledger, Rows, Told
from analytics.store.ids import Hashes

FULLEST = 3 << FULL
TOKENS = 2 << FULL
NONE: Hashes = np.zeros(0, np.uint64)


def call(id: int, *, key: int = 0, rank: int = TOKENS, time: int = 0, **more: int) -> dict[str, int]:
    return {"id": id, "time": time or id, "rank": rank, "key": key, "span": 0, "parent": 0, **more}


def usage(id: int, first: int, second: int = 0) -> dict[str, int]:
    return {"id": id, "time": id, "first": first, "second": second}


def rows(dtype: np.dtype[Any], told: Sequence[dict[str, int]]) -> Rows:
    made = np.zeros(len(told), dtype)
    for at, row in enumerate(told):
        for name in dtype.names or ():
            made[name][at] = at if name == "place" else row.get(name, 0)
    return made


class Book:
    """What a store would hold: every row by its id, and whether it is evidence."""

    def __init__(self, **settings: Any) -> None:
        self.ledger = Ledger(**settings)
        self.evidence: dict[int, bool] = {}
        self.usage: dict[int, dict[str, int]] = {}
        self.seq = 0

    def resolve(self, told: Sequence[dict[str, int]], marks: Sequence[int] = ()) -> Entry:
        calls = [row for row in told if "rank" in row]
        counters = [row for row in told if "rank" not in row]
        self.seq += 1
        batch = Told(rows(CALL, calls), rows(USAGE, counters), np.array(marks, np.uint64))
        batch.usage["place"] += len(calls)
        return self.ledger.resolve(batch, self.seq)

    def take(self, told: Sequence[dict[str, int]], marks: Sequence[int] = ()) -> None:
        entry = self.resolve(told, marks)
        ordered = [row for row in told if "rank" in row] + [row for row in told if "rank" not in row]
        self.usage |= {row["id"]: row for row in told if "rank" not in row}
        self.evidence |= {row["id"]: at in entry.evidence for at, row in enumerate(ordered)}
        self.evidence |= dict.fromkeys(entry.turned.rows["id"].tolist(), True)
        for key in entry.turned.covered["key"].tolist():
            covered = [id for id, row in self.usage.items() if key in (row["first"], row["second"])]
            self.evidence |= dict.fromkeys(covered, True)
        self.ledger.committed = self.seq

    def counting(self) -> list[int]:
        return sorted(id for id, evidence in self.evidence.items() if not evidence)


def taken(*batches: Sequence[dict[str, int]]) -> list[int]:
    book = Book()
    for batch in batches:
        book.take(batch)
    return book.counting()


def test_of_one_call_the_fullest_counts_then_the_way_then_the_tokens() -> None:
    log, span, transcript = call(1, key=7, rank=TOKENS + 3), call(2, key=7, rank=TOKENS + 4), call(3, key=7, rank=1)
    priced = call(4, key=7, rank=FULLEST)
    other = call(5, key=8)
    assert taken([log, other]) == [1, 5]
    assert taken([log], [span], [other], [transcript]) == taken([span, transcript, log, other]) == [2, 5]
    assert taken([span], [priced], [log]) == [4]
    assert taken([call(1, key=7)], [call(2, key=7)]) == taken([call(2, key=7)], [call(1, key=7)]) == [2]  # a tie


def test_a_row_without_an_id_of_its_call_counts_by_itself() -> None:
    assert taken([call(1), call(2)], [call(3)]) == [1, 2, 3]


def test_a_log_within_the_span_of_its_call_tells_the_same() -> None:
    span, log = call(1, span=1), call(2, parent=1)
    assert taken([span, log]) == taken([log], [span]) == taken([span], [log]) == [1]
    retried = [call(2, parent=1), call(3, parent=1)]
    assert taken([*retried, span]) == taken([span], retried) == [1]
    assert taken(retried) == [2, 3]  # without the span nobody says that they are one


def test_an_id_outweighs_the_span_around_it_where_both_tell_as_much() -> None:
    span, log, elsewhere = call(1, span=1), call(2, key=7, parent=1), call(3, key=7, rank=1)
    assert taken([span], [log], [elsewhere]) == taken([elsewhere, log], [span]) == [2]
    assert taken([call(1, span=1, rank=FULLEST), log]) == [1]
    both = call(1, span=1, key=6)
    assert taken([both], [log]) == [1, 2]  # two ids are two calls


def test_increments_count_where_no_call_tells_of_their_session() -> None:
    for order in ((0, 1, 2), (2, 1, 0), (1, 0, 2)):
        book = Book()
        batches: list[tuple[Sequence[dict[str, int]], Sequence[int]]] = [
            ([usage(1, 50), usage(2, 60)], []), ([call(3, key=7)], [50]), ([usage(4, 50), usage(5, 61, 62)], []),
        ]  # fmt: skip
        for place in order:
            book.take(*batches[place])
        assert book.counting() == [2, 3, 5]
        book.take([call(6, key=8)], [62])
        assert book.counting() == [2, 3, 6]


def test_a_batch_that_was_not_kept_leaves_no_trace() -> None:
    book = Book()
    book.take([call(1, key=7), call(2, span=2), usage(3, 50)])
    failed = [book.resolve([call(4, key=7, rank=FULLEST), call(5, key=8)], [50]), book.resolve([call(6, parent=2)])]
    failed.append(book.resolve([call(7, key=7, rank=FULLEST + 1)]))
    assert [turned["id"].tolist() for turned in (entry.turned.rows for entry in failed)] == [[1], [], [4]]
    book.ledger.undo(failed)
    book.take([call(8, key=7, rank=TOKENS - 1), call(9, key=8), usage(10, 50)])
    assert book.counting() == [1, 2, 3, 9, 10]
    book.take([call(4, key=7, rank=FULLEST)], [50])
    assert book.counting() == [2, 4, 9]


def test_what_memory_has_let_go_of_is_looked_up() -> None:
    kept: dict[int, tuple[int, int, int, int, int]] = {}
    asked: list[tuple[int, int]] = []

    def older(keys: Hashes, since: int, until: int) -> Rows:
        asked.append((since, until))
        return np.array([kept[key] for key in keys.tolist() if key in kept], RECORD)

    book = Book(older=older, limit=8)
    for day in range(1, 30):
        row = call(day, key=1000 + day, time=day * 86_400_000_000)
        kept[1000 + day] = (row["key"], row["id"], row["time"], row["rank"], 0)
        book.take([row])
    assert asked == []
    book.take([call(51, key=1002, rank=FULLEST, time=2 * 86_400_000_000), call(52, key=1029, time=29 * 86_400_000_000)])
    assert asked == [(86_400_000_000, 3 * 86_400_000_000)]  # about the time of the one that is old
    assert book.evidence[2] and book.evidence[51] is False and book.evidence[29] and not book.evidence[52]


KEYS = st.integers(0, 4)
CALLS = st.builds(
    lambda key, strength, way, within, place: {"key": key, "rank": (strength << FULL) + way, within: place},
    KEYS, st.integers(0, 3), st.integers(0, 4), st.sampled_from(["span", "parent", "neither"]), st.integers(1, 3),
)  # fmt: skip
USAGES = st.builds(lambda first, second: {"first": first, "second": second}, st.integers(10, 12), st.integers(0, 12))
FACTS = st.lists(CALLS | USAGES, min_size=1, max_size=12)


@settings(max_examples=100, deadline=None)
@given(facts=FACTS, data=st.data())
def test_order_batches_and_failures_change_nothing(facts: list[dict[str, int]], data: st.DataObject) -> None:
    """Also: of each call at most one row counts, and exactly one where no log is linked to a span."""
    told: list[dict[str, int]] = []
    for number, fact in enumerate(facts, 100):
        row = {"id": number, "time": number, **fact}
        if "span" in fact:
            row["id"] = row["span"] = number if any(t.get("span") == fact["span"] for t in told) else fact["span"]
        told.append(row)
    marks = {row["id"]: [10 + row["key"]] for row in told if "rank" in row and row["rank"] >> FULL >= 2}

    def in_batches(order: Sequence[dict[str, int]], failing: bool) -> Book:
        book, left = Book(), list(order)
        while left:
            size = data.draw(st.integers(1, len(left)))
            batch, left = left[:size], left[size:]
            keys = [mark for row in batch for mark in marks.get(row["id"], [])]
            if failing and data.draw(st.booleans()):
                book.ledger.undo([book.resolve(batch, keys)])
            book.take(batch, keys)
        return book

    first = in_batches(told, failing=False)
    again = in_batches(data.draw(st.permutations(told)), failing=True)
    assert first.counting() == again.counting()
    counting = set(first.counting())
    linked = {row["span"] for row in told if row.get("span")} & {row["parent"] for row in told if row.get("parent")}
    for key in {row["key"] for row in told if row.get("key")}:
        same = [row["id"] for row in told if row.get("key") == key]
        assert len(counting.intersection(same)) <= 1
        assert linked or counting.intersection(same)
