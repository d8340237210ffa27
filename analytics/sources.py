"""Who sends, how regularly, and what is missing: the ground under freshness and completeness.

A *stream* is one (source, kind). For the last hour each stream keeps the seconds in which it had
events, so that "late" is measured against the stream's own rhythm and not against a constant.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from analytics.booked import EVENTS, Booked

MEMORY_S = 3600
MIN_GAPS = 5
LIVE_ARRIVAL_S = 60  # an arrival whose newest event is older than this is a back-fill
US = 1_000_000


class Late(msgspec.Struct, frozen=True):
    """A stream that has been quiet for longer than 99 % of its own gaps, which last `between_s` in the mean."""

    source: str
    age_s: float
    usual_s: float
    between_s: float


class Silence(msgspec.Struct, frozen=True):
    """A stream was quiet for more than twice what its rhythm allows: from when until when (seconds since the epoch;
    `end` None while it lasts), and its share of the events of the last hour."""

    source: str
    start: float
    end: float | None
    share: float


class Trust(msgspec.Struct, frozen=True, kw_only=True):
    """What the streams behind a number say of it. Components are 0..1, or None when unknown."""

    watermark: datetime | None  # everything up to here has arrived from every stream that is on time
    age_s: float | None  # age of the newest event
    usual_s: float | None = None  # the age that its own rhythm allows
    freshness: float | None
    completeness: float | None
    reporting: int
    late: tuple[Late, ...] = ()
    events_per_min: float = 0.0
    dropped: int = 0
    reason: str | None = None


class Sender(msgspec.Struct, frozen=True, kw_only=True):
    """All streams of one source. `usual_s` is the age that its own rhythm allows, None while it is being learnt."""

    source: str
    last_seen: datetime
    age_s: float
    usual_s: float | None = None
    late: bool = False
    events_per_min: float
    kinds: list[str] = []


class Lost(msgspec.Struct, frozen=True):
    """Events that were refused for one reason, where the newest was and what was expected, and who sent them."""

    reason: str
    count: int
    example: str
    sources: list[str] = []


class _Drop(msgspec.Struct, frozen=True):
    at: float
    dataset: str
    senders: frozenset[str]
    count: int
    reason: str
    example: str


class Stream:
    """The last hour of one (source, kind)."""

    def __init__(self) -> None:
        self.counts: dict[int, int] = {}  # second -> events
        self.newest_us = 0
        self.peaks: deque[float] = deque(maxlen=200)  # age reached just before each live arrival
        self._live = False
        self._tolerance: float | None = None
        self._stale = True

    def add(self, seconds: Iterable[int], counts: Iterable[int], newest_us: int, arrived_us: int) -> None:
        for second, count in zip(seconds, counts, strict=True):
            self.counts[second] = self.counts.get(second, 0) + count
        live = arrived_us - newest_us < LIVE_ARRIVAL_S * US
        if live and self._live:
            self.peaks.append((arrived_us - self.newest_us) / US)
        self._live = live
        self.newest_us = max(self.newest_us, newest_us)
        self._stale = True

    def forget(self, before_s: int) -> None:
        old = [s for s in self.counts if s < before_s]
        for second in old:
            del self.counts[second]
        self._stale = self._stale or bool(old)

    def tolerance_s(self) -> float | None:
        """The age that 99 % of this stream's own gaps stay under; None while it is being learnt."""
        if self._stale:
            self._stale = False
            seconds = np.sort(np.fromiter(self.counts, dtype=np.int64, count=len(self.counts)))
            gaps = np.diff(seconds).astype(np.float64)
            if len(gaps) < MIN_GAPS:
                self._tolerance = None
            else:
                peak = longest(np.array(self.peaks)) if len(self.peaks) >= MIN_GAPS else 0.0
                self._tolerance = max(longest(gaps) + 1.0, peak)
        return self._tolerance

    def per_s(self) -> float:
        """Its usual rate: what is remembered over the time in which it came, a minute at least."""
        span = self.newest_us / US - min(self.counts)
        return (sum(self.counts.values()) - 1) / max(span, 60.0)

    def between_s(self) -> float:
        """The mean length of its gaps, a second at least."""
        return max((max(self.counts) - min(self.counts)) / max(len(self.counts) - 1, 1), 1.0)

    def silences(self, now_s: float) -> list[tuple[float, float | None]]:
        """Gaps of the last hour that are more than twice as long as this stream's rhythm allows; one may last."""
        allowed = self.tolerance_s()
        if allowed is None:
            return []
        seconds = np.sort(np.fromiter(self.counts, dtype=np.float64, count=len(self.counts)))
        found: list[tuple[float, float | None]] = [
            (float(seconds[i]), float(seconds[i + 1])) for i in np.flatnonzero(np.diff(seconds) > 2 * allowed)
        ]
        newest = self.newest_us / US
        return [*found, (newest, None)] if now_s - newest > 2 * allowed else found

    def count_since(self, since_s: float) -> int:
        return sum(n for second, n in self.counts.items() if second >= since_s)


