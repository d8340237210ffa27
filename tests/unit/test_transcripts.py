"""Session files of tools to events: every call once, whatever the order, the splits and the state of the files."""

from __future__ import annotations

import json
import os
import tempfile
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.errors import NotFound
from analytics.load import transcripts_tail
from analytics.load.transcripts_load import READERS, Tally, Transcripts, roots
from analytics.load.transcripts_tail import QUIET_S, Marks, sessions
from tests.transcript_files import SECRET, START, Claude, Codex, Shelf, text

counts = st.integers(0, 5_000)


def now() -> datetime:
    return datetime.now(UTC)


def later() -> datetime:
    return now() + timedelta(seconds=QUIET_S + 1)


class Desk:
    """A folder of sessions, marks beside it, and a shelf for the rows."""

    def __init__(self, folder: Path, tool: str = "claude-code", **more: Any) -> None:
        self.tool, self.more, self.shelf = tool, more, Shelf()
        self.sessions, self._marks = folder / "sessions", folder / "marks.json"
        self.sessions.mkdir(exist_ok=True)

    def write(self, name: str, body: bytes, mode: str = "wb") -> Path:
        path = self.sessions / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open(mode) as file:
            file.write(body)
        return path

    def load(self, at: datetime | None = None, *, afresh: bool = False) -> Tally:
        """One load, in a process of its own as far as the marks can tell."""
        marks = Marks(self._marks, afresh=afresh)
        clock = now if at is None else lambda: at
        return Transcripts(READERS[self.tool], marks, self.shelf.send, clock, **self.more).pass_over([self.sessions])


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.fixture
def codex(tmp_path: Path) -> Desk:
    return Desk(tmp_path, "codex")


def one(style: str = "grows") -> Claude:
    made = Claude(style=style)
    made.prompt()
    made.message((3, 200, 40, 7), blocks=3, tool="Bash")
    made.message((5, 60, 80, 0))
    return made


@pytest.mark.parametrize("style", ["grows", "silent", "same"])
def test_a_message_over_several_lines_counts_once(desk: Desk, style: str) -> None:
    made = one(style)
    desk.write("p/s1.jsonl", text(made.lines))
    desk.load(later())
    assert desk.shelf.totals == made.truth
    assert [row["tokens_input"] for row in desk.shelf.kind("model")] == [50, 85]  # the cached ones are part of it


def test_what_a_row_says(desk: Desk) -> None:
    desk.write("p/s1.jsonl", text(one().lines))
    desk.load(later())
    (flow,), (tool,), call = desk.shelf.kind("flow"), desk.shelf.kind("tool"), desk.shelf.kind("model")[0]
    assert (call["way"], call["session"], call["model"], call["agent"]) == ("transcript", "s1", "claude-x", "main")
    assert call["call_id"] == "req-s1-msg-1"  # as spans and log events of the tool have it
    assert json.loads(call["attributes"]) == {"transcript.version": "2.1.0", "transcript.message_id": "s1-msg-1"}
    assert flow["flow_id"] == call["flow_id"] == tool["flow_id"] == "s1:s1-1"
    assert call["parent_id"] == tool["parent_id"] == flow["event_id"] == "claude-code:turn:s1-1"
    assert (tool["name"], tool["status"], tool["duration_ms"]) == ("Bash", "ok", 1000.0)
    assert (flow["name"], flow["status"], flow["duration_ms"]) == ("turn", "ok", 6000.0)
    assert flow["start_time"] == (START + timedelta(seconds=1)).replace(tzinfo=None)


