"""Every HTTP route as one literal table: what it takes, what it gives, what it may refuse.

A test holds it against `App.routes()`, so that neither knows an address that the other does not.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from analytics import messages
from analytics.api.export import MEDIA, TABLES
from analytics.api.keys import KeyShown, NewKey, Rotation
from analytics.api.meanings import EXAMPLES
from analytics.api.screens import Pairing, PairingCode, Pulse, ScreenShown
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
from analytics.api.uploads import Made, UploadShown
from analytics.errors import (
    Conflict,
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
from analytics.load.run import Declaration
from analytics.load.uploads import Change
from analytics.pins import Pinned, Unpinned
from analytics.screens import Beat, Plan
from analytics.workspace import Board, Dataset, Dimension, Metric

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
TABLE = "kind,name,agent,duration_ms\nflow,answer question,planner,840\n"
MADE = {"columns": {"carrier": {"type": "text"}, "delay": {"type": "integer"}, "day": {"type": "time"}}, "time": "day"}
PARTS = {"store": {"ok": True, "reason": "answered in 2 ms"}}
SPANS: dict[str, Any] = {"resourceSpans": []}
POINTS: dict[str, Any] = {"resourceMetrics": []}
RECORDS: dict[str, Any] = {"resourceLogs": []}
TOOLS_LIST = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
UPLOAD_ID = Argument("id", "the upload's id", "", "path")
UPLOAD = Body(shape=UploadShown)
CONN = Argument("conn", "the connection's name, as the list tells it", "", "path")
BOARD = Argument("board", "the board's name", "overview", "path")
KEY_ID = Argument("id", "the key's id, as the list tells it", "", "path")
SCREEN_ID = Argument("id", "the screen's id, as the list tells it", "", "path")
PLAN = {"name": "Lobby 2", "playlist": [{"board": "overview", "seconds": 30}, {"board": "resources", "seconds": 20}]}
BEAT = {"revision": 1, "board": "overview", "state": "live", "frame_age_s": 0.4, "viewport": [1920, 1080]}
PULSE = {"revision": 1, "version": "5c1e07-3.9.2", "flash": False, "at": 1767700800300}


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


def screens(method: Literal["GET", "POST", "PUT", "DELETE"], path: str, summary: str, doc: str, **more: Any) -> Route:
    """What an admin does with screens on walls."""
    path = f"/api/screens{path}"
    return Route(method=method, path=path, group="Walls", scope="admin", summary=summary, doc=doc, **more)


def wall(method: Literal["GET", "POST", "PUT"], path: str, summary: str, doc: str, **more: Any) -> Route:
    """What a screen does: with its own cookie, or with none before it is paired."""
    path = f"/api/wall/{path}"
    return Route(method=method, path=path, group="Walls", scope=None, summary=summary, doc=doc, **more)


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
        path="/api/ingest/{dataset}",
        group="Send",
        summary="Send events",
        doc="A JSON array, one object, one object per line, CSV with a header, or an Arrow stream; gzip or plain. "
        "Answered when the events are durable. A dataset that was made of a file takes rows of its own columns. "
        "One that cannot be kept drops alone, and the reply says why. An `event_id` is accepted once.",
        scope="ingest",
        arguments=(Argument("dataset", "a dataset of the workspace", "events", "path"),),
        takes=(
            Body(shape=EVENT_BODY, examples={"events": EVENTS}),
            Body(media="application/x-ndjson", examples={"lines": LINE}),
            Body(media="text/csv", examples={"table": TABLE}),
            Body(media="application/vnd.apache.arrow.stream"),
        ),
        gives=(Body(shape=Accepted, examples={"kept": {"accepted": 1, "repeated": 0, "dropped": [], "cursor": 42}}),),
        refusals=(*SENDING, NotFound),
    ),
    Route(
        method="PUT",
        path="/api/datasets/{name}",
        group="Send",
        summary="Make a dataset with columns of its own",
        doc="Writes it as a workspace file, with dimensions, metrics and a first board; rows go to "
        "`/api/ingest/NAME`. One that is there and was not changed since is described anew.",
        scope="admin",
        arguments=(Argument("name", "small letters, digits and _", "", "path"),),
        takes=(Body(shape=Declaration, examples={"delays": MADE}),),
        gives=(Body(shape=Made),),
        otherwise={201: "it is new"},
        refusals=(ValidationError, Conflict, TooLarge, StorageFull),
    ),
    Route(
        method="DELETE",
        path="/api/datasets/{name}",
        group="Send",
        summary="Drop a dataset that was made so",
        doc="With its rows and its board. There is no way back.",
        scope="admin",
        arguments=(Argument("name", "the dataset's name", "", "path"),),
        status=204,
        refusals=(NotFound, Conflict, Overloaded, StorageFull),
    ),
    Route(
        method="POST",
        path="/api/uploads",
        group="Send",
        summary="Send a file to look at and load",
        doc="Its bytes are the body. It belongs to the key that sent it, and is removed after a day and when the "
        "server starts anew. With `id` the file joins those of an upload.",
        scope="admin",
        arguments=(
            Argument("name", "the file's name", "flights.csv.gz"),
            Argument("id", "an upload that the file joins", ""),
            Argument("more", "1 where further files of the same table follow", ""),
        ),
        takes=(Body(media="application/octet-stream"),),
        status=201,
        gives=(UPLOAD,),
        refusals=(NotFound, Conflict, TooLarge, Overloaded, StorageFull),
    ),
    Route(
        method="GET",
        path="/api/uploads/{id}",
        group="Send",
        summary="How an upload stands",
        doc="Its state, the columns that were found, the first rows, and how far its load is.",
        scope="admin",
        arguments=(UPLOAD_ID,),
        gives=(UPLOAD,),
        refusals=(NotFound,),
    ),
    Route(
        method="PUT",
        path="/api/uploads/{id}",
        group="Send",
        summary="Read an upload in another way",
        doc="Other types, another time column, another dataset. What does not hold is refused, and changes nothing.",
        scope="admin",
        arguments=(UPLOAD_ID,),
        takes=(Body(shape=Change, examples={"types": {"types": {"zip": "text"}, "time": "day"}}),),
        gives=(UPLOAD,),
        refusals=(ValidationError, NotFound, Conflict, TooLarge),
    ),
    Route(
        method="DELETE",
        path="/api/uploads/{id}",
        group="Send",
        summary="Remove an upload, or stop its load",
        doc="A dataset that was new is gone again when its load is stopped; rows in one that was there stay.",
        scope="admin",
        arguments=(UPLOAD_ID,),
        status=204,
        refusals=(NotFound,),
    ),
    Route(
        method="POST",
        path="/api/uploads/{id}/load",
        group="Send",
        summary="Load an upload",
        doc="It goes on by itself; ask how it stands.",
        scope="admin",
        arguments=(UPLOAD_ID,),
        status=202,
        gives=(UPLOAD,),
        refusals=(ValidationError, NotFound, Conflict),
    ),
    Route(
        method="GET",
        path="/api/uploads/{id}/rejects",
        group="Send",
        summary="The rows that were not kept",
        doc="With file, line, reason, what was expected, and the row as it was.",
        scope="admin",
        arguments=(UPLOAD_ID,),
        gives=(Body(media="text/csv"),),
        refusals=(NotFound,),
    ),
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
    otlp("traces", SPANS),
    otlp("metrics", POINTS),
    otlp("logs", RECORDS),
    declared("datasets", Dataset),
    declared("dimensions", Dimension),
    declared("metrics", Metric),
    declared("boards", Board),
    Route(
        method="POST",
        path="/api/boards/{board}/tiles",
        group="Change",
        summary="Pin a tile to a board",
        doc="The tile is written as in a workspace file, and into the file that declares the board; a built-in board "
        "is copied to the data directory first, one that does not exist is made there. Nothing is written unless the "
        "whole workspace holds.",
        scope="admin",
        arguments=(
            BOARD,
            Argument("at", "its place among the tiles, from 0; the last unless told", ""),
            Argument("title", "of a board that is made", ""),
        ),
        takes=(Body(shape=dict[str, Any], examples={"tile": {"type": "kpi", "metric": "errors"}}),),
        status=201,
        gives=(Body(shape=Pinned),),
        refusals=(ValidationError, Conflict, TooLarge),
    ),
    Route(
        method="DELETE",
        path="/api/boards/{board}/tiles/{tile}",
        group="Change",
        summary="Take a tile off a board",
        doc="The reply has the tile and its place: pin it there again to undo this.",
        scope="admin",
        arguments=(BOARD, Argument("tile", "the tile's id", "errors", "path")),
        gives=(Body(shape=Unpinned),),
        refusals=(NotFound, Conflict),
    ),
    document("openapi", "OpenAPI 3.1", "The HTTP routes"),
    document("asyncapi", "AsyncAPI 3.0", "The WebSocket and its messages"),
    Route(
        method="POST",
        path="/api/tickets",
        group="Access",
        summary="A ticket for a page of another origin",
        doc="Your server asks for it and hands it to the page, which opens the socket without ever seeing a key. "
        "It is good for one socket, for a minute, from one origin; bound to boards, for these boards alone.",
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
    screens(
        "GET",
        "",
        "The screens there are",
        "With what each plays and what it last said of itself.",
        gives=(Body(shape=list[ScreenShown]),),
    ),
    screens(
        "POST",
        "",
        "Pair a screen",
        "By the code that it shows. It reads the boards of its playlist and nothing else.",
        takes=(Body(shape=Pairing, examples={"pairing": PLAN | {"code": "K7WTX2"}}),),
        status=201,
        gives=(Body(shape=ScreenShown),),
        refusals=(ValidationError, NotFound, TooLarge),
    ),
    screens(
        "PUT",
        "/{id}",
        "Change what a screen plays",
        "It plays it within two seconds, without loading anew. What it may read follows.",
        arguments=(SCREEN_ID,),
        takes=(Body(shape=Plan, examples={"plan": PLAN}),),
        gives=(Body(shape=ScreenShown),),
        refusals=(ValidationError, NotFound, TooLarge),
    ),
    screens(
        "DELETE",
        "/{id}",
        "Revoke a screen",
        "Its socket is closed at once, with code 4503, and within two seconds it shows a pairing code.",
        arguments=(SCREEN_ID,),
        status=204,
        refusals=(NotFound,),
    ),
    screens(
        "POST",
        "/{id}/flash",
        "Make a screen show itself",
        "It shows its name for some seconds, within two.",
        arguments=(SCREEN_ID,),
        status=204,
        refusals=(NotFound,),
    ),
    screens(
        "GET",
        "/{id}/picture",
        "What a screen showed",
        "A small picture, up to a minute old.",
        arguments=(SCREEN_ID,),
        gives=(Body(media="image/jpeg"), Body(media="image/png")),
        refusals=(NotFound,),
    ),
    wall(
        "POST",
        "pairing",
        "A code to show",
        "Open to everyone, from pages of this server; it gives nothing but a code. It counts for ten minutes.",
        status=201,
        gives=(Body(shape=PairingCode),),
        refusals=(Unauthorized, Overloaded),
    ),
    wall(
        "GET",
        "pairing",
        "Whether the code was typed",
        "With the secret in the header `X-Pairing`. Once it was, the reply sets the screen's cookie, once.",
        gives=(Body(shape=dict[str, bool]),),
        otherwise={202: "not yet"},
        refusals=(Unauthorized, NotFound),
    ),
    wall(
        "POST",
        "beat",
        "A screen's sign of life",
        "Needs the screen's cookie. 401 says that it was revoked.",
        takes=(Body(shape=Beat, examples={"beat": BEAT}),),
        gives=(Body(shape=Pulse, examples={"pulse": PULSE}),),
        refusals=(ValidationError, Unauthorized, TooLarge),
    ),
    wall(
        "PUT",
        "picture",
        "What a screen shows",
        "Needs the screen's cookie. A PNG or JPEG of at most 200 KB.",
        takes=(Body(media="image/jpeg"), Body(media="image/png")),
        status=204,
        refusals=(ValidationError, Unauthorized, TooLarge),
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
