"""The rows of a batch on their way: events.SCHEMA plus the place each row came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from analytics.events import COLUMNS, SCHEMA

PLACE = "#"  # 1-based line, element, span or point, for the examples of drops; the last step takes it off


def rows(columns: Mapping[str, Sequence[Any] | pa.Array], places: Sequence[int]) -> pa.Table:
    """Python values by column to a table; what is not there is null. Times are us since the epoch."""
    arrays = []
    for column in COLUMNS:
        values = columns.get(column.name)
        if values is None:
            arrays.append(pa.nulls(len(places), column.type))
        elif isinstance(values, pa.Array):
            arrays.append(values)
        else:
            arrays.append(pa.array(values, column.type))
    return pa.Table.from_arrays([*arrays, pa.array(places, pa.int32())], names=[*SCHEMA.names, PLACE])


def replaced(table: pa.Table, name: str, values: pa.Array | pa.ChunkedArray | pa.Scalar) -> pa.Table:
    """The table with another column in the same place."""
    index = table.schema.get_field_index(name)
    if isinstance(values, pa.Scalar):
        values = pa.repeat(values, table.num_rows)
    return table.set_column(index, table.schema.field(index), values.cast(table.schema.field(index).type))


def any_true(mask: pa.ChunkedArray) -> bool:
    return bool(pc.any(mask).as_py())
