"""What Plumbline says of itself: every documented figure is there, moves, and names nobody."""

from __future__ import annotations

import asyncio
import json
import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from prometheus_client.parser import text_string_to_metric_families

from analytics import logs
from analytics.errors import ValidationError
from analytics.events import SCHEMA
from analytics.ingest.reasons import Counters, Drop, Reason
from analytics.key_text import KeyText
from analytics.service import faced
from analytics.store import writer
from analytics.store.duckdb import DuckDBStore
from analytics.telemetry import FAMILIES, READINGS, SELF, Telemetry
from analytics.workspace import load
from tests.conftest import ROOT, until

NOON = datetime(2026, 1, 6, 12, tzinfo=UTC)
KEY = KeyText.fresh().plaintext()
HUB = {"standing": 1, "subscriptions": 3, "ticks": 7, "tick_s": 0.02, "fanout_s": 0.001, "dropped": 2, "coalesced": 1}
STORE = {"rows": 5, "datasets": {"events": 5}, "bytes": 4096, "queue_rows": 0, "queue_s": 0.0, "commits": 2,
         "last_commit_ms": 8.0, "readers_busy": 0}  # fmt: skip


class StillStore:
    """A store that says STORE and keeps what it is given."""

    def __init__(self) -> None:
        self.kept: list[pa.Table] = []

    def stats(self) -> dict[str, Any]:
        return STORE

    async def append(self, dataset: str, table: pa.Table) -> None:
        assert dataset == SELF
        self.kept.append(table)


def telemetry(counters: Counters | None = None, store: Any = None) -> Telemetry:
    kept: Any = store or StillStore()
    return Telemetry(
        store=kept,
        hub=lambda: HUB,
        counters=counters or Counters(),
        connections=lambda: {"open": 3, "behind": 1},
    )


def samples(text: bytes) -> dict[tuple[str, tuple[str, ...]], float]:
    """Every sample by name and label values."""
    families = text_string_to_metric_families(text.decode())
    return {(s.name, tuple(s.labels.values())): s.value for family in families for s in family.samples}


def readings(told: Telemetry, now: datetime) -> dict[str, float]:
    rows = told.readings(now)
    return dict(zip(rows["name"].to_pylist(), rows["value"].to_pylist(), strict=True))


def test_every_documented_name_is_told_with_its_help() -> None:
    text = telemetry().text().decode()
    for family in FAMILIES:
        assert f"# HELP {family.name} {family.help}\n# TYPE {family.name} {family.kind}\n" in text
    assert text.count("# TYPE plumbline_") == len(FAMILIES)


def test_every_name_is_in_the_docs() -> None:
    page = (ROOT / "assets/docs/health.md").read_text()
    rows = [f"| `{f.name}` | {f.kind} | {', '.join(f'`{x}`' for x in f.labels)} | {f.help} |" for f in FAMILIES]
    assert "\n".join(rows) in page


def test_figures_are_read_where_they_are_kept() -> None:
    counters = Counters()
    counters.add("events", "checkout", 10, [Drop(Reason.BAD_TIME, 2, "event 3: ...")], 1)
    counters.add("events", "billing", 5, [], 0)
    found = samples(telemetry(counters).text())
    assert found["plumbline_connections", ("behind",)] == 1
    assert found["plumbline_hub_tick_seconds", ()] == 0.02
    assert found["plumbline_ingest_accepted_total", ("events",)] == 15
    assert found["plumbline_ingest_dropped_total", ("events", "bad_time")] == 2
    assert found["plumbline_ingest_dropped_total", ("events", "not_json")] == 0  # a rate needs its zero
    assert found["plumbline_writer_last_commit_seconds", ()] == 0.008
    assert found["plumbline_memory_bytes", ()] > 1e6


def test_the_names_of_senders_are_not_told() -> None:
    counters = Counters()
    counters.add("events", "acme-secret-project", 1, [], 0)
    assert b"acme" not in telemetry(counters).text()


def test_a_request_is_counted_by_type_and_code_and_timed() -> None:
    told = telemetry()
    told.observe("query", "OK", 0.02)
    told.observe("query", "TIMEOUT", 6.0)
    found = samples(told.text())
    assert found["plumbline_requests_total", ("OK", "query")] == 1
    assert found["plumbline_requests_total", ("TIMEOUT", "query")] == 1
    assert found["plumbline_request_seconds_count", ("query",)] == 2
    assert found["plumbline_request_seconds_bucket", ("0.025", "query")] == 1


