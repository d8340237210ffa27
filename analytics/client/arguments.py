"""What people give, in any accepted spelling, to what the wire wants. All raise ValidationError or Unauthorized."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import msgspec

from analytics.errors import Unauthorized, ValidationError
from analytics.query import Filter, Window

WindowLike = str | Window | tuple[str | datetime, str | datetime] | None
Filters = dict[str, Any] | Sequence[Filter | dict[str, Any]]


def base(url: str) -> str:
    """http(s)://host[:port][/prefix] of any accepted spelling."""
    parts = urlsplit(url)
    scheme = {"ws": "http", "wss": "https"}.get(parts.scheme, parts.scheme)
    if scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment or "@" in parts.netloc:
        shown = url.split("?")[0].rsplit("@")[-1][:200]
        raise ValidationError(f"expected a URL like https://host:5006, got {shown!r}")
    return f"{scheme}://{parts.netloc}{parts.path.rstrip('/').removesuffix('/api/analytics/ws')}"


def checked(key: str | None) -> str:
    found = (os.environ.get("PLUMBLINE_KEY", "") if key is None else key).strip()
    if not found:
        raise Unauthorized("no API key", hint="give key=..., or set PLUMBLINE_KEY")
    if not (found.isascii() and found.isprintable() and " " not in found):
        raise Unauthorized("the API key has characters that no key has")
    return found


def listed(names: str | Sequence[str]) -> list[str]:
    return [names] if isinstance(names, str) else list(names)


def windowed(window: WindowLike) -> Window | str | None:
    if not isinstance(window, tuple):
        return window
    start, end = (x if isinstance(x, str) else x.isoformat() for x in window)
    return Window(start, end)


def filtered(filters: Filters) -> list[Filter]:
    try:
        if isinstance(filters, dict):
            several = {dim: v if isinstance(v, list | tuple | set) else [v] for dim, v in filters.items()}
            filters = [{"dim": d, "op": "is" if len(v) == 1 else "in", "values": [*v]} for d, v in several.items()]
        return msgspec.convert(list(filters), list[Filter])
    except msgspec.ValidationError as error:
        raise ValidationError(f"filters: {error}") from None
