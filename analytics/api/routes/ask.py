"""Questions: any of them once, the original three as links, rows as files, and MCP."""

from __future__ import annotations

from typing import Any, Literal

from analytics import messages
from analytics.api.export import MEDIA, TABLES
from analytics.api.meanings import EXAMPLES
from analytics.api.route import ASKING, Argument, Body, Route
from analytics.errors import Overloaded, TooLarge

POSITION = ("sub", "epoch", "seq", "dropped")  # what only the answers of a subscription have
ANSWERED = {k: v for k, v in EXAMPLES["analytics_update"].items() if k not in POSITION}
ANSWER = Body(shape=messages.AnalyticsUpdate, examples={"answer": ANSWERED})
QUESTIONS = {messages.tag(c): EXAMPLES[messages.tag(c)] for c in messages.PLAIN}
TOOLS_LIST = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}


def original(what: str, noun: str) -> Route:
    """One of the three original requests as a plain link."""
    return Route(
        method="GET",
        path=f"/api/analytics/{what}",
        group="Ask",
        summary=f"{noun} analytics as a plain link",
        doc=f"The message `{noun.lower()}_analytics` for a browser, a cron job or a spreadsheet.",
        arguments=(
            Argument("id", f"one {noun.lower()}; without it all of them", ""),
            Argument("domain", "only this domain", ""),
            Argument("window", "from this time until now, such as `now-1h`", "now-15m"),
        ),
        gives=(ANSWER,),
        refusals=ASKING,
    )


def exported(method: Literal["GET", "POST"], doc: str, **more: Any) -> Route:
    """The rows of a message as a file."""
    question = (Argument("q", "the message as JSON", '{"type": "query", "metrics": ["flows"]}'),)
    return Route(
        method=method,
        path="/api/export",
        group="Ask",
        summary="Rows as a file" if method == "POST" else "Rows as a file, by a plain link",
        doc=doc,
        arguments=(
            *(question if method == "GET" else ()),
            Argument("format", "csv, parquet, arrow, ndjson or json; json unless told", "csv"),
            Argument("name", "what to call the file", ""),
            Argument("max_rows", "rows at most, up to 100,000", ""),
        ),
        gives=tuple(Body(media=media) for media in MEDIA),
        refusals=(*ASKING, TooLarge, Overloaded),
        **more,
    )


ASK: tuple[Route, ...] = (
    Route(
        method="POST",
        path="/api/analytics",
        group="Ask",
        summary="Ask one question",
        doc="Any of the questions that the socket answers, once.",
        takes=(Body(shape=messages.ANSWERABLE, examples=QUESTIONS),),
        gives=(ANSWER,),
        refusals=(*ASKING, TooLarge),
    ),
    exported(
        "POST",
        "A query, flows, rows or a board (a zip of its tiles). Flows and rows are followed from page to page; "
        "`X-Plumbline-Truncated` says whether there were more. See /docs/export.",
        takes=(Body(shape=TABLES, examples={name: QUESTIONS[name] for name in ("query", "flows", "rows")}),),
    ),
    exported("GET", "The same for a link, a spreadsheet or a cron job."),
    original("flows", "Flow"),
    original("resources", "Resource"),
    original("agents", "Agent"),
    Route(
        method="POST",
        path="/mcp",
        group="Ask",
        summary="Model Context Protocol",
        doc="Tools by which language models read what this API answers: streamable HTTP, one JSON-RPC message a "
        "request, each with its key. Errors of the protocol are JSON-RPC too. See /docs/mcp.",
        takes=(Body(shape=dict[str, Any], examples={"the tools": TOOLS_LIST}),),
        gives=(Body(shape=dict[str, Any]),),
        otherwise={202: "a notification was taken, there is no answer"},
        refusals=(TooLarge, Overloaded),
    ),
)
