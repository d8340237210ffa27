"""Plumbline about itself: every figure once, in FAMILIES for scrapers and in READINGS for its own board.

Figures are read where they are kept when somebody asks; only requests and the delays of the event loop are
noted as they happen. Nothing here names a key, an address or a path.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
import psutil
import pyarrow as pa
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from analytics.errors import PlumblineError
from analytics.events import SCHEMA
from analytics.ingest.reasons import Counters, Reason
from analytics.store.base import Store

SELF = "self"  # the dataset of its own readings
SOURCE = "plumbline"
BEAT_S = 0.25
BEATS = 20  # so the lag is the worst of the last five seconds
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
NOT_QUESTIONS = ("ingest", "subscribe")

Samples = Iterable[tuple[tuple[str, ...], float]]


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """Everything as it stands at one moment, read once per scrape or reading."""

    connections: Mapping[str, int]  # by state
    requests: Mapping[tuple[str, str], int]  # by type and code
    hub: Mapping[str, float]
    store: Mapping[str, Any]
    accepted: Mapping[str, int]  # by dataset
    dropped: Mapping[tuple[str, str], int]  # by dataset and reason
    trimmed: Mapping[str, int]  # by dataset
    loop_lag_s: float
    memory_bytes: int
    cpu_s: float
    open_files: int


class Family(msgspec.Struct, frozen=True):
    """One documented name of /metrics: its kind, what it says, its labels, and where its samples are read."""

    name: str
    kind: str  # gauge, counter or histogram
    help: str
    read: Callable[[Figures], Samples] = lambda f: ()
    labels: tuple[str, ...] = ()


def one(read: Callable[[Figures], float]) -> Callable[[Figures], Samples]:
    """A family without labels."""
    return lambda f: [((), read(f))]


def by(read: Callable[[Figures], Mapping[Any, float]]) -> Callable[[Figures], Samples]:
    """A family with one sample for each entry of a mapping."""
    return lambda f: [(key if isinstance(key, tuple) else (key,), value) for key, value in read(f).items()]


REQUEST_SECONDS = Family(
    "plumbline_request_seconds",
    "histogram",
    "Seconds until a request was answered; standing is a live board's question on a tick",
    labels=("type",),
)
FAMILIES = (
    Family("plumbline_connections", "gauge", "Open sockets", by(lambda f: f.connections), ("state",)),
    Family("plumbline_subscriptions", "gauge", "Subscriptions that stand", one(lambda f: f.hub["subscriptions"])),
    Family("plumbline_standing_queries", "gauge", "Distinct queries behind them", one(lambda f: f.hub["standing"])),
    Family("plumbline_requests_total", "counter", "Requests by how they ended; OK, or the code of the error",
           by(lambda f: f.requests), ("type", "code")),
    REQUEST_SECONDS,
    Family("plumbline_hub_ticks_total", "counter", "Ticks of the live boards", one(lambda f: f.hub["ticks"])),
    Family("plumbline_hub_tick_seconds", "gauge", "Length of the last tick", one(lambda f: f.hub["tick_s"])),
    Family("plumbline_hub_fanout_seconds", "gauge", "Longest fan-out of the last tick, from first subscriber to last",
           one(lambda f: f.hub["fanout_s"])),
    Family("plumbline_hub_dropped_total", "counter", "Messages that slow readers did not get",
           one(lambda f: f.hub["dropped"])),
    Family("plumbline_hub_coalesced_total", "counter", "Snapshots that made up for them",
           one(lambda f: f.hub["coalesced"])),
    Family("plumbline_ingest_accepted_total", "counter", "Events read from senders, repeats included",
           by(lambda f: f.accepted), ("dataset",)),
    Family("plumbline_ingest_dropped_total", "counter", "Events refused", by(lambda f: f.dropped),
           ("dataset", "reason")),
    Family("plumbline_ingest_trimmed_total", "counter", "Events whose attributes were cut",
           by(lambda f: f.trimmed), ("dataset",)),
    Family("plumbline_writer_queue_rows", "gauge", "Rows that wait for their commit",
           one(lambda f: f.store["queue_rows"])),
    Family("plumbline_writer_queue_seconds", "gauge", "Age of the oldest of them", one(lambda f: f.store["queue_s"])),
    Family("plumbline_writer_commits_total", "counter", "Commits", one(lambda f: f.store["commits"])),
    Family("plumbline_writer_last_commit_seconds", "gauge", "Length of the last commit",
           one(lambda f: f.store["last_commit_ms"] / 1000)),
    Family("plumbline_store_bytes", "gauge", "Size of the database on disk", one(lambda f: f.store["bytes"])),
    Family("plumbline_store_rows", "gauge", "Rows kept", by(lambda f: f.store["datasets"]), ("dataset",)),
    Family("plumbline_store_readers_busy", "gauge", "Reader threads at work", one(lambda f: f.store["readers_busy"])),
    Family("plumbline_loop_lag_seconds", "gauge", "Longest delay of the event loop in the last five seconds",
           one(lambda f: f.loop_lag_s)),
    Family("plumbline_memory_bytes", "gauge", "Resident memory of the process", one(lambda f: f.memory_bytes)),
    Family("plumbline_cpu_seconds_total", "counter", "CPU time of the process", one(lambda f: f.cpu_s)),
    Family("plumbline_open_files", "gauge", "Open files and sockets of the process", one(lambda f: f.open_files)),
)  # fmt: skip

# name, unit, value now; those that cover the time since the last reading are in Telemetry._since
READINGS: tuple[tuple[str, str, Callable[[Figures], float]], ...] = (
    ("plumbline.connections", "{connection}", lambda f: sum(f.connections.values())),
    ("plumbline.subscriptions", "{subscription}", lambda f: f.hub["subscriptions"]),
    ("plumbline.tick_ms", "ms", lambda f: f.hub["tick_s"] * 1000),
    ("plumbline.fanout_ms", "ms", lambda f: f.hub["fanout_s"] * 1000),
    ("plumbline.loop_lag_ms", "ms", lambda f: f.loop_lag_s * 1000),
    ("plumbline.writer.queue_rows", "{row}", lambda f: f.store["queue_rows"]),
    ("plumbline.writer.commit_ms", "ms", lambda f: f.store["last_commit_ms"]),
    ("plumbline.store_bytes", "By", lambda f: f.store["bytes"]),
    ("plumbline.memory_bytes", "By", lambda f: f.memory_bytes),
    ("plumbline.open_files", "{file}", lambda f: f.open_files),
)


class Telemetry:
    """Collects the figures of one process. All methods belong to its event loop.

    connections: open sockets by state. hub: `Hub.stats`. counters: what intake has counted.
    """

    def __init__(
        self,
        *,
        store: Store,
        hub: Callable[[], Mapping[str, float]],
        counters: Counters,
        connections: Callable[[], Mapping[str, int]],
    ) -> None:
        self._store, self._hub, self._counters, self._connections = store, hub, counters, connections
        self._process = psutil.Process()
        self._requests: Counter[tuple[str, str]] = Counter()
        self._answers: deque[float] = deque(maxlen=10_000)  # seconds, since the last reading
        self._lags: deque[float] = deque([0.0], maxlen=BEATS)
        self._before: tuple[datetime, Figures] | None = None
        self._registry = CollectorRegistry()
        self._registry.register(self)
        h = REQUEST_SECONDS
        self._seconds = Histogram(h.name, h.help, h.labels, buckets=BUCKETS, registry=self._registry)

    # noting

    def observe(self, type: str, code: str, seconds: float) -> None:
        """One request has ended; the hook of Service."""
        self._requests[type, code] += 1
        self._seconds.labels(type).observe(seconds)
        if type not in NOT_QUESTIONS:
            self._answers.append(seconds)

    async def watch_loop(self) -> None:
        """Note for ever how late the loop wakes a sleeper."""
        while True:
            due = time.monotonic() + BEAT_S
            await asyncio.sleep(BEAT_S)
            self._lags.append(max(0.0, time.monotonic() - due))

    # telling

    def text(self) -> bytes:
        """All families in the text format of scrapers. Raises Overloaded while the store is closed."""
        return generate_latest(self._registry)

    def describe(self) -> Iterable[Metric]:
        """For the registry: nothing to check against."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """For the registry: every family of FAMILIES that keeps no state of its own."""
        figures = self.figures()
        for family in FAMILIES:
            if family.kind == "histogram":
                continue
            make = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
            told = make(family.name, family.help, labels=family.labels)
            for labels, value in family.read(figures):
                told.add_metric(labels, value)
            yield told

    def figures(self) -> Figures:
        """Everything as it stands. Raises Overloaded while the store is closed."""
        with self._process.oneshot():
            cpu = self._process.cpu_times()
            memory = self._process.memory_info().rss
        dropped = {("events", reason.code): 0 for reason in Reason}  # a rate needs the zero before the first one
        for (dataset, _, reason), count in dict(self._counters.dropped).items():
            dropped[dataset, reason.code] = dropped.get((dataset, reason.code), 0) + count
        return Figures(
            connections=self._connections(),
            requests=dict(self._requests),
            hub=self._hub(),
            store=self._store.stats(),
            accepted=_by_dataset(self._counters.accepted),
            dropped=dropped,
            trimmed=_by_dataset(self._counters.trimmed),
            loop_lag_s=max(self._lags),
            memory_bytes=memory,
            cpu_s=cpu.user + cpu.system,
            open_files=self._process.num_fds() if psutil.POSIX else 0,
        )

    async def record(self, now: datetime) -> None:
        """Keep the readings of this moment; one that finds no room is not worth a retry."""
        with contextlib.suppress(PlumblineError):
            await self._store.append(SELF, self.readings(now))

    def readings(self, now: datetime) -> pa.Table:
        """Rows of events.SCHEMA for the dataset SELF. now: aware UTC; rates cover the time since the last call.

        They have no event_id: nobody sends them twice, and ids are remembered for ever.
        """
        figures = self.figures()
        told = {name: (float(read(figures)), unit) for name, unit, read in READINGS} | self._since(now, figures)
        self._before = (now, figures)
        moment = now.astimezone(UTC).replace(tzinfo=None)
        count = len(told)
        known = {
            "time": [moment] * count,
            "received": [moment] * count,
            "kind": ["resource"] * count,
            "name": list(told),
            "source": [SOURCE] * count,
            "resource": [SOURCE] * count,
            "value": [value for value, _ in told.values()],
            "unit": [unit for _, unit in told.values()],
        }
        return pa.table([pa.array(known.get(f.name, [None] * count), f.type) for f in SCHEMA], schema=SCHEMA)

    def _since(self, now: datetime, figures: Figures) -> dict[str, tuple[float, str]]:
        """What only a stretch of time has; left out where there was none, or nothing was asked in it."""
        told: dict[str, tuple[float, str]] = {}
        if self._answers:
            told["plumbline.query_p95_ms"] = (float(np.quantile(self._answers, 0.95)) * 1000, "ms")
            self._answers.clear()
        if self._before is None or (seconds := (now - self._before[0]).total_seconds()) <= 0:
            return told
        before = self._before[1]
        rates: tuple[tuple[str, str, Callable[[Figures], float]], ...] = (
            ("plumbline.ingest.accepted_per_s", "{event}/s", lambda f: sum(f.accepted.values())),
            ("plumbline.ingest.dropped_per_s", "{event}/s", lambda f: sum(f.dropped.values())),
            ("plumbline.cpu", "1", lambda f: f.cpu_s),
        )
        return told | {name: ((read(figures) - read(before)) / seconds, unit) for name, unit, read in rates}


def _by_dataset(counted: Mapping[tuple[str, str], int]) -> dict[str, int]:
    """Counts by dataset; the second part of the key is a sender's name, which is nobody's business here."""
    found: Counter[str] = Counter()
    for (dataset, _), count in dict(counted).items():
        found[dataset] += count
    return dict(found)
