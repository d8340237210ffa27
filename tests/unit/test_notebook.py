"""Boards without a server: any rows become one, its numbers come back, and it ends without a trace."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import panel as pn
import polars as pl
import pyarrow as pa
import pytest

from analytics.errors import Conflict, NotFound, PlumblineError, ValidationError
from analytics.tables import declared
from dashboard import Board, standalone, tables
from dashboard.cell import Cell
from dashboard.plainly import plainly
from tests.conftest import ROOT, wait_until

DAY = datetime(2026, 3, 2, tzinfo=UTC)
START = datetime(2026, 3, 2, 10, tzinfo=UTC)
PLACED = [START + timedelta(minutes=i) for i in range(60)]
SHOP = ["Berlin", "Lyon", "web"] * 20
TOTAL = [10.0 + i % 4 for i in range(60)]
COLUMNS: dict[str, Any] = {"placed": PLACED, "shop": SHOP, "total": TOTAL}
NOW = datetime(2026, 3, 9, tzinfo=UTC)

# The same sixty rows as people have them.
KINDS: dict[str, Callable[[], Any]] = {
    "columns": lambda: COLUMNS,
    "Arrow": lambda: pa.table(COLUMNS),
    "a list of rows": lambda: [dict(zip(COLUMNS, row, strict=True)) for row in zip(*COLUMNS.values(), strict=True)],
    "pandas": lambda: pd.DataFrame(COLUMNS),
    "pandas with a time index": lambda: pd.DataFrame(COLUMNS).set_index("placed"),
    "pandas with a nameless index": lambda: pd.DataFrame(COLUMNS).set_index("placed").rename_axis(None),
    "pandas in another zone": lambda: pd.DataFrame(COLUMNS | {"placed": pd.Series(PLACED).dt.tz_convert("Asia/Tokyo")}),
    "pandas with categories": lambda: pd.DataFrame(COLUMNS).astype({"shop": "category"}),
    "polars": lambda: pl.DataFrame(COLUMNS),
    "polars with categories": lambda: pl.DataFrame(COLUMNS).with_columns(pl.col("shop").cast(pl.Categorical)),
    "text with a zone": lambda: COLUMNS | {"placed": [f"{moment:%Y-%m-%dT%H:%M:%S}Z" for moment in PLACED]},
    "text read as UTC": lambda: COLUMNS | {"placed": [f"{moment:%Y-%m-%d %H:%M:%S}" for moment in PLACED]},
}  # fmt: skip


@pytest.fixture(autouse=True)
def no_threads_left() -> Any:
    """Whatever a test opens and closes, none of our threads outlives it."""
    yield
    wait_until(
        lambda: not [t for t in threading.enumerate() if t.name.startswith("plumbline")], what="our threads' end"
    )


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_any_kind_are_the_same_dataset(kind: str) -> None:
    made = declared("data", KINDS[kind](), now=NOW)
    assert made.rows["time"].cast(pa.timestamp("us", "UTC")).to_pylist() == PLACED
    assert made.rows["shop"].to_pylist() == SHOP
    assert made.rows["total"].to_pylist() == TOTAL
    assert all(
        told in made.yaml for told in ("sum: total", "column: shop", "2026-03-02T10:00:00Z to 2026-03-02T10:59:01Z")
    )


@pytest.mark.parametrize(
    ("values", "asked", "first"),
    [
        ([date(2026, 3, 2), date(2026, 3, 3)], None, DAY),
        (["2026-03-02", "2026-03-03"], None, DAY),
        ([1772445600, 1772445660], "when", START),
        ([1772445600_000, 1772445660_000], "when", START),
        ([START, None], None, START),
    ],
)
def test_times_are_found_however_they_are_written(values: list[Any], asked: str | None, first: datetime) -> None:
    made = declared("data", {"when": values, "n": [1, 2]}, asked, now=NOW)
    assert (made.time, made.rows["time"][0].as_py()) == ("when", first.replace(tzinfo=None))
    assert made.untimed == values.count(None)


def test_what_has_no_place_in_a_table_is_text_or_null_and_nothing_is_lost() -> None:
    frame = pd.DataFrame(
        {"mixed": [1, "a"], "long": pd.to_timedelta(["90s", None]), ("a", "b"): [float("inf"), 1.5], 7: [True, None]}
    )
    rows = declared("data", frame, now=NOW).rows
    assert rows["mixed"].to_pylist() == ["1", "a"]
    assert rows["long"].to_pylist() == [90.0, None]
    assert rows["a b"].to_pylist() == [None, 1.5]
    assert rows["7"].to_pylist() == [True, None]  # fmt: skip


@pytest.mark.parametrize(
    ("data", "asked", "told"),
    [
        ({}, None, "expected rows, got none"),
        ({"a": []}, None, "expected rows, got none"),
        ({"a": [1], "b": [1, 2]}, None, "expected columns of one length, got a: 1, b: 2"),
        (5, None, "cannot show int"),
        ({"shop": ["web"]}, "shp", "no column 'shp'; did you mean 'shop'?"),
        ({"shop": ["web"]}, "shop", "the column 'shop' holds no times"),
    ],
)
def test_what_cannot_be_shown_says_why(data: Any, asked: str | None, told: str) -> None:
    with pytest.raises(ValidationError, match=told.replace("?", r"\?")):
        declared("data", data, asked, now=NOW)


def test_a_board_of_rows_shows_them_where_they_are_in_time() -> None:
    with Board(data=COLUMNS) as board:
        assert repr(board) == "Board('data', data=dict of 60 rows)"
        assert board.scope.window == "2026-03-02T10:00:00Z to 2026-03-02T10:59:01Z"
        assert board.to_pandas("by_shop")[["shop", "value"]].to_numpy().tolist() == [
            ["Berlin", 20],
            ["Lyon", 20],
            ["web", 20],
        ]
        assert board.to_polars("rows_line")["Rows"].sum() == 60
        assert board.to_arrow("latest").schema.names == ["id", "time", "shop", "total"]
        assert board.tile("by_shop").to_arrow() == board.to_arrow("by_shop")  # fmt: skip


def test_rows_without_a_time_are_a_board_without_a_past() -> None:
    with Board(data={"shop": SHOP, "total": TOTAL}) as board:
        assert not {"rows_line", "means", "sizes"} & {*board.tiles}
        assert board.to_arrow("by_shop")["value"].to_pylist() == [20, 20, 20]
        assert "time" not in board.to_arrow("latest").schema.names


def test_the_scope_leads_the_numbers() -> None:
    with Board(data=COLUMNS, scope={"filters": [{"dim": "shop", "op": "is", "values": ["web"]}]}) as board:
        assert board.to_arrow("by_shop")["shop"].to_pylist() == ["web"]
        board.scope.param.update(filters=[], window="2026-03-02T10:30:00Z to 2026-03-02T10:59:00Z")
        assert sum(board.to_arrow("rows_line")["Rows"].drop_null().to_pylist()) == 29
        board.scope.window = "now-bad"
        with pytest.raises(ValidationError, match="window: expected"):
            board.to_arrow("rows")
        board.scope.window = "now-1h"
        assert board.to_arrow("by_shop").num_rows == 0
        with pytest.raises(ValueError, match="previous"):
            board.scope.compare = "yesterday"


def cell_of(board: Board) -> tuple[Cell, list[dict[str, Any]]]:
    """A cell whose messages to the browser are kept in a list, as if a view had begun."""
    cell: Any = board.__panel__()
    said: list[dict[str, Any]] = []
    cell._send_msg = said.append
    cell._handle_msg({"type": "ask", "tz": "Europe/Berlin"})
    wait_until(lambda: said, what="an answer")
    return cell, said


def test_a_cell_hears_nothing_before_it_asks_and_then_the_whole_and_then_what_changed() -> None:
    with Board(data=COLUMNS) as board:
        cell: Any = board.__panel__()
        said: list[dict[str, Any]] = []
        cell._send_msg = said.append
        board.scope.compare = "week"
        board.to_arrow("rows")
        assert said == []
        cell._handle_msg({"type": "ask", "tz": "Europe/Berlin"})
        wait_until(lambda: [m["type"] for m in said] == ["analytics_update"], what="the whole state")
        standing = board._standing
        assert standing.request["window"]["tz"] == "Europe/Berlin"
        assert standing.state is not None
        standing.answered(standing.state | {"query_ms": 99.0}, 5)
        assert {name: said[-1][name] for name in ("type", "at", "board", "tiles")} == {
            "type": "frame", "at": 5, "board": {"query_ms": 99.0}, "tiles": {}
        }  # fmt: skip
        standing.refused(NotFound("no such thing", hint="try another"))
        assert said[-1] == {"type": "error", "error": {"message": "no such thing", "hint": "try another"}}
        standing.answered(standing.state, 6)
        assert said[-1]["type"] == "analytics_update"


def test_a_brushed_span_is_a_selection_and_the_screens_scope_is_the_boards() -> None:
    with Board(data=COLUMNS) as board:
        cell, _ = cell_of(board)
        start = START.timestamp() * 1000
        cell._handle_msg({"type": "brushed", "tile": "rows_line", "from": start, "to": start + 600_000})
        assert board.selection["time"].to_pylist()[0] == START
        assert sum(board.selection["Rows"].to_pylist()) == 10
        cell.scope = cell.scope | {"filters": [{"dim": "shop", "op": "is", "values": ["web"]}]}
        assert board.scope.filters[0]["values"] == ["web"]
        assert board.to_arrow("by_shop")["shop"].to_pylist() == ["web"]
        cell.scope = cell.scope | {"compare": "never"}
        assert board.scope.compare == "off" == cell.scope["compare"]


def test_a_tile_shares_the_boards_scope_and_is_given_nothing_of_the_others() -> None:
    with Board(data=COLUMNS) as board:
        cells: list[Any] = [*pn.Row(board.tile("rows"), board.tile("by_shop"))]
        assert [[tile["id"] for tile in cell.spec["tiles"]] for cell in cells] == [["rows"], ["by_shop"]]
        assert [list(cell.state["tiles"]) for cell in cells] == [["rows"], ["by_shop"]]
        board.scope.compare = "week"
        assert {cell.scope["compare"] for cell in cells} == {"week"}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({}, "expected either url= of a server or data="),
        ({"data": COLUMNS, "url": "http://127.0.0.1:1"}, "expected either url= of a server or data="),
        ({"name": "dta", "data": COLUMNS}, "no board 'dta'; did you mean 'data'"),
        ({"data": COLUMNS, "scope": {"windw": "now-1h"}}, "no field of the scope 'windw'; did you mean 'window'"),
        ({"data": COLUMNS, "theme": "blue"}, "no theme 'blue'; known: dark, light"),
        ({"url": "http://127.0.0.1:1", "key": "k"}, "no server at http://127.0.0.1:1"),
        ({"data": "nowhere.duckdb"}, "no file 'nowhere.duckdb'"),
        ({"data": ROOT / "README.md"}, "is not a DuckDB file"),
    ],
)
def test_a_board_that_cannot_be_says_why(arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(PlumblineError, match=told):
        Board(**arguments)


def test_a_tile_that_is_not_there_is_named_with_the_nearest() -> None:
    with Board(data=COLUMNS) as board:
        for ask in (board.tile, board.to_pandas):
            with pytest.raises(NotFound, match="no tile 'by_shp'; did you mean 'by_shop'"):
                ask("by_shp")


def test_a_refusal_is_two_lines_in_a_notebook_and_has_its_hint_elsewhere() -> None:
    with pytest.raises(Conflict) as caught, plainly():
        raise Conflict("it is taken", hint="take another")
    assert caught.value.__notes__ == ["take another"]
    assert caught.value._render_traceback_() == ["Conflict: it is taken", "take another"]  # type: ignore[attr-defined]


def test_a_foreign_duckdb_file_is_refused_and_none_is_changed(tmp_path: Path) -> None:
    path = tmp_path / "mine.duckdb"
    with duckdb.connect(str(path)) as mine:
        mine.execute("CREATE TABLE t AS SELECT 1 AS x")
    before = path.read_bytes()
    with pytest.raises(ValidationError, match="holds no data of Plumbline's"):
        Board(data=path)
    assert path.read_bytes() == before


def test_a_closed_board_says_so_and_closing_twice_is_once() -> None:
    board = Board(data=COLUMNS)
    _, said = cell_of(board)
    board.close()
    board.close()
    assert (said[-1]["name"], said[-1]["reason"]) == ("closed", "the board was closed in the kernel")
    board.scope.compare = "week"
    assert board.to_arrow("rows").num_rows > 0


def test_several_boards_stand_at_once() -> None:
    boards = [Board(data={"placed": PLACED[: 20 * i], "shop": SHOP[: 20 * i]}) for i in (1, 2, 3)]
    assert [sum(board.to_arrow("by_shop")["value"].to_pylist()) for board in boards] == [20, 40, 60]
    for board in boards:
        board.close()


def test_a_program_that_forgets_to_close_ends_at_once_and_says_nothing() -> None:
    program = "from dashboard import Board; Board(data={'t': ['2026-03-02T10:00Z', '2026-03-03T10:00Z'], 'x': [1, 2]})"
    started = time.monotonic()
    ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    assert time.monotonic() - started < 45


def test_a_saved_page_holds_all_it_needs_and_no_name_breaks_out_of_it(tmp_path: Path) -> None:
    evil = "</script><script>alert(1)</script>"
    with Board(data=COLUMNS | {"shop": [evil, "web"] * 30}) as board:
        text = board.save(tmp_path / "report.html").read_text()
    assert evil not in text
    assert "default-src 'none'" in text
    assert "https://" not in text.partition('id="held"')[0]


def test_modules_come_after_those_they_import() -> None:
    names = list(standalone.modules("cell.js"))
    assert names[-1] == "cell.js" and names.index("dom.js") < names.index("board.js") < names.index("cell.js")
    assert set(standalone.modules("saved.js")) <= {*names, "saved.js"}


def test_tiles_of_any_type_are_tables() -> None:
    two = {
        "head": {"series": [{"title": "p95"}, {"title": "p95"}]},
        "columns": {"t": [0, 60_000], "s0": [1, None], "s1": [2, 3]},
    }
    assert tables.of(two).schema.names == ["time", "p95 1", "p95 2"]
    assert tables.of(two)["time"].to_pylist()[1] == datetime(1970, 1, 1, 0, 1, tzinfo=UTC)
    assert tables.within(tables.of(two), 60_000, 120_000).num_rows == 1
    said = {"head": {"items": [{"text": [{"t": "Spend "}, {"t": "rose"}], "metric": "spend", "n": 3}]}, "columns": {}}
    assert tables.of(said).to_pylist()[0] | {} == {
        "text": "Spend rose",
        "metric": "spend",
        "tone": None,
        "confidence": None,
        "n": 3,
    }
    assert tables.of({"head": {"state": "empty"}, "columns": {}}).num_rows == 0  # fmt: skip


def test_a_board_is_dressed_as_on_a_page() -> None:
    """What tiles wear is there: ranges, forecasts and budgets too; what pages wear is not."""
    assert {sheet.stem for sheet in standalone.ASSETS.glob("css/*.css")} > standalone.PAGES
    for worn in (".range {", ".forecast {", ".budget {", ".wall ", ".leaf"):
        assert worn in standalone.style()
    assert ".ask-box" not in standalone.style()
