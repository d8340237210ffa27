"""Somebody's site, on an origin of its own: pages that embed boards, and a back end that gets tickets for them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.conftest import request

MINTS = "/my-ticket"


class Site:
    """`pages` by path; `POST /my-ticket` mints with `key` at `plumbline`, or answers what `instead` says."""

    def __init__(self) -> None:
        self.pages: dict[str, str] = {}
        self.plumbline = self.key = ""
        self.asks: dict[str, Any] = {"boards": ["overview", "resources"]}
        self.instead: tuple[int, str] | None = None
        self.minted = 0
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                page = site.pages.get(self.path.partition("?")[0])
                self._answer(404 if page is None else 200, "text/html; charset=utf-8", page or "nothing here")

            def do_POST(self) -> None:
                status, body = site.instead or site.ticket()
                self._answer(status, "application/json", body)

            def _answer(self, status: int, kind: str, body: str) -> None:
                data = body.encode()
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True

    @property
    def port(self) -> int:
        return int(self.server.server_address[1])

    @property
    def origin(self) -> str:
        """Another site for the browser than 127.0.0.1, where Plumbline is."""
        return f"http://localhost:{self.port}"

    def ticket(self) -> tuple[int, str]:
        self.minted += 1
        asked = {"origin": self.origin} | self.asks
        status, _, body = request(
            f"{self.plumbline}/api/tickets", json.dumps(asked).encode(), {"X-API-Key": self.key}, "POST"
        )
        return status, body.decode()

    def fresh(self) -> str:
        """A ticket by itself."""
        status, body = self.ticket()
        assert status == 200, body
        return str(json.loads(body)["ticket"])

    def page(self, body: str, head: str = "") -> str:
        """The address of a page with the script and `body`."""
        script = f'<script src="{self.plumbline}/embed.js"></script>'
        path = f"/page-{len(self.pages)}"
        self.pages[path] = f"<!doctype html><title>Shop</title>{head}{script}<body style='margin:0'>{body}"
        return self.origin + path


@contextmanager
def opened() -> Iterator[Site]:
    site = Site()
    thread = threading.Thread(target=site.server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield site
    finally:
        site.server.shutdown()
        thread.join()
        site.server.server_close()
