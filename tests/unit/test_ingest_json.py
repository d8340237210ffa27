"""JSON events through the public door: bytes in, an Arrow table and drops out."""

from __future__ import annotations

import gzip
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analytics.errors import PlumblineError, TooLarge, UnsupportedMedia, ValidationError
from analytics.events import SCHEMA
from analytics.ingest.intake import FORMATS, Batch, Intake
from analytics.ingest.limits import Limits
from analytics.ingest.reasons import EXAMPLE_MAX, Counters, Reason
from analytics.ingest.vocabulary import load_folder
from tests.small import many

NOW = datetime(2026, 1, 6, 12, tzinfo=UTC)
VOCABULARIES = Path(__file__).parents[2] / "assets" / "vocabularies"


@pytest.fixture(scope="module")
def intake() -> Intake:
    return Intake(load_folder(VOCABULARIES), now=lambda: NOW)


def rows(batch: Batch) -> list[dict[str, Any]]:
    assert batch.table.schema == SCHEMA
    return list(batch.table.to_pylist())


def one(intake: Intake, event: Any) -> dict[str, Any]:
    batch = intake.ingest(json.dumps([event]).encode(), source="key")
    assert batch.drops == []
    return rows(batch)[0]


def reasons(batch: Batch) -> dict[Reason, int]:
    return {drop.reason: drop.count for drop in batch.drops}


def naive(text: str) -> datetime:
    return datetime.fromisoformat(text)


EVENT = {"time": "2026-01-06T11:59:00Z", "event_id": "e1", "kind": "model", "name": "chat", "tokens_input": 7}


@pytest.mark.parametrize(
    "body",
    [
        json.dumps([EVENT, EVENT | {"event_id": "e2"}]),
        "  \n" + json.dumps([EVENT, EVENT | {"event_id": "e2"}], indent=2),
        json.dumps(EVENT) + "\n" + json.dumps(EVENT | {"event_id": "e2"}),
        json.dumps(EVENT) + "\r\n\r\n" + json.dumps(EVENT | {"event_id": "e2"}) + "\n\n",
        "\ufeff" + json.dumps([EVENT, EVENT | {"event_id": "e2"}]),
    ],
    ids=["array", "indented", "lines", "blank lines", "byte order mark"],
)
def test_array_and_lines_are_read_by_what_they_look_like(intake: Intake, body: str) -> None:
    batch = intake.ingest(body.encode())
    assert batch.drops == []
    assert [(r["event_id"], r["kind"], r["tokens_input"]) for r in rows(batch)] == [
        ("e1", "model", 7),
        ("e2", "model", 7),
    ]


@pytest.mark.parametrize("indent", [None, 2])
def test_a_single_object_is_one_event(intake: Intake, indent: int | None) -> None:
    assert [r["name"] for r in rows(intake.ingest(json.dumps(EVENT, indent=indent).encode()))] == ["chat"]


def test_an_empty_array_has_no_events(intake: Intake) -> None:
    assert intake.ingest(b" [ ] ").table.num_rows == 0


def test_what_is_left_open_is_filled_in(intake: Intake) -> None:
    first, second = rows(intake.ingest(b'[{"name": "a"}, {"name": "b"}]', source="shop"))
    assert first["time"] == first["received"] == NOW.replace(tzinfo=None)
    assert (first["kind"], first["source"], first["status"], first["attributes"]) == ("event", "shop", None, None)
    assert first["event_id"] != second["event_id"]
    again = rows(intake.ingest(b'[{"name": "a"}]'))[0]
    assert again["event_id"] not in (first["event_id"], second["event_id"])


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("2026-01-06T10:00:00.123456Z", "2026-01-06T10:00:00.123456"),
        ("2026-01-06T11:00:00+02:00", "2026-01-06T09:00:00"),
        ("2026-01-06T04:30:00-05:30", "2026-01-06T10:00:00"),
        ("2026-01-06 10:00:00", "2026-01-06T10:00:00"),
        ("2026-01-06", "2026-01-06T00:00:00"),
        (1767693600, "2026-01-06T10:00:00"),
        (1767693600.25, "2026-01-06T10:00:00.250000"),
        (1767693600123, "2026-01-06T10:00:00.123000"),
        (1767693600123456, "2026-01-06T10:00:00.123456"),
        (1767693600123456789, "2026-01-06T10:00:00.123456"),
        ("1767693600", "2026-01-06T10:00:00"),
    ],
)
def test_times_of_every_common_form_are_the_same_moment(intake: Intake, sent: Any, kept: str) -> None:
    assert one(intake, {"time": sent})["time"] == naive(kept)
    both = rows(intake.ingest(json.dumps([{"time": sent}, {"time": "2026-01-06T10:00:00Z"}]).encode()))
    assert both[0]["time"] == naive(kept)


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("success", "ok"),
        ("OK", "ok"),
        ("failed", "error"),
        ("STATUS_CODE_ERROR", "error"),
        (" Timeout ", "error"),
        (200, "ok"),
    ],
)
def test_status_synonyms_come_from_the_vocabulary(intake: Intake, sent: Any, kept: str) -> None:
    assert one(intake, {"status": sent})["status"] == kept


