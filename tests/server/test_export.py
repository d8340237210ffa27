"""Files out of answers: every format and message, what a cell may do to a spreadsheet, limits, keys and refusals."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import zipfile
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.conftest import Served, flow, request, rfc3339

EVIL = ("=1+1", "+1", "-1", "@cmd", "\tx", "\rx")


async def export(
    served: Served, message: dict[str, Any], key: str = "", **arguments: Any
) -> tuple[int, dict[str, str], bytes]:
    """POST /api/export as it is answered."""
    query = "&".join(f"{name}={quote(str(value), safe='')}" for name, value in arguments.items())
    sent = {"X-API-Key": key or served.key, "Content-Type": "application/json"}
    return await asyncio.to_thread(request, f"{served.url}/api/export?{query}", json.dumps(message).encode(), sent)


async def good(served: Served, message: dict[str, Any], **arguments: Any) -> tuple[dict[str, str], bytes]:
    status, headers, body = await export(served, message, **arguments)
    assert status == 200, body
    return headers, body


def read_csv(body: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(body.decode(), newline=""), strict=True))


async def filled(served: Served) -> None:
    agents = ("planner", "planner", "coder", 'büro, "quoted"\nand more')
    await served.ingest([flow(agent=agent, ago_s=60 + i, duration_ms=100.5 * i) for i, agent in enumerate(agents)])


QUERY = {"type": "query", "metrics": ["flows", "duration_p95"], "group_by": ["agent"], "compare": "previous"}
SERIES = {"type": "query", "metrics": ["duration_p95"], "grain": "1m", "window": "now-10m"}


async def test_csv_has_the_rows_of_the_answer(served: Served) -> None:
    await filled(served)
    headers, body = await good(served, QUERY, format="csv")
    answer = (await served.ask(**QUERY))["analytics"]
    assert headers["Content-Type"].startswith("text/csv; charset=utf-8")
    assert body.count(b"\r\n") == 4
    head, *rows = read_csv(body)
    assert head == answer["columns"] == ["agent", "flows", "flows_previous", "duration_p95", "duration_p95_previous"]
    assert [r[0] for r in rows] == [r[0] for r in answer["rows"]]
    assert [float(r[3]) for r in rows] == [r[3] for r in answer["rows"]]
    assert rows[0][:2] == ["planner", "2"]


async def test_parquet_has_types_units_and_trust(served: Served) -> None:
    await filled(served)
    headers, body = await good(served, SERIES, format="parquet")
    table = pq.read_table(io.BytesIO(body))
    answer = await served.ask(**SERIES)
    assert table.schema.field("time").type == pa.timestamp("us", tz="UTC")
    assert table.schema.field("duration_p95").type == pa.float64()
    assert table.schema.field("duration_p95").metadata[b"unit"] == b"ms"
    about = json.loads(table.schema.metadata[b"plumbline"])
    assert about["confidence"] == pytest.approx(answer["confidence"], abs=0.2)
    assert about["request"]["metrics"] == ["duration_p95"]
    assert about["window"]["grain"] == "1m"
    assert about["watermark"] == answer["analytics"]["watermark"] == headers["X-Plumbline-Watermark"]
    known = [v for v in table["duration_p95"].to_pylist() if v is not None]
    assert known == [r[1] for r in answer["analytics"]["rows"] if r[1] is not None]
    assert not any(t.utcoffset() for t in table["time"].to_pylist())


@pytest.mark.parametrize("format", ["arrow", "ndjson", "json"])
async def test_other_formats_have_the_same_rows(served: Served, format: str) -> None:
    await filled(served)
    _, body = await good(served, QUERY, format=format)
    answer = (await served.ask(**QUERY))["analytics"]
    wanted = [dict(zip(answer["columns"], row, strict=True)) for row in answer["rows"]]
    if format == "arrow":
        table = pa.ipc.open_file(io.BytesIO(body)).read_all()
        assert json.loads(table.schema.metadata[b"plumbline"])["rows"] == len(wanted)
        found = table.to_pylist()
    elif format == "ndjson":
        found = [json.loads(line) for line in body.splitlines()]
    else:
        told = json.loads(body)
        assert told["about"]["truncated"] is False
        assert told["columns"][3] | {"title": ""} == {
            "name": "duration_p95", "type": "number", "unit": "ms", "title": ""}  # fmt: skip
        found = told["rows"]
    assert found == wanted


async def test_text_that_would_compute_is_made_harmless_and_numbers_are_not(served: Served) -> None:
    await served.ingest([flow(agent=text, cost_usd=-0.5) for text in EVIL])
    _, body = await good(served, {"type": "query", "metrics": ["flows"], "group_by": ["agent"]}, format="csv")
    assert {row[0] for row in read_csv(body)[1:]} == {"'" + text for text in EVIL}
    _, body = await good(served, {"type": "rows", "columns": ["agent", "cost_usd"]}, format="csv")
    assert {row[1] for row in read_csv(body)[1:]} == {"-0.5"}
    _, body = await good(served, {"type": "rows", "columns": ["agent"]}, format="parquet")
    assert "=1+1" in pq.read_table(io.BytesIO(body))["agent"].to_pylist()


async def test_rows_are_followed_from_page_to_page_up_to_the_bound(served: Served) -> None:
    newest = datetime.now(UTC) - timedelta(seconds=10)
    times = [rfc3339(newest - timedelta(milliseconds=10 * i)) for i in range(1_200)]
    await served.ingest([flow(f"f{i}", event_id=f"e{i}", time=time) for i, time in enumerate(times)])
    message = {"type": "rows", "columns": ["time", "event_id", "name", "duration_ms"]}
    headers, body = await good(served, message, format="parquet")
    table = pq.read_table(io.BytesIO(body))
    assert table["event_id"].to_pylist() == [f"e{i}" for i in range(1_200)]
    assert table.schema.field("duration_ms").type == pa.float64()
    assert (headers["X-Plumbline-Rows"], headers["X-Plumbline-Truncated"]) == ("1200", "false")
    headers, body = await good(served, message, format="csv", max_rows=1_100)
    assert len(read_csv(body)) == 1_101
    assert headers["X-Plumbline-Truncated"] == "true"
    headers, body = await good(served, message | {"limit": 7}, format="ndjson")
    assert len(body.splitlines()) == 7
    assert headers["X-Plumbline-Truncated"] == "true"


async def test_flows_have_a_row_each(served: Served) -> None:
    await served.ingest([flow(f"story {i}", flow_id=f"id{i}", ago_s=10 + i) for i in range(30)])
    _, body = await good(served, {"type": "flows", "sort": "time"}, format="parquet")
    table = pq.read_table(io.BytesIO(body))
    assert table["flow_id"].to_pylist() == [f"id{i}" for i in range(30)]
    assert table.schema.field("cost_usd").metadata == {b"unit": b"usd"}
    assert table.schema.field("tokens").type == pa.int64()
    _, body = await good(served, {"type": "flows", "search": "story 29"}, format="csv")
    head, row = read_csv(body)
    assert datetime.fromisoformat(row[head.index("time")]).tzinfo == UTC


async def test_a_board_is_a_zip_of_its_tiles(served: Served) -> None:
    await served.ingest([flow(ago_s=60 * i, agent="planner", cost_usd=0.5) for i in range(1, 40)])
    headers, body = await good(
        served, {"type": "board", "board": "overview", "filters": [{"dim": "agent", "op": "is_not", "values": ["x"]}]},
        format="csv",
    )  # fmt: skip
    assert headers["Content-Type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        assert archive.testzip() is None
        about = json.loads(archive.read("about.json"))
        assert set(archive.namelist()) == {"about.json"} | {t["file"] for t in about["tiles"].values() if "file" in t}
        assert about["url"].startswith(f"{served.url}/board?board=overview&window=2")
        assert "agent%21=x" in about["url"]
        assert about["window"]["from"] < about["watermark"] <= about["made"]
        assert about["tiles"]["flows"]["confidence"] <= 1
        head, *rows = read_csv(archive.read("duration.csv"))
        assert head[0] == "time" and "duration_p95" in head
        assert len(rows) == about["tiles"]["duration"]["rows"] > 10
        assert read_csv(archive.read("spend_by_agent.csv"))[1][0] == "planner"
        assert read_csv(archive.read("latest.csv"))[0][:2] == ["time", "name"]


@pytest.mark.parametrize("format", ["parquet", "arrow", "json", "ndjson"])
async def test_a_board_comes_in_every_format(served: Served, format: str) -> None:
    await served.ingest([flow(ago_s=60 * i, agent="planner", cost_usd=0.5) for i in range(1, 40)])
    _, body = await good(served, {"type": "board", "board": "overview"}, format=format)
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        names = archive.namelist()
        assert f"duration.{format}" in names
        if format == "parquet":
            table = pq.read_table(io.BytesIO(archive.read("duration.parquet")))
            assert json.loads(table.schema.metadata[b"plumbline"])["board"] == "overview"


async def test_a_plain_link_downloads_under_a_name_that_says_what_it_is(served: Served) -> None:
    await filled(served)
    link = f"/api/export?format=csv&q={quote(json.dumps(QUERY))}&name={quote('Überblick / p95')}"
    status, headers, body = await served.get(link)
    assert status == 200 and len(read_csv(body)) == 4
    told = headers["Content-Disposition"]
    assert told.startswith('attachment; filename="_berblick-p95_20')
    assert "filename*=UTF-8''%C3%9Cberblick-p95_20" in told
    status, headers, _ = await served.get(f"/api/export?format=csv&q={quote(json.dumps(QUERY))}")
    assert 'filename="flows-duration_p95-by-agent_20' in headers["Content-Disposition"]


async def test_a_key_gets_what_the_message_would_give_it(served: Served) -> None:
    await served.ingest([flow("inside", domain="mine"), flow("outside", domain="theirs")])
    _, bound = served.app.keys.create("bound", ["read"], domains=["mine"], boards=["resources"])
    message = {"type": "rows", "columns": ["name"]}
    _, _, body = await export(served, message, bound, format="csv")
    assert read_csv(body)[1:] == [["inside"]]
    status, _, body = await export(served, {"type": "board", "board": "overview"}, bound, format="csv")
    assert (status, json.loads(body)["code"]) == (403, "FORBIDDEN")
    _, sender = served.app.keys.create("sender", ["ingest"])
    assert (await export(served, message, sender, format="csv"))[0] == 403
    status, headers, _ = await served.get("/api/export?q={}", key=None)
    assert (status, headers["Content-Type"]) == (401, "application/problem+json")


@pytest.mark.parametrize(
    ("message", "arguments", "said"),
    [
        (QUERY, {"format": "xlsx"}, "no format 'xlsx'"),
        (QUERY, {"formt": "csv"}, "no argument 'formt'"),
        (QUERY, {"max_rows": "0"}, "max_rows"),
        (QUERY, {"max_rows": "1e9"}, "max_rows"),
        (QUERY, {"q": "{}"}, "in q too"),
        ({"type": "agent_analytics"}, {}, "has no rows to export"),
        ({"type": "rows", "limit": 0}, {}, "limit: expected 1 or more"),
        ({"type": "query", "metrics": ["flowz"]}, {}, "'flows'"),
    ],
)
async def test_a_refusal_is_a_problem(
    served: Served, message: dict[str, Any], arguments: dict[str, str], said: str
) -> None:
    status, headers, body = await export(served, message, **arguments)
    assert status in (400, 404)
    assert headers["Content-Type"] == "application/problem+json"
    assert "Content-Disposition" not in headers
    assert said in json.loads(body)["detail"]


async def test_a_link_without_a_message_says_so(served: Served) -> None:
    status, _, body = await served.get("/api/export?format=csv")
    assert (status, "q is missing" in json.loads(body)["detail"]) == (400, True)
