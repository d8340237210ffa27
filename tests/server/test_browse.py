"""What is there: pages of rows, the values of a dimension, and who sends."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.conftest import Served, flow, rfc3339


def some_events() -> list[dict[str, Any]]:
    """Ten minutes, half an hour, fifty and fifty-five minutes ago."""
    planner = [flow(f"run {i}", 600 + i, agent="planner", domain="legal", duration_ms=100.0) for i in range(5)]
    failed = {"agent": "writer", "domain": "care", "duration_ms": 5000.0, "status": "error"}
    writer = [flow(f"run {i}", 1800 + i, **failed) for i in range(3)]
    sure = [flow(f"run {i}", 3000 + i, agent="100% sure_", domain="care") for i in range(2)]
    return [*planner, *writer, *sure, flow("run", 3300, agent=None, domain="legal", kind="tool", tool="shell")]


@pytest.fixture
async def fleet(served: Served) -> Served:
    await served.ingest(some_events())
    return served


def bound(served: Served, *domains: str) -> str:
    """A key that reads only these domains."""
    key: str = served.app.keys.create("bound", ["read"], domains=list(domains))[1]
    return key


async def refused(served: Served, **message: Any) -> dict[str, Any]:
    status, problem = await served.post("/api/analytics", message)
    assert status in (400, 404, 422), problem
    return problem


async def values(served: Served, key: str = "", **message: Any) -> list[tuple[Any, int]]:
    status, body = await served.post("/api/analytics", {"type": "values"} | message, key)
    assert status == 200, body
    return [(v["value"], v["n"]) for v in body["analytics"]["values"]]


# values


async def test_values_come_with_their_counts_the_most_frequent_first(fleet: Served) -> None:
    answer = (await fleet.ask(type="values", dim="agent", limit=2))["analytics"]
    assert answer["values"] == [{"value": "planner", "n": 5}, {"value": "writer", "n": 3}]
    assert (answer["distinct"], answer["rows"]) == (4, 11)
    assert (await values(fleet, dim="agent"))[2:] == [("100% sure_", 2), (None, 1)]


async def test_a_dimension_does_not_narrow_its_own_values_but_the_others_do(fleet: Served) -> None:
    filters = [{"dim": "agent", "values": ["planner"]}, {"dim": "domain", "values": ["care"]}]
    assert await values(fleet, dim="agent", filters=filters) == [("writer", 3), ("100% sure_", 2)]
    assert await values(fleet, dim="domain", filters=filters) == [("legal", 5)]
    assert await values(fleet, dim="agent", window={"from": "now-1h", "to": "now-45m"}) == [
        ("100% sure_", 2), (None, 1)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("search", "found"), [("PLAN", ["planner"]), ("%", ["100% sure_"]), ("_", ["100% sure_"]), ("nobody", [])]
)
async def test_a_search_is_for_plain_text_in_either_case(fleet: Served, search: str, found: list[str]) -> None:
    assert [value for value, _ in await values(fleet, dim="agent", search=search)] == found


async def test_bins_are_numbers_and_times_are_refused(fleet: Served) -> None:
    assert await values(fleet, dim="duration_bin") == [
        (pytest.approx(100.0), 5), (pytest.approx(1000.0), 3), (pytest.approx(4641.588833612777), 3)
    ]  # fmt: skip
    assert await values(fleet, dim="duration_bin", search="4641") == [(pytest.approx(4641.588833612777), 3)]
    assert "is a time" in (await refused(fleet, type="values", dim="start_time"))["detail"]
    assert "agent" in (await refused(fleet, type="values", dim="agnt"))["detail"]


async def test_a_bound_key_sees_no_value_of_others(fleet: Served) -> None:
    key = bound(fleet, "legal")
    assert await values(fleet, key, dim="agent") == [("planner", 5), (None, 1)]
    assert await values(fleet, key, dim="domain", filters=[{"dim": "domain", "values": ["care"]}]) == [("legal", 6)]


@pytest.mark.parametrize(("type", "most"), [("values", 1000), ("rows", 1000)])
async def test_limits_are_bounded(fleet: Served, type: str, most: int) -> None:
    for limit in (0, most + 1):
        problem = await refused(fleet, type=type, limit=limit, **({"dim": "agent"} if type == "values" else {}))
        assert problem["detail"] == f"limit: expected 1 to {most:,}, got {limit}"


# rows


async def pages(served: Served, **message: Any) -> list[list[list[Any]]]:
    """All pages of rows, one list each."""
    found, after = [], None
    while True:
        answer = (await served.ask(type="rows", after=after, **message))["analytics"]
        found.append(answer["rows"])
        after = answer["next"]
        if after is None:
            return found


async def test_pages_of_rows_hold_every_row_once_the_newest_first(served: Served) -> None:
    same = rfc3339(datetime.now(UTC))
    await served.ingest([flow(f"run {i}", time=same, event_id=f"e{i}") for i in range(7)] + [flow("old", 60)])
    found = await pages(served, columns=["name"], limit=3)
    assert found == [[["run 0"], ["run 1"], ["run 2"]], [["run 3"], ["run 4"], ["run 5"]], [["run 6"], ["old"]]]


async def test_rows_that_arrive_between_two_pages_shift_nothing(served: Served) -> None:
    await served.ingest([flow(f"run {i}", 10 + i) for i in range(4)])
    first = (await served.ask(type="rows", columns=["name"], limit=2))["analytics"]
    await served.ingest([flow("newer", 1)])
    second = (await served.ask(type="rows", columns=["name"], limit=2, after=first["next"]))["analytics"]
    assert [*first["rows"], *second["rows"]] == [["run 0"], ["run 1"], ["run 2"], ["run 3"]]
    assert second["next"] is None


async def test_without_columns_a_row_is_whole_and_its_times_are_texts(fleet: Served) -> None:
    answer = (await fleet.ask(type="rows", limit=1, filters=[{"dim": "agent", "values": ["writer"]}]))["analytics"]
    row = dict(zip(answer["columns"], answer["rows"][0], strict=True))
    assert (row["agent"], row["status"], row["duration_ms"]) == ("writer", "error", 5000.0)
    assert datetime.fromisoformat(row["time"]).tzinfo is not None


async def test_a_bound_key_sees_no_row_of_others(fleet: Served) -> None:
    asked = {"type": "rows", "columns": ["domain"]}
    _, body = await fleet.post("/api/analytics", asked, bound(fleet, "legal"))
    assert body["analytics"]["rows"] == [["legal"]] * 6


@pytest.mark.parametrize("after", ["", "!", "bm8", "WzEsMl0", "WzFlMzAsImEiXQ", "W10", "💥", "A" * 10_000])
async def test_a_cursor_that_is_none_is_refused(served: Served, after: str) -> None:
    assert (await refused(served, type="rows", after=after))["detail"].startswith("after: expected the `next`")


async def test_unknown_columns_and_datasets_are_named(served: Served) -> None:
    assert "'duration_ms'" in (await refused(served, type="rows", columns=["duration"]))["detail"]
    assert "'events'" in (await refused(served, type="rows", dataset="event"))["detail"]


# as it was known then


async def test_what_arrived_later_is_hidden(served: Served) -> None:
    await served.ingest([flow("early", 5, agent="planner")])
    then = rfc3339(datetime.now(UTC))
    await served.ingest([flow("late", 60, agent="writer")])
    assert await values(served, dim="agent", as_of=then) == [("planner", 1)]
    assert (await served.ask(type="rows", columns=["name"], as_of=then))["analytics"]["rows"] == [["early"]]
    answer = await served.ask(type="query", metrics=["flows"], as_of=then)
    assert answer["analytics"]["rows"] == [[1]]
    assert answer["analytics"]["freshness_s"] is None
    assert answer["analytics"]["window"]["to"] == then
    board = (await served.ask(type="board", board="overview", as_of=then))["analytics"]
    assert board["tiles"]["latest"]["columns"]["name"] == ["early"]
    assert (board["sources"], board["watermark"], board["events_per_min"]) == (None, None, None)
    assert board["as_of"] == board["now"] == int(datetime.fromisoformat(then).timestamp() * 1000)


@pytest.mark.parametrize(("as_of", "told"), [("2999-01-01T00:00:00Z", "up to now"), ("2026-01-06T12:00:00", "offset")])
async def test_only_a_moment_of_the_past_can_be_gone_back_to(served: Served, as_of: str, told: str) -> None:
    for message in ({"type": "board", "board": "overview"}, {"type": "rows"}, {"type": "values", "dim": "agent"}):
        problem = await refused(served, as_of=as_of, **message)
        assert told in problem["detail"]
        assert problem["hint"]


# sources


async def test_sources_are_told_with_their_rate_and_kinds(served: Served) -> None:
    await served.ingest([flow(source="billing"), flow(source="billing", kind="tool"), flow(source="search")])
    answer = (await served.ask(type="sources"))["analytics"]
    assert [(s["source"], s["events_per_min"], s["kinds"]) for s in answer["sources"]] == [
        ("billing", 2.0, ["flow", "tool"]), ("search", 1.0, ["flow"])
    ]  # fmt: skip
    assert answer["events_per_min"] == 3.0
    assert all(s["late"] is False and s["usual_s"] is None and s["age_s"] >= 0 for s in answer["sources"])


async def test_what_was_dropped_is_told_by_reason_with_an_example(served: Served) -> None:
    await served.ingest([flow(), flow(duration_ms=-1.0), flow(duration_ms=-2.0), flow(kind="dance")])
    answer = (await served.ask(type="sources"))["analytics"]
    assert [(d["reason"], d["count"]) for d in answer["drops"]] == [("negative", 2), ("unknown_kind", 1)]
    assert "duration_ms" in answer["drops"][0]["example"]
    assert answer["dropped"] == 3


async def test_a_bound_key_hears_nothing_of_others_senders(served: Served) -> None:
    await served.ingest([flow(source="mine", domain="legal"), flow(source="theirs", domain="care")])
    await served.ingest([flow(source="mine", domain="care"), flow(source="theirs", duration_ms=-1.0)])
    _, body = await served.post("/api/analytics", {"type": "sources"}, bound(served, "legal"))
    answer = body["analytics"]
    assert [(s["source"], s["events_per_min"]) for s in answer["sources"]] == [("mine", pytest.approx(1 / 60))]
    assert (answer["drops"], answer["dropped"], answer["events_per_min"]) == ([], None, None)
