"""Boards in a notebook: `Board("overview", url=..., key=...)` live from a server, `Board(data=frame)` from data alone.

Everything travels over Panel's own channel: the kernel asks, the cell draws. What is on screen is there as param
state (`scope`, `selection`) and as tables (`to_arrow`, `to_pandas`, `to_polars`).
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import re
import sys
import threading
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import panel as pn
import param
import pyarrow as pa

from analytics.client import State
from analytics.errors import NotFound, PlumblineError, Timeout, ValidationError, unknown
from analytics.messages import BoardRequest
from dashboard import standalone, tables
from dashboard.board import describe
from dashboard.cell import Cell, Told
from dashboard.plainly import plainly
from dashboard.scope import Scope
from dashboard.sources import LocalSource, RemoteSource, Source
from dashboard.theme import THEMES

log = logging.getLogger(__name__)

PATIENCE_S = 10.0  # for numbers that were asked for
PLAIN = re.compile(r"now-\d+[smh]")
AT_ONCE_S = 2.0  # for the first numbers of a cell, so that it can paint without the kernel


class Standing:
    """One standing request of a board, and what came for it; a change of scope puts another in its place."""

    def __init__(self, board: Board, request: dict[str, Any], connection: State) -> None:
        self.request = request
        self.state: dict[str, Any] | None = None
        self.at = 0
        self.error: PlumblineError | None = None
        self.connection = connection
        self.arrived = threading.Event()
        self._board = weakref.ref(board)  # a source's thread must not keep alive what nobody has any more

    def answered(self, state: dict[str, Any], at: int) -> None:
        self.state, self.at, self.error = state, at, None
        self._news()

    def refused(self, error: PlumblineError) -> None:
        self.error = error
        self._news()

    def connected(self, state: State) -> None:
        self.connection = state
        if (board := self._board()) is not None:
            board._news()

    def _news(self) -> None:
        self.arrived.set()
        if (board := self._board()) is not None:
            board._news()


class Board(pn.viewable.Viewer):
    """A living board in a cell, or anywhere in a Panel layout.

    name: a board of the server's or the data's workspace; without one `overview`, or the board made for the rows.
    url, key: a Plumbline server; the key defaults to the variable PLUMBLINE_KEY.
    data: in place of a server the path of a plumbline.duckdb, or rows: a pandas or polars frame, an Arrow table, a dict
    of columns. `time` names their time column, which else is looked for.
    scope: what to look at, as fields of Scope: {"window": "now-6h", "filters": [...]}. theme: light or dark; without
    one the notebook's own.

    Raises NotFound for an unknown board, Unreachable without a server, and what the server refuses.
    """

    scope = param.ClassSelector(class_=Scope, constant=True, doc="follows the screen, and leads it")
    selection = param.Parameter(default=None, doc="rows of the span brushed last, as an Arrow table; None without one")

    def __init__(
        self,
        name: str | None = None,
        *,
        url: str | None = None,
        key: str | None = None,
        data: Any = None,
        time: str | None = None,
        scope: dict[str, Any] | None = None,
        theme: str = "",
    ) -> None:
        with plainly():
            fields = _fields(scope or {}, theme)
            self._source = _source(url, key, data, time)
            try:
                self._workspace = self._source.workspace()
                wanted = name or self._source.default
                if wanted not in self._workspace.boards:
                    raise NotFound(unknown("board", wanted, self._workspace.boards))
                self._declared = self._workspace.boards[wanted]
                home = self._source.home(self._declared)
            except BaseException:
                self._source.close()
                raise
        self._declared = msgspec.structs.replace(self._declared, window=home)
        self._cells: weakref.WeakSet[Cell] = weakref.WeakSet()
        self._lock = threading.RLock()
        self._due = self._closed = False
        self._zone = ""
        self._loop = _running_loop()
        super().__init__(name=wanted, scope=Scope(**({"window": home, "compare": self._source.compare} | fields)))
        self.scope.param.watch(self._scoped, [*Scope.own_names()])
        self._follow(self._request(), State("connected"))
        self._end = weakref.finalize(self, _forgotten, self._source)
        self._end.atexit = False
        _prepared()
        if pn.state.curdoc and pn.state.curdoc.session_context:
            pn.state.on_session_destroyed(lambda _: self.close())

    def __repr__(self) -> str:
        return f"Board({self._declared.name!r}, {self._source})"

    __str__ = __repr__

    def __enter__(self) -> Board:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __panel__(self) -> Any:
        return self._cell(self.tiles)

    # what is on screen

    @property
    def tiles(self) -> list[str]:
        """The ids of its tiles."""
        return [tile.id for tile in self._declared.tiles]

    def tile(self, id: str) -> Tile:
        """One tile alone; it shares scope and subscription with its board. Raises NotFound."""
        with plainly():
            self._known(id)
        return Tile(self, id)

    def to_arrow(self, tile: str, timeout_s: float = PATIENCE_S) -> pa.Table:
        """The rows that a tile shows now; waits for the first. Raises NotFound, Timeout, or why there is no answer."""
        with plainly():
            self._known(tile)
            return tables.of(self._now(timeout_s)["tiles"][tile])

    def to_pandas(self, tile: str) -> Any:
        """The same as a pandas DataFrame."""
        return self.to_arrow(tile).to_pandas()

    def to_polars(self, tile: str) -> Any:
        """The same as a polars DataFrame. Raises ModuleNotFoundError without polars."""
        return importlib.import_module("polars").from_arrow(self.to_arrow(tile))

    def save(self, path: str | Path, timeout_s: float = PATIENCE_S) -> Path:
        """Write one HTML file that needs nothing else: the board with its numbers as of now. It says as of when."""
        with plainly():
            state = self._now(timeout_s)
        target = Path(path)
        target.write_text(standalone.page(self._spec(self.tiles), state, self.scope.state()), "utf-8")
        return target

    def close(self) -> None:
        """Stop following and end the connection; the cells stay, and say so. Twice is once."""
        if self._closed:
            return
        self._closed = True
        self._end.detach()
        self._standing.connected(State("closed", "the board was closed in the kernel"))
        self._stop()
        self._source.close()

    # between source and cells

    def _known(self, tile: str) -> None:
        if tile not in self.tiles:
            raise NotFound(unknown("tile", tile, self.tiles))

    def _now(self, timeout_s: float) -> dict[str, Any]:
        standing = self._standing
        if not standing.arrived.wait(timeout_s):
            raise Timeout(f"no answer within {timeout_s:g} s; the connection is {standing.connection}")
        if standing.error is not None:
            raise standing.error
        assert standing.state is not None
        return standing.state

    def _request(self) -> dict[str, Any]:
        """The standing request of the scope, as assets/scope.js makes it."""
        s = self.scope
        start, _, end = (part.strip() for part in s.window.partition(" to "))
        tz = s.tz or self._zone
        window: Any = {"from": start, "to": end or "now"} | ({"tz": tz} if tz else {})
        if PLAIN.fullmatch(start) and end in ("", "now"):  # means the same in every zone
            window = start
        more = {n: getattr(s, n) for n in ("grain", "as_of") if getattr(s, n)}
        return {"board": self._declared.name, "window": window, "filters": s.filters, "compare": s.compare} | more

    def _follow(self, request: dict[str, Any], connection: State) -> None:
        self._standing = Standing(self, request, connection)
        self._stop = _nothing
        try:
            self._stop = self._source.follow(msgspec.convert(request, BoardRequest, strict=False), self._standing)
        except msgspec.ValidationError as error:
            self._standing.refused(ValidationError(str(error)))
        except PlumblineError as error:  # the connection is over for good
            self._standing.refused(error)

    def _again(self) -> None:
        """Ask anew, where the scope has changed or the answer was a refusal."""
        request = self._request()
        if not self._closed and (request != self._standing.request or self._standing.error is not None):
            self._stop()
            self._follow(request, self._standing.connection)

    def _scoped(self, *_: Any) -> None:
        state = self.scope.state()
        for cell in [*self._cells]:
            if cell.scope != state:
                cell.scope = state
        self._again()

    def _news(self) -> None:
        """From any thread: let the cells know soon, in the kernel's own loop; all news until then are one message."""
        with self._lock:
            if self._due:
                return
            self._due = True
        if self._loop is not None and self._loop.is_running():
            self._loop.call_soon_threadsafe(self._flush)
        else:
            self._flush()

    def _flush(self) -> None:
        with self._lock:
            self._due = False
            for cell in [*self._cells]:
                cell.tell(self._told())

    def _told(self) -> Told:
        now = self._standing
        return Told(now, now.state, now.at, now.error, now.connection)

    # between cells and scope

    def _spec(self, tiles: Sequence[str]) -> dict[str, Any]:
        """What a cell draws. Links and commands lead to the server, where there is one."""
        shown = tuple(tile for tile in self._declared.tiles if tile.id in tiles)
        url = self._source.url
        empty = self._declared.empty.replace("{url}", url) if url else ""
        declared = msgspec.structs.replace(self._declared, tiles=shown, empty=empty)
        spec = describe(declared, self._workspace, self.scope.theme or "light")
        for tile in spec["tiles"]:
            tile["link"] = tile["link"] and url and url + tile["link"]
        told = {"static": not url, "told": self._source.told, "timeless": self._source.timeless}
        return spec | told | {"single": len(shown) == 1 < len(self.tiles)}

    def _cell(self, tiles: Sequence[str]) -> Cell:
        self._standing.arrived.wait(AT_ONCE_S)
        with self._lock:
            cell = Cell(
                tuple(tiles), self._heard, self._told(), spec=self._spec(tiles), scope=self.scope.state(),
                sizing_mode="stretch_width",
            )  # fmt: skip
            cell.param.watch(lambda event: self._moved(event.new), "scope")
            self._cells.add(cell)
        return cell

    def _heard(self, cell: Cell, said: dict[str, Any]) -> None:
        """From a cell: it is there, it wants to try again, or a span was brushed in it."""
        match said.get("type"):
            case "ask":
                self._zone = str(said.get("tz") or "")
                if isinstance(moved := said.get("scope"), dict):
                    self._moved(moved)
                self._again()
                self._news()
            case "brushed":
                tile = (self._standing.state or {"tiles": {}})["tiles"].get(said.get("tile"))
                start, end = said.get("from"), said.get("to")
                if tile is not None and isinstance(start, int | float) and isinstance(end, int | float):
                    self.selection = tables.within(tables.of(tile), start, end)

    def _moved(self, state: dict[str, Any]) -> None:
        known = {name: value for name, value in state.items() if name in Scope.own_names()}
        try:
            self.scope.param.update(**known)
        except ValueError as error:  # what a scope does not take stays as it was
            log.debug("a scope was not taken: %s", error)
            self._scoped()


