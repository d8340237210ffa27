"""Who is asking: a key in a header, or a person's login cookie. One function for every route."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol
from urllib.parse import urlsplit

import msgspec
from tornado.httputil import HTTPServerRequest

from analytics.damping import Damping
from analytics.errors import Forbidden, RateLimited, Unauthorized
from analytics.rights import COOKIE, WALL_COOKIE, Principal

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
SOCKET = "/api/analytics/ws"  # all that a paired screen opens with its own cookie


class KnowsKeys(Protocol):
    """What the doorman needs of analytics.keys."""

    def verify(self, plaintext: str, address: str | None) -> Principal: ...
    def session(self, token: str, address: str | None = None) -> Principal | None: ...


class Doorman:
    """Turns a request into a principal. `origins` are further hosts (host:port) whose pages may use a cookie."""

    def __init__(self, keys: KnowsKeys, origins: Iterable[str] = (), damping: Damping | None = None) -> None:
        self._keys = keys
        self._origins = frozenset(o.lower() for o in origins)
        self._damping = Damping() if damping is None else damping

    def verify(self, key: str, address: str | None) -> Principal:
        """Who a key belongs to. Raises Unauthorized, Forbidden, and RateLimited after too many of these."""
        try:
            return self._keys.verify(key, address)
        except (Unauthorized, Forbidden):
            wait_s = self._damping.refused(address)
            if not wait_s:
                raise
        raise RateLimited(
            "too many refused keys from this address",
            hint=f"wait {wait_s:,.0f} s, then send a key that counts",
            retry_after_ms=int(wait_s * 1000),
        )

    def principal(self, request: HTTPServerRequest) -> Principal:
        """Raises Unauthorized without or with a bad key, RateLimited after many bad ones, Forbidden for a foreign
        page with our cookie."""
        if key := self.key_in(request):
            return self.verify(key, request.remote_ip)
        cookie = request.cookies.get(COOKIE)
        principal = self._keys.session(cookie.value, request.remote_ip) if cookie else None
        if request.path == SOCKET and "wall" in request.query_arguments:
            principal = self.screen(request)  # a browser may be both a person's and a screen
        if principal is None:
            raise Unauthorized(
                "this needs an API key", hint="send it as `X-API-Key: KEY` or `Authorization: Bearer KEY`, or sign in"
            )
        upgrade = request.headers.get("Upgrade", "").lower() == "websocket"
        if (upgrade or request.method not in SAFE_METHODS) and not self.origin_allowed(request):
            raise Forbidden("this page's origin may not act with your sign-in", hint="send an API key instead")
        return principal

    def screen(self, request: HTTPServerRequest) -> Principal | None:
        """The key of a paired screen, by its own cookie and from our own page; None without one that counts."""
        cookie = request.cookies.get(WALL_COOKIE)
        if cookie is None or not self.origin_allowed(request):
            return None
        found = self._keys.session(cookie.value, request.remote_ip)
        return found and msgspec.structs.replace(found, boards_only=True)

    def guessed(self, address: str | None) -> None:
        """Somebody typed a pairing code that no screen shows. Raises RateLimited after too many."""
        if wait_s := self._damping.refused(address):
            raise RateLimited("too many wrong codes", retry_after_ms=int(wait_s * 1000))

    def key_in(self, request: HTTPServerRequest) -> str | None:
        """The API key of the headers, if one is there."""
        if key := request.headers.get("X-API-Key", "").strip():
            return key
        scheme, _, value = request.headers.get("Authorization", "").partition(" ")
        return (value.strip() or None) if scheme.lower() == "bearer" else None

    def origin_allowed(self, request: HTTPServerRequest) -> bool:
        """Whether the page that sent this is ours. A request without an Origin came from no page."""
        origin = request.headers.get("Origin")
        return origin is None or self.ours(origin, request)

    def ours(self, origin: str, request: HTTPServerRequest) -> bool:
        """Whether an origin is this server, under the name that the request has for it or one of the settings."""
        host = urlsplit(origin).netloc.lower()
        return bool(host) and (host == request.headers.get("Host", "").lower() or host in self._origins)
