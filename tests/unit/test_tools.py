"""What each tool sends, as its public documentation says, becomes these columns; what people wrote does not stay."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from analytics.ingest.intake import Intake
from analytics.ingest.vocabulary import load_folder

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "assets/vocabularies"
FIXTURES = ROOT / "tests/fixtures/tools"
PAGE = ROOT / "assets/docs/tools.md"
NOW = datetime(2026, 1, 6, 12, 1, tzinfo=UTC)
HELD = (
    "kind", "name", "domain", "source", "session", "call_id", "way", "agent", "model", "tool", "user", "status",
    "error_type", "tokens_input", "tokens_output", "tokens_cached", "tokens_cache_written", "cost_usd", "value",
)  # fmt: skip
Row = dict[str, Any]


@cache
def intake(keep_text: bool) -> Intake:
    return Intake(load_folder(FOLDER, keep_text=keep_text), now=lambda: NOW)


def ingested(name: str, *, keep_text: bool = False) -> list[Row]:
    batch = intake(keep_text).ingest(
        (FIXTURES / f"{name}.json").read_bytes(), format=f"otlp-{name.rpartition('-')[2]}-json"
    )
    assert batch.drops == []
    found: list[Row] = batch.table.to_pylist()
    return found


def row(kind: str, name: str, **columns: Any) -> Row:
    return {"kind": kind, "name": name} | columns


def tokens(input: int, output: int, cached: int | None = None, written: int | None = None) -> Row:
    """Cached and written ones are in `input`."""
    found = {"tokens_input": input, "tokens_output": output, "tokens_cached": cached, "tokens_cache_written": written}
    return {name: n for name, n in found.items() if n is not None}


SHOP = {"source": "shop", "domain": "sales"}
PLANNED = SHOP | {"way": "span", "session": "conv_5j66", "status": "ok"}
RAG = {"source": "rag", "way": "span", "status": "ok"}
JOKER = {"source": "joker", "way": "span", "status": "ok"}
CLAUDE = {"source": "claude-code", "session": "6f0b0a2c", "user": "user-hash"}
CLAUDE_LOG = CLAUDE | {"way": "log"}
CLAUDE_POINT = CLAUDE | {"way": "metric", "model": "claude-sonnet-5"}
CODEX = {"source": "codex_exec", "session": "019a-77", "user": "acc-9", "way": "log", "model": "gpt-5-codex"}
UNMODELLED = {name: value for name, value in CODEX.items() if name != "model"}
CODEX_POINT = {"source": "codex_exec", "way": "metric", "model": "gpt-5-codex"}
GEMINI = {"source": "gemini-cli", "session": "0f2e"}
GEMINI_LOG = GEMINI | {"way": "log"}
GEMINI_POINT = GEMINI | {"way": "metric", "model": "gemini-2.5-pro"}
COPILOT = {"source": "copilot-chat"}
COPILOT_LOG = COPILOT | {"way": "log"}
COPILOT_SPAN = COPILOT | {"way": "span", "session": "a1b2c3d4", "status": "ok"}
GPT = {"model": "gpt-4o-2024-08-06"}
BUILT_IN = {"agent": "copilot"} | GPT

EXPECTED: dict[str, list[Row]] = {
    "opentelemetry-genai-traces": [
        PLANNED | row("flow", "invoke_agent planner", agent="planner"),
        PLANNED | row("agent", "invoke_agent planner", agent="planner"),
        PLANNED
        | row(
            "model", "chat claude-sonnet-4-5", agent="planner", model="claude-sonnet-4-5-20250929", call_id="msg_0123"
        )
        | tokens(1600, 180, 1200, 300),
        PLANNED | row("tool", "execute_tool search", tool="search", error_type="timeout"),
    ],
    "opentelemetry-genai-logs": [
        SHOP
        | GPT
        | row("model", "gen_ai.client.inference.operation.details", way="log", session="conv_5j66", status="ok")
        | tokens(100, 180)
        | {"call_id": "chatcmpl-7"},
    ],
    "opentelemetry-genai-metrics": [
        SHOP | GPT | row("resource", "gen_ai.client.token.usage", way="metric", value=1600),
        SHOP | GPT | row("resource", "gen_ai.client.token.usage", way="metric", value=180),
        SHOP | row("resource", "gen_ai.client.operation.duration", way="metric", model="gpt-4o", value=1.5),
    ],
    "opentelemetry-genai-legacy-traces": [
        SHOP | row("flow", "POST /ask", way="span", status="ok"),
        SHOP
        | row("model", "chat gpt-4", way="span", status="ok", model="gpt-4-0613", call_id="chatcmpl-123")
        | tokens(100, 180),
        SHOP
        | row("model", "chat gpt-4o", way="span", status="ok", model="gpt-4o", call_id="chatcmpl-124")
        | tokens(50, 10),
    ],
    "opentelemetry-genai-legacy-logs": [
        SHOP | row("log", "gen_ai.user.message", way="log"),
        SHOP | row("log", "gen_ai.choice", way="log"),
    ],
    "openinference-traces": [
        RAG | row("flow", "RunnableSequence", session="26bcd3d2", user="9328ae73"),
        RAG | row("agent", "Agent", session="26bcd3d2", agent="weather"),
        RAG
        | row("model", "ChatAnthropic", session="26bcd3d2", model="claude-opus-4-8", cost_usd=0.0066)
        | tokens(1210, 15, 1000, 200),
        RAG | row("tool", "get_weather", session="26bcd3d2", tool="get_weather"),
        RAG | row("model", "Embed", model="text-embedding-3-small", tokens_input=8),
        RAG | row("event", "Retrieve"),
    ],
    "openllmetry-traces": [
        JOKER | row("flow", "joke_workflow.workflow", session="s-1"),
        JOKER | row("agent", "joker.agent", session="s-1"),
        JOKER
        | row("model", "anthropic.chat", session="s-1", model="claude-3-5-sonnet-20240620", call_id="msg_01")
        | tokens(1163, 187, 1000, 150),
        JOKER | row("tool", "tell.tool"),
    ],
    "claude-code-logs": [
        CLAUDE_LOG | row("log", "claude_code.user_prompt"),
        CLAUDE_LOG
        | row("model", "claude_code.api_request", model="claude-sonnet-5", call_id="req_011A", status="ok")
        | tokens(4812, 250, 4000, 800)
        | {"cost_usd": 0.0275},
        CLAUDE_LOG
        | row("model", "claude_code.api_error", model="claude-sonnet-5", call_id="req_011B", status="error")
        | {"error_type": "529"},
        CLAUDE_LOG | row("tool", "claude_code.tool_result", call_id="toolu_1", tool="Bash", status="ok"),
        CLAUDE_LOG
        | row(
            "tool", "claude_code.tool_result", call_id="toolu_2", tool="Read", status="error", error_type="Error:ENOENT"
        ),
        CLAUDE_LOG | row("log", "claude_code.tool_decision", tool="Write"),
        CLAUDE_LOG | row("log", "claude_code.assistant_response", model="claude-sonnet-5"),
    ],
    "claude-code-metrics": [
        CLAUDE | row("resource", "claude_code.session.count", way="metric", value=1),
        *(CLAUDE_POINT | row("resource", "claude_code.token.usage", value=n) for n in (12, 250, 4000, 800)),
        CLAUDE_POINT | row("resource", "claude_code.cost.usage", agent="Explore", value=0.0275),
    ],
    "claude-code-traces": [
        CLAUDE | row("flow", "claude_code.interaction", way="span", status="ok"),
        CLAUDE
        | row("model", "claude_code.llm_request", way="span", status="ok", model="claude-sonnet-5", call_id="req_011A")
        | tokens(4812, 250, 4000, 800),
        CLAUDE | row("tool", "claude_code.tool", call_id="toolu_1", way="span", status="ok", tool="Bash"),
    ],
    "codex-cli-logs": [
        CODEX | row("log", "codex.user_prompt"),
        CODEX | row("log", "codex.api_request"),
        UNMODELLED | row("log", "codex.sse_event"),
        CODEX | row("model", "codex.sse_event", status="ok", call_id="019a-77:5000:4096:300") | tokens(5000, 300, 4096),
        UNMODELLED | row("log", "codex.sse_event"),
        CODEX | row("tool", "codex.tool_result", call_id="call_7", tool="shell", status="error"),
    ],
    "codex-cli-metrics": [
        *(CODEX_POINT | row("resource", "codex.turn.token_usage", value=n) for n in (5300, 5000, 4096, 300, 128)),
        row("resource", "codex.api_request", source="codex_exec", way="metric", value=1),
    ],
    "gemini-cli-logs": [
        GEMINI_LOG | row("log", "gemini_cli.user_prompt"),
        GEMINI_LOG | row("log", "gemini_cli.api_request", model="gemini-2.5-pro"),
        GEMINI_LOG
        | row("model", "gemini_cli.api_response", model="gemini-2.5-pro", status="ok")
        | tokens(9030, 520, 8000),
        GEMINI_LOG | row("log", "gen_ai.client.inference.operation.details", model="gemini-2.5-pro"),
        GEMINI_LOG
        | row("model", "gemini_cli.api_error", model="gemini-2.5-pro", status="error", error_type="QuotaError"),
        GEMINI_LOG
        | row(
            "tool", "gemini_cli.tool_call", tool="read_file", status="ok", call_id="04ad5e1f0378b2b75a6b1bf76de4e0f4"
        ),
        GEMINI_LOG | row("agent", "gemini_cli.agent.finish", agent="codebase_investigator", status="ok"),
    ],
    "gemini-cli-metrics": [
        *(GEMINI_POINT | row("resource", "gemini_cli.token.usage", value=n) for n in (9000, 120, 400, 8000, 30)),
        GEMINI_POINT | row("resource", "gen_ai.client.token.usage", value=9000),
    ],
    "github-copilot-traces": [
        COPILOT_SPAN | BUILT_IN | row("flow", "invoke_agent copilot"),
        COPILOT_SPAN | BUILT_IN | row("agent", "invoke_agent copilot"),
        COPILOT_SPAN | GPT | row("model", "chat gpt-4o", call_id="chatcmpl-abc123") | tokens(1500, 250, 1200),
        COPILOT_SPAN | row("tool", "execute_tool runCommand", tool="runCommand"),
        COPILOT_SPAN | row("event", "execute_hook PreToolUse"),
    ],
    "github-copilot-logs": [
        COPILOT_LOG | row("log", "copilot_chat.session.start", session="a1b2c3d4", agent="copilot", model="gpt-4o"),
        COPILOT_LOG
        | GPT
        | row("model", "gen_ai.client.inference.operation.details", call_id="chatcmpl-abc123", status="ok")
        | tokens(1500, 250),
        COPILOT_LOG
        | row("tool", "copilot_chat.tool.call", tool="runCommand", status="error", error_type="Error")
        | {"call_id": "4dc0176a3ee6941e2dece46fb60cd97e"},
        COPILOT_LOG | row("log", "copilot_chat.agent.turn"),
    ],
    "github-copilot-metrics": [
        COPILOT | GPT | row("resource", "gen_ai.client.token.usage", way="metric", value=1500),
        COPILOT | GPT | row("resource", "gen_ai.client.token.usage", way="metric", value=250),
        COPILOT | row("resource", "copilot_chat.tool.call.count", way="metric", tool="runCommand", value=1),
    ],
}
COUNTED: dict[str, list[str | None]] = {  # what an increment of each point counts in
    "opentelemetry-genai-metrics": ["tokens_input", "tokens_output", None],
    "claude-code-metrics": [
        None, "tokens_input", "tokens_output", "tokens_cached", "tokens_cache_written", "cost_usd",
    ],
    "codex-cli-metrics": [None, "tokens_input", "tokens_cached", "tokens_output", None, None],
    "gemini-cli-metrics": [
        "tokens_input", "tokens_output", "tokens_output", "tokens_cached", "tokens_input", None,
    ],
    "github-copilot-metrics": ["tokens_input", "tokens_output", None],
}  # fmt: skip
DURATIONS = {
    "claude-code-logs": [None, 1521, 311, 57, 3, None, None],
    "codex-cli-logs": [None, 801, None, None, None, 42],
    "gemini-cli-logs": [None, None, 2301, None, 80, 5, 9000],
    "github-copilot-logs": [None, None, 52, None],
}


def test_every_fixture_is_told_here() -> None:
    assert {path.stem for path in FIXTURES.glob("*.json")} == set(EXPECTED)
    assert {name for name in EXPECTED if name.endswith("-metrics")} == set(COUNTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_what_a_tool_sends_becomes_these_columns(name: str) -> None:
    found = ingested(name)
    assert [{c: r[c] for c in HELD if r[c] is not None} for r in found] == [
        {c: r[c] for c in HELD if c in r} for r in EXPECTED[name]
    ]
    if name in DURATIONS:
        assert [r["duration_ms"] for r in found] == DURATIONS[name]


@pytest.mark.parametrize("name", COUNTED)
def test_an_increment_of_a_counter_counts_in_this_column(name: str) -> None:
    vocabulary = intake(False).vocabulary
    found = []
    for point in ingested(name):
        usage = vocabulary.usage(point["name"], point["source"])
        found.append(usage.column(json.loads(point["attributes"])) if usage else None)
    assert found == COUNTED[name]


def sent(name: str) -> Iterator[tuple[str, str]]:
    """(key, text) of every text attribute that the fixture holds, those of span events too."""

    def walked(node: Any) -> Iterator[tuple[str, str]]:
        for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
            yield from walked(child)
        if isinstance(node, dict) and "key" in node and "stringValue" in node["value"]:
            yield node["key"], node["value"]["stringValue"]

    return walked(json.loads((FIXTURES / f"{name}.json").read_text()))


def texts(node: Any) -> Iterator[str]:
    """Every text within a row, its attributes read."""
    if isinstance(node, str):
        yield node
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from texts(child)


def stored(rows: list[Row]) -> set[str]:
    return set(texts([row | {"attributes": json.loads(row["attributes"])} for row in rows]))


@pytest.mark.parametrize("name", EXPECTED)
def test_what_people_and_models_wrote_leaves_only_its_length(name: str) -> None:
    rows = ingested(name)
    assert "secret" not in json.dumps(rows, default=str)
    kept = " ".join(row["attributes"] for row in rows)
    for key, text in sent(name):
        if "secret" in text and key != "content":  # that one is a part of a body, which is hidden whole
            assert f'"{key}.length":{len(text)}' in kept


@pytest.mark.parametrize("name", [name for name in EXPECTED if any("secret" in text for _, text in sent(name))])
def test_with_keep_text_it_all_stays_but_never_as_a_name(name: str) -> None:
    rows = ingested(name, keep_text=True)
    assert {text for _, text in sent(name) if "secret" in text} <= stored(rows)
    assert not any("secret" in row["name"] for row in rows)


@pytest.mark.parametrize("name", EXPECTED)
def test_no_text_is_lost_but_what_people_wrote(name: str) -> None:
    rows = ingested(name)
    kept = stored(rows) | {f"{value:g}" for row in rows for value in row.values() if isinstance(value, int | float)}
    told = {"input_tokens", "success"}  # within the sum of all input, and in the status
    hidden = {"content", "role", "finish_reason"}  # parts of a body
    lost = {key for key, text in sent(name) if text and "secret" not in text and text not in kept}
    assert lost <= told | hidden


def vocabularies() -> list[Row]:
    found = [YAML(typ="safe").load(path) for path in FOLDER.glob("*.yaml")]
    return sorted((v for v in found if {"logs", "spans", "usage"} & set(v)), key=lambda v: v["priority"])


def code(words: Any) -> str:
    return ", ".join(f"`{word}`" for word in words)


def told(event: Row) -> str:
    """What becomes which column: `column` from the attributes it is read from."""
    found = []
    for column, names in event.get("columns", {}).items():
        more = "".join(f" + `{name}`" for name in event.get("adds", {}).get(column, ()))
        found.append(f"`{column}` from {code(names)}{more}")
    if "identity" in event:
        names = " : ".join(f"`{name}`" for name in event["identity"])
        found.append("`call_id` from all it says" if event["identity"] == ["*"] else f"`call_id` from {names}")
    return "; ".join(found)


def lines(vocabulary: Row) -> Iterator[str]:
    for part, word in (("logs", "log event"), ("spans", "span")):
        for name, event in vocabulary.get(part, {}).items():
            when = [f"`{k}`" if v == "any" else f"`{k}` is {code(v)}" for k, v in event.get("when", {}).items()]
            what = f"{word} `{name}`" + (" with " + " and ".join(when) if when else "")
            kind = event.get("kind", "log") + (f", {event['status']}" if "status" in event else "")
            yield f"| {what} | {kind} | {told(event)} |"
    for name, usage in vocabulary.get("usage", {}).items():
        by = f" by `{usage['by']}`" if "by" in usage else ""
        columns = "; ".join(f"`{c}` from `{v}`" if v else f"`{c}`" for v, c in usage["columns"].items())
        adds = f"; {code(usage['adds'])} also into `tokens_input`" if "adds" in usage else ""
        yield f"| counter `{name}`{by} | usage | {columns}{adds} |"


@pytest.mark.parametrize("vocabulary", vocabularies(), ids=lambda v: str(v["vocabulary"]))
def test_the_page_has_the_table_of_each_tool(vocabulary: Row) -> None:
    section = PAGE.read_text().split(f"\n## {vocabulary['title']}\n")[1].split("\n## ")[0]
    assert vocabulary["reference"] in section
    assert [line for line in section.splitlines() if line.startswith("| ")][1:] == list(lines(vocabulary))


def test_the_page_lists_what_counts_as_text() -> None:
    page = PAGE.read_text()
    for vocabulary in (YAML(typ="safe").load(path) for path in FOLDER.glob("*.yaml")):
        events = [*vocabulary.get("logs", {}).values(), *vocabulary.get("spans", {}).values()]
        names = {*vocabulary.get("text", ()), *(name for event in events for name in event.get("text", ()))}
        if names:
            assert f"| {vocabulary['title']} | {code(sorted(names))} |" in page