def test_a_missing_status_follows_from_kind_and_error_type(intake: Intake) -> None:
    assert one(intake, {"kind": "flow"})["status"] == "ok"
    assert one(intake, {"kind": "flow", "error_type": "Timeout"})["status"] == "error"
    assert one(intake, {"kind": "log", "error_type": "Timeout"})["status"] == "error"
    assert one(intake, {"kind": "log"})["status"] is None


def test_unknown_fields_go_to_attributes_and_a_clash_keeps_both(intake: Intake) -> None:
    extra = one(intake, {"name": "a", "region": "eu", "deep": {"x": [1, None]}})
    assert json.loads(extra["attributes"]) == {"region": "eu", "deep": {"x": [1, None]}}
    clash = one(intake, {"region": "top", "attributes": {"region": "inner", "zone": 1}})
    assert json.loads(clash["attributes"]) == {"region": "inner", "region@event": "top", "zone": 1}
    patient = one(intake, {"tokens_input": "5", "region": "top", "attributes": {"region": "inner"}})
    assert json.loads(patient["attributes"]) == {"region": "inner", "region@event": "top"}
    assert json.loads(one(intake, {"attributes": "free text"})["attributes"]) == {"attributes": "free text"}


def test_the_time_of_arrival_is_ours_to_say(intake: Intake) -> None:
    row = one(intake, {"received": "2020-01-01T00:00:00Z"})
    assert row["received"] == NOW.replace(tzinfo=None)
    assert json.loads(row["attributes"]) == {"received": "2020-01-01T00:00:00Z"}


def test_values_are_read_for_what_they_mean(intake: Intake) -> None:
    row = one(intake, {"tokens_input": "12", "duration_ms": " 1.5 ", "name": 7, "agent": {"a": 1}, "monotonic": "TRUE"})
    assert (row["tokens_input"], row["duration_ms"], row["name"], row["agent"]) == (12, 1.5, "7", '{"a":1}')
    assert row["monotonic"] is True
    assert one(intake, {"tokens_input": 3.0})["tokens_input"] == 3
    assert one(intake, {"kind": "Flow"})["kind"] == "flow"
    assert one(intake, {"agent": "", "user": ""})["agent"] is None


