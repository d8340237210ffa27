"""A load from start to end: check the files, declare the dataset with the first good rows, keep batch after batch."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Protocol

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from analytics.declare import Profile, profile_of
from analytics.load.assemble import Assembler
from analytics.load.files import digest
from analytics.load.plan import Plan, Sample, blocks, nothing
from analytics.load.rejects import Rejects
from analytics.load.values import Converter
from analytics.workspace import Column

BATCH_ROWS = 50_000
BATCH_BYTES = 8 << 20
RATE_S = 5.0  # over so long the rate is taken


class Declaration(msgspec.Struct, frozen=True, kw_only=True):
    """A dataset to be made: its columns, which of them is the time, and what is known of its values."""

    title: str = ""
    columns: dict[str, Column]
    time: str = ""
    profile: Profile = Profile(rows=0)
    origin: str = ""


class Kept(msgspec.Struct, frozen=True):
    """What became of a batch."""

    accepted: int
    repeated: int


class Sink(Protocol):
    """Where rows go: a server's API, or the store of this process. Each raises PlumblineError."""

    def declare(self, dataset: str, declaration: Declaration) -> bool:
        """Make or describe a dataset; whether it is new."""

    def append(self, dataset: str, table: pa.Table) -> Kept:
        """Keep rows; returns when they are durable."""

    def forget(self, dataset: str) -> None:
        """Drop a dataset with its rows."""


class Progress(msgspec.Struct):
    """How far a load is. `done` and `total` are bytes of the files as they lie; `rate` rows a second."""

    stage: str = "waiting"  # waiting, checking, loading, done, failed, cancelled
    done: int = 0
    total: int = 0
    rows: int = 0
    accepted: int = 0
    repeated: int = 0
    rejected: int = 0
    rate: float = 0.0
    remaining_s: float | None = None
    elapsed_s: float = 0.0


class Cancelled(Exception):
    """Somebody asked to stop."""


