"""/keys: the keys of this server, for who has the scope `admin`. What it shows and does goes through /api/keys."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from tornado.web import RequestHandler

from analytics.rights import SCOPES
from analytics.workspace import Workspace
from dashboard.assets import Assets
from dashboard.login import HEADERS, Auth
from dashboard.pages import navigation

POLICY = HEADERS["Content-Security-Policy"] + "; connect-src 'self'"
EXPIRIES = ((7, "7 days"), (30, "30 days"), (90, "90 days"), (365, "1 year"), (0, "Never"))  # days
GRACES = ((0, "No, it ends now"), (1, "1 hour"), (24, "24 hours"), (168, "7 days"))  # hours


class KeysPage(RequestHandler):
    """GET /keys."""

    def initialize(self, auth: Auth, assets: Assets, workspace: Callable[[], Workspace]) -> None:
        self._auth, self._assets, self._workspace = auth, assets, workspace

    def set_default_headers(self) -> None:
        for name, value in (HEADERS | {"Content-Security-Policy": POLICY}).items():
            self.set_header(name, value)

    def get(self) -> None:
        principal = self._auth.principal(self.request)
        if principal is None:
            self.redirect(f"/login?next={quote(self.request.uri or '/keys', safe='')}")
            return
        admin = "admin" in principal.scopes
        self.set_status(200 if admin else 403)
        workspace = self._workspace()
        self.finish(
            self._assets.template("keys.html").render(
                url=self._assets.url,
                pages=navigation(principal.scopes, workspace),
                here="/keys",
                principal=principal,
                admin=admin,
                scopes=SCOPES,
                boards=", ".join(workspace.boards),
                datasets=", ".join(workspace.datasets),
                expiries=EXPIRIES,
                graces=GRACES,
            )
        )


def routes(auth: Auth, assets: Assets, workspace: Callable[[], Workspace]) -> list[tuple[Any, ...]]:
    """For pn.serve's extra_patterns."""
    return [(r"/keys", KeysPage, {"auth": auth, "assets": assets, "workspace": workspace})]
