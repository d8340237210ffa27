"""An Arrow IPC stream that came over the network: read with care, for Arrow trusts what it is given."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import msgspec
import pyarrow as pa

from analytics.errors import TooLarge, UnsupportedMedia, ValidationError
from analytics.load.blocks import Block, numbered
from analytics.load.layout import unique

DICTIONARY, BATCH = 2, 3  # MessageHeader of the Arrow format
DATA, COMPRESSION = 1, 3  # fields of a DictionaryBatch and of a RecordBatch


def read_arrow(body: bytes, limit: int) -> Iterator[Block]:
    """The batches of a stream, checked. Raises ValidationError, UnsupportedMedia where buffers are compressed (their
    size is then unknown before they are unpacked), TooLarge over `limit` bytes."""
    try:
        _check_plain(body)
        first, size = 1, 0
        with pa.ipc.open_stream(pa.py_buffer(body)) as stream:
            names = unique(stream.schema.names)
            for batch in stream:
                batch.validate(full=True)
                size += batch.nbytes
                if size > limit:
                    raise TooLarge(f"the stream holds more than {limit:,} bytes", hint="send smaller batches")
                numbers = numbered(first, batch.num_rows)
                first += batch.num_rows

                def raw(i: int, batch: pa.RecordBatch = batch) -> str:
                    return msgspec.json.encode(batch.slice(i, 1).to_pylist()[0], enc_hook=str).decode()

                yield Block(dict(zip(names, batch.columns, strict=True)), numbers, numbers, raw)
    except (pa.ArrowException, OSError, struct.error, EOFError) as error:
        raise ValidationError(
            f"the body is no Arrow IPC stream: {str(error)[:160]}", hint="write it with pyarrow.ipc.new_stream"
        ) from None


def _check_plain(body: bytes) -> None:
    messages = pa.ipc.MessageReader.open_stream(pa.py_buffer(body))
    for message in messages:
        if _compressed(message.metadata.to_pybytes()):
            raise UnsupportedMedia("the Arrow buffers are compressed", hint="write them plain, and gzip the whole body")


def _compressed(metadata: bytes) -> bool:
    """Whether the flat buffer of a message says that its body is compressed."""
    message = _offset(metadata, 0)
    kind = _field(metadata, message, 1)
    header = _field(metadata, message, 2)
    if not kind or not header or metadata[kind] not in (DICTIONARY, BATCH):
        return False
    batch = _offset(metadata, header)
    if metadata[kind] == DICTIONARY:
        data = _field(metadata, batch, DATA)
        if not data:
            return False
        batch = _offset(metadata, data)
    return bool(_field(metadata, batch, COMPRESSION))


def _offset(metadata: bytes, at: int) -> int:
    return at + int(struct.unpack_from("<I", metadata, at)[0])


def _field(metadata: bytes, table: int, index: int) -> int:
    """Where a field of a table lies; 0 where it is left out."""
    vtable = table - struct.unpack_from("<i", metadata, table)[0]
    size = struct.unpack_from("<H", metadata, vtable)[0]
    at = 4 + 2 * index
    place = struct.unpack_from("<H", metadata, vtable + at)[0] if at < size else 0
    return int(table + place) if place else 0
