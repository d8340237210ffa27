"""`load claude-code` and `load codex`: once, or for as long as somebody follows."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import msgspec
from rich.console import Console
from rich.table import Table

from analytics.errors import Internal, Overloaded, RateLimited, StorageFull, Timeout, Unauthorized, ValidationError
from analytics.load.run import Progress
from analytics.load.sinks import Gone
from analytics.load.transcripts_load import READERS, TOKENS, Tally, Transcripts, roots
from analytics.load.transcripts_tail import Marks

POLL_S = 1.0
RETRY_S = 5.0
AWAY = (Gone, Internal, Overloaded, RateLimited, StorageFull, Timeout, Unauthorized)  # a server that comes back
DATASET = "events"


class Target(Protocol):
    """Where rows go."""

    sink: Any
    url: str


class Bar(Protocol):
    """Progress on a terminal."""

    def heard(self, progress: Progress) -> None: ...


Connect = Callable[[], AbstractContextManager[Target]]
Bars = Callable[[], AbstractContextManager[Bar]]


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for. `again` reads from the start; what is there already is not kept twice."""

    tool: str
    folders: list[Path]
    data: Path
    follow: bool = False
    text: bool = False
    again: bool = False
    dry_run: bool = False


class Job:
    """One run of the command."""

    def __init__(self, asked: Asked, out: Console, bar: Bars) -> None:
        if asked.follow and asked.dry_run:
            raise ValidationError("--follow sends and --dry-run does not", hint="take one of them")
        self._asked, self._out, self._bar = asked, out, bar
        self._reader = READERS[asked.tool]
        self._again = asked.again
        self._tally = Tally()

    def look(self) -> Tally:
        """What would be sent, by day and model. Raises NotFound."""
        places = self._roots()
        with self._bar() as bar:
            tally = self._transcripts(None).pass_over(places, bar.heard)
        table = Table(box=None, pad_edge=False, header_style="dim")
        for name in ("day", "model", "calls", *TOKENS):
            table.add_column(name, justify="left" if name in ("day", "model") else "right")
        for (day, model), counts in sorted(tally.days.items()):
            table.add_row(day, _plain(model), *(f"{counts[name]:,}" for name in ("calls", *TOKENS)))
        self._out.print(table)
        self._told(tally)
        self._out.print("Nothing was sent.")
        return tally

    def load(self, connect: Connect) -> Tally:
        """Everything that is new. Raises PlumblineError."""
        places = self._roots()
        with connect() as target:
            with self._bar() as bar:
                self._transcripts(target).pass_over(places, bar.heard)
            self._report(target.url)
        return self._tally

    def follow(self, connect: Connect, stop: threading.Event) -> Tally:
        """Everything that is new, again and again until `stop` or an interrupt; a server that went away is waited
        for. Raises PlumblineError."""
        places, told = self._roots(), False
        with _interruptible(), contextlib.suppress(KeyboardInterrupt):
            while not stop.is_set():
                try:
                    with connect() as target:
                        told = False
                        self._stay(target, places, stop)
                except AWAY as error:
                    if not told:
                        self._out.print(f"[yellow]{_plain(error.message)}[/]; trying again every {RETRY_S:g} s")
                    told = True
                    stop.wait(RETRY_S)
        self._report("")
        return self._tally

    def _stay(self, target: Target, places: list[Path], stop: threading.Event) -> None:
        transcripts = self._transcripts(target)
        with self._bar() as bar:
            transcripts.pass_over(places, bar.heard)
        self._again = False
        self._told(self._tally)
        self._out.print(f"Following {self._reader.title}; stop with Ctrl-C")
        while not stop.wait(POLL_S):
            before = self._tally.rows
            transcripts.pass_over(places)
            if self._tally.rows > before:
                self._out.print(f"{datetime.now(UTC):%H:%M:%S}Z {self._tally.rows - before:,} rows")

    def _roots(self) -> list[Path]:
        return roots(self._reader, self._asked.folders, dict(os.environ))

    def _transcripts(self, target: Target | None) -> Transcripts:
        marks = Marks(self._asked.data / f"transcripts-{self._reader.name}.json", afresh=self._again)
        send = None if target is None else lambda table: target.sink.append(DATASET, table)
        return Transcripts(self._reader, marks, send, _now, self._tally, text=self._asked.text)

    def _report(self, url: str) -> None:
        tally = self._tally
        self._told(tally)
        self._out.print(f"Kept {tally.accepted:,} rows; {tally.repeated:,} were there already")
        if lost := tally.rows - tally.accepted - tally.repeated:
            self._out.print(f"[yellow]{lost:,} rows were refused[/]; the sources of the board say why")
        if url:
            self._out.print(f"The board: {url}/")

    def _told(self, tally: Tally) -> None:
        kinds = tally.kinds
        self._out.print(
            f"{self._reader.title}, {tally.files:,} files: {kinds['model']:,} model calls, "
            f"{kinds['tool']:,} tool uses, {kinds['flow']:,} turns"
        )
        if tally.waiting:
            self._out.print(f"{tally.waiting:,} messages are still being written; the next load has them")
        for counts, what in ((tally.unknown, "lines of an unknown type"), (tally.skipped, "skipped")):
            if counts:
                named = ", ".join(f"{_plain(name)} {count:,}" for name, count in counts.most_common())
                self._out.print(f"[yellow]{counts.total():,} {what}[/]: {named}")


@contextlib.contextmanager
def _interruptible() -> Any:
    """A polite end is an interrupt too, where this thread may say so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def run(
    asked: Asked,
    server: Callable[[], AbstractContextManager[Target] | None],
    local: Connect,
    bar: Bars,
    out: Console,
) -> None:
    """Carry it out, through the server or in the store of this process. Raises PlumblineError."""
    served: list[bool] = []

    def connect() -> AbstractContextManager[Target]:
        found = server()
        if found is None and any(served):  # who began with a server waits for it
            raise Gone("the server does not answer")
        served.append(found is not None)
        return found or local()

    job = Job(asked, out, bar)
    if asked.dry_run:
        job.look()
    elif asked.follow:
        job.follow(connect, threading.Event())
    else:
        job.load(connect)


def _now() -> datetime:
    return datetime.now(UTC)


def _plain(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text).replace("[", "\\[")
