"""Intake: bytes from a sender to an Arrow table and a list of what was dropped and why."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import msgspec
import pyarrow as pa

from analytics.errors import UnsupportedMedia
from analytics.events import SCHEMA
from analytics.ingest import checks, logs, points, spans
from analytics.ingest.body import unpacked
from analytics.ingest.json_events import JsonReader
from analytics.ingest.limits import Limits
from analytics.ingest.reasons import Counters, Drop, Drops
from analytics.ingest.vocabulary import Vocabulary
from analytics.ingest.wire import OtlpReader
from analytics.load import incoming
from analytics.workspace import Dataset


class Batch(msgspec.Struct, frozen=True):
    """Rows of events.SCHEMA, the drops, the moment of arrival (UTC), and how many rows were trimmed."""

    table: pa.Table
    drops: list[Drop]
    received: datetime
    trimmed: int = 0

    @property
    def dropped(self) -> int:
        return sum(drop.count for drop in self.drops)


class Work(msgspec.Struct):
    """One body on its way through STEPS."""

    body: bytes
    format: str
    encoding: str
    source: str | None
    received: datetime
    drops: Drops
    table: pa.Table = None
    trimmed: int = 0


class Intake:
    """Holds the vocabulary and the compiled decoders; build it once. Safe to call from several threads."""

    def __init__(
        self,
        vocabulary: Vocabulary,
        *,
        now: Callable[[], datetime],
        limits: Limits | None = None,
        counters: Counters | None = None,
    ) -> None:
        self.vocabulary = vocabulary
        self.limits = limits or Limits()
        self.counters = counters or Counters()
        self.now = now
        self.json = JsonReader()
        self.otlp = OtlpReader()

    def ingest(
        self,
        body: bytes,
        *,
        format: str = "json",
        encoding: str = "",
        source: str | None = None,
        dataset: str = "events",
        declared: Dataset | None = None,
    ) -> Batch:
        """One body to rows and drops; `format` is a name in FORMATS, `source` the sender's key, `declared` the
        dataset where it may have columns of its own.

        Raises TooLarge, UnsupportedMedia, and ValidationError where nothing of the body can be read.
        """
        if format not in FORMATS:
            raise UnsupportedMedia(
                f"cannot read the format {format[:40]!r}",
                hint="send application/json, application/x-ndjson, text/csv or application/vnd.apache.arrow.stream",
            )
        work = Work(body, format, encoding, source, self.now(), Drops())
        if declared is not None and declared.columns:
            return self._own_columns(work, declared)
        for step in STEPS:
            step(self, work)
        drops = work.drops.list()
        self.counters.add(dataset, source or "", work.table.num_rows, drops, work.trimmed)
        return Batch(work.table, drops, work.received, work.trimmed)

    def _own_columns(self, work: Work, dataset: Dataset) -> Batch:
        unpack(self, work)
        name = work.source or ""
        table, drops = incoming.declared(
            work.body,
            work.format,
            dataset,
            source=name,
            received=work.received,
            limit=self.limits.unpacked_max,
        )
        self.counters.add(dataset.name, name, table.num_rows, drops, 0)
        return Batch(table, drops, work.received)


def unpack(intake: Intake, work: Work) -> None:
    """Decompress, within both size limits."""
    limits = intake.limits
    work.body = unpacked(work.body, work.encoding, packed_max=limits.packed_max, unpacked_max=limits.unpacked_max)


def parse(intake: Intake, work: Work) -> None:
    """Read the body and map it to columns; what cannot be read drops alone."""
    work.table = FORMATS[work.format](intake, work)


def measure(intake: Intake, work: Work) -> None:
    """Drop the events that are too large to keep."""
    work.table = checks.kept(work.table, checks.sizes(work.table, intake.limits), work.drops)


def tidy(intake: Intake, work: Work) -> None:
    """Texts bounded and repaired, kind and status in the words of events.py."""
    work.table = checks.tidied(work.table, intake.limits, intake.vocabulary.statuses)


def validate(intake: Intake, work: Work) -> None:
    """Drop the rows that break a rule."""
    work.table = checks.kept(work.table, checks.rules(intake.limits, work.received), work.drops)


def complete(intake: Intake, work: Work) -> None:
    """Fill in what the sender left open: time, kind, source, event_id, status."""
    work.table = checks.completed(work.table, work.source, work.received)


def trim(intake: Intake, work: Work) -> None:
    """Cut attributes that are over their limit, and say so in them."""
    work.table, work.trimmed = checks.trimmed(work.table, intake.limits.attributes_max)


def table(intake: Intake, work: Work) -> None:
    """Exactly events.SCHEMA, in one chunk."""
    work.table = work.table.select(SCHEMA.names).combine_chunks()


STEPS: tuple[Callable[[Intake, Work], None], ...] = (unpack, parse, measure, tidy, validate, complete, trim, table)

FORMATS: dict[str, Callable[[Intake, Work], pa.Table]] = {
    "json": lambda i, w: i.json.table(w.body, w.drops, lines=False),
    "ndjson": lambda i, w: i.json.table(w.body, w.drops, lines=True),
    "csv": lambda i, w: incoming.canonical(w.body, "csv", w.drops, i.limits.unpacked_max),
    "arrow": lambda i, w: incoming.canonical(w.body, "arrow", w.drops, i.limits.unpacked_max),
    "otlp-traces-protobuf": lambda i, w: spans.table(i.otlp.protobuf("traces", w.body), i.vocabulary, w.drops),
    "otlp-traces-json": lambda i, w: spans.table(i.otlp.json("traces", w.body), i.vocabulary, w.drops),
    "otlp-metrics-protobuf": lambda i, w: points.table(i.otlp.protobuf("metrics", w.body), i.vocabulary, w.drops),
    "otlp-metrics-json": lambda i, w: points.table(i.otlp.json("metrics", w.body), i.vocabulary, w.drops),
    "otlp-logs-protobuf": lambda i, w: logs.table(i.otlp.protobuf("logs", w.body), i.vocabulary, w.drops),
    "otlp-logs-json": lambda i, w: logs.table(i.otlp.json("logs", w.body), i.vocabulary, w.drops),
}
