"""A frame turns the old tile into the new one, whatever changed."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from analytics.frames import tile_difference


def applied(was: dict[str, Any], frame: dict[str, Any] | None) -> dict[str, Any]:
    """What board.js does with a frame."""
    if frame is None:
        return was
    columns = dict(was["columns"])
    if "columns" in frame:
        keep = {k: v[frame["drop"] :][: frame["from"]] for k, v in columns.items()}
        columns = {k: keep.get(k, []) + v for k, v in frame["columns"].items()}
    return {"head": {k: v for k, v in (was["head"] | frame["head"]).items() if v is not None}, "columns": columns}


def test_a_sliding_window_sends_only_its_tail() -> None:
    was = {"head": {"value": 3}, "columns": {"t": [1, 2, 3, 4], "v": [10, 20, 30, 35]}}
    now = {"head": {"value": 4}, "columns": {"t": [2, 3, 4, 5], "v": [20, 30, 40, 1]}}
    assert tile_difference(was, now) == {
        "drop": 1,
        "from": 2,
        "columns": {"t": [4, 5], "v": [40, 1]},
        "head": {"value": 4},
    }


def test_nothing_changed_is_nothing_sent() -> None:
    tile = {"head": {"value": 3}, "columns": {"t": [1], "v": [2]}}
    assert tile_difference(tile, {"head": {"value": 3}, "columns": {"t": [1], "v": [2]}}) is None


rows = st.lists(st.tuples(st.integers(0, 6), st.one_of(st.none(), st.integers(0, 3))), max_size=8)


@given(before=rows, after=rows, head=st.dictionaries(st.sampled_from("abc"), st.integers(0, 2)))
def test_any_change_arrives_whole(before: list[Any], after: list[Any], head: dict[str, int]) -> None:
    was = {"head": {"a": 1}, "columns": {"t": [r[0] for r in before], "v": [r[1] for r in before]}}
    now = {"head": head, "columns": {"t": [r[0] for r in after], "v": [r[1] for r in after]}}
    assert applied(was, tile_difference(was, now)) == now
