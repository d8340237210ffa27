"""Pinning: tiles into the files that people wrote, so that only what was pinned differs, and off again."""

from __future__ import annotations

import asyncio
import fcntl
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.yaml_edit import Boards
from tests.conftest import Served, request, serving

TILE = {"type": "bars", "title": "Errors by agent", "metric": "errors", "by": "agent"}
WRITTEN = "{id: errors_by_agent, type: bars, title: Errors by agent, metric: errors, by: agent}"

MINE = """\
# What we look at in the morning.

boards:
  mine:   # everybody's
    title: 'Ours'
    window: "now-1d"

    tiles:
      # first the money
      - {id: "spend", type: kpi, metric: spend}   # per hour
      - id: latest
        type: latest
        columns: [time, name]
        note: |
          as they come

  # kept for old links
  old: {title: Old, tiles: [ {id: a, type: kpi, metric: flows}, {id: b, type: kpi, metric: errors} ]}
metrics:
  late: {count: {}, where: {status: error}}
"""


class Desk:
    """A server with one workspace file of its own, and an admin's key."""

    def __init__(self, served: Served, mine: Path) -> None:
        self.served, self.mine = served, mine
        self.own = served.app.settings.data / "workspaces" / "boards.yaml"
        self.key = self.made("admin", "read")

    def made(self, *scopes: str, **limits: Any) -> str:
        return str(self.served.app.keys.create(" ".join(scopes), scopes, **limits)[1])

    async def call(self, method: str, path: str, body: Any = None, key: str | None = None) -> tuple[int, Any]:
        data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"X-API-Key": key or self.key}
        status, _, raw = await asyncio.to_thread(request, f"{self.served.url}/api/boards/{path}", data, headers, method)
        return status, json.loads(raw) if raw else None

    async def pin(self, board: str, tile: Any = TILE, query: str = "", **more: Any) -> tuple[int, Any]:
        return await self.call("POST", f"{board}/tiles{query}", tile, **more)

    async def unpin(self, board: str, tile: str, **more: Any) -> tuple[int, Any]:
        return await self.call("DELETE", f"{board}/tiles/{tile}", **more)

    def ids(self, board: str) -> list[str]:
        """The tiles as the running workspace has them."""
        return [tile.id for tile in self.served.app.workspaces.current.boards[board].tiles]


@asynccontextmanager
async def sat(tmp_path: Path, text: str = MINE) -> AsyncIterator[Desk]:
    mine = tmp_path / "mine.yaml"
    mine.write_bytes(text.encode())
    async with serving(tmp_path / "data", workspace=[mine]) as served:
        yield Desk(served, mine)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with sat(tmp_path) as desk:
        yield desk


async def test_a_tile_goes_into_the_file_that_has_the_board_and_nothing_else_differs(desk: Desk) -> None:
    status, told = await desk.pin("mine")
    assert status == 201
    assert told == {
        "board": "mine", "tile": {"id": "errors_by_agent", **TILE}, "at": 2, "file": "mine.yaml", "created": False,
    }  # fmt: skip
    after = "          as they come\n"
    assert desk.mine.read_text() == MINE.replace(after, f"{after}      - {WRITTEN}\n")
    assert desk.ids("mine") == ["spend", "latest", "errors_by_agent"], "it is live at once"
    assert not desk.own.exists()

    status, gone = await desk.unpin("mine", "errors_by_agent")
    assert (status, gone["tile"], gone["at"], gone["removed"]) == (200, told["tile"], 2, False)
    assert desk.mine.read_text() == MINE


async def test_what_was_taken_off_can_be_put_back_where_it_was(desk: Desk) -> None:
    _, gone = await desk.unpin("mine", "spend")
    assert desk.ids("mine") == ["latest"]
    assert "# first the money" in desk.mine.read_text()
    status, _ = await desk.pin("mine", gone["tile"], f"?at={gone['at']}")
    assert (status, desk.ids("mine")) == (201, ["spend", "latest"])


async def test_a_board_in_one_line_grows_in_that_line(desk: Desk) -> None:
    await desk.pin("old")
    assert f"metric: errors}}, {WRITTEN} ]}}" in desk.mine.read_text()
    await desk.pin("old", {"id": "c", "type": "kpi", "metric": "flows"}, "?at=0")
    assert desk.ids("old") == ["c", "a", "b", "errors_by_agent"]
    for tile in ("c", "errors_by_agent"):
        await desk.unpin("old", tile)
    assert desk.mine.read_text() == MINE


