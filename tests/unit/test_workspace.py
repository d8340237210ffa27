"""The workspace: what may be declared, what each mistake is answered with, and following its files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from analytics.errors import NotFound
from analytics.events import SCHEMA
from analytics.workspace import Dataset, WorkspaceError, load, schema
from analytics.workspace_live import Workspaces

BUILT_IN = sorted((Path(__file__).parents[2] / "assets" / "workspaces").glob("*.yaml"))

SMALL = """\
dimensions:
  agent: {column: agent}
  size: {column: tokens_input, log: 3}
metrics:
  flows: {count: {}, where: {kind: flow}, unit: flows}
  spend: {sum: cost_usd, per: hour, unit: usd, good: down}
boards:
  main:
    tiles:
      - {id: spend, type: kpi, metric: spend}
"""


def written(folder: Path, text: str | bytes, name: str = "mine.yaml") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def problems(folder: Path, text: str | bytes) -> list[str]:
    with pytest.raises(WorkspaceError) as caught:
        load([written(folder, text)])
    return str(caught.value).splitlines()


def test_the_built_in_files_declare_what_the_protocol_promises() -> None:
    workspace = load(BUILT_IN)
    promised = """flows errors error_rate duration_p50 duration_p95 tokens spend model_calls tool_calls
        tool_error_rate agents_active cpu memory disk network""".split()
    assert set(promised) <= workspace.metrics.keys()
    assert set("domain source agent model tool status user name".split()) <= workspace.dimensions.keys()
    assert workspace.boards["overview"].file == "agents.yaml"
    assert workspace.metrics["tokens"].columns == ("tokens_input", "tokens_output")
    assert workspace.metrics["spend"].column == "cost"
    assert (workspace.metrics["error_rate"].numerator, workspace.metrics["error_rate"].denominator) == (
        "errors",
        "flows",
    )


def test_every_built_in_declaration_documents_itself() -> None:
    workspace = load(BUILT_IN)
    declared: list[Any] = [*workspace.dimensions.values(), *workspace.metrics.values(), *workspace.boards.values()]
    assert [thing.name for thing in declared if not (thing.title and thing.description)] == []


def test_a_small_file_stands_alone_and_fills_in_what_is_not_said(tmp_path: Path) -> None:
    workspace = load([written(tmp_path, SMALL)])
    assert workspace.datasets.keys() == {"events"}
    assert workspace.metrics["flows"].title == "Flows"
    (tile,) = workspace.boards["main"].tiles
    assert (tile.metrics, tile.width) == (("spend",), 4)


def test_a_later_file_replaces_what_an_earlier_one_declared(tmp_path: Path) -> None:
    first = written(tmp_path, SMALL, "first.yaml")
    second = written(tmp_path, "metrics:\n  spend: {sum: value, unit: eur}\n", "second.yaml")
    workspace = load([first, second])
    assert workspace.metrics["spend"].column == "value"
    assert workspace.metrics["spend"].per is None, "the whole declaration is replaced, not merged"
    assert list(workspace.metrics) == ["flows", "spend"]


def test_a_quantile_of_histograms_is_one_of_increments(tmp_path: Path) -> None:
    text = """\
datasets: {files: {columns: {distribution: number}}}
metrics:
  took: {quantile: distribution, q: 0.5, where: {name: call.duration}}
  own: {dataset: files, quantile: distribution, q: 0.5}
"""
    workspace = load([written(tmp_path, text)])
    took, own = workspace.metrics["took"], workspace.metrics["own"]
    assert (workspace.binned(took), took.where) == (True, {"kind": "usage", "name": "call.duration"})
    assert (workspace.binned(own), own.where) == (False, {}), "a column of numbers may have any name"


def test_a_ratio_takes_the_dataset_of_what_it_divides(tmp_path: Path) -> None:
    text = """\
datasets: {flights: {}}
metrics:
  rows: {dataset: flights, count: {}}
  late: {dataset: flights, count: {}, where: {status: error}}
  late_share: {ratio: [late, rows], unit: percent}
