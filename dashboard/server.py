"""The one Tornado server: Panel's pages, the API and the assets on one port."""

from __future__ import annotations

from typing import Any

from panel.io.server import get_server


def build_server(app: Any) -> Any:
    settings = app.settings
    return get_server({}, port=settings.port, address=settings.host, start=False, extra_patterns=app.routes())
