"""Session files of Codex CLI: a line per item, the usage of each response as a line of its own."""

from __future__ import annotations

import re
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

CALLS = ("function_call", "custom_tool_call", "local_shell_call")
OUTPUTS = ("function_call_output", "custom_tool_call_output", "local_shell_call_output")
SILENT = frozenset(("compacted", "ghost_snapshot"))
EXIT = re.compile(r"\A.{0,200}?(?:exit code|exited with code):?\s*(-?\d+)", re.IGNORECASE | re.DOTALL)
USAGE = ("input_tokens", "cached_input_tokens", "output_tokens", "reasoning_output_tokens", "total_tokens")


class Codex:
    """Reads ~/.codex/sessions/YEAR/MONTH/DAY/rollout-*.jsonl."""

    name, title, variable = "codex", "Codex CLI", "CODEX_HOME"

    def folders(self, environ: Mapping[str, str]) -> list[Path]:
        home = Path(environ.get(self.variable) or "~/.codex").expanduser()
        return [home / "sessions", home / "archived_sessions"]

    def within(self, folder: Path) -> list[Path]:
        kept = [folder / name for name in ("sessions", "archived_sessions")]
        return [each for each in kept if each.is_dir()] or [folder]

    def mine(self, name: str) -> bool:
        return name.startswith("rollout-") and name.endswith(".jsonl")

    def begin(self, path: Path, state: State) -> None:
        """The place says nothing."""

    def line(self, said: dict[str, Any], state: State, rows: Rows) -> None:
        handlers = {
            "session_meta": self._session,
            "turn_context": self._context,
            "response_item": self._item,
            "event_msg": self._event,
        }
        type = word(said.get("type"))
        handler = handlers.get(type)
        if handler is None:
            if type not in SILENT:
                rows.strange(type)
            return
        time = moment(said.get("timestamp"))
        if time is None:
            rows.skipped["a line without a time"] += 1
            return
        handler(inner(said, "payload"), time, state, rows)
        kept_open(state, rows)

    def _session(self, payload: dict[str, Any], time: datetime, state: State, rows: Rows) -> None:
        """The first one is the file's own; those after it came with a history that was copied from another session."""
        id = word(payload.get("id"))
        if state.session:
            state.scope = id or state.scope
            return
        state.session, state.version = id, word(payload.get("cli_version"))
        state.scope = word(payload.get("forked_from_id")) or id
        state.agent, state.source = _agent(payload), word(payload.get("originator"))

    def _context(self, payload: dict[str, Any], time: datetime, state: State, rows: Rows) -> None:
        state.model = word(payload.get("model")) or state.model
        if turn := word(payload.get("turn_id")):
            _begin(turn, True, time, state, rows)

    def _event(self, payload: dict[str, Any], time: datetime, state: State, rows: Rows) -> None:
        type, turn = payload.get("type"), word(payload.get("turn_id"))
        if type == "token_count":
            self._usage(inner(payload, "info"), time, state, rows)
        elif type in ("task_started", "turn_started") and turn:
            _begin(turn, True, time, state, rows)
        elif type == "user_message":
            if state.turn is None or not state.turn.said:
                _begin(time.isoformat(), False, time, state, rows)
            if state.turn is not None:
                rows.quote(state.turn.text, payload.get("message"))
        elif type in ("task_complete", "turn_complete", "turn_aborted") and state.turn is not None:
            state.turn.ended = type != "turn_aborted"
            took = number(payload.get("duration_ms"))
            close(state, rows, state.turn.start + timedelta(milliseconds=min(took, 10**11)) if took else time)

    def _usage(self, info: dict[str, Any], time: datetime, state: State, rows: Rows) -> None:
        """A count is a call only where the total moved: it is written again whenever the limits are looked at."""
        last, total = inner(info, "last_token_usage"), inner(info, "total_token_usage")
        used = [number(last.get(name)) for name in USAGE]
        if not (used[0] or used[2]):
            return
        sums = [number(total.get(name)) for name in USAGE]
        scope = state.scope or state.session
        id = f"{scope}:{'.'.join(map(str, sums))}" if total else f"{scope}:{time.isoformat()}"
        if id == state.last:
            return
        state.last = id
        input, output, cached = used[0], used[2], min(used[1], used[0])
        call_id = f"{state.session}:{input}:{cached}:{output}"  # no id of the response is written, here or in the logs
        model = word(info.get("model")) or state.model
        written = min(number(last.get("cache_write_input_tokens")), input - cached)
        call = Call(id, call_id, model, state.agent, state.flow, state.root, time, input, output, cached, written, True)
        call.text, state.text = state.text, []
        rows.call(call, state)
        counted(state, time)

    def _item(self, payload: dict[str, Any], time: datetime, state: State, rows: Rows) -> None:
        type, id = payload.get("type"), word(payload.get("call_id")) or word(payload.get("id"))
        key = f"{state.scope or state.session}:{id}"
        if type == "message" and payload.get("role") == "assistant":
            rows.quote(state.text, *(part.get("text") for part in items(payload.get("content"))))
        elif type in CALLS and id:
            name = "local_shell" if type == "local_shell_call" else word(payload.get("name")) or "tool"
            state.tools.setdefault(key, Use(name, state.agent, state.flow, state.root, time))
        elif type in OUTPUTS and (use := state.tools.pop(key, None)):
            rows.use(key, use, state, time, "error" if _failed(payload.get("output")) else "ok")
            counted(state, time)
        elif type == "web_search_call":
            use = Use("web_search", state.agent, state.flow, state.root, time)
            rows.use(key if id else f"{key}{time.isoformat()}", use, state, None, None)
            counted(state, time)


def _begin(turn: str, said: bool, time: datetime, state: State, rows: Rows) -> None:
    root = f"turn:{state.scope or state.session}:{turn}"
    if root == state.root:
        return
    text = state.turn.text if state.turn and not (state.turn.said or state.turn.calls) else []
    close(state, rows)
    state.flow, state.root = f"{state.session}:{turn}", root
    state.turn = Turn(root, state.flow, time, time, said, text=text)


def _agent(payload: dict[str, Any]) -> str:
    """Who acts in a session: main, or what a subagent is for."""
    source = inner(payload, "source").get("subagent")
    if source is None:
        return "main"
    spawned = inner(source, "thread_spawn")
    named = word(payload.get("agent_role")) or word(spawned.get("agent_role")) or word(inner(source).get("other"))
    return named or word(source) or "subagent"


def _failed(output: Any) -> bool:
    """Whether the output of a tool says that it failed."""
    if isinstance(output, str):
        if output.startswith("{"):
            try:
                output = msgspec.json.decode(output)
            except msgspec.DecodeError:
                return False
        else:
            found = EXIT.match(output)
            return found is not None and int(found[1]) != 0
    about = inner(output)
    return about.get("success") is False or number(abs(_code(about))) > 0


def _code(about: dict[str, Any]) -> int:
    code = inner(about, "metadata").get("exit_code")
    return code if isinstance(code, int) else 0
