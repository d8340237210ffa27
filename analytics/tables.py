"""Rows of any common kind (pandas, polars, Arrow, columns) as a dataset: its YAML, and the rows in its schema."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from analytics.declare import column_names, profile_of
from analytics.declare import declared as yaml_of
from analytics.errors import ValidationError, unknown
from analytics.events import UTC_US
from analytics.load.infer import Field, Guesser, time_field
from analytics.load.values import Converter
from analytics.workspace import ARROW, Column, ColumnType

SAMPLE = 5_000  # values of a column that are looked at
HINT = "give a DataFrame, an Arrow table, a dict of columns, or the path of a plumbline.duckdb"


class Declared(msgspec.Struct, frozen=True, kw_only=True):
    """Rows as a dataset. `rows` have its schema. `time` is the column that their time is from, "" where there is none:
    then all rows are of `now`. `untimed` counts the rows that were left out because they have no time."""

    yaml: str
    rows: pa.Table
    time: str
    untimed: int = 0


def declared(name: str, data: Any, time: str | None = None, *, now: datetime) -> Declared:
    """A dataset made of rows; `time` names their time column, else it is looked for. Raises ValidationError."""
    given = arrow(data)
    if not given.num_rows or not given.num_columns:
        raise ValidationError("expected rows, got none")
    if time is not None and time not in given.column_names:
        raise ValidationError(unknown("column", time, given.column_names))
    with contextlib.closing(Converter()) as convert:
        columns = [_Column(convert, n, v) for n, v in zip(given.column_names, given.columns, strict=True)]
        place = _time_of(columns, time)
        typed = [column.typed(timed=i == place) for i, column in enumerate(columns)]
    names = column_names(given.column_names, place)
    taken = pa.repeat(pa.scalar(now.replace(tzinfo=None), UTC_US), given.num_rows)
    numbers = pa.array(np.arange(given.num_rows)).cast(pa.string())
    own = {
        "time": taken if place is None else typed[place][1],
        "received": taken,
        "event_id": pc.binary_join_element_wise("row", numbers, " "),
        "source": pa.repeat("notebook", given.num_rows),
    }
    others = {each: values for each, (_, values) in zip(names, typed, strict=True) if each != "time"}
    rows = pa.table(own | others)
    kept = rows.filter(pc.is_valid(rows["time"]))
    if not kept.num_rows:
        raise ValidationError(f"no row has a time in the column {columns[place or 0].name!r}")
    kinds = {each: Column(type=kind) for each, (kind, _) in zip(names, typed, strict=True) if each != "time"}
    source = "" if place is None else names[place]
    return Declared(
        yaml=yaml_of(name, "Data", kinds, source, profile_of(kept), now=now),
        rows=kept,
        time=source,
        untimed=rows.num_rows - kept.num_rows,
    )


def arrow(data: Any) -> pa.Table:
    """Rows as an Arrow table, an index that has something to say among its columns. Raises ValidationError."""
    try:
        if hasattr(data, "to_frame") and not hasattr(data, "columns"):  # one column alone
            data = data.to_frame()
        if isinstance(data, pa.Table):
            return data
        if isinstance(data, Mapping):
            return _table({str(name): _array(values) for name, values in data.items()})
        if hasattr(data, "reset_index"):  # pandas
            return _of_pandas(data)
        if hasattr(data, "to_arrow"):  # polars
            found: pa.Table = data.to_arrow()
            return found
        if hasattr(data, "__arrow_c_stream__"):
            return pa.table(data)
        if isinstance(data, list) and data and all(isinstance(row, Mapping) for row in data):
            return pa.Table.from_pylist(data)
    except (pa.ArrowException, ValueError, TypeError) as error:
        raise ValidationError(f"these rows cannot be read: {error}", hint=HINT) from None
    raise ValidationError(f"cannot show {type(data).__name__}", hint=HINT)


def _of_pandas(frame: Any) -> pa.Table:
    if type(frame.index).__name__ != "RangeIndex" or frame.index.name:
        frame = frame.reset_index()
    named = [" ".join(map(str, n)).strip() if isinstance(n, tuple) else str(n) for n in frame.columns]
    return pa.Table.from_arrays([_array(frame.iloc[:, i]) for i in range(len(named))], names=named)


def _table(columns: Mapping[str, pa.Array]) -> pa.Table:
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name}: {length}" for name, length in lengths.items())
        raise ValidationError(f"expected columns of one length, got {told}")
    return pa.table(dict(columns))


def _array(values: Any) -> pa.Array | pa.ChunkedArray:
    """A column; one of mixed types as text."""
    try:
        return pa.array(values, from_pandas=True) if hasattr(values, "dtype") else pa.array(list(values))
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
        return pa.array([None if v is None or v != v else str(v) for v in values], pa.string())


class _Column:
    """A column as it came, and what it holds."""

    def __init__(self, convert: Converter, name: str, values: pa.ChunkedArray) -> None:
        self.name, self._convert, self._values = name, convert, _plain(values)
        self.field = Guesser(convert).field(name, self._sample())

    def _sample(self) -> pa.Array:
        return self._values.slice(0, SAMPLE).combine_chunks()

    def as_time(self) -> pa.Array:
        """Its values as times; null where one is none. They are read in the way that most of them fit."""
        field = self.field
        if field.type != "time":
            field = Guesser(self._convert).formed(Field(field=self.name, type="time"), self._sample())
        return self._convert(self._values.combine_chunks(), "time", field.form)

    def typed(self, *, timed: bool) -> tuple[ColumnType, pa.Array]:
        """Its type and values in the dataset. The owner of a frame has typed it: text is read as nothing but times."""
        values, kind = self._values.combine_chunks(), self._values.type
        if timed:
            return "time", self.as_time()
        if self.field.type == "time":
            times = self.as_time()
            if times.null_count == values.null_count:
                return "time", times
        if pa.types.is_boolean(kind):
            return "boolean", values
        if pa.types.is_integer(kind):
            return "integer", values.cast(ARROW["integer"])
        if pa.types.is_floating(kind):
            return "number", self._convert(values, "number")  # what is no number is null
        return "text", values


def _time_of(columns: list[_Column], asked: str | None) -> int | None:
    """The place of the time column. Raises ValidationError where the one that was asked for holds no times."""
    names = [column.name for column in columns]
    if asked is None:
        found = time_field([column.field for column in columns])
        return None if found is None else names.index(found)
    column = columns[names.index(asked)]
    if column.as_time().null_count == len(column.as_time()):
        raise ValidationError(f"the column {asked!r} holds no times", hint="expected timestamps, dates or ISO text")
    return names.index(asked)


def _plain(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Values of one of six kinds: boolean, int64, float64, timestamp, date or text."""
    kind = values.type
    if pa.types.is_dictionary(kind):
        return _plain(values.cast(kind.value_type))
    if pa.types.is_decimal(kind) or pa.types.is_floating(kind):
        return values.cast(pa.float64())
    if pa.types.is_uint64(kind):
        return values.cast(pa.float64(), safe=False)
    if pa.types.is_integer(kind):
        return values.cast(pa.int64())
    if pa.types.is_duration(kind):  # in seconds
        return pc.divide(values.cast(pa.duration("us"), safe=False).cast(pa.int64()).cast(pa.float64()), 1e6)
    if pa.types.is_timestamp(kind):
        return values.cast(pa.timestamp("us", kind.tz), safe=False)
    if pa.types.is_boolean(kind) or pa.types.is_date(kind):
        return values
    try:
        return values.cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return pa.chunked_array([[None if v is None else str(v) for v in values.to_pylist()]], pa.string())
