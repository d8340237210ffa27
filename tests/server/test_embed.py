"""Boards in pages of other sites: who may frame them, what a ticket opens, and what it does not."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket as network
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from playwright._impl._driver import compute_driver_executable
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin, Subprotocol

from analytics.api.tickets import Tickets, origin_of
from analytics.errors import Unauthorized, ValidationError
from analytics.rights import Principal
from tests.conftest import ROOT, Served, flow, request, serving, until

SHOP = "https://shop.example"
TEAM = "http://localhost:8000"
EVIL = "https://evil.example"
BOARD = {"type": "board", "board": "overview"}


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    """A server whose boards two sites may embed."""
    async with serving(tmp_path / "data", embed_origin=[SHOP + "/", TEAM]) as served:
        yield served


async def ticket(served: Served, key: str = "", **asked: Any) -> str:
    status, reply = await served.post("/api/tickets", {"origin": SHOP, "boards": ["overview"]} | asked, key=key)
    assert status == 200, reply
    return str(reply["ticket"])


async def framed(served: Served, text: str | None, parent: str = SHOP, origin: str | None = "") -> ClientConnection:
    """The socket that our page /embed opens in a frame of `parent`."""
    spoken = ["analytics.v1"] + ([f"ticket.{text}"] if text else [])
    return await connect(
        f"{served.socket_url}?embed={quote(parent, safe='')}",
        origin=Origin(served.url if origin == "" else origin) if origin is not None else None,
        subprotocols=[Subprotocol(word) for word in spoken],
    )


async def hear(socket: ClientConnection) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(await asyncio.wait_for(socket.recv(), 10))
    return found


async def say(socket: ClientConnection, **message: Any) -> dict[str, Any]:
    await socket.send(json.dumps(message))
    return await hear(socket)


async def ended(socket: ClientConnection) -> tuple[int, str]:
    """The code and the words that a socket was closed with."""

    async def listen() -> None:
        while True:
            await hear(socket)

    with pytest.raises(ConnectionClosed) as closed:
        await listen()
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code, closed.value.rcvd.reason


async def spec(served: Served, token: str, board: str = "overview", **more: str) -> tuple[int, dict[str, str], Any]:
    path = f"/embed/spec.json?board={quote(board)}" + "".join(f"&{name}={value}" for name, value in more.items())
    status, headers, body = await served.get(path, key=None, X_Embed_Token=token)
    return status, headers, json.loads(body)


# the page and the script


async def test_only_the_allowed_sites_may_frame_the_page(served: Served) -> None:
    status, headers, body = await served.get("/embed?board=overview&window=now-1h", key=None)
    assert status == 200
    policy = dict(part.strip().partition(" ")[::2] for part in headers["Content-Security-Policy"].split(";"))
    assert policy["frame-ancestors"] == f"'self' {TEAM} {SHOP}"
    assert policy["default-src"] == "'self'"
    assert "X-Frame-Options" not in headers and "Set-Cookie" not in headers
    assert headers["X-Content-Type-Options"] == "nosniff" and headers["Referrer-Policy"] == "same-origin"
    assert b"overview" not in body and b"token" not in body
    assert (await served.get("/embed", key=None, If_None_Match=headers["Etag"]))[0] == 304


async def test_without_the_setting_no_other_site_may(tmp_path: Path) -> None:
    async with serving(tmp_path / "data") as served:
        _, headers, _ = await served.get("/embed", key=None)
        assert headers["Content-Security-Policy"].endswith("frame-ancestors 'self'")
        assert (await ended(await framed(served, await ticket(served))))[0] == 4501
        own = await ticket(served, origin=served.url)
        async with await framed(served, own, parent=served.url) as socket:
            assert (await hear(socket))["type"] == "welcome"


async def test_the_other_pages_still_may_not_be_framed(served: Served) -> None:
    for path in ("/login", "/wall"):
        _, headers, _ = await served.get(path, key=None)
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]


async def test_the_script_keeps_its_address_and_is_asked_about_each_time(served: Served) -> None:
    status, headers, body = await served.get("/embed.js", key=None, Origin=EVIL)
    assert status == 200 and b"plumbline-board" in body
    assert headers["Content-Type"].startswith("text/javascript") and headers["Cache-Control"] == "no-cache"
    assert headers["Access-Control-Allow-Origin"] == "*" and "Set-Cookie" not in headers
    assert (await served.get("/embed.js", key=None, If_None_Match=headers["Etag"]))[0] == 304


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("https://Shop.example/", SHOP),
        ("https://shop.example:443", SHOP),
        ("http://[::1]:8080", "http://[::1]:8080"),
        (" http://localhost:80 ", "http://localhost"),
    ],
)
def test_an_origin_is_read_as_browsers_write_it(text: str, origin: str) -> None:
    assert origin_of(text) == origin


@pytest.mark.parametrize(
    "text",
    ["", "*", "shop.example", "https://*.example", "https://a;script-src *", "https://a b", "https://a/path", "null",
     "https://u:p@a", "ftp://a", "https://a:99999", "https://a\nb", "javascript:alert(1)", "'none'"],
)  # fmt: skip
def test_what_is_no_origin_gets_into_no_header(text: str) -> None:
    with pytest.raises(ValidationError, match="expected an origin"):
        origin_of(text)


# the ticket


async def test_a_ticket_opens_one_socket_of_the_page_in_a_frame_of_its_site(served: Served) -> None:
    await served.ingest([flow()])
    text = await ticket(served)
    async with await framed(served, text) as socket:
        assert (await hear(socket))["token"]
        said = await say(socket, type="subscribe", id=1, sub="b", request=BOARD)
        assert said["type"] == "subscribed"
        assert (await hear(socket))["analytics"]["tiles"]["latest"]["columns"]["name"] == ["answer question"]
        assert (await hear(socket))["type"] == "frame"
    assert (await ended(await framed(served, text)))[0] == 4501  # it counts once


async def test_a_ticket_is_for_the_site_that_it_names(served: Served) -> None:
    code, words = await ended(await framed(served, await ticket(served), parent=TEAM))
    assert (code, words) == (4501, f"this ticket is for pages of {SHOP}")
    code, words = await ended(await framed(served, await ticket(served, origin=EVIL), parent=EVIL))
    assert (code, words) == (4501, f"pages of {EVIL} may not embed boards of this server")
    async with await framed(served, await ticket(served), parent="") as socket:  # a browser that keeps it to itself
        assert (await hear(socket))["type"] == "welcome"
    assert (await ended(await framed(served, await ticket(served, origin=EVIL), parent="")))[0] == 4501


@pytest.mark.parametrize("origin", [EVIL, SHOP, None])
async def test_only_our_own_page_says_whose_frame_it_is_in(served: Served, origin: str | None) -> None:
    assert (await ended(await framed(served, await ticket(served), origin=origin)))[0] == 4501


async def test_a_frame_never_lives_on_a_sign_in(served: Served) -> None:
    session = served.app.keys.open_session(served.app.keys.verify(served.key, None))
    with pytest.raises(InvalidStatus) as refused:
        await connect(
            f"{served.socket_url}?embed={quote(SHOP, safe='')}",
            origin=Origin(served.url),
            additional_headers={"Cookie": f"plumbline_session={session}"},
        )
    assert refused.value.response.status_code == 401


async def test_a_ticket_used_by_a_page_of_its_site_gets_no_token(served: Served) -> None:
    spoken = [Subprotocol("analytics.v1"), Subprotocol(f"ticket.{await ticket(served)}")]
    async with await connect(served.socket_url, origin=Origin(SHOP), subprotocols=spoken) as socket:
        assert "token" not in await hear(socket)


def test_a_ticket_counts_for_a_minute() -> None:
    now = [0.0]
    tickets = Tickets([SHOP], lambda: now[0])
    who = Principal(key_id="k", name="k", scopes=frozenset({"read"}))
    late, good = tickets.issue(who, SHOP), tickets.issue(who, SHOP)
    now[0] = 59.0
    assert tickets.redeem_embedded(good, SHOP, lambda origin: False) == who
    now[0] = 61.0
    with pytest.raises(Unauthorized, match="too old"):
        tickets.redeem_embedded(late, SHOP, lambda origin: False)


# what it shows


async def test_a_ticket_for_boards_shows_them_and_answers_nothing_else(served: Served) -> None:
    await served.ingest([flow(user="somebody")])
    async with await framed(served, await ticket(served)) as socket:
        token = (await hear(socket))["token"]
        for message in (
            {"type": "rows"},
            {"type": "query", "metrics": ["flows"]},
            {"type": "flows"},
            {"type": "agent_analytics"},
            {"type": "values", "dim": "user"},
            BOARD | {"board": "resources"},
            BOARD | {"tiles": [{"id": "x", "type": "kpi", "metric": "flows"}]},
        ):
            answer = await say(socket, id=1, **message)
            assert (answer["type"], answer["error"]["code"]) == ("error", "FORBIDDEN"), message
        answer = await say(socket, type="subscribe", id=2, sub="s", request={"type": "flows"})
        assert answer["error"]["code"] == "FORBIDDEN"
        assert (await say(socket, id=3, **BOARD))["type"] == "analytics_update"
        assert (await spec(served, token))[0] == 200
        status, _, problem = await spec(served, token, "resources")
        assert (status, problem["code"]) == (403, "FORBIDDEN")


async def test_a_key_that_is_bound_to_boards_binds_its_tickets(served: Served) -> None:
    _, key = served.app.keys.create("site", ["read"], boards=["overview"], domains=["retail"])
    async with await framed(served, await ticket(served, key, boards=None)) as socket:
        token = (await hear(socket))["token"]
        assert (await say(socket, id=1, type="rows"))["error"]["code"] == "FORBIDDEN"
        assert (await spec(served, token, "resources"))[0] == 403
    status, problem = await served.post("/api/tickets", {"origin": SHOP, "boards": ["resources"]}, key=key)
    assert (status, problem["code"]) == (403, "FORBIDDEN")


# figures


async def test_figures_come_while_the_socket_is_open_and_to_nobody_else(served: Served) -> None:
    text = await ticket(served, boards=None)
    async with await framed(served, text) as socket:
        token = (await hear(socket))["token"]
        status, headers, found = await spec(served, token, theme="dark")
        assert (status, found["board"], found["theme"]) == (200, "overview", "dark")
        assert headers["Cache-Control"] == "private, no-cache" and "Set-Cookie" not in headers
        assert headers["X-Plumbline-Version"] == served.app.version
        assert (await spec(served, token, "overvew"))[0] == 404
        assert (await spec(served, token, theme="pink"))[0] == 400
        for wrong in ("", "guess", text):
            assert (await spec(served, wrong))[0] == 401
        assert (await served.get("/embed/spec.json?board=overview"))[0] == 401  # a key is no token
        assert (await served.get(f"/specs/{headers['Etag'].strip(chr(34))}.json", key=None))[0] == 401
    assert (await spec(served, token))[0] == 401


async def test_a_revoked_key_ends_its_boards_within_two_seconds_and_says_so(served: Served) -> None:
    site, key = served.app.keys.create("site", ["read"], boards=["overview"])
    socket = await framed(served, await ticket(served, key))
    token = (await hear(socket))["token"]
    waiting = await ticket(served, key)
    served.app.keys.revoke(site.id)
    assert (await spec(served, token))[0] == 401
    async with asyncio.timeout(2):
        assert await ended(socket) == (4503, "the key was revoked")
        assert await ended(await framed(served, waiting)) == (4503, "the key was revoked")
    assert (await served.post("/api/tickets", {"origin": SHOP}, key=key))[0] == 401


# the documented back ends

NODE = str(compute_driver_executable()[0])  # the one that Playwright brings


def free_port() -> int:
    with network.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.mark.parametrize(
    ("kind", "command"),
    [("python", [sys.executable, "-c"]), ("js", [NODE, "--input-type=module", "--eval"])],
    ids=["Python", "Node"],
)
async def test_the_back_end_of_the_docs_mints_tickets_that_count(served: Served, kind: str, command: list[str]) -> None:
    text = (ROOT / "assets/docs/embed.md").read_text()
    program = re.findall(rf"^```{kind}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)[0]
    key, secret = served.app.keys.create("shop", ["read"], boards=["overview"])
    port = free_port()
    told = {"PLUMBLINE_URL": served.url, "PLUMBLINE_KEY": secret, "SITE": SHOP, "PORT": str(port)}
    process = await asyncio.create_subprocess_exec(
        *command, program, env=os.environ | told, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )

    def listens() -> bool:
        with network.socket() as found:
            return found.connect_ex(("127.0.0.1", port)) == 0

    try:
        await until(listens, what="the back end to listen")
        status, _, body = await asyncio.to_thread(request, f"http://127.0.0.1:{port}/my-ticket", b"", {}, "POST")
        assert status == 200
        async with await framed(served, json.loads(body)["ticket"]) as socket:
            assert (await hear(socket))["principal"] == key.name
    finally:
        process.kill()
        await process.wait()
