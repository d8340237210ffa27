"""Why an event was not kept: every reason typed, documented, counted, and shown with one example."""

from __future__ import annotations

from collections import Counter
from enum import Enum
from threading import Lock

import msgspec

EXAMPLE_MAX = 200


class Reason(Enum):
    """(name on the wire, what it means and what to do)."""

    NOT_JSON = "not_json", "the line or element does not parse as JSON; send one complete JSON value"
    NOT_AN_OBJECT = "not_an_object", "an event is a JSON object; a bare number, text or list has no columns"
    TOO_LARGE = "too_large", "one event is over the size limit; send a reference to the content instead"
    TOO_DEEP = "too_deep", "attributes are nested deeper than the limit; flatten them"
    BAD_TYPE = "bad_type", "a column got a value of a type that it cannot hold"
    BAD_NUMBER = "bad_number", "a number column got NaN, an infinity, no number, or one outside 64 bits"
    NEGATIVE = "negative", "a duration, a count or a number of tokens is below zero; check the clocks"
    BAD_TIME = "bad_time", "a time is not RFC 3339 or epoch seconds, ms, us or ns after 1970"
    TIME_IN_FUTURE = "time_in_future", "the event time is ahead of this server's clock; check the sender's clock"
    UNKNOWN_KIND = "unknown_kind", "kind is none of flow, agent, tool, model, resource, log, event"
    BAD_STATUS = "bad_status", "status is neither ok nor error nor a synonym in a vocabulary"
    NO_IDENTITY = "no_identity", "a span needs a 16-byte trace id and an 8-byte span id that are not all zero"
    NO_VALUE = "no_value", "a metric point carries no recorded value, or a metric has no points of a known type"
    BAD_DISTRIBUTION = "bad_distribution", "a histogram needs one more bucket count than it has bounds"
    BAD_ATTRIBUTE = "bad_attribute", "an attribute does not parse as an OTLP key and value"
    BAD_FIELDS = "bad_fields", "a row of CSV has more or fewer fields than the header names"
    OPEN_QUOTE = "open_quote", "a quotation mark in CSV is not closed where a value ends; double one that is part of it"
    BAD_ENCODING = "bad_encoding", "the text is not in the encoding of the file; save the file as UTF-8"
    NO_TIME = "no_time", "a row of a dataset from a file has nothing in its time column"

    def __init__(self, code: str, doc: str) -> None:
        self.code = code
        self.doc = doc


class Drop(msgspec.Struct, frozen=True):
    """Events refused for one reason: how many, and where the first was and what was expected."""

    reason: Reason
    count: int
    example: str

    def wire(self) -> dict[str, str | int]:
        """As `POST /api/ingest` answers it."""
        return {"reason": self.reason.code, "count": self.count, "example": self.example}


class Refused(Exception):
    """Carries a reason out of a function that handles one value or one event."""

    def __init__(self, reason: Reason, expected: str) -> None:
        super().__init__(expected)
        self.reason = reason
        self.expected = expected


class Drops:
    """Collects the drops of one batch, the first example of each reason."""

    def __init__(self, noun: str = "event") -> None:
        self.noun = noun
        self._count: Counter[Reason] = Counter()
        self._example: dict[Reason, str] = {}

    def add(self, reason: Reason, where: int, expected: str, count: int = 1) -> None:
        """`where` is the 1-based line or index of the first; `expected` must not quote attributes."""
        self._count[reason] += count
        self._example.setdefault(reason, printable(f"{self.noun} {where}: {expected}"))

    def refuse(self, where: int, refused: Refused) -> None:
        self.add(refused.reason, where, refused.expected)

    def list(self) -> list[Drop]:
        return [Drop(reason, count, self._example[reason]) for reason, count in self._count.items()]


class Counters:
    """Running totals since the start, for /metrics. `source` is the sender's key, so it is bounded."""

    def __init__(self) -> None:
        self.accepted: Counter[tuple[str, str]] = Counter()
        self.dropped: Counter[tuple[str, str, Reason]] = Counter()
        self.trimmed: Counter[tuple[str, str]] = Counter()
        self._lock = Lock()  # bodies are read in threads

    def add(self, dataset: str, source: str, accepted: int, drops: list[Drop], trimmed: int) -> None:
        with self._lock:
            self.accepted[dataset, source] += accepted
            self.trimmed[dataset, source] += trimmed
            for drop in drops:
                self.dropped[dataset, source, drop.reason] += drop.count


def printable(text: str) -> str:
    """Safe in a log line and a terminal: bounded, control characters and surrogates replaced."""
    cut = text if len(text) <= EXAMPLE_MAX else text[: EXAMPLE_MAX - 1] + "…"
    return "".join(c if c.isprintable() else "\ufffd" for c in cut)


def shown(value: object) -> str:
    """A short quote of a column's value for an example."""
    text = repr(value)
    return text if len(text) <= 40 else text[:39] + "…"