async def test_windows_line_ends_and_a_file_without_a_last_one_stay(tmp_path: Path) -> None:
    text = MINE[: MINE.index("\n  # kept")].rstrip().replace("\n", "\r\n")
    async with sat(tmp_path, text) as desk:
        await desk.pin("mine")
        assert desk.mine.read_bytes() == f"{text}\r\n      - {WRITTEN}\r\n".encode()


async def test_a_built_in_board_is_copied_whole_and_given_back_when_nothing_is_left(desk: Desk) -> None:
    before = desk.served.app.workspaces.current.boards["overview"]
    status, told = await desk.pin("overview")
    assert (status, told["file"], told["created"]) == (201, "boards.yaml", False)
    after = desk.served.app.workspaces.current.boards["overview"]
    assert (after.tiles[:-1], after.title, after.empty, after.file) == (
        before.tiles, before.title, before.empty, "boards.yaml",
    )  # fmt: skip
    assert desk.own.stat().st_mode & 0o777 == 0o644
    await desk.pin("overview", {"type": "kpi", "metric": "flows"})
    assert desk.ids("overview")[-2:] == ["errors_by_agent", "flows_2"]
    for tile in ("errors_by_agent", "flows_2"):
        status, told = await desk.unpin("overview", tile)
        assert status == 200, told
    assert desk.served.app.workspaces.current.boards["overview"] == before
    assert "overview" not in desk.own.read_text()


async def test_a_built_in_tile_may_be_taken_off(desk: Desk) -> None:
    first = desk.ids("overview")[0]
    assert (await desk.unpin("overview", first))[0] == 200
    assert first not in desk.ids("overview")


async def test_a_board_that_is_not_there_is_made_and_goes_with_its_last_tile(desk: Desk) -> None:
    status, told = await desk.pin("new-one", query="?title=On%20call:%20%22us%22")
    assert (status, told["created"], told["at"]) == (201, True, 0)
    assert desk.served.app.workspaces.current.boards["new-one"].title == 'On call: "us"'
    await desk.pin("second")
    assert desk.served.app.workspaces.current.boards["second"].title == "Second"
    status, gone = await desk.unpin("new-one", "errors_by_agent")
    assert (status, gone["removed"]) == (200, True)
    assert "new-one" not in desk.served.app.workspaces.current.boards
    assert "second" in desk.served.app.workspaces.current.boards


async def test_an_id_that_is_taken_or_odd_becomes_another(desk: Desk) -> None:
    kpi = {"type": "kpi", "metric": "errors"}
    for wanted, made in (("spend", "spend_2"), ("spend", "spend_3"), ("a b/c", "errors"), (None, "errors_2")):
        _, told = await desk.pin("mine", kpi if wanted is None else {"id": wanted} | kpi)
        assert told["tile"]["id"] == made


async def test_bare_names_are_written_in_full(desk: Desk) -> None:
    flights = desk.own.with_name("flights.yaml")
    flights.write_text(
        "namespace: flights\ndatasets: {flights: {columns: {carrier: text, delay: number}}}\n"
        "dimensions: {airline: {column: carrier}}\nmetrics: {trips: {count: {}}, wait: {avg: delay}}\n"
    )
    desk.served.app.workspaces.reload_if_changed()
    tile = {
        "type": "table",
        "metrics": ["trips", "wait"],
        "by": "airline",
        "where": {"airline": ["AA", None], "delay": 3},
    }
    status, told = await desk.pin("mine", tile)
    assert status == 201
    assert told["tile"] == {
        "id": "table", "type": "table", "metrics": ["flights.trips", "flights.wait"], "by": "flights.airline",
        "where": {"flights.airline": ["AA", None], "delay": 3},
    }  # fmt: skip
    assert desk.served.app.workspaces.current.boards["mine"].tiles[-1].dataset == "flights"


REFUSED = [
    (["no tile"], "expected a tile, one JSON object"),
    (b"{", "expected a tile, one JSON object"),
    ({"type": "kpi", "metric": "erors"}, "no metric 'erors'; did you mean 'errors'?"),
    ({"type": "kpy", "metric": "errors"}, "expected one of kpi"),
    ({"type": "kpi", "metric": "errors", "wide": 3}, "no field 'wide'; did you mean 'width'?"),
    ({"metric": "errors"}, "`type` is missing"),
]


@pytest.mark.parametrize(("tile", "told"), REFUSED)
async def test_a_tile_that_would_not_read_changes_nothing(desk: Desk, tile: Any, told: str) -> None:
    status, problem = await desk.pin("mine", tile)
    assert (status, told in problem["detail"]) == (400, True), problem
    assert desk.mine.read_text() == MINE


async def test_only_admins_change_boards_and_only_those_of_their_key(desk: Desk) -> None:
    for key, board in ((desk.made("read", "ingest"), "mine"), (desk.made("admin", boards=["overview"]), "mine")):
        assert (await desk.pin(board, key=key))[0] == 403
        assert (await desk.unpin(board, "spend", key=key))[0] == 403
    assert desk.mine.read_text() == MINE


