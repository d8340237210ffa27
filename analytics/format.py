"""Numbers as people read them, for insight text. The screen does the same in assets/format.js.

Both are held to tests/unit/format_cases.json. Three significant digits; whole numbers stay whole below
10,000; durations and money have their own steps; network and disk sizes are decimal (kB = 1000 bytes).
Nothing that is not zero is shown as zero, nothing unknown as a number: None, NaN and infinities are a dash.
Halves round away from zero on the exact binary value, as JavaScript's toFixed and toPrecision do.
"""

from __future__ import annotations

import math
from decimal import ROUND_HALF_UP, Context, Decimal

DASH = "\u2013"
MINUS = "\u2212"
PER = {"second": "/s", "minute": "/min", "hour": "/h", "day": "/d"}

_SCALES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_BYTES = ((1e12, " TB"), (1e9, " GB"), (1e6, " MB"), (1e3, " kB"))


def value(number: float | None, unit: str = "", per: str | None = None) -> tuple[str, str]:
    """A number as (text, suffix), to be set side by side: (4820, "ms") gives ("4.82", " s").

    unit: "" or any noun, ms, s, percent (a fraction), usd, bytes, bytes_per_s. per: a key of PER.
    """
    if number is None or not math.isfinite(number):
        return DASH, ""
    size = abs(number)
    match unit:
        case "ms":
            text, suffix = _duration(size)
        case "s":
            text, suffix = _duration(size * 1000)
        case "percent":
            text, suffix = _percent(size)
        case "usd":
            text, suffix = _money(size)
        case "bytes" | "bytes_per_s":
            text, suffix = _size(size)
            suffix += "/s" if unit == "bytes_per_s" else ""
        case _:
            text, suffix = _plain(size)
    return (MINUS if number < 0 else "") + text, suffix + (PER[per] if per else "")


def text(number: float | None, unit: str = "", per: str | None = None) -> str:
    """`value` in one piece: "4.82 s", "$38.20/h", "2.41M/min"."""
    return "".join(value(number, unit, per))


def duration_ms(number: float | None) -> str:
    """Milliseconds in words: "840 ms", "4.82 s", "3 m 12 s", "2 h 5 m", "3 d 4 h"."""
    return text(number, "ms")


def change(number: float | None, kind: str) -> str:
    """A change with its direction: 0.84 relative "▲ 84%", -0.019 pp "▼ 1.9 pp", 3 absolute "▲ 3".

    relative and pp are fractions. A rise of tenfold or more reads as a factor: "▲ 12.4×".
    """
    if number is None or not math.isfinite(number):
        return DASH
    size = abs(number)
    if kind == "absolute":
        amount = "".join(_plain(size))
    elif kind == "relative" and size >= 10:
        amount = "".join(_plain(1 + number if number > 0 else size)) + "×"
    else:
        amount = _points(size * 100) + ("%" if kind == "relative" else " pp")
    return ("▲ " if number > 0 else "▼ " if number < 0 else "") + amount


def exact(number: float | None, unit: str = "", per: str | None = None) -> str:
    """All that is known of a number, for hover: up to 12 significant digits, its own unit."""
    if number is None or not math.isfinite(number):
        return DASH
    size = abs(number) * (100 if unit == "percent" else 1)
    digits = f"{Context(prec=12, rounding=ROUND_HALF_UP).create_decimal_from_float(size).normalize():,f}"
    ends = {"ms": " ms", "s": " s", "percent": "%", "usd": "", "bytes": " bytes", "bytes_per_s": " bytes/s", "": ""}
    sign = (MINUS if number < 0 else "") + ("$" if unit == "usd" else "")
    return sign + digits + ends.get(unit, f" {unit}") + (PER[per] if per else "")


