"""What a model may do here, as one literal table: the tools of the Model Context Protocol.

Both ways in, `/mcp` and stdio, serve this table; a Desk is where its answers come from.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import datetime
from typing import Annotated, Any, Literal, Protocol

import msgspec
from msgspec import Meta

from analytics import messages
from analytics.api import documents
from analytics.api.links import board_query
from analytics.api.meanings import EXAMPLES
from analytics.api.routes.ask import POSITION
from analytics.api.tool_text import said
from analytics.errors import NotFound, TooLarge, ValidationError, unknown
from analytics.messages import AnalyticsUpdate, Compare, Request, WindowLike
from analytics.query import Filter
from analytics.workspace import Board, Dimension, Metric, meant

What = Literal["datasets", "dimensions", "metrics", "boards"]
Told = tuple[dict[str, Any], str]  # the structured answer, and the same for a reader
ENVELOPE = ("type", "id", "timestamp")  # of a message on the wire; a tool's name stands for them
MAX_BYTES = 256 << 10  # of a structured answer: more than a model reads


class Desk(Protocol):
    """Where tools get their answers, for one key: the service of this process, or a server over HTTP.
    `url` is where people open its pages. Raises PlumblineError."""

    url: str

    async def answer(self, request: Request) -> AnalyticsUpdate: ...

    async def catalogue(self, what: What) -> list[dict[str, Any]]: ...


class ListMetrics(msgspec.Struct, kw_only=True):
    """What can be asked for, by name: metrics with their units, dimensions to group and filter by, datasets and
    boards. Look here first."""

    dataset: Annotated[str | None, Meta(description="only what belongs to this dataset")] = None
    search: Annotated[str, Meta(description="keeps what has this text in a name, title or description")] = ""


class BoardLink(msgspec.Struct, kw_only=True):
    """An address that opens a board in a browser with this window and these filters, to hand to the person who
    asks."""

    board: str
    window: WindowLike | None = None
    filters: list[Filter] = []
    compare: Annotated[Compare | Literal["off"], Meta(description="what stands beside every number")] = "previous"
    grain: Annotated[str | None, Meta(description="length of a time bucket, such as `5m`")] = None
    as_of: Annotated[datetime | None, Meta(description="the board as it was known then, RFC 3339")] = None


class Named(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Something that can be asked for."""

    name: Annotated[str, Meta(description="the name to ask by")]
    title: Annotated[str, Meta(description="its name for people")] = ""
    description: Annotated[str, Meta(description="what it is")] = ""
    dataset: Annotated[str, Meta(description="the dataset it belongs to")] = ""
    unit: Annotated[str, Meta(description="unit of its values; `percent` are fractions of 1")] = ""
    per: Annotated[str | None, Meta(description="values are per second, minute, hour or day")] = None
    good: Annotated[str, Meta(description="which direction is good news: up, down or none")] = ""
    window: Annotated[str, Meta(description="of a board, the window it opens with")] = ""


class Catalogue(msgspec.Struct, kw_only=True):
    """What there is, as far as the key may see it."""

    metrics: Annotated[list[Named], Meta(description="measures")]
    dimensions: Annotated[list[Named], Meta(description="what to group and filter by")]
    datasets: Annotated[list[Named], Meta(description="tables of rows")]
    boards: Annotated[list[Named], Meta(description="pages of tiles")]


class Linked(msgspec.Struct, kw_only=True):
    """Where to look."""

    url: Annotated[str, Meta(description="opens the board; who opens it signs in")]
    title: Annotated[str, Meta(description="the board's name for people")]


# what the tools do


async def asked(desk: Desk, request: Request) -> Told:
    """A question of the wire: its answer as it is there."""
    update = await desk.answer(request)
    metrics: dict[str, Metric] = {}
    if isinstance(request, messages.QueryRequest | messages.Ask):
        metrics = {d["name"]: msgspec.convert(d, Metric) for d in await desk.catalogue("metrics")}
    dataset = getattr(request, "dataset", None)
    whole = msgspec.json.decode(messages.encode(update))
    structured = {name: value for name, value in whole.items() if name not in (*POSITION, "type", "id")}
    return structured, said(messages.tag(request), update, lambda name: meant(metrics, name, dataset))


