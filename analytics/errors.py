"""The error family. Every refusal a user can meet is one of these.

PlumblineError
|-- ValidationError    400  VALIDATION_ERROR   the request is wrong; says what was expected
|-- Unauthorized       401  UNAUTHORIZED       no key, or a key that does not count (close 4501)
|-- Forbidden          403  FORBIDDEN          a good key without the scope
|-- NotFound           404  NOT_FOUND          no such thing; names the nearest
|-- Conflict           409  CONFLICT           it exists already, or changed meanwhile
|-- TooLarge           413  TOO_LARGE          over a limit that the message names
|-- UnsupportedMedia   415  UNSUPPORTED_MEDIA  a content type or encoding we do not read
|-- RateLimited        429  RATE_LIMITED       slow down; carries retry_after_ms (close 4029)
|-- Internal           500  INTERNAL           our fault; carries a reference, never a traceback
|-- Overloaded         503  OVERLOADED         come back later
|-- Timeout            504  TIMEOUT            the engine was slower than the deadline
`-- StorageFull        507  STORAGE_FULL       nothing was kept; retry when there is room
"""

from __future__ import annotations

import difflib
import secrets
from collections.abc import Iterable
from typing import Any, ClassVar


class PlumblineError(Exception):
    """Base of the family. `message` is for people, `hint` says what to do, `details` is for programs."""

    code: ClassVar[str] = "INTERNAL"
    status: ClassVar[int] = 500
    close: ClassVar[int | None] = None
    title: ClassVar[str] = "Internal error"

    def __init__(self, message: str, *, hint: str | None = None, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details = details

    def body(self) -> dict[str, Any]:
        """The `error` object of the wire: code, message, and hint and details where there are any."""
        body: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.hint:
            body["hint"] = self.hint
        return body | self.details

    def problem(self) -> dict[str, Any]:
        """The same as an RFC 9457 problem document."""
        body: dict[str, Any] = {
            "type": "about:blank",
            "title": self.title,
            "status": self.status,
            "detail": self.message,
            "code": self.code,
        }
        if self.hint:
            body["hint"] = self.hint
        return body | self.details


class ValidationError(PlumblineError):
    code, status, title = "VALIDATION_ERROR", 400, "The request is not valid"


class Unauthorized(PlumblineError):
    code, status, close, title = "UNAUTHORIZED", 401, 4501, "A valid API key is needed"


class Forbidden(PlumblineError):
    code, status, title = "FORBIDDEN", 403, "This key may not do that"


class NotFound(PlumblineError):
    code, status, title = "NOT_FOUND", 404, "Not found"


class Conflict(PlumblineError):
    code, status, title = "CONFLICT", 409, "Conflict"


class TooLarge(PlumblineError):
    code, status, title = "TOO_LARGE", 413, "Too large"


class UnsupportedMedia(PlumblineError):
    code, status, title = "UNSUPPORTED_MEDIA", 415, "Unsupported content type or encoding"


class RateLimited(PlumblineError):
    code, status, close, title = "RATE_LIMITED", 429, 4029, "Too many requests"


class Internal(PlumblineError):
    code, status, title = "INTERNAL", 500, "Internal error"

    @classmethod
    def hidden(cls) -> Internal:
        """The face of an unexpected exception: a reference to look up in the log, nothing else."""
        reference = secrets.token_hex(4)
        return cls(f"internal error, reference {reference}", reference=reference)


class Overloaded(PlumblineError):
    code, status, title = "OVERLOADED", 503, "Overloaded"


class Timeout(PlumblineError):
    code, status, title = "TIMEOUT", 504, "The engine was slower than the deadline"


class StorageFull(PlumblineError):
    code, status, title = "STORAGE_FULL", 507, "The store has no room"


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word a person most likely meant, or None when nothing is near."""
    found = difflib.get_close_matches(str(word)[:200], list(known), n=1, cutoff=0.6)
    return found[0] if found else None


def unknown(kind: str, word: str, known: Iterable[str]) -> str:
    """One sentence for an unknown name: what came, and the nearest or the known names."""
    names = sorted(known)
    shown = repr(str(word)[:80])
    if near := nearest(word, names):
        return f"no {kind} {shown}; did you mean {near!r}?"
    if not names:
        return f"no {kind} {shown}; there are none yet"
    listed = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
    return f"no {kind} {shown}; known: {listed}"
