"""/api: the routes and messages of this server for people, made from its own OpenAPI and AsyncAPI documents."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from tornado.web import RequestHandler

from dashboard.assets import Assets
from dashboard.login import HEADERS, Auth

Document = dict[str, Any]
POLICY = HEADERS | {"Content-Security-Policy": HEADERS["Content-Security-Policy"] + "; connect-src 'self'"}
WORDS = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false", "null": "null"}
PARAGRAPH = re.compile(r"\n\n|\n(?=\w+: )")  # a line `field: ...` stands for itself
NESTED = 2  # levels of fields inside a field that are listed
JSON = "application/json"


@dataclass(frozen=True)
class Row:
    """One line of a table: a field, an argument, a code."""

    name: str
    type: str
    meaning: str
    required: bool = False
    depth: int = 0


@dataclass(frozen=True)
class Table:
    title: str
    rows: list[Row]


@dataclass(frozen=True)
class Attempt:
    """What "Try it" sends. `bodies` are the examples to begin with, by name; `over` is http, socket or both."""

    over: str
    method: str
    address: str
    media: str
    bodies: dict[str, str]
    changes: bool = False

    @property
    def body(self) -> str:
        """The first example."""
        return next(iter(self.bodies.values()), "")

    @property
    def rows(self) -> int:
        """Lines of a box that shows every example without scrolling, within reason."""
        return min(16, max((body.count("\n") + 2 for body in self.bodies.values()), default=3))


@dataclass(frozen=True)
class Entry:
    """One route or message. `text` is paragraphs in which `code` stands in backticks."""

    id: str
    group: str
    name: str
    summary: str
    text: list[str]
    tables: list[Table]
    examples: dict[str, str]
    attempt: Attempt | None = None


def entries(openapi: Document, asyncapi: Document) -> list[Entry]:
    """Everything the page shows, in its order."""
    return [*_routes(openapi), _socket(asyncapi), *_messages(asyncapi)]


# routes


def _routes(document: Document) -> Iterator[Entry]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield _route(path, method.upper(), operation, document["components"]["schemas"])


def _route(path: str, method: str, operation: Document, schemas: Document) -> Entry:
    replies = operation["responses"]
    status = next(iter(replies))
    given = replies[status].get("content", {}).get(JSON, {})
    taken = operation.get("requestBody", {}).get("content", {})
    arguments = [Row(a["name"], f"text, in the {a['in']}", a["description"], a["required"])
                 for a in operation.get("parameters", [])]  # fmt: skip
    refusals = [Row(code, *reply["description"].split(": ", 1)) for code, reply in replies.items() if code != status]
    tables = [
        Table("Arguments", arguments),
        Table("Body", _body(taken.get(JSON, {}).get("schema"), schemas)),
        Table("Reply", _body(given.get("schema"), schemas)),
        Table("Refusals", refusals),
    ]
    return Entry(
        id=operation["operationId"],
        group=operation["tags"][0],
        name=f"{method} {path}",
        summary=operation["summary"],
        text=[*operation["description"].split("\n\n"), _needs(operation["security"])],
        tables=[table for table in tables if table.rows],
        examples={name: pretty(e["value"]) for name, e in given.get("examples", {}).items()},
        attempt=_attempt(path, method, operation, taken),
    )


def _needs(security: list[dict[str, list[str]]]) -> str:
    if not security:
        return "Needs no key."
    scopes = security[0]["apiKey"]
    return f"Needs a key with the scope `{scopes[0]}`." if scopes else "Needs any good key."


def _attempt(path: str, method: str, operation: Document, taken: Document) -> Attempt:
    found = {a["name"]: (a["in"], a["example"]) for a in operation.get("parameters", []) if "example" in a}
    for name, (place, example) in found.items():
        path = path.replace(f"{{{name}}}", quote(example, safe="")) if place == "path" else path
    query = urlencode({name: example for name, (place, example) in found.items() if place == "query"})
    media = next(iter(taken), "")
    bodies = {name: pretty(e["value"]) for name, e in taken.get(media, {}).get("examples", {}).items()}
    asks = path == "/api/analytics"
    return Attempt("http", method, path + (f"?{query}" if query else ""), media, bodies, method != "GET" and not asks)


def _body(schema: Document | None, schemas: Document) -> list[Row]:
    """The fields of a body, where it is one object or a list of them."""
    target = None if schema is None else _inner(schema, schemas)
    return [] if target is None else list(_rows(target, schemas))


# messages


def _socket(document: Document) -> Entry:
    channel = document["channels"]["analytics"]
    closes = [Row(code, "come back" if c["reconnect"] else "do not come back", c["description"])
              for code, c in channel["x-close-codes"].items()]  # fmt: skip
    failures = [Row(code, f"HTTP {c['status']}", c["description"]) for code, c in channel["x-error-codes"].items()]
    protocol = channel["bindings"]["ws"]["headers"]["properties"]["Sec-WebSocket-Protocol"]
    return Entry(
        id="socket",
        group="Socket",
        name=channel["address"],
        summary=channel["summary"],
        text=[channel["description"].split("\n\n")[0], f"The subprotocol: {protocol['description']}"],
        tables=[Table("Close codes", closes), Table("Error codes", failures)],
        examples={},
    )


def _messages(document: Document) -> Iterator[Entry]:
    schemas = document["components"]["schemas"]
    for operation in document["operations"].values():
        name = operation["messages"][0]["$ref"].rsplit("/", 1)[1]
        message = document["components"]["messages"][name]
        example = pretty(message["examples"][0]["payload"])
        receives = operation["action"] == "receive"
        text = [*PARAGRAPH.split(message["description"]), operation.get("description", "")]
        if receives:
            answers = [ref["$ref"].rsplit("/", 1)[1] for ref in operation["reply"]["messages"]]
            text.append("Answered with " + " or ".join(f"`{answer}`" for answer in answers) + ".")
        over = "both" if "POST" in operation.get("description", "") else "socket"
        yield Entry(
            id=name,
            group="You send" if receives else "You receive",
            name=name,
            summary=message["summary"],
            text=[part for part in text if part],
            tables=[Table("Fields", list(_rows(schemas[message["payload"]["$ref"].rsplit("/", 1)[1]], schemas)))],
            examples={} if receives else {name: example},
            attempt=Attempt(over, "POST", "/api/analytics", JSON, {name: example}) if receives else None,
        )


# schemas in words


def _rows(schema: Document, schemas: Document, depth: int = 0) -> Iterator[Row]:
    """The fields of an object, and below each that is an object, its own."""
    for name, field in schema.get("properties", {}).items():
        default = field.get("default")
        meaning = field.get("description", "")
        if default not in (None, [], {}, ""):
            meaning += f"; `{default if isinstance(default, str) else json.dumps(default)}` where it is left out"
        yield Row(name, words(field, schemas), meaning, name in schema.get("required", []), depth)
        inner = _inner(field, schemas)
        if inner is not None and depth < NESTED and inner is not schema:
            yield from _rows(inner, schemas, depth + 1)


def _inner(schema: Document, schemas: Document) -> Document | None:
    """The one object that a field holds, or holds a list of; None for plain values and for whole messages."""
    named = set(_references(schema))
    if len(named) != 1:
        return None
    found: Document = schemas[named.pop()]
    return None if _tag(found) else found


def _references(schema: Document) -> Iterator[str]:
    if "$ref" in schema:
        yield schema["$ref"].rsplit("/", 1)[1]
    for part in (*schema.get("anyOf", ()), schema.get("items")):
        if isinstance(part, dict):
            yield from _references(part)


def words(schema: Document, schemas: Document) -> str:
    """The type of a field as people say it: `text or whole number`, `list of Filter`."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        return _tag(schemas[name]) or name
    if "enum" in schema:
        return _either(map(str, schema["enum"]))
    if "anyOf" in schema:
        return _either(words(part, schemas) for part in schema["anyOf"] if part.get("type") != "null")
    if places := schema.get("prefixItems"):
        return f"list of {len(places)}: {_either(words(part, schemas) for part in places)}"
    if schema.get("type") == "array":
        return f"list of {words(schema.get('items', {}), schemas)}"
    if schema.get("format") == "date-time":
        return "time"
    kind = str(schema.get("type", "anything"))
    return WORDS.get(kind, kind)


