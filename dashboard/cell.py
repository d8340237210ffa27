"""The part of a notebook's board that is in the browser: what it is given at first, and what it is told later."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import panel as pn
import param

from analytics.client import State
from analytics.errors import PlumblineError
from analytics.frames import board_difference
from dashboard import standalone

log = logging.getLogger(__name__)


class Told(NamedTuple):
    """How a board stands: what was asked (another object for another question), what came for it, and when (ms)."""

    asked: object
    state: dict[str, Any] | None
    at: int
    error: PlumblineError | None
    connection: State


class Cell(pn.custom.JSComponent):
    """assets/cell.js, with all it needs inside, so that it paints before the kernel is free to answer.

    It gets messages as the feed sends them, after it has said `ask`: before that, Panel may lose half of one.
    """

    spec = param.Dict(default={}, doc="what the board draws: dashboard.board.describe, and where it is from")
    scope = param.Dict(default={}, doc="as of dashboard.scope.Scope")
    state = param.Dict(default={}, doc="the board's state when the cell was made; empty where none was known")
    modules = param.Dict(default={}, doc="our JavaScript modules by name")
    style_text = param.String(doc="our style sheet")

    _esm: ClassVar[str] = (
        standalone.MADE
        + """
export async function render({ model, el }) {
  const { cell } = await import(made("cell.js", model.modules))
  return cell(model, el)
}
"""
    )

    def __init__(
        self, tiles: tuple[str, ...], heard: Callable[[Cell, dict[str, Any]], None], told: Told, **params: Any
    ) -> None:
        self._tiles, self._heard, self._known = tiles, heard, told
        self._ready = self._whole = False
        state = {} if told.state is None else self._mine(told.state)
        super().__init__(state=state, modules=standalone.modules("cell.js"), style_text=standalone.style(), **params)

    def __repr__(self, depth: int = 0) -> str:
        return f"Cell({', '.join(self._tiles)})"

    def _handle_msg(self, data: Any) -> None:
        match data:
            case {"type": "ask"}:  # a view begins, or wants to try again
                self._ready, self._whole = True, False
                self._known = self._known._replace(error=None, connection=State("connected"))
                self._heard(self, data)
            case {"type": "font"}:
                self._send_msg({"type": "font", "font": standalone.font()})
            case {"type": "close"}:
                self._ready = False
            case {"type": str()}:
                self._heard(self, data)

    def tell(self, now: Told) -> None:
        """Say what is new. A refused question, another question and a new view are followed by the whole state."""
        if not self._ready:
            return
        known, self._known = self._known, now
        try:
            if now.connection != known.connection:
                self._send_msg({"type": "connection", **_connection(now.connection)})
            if now.error is not None:
                if now.error is not known.error:
                    self._whole = False
                    self._send_msg({"type": "error", "error": {"message": now.error.message, "hint": now.error.hint}})
            elif now.state is not None and not (self._whole and now.state is known.state):
                self._send_msg(self._news(known, now, self._mine(now.state)))
                self._whole = True
        except Exception as error:  # its session or its output is gone
            log.debug("a cell did not hear: %s", error)
            self._ready = False

    def _news(self, known: Told, now: Told, state: dict[str, Any]) -> dict[str, Any]:
        if not self._whole or known.asked is not now.asked or known.state is None:
            return {"type": "analytics_update", "analytics": state}
        return {"type": "frame", "at": now.at, **board_difference(self._mine(known.state), state)}

    def _mine(self, state: dict[str, Any]) -> dict[str, Any]:
        return state | {"tiles": {name: tile for name, tile in state["tiles"].items() if name in self._tiles}}


def _connection(state: State) -> dict[str, Any]:
    """As the feed of a page calls it."""
    name = {"failed": "closed", "idle": "connecting"}.get(state.name, state.name)
    return {"name": name, "reason": state.reason, "attempt": state.attempt}
