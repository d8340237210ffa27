"""Keys over HTTP: who may manage them, what is shown once, and how fast a revocation counts."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from analytics.damping import FREE
from tests.conftest import Served, flow, request, rfc3339, serving
from tests.server.test_pages import ask, signed_in


class Office:
    """A server, its clock, and an admin's key."""

    def __init__(self, served: Served, clock: list[timedelta]) -> None:
        self.served = served
        self._clock = clock
        self.id, self.key = self.made("admin")

    def made(self, *scopes: str, name: str = "", **limits: Any) -> tuple[str, str]:
        key, plaintext = self.served.app.keys.create(name or " ".join(scopes), scopes, **limits)
        return key.id, plaintext

    def passes(self, **span: float) -> None:
        self._clock[0] += timedelta(**span)

    async def call(
        self, method: str, path: str = "", body: Any = None, key: str | None = None, **headers: str
    ) -> tuple[int, Any]:
        data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {k.replace("_", "-"): v for k, v in headers.items()} | (
            {"X-API-Key": key or self.key} if key != "" else {}
        )
        status, _, raw = await asyncio.to_thread(request, f"{self.served.url}/api/keys{path}", data, sent, method)
        return status, json.loads(raw) if raw else None

    async def counts(self, key: str, path: str = "/api/session") -> int:
        return (await self.served.get(path, key=key))[0]


async def ending(socket: ClientConnection) -> int | None:
    """Read until the server closes; gives its code."""
    await asyncio.wait_for(socket.wait_closed(), 5)
    return socket.close_code


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    clock = [timedelta()]
    async with serving(tmp_path / "data", lambda: datetime.now(UTC) + clock[0]) as served:
        yield Office(served, clock)


async def test_only_an_admin_may_manage_keys(office: Office) -> None:
    _, other = office.made("read", "ingest")
    for method, path in (
        ("GET", ""),
        ("GET", "/audit"),
        ("POST", ""),
        ("POST", "/x/rotate"),
        ("DELETE", f"/{office.id}"),
    ):
        body = {"name": "x", "scopes": ["admin"]} if method == "POST" else None
        status, problem = await office.call(method, path, body, key=other)
        assert (status, problem["code"]) == (403, "FORBIDDEN")
        assert "no scope 'admin'" in problem["detail"]
        assert (await office.call(method, path, body, key=""))[0] == 401
    assert len(office.served.app.keys.list()) == 3


async def test_a_key_is_shown_once_and_lets_its_owner_in(office: Office) -> None:
    status, made = await office.call("POST", body={"name": "wall", "scopes": ["read"], "boards": ["overview"]})
    assert status == 201
    assert (made["name"], made["scopes"], made["boards"], made["domains"]) == ("wall", ["read"], ["overview"], None)
    assert (made["state"], made["connections"], made["last_used"]) == ("valid", 0, None)
    assert await office.counts(made["key"]) == 204
    for path in ("", "/audit"):
        _, listed = await office.call("GET", path)
        assert made["key"] not in json.dumps(listed)
        assert all("key" not in row for row in listed)
    _, listed = await office.call("GET")
    assert listed[-1]["id"] == made["id"]
    assert listed[-1]["last_used"] is not None


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "expected one JSON object"),
        (b"{", "expected one JSON object"),
        ({"name": "x"}, "missing required field `scopes`"),
        ({"name": "x", "scopes": "read"}, "Expected `array`, got `str` - at `$.scopes`"),
        ({"name": "x", "scopes": ["reed"]}, "did you mean 'read'?"),
        ({"name": "x", "scopes": []}, "at least one scope"),
        ({"name": " ", "scopes": ["read"]}, "a name of 1 to 100"),
        ({"name": "x", "scopes": ["read"], "domain": ["a"]}, "unknown field `domain`"),
        ({"name": "x", "scopes": ["read"], "networks": ["10.0.0.0.1"]}, "does not appear to be"),
        ({"name": "x", "scopes": ["read"], "expires_at": "2020-01-01T00:00:00Z"}, "would have expired already"),
        ({"name": "x", "scopes": ["read"], "expires_at": "2030-01-01T00:00:00"}, "timezone"),
        ({"name": "x" * 20_000, "scopes": ["read"]}, "the limit is 16,384"),
    ],
)
async def test_a_wrong_request_says_what_was_expected(office: Office, body: Any, told: str) -> None:
    status, problem = await office.call("POST", body=body)
    assert status in (400, 413)
    assert told in problem["detail"]
    assert len(office.served.app.keys.list()) == 2


async def test_a_key_in_the_address_is_not_repeated(office: Office) -> None:
    for method, path in (("DELETE", ""), ("POST", "/rotate")):
        status, problem = await office.call(method, f"/{office.key}{path}", {} if method == "POST" else None)
        assert status == 404
        assert office.key not in json.dumps(problem)


