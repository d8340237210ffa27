"""Addresses that open a board in a browser: the grammar that dashboard/scope.py and assets/scope.js read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Literal
from urllib.parse import urlencode

from analytics import window as windows
from analytics.asking import rfc3339
from analytics.errors import ValidationError
from analytics.messages import Compare, WindowLike
from analytics.query import Filter, Scalar

MARKS = {"is_not": "!", "not_in": "!", "contains": "~"}  # after the dimension's name
ONE = ("is", "is_not", "contains")
MAX_FILTERS = 12  # what a page keeps of an address
MAX_VALUES = 50
MAX_CHARS = 200


def board_query(
    board: str,
    window: WindowLike | None,
    filters: Sequence[Filter],
    *,
    compare: Compare | Literal["off"] = "previous",
    grain: str | None = None,
    as_of: datetime | None = None,
    dimension: Callable[[str], str] = str,
) -> str:
    """The part after `/board?`. `dimension` gives the full name of one. Raises ValidationError for what a page would
    not keep."""
    if len(filters) > MAX_FILTERS:
        raise ValidationError(f"filters: expected at most {MAX_FILTERS}, got {len(filters)}")
    pairs = [("board", board)]
    tz = ""
    if window is not None:
        parsed = windows.parse(window, "")
        pairs.append(("window", parsed.start if parsed.end == "now" else f"{parsed.start} to {parsed.end}"))
        tz = "" if isinstance(window, str) else parsed.tz
    for kept in filters:
        _check(kept)
        pairs += [(dimension(kept.dim) + MARKS.get(kept.op, ""), _text(value)) for value in kept.values]
    pairs += [("tz", tz)] if tz else []
    pairs += [("compare", compare)] if compare != "previous" else []
    pairs += [("grain", grain)] if grain else []
    pairs += [("as_of", rfc3339(as_of))] if as_of else []
    return urlencode(pairs, safe="!*'():/,")


def _check(kept: Filter) -> None:
    most = 1 if kept.op in ONE else MAX_VALUES
    if not 1 <= len(kept.values) <= most:
        wanted = "one value" if most == 1 else f"1 to {most} values"
        raise ValidationError(f"filter on {kept.dim!r}: expected {wanted} for {kept.op!r}, got {len(kept.values)}")
    if kept.op == "contains" and not _text(kept.values[0]):
        raise ValidationError(f"filter on {kept.dim!r}: expected text for 'contains'")
    if long := [value for value in kept.values if len(_text(value)) > MAX_CHARS]:
        raise ValidationError(f"filter on {kept.dim!r}: {_text(long[0])[:40]!r}... has over {MAX_CHARS} characters")


def _text(value: Scalar) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)
