"""/docs: the Markdown of assets/docs in the look of the pages."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

from markdown_it import MarkdownIt
from tornado.web import HTTPError, RequestHandler

from dashboard.assets import Assets
from dashboard.login import HEADERS, Auth


class DocsHandler(RequestHandler):
    """GET /docs and /docs/NAME. Pages are found by listing the folder, never by joining a path."""

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
        listed = sorted(titles.items(), key=lambda item: (item[0] != "index", item[1]))
        body = MarkdownIt("commonmark", {"html": False}).enable("table").render(texts[here])
        page = self._assets.template("docs.html")
        self.finish(page.render(url=self._assets.url, title=titles[here], here=here, pages=listed, body=body))


def routes(auth: Auth, assets: Assets, folder: Path) -> list[tuple[Any, ...]]:
    """For pn.serve's extra_patterns."""
    return [(r"/docs(?:/([a-z0-9-]*))?", DocsHandler, {"auth": auth, "assets": assets, "folder": folder})]
