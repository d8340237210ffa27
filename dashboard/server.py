"""The one Tornado server: pages and their Bokeh sessions, login, docs and the API on one port."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from panel.io.server import get_server
from tornado.web import RequestHandler

from analytics import window
from analytics.rights import Principal
from analytics.screens import Screens
from analytics.settings import Settings
from analytics.workspace import Workspace
from dashboard import docs, embed, keys_page, login, reference, wall
from dashboard.assets import Assets
from dashboard.login import Auth, Keys
from dashboard.pages import Site
from dashboard.specs import SpecsHandler

log = logging.getLogger(__name__)


def build_server(
    settings: Settings,
    *,
    keys: Keys,
    verify: Callable[[str, str | None], Principal],
    workspace: Callable[[], Workspace],
    routes: list[tuple[Any, ...]],
    files: Assets,
    docs_folder: Path,
    screens: Screens,
    screen: Callable[[Any], Principal | None],
    embedders: Sequence[str],
    embedded: Callable[[str], Principal | None],
    max_body_bytes: int,
    documents: Callable[[], tuple[dict[str, Any], dict[str, Any]]],
) -> Any:
    """A Bokeh server, not yet started. `routes` are the API's; `screen` gives the key of a paired screen;
    `embedders` are the origins whose pages may embed boards, `embedded` gives who such a board shows for by its token;
    `verify` is the doorman's, so that the login form is damped with the API; `documents` gives the API's OpenAPI and
    AsyncAPI."""
    # warns of the "*" below, which Auth makes strict
    logging.getLogger("bokeh.server.util").setLevel(logging.ERROR)
    auth = Auth(keys, verify=verify, secure=settings.secure_cookie, origins=settings.origin)
    site = Site(files, auth, workspace, check_window=lambda text: window.parse(text, "now-1h"))
    return get_server(
        site.applications(),
        port=settings.port,
        address=settings.host,
        start=False,
        location=False,
        auth_provider=auth,
        extra_patterns=[
            *site.routes(),
            (r"/specs", SpecsHandler, {"site": site}),
            *login.routes(auth, files),
            *docs.routes(auth, files, docs_folder),
            *embed.routes(files, site.specs, embedders, embedded, workspace),
            *wall.routes(auth, files, site.specs, screens, screen, workspace),
            *keys_page.routes(auth, files, workspace),
            *reference.routes(auth, files, documents),
            *routes,
        ],
        websocket_origin=["*"],  # Auth checks the Origin of every upgrade itself, whatever the port
        include_headers=[],
        include_cookies=[],
        sign_sessions=True,
        secret_key=keys.secret("bokeh").hex(),
        compress_response=True,
        http_server_kwargs={"max_body_size": max_body_bytes},
        log_function=_quiet,
    )


def _quiet(handler: RequestHandler) -> None:
    """One line per request for those who debug; never the query or a one-time token."""
    path = "/login/once/..." if handler.request.path.startswith("/login/once/") else handler.request.path
    about = handler.about() if hasattr(handler, "about") else {}
    about = {name: about[name] for name in ("request_id", "principal") if name in about}
    log.debug("%s %s %d", handler.request.method, path, handler.get_status(), extra={"about": about})
