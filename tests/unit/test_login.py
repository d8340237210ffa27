"""Who is let in, and where to."""

from __future__ import annotations

from typing import Any

import pytest
from bokeh.util.token import generate_jwt_token
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine

from analytics.rights import COOKIE, Principal
from dashboard.login import CLAIM, Auth, local_path, owns_token

ANNA = Principal(key_id="anna", name="Anna", scopes=frozenset({"read"}))
SENDER = Principal(key_id="sender", name="Sender", scopes=frozenset({"ingest"}))


class Sessions:
    """Two cookies that count: one may read, one may only send."""

    def session(self, token: str, address: str | None = None) -> Principal | None:
        return {"a": ANNA, "s": SENDER}.get(token)

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} is not needed here")


def request(**headers: str) -> HTTPServerRequest:
    named = HTTPHeaders({name.replace("_", "-"): value for name, value in headers.items()})
    start = RequestStartLine("POST", "/", "HTTP/1.1")
    named["Host"] = "board.example:5006"
    return HTTPServerRequest(start_line=start, headers=named)


def auth(**options: Any) -> Auth:
    return Auth(Sessions(), **options)


def test_only_a_cookie_of_a_reader_is_a_principal() -> None:
    assert auth().principal(request(Cookie=f"{COOKIE}=a")) is ANNA
    assert auth().principal(request(Cookie=f"{COOKIE}=s")) is None
    assert auth().principal(request(Cookie=f"{COOKIE}=x")) is None
    assert auth().principal(request()) is None


def test_a_session_token_opens_only_for_who_loaded_its_page() -> None:
    def offered(token: str) -> HTTPServerRequest:
        return request(Sec_WebSocket_Protocol=f"bokeh, {token}")

    hers = generate_jwt_token("session", signed=False, extra_payload={CLAIM: "anna"})
    his = generate_jwt_token("session", signed=False, extra_payload={CLAIM: "bert"})
    nobodys = generate_jwt_token("session", signed=False)
    assert owns_token(ANNA, offered(hers))
    for foreign in (his, nobodys, "nonsense", ""):
        assert not owns_token(ANNA, offered(foreign))
    assert owns_token(ANNA, request())  # a page, not a socket


def test_a_form_counts_only_from_a_page_of_ours() -> None:
    assert auth().same_origin(request(Origin="http://board.example:5006"))
    assert not auth().same_origin(request(Origin="http://evil.example"))
    assert not auth().same_origin(request(Origin="null"))
    assert not auth().same_origin(request(Sec_Fetch_Site="cross-site"))
    assert auth().same_origin(request())
    assert auth(origins=["Front.example"]).same_origin(request(Origin="https://front.example"))


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/overview?window=now-6h", "/overview?window=now-6h"),
        ("//elsewhere.example", "/"),
        ("/\\elsewhere.example", "/"),
        ("https://elsewhere.example", "/"),
        ("javascript:alert(1)", "/"),
        ("/\t/elsewhere.example", "/"),
        ("/login?next=/login", "/"),
        ("", "/"),
        (None, "/"),
    ],
)
def test_after_login_one_stays_here(target: str | None, path: str) -> None:
    assert local_path(target) == path