async def test_a_rotated_key_counts_beside_the_new_one_and_then_no_more(office: Office) -> None:
    old_id, old = office.made("read", name="wall", boards=["overview"])
    status, new = await office.call("POST", f"/{old_id}/rotate", {"grace_hours": 2})
    assert status == 201
    assert (new["name"], new["boards"], new["expires_at"]) == ("wall", ["overview"], None)
    assert [await office.counts(key) for key in (old, new["key"])] == [204, 204]
    states = {key["id"]: (key["state"], key["replaced_by"]) for key in (await office.call("GET"))[1]}
    assert states[old_id] == ("replaced", new["id"])
    status, problem = await office.call("POST", f"/{old_id}/rotate")
    assert (status, problem["hint"]) == (409, f"rotate its successor {new['id']}")
    office.passes(hours=2)
    assert [await office.counts(key) for key in (old, new["key"])] == [401, 204]
    assert (await office.call("POST", f"/{old_id}/rotate"))[0] == 409


async def test_the_grace_is_a_day_unless_said_otherwise(office: Office) -> None:
    old_id, old = office.made("read")
    assert (await office.call("POST", f"/{old_id}/rotate"))[0] == 201
    office.passes(hours=23.9)
    assert await office.counts(old) == 204
    office.passes(hours=0.2)
    assert await office.counts(old) == 401
    status, problem = await office.call("POST", f"/{office.id}/rotate", {"grace_hours": -1})
    assert status == 400
    assert "$.grace_hours" in problem["detail"]


async def test_a_revocation_cuts_live_sockets_within_a_second(office: Office) -> None:
    guest_id, guest = office.made("read")
    other = {"X-API-Key": office.made("read")[1]}
    protocols = [Subprotocol("analytics.v1")]
    url = office.served.socket_url
    async with (
        connect(url, additional_headers={"X-API-Key": guest}, subprotocols=protocols) as first,
        connect(url, additional_headers={"X-API-Key": guest}) as second,
        connect(url, additional_headers=other) as neighbour,
    ):
        live = {key["id"]: key["connections"] for key in (await office.call("GET"))[1]}
        assert (live[guest_id], sum(live.values())) == (2, 3)
        board = {"type": "query", "metrics": ["flows"], "window": "now-5m"}
        await first.send(json.dumps({"type": "subscribe", "sub": "s", "request": board}))  # a tick may be under way
        started = time.monotonic()
        assert (await office.call("DELETE", f"/{guest_id}"))[0] == 200
        for socket in (first, second):
            assert await ending(socket) == 4503
        assert time.monotonic() - started < 1
        await neighbour.send(json.dumps({"type": "flow_analytics"}))
        assert json.loads(await asyncio.wait_for(neighbour.recv(), 10))["type"] == "analytics_update"
    assert await office.counts(guest) == 401
    assert (await office.call("DELETE", f"/{guest_id}"))[1]["state"] == "revoked"


async def test_a_revocation_by_another_process_cuts_them_too(office: Office) -> None:
    from analytics.keys import Keys

    guest_id, guest = office.made("read")
    async with connect(office.served.socket_url, additional_headers={"X-API-Key": guest}) as socket:
        beside = Keys(office.served.app.settings.data, lambda: datetime.now(UTC))
        await asyncio.to_thread(beside.revoke, guest_id)
        beside.close()
        assert await ending(socket) == 4503


async def test_the_audit_log_says_who_did_it_and_from_where(office: Office) -> None:
    _, made = await office.call("POST", body={"name": "wall", "scopes": ["read"]})
    _, new = await office.call("POST", f"/{made['id']}/rotate", {})
    await office.call("DELETE", f"/{made['id']}")
    assert await office.counts(made["key"]) == 401
    by = f"by admin ({office.id})"
    status, entries = await office.call("GET", "/audit?limit=4")
    assert status == 200
    assert [(e["event"], e["key_id"], e["name"], e["address"], e["detail"]) for e in entries] == [
        ("refusal", made["id"], "wall", "127.0.0.1", "was revoked"),
        ("revoke", made["id"], "wall", "127.0.0.1", by),
        ("rotate", new["id"], "wall", "127.0.0.1", f"replaces {made['id']}, {by}"),
        ("create", made["id"], "wall", "127.0.0.1", by),
    ]
    for wrong in ("0", "1001", "-1", "x", "²", "9" * 5000):
        status, problem = await office.call("GET", f"/audit?limit={wrong}" if wrong != "²" else "/audit?limit=%C2%B2")
        assert (status, problem["detail"][:45]) == (400, "limit: expected a number from 1 to 1,000, got")


