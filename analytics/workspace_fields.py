"""What each field of a declaration may hold: one literal table, and the small checks it names."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import date
from typing import Any

from analytics.errors import ValidationError, nearest
from analytics.window import zone
from analytics.workspace import AGGREGATES, ARROW, PER_SECONDS, PERIODS, TILE_TYPES, Bounds
from analytics.yaml_lines import Node

Check = Callable[[Node], Any]


class Wrong(Exception):
    """What is wrong with one value; the reader adds the file, the line and the name of the field."""


def shown(node: Node) -> str:
    """A value as an error message names it."""
    if isinstance(node.value, str):
        return f"the text {node.value[:60]!r}"
    if isinstance(node.value, dict | list):
        return "a mapping" if isinstance(node.value, dict) else "a list"
    if node.value is None:
        return "nothing"
    return str(node.value).lower() if isinstance(node.value, bool) else f"the number {node.value}"


def text(node: Node) -> str:
    if not isinstance(node.value, str):
        quote = "; quote it" if isinstance(node.value, int | float) else ""
        raise Wrong(f"expected text, got {shown(node)}{quote}")
    return node.value


def path(node: Node) -> str:
    """A page of this site."""
    if not re.fullmatch(r"/[a-z0-9_-]+", text(node)):
        raise Wrong(f"expected a page of this site such as /agent, got {shown(node)}")
    return text(node)


def whole(low: int, high: int) -> Check:
    def check(node: Node) -> int:
        if not isinstance(node.value, int) or isinstance(node.value, bool) or not low <= node.value <= high:
            raise Wrong(f"expected a whole number from {low} to {high}, got {shown(node)}")
        return node.value

    return check


def share(node: Node) -> float:
    if not isinstance(node.value, int | float) or isinstance(node.value, bool) or not 0 <= node.value <= 1:
        raise Wrong(f"expected a number from 0 to 1, got {shown(node)}")
    return float(node.value)


def bounds(node: Node) -> Bounds:
    """One or both of `warn` and `bad`."""
    given = node.mapping
    if not given or not given.keys() <= {"warn", "bad"}:
        raise Wrong(f"expected {{warn: NUMBER, bad: NUMBER}} or one of them, got {shown(node)}")
    found: dict[str, float] = {}
    for name, item in given.items():
        if not isinstance(item.value, int | float) or isinstance(item.value, bool) or not math.isfinite(item.value):
            raise Wrong(f"`{name}`: expected a number, got {shown(item)}")
        found[name] = float(item.value)
    return Bounds(**found)


def limit(node: Node) -> float | str:
    """A number, or the name of a metric that tells it."""
    if isinstance(node.value, str):
        return node.value
    if not isinstance(node.value, int | float) or isinstance(node.value, bool) or not math.isfinite(node.value):
        raise Wrong(f"expected a number or the name of a metric, got {shown(node)}")
    return float(node.value)


def one_of(*words: str) -> Check:
    def check(node: Node) -> str:
        if node.value not in words:
            near = nearest(node.value, words) if isinstance(node.value, str) else None
            hint = f"; did you mean {near!r}?" if near else ""
            raise Wrong(f"expected one of {', '.join(words)}, got {shown(node)}{hint}")
        return str(node.value)

    return check


def names(node: Node) -> tuple[str, ...]:
    """One name, or a list of them without repetition."""
    listed = [text(item) for item in node.value] if isinstance(node.value, list) else [text(node)]
    if twice := next((name for name in listed if listed.count(name) > 1), None):
        raise Wrong(f"{twice[:60]!r} is listed twice")
    return tuple(listed)


def synonyms(node: Node) -> tuple[str, ...]:
    """What people call it: short phrases that hold a letter, at most 20."""
    listed = names(node)
    if len(listed) > 20:
        raise Wrong(f"expected at most 20 phrases, got {len(listed)}")
    if wrong := next((each for each in listed if len(each) > 60 or not any(map(str.isalpha, each))), None):
        raise Wrong(f"expected phrases of 1 to 60 characters with a letter in them, got {wrong[:60]!r}")
    return listed


def pair(node: Node) -> tuple[str, ...]:
    if not isinstance(node.value, list) or len(node.value) != 2:
        raise Wrong("expected two metrics, [numerator, denominator]")
    return tuple(text(item) for item in node.value)


def nothing(node: Node) -> None:
    if node.value not in ({}, None):
        raise Wrong(f"expected {{}}, got {shown(node)}; count counts rows, choose them with `where`")


def window(node: Node) -> str:
    return text(node)


def where(node: Node) -> dict[str, Any]:
    """Names to a value or a list of values."""
    if node.mapping is None:
        raise Wrong(f"expected a mapping of dimensions to values, got {shown(node)}")
    chosen: dict[str, Any] = {}
    for name, value in node.mapping.items():
        items = value.value if isinstance(value.value, list) else [value]
        if not items or any(isinstance(item.value, dict | list) for item in items):
            raise Wrong(f"`{name[:60]}`: expected a value or a list of values")
        chosen[name] = [item.value for item in items] if isinstance(value.value, list) else value.value
    return chosen


def amount(node: Node) -> float:
    """Money: a number that is not negative."""
    if not isinstance(node.value, int | float) or isinstance(node.value, bool) or not 0 <= node.value < math.inf:
        raise Wrong(f"expected a number from 0 on, got {shown(node)}")
    return float(node.value)


def worth(node: Node) -> float:
    """Money that something is worth: more than nothing."""
    if not amount(node):
        raise Wrong("expected more than 0")
    return amount(node)


def day(node: Node) -> date:
    try:
        return date.fromisoformat(text(node))
    except ValueError:
        raise Wrong(f"expected a day such as 2026-08-31, got {shown(node)}") from None


def currency(node: Node) -> str:
    if not CURRENCY.fullmatch(text(node)):
        raise Wrong(f"expected three capital letters such as EUR, got {shown(node)}")
    return text(node)


def models(node: Node) -> tuple[str, ...]:
    """Patterns of the names of models, at most 100."""
    listed = names(node)
    if len(listed) > 100:
        raise Wrong(f"expected at most 100 patterns, got {len(listed)}")
    if wrong := next((each for each in listed if not MODEL.fullmatch(each)), None):
        raise Wrong(f"expected names of models with * and ? for what differs, no brackets, got {wrong[:60]!r}")
    return listed


def amounts(node: Node) -> dict[str, float]:
    """Names to what each is worth, at most 1,000."""
    if not node.mapping or len(node.mapping) > 1000:
        raise Wrong(f"expected a mapping of 1 to 1,000 values to their limits, got {shown(node)}")
    found: dict[str, float] = {}
    for name, value in node.mapping.items():
        try:
            found[name] = worth(value)
        except Wrong as wrong:
            raise Wrong(f"`{name[:60]}`: {wrong}") from None
    return found


def time_zone(node: Node) -> str:
    try:
        return zone(text(node)).key
    except ValidationError as error:
        raise Wrong(f"{error.message.removeprefix('tz: ')}; {error.hint}") from None


def truth(node: Node) -> bool:
    if not isinstance(node.value, bool):
        raise Wrong(f"expected true or false, got {shown(node)}")
    return node.value


CURRENCY = re.compile(r"[A-Z]{3}")
MODEL = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff\[\]\\]{1,120}")
ABOUT: dict[str, Check] = {"title": text, "description": text}
MEASURES: dict[str, Check] = dict.fromkeys(AGGREGATES, text) | {"count": nothing, "sum": names, "ratio": pair}
FIELDS: dict[str, dict[str, Check]] = {
    "dataset": ABOUT | {"columns": lambda node: node, "time": text},
    "column": {"type": one_of(*ARROW), "title": text},
    "dimension": ABOUT
    | {"dataset": text, "column": text, "attribute": text, "log": whole(1, 100), "unit": text}
    | {"synonyms": synonyms},
    "metric": ABOUT
    | MEASURES
    | {"dataset": text, "q": share, "where": where, "per": one_of(*PER_SECONDS), "unit": text}
    | {"good": one_of("up", "down", "none"), "bounds": bounds, "limit": limit, "synonyms": synonyms},
    "price": dict.fromkeys(("input", "output", "cached", "cache_written"), amount)
    | dict.fromkeys(("from", "to", "checked"), day)
    | {"model": models, "currency": currency, "source": text, "example": truth},
    "budget": ABOUT
    | {"metric": text, "period": one_of(*PERIODS), "limit": worth, "tz": time_zone, "by": text, "limits": amounts}
    | {"where": where, "warn": share, "example": truth},
    "rate": {"from": day, "usd": worth},
    "board": ABOUT | {"window": window, "empty": text, "tiles": lambda node: node},
    "tile": {"id": text, "type": one_of(*TILE_TYPES), "title": text, "subtitle": text, "note": text}
    | {"metric": text, "metrics": names, "by": names, "columns": names, "dataset": text, "where": where}
    | {"budgets": names, "spark": text, "share": text, "link": path}
    | {"limit": whole(1, 500), "width": whole(1, 12), "height": whole(40, 2000), "color": whole(1, 6)},
}
