"""Writing YAML: values in one line, and files that are replaced whole or not at all."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_]*( [A-Za-z0-9_]+)*")
KEYWORDS = ("true", "false", "null", "yes", "no", "on", "off", "y", "n")  # of YAML 1.1 too: others may read it
ESCAPED = re.compile('[\\x00-\\x1f\\x7f-\\x9f\\u2028\\u2029\\ufeff\\ufffe\\uffff\\\\"]')


def flow(value: Any) -> str:
    """Mappings, lists, text and numbers in one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{text(key)}: {flow(each)}" for key, each in value.items()) + "}"
    if isinstance(value, str):
        return text(value)
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    return "[" + ", ".join(map(flow, value)) + "]" if isinstance(value, Iterable) else str(value)


def text(value: str) -> str:
    """Text: plain where that is safe, else in double quotes."""
    if PLAIN.fullmatch(value) and value.lower() not in KEYWORDS:
        return value
    return '"' + ESCAPED.sub(lambda found: _escape(found[0]), value) + '"'


def comment(value: str) -> str:
    """Text as it may follow a `#`."""
    return "".join(char for char in value if char.isprintable())[:200]


def replace(path: Path, content: bytes) -> None:
    """Put a content in the place of a file at once, with the rights that the file had. Raises OSError."""
    handle, part = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(part, path.stat().st_mode & 0o777 if path.exists() else 0o644)
        os.replace(part, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(part)
        raise


def _escape(char: str) -> str:
    return "\\" + char if char in '"\\' else f"\\u{ord(char):04x}"
