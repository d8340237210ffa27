"""A disk without room: intake says 507 and keeps nothing half, reads go on, and it heals by itself."""

from __future__ import annotations

import asyncio
import contextlib
import json
import resource
import secrets
import signal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from analytics.errors import Overloaded, StorageFull
from analytics.store.base import Ack
from analytics.store.duckdb import DuckDBStore
from tests.conftest import Running, files_at_most, flow, request, until
from tests.small import events, workspace

ROWS = 300
FAT = "x" * 2_000


def room(server: Running, size: int) -> None:
    """How large a file of the server may get; a write past it fails as on a full disk."""
    assert server.process
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def post(server: Running, events: list[dict[str, Any]]) -> tuple[int, dict[str, str], dict[str, Any]]:
    headers = {"X-API-Key": server.key, "Content-Type": "application/json"}
    status, answered, body = request(f"{server.url}/api/ingest/events", json.dumps(events).encode(), headers)
    return status, answered, json.loads(body)


def flows(server: Running) -> int:
    message = json.dumps({"type": "query", "metrics": ["flows"], "window": "now-1h"}).encode()
    status, _, body = request(f"{server.url}/api/analytics", message, {"X-API-Key": server.key})
    assert status == 200, body
    return int(json.loads(body)["analytics"]["totals"]["flows"]["value"])


def batch(name: str, size: int = 500) -> list[dict[str, Any]]:
    return [flow(event_id=f"{name}-{i}", attributes={"fat": FAT}) for i in range(size)]


@pytest.mark.parametrize("left", [1, 40_000])
def test_a_full_disk_refuses_intake_and_heals(running: Running, left: int) -> None:
    """`left` bytes of the batch that fails still fit: its half written record must not hide what comes after."""
    assert post(running, batch("a"))[0] == 200
    log = running.data / "plumbline.duckdb.wal"
    room(running, (log.stat().st_size if log.exists() else 0) + left)
    for _ in range(3):
        status, headers, problem = post(running, batch("b"))
        assert status == 507, problem
        assert headers["Content-Type"] == "application/problem+json"
        assert problem["code"] == "STORAGE_FULL"
        assert str(running.data) not in json.dumps(problem)
        assert flows(running) == 500  # reads go on, and nothing of the refused batch is in them
    room(running, resource.RLIM_INFINITY)
    status, _, said = post(running, batch("b"))
    assert (status, said) == (200, said)
    assert said["accepted"] == 500
    assert flows(running) == 1_000
    running.stop(signal.SIGKILL)
    running.start()
    assert flows(running) == 1_000


def test_a_disk_that_is_full_for_the_last_checkpoint(running: Running) -> None:
    """Small batches fit, their checkpoint at the end does not: a stop and a start later all is there."""
    for i in range(5):
        assert post(running, batch(f"a{i}", 20))[0] == 200
    room(running, 4_096)
    running.stop()
    running.start()
    assert flows(running) == 100
    assert post(running, batch("b"))[0] == 200
    assert flows(running) == 600


async def test_a_disk_that_fills_up_in_a_checkpoint(tmp_path: Path) -> None:
    """The engine answers nothing after that, not even reads, until its file is opened anew."""
    path = tmp_path / "plumbline.duckdb"
    store = DuckDBStore(path, workspace, checkpoint_bytes=1)
    await store.open()
    try:
        await store.append("events", rows("a"))
        await until(lambda: not path.with_name(path.name + ".wal").exists(), what="a checkpoint")
        kept = {"a"}
        with files_at_most(path.stat().st_size):
            for name in "bcde":
                with contextlib.suppress(StorageFull):
                    assert await store.append("events", rows(name)) == Ack(ROWS, 0, (len(kept) + 1) * ROWS)
                    kept.add(name)
                assert await count(store) == len(kept) * ROWS
            assert "b" in kept  # it went to the log, and its checkpoint failed
        for name in "bcde":
            again = await store.append("events", rows(name))
            assert (again.accepted, again.repeated) == ((0, ROWS) if name in kept else (ROWS, 0))
        assert await count(store) == 5 * ROWS
    finally:
        await store.close()
    async with contextlib.AsyncExitStack() as stack:
        store = DuckDBStore(path, workspace)
        await store.open()
        stack.push_async_callback(store.close)
        assert await count(store) == 5 * ROWS


def rows(name: str) -> pa.Table:
    fat = [secrets.token_hex(500) for _ in range(ROWS)]
    return events("time event_id attributes", *(("12:00", f"{name}{i}", fat[i]) for i in range(ROWS)))


async def count(store: DuckDBStore) -> int:
    """All rows; while the file is opened anew the store says so, and then answers."""
    while True:
        try:
            return int((await store.read("SELECT count(*) AS n FROM {events}"))["n"][0].as_py())
        except Overloaded:
            await asyncio.sleep(0)
