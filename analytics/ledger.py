"""One fact counts once, however often it was told: which rows count, and which are evidence for another.

Three rules, each of which looks at nothing but the rows themselves, so that the order of arrival never matters:

- *Calls.* Rows with one id of the call are one call. The fullest counts: one with tokens and cost before one with
  tokens, with cost, with neither; then by its way, a span before a log, a transcript and an event; then the one with
  more tokens.
- *Links.* A log without that id which was written within the span of a model call tells the same call, and so does a
  span without it around a log that has one. The fuller counts, then the one with an id, then the span.
- *Coverage.* An increment of a counter counts only where no call with tokens tells of its session, or without a
  session of its source and model on that day.

Rows are met as numbers (`Told`), hashes of ids and keys, in the order of admission. A row that has become evidence
never counts again, and so what is to be remembered is small: per call the row that counts, per session that it is told
by calls, per session of counters from when to when. Calls beyond `limit` are looked up where they are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from analytics.store.ids import Hashes, SeenIds

Rows = np.ndarray[Any, np.dtype[Any]]
Mask = np.ndarray[Any, np.dtype[np.bool_]]

HOUR_US = 3_600_000_000
APART_US = 24 * HOUR_US  # how far from each other the ways of one call may lie, where the older is not in memory
LIMIT = 1_000_000
FULL = 61  # the bits of a rank above this one say how full a row is

# Rows that tell of a call. key: of its call or 0; span: its own id where it is a model's span; parent: of a model's log
CALL = np.dtype([("place", "i8"), ("id", "u8"), ("time", "i8"), ("rank", "i8"), ("key", "u8"), ("span", "u8"),
                 ("parent", "u8")])  # fmt: skip
USAGE = np.dtype([("place", "i8"), ("time", "i8"), ("first", "u8"), ("second", "u8")])  # keys that may cover it, or 0
RECORD = np.dtype([("key", "u8"), ("id", "u8"), ("time", "i8"), ("rank", "i8"), ("seq", "i8")])
LINK = np.dtype([("key", "u8"), ("id", "u8"), ("time", "i8"), ("full", "i8"), ("named", "?"), ("seq", "i8")])
COUNTED = np.dtype([("key", "u8"), ("since", "i8"), ("until", "i8")])
TURNED = np.dtype([("id", "u8"), ("time", "i8")])

Older = Callable[[Hashes, int, int], Rows]  # the RECORD rows of these keys between two times


class Told:
    """Rows of one batch as numbers; `place` is where they are in it. `marks` are the keys that its calls cover, `at` is
    when the last of them was received, in us since the epoch."""

    def __init__(self, calls: Rows, usage: Rows, marks: Hashes, at: int = 0) -> None:
        self.calls, self.usage, self.marks, self.at = calls, usage, marks, at


class Turned:
    """Rows that were kept as counting and are evidence from a moment on: some by id and time, increments by what covers
    them."""

    def __init__(self, rows: Rows, covered: Rows, at: int) -> None:
        self.rows, self.covered, self.at = rows, covered, at

    def __bool__(self) -> bool:
        return bool(len(self.rows) or len(self.covered))


class Entry:
    """What one batch did: the places of its rows that are evidence, what it turned, and how to undo it."""

    def __init__(self, seq: int, evidence: Rows, turned: Turned, added: Hashes, before: Rows, marks: Hashes) -> None:
        self.seq, self.evidence, self.turned = seq, evidence, turned
        self.added, self.before, self.marks = added, before, marks


class Runs:
    """Rows by their field `key` in sorted runs, merged while the newer one is not much smaller; those that nobody
    looked for yet are only collected."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self._dtype = dtype
        self._runs: list[tuple[Hashes, Rows]] = []
        self._loose: list[Rows] = []

    def __len__(self) -> int:
        return sum(len(rows) for _, rows in self._runs) + sum(map(len, self._loose))

    def add(self, rows: Rows) -> None:
        if len(rows):
            self._loose.append(rows)

    def match(self, keys: Hashes) -> tuple[Rows, Rows]:
        """Pairs of a place in `keys` and a row with that key."""
        self._settle()
        places, found = [np.zeros(0, np.int64)], [np.zeros(0, self._dtype)]
        for run, rows in self._runs:
            low, high = np.searchsorted(run, keys, "left"), np.searchsorted(run, keys, "right")
            many = high - low
            place = np.repeat(np.arange(len(keys)), many)
            nth = np.arange(len(place)) - np.repeat(np.cumsum(many) - many, many)
            places.append(place)
            found.append(rows[low[place] + nth])
        return np.concatenate(places), np.concatenate(found)

    def put(self, rows: Rows) -> None:
        """Rows in place of those with the same keys, and new ones; keys are unique."""
        self._settle()
        new = np.ones(len(rows), np.bool_)
        for run, kept in self._runs:
            at = np.minimum(np.searchsorted(run, rows["key"]), len(run) - 1)
            here = run[at] == rows["key"]
            kept[at[here]] = rows[here]
            new &= ~here
        self.add(rows[new])

    def keep(self, wanted: Callable[[Rows], Mask]) -> None:
        masks = [(run, rows, wanted(rows)) for run, rows in self._runs]
        self._runs = [(run[mask], rows[mask]) for run, rows, mask in masks if mask.any()]
        self._loose = [rest for rows in self._loose if len(rest := rows[wanted(rows)])]

    def column(self, name: str) -> Rows:
        return np.concatenate([np.zeros(0, self._dtype), *(rows for _, rows in self._runs), *self._loose])[name]

    def _settle(self) -> None:
        if not self._loose:
            return
        self._push(np.concatenate(self._loose))
        self._loose = []
        while len(self._runs) > 1 and len(self._runs[-2][0]) < 4 * len(self._runs[-1][0]):
            newer, older = self._runs.pop(), self._runs.pop()
            self._push(np.concatenate((older[1], newer[1])))

    def _push(self, rows: Rows) -> None:
        rows = rows[np.argsort(rows["key"], kind="stable")]
        self._runs.append((np.ascontiguousarray(rows["key"]), rows))