"""
    assert load([written(tmp_path, text)]).metrics["late_share"].dataset == "flights"


MISTAKES = {
    "metrics: {a: {sum: cost_us}}": "metric 'a': no column 'cost_us'; did you mean 'cost_usd'?",
    "metrics: {a: {sum: agent}}": "metric 'a': the column 'agent' is not a number; numbers are duration_ms, "
    "tokens_input, tokens_output, tokens_cached, tokens_cache_written, cost_usd, value, count, cost, cost_estimated",
    "metrics: {a: {count: {}, titel: A}}": "metric 'a': no field 'titel'; did you mean 'title'?",
    "metrics: {a: {count: {}, title: 3}}": "metric 'a': `title`: expected text, got the number 3; quote it",
    "metrics: {a: {count: {}, title: one, two}}": "metric 'a': no field 'two'; known: avg, bounds, count, dataset, "
    "description, distinct, good, last, limit, max, min, per, ...; text that holds a comma needs quotes",
    "metrics: {a: {count: {x: 1}}}": "metric 'a': `count`: expected {}, got a mapping; count counts rows, "
    "choose them with `where`",
    "metrics: {a: {unit: x}}": "metric 'a': expected exactly one of count, sum, avg, min, max, last, distinct, "
    "quantile, ratio; got none",
    "metrics: {a: {count: {}, last: value}}": "metric 'a': expected exactly one of count, sum, avg, min, max, last, "
    "distinct, quantile, ratio; got count and last",
    "metrics: {a: {quantile: value, q: 95}}": "metric 'a': `q`: expected a number from 0 to 1, got the number 95",
    "metrics: {a: {quantile: distribution, q: 0.5, where: {kind: resource}}}": (
        "metric 'a': a quantile of distributions is one of increments: leave `kind` out, or say `kind: usage`"
    ),
    "metrics: {a: {quantile: value}}": "metric 'a': a quantile needs `q`, a number from 0 to 1",
    "metrics: {a: {sum: value, q: 0.5}}": "metric 'a': `q` belongs to quantile, not to sum",
    "metrics: {a: {sum: value, per: hours}}": "metric 'a': `per`: expected one of second, minute, hour, day, "
    "got the text 'hours'; did you mean 'hour'?",
    "metrics: {a: {avg: value, per: hour}}": "metric 'a': `per` goes with count, sum, distinct, not avg",
    "metrics: {a: {count: {}, good: upp}}": "metric 'a': `good`: expected one of up, down, none, got the text 'upp'; "
    "did you mean 'up'?",
    "metrics: {a: {count: {}, bounds: {bad: 1}}}": "metric 'a': `bounds` need `good: up` or `good: down`, which says "
    "on which side of them it is bad",
    "metrics: {a: {count: {}, good: up, bounds: {warn: 1, bad: 2}}}": "metric 'a': with `good: up`, `warn` is above "
    "`bad`",
    "metrics: {a: {count: {}, good: down, bounds: {warn: much}}}": "metric 'a': `bounds`: `warn`: expected a number, "
    "got the text 'much'",
    "metrics: {a: {count: {}, good: down, bounds: 3}}": "metric 'a': `bounds`: expected {warn: NUMBER, bad: NUMBER} or "
    "one of them, got the number 3",
    "metrics: {a: {count: {}, limit: {}}}": "metric 'a': `limit`: expected a number or the name of a metric, "
    "got a mapping",
    "metrics: {ab: {count: {}}, a: {count: {}, limit: abc}}": "metric 'a': no metric 'abc'; did you mean 'ab'?",
    "metrics: {a: {count: {}, limit: a}}": "metric 'a': a metric cannot be its own limit",
    "metrics: {ab: {count: {}, unit: calls}, a: {count: {}, limit: ab}}": "metric 'a': it has no unit and its limit "
    "has calls; they need the same",
    "metrics: {a: {dataset: event, count: {}}}": "metric 'a': no dataset 'event'; did you mean 'events'?",
    "metrics: {a: {ratio: b}}": "metric 'a': `ratio`: expected two metrics, [numerator, denominator]",
    "metrics: {ab: {count: {}}, a: {ratio: [ab, abc]}}": "metric 'a': no metric 'abc'; did you mean 'ab'?",
    "metrics: {b: {count: {}}, a: {ratio: [a, b]}}": "metric 'a': a ratio may not lead back to itself: a -> a",
    "metrics: {b: {count: {}}, a: {ratio: [b, b], where: {kind: flow}}}": "metric 'a': put `where` on the two "
    "metrics of the ratio",
    "{datasets: {d: {}}, metrics: {b: {count: {}}, c: {dataset: d, count: {}}, a: {ratio: [b, c]}}}": "metric 'a': "
    "both metrics of a ratio must come from one dataset",
    "metrics: {a: {count: {}, where: {knd: flow}}}": "metric 'a': `where`: no dimension 'knd'; did you mean 'kind'?",
    "metrics: {a: {count: {}, where: {kind: flw}}}": "metric 'a': `where`: `kind`: no kind 'flw'; did you mean 'flow'?",
    "metrics: {a: {count: {}, where: {value: x}}}": "metric 'a': `where`: `value`: expected a number, got 'x'",
    "metrics: {a: {count: {}, where: {agent: [x, 3]}}}": "metric 'a': `where`: `agent`: expected text, got 3",
    "metrics: {a: {count: {}, where: {agent: []}}}": "metric 'a': `where`: `agent`: expected a value or a list of "
    "values",
    "metrics: {a: {count: {}, where: flow}}": "metric 'a': `where`: expected a mapping of dimensions to values, "
    "got the text 'flow'",
    "metrics: {a b: {count: {}}}": "metric 'a b': a name is letters, digits and _ (at most 64), a letter first",
    "metrics: {time: {count: {}}}": "metric 'time': results use this name for a column of their own; choose another",
    "metrics: {a_previous: {count: {}}}": "metric 'a_previous': results use this name for a column of their own; "
    "choose another",
    "{dimensions: {a: {column: agent}}, metrics: {a: {count: {}}}}": "metric 'a': a dimension has this name, and both "
    "would be columns of one result; choose another",
    "metrics: {a: 3}": "metric 'a': expected a mapping of fields, got the number 3",
    "metrics: [a]": "metrics: expected a mapping of names to metrics, got a list",
    "metric: {}": "no field 'metric'; did you mean 'metrics'?",
    "dimensions: {a: {column: agnt}}": "dimension 'a': no column 'agnt'; did you mean 'agent'?",
    "dimensions: {a: {}}": "dimension 'a': expected either `column` or `attribute`",
    "dimensions: {a: {column: agent, attribute: x}}": "dimension 'a': expected either `column` or `attribute`",
    "dimensions: {a: {column: value, log: 0}}": "dimension 'a': `log`: expected a whole number from 1 to 100, "
    "got the number 0",
    "dimensions: {a: {attribute: x, log: 3}}": "dimension 'a': `log` makes bins of a number column, "
    "not of an attribute",
    "boards: {a: {}}": "board 'a': `tiles`: expected a list of 1 to 40 tiles, got no list",
    "boards: {a: {tiles: []}}": "board 'a': `tiles`: expected a list of 1 to 40 tiles, got 0",
    "prices: {a: {input: 1, output: 1}}": "price 'a': prices age: say when it was looked up in `checked`, or `from` "
    "when on",
    "prices: {a: {input: 1, checked: 2026-01-01}}": "price 'a': `output` is missing: what a million tokens cost",
    "prices: {a: {input: -1, output: 1, checked: 2026-01-01}}": "price 'a': `input`: expected a number from 0 on, "
    "got the number -1",
    "prices: {a: {input: 1, output: 1, cashed: 1, checked: 2026-01-01}}": "price 'a': no field 'cashed'; "
    "did you mean 'cached'?",
    "prices: {a: {input: 1, output: 1, checked: 2026-13-01}}": "price 'a': `checked`: expected a day such as "
    "2026-08-31, got the text '2026-13-01'",
    "prices: {a: {input: 1, output: 1, from: 2026-03-01, to: 2026-02-01}}": "price 'a': it ends on 2026-02-01, before "
    "it begins on 2026-03-01",
    "prices: {a: {model: 'a[1]', input: 1, output: 1, from: 2026-03-01}}": "price 'a': `model`: expected names of "
    "models with * and ? for what differs, no brackets, got 'a[1]'",
    "prices: {a: {input: 1, output: 1, from: 2026-03-01, currency: euro}}": "price 'a': `currency`: expected three "
    "capital letters such as EUR, got the text 'euro'",
    "prices: {a: {input: 1, output: 1, from: 2026-03-01, currency: UST}}": "price 'a': `currency`: no rate for the "
    "currency 'UST'; did you mean 'USD'?",
    "rates: {EUR: 1.1}": "rate 'EUR': expected a list such as [{from: 2026-01-01, usd: 1.08}], got the number 1.1",
    "rates: {EUR: [{from: 2026-01-01, usd: 0}]}": "rate 'EUR': `usd`: expected more than 0",
    "rates: {EUR: [{from: 2026-01-01}]}": "rate 'EUR': `usd` is missing",
    "rates: {EUR: [{from: 2026-01-02, usd: 1}, {from: 2026-01-02, usd: 2}]}": "rate 'EUR': `from`: expected a day "
    "after 2026-01-02, the one before it; got 2026-01-02",
    "rates: {euro: []}": "rate 'euro': a name is three capital letters such as EUR",
    "": "expected a mapping with datasets, dimensions, metrics, boards, budgets, prices, rates",
    "- a": "expected a mapping with datasets, dimensions, metrics, boards, budgets, prices, rates",
    "metrics: {a: {count: {}}, a: {count: {}}}": "'a' appears twice, first on line 1",
    "metrics: !!python/object:os.system {a: 1}": "the tag 'python/object:os.system' is not allowed; write plain values",
    "metrics: {1: {count: {}}}": "a name must be text, got '1'; quote it",
    "metrics: {a: {quantile: value, q: .inf}}": "the number '.inf' is out of range",
    "a: [": "not YAML: expected the node content, but found '<stream end>'",
    "a: 1\n---\nb: 2": "not YAML: expected one document, got another",
    "a: *b": "not YAML: found undefined alias 'b'",
}


@pytest.mark.parametrize("text", MISTAKES)
def test_a_mistake_is_named_with_its_place_and_the_nearest_right_word(tmp_path: Path, text: str) -> None:
    found = problems(tmp_path, text)
    assert MISTAKES[text] in [problem.split(": ", 1)[1] for problem in found]
    assert all(problem.startswith("mine.yaml:") for problem in found)


TILE_MISTAKES = {
    "{type: kpi, metric: spend}": "tile '1': `id` is missing",
    "{id: t, metric: spend}": "tile 't': `type` is missing",
    "{id: t, type: kpy, metric: spend}": "tile 't': `type`: expected one of kpi, line, bars, heatmap, table, changes, "
    "latest, budgets, got the text 'kpy'; did you mean 'kpi'?",
    "{id: t/1, type: kpi, metric: spend}": "tile 't/1': an id is letters, digits, _ and -, at most 64",
    "{id: t, type: kpi, metric: spendd}": "tile 't': no metric 'spendd'; did you mean 'spend'?",
    "{id: t, type: kpi}": "tile 't': a kpi tile needs 1 in `metrics`, got 0",
    "{id: t, type: kpi, metric: spend, metrics: [flows]}": "tile 't': expected `metric` or `metrics`, got both",
    "{id: t, type: kpi, metrics: [spend, spend]}": "tile 't': `metrics`: 'spend' is listed twice",
    "{id: t, type: kpi, metric: spend, by: agent}": "tile 't': a kpi tile takes no `by`",
    "{id: t, type: bars, metric: spend}": "tile 't': a bars tile needs 1 in `by`, got 0",
    "{id: t, type: bars, metric: spend, by: agnt}": "tile 't': no dimension 'agnt'; did you mean 'agent'?",
    "{id: t, type: line, metrics: [spend, flows]}": "tile 't': the metrics of one line tile share an axis; these have "
    "usd per hour, flows",
    "{id: t, type: heatmap, metric: flows, by: agent}": "tile 't': a heatmap needs a dimension with `log` bins; "
    "'agent' has none",
    "{id: t, type: latest, columns: [tme]}": "tile 't': no column 'tme'; did you mean 'time'?",
    "{id: t, type: kpi, metric: spend, width: 13}": "tile 't': `width`: expected a whole number from 1 to 12, "
    "got the number 13",
    "{id: t, type: kpi, metric: spend, width: true}": "tile 't': `width`: expected a whole number from 1 to 12, "
    "got true",
    "{id: t, type: kpi, metric: spend, colour: 1}": "tile 't': no field 'colour'; did you mean 'color'?",
    "{id: t, type: latest, columns: [time], where: {kind: [flow, tol]}}": "tile 't': `where`: `kind`: no kind 'tol'; "
    "did you mean 'tool'?",
}


@pytest.mark.parametrize("tile", TILE_MISTAKES)
def test_a_mistake_in_a_tile_is_named_with_board_and_tile(tmp_path: Path, tile: str) -> None:
    text = SMALL.replace("{id: spend, type: kpi, metric: spend}", tile)
    assert problems(tmp_path, text) == [f"mine.yaml:10: board 'main', {TILE_MISTAKES[tile]}"]


def test_tile_ids_are_unique_and_tiles_are_at_most_forty(tmp_path: Path) -> None:
    tile = "      - {id: spend, type: kpi, metric: spend}\n"
    assert problems(tmp_path, SMALL + tile) == [
        "mine.yaml:11: board 'main', tile 'spend': this id is taken, by the tile on line 10"
    ]
    many = "".join(f"      - {{id: t{number}, type: kpi, metric: spend}}\n" for number in range(40))
    assert problems(tmp_path, SMALL + many) == [
        "mine.yaml:9: board 'main': `tiles`: expected a list of 1 to 40 tiles, got 41"
    ]


def test_a_window_outside_the_grammar_is_a_mistake(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, SMALL.replace("    tiles:", "    window: yesterdayish\n    tiles:"))
    assert problem.startswith("mine.yaml:9: board 'main': window: expected now with terms like -1h")


def test_all_mistakes_of_all_files_come_at_once_in_order(tmp_path: Path) -> None:
    first = written(tmp_path, "metrics:\n  a: {sum: vale}\n  b: {ratio: [a, c]}\n", "first.yaml")
    second = written(tmp_path, "metrics:\n  d:\n    sum: value\n    per: week\n", "second.yaml")
    with pytest.raises(WorkspaceError) as caught:
        load([first, second])
    assert str(caught.value).splitlines() == [
        "first.yaml:2: metric 'a': no column 'vale'; did you mean 'value'?",
        "first.yaml:3: metric 'b': no metric 'c'; known: a, b, d",
        "second.yaml:4: metric 'd': `per`: expected one of second, minute, hour, day, got the text 'week'",
    ]
    assert [(problem.file, problem.line) for problem in caught.value.problems][-1] == ("second.yaml", 4)


def test_a_broken_declaration_is_not_reported_again_by_those_who_use_it(tmp_path: Path) -> None:
    text = SMALL.replace("sum: cost_usd, per: hour", "sum: 3, per: hour")
    assert problems(tmp_path, text) == ["mine.yaml:6: metric 'spend': `sum`: expected text, got the number 3; quote it"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: &a [x, x]\n" + "".join(f"k{n}: &k{n} [{'*a, ' * 9}]\n" for n in range(2)) + "m: [" + "*k1, " * 2000 + "]",
         "more than 20000 values, aliases counted each time they are used"),
        ("a: &a [*a]", "nested deeper than 16 levels"),
        ("[" * 5000, "nested too deep"),
        ("a: " + "x" * (1 << 20), "the file is larger than 1 MiB"),
        (b"a: \xff", "expected UTF-8 text"),
        ("a: \x00", "not YAML: unacceptable character #x0000: special characters are not allowed"),
        ("a: " + "9" * 5000, "'9999999999999999999999999999999999999999' does not read as int"),
    ],
    ids=["alias bomb", "recursive alias", "deep", "large", "not UTF-8", "control character", "long number"],
)  # fmt: skip
def test_hostile_text_is_refused_within_bounds(tmp_path: Path, text: str | bytes, told: str) -> None:
    assert f"mine.yaml:1: {told}" in problems(tmp_path, text)


def test_a_file_that_is_not_there_or_not_a_file_says_so(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    for name in ("absent.yaml", "pipe.yaml"):
        with pytest.raises(WorkspaceError, match=f"{name}:1: cannot be read: no such file"):
            load([tmp_path / name])


def test_two_files_of_one_name_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    good, bad = written(tmp_path / "a", SMALL), written(tmp_path / "b", "metrics: {x: {sum: vale}}")
    with pytest.raises(WorkspaceError, match=r"^b/mine\.yaml:1: metric 'x'"):
        load([good, bad])


def shown(live: Workspaces) -> str | None:
    return live.error


def test_a_change_is_followed_and_a_mistake_keeps_the_last_good_one(tmp_path: Path) -> None:
    path = written(tmp_path, SMALL)
    live = Workspaces([path])
    first = live.current
    assert (live.version, live.error, live.reload_if_changed()) == (1, None, False)

    written(tmp_path, SMALL.replace("cost_usd", "value"))
    assert live.reload_if_changed()
    assert (live.version, live.current.metrics["spend"].column) == (2, "value")
    assert first.metrics["spend"].column == "cost_usd", "a workspace in use never changes"

    written(tmp_path, SMALL.replace("cost_usd", "cost_eur"))
    assert not live.reload_if_changed()
    assert live.error == "mine.yaml:6: metric 'spend': no column 'cost_eur'; did you mean 'cost_usd'?"
    assert (live.version, live.current.metrics["spend"].column) == (2, "value")
    assert not live.reload_if_changed()
    assert shown(live), "the error stays until the file is right"

    path.unlink()
    assert not live.reload_if_changed()
    assert live.error == "mine.yaml:1: cannot be read: no such file"

    written(tmp_path, SMALL.replace("cost_usd", "value"))
    kept = live.current
    assert not live.reload_if_changed(), "the same workspace again is no new version"
    assert live.current is kept
    assert live.version == 2
    assert shown(live) is None


def test_an_error_shows_its_first_lines(tmp_path: Path) -> None:
    live = Workspaces([written(tmp_path, SMALL)])
    written(tmp_path, "metrics:\n" + "".join(f"  m{n}: {{sum: nothing_like_it}}\n" for n in range(9)))
    live.reload_if_changed()
    assert live.error is not None
    assert live.error.splitlines()[3:] == ["... and 6 more"]


def test_a_touched_file_with_the_same_content_is_no_change(tmp_path: Path) -> None:
    path = written(tmp_path, SMALL)
    live = Workspaces([path])
    os.utime(path, ns=(1, 1))
    assert not live.reload_if_changed()
    assert (live.version, live.error) == (1, None)


def test_a_bad_file_at_the_start_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError):
        Workspaces([written(tmp_path, "metrics: 3")])


FLIGHTS = """\
namespace: flights
datasets:
  flights:
    time: left
    columns:
      left: time
      carrier: text
      dep delay: {type: number, title: Delay}
      "on time": boolean
