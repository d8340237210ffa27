"""Every message of the wire, one typed class each. Decoding is validation (see PROTOCOL in /docs).

Requests derive from Request, replies from Reply; the tag is the `type` field. Unknown fields are
ignored, unknown types are a ValidationError that lists the known ones.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, Literal

import msgspec

from analytics.errors import ValidationError, unknown
from analytics.query import Filter, Window

Text = str | None
WindowLike = Window | str


Compare = Literal["previous", "day", "week"]


class Message(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Base of all messages."""


class Request(Message, kw_only=True):
    """Base of what a client sends. `id` comes back in the reply; `timestamp` is the sender's own."""

    id: str | int | None = None
    timestamp: Text = None


class Question(Request, kw_only=True):
    """Base of requests that are answered with analytics, and so can be subscribed to."""

    domain: Text = None
    window: WindowLike | None = None
    filters: list[Filter] = []


class FlowAnalytics(Question, kw_only=True, tag="flow_analytics"):
    """How flows do: one flow by its id, or all of them and the leaders."""

    flow_id: Text = None


class ResourceAnalytics(Question, kw_only=True, tag="resource_analytics"):
    """What is consumed: one resource by its id, or all of them."""

    resource_id: Text = None


class AgentAnalytics(Question, kw_only=True, tag="agent_analytics"):
    """How agents do: one agent by its name, or all of them and the leaders."""

    agent_id: Text = None


class QueryRequest(Question, kw_only=True, tag="query"):
    """Any metrics over a window, grouped and compared as wished."""

    metrics: list[str]
    dataset: Text = None
    grain: str | None = None
    group_by: list[str] = []
    compare: Compare | None = None
    limit: int | None = None
    as_of: datetime | None = None


class BoardRequest(Question, kw_only=True, tag="board"):
    """All tiles of one board at once; subscribed, a snapshot and then frames. With `tiles`, a board that no file
    declares: its tiles are given here, as a workspace would declare them."""

    board: str
    compare: Compare | Literal["off"] = "previous"
    grain: str | None = None
    as_of: datetime | None = None
    tiles: list[dict[str, Any]] | None = None


class Flows(Question, kw_only=True, tag="flows"):
    """A page of the flows that ended in the window, or that hold an event which the filters keep."""

    search: str = ""
    sort: str = "time"
    descending: bool = True
    limit: int = 100
    after: Text = None
    as_of: datetime | None = None


class FlowDetail(Question, kw_only=True, tag="flow"):
    """One flow whole: its agents, tools and model calls as a tree in time, with the critical path."""

    flow_id: str


class Rows(Question, kw_only=True, tag="rows"):
    """Raw rows of a dataset, newest first, a page at a time."""

    dataset: str = "events"
    columns: list[str] = []
    limit: int = 100
    after: Text = None
    as_of: datetime | None = None


class Values(Question, kw_only=True, tag="values"):
    """The values of a dimension in the window, most frequent first, with how many rows hold each."""

    dim: str
    dataset: Text = None
    search: str = ""
    limit: int = 50
    as_of: datetime | None = None


class SourcesRequest(Question, kw_only=True, tag="sources"):
    """Who sends: last seen, rhythm, rate, lateness, and what was dropped and why.

    detail: also how each one sends, minute by minute and in which ways, and which of its attributes have a column.
    """

    dataset: str = "events"
    detail: bool = False


class LedgerRequest(Question, kw_only=True, tag="ledger"):
    """What counts and why: per source and way what it told of tokens and money, how much of it is the record, how far
    it agrees with the record and where it differs."""

    as_of: datetime | None = None


class Explain(Question, kw_only=True, tag="explain"):
    """Why a metric changed against a baseline: which values of which dimensions, alone or together, account for it."""

    metric: str
    baseline: Compare | Window = "previous"
    dimensions: list[str] = []
    dataset: Text = None
    limit: int = 5
    as_of: datetime | None = None


class Forecast(Question, kw_only=True, tag="forecast"):
    """A metric for the next 1 to 60 steps with intervals, and when it reaches a limit."""

    metric: str
    grain: str | None = None
    horizon: int = 24
    limit_at: float | None = None
    dataset: Text = None
    as_of: datetime | None = None


class Ask(Question, kw_only=True, tag="ask"):
    """A question in words. Window and filters are where the asker stands: they count where the words say nothing."""

    text: str
    tz: str = "UTC"
    as_of: datetime | None = None


Standing = (
    FlowAnalytics
    | ResourceAnalytics
    | AgentAnalytics
    | QueryRequest
    | BoardRequest
    | Flows
    | SourcesRequest
    | LedgerRequest
)


class Position(msgspec.Struct, frozen=True):
    """The last message of a subscription that its client has seen."""

    epoch: str
    seq: int


class Subscribe(Request, kw_only=True, tag="subscribe"):
    """Answer `request` now and again on every tick that changes it.

    mode: `latest` may skip messages for a slow reader and says how many; `log` never skips and closes instead.
    since: come back to where a lost connection left off.
    """

    sub: str
    request: Standing
    mode: Literal["latest", "log"] = "latest"
    since: Position | None = None


class Unsubscribe(Request, kw_only=True, tag="unsubscribe"):
    """Stop the subscription named `sub`."""

    sub: str


class Ping(Request, kw_only=True, tag="ping"):
    """Ask for a pong, to measure the way there and back."""


class Reply(Message, kw_only=True):
    """Base of what the server sends. `id` is the request's, absent where that had none."""

    id: str | int | msgspec.UnsetType = msgspec.UNSET


