"""Health of a real server: probes, figures that move, connections that can be closed, logs without keys."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from prometheus_client.parser import text_string_to_metric_families
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from analytics.api import health
from analytics.errors import Timeout
from analytics.telemetry import FAMILIES, SELF
from tests.conftest import Running, Served, flow, request, serving, until


async def ready(served: Served) -> tuple[int, dict[str, Any]]:
    status, _, body = await served.get("/readyz", None)
    return status, json.loads(body)


async def figure(served: Served, name: str, **labels: str) -> float | None:
    """One sample of /metrics, None while it is not there."""
    _, _, body = await served.get("/metrics", None)
    for family in text_string_to_metric_families(body.decode()):
        for sample in family.samples:
            if sample.name == name and labels.items() <= sample.labels.items():
                return float(sample.value)
    return None


async def until_not_ready(served: Served, part: str) -> str:
    """The reason that /readyz gives for one part, once it is not ok; all others must be."""
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        status, told = await ready(served)
        if not told["parts"][part]["ok"]:
            assert status == 503
            assert told["status"] == "not ready"
            assert [name for name, p in told["parts"].items() if not p["ok"]] == [part]
            return str(told["parts"][part]["reason"])
    raise AssertionError(f"{part} stayed ok")


async def test_a_server_at_rest_is_ready_part_by_part(served: Served) -> None:
    assert (await served.get("/healthz", None))[2] == b'{"status":"ok"}'
    status, told = await ready(served)
    assert (status, told["status"]) == (200, "ready")
    assert list(told["parts"]) == ["store", "writer", "hub", "disk", "workspace"]
    assert all(part["ok"] and part["reason"] for part in told["parts"].values())


async def test_a_store_that_misses_its_deadline_is_not_ready(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "STORE_S", 0.05)
    heavy = "select sum(a.range * b.range) as x from range(100000) a, range(1000000) b"
    busy = [asyncio.create_task(served.app.store.read(heavy, deadline_s=3.0)) for _ in range(3)]
    reason = await until_not_ready(served, "store")
    assert "busy" in reason or "0.05 s" in reason
    for task in busy:
        with pytest.raises(Timeout):
            await task
    await until(lambda: served.app.store.stats()["readers_busy"] == 0)
    served.app.readiness._found_at = 0.0
    assert (await ready(served))[0] == 200


async def test_a_broken_workspace_is_not_ready_and_tells_no_path(tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text("workspace: mine\n")
    async with serving(tmp_path / "data", workspace=[mine]) as served:
        assert (await ready(served))[0] == 200
        mine.write_text("workspace: mine\nmetrics:\n  secret_name: {cuont: {}}\n")
        reason = await until_not_ready(served, "workspace")
        assert reason == "a file has an error; the last good version is in use"


@pytest.mark.parametrize(
    ("part", "stats", "reason"),
    [("hub", {"late_s": 6.5, "tick_s": 0.1}, "live boards are 6.5 s late"),
     ("writer", {"queue_rows": 1200, "queue_s": 11.0}, "1,200 rows wait, the oldest for 11.0 s"),
     ("disk", {"free": 180_000_000}, "180 MB free")],
)  # fmt: skip
async def test_a_part_that_falls_behind_says_how_far(
    served: Served, monkeypatch: pytest.MonkeyPatch, part: str, stats: dict[str, float], reason: str
) -> None:
    readiness = served.app.readiness
    if part == "hub":
        monkeypatch.setattr(readiness, "hub", lambda: stats)
    elif part == "disk":
        monkeypatch.setattr(readiness, "disk_free", lambda: stats["free"])
    else:
        true = served.app.store.stats
        monkeypatch.setattr(served.app.store, "stats", lambda: true() | stats)
    assert await until_not_ready(served, part) == reason


async def test_every_documented_figure_is_served_without_a_key(served: Served) -> None:
    status, headers, body = await served.get("/metrics", None)
    assert status == 200
    assert headers["Content-Type"].startswith("text/plain; version=")
    told = {f"{f.name}_total" if f.type == "counter" else f.name for f in text_string_to_metric_families(body.decode())}
    assert {family.name for family in FAMILIES} <= told
    for word in (served.key, "127.0.0.1", str(served.app.settings.data), "test"):
        assert word not in body.decode()


async def test_figures_move(served: Served) -> None:
    await served.ingest([flow(), flow(), {"kind": "no such kind"}])
    await served.ask(type="query", metrics=["flows"])
    await served.post("/api/analytics", {"type": "query", "metrics": ["no such metric"]})
    assert await figure(served, "plumbline_ingest_accepted_total", dataset="events") == 2
    assert await figure(served, "plumbline_ingest_dropped_total", reason="unknown_kind") == 1
    assert await figure(served, "plumbline_requests_total", type="ingest", code="OK") == 1
    assert await figure(served, "plumbline_requests_total", type="query", code="OK") == 1
    assert await figure(served, "plumbline_requests_total", type="query", code="NOT_FOUND") == 1
    assert await figure(served, "plumbline_request_seconds_count", type="query") == 2
    assert await figure(served, "plumbline_store_rows", dataset="events") == 2
    assert await figure(served, "plumbline_connections", state="open") is None
    async with connect(
        served.socket_url, additional_headers={"X-API-Key": served.key}, subprotocols=[Subprotocol("analytics.v1")]
    ) as socket:
        subscribe = {"type": "subscribe", "id": 1, "sub": "s", "request": {"type": "board", "board": "overview"}}
        await socket.send(json.dumps(subscribe))
        while json.loads(await socket.recv())["type"] != "analytics_update":
            pass
        assert await figure(served, "plumbline_connections", state="open") == 1
        assert await figure(served, "plumbline_subscriptions") == 1
        assert await figure(served, "plumbline_requests_total", type="subscribe", code="OK") == 1
        assert await figure(served, "plumbline_requests_total", type="standing", code="OK") == 1


@pytest.fixture
async def measured(tmp_path: Path) -> AsyncIterator[Served]:
    """A server that reads itself often."""
    async with serving(tmp_path / "data", self_s=0.05) as served:
        yield served


async def test_its_own_readings_are_a_board_and_nobody_elses_numbers(measured: Served) -> None:
    await until(lambda: measured.app.store.stats()["datasets"].get(SELF, 0) > 100, what="some readings")
    own = await measured.ask(type="board", board="health")
    assert own["analytics"]["sources"]["reporting"] == 1
    assert own["analytics"]["domains"] == []
    assert own["analytics"]["tiles"]["memory"]["head"]["value"] > 1e6
    assert own["analytics"]["tiles"]["connections"]["head"]["value"] == 0
    users = (await measured.ask(type="board", board="overview"))["analytics"]
    assert users["sources"] == {"reporting": 0, "late": []}
    assert (users["freshness_s"], users["events_per_min"]) == (None, 0)
    assert users["tiles"]["flows"]["head"]["state"] == "empty"
    assert (await measured.ask(type="query", metrics=["events"]))["analytics"]["rows"] in ([[None]], [[0]])


async def test_dropped_events_do_not_make_its_readings_look_incomplete(measured: Served) -> None:
    await until(lambda: measured.app.store.stats()["datasets"].get(SELF, 0) > 100, what="some readings")
    await measured.ingest([{"kind": "no such kind"} for _ in range(50)])
    own = (await measured.ask(type="board", board="health"))["analytics"]
    assert own["dropped"] == 0
    assert own["completeness"] == 1


async def test_nobody_writes_to_its_dataset(served: Served) -> None:
    status, problem = await served.post(f"/api/ingest/{SELF}", [{"kind": "resource", "name": "plumbline.tick_ms"}])
    assert (status, problem["code"]) == (403, "FORBIDDEN")


async def test_an_administrator_sees_connections_and_closes_one(served: Served) -> None:
    _, admin = served.app.keys.create("operator", ["admin", "read"])
    async with connect(served.socket_url, additional_headers={"X-API-Key": served.key}) as socket:
        await until(lambda: served.app.sockets.list())
        status, _, body = await served.get("/api/connections", admin)
        found = json.loads(body)
        assert (status, found["total"]) == (200, 1)
        one = found["connections"][0]
        assert (one["principal"], one["state"], one["subscriptions"]) == ("test", "open", [])
        assert one["last_seen"] <= found["now"]
        assert served.key not in body.decode()
        path = f"/api/connections/{one['conn']}"
        assert (await served.get(path, admin))[0] == 200
        assert await delete(served, path, admin) == 204
        with pytest.raises(ConnectionClosed) as closed:
            await asyncio.wait_for(socket.recv(), 5)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4000
    await until(lambda: not served.app.sockets.list())
    assert await delete(served, path, admin) == 404


async def delete(served: Served, path: str, key: str) -> int:
    headers = {"X-API-Key": key}
    return (await asyncio.to_thread(request, served.url + path, None, headers, "DELETE"))[0]


async def test_connections_are_for_administrators(served: Served) -> None:
    assert (await served.get("/api/connections"))[0] == 403
    assert (await served.get("/api/connections", None))[0] == 401
    assert await delete(served, "/api/connections/x", served.key) == 403


async def test_a_list_of_connections_has_a_limit(served: Served) -> None:
    _, admin = served.app.keys.create("operator", ["admin"])
    for wrong in ("0", "-1", "ten", "99999999999999999999", "²"):
        status, _, body = await served.get(f"/api/connections?limit={quote(wrong)}", admin)
        assert status == 400, wrong
        assert b"expected 1 to 10,000" in body


async def test_a_reply_carries_the_id_of_its_request(served: Served) -> None:
    _, headers, _ = await served.get("/api/metrics", X_Request_Id="job-7.a")
    assert headers["X-Request-Id"] == "job-7.a"
    status, headers, _ = await served.get("/api/nothing", X_Request_Id="job-7.b")
    assert (status, headers["X-Request-Id"]) == (404, "job-7.b")
    made = {(await served.get("/api/metrics", X_Request_Id="not good"))[1]["X-Request-Id"] for _ in range(2)}
    assert len(made) == 2


async def test_an_internal_error_is_found_in_the_log_by_what_the_user_saw(
    served: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(served.app.service, "catalogue", lambda *_: 1 / 0)
    status, _, body = await served.get("/api/metrics?note=private", X_Request_Id="job-8")
    assert status == 500
    record = next(r for r in caplog.records if r.levelno == logging.ERROR)
    assert record.about == {  # type: ignore[attr-defined]
        "reference": json.loads(body)["reference"], "request_id": "job-8", "path": "/api/metrics", "principal": "test",
    }  # fmt: skip
    assert "private" not in caplog.text


def test_the_log_of_a_process_is_json_and_holds_no_key(tmp_path: Path) -> None:
    server = Running(tmp_path / "data", "--no-demo", "--log-format", "json", "--log-level", "debug").start()
    assert server.process is not None
    key = server.key
    wrong = key[:-1] + ("a" if key[-1] != "a" else "b")
    for value in (key, wrong):
        request(f"{server.url}/api/metrics?key={value}", None, {"X-API-Key": value, "X-Request-Id": "job-9"})
    request(f"{server.url}/nowhere/{key}")
    server.process.send_signal(signal.SIGTERM)
    lines = server.process.stdout.read().splitlines()
    server.process.wait(15)
    server.process.stdout.close()
    server.process = None
    told = [json.loads(line) for line in lines if line.strip()]
    asked = [line for line in told if line.get("request_id") == "job-9"]
    assert [line["message"] for line in asked] == ["GET /api/metrics 200", "GET /api/metrics 401"]
    assert asked[0]["principal"] == "test"
    assert not [line for line in lines if key.split("_")[3] in line]
