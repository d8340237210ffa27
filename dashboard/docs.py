"""/docs: the Markdown of assets/docs in the look of the pages, and the pictures beside it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import quote

from markdown_it import MarkdownIt
from markdown_it.token import Token
from tornado.web import HTTPError, RequestHandler

from dashboard.assets import Assets, send
from dashboard.login import HEADERS, Auth

PAGE = re.compile(r"([a-z0-9-]+)\.md(#.*)?")
LINK = re.compile(rf"\]\({PAGE.pattern}\)")
PICTURE = re.compile(r"images/([a-z0-9-]+\.(?:png|svg))")
KINDS = {".png": "image/png", ".svg": "image/svg+xml"}


class DocsHandler(RequestHandler):
    """GET /docs and /docs/NAME. Pages are found by listing the folder, never by joining a path; the sidebar has
    them in the order in which the index links to them."""

    def initialize(self, auth: Auth, assets: Assets, folder: Path) -> None:
        self._auth, self._assets, self._folder = auth, assets, folder

    def set_default_headers(self) -> None:
        for name, value in HEADERS.items():
            self.set_header(name, value)

    def get(self, name: str | None = None) -> None:
        if self._auth.principal(self.request) is None:
            self.redirect(f"/login?next={quote(self.request.uri or '/docs', safe='')}")
            return
        pages = {path.stem: path for path in sorted(self._folder.glob("*.md"))}
        here = name or "index"
        if here not in pages:
            raise HTTPError(404)
        texts = {stem: path.read_text(encoding="utf-8") for stem, path in pages.items()}
        titles = {stem: text.partition("\n")[0].lstrip("# ") for stem, text in texts.items()}
        order = ["index", *(name for name, _ in LINK.findall(texts.get("index", "")))]
        listed = sorted(titles.items(), key=lambda item: (order.index(item[0]) if item[0] in order else 99, item[1]))
        page = self._assets.template("docs.html")
        self.finish(
            page.render(url=self._assets.url, title=titles[here], here=here, pages=listed, body=rendered(texts[here]))
        )


class PictureHandler(RequestHandler):
    """GET /docs/images/NAME.png or .svg: a picture that the folder lists, for who may read."""

    def initialize(self, auth: Auth, folder: Path) -> None:
        self._auth, self._folder = auth, folder

    def set_default_headers(self) -> None:
        for name, value in HEADERS.items():
            self.set_header(name, value)

    def get(self, name: str) -> None:
        if self._auth.principal(self.request) is None:
            raise HTTPError(401)
        path = next((path for path in self._folder.glob("images/*") if path.name == name), None)
        if path is None:
            raise HTTPError(404)
        body = path.read_bytes()
        self.set_header("Cache-Control", "private, no-cache")
        send(self, body, None, KINDS[path.suffix], sha256(body).hexdigest()[:20])


def rendered(text: str) -> str:
    """HTML of our Markdown. Its links are those of the files, so that they work in the repository too; here
    they become addresses, headings get the anchors that links to them name, and tables may scroll."""
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(text)
    for heading, inline in pairwise(tokens):
        if heading.type == "heading_open":
            heading.attrSet("id", slug(inline.content))
    for token in tokens:
        for child in token.children or []:
            _readdressed(child)
    parser.add_render_rule("table_open", _around('<div class="wide">', ""))
    parser.add_render_rule("table_close", _around("", "</div>"))
    return str(parser.renderer.render(tokens, parser.options, {}))


def slug(heading: str) -> str:
    """The anchor of a heading, as repositories make it: `Two words!` is `two-words`."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def _readdressed(token: Token) -> None:
    name = {"link_open": "href", "image": "src"}.get(token.type, "")
    target = str(token.attrGet(name) or "")
    if page := PAGE.fullmatch(target):
        token.attrSet(name, ("/docs" if page[1] == "index" else f"/docs/{page[1]}") + (page[2] or ""))
    elif picture := PICTURE.fullmatch(target):
        token.attrSet(name, f"/docs/images/{picture[1]}")


def _around(before: str, after: str) -> Callable[..., str]:
    def rule(renderer: Any, tokens: Sequence[Token], at: int, options: Any, env: Any) -> str:
        return f"{before}{renderer.renderToken(tokens, at, options, env)}{after}"

    return rule


def routes(auth: Auth, assets: Assets, folder: Path) -> list[tuple[Any, ...]]:
    """For pn.serve's extra_patterns."""
    return [
        (r"/docs(?:/([a-z0-9-]*))?", DocsHandler, {"auth": auth, "assets": assets, "folder": folder}),
        (r"/docs/images/([a-z0-9-]+\.(?:png|svg))", PictureHandler, {"auth": auth, "folder": folder}),
    ]
