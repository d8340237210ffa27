"""/embed and /embed.js: a board in a page of another site.

/embed.js defines the element <plumbline-board>, which frames /embed. That is one file for everybody: no session, no
cookie, and nothing on it before a ticket opened its socket. Browsers show it in frames of the allowed origins only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from tornado.web import RequestHandler

from analytics.errors import Forbidden, NotFound, PlumblineError, Unauthorized, ValidationError, unknown
from analytics.rights import Principal
from analytics.workspace import Workspace
from dashboard.assets import Asset, Assets, asset, send
from dashboard.board import Spec, Specs
from dashboard.login import HEADERS
from dashboard.pages import FEED_URL, POLICY, SCRIPTS
from dashboard.theme import THEMES

TOKEN = "X-Embed-Token"  # of the welcome on the board's socket


class EmbedFile(RequestHandler):
    """GET one file, as it is, at an address that stays; asked about each time, sent when it is another."""

    def initialize(self, file: Asset, headers: dict[str, str]) -> None:
        self._file, self._more = file, headers

    def set_default_headers(self) -> None:
        self.set_header("Cache-Control", "no-cache")
        self.set_header("X-Content-Type-Options", "nosniff")

    def get(self) -> None:
        for name, value in self._more.items():
            self.set_header(name, value)
        send(self, self._file.body, self._file.packed, self._file.kind, self._file.etag)

    head = get


class EmbedSpec(RequestHandler):
    """GET /embed/spec.json?board=NAME&theme=THEME: layout and figures, for who holds the token of an open socket."""

    def initialize(
        self,
        specs: Specs,
        embedded: Callable[[str], Principal | None],
        workspace: Callable[[], Workspace],
        version: str,
    ) -> None:
        self._specs, self._embedded, self._workspace, self._version = specs, embedded, workspace, version

    def set_default_headers(self) -> None:
        self.set_header("Cache-Control", "private, no-cache")
        self.set_header("X-Content-Type-Options", "nosniff")

    def get(self) -> None:
        try:
            spec = self._spec()
        except PlumblineError as error:
            self.set_status(error.status)
            self.set_header("Content-Type", "application/problem+json")
            self.finish(msgspec.json.encode(error.problem()))
            return
        self.set_header("X-Plumbline-Version", self._version)
        send(self, spec.body, spec.packed, "application/json", spec.hash)

    def _spec(self) -> Spec:
        """Raises PlumblineError."""
        principal = self._embedded(self.request.headers.get(TOKEN, ""))
        if principal is None:
            raise Unauthorized("figures come to boards whose socket is open")
        name, theme = self.get_query_argument("board", ""), self.get_query_argument("theme", THEMES[0])
        if theme not in THEMES:
            raise ValidationError(f"expected the theme {' or '.join(THEMES)}, got {theme[:80]!r}")
        if principal.boards is not None and name not in principal.boards:
            raise Forbidden(f"this ticket may not show board {name[:80]!r}")
        boards = self._workspace().boards
        if name not in boards:
            raise NotFound(unknown("board", name, boards))
        return self._specs.build(boards[name], self._workspace(), theme)


def policy(embedders: Sequence[str]) -> str:
    """That of pages, and whose frames may show it."""
    allowed = " ".join(["'self'", *embedders])
    return f"{POLICY}; frame-ancestors {allowed}"


def routes(
    assets: Assets,
    specs: Specs,
    embedders: Sequence[str],
    embedded: Callable[[str], Principal | None],
    workspace: Callable[[], Workspace],
) -> list[tuple[Any, ...]]:
    """For pn.serve's extra_patterns. `embedders` are origins, `embedded` gives who a token's socket speaks for."""
    page = {
        "feed_url": FEED_URL,
        "version": assets.version,
        "scripts": [assets.url(name, "vendor") for name in SCRIPTS[:1]],
    }
    body = assets.template("embed.html").render(url=assets.url, page=page).encode()
    framed = {name: value for name, value in HEADERS.items() if name not in ("X-Frame-Options", "Cache-Control")}
    framed["Content-Security-Policy"] = policy(embedders)
    # any page may run the script, and it is no secret; the page says itself who may frame it
    anywhere = {"Access-Control-Allow-Origin": "*", "Cross-Origin-Resource-Policy": "cross-origin"}
    spec = {"specs": specs, "embedded": embedded, "workspace": workspace, "version": assets.version}
    return [
        (r"/embed\.js", EmbedFile, {"file": assets.get("embed/embed.js"), "headers": anywhere}),
        (r"/embed", EmbedFile, {"file": asset("embed.html", body), "headers": framed}),
        (r"/embed/spec\.json", EmbedSpec, spec),
    ]
