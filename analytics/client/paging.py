"""Tables of many pages: one question after another until there is no more, or enough."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from analytics.client.arguments import windowed
from analytics.client.results import Result, Update
from analytics.messages import Flows, QueryRequest, Question, Rows
from analytics.query import Window

PAGE = 1_000


async def followed(
    ask: Callable[[Question], Awaitable[Update]], request: QueryRequest | Flows | Rows, max_rows: int
) -> Result:
    """All rows of a question, at most `max_rows`. The window is that of the first page: now moves on meanwhile."""
    request = msgspec.structs.replace(request, window=windowed(request.window))
    if isinstance(request, QueryRequest):
        whole = (await ask(request)).result()
        return msgspec.structs.replace(whole, rows=whole.rows[:max_rows])
    found = (await ask(msgspec.structs.replace(request, limit=max(1, min(PAGE, max_rows))))).result()
    rows, after = found.rows[:max_rows], found.next
    window = Window(found.window.start.isoformat(), found.window.end.isoformat(), found.tz)
    while after is not None and len(rows) < max_rows:
        limit = min(PAGE, max_rows - len(rows))
        page = (await ask(msgspec.structs.replace(request, window=window, after=after, limit=limit))).result()
        rows, after = rows + page.rows, page.next
    return msgspec.structs.replace(found, rows=rows, next=after)
