"""What goes wrong in the demo fleet: one incident per slot of 24 minutes, its kinds in turn.

The slots hang on the moment the demo goes live, so that its first screen has a story to tell: 44 minutes
before it an agent started to use a dearer model, 20 minutes before it a tool became slow and still is.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from random import Random
from typing import Literal, NamedTuple

from analytics.world.fleet import SOURCES

Kind = Literal["slow_tool", "error_burst", "exporter_delayed", "exporter_lost", "cost_runaway"]

SLOT = timedelta(minutes=24)
FIRST = timedelta(minutes=-20)  # of slot 0, seen from the live moment
JITTER_S = 6 * 60
LONGEST = timedelta(minutes=32)


class Incident(NamedTuple):
    """One thing that goes wrong in [start, end), and where: {dimension: value}.

    effect: a factor on duration (slow_tool), the share of calls that fail (error_burst), the share of
    calls that move to the large model (cost_runaway), the share of events held back or lost (exporter_*).
    metric: the workspace metric that shows it. Calls are hit by the moment their flow started, events of
    an exporter by the moment they would have been sent.
    """

    kind: Kind
    start: datetime
    end: datetime
    where: dict[str, str]
    effect: float
    metric: str
    cause: str

    @property
    def change(self) -> str | None:
        """What somebody had just changed and noted; the other kinds come by themselves."""
        if self.kind == "slow_tool":
            return f"new {self.where['tool']} release"
        return f"new {self.where['agent']} prompt" if self.kind == "cost_runaway" else None

    def active(self, at: datetime) -> bool:
        return self.start <= at < self.end


Plan = tuple[timedelta, dict[str, str], float, str, str]  # length, where, effect, metric, cause


def _slow_tool(rng: Random, first: bool) -> Plan:
    pairs = [("planner", "web_search"), ("researcher", "fetch_url"), ("coder", "shell")]
    agent, tool = pairs[0] if first else rng.choice(pairs)
    length = LONGEST if first else timedelta(minutes=18)
    cause = f"{tool} answers 4 times slower when {agent} calls it"
    return length, {"tool": tool, "agent": agent}, 4.0, "duration_p95", cause


def _error_burst(rng: Random, first: bool) -> Plan:
    tool = rng.choice(["sql_query", "kb_search", "fetch_url", "file_edit"])
    return timedelta(minutes=11), {"tool": tool}, 0.35, "tool_error_rate", f"{tool} is overloaded and fails"


def _exporter_delayed(rng: Random, first: bool) -> Plan:
    source = rng.choice(list(SOURCES))
    cause = f"{source} cannot reach the server and sends late"
    return timedelta(minutes=6), {"source": source}, 1.0, "flow_rate", cause


def _exporter_lost(rng: Random, first: bool) -> Plan:
    source = rng.choice(list(SOURCES))
    cause = f"{source} is down; what it had to send is lost"
    return timedelta(minutes=4), {"source": source}, 1.0, "flow_rate", cause


def _cost_runaway(rng: Random, first: bool) -> Plan:
    agent = rng.choice(["planner", "researcher", "coder"])
    return timedelta(minutes=22), {"agent": agent}, 0.25, "spend", f"{agent} moves calls to the large model"


CYCLE: tuple[tuple[Kind, Callable[[Random, bool], Plan]], ...] = (
    ("slow_tool", _slow_tool),
    ("error_burst", _error_burst),
    ("exporter_delayed", _exporter_delayed),
    ("exporter_lost", _exporter_lost),
    ("cost_runaway", _cost_runaway),
)


def schedule(seed: int, live: datetime, since: datetime, until: datetime) -> list[Incident]:
    """All incidents that touch [since, until), by start. The same arguments always give the same list."""
    reach = LONGEST + timedelta(seconds=JITTER_S)
    first = (since - reach - live - FIRST) // SLOT
    last = (until - live - FIRST) // SLOT
    found = [_incident(seed, live, slot) for slot in range(first, last + 1)]
    return [i for i in found if i.start < until and i.end > since]


def _incident(seed: int, live: datetime, slot: int) -> Incident:
    rng = Random(f"{seed} incident {slot}")
    kind, plan = CYCLE[slot % len(CYCLE)]
    # the first screen must find slot 0 where it is looked for
    jitter = timedelta() if slot == 0 else timedelta(seconds=rng.randrange(JITTER_S))
    length, where, effect, metric, cause = plan(rng, slot == 0)
    start = live + FIRST + slot * SLOT + jitter
    return Incident(kind, start, start + length, where, effect, metric, cause)
