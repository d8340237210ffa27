"""The rows that could not be kept: counted by reason, a few shown, all written to a file that a person can mend."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path
from typing import IO, Any

import msgspec

from analytics.ingest.reasons import Drop, Reason, printable

SHOWN = 50
WRITTEN_BYTES = 256 << 20
RAW = 4096
HEADER = ("file", "line", "reason", "expected", "raw")


class Reject(msgspec.Struct, frozen=True):
    """One row that was not kept: where it was, why, what was expected, and how it looked."""

    file: str
    line: int
    reason: Reason
    expected: str
    raw: str


class Rejects:
    """Collects the rejects of a load. `path` is made when the first one comes; without it nothing is written."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self.counts: Counter[Reason] = Counter()
        self.first: list[Reject] = []
        self.unwritten = 0
        self._examples: dict[Reason, Reject] = {}
        self._file: IO[str] | None = None
        self._writer: Any = None

    @property
    def total(self) -> int:
        return self.counts.total()

    def add(self, file: str, line: int, reason: Reason, expected: str, raw: bytes | str) -> None:
        """`line` is 1-based: of the text, or of the rows where a file has no lines."""
        text = raw if isinstance(raw, str) else raw.decode("utf-8", "backslashreplace")
        reject = Reject(file, line, reason, expected, text.rstrip("\r\n")[:RAW])
        self.counts[reason] += 1
        self._examples.setdefault(reason, reject)
        if len(self.first) < SHOWN:
            self.first.append(reject)
        self._write(reject)

    def drops(self) -> list[Drop]:
        """The same as intake tells it."""
        return [
            Drop(reason, count, printable(f"line {(first := self._examples[reason]).line}: {first.expected}"))
            for reason, count in self.counts.most_common()
        ]

    def told(self) -> list[dict[str, Any]]:
        """Count, meaning and first example of each reason, the most frequent first."""
        return [
            {"reason": reason.code, "meaning": reason.doc, "count": count}
            | {"line": (first := self._examples[reason]).line, "example": first.expected}
            for reason, count in self.counts.most_common()
        ]

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _write(self, reject: Reject) -> None:
        if self.path is None:
            return
        if self._file is None:
            self._file = self.path.open("w", encoding="utf-8", errors="backslashreplace", newline="")
            self._writer = csv.writer(self._file)
            self._writer.writerow(HEADER)
        if self._file.tell() > WRITTEN_BYTES:  # a file that is all wrong does not fill the disk twice
            self.unwritten += 1
            return
        self._writer.writerow((reject.file, reject.line, reject.reason.code, reject.expected, reject.raw))
