"""Bodies of the intake that are tables: CSV and Arrow into the canonical columns, and any format into the columns of a
dataset that declares its own."""

from __future__ import annotations

import contextlib
import io
import secrets
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from analytics.errors import UnsupportedMedia, ValidationError, unknown
from analytics.events import BY_NAME, UTC_US
from analytics.ingest.json_events import SENT
from analytics.ingest.reasons import Drop, Drops, Reason, Refused, shown
from analytics.ingest.tables import rows
from analytics.ingest.values import time_us
from analytics.load.arrow_body import read_arrow
from analytics.load.assemble import NOUNS
from analytics.load.blocks import Block
from analytics.load.csv_file import read_csv
from analytics.load.json_file import read_json, read_json_lines
from analytics.load.layout import Layout, sniffed
from analytics.load.rejects import Rejects
from analytics.load.values import Converter, texts
from analytics.workspace import Dataset, schema

KINDS = {pa.string(): "text", pa.int64(): "integer", pa.float64(): "number", pa.bool_(): "boolean", UTC_US: "time"}


def canonical(body: bytes, format: str, drops: Drops, limit: int) -> pa.Table:
    """CSV or Arrow as rows of events, columns that are none of an event in `attributes`. Raises ValidationError,
    TooLarge, UnsupportedMedia."""
    rejects, convert = Rejects(), Converter()
    drops.noun = "line" if format == "csv" else "row"
    tables = []
    for block in _blocks(body, format, rejects, limit):
        wrong: dict[int, tuple[Reason, str]] = {}
        columns: dict[str, pa.Array] = {}
        for name in block.columns:
            if name in SENT:
                columns[name] = _typed(convert, block, name, KINDS[BY_NAME[name].type], wrong)
        columns["attributes"] = _attributes(block)
        for i, (reason, expected) in sorted(wrong.items()):
            drops.add(reason, int(block.lines[i]), expected)
        table = rows(columns, block.lines.tolist())
        tables.append(table.filter(_kept(len(block), wrong)) if wrong else table)
    convert.close()
    for drop in rejects.drops():
        drops.add(drop.reason, rejects.first[0].line, drop.example.partition(": ")[2], drop.count)
    return pa.concat_tables(tables) if tables else rows({}, [])


def declared(
    body: bytes, format: str, dataset: Dataset, *, source: str, received: datetime, limit: int
) -> tuple[pa.Table, list[Drop]]:
    """Any format as rows of a dataset with columns of its own. Raises ValidationError, TooLarge, UnsupportedMedia."""
    rejects, convert = Rejects(), Converter()
    shape = schema(dataset)
    tables = [shape.empty_table()]
    for block in _blocks(body, format, rejects, limit):
        if strange := [name for name in block.columns if name not in shape.names]:
            raise ValidationError(unknown(f"column of dataset {dataset.name!r}", strange[0], shape.names))
        wrong: dict[int, tuple[Reason, str]] = {}
        count = len(block)
        columns: dict[str, pa.Array] = {}
        for field in shape:
            kind = KINDS[field.type]
            given = field.name in block.columns
            columns[field.name] = (
                _typed(convert, block, field.name, kind, wrong) if given else pa.nulls(count, field.type)
            )
        columns["received"] = pa.repeat(pa.scalar(received.replace(tzinfo=None), UTC_US), count)
        columns["time"] = _time(block, dataset, columns, wrong)
        columns["source"] = pc.fill_null(columns["source"], source)
        if columns["event_id"].null_count:
            columns["event_id"] = pc.coalesce(
                columns["event_id"], pa.array([secrets.token_hex(12) for _ in range(count)])
            )
        for i, (reason, expected) in sorted(wrong.items()):
            rejects.add("", int(block.lines[i]), reason, expected, "")
        table = pa.table([columns[name] for name in shape.names], schema=shape)
        tables.append(table.filter(_kept(count, wrong)) if wrong else table)
    convert.close()
    return pa.concat_tables(tables).combine_chunks(), rejects.drops()


