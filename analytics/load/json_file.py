"""JSON: objects on lines, or in an array, or one after the other, to columns. Nested objects become `outer.inner`."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import numpy as np

from analytics.ingest.reasons import Reason, Refused
from analytics.load.blocks import Block, Numbers, column
from analytics.load.layout import Layout
from analytics.load.lines import Stream, decoded, read_lines
from analytics.load.rejects import Rejects

ROWS = 2_000  # decoded in one go, in which no other thread runs
DEPTH = 3
VALUE_BYTES = 4 << 20
NEAR = 1 << 16  # a fault so near to the end of what is read may only be a value that is cut there
BLOCK = 1 << 18
SPACE = " \t\r\n,"
Row = dict[str, Any]


def read_json_lines(
    stream: Stream, layout: Layout, file: str, rejects: Rejects, fields: Sequence[str] | None
) -> Iterator[Block]:
    """One object a line. `fields` are the columns to make; None makes all that come."""
    all_at_once = msgspec.json.Decoder(list[Row]).decode
    for block in read_lines(stream, layout.encoding, file, rejects):
        for start in range(0, len(block.lines), ROWS):
            part = block.lines[start : start + ROWS]
            at = [i for i, line in enumerate(part) if line.strip()]
            lines = [part[i] for i in at]
            try:
                rows = all_at_once(b"[%b]" % b",".join(lines))
                if len(rows) != len(lines):  # two on a line
                    raise msgspec.DecodeError
            except (msgspec.DecodeError, RecursionError):
                rows, good = [], []
                for i, line in zip(at, lines, strict=True):
                    try:
                        rows.append(_one(line))
                        good.append(i)
                    except Refused as refused:
                        rejects.add(file, block.first + start + i, refused.reason, refused.expected, line)
                at = good
            if rows:
                numbers = np.array(at, np.int64) + block.first + start
                raw = [part[i] for i in at]
                yield Block(columns(rows, fields), numbers, numbers, raw.__getitem__)


def read_json(
    stream: Stream, layout: Layout, file: str, rejects: Rejects, fields: Sequence[str] | None
) -> Iterator[Block]:
    """Objects in an array, or one after the other over any lines. What does not parse is rejected up to the next
    line that starts an object."""
    rows: list[Row] = []
    places: list[tuple[int, int]] = []
    for number, line, value in Values(stream, layout, file, rejects):
        if not isinstance(value, dict):
            rejects.add(
                file, line, Reason.NOT_AN_OBJECT, f"expected an object, got {_kind(value)}", json.dumps(value)[:200]
            )
            continue
        rows.append(value)
        places.append((line, number))
        if len(rows) == ROWS:
            yield _block(rows, places, fields)
            rows, places = [], []
    if rows:
        yield _block(rows, places, fields)


def columns(rows: list[Row], fields: Sequence[str] | None) -> dict[str, Any]:
    """Arrays by field."""
    if any(isinstance(v, dict) for row in rows[:100] for v in row.values()) or any("." in f for f in fields or ()):
        rows = [flat(row) for row in rows]
    names = fields if fields is not None else dict.fromkeys(name for row in rows for name in row)
    return {name: column([row.get(name) for row in rows]) for name in names}


def flat(row: Row, depth: int = DEPTH) -> Row:
    """With the fields of inner objects as `outer.inner`."""
    found: Row = {}
    for name, value in row.items():
        if isinstance(value, dict) and depth and value:
            found |= {f"{name}.{inner}": v for inner, v in flat(value, depth - 1).items()}
        else:
            found[name] = value
    return found


class Values:
    """The values of an array, or of a text that is values: (place among them, line, value)."""

    def __init__(self, stream: Stream, layout: Layout, file: str, rejects: Rejects) -> None:
        self._blocks = decoded(stream, layout.encoding, BLOCK)
        self._characters = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._file, self._rejects = file, rejects
        self._decode = json.JSONDecoder(parse_constant=lambda name: None).raw_decode
        self._text, self._at, self._line, self._over = "", 0, 1, False
        self._cut = False  # the last value was refused, and nothing came after it

    def __iter__(self) -> Iterator[tuple[int, int, Any]]:
        number = 0
        self._more()
        self._skip()
        array = self._text.startswith("[", self._at)
        self._at += array
        while True:
            self._skip()
            if self._at >= len(self._text):
                if array and not self._cut:
                    self._refuse(self._at, "expected the array to be closed by ], but the file ends")
                return
            if array and self._text[self._at] == "]":
                return
            number += 1
            value, end = self._next()
            line = self._line
            if end:
                self._line += self._text.count("\n", self._at, end)
                self._at = end
                yield number, line, value

    def _next(self) -> tuple[Any, int]:
        """The value that stands here and where it ends; 0 where it does not parse, after stepping over it."""
        while True:
            try:
                value, end = self._decode(self._text, self._at)
                if end < len(self._text) or self._over:  # a number may go on in the next block
                    if "\ufffd" in self._text[self._at : end]:
                        self._refuse(end, "expected UTF-8 text", Reason.BAD_ENCODING)
                        return None, 0
                    return value, end
                problem, fault = "", end
            except RecursionError:
                self._pass("expected fewer levels of nesting")
                return None, 0
            except json.JSONDecodeError as error:
                problem = f"expected JSON: {error.msg} at character {error.pos - self._at + 1}"
                fault = len(self._text) if error.msg.startswith("Unterminated") else error.pos
            if self._over or len(self._text) - self._at > VALUE_BYTES or fault < len(self._text) - NEAR:
                self._pass(problem)
                return None, 0
            self._more()

    def _pass(self, problem: str) -> None:
        """Reject what stands here, up to a line that starts with an object, or the end of what is there."""
        next_object = len(self._text)
        for opening in ("\n{", "\n  {", "\n    {", "\n\t{", "},{", "}, {"):
            found = self._text.find(opening, self._at + 1)
            if 0 <= found < next_object:
                next_object = found + 1
        self._cut = next_object == len(self._text)
        self._refuse(next_object, problem)

    def _refuse(self, end: int, problem: str, reason: Reason = Reason.NOT_JSON) -> None:
        raw = self._text[self._at : min(end, self._at + 4096)]
        self._rejects.add(self._file, self._line, reason, problem, raw.replace("\n", " "))
        self._line += self._text.count("\n", self._at, end)
        self._at = end
        while self._at < len(self._text) and self._text[self._at] in SPACE + "}":
            self._line += self._text[self._at] == "\n"
            self._at += 1

    def _skip(self) -> None:
        """Go to the next value, reading on where needed."""
        while True:
            while self._at < len(self._text) and self._text[self._at] in SPACE:
                self._line += self._text[self._at] == "\n"
                self._at += 1
            if self._at < len(self._text) or self._over:
                return
            self._more()

    def _more(self) -> None:
        block = next(self._blocks, None)
        self._over = block is None
        self._text, self._at = self._text[self._at :] + self._characters(block or b"", self._over), 0


def _block(rows: list[Row], places: list[tuple[int, int]], fields: Sequence[str] | None) -> Block:
    at: Numbers = np.array(places, np.int64)
    return Block(columns(rows, fields), at[:, 0], at[:, 1], lambda i: json.dumps(rows[i], ensure_ascii=False))


def _one(line: bytes) -> Row:
    """The object of a line; NaN, which programs write though JSON has none, is no value. Raises Refused."""
    try:
        value = json.loads(line, parse_constant=lambda name: None)
    except RecursionError:
        raise Refused(Reason.TOO_DEEP, "expected fewer levels of nesting") from None
    except ValueError as error:
        raise Refused(Reason.NOT_JSON, f"expected JSON: {error}"[:160]) from None
    if not isinstance(value, dict):
        raise Refused(Reason.NOT_AN_OBJECT, f"expected an object, got {_kind(value)}")
    return value


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "an array", str: "text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
