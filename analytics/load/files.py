"""Files as streams of plain bytes: names and globs, compression, what is no data at all."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import os
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from glob import glob, has_magic
from pathlib import Path
from typing import IO, Any

import msgspec
import pyarrow as pa

from analytics.errors import ValidationError

HEAD = 1 << 20
CHUNK = 1 << 20
BROKEN = (EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError, zipfile.BadZipFile, OSError, pa.ArrowException)
PACKED = {
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"PK\x03\x04": "zip",
}
FOREIGN = {
    b"%PDF": ("a PDF document", "export its table as CSV"),
    b"\x89PNG": ("a PNG image", "load a table instead"),
    b"\xff\xd8\xff": ("a JPEG image", "load a table instead"),
    b"GIF8": ("a GIF image", "load a table instead"),
    b"\x7fELF": ("a program", "load a table instead"),
    b"SQLite format 3": ("an SQLite database", "export a table: sqlite3 -csv -header FILE 'select * from T' > T.csv"),
    b"ARROW1": ("an Arrow file", "write it as Parquet, with pyarrow.parquet.write_table"),
    b"7z\xbc\xaf": ("a 7-Zip archive", "unpack it first"),
    b"Rar!": ("a RAR archive", "unpack it first"),
    b"\xd0\xcf\x11\xe0": ("an old Office document", "save the sheet as CSV"),
    b"DUCK": ("a DuckDB database", "export a table: COPY table TO 'table.parquet'"),
}  # fmt: skip


class Source(msgspec.Struct, frozen=True):
    """A file to load. `name` is what people call it, `packed` its compression or "", `size` its bytes on disk."""

    path: Path
    name: str
    size: int
    packed: str = ""

    @contextmanager
    def opened(self, at: Callable[[int], None] = lambda done: None) -> Iterator[Counted]:
        """Its bytes, unpacked; `at` hears how many bytes of the file are read. Raises ValidationError."""
        with self.path.open("rb") as raw:
            try:
                stream = _unpacked(raw, self)
            except BROKEN as error:
                raise self.broken(error) from None
            yield Counted(self, stream, raw, at)

    def broken(self, error: Exception) -> Exception:
        """What to raise for a file whose bytes do not hold; an error of the disk is raised as it is."""
        if isinstance(error, OSError) and error.errno is not None:
            return error
        short = isinstance(error, EOFError) or "trunc" in str(error).lower()
        what = "ends early, as if it was cut on its way" if short else f"is damaged: {str(error)[:120]}"
        return ValidationError(
            f"{self.name}: the {self.packed or 'file'}{' data' if self.packed else ''} {what}",
            hint="get the file again and load it whole; nothing of it was kept",
        )


class Counted:
    """A stream that tells how far the file below it is read, and what is wrong with it in our words."""

    def __init__(self, source: Source, stream: Any, raw: IO[bytes], at: Callable[[int], None]) -> None:
        self._source, self._stream, self._raw, self._at = source, stream, raw, at

    def read(self, size: int) -> bytes:
        """As many bytes as asked for, fewer only at the end. Raises ValidationError."""
        parts: list[bytes] = []
        try:
            while size and (part := self._stream.read(size)):
                parts.append(part)
                size -= len(part)
        except BROKEN as error:
            raise self._source.broken(error) from None
        self._at(self._raw.tell())
        return b"".join(parts)


def sources(names: Sequence[str]) -> list[Source]:
    """The files that names and globs mean, each once, in order. Raises ValidationError."""
    found: dict[Path, Source] = {}
    for name in names:
        paths = sorted(p for p in glob(name, recursive=True) if os.path.isfile(p)) if _pattern(name) else [name]
        if not paths:
            raise ValidationError(f"no file fits {name!r}", hint="look at the pattern, and from where it counts")
        for path in map(Path, paths):
            found.setdefault(path.absolute(), source(path))
    return list(found.values())


def source(path: Path, name: str | None = None) -> Source:
    """One file, looked at. Raises ValidationError for what cannot hold rows."""
    name = name or path.name
    try:
        about = path.stat()
        if stat.S_ISDIR(about.st_mode):
            raise ValidationError(f"{name} is a directory", hint=f"name its files, such as '{path}/*.csv'")
        if not stat.S_ISREG(about.st_mode):
            raise ValidationError(f"{name} is no regular file", hint="pipe it in: `... | python app.py load -`")
        with path.open("rb") as file:
            head = file.read(64)
    except FileNotFoundError:
        raise ValidationError(f"there is no file {str(path)!r}", hint="look at its name and folder") from None
    except PermissionError:
        raise ValidationError(f"{name} may not be read by this user", hint=f"chmod u+r {path}") from None
    except OSError as error:
        raise ValidationError(f"{name} cannot be read: {error.strerror}") from None
    if not head:
        raise ValidationError(f"{name} is empty: it has no bytes", hint="check what wrote it")
    for magic, (what, hint) in FOREIGN.items():
        if head.startswith(magic):
            raise _foreign(name, what, hint)
    packed = next((kind for magic, kind in PACKED.items() if head.startswith(magic)), "")
    return Source(path, name, about.st_size, packed)


def peeked(source: Source, size: int = HEAD) -> bytes:
    """The first bytes of a file, unpacked. Raises ValidationError where there are none."""
    with source.opened() as stream:
        head = stream.read(size)
    if not head.strip():
        raise ValidationError(f"{source.name} is empty: it holds no text", hint="check what wrote it")
    return head


def digest(source: Source, at: Callable[[int], None] = lambda done: None) -> str:
    """A fingerprint of the unpacked bytes; reads the file to its end, so a damaged one is found before a row is kept.
    Raises ValidationError."""
    whole = hashlib.blake2b(digest_size=9)
    with source.opened(at) as stream:
        while chunk := stream.read(CHUNK):
            whole.update(chunk)
    return whole.hexdigest()


def _pattern(name: str) -> bool:
    return has_magic(name) and not os.path.exists(name)


def _unpacked(raw: IO[bytes], source: Source) -> Any:
    match source.packed:
        case "gzip":
            return gzip.GzipFile(fileobj=raw)
        case "bzip2":
            return bz2.BZ2File(raw)
        case "xz":
            return lzma.LZMAFile(raw)
        case "zstd":
            return pa.CompressedInputStream(pa.PythonFile(raw, mode="r"), "zstd")
        case "zip":
            return _only_member(raw, source)
    return raw


def _only_member(raw: IO[bytes], source: Source) -> Any:
    archive = zipfile.ZipFile(raw)
    names = archive.namelist()
    if "xl/workbook.xml" in names:
        raise _foreign(source.name, "an Excel workbook", "save the sheet as CSV")
    members = [n for n in names if not n.endswith("/") and not Path(n).name.startswith(".") and "__MACOSX" not in n]
    if len(members) != 1:
        listed = ", ".join(members[:5]) + (", ..." if len(members) > 5 else "")
        raise ValidationError(
            f"{source.name} holds {len(members)} files ({listed}); expected one", hint="unpack it and name the files"
        )
    if archive.getinfo(members[0]).flag_bits & 1:
        raise ValidationError(f"{source.name} is encrypted", hint="unpack it first")
    return archive.open(members[0])


def _foreign(name: str, what: str, hint: str) -> ValidationError:
    return ValidationError(f"{name} is {what}; expected CSV, JSON lines, a JSON array or Parquet", hint=hint)
