"""What is on its way into the store: rows with the promise to acknowledge them, and datasets to drop."""

from __future__ import annotations

import asyncio
import time

import pyarrow as pa

from analytics.ledger import Entry
from analytics.store.base import Ack
from analytics.store.ids import Hashes


class Append:
    """One caller's rows on their way, and the promise to acknowledge them."""

    def __init__(self, dataset: str, table: pa.Table, future: asyncio.Future[Ack]) -> None:
        self.dataset = dataset
        self.table = table
        self.future = future
        self.accepted = 0
        self.since = time.monotonic()


class Drop:
    """A dataset to forget, and the promise of how many rows it had."""

    def __init__(self, dataset: str, future: asyncio.Future[int]) -> None:
        self.dataset = dataset
        self.future = future

    def end(self, how: int | Exception) -> None:
        if self.future.done():
            return
        if isinstance(how, Exception):
            self.future.set_exception(how)
        else:
            self.future.set_result(how)


class Part:
    """Admitted rows of one dataset, new ids only, and what the ledger says of them. Parts are numbered in the order
    of their commit."""

    def __init__(
        self, seq: int, table: pa.Table, hashes: Hashes, appends: list[Append], entry: Entry | None = None
    ) -> None:
        self.seq = seq
        self.dataset = appends[0].dataset
        self.table = table
        self.hashes = hashes
        self.appends = appends
        self.entry = entry


def joined(tables: list[pa.Table]) -> pa.Table:
    """One table of all; columns that were declared between two of them are null in the first."""
    return pa.concat_tables(tables, promote_options="default")