class AnalyticsUpdate(Reply, kw_only=True, tag="analytics_update", omit_defaults=False):
    """An answer: numbers, what they mean, and how far to trust them (0 to 1)."""

    analytics: dict[str, Any] | None
    insights: list[dict[str, Any]]
    confidence: float
    confidence_parts: dict[str, Any]
    timestamp: str
    sub: str | msgspec.UnsetType = msgspec.UNSET
    epoch: str | msgspec.UnsetType = msgspec.UNSET
    seq: int | msgspec.UnsetType = msgspec.UNSET
    dropped: int | msgspec.UnsetType = msgspec.UNSET


class Frame(Reply, kw_only=True, tag="frame"):
    """What changed in a board since the last message of this subscription.

    tiles: tile id -> {"drop": rows to take off the front, "from": the row (counted after the drop)
    from which `columns` replace everything, "columns": {name: values}, "head": fields to merge}.
    board: fields of the snapshot's `analytics` to merge (window, now, watermark, sources, ...).
    """

    sub: str
    epoch: str
    seq: int
    at: int
    dropped: int = 0
    board: dict[str, Any] = {}
    tiles: dict[str, dict[str, Any]] = {}


class ErrorReply(Reply, kw_only=True, tag="error"):
    """Why a request was not answered. The socket lives on."""

    error: dict[str, Any]
    sub: Text = None


class Welcome(Reply, kw_only=True, tag="welcome"):
    """First message of analytics.v1. `epoch` is new at each start of the server. `token` comes to embedded boards
    only: it opens /embed/spec.json, for as long as this socket is open."""

    v: int
    conn: str
    epoch: str
    ping_s: float
    limits: dict[str, int]
    principal: str
    token: str | msgspec.UnsetType = msgspec.UNSET


class Subscribed(Reply, kw_only=True, tag="subscribed"):
    """The subscription stands; its messages follow, the first one at once."""

    sub: str
    epoch: str
    seq: int
    recovered: bool


class Unsubscribed(Reply, kw_only=True, tag="unsubscribed"):
    """The subscription is gone; no message of it follows."""

    sub: str


class Pong(Reply, kw_only=True, tag="pong"):
    """Answer to a ping, with the server's time in ms since the epoch."""

    at: int


class GoingAway(Reply, kw_only=True, tag="going_away"):
    """The server is about to drain; come back after so many ms."""

    reconnect_after_ms: int


BROWSED = (Flows, FlowDetail, Rows, Values, SourcesRequest, LedgerRequest)
REASONED = (Explain, Forecast, Ask)
PLAIN = (FlowAnalytics, ResourceAnalytics, AgentAnalytics, QueryRequest, BoardRequest, *BROWSED, *REASONED)
V1 = (*PLAIN, Subscribe, Unsubscribe, Ping)
ANSWERABLE = Standing | FlowDetail | Rows | Values | Explain | Forecast | Ask
REPLIES = (AnalyticsUpdate, Frame, ErrorReply, Welcome, Subscribed, Unsubscribed, Pong, GoingAway)


def tag(message: type[Message] | Message) -> str:
    """The `type` on the wire."""
    return str(message.__struct_config__.tag)


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [k for k, _ in pairs]
        twice = next(k for k in names if names.count(k) > 1)
        raise ValidationError(f"the key {twice[:80]!r} appears twice in one object", hint="send each key once")
    return found


def _no_constant(name: str) -> Any:
    raise ValidationError(f"{name} is not JSON", hint="send null where there is no number")


def decode(raw: str | bytes, *, plain: bool = False) -> Request:
    """Bytes of one message to its class. Raises ValidationError naming what was expected.

    The generic parse first is what makes duplicate keys and NaN errors rather than surprises.
    """
    try:
        text = raw if isinstance(raw, str) else raw.decode("utf-8")
        obj = json.loads(text, object_pairs_hook=_no_duplicates, parse_constant=_no_constant)
        if "\\u" in text:
            msgspec.json.encode(obj)  # half of a surrogate pair is fine as an escape, but has no bytes to answer with
    except ValidationError:
        raise
    except UnicodeEncodeError as error:
        half = error.object[error.start]
        raise ValidationError(f"the text holds {half!r}, half of a surrogate pair", hint="send both, or none") from None
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise ValidationError(
            f"expected one JSON object, got something that does not parse: {str(error)[:120]}"
        ) from None
    return from_builtins(obj, plain=plain)


def from_builtins(obj: Any, *, plain: bool = False) -> Request:
    """A decoded JSON value to its class. Raises ValidationError."""
    if not isinstance(obj, dict):
        raise ValidationError(f"expected a JSON object, got {type(obj).__name__}", hint='start with {"type": ...}')
    classes = {tag(c): c for c in (PLAIN if plain else V1)}
    kind = obj.get("type")
    if not isinstance(kind, str):
        raise ValidationError("the field `type` is missing or not text", hint="one of: " + ", ".join(classes))
    if kind not in classes:
        raise ValidationError(unknown("message type", kind, classes), hint="one of: " + ", ".join(classes))
    try:
        return msgspec.convert(obj, classes[kind])
    except msgspec.ValidationError as error:
        raise ValidationError(f"{kind}: {error}") from None
    except RecursionError:
        raise ValidationError(f"{kind}: nested too deep") from None


_ENCODER = msgspec.json.Encoder(decimal_format="number")


def encode(message: Message) -> bytes:
    """One message to its JSON bytes. msgspec writes NaN and infinities as null."""
    return _ENCODER.encode(message)
