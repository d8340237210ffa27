"""From one message to one file: asks page by page, and writes what came.

The asking goes through whatever the caller gives, so an export sees exactly what the message would have seen.
"""

from __future__ import annotations

import asyncio
import re
import tempfile
import zipfile
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import IO, Any
from urllib.parse import urlencode

import msgspec

from analytics.errors import ValidationError
from analytics.exports.files import SPOOL_BYTES, Format, Sheet
from analytics.exports.tables import Catalogue, about_tile, fields_of, kept, tile_table
from analytics.messages import AnalyticsUpdate, BoardRequest, Flows, QueryRequest, Request, Rows, tag
from analytics.query import Window

MAX_ROWS = 100_000  # of one export, unless told
PAGE = 1_000
EXPORTED = (QueryRequest, Flows, Rows, BoardRequest)

Ask = Callable[[Any], Awaitable[AnalyticsUpdate]]


class File(msgspec.Struct, kw_only=True):
    """A finished file: its bytes from the start, its name without a path, and what is told of it in headers."""

    body: IO[bytes]
    size: int
    name: str
    media: str
    about: dict[str, Any]


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What an export is to be. `limit`: rows at most; `name`: what to call the file; `base`: the server's address."""

    request: Request
    format: Format
    limit: int = MAX_ROWS
    name: str = ""
    base: str = ""


async def export(wanted: Wanted, ask: Ask, catalogue: Callable[[], Catalogue]) -> File:
    """The file of one message. Raises ValidationError for a message that has no rows, and what `ask` raises."""
    request = wanted.request
    if isinstance(request, BoardRequest):
        update = await ask(request)
        return await asyncio.to_thread(_board, wanted, request, update)
    if not isinstance(request, QueryRequest | Flows | Rows):
        known = ", ".join(tag(c) for c in EXPORTED)
        raise ValidationError(f"a {tag(request)} has no rows to export", hint=f"one of: {known}")
    return await _table(wanted, request, ask, catalogue())


async def _table(wanted: Wanted, request: QueryRequest | Flows | Rows, ask: Ask, catalogue: Catalogue) -> File:
    paged = not isinstance(request, QueryRequest)
    first = await ask(_page(request, None, wanted.limit) if paged else request)
    told = first.analytics or {}
    columns, rows = told["columns"], told["rows"][: wanted.limit]
    cut = len(rows) < len(told["rows"])
    with Sheet(columns, fields_of(request, columns, catalogue), rows) as sheet:
        await asyncio.to_thread(sheet.add, rows)
        after = told.get("next") if paged else None
        window = told.get("window") or {}
        while after and sheet.rows < wanted.limit:
            page = (await ask(_page(request, (after, window), wanted.limit - sheet.rows))).analytics or {}
            await asyncio.to_thread(sheet.add, page["rows"])
            after = page.get("next")
        about = _about(wanted, first) | {"rows": sheet.rows, "truncated": cut or bool(after)}
        return await asyncio.to_thread(_written, wanted, sheet, about)


def _page(request: Any, at: tuple[str, Mapping[str, Any]] | None, left: int) -> Request:
    """The next page of flows or rows. From the second on the window is that of the first: now has moved on."""
    changes: dict[str, Any] = {"limit": min(PAGE, left)}
    if at is not None:
        after, window = at
        changes |= {"after": after}
        if window:
            changes["window"] = Window(window["from"], window["to"], window.get("tz", "UTC"))
    return msgspec.structs.replace(request, **changes)  # type: ignore[no-any-return]


def _about(wanted: Wanted, update: AnalyticsUpdate) -> dict[str, Any]:
    """What every file says of itself: what was asked, what was answered, and how far to trust it."""
    told = update.analytics or {}
    facts = ("window", "watermark", "freshness_s", "completeness", "partial", "totals")
    return {
        "made": update.timestamp,
        "server": wanted.base,
        "request": kept(wanted.request),
        "confidence": update.confidence,
        "confidence_parts": update.confidence_parts,
    } | {name: _time(told[name]) if name == "watermark" else told[name] for name in facts if name in told}


