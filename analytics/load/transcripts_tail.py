"""Session files that grow: how far each is read, and reading on from there. Files that shrink, rotate or end in the
middle of a line are met again at the next pass."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import IO, Any

import msgspec

from analytics.load.transcripts import Reader, Rows, State, settle

BLOCK = 1 << 20
LINE_MAX = 32 << 20
HEAD = 256  # bytes that a file is known by
QUIET_S = 600.0  # after so long nobody writes the end of what is open
VERSION = 1


class Mark(msgspec.Struct):
    """How far a file is read. `skipping`: the offset is inside a line that is too long."""

    device: int = 0
    inode: int = 0
    offset: int = 0
    size: int = 0
    modified: int = 0
    head: str = ""
    head_size: int = 0
    skipping: bool = False
    state: State = msgspec.field(default_factory=State)


class Kept(msgspec.Struct):
    """The marks as they are kept, by the real path of the file."""

    version: int = VERSION
    files: dict[str, Mark] = {}


class Marks:
    """All marks of one tool in a file of the data directory. Losing it costs time, never a count."""

    def __init__(self, path: Path, *, afresh: bool = False) -> None:
        self._path = path
        self.files: dict[str, Mark] = {} if afresh else _read(path)

    def save(self) -> None:
        """Durable and whole, for its owner alone; without files that are gone."""
        self.files = {name: mark for name, mark in self.files.items() if os.path.exists(name)}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        beside = self._path.with_suffix(".new")
        beside.unlink(missing_ok=True)
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(msgspec.json.encode(Kept(files=self.files)))
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self._path)


def sessions(reader: Reader, roots: Iterable[Path]) -> list[Path]:
    """The session files below folders, each real file once, the oldest name first so that an original comes before
    its copies. Links are followed, never twice."""
    found: dict[str, Path] = {}
    seen: set[str] = set()
    for root in roots:
        if root.is_file():
            found[os.path.realpath(root)] = root
        for folder, folders, names in os.walk(root, followlinks=True):
            real = os.path.realpath(folder)
            if real in seen:
                folders.clear()
                continue
            seen.add(real)
            for name in filter(reader.mine, names):
                path = os.path.realpath(os.path.join(folder, name))
                if os.path.isfile(path):
                    found[path] = Path(path)
    return sorted(found.values(), key=lambda path: (path.name, str(path)))


def read_on(path: Path, marks: Marks, reader: Reader, rows: Rows, now: datetime) -> Iterator[int]:
    """What a file has more than at its mark; yields how many bytes were read, between two lines. Raises OSError."""
    mark = marks.files.setdefault(str(path), Mark())
    about = path.stat()
    still = (mark.inode, mark.size, mark.modified) == (about.st_ino, about.st_size, about.st_mtime_ns)
    quiet = now.timestamp() - about.st_mtime >= QUIET_S
    if still and not (quiet and mark.state.open):
        return
    with path.open("rb") as file:
        about = os.fstat(file.fileno())
        if not _known(file, about, mark):
            mark = marks.files[str(path)] = Mark(device=about.st_dev, inode=about.st_ino)
            reader.begin(path, mark.state)
        yield from _lines(file, mark, reader, rows)
        mark.size, mark.modified = about.st_size, about.st_mtime_ns
        if mark.head_size < HEAD:
            file.seek(0)
            mark.head_size = min(HEAD, mark.offset)
            mark.head = _digest(file.read(mark.head_size))
    settle(mark.state, rows, quiet=quiet)


def _lines(file: IO[bytes], mark: Mark, reader: Reader, rows: Rows) -> Iterator[int]:
    file.seek(mark.offset)
    rest = b""
    while block := file.read(BLOCK):
        lines = (rest + block).split(b"\n")
        size, rest = len(rest) + len(block), lines.pop()
        if mark.skipping and lines:
            lines[0], mark.skipping = b"", False
        for line in lines:
            if line and not _line(line, mark.state, reader, rows):
                rows.skipped["not a JSON object"] += 1
        if len(rest) > LINE_MAX and not mark.skipping:
            rows.skipped[f"over {LINE_MAX >> 20} MiB"] += 1
            mark.skipping = True
        rest = b"" if mark.skipping else rest
        mark.offset += size - len(rest)
        yield len(block)
    if rest and not mark.skipping and _line(rest, mark.state, reader, rows):  # whole, only its end is missing
        mark.offset += len(rest)


def _line(line: bytes, state: State, reader: Reader, rows: Rows) -> bool:
    """Whether it is an object of JSON, which no beginning of one is."""
    try:
        said: Any = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return not line.strip()
    if not isinstance(said, dict):
        return False
    reader.line(said, state, rows)
    return True


def _known(file: IO[bytes], about: os.stat_result, mark: Mark) -> bool:
    """Whether it is still the file of the mark, and no shorter than what was read of it."""
    if (mark.device, mark.inode) != (about.st_dev, about.st_ino) or about.st_size < mark.offset:
        return False
    return _digest(file.read(mark.head_size)) == mark.head if mark.head_size else mark.offset == 0


def _digest(head: bytes) -> str:
    return hashlib.blake2b(head, digest_size=8).hexdigest()


def _read(path: Path) -> dict[str, Mark]:
    try:
        kept = msgspec.json.decode(path.read_bytes(), type=Kept)
    except (OSError, msgspec.DecodeError):
        return {}
    return kept.files if kept.version == VERSION else {}