def test_readings_have_rates_from_the_second_on_and_p95_where_something_was_asked() -> None:
    counters = Counters()
    told = telemetry(counters)
    first = readings(told, NOON)
    assert first.keys() == {name for name, _, _ in READINGS}
    counters.add("events", "checkout", 40, [Drop(Reason.BAD_TIME, 4, "")], 0)
    for ms in range(1, 101):
        told.observe("query", "OK", ms / 1000)
    told.observe("ingest", "OK", 9.0)  # no question
    second = readings(told, NOON + timedelta(seconds=2))
    assert second["plumbline.ingest.accepted_per_s"] == 20
    assert second["plumbline.ingest.dropped_per_s"] == 2
    assert second["plumbline.query_p95_ms"] == pytest.approx(95.05)
    assert "plumbline.query_p95_ms" not in readings(told, NOON + timedelta(seconds=4))


def test_readings_are_events_without_an_id() -> None:
    rows = telemetry().readings(NOON)
    assert rows.schema.equals(SCHEMA)
    assert set(rows["source"].to_pylist()) == {"plumbline"}
    assert rows["event_id"].null_count == rows.num_rows


def test_the_board_asks_for_readings_that_are_taken() -> None:
    workspace = load(sorted((ROOT / "assets/workspaces").glob("*.yaml")))
    named = {m.where["name"] for m in workspace.metrics.values() if m.dataset == SELF}
    told = telemetry()
    told.readings(NOON)
    told.observe("query", "OK", 0.1)
    assert named <= readings(told, NOON + timedelta(seconds=2)).keys()


async def test_a_blocked_loop_is_seen() -> None:
    told = telemetry()
    watch = asyncio.create_task(told.watch_loop())
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_later(0.1, block, 0.4)
    assert await until(lambda: told.figures().loop_lag_s > 0.1, what="a late beat")
    watch.cancel()


def block(seconds: float) -> None:
    """Keep the loop busy, as a slow handler would."""
    from time import monotonic

    end = monotonic() + seconds
    while monotonic() < end:
        pass


async def test_old_readings_leave_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "TRIM_ROWS", 50)
    workspace = load(sorted((ROOT / "assets/workspaces").glob("*.yaml")))
    store = DuckDBStore(tmp_path / "x.duckdb", lambda: workspace, keep={SELF: timedelta(days=2)})
    await store.open()
    told = telemetry(store=store)
    try:
        for days in range(12):
            await told.record(NOON + timedelta(days=days))
            await store.append("events", told.readings(NOON + timedelta(days=days)))
        found = await store.read("select min(time) as oldest, count(*) as n from {events}", dataset=SELF)
        assert found["n"][0].as_py() < 100
        assert found["oldest"][0].as_py().replace(tzinfo=UTC) > NOON + timedelta(days=3)
        kept = await store.read("select count(distinct time) as days from {events}")
        assert kept["days"][0].as_py() == 12  # nothing else is ever deleted
    finally:
        await store.close()


def line(formatter: logging.Formatter, message: str, *args: object, **about: str) -> str:
    record = logging.LogRecord("analytics.service", logging.ERROR, __file__, 1, message, args, None)
    record.about = about
    return formatter.format(record)


def test_a_json_line_says_what_it_is_about_and_no_key() -> None:
    told = line(logs.formatter("json"), "refused %s\nnext", KEY, request_id="abc", principal="check out", path="/api")
    assert "\n" not in told
    found = json.loads(told)
    assert (found["level"], found["logger"], found["request_id"]) == ("error", "analytics.service", "abc")
    assert found["time"].endswith("Z")
    assert KEY not in told and KEY.split("_")[3] not in told


def test_a_text_line_says_the_same() -> None:
    told = line(logs.formatter("text"), "refused %s", KEY, request_id="abc", principal='check "out"\n')
    assert told.endswith(' request_id=abc principal="check \\"out\\"\\n"')
    assert KEY not in told


def test_an_unknown_log_format_is_named() -> None:
    with pytest.raises(ValidationError, match="did you mean 'json'"):
        logs.formatter("jsn")


@pytest.mark.parametrize("offered", [None, "", "a b", "x" * 65, "a\nb", "é", f"id-{KEY}", KEY], ids=range(8))
def test_an_id_that_is_not_plain_is_replaced(offered: str | None) -> None:
    made = logs.request_id(offered)
    assert made != offered
    assert logs.REQUEST_ID.fullmatch(made)
    assert logs.request_id("job-7:3.a_b") == "job-7:3.a_b"


def test_the_log_has_the_reference_that_the_user_saw(caplog: pytest.LogCaptureFixture) -> None:
    caplog.handler.setFormatter(logs.formatter("json"))
    try:
        raise RuntimeError(f"lost {KEY}")
    except RuntimeError as error:
        shown = faced(error, {"request_id": "abc", "principal": "checkout"})
    found = json.loads(caplog.text)
    assert found["reference"] == shown.details["reference"]
    assert (found["request_id"], found["principal"]) == ("abc", "checkout")
    assert "RuntimeError" in found["traceback"] and KEY not in caplog.text