@pytest.mark.parametrize("tool", READERS)
@pytest.mark.parametrize("asked", [False, True])
def test_text_is_kept_only_where_it_is_asked_for(tmp_path: Path, tool: str, asked: bool) -> None:
    desk = Desk(tmp_path, tool, text=asked)
    if tool == "codex":
        made = Codex()
        made.prompt()
        made.message((10, 5, 0), tool="shell")
        desk.write("rollout-1.jsonl", text(made.lines))
    else:
        desk.write("s1.jsonl", text(one().lines))
    desk.load()
    assert asked or SECRET not in (tmp_path / "marks.json").read_text()
    desk.load(later())
    having = {row["kind"] for row in desk.shelf.rows.values() if SECRET in str(row)}
    assert having == ({"flow", "model"} if asked else set())
    assert SECRET not in (tmp_path / "marks.json").read_text()


def test_a_failed_tool_and_a_failed_answer(desk: Desk) -> None:
    made = Claude()
    made.prompt()
    made.message((1, 2, 0, 0), tool="Bash", failed=True)
    error = {"id": "e", "model": "<synthetic>", "content": [], "usage": {"output_tokens": 0}}
    made.say("assistant", message=error, isApiErrorMessage=True, error="rate_limit")
    desk.write("s1.jsonl", text(made.lines))
    desk.load(later())
    assert desk.shelf.totals == made.truth
    assert desk.shelf.kind("tool")[0]["status"] == "error"
    assert (desk.shelf.kind("flow")[0]["status"], desk.shelf.kind("flow")[0]["error_type"]) == ("error", "rate_limit")


def test_sidechains_and_subagents_have_their_names(desk: Desk) -> None:
    main, side = one(), Claude("s1")
    main.message((1, 9, 0, 0), isSidechain=True)
    side.session = "s1"
    side.say("user", message={"content": SECRET}, isSidechain=True, agentId="a1")
    side._count = 100
    side.message((2, 8, 0, 0), isSidechain=True)
    desk.write("p/s1.jsonl", text(main.lines))
    desk.write("p/s1/subagents/agent-a1.jsonl", text(side.lines))
    desk.write("p/s1/subagents/agent-a1.meta.json", b'{"agentType": "Explore"}')
    desk.load(later())
    assert Counter(row["agent"] for row in desk.shelf.kind("model")) == {"main": 2, "sidechain": 1, "Explore": 1}
    assert desk.shelf.totals == main.truth + side.truth and len(desk.shelf.kind("flow")) == 1


def test_a_resumed_session_is_a_copy(desk: Desk) -> None:
    first = one()
    copied = Claude("s2")
    copied.lines = [line.replace('"sessionId": "s1"', '"sessionId": "s2"') for line in first.lines]
    copied.prompt()
    copied.message((4, 4, 4, 4))
    desk.write("a/1.jsonl", text(first.lines))
    desk.write("a/2.jsonl", text(copied.lines))
    desk.load(later())
    assert desk.shelf.totals == first.truth + copied.truth and len(desk.shelf.kind("flow")) == 2


def test_codex_calls_once(codex: Desk) -> None:
    made = Codex()
    made.prompt()
    made.message((100, 20, 30), again=3, tool="shell", output='{"output": "x", "metadata": {"exit_code": 1}}')
    made.message((140, 10, 90), tool="mcp__a__b")
    made.say("event_msg", {"type": "task_complete", "turn_id": "c1-turn-1", "duration_ms": 5000})
    codex.write("2026/01/06/rollout-1.jsonl", text(made.lines))
    codex.load()
    assert codex.shelf.totals == made.truth
    (flow,), call = codex.shelf.kind("flow"), codex.shelf.kind("model")[0]
    assert (flow["duration_ms"], flow["status"], flow["flow_id"]) == (5000.0, "ok", "c1:c1-turn-1")
    assert (call["model"], call["session"], call["call_id"]) == ("gpt-x", "c1", "c1:100:30:20")
    assert call["source"] == "codex_cli_rs"  # as its telemetry names itself, for what is told without a session
    assert [(row["tool"], row["status"]) for row in codex.shelf.kind("tool")] == [
        ("shell", "error"),
        ("mcp__a__b", "ok"),
    ]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_a_forked_session_does_not_count_its_past_again(codex: Desk, order: tuple[int, ...]) -> None:
    made = [Codex("c1")]
    for session in ("c1", "c2", "c3"):
        if session != "c1":
            made.append(Codex(session, made[-1]))
        made[-1].prompt()
        made[-1].message((100, 20 + len(made), 30), tool="shell")
    for place in order:
        codex.write(f"rollout-{place}.jsonl", text(made[place].lines))
        codex.load()
    assert codex.shelf.totals == sum((each.truth for each in made), Counter())


