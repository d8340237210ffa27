"""One pass over the session files of a tool: read on, send, remember."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path

import msgspec
import pyarrow as pa

from analytics.errors import NotFound
from analytics.load import run
from analytics.load.transcripts import Reader, Rows
from analytics.load.transcripts_claude import ClaudeCode
from analytics.load.transcripts_codex import Codex
from analytics.load.transcripts_tail import Marks, read_on, sessions

BATCH = 5_000
READERS: dict[str, Reader] = {reader.name: reader for reader in (ClaudeCode(), Codex())}

Send = Callable[[pa.Table], run.Kept]
Key = tuple[str, str]  # day, model


class Tally(msgspec.Struct):
    """What passes did. `kinds` counts rows that were sent, `days` tokens by day and model, once per call."""

    files: int = 0
    rows: int = 0
    accepted: int = 0
    repeated: int = 0
    waiting: int = 0
    kinds: Counter[str] = msgspec.field(default_factory=Counter)
    unknown: Counter[str] = msgspec.field(default_factory=Counter)
    skipped: Counter[str] = msgspec.field(default_factory=Counter)
    days: dict[Key, Counter[str]] = {}


class Transcripts:
    """Reads files on from their marks and sends what they tell; a mark moves when its rows are durable.

    `send` None looks only: nothing is sent, no mark is kept, and each event counts once."""

    def __init__(
        self,
        reader: Reader,
        marks: Marks,
        send: Send | None,
        now: Callable[[], datetime],
        tally: Tally | None = None,
        *,
        text: bool = False,
    ) -> None:
        self._reader, self._marks, self._send, self._now = reader, marks, send, now
        self._rows = Rows(reader.name, text=text)
        self._seen: set[str] = set()
        self.tally = tally or Tally()

    def pass_over(self, roots: Iterable[Path], heard: Callable[[run.Progress], None] = lambda progress: None) -> Tally:
        """One pass; what it did is in the tally of all passes. Raises PlumblineError of `send`."""
        files = sessions(self._reader, roots)
        progress = run.Progress(stage="loading", total=sum(_left(path, self._marks) for path in files))
        moved = False
        for path in files:
            try:
                for size in read_on(path, self._marks, self._reader, self._rows, self._now()):
                    moved = True
                    progress.done += size
                    heard(progress)
                    if len(self._rows.events) >= BATCH:
                        self._flush()
            except OSError as error:  # gone meanwhile, or not ours to read; the others are
                self._rows.skipped[f"a file that cannot be read: {error.strerror}"] += 1
        if moved or self._rows.events:
            self._flush()
        self.tally.files = len(files)
        self.tally.unknown, self.tally.skipped = self._rows.unknown, self._rows.skipped
        self.tally.waiting = sum(len(mark.state.calls) for mark in self._marks.files.values())
        return self.tally

    def _flush(self) -> None:
        events, tally = self._rows.events, self.tally
        fresh = [event for event in events if event["event_id"] not in self._seen]
        if self._send is None:
            fresh = list({event["event_id"]: event for event in fresh}.values())
            self._seen.update(event["event_id"] for event in fresh)
        elif events:
            kept = self._send(self._rows.table(self._now()))
            tally.accepted += kept.accepted
            tally.repeated += kept.repeated
        tally.rows += len(fresh)
        tally.kinds.update(event["kind"] for event in fresh)
        for event in fresh:
            if event["kind"] == "model":
                day = tally.days.setdefault((f"{event['time']:%Y-%m-%d}", event["model"] or ""), Counter())
                day.update({name: event[name] for name in TOKENS}, calls=1)
        self._rows.events = []
        if self._send is not None:
            self._marks.save()


TOKENS = ("tokens_input", "tokens_output", "tokens_cached", "tokens_cache_written")


def roots(reader: Reader, named: list[Path], environ: dict[str, str]) -> list[Path]:
    """The folders to read. Raises NotFound that says what was expected."""
    if named:
        if gone := [folder for folder in named if not folder.exists()]:
            raise NotFound(f"there is no folder {gone[0]}", hint=f"expected the sessions of {reader.title}")
        return [place for folder in named for place in reader.within(folder)]
    usual = reader.folders(environ)
    found = [folder for folder in usual if folder.is_dir()]
    if not found:
        raise NotFound(
            f"no sessions of {reader.title}: expected {usual[0]}",
            hint=f"set {reader.variable} or give the folder: load {reader.name} FOLDER",
        )
    return found


def _left(path: Path, marks: Marks) -> int:
    mark = marks.files.get(str(path))
    try:
        return max(path.stat().st_size - (mark.offset if mark else 0), 0)
    except OSError:
        return 0
