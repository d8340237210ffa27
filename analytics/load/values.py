"""Values of any kind to the type of their column: what does not fit becomes null, never something else."""

from __future__ import annotations

import re
from typing import Any

import duckdb
import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from analytics.errors import ValidationError
from analytics.events import UTC_US
from analytics.workspace import ARROW

TRUE = ("true", "t", "yes", "y", "on", "1")
FALSE = ("false", "f", "no", "n", "off", "0")
# How numbers are written: the mark between thousands, the mark before decimals. Spaces between thousands always count.
NUMBERS = {"": ("", "."), "1,234.5": (",", "."), "1.234,5": (".", ","), "1'234.5": ("'", ".")}
EPOCHS = {"s": 1_000_000, "ms": 1_000, "us": 1}
SIGNS = r"[\s$€£¥%\x{a0}\x{202f}]"
WHOLE = r"[+-]?[0-9]+"
LAST_US = 253_402_300_799_999_999
FORM = re.compile(r"[^%]*(%(-?[aAbBdmyYHIpMSfgjzZjuUWwGVcxXn%])[^%]*)+")


class Converter:
    """Holds an engine in memory that reaches nothing outside, started when it is needed; of one thread at a time."""

    def __init__(self) -> None:
        self._started: duckdb.DuckDBPyConnection | None = None

    def close(self) -> None:
        if self._started is not None:
            self._started.close()
            self._started = None

    @property
    def _engine(self) -> duckdb.DuckDBPyConnection:
        if self._started is None:
            self._started = duckdb.connect(":memory:", config={"threads": 1, "enable_external_access": False})
            self._started.execute("SET TimeZone = 'UTC'")
            self._started.execute("SET lock_configuration = true")
        return self._started

    def __call__(self, values: pa.Array, type: str, form: str = "") -> pa.Array:
        """An array of ARROW[type]; null where a value is null or does not fit. Text of NULLS is null already."""
        if pa.types.is_dictionary(values.type):
            values = values.dictionary_decode()
        if pa.types.is_large_string(values.type) or pa.types.is_string_view(values.type):
            values = values.cast(pa.string())
        if pa.types.is_null(values.type):
            return pa.nulls(len(values), ARROW[type])
        of = self._of_text if pa.types.is_string(values.type) else self._of_typed
        return of(values, type, form)

    def times(self, values: pa.Array, formats: list[str]) -> pa.Table:
        """For each format whether each text fits it, as columns f0, f1, ..."""
        tried = ", ".join(f"try_strptime(x, {_quoted(format)}) IS NOT NULL AS f{i}" for i, format in enumerate(formats))
        return self._select(values, tried)

    def parts(self, values: list[pa.Array]) -> pa.Array:
        """Times of columns of year, month, day, hour, minute, in this order and as many as there are."""
        named = {f"p{i}": self(v, "integer") for i, v in enumerate(values)}
        shape = ("{:04d}", "-{:02d}", "-{:02d}", " {:02d}", ":{:02d}")[: len(values)]
        rest = ["", "-01-01", "-01", "", ":00", ""][len(values)]
        self._engine.register("t", pa.table(named))
        sql = f"SELECT try_cast(format('{''.join(shape)}{rest}', {', '.join(named)}) AS TIMESTAMP) AS v FROM t"
        return _whole(self._engine.sql(sql).to_arrow_table()["v"])

    def _of_text(self, values: pa.Array, type: str, form: str) -> pa.Array:
        match type:
            case "text":
                return values
            case "boolean":
                words = pc.utf8_lower(pc.utf8_trim_whitespace(values))
                no = pc.is_in(words, pa.array(FALSE))
                return pc.if_else(
                    pc.is_in(words, pa.array(TRUE)), True, pc.if_else(no, False, pa.scalar(None, pa.bool_()))
                )
            case "time":
                return self._time(values, form)
        if form == "":
            try:
                found = values.cast(ARROW[type])
                if type == "integer" or pc.all(pc.is_finite(found)).as_py() is not False:
                    return found
            except pa.ArrowInvalid:
                pass
        return self._number(values, type, form)

    def _number(self, values: pa.Array, type: str, form: str) -> pa.Array:
        thousands, decimal = NUMBERS[form]
        group = rf"[0-9]{{1,3}}(\{thousands}[0-9]{{3}})+|" if thousands else ""
        tail = rf"(\{decimal}[0-9]*)?([eE][+-]?[0-9]+)?"
        shape = rf"[+-]?({group}[0-9]+){tail}|[+-]?\{decimal}[0-9]+([eE][+-]?[0-9]+)?"
        plain = f"replace(replace(x, {_quoted(thousands)}, ''), {_quoted(decimal)}, '.')" if thousands else "x"
        target = "DOUBLE" if type == "number" else "BIGINT"
        if type == "integer":
            shape = rf"[+-]?({group}[0-9]+)"
        sql = (
            f"CASE WHEN regexp_full_match(x, {_quoted(shape)}) THEN try_cast({plain} AS {target}) END AS v "
            f"FROM (SELECT regexp_replace(x, {_quoted(SIGNS)}, '', 'g') AS x FROM t)"
        )
        found = _whole(self._select(values, sql, table="")["v"])
        return found if type == "integer" else pc.if_else(pc.is_finite(found), found, pa.scalar(None, pa.float64()))

    def _time(self, values: pa.Array, form: str) -> pa.Array:
        if form in EPOCHS:
            return self._of_typed(self(values, "number"), "time", form)
        if not form:
            found = self._select(values, "try_cast(trim(x) AS TIMESTAMPTZ) AS v")["v"]
        else:
            formats = ", ".join(map(_quoted, form.split("|")))
            found = self._select(values, f"try_strptime(trim(x), [{formats}]) AS v")["v"]
        return _sane(_whole(found).cast(UTC_US))

    def _of_typed(self, values: pa.Array, type: str, form: str) -> pa.Array:
        kind, target = values.type, ARROW[type]
        numeric = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
        if type == "time":
            if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
                zone = kind.tz if pa.types.is_timestamp(kind) else None
                return _sane(values.cast(pa.timestamp("us", zone), safe=False).cast(UTC_US))
            if numeric and form in EPOCHS:
                us = pc.multiply(values.cast(pa.float64(), safe=False), float(EPOCHS[form]))
                if pa.types.is_integer(kind):
                    near = pc.if_else(_between(us, -6.2e16, 2.5e17), values, pa.scalar(None, kind))
                    us = pc.multiply(near.cast(pa.int64()), EPOCHS[form])
                else:
                    us = pc.if_else(_between(us, -6.2e16, 2.5e17), us, pa.scalar(None, pa.float64()))
                return us.cast(pa.int64(), safe=False).cast(UTC_US)
        if type == "number" and (numeric or pa.types.is_boolean(kind)):
            found = values.cast(target, safe=False)
            return pc.if_else(pc.is_finite(found), found, pa.scalar(None, target))
        if type == "integer" and pa.types.is_boolean(kind):
            return values.cast(target)
        if type == "integer" and numeric:
            real = values.cast(pa.float64(), safe=False)
            fits = pc.and_(pc.equal(pc.floor(real), real), _between(real, -(2.0**63), 2.0**63 - 1025))
            return pc.if_else(fits, values, pa.scalar(None, kind)).cast(target, safe=False)
        if type == "boolean" and pa.types.is_boolean(kind):
            return values
        return self._of_text(texts(values), type, form)

    def _select(self, values: pa.Array, expression: str, table: str = "FROM t") -> pa.Table:
        self._engine.register("t", pa.table({"x": values}))
        try:
            return self._engine.sql(f"SELECT {expression} {table}").to_arrow_table()
        finally:
            self._engine.unregister("t")


