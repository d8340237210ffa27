"""What a row must be to be kept, and what is filled in when it is: whole columns at a time."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from analytics.events import COLUMNS, KINDS, STATUSES, UTC_US, WAYS
from analytics.ingest.limits import Limits
from analytics.ingest.reasons import Drops, Reason, shown
from analytics.ingest.tables import PLACE, any_true, replaced
from analytics.ingest.values import us_since_epoch

TRIMMED = "plumbline.trimmed"  # marker in attributes: how many of them were cut or left out
TEXTS = tuple(c.name for c in COLUMNS if c.type == pa.string())
BOUNDED = tuple(n for n in TEXTS if n not in ("attributes", "distribution"))
IDENTITIES = ("event_id", "flow_id", "parent_id", "series", "session", "call_id")
NOT_NEGATIVE = ("duration_ms", "tokens_input", "tokens_output", "tokens_cached", "tokens_cache_written", "count")
FLOATS = tuple(c.name for c in COLUMNS if c.type == pa.float64())
RUNS = ("flow", "agent", "tool", "model")

Mask = Callable[[pa.ChunkedArray], pa.ChunkedArray]


class Rule(msgspec.Struct, frozen=True):
    """Rows where `bad` is true of `column` are dropped for `reason`; null is never bad."""

    reason: Reason
    column: str
    bad: Mask
    expected: str
    quote: bool = True


def sizes(table: pa.Table, limits: Limits) -> list[Rule]:
    """How large the texts of an event may be; asked before long ones are cut. Only columns that could
    hold such a text are asked. Identities are never cut, for then two of them could become one."""
    bounds = dict.fromkeys(TEXTS, limits.event_max)
    bounds |= dict.fromkeys(IDENTITIES, limits.text_max) | {"distribution": limits.attributes_max}
    return [
        Rule(Reason.TOO_LARGE, name, partial(longer, limit=limit), f"at most {limit:,} bytes", quote=False)
        for name, limit in bounds.items()
        if table[name].nbytes > limit
    ]


def rules(limits: Limits, now: datetime) -> list[Rule]:
    """What the values must be, in the order they are asked."""
    latest = moment(now + timedelta(seconds=limits.ahead_s))
    deep = Rule(
        Reason.TOO_DEEP,
        "attributes",
        partial(deeper, limit=limits.depth_max),
        f"at most {limits.depth_max} levels of nesting",
        quote=False,
    )
    kind = Rule(Reason.UNKNOWN_KIND, "kind", partial(outside, known=KINDS), "one of " + ", ".join(KINDS))
    status = Rule(Reason.BAD_STATUS, "status", partial(outside, known=STATUSES), "ok, error or a known synonym")
    ahead = f"at most {limits.ahead_s:g} s ahead of this server's clock"
    return [
        deep,
        kind,
        status,
        *(Rule(Reason.BAD_TIME, n, before_1970, "a time after 1970") for n in ("time", "start_time")),
        Rule(Reason.TIME_IN_FUTURE, "time", lambda c: pc.greater(c, latest), ahead),
        *(Rule(Reason.BAD_NUMBER, n, not_finite, "a finite number") for n in FLOATS),
        *(Rule(Reason.NEGATIVE, n, negative, "zero or more") for n in NOT_NEGATIVE),
    ]


def kept(table: pa.Table, checks: list[Rule], drops: Drops) -> pa.Table:
    """The rows that break no rule."""
    for rule in checks:
        column = table[rule.column]
        if column.null_count == len(column):
            continue
        bad = pc.fill_null(rule.bad(column), False)
        if not any_true(bad):
            continue
        first = pc.index(bad, True).as_py()
        came = f", got {shown(plain(column[first]))}" if rule.quote else ""
        where = table[PLACE][first].as_py()
        drops.add(rule.reason, where, f"{rule.column}: expected {rule.expected}{came}", pc.sum(bad).as_py())
        table = table.filter(pc.invert(bad))
    return table


def plain(value: pa.Scalar) -> Any:
    """A value to quote; Arrow holds times that Python cannot."""
    if value.type != UTC_US:
        return value.as_py()
    try:
        return f"{value.as_py().isoformat()}Z"
    except (OverflowError, ValueError):
        return "a time out of range"


def moment(at: datetime) -> pa.Scalar:
    return pa.scalar(us_since_epoch(at), pa.int64()).cast(UTC_US)


def longer(column: pa.ChunkedArray, limit: int) -> pa.ChunkedArray:
    return pc.greater(pc.binary_length(column), limit)


def before_1970(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.less_equal(column.cast(pa.int64()), 0)


def not_finite(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.invert(pc.is_finite(column))


def negative(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.less(column, 0)


def outside(column: pa.ChunkedArray, known: tuple[str, ...]) -> pa.ChunkedArray:
    return pc.and_(pc.is_valid(column), pc.invert(pc.is_in(column, pa.array(known))))


def deeper(column: pa.ChunkedArray, limit: int) -> pa.ChunkedArray:
    """Only texts with more opening brackets than `limit` can be deeper; those are walked."""
    texts = column.combine_chunks()
    offsets, data = positions(texts)
    opens = np.flatnonzero((data | 0x20) == ord("{"))  # "[" is "{" without that bit
    counts = np.diff(np.searchsorted(opens, offsets))
    deep = np.zeros(len(texts), np.bool_)
    for suspect in np.flatnonzero(counts > limit).tolist():
        deep[suspect] = texts[suspect].is_valid and depth(texts[suspect].as_py(), limit) > limit
    return pa.chunked_array([pa.array(deep)])


def positions(texts: pa.StringArray) -> tuple[np.ndarray[Any, np.dtype[Any]], np.ndarray[Any, np.dtype[np.uint8]]]:
    """Where each text begins and the last one ends, and the bytes of all."""
    offsets = np.frombuffer(texts.buffers()[1], np.int32, len(texts) + 1, 4 * texts.offset)
    data = texts.buffers()[2]
    return offsets, np.frombuffer(data, np.uint8, int(offsets[-1])) if data else np.zeros(0, np.uint8)


def depth(text: str, limit: int) -> int:
    """Levels of nesting of JSON text, or limit + 1 when it is deeper."""
    now = most = 0
    quoted = escaped = False
    for char in text:
        if quoted:
            quoted = escaped or char != '"'
            escaped = char == "\\" and not escaped
        elif char == '"':
            quoted = True
        elif char in "[{":
            now += 1
            most = max(most, now)
            if most > limit:
                break
        elif char in "]}":
            now -= 1
    return most


def tidied(table: pa.Table, limits: Limits, statuses: dict[str, str]) -> pa.Table:
    """Before the rules: no empty texts, no NULs, long texts cut, kind in lower case, status by synonym."""
    for name in BOUNDED:
        column = table[name]
        if column.null_count == len(column):
            continue
        table = replaced(table, name, tidy_text(column, limits.text_max))
    if table["kind"].null_count < table.num_rows:
        table = replaced(table, "kind", pc.utf8_lower(table["kind"]))
    if table["status"].null_count < table.num_rows:
        words = table["status"].combine_chunks().dictionary_encode()
        plainly = [w.strip().lower() for w in words.dictionary.to_pylist()]
        meant = [statuses.get(word, word) for word in plainly]
        table = replaced(table, "status", pa.array(meant, pa.string()).take(words.indices))
    return table


def tidy_text(column: pa.ChunkedArray, limit: int) -> pa.ChunkedArray:
    lengths = pc.binary_length(column)
    span = pc.min_max(lengths).as_py()
    if span["min"] == 0:
        column = pc.if_else(pc.equal(lengths, 0), pa.scalar(None, pa.string()), column)
    if span["max"] > limit:
        column = pc.utf8_slice_codeunits(column, 0, limit)
    if holds_nul(column):
        column = pc.replace_substring(column, "\0", "\ufffd")
    return column


def holds_nul(column: pa.ChunkedArray) -> bool:
    """Whether any of the bytes is NUL."""
    return any(len(chunk) and bool((positions(chunk)[1] == 0).any()) for chunk in column.chunks)


def completed(table: pa.Table, source: str | None, received: datetime) -> pa.Table:
    """After the rules: what the sender left open is filled in."""
    at = moment(received)
    table = replaced(table, "received", at)
    table = replaced(table, "time", pc.fill_null(table["time"], at))
    table = replaced(table, "kind", pc.fill_null(table["kind"], "event"))
    if not pc.all(pc.is_in(table["way"], pa.array(WAYS))).as_py():
        table = replaced(table, "way", pc.if_else(pc.is_in(table["way"], pa.array(WAYS)), table["way"], "event"))
    if source:
        table = replaced(table, "source", pc.fill_null(table["source"], source))
    if table["event_id"].null_count:
        table = replaced(table, "event_id", pc.coalesce(table["event_id"], fresh_ids(table.num_rows)))
    if table["status"].null_count:
        runs = pc.is_in(table["kind"], pa.array(RUNS))
        word = pc.if_else(
            pc.is_valid(table["error_type"]), "error", pc.if_else(runs, "ok", pa.scalar(None, pa.string()))
        )
        table = replaced(table, "status", pc.coalesce(table["status"], word))
    return table


def fresh_ids(count: int) -> pa.Array:
    """Random for the batch, counted within it: one call for entropy, not one per row."""
    batch = secrets.token_hex(12)
    numbers = pa.array(range(count), pa.int32()).cast(pa.string())
    return pc.binary_join_element_wise(batch, numbers, "-")


def trimmed(table: pa.Table, limit: int) -> tuple[pa.Table, int]:
    """Attributes cut to `limit` bytes of valid JSON, and how many rows that touched."""
    column = table["attributes"]
    long = pc.fill_null(pc.greater(pc.binary_length(column), limit), False)
    count = pc.sum(long).as_py() or 0
    if count:
        texts = [trim(t, limit) if cut else t for t, cut in zip(column.to_pylist(), long.to_pylist(), strict=True)]
        table = replaced(table, "attributes", pa.array(texts, pa.string()))
    return table, count


def trim(text: str, limit: int) -> str:
    """The largest values are cut to the start of their text, then the last keys go, until it fits."""
    values: dict[str, msgspec.Raw] = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    size = len(text.encode()) + len(TRIMMED) + 16
    touched = 0
    for key in sorted(values, key=lambda k: len(bytes(values[k])), reverse=True):
        raw = bytes(values[key])
        if size <= limit or len(raw) <= 512:
            break
        short = msgspec.json.encode(start_of(raw))
        size -= len(raw) - len(short)
        values[key] = msgspec.Raw(short)
        touched += 1
    while size > limit:
        key, gone = values.popitem()
        size -= len(msgspec.json.encode(key)) + len(bytes(gone)) + 2
        touched += 1
    return msgspec.json.encode(values | {TRIMMED: touched}).decode()


def start_of(raw: bytes) -> str:
    """The first characters of a value: of a text its own, of anything else those of its JSON."""
    value = msgspec.json.decode(raw) if raw.startswith(b'"') else raw.decode()
    return str(value)[:128] + "…"