def _blocks(body: bytes, format: str, rejects: Rejects, limit: int) -> Iterator[Block]:
    if format == "arrow":
        return read_arrow(body, limit)
    if not body.strip():
        raise ValidationError("the body is empty", hint="send rows, the names of their columns first")
    stream = io.BytesIO(body)
    if format == "csv":
        layout = sniffed("the body", body, header=True)
        if layout.format != "csv":
            raise ValidationError(f"the body is said to be CSV and looks like {layout.format}", hint="say what it is")
        return read_csv(stream, layout, "", rejects)
    if format == "ndjson" or (format == "json" and body.lstrip()[:1] != b"["):
        return read_json_lines(stream, Layout(format="jsonl"), "", rejects, None)
    if format == "json":
        return read_json(stream, Layout(format="json"), "", rejects, None)
    raise UnsupportedMedia(f"cannot read the format {format[:40]!r}", hint="send CSV, an Arrow stream or JSON")


def _typed(convert: Converter, block: Block, name: str, kind: str, wrong: dict[int, tuple[Reason, str]]) -> pa.Array:
    """A column in its type; rows that do not fit are noted."""
    given = block.columns[name]
    found = convert(given, kind)
    if kind == "time" and found.null_count != given.null_count:
        return _epochs(given, found, name, wrong)
    if found.null_count != given.null_count:
        mask = pc.and_(given.is_valid(), found.is_null())
        reason = Reason.BAD_NUMBER if kind in ("integer", "number") else Reason.BAD_TYPE
        for i, value in zip(_places(mask), texts(given.filter(mask)).to_pylist(), strict=True):
            wrong.setdefault(i, (reason, f"{name}: expected {NOUNS[kind]}, got {shown(value)}"))
    return found


def _epochs(given: pa.Array, found: pa.Array, name: str, wrong: dict[int, tuple[Reason, str]]) -> pa.Array:
    """Times that are written as numbers, in the unit that their size says."""
    us: list[Any] = found.cast(pa.int64()).to_pylist()
    values = given.to_pylist()
    for i in _places(pc.and_(given.is_valid(), found.is_null())):
        try:
            us[i] = time_us(values[i])
        except Refused as refused:
            wrong.setdefault(i, (refused.reason, f"{name}: {refused.expected}"))
    return pa.array(us, pa.int64()).cast(UTC_US)


def _time(
    block: Block, dataset: Dataset, columns: dict[str, pa.Array], wrong: dict[int, tuple[Reason, str]]
) -> pa.Array:
    """The rows' time: as it is sent, else from the column that the dataset takes it from, else the arrival."""
    name = "time" if "time" in block.columns else dataset.time
    if name not in block.columns:
        return columns["received"]
    found = columns[name]
    for i in _places(found.is_null()):
        wrong.setdefault(i, (Reason.NO_TIME, f"{name}: expected a time"))
    return found


def _attributes(block: Block) -> pa.Array:
    """What is in no column of an event, as JSON objects."""
    given = block.columns.get("attributes")
    rest = {
        name: values.to_pylist()
        for name, values in block.columns.items()
        if name not in (*SENT, "received", "attributes")
    }
    whole = [_object(v) for v in given.to_pylist()] if given is not None else [{}] * len(block)
    if not rest:
        return pa.array([_json(found) for found in whole], pa.string())
    return pa.array(
        [_json(found | {name: v[i] for name, v in rest.items() if v[i] is not None}) for i, found in enumerate(whole)],
        pa.string(),
    )


def _object(value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        with contextlib.suppress(msgspec.DecodeError):
            value = msgspec.json.decode(value)
    return value if isinstance(value, dict) else {} if value is None else {"attributes": value}


def _json(value: dict[str, Any]) -> str | None:
    return msgspec.json.encode(value, enc_hook=str).decode() if value else None


def _kept(count: int, wrong: dict[int, tuple[Reason, str]]) -> pa.Array:
    keep = np.ones(count, bool)
    keep[[*wrong]] = False
    return pa.array(keep)


def _places(mask: pa.Array) -> list[int]:
    return np.flatnonzero(mask.to_numpy(zero_copy_only=False)).tolist()
