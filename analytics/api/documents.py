"""AsyncAPI 3.0 and OpenAPI 3.1 of this server, made from the message classes and the table of routes."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

import msgspec

from analytics import errors, messages
from analytics.api.http import ApiHandler
from analytics.api.meanings import EXAMPLES, MEANINGS
from analytics.api.route import COMMON, Body, Route
from analytics.api.routes import ROUTES
from analytics.api.sockets import V1, Close
from analytics.errors import PlumblineError, RateLimited
from analytics.messages import ErrorReply, Message, Pong, Reply, Subscribed, Unsubscribed, tag
from analytics.rights import COOKIE, SCOPES

VERSION = "1.0.0"  # of the protocol, as analytics.v1
REF = "#/components/schemas/{name}"
PLACES = ("apiKey", "bearer", "cookie")  # where a key may be

INFO = {
    "title": "Plumbline",
    "version": VERSION,
    "description": "Live analytics for fleets of AI agents. Times in messages are RFC 3339 in UTC; times in the "
    "columns of boards are milliseconds since 1970. Null is unknown. JSON is strict: no NaN, no key twice in one.",
}

CLOSES: dict[Close, str] = {
    Close.ADMIN: "an administrator closed this connection",
    Close.DRAIN: "the server is about to stop",
    Close.NO_PONG: "no pong came in time",
    Close.SLOW_READER: "too many bytes were left unread",
    Close.LIFETIME: "the connection was as old as one may get",
    Close.FLOOD: "too many messages, or too many refused ones in a row",
    Close.BAD_KEY: "the key or ticket is not good",
    Close.REVOKED: "the key was revoked or has expired",
    Close.LIMIT: "too many connections",
    Close.PROTOCOL: "the peer broke the protocol",
}

# What answers a request that is not answered with analytics.
ANSWERS: dict[type[Message], type[Reply]] = {
    messages.Subscribe: Subscribed,
    messages.Unsubscribe: Unsubscribed,
    messages.Ping: Pong,
}


def family() -> list[type[PlumblineError]]:
    """Every error there is, by status."""
    found = [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, PlumblineError)]
    return sorted((c for c in found if c is not PlumblineError), key=lambda c: c.status)


# schemas


def components(types: Iterable[Any]) -> tuple[list[dict[str, Any]], dict[str, dict[str, Any]]]:
    """References to `types`, and the schemas behind them, every one and each of its fields described."""
    refs, schemas = msgspec.json.schema_components(types, ref_template=REF)
    replies = {c.__name__ for c in messages.REPLIES}
    for name, schema in schemas.items():
        schema["description"] = inspect.cleandoc(schema.get("description", ""))
        for field, value in schema.get("properties", {}).items():
            if "description" not in value and (doc := meaning(name, field, name in replies)):
                value["description"] = doc
    return list(refs), schemas


def meaning(owner: str, field: str, reply: bool) -> str | None:
    """What a field means: in this class, in any reply, or by its name alone."""
    names = (f"{owner}.{field}", f"Reply.{field}" if reply else field, field)
    return next((MEANINGS[name] for name in names if name in MEANINGS), None)


def first_line(doc: str | None) -> str:
    return inspect.cleandoc(doc or "").partition("\n")[0]


def _security(kind: str) -> dict[str, dict[str, str]]:
    """The places of a key; `kind` is what the specification calls a key in a header or a cookie."""
    page = "A person's sign-in; from pages of this server only."
    return {
        "apiKey": {"type": kind, "in": "header", "name": "X-API-Key", "description": "An API key."},
        "bearer": {"type": "http", "scheme": "bearer", "description": "The same key as a bearer token."},
        "cookie": {"type": kind, "in": "cookie", "name": COOKIE, "description": page},
    }


# AsyncAPI


def asyncapi(host: str = "127.0.0.1:5006", *, secure: bool = False) -> dict[str, Any]:
    """The WebSocket and all its messages. `host` (and port) is where this server is seen."""
    spoken: tuple[type[Message], ...] = (*messages.V1, *messages.REPLIES)
    _, schemas = components(spoken)
    for schema in _walk(schemas):
        if isinstance(schema.get("discriminator"), dict):  # AsyncAPI names only the field
            schema["discriminator"] = schema["discriminator"]["propertyName"]
    return {
        "asyncapi": "3.0.0",
        "info": INFO,
        "defaultContentType": "application/json",
        "servers": {
            "this": {
                "host": host,
                "protocol": "wss" if secure else "ws",
                "description": "This server.",
                "security": [{"$ref": f"#/components/securitySchemes/{name}"} for name in PLACES],
            }
        },
        "channels": {"analytics": _channel(spoken)},
        "operations": _operations(),
        "components": {
            "messages": {tag(c): _message(c) for c in spoken},
            "schemas": schemas,
            "securitySchemes": _security("httpApiKey"),
        },
    }


def _channel(spoken: Iterable[type[Message]]) -> dict[str, Any]:
    protocols = {
        "type": "string",
        "description": f"`{V1}` for everything; without it only questions and their answers, in order. "
        "A page of another origin adds `ticket.` and a ticket of `POST /api/tickets`.",
        "examples": [V1],
    }
    codes = "\n".join(f"- {code.value}: {text}; {_comes_back(code)}" for code, text in CLOSES.items())
    return {
        "address": "/api/analytics/ws",
        "title": "Analytics",
        "summary": "Questions, answers and subscriptions on one socket.",
        "description": "The key is checked before the upgrade: a refusal is an HTTP status with an RFC 9457 problem. "
        "A message that is refused is answered with `error`; the socket lives on.\n\n"
        f"The server closes with one of:\n{codes}",
        "servers": [{"$ref": "#/servers/this"}],
        "messages": {tag(c): {"$ref": f"#/components/messages/{tag(c)}"} for c in spoken},
        "bindings": {
            "ws": {
                "method": "GET",
                "headers": {"type": "object", "properties": {"Sec-WebSocket-Protocol": protocols}},
                "bindingVersion": "0.1.0",
            }
        },
        "x-close-codes": {
            str(code.value): {"description": text, "reconnect": code < 4500} for code, text in CLOSES.items()
        },
        "x-error-codes": {c.code: {"description": c.title, "status": c.status} for c in family()},
        "x-subprotocols": [V1],
    }


def _comes_back(code: int) -> str:
    return "come back" if code < 4500 else "do not come back"


def _operations() -> dict[str, Any]:
    """From the server's side: it receives each request, and sends each reply."""
    found: dict[str, Any] = {}
    for request in messages.V1:
        plain = request in messages.PLAIN
        found[f"receive_{tag(request)}"] = {
            "action": "receive",
            "channel": {"$ref": "#/channels/analytics"},
            "summary": first_line(request.__doc__),
            "description": "In both modes, and over `POST /api/analytics`." if plain else f"Only with `{V1}`.",
            "messages": _refs(request),
            "reply": {
                "channel": {"$ref": "#/channels/analytics"},
                "messages": _refs(ANSWERS.get(request, messages.AnalyticsUpdate), ErrorReply),
            },
        }
    for reply in messages.REPLIES:
        found[f"send_{tag(reply)}"] = {
            "action": "send",
            "channel": {"$ref": "#/channels/analytics"},
            "summary": first_line(reply.__doc__),
            "messages": _refs(reply),
        }
    return found