dimensions:
  carrier: {column: carrier}
  late: {column: dep delay, log: 4}
metrics:
  rows: {count: {}}
  delay: {avg: dep delay, where: {carrier: [AA, null], "on time": true}}
  share: {ratio: [delay, rows]}
boards:
  flights:
    tiles:
      - {id: rows, type: bars, metric: rows, by: carrier, where: {carrier: AA}}
      - {id: sizes, type: heatmap, metric: rows, by: late}
      - {id: top, type: table, metrics: [share], by: [carrier], spark: rows}
      - {id: latest, type: latest, columns: [time, dep delay]}
"""


def test_a_namespace_names_what_its_file_declares(tmp_path: Path) -> None:
    workspace = load([written(tmp_path, SMALL), written(tmp_path, FLIGHTS, "flights.yaml")])
    assert list(workspace.metrics) == ["flows", "spend", "flights.rows", "flights.delay", "flights.share"]
    assert list(workspace.dimensions) == ["agent", "size", "flights.carrier", "flights.late"]
    assert workspace.metrics["flights.share"].numerator == "flights.delay"
    assert workspace.metrics["flights.delay"].where == {"flights.carrier": ["AA", None], "on time": True}
    rows, _, top, latest = workspace.boards["flights"].tiles
    assert (rows.metrics, rows.by, rows.where) == (("flights.rows",), ("flights.carrier",), {"flights.carrier": "AA"})
    assert top.spark == "flights.rows"
    everything: list[Any] = [*workspace.metrics.values(), *workspace.dimensions.values(), rows, latest]
    assert {thing.dataset for thing in everything[2:5] + everything[7:]} == {"flights"}
    assert workspace.metrics["flights.rows"].title == "Rows"


def test_names_of_a_namespace_come_first_and_others_are_still_known(tmp_path: Path) -> None:
    mine = """\
