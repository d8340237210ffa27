"""What a file is and how it is written: its format, encoding, delimiter, quotes, comments and header."""

from __future__ import annotations

import collections
import contextlib
import csv
import io
import itertools
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, Literal

import msgspec

from analytics.errors import ValidationError
from analytics.load.files import HEAD, Source, peeked
from analytics.load.lines import encoding_of

Format = Literal["csv", "jsonl", "json", "parquet"]
DELIMITERS = (",", ";", "\t", "|")
NAMES = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|", "space": " "}
SAMPLE_LINES = 500
FEW = 200  # rows that decide about the header
NUMERIC = re.compile(r"[-+]?[$€£]?[\d.,:/ T\-]*\d[\d.,:/ TZ%\-]*")
CONTROL = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f]")


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """How one file is read. For CSV: `fields` are its columns as they are called in it, `header` the line of their
    names (0 without one), `escape` the character before a quote inside quotes, else the quote is doubled."""

    format: Format
    encoding: str = "utf-8"
    delimiter: str = ","
    quote: str = '"'
    escape: str = ""
    comment: str = ""
    header: int = 0
    fields: tuple[str, ...] = ()


def layout(source: Source, delimiter: str = "", header: bool | None = None) -> Layout:
    """Look at the beginning of a file. Raises ValidationError where it is no data."""
    return sniffed(source.name, peeked(source), delimiter, header)


def sniffed(name: str, head: bytes, delimiter: str = "", header: bool | None = None) -> Layout:
    """What a text is that begins so. Raises ValidationError."""
    if head.startswith(b"PAR1"):
        return Layout(format="parquet")
    encoding = encoding_of(head)
    text = head.decode(encoding, "replace").lstrip("\ufeff")
    if len(CONTROL.findall(text[:65536])) > 8 + len(text[:65536]) // 50:
        raise ValidationError(
            f"{name} is no text: it holds control characters",
            hint="expected CSV, JSON lines, a JSON array or Parquet, plain or packed with gzip",
        )
    start = text.lstrip()[:1]
    if start in ("{", "["):
        return Layout(format=_json_kind(text, start), encoding=encoding)
    lines = (text.replace("\r\n", "\n") if "\n" in text else text.replace("\r", "\n")).split("\n")
    if len(head) >= HEAD:
        if len(lines) == 1:
            raise ValidationError(
                f"{name}: its first line is longer than {HEAD >> 20} MiB; expected one row on each line",
                hint="check what wrote it, or how its lines end",
            )
        lines.pop()  # cut in the middle
    return _csv(name, lines[:SAMPLE_LINES], encoding, NAMES.get(delimiter, delimiter), header)


def _json_kind(text: str, start: str) -> Format:
    """Objects on lines of their own, or an array (or objects that go over several lines)."""
    if start == "[":
        return "json"
    for line in text.splitlines()[:5]:
        if not line.strip():
            continue
        try:
            return "jsonl" if isinstance(msgspec.json.decode(line), dict) else "json"
        except msgspec.DecodeError:
            if not line.rstrip().endswith("}"):  # a pretty one, or a first line that is cut
                return "json"
    return "jsonl"


def _csv(name: str, lines: list[str], encoding: str, delimiter: str, header: bool | None) -> Layout:
    quote = "'" if sum(line.count("'") for line in lines) > 8 and not any('"' in line for line in lines) and any(
        line.startswith("'") for line in lines) else '"'  # fmt: skip
    filled = [line for line in lines if line.strip()]
    if not filled:
        raise ValidationError(f"{name} is empty: it holds no text", hint="check what wrote it")
    data = [line for line in filled if not line.startswith("#")] or filled
    if delimiter:
        if len(delimiter) != 1 or delimiter in "\n\r\"'":
            raise ValidationError(f"--delimiter: expected one character, or tab; got {delimiter[:20]!r}")
    else:
        delimiter = max(DELIMITERS, key=lambda each: _steady(data, each, quote))
    escape = "" if _strict(data, delimiter, quote, "") or not _strict(data, delimiter, quote, "\\") else "\\"
    every = _rows(filled, delimiter, quote, escape)
    width = _usual(every)
    # a row of the usual width that starts with # is a row, such as one of colours
    comment = "#" if any(row[0].startswith("#") and len(row) != width for row in every) else ""
    rows = [row for row in every if not (comment and row[0].startswith(comment))]
    if not rows or (len(rows[0]) == 1 and all(row[0].startswith("#") for row in rows)):
        raise ValidationError(f"{name} holds nothing but comments", hint="check what wrote it")
    plain = Layout(format="csv", encoding=encoding, delimiter=delimiter, quote=quote, escape=escape, comment=comment)
    if comment and (named := _named_in_comment(lines, comment, delimiter, width)):
        return msgspec.structs.replace(plain, fields=unique(named))
    first = next((i for i, row in enumerate(rows) if len(row) in (width, width - 1)), 0)
    if header is False or (header is None and not _is_header(rows[first], rows[first + 1 : first + FEW])):
        return msgspec.structs.replace(plain, fields=tuple(f"column_{i}" for i in range(1, width + 1)))
    names = [rows[first][0].lstrip("#") if first == 0 else rows[first][0], *rows[first][1:]]
    if len(names) == width - 1:  # a delimiter after each row, or row names without a name
        trailing = all(not row[-1] for row in rows[first + 1 :] if len(row) == width)
        names = [*names, ""] if trailing else ["", *names]
    at = _line_of(lines, rows[first])
    return msgspec.structs.replace(plain, header=at, fields=unique(names))