BAD = [
    (Reason.NOT_AN_OBJECT, b"3"),
    (Reason.NOT_JSON, b'{"a" 1}'),
    (Reason.NOT_JSON, b'{"a": tru}'),
    (Reason.TOO_LARGE, json.dumps({"name": "x" * 2_000_000}).encode()),
    (Reason.TOO_LARGE, json.dumps({"blob": "x" * 2_000_000}).encode()),
    (Reason.TOO_LARGE, json.dumps({"distribution": "x" * 40_000}).encode()),
    (Reason.TOO_LARGE, json.dumps({"event_id": "x" * 2_000}).encode()),
    (Reason.TOO_DEEP, b'{"a":' + b"[" * 40 + b"]" * 40 + b"}"),
    (Reason.TOO_DEEP, b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    (Reason.BAD_TYPE, b'{"duration_ms": [1]}'),
    (Reason.BAD_TYPE, b'{"monotonic": "maybe"}'),
    (Reason.BAD_NUMBER, b'{"value": NaN}'),
    (Reason.BAD_NUMBER, b'{"value": "nan"}'),
    (Reason.BAD_NUMBER, b'{"value": 1e999}'),
    (Reason.BAD_NUMBER, b'{"tokens_input": 1.5}'),
    (Reason.BAD_NUMBER, b'{"tokens_input": 99999999999999999999}'),
    (Reason.BAD_NUMBER, b'{"tokens_input": ' + b"9" * 100_000 + b"}"),
    (Reason.BAD_NUMBER, b'{"duration_ms": "fast"}'),
    (Reason.NEGATIVE, b'{"duration_ms": -1}'),
    (Reason.NEGATIVE, b'{"tokens_output": "-1"}'),
    (Reason.BAD_TIME, b'{"time": 0}'),
    (Reason.BAD_TIME, b'{"time": -5}'),
    (Reason.BAD_TIME, b'{"time": "yesterday"}'),
    (Reason.BAD_TIME, b'{"time": "0001-01-01T00:00:00+10:00"}'),
    (Reason.BAD_TIME, b'{"time": 1e300}'),
    (Reason.BAD_TIME, b'{"time": true}'),
    (Reason.BAD_TIME, b'{"start_time": "1969-12-31T23:59:59Z"}'),
    (Reason.TIME_IN_FUTURE, b'{"time": "2026-01-06T12:10:01Z"}'),
    (Reason.UNKNOWN_KIND, b'{"kind": "flew"}'),
    (Reason.BAD_STATUS, b'{"status": "purple"}'),
]


@pytest.mark.parametrize(("reason", "bad"), BAD, ids=[f"{r.code}-{i}" for i, (r, _) in enumerate(BAD)])
def test_a_bad_event_drops_alone_with_its_reason(intake: Intake, reason: Reason, bad: bytes) -> None:
    for body in (
        b'[{"event_id":"a"},' + bad + b',{"event_id":"b"}]',
        b'{"event_id":"a"}\n' + bad + b'\n{"event_id":"b"}',
    ):
        batch = intake.ingest(body)
        assert reasons(batch) == {reason: 1}
        assert [r["event_id"] for r in rows(batch)] == ["a", "b"]
        example = batch.drops[0].example
        assert " 2: " in example, "it says where"
        assert len(example) <= EXAMPLE_MAX and example.isprintable()


def test_ten_minutes_ahead_is_still_kept(intake: Intake) -> None:
    assert one(intake, {"time": "2026-01-06T12:10:00Z"})["time"] == naive("2026-01-06T12:10:00")


def test_drops_are_told_by_line_even_after_blank_ones(intake: Intake) -> None:
    batch = intake.ingest(b'{"name":"a"}\n\n{"name":"b","kind":"zzz"}\n')
    assert batch.drops[0].example.startswith("line 3: kind: expected one of flow")


def test_examples_do_not_repeat_attributes(intake: Intake) -> None:
    batch = intake.ingest(b'[{"authorization": "Bearer s3cret", "duration_ms": -1}, {"password": "s3cret" 1}]')
    assert len(batch.drops) == 2
    assert "s3cret" not in " ".join(d.example for d in batch.drops)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "empty"),
        (b"  \n ", "empty"),
        (b"hello", "at byte 0, got 'h'"),
        (b"<html>", "at byte 0"),
        (b"{nope}", "line 1: does not parse at character 1"),
        (b'[{"a":1},{"b":', "ends at byte 14 inside element 2"),
        (b'[{"a":1}] x', "unexpected text after the array"),
        (b'["open', "does not close"),
        (b'["' + b'\\"' * 500_000, "does not close"),
    ],
)
def test_a_body_that_is_no_json_is_refused_whole(intake: Intake, body: bytes, says: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(says)):
        intake.ingest(body)


def test_markup_and_odd_names_are_kept_verbatim(intake: Intake) -> None:
    name = "<script>alert('x')</script> \u202e ﷽ 🛫"
    assert one(intake, {"name": name, "agent": "'; DROP TABLE events; --"})["name"] == name


def test_surrogates_and_nuls_are_repaired(intake: Intake) -> None:
    row = rows(intake.ingest(rb'[{"name": "a\ud800b\u0000c", "x\udc00": "\ud83d\ude00\ud83d"}]'))[0]
    assert row["name"] == "a\ufffdb\ufffdc"
    assert json.loads(row["attributes"]) == {"x\ufffd": "😀\ufffd"}
    assert rows(intake.ingest(b'[{"name": "caf\xe9", "x": "\xff"}]'))[0]["name"] == "caf\ufffd"