namespace: mine
metrics:
  flows: {count: {}}
  part: {ratio: [flows, spend]}
  theirs: {ratio: [other.flows, mine.flows]}
"""
    other = "namespace: other\nmetrics: {flows: {count: {}, where: {agent: x}}}"
    workspace = load([written(tmp_path, text, f"{n}.yaml") for n, text in enumerate((SMALL, mine, other))])
    part, theirs = workspace.metrics["mine.part"], workspace.metrics["mine.theirs"]
    assert (part.numerator, part.denominator) == ("mine.flows", "spend")
    assert (theirs.numerator, theirs.denominator) == ("other.flows", "mine.flows")


def test_a_request_may_use_bare_names(tmp_path: Path) -> None:
    more = "namespace: more\ndatasets: {more: {columns: {a: text}}}\nmetrics: {rows: {count: {}}, flows: {distinct: a}}"
    texts = (SMALL, FLIGHTS, more)
    workspace = load([written(tmp_path, text, f"{n}.yaml") for n, text in enumerate(texts)])
    assert workspace.metric("rows", "flights").name == "flights.rows"
    assert workspace.metric("flights.rows").name == "flights.rows"
    assert workspace.metric("delay").name == "flights.delay", "only one has it"
    assert workspace.metric("flows").name == "flows", "as it is written"
    assert workspace.metric("flows", "more").name == "more.flows"
    assert workspace.metric("spend", "more").name == "spend", "the dataset has none of this name"
    with pytest.raises(NotFound, match="no metric 'rows'"):
        workspace.metric("rows")
    with pytest.raises(NotFound, match="no metric 'dely'; did you mean 'delay'?"):
        workspace.metric("dely", "flights")


def test_the_schema_of_a_dataset_has_its_own_columns_behind_those_of_every_row(tmp_path: Path) -> None:
    dataset = load([written(tmp_path, FLIGHTS)]).datasets["flights"]
    assert schema(dataset).names == [
        "time",
        "received",
        "event_id",
        "source",
        "left",
        "carrier",
        "dep delay",
        "on time",
    ]
    assert [str(kind) for kind in schema(dataset).types[4:]] == ["timestamp[us]", "string", "double", "bool"]
    assert schema(Dataset(name="events")) == SCHEMA


FLIGHT_MISTAKES = {
    (
        "dep delay: {type: number, title: Delay}",
        "dep delay: {type: nmber}",
    ): "8: dataset 'flights', column 'dep delay': "
    "`type`: expected one of text, integer, number, boolean, time, got the text 'nmber'; did you mean 'number'?",
    ("carrier: text", "carrier: {title: x}"): "7: dataset 'flights', column 'carrier': `type` is missing",
    ("carrier: text", "Left: text"): "7: dataset 'flights', column 'Left': this name is 'left', and small and capital "
    "letters count alike",
    ("carrier: text", "Time: text"): "7: dataset 'flights', column 'Time': this name is the rows' own, and small and "
    "capital letters count alike",
    ("carrier: text", '"a\\nb": text'): "7: dataset 'flights', column 'a\\nb': a name is 1 to 120 characters, none of "
    "them a control character",
    (
        "time: left",
        "time: leftt",
    ): "4: dataset 'flights': `time`: no column of the type time 'leftt'; did you mean 'left'?",
    ("time: left", "time: carrier"): "4: dataset 'flights': `time`: no column of the type time 'carrier'; known: left, "
    "time",
    (
        "datasets:\n  flights:",
        "datasets:\n  Flights:",
    ): "3: dataset 'Flights': a dataset is small letters, digits and _ (at most 63), a letter first",
    ("avg: dep delay", "avg: dep_delay"): "15: metric 'delay': no column 'dep_delay'; did you mean 'dep delay'?",
    (
        "avg: dep delay",
        "avg: carrier",
    ): "15: metric 'delay': the column 'carrier' is not a number; numbers are dep delay",
    ('"on time": true', '"on time": yes'): "15: metric 'delay': `where`: `on time`: expected true or false, got 'yes'",
    ('"on time": true', "kind: flow"): "15: metric 'delay': `where`: no dimension 'kind'; known: carrier, carrier, dep "
    "delay, event_id, late, left, on time, received, source, time",
    ("ratio: [delay, rows]", "ratio: [dely, rows]"): "16: metric 'share': no metric 'dely'; did you mean 'delay'?",
    ("{column: carrier}", "{attribute: carrier}"): "11: dimension 'carrier': the dataset 'flights' has columns, no "
    "attributes",
    ("{column: carrier}", "{column: agent}"): "11: dimension 'carrier': no column 'agent'; known: carrier, dep delay, "
    "event_id, left, on time, received, source, time",
    ("late: {column", "time: {column"): "12: dimension 'time': results use this name for a column of their own; choose "
    "another",
    ("columns: [time, dep delay]", "columns: [time, name]"): "23: board 'flights', tile 'latest': no column 'name'; "
    "known: carrier, dep delay, event_id, left, on time, received, source, time",
    (
        "{id: rows, type: bars",
        "{id: rows, dataset: events, type: bars",
    ): "20: board 'flights', tile 'rows': its metrics are of the dataset flights",
    ("spark: rows", "spark: agents"): "22: board 'flights', tile 'top': no metric 'agents'; known: delay, rows, share",
    ("namespace: flights", "namespace: a b"): "1: a namespace is letters, digits and _, a letter first",
}


@pytest.mark.parametrize("change", FLIGHT_MISTAKES)
def test_a_mistake_in_a_dataset_of_its_own_is_named_as_elsewhere(tmp_path: Path, change: tuple[str, str]) -> None:
    assert change[0] in FLIGHTS
    assert f"mine.yaml:{FLIGHT_MISTAKES[change]}" in problems(tmp_path, FLIGHTS.replace(*change, 1))


def test_a_tile_keeps_to_one_dataset(tmp_path: Path) -> None:
    mixed = """\