def _reader(lines: list[str], delimiter: str, quote: str, escape: str, *, strict: bool = False) -> Iterator[list[str]]:
    text = io.StringIO("\n".join(lines))
    how: dict[str, Any] = {"escapechar": escape or None, "doublequote": not escape, "strict": strict}
    return csv.reader(text, delimiter=delimiter, quotechar=quote, **how)


def _rows(lines: list[str], delimiter: str, quote: str, escape: str) -> list[list[str]]:
    rows: list[list[str]] = []
    with contextlib.suppress(csv.Error):  # a quote that never closes: what stands before it is enough
        rows.extend(_reader(lines, delimiter, quote, escape))
    return [row for row in rows if row] or [[line] for line in lines]


def _usual(rows: list[list[str]]) -> int:
    counted = Counter(map(len, rows[: len(rows)]))
    most = max(counted.values())
    return max(width for width, count in counted.items() if count == most)


def _strict(lines: list[str], delimiter: str, quote: str, escape: str) -> bool:
    """Whether quotes stand only where they may."""
    try:
        collections.deque(_reader(lines, delimiter, quote, escape, strict=True), maxlen=0)
    except csv.Error:
        return False
    return True


def _steady(lines: list[str], delimiter: str, quote: str) -> tuple[float, int]:
    """How evenly a delimiter cuts the lines, and into how many fields."""
    rows = _rows(lines, delimiter, quote, "")
    width = _usual(rows)
    if width == 1:
        return (0.0, 1)
    return (round(sum(len(row) == width for row in rows) / len(rows), 1), width)


def _is_header(first: list[str], rest: list[list[str]]) -> bool:
    """Whether the first row names the columns: it is all words, and differs from what stands below it."""
    words = [cell.strip() for cell in first]
    if any(NUMERIC.fullmatch(word) for word in words) or not any(words):
        return False
    if not rest:
        return True
    below = [{row[i].strip() for row in rest if i < len(row)} for i in range(len(first))]
    if any(word and word in seen for word, seen in zip(words, below, strict=True)):
        return False
    numeric = any(seen - {""} and all(NUMERIC.fullmatch(v) for v in seen - {""}) for seen in below)
    return numeric or len({word for word in words if word}) == len([word for word in words if word])


def _named_in_comment(lines: list[str], comment: str, delimiter: str, width: int) -> list[str]:
    """The names, where the last comment line before the data holds them."""
    before = []
    for line in lines:
        if not line.startswith(comment):
            break
        before.append(line)
    names = before[-1].lstrip(comment).strip().split(delimiter) if before else []
    return names if len(names) == width > 1 else []


def _line_of(lines: list[str], names: list[str]) -> int:
    """Where the header starts: the first line that holds its names, of one over several lines those of its first."""
    names = [*itertools.takewhile(lambda name: "\n" not in name, names)] or [names[0].partition("\n")[0]]
    wanted = [name.strip().replace('"', "") for name in names]
    found = (i for i, line in enumerate(lines, 1) if all(name in line for name in wanted))
    return next(found, 1)


def unique(names: list[str]) -> tuple[str, ...]:
    """Names to tell columns apart: without those around, none twice in whatever case, none empty."""
    found: dict[str, str] = {}
    for i, name in enumerate(names, 1):
        base = " ".join("".join(c if c.isprintable() else " " for c in name).split())[:100] or f"column_{i}"
        shown, count = base, 1
        while shown.lower() in found:
            count += 1
            shown = f"{base}_{count}"
        found[shown.lower()] = shown
    return tuple(found.values())
