"""The HTTP API: intake, one-shot questions, plain links, catalogue, health; every refusal is a problem."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime

import pytest

from tests.conftest import Served, flow

GUARDED = [
    ("/api/analytics", b"{}"),
    ("/api/ingest/events", b"[]"),
    ("/api/analytics/flows", None),
    ("/api/datasets", None),
    ("/api/metrics", None),
    ("/api/boards", None),
    ("/api/session", None),
    ("/api/anything", None),
]


@pytest.mark.parametrize(("path", "body"), GUARDED)
async def test_every_route_needs_a_key(served: Served, path: str, body: bytes | None) -> None:
    if body is None:
        status, headers, raw = await served.get(path, key=None)
        assert headers["Content-Type"] == "application/problem+json"
        problem = json.loads(raw)
    else:
        status, problem = await served.post(path, body, key=None)
    assert (status, problem["code"], problem["status"]) == (401, "UNAUTHORIZED", 401)


async def test_an_exporter_without_a_key_is_told_in_its_own_format(served: Served) -> None:
    status, reply = await served.post("/v1/traces", {}, key=None)
    assert status == 401
    assert reply["code"] == 16
    assert "API key" in reply["message"]


async def test_health_is_open_and_says_nothing_else(served: Served) -> None:
    assert (await served.get("/healthz", key=None))[2] == b'{"status":"ok"}'


async def test_a_key_of_a_wrong_scope_is_forbidden_by_name(served: Served) -> None:
    _, reader = served.app.keys.create("reader", ["read"])
    status, problem = await served.post("/api/ingest/events", [flow()], key=reader)
    assert status == 403
    assert "'ingest'" in problem["detail"]


async def test_an_array_is_kept_when_answered(served: Served) -> None:
    reply = await served.ingest([flow(), flow(), {"kind": "nonsense"}])
    assert reply["accepted"] == 2
    assert [d["reason"] for d in reply["dropped"]] == ["unknown_kind"]
    assert reply["dropped"][0]["count"] == 1
    assert reply["dropped"][0]["example"]
    assert (await served.ask(type="query", metrics=["flows"]))["analytics"]["rows"] == [[2]]


async def test_json_lines_and_gzip(served: Served) -> None:
    lines = b"\n".join(json.dumps(flow(name=f"f{i}")).encode() for i in range(5))
    status, reply = await served.post(
        "/api/ingest/events", gzip.compress(lines), Content_Encoding="gzip", Content_Type="application/x-ndjson"
    )
    assert (status, reply["accepted"]) == (200, 5)


async def test_a_repeated_event_id_is_accepted_once(served: Served) -> None:
    event = flow(event_id="the-one")
    assert (await served.ingest([event, event]))["accepted"] == 1
    again = await served.ingest([event])
    assert (again["accepted"], again["repeated"]) == (0, 1)
    assert (await served.ask(type="query", metrics=["flows"]))["analytics"]["rows"] == [[1]]


async def test_an_unknown_dataset_names_the_nearest(served: Served) -> None:
    status, problem = await served.post("/api/ingest/event", [flow()])
    assert (status, problem["code"]) == (404, "NOT_FOUND")
    assert "'events'" in problem["detail"]


async def test_a_body_over_the_limit_is_refused_before_it_is_read(served: Served) -> None:
    status, problem = await served.post("/api/ingest/events", b"[" + b" " * (17 << 20) + b"]")
    assert (status, problem["code"]) == (413, "TOO_LARGE")


async def test_a_gzip_bomb_is_refused(served: Served) -> None:
    bomb = gzip.compress(b"[" + b" " * (200 << 20) + b"]")
    status, problem = await served.post("/api/ingest/events", bomb, Content_Encoding="gzip")
    assert (status, problem["code"]) == (413, "TOO_LARGE")


async def test_a_body_we_cannot_read_is_415(served: Served) -> None:
    status, problem = await served.post("/api/ingest/events", b"<xml/>", Content_Type="text/xml")
    assert (status, problem["code"]) == (415, "UNSUPPORTED_MEDIA")


async def test_a_query_groups_filters_compares_and_folds_the_rest(served: Served) -> None:
    now = [flow(agent=a, ago_s=60) for a in "aaaabbc"]
    before = [flow(agent=a, ago_s=3660) for a in "abbb"]
    await served.ingest(now + before)
    answer = await served.ask(type="query", metrics=["flows"], group_by=["agent"], compare="previous", limit=1)
    found = answer["analytics"]
    assert found["columns"] == ["agent", "flows", "flows_previous"]
    assert found["rows"] == [["a", 4, 1], ["other", 3, 3]]
    assert found["other"] is True
    only = await served.ask(
        type="query", metrics=["flows"], filters=[{"dim": "agent", "op": "is_not", "values": ["a"]}]
    )
    assert only["analytics"]["rows"] == [[3]]


async def test_a_query_says_what_was_executed(served: Served) -> None:
    await served.ingest([flow()])
    answer = (await served.ask(type="query", metrics=["flows"], grain="1m", window="now-10m"))["analytics"]
    assert answer["window"]["grain"] == "1m"
    assert answer["partial"]["last"] is True
    assert answer["watermark"] is not None
    assert answer["freshness_s"] < 60
    assert 10 <= len(answer["rows"]) <= 11
    assert sum(row[1] or 0 for row in answer["rows"]) == 1


async def test_a_zero_with_no_source_behind_it_is_null(served: Served) -> None:
    assert (await served.ask(type="query", metrics=["flows"]))["analytics"]["rows"] == [[None]]
    await served.ingest([flow(status="ok")])
    assert (await served.ask(type="query", metrics=["errors"]))["analytics"]["rows"] == [[0]]


async def test_the_three_requests_as_plain_links(served: Served) -> None:
    await served.ingest([flow(flow_id="f1", agent="planner")])
    status, _, body = await served.get("/api/analytics/flows?id=f1&domain=professional&window=now-1h")
    assert status == 200
    assert json.loads(body)["analytics"]["flows"]["value"] == 1
    assert (await served.get("/api/analytics/agents?id=planner"))[0] == 200
    assert (await served.get("/api/analytics/resources"))[0] == 200
    status, _, body = await served.get("/api/analytics/flows?idd=f1")
    assert status == 400
    assert "known: id, domain, window" in json.loads(body)["hint"]


async def test_a_key_bound_to_a_domain_sees_only_that(served: Served) -> None:
    await served.ingest([flow(domain="professional"), flow(domain="support"), flow(domain="support")])
    _, key = served.app.keys.create("support desk", ["read"], domains=["support"])
    _, mine = await served.post("/api/analytics", {"type": "query", "metrics": ["flows"]}, key=key)
    assert mine["analytics"]["rows"] == [[2]]
    status, _ = await served.post(
        "/api/analytics", {"type": "query", "metrics": ["flows"], "domain": "professional"}, key=key
    )
    assert status == 403


async def test_the_catalogue_lists_what_is_declared(served: Served) -> None:
    metrics = {m["name"]: m for m in json.loads((await served.get("/api/metrics"))[2])}
    needed = {"flows", "errors", "error_rate", "duration_p50", "duration_p95", "tokens", "spend", "model_calls"}
    assert needed | {"tool_calls", "tool_error_rate", "agents_active", "cpu", "memory", "disk", "network"} <= set(
        metrics
    )
    assert all(m["description"] for m in metrics.values())
    boards = {"overview", "agents", "agent", "resources", "budgets", "health"}
    assert {b["name"] for b in json.loads((await served.get("/api/boards"))[2])} == boards


async def test_metric_points_keep_what_exact_totals_will_need(served: Served) -> None:
    nanos = int(datetime.now(UTC).timestamp() * 1e9)
    point = {"asInt": "41", "startTimeUnixNano": str(nanos - 60 * 10**9), "timeUnixNano": str(nanos)}
    total = {
        "name": "requests",
        "unit": "1",
        "sum": {"aggregationTemporality": 2, "isMonotonic": True, "dataPoints": [point]},
    }
    body = {"resourceMetrics": [{"resource": {"attributes": []}, "scopeMetrics": [{"scope": {}, "metrics": [total]}]}]}
    status, reply = await served.post("/v1/metrics", body)
    assert (status, reply) == (200, {})
    rows = await served.app.store.read("select value, point, temporality, monotonic, series, start_time from {events}")
    row = rows.to_pylist()[0]
    assert (row["value"], row["point"], row["temporality"], row["monotonic"]) == (41, "sum", "cumulative", True)
    assert row["series"]
    assert row["start_time"] is not None


async def test_otlp_partial_success_says_how_many_and_why(served: Served) -> None:
    nanos = str(int(datetime.now(UTC).timestamp() * 1e9))
    good = {"traceId": "0af7651916cd43dd8448eb211c80319c", "spanId": "b7ad6b7169203331", "name": "run"}
    spans = [
        good | {"startTimeUnixNano": nanos, "endTimeUnixNano": nanos},
        {"name": "no identity", "endTimeUnixNano": nanos},
    ]
    status, reply = await served.post("/v1/traces", {"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]})
    assert status == 200
    assert reply["partialSuccess"]["rejectedSpans"] == "1"
    assert reply["partialSuccess"]["errorMessage"]
    assert (await served.ask(type="query", metrics=["flows"]))["analytics"]["rows"] == [[1]]


async def test_an_unexpected_fault_shows_a_reference_and_no_traceback(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(served.app.store, "query", broken)
    status, problem = await served.post("/api/analytics", {"type": "query", "metrics": ["flows"]})
    assert (status, problem["code"]) == (500, "INTERNAL")
    assert problem["reference"]
    assert "secret detail" not in json.dumps(problem)
