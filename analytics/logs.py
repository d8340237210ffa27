"""Log lines for people or for machines, with what a request was about, and never a key.

A record says what it is about in `extra={"about": {...}}`: request_id, conn, principal, path, reference.
"""

from __future__ import annotations

import json
import logging
import re
import secrets
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from analytics.errors import ValidationError, unknown
from analytics.key_text import Redacting, redact

REQUEST_ID = re.compile(r"[\w.:-]{1,64}", re.ASCII)


class TextLines(Redacting):
    """Time, level, room, message, and what it is about."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        about = getattr(record, "about", {})
        return " ".join([super().formatMessage(record), *(f"{name}={printed(value)}" for name, value in about.items())])


class JsonLines(Redacting):
    """One JSON object a line: time, level, logger, message, what it is about, and a traceback where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "about", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return redact(json.dumps(line, ensure_ascii=False, default=str))


FORMATS: Mapping[str, Callable[[], logging.Formatter]] = {"text": TextLines, "json": JsonLines}


def formatter(name: str) -> logging.Formatter:
    """The formatter of a name in FORMATS. Raises ValidationError."""
    if name not in FORMATS:
        raise ValidationError(unknown("log format", name, FORMATS))
    return FORMATS[name]()


def request_id(offered: str | None) -> str:
    """The id a caller gave its request, where it is short and plain and no key, else a new one."""
    if offered and REQUEST_ID.fullmatch(offered) and redact(offered) == offered:
        return offered
    return secrets.token_hex(8)


def printed(value: object) -> str:
    """A value that ends no line and is one word."""
    text = str(value)
    return text if text.isprintable() and " " not in text and text else json.dumps(text)
