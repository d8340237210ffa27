"""Every HTTP route as one literal table: what it takes, what it gives, what it may refuse.

A test holds it against `App.routes()`, so that neither knows an address that the other does not.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from analytics import messages
from analytics.api.keys import KeyShown, NewKey, Rotation
from analytics.api.meanings import EXAMPLES
from analytics.api.shapes import (
    EVENT_BODY,
    Accepted,
    Alive,
    Audited,
    Connection,
    Connections,
    Otlp,
    Problem,
    Ready,
    RpcStatus,
    Ticket,
    TicketAsk,
)
from analytics.errors import (
    Forbidden,
    Internal,
    NotFound,
    Overloaded,
    PlumblineError,
    RateLimited,
    StorageFull,
    Timeout,
    TooLarge,
    Unauthorized,
    UnsupportedMedia,
    ValidationError,
)
from analytics.workspace import Board, Dataset, Metric

JSON = "application/json"
PROBLEM = "application/problem+json"
PROTOBUF = "application/x-protobuf"

Refusals = tuple[type[PlumblineError], ...]


class Argument(msgspec.Struct, frozen=True):
    """A part of the path or of the query."""

    name: str
    doc: str
    example: str
    where: Literal["path", "query"] = "query"


class Body(msgspec.Struct, frozen=True, kw_only=True):
    """What a request or a reply carries. `shape` is a type; None is bytes or text of `media`."""

    media: str = JSON
    shape: Any = None
    examples: dict[str, Any] = {}


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One method of one path. `scope` is what the key needs, "any" for any good key, None for no key.

    `otherwise` are further statuses with the same body. `refusals` are those of its own; what every route with
    a key may answer is in COMMON.
    """

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str
    group: str
    summary: str
    doc: str = ""
    scope: Literal["read", "ingest", "admin", "any"] | None = "read"
    arguments: tuple[Argument, ...] = ()
    takes: tuple[Body, ...] = ()
    status: int = 200
    gives: tuple[Body, ...] = ()
    otherwise: dict[int, str] = {}
    refusals: Refusals = ()
    refused_with: tuple[Body, ...] = (Body(media=PROBLEM, shape=Problem),)


COMMON: Refusals = (Unauthorized, Forbidden, RateLimited, Internal)
ASKING: Refusals = (ValidationError, NotFound, Timeout)
SENDING: Refusals = (ValidationError, TooLarge, UnsupportedMedia, Overloaded, StorageFull)

POSITION = ("sub", "epoch", "seq", "dropped")  # what only the answers of a subscription have
ANSWERED = {k: v for k, v in EXAMPLES["analytics_update"].items() if k not in POSITION}
ANSWER = Body(shape=messages.AnalyticsUpdate, examples={"answer": ANSWERED})
QUESTIONS = {messages.tag(c): EXAMPLES[messages.tag(c)] for c in messages.PLAIN}
EVENTS = [{"kind": "flow", "name": "answer question", "agent": "planner", "status": "ok", "duration_ms": 840}]
LINE = '{"kind": "flow", "name": "answer question", "duration_ms": 840}\n{"kind": "tool", "tool": "search"}\n'
PARTS = {"store": {"ok": True, "reason": "answered in 2 ms"}}
SPANS: dict[str, Any] = {"resourceSpans": []}
POINTS: dict[str, Any] = {"resourceMetrics": []}
RECORDS: dict[str, Any] = {"resourceLogs": []}
CONN = Argument("conn", "the connection's name, as the list tells it", "", "path")
KEY_ID = Argument("id", "the key's id, as the list tells it", "", "path")


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


def otlp(signal: str, example: dict[str, Any]) -> Route:
    """One signal's intake."""
    return Route(
        method="POST",
        path=f"/v1/{signal}",
        group="Send",
        summary=f"OpenTelemetry {signal}",
        doc="OTLP/HTTP in protobuf or JSON, gzip or plain. What was refused is said in `partialSuccess`. "
        "Errors are a `google.rpc.Status` in the encoding of the request.",
        scope="ingest",
        takes=(Body(shape=Otlp, examples={"nothing": example}), Body(media=PROTOBUF)),
        gives=(Body(shape=Otlp, examples={"all accepted": {}}), Body(media=PROTOBUF)),
        refusals=SENDING,
        refused_with=(Body(shape=RpcStatus), Body(media=PROTOBUF), Body(media=PROBLEM, shape=Problem)),
    )


def declared(what: str, shape: Any) -> Route:
    """One list of the catalogue."""
    return Route(
        method="GET",
        path=f"/api/{what}",
        group="Look up",
        summary=f"The {what} there are",
        doc=f"Every one of the workspace's {what} that the key may see.",
        gives=(Body(shape=list[shape]),),
    )


def document(name: str, title: str, what: str) -> Route:
    """One of the documents made from this table and the message classes."""
    return Route(
        method="GET",
        path=f"/api/{name}.json",
        group="Look up",
        summary=f"This API as {title}",
        doc=f"{what}, for code generators and other tools.",
        scope="any",
        gives=(Body(shape=dict[str, Any]),),
    )