class Tile(pn.viewable.Viewer):
    """One tile of a board, by itself."""

    def __init__(self, board: Board, id: str) -> None:
        self._board, self._id = board, id
        super().__init__(name=id)

    def __repr__(self) -> str:
        return f"{self._board!r}.tile({self._id!r})"

    __str__ = __repr__

    def __panel__(self) -> Any:
        return self._board._cell([self._id])

    def to_arrow(self) -> pa.Table:
        """The rows it shows now."""
        return self._board.to_arrow(self._id)

    def to_pandas(self) -> Any:
        """The same as a pandas DataFrame."""
        return self._board.to_pandas(self._id)

    def to_polars(self) -> Any:
        """The same as a polars DataFrame."""
        return self._board.to_polars(self._id)


def _source(url: str | None, key: str | None, data: Any, time: str | None) -> Source:
    if (url is None) == (data is None):
        raise ValidationError("expected either url= of a server or data=", hint='Board("overview", url=..., key=...)')
    return RemoteSource(url, key) if url is not None else LocalSource(data, time)


def _fields(scope: dict[str, Any], theme: str) -> dict[str, Any]:
    """Fields of a Scope. Raises ValidationError."""
    for name in scope:
        if name not in Scope.own_names():
            raise ValidationError(unknown("field of the scope", name, Scope.own_names()))
    if theme not in ("", *THEMES):
        raise ValidationError(unknown("theme", theme, THEMES))
    return scope | ({"theme": theme} if theme else {})


def _prepared() -> None:
    """Load Panel's side of a notebook, where there is one and nobody did: from this machine, no other host is asked."""
    if "ipykernel" in sys.modules and not pn.extension._loaded:
        pn.extension(inline=True)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    """The kernel's loop, where there is one: messages to a browser leave from its thread."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _forgotten(source: Source) -> None:
    """Nobody has the board any more. Its end waits for threads, and this may be one of them."""
    threading.Thread(target=source.close, daemon=True).start()


def _nothing() -> None:
    """Nothing is to be stopped."""
