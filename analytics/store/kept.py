"""Sums over spans of time, kept for as long as the rows in them are what they were.

What is spent in a month is asked each second, and of the month only the last hour changes. So its days and hours are
added up once; those in which a late row, or a row that was turned into evidence, falls are added up anew.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from analytics.ledger import HOUR_US, Entry

MOST = 200_000  # groups of spans that are kept; beyond it those that were not asked for the longest time are forgotten
GRID_US = 60_000_000  # what ends between two minutes ends now, and nobody asks for it again
MAX_RUNS = 16

Group = tuple[Any, ...]
Sums = tuple[float, ...]
Span = tuple[int, int]  # [start, end) in us since the epoch
Read = Callable[[Sequence[Span]], "list[dict[Group, Sums]]"]  # runs of equally long spans


class State(NamedTuple):
    """What had been admitted when something was read: `era` changes where rows went away."""

    era: int
    seq: int


class Touched:
    """In which hours of a dataset rows came, or turned, with which part. One thread writes, many read."""

    def __init__(self) -> None:
        self.era = 0
        self._hours: dict[int, int] = {}

    def add(self, seq: int, table: pa.Table, entry: Entry | None) -> None:
        """A part that was admitted. Rows without a time are in no span."""
        times = [table["time"].drop_null().cast(pa.int64()).to_numpy() // HOUR_US]
        if entry and entry.turned:
            times.append(entry.turned.rows["time"] // HOUR_US)
            spans = zip(entry.turned.covered["since"] // HOUR_US, entry.turned.covered["until"] // HOUR_US, strict=True)
            times += [np.arange(since, until + 1) for since, until in spans]
        self._hours.update(dict.fromkeys(np.unique(np.concatenate(times)).tolist(), seq))

    def clear(self) -> None:
        """Rows went away: nothing that was read before counts any more."""
        self.era += 1
        self._hours = {}

    def since(self, span: Span, state: State) -> bool:
        """Whether a span may have changed since it was read."""
        if state.era != self.era:
            return True
        first, last = span[0] // HOUR_US, (span[1] - 1) // HOUR_US
        hours = self._hours
        if last - first > len(hours):
            return any(seq > state.seq for hour, seq in list(hours.items()) if first <= hour <= last)
        return any(hours.get(hour, 0) > state.seq for hour in range(first, last + 1))


class Kept:
    """The sums of many questions, by what is asked and span. Safe for the readers' threads."""

    def __init__(self, most: int = MOST) -> None:
        self._most, self._size = most, 0
        self._lock = threading.Lock()
        self._cells: OrderedDict[tuple[Hashable, Span], tuple[State, dict[Group, Sums]]] = OrderedDict()

    def sums(
        self, key: Hashable, edges: Sequence[int], state: State, touched: Touched, read: Read
    ) -> list[dict[Group, Sums]]:
        """The sums per group in each span between two edges. What is not kept, or no longer true, is read."""
        spans = list(pairwise(edges))
        with self._lock:
            found = [self._found(key, span, touched) for span in spans]
        missing = [place for place, sums in enumerate(found) if sums is None]
        if len(runs([spans[place] for place in missing])) > MAX_RUNS:  # too scattered to be read one by one
            missing = list(range(missing[0], missing[-1] + 1))
        if missing:
            fresh = read([spans[place] for place in missing])
            with self._lock:
                for place, sums in zip(missing, fresh, strict=True):
                    found[place] = sums
                    self._keep(key, spans[place], state, sums)
        return [sums or {} for sums in found]

    def _found(self, key: Hashable, span: Span, touched: Touched) -> dict[Group, Sums] | None:
        cell = self._cells.get((key, span))
        if cell is None or touched.since(span, cell[0]):
            return None
        self._cells.move_to_end((key, span))
        return cell[1]

    def _keep(self, key: Hashable, span: Span, state: State, sums: dict[Group, Sums]) -> None:
        if span[1] % GRID_US:
            return
        old = self._cells.pop((key, span), None)
        self._cells[key, span] = (state, sums)
        self._size += len(sums) + 1 - (len(old[1]) + 1 if old else 0)
        while self._size > self._most:
            _, (_, gone) = self._cells.popitem(last=False)
            self._size -= len(gone) + 1


def runs(spans: Sequence[Span]) -> list[list[Span]]:
    """Neighbours of one length together."""
    found: list[list[Span]] = []
    for span in spans:
        last = found[-1][-1] if found else None
        if last and last[1] == span[0] and last[1] - last[0] == span[1] - span[0]:
            found[-1].append(span)
        else:
            found.append([span])
    return found