def test_long_texts_are_bounded_and_large_attributes_trimmed_to_valid_json(intake: Intake) -> None:
    assert len(one(intake, {"name": "é" * 5000})["name"]) == 1024
    counters = Counters()
    small = Intake(intake.vocabulary, now=lambda: NOW, counters=counters)
    batch = small.ingest(json.dumps([{"prompt": "p" * 100_000, "id": 7}, {"id": 8}]).encode(), source="k")
    kept = json.loads(rows(batch)[0]["attributes"])
    assert kept["id"] == 7 and kept["plumbline.trimmed"] == 1 and kept["prompt"].startswith("ppp")
    assert batch.trimmed == 1 and counters.trimmed["events", "k"] == 1
    many = json.loads(one(intake, {f"k{i}": "v" * 50 for i in range(2000)})["attributes"])
    assert len(json.dumps(many)) <= 33_000 * 1.1 and many["plumbline.trimmed"] > 1000


def test_repeated_ids_are_left_for_the_store_to_fold(intake: Intake) -> None:
    assert intake.ingest(json.dumps([EVENT, EVENT]).encode()).table.num_rows == 2


def test_counters_add_up_by_dataset_source_and_reason(intake: Intake) -> None:
    counters = Counters()
    counting = Intake(intake.vocabulary, now=lambda: NOW, counters=counters)
    for _ in range(2):
        counting.ingest(b'[{"a":1},3,4]', source="k", dataset="orders")
    assert counters.accepted["orders", "k"] == 2
    assert counters.dropped["orders", "k", Reason.NOT_AN_OBJECT] == 4


def test_gzip_is_read_and_bounded_while_it_unpacks(intake: Intake) -> None:
    body = json.dumps([EVENT]).encode()
    assert intake.ingest(gzip.compress(body), encoding="gzip").table.num_rows == 1
    assert intake.ingest(gzip.compress(body[:10]) + gzip.compress(body[10:]), encoding="gzip").table.num_rows == 1
    with pytest.raises(TooLarge, match="unpacks to more than"):
        intake.ingest(gzip.compress(b" " * (65 * 2**20)), encoding="gzip")
    with pytest.raises(ValidationError, match="does not decompress"):
        intake.ingest(body, encoding="gzip")
    with pytest.raises(ValidationError, match="ends early"):
        intake.ingest(gzip.compress(body)[:-4], encoding="gzip")
    with pytest.raises(UnsupportedMedia):
        intake.ingest(body, encoding="br")


def test_a_body_over_the_limit_is_refused(intake: Intake) -> None:
    tiny = Intake(intake.vocabulary, now=lambda: NOW, limits=Limits(packed_max=10))
    with pytest.raises(TooLarge, match="the limit is 10"):
        tiny.ingest(b"[" + b" " * 20 + b"]")
    with pytest.raises(UnsupportedMedia, match="'xml'"):
        tiny.ingest(b"", format="xml")


def test_every_reason_is_documented_with_a_name_of_its_own() -> None:
    assert len({r.code for r in Reason}) == len(Reason)
    assert all(r.doc and r.code == r.name.lower() for r in Reason)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.datetimes().map(str),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(SCHEMA.names) | st.text(), inner, max_size=4)
    ),
    max_leaves=12,
)
EVENTS = st.dictionaries(st.sampled_from([*SCHEMA.names, "other"]), VALUES, max_size=6) | VALUES


@settings(max_examples=many(60), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=st.lists(EVENTS, max_size=4), lines=st.booleans())
def test_any_json_values_are_rows_or_drops(intake: Intake, events: list[Any], lines: bool) -> None:
    texts = [json.dumps(e) for e in events]
    body = "\n".join(texts) if lines else "[" + ",".join(texts) + "]"
    try:
        batch = intake.ingest(body.encode(), format="ndjson" if lines else "json")
    except PlumblineError:
        assert lines
        return
    assert batch.table.num_rows + batch.dropped == len(events)
    batch.table.validate(full=True)
    for row in rows(batch):
        assert row["event_id"] and row["kind"] and row["time"] <= NOW.replace(tzinfo=None) + timedelta(minutes=10)
        assert row["attributes"] is None or isinstance(json.loads(row["attributes"]), dict)


@settings(max_examples=many(60), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    body=st.binary(max_size=200),
    kind=st.sampled_from(sorted(FORMATS)),
    prefix=st.sampled_from([b"", b"[", b"{", b"\n\x0a"]),
)
def test_random_bytes_only_ever_raise_our_own_errors(intake: Intake, body: bytes, kind: str, prefix: bytes) -> None:
    for encoding in ("", "gzip"):
        try:
            intake.ingest(prefix + body, format=kind, encoding=encoding).table.validate(full=True)
        except PlumblineError:
            continue
