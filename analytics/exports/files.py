"""Answers as files: typed Arrow tables, written as CSV, Parquet, Arrow, JSON lines or JSON.

A `Sheet` collects rows page by page, in memory up to SPOOL_BYTES and on disk beyond, and is written once all that a
file must say of itself is known. Everything here works in threads; nothing is asked and nothing is sent.
"""

from __future__ import annotations

import csv
import io
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import IO, Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from analytics.errors import ValidationError, unknown

TIME = pa.timestamp("us", tz="UTC")
SPOOL_BYTES = 8 << 20
BATCH_ROWS = 4096
GROUP = 64  # batches in a Parquet row group
META = b"plumbline"  # the key of what a file says of itself
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what makes a spreadsheet compute a cell

Row = Sequence[Any]


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """One column of a file: its type (None: as its first rows are), and what people must know to read it."""

    type: pa.DataType | None = None
    title: str = ""
    unit: str = ""
    per: str | None = None

    def arrow(self, name: str, type: pa.DataType) -> pa.Field:
        told = {"title": self.title, "unit": self.unit, "per": self.per}
        return pa.field(name, type, metadata={k: v for k, v in told.items() if v} or None)


TEXT, NUMBER, WHOLE, MOMENT = (Field(type=t) for t in (pa.string(), pa.float64(), pa.int64(), TIME))
UNKNOWN = Field()


class Sheet:
    """Rows of one table on their way into a file. Close it, or use `with`."""

    def __init__(self, columns: Sequence[str], fields: Mapping[str, Field], sample: Sequence[Row] = ()) -> None:
        """sample: rows from which columns of unknown type get theirs."""
        known = [fields.get(name, UNKNOWN) for name in columns]
        types = [f.type or _type_of(row[i] for row in sample) for i, f in enumerate(known)]
        self.schema = pa.schema([f.arrow(n, t) for f, n, t in zip(known, columns, types, strict=True)])
        self.rows = 0
        self._file = tempfile.SpooledTemporaryFile(max_size=SPOOL_BYTES)  # noqa: SIM115  closed by `close`
        self._writer: Any = pa.ipc.new_stream(self._file, self.schema)

    def add(self, rows: Sequence[Row]) -> None:
        """Rows in the order of the columns; times as RFC 3339 text or as ms since the epoch."""
        for start in range(0, len(rows), BATCH_ROWS):
            part = rows[start : start + BATCH_ROWS]
            arrays = [_array(field.type, [row[i] for row in part]) for i, field in enumerate(self.schema)]
            self._writer.write_batch(pa.record_batch(arrays, schema=self.schema))
        self.rows += len(rows)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """All rows once more. Nothing can be added after this."""
        self._writer.close()
        self._file.seek(0)
        return iter(pa.ipc.open_stream(self._file))

    def columns(self) -> list[dict[str, Any]]:
        """Name, type, unit and title of every column, as JSON has it."""
        words = {TIME: "time", pa.string(): "text", pa.float64(): "number", pa.int64(): "whole number"}
        words[pa.bool_()] = "true or false"
        return [
            {"name": f.name, "type": words.get(f.type, "list")}
            | {k.decode(): v.decode() for k, v in (f.metadata or {}).items()}
            for f in self.schema
        ]

    def close(self) -> None:
        self._writer.close()
        self._file.close()

    def __enter__(self) -> Sheet:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _type_of(values: Iterable[Any]) -> pa.DataType:
    """Numbers are numbers, anything mixed or absent is text."""
    kinds = {type(v) for v in values if v is not None}
    if kinds and kinds <= {int, float}:
        return pa.float64()
    return pa.bool_() if kinds == {bool} else pa.string()


def _array(type: pa.DataType, values: list[Any]) -> pa.Array:
    if type == TIME:
        return pa.array([_moment(v) for v in values], TIME)
    if type == pa.string():
        return pa.array([v if v is None or isinstance(v, str) else _text(v) for v in values], type)
    return pa.array(values, type)


def _moment(value: str | float | None) -> int | None:
    """Microseconds since the epoch."""
    if value is None:
        return None
    if isinstance(value, int | float):
        return int(value) * 1000
    moment = datetime.fromisoformat(value)
    since = moment.replace(tzinfo=moment.tzinfo or UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list | bool) else str(value)


