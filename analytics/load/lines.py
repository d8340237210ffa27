"""Text in any encoding as blocks of lines, numbered, in bounded memory."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from typing import Protocol

import msgspec

from analytics.ingest.reasons import Reason
from analytics.load.rejects import Rejects

BLOCK = 1 << 20  # what is done with one block in one go keeps other threads waiting
LINE_MAX = 4 << 20
BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
        (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))  # fmt: skip


class Stream(Protocol):
    """Anything that reads."""

    def read(self, size: int, /) -> bytes: ...


class Lines(msgspec.Struct):
    """Lines without their ends, in UTF-8; `first` is the number of the first one. A rejected line is left empty."""

    first: int
    lines: list[bytes]


def encoding_of(head: bytes) -> str:
    """How a text is encoded: by its mark, by where its zeros are, or utf-8 where most of it is, else Windows' Latin."""
    for mark, name in BOMS:
        if head.startswith(mark):
            return name
    sample = head[:4096]
    even, odd = sample[::2].count(0), sample[1::2].count(0)
    if odd > len(sample) * 0.3 and even < len(sample) * 0.05:
        return "utf-16-le"
    if even > len(sample) * 0.3 and odd < len(sample) * 0.05:
        return "utf-16-be"
    foreign = [line for line in head.split(b"\n")[:-1] or [head] if not line.isascii()]
    wrong = sum(not _valid(line) for line in foreign)
    return "cp1252" if wrong * 2 > len(foreign) else "utf-8"


def read_lines(
    stream: Stream, encoding: str, file: str, rejects: Rejects, *, block: int = BLOCK, longest: int = LINE_MAX
) -> Iterator[Lines]:
    """All lines. One that is too long or not in the encoding is rejected alone."""
    rest, first = b"", 1
    cut = 0  # bytes thrown away of a line that is too long
    for text in decoded(stream, encoding, block):
        lines = (rest + text).split(b"\n")
        rest = lines.pop()
        if cut and lines:
            rejects.add(file, first, *_too_long(cut + len(lines[0]), longest), lines[0][:200])
            lines[0], cut = b"", 0
        if len(rest) > longest or cut:
            cut, rest = cut + len(rest), b""
        if lines:
            yield _checked(Lines(first, lines), encoding, file, rejects)
            first += len(lines)
    if cut:
        rejects.add(file, first, *_too_long(cut + len(rest), longest), rest[:200])
    elif rest:
        yield _checked(Lines(first, [rest]), encoding, file, rejects)


def decoded(stream: Stream, encoding: str, block: int) -> Iterator[bytes]:
    """UTF-8 in blocks, line ends as \\n. What does not decode becomes U+FFFD, or stays as it is in UTF-8."""
    decoder = None if encoding == "utf-8" else codecs.getincrementaldecoder(encoding)("replace")
    old, held = None, b""
    while True:
        chunk = stream.read(block)
        text = held + (chunk if decoder is None else decoder.decode(chunk, not chunk).encode("utf-8"))
        if old is None:
            text = text.removeprefix(codecs.BOM_UTF8)
            old = b"\n" not in text  # lines that end in \r alone, as on the first Macintosh
        held = b""
        if chunk and text.endswith(b"\r"):  # its \n may come with the next block
            text, held = text[:-1], b"\r"
        if b"\r" in text:
            text = text.replace(b"\r\n", b"\n")
            text = text.replace(b"\r", b"\n") if old else text
        if text:
            yield text
        if not chunk:
            return


def _checked(lines: Lines, encoding: str, file: str, rejects: Rejects) -> Lines:
    """The same without the lines that do not decode."""
    if encoding == "utf-8":
        if _valid(b"\n".join(lines.lines)):
            return lines
        wrong = [i for i, line in enumerate(lines.lines) if not _valid(line)]
    else:
        replaced = "\ufffd".encode()
        wrong = [i for i, line in enumerate(lines.lines) if replaced in line]
    for i in wrong:
        rejects.add(file, lines.first + i, Reason.BAD_ENCODING, f"expected {encoding} text", lines.lines[i])
        lines.lines[i] = b""
    return lines


def _valid(text: bytes) -> bool:
    try:
        text.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _too_long(size: int, longest: int) -> tuple[Reason, str]:
    return Reason.TOO_LARGE, f"expected a line of at most {longest >> 20} MiB, got {size:,} bytes"
