"""The columns of a dataset's table: made, widened and compared with what the workspace declares."""

from __future__ import annotations

from collections.abc import Mapping

import duckdb
import pyarrow as pa

from analytics.errors import Conflict
from analytics.store.dialect import DuckDB

SQL_TYPES: Mapping[pa.DataType, str] = {
    pa.timestamp("us"): "TIMESTAMP",
    pa.string(): "VARCHAR",
    pa.float64(): "DOUBLE",
    pa.int64(): "BIGINT",
    pa.bool_(): "BOOLEAN",
}
WORDS = {"TIMESTAMP": "time", "VARCHAR": "text", "DOUBLE": "number", "BIGINT": "integer", "BOOLEAN": "boolean"}

Columns = Mapping[bytes, str]  # a column by `key` -> its SQL type


def key(name: str) -> bytes:
    """What the engine goes by: names that differ in the case of A to Z are one."""
    return name.encode().lower()


def table_of(dataset: str) -> str:
    """The table of a dataset, as SQL."""
    return f"pl_data.{DuckDB().name(dataset)}"


def columns_of(connection: duckdb.DuckDBPyConnection) -> dict[str, Columns]:
    """Every dataset that has a table, with the columns of that."""
    sql = "SELECT table_name, column_name, data_type FROM duckdb_columns() WHERE schema_name = 'pl_data'"
    found: dict[str, Columns] = {}
    for table, column, kind in connection.execute(sql).fetchall():
        found[table] = {**found.get(table, {}), key(column): kind}
    return found


def of_schema(schema: pa.Schema) -> Columns:
    return {key(field.name): SQL_TYPES[field.type] for field in schema}


def missing(columns: Columns, schema: pa.Schema) -> list[pa.Field]:
    """What the table lacks, because it was declared later."""
    return [field for field in schema if key(field.name) not in columns]


def create_sql(dataset: str, schema: pa.Schema) -> str:
    return f"CREATE TABLE IF NOT EXISTS {table_of(dataset)} ({', '.join(map(_sql, schema))})"


def add_sql(dataset: str, field: pa.Field) -> str:
    return f"ALTER TABLE {table_of(dataset)} ADD COLUMN {_sql(field)}"


def check(dataset: str, columns: Columns, schema: pa.Schema) -> None:
    """Raises Conflict where a column is kept as another type than the one that is declared now."""
    for field in schema:
        kept = columns.get(key(field.name))
        if kept is not None and kept != SQL_TYPES[field.type]:
            had, now = WORDS.get(kept, kept), WORDS[SQL_TYPES[field.type]]
            raise Conflict(
                f"the column {field.name!r} of dataset {dataset!r} holds {had}, and is declared as {now} now",
                hint=f"declare it as {had} again, give it another name, or drop the dataset and load it anew",
            )


def _sql(field: pa.Field) -> str:
    return f"{DuckDB().name(field.name)} {SQL_TYPES[field.type]}"
