"""Static files by content hash: cached for ever, compressed once, never outside their roots."""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import bokeh
import panel
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from tornado.web import HTTPError, RequestHandler

from dashboard import theme

KINDS = {".js": "text/javascript", ".css": "text/css", ".woff2": "font/woff2", ".svg": "image/svg+xml"}
PACKED = (".js", ".css", ".svg")
YEAR = "public, max-age=31536000, immutable"


@dataclass(frozen=True)
class Asset:
    """One file in memory. `packed` is None where compression brings nothing."""

    body: bytes
    packed: bytes | None
    kind: str
    etag: str


def asset(name: str, body: bytes) -> Asset:
    suffix = Path(name).suffix
    packed = gzip.compress(body, 9, mtime=0) if suffix in PACKED else None
    kind = KINDS.get(suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
    return Asset(body, packed, kind, hashlib.sha256(body).hexdigest()[:20])


def vendor_files() -> dict[str, Path]:
    """The browser side of Bokeh and Panel, as installed."""
    scripts = Path(bokeh.__file__).parent / "server/static/js"
    found = {f"{name}.min.js": scripts / f"{name}.min.js" for name in ("bokeh", "bokeh-widgets", "bokeh-tables")}
    return found | {"panel.min.js": Path(panel.__file__).parent / "dist/panel.min.js"}


class Assets:
    """All files the pages load. Files of a group share one hash, so modules import each other relatively.

    `own` is the project's assets directory; what is served of it is listed by suffix, not by folder, and the
    colours of theme.py come first in app.css, the files of css/ last.
    """

    def __init__(self, own: Path) -> None:
        bodies = {
            path.relative_to(own).as_posix(): path.read_bytes()
            for path in sorted(own.rglob("*"))
            if path.suffix in KINDS and path.is_file()
        }
        parts = [body for name, body in bodies.items() if name.startswith("css/")]
        bodies["app.css"] = b"\n".join([theme.css().encode(), bodies.get("app.css", b""), *parts])
        self._pages = Environment(
            loader=FileSystemLoader(own / "templates"), autoescape=True, undefined=StrictUndefined, auto_reload=False
        )
        self._groups: dict[str, tuple[str, Mapping[str, bytes | Path]]] = {}
        self._ready: dict[str, Asset] = {}
        self._add("app", bodies, digest(bodies))
        self._add("vendor", vendor_files(), digest({"v": f"{bokeh.__version__}-{panel.__version__}".encode()}))

    def _add(self, group: str, files: Mapping[str, bytes | Path], hash: str) -> None:
        self._groups[group] = (hash, files)

    @property
    def version(self) -> str:
        """Another one as soon as any file of ours, or a library's, is another."""
        return "-".join(hash for hash, _ in self._groups.values())

    def url(self, name: str, group: str = "app") -> str:
        """The immutable path of a file. KeyError when there is no such file."""
        hash, files = self._groups[group]
        if name not in files:
            raise KeyError(f"no asset {name!r} in {group}")
        return f"/assets/{group}-{hash}/{name}"

    def get(self, name: str, group: str = "app") -> Asset:
        """A file by its name alone, for an address that stays. KeyError when there is no such file."""
        found = self.find(self.url(name, group).split("/")[2], name)
        assert found is not None
        return found[0]

    def template(self, name: str) -> Template:
        """A page's Jinja template; everything put into it is escaped."""
        return self._pages.get_template(name)

    def find(self, folder: str, name: str) -> tuple[Asset, bool] | None:
        """A file and whether its folder names the present content. Names are looked up, never joined to a path."""
        group, _, hash = folder.partition("-")
        if group not in self._groups or name not in self._groups[group][1]:
            return None
        key = f"{group}/{name}"
        if key not in self._ready:
            source = self._groups[group][1][name]
            self._ready[key] = asset(name, source if isinstance(source, bytes) else source.read_bytes())
        return self._ready[key], hash == self._groups[group][0]


def digest(bodies: Mapping[str, bytes]) -> str:
    whole = hashlib.sha256()
    for name, body in sorted(bodies.items()):
        whole.update(f"{name}:{len(body)}:".encode() + body)
    return whole.hexdigest()[:16]


class AssetHandler(RequestHandler):
    """GET /assets/GROUP-HASH/NAME. Public: the login page needs it too."""

    def initialize(self, assets: Assets) -> None:
        self._assets = assets

    def set_default_headers(self) -> None:
        self.set_header("X-Content-Type-Options", "nosniff")

    async def get(self, folder: str, name: str) -> None:
        found = self._assets.find(folder, name)
        if found is None:
            raise HTTPError(404)
        asset, current = found
        # a page of an older server asks by an older hash: answer, but let nobody keep it
        self.set_header("Cache-Control", YEAR if current else "no-cache")
        send(self, asset.body, asset.packed, asset.kind, asset.etag)

    head = get


def send(handler: RequestHandler, body: bytes, packed: bytes | None, kind: str, etag: str) -> None:
    """One body with its ETag, packed where the client takes gzip, or 304."""
    handler.set_header("Content-Type", kind if not kind.startswith("text/") else f"{kind}; charset=utf-8")
    handler.set_header("Vary", "Accept-Encoding")
    handler.set_header("Etag", f'"{etag}"')
    if handler.check_etag_header():
        handler.set_status(304)
        return
    if packed is not None and "gzip" in handler.request.headers.get("Accept-Encoding", ""):
        handler.set_header("Content-Encoding", "gzip")
        body = packed
    handler.set_header("Content-Length", str(len(body)))
    if handler.request.method != "HEAD":
        handler.write(body)