def longest(gaps: np.ndarray[Any, np.dtype[np.float64]]) -> float:
    """The length that the next gap stays under 99 times in 100: what 99 % of these did, or, where they are few, what an
    exponential tail above their median leaves to chance, with its mean known from m gaps only: m mean (p^(-1/m) - 1)
    (J. F. Lawless and M. Fredette 2005, Biometrika 92)."""
    middle = float(np.median(gaps))
    over = gaps[gaps > middle] - middle
    m = len(over)
    tail = float(m * over.mean() * ((m / len(gaps) / 0.01) ** (1 / m) - 1)) if m else 0.0
    return max(float(np.quantile(gaps, 0.99)), middle + tail)


class Sources:
    """All streams, fed with every committed batch."""

    def __init__(self) -> None:
        self.booked = Booked()
        self._streams: dict[tuple[str, str, str], Stream] = {}
        self._drops: deque[_Drop] = deque(maxlen=100_000)
        self._domains: dict[tuple[str, str], int] = {}
        self._pruned = 0

    def observe(self, dataset: str, table: pa.Table, now: datetime) -> None:
        """Learn from rows that arrived now; those of a file have no kind and no domain."""
        if dataset == EVENTS:
            self.booked.observe(table)
        now_s = int(now.timestamp())
        time_us = table["time"].cast(pa.int64())
        recent = pc.and_(pc.greater(time_us, (now_s - MEMORY_S) * US), pc.less_equal(time_us, (now_s + 1) * US))
        if table.num_rows == 0 or not pc.any(recent).as_py():
            return
        small = pa.table(
            {
                "source": pc.fill_null(table["source"], ""),
                "kind": table["kind"] if "kind" in table.column_names else pa.array([""] * table.num_rows),
                "second": pc.divide(time_us, US),
                "us": time_us,
            }
        ).filter(recent)
        grouped = small.group_by(["source", "kind", "second"]).aggregate([("us", "count"), ("us", "max")])
        arrived_us = int(now.timestamp() * US)
        batches: dict[tuple[str, str, str], tuple[list[int], list[int], int]] = {}
        for row in zip(
            *(grouped[c].to_pylist() for c in ("source", "kind", "second", "us_count", "us_max")), strict=True
        ):
            seconds, counts, newest = batches.get((dataset, row[0], row[1]), ([], [], 0))
            seconds.append(row[2])
            counts.append(row[3])
            batches[dataset, row[0], row[1]] = (seconds, counts, max(newest, row[4]))
        for key, (seconds, counts, newest) in batches.items():
            self._streams.setdefault(key, Stream()).add(seconds, counts, newest, arrived_us)
        for domain in pc.unique(table["domain"]).to_pylist() if "domain" in table.column_names else ():
            if domain and ((dataset, domain) in self._domains or len(self._domains) < 200):
                self._domains[dataset, domain] = now_s
        self._prune(now_s)

    def dropped(
        self,
        count: int,
        now: datetime,
        *,
        dataset: str = "events",
        senders: frozenset[str] = frozenset(),
        reason: str = "",
        example: str = "",
    ) -> None:
        """Remember that so many events of these sources were refused, and why."""
        if count:
            self._drops.append(_Drop(now.timestamp(), dataset, senders, count, reason, example))

    def lost(self, since: datetime, until: datetime, dataset: str = "events") -> list[Lost]:
        """What was refused in between, by reason, the most frequent first."""
        found: dict[str, Lost] = {}
        for drop in self._drops:
            if drop.dataset == dataset and since.timestamp() <= drop.at < until.timestamp():
                before = found.get(drop.reason, Lost(drop.reason, 0, ""))
                senders = sorted({*before.sources, *(sender or "" for sender in drop.senders)})
                found[drop.reason] = Lost(drop.reason, before.count + drop.count, drop.example, senders)
        return sorted(found.values(), key=lambda lost: -lost.count)

    def senders(self, now: datetime, dataset: str = "events") -> list[Sender]:
        """Every source of the last hour, those that are late first, then by how much they send."""
        now_s = now.timestamp()
        self._prune(int(now_s))
        streams: dict[str, list[tuple[str, Stream]]] = {}
        for (of, source, kind), stream in self._streams.items():
            if of == dataset and stream.counts:
                streams.setdefault(source, []).append((kind, stream))
        found = [_sender(source, every, now_s) for source, every in streams.items()]
        return sorted(found, key=lambda s: (not s.late, -s.events_per_min, s.source))

    def minutes(self, now: datetime, dataset: str = "events") -> dict[str, list[int]]:
        """Events of each source in each of the last 60 minutes, the oldest first."""
        now_s = int(now.timestamp())
        found: dict[str, np.ndarray[Any, np.dtype[np.int64]]] = {}
        for (of, source, _), stream in self._streams.items():
            if of == dataset:
                seconds = np.fromiter(stream.counts, dtype=np.int64, count=len(stream.counts))
                counts = np.fromiter(stream.counts.values(), dtype=np.int64, count=len(stream.counts))
                ago = np.maximum(now_s - seconds, 0) // 60
                np.add.at(found.setdefault(source, np.zeros(60, np.int64)), 59 - ago[ago < 60], counts[ago < 60])
        return {source: counts.tolist() for source, counts in found.items()}

    def domains(self, dataset: str = "events") -> list[str]:
        """Domains seen lately, for pickers."""
        return sorted(domain for of, domain in self._domains if of == dataset)

    def silences(
        self,
        now: datetime,
        *,
        dataset: str = "events",
        kinds: frozenset[str] | None = None,
        sources: frozenset[str] | None = None,
    ) -> list[Silence]:
        """When the streams of these kinds and sources were silent within the last hour."""
        now_s = now.timestamp()
        self._prune(int(now_s))
        chosen = [(source, stream, sum(stream.counts.values())) for source, stream in self._of(dataset, kinds, sources)]
        total = sum(count for _, _, count in chosen)
        return [
            Silence(source, start, end, count / total)
            for source, stream, count in chosen
            for start, end in stream.silences(now_s)
        ]

    def trust(
        self,
        now: datetime,
        *,
        dataset: str = "events",
        kinds: frozenset[str] | None = None,
        sources: frozenset[str] | None = None,
        window_s: float = MEMORY_S,
    ) -> Trust:
        """What is known of the streams of these kinds and sources over the last `window_s` seconds."""
        now_s = now.timestamp()
        self._prune(int(now_s))
        since = now_s - min(window_s, MEMORY_S)
        chosen = [(source, stream, stream.count_since(since)) for source, stream in self._of(dataset, kinds, sources)]
        chosen = [c for c in chosen if c[1].counts]
        dropped = sum(
            drop.count
            for drop in self._drops
            if drop.at >= since and drop.dataset == dataset and (sources is None or drop.senders & sources)
        )
        per_min = sum(s.count_since(now_s - 60) for _, s, _ in chosen)
        if not chosen:
            return Trust(
                watermark=None, age_s=None, freshness=None, completeness=None, reporting=0, dropped=dropped,
                reason="no source has sent anything in the last hour",
            )  # fmt: skip
        return self._weigh(chosen, now_s, since, dropped, per_min)

    def _of(
        self, dataset: str, kinds: frozenset[str] | None, sources: frozenset[str] | None
    ) -> Iterator[tuple[str, Stream]]:
        """The streams of these kinds and sources, without those that are evidence alone: nothing waits for them."""
        for (of, source, kind), stream in self._streams.items():
            known = of == dataset and (kinds is None or kind in kinds) and (sources is None or source in sources)
            if known and not (of == EVENTS and (source, kind) in self.booked.evidence):
                yield source, stream

    def _weigh(
        self, chosen: list[tuple[str, Stream, int]], now_s: float, since: float, dropped: int, per_min: int
    ) -> Trust:
        arrived = missing = weight = fresh = 0.0
        marks: list[int] = []
        late: dict[str, Late] = {}
        sources = {source for source, _, _ in chosen}
        for source, stream, count in chosen:
            age = max(0.0, now_s - stream.newest_us / US)
            allowed = stream.tolerance_s()
            arrived += count
            if allowed is None:  # too little history to call it late
                continue
            lacking = stream.per_s() * min(age, now_s - since) if age > allowed else 0.0
            missing += lacking
            weight += count + lacking  # a stream that sent nothing in the window still counts
            fresh += (count + lacking) * min(1.0, allowed / max(age, 1e-9))
            if age <= allowed:
                marks.append(stream.newest_us)
            elif source not in late or late[source].age_s > age:
                late[source] = Late(source, age, allowed, stream.between_s())
        newest = max(s.newest_us for _, s, _ in chosen)
        mark = min(marks, default=newest)
        usual = [t for _, stream, _ in chosen if (t := stream.tolerance_s()) is not None]
        on_time = {
            s for s, stream, _ in chosen if (t := stream.tolerance_s()) is None or now_s - stream.newest_us / US <= t
        }
        total = arrived + missing + dropped
        return Trust(
            watermark=datetime.fromtimestamp(min(mark / US, now_s), UTC),
            age_s=max(0.0, now_s - newest / US),
            usual_s=min(usual, default=None),
            freshness=fresh / weight if weight else None,
            completeness=arrived / total if total else None,
            reporting=len(on_time),
            late=tuple(sorted((x for x in late.values() if x.source in sources - on_time), key=lambda x: -x.age_s)),
            events_per_min=float(per_min),
            dropped=dropped,
            reason=None if weight else "the rhythm of the sources is still being learnt",
        )

    def _prune(self, now_s: int) -> None:
        if now_s - self._pruned < 10:
            return
        self._pruned = now_s
        for key, stream in list(self._streams.items()):
            stream.forget(now_s - MEMORY_S)
            if not stream.counts:
                del self._streams[key]


def _sender(source: str, streams: list[tuple[str, Stream]], now_s: float) -> Sender:
    newest = max(stream.newest_us for _, stream in streams) / US
    known = [(now_s - stream.newest_us / US, stream.tolerance_s()) for _, stream in streams]
    return Sender(
        source=source,
        last_seen=datetime.fromtimestamp(newest, UTC),
        age_s=max(0.0, now_s - newest),
        usual_s=min((usual for _, usual in known if usual is not None), default=None),
        late=all(usual is not None and age > usual for age, usual in known),
        events_per_min=float(sum(stream.count_since(now_s - 60) for _, stream in streams)),
        kinds=sorted(kind for kind, _ in streams if kind),
    )
