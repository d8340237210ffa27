"""An engine without a server: a DuckDB file of Plumbline's, or rows, with a store and an agent of one's own.

What a notebook uses to show a frame, and a script to ask it: `Local(frame)`, `local.answer(request)`.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import threading
from collections.abc import Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeVar

import pyarrow as pa

from analytics.agent import AnalyticsAgent
from analytics.asking import Answer
from analytics.declare import column_names, profile_of
from analytics.declare import declared as yaml_of
from analytics.errors import ValidationError, unknown
from analytics.messages import Question
from analytics.sources import Sources
from analytics.store.duckdb import DuckDBStore
from analytics.workspace import Column, Workspace, load

T = TypeVar("T")
ColumnType = Literal["text", "integer", "number", "boolean", "time"]
NAME = "data"  # of the dataset made of rows
MOMENT = pa.timestamp("us")


class Local:
    """data: the path of a DuckDB file that no server holds open, or rows (a pandas or polars frame, an Arrow table, a
    dict of columns), whose time column is `time`. workspaces: YAML files to know beside the file's own.

    The work is done by an event loop on a thread of its own. Raises ValidationError.
    """

    def __init__(self, data: Any, time: str | None = None, *, workspaces: list[Path]) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="plumbline-")
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="plumbline-local", daemon=True)
        self._thread.start()
        folder = Path(self._folder.name)
        try:
            path, rows, files = folder / "plumbline.duckdb", None, list(workspaces)
            if isinstance(data, str | Path):
                path = Path(data)
                if not path.is_file():
                    raise ValidationError(
                        f"no file {str(path)!r}", hint="give the plumbline.duckdb of a data directory"
                    )
                files += sorted((path.parent / "workspaces").glob("*.yaml"))
            else:
                yaml, rows = declared(data, time)
                (folder / f"{NAME}.yaml").write_text(yaml, "utf-8")
                files.append(folder / f"{NAME}.yaml")
            self.workspace: Workspace = load(files)
            self._store = DuckDBStore(path, lambda: self.workspace)
            self._sources = Sources()
            self.run(self._open(rows))
            self._agent = AnalyticsAgent(self._store, lambda: self.workspace, self._sources)
        except BaseException:
            self.close()
            raise

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do it in the engine's loop and wait."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()

    async def _open(self, rows: pa.Table | None) -> None:
        await self._store.open()
        if rows is not None:
            await self._store.append(NAME, rows)
            self._sources.observe(NAME, rows, datetime.now(UTC))

    async def answer(self, request: Question) -> Answer:
        """One answer; call it in `loop`. Raises what the agent raises."""
        return await self._agent.answer(request, now=datetime.now(UTC))

    def close(self) -> None:
        with contextlib.suppress(AttributeError):  # it was never opened
            self.run(self._store.close())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(5)
        self.loop.close()
        self._folder.cleanup()


def declared(data: Any, time: str | None) -> tuple[str, pa.Table]:
    """A dataset made of rows: its YAML, and the rows in its schema. Raises ValidationError."""
    given = arrow(data)
    if given.num_columns == 0 or given.num_rows == 0:
        raise ValidationError("expected rows, got none")
    if time is not None and time not in given.column_names:
        raise ValidationError(unknown("column", time, given.column_names))
    found = time or next((f.name for f in given.schema if pa.types.is_temporal(f.type)), None)
    place = given.column_names.index(found) if found is not None else None
    names = column_names(given.column_names, place)
    now = datetime.now(UTC).replace(tzinfo=None)
    columns: list[str] = []
    arrays: list[pa.ChunkedArray] = []
    kinds: dict[str, Column] = {}
    for name, field, values in zip(names, given.schema, given.columns, strict=True):
        kind, typed = _typed(field, values)
        columns.append(name)
        arrays.append(typed)
        if name != "time":
            kinds[name] = Column(type=kind)
    table = pa.table(dict(zip(columns, arrays, strict=True)))
    if "time" not in table.column_names:
        times = table.column(columns[place]).cast(MOMENT) if place is not None else pa.array([now] * len(table), MOMENT)
        table = table.add_column(0, "time", times)
    about = {
        "received": pa.array([now] * len(table), MOMENT),
        "event_id": pa.array([f"row {i}" for i in range(len(table))]),
        "source": pa.array(["notebook"] * len(table)),
    }
    for name, values in about.items():
        table = table.append_column(name, values)
    yaml = yaml_of(
        NAME, "Data", kinds, columns[place] if place is not None else "", profile_of(table), now=datetime.now(UTC)
    )
    return yaml, table


def arrow(data: Any) -> pa.Table:
    """Rows of any common kind as an Arrow table. Raises ValidationError."""
    if isinstance(data, pa.Table):
        return data
    if isinstance(data, dict):
        return pa.table(data)
    if hasattr(data, "to_arrow"):  # polars
        return data.to_arrow()
    if hasattr(data, "columns") and hasattr(data, "dtypes"):  # pandas
        return pa.Table.from_pandas(data.reset_index(drop=False) if data.index.name else data, preserve_index=False)
    raise ValidationError(
        f"cannot show {type(data).__name__}",
        hint="give a DataFrame, an Arrow table, a dict of columns or a DuckDB file",
    )


def _typed(field: pa.Field, values: pa.ChunkedArray) -> tuple[ColumnType, pa.ChunkedArray]:
    """One of the column types of a dataset, and the values as such."""
    kind = field.type
    if pa.types.is_boolean(kind):
        return "boolean", values
    if pa.types.is_integer(kind):
        return "integer", values.cast(pa.int64(), safe=False)
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return "number", values.cast(pa.float64())
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return "time", values.cast(MOMENT, safe=False)
    if pa.types.is_dictionary(kind):
        values = values.cast(kind.value_type)
    try:
        return "text", values.cast(pa.string())
    except pa.ArrowInvalid:
        return "text", pa.chunked_array([[None if v is None else str(v) for v in values.to_pylist()]], pa.string())
