"""Which event ids a dataset already holds, as 64-bit hashes in sorted runs: 8 bytes per row, lookups in microseconds.

What it guarantees: an id that was accepted is recognised for ever, across restarts and whatever
its time. What it risks: a new id is taken for a repeat with probability rows / 2^64 (at 100 million
rows 5e-12 per event). The exact ways cost more: with 5 million rows in place a batch of 10,000 took
5 ms here, 103 ms by an anti-join with the table and 170 ms under a primary key, whose file was also
four times as large.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Hashes = np.ndarray[Any, np.dtype[np.uint64]]
Mask = np.ndarray[Any, np.dtype[np.bool_]]


class SeenIds:
    """A set of hashes that grows by batches: sorted runs, merged while the newer one is not much smaller."""

    def __init__(self, hashes: Hashes | None = None) -> None:
        self._runs: list[Hashes] = [] if hashes is None or not len(hashes) else [np.sort(hashes)]

    def __len__(self) -> int:
        return sum(len(run) for run in self._runs)

    def new(self, hashes: Hashes) -> Mask:
        """Which of the hashes are neither held nor an earlier one of the same batch."""
        distinct, first = np.unique(hashes, return_index=True)
        held = np.zeros(len(distinct), np.bool_)
        for run in self._runs:
            at = np.searchsorted(run, distinct)
            held |= run[np.minimum(at, len(run) - 1)] == distinct
        fresh = np.zeros(len(hashes), np.bool_)
        fresh[first[~held]] = True
        return fresh

    def add(self, hashes: Hashes) -> None:
        if not len(hashes):
            return
        self._runs.append(np.sort(hashes))
        while len(self._runs) > 1 and len(self._runs[-2]) < 4 * len(self._runs[-1]):
            newer, older = self._runs.pop(), self._runs.pop()
            self._runs.append(np.sort(np.concatenate((older, newer)), kind="stable"))  # merges sorted runs

    def discard(self, hashes: Hashes) -> None:
        """Forget what could not be kept after all."""
        kept = (run[~np.isin(run, hashes)] for run in self._runs)
        self._runs = [run for run in kept if len(run)]
