"""What `make bench-insight` prints and writes: every table, and by name whatever has none."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from types import ModuleType
from typing import Any

import pytest

from tests.bench import insight
from tests.bench.tables import Table

TABLE = Table(
    "Anomalies", "python -m x", ("detector", "score"), [("ours", "61.0"), ("[null]", "0.0")], goal="at least 60"
)


def offer(monkeypatch: pytest.MonkeyPatch, name: str, table: Any) -> None:
    module = ModuleType(name)
    module.table = table  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, f"tests.bench.{name}", module)


def test_what_cannot_be_measured_is_named_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, "insight_a", lambda: TABLE)
    offer(monkeypatch, "insight_b", lambda: print("reading\nno streams in ../shared/data/nab"))
    offer(monkeypatch, "insight_c", lambda: [][0])
    found = [insight.measure(name) for name in ("insight_a", "insight_b", "insight_c")]
    page = insight.page(found, datetime(2026, 1, 6, tzinfo=UTC))
    assert "Last measured on 6 January 2026 with Python" in page
    assert "## Anomalies\n\n| detector | score |\n| --- | --- |\n| ours | 61.0 |" in page
    assert "- `insight_b`: no streams in ../shared/data/nab\n" in page
    assert "- `insight_c`: failed: IndexError: list index out of range\n" in page


def test_every_insight_benchmark_is_found_and_none_runs_with_the_others() -> None:
    assert "insight_calibration" in insight.modules()
    assert "insight" not in insight.modules()


def test_a_table_is_shown_as_it_is() -> None:
    shown = insight.shown(TABLE)
    assert [str(column.header) for column in shown.columns] == ["detector", "score"]
    assert list(shown.columns[0].cells) == ["ours", r"\[null]"]
    assert str(shown.caption) == "python -m x\nGoal: at least 60"