def age(seconds: float | None) -> str:
    """How old something is, in completed units: "0.4 s", "47 s", "3 min", "2 h", "5 d"."""
    if seconds is None or not math.isfinite(seconds):
        return DASH
    seconds = max(seconds, 0.0)
    if seconds < 10:
        return f"{math.floor(seconds * 10) / 10:.1f} s"
    if seconds < 60:
        return f"{math.floor(seconds)} s"
    if seconds < 3600:
        return f"{math.floor(seconds / 60)} min"
    if seconds < 48 * 3600:
        return f"{math.floor(seconds / 3600)} h"
    return f"{math.floor(seconds / 86400):,} d"


def _significant(size: float, digits: int = 3) -> Decimal:
    return Context(prec=digits, rounding=ROUND_HALF_UP).create_decimal_from_float(float(size))


def _fixed(size: float, places: int) -> Decimal:
    return Decimal(size).quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_UP)


def _three(size: float) -> str:
    """Exactly three significant digits, and all digits before the point: 4.00, 12.3, 8,400, 1.23e-9."""
    if size < 1e-6 or size >= 1e15:
        mantissa, exponent = f"{_significant(size):.2e}".split("e")
        return f"{mantissa}e{int(exponent)}"
    if size >= 999.5:
        return f"{_fixed(size, 0):,}"
    kept = _significant(size)
    # adjusted() is read after rounding: 9.996 must end as 10.0, not 10.00
    return f"{_fixed(float(kept), max(0, 2 - kept.adjusted())):f}"


def _plain(size: float) -> tuple[str, str]:
    if size < 9999.5:
        return (f"{int(size):,}" if float(size).is_integer() else _three(size)), ""
    if size >= 1e15:
        return _three(size), ""
    return _scaled(size, _SCALES)


def _scaled(size: float, scales: tuple[tuple[float, str], ...]) -> tuple[str, str]:
    """Three digits of the largest scale that the rounded number reaches, so 999,950 is 1.00M."""
    step, name = next((s, n) for s, n in scales if _significant(size) >= s)
    return _three(size / step), name


def _duration(ms: float) -> tuple[str, str]:
    if ms < 999.5:
        return _plain(ms)[0], " ms"
    if ms < 59_950:
        return _three(ms / 1000), " s"
    if ms >= 1e15:
        return _three(ms / 86_400_000), " d"
    seconds = int(_fixed(ms / 1000, 0))
    if seconds < 3600:
        return f"{seconds // 60} m {seconds % 60}", " s"
    minutes = int(_fixed(ms / 60_000, 0))
    if minutes < 1440:
        return f"{minutes // 60} h {minutes % 60}", " m"
    hours = int(_fixed(ms / 3_600_000, 0))
    return f"{hours // 24:,} d {hours % 24}", " h"


def _percent(fraction: float) -> tuple[str, str]:
    points = fraction * 100
    if points in (0, 100) or points > 100:
        return _plain(points)[0], _plain(points)[1] + "%"
    if points >= 99.9:  # 99.96 % is not all of them
        return "99.9", "%"
    if points >= 0.095:
        return f"{_fixed(points, 1)}", "%"
    return (_trimmed(points, 2) if points >= 1e-6 else _three(points)), "%"


def _money(size: float) -> tuple[str, str]:
    if size == 0:
        return "$0", ""
    if size < 0.095:
        return "$" + (_trimmed(size, 3) if size >= 1e-6 else _three(size)), ""
    if size < 999.995:
        return f"${_fixed(size, 2)}", ""
    digits, suffix = _plain(size)
    return "$" + digits, "B" if suffix == "G" else suffix


def _size(size: float) -> tuple[str, str]:
    if size < 999.5:
        return _plain(size)[0], " B"
    return _scaled(size, _BYTES)


def _trimmed(size: float, digits: int) -> str:
    """At most so many significant digits, at least two places."""
    shown = f"{_significant(size, digits):f}".rstrip("0")
    return shown + "0" * (2 - len(shown.partition(".")[2]))


def _points(points: float) -> str:
    if points == 0:
        return "0.0"
    if points < 0.05:
        return "<0.1"
    tenths = _fixed(points, 1)
    return f"{tenths}" if tenths < 10 else f"{_fixed(points, 0):,}"
