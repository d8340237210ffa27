"""The tiles of a board as Arrow tables: what is on screen, for programs."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

MOMENT = pa.timestamp("us", tz="UTC")
SENTENCE = ("metric", "tone", "confidence", "n")  # what is known of one
TIMES = ("t", "time", "received", "start_time")  # columns of milliseconds since the epoch


def of(tile: dict[str, Any]) -> pa.Table:
    """The rows of a tile under the names that people read. Moments are UTC timestamps; what is unknown is null.

    A tile of sentences has one row for each.
    """
    head = tile.get("head", {})
    columns = tile.get("columns") or _sentences(head)
    arrays = [_array(name, values) for name, values in columns.items()]
    return pa.Table.from_arrays(arrays, names=_names([*columns], head))


def within(rows: pa.Table, start: float, end: float) -> pa.Table:
    """The rows from `start` to before `end`, in ms since the epoch; all of them where they have no time."""
    if "time" not in rows.column_names or not pa.types.is_timestamp(rows["time"].type):
        return rows
    ms = pc.divide(rows["time"].cast(pa.int64()), 1000)
    return rows.filter(pc.and_(pc.greater_equal(ms, int(start)), pc.less(ms, int(end))))


def _array(name: str, values: list[Any]) -> pa.Array:
    if name in TIMES and all(v is None or isinstance(v, int | float) for v in values):
        return pa.array([None if v is None else int(v) * 1000 for v in values], pa.int64()).cast(MOMENT)
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return pa.array([None if v is None else str(v) for v in values], pa.string())


def _names(columns: list[str], head: dict[str, Any]) -> list[str]:
    by = head.get("by")
    names = {"t": "time", "v": "value", "label": by.rpartition(".")[2] if isinstance(by, str) and by else "label"}
    titles = [str(s.get("title") or s.get("name") or f"s{i}") for i, s in enumerate(head.get("series", []))]
    for i, title in enumerate(titles):
        told = title if titles.count(title) == 1 else f"{title} {i + 1}"
        names |= {f"s{i}": told, f"p{i}": f"{told}, previous"}
    return [names.get(column, column) for column in columns]


def _sentences(head: dict[str, Any]) -> dict[str, list[Any]]:
    items = head.get("items", [])
    texts = ["".join(part["t"] for part in item.get("text", [])) for item in items]
    return {"text": texts} | {name: [item.get(name) for item in items] for name in SENTENCE}
