"""POST /specs: what a page needs to draw a board that it was not opened with, named or made of given tiles.

The reply names two specs, one for each theme, which GET /specs/HASH.json serves.
"""

from __future__ import annotations

from typing import Any

import msgspec
from tornado.web import RequestHandler

from analytics import inline
from analytics.errors import Forbidden, NotFound, PlumblineError, TooLarge, Unauthorized, ValidationError, unknown
from analytics.rights import Principal
from analytics.workspace import Board
from dashboard.pages import Site
from dashboard.theme import THEMES

MAX_BYTES = 64 * 1024
MAX_TITLE = 200


class Wanted(msgspec.Struct, kw_only=True):
    """The body: a board of the workspace by its name, or the tiles of one that no file declares."""

    board: str = ""
    title: str = "Explore"
    tiles: list[dict[str, Any]] = []


class SpecsHandler(RequestHandler):
    """Needs a sign-in and a page of this site, as it makes the server draw. Refusals are problems of RFC 9457."""

    def initialize(self, site: Site) -> None:
        self._site = site

    def set_default_headers(self) -> None:
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Content-Type-Options", "nosniff")

    async def post(self) -> None:
        try:
            specs = self._specs()
        except PlumblineError as error:
            self.set_status(error.status)
            self.set_header("Content-Type", "application/problem+json")
            self.finish(msgspec.json.encode(error.problem()))
            return
        self.set_header("Content-Type", "application/json")
        self.finish(msgspec.json.encode(specs))

    def _specs(self) -> dict[str, str]:
        """The address of each theme's spec. Raises PlumblineError."""
        principal = self._site.auth.principal(self.request)
        if principal is None:
            raise Unauthorized("nobody is signed in")
        if not self._site.auth.same_origin(self.request):
            raise Forbidden("this was sent from another site")
        if len(self.request.body) > MAX_BYTES:
            raise TooLarge(f"expected at most {MAX_BYTES >> 10} KiB, got {len(self.request.body) >> 10}")
        workspace = self._site.workspace()
        board = self._board(wanted(self.request.body), principal)
        return {theme: f"/specs/{self._site.passing.build(board, workspace, theme).hash}.json" for theme in THEMES}

    def _board(self, asked: Wanted, principal: Principal) -> Board:
        workspace = self._site.workspace()
        if not asked.board:
            board = inline.board("explore", asked.tiles, workspace)
            return msgspec.structs.replace(board, title=asked.title[:MAX_TITLE])
        if asked.tiles:
            raise ValidationError("expected `board` or `tiles`, got both")
        if principal.boards is not None and asked.board not in principal.boards:
            raise Forbidden(f"this key may not see board {asked.board[:80]!r}")
        if asked.board not in workspace.boards:
            raise NotFound(unknown("board", asked.board, workspace.boards))
        return workspace.boards[asked.board]


def wanted(body: bytes) -> Wanted:
    """What a body asks for. Raises ValidationError."""
    try:
        return msgspec.json.decode(body, type=Wanted)
    except (msgspec.ValidationError, msgspec.DecodeError, RecursionError) as error:
        raise ValidationError(f"expected {{board}} or {{tiles, title}}: {error}") from None
