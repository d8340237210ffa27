"""`/api/boards/{board}/tiles`: pin a tile to a board, and take one off again. For the scope `admin`."""

from __future__ import annotations

from typing import Any

import msgspec

from analytics.api.doorman import Doorman
from analytics.api.http import BodyHandler
from analytics.audit import AuditLog
from analytics.errors import Forbidden, ValidationError
from analytics.pins import Pins

BODY_BYTES = 64 << 10


class PinsHandler(BodyHandler):
    """Base of both: only the boards of an admin's key."""

    scope = "admin"

    def initialize(self, doorman: Doorman, pins: Pins, audit: AuditLog) -> None:  # type: ignore[override]
        super().initialize(None, doorman, BODY_BYTES)  # type: ignore[arg-type]  # pins need no service
        self.pins, self.audit = pins, audit

    def may_change(self, board: str) -> None:
        if self.principal.boards is not None and board not in self.principal.boards:
            raise Forbidden(f"this key may not change board {board[:80]!r}")

    def noted(self, event: str, board: str, tile: str, file: str) -> None:
        detail = f"tile {tile} of board {board} in {file}, by {self.principal.name}"
        self.audit.note(event, self.principal.key_id, self.request.remote_ip, detail[:200])


class TilesHandler(PinsHandler):
    """POST /api/boards/{board}/tiles?at=&title=: the body is one tile, as a workspace file declares it."""

    def post(self, board: str) -> None:
        self.may_change(board)
        at, title = self.get_query_argument("at", ""), self.get_query_argument("title", "")[:200]
        if at and not (at.isascii() and at.isdigit() and len(at) < 4):
            raise ValidationError(f"at: expected a place among the tiles, from 0, got {at[:40]!r}")
        pinned = self.pins.pin(board, _tile(self.body), at=int(at) if at else None, title=title)
        self.noted("pin", board, pinned.tile["id"], pinned.file)
        self.send(pinned, 201)


class TileHandler(PinsHandler):
    """DELETE /api/boards/{board}/tiles/{tile}: answers what was taken off, and from where."""

    def delete(self, board: str, tile: str) -> None:
        self.may_change(board)
        unpinned = self.pins.unpin(board, tile)
        self.noted("unpin", board, tile, unpinned.file)
        self.send(unpinned)


def _tile(body: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.ValidationError, msgspec.DecodeError):
        raise ValidationError(
            "expected a tile, one JSON object", hint='such as {"id": "errors", "type": "kpi", "metric": "errors"}'
        ) from None


def routes(doorman: Doorman, pins: Pins, audit: AuditLog) -> list[tuple[Any, ...]]:
    """The addresses of this room."""
    shared = {"doorman": doorman, "pins": pins, "audit": audit}
    return [
        (r"/api/boards/([^/]+)/tiles", TilesHandler, shared),
        (r"/api/boards/([^/]+)/tiles/([^/]+)", TileHandler, shared),
    ]
