"""Refusals as a notebook should show them: what was wrong and what to do, not the frames that led there."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from analytics.errors import PlumblineError


@contextlib.contextmanager
def plainly() -> Iterator[None]:
    """Raise a PlumblineError with its hint as a note; IPython shows it as two lines in place of a traceback."""
    try:
        yield
    except PlumblineError as error:
        lines = [f"{type(error).__name__}: {error.message}", *([error.hint] if error.hint else [])]
        if error.hint and error.hint not in getattr(error, "__notes__", ()):
            error.add_note(error.hint)
        error._render_traceback_ = lambda *_: lines  # type: ignore[attr-defined]  # what IPython looks for
        raise error from None
