"""Login: a key becomes a cookie. Pages, specs and sockets all ask `Auth.principal` who is there.

The cookie is HttpOnly and SameSite=Lax, and a form post must come from this origin, so no other site can log
anybody in or out. A Bokeh session is bound to the principal that loaded its page.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Protocol
from urllib.parse import quote, urlsplit

from bokeh.server.auth_provider import AuthProvider
from bokeh.util.token import get_token_payload
from tornado.httputil import HTTPServerRequest
from tornado.web import RequestHandler

from analytics.errors import Forbidden, PlumblineError
from analytics.rights import COOKIE, WALL_COOKIE, Principal
from dashboard.assets import Assets

COOKIE_DAYS = 30
CLAIM = "plumbline_key"
MAX_KEY_CHARS = 256
FOREIGN = "This form was sent from another site, so it was not used."
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; font-src 'self'; img-src 'self'; "
    "script-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Keys(Protocol):
    """What login needs of analytics.keys."""

    def verify(self, plaintext: str, address: str | None) -> Principal: ...
    def open_session(self, principal: Principal) -> str: ...
    def session(self, token: str, address: str | None = None) -> Principal | None: ...
    def close_session(self, token: str) -> None: ...
    def redeem(self, token: str) -> str | None: ...
    def secret(self, name: str) -> bytes: ...


class Auth(AuthProvider):
    """Who is behind a request, for Bokeh and for our own handlers alike."""

    def __init__(
        self,
        keys: Keys,
        *,
        verify: Callable[[str, str | None], Principal] | None = None,
        secure: bool = False,
        origins: Iterable[str] = (),
    ) -> None:
        """verify: who a typed key belongs to, where something stands before `keys.verify`.
        secure: mark the cookie Secure even when the proxy in front speaks plain HTTP to us.
        origins: further hosts (host:port) that pages of this server are seen under."""
        self.keys = keys
        self._verify = verify
        self.secure = secure
        self._origins = frozenset(o.lower() for o in origins)
        super().__init__()

    def verify(self, key: str, address: str | None) -> Principal:
        """Who a typed key belongs to. Raises a PlumblineError."""
        return (self._verify or self.keys.verify)(key, address)

    def same_origin(self, request: HTTPServerRequest) -> bool:
        """Whether a post comes from a page of ours: a browser always says where a form was."""
        origin = request.headers.get("Origin")
        if origin is None:
            return request.headers.get("Sec-Fetch-Site", "same-origin") in ("same-origin", "none")
        host = urlsplit(origin).netloc.lower()
        return bool(host) and (host == (request.host or "").lower() or host in self._origins)

    def principal(self, request: HTTPServerRequest) -> Principal | None:
        """Whose cookie a request carries; None without one that counts, or without the scope to read."""
        cookie = request.cookies.get(COOKIE)
        found = self.keys.session(cookie.value, request.remote_ip) if cookie else None
        return found if found and "read" in found.scopes else None

    def screen(self, request: HTTPServerRequest) -> Principal | None:
        """The key of a paired screen by its own cookie, or None."""
        cookie = request.cookies.get(WALL_COOKIE)
        return self.keys.session(cookie.value, request.remote_ip) if cookie else None

    def token_claim(self, request: HTTPServerRequest) -> dict[str, str]:
        """What a session token says of its owner."""
        principal = self.principal(request)
        return {CLAIM: principal.key_id} if principal else {}

    async def _user(self, handler: RequestHandler) -> str | None:
        principal = self.principal(handler.request)
        if principal is None or not owns_token(principal, handler.request):
            return None
        if handler.request.headers.get("Upgrade", "").lower() == "websocket" and not self.same_origin(handler.request):
            return None
        return principal.key_id

    @property
    def get_user_async(self) -> Callable[[Any], Awaitable[Any]]:
        return self._user

    @property
    def get_login_url(self) -> Callable[[Any], str]:
        return lambda handler: f"/login?next={quote(handler.request.uri or '/', safe='')}"


def owns_token(principal: Principal, request: HTTPServerRequest) -> bool:
    """Whether the session token of a socket request was made for this principal; true where there is none.

    The signature is Bokeh's to check when the socket opens: a forged claim gets no further than that.
    """
    offered = [p.strip() for p in request.headers.get("Sec-WebSocket-Protocol", "").split(",")]
    if "bokeh" not in offered:
        return True
    try:
        return bool(get_token_payload(offered[1]).get(CLAIM) == principal.key_id)
    except Exception:  # whatever is wrong with it, it is nobody's token
        return False


def local_path(target: str | None) -> str:
    """`target` if it is a path on this server, else the first page."""
    parts = urlsplit(target or "")
    plain = bool(target) and not parts.scheme and not parts.netloc
    if not plain or not target or not target.startswith("/") or target.startswith(("//", "/\\", "/login", "/logout")):
        return "/"
    return "/" if any(ord(c) < 32 or c == "\\" for c in target) else target[:2000]


def sentence(words: str) -> str:
    return words[:1].upper() + words[1:] + ("" if words.endswith((".", "?")) else ".")


class LoginHandler(RequestHandler):
    """GET the form, POST a key."""

    def initialize(self, auth: Auth, assets: Assets) -> None:
        self._auth, self._assets = auth, assets

    def set_default_headers(self) -> None:
        for name, value in HEADERS.items():
            self.set_header(name, value)

    async def get(self) -> None:
        self._form()

    async def post(self) -> None:
        if not self._auth.same_origin(self.request):
            self._form(FOREIGN, 403)
            return
        key = self.get_body_argument("key", "")[:MAX_KEY_CHARS]
        try:
            principal = self._auth.verify(key, self.request.remote_ip)
            if "read" not in principal.scopes:
                raise Forbidden("This key may send events, but it may not read.", hint="Use a key with the scope read.")
        except PlumblineError as error:
            if wait_ms := error.details.get("retry_after_ms"):
                self.set_header("Retry-After", str(max(1, round(wait_ms / 1000))))
            self._form(" ".join(sentence(words) for words in (error.message, error.hint) if words), error.status)
        else:
            self._sign_in(self._auth.keys.open_session(principal))

    def _sign_in(self, token: str) -> None:
        secure = self._auth.secure or self.request.protocol == "https"
        self.set_cookie(COOKIE, token, expires_days=COOKIE_DAYS, httponly=True, samesite="Lax", secure=secure)
        self.redirect(local_path(self.get_query_argument("next", None)), status=303)

    def _form(self, refusal: str = "", status: int = 200) -> None:
        self.set_status(status)
        target = local_path(self.get_query_argument("next", None))
        page = self._assets.template("login.html")
        self.finish(page.render(url=self._assets.url, refusal=refusal, next=target))


class OnceHandler(LoginHandler):
    """GET /login/once/TOKEN: a login link, good for one browser."""

    async def get(self, token: str = "") -> None:
        session = self._auth.keys.redeem(token[:200])
        if session is None:
            self._form("This link was used already or is too old. Sign in with a key instead.", 401)
        else:
            self._sign_in(session)


class LogoutHandler(LoginHandler):
    """POST /logout: the session ends here and on the server."""

    async def get(self) -> None:
        self.redirect("/")

    async def post(self) -> None:
        if not self._auth.same_origin(self.request):
            self._form(FOREIGN, 403)
            return
        if token := self.get_cookie(COOKIE):
            self._auth.keys.close_session(token)
        self.clear_cookie(COOKIE)
        self.redirect("/login", status=303)


def routes(auth: Auth, assets: Assets) -> list[tuple[Any, ...]]:
    """For pn.serve's extra_patterns."""
    shared = {"auth": auth, "assets": assets}
    return [
        (r"/login", LoginHandler, shared),
        (r"/login/once/([\w-]+)", OnceHandler, shared),
        (r"/logout", LogoutHandler, shared),
    ]
