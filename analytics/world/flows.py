"""One flow as it happens: a lead agent thinks, calls tools, asks helpers, and answers.

Times are whole microseconds since the epoch. Every child lies within its parent.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, NamedTuple

from analytics.world import fleet
from analytics.world.incidents import Incident

Event = dict[str, Any]
Sent = tuple[int, str, Event]  # when it leaves its exporter, its event_id, the event

LONGEST_S = 150  # no flow lasts longer: at most 16 calls, none above LONGEST_CALL_US
LONGEST_CALL_US = 7_500_000
_EPOCH = datetime.fromtimestamp(0, UTC)


class Fleet(NamedTuple):
    """The tables of the fleet, ready for drawing from."""

    tools: dict[str, fleet.Tool]
    agents: dict[str, fleet.Agent]
    weights: list[float]  # of fleet.FLOWS
    shares: list[float]  # of fleet.SOURCES

    @classmethod
    def build(cls) -> Fleet:
        return cls(
            {tool.name: tool for tool in fleet.TOOLS},
            {agent.name: agent for agent in fleet.AGENTS},
            [kind.weight for kind in fleet.FLOWS],
            list(fleet.SOURCES.values()),
        )


class Trouble(NamedTuple):
    """The incidents of one moment, by what they hit."""

    slow: dict[tuple[str, str], float]  # (agent, tool): factor
    failing: dict[str, float]  # tool: share of calls
    runaway: dict[str, float]  # agent: share of calls

    @classmethod
    def of(cls, incidents: Iterable[Incident]) -> Trouble:
        trouble = cls({}, {}, {})
        for incident in incidents:
            match incident.kind:
                case "slow_tool":
                    trouble.slow[incident.where["agent"], incident.where["tool"]] = incident.effect
                case "error_burst":
                    trouble.failing[incident.where["tool"]] = incident.effect
                case "cost_runaway":
                    trouble.runaway[incident.where["agent"]] = incident.effect
        return trouble


class Flow:
    """One run of work, played once. `pace` stretches everything in it; its number decides all its draws,
    so that the same number is the same flow whatever goes on around it."""

    def __init__(self, staff: Fleet, number: int, start_us: int, pace: float, trouble: Trouble) -> None:
        self.rng = Random(number)
        self.staff = staff
        self.trouble = trouble
        self.kind = self.rng.choices(fleet.FLOWS, staff.weights)[0]
        self.pace = pace * self.rng.lognormvariate(0, 0.34)
        self.id = f"{number:016x}"
        self.start = self.now = start_us
        self.sent: list[Sent] = []
        self.spans = 0
        self.leading: str | None = None  # the first tool the lead calls
        self.common = {
            "domain": self.kind.domain,
            "source": self.rng.choices(list(fleet.SOURCES), staff.shares)[0],
            "flow_id": self.id,
            "user": self.rng.choice(fleet.USERS),
        }

    def play(self) -> list[Sent]:
        """All its events, children before parents."""
        root = self._open()
        error = self._lead(root)
        self._pause(8)
        details = {"tool": self.leading} if self.leading else {}
        self._close("flow", self.kind.name, root, None, self.start, self.kind.lead, error, **details)
        return self.sent

    def _lead(self, root: str) -> str | None:
        """The lead agent's step; returns the type of the error that ended it."""
        rng, agent = self.rng, self.kind.lead
        me, start = self._open(), self.now
        helpers = self.kind.helpers[: rng.choices((0, 1, 2), (30, 50, 20))[0]]
        error = self._model(agent, me)
        for turn in range(rng.choices((1, 2, 3), (52, 33, 15))[0]):
            if error:
                break
            tool = self.kind.tools[0 if rng.random() < 0.85 else 1]
            self.leading = self.leading or tool
            error = self._tool(agent, tool, me)
            if not error and (turn or rng.random() < 0.55):
                error = self._model(agent, me)
        for helper in helpers:
            error = error or self._help(helper, me)
        self._close("agent", f"invoke {agent}", me, root, start, agent, error)
        return error

    def _help(self, agent: str, parent: str) -> str | None:
        me, start = self._open(), self.now
        error = self._model(agent, me)
        if not error and self.rng.random() < 0.45:
            error = self._tool(agent, self.rng.choice(self.kind.tools), me)
        self._close("agent", f"invoke {agent}", me, parent, start, agent, error)
        return error

    def _tool(self, agent: str, name: str, parent: str) -> str | None:
        """Call a tool, and once more if it failed; an error that stays ends the step."""
        tool, rng = self.staff.tools[name], self.rng
        slower = self.trouble.slow.get((agent, name), 1.0)
        fails = max(tool.error_rate, self.trouble.failing.get(name, 0.0))
        for _ in range(2):
            me, start = self._open(), self.now
            self._work(tool.median_ms, tool.sigma, slower)
            error = tool.error_type if rng.random() < fails else None
            self._close("tool", name, me, parent, start, agent, error, tool=name)
            if not error:
                return None
            if rng.random() < 0.25:  # not worth another try
                break
        return error

    def _model(self, agent: str, parent: str) -> str | None:
        who, rng = self.staff.agents[agent], self.rng
        model = rng.choices(fleet.MODELS, who.mix)[0]
        if rng.random() < self.trouble.runaway.get(agent, 0.0):
            model = fleet.MODELS[-1]
        me, start = self._open(), self.now
        tokens = 40 + int(rng.lognormvariate(0, 0.5) * who.tokens)
        cached = int(tokens * rng.random() * 0.6) if rng.random() < 0.5 else 0
        output = 10 + int(rng.lognormvariate(0, 0.6) * 90)
        self._work(model.median_ms, 0.38)
        error = "rate_limited" if rng.random() < 0.0012 else None
        output = 0 if error else output
        cost = (tokens - cached) * model.usd_input + cached * model.usd_cached + output * model.usd_output
        usage = {"tokens_input": tokens, "tokens_output": output, "tokens_cached": cached}
        details = {"model": model.name, "provider": fleet.PROVIDER, "cost_usd": round(cost / 1e6, 7)} | usage
        self._close("model", f"chat {model.name}", me, parent, start, agent, error, **details)
        return error

    def _open(self) -> str:
        self.spans += 1
        return f"{self.id}:{self.spans}"

    def _pause(self, median_ms: float) -> None:
        self.now += int(median_ms * 1000 * (0.5 + self.rng.random()))

    def _work(self, median_ms: float, sigma: float, slower: float = 1.0) -> None:
        took = self.rng.lognormvariate(0, sigma) * median_ms * 1000 * self.pace
        self.now += max(1, min(int(took * slower), LONGEST_CALL_US))

    def _close(
        self, kind: str, name: str, me: str, parent: str | None, start: int, agent: str, error: str | None, **more: Any
    ) -> None:
        event = {
            "time": rfc3339(self.now),
            "event_id": me,
            "kind": kind,
            "name": name,
            "agent": agent,
            "status": "error" if error else "ok",
            "start_time": rfc3339(start),
            "duration_ms": (self.now - start) / 1000,
        }
        event |= self.common
        if parent:
            event["parent_id"] = parent
        if error:
            event["error_type"] = error
        self.sent.append((self.now, me, event | more))
        self._pause(4)


def rfc3339(us: int) -> str:
    """Microseconds since the epoch as RFC 3339 UTC."""
    # isoformat is three times as fast as strftime, and every event needs this twice
    return (_EPOCH + timedelta(microseconds=us)).isoformat(timespec="microseconds")[:-6] + "Z"
