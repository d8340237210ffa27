"""What the session files of a coding tool tell, as events: a row per model call, per tool use and per turn. Text stays
where it lies unless somebody asks for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import msgspec
import pyarrow as pa

from analytics.events import SCHEMA
from analytics.ingest.values import INT64

WORD = 200  # letters of a name or an id
TEXT = 16_000  # letters of a prompt or a completion, where they are asked for
TEXTS = 100  # pieces of it
OPEN = 1_000  # messages, and tool uses, of one file that wait for their end
NAMES = 20  # unknown types of lines that are named


class Call(msgspec.Struct):
    """A model call whose lines are still coming. `final`: the file says that its usage grows no more."""

    id: str
    call_id: str
    model: str
    agent: str
    flow: str
    parent: str
    time: datetime
    input: int = 0
    output: int = 0
    cached: int = 0
    written: int = 0
    final: bool = False
    text: list[str] = []


class Use(msgspec.Struct):
    """A tool use without its result."""

    name: str
    agent: str
    flow: str
    parent: str
    start: datetime


class Turn(msgspec.Struct):
    """From what a person asked to the end of the answer. `said`: the file gives it an id."""

    id: str
    flow: str
    start: datetime
    end: datetime
    said: bool = True
    calls: int = 0
    error: str = ""
    ended: bool = True
    text: list[str] = []


class State(msgspec.Struct):
    """What must be known of a file to read on: it is kept beside the offset."""

    source: str = ""  # what the tool calls itself where it sends telemetry, if not its name
    session: str = ""
    scope: str = ""  # the session that a copied history began in
    agent: str = "main"
    model: str = ""
    version: str = ""
    flow: str = ""
    root: str = ""
    last: str = ""  # the id of the last call
    turn: Turn | None = None
    calls: dict[str, Call] = {}
    tools: dict[str, Use] = {}
    text: list[str] = []

    @property
    def open(self) -> bool:
        return bool(self.turn or self.calls or self.tools)


class Rows:
    """Events on their way, and what was met beside them."""

    def __init__(self, tool: str, *, text: bool = False) -> None:
        self._tool, self._text = tool, text
        self.events: list[dict[str, Any]] = []
        self.unknown: Counter[str] = Counter()  # types of lines that are not known, by name
        self.skipped: Counter[str] = Counter()  # lines that cannot be read, by why

    def call(self, call: Call, state: State) -> None:
        """A model call; one that may have been cut short is told by its usage too, so that it never stands in the way
        of the whole one."""
        about = {"transcript.version": state.version, "transcript.message_id": call.id}
        self._add(
            "model", "chat", call.id if call.final else f"{call.id}:{call.output}", call.time, state,
            flow_id=call.flow, parent_id=call.parent, call_id=call.call_id, agent=call.agent, model=call.model,
            status="ok", tokens_input=call.input, tokens_output=call.output, tokens_cached=call.cached,
            tokens_cache_written=call.written, attributes=self._about(about, "transcript.completion", call.text),
        )  # fmt: skip

    def use(self, id: str, use: Use, state: State, end: datetime | None, status: str | None) -> None:
        """A tool use, ended or given up."""
        took = None if end is None else max((end - use.start).total_seconds() * 1000, 0.0)
        self._add(
            "tool", use.name, id, end or use.start, state, start_time=_naive(use.start), flow_id=use.flow,
            parent_id=use.parent, call_id=id.rpartition(":")[2], agent=use.agent, tool=use.name, status=status,
            duration_ms=took, attributes=self._about({"transcript.version": state.version}),
        )  # fmt: skip

    def turn(self, turn: Turn, state: State) -> None:
        """A turn, where it led to anything; its name never says what was asked."""
        if turn.calls:
            self._add(
                "flow", "turn", turn.id, turn.end, state, start_time=_naive(turn.start), flow_id=turn.flow,
                agent=state.agent, status="error" if turn.error else "ok" if turn.ended else None,
                error_type=turn.error or None, duration_ms=max((turn.end - turn.start).total_seconds() * 1000, 0.0),
                attributes=self._about({"transcript.version": state.version}, "transcript.prompt", turn.text),
            )  # fmt: skip

    def quote(self, kept: list[str], *said: Any) -> None:
        """Remember text for a row, where text is asked for; else not even the marks have it."""
        if self._text and len(kept) < TEXTS:
            kept += [text[:TEXT] for text in said if isinstance(text, str)]

    def strange(self, type: str) -> None:
        name = type or "no type"
        self.unknown[name if name in self.unknown or len(self.unknown) < NAMES else "others"] += 1

    def table(self, received: datetime) -> pa.Table:
        """What was collected, as rows of the schema of events."""
        arrived = {"received": _naive(received)}
        return pa.Table.from_pylist([event | arrived for event in self.events], SCHEMA)

    def _add(self, kind: str, name: str, id: str, time: datetime, state: State, **more: Any) -> None:
        own = {"time": _naive(time), "event_id": f"{self._tool}:{id}", "kind": kind, "name": name}
        own |= {"source": state.source or self._tool, "session": state.session or None, "way": "transcript"}
        parent = {"parent_id": f"{self._tool}:{more['parent_id']}"} if more.get("parent_id") else {"parent_id": None}
        rest = {key: None if value == "" else value for key, value in more.items()}
        self.events.append(own | rest | parent)

    def _about(self, facts: Mapping[str, str], name: str = "", text: list[str] | None = None) -> str | None:
        found = {key: value for key, value in facts.items() if value}
        if text:
            found[name] = "\n".join(text)[:TEXT]
        return msgspec.json.encode(found).decode() if found else None


class Reader(Protocol):
    """Knows one tool: where its files lie and what their lines mean."""

    name: str
    title: str
    variable: str

    def folders(self, environ: Mapping[str, str]) -> list[Path]:
        """Where the tool keeps its sessions, the usual place first."""

    def within(self, folder: Path) -> list[Path]:
        """The sessions of a folder that a person named."""

    def mine(self, name: str) -> bool:
        """Whether a file of this name is a session."""

    def begin(self, path: Path, state: State) -> None:
        """What the place of a file says before its first line."""

    def line(self, said: dict[str, Any], state: State, rows: Rows) -> None:
        """One line."""


def settle(state: State, rows: Rows, *, quiet: bool) -> None:
    """Let go of what is complete; of everything where nothing more is to come."""
    for key in [key for key, call in state.calls.items() if call.final or quiet]:
        rows.call(state.calls.pop(key), state)
    if not quiet:
        return
    for key in list(state.tools):
        rows.use(key, state.tools.pop(key), state, None, None)
    close(state, rows)


def close(state: State, rows: Rows, end: datetime | None = None) -> None:
    """The turn is over, at `end` where the file says so; what comes until the next one still belongs to its flow."""
    if state.turn is not None:
        state.turn.end = end or state.turn.end
        rows.turn(state.turn, state)
        state.turn = None


def counted(state: State, time: datetime) -> None:
    """Something was done in the turn."""
    if state.turn is not None:
        state.turn.calls += 1
        state.turn.end = max(state.turn.end, time)


def kept_open(state: State, rows: Rows) -> None:
    """However odd a file is, what waits in it stays bounded."""
    while len(state.calls) > OPEN:
        rows.call(state.calls.pop(next(iter(state.calls))), state)
    while len(state.tools) > OPEN:
        key = next(iter(state.tools))
        rows.use(key, state.tools.pop(key), state, None, None)


def moment(value: Any) -> datetime | None:
    """A timestamp of a line, aware; None where it is none."""
    try:
        found = datetime.fromisoformat(value)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        return None


def word(value: Any) -> str:
    """A name or an id; "" where it is no text."""
    return value[:WORD] if isinstance(value, str) else ""


def number(value: Any) -> int:
    """A count; 0 where it is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value in INT64 else 0


def inner(value: Any, *names: str) -> dict[str, Any]:
    """The object at the end of a path; empty where there is none."""
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def items(value: Any) -> list[dict[str, Any]]:
    """The objects of a list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _naive(time: datetime) -> datetime:
    return time.astimezone(UTC).replace(tzinfo=None)
