"""Boards in a notebook against a real server: live, interrupted, refused; and from the file it leaves behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from analytics.errors import Conflict, NotFound, PlumblineError, Unauthorized
from analytics.keys import Keys
from dashboard import Board
from dashboard.cell import Cell
from tests.conftest import ROOT, Running, flow, wait_until


@pytest.fixture(autouse=True)
def no_threads_left() -> Iterator[None]:
    yield
    wait_until(
        lambda: not [t for t in threading.enumerate() if t.name.startswith("plumbline")], what="our threads' end"
    )


@pytest.fixture
def live(running: Running) -> Iterator[Board]:
    running.post([flow(ago_s=60.0 * i) for i in range(1, 9)])
    with Board("overview", url=running.url, key=running.key) as board:
        yield board


def cell_of(board: Board) -> tuple[Cell, list[dict[str, Any]]]:
    """A cell whose messages to the browser are kept in a list, as if a view had begun."""
    cell: Any = board.__panel__()
    said: list[dict[str, Any]] = []
    cell._send_msg = said.append
    cell._handle_msg({"type": "ask", "tz": "UTC"})
    return cell, said


def flows(board: Board) -> float:
    return sum(value or 0 for value in board.to_arrow("flows")["value"].to_pylist())


def test_a_board_follows_the_server(live: Board, running: Running) -> None:
    assert repr(live) == f"Board('overview', url={running.url!r})"
    assert live.to_arrow("latest").num_rows == 8
    _, said = cell_of(live)
    wait_until(lambda: any(message["type"] == "frame" for message in said), what="a frame")
    assert said[0]["type"] == "analytics_update"
    running.post([flow(name="a late one", ago_s=1.0)])
    wait_until(lambda: "a late one" in live.to_arrow("latest")["name"].to_pylist(), what="the new flow")
    told = [message for message in said if message["type"] == "frame" and "latest" in message["tiles"]]
    assert told[0]["tiles"]["latest"]["columns"]["name"][0] == "a late one"
    assert said.count(said[0]) == 1


def test_the_scope_is_asked_of_the_server(live: Board, running: Running) -> None:
    running.post([flow(name="a private one", domain="private", ago_s=2.0)])
    live.scope.filters = [{"dim": "domain", "op": "is", "values": ["private"]}]
    wait_until(lambda: live.to_arrow("latest")["name"].to_pylist() == ["a private one"], what="the filtered flow")
    live.scope.window = "now-bad"
    with pytest.raises(PlumblineError, match="window: expected"):
        live.to_arrow("latest")
    live.scope.param.update(filters=[], window="now-15m")
    wait_until(lambda: live.to_arrow("latest").num_rows == 8, what="all flows again")


def test_several_boards_and_their_tiles_follow_at_once(live: Board, running: Running) -> None:
    with Board("resources", url=running.url, key=running.key) as other:
        assert other.tiles != live.tiles
        assert live.tile("flows").to_arrow().num_rows > 0
        cells: list[Any] = [live.tile("flows").__panel__(), other.__panel__()]
        assert [cell.spec["single"] for cell in cells] == [True, False]


def test_a_cell_says_that_the_server_went_and_came_back(live: Board, running: Running) -> None:
    _, said = cell_of(live)
    wait_until(lambda: any(message["type"] == "frame" for message in said), what="a frame")
    running.stop(signal.SIGKILL)
    wait_until(lambda: said[-1].get("name") == "reconnecting", what="the news that it is gone")
    assert live.to_arrow("latest").num_rows == 8  # what is on screen stays
    running.start()
    wait_until(lambda: said[-1]["type"] == "frame", timeout_s=30, what="life")
    names = [message["name"] for message in said if message["type"] == "connection"]
    assert names[0] == "reconnecting" and names[-1] == "connected"


def test_a_revoked_key_ends_it_with_the_reason(running: Running) -> None:
    keys = Keys(running.data, lambda: datetime.now(UTC))
    made, key = keys.create("guest", ["read"])
    with Board("overview", url=running.url, key=key) as board:
        _, said = cell_of(board)
        wait_until(lambda: any(message["type"] == "frame" for message in said), what="a frame")
        keys.revoke(made.id)
        keys.close()
        wait_until(lambda: any(message.get("name") == "closed" for message in said), what="its end")
        board.scope.window = "now-15m"
        with pytest.raises(Unauthorized):
            board.to_arrow("flows")


def test_what_the_server_refuses_is_said_in_one_sentence(running: Running) -> None:
    with pytest.raises(NotFound, match="no board 'overvew'; did you mean 'overview'"):
        Board("overvew", url=running.url, key=running.key)
    with pytest.raises(Unauthorized):
        Board("overview", url=running.url, key=running.key[:-1] + "x")


def test_a_file_in_use_names_the_server_and_a_free_one_shows_where_its_data_is(running: Running) -> None:
    running.post([flow(ago_s=7200.0 + 60 * i) for i in range(8)])
    path = running.data / "plumbline.duckdb"
    with pytest.raises(Conflict, match=f"in use by the server at {running.url}") as refused:
        Board("overview", data=path)
    assert f"url='{running.url}'" in str(refused.value.hint)
    running.stop(signal.SIGKILL)  # what was committed may be in the log only
    before = path.read_bytes()
    with Board("overview", data=path) as board:
        assert repr(board) == f"Board('overview', data={str(path)!r})"
        assert flows(board) > 0
        assert board.to_arrow("latest").num_rows == 8
        assert " to " in board.scope.window
    assert path.read_bytes() == before


def test_the_tutorial_runs_from_top_to_bottom_and_a_refusal_in_it_is_two_lines(
    running: Running, tmp_path: Path
) -> None:
    running.post([flow(ago_s=60.0 * i) for i in range(1, 9)])
    notebook = json.loads((ROOT / "assets/docs/notebook.ipynb").read_text())
    wrong = {"id": "wrong", "cell_type": "code", "source": 'Board("overvew", url=os.environ["PLUMBLINE_URL"])'}
    told: dict[str, Any] = {"metadata": {"tags": ["raises-exception"]}, "outputs": [], "execution_count": None}
    notebook["cells"].append(wrong | told)
    (tmp_path / "notebook.ipynb").write_text(json.dumps(notebook))
    own = {f"JUPYTER_{name}_DIR": str(tmp_path / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")}
    own |= {"IPYTHONDIR": str(tmp_path / "ipython"), "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(
        [sys.executable, "-m", "jupyter", "execute", "notebook.ipynb", "--output=ran.ipynb"],
        cwd=tmp_path, env=os.environ | own | {"PLUMBLINE_URL": running.url, "PLUMBLINE_KEY": running.key},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    text = (tmp_path / "ran.ipynb").read_text()
    assert running.key not in text
    outputs = [cell["outputs"] for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
    shown = [output["data"].get("text/plain", "") for each in outputs[:-1] for output in each if "data" in output]
    assert "Board('data', data=DataFrame of 5,000 rows)" in ["".join(each) for each in shown]
    assert f"Board('overview', url={running.url!r})" in ["".join(each) for each in shown]
    assert outputs[-1][0]["traceback"] == ["NotFound: no board 'overvew'; did you mean 'overview'?"]
    assert (tmp_path / "report.html").stat().st_size > 1_000_000
