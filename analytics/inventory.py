"""What the newest rows of each sender say of it: the ways they came, the columns they fill, and what has no column."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec
import pyarrow as pa

from analytics import events
from analytics.asking import Asker, Context
from analytics.query import Filter, Query, Window

SAMPLE = 1000  # newest rows of everybody
EACH = 100  # newest rows of a sender that has fewer than ENOUGH among those
ENOUGH = 20
QUIET = 16  # so many senders are asked for by name, the first ones of the list
DETAILED = 100  # so many senders are told of in detail
NAMES = 20
FRESH_S = 5.0

# columns that this server fills by itself, or that only say what the others mean
OWN = frozenset(
    "time received event_id kind name source way evidence evidence_since parent_id start_time unit point temporality "
    "monotonic series count distribution attributes".split()
)
MAPPED = tuple(name for name in events.NAMES if name not in OWN)
READ = [*MAPPED, "source", "way", "attributes"]

Seen = dict[str, Any]


class Inventory:
    """Samples what senders send; an answer is kept for a few seconds, whoever asks."""

    def __init__(self, asker: Asker) -> None:
        self._asker = asker
        self._kept: dict[str, tuple[datetime, dict[str, Seen]]] = {}

    async def of(self, ctx: Context, dataset: str, senders: Sequence[str]) -> dict[str, Seen]:
        """By source, what there is to add to what is known of it."""
        at, found = self._kept.get(dataset, (None, {}))
        if at is None or abs((ctx.now - at).total_seconds()) >= FRESH_S or not found.keys() >= set(senders[:DETAILED]):
            found = await self._look(ctx, dataset, senders[:DETAILED])
            self._kept[dataset] = (ctx.now, found)
        return found

    async def _look(self, ctx: Context, dataset: str, senders: Sequence[str]) -> dict[str, Seen]:
        minutes = self._asker.sources.minutes(ctx.now, dataset)
        rhythms: dict[str, Seen] = {source: {"minutes": minutes.get(source, [0] * 60)} for source in senders}
        if ctx.workspace.dataset(dataset).columns:  # the columns of a file are all it has
            return rhythms
        newest = await self._rows(ctx, dataset, SAMPLE)
        told = Counter(newest["source"].to_pylist())
        quiet = [source for source in senders if told[source or None] < ENOUGH][:QUIET]
        tables = [newest.filter(pa.array([s not in quiet for s in told_as(newest)], pa.bool_()))]
        for source in quiet:
            tables.append(await self._rows(ctx, dataset, EACH, Filter(dim="source", values=[source or None])))
        seen = await asyncio.to_thread(counted, tables)
        return {source: rhythm | seen.get(source, {}) for source, rhythm in rhythms.items()}

    async def _rows(self, ctx: Context, dataset: str, limit: int, *only: Filter) -> pa.Table:
        query = Query(window=Window(), select=READ, limit=limit, filters=list(only), dataset=dataset)
        return (await self._asker.read(ctx, query)).table


def told_as(table: pa.Table) -> list[str]:
    """The source of each row; rows without one are those of the source ""."""
    return [source or "" for source in table["source"].to_pylist()]


def counted(tables: Iterable[pa.Table]) -> dict[str, Seen]:
    """By source: rows looked at, their ways, and how many of them fill a column or carry an attribute without one."""
    sampled: Counter[str] = Counter()
    ways: dict[str, Counter[str]] = {}
    mapped: dict[str, Counter[str]] = {}
    unmapped: dict[str, Counter[str]] = {}
    for table in tables:
        sources = told_as(table)
        sampled.update(sources)
        for name in MAPPED:
            for source, there in zip(sources, table[name].is_valid().to_pylist(), strict=True):
                if there:
                    mapped.setdefault(source, Counter())[name] += 1
        texts = table["attributes"].to_pylist()
        for source, way, text in zip(sources, table["way"].to_pylist(), texts, strict=True):
            ways.setdefault(source, Counter()).update([way] if way else [])
            unmapped.setdefault(source, Counter()).update(names_in(text))
    return {
        source: {
            "sampled": rows,
            "ways": listed(ways[source]),
            "mapped": listed(mapped.get(source, Counter())),
            "unmapped": listed(unmapped[source])[:NAMES],
            "unmapped_names": len(unmapped[source]),
        }
        for source, rows in sampled.items()
    }


def listed(found: Counter[str]) -> list[dict[str, Any]]:
    """The most frequent first."""
    return [{"name": name, "count": n} for name, n in sorted(found.items(), key=lambda item: (-item[1], item[0]))]


def names_in(attributes: str | None) -> Iterable[str]:
    """The names of an object as JSON text; the values are not read."""
    return list(msgspec.json.decode(attributes, type=dict[str, msgspec.Raw])) if attributes else ()
