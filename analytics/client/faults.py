"""Errors from the wire as the classes of analytics.errors, and the one that no server can send: Unreachable."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from analytics import errors
from analytics.errors import Overloaded, PlumblineError, RateLimited, Unauthorized, ValidationError


class Unreachable(PlumblineError):
    """No server at the other end: refused, lost, silent, given up, or this client is closed."""

    code, status, title = "UNREACHABLE", 503, "The server was not reached"


FAMILY = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, PlumblineError)]
BY_CODE = {kind.code: kind for kind in FAMILY}
BY_STATUS = {kind.status: kind for kind in FAMILY} | {502: Overloaded}
BY_CLOSE = {4501: Unauthorized, 4503: Unauthorized, 4504: RateLimited, 4505: ValidationError}

# Back after a while: drains, slow reader, a proxy or a server that restarts. 1000 and 1005 are how proxies hang up.
TRANSIENT_CLOSES = (1000, 1001, 1005, 1006, 1011, 1012, 1013, 1014)


def from_body(body: Mapping[str, Any], kind: type[PlumblineError] = PlumblineError) -> PlumblineError:
    """The `error` object of a message, or a problem document. An unknown code is a `kind` that carries it."""
    known = BY_CODE.get(str(body.get("code")))
    error = (known or kind)(str(body.get("message") or body.get("detail") or body.get("title") or kind.title))
    error.hint = body.get("hint")
    described = {"message", "detail", "title", "type", "status", "hint"} | ({"code"} if known else set())
    error.details = {name: value for name, value in body.items() if name not in described}
    return error


def from_response(status: int, headers: Mapping[str, str], body: bytes) -> PlumblineError:
    """A refused HTTP request or upgrade; what a proxy says counts by its status."""
    kind = BY_STATUS.get(status, PlumblineError)
    try:
        found = msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError):
        found = {}
    error = from_body({"detail": f"the server answered {status}"} | found, kind)
    told = _seconds(headers.get("Retry-After") or headers.get("retry-after"))
    if told is not None:
        error.details.setdefault("retry_after_ms", round(told * 1000))
    return error


def from_close(code: int, reason: str) -> tuple[PlumblineError, bool]:
    """Why a socket was closed, and whether that is final."""
    message = f"the connection was closed ({code}{': ' + reason if reason else ''})"
    comes_back = 4000 <= code <= 4499 or code in TRANSIENT_CLOSES
    return (Unreachable(message) if comes_back else BY_CLOSE.get(code, PlumblineError)(message)), not comes_back


def retry_after_s(error: PlumblineError) -> float:
    """How long the server asked us to wait; 0 where it did not say."""
    told = error.details.get("retry_after_ms")
    return max(0.0, told / 1000) if isinstance(told, int | float) else 0.0


def fresh(error: PlumblineError) -> PlumblineError:
    """A copy to raise, so that one error met by many callers does not collect all their tracebacks."""
    return copy.copy(error)


def _seconds(header: str | None) -> float | None:
    """Retry-After: seconds or a date."""
    if header is None:
        return None
    if header.strip().isdecimal():
        return float(header)
    try:
        return max(0.0, (parsedate_to_datetime(header) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None
