"""Pages: PAGES maps a URL to a board or a view; a `Site` makes of each an application and the routes it loads from.

The HTML draws header and empty tiles at once; assets/page.js brings them to life. A session holds one component.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import urlencode

import panel as pn
from bokeh.application.handlers.function import FunctionHandler
from bokeh.document import Document
from panel.io.application import Application
from panel.io.state import set_curdoc
from tornado.httputil import HTTPServerRequest
from tornado.web import HTTPError, RedirectHandler, RequestHandler

from analytics.errors import NotFound, PlumblineError, unknown
from analytics.window import describe, parse
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

MODULES = (
    "ask board chooser controls dom feed figures filters format history keymap menus picker range scope status tile "
    "tiles times tips travel why why_request"
).split()
SCRIPTS = ("bokeh.min.js", "bokeh-widgets.min.js", "bokeh-tables.min.js", "panel.min.js")


@dataclass(frozen=True)
class Page:
    """A page that shows data. `board` names a board of the workspace (ANY: the address says which one). `view` names a
    module of assets/views that draws the page, with its board if it has one. `arguments` are what the page keeps in
    its address beside the scope.

    place: where the navigation lists it, "first", under "more", or nowhere; `keeps`: whether a link under "more" takes
    range and filters along, as the first ones do. `extra` is a template below the tiles.
    """

    url: str
    title: str
    board: str = ""
    view: str = ""
    arguments: tuple[str, ...] = ()
    place: str = "first"
    keeps: bool = False
    extra: str = ""


ANY = "*"
# the explanation that is open (metric, window, baseline, dimensions, further filters, dataset), and a question to ask
ALWAYS = ("why", "why_from", "why_to", "why_against", "why_by", "why_where", "why_dataset", "ask")
PAGES = (
    Page("/overview", "Overview", board="overview"),
    Page("/flows", "Flows", view="flows", arguments=("flow", "search", "sort", "span")),
    Page("/agents", "Agents", board="agents"),
    Page("/agent", "Agent", board="agent", view="agent", place=""),
    Page("/resources", "Resources", board="resources"),
    Page("/explore", "Explore", view="explore", arguments=("metrics", "by", "chart", "limit", "multiples", "dataset")),
    Page("/compare", "Compare", view="compare", arguments=("board", "a", "b")),
    Page("/board", "Board", board=ANY, arguments=("board",), place=""),
    Page("/budgets", "Budgets", board="budgets", place="more"),
    Page("/sources", "Sources", view="sources_page", arguments=("sender", "search", "connect"), place="more"),
    Page("/ledger", "Ledger", view="ledger_page", arguments=("of", "session"), place="more", keeps=True),
    Page("/load", "Load data", view="load", place="more"),
    Page("/health", "Health", board="health", place="more", extra="health.html"),
)


class Link(NamedTuple):
    """An entry of the navigation."""

    url: str
    title: str
    keeps: bool = False


ADMIN_PAGES = (Link("/screens", "Screens"), Link("/keys", "Keys"))


class Navigation(NamedTuple):
    """What the head of a page links to: at once, and in its menu, the boards without a page of their own first."""

    first: tuple[Link, ...]
    boards: tuple[Link, ...]
    more: tuple[Link, ...]


def navigation(scopes: Collection[str], workspace: Workspace) -> Navigation:
    """The links for who has these scopes."""
    placed = {page.board for page in PAGES}
    boards = [Link(f"/board?{urlencode({'board': b.name})}", b.title) for b in workspace.boards.values()]
    links = [(p.place, Link(p.url, p.title, p.keeps)) for p in PAGES]
    first, more = (tuple(link for place, link in links if place == wanted) for wanted in ("first", "more"))
    own = tuple(link for link, name in zip(boards, workspace.boards, strict=True) if name not in placed)
    return Navigation(first, own, more + (ADMIN_PAGES if "admin" in scopes else ()))


@dataclass(frozen=True)
class Site:
    """All that pages share. `workspace` is called per page view, so that an edited file shows at once;
    `check_window` raises a PlumblineError for a window that does not parse."""

    assets: Assets
    auth: Auth
    workspace: Callable[[], Workspace]
    check_window: Callable[[str], Any] | None = None
    specs: Specs = field(default_factory=Specs)
    passing: Specs = field(default_factory=Specs)  # of boards that pages ask for later; they push out no page's own

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

    def board(self, page: Page, asked: str | None) -> BoardDeclaration:
        """What a page shows: a board, or without one no tiles. An address with an unknown name gets an empty one."""
        boards = self.workspace().boards
        if page.view:
            return BoardDeclaration(name="", title=page.title, tiles=())
        name = page.board if page.board != ANY else asked or ""
        if name not in boards:
            if page.board == ANY:
                return BoardDeclaration(name=name[:80], title="No such board", tiles=())
            raise NotFound(unknown("board", page.board, boards))
        return boards[name]


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
    workspace = site.workspace()
    arguments = doc.session_context.request.arguments if doc.session_context else {}
    scopes = doc.session_context.token_payload.get(SCOPES, []) if doc.session_context else []
    query = {k: [v.decode("utf-8", "replace") for v in values] for k, values in arguments.items()}
    board = site.board(page, query.get("board", [None])[-1])
    scope, messages = Scope.from_query(
        query,
        dimensions=workspace.dimensions.keys(),
        window=board.window,
        check_window=site.check_window,
        arguments=page.arguments + ALWAYS,
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
        pages=navigation(scopes, workspace),
        here=page.url,
        view=page.view,
        extra=page.extra,
        scopes=scopes,
        title=board.title,
        file=board.file and f"Built from {board.file}",
        label=label(scope.window),
        messages=messages,
        tiles=[(t, t.title or first_title(workspace, t.metrics)) for t in board.tiles],
        page={
            "board": board.name,
            "view": page.view and site.assets.url(f"views/{page.view}.js"),
            "arguments": page.arguments + ALWAYS,
            "scopes": scopes,
            "home": board.window,
            "scope": scope.state(),
            "specs": specs,
            "feed_url": FEED_URL,
            "scripts": [site.assets.url(name, "vendor") for name in SCRIPTS],
        },
    )


def label(text: str) -> str:
    """What the range button says until the page's own script knows better."""
    try:
        return describe(parse(text, text))[0]
    except PlumblineError:
        return text


def first_title(workspace: Workspace, metrics: tuple[str, ...]) -> str:
    return workspace.metrics[metrics[0]].title if metrics else ""


class SpecHandler(RequestHandler):
    """GET /specs/HASH.json: layout and figures, for ever the same, for who may read."""

    def initialize(self, site: Site) -> None:
        self._site = site

    async def get(self, hash: str) -> None:
        auth = self._site.auth
        if auth.principal(self.request) is None and auth.screen(self.request) is None:
            raise HTTPError(401)
        spec = self._site.specs.find(hash) or self._site.passing.find(hash)
        if spec is None:
            raise HTTPError(404)
        self.set_header("Cache-Control", "private, max-age=31536000, immutable")
        self.set_header("X-Content-Type-Options", "nosniff")
        send(self, spec.body, spec.packed, "application/json", spec.hash)
