"""What every server imports and reads before it listens. Servers of tests are forked from a process that has this."""

from __future__ import annotations

import importlib

import app
from analytics import workspace
from analytics.ingest import vocabulary

LATE = ("analytics.agent", "analytics.service", "analytics.telemetry", "analytics.store.duckdb", "panel.io.rest",
        *(f"analytics.api.{room}" for room in ("documents", "health", "mcp", "otlp", "pins", "screens", "uploads")),
        "dashboard.server", "panel.io.server", "tornado.platform.asyncio", "pytest")  # fmt: skip

for name in LATE:
    importlib.import_module(name)
workspace.load(sorted(app.WORKSPACES.glob("*.yaml")))
vocabulary.load_folder(app.VOCABULARIES)
