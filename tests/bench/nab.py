"""The Numenta Anomaly Benchmark: its streams, its labels and its scoring rules (Lavin and Ahmad, 2015)."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

HUSH = 150  # points after an alarm in which only a rarer value is another
DATA = Path(__file__).parents[3] / "shared" / "data" / "nab"
Floats = NDArray[np.float64]


class Profile(NamedTuple):
    """What a find, a false alarm and a miss are worth."""

    found: float
    false: float
    missed: float


PROFILES = {
    "standard": Profile(1, 0.11, 1),
    "low FP": Profile(1, 0.22, 1),
    "low FN": Profile(1, 0.11, 2),
}


class Stream(NamedTuple):
    """One labelled series. `windows` are (first, last) indices of its labelled anomalies, inclusive."""

    name: str
    times: NDArray[np.int64]  # ms
    values: Floats
    windows: list[tuple[int, int]]
    published: dict[str, Floats]  # detector -> its stored scores

    @property
    def category(self) -> str:
        return self.name.split("/")[0]

    @property
    def probation(self) -> int:
        """Points at the start that do not count."""
        return min(math.floor(0.15 * len(self.values)), 750)


class Sheet(NamedTuple):
    """What each point adds once the threshold has fallen to its score."""

    scores: Floats
    found: Floats  # to the sum of finds, each worth 0..1 by how early it is
    first: Floats  # 1 for the point that finds a window no longer missed
    false: Floats  # to the sum of false alarms, each -1..0
    windows: int


def read() -> list[Stream] | None:
    """The streams beside the repository, or None where they are missing."""
    if not (DATA / "streams.parquet").exists():
        return None
    import pyarrow.parquet as pq

    windows: dict[str, list[list[str]]] = json.loads((DATA / "windows.json").read_text())
    table = pq.read_table(DATA / "streams.parquet")
    names = np.array(table["file"].to_pylist())
    times = table["timestamp"].to_numpy().astype("datetime64[ms]")
    found = []
    for name in sorted(windows):
        rows = np.flatnonzero(names == name)
        at = times[rows]
        spans = [np.array(span, dtype="datetime64[ms]") for span in windows[name]]
        ends = [(int(np.searchsorted(at, a)), int(np.searchsorted(at, b, side="right")) - 1) for a, b in spans]
        scores = {
            column.removeprefix("score_"): table[column].to_numpy()[rows]
            for column in table.column_names
            if column.startswith("score_")
        }
        found.append(Stream(name, at.astype(np.int64), table["value"].to_numpy()[rows], ends, scores))
    return found


def sigmoid(y: Floats) -> Floats:
    """1 far before, 0 at the right end of a window, -1 far behind it."""
    return 2 / (1 + np.exp(5 * y)) - 1


def sheet(stream: Stream, scores: Floats) -> Sheet:
    """What each point of a stream adds. Of a window only the earliest point found counts."""
    n = len(stream.values)
    index = np.arange(n)
    inside = np.zeros(n, dtype=bool)
    false = np.full(n, -1.0)
    where: list[NDArray[np.intp]] = []
    found: list[Floats] = []
    first: list[Floats] = []
    for start, end in stream.windows:
        behind = (index - end) / (end - start)
        near = (index > end) & (behind <= 3)
        false[near] = sigmoid(behind[near])
        inside[start : end + 1] = True
        points = np.arange(max(start, stream.probation), end + 1)
        points = points[np.argsort(-scores[points], kind="stable")]
        worth = sigmoid((points - end - 1) / (end - start + 1)) / sigmoid(np.array([-1.0]))
        where.append(points)
        found.append(np.diff(np.maximum.accumulate(worth), prepend=0.0))
        first.append((np.arange(len(points)) == 0).astype(np.float64))
    counted = np.flatnonzero(~inside & (index >= stream.probation))
    none = np.zeros(len(counted))
    shown = np.concatenate([*where, counted])
    return Sheet(
        scores[shown],
        np.concatenate([*found, none]),
        np.concatenate([*first, none]),
        np.concatenate([np.zeros(len(shown) - len(counted)), false[counted]]),
        len(stream.windows),
    )


def curve(sheets: Sequence[Sheet], profile: Profile) -> tuple[Floats, Floats]:
    """Every threshold, falling, and the score that it earns: 0 for no detection, 100 for perfect ones."""
    scores = np.concatenate([s.scores for s in sheets])
    order = np.argsort(-scores, kind="stable")
    worth = [s.found * profile.found + s.first * profile.missed + s.false * profile.false for s in sheets]
    best = sum(s.windows for s in sheets) * (profile.found + profile.missed)
    earned = 100 * np.cumsum(np.concatenate(worth)[order]) / max(best, 1)
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)
    return scores[order][ends], earned[ends]


def best(sheets: Sequence[Sheet], profile: Profile) -> tuple[float, float]:
    """The best score there is, and its threshold: fair only on streams that are not scored with it."""
    thresholds, earned = curve(sheets, profile)
    i = int(np.argmax(earned))
    return float(earned[i]), float(thresholds[i])


def score(sheets: Sequence[Sheet], threshold: float, profile: Profile) -> float:
    """The score at one threshold."""
    thresholds, earned = curve(sheets, profile)
    i = int(np.searchsorted(-thresholds, -threshold, side="right")) - 1
    return float(earned[i]) if i >= 0 else 0.0


def interval(
    sheets: Sequence[Sheet], threshold: float, profile: Profile, seed: int, draws: int = 1000
) -> tuple[float, float]:
    """Where the score of 95 in 100 draws of as many streams, with replacement, lies."""
    random = np.random.default_rng(seed)
    earned, most = [], []
    for sheet_ in sheets:
        hit = sheet_.scores >= threshold
        worth = sheet_.found * profile.found + sheet_.first * profile.missed + sheet_.false * profile.false
        earned.append(worth[hit].sum())
        most.append(sheet_.windows * (profile.found + profile.missed))
    drawn = random.integers(0, len(sheets), (draws, len(sheets)))
    totals = 100 * np.array(earned)[drawn].sum(axis=1) / np.maximum(np.array(most)[drawn].sum(axis=1), 1)
    low, high = np.quantile(totals, (0.025, 0.975))
    return float(low), float(high)


def halves(streams: Sequence[Stream], seed: int) -> tuple[list[Stream], list[Stream]]:
    """Two halves, the streams of each category dealt in turn."""
    random = np.random.default_rng(seed)
    dealt: tuple[list[Stream], list[Stream]] = ([], [])
    turn = 0
    for category in sorted({s.category for s in streams}):
        group = sorted((s for s in streams if s.category == category), key=lambda s: s.name)
        for i in random.permutation(len(group)):
            dealt[turn % 2].append(group[i])
            turn += 1
    return dealt


def alarms(scores: Floats, hush: int = HUSH) -> Floats:
    """The score where it is above each of the `hush` before it, else 0: causal, one alarm per incident."""
    before = np.concatenate([np.zeros(hush), scores[:-1]])
    return np.where(scores > np.lib.stride_tricks.sliding_window_view(before, hush).max(axis=1), scores, 0.0)
