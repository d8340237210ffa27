"""Vocabulary files: what ships is sound, and a mistake names its file, line and the nearest word."""

from __future__ import annotations

from pathlib import Path

import pytest
from opentelemetry.semconv._incubating.attributes import (
    db_attributes,
    error_attributes,
    gen_ai_attributes,
    http_attributes,
    messaging_attributes,
    rpc_attributes,
)
from opentelemetry.semconv._incubating.metrics import gen_ai_metrics, process_metrics, system_metrics

from analytics.errors import ValidationError
from analytics.ingest.vocabulary import COLUMNS, Vocabulary, load, load_folder

FOLDER = Path(__file__).parents[2] / "assets" / "vocabularies"


def written(tmp_path: Path, text: str, name: str = "mine.yaml") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


@pytest.fixture(scope="module")
def shipped() -> Vocabulary:
    return load_folder(FOLDER)


def names(module: object) -> set[str]:
    return {value for key, value in vars(module).items() if key.isupper() and isinstance(value, str)}


def test_shipped_names_exist_in_the_conventions(shipped: Vocabulary) -> None:
    conventions = set().union(
        *map(
            names,
            (gen_ai_attributes, http_attributes, db_attributes, rpc_attributes, messaging_attributes, error_attributes),
        )
    )
    not_conventional = {"gen_ai.usage.cost", "gen_ai.usage.cost_usd", "gen_ai.usage.total_cost", "gen_ai.cost.total",
                        "gen_ai.cost_usd", "gen_ai.usage.cache_read_input_tokens",
                        "gen_ai.usage.cache_creation_input_tokens"}  # fmt: skip
    ours = {a for a in shipped.places if a.startswith(("gen_ai.", "db.", "rpc.", "messaging."))} - not_conventional
    ours |= {a for rule in shipped.rules for a in rule.when if a.startswith(("gen_ai.", "db.", "rpc.", "http."))}
    assert ours - conventions == set()


def test_every_column_is_reached_by_a_shipped_file(shipped: Vocabulary) -> None:
    assert {place.column for place in shipped.places.values()} == set(COLUMNS)


def test_metric_names_find_their_resource_by_the_longest_prefix(shipped: Vocabulary) -> None:
    expected = {
        "system.cpu.utilization": "cpu",
        "system.memory.usage": "memory",
        "system.filesystem.utilization": "disk",
        "system.disk.io": "disk",
        "system.network.io": "network",
        "process.cpu.time": "cpu",
        "process.uptime": "process",
        "gen_ai.client.token.usage": "tokens",
        "gen_ai.client.operation.duration": "duration",
        "plumbline.network.rate": "network",
        "my.own.metric": None,
    }
    assert {name: shipped.resource(name) for name in expected} == expected
    known = names(system_metrics) | names(process_metrics) | names(gen_ai_metrics)
    uncovered = {n for n in known if n.startswith(("system.", "process.", "gen_ai.")) and shipped.resource(n) is None}
    assert uncovered <= {"system.uptime"}


def test_the_first_attribute_and_the_first_file_win(tmp_path: Path) -> None:
    late = written(tmp_path, "priority: 20\ncolumns:\n  model: [old.model]\nresources: {x.: old}\n", "a.yaml")
    early = written(
        tmp_path, "priority: 10\ncolumns:\n  model: [new.model, other.model]\nresources: {x.: new}\n", "b.yaml"
    )
    vocabulary = load([late, early])
    ranks = [vocabulary.places[a].rank for a in ("new.model", "other.model", "old.model")]
    assert ranks == sorted(ranks)
    assert vocabulary.resource("x.y") == "new"


def test_text_is_known_by_its_name_with_any_part_for_a_star_unless_it_is_kept(tmp_path: Path) -> None:
    path = written(tmp_path, "text: [a.*.content, tool.output/*]\nlogs: {e: {text: [prompt]}}\n")
    vocabulary, keeps = load([path]), load([path], keep_text=True)
    event = vocabulary.logs["e"]
    hidden = {"a.0.content": None, "tool.output/any": None, "prompt": event}
    assert [vocabulary.hides(name, of) for name, of in hidden.items()] == [True] * 3
    assert [keeps.hides(name, of) for name, of in hidden.items()] == [False] * 3
    assert not any(vocabulary.hides(name) for name in ("a.content", "a.0.content.x", "prompt", "tool.output"))


