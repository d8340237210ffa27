"""Blocks to rows of the dataset: what fits is typed and gets an identity, what does not is rejected with its reason."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from analytics.events import UTC_US
from analytics.ingest.reasons import Reason, shown
from analytics.load.blocks import Block
from analytics.load.plan import Plan
from analytics.load.rejects import Rejects
from analytics.load.values import Converter, texts
from analytics.workspace import Dataset, schema

NOUNS = {
    "text": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "time": "a time",
}
HOW = {"s": "in seconds since 1970", "ms": "in milliseconds since 1970", "us": "in microseconds since 1970"}


class Assembler:
    """Makes rows of blocks by a plan. `received` is the arrival (aware UTC), and the time where no column is."""

    def __init__(self, plan: Plan, convert: Converter, received: datetime) -> None:
        self._plan, self._convert = plan, convert
        self._received = pa.scalar(received.replace(tzinfo=None), UTC_US)
        self.schema = schema(Dataset(name=plan.dataset, columns=plan.columns, time=plan.time_column))
        self._names = plan.names
        self._fields = {field.field: field for field in plan.fields}

    def rows(self, block: Block, file: str, digest: str, rejects: Rejects) -> pa.Table:
        """Rows of the dataset's schema. The event_id is the content's digest and the row's place in it, so that a file
        that is loaded again adds nothing."""
        count = len(block)
        wrong: dict[int, tuple[Reason, str]] = {}
        typed: dict[str, pa.Array] = {}
        for name, field in self._fields.items():
            given = block.columns.get(name)
            if given is None:
                typed[name] = pa.nulls(count, self._convert(pa.nulls(0, pa.string()), field.type).type)
                continue
            typed[name] = found = self._convert(given, field.type, field.form)
            if found.null_count != given.null_count:
                self._misfits(name, given, found, wrong)
        time = self._time(block, typed, wrong)
        for i in sorted(wrong):
            rejects.add(file, int(block.lines[i]), *wrong[i], block.raw(i))
        own = {
            "time": time,
            "received": pa.repeat(self._received, count),
            "event_id": pc.binary_join_element_wise(digest, pa.array(block.numbers).cast(pa.string()), ":"),
            "source": pa.repeat(pa.scalar(file), count),
        }
        columns = own | {self._names[n]: values for n, values in typed.items() if self._names[n] not in own}
        table = pa.table([columns[name] for name in self.schema.names], schema=self.schema)
        if wrong:
            keep = np.ones(count, bool)
            keep[[*wrong]] = False
            table = table.filter(pa.array(keep))
        return table

    def _misfits(self, name: str, given: pa.Array, found: pa.Array, wrong: dict[int, tuple[Reason, str]]) -> None:
        field = self._fields[name]
        mask = pc.and_(given.is_valid(), found.is_null())
        places = np.flatnonzero(mask.to_numpy(zero_copy_only=False))
        values = texts(given.filter(mask)).to_pylist()
        reason = Reason.BAD_TIME if field.type == "time" else Reason.BAD_TYPE
        how = f" {HOW.get(field.form, f'written as {field.form}')}" if field.form else ""
        for i, value in zip(places.tolist(), values, strict=True):
            wrong.setdefault(i, (reason, f"column {name}: expected {NOUNS[field.type]}{how}, got {shown(value)}"))

    def _time(self, block: Block, typed: dict[str, pa.Array], wrong: dict[int, tuple[Reason, str]]) -> pa.Array:
        time = self._plan.time
        if time is None:
            return pa.repeat(self._received, len(block))
        parts = [time] if time in typed else time.split("+")
        found = typed[time] if time in typed else self._convert.parts([typed[part] for part in parts])
        if found.null_count:
            missing = np.flatnonzero(found.is_null().to_numpy(zero_copy_only=False))
            for i in missing.tolist():
                absent = any(not typed[part][i].is_valid for part in parts)
                told = (Reason.NO_TIME, "a value") if absent else (Reason.BAD_TIME, "a date that there is")
                wrong.setdefault(i, (told[0], f"column {time}: expected {told[1]}"))
        return found