class Ledger:
    """Remembers what counts. Belongs to whoever admits rows; `committed` is the last batch that can not fail."""

    def __init__(self, older: Older | None = None, *, limit: int = LIMIT) -> None:
        self._older, self._limit = older, limit
        self._records = Runs(RECORD)
        self._spans, self._logs = Runs(LINK), Runs(LINK)
        self._marks = SeenIds()
        self._counted = Runs(COUNTED)  # the keys of increments that count, and from when to when they lie
        self._floor: int | None = None  # of what came before it not all is in memory
        self.committed = 0

    def learn(self, calls: Rows, links: Rows, counted: Rows, marks: Hashes) -> None:
        """What the store holds: the newest `limit` rows that count, the newest that may be linked, the increments that
        count by key, and all keys that calls cover."""
        best, _ = _best(calls)
        self._records.add(_records(best, 0))
        if len(calls) >= self._limit:
            self._floor = int(calls["time"].min())
        self._spans.add(_links(links[links["span"] != 0], "span", 0))
        self._logs.add(_links(links[links["parent"] != 0], "parent", 0))
        self._counted.add(counted)
        self._marks = SeenIds(np.unique(marks))

    def resolve(self, told: Told, seq: int) -> Entry:
        """What of a batch is evidence, and what it makes evidence of that was kept before."""
        calls = told.calls
        lost, turned, added, before = self._same(calls[calls["key"] != 0], seq)
        outweighed, released = self._linked(calls, seq)
        marks = self._covering(told.marks)
        covered = self._cover(told.usage, marks)
        entry = Entry(
            seq,
            np.unique(np.concatenate((lost, outweighed, covered[0]))),
            Turned(np.unique(np.concatenate((turned, released))), covered[1], told.at),
            added,
            before,
            marks,
        )
        self._forget()
        return entry

    def undo(self, entries: Iterable[Entry]) -> None:
        """Unlearn batches that were not kept: the last ones, all that are not committed."""
        for entry in reversed(list(entries)):
            self._records.keep(lambda rows, gone=entry.added: ~np.isin(rows["key"], gone))  # type: ignore[misc]
            self._records.put(entry.before)
            self._marks.discard(entry.marks)
            for runs in (self._spans, self._logs):
                runs.keep(lambda rows, seq=entry.seq: rows["seq"] != seq)  # type: ignore[misc]

    def _same(self, calls: Rows, seq: int) -> tuple[Rows, Rows, Hashes, Rows]:
        """Rows by the id of their call: places of those that are evidence, what is turned, new keys, rows replaced."""
        best, lost = _best(calls)
        place, held = self._records.match(best["key"])
        new = np.ones(len(best), np.bool_)
        new[place] = False
        place, held = self._recalled(best, new, place, held)
        mine = best[place]
        beaten = (held["rank"] > mine["rank"]) | ((held["rank"] == mine["rank"]) & (held["id"] > mine["id"]))
        fresh = best[new]
        self._records.put(_records(mine[~beaten], seq))
        self._records.add(_records(fresh, seq))
        gone = held[~beaten]
        return np.concatenate((lost, mine["place"][beaten])), _turned(gone), fresh["key"], gone

    def _recalled(self, best: Rows, new: Mask, place: Rows, held: Rows) -> tuple[Rows, Rows]:
        """Also what memory has let go of, where a row is about as old as that; clears it from `new`."""
        if self._older is None or self._floor is None:
            return place, held
        ask = new & (best["time"] < self._floor + APART_US)
        if not ask.any():
            return place, held
        times = best["time"][ask]
        found = self._older(best["key"][ask], int(times.min()) - APART_US, int(times.max()) + APART_US)
        found = found[np.argsort(found["key"], kind="stable")]
        found = found[np.unique(found["key"], return_index=True)[1]]
        self._records.add(found)
        asked = np.flatnonzero(ask)
        order = np.argsort(best["key"][asked])
        where = asked[order[np.searchsorted(best["key"][asked], found["key"], sorter=order)]]
        new[where] = False
        return np.concatenate((place, where)), np.concatenate((held, found))

    def _linked(self, calls: Rows, seq: int) -> tuple[Rows, Rows]:
        """Logs within the spans of their calls: places of those that are evidence, and what is turned."""
        own, ours = calls[calls["span"] != 0], calls[calls["parent"] != 0]
        spans, logs = _links(own, "span", seq), _links(ours, "parent", seq)
        lost, turned = [np.zeros(0, np.int64)], [np.zeros(0, TURNED)]
        if len(spans) and len(self._logs):
            mine, theirs = self._logs.match(spans["key"])
            wins, loses = _outweighs(spans[mine], theirs)
            lost.append(own["place"][mine[loses]])
            turned.append(_turned(theirs[wins]))
        self._spans.add(spans)
        if len(logs):
            mine, theirs = self._spans.match(logs["key"])
            loses, wins = _outweighs(theirs, logs[mine])
            lost.append(ours["place"][mine[loses]])
            inside = theirs["seq"] == seq
            at = dict(zip(spans["id"].tolist(), own["place"].tolist(), strict=True))
            lost.append(np.array([at[span] for span in theirs["id"][wins & inside].tolist()], np.int64))
            turned.append(_turned(theirs[wins & ~inside]))
            self._logs.add(logs)
        return np.concatenate(lost), np.concatenate(turned)

    def _covering(self, marks: Hashes) -> Hashes:
        """Those of the keys that no call covered before."""
        marks = np.unique(marks)
        new = marks[self._marks.new(marks)]
        self._marks.add(new)
        return new

    def _cover(self, usage: Rows, marks: Hashes) -> tuple[Rows, Rows]:
        """Increments that a call covers: their places, and the keys under which kept ones are covered now."""
        _, turned = self._counted.match(marks)
        covered = self._is_marked(usage["first"]) | self._is_marked(usage["second"])
        left = usage[~covered]
        if len(left):
            keys = np.concatenate((left["first"], left["second"]))
            times = np.concatenate((left["time"], left["time"]))
            rows = _spread(keys[keys != 0], times[keys != 0])
            place, held = self._counted.match(rows["key"])
            rows["since"][place] = np.minimum(rows["since"][place], held["since"])
            rows["until"][place] = np.maximum(rows["until"][place], held["until"])
            self._counted.put(rows)
        return usage["place"][covered], turned

    def _is_marked(self, keys: Hashes) -> Mask:
        distinct, back = np.unique(keys, return_inverse=True)
        marked: Mask = ~self._marks.new(distinct)[back]
        return marked

    def _forget(self) -> None:
        """Let the oldest go where memory is full, of that which is committed."""
        for runs in (self._records, self._spans, self._logs):
            if len(runs) <= self._limit + self._limit // 4:
                continue
            times = runs.column("time")
            floor = int(np.partition(times, len(times) - self._limit)[len(times) - self._limit])
            runs.keep(lambda rows, floor=floor: (rows["time"] >= floor) | (rows["seq"] > self.committed))  # type: ignore[misc]
            if runs is self._records:
                self._floor = max(floor, self._floor or floor)


