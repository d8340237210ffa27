"""Known calls of a coding tool, and what is sent of them: OTLP in four ways, and session files."""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from typer.testing import CliRunner

from tests.transcript_files import Claude, text

TELLING = {"log", "span", "transcript"}  # of each call by itself
SOURCE = {"service.name": "claude-code"}

T = TypeVar("T")
Group = dict[str, Any]
Action = tuple[str, list[Group]]  # path and groups; no groups: a pass over the session files


class Call(msgspec.Struct, frozen=True):
    """One call as it happened: tokens that are fresh, cached, written to the cache, and of the answer."""

    session: str
    model: str
    id: str
    at: int  # ns
    fresh: int
    cached: int
    written: int
    output: int
    tool: str = ""

    @property
    def input(self) -> int:
        return self.fresh + self.cached + self.written

    @property
    def cost(self) -> float:
        return (15.625 * self.fresh + 1.953125 * self.cached + 31.25 * self.written + 62.5 * self.output) / 1e6


class Session:
    """A session of one model: its calls, and the file that the tool writes of it."""

    def __init__(self, name: str, model: str, temporality: str, chance: random.Random, *, even: bool = False) -> None:
        self.temporality, self.calls = temporality, list[Call]()
        self._file = Claude(name, chance.choice(("grows", "silent", "same")))
        self._file.prompt()
        for _ in range(5):
            fresh, output, cached, written = (1000 if even else 1000 * chance.randrange(1, 90) for _ in range(4))
            id = f"{name}-msg-{self._file._count}"
            tool = f"toolu-{id}" if chance.random() < 0.3 else ""
            self._file.message((fresh, output, cached, written), tool="Bash" if tool else "")
            said = datetime.fromisoformat(json.loads(self._file.lines[-1])["timestamp"])
            at = int(said.timestamp()) * 10**9
            self.calls.append(Call(name, model, f"req-{id}", at, fresh, cached, written, output, tool))
        self.lines = [line.replace("claude-x", model) for line in self._file.lines]


def pairs(values: dict[str, Any]) -> list[dict[str, Any]]:
    def value(given: Any) -> dict[str, Any]:
        if isinstance(given, float):
            return {"doubleValue": given}
        return {"intValue": str(given)} if isinstance(given, int) else {"stringValue": given}

    return [{"key": key, "value": value(given)} for key, given in values.items()]


def logs(call: Call) -> Iterator[Group]:
    def record(name: str, more: dict[str, str]) -> Group:
        about = pairs({"session.id": call.session, "event.name": name, "event.timestamp": str(call.at)} | more)
        said = {"timeUnixNano": str(call.at), "body": {"stringValue": f"claude_code.{name}"}, "attributes": about}
        return {"resource": {"attributes": pairs(SOURCE)}, "scopeLogs": [{"logRecords": [said]}]}

    yield record("api_request", {k: str(v) for k, v in requested(call).items()})
    if call.tool:
        yield record("tool_result", {"tool_name": "Bash", "tool_use_id": call.tool, "success": "true"})


def requested(call: Call) -> dict[str, Any]:
    """The attributes of an api_request."""
    return {
        "model": call.model, "cost_usd": call.cost, "input_tokens": call.fresh, "output_tokens": call.output,
        "cache_read_tokens": call.cached, "cache_creation_tokens": call.written, "request_id": call.id,
    }  # fmt: skip


def spans(call: Call, chance: random.Random) -> Iterator[Group]:
    """By the tool's names or those of the conventions, within a flow or alone, with the session or without."""

    def span(name: str, about: dict[str, Any], parent: str = "") -> Group:
        said: Group = {
            "traceId": f"{chance.getrandbits(128):032x}",
            "spanId": f"{chance.getrandbits(64):016x}",
            "name": name,
        }
        said |= {"kind": 3, "startTimeUnixNano": str(call.at - 10**9), "endTimeUnixNano": str(call.at)}
        said |= {"parentSpanId": parent, "attributes": pairs(about)}
        return {"resource": {"attributes": pairs(SOURCE)}, "scopeSpans": [{"spans": [said]}]}

    if chance.random() < 0.5:
        own = requested(call) | {"session.id": call.session, "gen_ai.response.id": call.id}
        own["gen_ai.request.model"] = call.model
        del own["cost_usd"]
        yield span("claude_code.llm_request", own, "00000000000000aa")
    else:
        session = {"gen_ai.conversation.id": call.session} if chance.random() < 0.5 else {}
        used = {"input_tokens": call.input, "output_tokens": call.output, "cache_read.input_tokens": call.cached}
        used["cache_creation.input_tokens"] = call.written
        about = {"gen_ai.operation.name": "chat", "gen_ai.response.model": call.model, "gen_ai.response.id": call.id}
        parent = chance.choice(("", "00000000000000aa"))
        yield span("chat", about | {f"gen_ai.usage.{k}": v for k, v in used.items()} | session, parent)
    if call.tool:
        about = {"session.id": call.session, "tool_name": "Bash", "tool_use_id": call.tool}
        yield span("claude_code.tool", about, "00000000000000aa")


