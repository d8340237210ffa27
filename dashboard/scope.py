"""Scope: what a viewer looks at (window, filters, compare, ...) as param state, and as the page's URL.

The URL is written by the browser and read here when a session starts. Whatever it holds, a Scope comes of it:
what cannot be used falls back to the default and is named in a message for the viewer. assets/scope.js reads and
writes the same addresses.

    agent=planner&agent=coder    one of these         agent!=planner    not this one
    agent~=plan                  contains this        agent=            an empty value is "(none)"
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import param

from analytics.errors import PlumblineError, unknown
from dashboard.theme import THEMES

MAX_FILTERS = 12
MAX_VALUES = 50
MAX_CHARS = 200
MAX_ARGUMENT = 4000
WINDOW = re.compile(r"[\w:./+ -]{1,80}")  # characters a window may have; its meaning is analytics.window's to judge
OWN = ("window", "tz", "compare", "grain", "as_of", "paused", "theme")
COMPARED = ("previous", "day", "week", "off")
MARKS = {"is_not": "!", "not_in": "!", "contains": "~"}  # after the dimension's name


class Scope(param.Parameterized):
    """What one viewer looks at. `filters` are as on the wire: {"dim", "op", "values"}."""

    window = param.String(default="now-1h", doc="`now-1h`, `now/d`, or `A to B`")
    tz = param.String(default="", doc="IANA time zone; empty is the browser's own")
    filters = param.List(default=[], item_type=dict, doc="kept rows, by dimension")
    compare = param.Selector(default="previous", objects=[*COMPARED], doc="what to compare with")
    grain = param.String(default="", doc="length of a time bucket; empty fits the window")
    as_of = param.String(default="", doc="RFC 3339: as it was known then; empty is now")
    paused = param.Boolean(default=False, doc="whether the screen holds still")
    theme = param.Selector(default="", objects=["", *THEMES], doc="empty is the viewer's own preference")
    args = param.Dict(default={}, doc="what else the page keeps in its address, by name")

    @classmethod
    def from_query(
        cls,
        query: Mapping[str, Sequence[str]],
        *,
        dimensions: Collection[str],
        window: str = "now-1h",
        check_window: Callable[[str], Any] | None = None,
        arguments: Collection[str] = (),
    ) -> tuple[Scope, list[str]]:
        """The scope a URL asks for, and one sentence per part that could not be used.

        check_window raises a PlumblineError for a window that does not parse; `arguments` are the page's own.
        """
        scope, messages = cls(window=window), []
        for name, values in list(query.items())[:50]:
            if not values:
                continue
            try:
                if name in OWN:
                    scope.param.update(**{name: _own(name, values[-1], check_window)})
                elif name in arguments:
                    scope.args = {**scope.args, name: values[-1][:MAX_ARGUMENT]}
                elif (dim := name.removesuffix("!").removesuffix("~")) in dimensions:
                    scope.filters = [*scope.filters, *_filters(dim, name.removeprefix(dim), values)][:MAX_FILTERS]
                else:
                    messages.append(f"The address has an unknown part: {unknown('dimension', dim, dimensions)}.")
            except (PlumblineError, ValueError) as error:
                messages.append(f"{name} in the address was not used: {error}.")
        return scope, messages[:5]

    def to_query(self, *, window: str = "now-1h") -> str:
        """The URL's query: only what differs from the defaults, in a fixed order."""
        pairs = [("window", self.window)] if self.window != window else []
        pairs += [(f["dim"] + MARKS.get(f["op"], ""), v or "") for f in self.filters for v in f["values"]]
        defaults = {"tz": "", "compare": "previous", "grain": "", "as_of": "", "theme": ""}
        pairs += [(n, getattr(self, n)) for n, default in defaults.items() if getattr(self, n) != default]
        pairs += [("paused", "1")] if self.paused else []
        return urlencode([*pairs, *((n, v) for n, v in self.args.items() if v)], safe="!*'():/,")

    @classmethod
    def own_names(cls) -> tuple[str, ...]:
        """The names of its params."""
        return (*OWN, "filters", "args")

    def state(self) -> dict[str, Any]:
        """As plain data, for the component's `scope` param."""
        return {name: getattr(self, name) for name in (*OWN, "filters", "args")}


def _own(name: str, value: str, check_window: Callable[[str], Any] | None) -> Any:
    if name == "window":
        if not WINDOW.fullmatch(value):
            raise ValueError("expected a window such as now-1h")
        if check_window:
            check_window(value)
        return value
    if name == "tz":
        if len(value) > 60 or not re.fullmatch(r"[A-Za-z0-9_+/-]+", value):
            raise ValueError("expected a time zone such as Europe/Berlin")
        try:
            return ZoneInfo(value).key
        except (KeyError, OSError, ValueError):
            raise ValueError("expected a time zone such as Europe/Berlin") from None
    if name == "paused":
        return value in ("1", "true")
    if name == "grain":
        if not re.fullmatch(r"\d{1,4}[smhdwMy]", value):
            raise ValueError("expected a length such as 5m")
        return value
    if name == "as_of":
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None:
            raise ValueError("expected a time with its zone, such as 2026-01-31T14:00:00Z")
        return value
    allowed = THEMES if name == "theme" else COMPARED
    if value not in allowed:
        raise ValueError(f"expected {' or '.join(allowed)}")
    return value


def _filters(dim: str, mark: str, values: Sequence[str]) -> list[dict[str, Any]]:
    """What one name of the address filters by; "contains" takes one text each."""
    kept = [v or None for v in dict.fromkeys(v[:MAX_CHARS] for v in values)][:MAX_VALUES]
    if mark == "~":
        return [{"dim": dim, "op": "contains", "values": [v]} for v in kept if v]
    if mark not in ("", "!"):
        raise ValueError("expected =, != or ~= after the name")
    one, several = ("is_not", "not_in") if mark else ("is", "in")
    return [{"dim": dim, "op": several if len(kept) > 1 else one, "values": kept}]
