"""The walk through a request of logs or metrics: resource, scope, records, each mapped to a row."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pyarrow as pa

from analytics.events import NAMES
from analytics.ingest.attributes import Attributes, Shared
from analytics.ingest.reasons import Drops, Refused
from analytics.ingest.tables import rows

Row = dict[str, Any]


def collected(
    groups: Iterable[tuple[Any, Any, Sequence[Any]]],
    attributes: Attributes,
    row: Callable[[Any, Shared], Row],
    drops: Drops,
) -> pa.Table:
    """Rows of (resource, scope, records) groups; a record that is refused drops alone."""
    found: list[Row] = []
    places: list[int] = []
    place = 0
    for resource, scope, records in groups:
        try:
            shared = attributes.shared(resource, scope)
        except Refused as refused:
            drops.add(refused.reason, place + 1, refused.expected, len(records))
            place += len(records)
            continue
        for record in records:
            place += 1
            try:
                found.append(row(record, shared))
                places.append(place)
            except Refused as refused:
                drops.refuse(place, refused)
    seen = set().union(*found)
    return rows({name: [f.get(name) for f in found] for name in NAMES if name in seen}, places)