def parts(call: Call) -> dict[str, float]:
    """What its counters grow by: tokens by type, and dollars."""
    return {"input": call.fresh, "output": call.output, "cacheRead": call.cached, "cacheCreation": call.written,
            "": call.cost}  # fmt: skip


def is_tokens(group: Group) -> bool:
    """Whether it is a point of tokens."""
    return bool(group["scopeMetrics"][0]["metrics"][0]["name"] == "claude_code.token.usage")


def point(call: Call, type: str, value: float, at: int, start: int, temporality: int, who: dict[str, str]) -> Group:
    about = {"session.id": call.session, "model": call.model} | ({"type": type} if type else {})
    said: dict[str, Any] = {"attributes": pairs(about), "timeUnixNano": str(at), "startTimeUnixNano": str(start)}
    said |= {"asInt": str(value)} if type else {"asDouble": value}
    total = {"aggregationTemporality": temporality, "isMonotonic": True, "dataPoints": [said]}
    metric = {"name": "claude_code.token.usage" if type else "claude_code.cost.usage", "sum": total}
    return {"resource": {"attributes": pairs(SOURCE | who)}, "scopeMetrics": [{"metrics": [metric]}]}


def delta(calls: Sequence[Call]) -> Iterator[Group]:
    for call in calls:
        for type, value in parts(call).items():
            yield point(call, type, value, call.at, call.at - 10**9, 1, {})


def cumulative(calls: Sequence[Call]) -> Iterator[Group]:
    """Two processes in one session, the first of which starts anew for the last call."""
    for own, who in ((calls[0:4:2], "a"), (calls[1:4:2], "b"), (calls[4:], "a")):
        sums: Counter[str] = Counter()
        for call in own:
            sums.update(parts(call))
            for type, value in sums.items():
                for later in (10**6, 2 * 10**6):  # exported again while nothing happens
                    yield point(call, type, value, call.at + later, own[0].at - 10**9, 2, {"service.instance.id": who})


class Sent:
    """All that is sent of some sessions in these ways, by path, and what is true of it. A call is told in some of the
    ways that tell calls; counters lose points where calls are told."""

    def __init__(self, sessions: Sequence[Session], ways: set[str], chance: random.Random) -> None:
        self.calls = [call for session in sessions for call in session.calls]
        self.groups: dict[str, list[Group]] = {"/v1/logs": [], "/v1/traces": [], "/v1/metrics": []}
        self.tools = sum(bool(call.tool) for call in self.calls) if ways & TELLING else 0
        self.reported = 0.0 if ways & TELLING else sum(call.cost for call in self.calls)
        for session in sessions:
            if session.temporality in ways:
                points = list((delta if session.temporality == "delta" else cumulative)(session.calls))
                keep = chance.randrange(len(points)) if ways & TELLING else len(points)
                self.groups["/v1/metrics"] += chance.sample(points, keep)
        for call in self.calls:
            self._tell(call, ways & TELLING, chance)

    def _tell(self, call: Call, ways: set[str], chance: random.Random) -> None:
        told = {way for way in sorted(ways) if chance.random() < 0.6}
        if call.tool or not told | ways & {"transcript"}:
            told = ways
        if "log" in told:
            self.groups["/v1/logs"] += logs(call)
            self.reported += call.cost
        if "span" in told:
            self.groups["/v1/traces"] += spans(call, chance)

    @property
    def truth(self) -> tuple[float, ...]:
        """Money is reported by logs and counters; where calls are told without it, theirs is estimated."""
        read, written, cost = (sum(getattr(c, name) for c in self.calls) for name in ("input", "output", "cost"))
        return read, written, read + written, cost, self.reported


def batches(found: dict[str, list[Group]], chance: random.Random, passes: int = 0) -> list[Action]:
    """In any order, cut anywhere; some groups come again in another batch, and some batches come again."""
    made: list[Action] = [("", [])] * passes
    for path, told in found.items():
        groups = shuffled([*told, *chance.sample(told, len(told) // 10)], chance)
        while groups:
            size = chance.randrange(50, 500)
            made.append((path, groups[:size]))
            groups = groups[size:]
    return shuffled(made + chance.choices(made, k=len(made) // 4), chance)


def shuffled(of: list[T], chance: random.Random) -> list[T]:
    return chance.sample(of, len(of))


class Files:
    """The sessions' files, which grow from pass to pass."""

    def __init__(self, folder: Path, sessions: Sequence[Session], chance: random.Random) -> None:
        self._folder, self._sessions, self._chance = folder, sessions, chance
        self._at = [0] * len(sessions)
        (folder / "projects/home").mkdir(parents=True)

    def grow(self, data: Path, *, whole: bool = False) -> None:
        from app import cli

        for number, session in enumerate(self._sessions):
            most = len(session.lines)
            self._at[number] = most if whole else self._chance.randint(self._at[number], most)
            path = self._folder / f"projects/home/s{number}.jsonl"
            path.write_bytes(text(session.lines[: self._at[number]]))
            if whole or self._chance.random() < 0.5:  # for long nobody has written
                os.utime(path, (1.7e9, 1.7e9))
        again = ["--again"] if self._chance.random() < 0.3 else []
        result = CliRunner().invoke(cli, ["load", "claude-code", str(self._folder), "--data", str(data), *again])
        assert result.exit_code == 0, result.output