async def listed(desk: Desk, wanted: ListMetrics) -> Told:
    """The catalogue, or what of it was looked for."""

    async def kept(what: What) -> list[Named]:
        found = [msgspec.convert(declared, Named) for declared in await desk.catalogue(what)]
        return [named for named in found if _fits(named, what, wanted)]

    whats: tuple[What, ...] = ("metrics", "dimensions", "datasets", "boards")
    found = {what: await kept(what) for what in whats}
    lines = [
        f"{what}: " + (", ".join(named.name + _noted(named) for named in those) or "none")
        for what, those in found.items()
    ]
    structured: dict[str, Any] = msgspec.to_builtins(Catalogue(**found))
    return structured, "\n".join(lines)


async def linked(desk: Desk, wanted: BoardLink) -> Told:
    """The address of a board. Raises NotFound, ValidationError."""
    boards = {b["name"]: msgspec.convert(b, Board) for b in await desk.catalogue("boards")}
    if wanted.board not in boards:
        raise NotFound(unknown("board", wanted.board, boards))
    board = boards[wanted.board]
    dimensions = {d["name"]: msgspec.convert(d, Dimension) for d in await desk.catalogue("dimensions")}
    dataset = board.tiles[0].dataset if board.tiles else None

    def dimension(name: str) -> str:
        found = meant(dimensions, name, dataset)
        if found is None:
            raise NotFound(unknown("dimension", name, dimensions))
        return found.name

    query = board_query(
        board.name,
        wanted.window,
        wanted.filters,
        compare=wanted.compare,
        grain=wanted.grain,
        as_of=wanted.as_of,
        dimension=dimension,
    )
    url = f"{desk.url}/board?{query}"
    return msgspec.to_builtins(Linked(url=url, title=board.title)), f"{board.title}: {url}"


def _fits(named: Named, what: What, wanted: ListMetrics) -> bool:
    words = f"{named.name} {named.title} {named.description}".lower()
    own = named.name if what == "datasets" else named.dataset
    return wanted.search.lower() in words and (wanted.dataset is None or what == "boards" or own == wanted.dataset)


def _noted(named: Named) -> str:
    noted = " per ".join(part for part in (named.unit, named.per) if part)
    return f" ({noted})" if noted else ""


# the table


class Tool(msgspec.Struct, frozen=True, kw_only=True):
    """One tool: what it takes and gives, as classes, and the work between. `defaults` are arguments that are other
    than the wire's where a model leaves them out."""

    name: str
    title: str
    takes: type[msgspec.Struct]
    gives: type[msgspec.Struct] = AnalyticsUpdate
    work: Callable[[Desk, Any], Awaitable[Told]] = asked
    defaults: dict[str, Any] = {}


TOOLS: tuple[Tool, ...] = (
    Tool(name="list_metrics", title="What can be asked", takes=ListMetrics, gives=Catalogue, work=listed),
    Tool(name="query", title="Query metrics", takes=messages.QueryRequest, defaults={"limit": 20}),
    Tool(name="explain", title="Explain a change", takes=messages.Explain),
    Tool(name="forecast", title="Forecast a metric", takes=messages.Forecast),
    Tool(name="ask", title="Ask in words", takes=messages.Ask),
    Tool(name="values", title="Values of a dimension", takes=messages.Values),
    Tool(name="flows", title="List flows", takes=messages.Flows, defaults={"limit": 20}),
    Tool(name="flow", title="One flow", takes=messages.FlowDetail),
    Tool(name="board_link", title="Link to a board", takes=BoardLink, gives=Linked, work=linked),
)


