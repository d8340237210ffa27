"""The workspace: what may be declared, what each mistake is answered with, and following its files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from analytics.workspace import WorkspaceError, Workspaces, load

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
    assert workspace.metrics["spend"].column == "cost_usd"
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
    "tokens_input, tokens_output, tokens_cached, cost_usd, value, count",
    "metrics: {a: {count: {}, titel: A}}": "metric 'a': no field 'titel'; did you mean 'title'?",
    "metrics: {a: {count: {}, title: 3}}": "metric 'a': `title`: expected text, got the number 3; quote it",
    "metrics: {a: {count: {}, title: one, two}}": "metric 'a': no field 'two'; known: avg, count, dataset, "
    "description, distinct, good, last, max, min, per, q, quantile, ...; text that holds a comma needs quotes",
    "metrics: {a: {count: {x: 1}}}": "metric 'a': `count`: expected {}, got a mapping; count counts rows, "
    "choose them with `where`",
    "metrics: {a: {unit: x}}": "metric 'a': expected exactly one of count, sum, avg, min, max, last, distinct, "
    "quantile, ratio; got none",
    "metrics: {a: {count: {}, last: value}}": "metric 'a': expected exactly one of count, sum, avg, min, max, last, "
    "distinct, quantile, ratio; got count and last",
    "metrics: {a: {quantile: value, q: 95}}": "metric 'a': `q`: expected a number from 0 to 1, got the number 95",
    "metrics: {a: {quantile: value}}": "metric 'a': a quantile needs `q`, a number from 0 to 1",
    "metrics: {a: {sum: value, q: 0.5}}": "metric 'a': `q` belongs to quantile, not to sum",
    "metrics: {a: {sum: value, per: hours}}": "metric 'a': `per`: expected one of second, minute, hour, day, "
    "got the text 'hours'; did you mean 'hour'?",
    "metrics: {a: {avg: value, per: hour}}": "metric 'a': `per` goes with count, sum, distinct, not avg",
    "metrics: {a: {count: {}, good: upp}}": "metric 'a': `good`: expected one of up, down, none, got the text 'upp'; "
    "did you mean 'up'?",
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
    "": "expected a mapping with datasets, dimensions, metrics, boards",
    "- a": "expected a mapping with datasets, dimensions, metrics, boards",
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
    "latest, got the text 'kpy'; did you mean 'kpi'?",
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
