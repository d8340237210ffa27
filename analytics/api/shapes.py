"""What HTTP bodies look like where no message class says it: one struct each, every field described."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from analytics.audit import AuditEntry
from analytics.events import BY_NAME, COLUMNS, KINDS
from analytics.ingest.json_events import SENT, TYPES
from analytics.ingest.reasons import Reason
from analytics.load.run import Progress


def event_shape() -> Any:
    """One event as it is sent: the canonical columns, all optional."""
    kinds: Any = Literal[KINDS] | None
    types = {c.name: kinds if c.name == "kind" else TYPES[c.type] for c in COLUMNS if c.name in SENT}
    fields: list[Any] = [
        (name, Annotated[kind, Meta(description=BY_NAME[name].doc)], None) for name, kind in types.items()
    ]
    rest = Annotated[dict[str, Any] | None, Meta(description="everything else, as an object")]
    doc = "One event. Every field may be left out; a field that is no column is kept in `attributes`."
    return msgspec.defstruct("Event", [*fields, ("attributes", rest, None)], namespace={"__doc__": doc})


EVENT = event_shape()
EVENT_BODY: Any = list[EVENT] | EVENT  # type: ignore[valid-type]  # the class is made from COLUMNS
REASONS: Any = Literal[tuple(reason.code for reason in Reason)]


class Dropped(msgspec.Struct):
    """Events that were not kept, by reason."""

    reason: Annotated[REASONS, Meta(description="why, as one word")]
    count: Annotated[int, Meta(description="how many")]
    example: Annotated[str, Meta(description="where the first one was, and what was expected")]


class Accepted(msgspec.Struct):
    """What became of a body of events. Sent when they are durable."""

    accepted: Annotated[int, Meta(description="events that are new and kept")]
    repeated: Annotated[int, Meta(description="events that were here already, by their event_id")]
    dropped: Annotated[list[Dropped], Meta(description="events that were not kept")]
    cursor: Annotated[int, Meta(description="position in the store after this body")]


class Made(msgspec.Struct):
    """A dataset that is declared."""

    dataset: Annotated[str, Meta(description="its name")]
    new: Annotated[bool, Meta(description="whether it was not there before")]
    board: Annotated[str, Meta(description="the address of its board")]


class UploadFile(msgspec.Struct):
    """A file of an upload."""

    name: Annotated[str, Meta(description="as it was sent")]
    size: Annotated[int, Meta(description="bytes")]


class UploadColumn(msgspec.Struct):
    """A column of the files, and how it is read."""

    field: Annotated[str, Meta(description="what the file calls it")]
    name: Annotated[str, Meta(description="what the dataset calls it")]
    type: Annotated[str, Meta(description="text, integer, number, boolean or time")]
    form: Annotated[str, Meta(description="how its values are written; empty in the plain way")]
    read_as: Annotated[str, Meta(description="both, as a change takes it: type or type:form")]
    note: Annotated[str, Meta(description="what a person should know of it")]
    values: Annotated[int, Meta(description="values in the sample")]
    nulls: Annotated[int, Meta(description="rows of the sample without one")]
    misfits: Annotated[int, Meta(description="values of the sample that do not fit")]
    choices: Annotated[tuple[str, ...], Meta(description="other likely ways to read it")]


class RejectShown(msgspec.Struct):
    """A row that cannot be kept."""

    file: Annotated[str, Meta(description="of which file")]
    line: Annotated[int, Meta(description="where; of Parquet the row")]
    reason: Annotated[str, Meta(description="why, as one word")]
    expected: Annotated[str, Meta(description="what was expected, and what came")]
    raw: Annotated[str, Meta(description="how it looks")]


class RejectCount(msgspec.Struct):
    """One reason, and how often."""

    reason: Annotated[str, Meta(description="as one word")]
    meaning: Annotated[str, Meta(description="what it means")]
    count: Annotated[int, Meta(description="rows")]
    line: Annotated[int, Meta(description="where the first one is")]
    example: Annotated[str, Meta(description="what was expected there")]


class RejectsShown(msgspec.Struct):
    """The rows that cannot be kept."""

    total: Annotated[int, Meta(description="how many so far")]
    reasons: Annotated[list[RejectCount], Meta(description="the most frequent first")]
    first: Annotated[list[RejectShown], Meta(description="the first 20")]


class Makes(msgspec.Struct):
    """What a load would make."""

    new: Annotated[bool, Meta(description="whether the dataset is not there yet")]
    dimensions: Annotated[int, Meta(description="to filter and group by")]
    metrics: Annotated[int, Meta(description="to measure")]
    tiles: Annotated[int, Meta(description="of its board")]


class UploadShown(msgspec.Struct):
    """An upload. What follows from looking at the files is there from the state `ready` on."""

    id: Annotated[str, Meta(description="to ask for it with")]
    state: Annotated[str, Meta(description="receiving, inspecting, ready, loading, done, failed or cancelled")]
    error: Annotated[dict[str, Any] | None, Meta(description="code, message and hint of a failure")]
    files: Annotated[list[UploadFile], Meta(description="those that came whole")]
    dataset: Annotated[str | None, Meta(description="where its rows go")]
    title: Annotated[str, Meta(description="title of a new dataset; empty: made of its name")]
    expires: Annotated[datetime, Meta(description="when it is removed")]
    progress: Annotated[Progress, Meta(description="of the load")]
    rejects: Annotated[RejectsShown | None, Meta(description="of the sample, then of the load")]
    board: Annotated[str | None, Meta(description="the address of the board, when it is done")]
    format: Annotated[str | msgspec.UnsetType, Meta(description="csv, jsonl, json, parquet or mixed")] = msgspec.UNSET
    delimiter: Annotated[str | msgspec.UnsetType | None, Meta(description="of CSV")] = msgspec.UNSET
    header: Annotated[bool | msgspec.UnsetType | None, Meta(description="whether CSV names its columns")] = (
        msgspec.UNSET
    )
    encoding: Annotated[str | msgspec.UnsetType, Meta(description="of the text")] = msgspec.UNSET
    columns: Annotated[list[UploadColumn] | msgspec.UnsetType, Meta(description="in the order of the file")] = (
        msgspec.UNSET
    )
    time: Annotated[str | msgspec.UnsetType | None, Meta(description="the field of the rows' time")] = msgspec.UNSET
    preview: Annotated[
        dict[str, list[str | None]] | msgspec.UnsetType, Meta(description="the first 20 rows by field, as written")
    ] = msgspec.UNSET
    sampled: Annotated[int | msgspec.UnsetType, Meta(description="rows that were looked at")] = msgspec.UNSET
    makes: Annotated[Makes | msgspec.UnsetType, Meta(description="what a load would make")] = msgspec.UNSET


class TicketAsk(msgspec.Struct):
    """What a ticket is for."""

    origin: Annotated[str, Meta(description="scheme, host and port of the page that will use it")]
    boards: Annotated[list[str] | None, Meta(description="only these boards")] = None
    domains: Annotated[list[str] | None, Meta(description="only these domains")] = None


class Ticket(msgspec.Struct):
    """A ticket for one socket."""

    ticket: Annotated[str, Meta(description="good once")]
    expires_in_s: Annotated[float, Meta(description="seconds until it is too old")]
    subprotocols: Annotated[list[str], Meta(description="what to open the WebSocket with")]


class Alive(msgspec.Struct):
    """The process answers."""

    status: Annotated[Literal["ok"], Meta(description="always ok")]


class PartState(msgspec.Struct):
    """Whether one part does its work."""

    ok: Annotated[bool, Meta(description="whether it does")]
    reason: Annotated[str, Meta(description="how it stands, or why not")]


class Ready(msgspec.Struct):
    """Whether the server is able to answer."""

    status: Annotated[Literal["ready", "not ready"], Meta(description="ready when every part is ok")]
    parts: Annotated[dict[str, PartState], Meta(description="each part by name")]


class Connection(msgspec.Struct):
    """One open socket. Times are ms since 1970."""

    conn: Annotated[str, Meta(description="its name, as `welcome` tells it")]
    key_id: Annotated[str, Meta(description="whose key it uses")]
    principal: Annotated[str, Meta(description="the name of that key")]
    address: Annotated[str | None, Meta(description="from where")]
    protocol: Annotated[str, Meta(description="analytics.v1 or plain")]
    opened: Annotated[int, Meta(description="since when")]
    last_seen: Annotated[int, Meta(description="when it last sent a byte")]
    state: Annotated[Literal["open", "behind", "closing"], Meta(description="behind: it reads too slowly")]
    subscriptions: Annotated[list[str], Meta(description="their names")]
    lag_s: Annotated[float, Meta(description="seconds for which it has been behind")]
    buffered: Annotated[int, Meta(description="bytes it has not read yet")]


class Connections(msgspec.Struct):
    """The open sockets, the slowest first."""

    now: Annotated[int, Meta(description="the server's clock, ms since 1970")]
    total: Annotated[int, Meta(description="how many are open")]
    connections: Annotated[list[Connection], Meta(description="the slowest of them, as many as the limit allows")]


class Audited(AuditEntry, frozen=True):
    """One line of the audit log."""

    name: Annotated[str | None, Meta(description="the key's name, as far as there is such a key")] = None


class RpcStatus(msgspec.Struct):
    """A `google.rpc.Status`, as the OpenTelemetry specification asks for."""

    code: Annotated[int, Meta(description="gRPC status code")]
    message: Annotated[str, Meta(description="what was wrong, for people")]


class Problem(msgspec.Struct):
    """An RFC 9457 problem document. Further fields carry details, by error."""

    type: Annotated[str, Meta(description="always about:blank")]
    title: Annotated[str, Meta(description="the kind of error, for people")]
    status: Annotated[int, Meta(description="the HTTP status again")]
    detail: Annotated[str | None, Meta(description="what was expected and what came")] = None
    code: Annotated[str | None, Meta(description="the kind of error, for programs")] = None
    hint: Annotated[str | None, Meta(description="what to do next")] = None
    retry_after_ms: Annotated[int | None, Meta(description="come back after so many milliseconds")] = None


class Otlp(msgspec.Struct):
    """An OpenTelemetry export request in JSON, or its reply; see the OTLP specification."""
