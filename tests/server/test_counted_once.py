"""Known calls of a coding tool, told through the public doors in up to five ways: what is counted is the truth."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from copy import deepcopy
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry._logs import LogRecord
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk import metrics as sdk
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics.export import AggregationTemporality, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from tests.conftest import Served, serving
from tests.told_calls import (
    SOURCE,
    TELLING,
    Call,
    Files,
    Group,
    Sent,
    Session,
    batches,
    cumulative,
    delta,
    is_tokens,
    logs,
    parts,
    requested,
)

# a thousand tokens of each kind cost a power of two, so that money adds up without rounding
WORKSPACE = """
prices:
  proof: {model: "proof-*", input: 15.625, cached: 1.953125, cache_written: 31.25, output: 62.5, checked: 2026-01-01}
metrics:
  read: {sum: tokens_input, title: Read}
  written: {sum: tokens_output, title: Written}
"""
HOUR = {"from": "2026-01-06T09:00:00Z", "to": "2026-01-06T10:00:00Z"}
WAYS = ("delta", "cumulative", "log", "span", "transcript")
# a process counts in one temporality: half of the sessions in each
EVERY = [set(ways) for n in range(1, 6) for ways in combinations(WAYS, n)]
SUBSETS = [ways for ways in EVERY if ways & TELLING or ways == {"delta", "cumulative"}]
ASKED = ("read", "written", "tokens", "spend", "cost_reported")


def proving(folder: Path) -> AbstractAsyncContextManager[Served]:
    file = folder / "proof.yaml"
    file.write_text(WORKSPACE)
    return serving(folder / "data", workspace=[file])


@pytest.fixture
async def served_proof(tmp_path: Path) -> AsyncIterator[Served]:
    async with proving(tmp_path) as served:
        yield served


async def ledger(served: Served) -> dict[str, float]:
    """The completeness of each way."""
    ways = (await served.ask(type="ledger", window=HOUR))["analytics"]["ways"]
    return {way["way"]: way["completeness"] for way in ways}


async def post(served: Served, path: str, groups: list[Group]) -> None:
    resources = {"/v1/logs": "resourceLogs", "/v1/traces": "resourceSpans", "/v1/metrics": "resourceMetrics"}
    status, said = await served.post(path, {resources[path]: groups})
    assert (status, said) == (200, {})


async def totals(served: Served, window: Any = HOUR) -> dict[str, tuple[float, ...]]:
    """What the metrics say of each model, nothing as 0."""
    asked = {"type": "query", "metrics": list(ASKED), "window": window, "group_by": ["model"], "limit": 100}
    rows = (await served.ask(**asked))["analytics"]["rows"]
    return {model: tuple(value or 0 for value in values[: len(ASKED)]) for model, *values in rows if model}


@pytest.mark.parametrize("seed", range(4))
async def test_every_way_and_all_of_them_tell_the_truth(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    sent: dict[str, list[Group]] = {"/v1/logs": [], "/v1/traces": [], "/v1/metrics": []}
    expected, written, tools = dict[str, tuple[float, ...]](), list[Session](), 0
    for number, ways in enumerate(SUBSETS):
        model = f"proof-{number}"
        sessions = [Session(f"{model}-s{n}", model, "cumulative" if n % 2 else "delta", chance) for n in range(2)]
        of = Sent(sessions, ways, chance)
        for path, groups in of.groups.items():
            sent[path] += groups
        written += sessions if "transcript" in ways else []
        expected[model] = of.truth
        tools += of.tools
    actions = batches(sent, chance, passes=2)
    files = Files(tmp_path / "config", written, chance)
    cuts = [0, *([len(actions) // 2] if seed < 2 else []), len(actions)]  # a restart within
    for first, last in pairwise(cuts):
        async with proving(tmp_path) as served:
            for path, groups in actions[first:last]:
                if path:
                    await post(served, path, groups)
                else:
                    await asyncio.to_thread(files.grow, served.app.settings.data)
            if last == len(actions):
                await asyncio.to_thread(files.grow, served.app.settings.data, whole=True)
                found = await totals(served)
                wrong = {
                    model: (sorted(SUBSETS[n]), found.get(model), expected[model])
                    for n, model in enumerate(expected) if found.get(model) != expected[model]
                }  # fmt: skip
                assert not wrong
                asked = await served.ask(type="query", metrics=["tool_calls"], window=HOUR)
                assert asked["analytics"]["totals"]["tool_calls"]["value"] == tools


async def test_of_the_counters_a_quarter_arrives_and_the_ledger_says_so(tmp_path: Path) -> None:
    chance = random.Random(7)
    async with proving(tmp_path) as served:
        sessions = [Session(f"s{n}", "proof-1", "delta", chance, even=True) for n in range(8)]
        sent = Sent(sessions, {"log"}, chance)
        points = [each for session in sessions for each in delta(session.calls) if is_tokens(each)]
        kept = {"/v1/metrics": chance.sample(points, len(points) // 4), "/v1/logs": sent.groups["/v1/logs"]}
        for path, groups in batches(kept, chance):
            await post(served, path, groups)
        async with asyncio.timeout(5):
            while (ways := await ledger(served)).get("metric") != 0.25:
                pass
        assert ways == {"metric": 0.25, "log": 1}
        assert await totals(served) == {"proof-1": sent.truth}


async def test_the_limits_are_those_of_the_page(served_proof: Served) -> None:
    """A session told by calls in part, and a counter told in both temporalities."""
    part, both = (Session(f"s{n}", f"proof-{n}", "delta", random.Random(n)) for n in range(2))
    sent = [Sent([session], {"log"}, random.Random(1)) for session in (part, both)]
    await post(served_proof, "/v1/metrics", [*delta(part.calls), *delta(both.calls), *cumulative(both.calls)])
    told = await totals(served_proof)
    assert told == {"proof-0": sent[0].truth, "proof-1": tuple(2 * value for value in sent[1].truth)}
    calls = part.calls[:2]
    await post(served_proof, "/v1/logs", [group for call in [*calls, *both.calls] for group in logs(call)])
    told = await totals(served_proof)
    assert told["proof-0"][2:4] == (sum(c.input + c.output for c in calls), sum(c.cost for c in calls))
    assert told["proof-1"] == sent[1].truth
    assert (await ledger(served_proof))["metric"] == 1


class Tool:
    """A process of the tool with the SDK and its exporters."""

    def __init__(self, served: Served, temporality: AggregationTemporality) -> None:
        told: dict[str, Any] = {"headers": {"x-api-key": served.key}}
        resource = Resource.create(SOURCE)
        self.logs, self.spans = LoggerProvider(resource=resource), TracerProvider(resource=resource)
        logs = OTLPLogExporter(endpoint=f"{served.url}/v1/logs", **told)
        self.logs.add_log_record_processor(BatchLogRecordProcessor(logs))
        spans = OTLPSpanExporter(endpoint=f"{served.url}/v1/traces", **told)
        self.spans.add_span_processor(BatchSpanProcessor(spans))
        points = OTLPMetricExporter(
            endpoint=f"{served.url}/v1/metrics", preferred_temporality={sdk.Counter: temporality}, **told
        )
        reader = PeriodicExportingMetricReader(points, export_interval_millis=float("inf"))
        self.metrics = sdk.MeterProvider([reader], resource=resource)
        meter = self.metrics.get_meter("tool")
        self.tokens = meter.create_counter("claude_code.token.usage")
        self.cost = meter.create_counter("claude_code.cost.usage")

    def count(self, call: Call) -> None:
        who = {"session.id": call.session, "model": call.model}
        for type, value in parts(call).items():
            (self.tokens if type else self.cost).add(value, who | ({"type": type} if type else {}))

    def log(self, call: Call) -> None:
        about = requested(call) | {"session.id": call.session, "event.name": "api_request"}
        self.logs.get_logger("tool").emit(
            LogRecord(timestamp=time.time_ns(), body="claude_code.api_request", attributes=about)
        )

    def span(self, call: Call) -> None:
        about: dict[str, str | int] = {
            "gen_ai.operation.name": "chat", "gen_ai.response.model": call.model, "gen_ai.response.id": call.id,
            "gen_ai.usage.input_tokens": call.input, "gen_ai.usage.output_tokens": call.output,
            "gen_ai.usage.cache_read.input_tokens": call.cached,
            "gen_ai.usage.cache_creation.input_tokens": call.written,
        }  # fmt: skip
        with self.spans.get_tracer("tool").start_as_current_span("turn") as turn:
            here = trace.set_span_in_context(turn)
            self.spans.get_tracer("tool").start_span("chat", context=here, attributes=about).end()

    async def flush(self, what: str) -> None:
        await asyncio.to_thread(getattr(self, what).force_flush)

    async def stop(self) -> None:
        for provider in (self.logs, self.spans, self.metrics):
            await asyncio.to_thread(provider.shutdown)


@pytest.mark.parametrize("temporality", [AggregationTemporality.DELTA, AggregationTemporality.CUMULATIVE])
async def test_real_exporters_of_two_processes_in_one_session(
    served_proof: Served, temporality: AggregationTemporality
) -> None:
    session = Session("s1", "proof-1", "delta", random.Random(3))
    processes = [Tool(served_proof, temporality) for _ in range(2)]
    truth = Sent([session], {"log"}, random.Random(3)).truth
    try:
        for number, call in enumerate(session.calls):
            processes[number % 2].count(call)
            await processes[number % 2].flush("metrics")
        assert await totals(served_proof, "now-1h") == {"proof-1": truth}
        for what, reported in (("span", 0), ("log", truth[-1])):
            for number, call in enumerate(session.calls):
                getattr(processes[number % 2], what)(call)
            for process in processes:
                await process.flush(f"{what}s")
            assert await totals(served_proof, "now-1h") == {"proof-1": (*truth[:-1], reported)}
    finally:
        for process in processes:
            await process.stop()


TOLD = {"gemini-cli": ("gemini_cli.tool_call", "function_args"), "github-copilot": ("copilot_chat.tool.call", None)}


def told_by(tool: str) -> Group:
    """The one group of logs that the tool's fixture holds."""
    folder = Path(__file__).parents[1] / "fixtures/tools"
    (group,) = json.loads((folder / f"{tool}-logs.json").read_text())["resourceLogs"]
    found: Group = group
    return found


