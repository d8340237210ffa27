"""The objects of OpenAPI 3.1 and AsyncAPI 3.0 as far as we write them, strict: an unknown or missing field is an error.

After https://spec.openapis.org/oas/v3.1.0 and https://www.asyncapi.com/docs/reference/specification/v3.0.0.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, field

Words = Annotated[str, Meta(min_length=1)]
Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]+$")]
Code = Annotated[str, Meta(pattern=r"^[1-5][0-9]{2}$")]
Media = Annotated[str, Meta(pattern=r"^[a-z]+/[a-z0-9.+-]+$")]
Kind = Literal["string", "integer", "number", "boolean", "null", "array", "object"]


class Strict(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Base of all."""


class Ref(Strict):
    ref: Annotated[str, Meta(pattern="^#/")] = field(name="$ref")


class Schema(Strict, rename="camel"):
    """JSON Schema; a reference may have a description beside it."""

    ref: str | None = field(name="$ref", default=None)
    title: str | None = None
    description: Words | None = None
    type: Kind | None = None
    enum: list[Any] | None = None
    any_of: list[Schema] | None = None
    items: Schema | bool | None = None
    properties: dict[str, Schema] | None = None
    additional_properties: Schema | bool | None = None
    required: list[str] | None = None
    default: Any = None
    examples: list[Any] | None = None
    format: str | None = None
    minimum: float | None = None
    maximum: float | None = None
    min_length: int | None = None
    max_length: int | None = None
    min_items: int | None = None
    max_items: int | None = None
    prefix_items: list[Schema] | None = None
    discriminator: dict[str, Any] | str | None = None


class Info(Strict):
    title: Words
    version: Words
    description: Words


# OpenAPI


class Example(Strict):
    summary: Words
    value: Any


class MediaType(Strict):
    schema: Schema | None = None
    examples: dict[Name, Example] = {}


class Header(Strict):
    description: Words
    schema: Schema


class Response(Strict):
    description: Words
    content: dict[Media, MediaType] = {}
    headers: dict[Name, Header] = {}


class Parameter(Strict):
    name: Words
    place: Literal["path", "query"] = field(name="in")
    required: bool
    description: Words
    schema: Schema
    example: str | None = None


class RequestBody(Strict):
    required: bool
    content: dict[Media, MediaType]


class HttpOperation(Strict, rename="camel"):
    operation_id: Name
    tags: list[str]
    summary: Words
    description: Words
    security: list[dict[Name, list[str]]]
    responses: dict[Code, Response]
    parameters: list[Parameter] = []
    request_body: RequestBody | None = None


class Security(Strict, rename="camel"):
    type: Literal["apiKey", "httpApiKey", "http"]
    description: Words
    place: Literal["header", "cookie"] | None = field(name="in", default=None)
    name: str | None = None
    scheme: Literal["bearer"] | None = None


class HttpComponents(Strict, rename="camel"):
    schemas: dict[Name, Schema]
    security_schemes: dict[Name, Security]


class Url(Strict):
    url: Words
    description: Words


class Tag(Strict):
    name: Words


class OpenApi(Strict):
    openapi: Literal["3.1.0"]
    info: Info
    servers: list[Url]
    tags: list[Tag]
    paths: dict[
        Annotated[str, Meta(pattern="^/")], dict[Literal["get", "post", "put", "patch", "delete"], HttpOperation]
    ]
    components: HttpComponents


# AsyncAPI


class Server(Strict):
    host: Words
    protocol: Literal["ws", "wss"]
    description: Words
    security: list[Ref]


class Ws(Strict, rename="camel"):
    method: Literal["GET"]
    headers: Schema
    binding_version: Literal["0.1.0"]


class Bindings(Strict):
    ws: Ws


class CloseCode(Strict):
    description: Words
    reconnect: bool


class ErrorCode(Strict):
    description: Words
    status: int


class Channel(Strict):
    address: Words
    title: Words
    summary: Words
    description: Words
    servers: list[Ref]
    messages: dict[Name, Ref]
    bindings: Bindings
    closes: dict[str, CloseCode] = field(name="x-close-codes")
    errors: dict[str, ErrorCode] = field(name="x-error-codes")
    protocols: list[str] = field(name="x-subprotocols")


class Answers(Strict):
    channel: Ref
    messages: list[Ref]


class SocketOperation(Strict):
    action: Literal["send", "receive"]
    channel: Ref
    summary: Words
    messages: list[Ref]
    description: Words | None = None
    reply: Answers | None = None


class Shown(Strict):
    name: Words
    payload: dict[str, Any]


class Correlation(Strict):
    location: Annotated[str, Meta(pattern=r"^\$message\.(header|payload)#/")]
    description: Words


class Spoken(Strict, rename="camel"):
    name: Words
    title: Words
    summary: Words
    description: Words
    content_type: Literal["application/json"]
    payload: Ref
    examples: list[Shown]
    correlation_id: Correlation | None = None


class SocketComponents(Strict, rename="camel"):
    messages: dict[Name, Spoken]
    schemas: dict[Name, Schema]
    security_schemes: dict[Name, Security]


class AsyncApi(Strict, rename="camel"):
    asyncapi: Literal["3.0.0"]
    info: Info
    default_content_type: Literal["application/json"]
    servers: dict[Name, Server]
    channels: dict[Name, Channel]
    operations: dict[Name, SocketOperation]
    components: SocketComponents
