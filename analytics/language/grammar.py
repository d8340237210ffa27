"""Words to one typed request, by a deterministic grammar; or to the nearest readings and a reason."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import msgspec

from analytics import window as windows
from analytics.language.meaning import Asked
from analytics.language.names import Entry, Names, Values
from analytics.language.requests import Requests
from analytics.language.segments import Cutter
from analytics.language.slots import Doubt, Filler
from analytics.language.tokens import tokens
from analytics.language.words import DEFINITIONS
from analytics.messages import FlowAnalytics, Question

MOST_CHARACTERS = 500
MOST_READINGS = 4
_FLOW = re.compile(r"\bflow\s+(?:id\s+|with\s+id\s+)?[\"'`]?(?=[\w.:-]*\d)([\w.:-]+)[\"'`]?", re.IGNORECASE)
_ABOUT_ONE = re.compile(
    r"^(?:(?:please|what|happened|is|in|show|me|open|explain|details|of|the|about|tell|up|with|to)\b\W*)*$"
)


class Understood(msgspec.Struct, frozen=True, kw_only=True):
    """request: what was asked, or None. readings: what it could have been. reason: why there is no request."""

    request: Question | None = None
    readings: tuple[Question, ...] = ()
    reason: str | None = None
    unknown: tuple[str, ...] = ()
    corrected: tuple[tuple[str, str], ...] = ()


class Grammar:
    """The grammar over one workspace's names and its live values. Immutable."""

    def __init__(self, names: Names, live: Mapping[str, Sequence[str]]) -> None:
        self._names, self._values = names, Values(names, live)
        self._cutter = Cutter(names, self._values)

    def understand(self, text: str, asked: Asked) -> Understood:
        """The one request that the words mean. Every word must be accounted for, else there is none."""
        if len(text) > MOST_CHARACTERS:
            return Understood(reason=f"a question has at most {MOST_CHARACTERS} characters")
        if not (heard := tokens(text)):
            return Understood(reason="the question is empty")
        spoken = " ".join(token.typed for token in heard) + " "
        if spoken.startswith(DEFINITIONS):
            return Understood(reason="questions are about numbers; the docs say what a word means")
        if one := self._one_flow(text, asked):
            return Understood(request=one)
        try:
            request, corrected = self._read(text, asked, {})
        except Doubt as doubt:
            readings = self._nearest(text, asked, doubt)
            return Understood(readings=readings, reason=doubt.reason, unknown=doubt.unknown)
        return Understood(request=request, corrected=tuple(corrected))

    def _read(
        self, text: str, asked: Asked, forced: Mapping[int, Entry | None]
    ) -> tuple[Question, list[tuple[str, str]]]:
        cut = self._cutter.cut(tokens(text), asked.now, windows.zone(asked.tz), forced)
        slots = Filler(cut, self._names, self._values).fill()
        return Requests(cut, slots, self._names, asked).build(), cut.corrected

    def _nearest(self, text: str, asked: Asked, doubt: Doubt) -> tuple[Question, ...]:
        """The readings that the doubt leaves: each is a request that could be sent as it is."""
        found: list[Question] = []
        waiting = [(dict(instead), 0) for instead in doubt.instead]
        while waiting and len(found) < MOST_READINGS:
            forced, depth = waiting.pop(0)
            try:
                request, _ = self._read(text, asked, forced)
            except Doubt as further:
                if depth < 2:
                    waiting += [(forced | instead, depth + 1) for instead in further.instead[:2]]
                continue
            if request not in found:
                found.append(request)
        return tuple(found)

    def _one_flow(self, text: str, asked: Asked) -> Question | None:
        found = _FLOW.search(text)
        if not found or not _ABOUT_ONE.match((text[: found.start()] + text[found.end() :]).strip(" ?.!").lower()):
            return None
        return FlowAnalytics(flow_id=found[1].rstrip(".:"), filters=list(asked.filters))