@pytest.mark.parametrize(
    ("source", "agent"),
    [
        ("vscode", "main"),
        ({"subagent": "review"}, "review"),
        ({"subagent": {"thread_spawn": {"parent_thread_id": "c0", "agent_role": "explorer"}}}, "explorer"),
        ({"subagent": {"other": "guardian"}}, "guardian"),
        ({"subagent": {"new": 1}}, "subagent"),
    ],
)
def test_who_acts_in_a_codex_session(codex: Desk, source: Any, agent: str) -> None:
    made = Codex()
    made.lines = []
    made.say("session_meta", {"id": "c1", "source": source})
    made.prompt()
    made.message((1, 1, 0))
    codex.write("rollout-1.jsonl", text(made.lines))
    codex.load()
    assert codex.shelf.kind("model")[0]["agent"] == agent


def test_an_older_codex_names_no_turns(codex: Desk) -> None:
    made = Codex()
    for output in (5, 6):
        made.say("turn_context", {"model": "gpt-old"})
        made.say("event_msg", {"type": "user_message", "message": SECRET})
        made.message((10, output, 0))
    codex.write("rollout-1.jsonl", text(made.lines))
    codex.load(later())
    assert len({row["flow_id"] for row in codex.shelf.kind("flow")}) == 2
    assert codex.shelf.totals == made.truth


def test_strange_lines_are_counted_and_named(desk: Desk) -> None:
    made = one()
    odd: list[Any] = [{"type": "hologram"}, {"type": 7}, {}, [1], "text", {"type": "assistant"}, {"type": "summary"}]
    odd += [{"type": "assistant", "timestamp": "soon"}, {"type": "user", "timestamp": made._clock.tick(), "message": 3}]
    body = text([json.dumps(line) for line in odd]) + b"\xff\xfe broken\n{\n\n" + text(made.lines)
    desk.write("s1.jsonl", body + b'{"type": "assis')
    tally = desk.load(later())
    assert desk.shelf.totals == made.truth
    assert tally.unknown == {"hologram": 1, "no type": 2}
    assert tally.skipped == {"not a JSON object": 4, "a line without a time": 2}


@pytest.mark.parametrize("tool", READERS)
@given(
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=6,
    ),
    field=st.sampled_from(["message", "payload", "timestamp", "usage", "content", "id", "info", "type", "source"]),
)
@settings(max_examples=60, deadline=None)
def test_nothing_in_a_line_stops_a_load(tool: str, value: Any, field: str) -> None:
    def spoiled(found: Any) -> Any:
        if isinstance(found, dict):
            return {name: value if name == field else spoiled(each) for name, each in found.items()}
        return [spoiled(each) for each in found] if isinstance(found, list) else found

    made: Claude | Codex = one()
    if tool == "codex":
        made = Codex()
        made.prompt()
        made.message((10, 5, 1), tool="shell")
    with tempfile.TemporaryDirectory() as folder:
        desk = Desk(Path(folder), tool)
        lines = [json.dumps(spoiled(json.loads(line))) for line in made.lines]
        desk.write("rollout-1.jsonl", text(lines) + text(made.lines))
        desk.load(later())
        assert desk.shelf.totals["calls"] >= made.truth["calls"]


def claude_of(draw: st.DrawFn, session: str) -> Claude:
    made = Claude(session, draw(st.sampled_from(["grows", "silent", "same"])))
    for _ in range(draw(st.integers(1, 3))):
        made.prompt()
        for _ in range(draw(st.integers(1, 3))):
            usage = (draw(counts), draw(counts), draw(counts), draw(counts))
            made.message(usage, blocks=draw(st.integers(1, 3)), tool=draw(st.sampled_from(["", "Bash", "Read"])))
    return made