def checked_form(type: str, form: str) -> str:
    """How values of a type are said to be written. Raises ValidationError."""
    known: dict[str, Any] = {"integer": NUMBERS, "number": NUMBERS, "time": EPOCHS}
    if not form or form in known.get(type, {}) or (type == "time" and all(map(FORM.fullmatch, form.split("|")))):
        return form
    listed = {"time": "s, ms, us or a format such as %d/%m/%Y %H:%M"}.get(
        type, ", ".join(filter(None, known.get(type, ())))
    )
    raise ValidationError(f"{type}:{form[:40]}: expected {listed or 'nothing'} after the colon")


def texts(values: pa.Array) -> pa.Array:
    """Any array as text; what is nested as JSON, bytes as far as they are UTF-8."""
    if pa.types.is_nested(values.type):
        encoded = (None if v is None else msgspec.json.encode(v, enc_hook=str).decode() for v in values.to_pylist())
        return pa.array(encoded, pa.string())
    if (
        pa.types.is_binary(values.type)
        or pa.types.is_large_binary(values.type)
        or pa.types.is_fixed_size_binary(values.type)
    ):
        return pa.array(
            [None if v is None else v.decode("utf-8", "backslashreplace") for v in values.to_pylist()], pa.string()
        )
    return values.cast(pa.string())


def _whole(values: Any) -> pa.Array:
    """One array of what may be in chunks."""
    found = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    return found.chunk(0) if isinstance(found, pa.ChunkedArray) else found


def _sane(times: pa.Array) -> pa.Array:
    """Without infinities and years that no calendar shows."""
    us = times.cast(pa.int64())
    return pc.if_else(_between(us, -62_135_596_800_000_000, LAST_US), times, pa.scalar(None, UTC_US))


def _between(values: pa.Array, low: float, high: float) -> pa.Array:
    return pc.and_(pc.greater_equal(values, low), pc.less_equal(values, high))


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