boards:
  mixed:
    tiles:
      - {id: a, type: table, metrics: [flows, flights.rows], by: [agent]}
      - {id: b, type: bars, metric: flows, by: flights.carrier}
"""
    with pytest.raises(WorkspaceError) as caught:
        load([written(tmp_path, text, f"{n}.yaml") for n, text in enumerate((SMALL, FLIGHTS, mixed))])
    assert str(caught.value).splitlines() == [
        "2.yaml:4: board 'mixed', tile 'a': the metrics of one tile share a dataset; these are of events, flights",
        "2.yaml:5: board 'mixed', tile 'b': the dimension 'flights.carrier' is of the dataset 'flights', the metric of "
        "'events'",
    ]


def test_the_columns_of_another_files_dataset_are_not_taken_away(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match="dataset 'events': another file has this dataset with other columns"):
        load([written(tmp_path, "datasets: {events: {columns: {a: text}}}")])


class Folder:
    """A built-in file and a folder that is followed."""

    def __init__(self, tmp_path: Path) -> None:
        self.base = written(tmp_path, SMALL, "base.yaml")
        self.path = tmp_path / "workspaces"
        self.path.mkdir()

    def write(self, name: str, text: str) -> Path:
        return written(self.path, text, name)

    def live(self) -> Workspaces:
        return Workspaces([self.base], [self.path])


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_files_of_a_folder_come_change_and_go(folder: Folder) -> None:
    live = folder.live()
    assert not live.reload_if_changed()
    path = folder.write("flights.yaml", FLIGHTS)
    folder.write("notes.txt", "no workspace")
    folder.write(".half.yaml", "half: [")
    assert live.reload_if_changed()
    assert "flights.rows" in live.current.metrics
    assert live.files == (folder.base, path)
    folder.write("flights.yaml", FLIGHTS.replace("rows: {count: {}}", "rows: {count: {}, title: Flights}"))
    assert live.reload_if_changed()
    assert live.current.metrics["flights.rows"].title == "Flights"
    path.unlink()
    assert live.reload_if_changed()
    assert "flights" not in live.current.boards
    assert (live.version, live.error) == (4, None)


def test_a_broken_file_of_a_folder_takes_nobody_down(folder: Folder) -> None:
    folder.write("flights.yaml", FLIGHTS)
    live = folder.live()
    folder.write("bad.yaml", "metrics: {x: {sum: cost_us}}")
    folder.write("more.yaml", "metrics: {more: {count: {}}}")
    assert live.reload_if_changed()
    assert {"flights.rows", "more"} <= live.current.metrics.keys()
    assert shown(live) == "bad.yaml:1: metric 'x': no column 'cost_us'; did you mean 'cost_usd'?"

    folder.write("flights.yaml", FLIGHTS.replace("avg: dep delay", "avg: delay"))
    assert not live.reload_if_changed(), "it counts as it last was good"
    assert "flights.delay" in live.current.metrics
    assert (
        str(shown(live)).splitlines()[1]
        == "flights.yaml:15: metric 'delay': no column 'delay'; did you mean 'dep delay'?"
    )

    folder.write("bad.yaml", "metrics: {x: {sum: cost_usd}}")
    folder.write("flights.yaml", FLIGHTS)
    assert live.reload_if_changed()
    assert shown(live) is None
    assert "x" in live.current.metrics


def test_a_broken_file_of_a_folder_is_no_reason_not_to_start(folder: Folder) -> None:
    folder.write("bad.yaml", "metrics: 3")
    folder.write("good.yaml", FLIGHTS)
    live = folder.live()
    assert live.error == "bad.yaml:1: metrics: expected a mapping of names to metrics, got the number 3"
    assert "flights" in live.current.boards


def test_a_file_that_breaks_another_one_gives_way(folder: Folder) -> None:
    """The mistake shows in the built-in file, and the reason for it is what a later one declares."""
    folder.write("a.yaml", FLIGHTS)
    folder.write("b.yaml", "dimensions: {spend: {column: agent}}")
    folder.write("c.yaml", "metrics: {more: {count: {}}}")
    live = folder.live()
    assert {"spend", "more", "flights.rows"} <= live.current.metrics.keys()
    assert "spend" not in live.current.dimensions
    assert live.error is not None
    assert "a dimension has this name" in live.error


def test_a_file_goes_with_what_it_needs(folder: Folder) -> None:
    base = folder.write("base.yaml", FLIGHTS)
    folder.write("on_top.yaml", "metrics: {half: {ratio: [flights.rows, flights.rows]}}")
    live = folder.live()
    assert "half" in live.current.metrics
    base.unlink()
    assert live.reload_if_changed()
    assert "half" not in live.current.metrics
    assert live.error == "on_top.yaml:1: metric 'half': no metric 'flights.rows'; known: flows, half, spend"


def test_while_a_written_file_is_wrong_the_folder_is_still_followed(folder: Folder) -> None:
    live = folder.live()
    written(folder.base.parent, "metrics: 3", "base.yaml")
    folder.write("flights.yaml", FLIGHTS)
    assert live.reload_if_changed()
    assert {"flows", "flights.rows"} <= live.current.metrics.keys()
    assert str(live.error).startswith("base.yaml:1: metrics")


def test_looking_costs_one_stat_of_each_when_nothing_happened(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.write("flights.yaml", FLIGHTS)
    for path in (folder.base, folder.path / "flights.yaml", folder.path):
        os.utime(path, ns=(10**18, 10**18))
    live = folder.live()
    looked: list[Path] = []
    stat = Path.stat

    def counted(self: Path, **more: Any) -> os.stat_result:
        looked.append(self)
        return stat(self, **more)

    monkeypatch.setattr(Path, "stat", counted)
    monkeypatch.setattr(Path, "glob", None)
    assert not live.reload_if_changed()
    assert sorted(looked) == sorted([folder.base, folder.path, folder.path / "flights.yaml"])


def test_what_a_file_would_make_of_the_workspace_can_be_asked(folder: Folder) -> None:
    live = folder.live()
    path = folder.path / "flights.yaml"
    assert "flights" in live.checked(path, FLIGHTS.encode()).boards
    with pytest.raises(WorkspaceError, match=r"flights\.yaml:15"):
        live.checked(path, FLIGHTS.replace("avg: dep delay", "avg: delay").encode())
    assert "flights" not in live.current.boards
