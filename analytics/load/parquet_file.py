"""Parquet: row groups to typed columns. There are no lines; rows are numbered from 1."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import pyarrow as pa
from pyarrow import parquet

from analytics.errors import ValidationError
from analytics.load.blocks import Block, numbered
from analytics.load.files import CHUNK, Source
from analytics.load.layout import unique

ROWS = 50_000


@contextmanager
def opened(source: Source) -> Iterator[parquet.ParquetFile]:
    """The file, unpacked first where it is packed. Raises ValidationError."""
    with tempfile.TemporaryFile() as spool:
        try:
            if not source.packed:
                yield parquet.ParquetFile(source.path)
                return
            with source.opened() as stream:
                while chunk := stream.read(CHUNK):
                    spool.write(chunk)
            spool.seek(0)
            yield parquet.ParquetFile(spool)
        except (pa.ArrowException, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise ValidationError(
                f"{source.name}: the Parquet file is damaged: {str(error)[:160]}", hint="write or get it again"
            ) from None


def read_parquet(file: parquet.ParquetFile) -> Iterator[Block]:
    """All rows."""
    names, first = unique(file.schema_arrow.names), 1
    for batch in file.iter_batches(batch_size=ROWS):
        numbers = numbered(first, batch.num_rows)
        first += batch.num_rows

        def raw(i: int, batch: pa.RecordBatch = batch) -> str:
            return msgspec.json.encode(batch.slice(i, 1).to_pylist()[0], enc_hook=str).decode()

        yield Block(dict(zip(names, batch.columns, strict=True)), numbers, numbers, raw)
