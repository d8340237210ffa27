"""README and /docs say what is there: every setting, column, reason, metric, message and error, and nothing else."""

from __future__ import annotations

import ast
import json
import re
import shlex
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest
import typer.core
import typer.main
from ruamel.yaml import YAML

from analytics import errors, messages
from analytics.api.sockets import Close
from analytics.events import COLUMNS
from analytics.ingest.reasons import Reason
from analytics.settings import Setting, Settings
from analytics.workspace import TILE_TYPES, load
from analytics.workspace_fields import FIELDS
from app import VOCABULARIES, WORKSPACES, cli
from dashboard.docs import slug

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "assets/docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)|(?:src|srcset)=\"([^\"]+)\"")
TYPES = {pa.timestamp("us"): "time", pa.string(): "text", pa.float64(): "number", pa.int64(): "whole number",
         pa.bool_(): "true or false"}  # fmt: skip
OTHERS = re.compile(
    r"\b(grafana|datadog|langfuse|langsmith|arize|helicone|honeycomb|new relic|superset|metabase|kibana|splunk|tableau"
    r"|dynatrace|looker|power bi|prometheus|posthog|mixpanel|streamlit)\b",
    re.IGNORECASE,
)


def page(name: str) -> str:
    return (DOCS / f"{name}.md").read_text()


def table_row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def code(words: typing.Iterable[object]) -> str:
    return ", ".join(f"`{word}`" for word in words)


def settings() -> Iterator[str]:
    hints = typing.get_type_hints(Settings, include_extras=True)
    for field in msgspec.structs.fields(Settings):
        setting = typing.get_args(hints[field.name])[1]
        assert isinstance(setting, Setting)
        default = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
        shown = {"True": "on", "False": "off", "None": "", "[]": ""}.get(str(default), f"`{default}`")
        yield table_row(f"`--{field.name.replace('_', '-')}`", shown, setting.help)


def columns() -> Iterator[str]:
    return (table_row(f"`{c.name}`", TYPES[c.type], c.doc) for c in COLUMNS)


def reasons() -> Iterator[str]:
    return (table_row(f"`{reason.code}`", reason.doc) for reason in Reason)


def metrics() -> Iterator[str]:
    for m in load(sorted(WORKSPACES.glob("*.yaml"))).metrics.values():
        yield table_row(f"`{m.name}`", m.unit + (f" per {m.per}" if m.per else ""), m.good, m.description)


def dimensions() -> Iterator[str]:
    found = load(sorted(WORKSPACES.glob("*.yaml"))).dimensions.values()
    return (table_row(f"`{d.name}`", d.description) for d in found)


def vocabularies() -> list[dict[str, Any]]:
    found = [YAML(typ="safe").load(path) for path in VOCABULARIES.glob("*.yaml")]
    return sorted(found, key=lambda v: (v["priority"], v["vocabulary"]))


def mappings() -> Iterator[str]:
    for v in vocabularies():
        for column, attributes in v.get("columns", {}).items():
            yield table_row(v["title"], f"`{column}`", code(attributes))


def kinds() -> Iterator[str]:
    for v in vocabularies():
        for rule in v.get("kinds", []):
            when = [
                f"`{name}` is there" if values == "any" else f"`{name}` is {code(values)}"
                for name, values in rule.get("when", {}).items()
            ]
            yield table_row(v["title"], rule["kind"], " and ".join(when) or "the span has no parent")


def statuses() -> Iterator[str]:
    words: dict[str, list[str]] = {}
    for v in vocabularies():
        for word, status in v.get("statuses", {}).items():
            words.setdefault(status, []).append(word)
    return (table_row(f"`{status}`", code(found)) for status, found in words.items())


def failures() -> Iterator[str]:
    found = [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, errors.PlumblineError)]
    for c in sorted((c for c in found if c is not errors.PlumblineError), key=lambda c: c.status):
        yield table_row(str(c.status), f"`{c.code}`", c.title)