ROUTES: tuple[Route, ...] = (
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
    original("flows", "Flow"),
    original("resources", "Resource"),
    original("agents", "Agent"),
    Route(
        method="POST",
        path="/api/ingest/{dataset}",
        group="Send",
        summary="Send events",
        doc="A JSON array, one object, or one object per line; gzip or plain. Answered when the events are durable. "
        "One that cannot be kept drops alone, and the reply says why. An `event_id` is accepted once.",
        scope="ingest",
        arguments=(Argument("dataset", "a dataset of the workspace", "events", "path"),),
        takes=(
            Body(shape=EVENT_BODY, examples={"events": EVENTS}),
            Body(media="application/x-ndjson", examples={"lines": LINE}),
        ),
        gives=(Body(shape=Accepted, examples={"kept": {"accepted": 1, "repeated": 0, "dropped": [], "cursor": 42}}),),
        refusals=(*SENDING, NotFound),
    ),
    otlp("traces", SPANS),
    otlp("metrics", POINTS),
    otlp("logs", RECORDS),
    declared("datasets", Dataset),
    declared("metrics", Metric),
    declared("boards", Board),
    document("openapi", "OpenAPI 3.1", "The HTTP routes"),
    document("asyncapi", "AsyncAPI 3.0", "The WebSocket and its messages"),
    Route(
        method="POST",
        path="/api/tickets",
        group="Access",
        summary="A ticket for a page of another origin",
        doc="Your server asks for it and hands it to the page, which opens the socket without ever seeing a key. "
        "It is good for one socket, for a minute, from one origin.",
        takes=(Body(shape=TicketAsk, examples={"ticket": {"origin": "https://shop.example", "boards": ["overview"]}}),),
        gives=(Body(shape=Ticket),),
        refusals=(ValidationError, TooLarge, Overloaded),
    ),
    Route(
        method="GET",
        path="/api/session",
        group="Access",
        summary="Whether you are signed in",
        doc="204 with a good key or sign-in, else 401.",
        scope="any",
        status=204,
    ),
    Route(
        method="GET",
        path="/api/keys",
        group="Access",
        summary="The keys there are",
        doc="Never the keys themselves.",
        scope="admin",
        gives=(Body(shape=list[KeyShown]),),
    ),
    Route(
        method="POST",
        path="/api/keys",
        group="Access",
        summary="Create a key",
        doc="The reply tells the key, once. A limited key makes no unlimited one.",
        scope="admin",
        takes=(
            Body(shape=NewKey, examples={"key": {"name": "wall screen", "scopes": ["read"], "boards": ["overview"]}}),
        ),
        status=201,
        gives=(Body(shape=KeyShown),),
        refusals=(ValidationError, TooLarge),
    ),
    Route(
        method="DELETE",
        path="/api/keys/{id}",
        group="Access",
        summary="Revoke a key",
        doc="Its sockets are closed within a second, with code 4503.",
        scope="admin",
        arguments=(KEY_ID,),
        gives=(Body(shape=KeyShown),),
        refusals=(NotFound,),
    ),
    Route(
        method="POST",
        path="/api/keys/{id}/rotate",
        group="Access",
        summary="Replace a key",
        doc="A new key with the same rights; both count until the grace is over.",
        scope="admin",
        arguments=(KEY_ID,),
        takes=(Body(shape=Rotation, examples={"a day of grace": {"grace_hours": 24}}),),
        status=201,
        gives=(Body(shape=KeyShown),),
        refusals=(ValidationError, NotFound, TooLarge),
    ),
    Route(
        method="GET",
        path="/api/keys/audit",
        group="Access",
        summary="What was done with keys",
        doc="The newest entries first.",
        scope="admin",
        arguments=(Argument("limit", "how many, 1 to 1,000", "100"),),
        gives=(Body(shape=list[Audited]),),
        refusals=(ValidationError,),
    ),
    Route(
        method="GET",
        path="/healthz",
        group="Health",
        summary="Whether the process is alive",
        doc="Open to everyone; says nothing else.",
        scope=None,
        gives=(Body(shape=Alive, examples={"alive": {"status": "ok"}}),),
    ),
    Route(
        method="GET",
        path="/readyz",
        group="Health",
        summary="Whether the server is able to answer",
        doc="Store, writer, live boards, disk and workspace, each with its reason. Open to everyone.",
        scope=None,
        gives=(Body(shape=Ready, examples={"ready": {"status": "ready", "parts": PARTS}}),),
        otherwise={503: "some part is not ok"},
    ),
    Route(
        method="GET",
        path="/metrics",
        group="Health",
        summary="Plumbline's own figures",
        doc="For scrapers, in the Prometheus text format. Open to everyone; names no key, no address and no path.",
        scope=None,
        gives=(Body(media="text/plain"),),
    ),
    Route(
        method="GET",
        path="/api/connections",
        group="Health",
        summary="Who is connected",
        scope="admin",
        doc="Every open socket with its subscriptions, how far it is behind and when it was last heard.",
        arguments=(Argument("limit", "how many at most, up to 10,000; 1,000 unless told", ""),),
        refusals=(ValidationError,),
        gives=(Body(shape=Connections),),
    ),
    Route(
        method="GET",
        path="/api/connections/{conn}",
        group="Health",
        summary="One connection",
        doc="The same, of one socket.",
        scope="admin",
        arguments=(CONN,),
        gives=(Body(shape=Connection),),
        refusals=(NotFound,),
    ),
    Route(
        method="DELETE",
        path="/api/connections/{conn}",
        group="Health",
        summary="Close a connection",
        doc="It is closed with code 4000; its client comes back.",
        scope="admin",
        arguments=(CONN,),
        status=204,
        refusals=(NotFound,),
    ),
)
