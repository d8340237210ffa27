"""One HTTP route: what it takes, what it gives, what it may refuse."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from analytics.api.http import JSON, PROBLEM
from analytics.api.shapes import Problem
from analytics.errors import (
    Forbidden,
    Internal,
    NotFound,
    Overloaded,
    PlumblineError,
    RateLimited,
    StorageFull,
    Timeout,
    TooLarge,
    Unauthorized,
    UnsupportedMedia,
    ValidationError,
)

PROTOBUF = "application/x-protobuf"

Refusals = tuple[type[PlumblineError], ...]


class Argument(msgspec.Struct, frozen=True):
    """A part of the path or of the query."""

    name: str
    doc: str
    example: str
    where: Literal["path", "query"] = "query"


class Body(msgspec.Struct, frozen=True, kw_only=True):
    """What a request or a reply carries. `shape` is a type; None is bytes or text of `media`."""

    media: str = JSON
    shape: Any = None
    examples: dict[str, Any] = {}


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One method of one path. `scope` is what the key needs, "any" for any good key, None for no key.

    `otherwise` are further statuses with the same body. `refusals` are those of its own; what every route with
    a key may answer is in COMMON.
    """

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str
    group: str
    summary: str
    doc: str = ""
    scope: Literal["read", "ingest", "admin", "any"] | None = "read"
    arguments: tuple[Argument, ...] = ()
    takes: tuple[Body, ...] = ()
    status: int = 200
    gives: tuple[Body, ...] = ()
    otherwise: dict[int, str] = {}
    refusals: Refusals = ()
    refused_with: tuple[Body, ...] = (Body(media=PROBLEM, shape=Problem),)


COMMON: Refusals = (Unauthorized, Forbidden, RateLimited, Internal)
ASKING: Refusals = (ValidationError, NotFound, Timeout)
SENDING: Refusals = (ValidationError, TooLarge, UnsupportedMedia, Overloaded, StorageFull)