def named(record: Group, key: str) -> Any:
    return next((each for each in record["attributes"] if each["key"] == key), None)


@pytest.mark.parametrize("tool", TOLD)
async def test_a_tool_use_without_an_id_counts_once_however_often_it_is_told(served: Served, tool: str) -> None:
    event, hidden = TOLD[tool]
    day = {"from": "2026-01-06T00:00:00Z", "to": "2026-01-07T00:00:00Z"}

    async def uses() -> Any:
        asked = await served.ask(type="query", metrics=["tool_calls"], window=day)
        return asked["analytics"]["totals"]["tool_calls"]["value"]

    async def send(change: Callable[[Group], None] = lambda group: None) -> None:
        group = told_by(tool)
        change(group)
        await post(served, "/v1/logs", [group])

    def passed_on(group: Group) -> None:
        """By a collector that says who it is."""
        group["resource"]["attributes"].append({"key": "collector", "value": {"stringValue": "second"}})

    def records(group: Group) -> list[Group]:
        return [
            r for r in group["scopeLogs"][0]["logRecords"] if named(r, "event.name")["value"]["stringValue"] == event
        ]

    def later(group: Group) -> None:
        for record in records(group):
            record["timeUnixNano"] = str(int(record["timeUnixNano"]) + 1_000_000)

    def beside(group: Group) -> None:
        """The same use with another text of the same length."""
        (record,) = records(group)
        other = deepcopy(record)
        told = named(other, hidden)["value"] if hidden else other["body"]
        told["stringValue"] = told["stringValue"][::-1]
        group["scopeLogs"][0]["logRecords"].append(other)

    for change, expected in ((None, 1), (None, 1), (passed_on, 1), (later, 2), (later, 2), (beside, 3), (beside, 3)):
        await (send(change) if change else send())
        assert await uses() == expected