def _refs(*spoken: type[Message]) -> list[dict[str, str]]:
    return [{"$ref": f"#/channels/analytics/messages/{tag(c)}"} for c in spoken]


def _message(c: type[Message]) -> dict[str, Any]:
    name = tag(c)
    found: dict[str, Any] = {
        "name": name,
        "title": name,
        "summary": first_line(c.__doc__),
        "description": inspect.cleandoc(c.__doc__ or ""),
        "contentType": "application/json",
        "payload": {"$ref": REF.format(name=c.__name__)},
        "examples": [{"name": name, "payload": EXAMPLES[name]}],
    }
    if "id" in EXAMPLES[name]:
        found["correlationId"] = {"location": "$message.payload#/id", "description": "A reply has the request's."}
    return found


def _walk(value: Any) -> Iterable[dict[str, Any]]:
    """Every object inside a schema, itself included."""
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _walk(inner)


# OpenAPI


def openapi(url: str = "/") -> dict[str, Any]:
    """All HTTP routes. `url` is where this server is seen."""
    bodies = [body for route in ROUTES for body in (*route.takes, *route.gives, *route.refused_with)]
    shapes = {id(body.shape): body.shape for body in bodies if body.shape is not None}
    refs, schemas = components(shapes.values())
    schema_of = dict(zip(shapes, refs, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schema_of)
    return {
        "openapi": "3.1.0",
        "info": INFO,
        "servers": [{"url": url, "description": "This server."}],
        "tags": [{"name": group} for group in dict.fromkeys(route.group for route in ROUTES)],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": _security("apiKey"),
        },
    }


def _operation(route: Route, schema_of: dict[int, dict[str, Any]]) -> dict[str, Any]:
    def content(bodies: Iterable[Body]) -> dict[str, Any]:
        return {body.media: _media(body, schema_of) for body in bodies}

    words = route.path.replace("{", "").replace("}", "").replace(".", "/").strip("/").split("/")
    found: dict[str, Any] = {
        "operationId": "_".join([route.method.lower(), *words]),
        "tags": [route.group],
        "summary": route.summary,
        "description": route.doc,
        "security": [] if route.scope is None else [{place: _roles(route)} for place in PLACES],
        "responses": _responses(route, content(route.gives), content(route.refused_with)),
    }
    if route.arguments:
        found["parameters"] = [
            {
                "name": a.name,
                "in": a.where,
                "required": a.where == "path",
                "description": a.doc,
                "schema": {"type": "string"},
                **({"example": a.example} if a.example else {}),
            }
            for a in route.arguments
        ]
    if route.takes:
        found["requestBody"] = {"required": True, "content": content(route.takes)}
    return found


def _roles(route: Route) -> list[str]:
    return [route.scope] if route.scope in SCOPES else []


def _media(body: Body, schema_of: dict[int, dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {} if body.shape is None else {"schema": schema_of[id(body.shape)]}
    if body.examples:
        found["examples"] = {name.replace(" ", "_"): {"summary": name, "value": v} for name, v in body.examples.items()}
    return found


def _responses(route: Route, given: dict[str, Any], refused: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": HTTPStatus(route.status).phrase}
    if given:
        answer["content"] = given
    found = {str(route.status): answer}
    for status, why in route.otherwise.items():
        found[str(status)] = {"description": f"{HTTPStatus(status).phrase}: {why}", "content": given}
    refusals = {*route.refusals, *(COMMON if route.scope is not None else ())}
    for error in sorted(refusals, key=lambda c: c.status):
        found[str(error.status)] = {"description": f"{error.code}: {error.title}", "content": refused}
        if error is RateLimited:
            seconds = {"description": "Seconds to wait.", "schema": {"type": "integer"}}
            found[str(error.status)]["headers"] = {"Retry-After": seconds}
    return found


class DocumentHandler(ApiHandler):
    """GET /api/openapi.json and /api/asyncapi.json; Tornado adds the ETag."""

    def get(self, name: str) -> None:
        secure = self.request.protocol == "https"
        found = openapi() if name == "openapi" else asyncapi(self.request.host, secure=secure)
        self.set_header("Cache-Control", "private, no-cache")
        self.send(found)