# formats


def _csv(file: IO[bytes], sheet: Sheet, about: Mapping[str, Any]) -> None:
    """RFC 4180 in UTF-8 with a header; an absent value is an empty cell."""
    text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(harmless(name) for name in sheet.schema.names)
    for batch in sheet.batches():
        writer.writerows(zip(*(_cells(column) for column in batch.columns), strict=True))
    text.detach()


def _cells(column: pa.Array) -> list[Any]:
    """Values as CSV has them: numbers as they are, only text is made harmless."""
    values = _plain(column)
    if column.type == pa.string():
        return [None if v is None else harmless(v) for v in values]
    if column.type == pa.bool_():
        return [None if v is None else str(v).lower() for v in values]
    return [_text(v) if isinstance(v, list) else v for v in values]


def harmless(text: str) -> str:
    """Text that a spreadsheet would take for a formula, with an apostrophe before it."""
    return "'" + text if text.startswith(FORMULA) else text


def _plain(column: pa.Array) -> list[Any]:
    """Values as JSON has them: times as RFC 3339, numbers without an idle `.0`, no NaN."""
    values: list[Any] = column.to_pylist()
    if column.type == TIME:
        return [None if v is None else v.strftime("%Y-%m-%dT%H:%M:%S.%fZ") for v in values]
    if column.type == pa.float64():
        return [_number(v) for v in values]
    return values


def _number(value: float | None) -> float | int | None:
    if value is None or value - value != 0:  # neither NaN nor an infinity is a number in JSON
        return None
    return int(value) if value.is_integer() and abs(value) < 1e15 else value


def _objects(sheet: Sheet) -> Iterator[bytes]:
    names = sheet.schema.names
    for batch in sheet.batches():
        for row in zip(*(_plain(column) for column in batch.columns), strict=True):
            yield msgspec.json.encode(dict(zip(names, row, strict=True)))


def _ndjson(file: IO[bytes], sheet: Sheet, about: Mapping[str, Any]) -> None:
    """One object on each line."""
    file.writelines(line + b"\n" for line in _objects(sheet))


def _json(file: IO[bytes], sheet: Sheet, about: Mapping[str, Any]) -> None:
    """One object: `about`, `columns` and `rows`."""
    file.write(b'{"about":' + _encoded(about) + b',"columns":' + _encoded(sheet.columns()) + b',"rows":[')
    file.writelines((b",\n" if i else b"\n") + line for i, line in enumerate(_objects(sheet)))
    file.write(b"\n]}\n")


def _parquet(file: IO[bytes], sheet: Sheet, about: Mapping[str, Any]) -> None:
    """Typed and compressed, with units in the fields' metadata and `about` in the schema's."""
    schema = sheet.schema.with_metadata({META: _encoded(about)})
    batches = sheet.batches()
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        while group := list(islice(batches, GROUP)):
            writer.write_table(pa.Table.from_batches(group).replace_schema_metadata(schema.metadata))


def _arrow(file: IO[bytes], sheet: Sheet, about: Mapping[str, Any]) -> None:
    """The same types and metadata as an Arrow IPC file."""
    schema = sheet.schema.with_metadata({META: _encoded(about)})
    with pa.ipc.new_file(file, schema) as writer:
        for batch in sheet.batches():
            writer.write_batch(batch.replace_schema_metadata(schema.metadata))


def _encoded(value: Any) -> bytes:
    return msgspec.json.encode(value)


class Format(msgspec.Struct, frozen=True):
    """How a table is written; `suffix` is its name too."""

    suffix: str
    media: str
    write: Callable[[IO[bytes], Sheet, Mapping[str, Any]], None]


FORMATS = {
    f.suffix: f
    for f in (
        Format("csv", "text/csv; charset=utf-8; header=present", _csv),
        Format("parquet", "application/vnd.apache.parquet", _parquet),
        Format("arrow", "application/vnd.apache.arrow.file", _arrow),
        Format("ndjson", "application/x-ndjson", _ndjson),
        Format("json", "application/json", _json),
    )
}


def format_of(name: str) -> Format:
    """Raises ValidationError with the formats there are."""
    if name not in FORMATS:
        raise ValidationError(unknown("format", name, FORMATS), hint="one of: " + ", ".join(FORMATS))
    return FORMATS[name]
