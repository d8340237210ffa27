"""Pages, login and Bokeh sessions: closed without a key, and bound to the one who opened them."""

from __future__ import annotations

import asyncio
import base64
import http.client
import re
import zlib
from urllib.parse import quote, urlsplit

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin, Subprotocol

from tests.conftest import Served


async def ask(
    served: Served, method: str, path: str, body: str | None = None, **headers: str
) -> tuple[int, http.client.HTTPMessage, str]:
    """One request without following redirects."""

    def work() -> tuple[int, http.client.HTTPMessage, str]:
        connection = http.client.HTTPConnection(urlsplit(served.url).netloc, timeout=10)
        connection.request(method, path, body, {k.replace("_", "-"): v for k, v in headers.items()})
        reply = connection.getresponse()
        text = reply.read().decode()
        connection.close()
        return reply.status, reply.headers, text

    return await asyncio.to_thread(work)


async def signed_in(served: Served, key: str = "") -> str:
    status, headers, _ = await ask(
        served, "POST", "/login", f"key={quote(key or served.key)}", Content_Type="application/x-www-form-urlencoded"
    )
    assert status == 303
    return headers["Set-Cookie"].partition(";")[0]


@pytest.mark.parametrize("path", ["/overview", "/resources", "/docs", "/overview/ws"])
async def test_no_page_opens_without_a_sign_in(served: Served, path: str) -> None:
    status, headers, body = await ask(served, "GET", path)
    assert status in (302, 403)
    assert status == 403 or headers["Location"].lstrip(".").startswith("/login?next=")
    assert "plumbline_session" not in body


async def test_a_key_becomes_an_opaque_cookie(served: Served) -> None:
    status, headers, _ = await ask(
        served, "POST", "/login", f"key={quote(served.key)}", Content_Type="application/x-www-form-urlencoded"
    )
    assert status == 303
    cookie = headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert served.key not in cookie


async def test_a_wrong_key_is_refused_without_an_echo(served: Served) -> None:
    wrong = "pl_live_wrong_wrong_wrong"
    status, headers, body = await ask(
        served, "POST", "/login", f"key={wrong}", Content_Type="application/x-www-form-urlencoded"
    )
    assert status == 401
    assert "Set-Cookie" not in headers
    assert wrong not in body


async def test_another_site_cannot_sign_anybody_in(served: Served) -> None:
    status, headers, _ = await ask(
        served, "POST", "/login", f"key={quote(served.key)}",
        Content_Type="application/x-www-form-urlencoded", Origin="http://evil.example",
    )  # fmt: skip
    assert status == 403
    assert "Set-Cookie" not in headers


async def test_the_one_time_link_works_once(served: Served) -> None:
    path = urlsplit(served.app.login_link()).path
    status, headers, _ = await ask(served, "GET", path)
    assert (status, headers["Location"]) == (303, "/")
    cookie = headers["Set-Cookie"].partition(";")[0]
    assert (await ask(served, "GET", "/overview", Cookie=cookie))[0] == 200
    assert (await ask(served, "GET", path))[0] == 401


async def test_signing_out_ends_the_session_on_the_server(served: Served) -> None:
    cookie = await signed_in(served)
    assert (await ask(served, "POST", "/logout", "", Cookie=cookie))[0] == 303
    assert (await ask(served, "GET", "/overview", Cookie=cookie))[0] == 302


async def test_a_revoked_key_closes_its_pages(served: Served) -> None:
    key, text = served.app.keys.create("guest", ["read"])
    cookie = await signed_in(served, text)
    assert (await ask(served, "GET", "/overview", Cookie=cookie))[0] == 200
    served.app.keys.revoke(key.id)
    assert (await ask(served, "GET", "/overview", Cookie=cookie))[0] == 302


async def test_the_page_copies_no_header_and_no_cookie(served: Served) -> None:
    cookie = await signed_in(served)
    status, _, page = await ask(served, "GET", "/overview", Cookie=cookie, X_Canary="canary-header")
    assert status == 200
    assert cookie.split("=", 1)[1] not in page
    assert "canary-header" not in page
    hosts = set(re.findall(r"(?:src|href)=[\"']?(https?://[^/\"' ]+)", page))
    assert hosts == set()
    token = re.search(r'"token":\s*"([^"]+)"', page)
    assert token
    for part in token[1].split("."):
        decoded = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
        assert b"canary-header" not in decoded
        assert cookie.split("=", 1)[1].encode() not in decoded
        assert b"canary-header" not in (zlib.decompress(decoded) if decoded[:1] == b"\x78" else b"")


async def bokeh_socket(served: Served, token: str, cookie: str, origin: str) -> None:
    url = served.url.replace("http", "ws") + "/overview/ws"
    async with connect(
        url,
        additional_headers={"Cookie": cookie},
        origin=Origin(origin),
        subprotocols=[Subprotocol("bokeh"), Subprotocol(token)],
    ) as socket:
        await asyncio.wait_for(socket.recv(), 5)


async def test_a_session_opens_only_for_its_owner_and_its_own_page(served: Served) -> None:
    mine = await signed_in(served)
    _, text = served.app.keys.create("another", ["read"])
    theirs = await signed_in(served, text)
    page = (await ask(served, "GET", "/overview", Cookie=mine))[2]
    found = re.search(r'"token":\s*"([^"]+)"', page)
    assert found
    token = found[1]
    await bokeh_socket(served, token, mine, served.url)
    for cookie, origin in ((theirs, served.url), (mine, "http://evil.example"), ("", served.url)):
        with pytest.raises(InvalidStatus):
            await bokeh_socket(served, token, cookie, origin)


async def test_the_feed_checks_the_origin_of_a_cookie(served: Served) -> None:
    cookie = await signed_in(served)
    async with connect(served.socket_url, additional_headers={"Cookie": cookie}, origin=Origin(served.url)):
        pass
    with pytest.raises(InvalidStatus) as refused:
        await connect(served.socket_url, additional_headers={"Cookie": cookie}, origin=Origin("http://evil.example"))
    assert refused.value.response.status_code == 403
