"""A fault may be answered, logged as a warning, or counted; it is never a traceback."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def no_traceback(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    told = [r.getMessage() for when in ("setup", "call") for r in caplog.get_records(when) if r.exc_info]
    assert not told, f"logged with a traceback: {told}"
