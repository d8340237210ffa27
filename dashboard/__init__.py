"""The screen: one board, one component. Reads the engine through its messages and nothing else.

`from dashboard import Board` is the board of a notebook.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dashboard.notebook import Board

__all__ = ["Board"]


def __getattr__(name: str) -> Any:
    if name == "Board":  # only who asks for it pays for it
        from dashboard.notebook import Board

        return Board
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
