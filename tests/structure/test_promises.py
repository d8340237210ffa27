"""Every promise names a test that is there, and every kind of fault that is tested is promised."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "assets/docs/promises.md").read_text()
NAMED = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", TEXT)


def found_in(path: Path) -> dict[str, bool]:
    """Names of the tests of a file, and whether they are long."""
    found = [n for n in ast.parse(path.read_text()).body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    return {
        n.name: any(ast.unparse(d) == "pytest.mark.soak" for d in n.decorator_list)
        for n in found
        if n.name.startswith("test_")
    }


@pytest.mark.parametrize(("path", "name"), NAMED)
def test_a_promise_names_a_test_that_is_there(path: str, name: str) -> None:
    assert (ROOT / path).exists()
    assert name in found_in(ROOT / path)


def test_every_row_names_one() -> None:
    rows = [line for line in TEXT.splitlines() if line.startswith("| ") and not line.startswith("| promise")]
    assert [row for row in rows if not re.search(r"\| `tests/\S+::\w+` \|$", row)] == []
    assert len(rows) == len(NAMED)


def test_every_fault_that_is_tested_is_promised() -> None:
    there = {
        name for path in (ROOT / "tests/fault").glob("test_*.py") for name, long in found_in(path).items() if not long
    }
    assert there - {name for _, name in NAMED} == set()
