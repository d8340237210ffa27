"""A fleet of agents as its OpenTelemetry SDKs export it: flows of agents, tools and model calls in OTLP bodies."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

AGENTS = ("planner", "researcher", "coder", "reviewer", "writer")
MODELS = (("anthropic", "claude-sonnet-4"), ("openai", "gpt-5-mini"), ("gcp.gemini", "gemini-2.5-flash"))
TOOLS = ("search_documents", "run_sql", "fetch_page", "send_mail", "read_file", "write_file")
FLOWS = ("answer ticket", "review pull request", "draft report", "triage alert")
SERVICES = 4
CALLED = ((0, 1), (0, 2), (1, 0), (1, 2), (2, 1))  # (model calls, tool calls) of the agents of a flow, in turn

Attributes = dict[str, Any]


def bodies(count: int, spans: int, seed: int) -> Iterator[bytes]:
    """So many export requests of so many spans each; another seed gives other ids."""
    rng = random.Random(seed)
    for _ in range(count):
        yield body(rng, spans)


def body(rng: random.Random, spans: int) -> bytes:
    groups: list[list[Span]] = [[] for _ in range(SERVICES)]
    left = spans
    while left:
        told = flow(rng)[:left]
        left -= len(told)
        groups[rng.randrange(SERVICES)].extend(told)
    whole = [
        ResourceSpans(resource=resource(i), scope_spans=[ScopeSpans(scope=SCOPE, spans=told)])
        for i, told in enumerate(groups)
        if told
    ]
    return bytes(ExportTraceServiceRequest(resource_spans=whole).SerializeToString())


def flow(rng: random.Random) -> list[Span]:
    """A flow of 17 spans: one root, two agents, seven tool and seven model calls."""
    trace, root = rng.randbytes(16), rng.randbytes(8)
    end = time.time_ns() - rng.randrange(10**9)
    session = f"conv_{rng.getrandbits(64):016x}"
    base = {"gen_ai.conversation.id": session, "domain": rng.choice(("support", "engineering", "finance"))}
    found = [
        span(rng, trace, root, b"", rng.choice(FLOWS), 1, end, base | {
            "gen_ai.operation.name": "invoke_workflow", "gen_ai.workflow.name": "default", "app.release": "2026.11.3",
            "app.tenant": f"tenant-{rng.randrange(40)}", "user.id": f"user-{rng.randrange(500)}",
            "app.priority": rng.randrange(3), "app.retries": 0,
        })
    ]  # fmt: skip
    for _ in range(2):
        agent, name = rng.randbytes(8), rng.choice(AGENTS)
        provider, model = rng.choice(MODELS)
        mine = base | {"gen_ai.agent.name": name}
        found.append(span(rng, trace, agent, root, f"invoke_agent {name}", 1, end, mine | {
            "gen_ai.operation.name": "invoke_agent", "gen_ai.agent.id": f"agent_{name}", "gen_ai.agent.version": "1.4",
            "gen_ai.provider.name": provider, "gen_ai.request.model": model,
        }))  # fmt: skip
        for turn in range(7):
            if turn % 2:
                tool = rng.choice(TOOLS)
                found.append(span(rng, trace, rng.randbytes(8), agent, f"execute_tool {tool}", 1, end, mine | {
                    "gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": tool, "gen_ai.tool.type": "function",
                    "gen_ai.tool.call.id": f"call_{rng.getrandbits(96):024x}", "app.attempt": 1,
                    "app.result.bytes": rng.randrange(50_000),
                }))  # fmt: skip
            else:
                found.append(span(rng, trace, rng.randbytes(8), agent, f"chat {model}", 3, end, mine | {
                    "gen_ai.operation.name": "chat", "gen_ai.provider.name": provider, "gen_ai.request.model": model,
                    "gen_ai.response.model": f"{model}-2026", "gen_ai.response.id": f"msg_{rng.getrandbits(96):024x}",
                    "gen_ai.request.temperature": 0.2, "gen_ai.response.finish_reasons": ["stop"],
                    "gen_ai.usage.input_tokens": rng.randrange(200, 30_000),
                    "gen_ai.usage.output_tokens": rng.randrange(10, 3_000),
                }))  # fmt: skip
    return found


def span(
    rng: random.Random, trace: bytes, own: bytes, parent: bytes, name: str, kind: Any, end: int, told: Attributes
) -> Span:
    end -= rng.randrange(10**9)
    return Span(
        trace_id=trace,
        span_id=own,
        parent_span_id=parent,
        flags=0x101,
        name=name,
        kind=kind,
        start_time_unix_nano=end - rng.randrange(10**6, 10**10),
        end_time_unix_nano=end,
        attributes=pairs(told),
        status=Status(code=Status.STATUS_CODE_ERROR) if rng.random() < 0.02 else Status(),
    )


def resource(number: int) -> Resource:
    return Resource(
        attributes=pairs(
            {
                "service.name": f"agents-{number}",
                "service.version": "2026.11.3",
                "service.instance.id": f"agents-{number}-7d9c5b6f4-x2x{number}k",
                "deployment.environment.name": "production",
                "telemetry.sdk.language": "python",
                "telemetry.sdk.name": "opentelemetry",
                "telemetry.sdk.version": "1.39.0",
            }
        )
    )


def pairs(told: Attributes) -> list[KeyValue]:
    return [KeyValue(key=key, value=any_value(value)) for key, value in told.items()]


def any_value(value: Any) -> AnyValue:
    match value:
        case str():
            return AnyValue(string_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
    return AnyValue(array_value=ArrayValue(values=[any_value(each) for each in value]))


SCOPE = InstrumentationScope(name="opentelemetry.instrumentation.genai", version="0.62b0")
