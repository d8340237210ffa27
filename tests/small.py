"""Six-row tables and workspaces made by hand, for tests that assert numbers."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
from hypothesis import settings

from analytics.events import NAMES, SCHEMA
from analytics.workspace import Dataset, Dimension, Metric, Workspace


def many(examples: int) -> int:
    """How many examples a property is tried on: so many, and five times as many with --soak."""
    return examples * settings().max_examples // settings.get_profile("default").max_examples


def at(text: str) -> datetime:
    """A UTC time on 6 January 2026 (`12:00`, `12:00:05`), or a whole date and time."""
    return datetime.fromisoformat(text if "-" in text else f"2026-01-06T{text}").replace(tzinfo=UTC)


def events(head: str, *lines: tuple[Any, ...]) -> pa.Table:
    """Rows under the named columns, all others null; times as `at` reads them, ids as they come."""
    columns: dict[str, list[Any]] = {name: [None] * len(lines) for name in NAMES}
    for index, line in enumerate(lines):
        row = dict(zip(head.split(), line, strict=True))
        row.setdefault("event_id", f"e{index}")
        if isinstance(row.get("time"), str):
            row["time"] = at(row["time"]).replace(tzinfo=None)
        row.setdefault("received", row.get("time"))
        for name, value in row.items():
            columns[name][index] = value
    return pa.table(columns, schema=SCHEMA)


def workspace(*metrics: Metric, dimensions: tuple[Dimension, ...] = ()) -> Workspace:
    return Workspace(
        datasets={name: Dataset(name=name) for name in ("events", *(m.dataset for m in metrics))},
        dimensions={d.name: d for d in dimensions},
        metrics={m.name: m for m in metrics},
        boards={},
    )