async def test_a_key_of_one_domain_sees_only_that(office: Office) -> None:
    mine = flow(flow_id="mine", domain="retail")
    theirs = flow(flow_id="theirs", domain="travel")
    await office.served.ingest([mine, theirs])
    _, made = await office.call("POST", body={"name": "shop", "scopes": ["read"], "domains": ["retail"]})
    question = {"type": "query", "metrics": ["flows"], "window": "now-5m", "group_by": ["domain"]}
    status, answer = await office.served.post("/api/analytics", question, key=made["key"])
    assert status == 200
    assert [row[0] for row in answer["analytics"]["rows"]] == ["retail"]
    status, problem = await office.served.post("/api/analytics", question | {"domain": "travel"}, key=made["key"])
    assert (status, problem["code"]) == (403, "FORBIDDEN")


async def test_a_key_bound_to_networks_counts_only_there(office: Office) -> None:
    for networks, answer in ((["127.0.0.0/8"], 204), (["10.0.0.0/8", "2001:db8::/32"], 403)):
        status, made = await office.call("POST", body={"name": "office", "scopes": ["read"], "networks": networks})
        assert (status, made["networks"]) == (201, networks)
        assert await office.counts(made["key"]) == answer


async def test_an_expired_key_is_out(office: Office) -> None:
    ends = rfc3339(datetime.now(UTC) + timedelta(hours=1))
    _, made = await office.call("POST", body={"name": "trial", "scopes": ["read"], "expires_at": ends})
    assert made["expires_at"][:19] == ends[:19]
    assert await office.counts(made["key"]) == 204
    office.passes(hours=1.01)
    assert await office.counts(made["key"]) == 401
    assert (await office.call("GET"))[1][-1]["state"] == "expired"


async def test_a_limited_admin_gives_no_more_than_it_has(office: Office) -> None:
    unlimited, _ = office.made("read", name="unlimited")
    _, retail = office.made("admin", "read", name="retail", domains=["retail", "travel"], networks=["127.0.0.0/8"])
    asked = {"name": "x", "scopes": ["read"], "domains": ["retail"], "networks": ["127.0.0.1/32"]}
    assert (await office.call("POST", body=asked, key=retail))[0] == 201
    for wrong in (
        {"domains": None},
        {"domains": ["retail", "medical"]},
        {"networks": ["0.0.0.0/0"]},
        {"networks": None},
    ):
        status, problem = await office.call("POST", body=asked | wrong, key=retail)
        assert (status, "so are the keys it makes" in problem["detail"]) == (403, True)
    assert (await office.call("POST", f"/{unlimited}/rotate", {}, key=retail))[0] == 403


async def test_a_page_of_another_site_cannot_use_an_admins_sign_in(office: Office) -> None:
    _, key = office.made("admin", "read")
    cookie = await signed_in(office.served, key)
    body = {"name": "x", "scopes": ["admin"]}
    evil = {"Cookie": cookie, "Origin": "http://evil.example"}
    for method, path in (("POST", ""), ("POST", f"/{office.id}/rotate"), ("DELETE", f"/{office.id}")):
        status, problem = await office.call(method, path, body if method == "POST" else None, key="", **evil)
        assert (status, problem["code"]) == (403, "FORBIDDEN")
    assert (await office.call("POST", body=body, key="", Cookie=cookie, Origin=office.served.url))[0] == 201


async def test_guessing_is_damped_for_wrong_keys_alone(office: Office) -> None:
    wrong = office.key[:-1] + ("a" if office.key[-1] != "a" else "b")
    form = {"Content_Type": "application/x-www-form-urlencoded"}
    assert {await office.counts(wrong) for _ in range(FREE)} == {401}
    status, headers, raw = await office.served.get("/api/session", key=wrong)
    assert (status, headers["Retry-After"], json.loads(raw)["retry_after_ms"]) == (429, "1", 1000)
    status, page_headers, body = await ask(
        office.served, "POST", "/login", f"key={wrong}", **form
    )  # counts as one more
    assert (status, page_headers["Retry-After"]) == (429, "2")
    assert "Too many refused keys from this address." in body
    assert wrong not in body
    assert await office.counts(office.key) == 204
    assert await signed_in(office.served)


async def test_the_page_is_for_admins(office: Office) -> None:
    status, headers, _ = await ask(office.served, "GET", "/keys")
    assert (status, headers["Location"]) == (302, "/login?next=%2Fkeys")
    reader = await signed_in(office.served)
    admin = await signed_in(office.served, office.made("admin", "read")[1])
    status, _, body = await ask(office.served, "GET", "/keys", Cookie=reader)
    assert (status, "This page is for admins" in body, "keys.js" in body) == (403, True, False)
    status, headers, body = await ask(office.served, "GET", "/keys", Cookie=admin)
    assert (status, "keys.js" in body, "pl_live_" in body) == (200, True, False)
    assert "connect-src 'self'" in headers["Content-Security-Policy"]
    assert "unsafe" not in headers["Content-Security-Policy"]
    for cookie, there in ((reader, False), (admin, True)):
        _, _, board = await ask(office.served, "GET", "/overview", Cookie=cookie)
        assert ('href="/keys"' in board) is there
