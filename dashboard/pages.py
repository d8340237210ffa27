"""Pages: PAGES maps a URL to a board; a `Site` makes of each an application and the routes it loads from.

The HTML draws header and empty tiles at once; assets/page.js brings them to life. A session holds one component.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import panel as pn
from bokeh.application.handlers.function import FunctionHandler
from bokeh.document import Document
from panel.io.application import Application
from panel.io.state import set_curdoc
from tornado.httputil import HTTPServerRequest
from tornado.web import HTTPError, RedirectHandler, RequestHandler

from analytics.errors import NotFound, unknown
from analytics.workspace import Board as BoardDeclaration
from analytics.workspace import Workspace
from dashboard.assets import AssetHandler, Assets, send
from dashboard.board import Board, Specs
from dashboard.login import Auth
from dashboard.scope import Scope
from dashboard.theme import THEMES

FEED_URL = "/api/analytics/ws"
SCOPES = "plumbline_scopes"  # in the session token: what its owner may do, so that a page offers no more

# No inline script, no other host. Our figures carry no code, but Bokeh compiles its CustomJS and browser drivers
# compile their probes, so eval stays allowed; Bokeh's own elements are styled inline.
POLICY = (
    "default-src 'self'; script-src 'self' blob: 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self'; connect-src 'self'; object-src 'none'; "
    "base-uri 'self'; form-action 'self'"
)

MODULES = "board controls dom feed figures format menus scope tile tiles tips".split()
SCRIPTS = ("bokeh.min.js", "bokeh-widgets.min.js", "bokeh-tables.min.js", "panel.min.js")


@dataclass(frozen=True)
class Page:
    """One entry of the navigation. `board` names a board of the workspace, `extra` a template below its tiles."""

    url: str
    board: str
    title: str
    extra: str = ""


PAGES = (
    Page("/overview", "overview", "Overview"),
    Page("/resources", "resources", "Resources"),
    Page("/health", "health", "Health", extra="health.html"),
)


class Link(NamedTuple):
    """An entry of the navigation that is no board."""

    url: str
    title: str


ADMIN_PAGES = (Link("/keys", "Keys"),)


def navigation(scopes: Collection[str]) -> tuple[Page | Link, ...]:
    """What the head of a page links to, for who has these scopes."""
    return (*PAGES, *ADMIN_PAGES) if "admin" in scopes else PAGES


@dataclass(frozen=True)
class Site:
    """All that pages share. `workspace` is called per page view, so that an edited file shows at once;
    `check_window` raises a PlumblineError for a window that does not parse."""

    assets: Assets
    auth: Auth
    workspace: Callable[[], Workspace]
    check_window: Callable[[str], Any] | None = None
    specs: Specs = field(default_factory=Specs)

    def applications(self) -> dict[str, Application]:
        """For pn.serve: url -> application."""
        pn.config.browser_info = False  # a second model per session that nobody reads
        return {page.url: Application(PageHandler(self, page)) for page in PAGES}

    def routes(self) -> list[tuple[Any, ...]]:
        """For pn.serve's extra_patterns: the first page, the assets, the specs."""
        return [
            (r"/", RedirectHandler, {"url": PAGES[0].url, "permanent": False}),
            (r"/assets/([\w-]+)/([\w./-]+)", AssetHandler, {"assets": self.assets}),
            (r"/specs/(\w+)\.json", SpecHandler, {"site": self}),
        ]

    def board(self, page: Page) -> BoardDeclaration:
        boards = self.workspace().boards
        if page.board not in boards:
            raise NotFound(unknown("board", page.board, boards))
        return boards[page.board]


class PageHandler(FunctionHandler):
    """Fills a session's document, and binds the session to who opened it."""

    def __init__(self, site: Site, page: Page) -> None:
        super().__init__(lambda doc: open_page(site, page, doc))
        self._auth = site.auth

    def process_request(self, request: HTTPServerRequest) -> dict[str, Any]:
        """Goes into the signed session token; Auth.principal compares it when the socket opens."""
        principal = self._auth.principal(request)
        return self._auth.token_claim(request) | {SCOPES: sorted(principal.scopes) if principal else []}


def open_page(site: Site, page: Page, doc: Document) -> None:
    """One component in the session, and the template around it."""
    board, workspace = site.board(page), site.workspace()
    arguments = doc.session_context.request.arguments if doc.session_context else {}
    scopes = doc.session_context.token_payload.get(SCOPES, []) if doc.session_context else []
    query = {k: [v.decode("utf-8", "replace") for v in values] for k, values in arguments.items()}
    dimensions = workspace.dimensions.keys()
    scope, messages = Scope.from_query(
        query, dimensions=dimensions, window=board.window, check_window=site.check_window
    )
    specs = {theme: f"/specs/{site.specs.build(board, workspace, theme).hash}.json" for theme in THEMES}
    component = Board(
        board=board.name,
        scope=scope.state(),
        module_url=site.assets.url("component.js"),
        spec_url=specs[scope.theme or THEMES[0]],
        feed_url=FEED_URL,
    )
    with set_curdoc(doc):
        component.server_doc(doc, title=board.title, location=False)
    doc.template = site.assets.template("page.html")
    doc.template_variables.update(
        url=site.assets.url,
        policy=POLICY,
        modules=[f"{name}.js" for name in MODULES],
        pages=navigation(scopes),
        here=page.url,
        extra=page.extra,
        scopes=scopes,
        title=board.title,
        file=board.file and f"Built from {board.file}",
        label=scope.window,
        messages=messages,
        tiles=[(t, t.title or first_title(workspace, t.metrics)) for t in board.tiles],
        page={
            "board": board.name,
            "home": board.window,
            "scope": scope.state(),
            "specs": specs,
            "feed_url": FEED_URL,
            "scripts": [site.assets.url(name, "vendor") for name in SCRIPTS],
        },
    )


def first_title(workspace: Workspace, metrics: tuple[str, ...]) -> str:
    return workspace.metrics[metrics[0]].title if metrics else ""


class SpecHandler(RequestHandler):
    """GET /specs/HASH.json: layout and figures, for ever the same, for who may read."""

    def initialize(self, site: Site) -> None:
        self._site = site

    async def get(self, hash: str) -> None:
        if self._site.auth.principal(self.request) is None:
            raise HTTPError(401)
        spec = self._site.specs.find(hash)
        if spec is None:
            raise HTTPError(404)
        self.set_header("Cache-Control", "private, max-age=31536000, immutable")
        self.set_header("X-Content-Type-Options", "nosniff")
        send(self, spec.body, spec.packed, "application/json", spec.hash)
