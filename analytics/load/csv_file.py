"""CSV: lines to records, records to columns of text. One that does not hold drops alone, with its line."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import csv

from analytics.ingest.reasons import Reason
from analytics.load.blocks import NULLS, Block, Numbers, numbered
from analytics.load.layout import Layout
from analytics.load.lines import Lines, Stream, read_lines
from analytics.load.rejects import Rejects

RECORD_LINES = 1000  # a quoted value that goes over more lines was never meant to
RECORD_BYTES = 1 << 20


def read_csv(stream: Stream, layout: Layout, file: str, rejects: Rejects) -> Iterator[Block]:
    """All records after the header."""
    text, comment = read_lines(stream, layout.encoding, file, rejects), layout.comment.encode()
    for records, lines in joined(text, layout, file, rejects):
        header = int(np.searchsorted(lines, layout.header)) if layout.header in lines else -1
        kept = [
            i
            for i, record in enumerate(records)
            if record.strip(b" ") and i != header and not (comment and record.startswith(comment))
        ]
        if len(kept) < len(records):
            records, lines = [records[i] for i in kept], lines[kept]
        if records and len(block := _parsed(records, lines, layout, file, rejects)):
            yield block


def joined(
    blocks: Iterable[Lines], layout: Layout, file: str, rejects: Rejects
) -> Iterator[tuple[list[bytes], Numbers]]:
    """Records and the number of their first line. A quoted value may hold line ends; one whose quote never closes, or
    closes in the middle of a later value, costs its own line only."""
    quotes = Quotes(layout)
    held: list[bytes] = []  # lines of a record that may end in the next block
    after = 1
    for block in blocks:
        lines, after = held + block.lines, block.first + len(block.lines)
        records, at, held = _walked(lines, after - len(lines), quotes, file, rejects, last=False)
        yield records, at
    if held:
        records, at, _ = _walked(held, after - len(held), quotes, file, rejects, last=True)
        yield records, at


def _walked(
    lines: list[bytes], first: int, quotes: Quotes, file: str, rejects: Rejects, *, last: bool
) -> tuple[list[bytes], Numbers, list[bytes]]:
    if quotes.even(lines):
        return lines, numbered(first, len(lines)), []
    records, at, i = [], [], 0
    while i < len(lines):
        end = quotes.end(lines, i)
        if end is None and not last:
            break
        if end is None or end < 0:
            rejects.add(file, first + i, Reason.OPEN_QUOTE, "expected the quotation mark to be closed", lines[i])
            end = i
        else:
            records.append(lines[i] if end == i else b"\n".join(lines[i : end + 1]))
            at.append(first + i)
        i = end + 1
    return records, np.array(at, np.int64), lines[i:]


class Quotes:
    """Where records end, by the quotes of a layout."""

    def __init__(self, layout: Layout) -> None:
        self._mark, self._escaped = layout.quote.encode(), (layout.escape + layout.quote).encode()
        q, d = re.escape(self._mark), re.escape(layout.delimiter.encode())
        inside = rb"(?:[^%b\\]++|\\.)*+" % q if layout.escape else rb"(?:[^%b]++|%b%b)*+" % (q, q, q)
        closed = q + inside + q
        plain = rb"[^%b%b][^%b]*+" % (q, d, d)
        loose = rb"(?:%b[^%b]*+|%b)?+" % (closed, d, plain)
        self._open = re.compile(rb"(?:%b%b)*+%b%b\Z" % (loose, d, q, inside), re.DOTALL)
        strict = rb"(?:%b|%b)?+" % (closed, plain)
        self._whole = re.compile(rb"%b(?:%b%b)*+\Z" % (strict, d, strict), re.DOTALL)

    def even(self, lines: list[bytes]) -> bool:
        """Whether surely every line is a record."""
        return not any(self._odd(line) for line in lines)

    def end(self, lines: list[bytes], start: int) -> int | None:
        """The last line of the record that starts at `start`; -1 where its quote never closes as it should, None
        where the lines end before that is known."""
        if not self._odd(lines[start]) or not self._open.match(lines[start]):
            return start
        size = len(lines[start])
        for i in range(start + 1, min(len(lines), start + RECORD_LINES)):
            size += len(lines[i])
            if size > RECORD_BYTES:
                return -1
            if self._mark in lines[i] and not self._open.match(self._mark + lines[i]):
                return i if self._whole.match(b"\n".join(lines[start : i + 1])) else -1
        return None if start + RECORD_LINES > len(lines) else -1

    def _odd(self, line: bytes) -> bool:
        count = line.count(self._mark)
        if count and self._escaped != self._mark:
            count -= line.count(self._escaped)
        return bool(count & 1)


def _parsed(records: list[bytes], lines: Numbers, layout: Layout, file: str, rejects: Rejects) -> Block:
    body = b"\n".join(records)
    wrong: list[int] = []

    def unfit(row: Any) -> str:
        wrong.append(row.number - 1)
        expected = f"expected {row.expected_columns:,} fields, got {row.actual_columns:,}"
        rejects.add(file, int(lines[row.number - 1]), Reason.BAD_FIELDS, expected, records[row.number - 1])
        return "skip"

    table = csv.read_csv(
        io.BytesIO(body),
        read_options=csv.ReadOptions(use_threads=False, column_names=layout.fields, block_size=len(body) + 1),
        parse_options=csv.ParseOptions(
            delimiter=layout.delimiter,
            quote_char=layout.quote,
            double_quote=not layout.escape,
            escape_char=layout.escape or False,
            newlines_in_values=True,
            ignore_empty_lines=False,
            invalid_row_handler=unfit,
        ),
        convert_options=csv.ConvertOptions(
            column_types=dict.fromkeys(layout.fields, pa.string()),
            null_values=NULLS,
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            check_utf8=False,
        ),
    )
    if wrong:
        out = set(wrong)
        records, lines = [r for i, r in enumerate(records) if i not in out], np.delete(lines, wrong)
    columns = {name: table[name].combine_chunks() for name in layout.fields}
    return Block(columns, lines, lines, records.__getitem__)
