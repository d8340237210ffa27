"""Who works in the demo fleet. Invented, all of it; change a row and the world changes."""

from __future__ import annotations

from typing import NamedTuple

PROVIDER = "orrin"  # an invented maker of models
SOURCES = {"gateway-eu": 0.34, "gateway-us": 0.28, "batch-runner": 0.22, "edge-agents": 0.16}  # exporter: share


class Model(NamedTuple):
    """Median duration, dollars per million tokens."""

    name: str
    median_ms: float
    usd_input: float
    usd_cached: float
    usd_output: float


class Tool(NamedTuple):
    """Log-normal duration and the usual share of calls that fail, with how they fail."""

    name: str
    median_ms: float
    sigma: float
    error_rate: float
    error_type: str


class Agent(NamedTuple):
    """Shares of its calls per model (small, medium, large) and the median input tokens of a call."""

    name: str
    mix: tuple[float, float, float]
    tokens: int


class FlowKind(NamedTuple):
    """A kind of flow: its relative frequency, who leads, who helps, and tools from most to least used."""

    name: str
    domain: str
    weight: float
    lead: str
    helpers: tuple[str, ...]
    tools: tuple[str, ...]


MODELS = (
    Model("small", 140, 0.25, 0.03, 1.25),
    Model("medium", 245, 3.00, 0.30, 15.00),
    Model("large", 400, 15.00, 1.50, 75.00),
)

TOOLS = (
    Tool("web_search", 340, 0.45, 0.005, "timeout"),
    Tool("sql_query", 105, 0.60, 0.019, "syntax_error"),
    Tool("file_edit", 60, 0.50, 0.013, "conflict"),
    Tool("shell", 235, 0.70, 0.009, "exit_status"),
    Tool("fetch_url", 290, 0.60, 0.009, "http_error"),
    Tool("kb_search", 100, 0.50, 0.004, "timeout"),
    Tool("calendar", 75, 0.40, 0.003, "conflict"),
    Tool("send_email", 135, 0.50, 0.004, "rejected"),
)

AGENTS = (
    Agent("planner", (0.45, 0.50, 0.05), 1500),
    Agent("researcher", (0.50, 0.44, 0.06), 1600),
    Agent("coder", (0.40, 0.52, 0.08), 1500),
    Agent("reviewer", (0.50, 0.46, 0.04), 1400),
    Agent("summariser", (0.70, 0.29, 0.01), 1500),
    Agent("responder", (0.90, 0.10, 0.00), 800),
    Agent("triager", (1.00, 0.00, 0.00), 400),
    Agent("classifier", (1.00, 0.00, 0.00), 300),
    Agent("translator", (0.85, 0.15, 0.00), 700),
    Agent("analyst", (0.65, 0.33, 0.02), 1200),
    Agent("librarian", (0.90, 0.10, 0.00), 900),
    Agent("auditor", (0.75, 0.25, 0.00), 1000),
    Agent("extractor", (0.95, 0.05, 0.00), 1100),
    Agent("scheduler", (0.95, 0.05, 0.00), 500),
    Agent("tester", (0.80, 0.19, 0.01), 900),
    Agent("deployer", (0.80, 0.20, 0.00), 700),
    Agent("notifier", (1.00, 0.00, 0.00), 300),
)

FLOWS = (
    FlowKind("plan_project", "professional", 15, "planner", ("researcher", "scheduler"), ("web_search", "calendar")),
    FlowKind("draft_report", "professional", 13, "planner", ("summariser", "reviewer"), ("web_search", "file_edit")),
    FlowKind("review_contract", "professional", 7, "reviewer", ("extractor",), ("file_edit", "kb_search")),
    FlowKind("write_code", "professional", 10, "coder", ("reviewer", "tester"), ("file_edit", "shell")),
    FlowKind("answer_ticket", "support", 12, "responder", ("triager", "summariser"), ("kb_search", "sql_query")),
    FlowKind("refund_request", "support", 5, "responder", ("auditor",), ("sql_query", "send_email")),
    FlowKind("translate_reply", "support", 4, "translator", ("classifier",), ("kb_search", "send_email")),
    FlowKind("route_ticket", "support", 5, "triager", ("classifier",), ("kb_search", "sql_query")),
    FlowKind("market_brief", "research", 8, "researcher", ("analyst", "summariser"), ("fetch_url", "web_search")),
    FlowKind("literature_scan", "research", 7, "researcher", ("librarian",), ("fetch_url", "web_search")),
    FlowKind("compare_sources", "research", 5, "analyst", ("researcher",), ("sql_query", "fetch_url")),
    FlowKind("deploy_change", "operations", 4, "deployer", ("tester",), ("shell", "file_edit")),
    FlowKind("check_invoices", "operations", 5, "auditor", ("extractor",), ("sql_query", "file_edit")),
    FlowKind("plan_shifts", "operations", 4, "scheduler", ("notifier",), ("sql_query", "calendar")),
    FlowKind("weekly_digest", "operations", 4, "summariser", ("notifier",), ("fetch_url", "send_email")),
)

USERS = (
    *("ada", "bruno", "chloe", "dmitri", "elif", "farah", "goran", "hana", "ivo", "jun", "kofi", "lena"),
    *("mateo", "noor", "olga", "priya", "quentin", "rosa", "sami", "tala", "uma", "viktor", "wen", "yara"),
)