def codex_of(draw: st.DrawFn, session: str, parent: Codex | None) -> Codex:
    made = Codex(session, parent)
    for _ in range(draw(st.integers(1, 3))):
        made.prompt()
        for _ in range(draw(st.integers(1, 3))):
            cached = draw(counts)
            grown = made.truth["tokens_input"] + 1  # the whole session is sent again, so no two calls are the same
            usage = (grown + cached + draw(counts), draw(counts), cached)
            made.message(usage, again=draw(st.integers(0, 2)), tool=draw(st.sampled_from(["", "shell"])))
    return made


@st.composite
def histories(draw: st.DrawFn) -> tuple[str, list[Claude] | list[Codex], list[tuple[int, int, bool]]]:
    """A tool, its sessions, and how their files grow: (file, bytes more, everything from the start)."""
    if draw(st.booleans()):
        made: Any = [claude_of(draw, f"s{i}") for i in range(draw(st.integers(1, 3)))]
        tool = "claude-code"
    else:
        made, tool = [], "codex"
        for i in range(draw(st.integers(1, 3))):
            made.append(codex_of(draw, f"c{i}", made[-1] if made and draw(st.booleans()) else None))
    step = st.tuples(st.integers(0, len(made) - 1), st.integers(1, 4000), st.sampled_from([False] * 4 + [True]))
    return tool, made, draw(st.lists(step, max_size=12))


@given(history=histories())
@settings(max_examples=60, deadline=None)
def test_any_split_and_any_order_of_loads_gives_the_same(history: Any) -> None:
    tool, made, steps = history
    with tempfile.TemporaryDirectory() as folder:
        desk = Desk(Path(folder), tool)
        bodies = [text(each.lines) for each in made]
        done = [0] * len(made)
        for file, size, afresh in steps:
            desk.write(f"rollout-{file}.jsonl", bodies[file][done[file] : done[file] + size], "ab")
            done[file] += size
            desk.load(afresh=afresh)
        for file, body in enumerate(bodies):
            desk.write(f"rollout-{file}.jsonl", body[done[file] :], "ab")
        desk.load(later())
        assert desk.shelf.totals == sum((each.truth for each in made), Counter())
        before = len(desk.shelf.rows)
        desk.load(later())
        desk.load(later(), afresh=True)
        assert len(desk.shelf.rows) == before


def test_a_second_load_reads_nothing(desk: Desk) -> None:
    desk.write("s1.jsonl", text(one().lines))
    first = desk.load(later())
    again, afresh = desk.load(later()), desk.load(later(), afresh=True)
    assert (first.accepted, again.rows, afresh.accepted, afresh.repeated) == (4, 0, 0, 4)


def test_a_message_that_is_being_written_waits(desk: Desk) -> None:
    made = one()
    desk.write("s1.jsonl", text(made.lines[:2]))
    assert desk.load().waiting == 1 and not desk.shelf.kind("model")
    desk.write("s1.jsonl", text(made.lines[2:]), "ab")
    assert desk.load().waiting == 0
    assert desk.shelf.totals == made.truth


def test_what_nobody_ends_is_told_as_it_is(desk: Desk) -> None:
    made = one()
    desk.write("s1.jsonl", text(made.lines[:2]))
    desk.load(later())  # cut short, so told under a name that does not stand in the way of the whole
    desk.write("s1.jsonl", text(made.lines[2:]), "ab")
    desk.load(later())
    assert desk.shelf.totals == made.truth
    tool = Claude()
    tool.prompt()
    tool.message((1, 1, 0, 0), tool="Bash")
    desk.write("s2.jsonl", text([line.replace("s1", "s9") for line in tool.lines[:-1]]))
    desk.load(later())
    assert [row["status"] for row in desk.shelf.kind("tool")] == ["ok", None]


