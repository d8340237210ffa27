"""Boards in a notebook: `Board("overview", url=..., key=...)` live from a server, `Board(data=frame)` from data alone.

Everything travels over Panel's own channel: the kernel asks, the cell draws. What is on screen is there as param
state (`scope`, `selection`) and as tables (`to_arrow`, `to_pandas`, `to_polars`).
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import panel as pn
import param
import pyarrow as pa

from analytics.errors import NotFound, PlumblineError, ValidationError, unknown
from analytics.messages import BoardRequest
from analytics.workspace import Board as BoardDeclaration
from analytics.workspace import Workspace
from dashboard import standalone
from dashboard.board import describe
from dashboard.scope import Scope
from dashboard.sources import LocalSource, RemoteSource, Source
from dashboard.theme import THEMES

LOADER = """
const blobs = new Map()
// The modules came as text: each becomes a module of its own, after those it imports.
function made(name, modules) {
  if (!blobs.has(name)) {
    const imported = /((?:from|import)\\s*\\(?\\s*)"\\.\\/([\\w./-]+)"/g
    const text = modules[name].replace(imported, (_, head, other) => `${head}"${made(other, modules)}"`)
    blobs.set(name, URL.createObjectURL(new Blob([text], { type: "text/javascript" })))
  }
  return blobs.get(name)
}
export async function render({ model, el }) {
  const { adopt } = await import(made("component.js", model.modules))
  return adopt(model, el)
}
"""


class Cell(pn.custom.JSComponent):
    """The part in the browser. `spec`, `modules` and `style` are set once; messages are those of the feed."""

    spec = param.Dict(default={}, doc="what the board draws: dashboard.board.describe")
    modules = param.Dict(default={}, doc="our JavaScript modules by name")
    style_text = param.String(doc="our style sheet")
    font = param.String(doc="our font, base64")
    scope = param.Dict(default={}, doc="as of dashboard.scope.Scope")

    _esm = LOADER

    def __init__(self, heard: Callable[[dict[str, Any]], None], **params: Any) -> None:
        super().__init__(**params)
        self._heard = heard

    def _handle_msg(self, data: Any) -> None:
        if isinstance(data, dict):
            self._heard(data)

    def say(self, message: dict[str, Any]) -> None:
        """A message to the browser; from the thread that runs the kernel."""
        self._send_msg(message)


class Board(pn.viewable.Viewer):
    """A living board in a cell.

    name: a board of the server's or the data's workspace; without data of its own the default is `overview`.
    url, key: a Plumbline server (the key defaults to the variable PLUMBLINE_KEY).
    data: instead of a server, the path of a DuckDB file of Plumbline's, or rows: a pandas or polars frame, an Arrow
    table, or a dict of columns; `time` names its time column.
    scope: what to look at, as fields of Scope: {"window": "now-6h", "filters": [...]}.

    Raises NotFound for an unknown board, and what the server refuses.
    """

    scope = param.ClassSelector(class_=Scope, doc="window, filters, compare, ...: follows the screen, and leads it")
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
        theme: str = "light",
        tiles: Sequence[str] | None = None,
        _source: Source | None = None,
    ) -> None:
        if _source is None and (url is None) == (data is None):
            raise ValidationError(
                "expected either url= of a server or data=", hint='Board("overview", url=..., key=...)'
            )
        if theme not in THEMES:
            raise ValidationError(unknown("theme", theme, THEMES))
        self._source = _source or (RemoteSource(url, key) if url is not None else LocalSource(data, time))
        self._declared, self._workspace = self._found(name)
        if tiles is not None:
            kept = tuple(tile for tile in self._declared.tiles if tile.id in tiles)
            self._declared = msgspec.structs.replace(self._declared, tiles=kept)
        self._theme = theme
        self._state: dict[str, Any] | None = None
        self._cells: list[Cell] = []
        self._stop: Callable[[], None] | None = None
        self._request: dict[str, Any] | None = None
        self._loop = _running_loop()
        self._arrived = threading.Event()
        super().__init__(scope=Scope(**({"window": self._declared.window, "theme": theme} | (scope or {}))))
        self.scope.param.watch(self._scoped, [*Scope.own_names()])
        self._ask(self._standing())

    def __repr__(self) -> str:
        return f"Board({self._declared.name!r}, {self._source})"

    def __panel__(self) -> Any:
        cell = Cell(
            self._heard,
            spec=describe(self._declared, self._workspace, self._theme),
            modules=standalone.modules(),
            style_text=standalone.style(),
            font=standalone.font(),
            scope=self.scope.state(),
            sizing_mode="stretch_width",
        )
        cell.param.watch(lambda event: self._moved(event.new), "scope")
        self._cells.append(cell)
        return cell

    # what is on screen

    @property
    def tiles(self) -> list[str]:
        """The ids of its tiles."""
        return [tile.id for tile in self._declared.tiles]

    def tile(self, id: str) -> Board:
        """One tile as a board of its own, of the same source. Raises NotFound."""
        if id not in self.tiles:
            raise NotFound(unknown("tile", id, self.tiles))
        return Board(self._declared.name, tiles=[id], theme=self._theme, scope=self.scope.state(), _source=self._source)

    def to_arrow(self, tile: str, timeout_s: float = 10.0) -> pa.Table:
        """The numbers a tile shows now, as an Arrow table; waits for the first. Raises NotFound."""
        if tile not in self.tiles:
            raise NotFound(unknown("tile", tile, self.tiles))
        if not self._arrived.wait(timeout_s):
            raise PlumblineError(f"no answer within {timeout_s:g} s", hint="is the server running?")
        assert self._state is not None
        return table(self._state["tiles"].get(tile, {"head": {}, "columns": {}}))

    def to_pandas(self, tile: str) -> Any:
        """The same as a pandas DataFrame."""
        return self.to_arrow(tile).to_pandas()

    def to_polars(self, tile: str) -> Any:
        """The same as a polars DataFrame. Needs polars."""
        import polars  # type: ignore[import-not-found,unused-ignore]

        return polars.from_arrow(self.to_arrow(tile))

    def save(self, path: str | Path, timeout_s: float = 10.0) -> Path:
        """One HTML file that needs nothing else, with the numbers as of now. It says of when it is."""
        if not self._arrived.wait(timeout_s):
            raise PlumblineError(f"no answer within {timeout_s:g} s", hint="is the server running?")
        spec = describe(self._declared, self._workspace, self._theme)
        target = Path(path)
        target.write_text(standalone.page(spec, self._state or {}, self.scope.state()), "utf-8")
        return target

    def close(self) -> None:
        """Stop following; the cells stay as they are."""
        if self._stop:
            self._stop()
        self._source.close()

    # between source and cells

    def _found(self, name: str | None) -> tuple[BoardDeclaration, Workspace]:
        workspace = self._source.workspace()
        wanted = name or self._source.default
        if wanted not in workspace.boards:
            raise NotFound(unknown("board", wanted, workspace.boards))
        return workspace.boards[wanted], workspace

    def _standing(self) -> dict[str, Any]:
        s = self.scope
        window: Any = {"from": s.window, "to": "now"} if " to " not in s.window else None
        if window is None:
            start, _, end = s.window.partition(" to ")
            window = {"from": start.strip(), "to": end.strip()}
        more = {n: getattr(s, n) for n in ("grain", "as_of") if getattr(s, n)}
        request = {"window": window | ({"tz": s.tz} if s.tz else {}), "filters": s.filters, "compare": s.compare}
        return {"type": "board", "board": self._declared.name, **request, **more}

    def _ask(self, request: dict[str, Any]) -> None:
        if request == self._request:
            return
        self._request = request
        self._arrived.clear()
        if self._stop:
            self._stop()
        asked = msgspec.convert(request, BoardRequest, strict=False)
        self._stop = self._source.follow(asked, lambda message: self._deliver(request, message))

    def _deliver(self, request: dict[str, Any], message: dict[str, Any]) -> None:
        """From the source's thread: remember the state, and hand it to the cells in the kernel's own."""
        if request is not self._request:
            return
        if message["type"] == "analytics_update":
            self._state = message["analytics"]
            self._arrived.set()

        def say() -> None:
            for cell in self._cells:
                with contextlib.suppress(Exception):  # a cell that was closed meanwhile
                    cell.say(message)

        if self._loop is not None and self._loop.is_running():
            self._loop.call_soon_threadsafe(say)
        else:
            say()

    def _heard(self, said: dict[str, Any]) -> None:
        """From a cell: a question to stand, or a span that was brushed."""
        match said.get("type"):
            case "ask":
                if self._state is not None and self._request is not None:
                    self._deliver(self._request, _update(self._state))
            case "brushed":
                self.selection = self._brushed(str(said.get("tile")), said.get("from"), said.get("to"))

    def _brushed(self, tile: str, start: Any, end: Any) -> pa.Table | None:
        if self._state is None or tile not in self._state["tiles"] or start is None or end is None:
            return None
        found = table(self._state["tiles"][tile])
        if "t" not in found.column_names:
            return found
        times = found["t"].cast(pa.int64()).to_pylist()
        return found.filter(pa.array([start * 1000 <= t < end * 1000 for t in times]))

    def _scoped(self, *_: Any) -> None:
        state = self.scope.state()
        for cell in self._cells:
            if cell.scope != state:
                cell.scope = state
        self._ask(self._standing())

    def _moved(self, state: dict[str, Any]) -> None:
        known = {name: value for name, value in state.items() if name in Scope.own_names()}
        with contextlib.suppress(ValueError):  # what a scope does not take stays as it was
            self.scope.param.update(**known)


def table(tile: dict[str, Any]) -> pa.Table:
    """The columns of a tile as an Arrow table; the times of `t` are UTC timestamps."""
    columns, head = dict(tile.get("columns", {})), tile.get("head", {})
    if not columns and "value" in head:
        columns = {"value": [head["value"]], "previous": [head.get("previous")]}
    moment = pa.timestamp("us", tz="UTC")
    arrays = {
        name: pa.array([None if v is None else int(v) * 1000 for v in values], pa.int64()).cast(moment)
        if name in ("t", "time")
        else pa.array(values)
        for name, values in columns.items()
    }
    titles: dict[str, str] = {}
    for i, series in enumerate(head.get("series", [])):
        title = str(series.get("title") or series.get("name") or f"s{i}")
        titles |= {f"s{i}": title, f"p{i}": f"{title}, previous"}
    return pa.table({titles.get(name, name): values for name, values in arrays.items()})


def _update(state: dict[str, Any]) -> dict[str, Any]:
    return {"type": "analytics_update", "analytics": state}


def _running_loop() -> asyncio.AbstractEventLoop | None:
    """The kernel's loop, where there is one: messages to a browser leave from its thread."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
