"""OTLP spans to rows: the plain ones of a body as columns, all others one by one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from analytics.ingest import span_columns
from analytics.ingest.attributes import Attributes, Shared
from analytics.ingest.reasons import Drops, Refused
from analytics.ingest.span import FIXED, mapped_span
from analytics.ingest.span_columns import FEW, Given
from analytics.ingest.tables import PLACE, rows
from analytics.ingest.vocabulary import COLUMNS, Vocabulary


def table(request: Any, vocabulary: Vocabulary, drops: Drops, few: int = FEW) -> pa.Table:
    """Rows of an ExportTraceServiceRequest in the order of its spans; a span without identity drops alone."""
    drops.noun = "span"
    attributes = Attributes(vocabulary)
    refused: list[tuple[int, Refused, int]] = []
    given = Given([], [], [], [])
    place = 0
    for group in request.resource_spans:
        for scoped in group.scope_spans:
            spans = scoped.spans
            try:
                shared = attributes.shared(group.resource, scoped.scope)
            except Refused as error:
                refused.append((place + 1, error, len(spans)))
            else:
                given.add(spans, place, shared)
            place += len(spans)
    tables, alone = span_columns.mapped(given, attributes, vocabulary, few)
    tables.append(_one_by_one(given, alone, attributes, vocabulary, refused))
    for at, why, count in sorted(refused, key=lambda each: each[0]):
        drops.add(why.reason, at, why.expected, count)
    return _in_order(tables)


def _one_by_one(
    given: Given,
    indexes: list[int],
    attributes: Attributes,
    vocabulary: Vocabulary,
    refused: list[tuple[int, Refused, int]],
) -> pa.Table:
    fixed: list[tuple[Any, ...]] = []
    columns: list[dict[str, Any]] = []
    places: list[int] = []
    for index in indexes:
        shared: Shared = given.shared[given.groups[index]]
        try:
            found = mapped_span(given.spans[index], shared, attributes, vocabulary)
        except Refused as error:
            refused.append((given.places[index], error, 1))
            continue
        for row, values in found:
            fixed.append(row)
            columns.append(values)
            places.append(given.places[index])
    known: dict[str, Any] = dict(zip(FIXED, zip(*fixed, strict=True), strict=False))
    known["way"] = pa.repeat(pa.scalar("span"), len(places))
    seen = set().union(*columns)
    return rows(known | {c: [values.get(c) for values in columns] for c in COLUMNS if c in seen}, places)


def _in_order(tables: list[pa.Table]) -> pa.Table:
    """By place; the rows of one span stay as they are, for they come from one table."""
    found = [table for table in tables if table.num_rows]
    if len(found) < 2:
        return found[0] if found else tables[0]
    whole = pa.concat_tables(found)
    places = whole[PLACE].to_numpy()
    if (np.diff(places) >= 0).all():
        return whole
    return whole.take(pa.array(np.argsort(places, kind="stable")))