class Load:
    """One load. `progress` may be read from any thread while `run` works in its own; `cancel` makes it stop soon."""

    def __init__(
        self,
        plan: Plan,
        sample: Sample,
        sink: Sink,
        rejects: Rejects,
        *,
        title: str = "",
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        heard: Callable[[Progress], None] = lambda progress: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.plan, self.rejects = plan, rejects
        self._sample, self._sink, self._title, self._now = sample, sink, title, now
        self._heard, self._clock = heard, clock
        self._cancelled = False
        self._profile: Profile | None = None
        self._sent: tuple[pa.Table, Future[Kept]] | None = None
        self.progress = Progress(total=sum(input.source.size for input in plan.inputs))
        self.start: datetime | None = None
        self.end: datetime | None = None

    def cancel(self) -> None:
        self._cancelled = True

    def run(self) -> Progress:
        """Carry it out. Raises PlumblineError or Cancelled; a dataset that was new is gone again then."""
        declared = new = False
        convert = Converter()
        try:
            digests = self._checked()
            self._begin("loading")
            assembler = Assembler(self.plan, convert, self._now())
            with ThreadPoolExecutor(1, thread_name_prefix="append") as sender:
                for table in self._tables(assembler, digests):
                    if not declared:
                        declared, new = True, self._sink.declare(self.plan.dataset, self._declaration(assembler))
                    self._append(table, sender)
                self._append(None, sender)
            if not self.progress.rows:
                raise nothing(self.plan.inputs[0].source.name, self.rejects)
            if new:
                self._sink.declare(self.plan.dataset, self._declaration(assembler))
        except BaseException as error:
            self._tell("cancelled" if isinstance(error, Cancelled) else "failed")
            if new:
                with contextlib.suppress(Exception):
                    self._sink.forget(self.plan.dataset)
            raise
        finally:
            convert.close()
            self.rejects.close()
        self.progress.done = self.progress.total
        self._tell("done")
        return self.progress

    def _checked(self) -> list[str]:
        """A digest of each file: a damaged one is found before anything is kept."""
        self._begin("checking")
        digests, before = [], 0
        for input in self.plan.inputs:
            digests.append(digest(input.source, self._reader(before)))
            before += input.source.size
        return digests

    def _tables(self, assembler: Assembler, digests: list[str]) -> Iterator[pa.Table]:
        """Batches of about BATCH_ROWS rows, none larger than one body of the API."""
        before, held = 0, list[pa.Table]()
        wanted = [field.field for field in self.plan.fields]
        for input, content in zip(self.plan.inputs, digests, strict=True):
            for block in blocks(input, self.rejects, wanted, self._reader(before)):
                for start in range(0, len(block), BATCH_ROWS):
                    part = block.cut(start, min(start + BATCH_ROWS, len(block)))
                    table = assembler.rows(part, input.source.name, content, self.rejects)
                    self.progress.rejected = self.rejects.total
                    held.append(table)
                    if sum(each.num_rows for each in held) >= BATCH_ROWS:
                        yield from _pieces(held)
                        held = []
            before += input.source.size
        yield from _pieces(held)

    def _append(self, table: pa.Table | None, sender: ThreadPoolExecutor) -> None:
        """Send a table while the next one is being read; counts when it is known to be kept."""
        sent, self._sent = self._sent, None
        if sent is not None:
            self._count(sent[0], sent[1].result())
        if self._cancelled:
            raise Cancelled
        if table is not None:
            self._sent = (table, sender.submit(self._sink.append, self.plan.dataset, table))

    def _count(self, table: pa.Table, kept: Kept) -> None:
        span = pc.min_max(table["time"])
        first, last = (span[end].as_py().replace(tzinfo=UTC) for end in ("min", "max"))
        self.start, self.end = min(self.start or first, first), max(self.end or last, last)
        self.progress.rows += table.num_rows
        self.progress.accepted += kept.accepted
        self.progress.repeated += kept.repeated
        self._tell("loading")

    def _declaration(self, assembler: Assembler) -> Declaration:
        """By the sample, with the rows and the times of all that is loaded so far."""
        if self._profile is None:
            unread, pairs = Rejects(), zip(self._sample.blocks, self._sample.files, strict=True)
            self._profile = profile_of(pa.concat_tables([assembler.rows(*pair, "", unread) for pair in pairs]))
        profile = self._profile
        if self.progress.rows:
            profile = msgspec.structs.replace(profile, rows=self.progress.rows, start=self.start, end=self.end)
        names = [input.source.name for input in self.plan.inputs]
        origin = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        return Declaration(
            title=self._title,
            columns=self.plan.columns,
            time=self.plan.time_column,
            profile=profile,
            origin=origin,
        )

    def _begin(self, stage: str) -> None:
        self._started, self._marks = self._clock(), [(self._clock(), 0, 0)]
        self.progress.done = 0
        self._tell(stage)

    def _reader(self, before: int) -> Callable[[int], None]:
        def at(done: int) -> None:
            if self._cancelled:
                raise Cancelled
            self.progress.done = before + done
            self._tell(self.progress.stage)

        return at

    def _tell(self, stage: str) -> None:
        """The rate is that of the last seconds; what remains goes by bytes, which are known from the start."""
        progress, now = self.progress, self._clock()
        progress.stage, progress.elapsed_s = stage, now - self._started
        if now - self._marks[-1][0] > 0.2:
            self._marks.append((now, progress.done, progress.rows))
            while len(self._marks) > 2 and now - self._marks[0][0] > RATE_S:
                self._marks.pop(0)
        since, done, rows = self._marks[0]
        if now - since > 0.2 and progress.done > done:
            progress.rate = (progress.rows - rows) / (now - since)
            progress.remaining_s = (progress.total - progress.done) * (now - since) / (progress.done - done)
        self._heard(progress)


def _pieces(tables: list[pa.Table]) -> Iterator[pa.Table]:
    """All rows, cut where they are too many bytes for one body."""
    if not sum(table.num_rows for table in tables):
        return
    table = pa.concat_tables(tables)
    count = -(-table.nbytes // BATCH_BYTES)
    rows = max(1, -(-table.num_rows // count))
    for start in range(0, table.num_rows, rows):
        yield table.slice(start, rows)
