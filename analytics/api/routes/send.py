"""What takes data in: events, OpenTelemetry, files, and datasets of a user's own."""

from __future__ import annotations

from typing import Any

from analytics.api.http import PROBLEM
from analytics.api.route import PROTOBUF, SENDING, Argument, Body, Route
from analytics.api.shapes import EVENT_BODY, Accepted, Made, Otlp, Problem, RpcStatus, UploadShown
from analytics.errors import Conflict, NotFound, Overloaded, StorageFull, TooLarge, ValidationError
from analytics.load.run import Declaration
from analytics.load.uploads import Change

EVENTS = [{"kind": "flow", "name": "answer question", "agent": "planner", "status": "ok", "duration_ms": 840}]
LINE = '{"kind": "flow", "name": "answer question", "duration_ms": 840}\n{"kind": "tool", "tool": "search"}\n'
TABLE = "kind,name,agent,duration_ms\nflow,answer question,planner,840\n"
MADE = {"columns": {"carrier": {"type": "text"}, "delay": {"type": "integer"}, "day": {"type": "time"}}, "time": "day"}
SPANS: dict[str, Any] = {"resourceSpans": []}
POINTS: dict[str, Any] = {"resourceMetrics": []}
RECORDS: dict[str, Any] = {"resourceLogs": []}
UPLOAD_ID = Argument("id", "the upload's id", "", "path")
UPLOAD = Body(shape=UploadShown)


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


SEND: tuple[Route, ...] = (
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
    otlp("traces", SPANS),
    otlp("metrics", POINTS),
    otlp("logs", RECORDS),
)
