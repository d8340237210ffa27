"""The OTLP messages, with every key-value attribute left as its raw bytes.

On the wire a message field and a bytes field look the same. Reading attributes as bytes lets the
mapper look each one up in a memo before it parses it, and fleets repeat most attributes.
"""

from __future__ import annotations

import binascii
from typing import Any

import msgspec
from google.protobuf import json_format
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2
from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.logs.v1 import logs_pb2
from opentelemetry.proto.metrics.v1 import metrics_pb2
from opentelemetry.proto.resource.v1 import resource_pb2
from opentelemetry.proto.trace.v1 import trace_pb2

from analytics.errors import ValidationError

REQUESTS: dict[str, type[Message]] = {
    "traces": trace_service_pb2.ExportTraceServiceRequest,
    "metrics": metrics_service_pb2.ExportMetricsServiceRequest,
    "logs": logs_service_pb2.ExportLogsServiceRequest,
}
FILES = (
    common_pb2, resource_pb2, trace_pb2, metrics_pb2, logs_pb2,
    trace_service_pb2, metrics_service_pb2, logs_service_pb2,
)  # fmt: skip
KEY_VALUE = ".opentelemetry.proto.common.v1.KeyValue"
HEX_IDS = frozenset(("traceId", "spanId", "parentSpanId", "trace_id", "span_id", "parent_span_id"))


class OtlpReader:
    """Bytes of an export request to its lean message; build it once."""

    def __init__(self) -> None:
        pool = DescriptorPool()
        for module in FILES:
            file = FileDescriptorProto()
            module.DESCRIPTOR.CopyToProto(file)
            for message in file.message_type:
                _lean(message)
            pool.AddSerializedFile(file.SerializeToString())
        self._lean = {
            signal: GetMessageClass(pool.FindMessageTypeByName(full.DESCRIPTOR.full_name))
            for signal, full in REQUESTS.items()
        }

    def protobuf(self, signal: str, body: bytes) -> Any:
        """Raises ValidationError when the body is not this signal's request."""
        try:
            return self._lean[signal].FromString(body)
        except DecodeError:
            raise ValidationError(
                f"the body does not parse as an OTLP {signal} request in protobuf",
                hint="send Content-Type: application/json for OTLP JSON",
            ) from None

    def json(self, signal: str, body: bytes) -> Any:
        """OTLP JSON is proto3 JSON but for its ids, which are hex. Raises ValidationError."""
        try:
            request = REQUESTS[signal]()
            parsed = msgspec.json.decode(body, type=dict[str, Any])
            json_format.ParseDict(_with_base64_ids(parsed), request, ignore_unknown_fields=True)
            return self.protobuf(signal, request.SerializeToString())
        except (json_format.ParseError, ValueError, TypeError, AttributeError, RecursionError) as error:
            reason = " ".join(str(error).split())[:160]
            raise ValidationError(f"the body does not parse as an OTLP {signal} request in JSON: {reason}") from None


def _lean(message: DescriptorProto) -> None:
    if message.name == "KeyValueList":  # stays as it is: the value of an attribute is parsed whole
        return
    for field in message.field:
        if field.type_name == KEY_VALUE:
            field.type = FieldDescriptorProto.TYPE_BYTES
            field.ClearField("type_name")
    for nested in message.nested_type:
        _lean(nested)


def _with_base64_ids(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _base64(v) if k in HEX_IDS else _with_base64_ids(v) for k, v in value.items()}
    return [_with_base64_ids(v) for v in value] if isinstance(value, list) else value


def _base64(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return binascii.b2a_base64(bytes.fromhex(value), newline=False).decode()
    except ValueError:
        return ""  # not an id: the span is then refused by itself, for want of identity
