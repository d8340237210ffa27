"""Tools and pages as the Model Context Protocol has them, wherever their answers come from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mcp_types as types
import msgspec
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError

from analytics.api.documents import VERSION
from analytics.api.tools import Desk, Toolbox
from analytics.errors import PlumblineError, unknown
from analytics.service import faced

DOCS = "plumbline://docs/"
CATALOGUE = "plumbline://catalogue"
JSON, MARKDOWN = "application/json", "text/markdown"
READ_ONLY = types.ToolAnnotations(
    read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False
)
INSTRUCTIONS = """\
Plumbline measures fleets of AI agents and the services around them, live. All tools only read.

Every answer has a confidence from 0 to 1, the least of its parts: sample (enough rows?), freshness (are senders late?),
completeness (is data missing?) and model (do its intervals hold?). Say it with every number you pass on; below 0.6 name
the part that is low. A value that is null is unknown: say so and why, never call it zero.

Look into list_metrics for names before the first query. A window is `now-1h`, `now/d`, a date or `A to B`; without one
it is the last hour. To say why a metric moved use explain, for what comes next forecast, for a person to look
themselves board_link. `ask` takes a question in words and says how it understood it; when it does not, use query."""

Context = ServerRequestContext[Any, Any]


class Protocol:
    """The handlers of the protocol's messages. `desk_of` says where the answers to a message come from; `docs` is the
    folder of pages."""

    def __init__(self, desk_of: Callable[[Context], Desk], docs: Path) -> None:
        self._desk_of = desk_of
        self._toolbox = Toolbox()
        self._tools = [self._listed(name) for name in self._toolbox.tools]
        self._pages = {f"{DOCS}{path.stem}": path for path in sorted(docs.glob("*.md"))}
        self._resources = [
            types.Resource(uri=CATALOGUE, name="catalogue", title="What can be asked", mime_type=JSON),
            *(types.Resource(uri=uri, name=path.stem, title=title(path), mime_type=MARKDOWN)
              for uri, path in self._pages.items()),
        ]  # fmt: skip

    def server(self) -> Server[Any]:
        """As the SDK serves it, on whatever transport."""
        return Server(
            "plumbline",
            title="Plumbline",
            version=VERSION,
            instructions=INSTRUCTIONS,
            get_tool_input_schema=self._toolbox.inputs.get,
            on_list_tools=self._list_tools,
            on_call_tool=self._call_tool,
            on_list_resources=self._list_resources,
            on_read_resource=self._read_resource,
        )

    def _listed(self, name: str) -> types.Tool:
        return types.Tool(
            name=name,
            title=self._toolbox.tools[name].title,
            description=self._toolbox.description(name),
            input_schema=self._toolbox.inputs[name],
            output_schema=self._toolbox.outputs[name],
            annotations=READ_ONLY,
        )

    async def _list_tools(self, ctx: Context, params: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        return types.ListToolsResult(tools=self._tools)

    async def _call_tool(self, ctx: Context, params: types.CallToolRequestParams) -> types.CallToolResult:
        """A refusal is an answer that the model reads, not an error of the protocol; an unknown tool is one."""
        if params.name not in self._toolbox.tools:
            raise MCPError(types.INVALID_PARAMS, unknown("tool", params.name, self._toolbox.tools))
        try:
            structured, text = await self._toolbox.call(params.name, params.arguments or {}, self._desk_of(ctx))
        except Exception as error:
            shown = faced(error, {"tool": params.name})
            hint = f"\nHint: {shown.hint}" if shown.hint else ""
            told = types.TextContent(text=f"{shown.code}: {shown.message}{hint}")
            return types.CallToolResult(content=[told], structured_content={"error": shown.body()}, is_error=True)
        return types.CallToolResult(content=[types.TextContent(text=text)], structured_content=structured)

    async def _list_resources(
        self, ctx: Context, params: types.PaginatedRequestParams | None
    ) -> types.ListResourcesResult:
        return types.ListResourcesResult(resources=self._resources)

    async def _read_resource(self, ctx: Context, params: types.ReadResourceRequestParams) -> types.ReadResourceResult:
        uri, media = str(params.uri), MARKDOWN
        if uri in self._pages:
            text = self._pages[uri].read_text("utf-8")
        elif uri == CATALOGUE:
            try:
                structured, _ = await self._toolbox.call("list_metrics", {}, self._desk_of(ctx))
            except PlumblineError as error:
                raise MCPError(types.INTERNAL_ERROR, error.message, error.body()) from None
            text, media = msgspec.json.encode(structured).decode(), JSON
        else:
            raise MCPError(types.INVALID_PARAMS, unknown("resource", uri, [CATALOGUE, *self._pages]))
        return types.ReadResourceResult(contents=[types.TextResourceContents(uri=uri, mime_type=media, text=text)])


def title(page: Path) -> str:
    """What a page calls itself."""
    with page.open(encoding="utf-8") as file:
        return file.readline().removeprefix("# ").strip()