class Toolbox:
    """The table with its schemas made: every tool by its name."""

    def __init__(self) -> None:
        self.tools = {tool.name: tool for tool in TOOLS}
        self.inputs = {tool.name: _input(tool) for tool in TOOLS}
        self.outputs = {tool.name: _output(tool) for tool in TOOLS}

    def description(self, name: str) -> str:
        """What the tool does, in the words of the class that it takes."""
        return str(self.inputs[name]["description"])

    async def call(self, name: str, arguments: Mapping[str, Any], desk: Desk) -> Told:
        """Do what a tool does. Raises PlumblineError."""
        tool = self.tools[name]
        structured, text = await tool.work(desk, self._taken(tool, arguments))
        if (size := len(msgspec.json.encode(structured))) > MAX_BYTES:
            raise TooLarge(
                f"the answer has {size:,} bytes, the limit is {MAX_BYTES:,}",
                hint="ask for less: a lower limit, a coarser grain, a shorter window, fewer names",
            )
        return structured, text

    def _taken(self, tool: Tool, arguments: Mapping[str, Any]) -> Any:
        for known, path, stranger in _strangers(arguments, self.inputs[tool.name], ""):
            raise ValidationError(f"{tool.name}{path}: {unknown('argument', stranger, known)}")
        if issubclass(tool.takes, Request):
            given = {**tool.defaults, **arguments, "type": tool.takes.__struct_config__.tag}
            return messages.decode(json.dumps(given), plain=True)
        try:
            return msgspec.convert(arguments, tool.takes)
        except msgspec.ValidationError as error:
            raise ValidationError(f"{tool.name}: {error}") from None


def _input(tool: Tool) -> dict[str, Any]:
    schema = _schema(tool.takes, ENVELOPE if issubclass(tool.takes, Request) else ())
    for name, value in tool.defaults.items():
        schema["properties"][name]["default"] = value
    if example := EXAMPLES.get(tool.name):
        schema["examples"] = [{name: value for name, value in example.items() if name not in ENVELOPE}]
    return schema


def _output(tool: Tool) -> dict[str, Any]:
    """What a tool gives, or why it does not: both are structured, and clients check either."""
    schema = _schema(tool.gives, (*POSITION, "type", "id") if tool.gives is AnalyticsUpdate else ())
    schema.pop("additionalProperties")
    wanted = schema.pop("required")
    error = {"type": "object", "description": "why there is no answer: `code`, `message` and `hint`"}
    return schema | {
        "properties": schema["properties"] | {"error": error},
        "anyOf": [{"required": wanted}, {"required": ["error"]}],
    }


def _schema(shape: type[msgspec.Struct], without: tuple[str, ...]) -> dict[str, Any]:
    """A JSON Schema without references, which not every client follows."""
    (ref,), schemas = documents.components([shape])
    schema: dict[str, Any] = _whole(ref, schemas)
    properties = {name: value for name, value in schema["properties"].items() if name not in without}
    required = [name for name in schema["required"] if name not in without]
    return schema | {"properties": properties, "required": required}


def _whole(schema: Any, schemas: Mapping[str, Any]) -> Any:
    if isinstance(schema, list):
        return [_whole(each, schemas) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        found = {name: value for name, value in schemas[schema["$ref"].rpartition("/")[2]].items() if name != "title"}
        first = " ".join(found["description"].partition("\n\n")[0].split())  # the rest speaks to who writes programs
        own = {name: value for name, value in schema.items() if name != "$ref"}
        schema = found | {"description": first, "additionalProperties": False} | own
    return {name: _whole(value, schemas) for name, value in schema.items()}


def _strangers(value: Any, schema: Mapping[str, Any], path: str) -> Iterator[tuple[list[str], str, str]]:
    """Every key inside that its schema does not know: what it knows there, where, and the key."""
    shapes = [schema, *schema.get("anyOf", ())]
    if isinstance(value, Mapping) and (known := next((s["properties"] for s in shapes if "properties" in s), None)):
        for name, inner in value.items():
            if name not in known:
                yield list(known), path, name
            else:
                yield from _strangers(inner, known[name], f"{path}.{name}")
    if isinstance(value, list) and (items := next((s["items"] for s in shapes if "items" in s), None)):
        for inner in value:
            yield from _strangers(inner, items, path)