async def test_the_audit_log_tells_who_pinned_what(desk: Desk) -> None:
    await desk.pin("mine")
    await desk.unpin("mine", "errors_by_agent")
    entries = desk.served.app.keys.audit.newest(2)
    assert [entry.event for entry in entries] == ["unpin", "pin"]
    assert entries[1].detail == "tile errors_by_agent of board mine in mine.yaml, by admin read"


async def test_what_is_not_there_is_named(desk: Desk) -> None:
    assert (await desk.unpin("mne", "spend"))[1]["detail"] == "no board 'mne'; did you mean 'mine'?"
    assert (await desk.unpin("mine", "spnd"))[1][
        "detail"
    ] == "the board 'mine' has no tile 'spnd'; did you mean 'spend'?"
    assert (await desk.pin("a%2Fb"))[0] in (400, 404)


async def test_the_last_tile_of_a_written_board_stays(desk: Desk) -> None:
    await desk.unpin("mine", "spend")
    status, problem = await desk.unpin("mine", "latest")
    assert (status, problem["hint"]) == (409, "take the whole board out of mine.yaml")
    assert desk.ids("mine") == ["latest"]


async def test_files_that_must_not_be_replaced_say_so(desk: Desk, tmp_path: Path) -> None:
    desk.mine.chmod(0o444)
    status, problem = await desk.pin("mine")
    assert (status, problem["detail"]) == (409, "mine.yaml cannot be written: it is read-only")
    desk.mine.chmod(0o640)

    with desk.mine.open() as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        status, problem = await desk.pin("mine")
        assert (status, problem["detail"]) == (409, "mine.yaml is being changed by another program")

    assert (await desk.pin("mine"))[0] == 201
    assert desk.mine.stat().st_mode & 0o777 == 0o640, "its rights stay"

    real = desk.mine.rename(tmp_path / "real.yaml")
    desk.mine.symlink_to(real)
    desk.served.app.workspaces.reload_if_changed()
    status, problem = await desk.pin("mine")
    assert (status, problem["detail"]) == (409, "mine.yaml is a symbolic link, which is never replaced")


async def test_a_file_with_mistakes_is_not_touched(desk: Desk) -> None:
    broken = MINE.replace("status: error", "status: eror")
    desk.mine.write_text(broken)
    status, problem = await desk.pin("mine")
    assert status == 409
    assert "mine.yaml:21: metric 'late'" in problem["detail"]
    assert desk.mine.read_text() == broken


async def test_an_alias_is_not_followed(tmp_path: Path) -> None:
    text = "boards:\n  a: &a\n    tiles:\n      - {id: x, type: kpi, metric: flows}\n  b: *a\n"
    async with sat(tmp_path, text) as desk:
        status, problem = await desk.pin("b")
        assert (status, problem["detail"]) == (409, "the board 'b' is an alias of another")
        assert (await desk.pin("a"))[0] == 201


async def test_many_at_once_are_all_kept(desk: Desk) -> None:
    answers = await asyncio.gather(*(desk.pin("mine") for _ in range(12)))
    assert [status for status, _ in answers] == [201] * 12
    assert len(desk.ids("mine")) == 14
    assert [p.name for p in desk.mine.parent.glob(".*")] == [], "no part of a file is left behind"


PLAIN = st.one_of(st.none(), st.booleans(), st.integers(-(10**9), 10**9), st.text(max_size=20))
FIELDS = st.dictionaries(st.text(min_size=1, max_size=10), st.one_of(PLAIN, st.lists(PLAIN, max_size=3)), max_size=4)


@settings(deadline=None)
@given(FIELDS, st.integers(0, 3), st.sampled_from(["mine", "old"]), st.sampled_from(["\n", "\r\n"]))
def test_any_tile_goes_in_and_out_without_a_trace(fields: dict[str, Any], at: int, board: str, line: str) -> None:
    before = MINE.replace("\n", line).encode()
    boards = Boards(before)
    tile = {key: value for key, value in fields.items() if _can_be_yaml(key, value)} | {"id": "it"}
    place = boards.add(board, tile, at)
    assert boards.ids(board)[place] == "it"
    again = Boards(boards.raw)
    assert again.remove(board, "it") == (tile, place)
    assert again.raw == before


def _can_be_yaml(key: str, value: Any) -> bool:
    texts = [key, *(v for v in (value if isinstance(value, list) else [value]) if isinstance(v, str))]
    return all(text.encode("utf-8", "ignore").decode() == text for text in texts)