@pytest.mark.parametrize("how", ["shorter", "moved", "replaced", "written anew"])
def test_files_that_shrink_and_rotate(desk: Desk, how: str) -> None:
    made, other = one(), Claude("s2")
    other.prompt()
    other.message((1, 7, 0, 0))
    path = desk.write("s1.jsonl", text(made.lines))
    desk.load()
    if how == "moved":
        path.rename(path.with_name("old.jsonl"))
    if how == "replaced":
        beside = desk.write("new", text(other.lines * 9))
        beside.replace(path)
    else:
        desk.write("s1.jsonl", text(other.lines * (1 if how == "shorter" else 9)))
    desk.load(later())
    assert desk.shelf.totals == made.truth + other.truth


def test_a_huge_line_is_left_out_alone(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transcripts_tail, "BLOCK", 1000)
    monkeypatch.setattr(transcripts_tail, "LINE_MAX", 20_000)
    made = one()
    huge = json.dumps({"type": "user", "image": "x" * 90_000}).encode()
    desk.write("s1.jsonl", text(made.lines[:3]) + huge[:50_000])
    assert desk.load().skipped == {"over 0 MiB": 1}
    desk.write("s1.jsonl", huge[50_000:] + b"\n" + text(made.lines[3:]), "ab")
    assert desk.load(later()).skipped == {}
    assert desk.shelf.totals == made.truth


def test_links_are_read_once(desk: Desk, tmp_path: Path) -> None:
    real = tmp_path / "elsewhere"
    real.mkdir()
    (real / "s1.jsonl").write_bytes(text(one().lines))
    os.symlink(real, desk.sessions / "link")
    os.symlink(real / "s1.jsonl", desk.sessions / "again.jsonl")
    os.symlink(desk.sessions, real / "round")
    os.symlink("/nowhere", desk.sessions / "broken.jsonl")
    assert len(sessions(READERS["claude-code"], [desk.sessions])) == 1
    desk.load(later())
    assert desk.shelf.totals == one().truth


def test_marks_that_are_lost_or_broken_cost_nothing(desk: Desk, tmp_path: Path) -> None:
    desk.write("s1.jsonl", text(one().lines))
    desk.load(later())
    assert (tmp_path / "marks.json").stat().st_mode & 0o777 == 0o600
    for broken in (b"", b"{}", b'{"version": 99, "files": {}}', b"\xff"):
        (tmp_path / "marks.json").write_bytes(broken)
        desk.load(later())
    assert desk.shelf.totals == one().truth and len(desk.shelf.rows) == 4


def test_a_send_that_fails_loses_nothing(desk: Desk) -> None:
    desk.write("s1.jsonl", text(one().lines))
    send, failing = desk.shelf.send, iter([OSError("away")])

    def flaky(table: Any) -> Any:
        for error in failing:
            raise error
        return send(table)

    desk.shelf.send = flaky  # type: ignore[method-assign]
    with pytest.raises(OSError, match="away"):
        desk.load(later())
    desk.load(later())
    assert desk.shelf.totals == one().truth


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("tool", READERS)
def test_where_sessions_are_looked_for(home: Path, tool: str) -> None:
    reader = READERS[tool]
    with pytest.raises(NotFound, match="expected") as refused:
        roots(reader, [], {})
    assert reader.variable in str(refused.value.hint)
    with pytest.raises(NotFound, match="no folder"):
        roots(reader, [home / "gone"], {})
    below = "sessions" if tool == "codex" else "projects"
    (home / "own" / below).mkdir(parents=True)
    assert roots(reader, [], {reader.variable: str(home / "own")}) == [home / "own" / below]
    assert roots(reader, [home / "own"], {}) == [home / "own" / below]
    (home / {"codex": ".codex", "claude-code": ".claude"}[tool] / below).mkdir(parents=True)
    assert roots(reader, [], {}) == [home / {"codex": ".codex", "claude-code": ".claude"}[tool] / below]
