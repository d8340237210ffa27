"""Session files as the tools write them, made here: their lines, and what is true of them."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa

from analytics.load.run import Kept

START = datetime(2026, 1, 6, 9, 0, tzinfo=UTC)
NAMES = ("tokens_input", "tokens_output", "tokens_cached", "tokens_cache_written")
SECRET = "the secret of the prompt"


class Clock:
    """Every line a second later."""

    def __init__(self) -> None:
        self._at = START

    def tick(self) -> str:
        self._at += timedelta(seconds=1)
        return self._at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Claude:
    """A session of Claude Code. `style`: how a message's lines tell its usage: `grows` (the last one is whole and
    says why it stopped), `silent` (grows, and never says why) or `same` (every line is whole)."""

    def __init__(self, session: str = "s1", style: str = "grows") -> None:
        self.session, self.style, self.lines = session, style, list[str]()
        self.truth: Counter[str] = Counter()
        self._clock, self._count = Clock(), 0

    def say(self, type: str, **more: Any) -> None:
        self._count += 1
        line: dict[str, Any] = {"type": type, "sessionId": self.session, "uuid": f"{self.session}-{self._count}"}
        line |= {"timestamp": self._clock.tick(), "version": "2.1.0", "isSidechain": False, "cwd": "/home/x"}
        self.lines.append(json.dumps(line | more))

    def prompt(self) -> None:
        self.say("user", message={"role": "user", "content": SECRET})

    def message(
        self, usage: tuple[int, int, int, int], blocks: int = 2, tool: str = "", failed: bool = False, **more: Any
    ) -> None:
        """usage: input, output, cached, written. The last block is a tool use where one is named."""
        id = f"{self.session}-msg-{self._count}"
        input, output, cached, written = usage
        for block in range(blocks):
            last = block == blocks - 1
            whole = last or self.style == "same"
            said = {"input_tokens": input, "output_tokens": output if whole else min(1, output)}
            said |= {"cache_read_input_tokens": cached, "cache_creation_input_tokens": written}
            content: dict[str, Any] = {"type": "text", "text": SECRET}
            if last and tool:
                content = {"type": "tool_use", "id": f"toolu-{id}", "name": tool, "input": {"command": SECRET}}
            why = None if self.style == "silent" or not whole else "end_turn"
            body = {"id": id, "model": "claude-x", "role": "assistant", "content": [content], "usage": said}
            self.say("assistant", requestId=f"req-{id}", message=body | {"stop_reason": why}, **more)
        if tool:
            result = {"type": "tool_result", "tool_use_id": f"toolu-{id}", "content": SECRET, "is_error": failed}
            self.say("user", message={"role": "user", "content": [result]}, **more)
            self.truth["tools"] += 1
        self.truth.update({"calls": 1, "tokens_input": input + cached + written, "tokens_output": output})
        self.truth.update({"tokens_cached": cached, "tokens_cache_written": written})


class Codex:
    """A session of Codex CLI; `parent` is one whose history it begins with."""

    def __init__(self, session: str = "c1", parent: Codex | None = None) -> None:
        self.session, self.lines = session, list[str]()
        self.truth: Counter[str] = Counter()
        self._clock, self._sums, self._turns, self._tools = Clock(), [0] * 5, 0, 0
        about = {"id": session, "cli_version": "0.131.0", "source": "cli", "originator": "codex_cli_rs"}
        self.say("session_meta", about | ({"forked_from_id": parent.session} if parent else {}))
        if parent is not None:
            self.lines += parent.lines
            self._sums = list(parent._sums)

    def say(self, type: str, payload: dict[str, Any]) -> None:
        self.lines.append(json.dumps({"timestamp": self._clock.tick(), "type": type, "payload": payload}))

    def prompt(self) -> None:
        self._turns += 1
        turn = f"{self.session}-turn-{self._turns}"
        self.say("event_msg", {"type": "task_started", "turn_id": turn})
        self.say("turn_context", {"turn_id": turn, "model": "gpt-x"})
        self.say("event_msg", {"type": "user_message", "message": SECRET})

    def message(self, usage: tuple[int, int, int], again: int = 0, tool: str = "", output: str = "ok") -> None:
        """usage: input with the cached, output, cached; `again`: how often the count is written once more."""
        input, out, cached = usage
        for place, value in enumerate((input, cached, out, 0, input + out)):
            self._sums[place] += value
        names = ("input_tokens", "cached_input_tokens", "output_tokens", "reasoning_output_tokens", "total_tokens")
        last = dict(zip(names, (input, cached, out, 0, input + out), strict=True))
        info = {"total_token_usage": dict(zip(names, self._sums, strict=True)), "last_token_usage": last}
        text = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": SECRET}]}
        self.say("response_item", text)
        if tool:
            self._tools += 1
            call = f"call-{self.session}-{self._tools}"
            self.say("response_item", {"type": "function_call", "name": tool, "call_id": call, "arguments": SECRET})
            self.say("response_item", {"type": "function_call_output", "call_id": call, "output": output})
            self.truth["tools"] += 1
        for _ in range(1 + again):
            self.say("event_msg", {"type": "token_count", "info": info, "rate_limits": None})
        self.truth.update({"calls": 1, "tokens_input": input, "tokens_output": out, "tokens_cached": cached})


class Shelf:
    """Keeps rows as the store does, each event_id once."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, Any]] = {}

    def send(self, table: pa.Table) -> Kept:
        before = len(self.rows)
        for row in table.to_pylist():
            self.rows.setdefault(row["event_id"], row)
        new = len(self.rows) - before
        return Kept(new, table.num_rows - new)

    def kind(self, kind: str) -> list[dict[str, Any]]:
        return [row for row in self.rows.values() if row["kind"] == kind]

    @property
    def totals(self) -> Counter[str]:
        """Of the calls, each once: of several rows of one the largest."""
        calls: dict[str, dict[str, Any]] = {}
        for row in sorted(self.kind("model"), key=lambda row: row["tokens_output"]):
            calls[row["call_id"]] = row
        found = Counter({"calls": len(calls), "tools": len(self.kind("tool"))})
        for row in calls.values():
            found.update({name: row[name] for name in NAMES})
        return found


def text(lines: list[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


def marks(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(next(folder.glob("transcripts-*.json")).read_bytes())
    return found
