"""What calls cost, over rows few enough to add up by hand."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.prices import Book, Price, Rate
from analytics.pricing import Paid, is_cost
from analytics.query import Filter, Period, Query, Result, Window
from analytics.store import rows
from analytics.store.sql import compile
from analytics.workspace import Metric, Workspace, load
from tests.small import at, events, many, workspace

BUILT_IN = sorted((Path(__file__).parents[2] / "assets" / "workspaces").glob("*.yaml"))
DAYS = Window("2026-01-01", "2026-01-31")
NOW = at("2026-02-01T00:00:00")
METRICS = workspace(
    Metric(name="spend", aggregate="sum", column="cost"),
    Metric(name="reported", aggregate="sum", column="cost_usd"),
    Metric(name="estimated", aggregate="sum", column="cost_estimated"),
    Metric(name="unpriced", aggregate="count", where={"priced": False}),
    Metric(name="dearest", aggregate="max", column="cost"),
)
CALL = "time kind model tokens_input tokens_output tokens_cached tokens_cache_written cost_usd"


def price(name: str, cost: float = 1.0, **more: Any) -> Price:
    told: dict[str, Any] = {"models": (name,), "input": cost, "output": cost * 10, "checked": date(2026, 1, 1)}
    return Price(name=name, **told | more)


def book(*prices: Price, **rates: list[tuple[str, float]]) -> Workspace:
    told = {name: tuple(Rate(date.fromisoformat(day), usd) for day, usd in listed) for name, listed in rates.items()}
    return msgspec.structs.replace(METRICS, book=Book(prices, told))


def asked(known: Workspace, table: pa.Table, *metrics: str, **more: Any) -> Result:
    plan = compile(Query(metrics=list(metrics), **{"window": DAYS} | more), known, NOW)
    connection = duckdb.connect()
    connection.register("told", table)
    return rows.assemble(
        plan, connection.sql(plan.sql.replace("{events}", "told"), params=plan.params).to_arrow_table(), 0
    )


def spend(known: Workspace, *calls: tuple[Any, ...], **more: Any) -> float | None:
    return asked(known, events(CALL, *calls), "spend", **more).totals["spend"].value


def call(
    model: str | None, given: int | None, made: int | None = 0, *more: Any, day: int = 6, kind: str = "model"
) -> Any:
    cached, written, cost = (*more, None, None, None)[:3]
    return (f"2026-01-{day:02}T12:00:00", kind, model, given, made, cached, written, cost)


def test_each_kind_of_token_has_its_price_and_the_cached_ones_are_part_of_the_input() -> None:
    known = book(price("a", 3.0, output=15.0, cached=0.3, cache_written=3.75))
    fresh, cached, written, made = 100_000, 800_000, 100_000, 200_000
    dollars = (fresh * 3 + cached * 0.3 + written * 3.75 + made * 15) / 1e6
    assert spend(known, call("a", 1_000_000, made, cached, written)) == pytest.approx(dollars, rel=1e-15)
    assert spend(known, call("a", 1_000_000)) == 3.0
    assert spend(known, call("a", None, 1_000_000)) == 15.0
    assert spend(known, call("a", 10, 0, 1_000_000)) == 0.3  # more cached than there is: nothing is taken off


def test_what_has_no_price_of_its_own_costs_what_the_input_costs() -> None:
    assert spend(book(price("a", 2.0)), call("a", 1_000_000, 0, 300_000, 300_000)) == pytest.approx(2.0)


def test_increments_of_a_counter_add_up_to_what_the_call_costs() -> None:
    known = book(price("a", 3.0, output=15.0, cached=0.3, cache_written=3.75))
    whole = spend(known, call("a", 1000, 50, 600, 100))
    parts = [call("a", 1000, None, kind="usage"), call("a", None, 50, kind="usage")]
    parts += [call("a", None, None, 600, kind="usage"), call("a", None, None, None, 100, kind="usage")]
    assert spend(known, *parts) == pytest.approx(whole)
    together = [call("a", 300, None, kind="usage"), call("a", 600, None, 600, kind="usage")]
    together += [call("a", 100, None, None, 100, kind="usage"), call("a", None, 50, kind="usage")]
    assert spend(known, *together) == pytest.approx(whole)


def test_what_was_reported_is_preferred_even_where_it_is_nothing() -> None:
    known, table = book(price("a")), [call("a", 10**6, 0, 0, 0, 7.0), call("a", 10**6, 0, 0, 0, 0.0), call("a", 10**6)]
    totals = asked(known, events(CALL, *table), "spend", "reported", "estimated", "unpriced", "dearest").totals
    assert {name: total.value for name, total in totals.items()} == {
        "spend": 8.0, "reported": 7.0, "estimated": 1.0, "unpriced": 0, "dearest": 7.0,
    }  # fmt: skip


def test_an_unknown_model_is_null_and_counted_never_zero() -> None:
    known = book(price("a"))
    table = events(CALL, call("b", 5), call("b", 6), call(None, 7), call("a", None, None), call("b", None, None))
    totals = asked(known, table, "spend", "unpriced").totals
    assert (totals["spend"].value, totals["spend"].n, totals["unpriced"].value) == (None, 0, 3)
    assert asked(book(), table, "spend").totals["spend"].value is None
    by = asked(known, events(CALL, call("a", 10**6), call("b", 5)), "spend", group_by=["model"]).table
    assert dict(zip(by["model"].to_pylist(), by["spend"].to_pylist(), strict=True)) == {"a": 1.0, "b": None}


def test_a_flow_or_an_agent_that_repeats_the_tokens_of_its_calls_is_not_paid_twice() -> None:
    known = book(price("a"))
    table = events(CALL, *(call("a", 10**6, kind=kind) for kind in ("model", "flow", "agent", "log", "event")))
    totals = asked(known, table, "spend", "unpriced").totals
    assert (totals["spend"].value, totals["spend"].n, totals["unpriced"].value) == (1.0, 1, 0)


@pytest.mark.parametrize(
    ("pattern", "fits", "not_"),
    [
        ("a", ["a"], ["A", "ab", ""]),
        ("a*", ["a", "ab", "a/b:c"], ["ba", "A"]),
        ("*/a-?", ["x/a-1", "x/y/a-e"], ["a-1", "x/a-12"]),
        ("100%_a", ["100%_a"], ["100x_a", "100%xa"]),
        ("*", ["a", ""], []),
    ],
)
def test_a_pattern_fits_in_sql_what_it_fits_in_python(pattern: str, fits: list[str], not_: list[str]) -> None:
    known = book(price("p", models=("no such", pattern)))
    assert [model for model in fits + not_ if known.book.prices[0].fits(model)] == fits
    table = events(CALL, *(call(model, 10**6) for model in fits + not_))
    assert asked(known, table, "spend", "unpriced").totals["spend"].n == len(fits)


def test_the_first_price_that_fits_the_model_and_the_time_counts() -> None:
    dated = price("a-new", 2.0, models=("a*",), since=date(2026, 1, 10))
    known = book(dated, price("all", 1.0, models=("*",)))
    assert [spend(known, call("ab", 10**6, day=day)) for day in (9, 10, 11)] == [1.0, 2.0, 2.0]
    assert spend(known, call("b", 10**6, day=11)) == 1.0


def test_a_price_that_changes_in_the_middle_of_a_window_holds_for_its_own_days() -> None:
    old, new = (
        price("old", 1.0, models=("a",), until=date(2026, 1, 9)),
        price("new", 5.0, models=("a",), since=date(2026, 1, 12)),
    )
    known, calls = book(old, new), [call("a", 10**6, day=day) for day in (8, 9, 10, 11, 12, 13)]
    found = asked(
        known, events(CALL, *calls), "spend", "unpriced", grain="1d", window=Window("2026-01-08", "2026-01-13")
    )
    assert found.table["spend"].to_pylist() == [1.0, 1.0, None, None, 5.0, 5.0]
    assert (found.totals["spend"].value, found.totals["unpriced"].value) == (12.0, 2)
    last = ("2026-01-09T23:59:59.999999", *calls[0][1:])
    first = ("2026-01-10T00:00:00", *calls[0][1:])
    assert [spend(known, last), spend(known, first)] == [1.0, None]


def test_the_period_before_has_the_price_of_its_own_time() -> None:
    known = book(price("old", 1.0, models=("a",), until=date(2026, 1, 9)), price("new", 5.0, models=("a",)))
    table, two = events(CALL, call("a", 10**6, day=9), call("a", 10**6, day=10)), Window("2026-01-10", "2026-01-10")
    total = asked(known, table, "spend", window=two, compare="previous").totals["spend"]
    assert (total.value, total.previous) == (5.0, 1.0)
    apart = asked(known, table, "spend", window=two, baseline=Window("2026-01-09", "2026-01-09")).totals["spend"]
    assert (apart.value, apart.previous) == (5.0, 1.0)


def test_currencies_are_changed_at_the_rate_of_the_day() -> None:
    prices = (price("e", 1.0, currency="EUR"), price("y", 100.0, currency="JPY"), price("d", 1.0))
    known = book(*prices, EUR=[("2026-01-05", 1.1), ("2026-01-10", 1.2)], JPY=[("2025-12-01", 0.01)])
    assert [spend(known, call("e", 10**6, day=day)) for day in (4, 5, 9, 10, 20)] == [None, 1.1, 1.1, 1.2, 1.2]
    calls = [call("e", 10**6, day=9), call("e", 10**6, day=10), call("y", 10**6), call("d", 10**6)]
    assert spend(known, *calls) == pytest.approx(1.1 + 1.2 + 1.0 + 1.0)
    ends = book(
        price("e", currency="EUR", since=date(2026, 1, 7), until=date(2026, 1, 11)),
        EUR=[("2026-01-05", 1.1), ("2026-01-10", 1.2), ("2026-01-12", 2.0)],
    )
    assert [spend(ends, call("e", 10**6, day=day)) for day in (6, 7, 10, 11, 12)] == [None, 1.1, 1.2, 1.2, None]


@settings(max_examples=many(10), deadline=None)
@given(st.lists(st.tuples(st.integers(1, 28), st.integers(0, 2)), min_size=1, max_size=12), st.integers(1, 27))
def test_a_window_sees_each_row_at_the_price_it_has_in_every_window(calls: list[tuple[int, int]], middle: int) -> None:
    """Prices outside of a window are left out of its statement, which must not show."""
    prices = [
        price(f"p{k}", k + 1.0, models=(f"m{k % 2}*",), since=date(2026, 1, 4 * k + 1), until=date(2026, 1, 4 * k + 9))
        for k in range(5)
    ]
    known = book(
        *prices, price("rest", 0.5, models=("m1",), currency="EUR"), EUR=[("2026-01-03", 1.1), ("2026-01-17", 1.3)]
    )
    rows_ = [call(f"m{model}", 10**6, day=day) for day, model in calls]
    table = events(CALL, *rows_)
    halves = [Window("2026-01-01", f"2026-01-{middle:02}"), Window(f"2026-01-{middle + 1:02}", "2026-01-31")]
    parts = [asked(known, table, "spend", window=half).totals["spend"].value or 0.0 for half in halves]
    assert sum(parts) == pytest.approx(asked(known, table, "spend").totals["spend"].value or 0.0)
    alone = sum(spend(known, row, window=Window(row[0][:10], row[0][:10])) or 0.0 for row in rows_)
    assert sum(parts) == pytest.approx(alone)


def test_the_prices_behind_a_span_are_those_that_its_calls_may_have_had() -> None:
    old, new = price("old", models=("a*",), until=date(2026, 1, 9)), price("new", models=("a",))
    known = Book((old, new))
    january = Period(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC))
    assert list(known.used("a", january)) == [old, new]
    assert list(known.used("a", Period(january.start, datetime(2026, 1, 8, tzinfo=UTC)))) == [old]
    assert list(known.used("ab", january)) == [old]
    assert list(known.used(None, january)) == []


def test_a_later_file_goes_first_and_replaces_what_has_its_name(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        "rates:\n  EUR: [{from: 2026-01-01, usd: 1.1}]\nprices:\n"
        "  large: {input: 1, output: 2, from: 2026-03-01, currency: EUR, source: ours}\n"
        '  ours: {model: [ours, "ours-*"], input: 0, output: 0, checked: 2026-03-01}\n'
        "  gpt-5: {model: sma*, input: 9, output: 9, checked: 2026-03-01}\n"
    )
    found = load([*BUILT_IN, tmp_path / "mine.yaml"]).book
    assert [p.name for p in found.prices[:4]] == ["large", "ours", "gpt-5", "small"]
    assert found.prices[0] == Price(name="large", models=("large",), input=1.0, output=2.0, currency="EUR",
                                    since=date(2026, 3, 1), checked=date(2026, 3, 1), source="ours")  # fmt: skip
    assert [p.name for p in found.prices].count("large") == 1
    assert found.rates == {"EUR": (Rate(date(2026, 1, 1), 1.1),)}
    assert all(p.example and p.source for p in load(BUILT_IN).book.prices)


def test_the_examples_price_the_demo_fleet_as_it_prices_itself() -> None:
    from analytics.world.fleet import MODELS

    found = {p.name: p for p in load(BUILT_IN).book.prices}
    assert [(found[m.name].input, found[m.name].cached, found[m.name].output) for m in MODELS] == [
        (m.usd_input, m.usd_cached, m.usd_output) for m in MODELS
    ]


def test_rows_and_filters_know_the_cost_of_a_row() -> None:
    known, table = book(price("a")), events(CALL, call("a", 10**6), call("a", 2 * 10**6), call("b", 5))
    found = asked(known, table, select=["model", "cost", "priced"])
    assert sorted(map(str, found.table.to_pylist())) == sorted(
        map(str, [{"model": "a", "cost": 1.0, "priced": True}, {"model": "a", "cost": 2.0, "priced": True},
                  {"model": "b", "cost": None, "priced": False}])
    )  # fmt: skip
    kept = asked(known, table, "spend", filters=[Filter(dim="cost", values=[2.0])])
    assert kept.totals["spend"].value == 2.0


def test_what_a_board_says_of_its_prices() -> None:
    assert Paid(reported=5.0, priced=3).head() is None
    part = Paid(reported=88.0, estimated=12.0, priced=9, oldest=date(2026, 8, 1))
    assert part.head() == {"text": "12% estimated, prices of 2026-08", "estimated": 0.12, "oldest": "2026-08-01",
                           "example": False, "unpriced": 0, "models": []}  # fmt: skip
    gone = Paid(priced=1, unpriced=(("x", 1200), ("y", 2), ("z", 1), (None, 1)))
    assert gone.head() == {"text": "1,204 calls without a price", "estimated": 0.0, "oldest": None, "example": False,
                           "unpriced": 1204, "models": ["x", "y", "z", None]}  # fmt: skip
    assert gone.completeness == 1 / 1205
    assert gone.insight().wire()["text"] == "3 models have no price: x, y, z; 1,204 calls are not in Spend."
    many = Paid(unpriced=tuple((f"m{k}", 1) for k in range(5)))
    assert many.insight().wire()["text"] == "5 models have no price: m0, m1, m2, 2 more; 5 calls are not in Spend."
    assert Paid(unpriced=(("x", 1),)).insight().wire()["text"] == "1 model has no price: x; 1 call is not in Spend."
    assert (
        Paid(unpriced=((None, 2),)).insight().wire()["text"]
        == "Calls of no model have no price; 2 calls are not in Spend."
    )
    assert Paid(reported=1e6, estimated=1.0, oldest=date(2026, 8, 1)).head()["text"].startswith("<1% estimated")  # type: ignore[index]


def test_a_cost_is_told_from_other_metrics() -> None:
    known = load(BUILT_IN)
    assert [name for name in known.metrics if is_cost(known.metrics[name], known)] == [
        "spend", "cost_estimated", "cost_per_ok_flow",
    ]  # fmt: skip


def test_tokens_whose_money_another_counter_tells_are_not_estimated() -> None:
    from analytics.ingest.vocabulary import load as vocabularies

    known = vocabularies(sorted((Path(__file__).parents[2] / "assets" / "vocabularies").glob("*.yaml")))
    named = {name: known.usage(name) for name in ("claude_code.token.usage", "gemini_cli.token.usage")}
    assert {name: usage and usage.paid for name, usage in named.items()} == {
        "claude_code.token.usage": True, "gemini_cli.token.usage": False,
    }  # fmt: skip
