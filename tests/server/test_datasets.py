"""Datasets of any columns, in real DuckDB files: kept, found, widened, dropped, and asked like events."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analytics.declare import column_names, declared, profile_of, written
from analytics.errors import Conflict, NotFound, PlumblineError, ValidationError
from analytics.query import Filter, Query, Window
from analytics.store.base import Ack
from analytics.store.duckdb import DuckDBStore
from analytics.workspace import ARROW, Column, Dataset, Metric, Workspace, load, schema
from analytics.workspace_live import Workspaces
from analytics.workspace_reader import read
from tests.conftest import serving, until
from tests.small import at, events, many
from tests.small import workspace as small_workspace

NOW = at("13:00")
HOUR = Window("2026-01-06T12:00:00Z", "2026-01-06T13:00:00Z")

FLIGHTS = """\
namespace: flights
datasets:
  flights:
    time: left
    columns:
      left: time
      carrier: text
      dep delay: {type: number, title: Departure delay}
      seats: integer
      "on time": boolean
dimensions:
  airline: {column: carrier}
  late: {column: dep delay, log: 2, unit: min}
metrics:
  rows: {count: {}}
  delay: {avg: dep delay, unit: min}
  worst: {max: dep delay}
  p50: {quantile: dep delay, q: 0.5}
  seats: {sum: seats}
  airlines: {distinct: carrier}
  punctual: {count: {}, where: {"on time": true}}
  of_aa: {count: {}, where: {airline: AA}}
  share: {ratio: [punctual, rows], unit: percent}
boards:
  flights:
    tiles:
      - {id: rows, type: kpi, metric: rows}
      - {id: sizes, type: heatmap, metric: rows, by: late}
      - {id: latest, type: latest, columns: [time, carrier, dep delay, on time]}
