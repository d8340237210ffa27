"""Screens: pairing by a code, what their credential may do, and how soon a change or a revocation counts."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from analytics.damping import FREE
from tests.conftest import Served, request

PLAN = {"name": "Lobby 2", "playlist": [{"board": "overview", "seconds": 20}]}
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 50


class Building:
    """A server, an admin, and browsers that want to be screens."""

    def __init__(self, served: Served) -> None:
        self.served = served
        self.admin = served.app.keys.create("admin", ["read", "admin"])[1]

    async def call(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, dict[str, str], Any]:
        data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        status, told, raw = await asyncio.to_thread(request, self.served.url + path, data, sent, method)
        return status, told, json.loads(raw) if raw and raw[:1] in b"[{" else raw

    async def manage(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        status, _, answer = await self.call(method, path, body, X_API_Key=self.admin)
        return status, answer

    async def offered(self) -> dict[str, Any]:
        status, _, offer = await self.call("POST", "/api/wall/pairing", b"")
        assert status == 201
        found: dict[str, Any] = offer
        return found

    async def paired(self, **plan: Any) -> tuple[dict[str, Any], str]:
        """A screen and its cookie."""
        offer = await self.offered()
        status, screen = await self.manage("POST", "/api/screens", PLAN | plan | {"code": offer["code"]})
        assert status == 201, screen
        status, headers, _ = await self.call("GET", "/api/wall/pairing", X_Pairing=offer["secret"])
        assert status == 200
        return screen, headers["Set-Cookie"].partition(";")[0]


@pytest.fixture
def building(served: Served) -> Building:
    return Building(served)


async def test_a_browser_without_a_cookie_sees_its_code_and_nothing_else(building: Building) -> None:
    status, headers, page = await building.call("GET", "/wall")
    assert status == 200 and headers["Etag"] and b"overview" not in page
    assert (await building.call("GET", "/wall", If_None_Match=headers["Etag"]))[0] == 304
    for method, path in (("GET", "/wall/me.json"), ("POST", "/api/wall/beat"), ("PUT", "/api/wall/picture")):
        assert (await building.call(method, path, b"{}"))[0] == 401
    offer = await building.offered()
    assert len(offer["code"]) == 6 and not set(offer["code"]) & set("0O1IL")
    assert (await building.call("GET", "/api/wall/pairing", X_Pairing=offer["secret"]))[0] == 202
    assert (await building.call("GET", "/api/wall/pairing", X_Pairing="guess"))[0] == 404


async def test_an_admin_types_the_code_and_the_browser_gets_its_cookie_once(building: Building) -> None:
    offer = await building.offered()
    typed = f" {offer['code'][:3].lower()}-{offer['code'][3:]} "
    status, screen = await building.manage("POST", "/api/screens", PLAN | {"code": typed})
    assert status == 201 and screen["name"] == "Lobby 2" and screen["seen_at"] is None
    status, headers, _ = await building.call("GET", "/api/wall/pairing", X_Pairing=offer["secret"])
    cookie = headers["Set-Cookie"]
    assert status == 200 and "HttpOnly" in cookie and "SameSite=Strict" in cookie
    assert (await building.call("GET", "/api/wall/pairing", X_Pairing=offer["secret"]))[0] == 404
    status, _, plays = await building.call("GET", "/wall/me.json", Cookie=cookie.partition(";")[0])
    assert status == 200 and [entry["board"] for entry in plays["playlist"]] == ["overview"]
    for spec in plays["playlist"][0]["specs"].values():
        assert (await building.call("GET", spec, Cookie=cookie.partition(";")[0]))[0] == 200


async def test_its_credential_reads_the_boards_of_its_playlist_and_nothing_else(building: Building) -> None:
    _, cookie = await building.paired()
    for path in ("/api/keys", "/api/metrics", "/api/screens"):
        assert (await building.call("GET", path, Cookie=cookie))[0] == 401
    assert b'id="key"' in (await building.call("GET", "/overview", Cookie=cookie))[2]  # the door, nothing behind it
    protocol = [Subprotocol("analytics.v1")]
    with pytest.raises(InvalidStatus):  # its cookie counts for a socket that says that it is a wall's
        await connect(building.served.socket_url, subprotocols=protocol, additional_headers={"Cookie": cookie})
    foreign = {"Cookie": cookie, "Origin": "https://elsewhere.example"}
    with pytest.raises(InvalidStatus):  # and from our own pages only
        await connect(building.served.socket_url + "?wall=1", subprotocols=protocol, additional_headers=foreign)
    async with connect(
        building.served.socket_url + "?wall=1", subprotocols=protocol, additional_headers={"Cookie": cookie}
    ) as socket:
        await socket.recv()
        asked = {"type": "subscribe", "sub": "b", "request": {"type": "board", "board": "overview"}}
        await socket.send(json.dumps(asked))
        assert json.loads(await socket.recv())["type"] == "subscribed"
        await socket.send(json.dumps(asked | {"sub": "c", "request": {"type": "board", "board": "resources"}}))
        refused = next(m for m in [json.loads(await socket.recv()) for _ in range(3)] if m["type"] == "error")
        assert refused["error"]["code"] == "FORBIDDEN"
        await socket.send(json.dumps({"type": "rows", "id": 1}))  # nor anything that is no board
        refused = next(m for m in [json.loads(await socket.recv()) for _ in range(3)] if m.get("id") == 1)
        assert refused["error"]["code"] == "FORBIDDEN"
        screen = (await building.manage("GET", "/api/screens"))[1][0]
        changed = PLAN | {"playlist": [{"board": "resources"}]}
        assert (await building.manage("PUT", f"/api/screens/{screen['id']}", changed))[0] == 200
        await asyncio.wait_for(socket.wait_closed(), 2)  # it has the rights of before
        assert socket.close_code == 4000


async def test_a_limited_admin_makes_screens_that_are_no_less_limited(building: Building) -> None:
    building.admin = building.served.app.keys.create(
        "support", ["read", "admin"], domains=["support"], boards=["overview"]
    )[1]
    screen, _ = await building.paired()
    assert building.served.app.keys.get(screen["id"]).rights.domains == ("support",)
    other = PLAN | {"playlist": [{"board": "resources"}]}
    assert (await building.manage("PUT", f"/api/screens/{screen['id']}", other))[0] == 403
    offer = await building.offered()
    assert (await building.manage("POST", "/api/screens", other | {"code": offer["code"]}))[0] == 403


async def test_a_revoked_screen_is_cut_off_at_once(building: Building) -> None:
    screen, cookie = await building.paired()
    async with connect(
        building.served.socket_url + "?wall=1",
        subprotocols=[Subprotocol("analytics.v1")],
        additional_headers={"Cookie": cookie},
    ) as socket:
        assert (await building.manage("DELETE", f"/api/screens/{screen['id']}"))[0] == 204
        await asyncio.wait_for(socket.wait_closed(), 2)
        assert socket.close_code == 4503
    assert (await building.call("POST", "/api/wall/beat", {}, Cookie=cookie))[0] == 401
    assert (await building.manage("GET", "/api/screens"))[1] == []


async def test_a_sign_of_life_tells_what_it_shows_and_hears_what_is_new(building: Building) -> None:
    screen, cookie = await building.paired()
    beat = {"revision": 1, "version": "v", "board": "overview", "page": 1, "state": "live", "frame_age_s": 0.4}
    status, headers, pulse = await building.call("POST", "/api/wall/beat", beat, Cookie=cookie)
    assert status == 200 and pulse["revision"] == 1 and pulse["flash"] is False and pulse["version"]
    assert "plumbline_wall" in headers["Set-Cookie"]  # set anew each day, so that it outlives a browser's limit
    assert "Set-Cookie" not in (await building.call("POST", "/api/wall/beat", beat, Cookie=cookie))[1]
    listed = (await building.manage("GET", "/api/screens"))[1][0]
    assert listed["board"] == "overview" and listed["frame_age_s"] == 0.4 and listed["address"] == "127.0.0.1"
    assert (await building.manage("POST", f"/api/screens/{screen['id']}/flash", b""))[0] == 204
    assert (await building.call("POST", "/api/wall/beat", beat, Cookie=cookie))[2]["flash"] is True
    changed = PLAN | {"playlist": [{"board": "resources", "window": "now-5m"}]}
    assert (await building.manage("PUT", f"/api/screens/{screen['id']}", changed))[0] == 200
    assert (await building.call("POST", "/api/wall/beat", beat, Cookie=cookie))[2]["revision"] == 2
    plays = (await building.call("GET", "/wall/me.json", Cookie=cookie))[2]
    assert plays["playlist"][0]["scope"]["window"] == "now-5m"
    assert building.served.app.keys.get(screen["id"]).rights.boards == ("resources",)


async def test_its_picture_is_kept_for_admins(building: Building) -> None:
    screen, cookie = await building.paired()
    path = f"/api/screens/{screen['id']}/picture"
    assert (await building.manage("GET", path))[0] == 404
    assert (await building.call("PUT", "/api/wall/picture", b"<svg onload=alert(1)>", Cookie=cookie))[0] == 400
    assert (await building.call("PUT", "/api/wall/picture", PNG + b"\0" * 300_000, Cookie=cookie))[0] == 413
    assert (await building.call("PUT", "/api/wall/picture", PNG, Cookie=cookie))[0] == 204
    status, headers, body = await building.call("GET", path, X_API_Key=building.admin)
    assert status == 200 and headers["Content-Type"] == "image/png" and body == PNG


async def test_screens_survive_a_restart(building: Building) -> None:
    from analytics.screens import Screens

    screen, _ = await building.paired()
    app = building.served.app
    again = Screens(app.settings.data, app.keys, app.now, boards=lambda: app.workspaces.current.boards)
    assert [s.plan.name for s in again.list()] == ["Lobby 2"] and again.get(screen["id"]).revision == 1
    again.close()


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        ({"playlist": []}, "playlist"),
        ({"playlist": [{"board": "overveiw"}]}, "did you mean 'overview'?"),
        ({"playlist": [{"board": "overview", "seconds": 1}]}, "seconds"),
        ({"playlist": [{"board": "overview", "window": "yesterday"}]}, "yesterday"),
        ({"name": ""}, "name"),
        ({"theme": "pink"}, "pink"),
        ({"code": "AAAAAA"}, "no screen shows this code"),
    ],
)
async def test_what_cannot_be_is_refused_in_words(building: Building, plan: dict[str, Any], words: str) -> None:
    offer = await building.offered()
    status, problem = await building.manage("POST", "/api/screens", PLAN | {"code": offer["code"]} | plan)
    assert status in (400, 404) and words in problem["detail"]


async def test_codes_cannot_be_guessed_for_long(building: Building) -> None:
    for _ in range(FREE):
        assert (await building.manage("POST", "/api/screens", PLAN | {"code": "AAAAAA"}))[0] == 404
    assert (await building.manage("POST", "/api/screens", PLAN | {"code": "AAAAAA"}))[0] == 429


async def test_only_admins_see_screens(building: Building) -> None:
    assert (await building.served.get("/api/screens"))[0] == 403
    assert (await building.call("GET", "/api/screens"))[0] == 401
