"""Frames: what turns one state of a board into the next. The way back is `apply_frame` of the client."""

from __future__ import annotations

from typing import Any

_ABSENT = object()


def board_difference(was: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """`board` and `tiles` of a frame, from the whole state of a board to the next."""
    board = {k: v for k, v in now.items() if k != "tiles" and was.get(k, _ABSENT) != v}
    tiles = {}
    for name, tile in now["tiles"].items():
        if changed := tile_difference(was["tiles"].get(name), tile):
            tiles[name] = changed
    return {"board": board, "tiles": tiles}


def tile_difference(was: dict[str, Any] | None, now: dict[str, Any]) -> dict[str, Any] | None:
    """The frame of one tile, or None when nothing changed.

    Rows that left at the front are dropped; everything from the first row that differs is replaced.
    """
    if was is None:
        return {"drop": 0, "from": 0, "columns": now["columns"], "head": now["head"]}
    if was is now:
        return None
    head = {k: v for k, v in now["head"].items() if was["head"].get(k, _ABSENT) != v}
    gone = [k for k in was["head"] if k not in now["head"]]
    head |= dict.fromkeys(gone)
    before, after = was["columns"], now["columns"]
    if before == after:
        return {"head": head} if head else None
    if before.keys() != after.keys() or not after:
        return {"drop": 0, "from": 0, "columns": after, "head": head}
    drop = _dropped_rows(before, after)
    start = min(_common(before[k], after[k], drop) for k in after)
    return {"drop": drop, "from": start, "columns": {k: v[start:] for k, v in after.items()}, "head": head}


def _dropped_rows(before: dict[str, list[Any]], after: dict[str, list[Any]]) -> int:
    key = next(iter(after))
    if not after[key] or not before[key]:
        return 0
    try:
        return before[key].index(after[key][0])
    except ValueError:
        return 0


def _common(before: list[Any], after: list[Any], drop: int) -> int:
    for i, value in enumerate(after):
        if drop + i >= len(before) or before[drop + i] != value:
            return i
    return len(after)
