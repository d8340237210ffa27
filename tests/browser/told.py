"""An hour of calls that three tools tell in several ways: some of it lost on the way, some of it told differently."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

Row = dict[str, Any]


class Call(NamedTuple):
    """One call: its tool, number and session, how long before the end it was, and what it used."""

    source: str
    number: int
    session: str
    before: timedelta
    model: str
    tokens_input: int
    tokens_output: int

    @property
    def cost_usd(self) -> float:
        return round(3e-6 * self.tokens_input + 15e-6 * self.tokens_output, 6)

    def row(self, way: str, now: datetime, **other: Any) -> Row:
        """As one way tells it."""
        ended = now - self.before - timedelta(seconds=len(way) / 10)
        found = {
            "time": ended.isoformat(), "event_id": f"{self.source}-{way}-{self.number}", "kind": "model", "way": way,
            "source": self.source, "name": "chat", "session": self.session, "model": self.model, "duration_ms": 2400.0,
            "call_id": f"msg_{self.source}_{self.number:03}", "tokens_input": self.tokens_input,
            "tokens_output": self.tokens_output,
        }  # fmt: skip
        return found | other


def calls(source: str, model: str, count: int, session: str) -> list[Call]:
    """Four calls to a session, the last one now."""
    apart = timedelta(minutes=50) / count
    return [
        Call(
            source,
            n,
            f"{session}-{n // 4 + 1}",
            apart * (count - 1 - n),
            model,
            6200 + 1310 * (n % 7),
            340 + 90 * (n % 5),
        )
        for n in range(count)
    ]


def grown(call: Call, now: datetime) -> list[Row]:
    """What the counters of a tool grew by while it called: tokens, whose money the last one tells."""
    parts: list[Row] = [
        {"tokens_input": call.tokens_input, "cost_usd": 0.0},
        {"tokens_output": call.tokens_output, "cost_usd": 0.0},
        {"cost_usd": call.cost_usd},
    ]
    gone = {"call_id": None, "duration_ms": None, "tokens_input": None, "tokens_output": None, "kind": "usage"}
    return [call.row("metric", now, **gone | part, event_id=f"{call.source}-m{call.number}-{n}", name="token.usage")
            for n, part in enumerate(parts)]  # fmt: skip


def told(now: datetime | None = None) -> list[Row]:
    """All rows. Claude Code: logs of every call, counters of a quarter, session files that saw two answers grow. Codex:
    spans in flows, and logs of most of them, one of which was cut off. Gemini: counters alone."""
    now = now or datetime.now(UTC)
    claude = calls("claude-code", "claude-sonnet-4-5", 48, "refactor")
    codex = calls("codex", "gpt-5", 32, "review")
    rows = [call.row("log", now, cost_usd=call.cost_usd) for call in claude]
    rows += [row for call in claude[:12] for row in grown(call, now)]
    rows += [
        call.row("transcript", now, **({"tokens_output": call.tokens_output + 410} if call.number in (21, 40) else {}))
        for call in claude
    ]
    for call in codex:
        flow = {"flow_id": f"trace-{call.number:03}", "agent": "codex"}
        rows.append(call.row("span", now, **flow))
        root = {"event_id": flow["flow_id"], "kind": "flow", "name": "review a change", "call_id": None, "status": "ok"}
        rows.append(call.row("span", now, **flow, **root, tokens_input=None, tokens_output=None))
        if call.number % 8 != 5:
            rows.append(call.row("log", now, tokens_output=call.tokens_output - (120 if call.number == 9 else 0)))
    for call in calls("gemini-cli", "gemini-3-pro", 12, "notes"):
        rows += [row | {"cost_usd": None} for row in grown(call, now)[:2]]
    return rows