TABLES = {
    "SETTINGS": ("operate", settings),
    "COLUMNS": ("send-data", columns),
    "DROPS": ("send-data", reasons),
    "VOCABULARY": ("send-data", mappings),
    "KINDS": ("send-data", kinds),
    "STATUSES": ("send-data", statuses),
    "METRICS": ("workspace", metrics),
    "DIMENSIONS": ("workspace", dimensions),
    "ERRORS": ("api", failures),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_has_the_rows_that_the_program_has(name: str) -> None:
    stem, made = TABLES[name]
    rows = list(made())
    tables = [t.splitlines()[2:] for t in re.findall(r"(?:^\|.*\n)+", page(stem), re.MULTILINE)]
    assert max(tables, key=lambda table: len({*table} & {*rows})) == rows


def test_every_close_code_is_explained() -> None:
    assert [code for code in Close if f"\n| {code.value} | " not in page("api")] == []


@pytest.mark.parametrize("kind", FIELDS)
def test_every_field_of_a_declaration_is_in_its_section(kind: str) -> None:
    section = page("workspace").split(f"\n## {kind.capitalize()}s\n")[1].split("\n## ")[0]
    assert [field for field in FIELDS[kind] if f"\n| `{field}` | " not in section] == []


def test_every_tile_type_is_explained() -> None:
    assert [kind for kind in TILE_TYPES if f"\n| `{kind}` | " not in page("workspace")] == []


@pytest.mark.parametrize("message", [*messages.V1, *messages.REPLIES], ids=messages.tag)
def test_every_message_has_a_section_with_an_example_that_decodes(message: type[messages.Message]) -> None:
    tag = messages.tag(message)
    section = page("api").split(f"\n### `{tag}`\n")[1].split("\n## ")[0].split("\n### ")[0]
    found = [json.loads(text) for kind, text in BLOCK.findall(section) if kind == "json"]
    example = next(shown for shown in found if shown["type"] == tag)
    assert isinstance(msgspec.convert(example, message), message)
    if message in messages.V1:
        assert isinstance(messages.decode(json.dumps(example)), message)


def blocks(*kinds: str) -> Iterator[tuple[str, str, str]]:
    """File name, kind and text of every fenced block of these kinds."""
    for path in PAGES:
        yield from ((path.name, kind, text) for kind, text in BLOCK.findall(path.read_text()) if kind in kinds)


def test_every_example_is_whole() -> None:
    for _, kind, text in blocks("json", "python"):
        json.loads(text) if kind == "json" else ast.parse(text)


def test_every_workspace_example_loads(tmp_path: Path) -> None:
    found = list(blocks("yaml"))
    assert {name for name, _, _ in found} >= {"README.md", "workspace.md"}
    for _, _, text in found:
        (tmp_path / "mine.yaml").write_text(text)
        assert load([*sorted(WORKSPACES.glob("*.yaml")), tmp_path / "mine.yaml"]).boards["overview"].tiles


def commands() -> Iterator[tuple[str, list[str]]]:
    """File name and words of every command of ours that a shell block runs or a text quotes."""
    for path in PAGES:
        text = path.read_text()
        shell = [line for kind, block in BLOCK.findall(text) if kind in ("sh", "text") for line in block.splitlines()]
        quoted = re.findall(r"`((?:make|python app\.py) [^`\n]+)`", BLOCK.sub("", text))
        for line in [*shell, *quoted]:
            if command := re.search(r"(?:^|\$\(|\$ )(make|python app\.py) ([^)#]+)", line):
                yield path.name, shlex.split(f"{command[1]} {command[2]}")


def test_every_command_exists() -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    wrong = []
    for name, words in commands():
        if words[0] == "make":
            wrong += [] if words[1] in targets else [f"{name}: make {words[1]}"]
            continue
        node: Any = typer.main.get_command(cli)
        rest = words[2:]
        while rest and rest[0] in getattr(node, "commands", {}):
            node = node.commands[rest.pop(0)]
        options = {option for p in node.params for option in (*p.opts, *getattr(p, "secondary_opts", ()))} | {"--help"}
        unknown = [word for word in rest if word.startswith("--") and word not in options]
        if unknown or (isinstance(node, typer.core.TyperGroup) and rest and not rest[0].startswith("--")):
            wrong.append(f"{name}: {' '.join(words)}")
    assert wrong == []


def test_the_readme_begins_with_the_two_commands() -> None:
    first = next(text for name, _, text in blocks("sh") if name == "README.md")
    assert [line.split("#")[0].strip() for line in first.splitlines()] == ["make run", "make test"]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_link_leads_somewhere(path: Path) -> None:
    wrong = []
    for target in ("".join(found) for found in LINK.findall(BLOCK.sub("", path.read_text()))):
        if target.startswith("https://"):
            continue
        name, _, anchor = target.partition("#")
        file = (path.parent / name) if name else path
        anchors = {slug(h) for h in re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE)} if anchor else {""}
        if not file.exists() or anchor not in anchors:
            wrong.append(target)
    assert wrong == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_a_page_has_one_title_and_speaks_of_plumbline_alone(path: Path) -> None:
    text = path.read_text()
    assert re.findall(r"^# .+$", BLOCK.sub("", text), re.MULTILINE) == [text.partition("\n")[0]]
    assert OTHERS.findall(text) == []
    assert re.findall(r"(?<![\w.:/])/(?:home|Users|root|work|tmp|var|opt)\b", text) == []
    assert re.findall(r"\b(?:TODO|FIXME|TBD|lorem|coming soon)\b", text, re.IGNORECASE) == []


def test_what_a_page_says_to_edit_is_there() -> None:
    text = "".join(path.read_text() for path in PAGES)
    assert [
        path
        for path in re.findall(r"`((?:analytics|dashboard|assets|tests)/[\w/.-]+)`", text)
        if not (ROOT / path).exists()
    ] == []
    named = re.findall(r"`([A-Z]\w+)` (?:in|of) `([a-z]+/[\w/.]+)`", text)
    assert len(named) > 5
    assert [
        f"{name} in {path}" for name, path in named if not re.search(rf"\b{name}\b", (ROOT / path).read_text())
    ] == []


def test_every_picture_is_shown_somewhere() -> None:
    shown = "".join(path.read_text() for path in PAGES)
    assert [path.name for path in DOCS.glob("images/*") if path.name not in shown] == []
