"""What the client makes of answers: a board's state from frames, a table with types that never change."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.client import Update, apply_frame
from analytics.errors import ValidationError
from analytics.frames import tile_difference
from analytics.messages import Frame

NOW = datetime(2026, 1, 6, 12, tzinfo=UTC)


def frame(**fields: Any) -> Frame:
    return Frame(sub="b", epoch="e", seq=2, at=0, **fields)


def without_nulls(board: dict[str, Any]) -> dict[str, Any]:
    """In a head null and absent mean the same."""
    return {
        name: {"head": {k: v for k, v in tile["head"].items() if v is not None}, "columns": tile["columns"]}
        for name, tile in board["tiles"].items()
    }


rows = st.lists(st.tuples(st.integers(0, 6), st.one_of(st.none(), st.integers(0, 3))), max_size=8)
columns: st.SearchStrategy[dict[str, Any]] = st.one_of(
    rows.map(lambda found: {"t": [r[0] for r in found], "v": [r[1] for r in found]}),
    rows.map(lambda found: {"label": [r[0] for r in found]}),
    st.just({}),
)
tiles = st.fixed_dictionaries(
    {"head": st.dictionaries(st.sampled_from("abc"), st.one_of(st.none(), st.integers(0, 2))), "columns": columns}
)
boards = st.dictionaries(st.sampled_from(["one", "two"]), tiles, min_size=1)


@given(was=boards, now=boards)
def test_frames_turn_one_board_into_the_next(was: dict[str, Any], now: dict[str, Any]) -> None:
    now = was | now
    before = repr(was)
    changes = {name: c for name, tile in now.items() if (c := tile_difference(was.get(name), tile))}
    state = apply_frame({"now": 1, "tiles": was}, frame(tiles=changes, board={"now": 2}))
    assert without_nulls(state) == without_nulls({"tiles": now})
    assert state["now"] == 2
    assert repr(was) == before  # pure


def test_an_update_after_a_frame_trusts_its_least_tile() -> None:
    def tile(confidence: float | None) -> dict[str, Any]:
        return {"head": {"confidence": confidence, "parts": {"sample": confidence, "freshness": 1}}, "columns": {}}

    was = Update(
        analytics={"tiles": {"a": tile(0.9), "b": tile(None)}},
        insights=[],
        confidence=0.9,
        confidence_parts={"sample": 0.9, "freshness": 1, "completeness": None},
        timestamp=NOW,
        gap=True,
    )
    change = {"head": {"confidence": 0.4, "parts": {"sample": 0.4, "freshness": 0.8}}}
    now = was.after(frame(tiles={"b": change}))
    assert now.confidence == 0.4
    assert now.confidence_parts == {"sample": 0.4, "freshness": 0.8, "completeness": None}
    assert not now.gap


def answer(rows: list[list[Any]]) -> Update:
    told = {
        "columns": ["time", "agent", "flows", "flows_previous"],
        "rows": rows,
        "totals": {"flows": {"value": 3, "previous": None, "n": 3}},
        "window": {"from": "2026-01-06T11:00:00.000000Z", "to": "2026-01-06T12:00:00Z", "tz": "UTC", "grain": "1m"},
        "partial": {"first": False, "last": True},
        "watermark": "2026-01-06T11:59:58.000000Z",
        "freshness_s": 2.0,
        "completeness": 1,
        "other": False,
    }
    return Update(analytics=told, insights=[], confidence=1, confidence_parts={}, timestamp=NOW)


SCHEMA = pa.schema(
    {"time": pa.timestamp("us", tz="UTC"), "agent": pa.string(), "flows": pa.float64(), "flows_previous": pa.float64()}
)


def test_a_table_has_the_same_types_whatever_came() -> None:
    full = answer([["2026-01-06T11:00:00.000000Z", "planner", 3, None], ["2026-01-06T11:01:00Z", None, 2.5, 1]])
    for update in (full, answer([])):
        assert update.result().to_arrow().schema == SCHEMA
    result = full.result()
    assert result.rows[0][0] == datetime(2026, 1, 6, 11, tzinfo=UTC)
    assert result.watermark == datetime(2026, 1, 6, 11, 59, 58, tzinfo=UTC)
    assert result.window.seconds == 3600
    assert result.totals["flows"].value == 3
    assert str(result.to_pandas().dtypes["time"]) == "datetime64[us, UTC]"


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "polars", None)
    with pytest.raises(ModuleNotFoundError, match="pip install polars"):
        answer([]).result().to_polars()


def test_what_is_no_table_says_so() -> None:
    update = Update(analytics={"flows": {}}, insights=[], confidence=1, confidence_parts={}, timestamp=NOW)
    with pytest.raises(ValidationError, match="no table"):
        update.result()