def test_a_call_is_told_by_the_event_and_its_conditions(tmp_path: Path) -> None:
    vocabulary = load([written(tmp_path, "logs: {e: {kind: model, when: {a: [x], b: any}}}\n")])
    assert vocabulary.call("e", {"a": "x", "b": 0}) == "model"
    assert vocabulary.call("e", {"a": "y", "b": 0}) is None
    assert vocabulary.call("e", {"a": "x"}) is None
    assert vocabulary.call("f", {"a": "x", "b": 0}) is None


def test_a_rule_holds_when_all_its_conditions_do(tmp_path: Path) -> None:
    vocabulary = load(
        [
            written(
                tmp_path,
                "kinds:\n"
                "  - {kind: model, when: {a: [x], b: any}}\n"
                "  - {kind: flow, span_kind: server, remote_parent: true}\n"
                "  - {kind: tool, when: {a: any}, resource: r}\n",
            )
        ]
    )
    a, b = vocabulary.matches("a", "x"), vocabulary.matches("b", 1)
    assert vocabulary.kind(a + b, False, 1, False) == ("model", None)
    assert vocabulary.kind(a, False, 1, False) == ("tool", "r")
    assert vocabulary.kind(b, False, 1, False) == ("event", None)
    assert vocabulary.kind((), False, 2, True) == ("flow", None)
    assert vocabulary.kind((), False, 99, False) == ("event", None)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("columns:\n  modle: [a]\n", "mine.yaml, line 2: no column to map to 'modle'; did you mean 'model'?"),
        ("columns:\n  model: a\n", "line 2: model: expected a list of attribute names"),
        ("columns:\n  model: [a]\n  tool:\n    - b\n    - a\n", "line 5: 'a' is a 'model' already"),
        ("colums: {}\n", "line 1: no part 'colums'; did you mean 'columns'?"),
        ("kinds:\n  - {kind: flow}\n  - {kind: flwo}\n", "line 3: no kind 'flwo'; did you mean 'flow'?"),
        ("kinds:\n  - {kind: flow, wen: {}}\n", "line 2: no condition 'wen'; did you mean 'when'?"),
        ("kinds:\n  - {kind: flow, span_kind: sever}\n", "did you mean 'server'?"),
        ("kinds:\n  - {kind: flow, when: {a: 3}}\n", "line 2: kinds: "),
        ("kinds: 3\n", "line 1: kinds: expected a list"),
        ("statuses:\n  fine: okay\n", "line 2: no status 'okay'; did you mean 'ok'?"),
        ("statuses:\n  true: ok\n", "line 2: statuses: expected text on both sides"),
        ("resources: [a]\n", "line 1: resources: expected a mapping"),
        ("logs:\n  a.b: {kind: modle}\n", "line 2: no kind 'modle'; did you mean 'model'?"),
        ("logs:\n  a.b:\n    columns:\n      tool: [a]\n      modle: [a]\n", "line 5: no column 'modle'"),
        ("logs:\n  a.b: {colums: {}}\n", "line 2: no word 'colums'; did you mean 'columns'?"),
        ("logs:\n  a.b: {status: okay}\n", "line 2: no status 'okay'"),
        ("logs:\n  a.b: model\n", "line 2: logs: expected a name and a mapping"),
        ("spans:\n  a: {columns: {duration_ms: [a]}}\n", "line 2: no column 'duration_ms'"),
        ("spans:\n  a: {adds: {model: [a]}}\n", "line 2: no column 'model'"),
        ("usage:\n  a: {columns: {x: token_input}}\n", "line 2: no column 'token_input'; did you mean 'tokens_input'?"),
        ("usage:\n  a: {columns: {}, labels: {cost_usd: [a]}}\n", "line 2: no column 'cost_usd'"),
        ("usage:\n  a: {by: type}\n", "line 2: usage: "),
        ("text: prompt\n", "line 1: text: expected a list"),
        ("priority: high\n", "line 1: priority: expected a whole number"),
        ("- a\n", "line 1: expected a mapping"),
        ("columns: {a: [\n", "not YAML"),
        ("columns: {}\ncolumns: {}\n", "not YAML"),
    ],
)
def test_a_mistake_names_file_line_and_nearest_word(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ValidationError) as caught:
        load([written(tmp_path, text)])
    assert caught.value.message.startswith("mine.yaml, line ") and says in caught.value.message
