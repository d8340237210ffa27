"""What an OTLP/HTTP exporter gets back, in the encoding it sent."""

from __future__ import annotations

import msgspec
from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)

from analytics.errors import PlumblineError
from analytics.ingest.reasons import Drop

PROTOBUF = "application/x-protobuf"
JSON = "application/json"
RESPONSES: dict[str, tuple[type[Message], str]] = {
    "traces": (ExportTraceServiceResponse, "rejected_spans"),
    "metrics": (ExportMetricsServiceResponse, "rejected_data_points"),
    "logs": (ExportLogsServiceResponse, "rejected_log_records"),
}
CAMEL = {
    "rejected_spans": "rejectedSpans",
    "rejected_data_points": "rejectedDataPoints",
    "rejected_log_records": "rejectedLogRecords",
}
GRPC_CODES = {400: 3, 401: 16, 403: 7, 404: 5, 409: 6, 413: 3, 415: 3, 429: 8, 500: 13, 503: 14, 504: 4, 507: 8}


def partial_success(signal: str, rejected: int, message: str, *, json: bool = False) -> bytes:
    """Body of a 200: empty on full success, else how many were rejected and why."""
    response, field = RESPONSES[signal]
    if json:
        found = (
            {"partialSuccess": {CAMEL[field]: str(rejected), "errorMessage": message}} if rejected or message else {}
        )
        return msgspec.json.encode(found)
    reply = response()
    if rejected or message:
        partial = reply.partial_success
        setattr(partial, field, rejected)
        partial.error_message = message
    return bytes(reply.SerializeToString())


def error_body(error: PlumblineError, *, json: bool = False) -> bytes:
    """Body of a refusal: google.rpc.Status, as the OTLP specification asks for."""
    code = GRPC_CODES.get(error.status, 2)
    text = f"{error.message}; {error.hint}" if error.hint else error.message
    if json:
        return msgspec.json.encode({"code": code, "message": text})
    # the first two fields of a Status, code and message, look the same on the wire as these
    return bytes(ExportTracePartialSuccess(rejected_spans=code, error_message=text).SerializeToString())


def explained(drops: list[Drop]) -> str:
    """One sentence for the exporter's log; empty when nothing was dropped."""
    return "; ".join(f"{drop.count} {drop.reason.code} ({drop.example})" for drop in drops)
