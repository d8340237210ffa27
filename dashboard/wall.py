"""/wall: boards on a screen that nobody watches; and /screens, where admins pair and change them.

The page is one file for everybody and is cached; without the cookie of a paired screen it shows a code and nothing
else. What a screen plays comes from /wall/me.json.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import msgspec
from tornado.web import RequestHandler

from analytics.errors import PlumblineError, Unauthorized
from analytics.rights import Principal
from analytics.screens import Screens
from analytics.workspace import Workspace
from dashboard.assets import Assets, asset, send
from dashboard.board import Specs
from dashboard.keys_page import POLICY as ADMIN_POLICY
from dashboard.login import HEADERS, Auth
from dashboard.pages import FEED_URL, POLICY, SCRIPTS, navigation
from dashboard.theme import THEMES


class WallPage(RequestHandler):
    """GET /wall."""

    def initialize(self, assets: Assets) -> None:
        self._assets = assets

    def set_default_headers(self) -> None:
        headers = HEADERS | {
            "Content-Security-Policy": f"{POLICY}; frame-ancestors 'none'",
            "Cache-Control": "no-cache",
        }
        for name, value in headers.items():
            self.set_header(name, value)

    def get(self) -> None:
        scripts = [self._assets.url(name, "vendor") for name in SCRIPTS[:1]]
        page = {"feed_url": f"{FEED_URL}?wall=1", "version": self._assets.version, "scripts": scripts}
        body = self._assets.template("wall.html").render(url=self._assets.url, policy=POLICY, page=page)
        found = asset("wall.html", body.encode())
        send(self, found.body, None, "text/html", found.etag)


class WallSelf(RequestHandler):
    """GET /wall/me.json: what this screen plays, with the specs of its boards. 401 for who is no screen."""

    def initialize(
        self,
        assets: Assets,
        specs: Specs,
        screens: Screens,
        screen: Callable[[Any], Principal | None],
        workspace: Callable[[], Workspace],
    ) -> None:
        self._assets, self._specs, self._screens, self._screen = assets, specs, screens, screen
        self._workspace = workspace

    def get(self) -> None:
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Content-Type", "application/json")
        try:
            principal = self._screen(self.request)
            if principal is None:
                raise Unauthorized("this browser is not paired as a screen")
            body = self._plays(principal)
        except PlumblineError as error:
            self.set_status(401 if error.status == 404 else error.status)
            self.finish(msgspec.json.encode(error.problem()))
            return
        self.finish(msgspec.json.encode(body))

    def _plays(self, principal: Principal) -> dict[str, Any]:
        screen, workspace = self._screens.get(principal.key_id), self._workspace()
        playlist = []
        for entry in screen.plan.playlist:
            board = workspace.boards.get(entry.board)
            if board is None:  # taken out of the workspace since: the screen goes on with the rest
                continue
            specs = {t: f"/specs/{self._specs.build(board, workspace, t).hash}.json" for t in THEMES}
            scope = {"window": entry.window or board.window, "filters": entry.filters, "compare": entry.compare}
            playlist.append(
                {"board": board.name, "title": board.title, "seconds": entry.seconds, "scope": scope, "specs": specs}
            )
        return {
            "screen": screen.id,
            "name": screen.plan.name,
            "theme": screen.plan.theme,
            "day": screen.plan.day,
            "revision": screen.revision,
            "version": self._assets.version,
            "playlist": playlist,
        }


class ScreensPage(RequestHandler):
    """GET /screens, for admins."""

    def initialize(self, auth: Auth, assets: Assets, workspace: Callable[[], Workspace]) -> None:
        self._auth, self._assets, self._workspace = auth, assets, workspace

    def set_default_headers(self) -> None:
        for name, value in (HEADERS | {"Content-Security-Policy": f"{ADMIN_POLICY}"}).items():
            self.set_header(name, value)

    def get(self) -> None:
        principal = self._auth.principal(self.request)
        if principal is None:
            self.redirect(f"/login?next={quote(self.request.uri or '/screens', safe='')}")
            return
        admin = "admin" in principal.scopes
        self.set_status(200 if admin else 403)
        workspace = self._workspace()
        self.finish(
            self._assets.template("screens.html").render(
                url=self._assets.url,
                pages=navigation(principal.scopes, workspace),
                here="/screens",
                principal=principal,
                admin=admin,
                boards=[{"name": b.name, "title": b.title, "window": b.window} for b in workspace.boards.values()],
            )
        )


def routes(
    auth: Auth,
    assets: Assets,
    specs: Specs,
    screens: Screens,
    screen: Callable[[Any], Principal | None],
    workspace: Callable[[], Workspace],
) -> list[tuple[Any, ...]]:
    """For pn.serve's extra_patterns. `screen` gives the key of a paired screen, or None."""
    me = {"assets": assets, "specs": specs, "screens": screens, "screen": screen, "workspace": workspace}
    return [
        (r"/wall", WallPage, {"assets": assets}),
        (r"/wall/me\.json", WallSelf, me),
        (r"/screens", ScreensPage, {"auth": auth, "assets": assets, "workspace": workspace}),
    ]