def _time(moment: str | int | None) -> str | None:
    """A board tells times in ms since the epoch, all else in RFC 3339: a file always in the latter."""
    if not isinstance(moment, int):
        return moment
    return f"{datetime.fromtimestamp(moment / 1000, UTC):%Y-%m-%dT%H:%M:%S.%fZ}"


def _written(wanted: Wanted, sheet: Sheet, about: dict[str, Any]) -> File:
    body = _spool()
    wanted.format.write(body, sheet, about)
    name = _name(wanted, about.get("window"), wanted.format.suffix)
    return _finished(body, name, wanted.format.media, about)


def _board(wanted: Wanted, request: BoardRequest, update: AnalyticsUpdate) -> File:
    """A zip with one file per tile and `about.json`."""
    told = update.analytics or {}
    shown = ("board", "title", "description", "label")
    about = {name: told[name] for name in shown if told.get(name) is not None} | _about(wanted, update)
    about |= {"url": board_url(wanted.base, request, told.get("window")), "tiles": {}}
    body = _spool()
    with zipfile.ZipFile(body, "w", zipfile.ZIP_DEFLATED) as archive:
        for tile, found in told.get("tiles", {}).items():
            entry = about_tile(found["head"])
            if table := tile_table(found["head"], found["columns"]):
                entry["file"] = f"{filename(tile) or 'tile'}.{wanted.format.suffix}"
                with Sheet(*table) as sheet, archive.open(entry["file"], "w") as file:
                    sheet.add(table.rows)
                    entry |= {"rows": sheet.rows, "columns": sheet.columns()}
                    wanted.format.write(file, sheet, {k: v for k, v in about.items() if k != "tiles"} | entry)
            about["tiles"][tile] = entry
        about["rows"] = sum(entry.get("rows", 0) for entry in about["tiles"].values())
        archive.writestr("about.json", msgspec.json.format(msgspec.json.encode(about), indent=2))
    return _finished(body, _name(wanted, told.get("window"), "zip"), "application/zip", about | {"truncated": False})


def _spool() -> Any:
    return tempfile.SpooledTemporaryFile(max_size=SPOOL_BYTES)  # closed by who sends it


def _finished(body: IO[bytes], name: str, media: str, about: dict[str, Any]) -> File:
    size = body.seek(0, 2)
    body.seek(0)
    return File(body=body, size=size, name=name, media=media, about=about)


def board_url(base: str, request: BoardRequest, window: Mapping[str, Any] | None) -> str:
    """Where a person sees this board over the same span of time, whenever they look."""
    found: list[tuple[str, str]] = [] if request.tiles is not None else [("board", request.board)]
    if window:
        found.append(("window", f"{window['from']} to {window['to']}"))
    marks = {"is_not": "!", "not_in": "!", "contains": "~"}
    for f in request.filters:
        found += [(f.dim + marks.get(f.op, ""), "" if v is None else str(v)) for v in f.values]
    if request.domain is not None:
        found.append(("domain", request.domain))
    return f"{base}/{'explore' if request.tiles is not None else 'board'}?{urlencode(found)}"


def _name(wanted: Wanted, window: Mapping[str, Any] | None, suffix: str) -> str:
    request = wanted.request
    own = request.board if isinstance(request, BoardRequest) else tag(request)
    if isinstance(request, QueryRequest):
        own = "-".join([*request.metrics[:3], *(["by", *request.group_by] if request.group_by else [])])
    stamps = [re.sub(r"[:-]|\.\d+", "", str(window[end])) for end in ("from", "to")] if window else []
    return "_".join([filename(wanted.name or own) or "export", *stamps]) + f".{suffix}"


def filename(words: str) -> str:
    """Words as part of a file's name on any system: no separators, no control characters, not hidden."""
    return re.sub(r"[^\w.+-]+", "-", words).strip("-.")[:80]