def _tag(schema: Document) -> str:
    """The `type` of a message, empty for other objects."""
    names: list[str] = schema.get("properties", {}).get("type", {}).get("enum", [])
    return names[0] if len(names) == 1 else ""


def _either(parts: Iterable[str]) -> str:
    found = list(dict.fromkeys(parts))
    return found[0] if len(found) == 1 else ", ".join(found[:-1]) + " or " + found[-1]


def pretty(value: Any, indent: str = "") -> str:
    """JSON over as many lines as it needs to stay narrow; text as it is."""
    if isinstance(value, str) and not indent:
        return value
    flat = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, dict | list) or len(indent) + len(flat) <= 76:
        return flat
    deeper = indent + "  "
    if isinstance(value, dict):
        inner = [f"{deeper}{json.dumps(k)}: {pretty(v, deeper)}" for k, v in value.items()]
    else:
        inner = [f"{deeper}{pretty(v, deeper)}" for v in value]
    left, right = "{}" if isinstance(value, dict) else "[]"
    return f"{left}\n" + ",\n".join(inner) + f"\n{indent}{right}"


class ReferenceHandler(RequestHandler):
    """GET /api, for who is signed in."""

    def initialize(self, auth: Auth, assets: Assets, documents: Callable[[], tuple[Document, Document]]) -> None:
        self._auth, self._assets, self._documents = auth, assets, documents

    def set_default_headers(self) -> None:
        for name, value in POLICY.items():
            self.set_header(name, value)

    def get(self) -> None:
        if self._auth.principal(self.request) is None:
            self.redirect(f"/login?next={quote(self.request.uri or '/api', safe='')}")
            return
        found = entries(*self._documents())
        groups = [(g, [e for e in found if e.group == g]) for g in dict.fromkeys(e.group for e in found)]
        self.finish(self._assets.template("api.html").render(url=self._assets.url, groups=groups))


def routes(auth: Auth, assets: Assets, documents: Callable[[], tuple[Document, Document]]) -> list[tuple[Any, ...]]:
    """For pn.serve's extra_patterns. `documents` gives the server's OpenAPI and AsyncAPI."""
    return [(r"/api/?", ReferenceHandler, {"auth": auth, "assets": assets, "documents": documents})]
