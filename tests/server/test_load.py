"""Data from files through the server: declared, sent as CSV and Arrow, uploaded, looked at, loaded, dropped."""

from __future__ import annotations

import asyncio
import gzip
import json
import random
import stat
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from analytics.running import server_of
from analytics.store.duckdb import DuckDBStore
from tests.conftest import Served, request, until

DAYS = "day,n,word\n2026-01-01,1,a\n2026-01-02,2,b\n2026-01-03,x,c\n" + "".join(
    f"2026-02-{day:02},{day},d\n" for day in range(1, 29)
)
ARROW = "application/vnd.apache.arrow.stream"


class Desk:
    """An admin at a server."""

    def __init__(self, served: Served) -> None:
        self.served = served
        self.key: str = served.app.keys.create("admin", ["read", "ingest", "admin"])[1]

    async def call(
        self, method: str, path: str, body: Any = None, key: str | None = None, media: str = "application/json"
    ) -> tuple[int, Any]:
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        headers = {"X-API-Key": key or self.key, "Content-Type": media}
        status, about, raw = await asyncio.to_thread(request, self.served.url + path, data, headers, method)
        is_json = "json" in about.get("Content-Type", "")
        return status, json.loads(raw) if raw and is_json else raw

    async def good(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        status, found = await self.call(method, path, body, **more)
        assert status < 300, found
        return found

    async def upload(self, body: str | bytes, name: str = "days.csv") -> dict[str, Any]:
        raw = body.encode() if isinstance(body, str) else body
        sent = await self.good("POST", f"/api/uploads?name={name}", raw, media="application/octet-stream")
        return await self.settled(sent["id"])

    async def settled(self, id: str) -> dict[str, Any]:
        """The upload when nothing works on it any more."""
        while True:
            found: dict[str, Any] = await self.good("GET", f"/api/uploads/{id}")
            if found["state"] not in ("receiving", "inspecting", "loading"):
                return found
            await asyncio.sleep(0)

    async def rows(self, dataset: str, metric: str = "rows", **more: Any) -> list[list[Any]]:
        message = {"type": "query", "metrics": [metric], "dataset": dataset, "window": "2025-12-01 to 2026-12-31"}
        answer = await self.good("POST", "/api/analytics", message | more)
        found: list[list[Any]] = answer["analytics"]["rows"]
        return found


@pytest.fixture
def desk(served: Served) -> Desk:
    return Desk(served)


DECLARED = {"columns": {"day": {"type": "time"}, "n": {"type": "integer"}, "ok": {"type": "boolean"}}, "time": "day"}


async def test_a_dataset_is_declared_filled_asked_and_dropped(desk: Desk, tmp_path: Path) -> None:
    made = await desk.good("PUT", "/api/datasets/visits", DECLARED)
    assert made == {"dataset": "visits", "new": True, "board": "/board?board=visits"}
    assert (tmp_path / "data/workspaces/visits.yaml").exists()
    csv = b"day,n,ok\n2026-01-01,1,yes\n2026-01-02,two,no\n2026-01-03,3,no\n,4,no\n"
    sent = await desk.good("POST", "/api/ingest/visits", csv, media="text/csv")
    assert (sent["accepted"], sorted(drop["reason"] for drop in sent["dropped"])) == (2, ["bad_number", "no_time"])
    sent = await desk.good("POST", "/api/ingest/visits", [{"day": "2026-01-04T00:00:00Z", "n": 5, "event_id": "e"}])
    again = await desk.good("POST", "/api/ingest/visits", [{"day": "2026-01-04T00:00:00Z", "n": 5, "event_id": "e"}])
    assert (sent["accepted"], again["accepted"], again["repeated"]) == (1, 0, 1)
    assert (await desk.rows("visits", "sum_n"))[0][-1] == 9
    status, problem = await desk.call("POST", "/api/ingest/visits", [{"nn": 5}])
    assert status == 400 and "no column of dataset 'visits' 'nn'; did you mean 'n'?" in problem["detail"]
    assert (await desk.good("PUT", "/api/datasets/visits", DECLARED))["new"] is False
    await desk.good("DELETE", "/api/datasets/visits")
    assert not (tmp_path / "data/workspaces/visits.yaml").exists()
    assert (await desk.call("POST", "/api/ingest/visits", csv, media="text/csv"))[0] == 404
    assert (await desk.call("DELETE", "/api/datasets/events"))[0] == 409


@pytest.mark.parametrize(
    ("name", "body", "status", "why"),
    [
        ("Visits", DECLARED, 400, "small letters"),
        ("overview", DECLARED, 409, "there is a board 'overview' already"),
        ("events", DECLARED, 409, "holds events"),
        ("visits", {"columns": {}}, 400, "at least one column"),
        ("visits", {"columns": {"a": {"type": "string"}}}, 400, "string"),
        ("visits", {"columns": {"a": {"type": "text"}}, "time": "b"}, 400, "b"),
    ],
)
async def test_what_cannot_be_declared(desk: Desk, name: str, body: Any, status: int, why: str) -> None:
    got, problem = await desk.call("PUT", f"/api/datasets/{name}", body)
    assert got == status and why in problem["detail"]
    assert (await desk.good("GET", "/api/datasets"))[0]["name"] == "events"


async def test_a_file_that_a_person_has_changed_is_theirs(desk: Desk, tmp_path: Path) -> None:
    await desk.good("PUT", "/api/datasets/visits", DECLARED)
    path = tmp_path / "data/workspaces/visits.yaml"
    path.write_text(path.read_text() + "# mine\n")
    await desk.good("PUT", "/api/datasets/visits", DECLARED | {"title": "Other"})
    assert path.read_text().endswith("# mine\n") and "Other" not in path.read_text()


def ipc(table: pa.Table, **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table)
    found: bytes = sink.getvalue().to_pybytes()
    return found


async def test_events_come_as_csv_and_as_arrow(desk: Desk) -> None:
    csv = (
        b"kind,name,agent,duration_ms,tenant\nflow,one,planner,12.5,acme\nflow,two,planner,nonsense,acme\nflow,three\n"
    )
    sent = await desk.good("POST", "/api/ingest/events", csv, media="text/csv")
    dropped = {drop["reason"]: drop["example"] for drop in sent["dropped"]}
    assert sent["accepted"] == 1 and "line 3" in dropped["bad_number"] and "line 4" in dropped["bad_fields"]
    tenants = pa.array(["a", "a", "b"]).dictionary_encode()
    table = pa.table({"kind": ["flow"] * 3, "duration_ms": [1, 2, None], "tenant": tenants, "name": ["x", "y", "z"]})
    sent = await desk.good("POST", "/api/ingest/events", ipc(table), media=ARROW)
    assert (sent["accepted"], sent["dropped"]) == (3, [])
    store: DuckDBStore = desk.served.app.store
    found = (await store.read("select name, duration_ms, attributes from {events} order by name")).to_pylist()
    assert [(row["name"], row["duration_ms"]) for row in found] == [("one", 12.5), ("x", 1.0), ("y", 2.0), ("z", None)]
    assert found[0]["attributes"] == '{"tenant":"acme"}' and found[3]["attributes"] == '{"tenant":"b"}'


@pytest.mark.parametrize(
    ("body", "status", "why"),
    [
        (b"", 400, "no Arrow IPC stream"),
        (b"nonsense" * 100, 400, "no Arrow IPC stream"),
        (ipc(pa.table({"kind": ["flow"] * 9}))[:-60], 400, "no Arrow IPC stream"),
        (ipc(pa.table({"kind": ["flow"] * 99}), compression="zstd"), 415, "compressed"),
    ],
    ids=["empty", "nonsense", "cut", "compressed"],
)
async def test_arrow_is_not_trusted(desk: Desk, body: bytes, status: int, why: str) -> None:
    got, problem = await desk.call("POST", "/api/ingest/events", body, media=ARROW)
    assert got == status and why in problem["detail"]


async def test_a_file_is_looked_at_corrected_and_loaded(desk: Desk) -> None:
    upload = await desk.upload(DAYS)
    assert upload["state"] == "ready" and upload["dataset"] == "days" and upload["time"] == "day"
    assert {c["field"]: c["type"] for c in upload["columns"]} == {"day": "time", "n": "integer", "word": "text"}
    assert upload["preview"]["n"][:3] == ["1", "2", "x"] and upload["makes"]["new"] is True
    assert [(r["line"], r["reason"]) for r in upload["rejects"]["first"]] == [(4, "bad_type")]
    changed = await desk.good("PUT", f"/api/uploads/{upload['id']}", {"types": {"n": "text"}, "dataset": "calendar"})
    assert changed["rejects"]["total"] == 0 and changed["dataset"] == "calendar"
    for name, why in (("My Days", "small letters"), ("overview", "a board 'overview'"), ("events", "holds events")):
        status, problem = await desk.call("PUT", f"/api/uploads/{upload['id']}", {"dataset": name})
        assert status in (400, 409) and why in problem["detail"]
    status, problem = await desk.call("PUT", f"/api/uploads/{upload['id']}", {"types": {"m": "text"}})
    assert status == 404 and "no column 'm'" in problem["detail"]
    await desk.good("PUT", f"/api/uploads/{upload['id']}", {"types": {"n": "integer"}})
    await desk.good("POST", f"/api/uploads/{upload['id']}/load")
    done = await desk.settled(upload["id"])
    assert (done["state"], done["board"]) == ("done", "/board?board=calendar"), done["error"]
    assert done["progress"]["accepted"] == 30 and done["rejects"]["total"] == 1
    rejects = await desk.good("GET", f"/api/uploads/{upload['id']}/rejects")
    assert b"4,bad_type" in rejects and b'"2026-01-03,x,c"' in rejects
    assert (await desk.rows("calendar"))[0][-1] == 30
    assert {"calendar"} <= {board["name"] for board in await desk.good("GET", "/api/boards")}
    assert not list((desk.served.app.settings.data / "uploads" / upload["id"]).glob("file-*"))


async def test_the_same_file_again_and_more_of_it(desk: Desk) -> None:
    for times, (body, accepted, repeated) in enumerate(
        [(DAYS, 30, 0), (DAYS, 0, 30), (DAYS + "2026-03-01,9,e\n", 31, 0)]
    ):
        upload = await desk.upload(gzip.compress(body.encode()), "days.csv.gz")
        assert upload["makes"]["new"] is (times == 0)
        await desk.good("POST", f"/api/uploads/{upload['id']}/load")
        progress = (await desk.settled(upload["id"]))["progress"]
        assert (progress["accepted"], progress["repeated"]) == (accepted, repeated)


async def test_several_files_are_one_upload(desk: Desk) -> None:
    first = await desk.good("POST", "/api/uploads?name=a.csv&more=1", b"day,n\n2026-01-01,1\n")
    assert first["state"] == "receiving"
    await desk.good("POST", f"/api/uploads?name=b.csv&id={first['id']}", b"day,n\n2026-01-02,2\n")
    ready = await desk.settled(first["id"])
    assert ready["state"] == "ready" and ready["sampled"] == 2 and len(ready["files"]) == 2


async def test_a_file_that_is_no_data_fails_and_makes_nothing(desk: Desk) -> None:
    upload = await desk.upload(b"%PDF-1.7", "report.pdf")
    assert upload["state"] == "failed" and "a PDF document" in upload["error"]["message"]
    assert (await desk.call("POST", f"/api/uploads/{upload['id']}/load"))[0] == 400
    noise = "".join(f"2026-01-01,{random.Random(i).random()}\n" for i in range(300_000))
    broken = await desk.upload(gzip.compress(f"day,n\n{noise}".encode(), 1)[:-9], "days.csv.gz")
    assert broken["state"] == "ready"  # its beginning is good
    await desk.good("POST", f"/api/uploads/{broken['id']}/load")
    failed = await desk.settled(broken["id"])
    assert failed["state"] == "failed" and "ends early" in failed["error"]["message"]
    assert "days" not in {dataset["name"] for dataset in await desk.good("GET", "/api/datasets")}


async def test_an_upload_belongs_to_its_key_and_needs_an_admin(desk: Desk) -> None:
    upload = await desk.upload(DAYS)
    other = desk.served.app.keys.create("other", ["read", "ingest", "admin"])[1]
    assert (await desk.call("GET", f"/api/uploads/{upload['id']}", key=other))[0] == 404
    reader = desk.served.app.keys.create("reader", ["read", "ingest"])[1]
    for method, path in (
        ("POST", "/api/uploads?name=x"),
        ("GET", f"/api/uploads/{upload['id']}"),
        ("PUT", "/api/datasets/x"),
    ):
        status, problem = await desk.call(method, path, b"{}", key=reader)
        assert status == 403 and "admin" in problem["detail"]
    bound = desk.served.app.keys.create("bound", ["read", "admin"], datasets=["other"])[1]
    assert (await desk.call("PUT", "/api/datasets/visits", DECLARED, key=bound))[0] == 403


async def test_a_file_over_the_limit_is_refused(desk: Desk) -> None:
    desk.served.app.uploads.max_bytes = 1000
    status, problem = await desk.call("POST", "/api/uploads?name=x.csv", b"x" * 5000)
    assert status == 413 and "app.py load" in problem["hint"]
    assert not list((desk.served.app.settings.data / "uploads").glob("*"))


async def test_removed_after_a_day_and_when_asked(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    uploads = desk.served.app.uploads
    old, gone = await desk.upload(DAYS), await desk.upload(DAYS)
    await desk.good("DELETE", f"/api/uploads/{gone['id']}")
    assert (await desk.call("GET", f"/api/uploads/{gone['id']}"))[0] == 404
    now = uploads._now()
    monkeypatch.setattr(uploads, "_now", lambda: now + timedelta(hours=24, seconds=1))
    await uploads.sweep()
    assert (await desk.call("GET", f"/api/uploads/{old['id']}"))[0] == 404
    assert not list((desk.served.app.settings.data / "uploads").glob("*"))


BIG = "day,n,word\n" + "".join(f"2026-01-{1 + i % 28:02},{i},w{i % 50}\n" for i in range(400_000))


async def test_a_cancelled_load_leaves_nothing(desk: Desk) -> None:
    upload = await desk.upload(BIG, "big.csv")
    await desk.good("POST", f"/api/uploads/{upload['id']}/load")
    await until(lambda: desk.served.app.uploads._uploads[upload["id"]].load.progress.rows, what="rows")
    await desk.good("DELETE", f"/api/uploads/{upload['id']}")
    await until(lambda: not desk.served.app.uploads._jobs, what="the end of the load")
    assert "big" not in {dataset["name"] for dataset in await desk.good("GET", "/api/datasets")}
    assert desk.served.app.store.stats()["datasets"].get("big", 0) == 0


async def test_the_loop_goes_on_during_a_load(desk: Desk) -> None:
    upload = await desk.upload(BIG, "big.csv")
    await desk.good("POST", f"/api/uploads/{upload['id']}/load")
    job, late = desk.served.app.uploads._uploads[upload["id"]], []
    while job.state == "loading":
        started = time.perf_counter()
        await asyncio.sleep(0.005)
        late.append(time.perf_counter() - started - 0.005)
    assert job.state == "done" and job.load.progress.accepted == 400_000
    assert sorted(late)[int(0.9 * len(late))] < 0.1  # the load and this test's own server share two cores with others


def run(*arguments: str) -> Any:
    from app import cli

    return CliRunner().invoke(cli, ["load", *arguments])


async def test_the_command_goes_through_the_running_server(desk: Desk, tmp_path: Path) -> None:
    data = desk.served.app.settings.data
    assert await asyncio.to_thread(server_of, data) == desk.served.url
    assert stat.S_IMODE((data / "server.json").stat().st_mode) == 0o600
    (tmp_path / "days.csv").write_text(DAYS)
    result = await asyncio.to_thread(run, str(tmp_path / "days.csv"), "--data", str(data))
    assert result.exit_code == 0, result.output
    assert "Loaded 30 rows into days" in result.output and f"{desk.served.url}/board?board=days" in result.output
    assert "1 bad_type: line 4: column n: expected a whole number, got 'x'" in result.output
    assert "2026-01-03,x,c" in (tmp_path / "days.csv.rejects.csv").read_text()
    assert (await desk.rows("days"))[0][-1] == 30
    keys = {key.name: key for key in desk.served.app.keys.list()}
    assert keys["load"].revoked_at is not None


CASES: dict[str, tuple[list[str], int, str]] = {
    "dry run": (["days.csv", "--dry-run"], 0, "the rows' time"),
    "no file": (["gone.csv"], 1, "there is no file"),
    "no column": (["days.csv", "--time", "when"], 1, "no column 'when'"),
    "bad type": (["days.csv", "--type", "n"], 1, "expected COLUMN=TYPE"),
    "nothing": (["empty.csv"], 1, "is empty"),
}


@pytest.mark.parametrize("name", CASES)
def test_what_the_command_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    arguments, code, said = CASES[name]
    (tmp_path / "days.csv").write_text(DAYS)
    (tmp_path / "empty.csv").touch()
    monkeypatch.chdir(tmp_path)
    result = run(*arguments, "--data", str(tmp_path / "data"))
    assert (result.exit_code, said in result.output) == (code, True), result.output
    assert not (tmp_path / "data").exists()


def test_the_command_without_a_server(tmp_path: Path) -> None:
    (tmp_path / "days.csv").write_text(DAYS)
    data = tmp_path / "data"
    (data).mkdir()
    (data / "server.json").write_text('{"url": "http://127.0.0.1:9", "pid": 1}')  # what a killed server left
    first = run(str(tmp_path / "days.csv"), "--data", str(data), "--rejects", str(tmp_path / "bad.csv"))
    again = run(str(tmp_path / "days.csv"), "--data", str(data))
    assert "Loaded 30 rows into days" in first.output and (tmp_path / "bad.csv").exists(), first.output
    assert "30 rows were there already" in again.output and (data / "workspaces/days.yaml").exists()


def test_from_a_pipe(tmp_path: Path) -> None:
    from app import cli

    result = CliRunner().invoke(cli, ["load", "-", "--dataset", "piped", "--data", str(tmp_path / "d")], input=DAYS)
    assert "Loaded 30 rows into piped" in result.output, result.output
