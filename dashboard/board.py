"""The board: one component per page, and the cached specs it draws.

A spec is all that can be known before data: layout, words, palettes and the serialised figures of one board
in one theme. It is built once, gzipped once and served by its hash for ever; no session builds a figure.
"""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from typing import Any, ClassVar

import msgspec
import panel as pn
import param
from bokeh.embed import json_item

from analytics.workspace import Board as BoardDeclaration
from analytics.workspace import Tile, Workspace, layout
from dashboard.charts import CHARTS, DASHES, series_count, series_role
from dashboard.theme import PALETTES

KEPT_SPECS = 64  # old ones stay for pages that were opened before a workspace changed


@dataclass(frozen=True)
class Spec:
    """One board in one theme: its JSON, the same gzipped, and the hash both are served by."""

    body: bytes
    packed: bytes
    hash: str


class Specs:
    """Builds specs on first use and finds them again by hash."""

    def __init__(self) -> None:
        self._by_key: dict[bytes, Spec] = {}
        self._by_hash: dict[str, Spec] = {}

    def build(self, board: BoardDeclaration, workspace: Workspace, theme: str) -> Spec:
        """The spec of `board`. The key is all that is drawn, so an edited metric is a new spec."""
        metrics = {name: workspace.metrics[name] for tile in board.tiles for name in tile.metrics}
        filters = [filters_of(tile, workspace) for tile in board.tiles]
        key = hashlib.sha256(msgspec.json.encode([board, metrics, filters, theme])).digest()
        if key not in self._by_key:
            self._keep(key, pack(describe(board, workspace, theme)))
        return self._by_key[key]

    def find(self, hash: str) -> Spec | None:
        return self._by_hash.get(hash)

    def _keep(self, key: bytes, spec: Spec) -> None:
        self._by_key[key] = self._by_hash[spec.hash] = spec
        while len(self._by_key) > KEPT_SPECS:
            self._by_hash.pop(self._by_key.pop(next(iter(self._by_key))).hash, None)


def pack(spec: dict[str, Any]) -> Spec:
    body = msgspec.json.encode(spec)
    return Spec(body, gzip.compress(body, 9, mtime=0), hashlib.sha256(body).hexdigest()[:20])


def describe(board: BoardDeclaration, workspace: Workspace, theme: str) -> dict[str, Any]:
    """A board as plain data; see `describe_tile` for its tiles."""
    return {
        "board": board.name,
        "layout": layout(board, workspace),
        "title": board.title,
        "description": board.description,
        "window": board.window,
        "file": board.file,
        "empty": board.empty,
        "theme": theme,
        "palettes": PALETTES,
        "tiles": [describe_tile(tile, workspace, theme) for tile in board.tiles],
    }


def describe_tile(tile: Tile, workspace: Workspace, theme: str) -> dict[str, Any]:
    """Layout and words; for a chart also `figure` (a Bokeh json_item) and `paints`, the painted properties."""
    metrics = [workspace.metrics[name] for name in tile.metrics]
    described: dict[str, Any] = {
        "id": tile.id,
        "type": tile.type,
        "title": tile.title or (metrics[0].title if metrics else tile.id),
        "subtitle": tile.subtitle,
        "note": tile.note,
        "width": tile.width,
        "height": tile.height,
        "color": tile.color,
        "limit": tile.limit,
        "by": tile.by,
        "columns": tile.columns,
        "filters": filters_of(tile, workspace),
        "share": tile.share,
        "link": tile.link,
        "metrics": [
            {"name": m.name, "title": m.title or m.name, "unit": m.unit, "per": m.per, "good": m.good}
            | {"description": m.description}
            for m in metrics
        ],
    }
    if draw := CHARTS.get(tile.type):
        sketch = draw(tile, theme)
        described["figure"] = renumber(json_item(sketch.plot), tile.id)
        described["paints"] = sketch.paints
        described["series"] = [series_role(tile, i) for i in range(series_count(tile))]
        described["dashes"] = DASHES[: series_count(tile)]
    return described


def filters_of(tile: Tile, workspace: Workspace) -> dict[str, str]:
    """Column -> dimension, for the columns of a `latest` tile whose values can be filtered by."""
    here = [d for d in workspace.dimensions.values() if d.dataset == tile.dataset and not d.log and not d.attribute]
    found = {d.column or d.name: d.name for d in here}
    return {column: found[column] for column in tile.columns if column in found}


def renumber(item: Any, prefix: str) -> Any:
    """The same json_item with model ids counted from one.

    Bokeh counts ids per process, and a spec's hash must not depend on what was built before it.
    """
    known: dict[str, str] = {}

    def walk(value: Any) -> Any:
        if isinstance(value, list):
            return [walk(v) for v in value]
        if not isinstance(value, dict):
            return value
        return {
            k: known.setdefault(v, f"{prefix}-{len(known) + 1}")
            if k in ("id", "root_id") and isinstance(v, str)
            else walk(v)
            for k, v in value.items()
        }

    return walk(item)


class Board(pn.custom.JSComponent):
    """The component: it hands the session's params to assets/component.js, which draws and fetches everything.

    `scope` follows the browser and the browser follows it; the rest is set once per session.
    """

    board = param.String(doc="name of the board")
    scope = param.Dict(default={}, doc="window, tz, filters, compare, paused, theme: see dashboard.scope")
    module_url = param.String(doc="absolute path of the hashed component.js")
    spec_url = param.String(doc="where the spec of this board and theme is served")
    feed_url = param.String(doc="the feed socket; empty when messages come through this component")

    # A blob: module has no base of its own, so a relative import would not resolve.
    _esm: ClassVar[str] = """
    export async function render({ model, el }) {
      const { adopt } = await import(new URL(model.module_url, document.baseURI).href)
      return adopt(model, el)
    }
    """
