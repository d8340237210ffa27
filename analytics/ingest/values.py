"""One value at a time, with patience: what a sender meant, or Refused with what was expected."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import msgspec
import pyarrow as pa

from analytics.events import BY_NAME, UTC_US
from analytics.ingest.reasons import Reason, Refused, shown

Value = str | int | float | bool | None
INT64 = range(-(2**63), 2**63)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def cleaned(column: str, value: Any) -> Value:
    """`value` as `column` holds it; times in us since the epoch. Raises Refused."""
    if value is None:
        return None
    kind = BY_NAME[column].type
    try:
        if kind == UTC_US:
            return time_us(value)
        if kind == pa.float64():
            return number(value)
        if kind == pa.int64():
            return whole(value)
        if kind == pa.bool_():
            return truth(value)
        return text(value)
    except Refused as refused:
        raise Refused(refused.reason, f"{column}: {refused.expected}") from None


def text(value: Any) -> str:
    """Text as it is, anything else as its JSON; lone surrogates and NULs replaced."""
    if isinstance(value, str):
        return repaired(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    return as_json(value)


def repaired(value: str) -> str:
    """Valid Unicode without NULs: surrogate pairs joined, lone ones replaced."""
    if not value.isascii():
        value = value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return value.replace("\0", "\ufffd")


def as_json(value: Any) -> str:
    """JSON text of any parsed value; numbers JSON has no word for become text."""
    return msgspec.json.encode(jsonable(value)).decode()


def jsonable(value: Any) -> Any:
    if isinstance(value, str):
        return repaired(value)
    if isinstance(value, dict):
        return {repaired(str(k)): jsonable(v) for k, v in value.items()}
    if isinstance(value, list):
        return [jsonable(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return str(value) if isinstance(value, int) and value not in INT64 else value


def number(value: Any) -> float:
    """A finite number, or text of one."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise Refused(Reason.BAD_TYPE, f"expected a number, got {json_type(value)}")
    try:
        found = float(value)
    except (ValueError, OverflowError):
        raise Refused(Reason.BAD_NUMBER, f"expected a number, got {shown(value)}") from None
    if not math.isfinite(found):
        raise Refused(Reason.BAD_NUMBER, "expected a finite number")
    return found


def whole(value: Any) -> int:
    """A whole number of 64 bits, or text of one."""
    if isinstance(value, str) and value.strip().lstrip("+-").isdecimal() and len(value) <= 40:
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        found = number(value)
        if not found.is_integer():
            raise Refused(Reason.BAD_NUMBER, f"expected a whole number, got {shown(value)}")
        value = int(found)
    if value not in INT64:
        raise Refused(Reason.BAD_NUMBER, "expected a whole number of 64 bits")
    return int(value)


def truth(value: Any) -> bool:
    word = value.strip().lower() if isinstance(value, str) else value
    if word is True or word == "true":
        return True
    if word is False or word == "false":
        return False
    raise Refused(Reason.BAD_TYPE, f"expected true or false, got {json_type(value)}")


def time_us(value: Any) -> int:
    """RFC 3339 text, or a number that is seconds, ms, us or ns by its magnitude, to us since the epoch."""
    if isinstance(value, datetime):
        return us_since_epoch(value)
    if isinstance(value, str):
        return us_of_text(value.strip())
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Refused(Reason.BAD_TIME, f"expected a time, got {json_type(value)}")
    if not (isinstance(value, int) or math.isfinite(value)) or not 0 < value < 9.2e18:
        raise Refused(Reason.BAD_TIME, f"expected a time after 1970, got {shown(value)}")
    if value < 1e11:  # seconds until the year 5138; milliseconds only since March 1973
        return round(value * 1_000_000)
    if value < 1e14:
        return round(value * 1_000)
    return int(value) if value < 1e17 else int(value) // 1_000


def us_of_text(value: str) -> int:
    if value.replace(".", "", 1).isdecimal() and value.isascii() and len(value) > 8:
        return time_us(float(value) if "." in value else int(value[:40]))
    try:
        return us_since_epoch(datetime.fromisoformat(value))
    except (ValueError, OverflowError):
        raise Refused(Reason.BAD_TIME, f"expected RFC 3339 such as 2026-01-06T12:00:00Z, got {shown(value)}") from None


def us_since_epoch(value: datetime) -> int:
    """A naive datetime counts as UTC."""
    gap = (value if value.tzinfo else value.replace(tzinfo=UTC)) - _EPOCH
    return (gap.days * 86_400 + gap.seconds) * 1_000_000 + gap.microseconds


def json_type(value: Any) -> str:
    names = {str: "text", bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "an object"}
    return names.get(type(value), "null" if value is None else type(value).__name__)