def _best(calls: Rows) -> tuple[Rows, Rows]:
    """Of each key the row that counts, and the places of all others."""
    calls = calls[np.lexsort((calls["id"], calls["rank"], calls["key"]))]
    last = np.append(calls["key"][1:] != calls["key"][:-1], True)[: len(calls)]
    return calls[last], calls["place"][~last]


def _outweighs(spans: Rows, logs: Rows) -> tuple[Mask, Mask]:
    """Of each pair whether the span counts and the log does not, and the other way round; neither where both have an
    id of their own."""
    either = ~(spans["named"] & logs["named"])
    same = spans["full"] == logs["full"]
    span = (spans["full"] > logs["full"]) | (same & ~(logs["named"] & ~spans["named"]))
    return either & span, either & ~span


def _records(calls: Rows, seq: int) -> Rows:
    return _as(RECORD, calls, key=calls["key"], id=calls["id"], time=calls["time"], rank=calls["rank"], seq=seq)


def _links(calls: Rows, key: str, seq: int) -> Rows:
    full, named = calls["rank"] >> FULL, calls["key"] != 0
    return _as(LINK, calls, key=calls[key], id=calls["id"], time=calls["time"], full=full, named=named, seq=seq)


def _turned(rows: Rows) -> Rows:
    return _as(TURNED, rows, id=rows["id"], time=rows["time"])


def _spread(keys: Hashes, times: Rows) -> Rows:
    """Each key once, with its first and last time."""
    distinct, back = np.unique(keys, return_inverse=True)
    rows = np.zeros(len(distinct), COUNTED)
    rows["key"], rows["since"], rows["until"] = distinct, np.iinfo(np.int64).max, np.iinfo(np.int64).min
    np.minimum.at(rows["since"], back, times)
    np.maximum.at(rows["until"], back, times)
    return rows


def _as(dtype: np.dtype[Any], like: Rows, **columns: Any) -> Rows:
    rows = np.zeros(len(like), dtype)
    for name, values in columns.items():
        rows[name] = values
    return rows
