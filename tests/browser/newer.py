"""The server as its next version would be: `python -m tests.browser.newer serve ...`, all else as `python app.py`."""

from __future__ import annotations

from app import cli
from dashboard.assets import Assets

if __name__ == "__main__":
    Assets.version = property(lambda _: "newer")  # type: ignore[method-assign,assignment]
    cli()
