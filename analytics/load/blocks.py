"""A piece of a file on its way from its reader to rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

# What stands for "no value" in text.
NULLS = ("", "NA", "N/A", "n/a", "#N/A", "null", "NULL", "None", "NaN", "nan", "-", "\\N")

Numbers = np.ndarray[Any, np.dtype[np.int64]]


class Block(msgspec.Struct):
    """Columns of equal length by the name of their field, as text or as the file types them; no value is null.

    lines: where each row is, for people. numbers: the place of each row among all of the file, which never depends
    on how it is read. raw: how a row looks, by its index in this block.
    """

    columns: dict[str, pa.Array]
    lines: Numbers
    numbers: Numbers
    raw: Callable[[int], bytes | str]

    def __len__(self) -> int:
        return len(self.lines)

    def cut(self, start: int, stop: int) -> Block:
        """Some of the rows."""
        part = slice(start, stop)
        columns = {name: values.slice(start, stop - start) for name, values in self.columns.items()}
        return Block(columns, self.lines[part], self.numbers[part], lambda i: self.raw(start + i))


def numbered(first: int, count: int) -> Numbers:
    return np.arange(first, first + count, dtype=np.int64)


def column(values: Sequence[Any]) -> pa.Array:
    """Values of JSON as one array: of their type where they share one, else as text."""
    kinds = set(map(type, values)) - {type(None)}
    try:
        if not kinds or kinds == {str}:
            return pa.array([None if v is None or v in NULLS else v for v in values], pa.string())
        if kinds == {bool}:
            return pa.array(values, pa.bool_())
        if kinds == {int}:
            return pa.array(values, pa.int64())
        if kinds <= {int, float}:
            return pa.array(values, pa.float64())
    except (OverflowError, pa.ArrowInvalid, UnicodeEncodeError):
        pass
    return pa.array([_text(v) for v in values], pa.string())


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return None if value is None or value in NULLS else value.encode("utf-8", "replace").decode()
    return msgspec.json.encode(value).decode()