"""
ROWS: tuple[tuple[Any, ...], ...] = (
    ("12:05", "AA", 5.0, 100, True),
    ("12:10", "AA", 50.0, 150, False),
    ("12:20", "B6", 500.0, 100, False),
    ("12:25", None, None, None, True),
)


@asynccontextmanager
async def opened(path: Path | None, workspace: Workspace | Workspaces, **more: Any) -> AsyncIterator[DuckDBStore]:
    now = workspace if isinstance(workspace, Workspace) else None
    store = DuckDBStore(path, lambda: now or workspace.current, **more)  # type: ignore[union-attr]
    await store.open()
    try:
        yield store
    finally:
        await store.close()


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return load([file(tmp_path, FLIGHTS)])


def file(folder: Path, text: str, name: str = "flights.yaml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def rows_of(dataset: Dataset, *lines: tuple[Any, ...], first_id: int = 0) -> pa.Table:
    """Rows in a dataset's schema: each line begins with its time, then come the columns but the time column's."""
    names = [name for name in dataset.columns if name != dataset.time]
    rows = []
    for number, (time, *values) in enumerate(lines, first_id):
        moment = at(time).replace(tzinfo=None)
        own = {"time": moment, "received": moment, "event_id": f"f-{number}", "source": "flights.csv"}
        taken = {dataset.time: moment} if dataset.time in dataset.columns else {}
        rows.append(own | taken | dict(zip(names, values, strict=True)))
    return pa.Table.from_pylist(rows, schema=schema(dataset))


def flights(workspace: Workspace, *lines: tuple[Any, ...], first_id: int = 0) -> pa.Table:
    return rows_of(workspace.datasets["flights"], *(lines or ROWS), first_id=first_id)


async def totals(store: DuckDBStore, *metrics: str, **more: Any) -> dict[str, Any]:
    found = await store.query(Query(metrics=list(metrics), window=HOUR, **more), now=NOW)
    return {name: total.value for name, total in found.totals.items()}


async def test_rows_are_kept_once_and_are_there_after_reopening(tmp_path: Path, workspace: Workspace) -> None:
    async with opened(tmp_path / "p.db", workspace) as store:
        assert await store.append("flights", flights(workspace)) == Ack(4, 0, 4)
        assert await store.append("flights", flights(workspace)) == Ack(0, 4, 4)
        assert await store.append("events", events("time event_id", ("12:00", "f-0"))) == Ack(1, 0, 1)
    async with opened(tmp_path / "p.db", workspace) as store:
        assert await store.append("flights", flights(workspace, ROWS[0], first_id=3)) == Ack(0, 1, 4)
        table = await store.read("SELECT * FROM {events} ORDER BY time", dataset="flights")
        assert table.column_names == schema(workspace.datasets["flights"]).names
        assert table["dep delay"].to_pylist() == [5.0, 50.0, 500.0, None]
        assert table["on time"].to_pylist() == [True, False, False, True]
        assert store.stats()["datasets"] == {"flights": 4, "events": 1}


async def test_every_aggregate_over_its_columns(workspace: Workspace) -> None:
    async with opened(None, workspace) as store:
        await store.append("flights", flights(workspace))
        found = await totals(
            store, *(f"flights.{m}" for m in "rows delay worst p50 seats airlines punctual of_aa share".split())
        )
    assert found == {
        "flights.rows": 4, "flights.delay": 185.0, "flights.worst": 500.0, "flights.p50": 50.0, "flights.seats": 350,
        "flights.airlines": 2, "flights.punctual": 2, "flights.of_aa": 2, "flights.share": 0.5,
    }  # fmt: skip


async def test_a_bare_name_is_looked_up_in_the_dataset_and_the_answer_uses_it(workspace: Workspace) -> None:
    async with opened(None, workspace) as store:
        await store.append("flights", flights(workspace))
        assert await totals(store, "rows", "delay", dataset="flights") == {"rows": 4, "delay": 185.0}
        assert await totals(store, "rows") == {"rows": 4}, "there is only one dataset that has it"
        query = Query(metrics=["rows"], group_by=["airline", "on time"], window=HOUR, dataset="flights", grain="1h")
        table = (await store.query(query, now=NOW)).table
        assert table.column_names[:4] == ["time", "airline", "on time", "rows"]
        assert sorted(zip(*(table[c].to_pylist() for c in ("airline", "on time")), strict=True), key=str) == [
            ("AA", False), ("AA", True), ("B6", False), (None, True),
        ]  # fmt: skip
        with pytest.raises(NotFound, match="no metric 'flow'; known: airlines, delay"):
            await totals(store, "flow", dataset="flights")


async def test_filters_take_the_values_that_a_link_can_hold(workspace: Workspace) -> None:
    async with opened(None, workspace) as store:
        await store.append("flights", flights(workspace))
        for dim, value, count in (
            ("on time", "true", 2), ("on time", False, 2), ("seats", "100", 2), ("seats", 150, 1), ("carrier", None, 1),
            ("flights.airline", "AA", 2), ("airline", "AA", 2), ("late", "31.6228", 1), ("dep delay", "5.0", 1),
            ("left", "2026-01-06T12:10:00Z", 1), ("source", "flights.csv", 4),
        ):  # fmt: skip
            found = await totals(store, "flights.rows", filters=[Filter(dim, "is", [value])])
            assert found == {"flights.rows": count}, (dim, value)
        for dim, value in (("on time", "perhaps"), ("seats", "many"), ("seats", "nan"), ("seats", True)):
            with pytest.raises(ValidationError, match=f"filter on '{dim}'"):
                await totals(store, "flights.rows", filters=[Filter(dim, "is", [value])])
        with pytest.raises(NotFound, match="no dimension 'agent'"):
            await totals(store, "flights.rows", filters=[Filter("agent", "is", ["x"])])


async def test_a_whole_number_is_found_to_its_last_digit() -> None:
    dataset = Dataset(name="big", columns={"n": Column(type="integer")})
    known = Workspace(datasets={"big": dataset}, dimensions={}, metrics={}, boards={})
    async with opened(None, known) as store:
        await store.append("big", rows_of(dataset, ("12:00", 2**60), ("12:01", 2**60 + 1)))
        query = Query(select=["n"], dataset="big", window=HOUR, filters=[Filter("n", "is", [2**60 + 1])])
        assert (await store.query(query, now=NOW)).table["n"].to_pylist() == [2**60 + 1]


async def test_rows_come_with_their_columns_newest_first(workspace: Workspace) -> None:
    async with opened(None, workspace) as store:
        await store.append("flights", flights(workspace))
        query = Query(select=["time", "dep delay", "on time"], dataset="flights", window=HOUR, limit=2)
        table = (await store.query(query, now=NOW)).table
        assert table.column_names == ["time", "dep delay", "on time"]
        assert table["dep delay"].to_pylist() == [None, 500.0]
        with pytest.raises(NotFound, match="no column 'dep_delay'; did you mean 'dep delay'?"):
            await store.query(Query(select=["dep_delay"], dataset="flights", window=HOUR), now=NOW)
        with pytest.raises(NotFound, match="no column 'agent'"):
            await store.query(Query(select=["agent"], dataset="flights", window=HOUR), now=NOW)


async def test_a_column_that_is_one_of_the_answers_own_is_refused(workspace: Workspace) -> None:
    async with opened(None, workspace) as store:
        with pytest.raises(ValidationError, match="'seats' is a column of the answer already"):
            await totals(store, "seats", dataset="flights", group_by=["seats"])


async def test_rows_that_wait_for_their_commit_are_seen(tmp_path: Path, workspace: Workspace) -> None:
    gate = threading.Event()
    async with opened(tmp_path / "p.db", workspace, before_commit=lambda: gate.wait(10)) as store:
        waiting = asyncio.create_task(store.append("flights", flights(workspace)))
        async with asyncio.timeout(10):
            while await totals(store, "flights.rows") != {"flights.rows": 4}:  # noqa: ASYNC110 - the store is asked
                await asyncio.sleep(0)
        assert not waiting.done()
        gate.set()
        assert await waiting == Ack(4, 0, 4)
        assert await totals(store, "flights.rows") == {"flights.rows": 4}


async def test_old_rows_of_a_kept_dataset_go(workspace: Workspace) -> None:
    many = [("10:00" if n < 9_000 else "12:30", "AA", 1.0, 1, True) for n in range(12_000)]
    async with opened(None, workspace, keep={"flights": timedelta(hours=1)}) as store:
        await store.append("flights", flights(workspace, *many))
        await until(lambda: store.stats()["datasets"]["flights"] == 3_000)


async def test_a_dataset_may_appear_and_grow_while_the_server_runs(tmp_path: Path) -> None:
    live = Workspaces([], [tmp_path])
    async with opened(tmp_path / "p.db", live) as store:
        written(tmp_path, "flights", FLIGHTS)
        assert live.reload_if_changed()
        assert await totals(store, "flights.rows") == {"flights.rows": 0}, "nothing was sent yet"
        await store.append("flights", flights(live.current))

        written(tmp_path, "flights", FLIGHTS.replace("seats: integer", "seats: integer\n      gate: text", 1))
        assert live.reload_if_changed()
        assert await totals(store, "flights.rows", filters=[Filter("gate", "is", [None])]) == {"flights.rows": 4}
        await store.append("flights", flights(live.current, ("12:40", "AA", 1.0, 1, "A7", True), first_id=9))
        assert await totals(store, "flights.rows", filters=[Filter("gate", "is", ["A7"])]) == {"flights.rows": 1}
        assert await totals(store, "flights.rows") == {"flights.rows": 5}

        written(
            tmp_path, "flights", FLIGHTS.replace("      seats: integer\n", "").replace("  seats: {sum: seats}\n", "")
        )
        assert live.reload_if_changed()
        await store.append("flights", flights(live.current, ("12:50", "AA", 1.0, True), first_id=10))
        assert await totals(store, "flights.rows") == {"flights.rows": 6}
    async with opened(tmp_path / "p.db", live) as store:
        assert await totals(store, "flights.rows") == {"flights.rows": 6}


async def test_a_column_of_another_type_is_an_error_that_says_what_to_do(tmp_path: Path, workspace: Workspace) -> None:
    text = FLIGHTS.replace("seats: integer", "seats: text").replace("  seats: {sum: seats}\n", "")
    changed = load([file(tmp_path, text)])
    told = "the column 'seats' of dataset 'flights' holds integer, and is declared as text now"
    async with opened(tmp_path / "p.db", workspace) as store:
        await store.append("flights", flights(workspace))
    async with opened(tmp_path / "p.db", changed) as store:
        with pytest.raises(Conflict, match=told) as caught:
            await store.append("flights", flights(changed, ("12:00", "AA", 1.0, "many", True)))
        assert caught.value.hint == (
            "declare it as integer again, give it another name, or drop the dataset and load it anew"
        )
        with pytest.raises(Conflict, match=told):
            await totals(store, "flights.rows")
        assert await store.drop("flights") == 4
        assert await store.append("flights", flights(changed, ("12:00", "AA", 1.0, "many", True))) == Ack(1, 0, 1)


async def test_what_is_dropped_is_gone_for_good_and_may_come_again(tmp_path: Path, workspace: Workspace) -> None:
    async with opened(tmp_path / "p.db", workspace) as store:
        await store.append("flights", flights(workspace))
        await store.append("events", events("time", ("12:00",)))
        assert await store.drop("flights") == 4
        assert await store.drop("flights") == 0
        assert await totals(store, "flights.rows") == {"flights.rows": 0}
        assert store.stats()["datasets"] == {"events": 1}
        with pytest.raises(ValidationError, match="dataset: expected"):
            await store.drop('x"; DROP TABLE events')
    async with opened(tmp_path / "p.db", workspace) as store:
        assert await totals(store, "flights.rows") == {"flights.rows": 0}
        assert await store.append("flights", flights(workspace)) == Ack(4, 0, 4), "their ids were forgotten too"


async def test_readers_and_senders_live_through_drops(tmp_path: Path, workspace: Workspace) -> None:
    """While a dataset is dropped again and again, a read sees some or none of it, and every append is answered."""
    async with opened(tmp_path / "p.db", workspace, batch_rows=20) as store:
        over = asyncio.Event()

        async def read() -> None:
            while not over.is_set():
                assert (await totals(store, "flights.rows"))["flights.rows"] >= 0

        async def send() -> None:
            for start in range(0, 600, 10):
                lines = [("12:00", "AA", 1.0, 1, True)] * 10
                with contextlib.suppress(Conflict):  # dropped while they were on their way
                    await store.append("flights", flights(workspace, *lines, first_id=start))

        readers = [asyncio.create_task(read()) for _ in range(2)]
        sender = asyncio.create_task(send())
        while not sender.done():
            await store.drop("flights")
        await sender
        over.set()
        await asyncio.gather(*readers)
        await store.drop("flights")
        assert await store.append("flights", flights(workspace)) == Ack(4, 0, 4)


async def test_rows_of_another_shape_are_refused(workspace: Workspace) -> None:
    async with opened(None, workspace) as store:
        with pytest.raises(ValidationError, match="the columns of the dataset 'flights'"):
            await store.append("flights", events("time", ("12:00",)))


AWKWARD = ["select", "p", "i", "g0", "c0", "w0", "a0", "r", "t", "slot", "tail", "scan", "top", "value", "last", "n",
           "distinct", "rows", "{events}", "$p0", "?", '"', '""', "'", ";--", "a.b", " ", "%", "\\", "TIME ", "名前",
           "k_p", "s", "x" * 120, "e\u0301", "🙂", "*", "--", "/*", "events", "attributes", "kind"]  # fmt: skip
ANY_NAME = st.one_of(st.sampled_from(AWKWARD), st.text(max_size=140))


@settings(max_examples=many(10), deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(ANY_NAME, st.sampled_from(sorted(ARROW))), min_size=1, max_size=6))
def test_a_column_may_be_called_anything(given: list[tuple[str, str]]) -> None:
    """From the names of a file to its YAML, a table of the engine, and answers about it."""
    names = column_names([name for name, _ in given])
    columns = {name: Column(type=kind) for name, (_, kind) in zip(names, given, strict=True)}  # type: ignore[arg-type]
    values = {"text": "a", "integer": 3, "number": 0.5, "boolean": True, "time": at("12:00").replace(tzinfo=None)}
    dataset = Dataset(name="any", columns=columns)
    lines = [("12:00", *(values[kind] for _, kind in given)), ("12:01", *(None for _ in given))]
    table = rows_of(dataset, *lines)

    async def ask(workspace: Workspace) -> None:
        async with opened(None, workspace) as store:
            await store.append("any", table)
            for name, kind in zip(names, (kind for _, kind in given), strict=True):
                raw = await store.query(Query(select=[name], dataset="any", window=HOUR), now=NOW)
                assert raw.table.to_pydict() == {name: [None, values[kind]]}
                count = await totals(store, "any.rows", filters=[Filter(name, "is", [None])])
                assert count == {"any.rows": 1}
                if kind != "time":
                    query = Query(metrics=["any.rows"], group_by=[name], window=HOUR, grain="1M", limit=1)
                    assert (await store.query(query, now=NOW)).totals["any.rows"].value == 2
            for name, metric in workspace.metrics.items():
                found = await store.query(Query(metrics=[name], window=HOUR, grain="10m", compare="previous"), now=NOW)
                assert found.totals[name].value is not None, metric

    text = declared("any", "", columns, "", profile_of(table), now=NOW)
    workspace = read([(Path("any.yaml"), text.encode())])
    assert workspace.datasets["any"].columns.keys() == columns.keys()
    assert {name: about.type for name, about in workspace.datasets["any"].columns.items()} == {
        name: about.type for name, about in columns.items()
    }
    asyncio.run(ask(workspace))


async def test_many_rows_at_once_and_their_ids_are_known_afterwards(workspace: Workspace) -> None:
    count = 100_000
    one = flights(workspace, ROWS[0])
    ids = pa.array([f"row-{n}" for n in range(count)])
    big = pa.table({name: ids if name == "event_id" else pa.repeat(one[name][0], count) for name in one.column_names})
    async with opened(None, workspace) as store:
        assert await store.append("flights", big) == Ack(count, 0, count)
        assert await store.append("flights", big.slice(count // 2)) == Ack(0, count // 2, count)


async def test_a_canonical_dataset_is_as_it_was() -> None:
    async with opened(None, small_workspace(Metric(name="rows", aggregate="count"))) as store:
        await store.append("events", events("time kind status", ("12:10", "flow", "ok")))
        found = await store.query(Query(metrics=["rows"], group_by=["status"], window=HOUR), now=NOW)
        assert found.table["status"].to_pylist() == ["ok"]


async def test_a_board_over_a_file_is_answered_whole(tmp_path: Path) -> None:
    """From rows to YAML to a running server: every tile of the automatic board has something to show."""
    from analytics.messages import BoardRequest
    from analytics.rights import Principal

    dataset = Dataset(
        name="flights",
        time="left",
        columns={
            "left": Column(type="time"), "carrier": Column(type="text"), "dep delay": Column(type="number"),
            "distance": Column(type="integer"), "on time": Column(type="boolean"), "id": Column(type="integer"),
        },
    )  # fmt: skip
    lines = [
        (f"{10 + n // 60}:{n % 60:02}", "AAB6UA"[n % 3 * 2 :][:2], 4.0 + n, 10 ** (n % 5), n % 2 == 0, n)
        for n in range(120)
    ]
    table = rows_of(dataset, *lines)
    async with serving(tmp_path / "data") as served:
        app = served.app
        text = declared("flights", "", dataset.columns, "left", profile_of(table), now=app.now(), origin="flights.csv")
        written(tmp_path / "data" / "workspaces", "flights", text)
        app.workspaces.reload_if_changed()
        assert app.workspaces.error is None
        await app.store.append("flights", table)
        reader = Principal(key_id="k", name="k", scopes=frozenset({"read"}))
        answer = (await app.service.answer(reader, BoardRequest(board="flights"))).analytics
        assert answer is not None
        heads = {name: (tile["head"]["state"], tile["head"].get("reason")) for name, tile in answer["tiles"].items()}
        assert set(heads.values()) == {("ok", None)}, heads
        tiles = answer["tiles"]
        assert tiles["rows"]["head"]["value"] == 120
        assert sorted(tiles["by_carrier"]["columns"]["label"]) == ["AA", "B6", "UA"]
        assert tiles["sizes"]["columns"]["n"]
        assert tiles["latest"]["columns"]["carrier"][0] in ("AA", "B6", "UA")
        assert [f["title"] for f in tiles["latest"]["head"]["fields"]][:2] == ["Time", "Carrier"]
        with pytest.raises(PlumblineError, match="flights"):
            await app.store.append("flights", events("time", ("12:00",)))
