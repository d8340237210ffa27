"""Session files of Claude Code: a line per block of a message, so that one message fills several."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from analytics.load.transcripts import (
    Call,
    Rows,
    State,
    Turn,
    Use,
    close,
    counted,
    inner,
    items,
    kept_open,
    moment,
    number,
    word,
)

SILENT = frozenset(
    "summary file-history-snapshot queue-operation progress attachment custom-title ai-title agent-name agent-color "
    "agent-setting last-prompt permission-mode mode tag pr-link worktree-state task-summary".split()
)  # lines that tell neither a call nor a turn
SIDE = "sidechain"


class ClaudeCode:
    """Reads ~/.claude/projects/PROJECT/SESSION.jsonl and the files of subagents below it."""

    name, title, variable = "claude-code", "Claude Code", "CLAUDE_CONFIG_DIR"

    def folders(self, environ: Mapping[str, str]) -> list[Path]:
        if told := environ.get(self.variable):
            return [Path(told).expanduser() / "projects"]
        return [Path(folder).expanduser() / "projects" for folder in ("~/.claude", "~/.config/claude")]

    def within(self, folder: Path) -> list[Path]:
        return [folder / "projects" if (folder / "projects").is_dir() else folder]

    def mine(self, name: str) -> bool:
        return name.endswith(".jsonl")

    def begin(self, path: Path, state: State) -> None:
        """A subagent's file has its name beside it."""
        if path.name.startswith("agent-"):
            state.agent = SIDE
            try:
                about = msgspec.json.decode(path.with_suffix(".meta.json").read_bytes())
            except (OSError, msgspec.DecodeError):
                return
            state.agent = word(inner(about).get("agentType")) or SIDE

    def line(self, said: dict[str, Any], state: State, rows: Rows) -> None:
        type = word(said.get("type"))
        if type not in ("user", "assistant", "system"):
            if type not in SILENT:
                rows.strange(type)
            return
        time = moment(said.get("timestamp"))
        if time is None:
            rows.skipped["a line without a time"] += 1
            return
        state.session = word(said.get("sessionId")) or state.session
        state.version = word(said.get("version")) or state.version
        if type == "assistant":
            self._assistant(said, inner(said, "message"), time, state, rows)
        elif type == "user":
            self._user(said, inner(said, "message").get("content"), time, state, rows)
        elif said.get("subtype") == "turn_duration" and state.turn is not None:
            took = timedelta(milliseconds=min(number(said.get("durationMs")), 10**11))
            close(state, rows, state.turn.start + took)
        kept_open(state, rows)

    def _assistant(
        self, said: dict[str, Any], message: dict[str, Any], time: datetime, state: State, rows: Rows
    ) -> None:
        if said.get("isApiErrorMessage") and state.turn is not None:
            state.turn.error = word(said.get("error")) or "api_error"
        id = word(message.get("id")) or word(said.get("uuid"))
        model = word(message.get("model"))
        if not id or model == "<synthetic>":  # written by the tool itself, no model was asked
            return
        agent = self._agent(said, state)
        for other in [c.id for c in state.calls.values() if c.id != id and c.agent == agent]:
            rows.call(state.calls.pop(other), state)
        call = state.calls.get(id)
        if call is None:
            asked = word(said.get("requestId")) or id
            call = Call(id, asked, model, agent, state.flow, state.root, time, output=-1)
            state.calls[id] = call
            counted(state, time)
        _grow(call, inner(message, "usage"), time)
        call.final = call.final or message.get("stop_reason") is not None
        for block in items(message.get("content")):
            if block.get("type") == "text":
                rows.quote(call.text, block.get("text"))
            if block.get("type") == "tool_use" and (use := word(block.get("id"))):
                name = word(block.get("name")) or "tool"
                state.tools.setdefault(use, Use(name, agent, state.flow, state.root, time))
        if state.turn is not None:
            state.turn.end = max(state.turn.end, time)

    def _user(self, said: dict[str, Any], content: Any, time: datetime, state: State, rows: Rows) -> None:
        results = [block for block in items(content) if block.get("type") == "tool_result"]
        for block in results:
            id = word(block.get("tool_use_id"))
            if use := state.tools.pop(id, None):
                rows.use(id, use, state, time, "error" if block.get("is_error") else "ok")
                counted(state, time)
        if results or said.get("isMeta") or said.get("isCompactSummary"):
            return
        asked = word(said.get("promptId")) or word(said.get("uuid")) or time.isoformat()
        side = self._agent(said, state) != "main"
        if side and (state.agent == "main" or (state.flow and not said.get("promptId"))):
            return  # what one agent asks of another is no turn of its own
        flow, root = f"{state.session}:{asked}", f"turn:{asked}"
        if root == state.root:
            return
        for key in [key for key, call in state.calls.items() if side or call.agent == "main"]:
            rows.call(state.calls.pop(key), state)
        close(state, rows)
        state.flow, state.root = flow, root
        if not side:
            state.turn = Turn(root, flow, time, time)
            rows.quote(state.turn.text, content, *(block.get("text") for block in items(content)))

    def _agent(self, said: dict[str, Any], state: State) -> str:
        return SIDE if said.get("isSidechain") and state.agent == "main" else state.agent


def _grow(call: Call, usage: dict[str, Any], time: datetime) -> None:
    """The line with the most output counts: it is the last one of a stream, and in every order the same."""
    output = number(usage.get("output_tokens"))
    if output >= call.output:
        call.cached = number(usage.get("cache_read_input_tokens"))
        call.written = number(usage.get("cache_creation_input_tokens"))
        call.input = number(usage.get("input_tokens")) + call.cached + call.written
        call.output = output
    call.time = max(call.time, time)
