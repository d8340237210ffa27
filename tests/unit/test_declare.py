"""From a profile to a dataset's YAML: what is declared, what the first board shows, and that it always reads."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics import window as windows
from analytics.declare import Profile, Spread, column_names, dataset_name, declared, profile_of, written
from analytics.workspace import ARROW, OWN, Column, Dataset, Workspace, load, schema
from analytics.workspace_reader import read

NOW = datetime(2026, 1, 6, 12, tzinfo=UTC)
ROWS = 10_000
PERIOD = {"start": datetime(2013, 1, 1, 5, tzinfo=UTC), "end": datetime(2013, 12, 31, 23, tzinfo=UTC)}


def number(distinct: int = 500, low: float = 0.0, high: float = 100.0, median: float = 40.0, **more: Any) -> Spread:
    return Spread(**{"distinct": distinct, "low": low, "high": high, "median": median, "positive": ROWS} | more)


FLIGHTS: dict[str, tuple[str, Spread]] = {
    "year": ("integer", number(1, 2013, 2013, 2013)),
    "month": ("integer", number(12, 1, 12, 6)),
    "dep_time": ("integer", number(1300, 1, 2400, 1401)),
    "dep_delay": ("integer", number(500, -43, 1301, -2, positive=4_000)),
    "arr_delay": ("integer", number(500, -86, 1272, -5, positive=4_000)),
    "carrier": ("text", Spread(distinct=16)),
    "flight": ("integer", number(3844, 1, 8500, 1496)),
    "tailnum": ("text", Spread(distinct=4043, nulls=25)),
    "origin": ("text", Spread(distinct=3)),
    "air_time": ("number", number(509, 20, 695, 129)),
    "distance": ("number", number(214, 17, 4983, 872)),
    "on_time": ("boolean", Spread(distinct=2)),
    "note": ("text", Spread(distinct=9_900)),
    "time_hour": ("time", Spread(distinct=6_936)),
}


def made(columns: dict[str, tuple[str, Spread]], time: str = "", **more: Any) -> str:
    profile = Profile(rows=ROWS, columns={name: spread for name, (_, spread) in columns.items()}, **more)
    types = {name: Column(type=kind) for name, (kind, _) in columns.items()}  # type: ignore[arg-type]
    return declared("flights", "", types, time, profile, now=NOW, origin="flights.csv")


def known(text: str) -> Workspace:
    return read([(Path("flights.yaml"), text.encode())])


@pytest.fixture
def flights() -> Workspace:
    return known(made(FLIGHTS, "time_hour", **PERIOD))


def test_the_dataset_has_every_column_with_its_type_and_a_title_for_people(flights: Workspace) -> None:
    dataset = flights.datasets["flights"]
    assert {name: about.type for name, about in dataset.columns.items()} == {
        n: kind for n, (kind, _) in FLIGHTS.items()
    }
    assert (dataset.title, dataset.description, dataset.time) == ("Flights", "From flights.csv", "time_hour")
    assert dataset.columns["dep_delay"].title == "Dep delay"


def test_columns_with_few_values_are_dimensions_and_wide_numbers_have_bins(flights: Workspace) -> None:
    found = {name.removeprefix("flights."): dimension for name, dimension in flights.dimensions.items()}
    assert list(found) == ["year", "month", "carrier", "tailnum", "origin", "on_time", "flight_bin", "distance_bin"]
    assert (found["distance_bin"].column, found["distance_bin"].log) == ("distance", 6)
    assert found["carrier"].dataset == "flights"


def test_every_number_has_a_sum_and_a_mean(flights: Workspace) -> None:
    names = [name.removeprefix("flights.") for name in flights.metrics]
    numbers = [name for name, (kind, _) in FLIGHTS.items() if kind in ("integer", "number")]
    assert names == ["rows", *(f"{how}_{column}" for column in numbers for how in ("sum", "avg"))]
    assert flights.metrics["flights.avg_dep_delay"].title == "Mean dep delay"


def test_the_board_shows_what_is_useful_first(flights: Workspace) -> None:
    tiles = {tile.id: tile for tile in flights.boards["flights"].tiles}
    assert [t for t in tiles if tiles[t].type == "kpi"] == ["rows", "avg_dep_delay", "avg_arr_delay", "avg_distance"]
    assert tiles["means"].metrics == ("flights.avg_dep_delay", "flights.avg_arr_delay")
    assert [t.by for t in tiles.values() if t.type == "bars"] == [
        ("flights.carrier",),
        ("flights.origin",),
        ("flights.carrier",),
    ]
    assert tiles["sizes"].by == ("flights.distance_bin",)
    assert tiles["latest"].columns[:3] == ("time", "dep_time", "dep_delay")
    assert "time_hour" not in tiles["latest"].columns
    assert flights.boards["flights"].window == "2013-01-01 to 2013-12-31"


def test_the_same_data_gives_the_same_text() -> None:
    assert made(FLIGHTS, "time_hour", **PERIOD) == made(FLIGHTS, "time_hour", **PERIOD)


UNITS = {
    "wait_ms": "ms", "load_s": "s", "price_usd": "usd", "sent_bytes": "bytes", "cpu_percent": "percent",
    "waitMs": "ms", "Latency (ms)": "ms", "ms": "ms", "delay": "", "problems": "", "bytes_total": "", "bus": "",
}  # fmt: skip


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_is_guessed_only_from_a_plain_ending(name: str) -> None:
    metrics = known(made({name: ("number", number(high=0.9, median=0.5))})).metrics
    assert {metric.unit for metric in metrics.values() if metric.aggregate == "avg"} == {UNITS[name]}


def test_a_percentage_that_is_no_fraction_has_no_unit() -> None:
    metrics = known(made({"cpu_percent": ("number", number(high=98.0))})).metrics
    assert metrics["flights.avg_cpu_percent"].unit == ""


def test_an_amount_is_summed_on_the_board() -> None:
    tiles = known(made({"revenue_usd": ("number", number())})).boards["flights"].tiles
    assert [tile.metrics for tile in tiles if tile.type == "kpi"] == [("flights.rows",), ("flights.sum_revenue_usd",)]


USELESS = {
    "user_id": number(), "zip": number(), "year": number(5), "always": number(1), "mostly_null": number(nulls=6_000),
    "Unnamed: 0": number(ROWS),
}  # fmt: skip


@pytest.mark.parametrize("name", USELESS)
def test_what_is_only_a_label_is_no_headline(name: str) -> None:
    tiles = known(made({name: ("integer", USELESS[name])})).boards["flights"].tiles
    assert [tile.id for tile in tiles if tile.type in ("kpi", "heatmap", "bars") and tile.id != f"by_{name}"] == [
        "rows"
    ]


def test_names_that_collide_are_told_apart() -> None:
    columns = {
        name: ("integer", number(5)) for name in ("a b", "a-b", "a_b", "rows", "sum_a_b", "time_previous", "ü", "名")
    }
    found = known(made(columns))
    assert {d.column: name.removeprefix("flights.") for name, d in found.dimensions.items() if not d.log} == {
        "a b": "a_b_2", "a-b": "a_b_3", "a_b": "a_b", "rows": "rows_2", "sum_a_b": "sum_a_b",
        "time_previous": "time_previous_2", "ü": "u", "名": "column",
    }  # fmt: skip
    assert len({m.column for m in found.metrics.values() if m.aggregate == "sum"}) == len(columns)


WINDOWS = [
    ("now-1h", timedelta(minutes=50), timedelta()),
    ("now-7d", timedelta(days=3), timedelta(minutes=5)),
    ("now-10y", timedelta(days=3000), timedelta(minutes=5)),
    ("1970-01-01 to now", timedelta(days=9000), timedelta(minutes=5)),
    ("2026-01-03T12:00:00Z to 2026-01-04T12:00:01Z", timedelta(days=3), timedelta(days=2)),
    ("2025-09-28 to 2026-01-03", timedelta(days=100), timedelta(days=3)),
    ("1970-01-01 to now", timedelta(days=12_000), timedelta(days=3)),
    ("1970-01-01 to now", timedelta(days=25_000), timedelta(days=20_600)),
    ("2026-01-06 to 2026-01-09", timedelta(), timedelta(days=-3)),
]


@pytest.mark.parametrize(("expected", "first", "last"), WINDOWS)
def test_the_window_holds_the_data(expected: str, first: timedelta, last: timedelta) -> None:
    text = made({}, start=NOW - first, end=NOW - last)
    board = known(text).boards["flights"]
    assert board.window == expected
    period = windows.resolve(windows.parse(board.window, "now-1h"), NOW)
    assert period.start <= max(NOW - first, windows.EPOCH)
    assert NOW - last < period.end or expected == "1970-01-01 to now" or last == timedelta()


def test_data_without_any_time_or_column_still_has_a_board() -> None:
    board = known(made({})).boards["flights"]
    assert [tile.type for tile in board.tiles] == ["kpi", "line", "latest"]


def test_a_profile_knows_its_rows() -> None:
    dataset = Dataset(name="d", columns={"n": Column(type="number"), "t": Column(type="text")})
    moment = NOW.replace(tzinfo=None)
    rows = [{"time": moment, "n": 2.0, "t": "a"}, {"time": None, "n": -1.0, "t": "a"}, {"n": float("nan")}, {"n": 9.0}]
    assert profile_of(pa.Table.from_pylist(rows, schema=schema(dataset)), rows=40) == Profile(
        rows=40,
        start=moment.replace(tzinfo=UTC),
        end=moment.replace(tzinfo=UTC),
        columns={
            "n": Spread(distinct=4, low=-1.0, high=9.0, median=2.0, positive=2),
            "t": Spread(distinct=1, nulls=2),
        },
    )
    assert profile_of(schema(dataset).empty_table()).columns["n"] == Spread(distinct=0)


NAMES = {
    ("a", "A", "a"): ["a", "A_2", "a_3"],
    ("Time", "source", "event_id"): ["Time_2", "source_2", "event_id_2"],
    ("", "  ", "x\ny\0"): ["column_1", "column_2", "xy"],
    ("x" * 130, "x" * 130): ["x" * 120, "x" * 118 + "_2"],
    ("\ud800",): ["?"],
}


@pytest.mark.parametrize("names", NAMES)
def test_names_of_columns_are_unlike_and_nobody_elses(names: tuple[str, ...]) -> None:
    assert column_names(names) == NAMES[names]


def test_the_files_own_time_is_the_rows_own() -> None:
    assert column_names(["a", "Time", "time"], time=1) == ["a", "time", "time_2"]
    assert column_names(["when"], time=0) == ["when"]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Flights 2013.csv", "flights_2013_csv"),
        ("2013", "data_2013"),
        ("名", "data"),
        ("", "data"),
        ("x" * 90, "x" * 40),
    ],
)
def test_a_dataset_is_called_after_its_file(text: str, name: str) -> None:
    assert dataset_name(text) == name


def test_it_is_written_whole_and_read_back(tmp_path: Path) -> None:
    path = written(tmp_path / "new", "flights", made(FLIGHTS, "time_hour"))
    assert load([path]).datasets["flights"].time == "time_hour"
    assert [p.name for p in path.parent.iterdir()] == ["flights.yaml"]


SPREADS = st.builds(
    Spread,
    distinct=st.integers(0, ROWS),
    nulls=st.integers(0, ROWS),
    low=st.one_of(st.none(), st.floats(-1e300, 1e300)),
    high=st.one_of(st.none(), st.floats(-1e300, 1e300)),
    median=st.one_of(st.none(), st.floats(-1e300, 1e300)),
    positive=st.integers(0, ROWS),
)
COLUMNS = st.lists(st.tuples(st.text(max_size=130), st.sampled_from(sorted(ARROW)), SPREADS), max_size=12)


@settings(deadline=None)
@given(COLUMNS, st.text(max_size=50), st.text(max_size=50))
def test_whatever_the_data_is_like_the_text_reads(
    columns: list[tuple[str, str, Spread]], title: str, origin: str
) -> None:
    names = column_names([name for name, *_ in columns])
    types = {name: Column(type=kind) for name, (_, kind, _) in zip(names, columns, strict=True)}  # type: ignore[arg-type]
    profile = Profile(rows=ROWS, columns={name: spread for name, (*_, spread) in zip(names, columns, strict=True)})
    title, origin = (text.encode("utf-8", "replace").decode() for text in (title, origin))
    found = known(declared("flights", title, types, "", profile, now=NOW, origin=origin))
    assert list(found.datasets["flights"].columns) == names
    assert not {name.lower() for name in names} & set(OWN)
