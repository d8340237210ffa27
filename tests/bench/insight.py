"""Measure everything that is said about numbers: `make bench-insight [or python -m tests.bench insight]`.

Runs each module `insight_NAME` beside this one, prints its table, and writes all of them to assets/docs/measured.md.
A module whose public data is not there says so, and is named there as left out.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import platform
import sys
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table as Shown

from tests.bench.tables import Table
from tests.conftest import ROOT

PAGE = ROOT / "assets" / "docs" / "measured.md"
LIBRARIES = ("duckdb", "numpy", "pyarrow")
FRONT = """# Measured

What Plumbline says about numbers, held against data whose answer is known: public benchmarks with the figures that
others published, and simulated worlds. `make bench-insight` measures all of it again and rewrites this page; each table
has its own command below it. Seeds are fixed, so the figures are the same on every machine; times are not.

- **Anomalies and expected ranges** are scored on streams of the [Numenta Anomaly Benchmark](https://github.com/numenta/NAB)
  by its own labels and rules, with thresholds frozen on other files than are scored. See [what is expected](expect.md).
- **Causes** are planted: incidents with one, several or no cause, in counts and in ratios, with noise. See
  [why it changed](explain.md).
- **Forecasts** continue the hourly series of the [M4 competition](https://github.com/Mcompetitions/M4-methods). See
  [what comes](forecast.md).
- **Questions in words** come from a set of which a part cannot be answered. Questions whose misses were looked at are
  no test any more: the first runs, below the table, say more of questions that nobody has seen. See [ask](ask.md).
- **Confidence** is held against how often it is right, in worlds whose truth is known. See [trust](trust.md).

Public data is looked for in `../shared/data`, beside the repository.
"""


class Measured(NamedTuple):
    """What came of one module: its table, or why there is none."""

    name: str
    table: Table | None
    reason: str
    took_s: float


def modules() -> list[str]:
    """The names of all insight benchmarks."""
    return sorted(path.stem for path in Path(__file__).parent.glob("insight_*.py"))


def measure(name: str) -> Measured:
    """Run one; what it prints says why it has no table. An error is a reason too, so that the others are not lost."""
    started, said = time.perf_counter(), io.StringIO()
    try:
        with contextlib.redirect_stdout(said):
            table: Table | None = importlib.import_module(f"tests.bench.{name}").table()
        reason = "" if table else (said.getvalue().strip().splitlines() or ["it gave no table"])[-1]
    except Exception as error:  # whatever it is, it is told
        table, reason = None, f"failed: {type(error).__name__}: {error}"
    return Measured(name, table, reason, time.perf_counter() - started)


def shown(table: Table) -> Shown:
    """As the terminal shows it."""
    printed = Shown(title=table.title, title_justify="left", caption_justify="left", box=None, pad_edge=False)
    printed.caption = escape("\n".join(filter(None, [table.command, table.goal and f"Goal: {table.goal}", table.note])))
    for column in table.columns:
        printed.add_column(escape(column))
    for row in table.rows:
        printed.add_row(*map(escape, row))
    return printed


def page(found: list[Measured], now: datetime) -> str:
    """The page of the docs."""
    on = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    parts = [FRONT, f"Last measured on {now:%-d %B %Y} with Python {platform.python_version()}, {on}.\n"]
    parts += [m.table.markdown() for m in found if m.table]
    if left := [m for m in found if m.table is None]:
        parts.append("## Left out\n\n" + "".join(f"- `{m.name}`: {m.reason}\n" for m in left))
    return "\n".join(parts)


def main() -> None:
    """Run all, print the tables, write the page."""
    console = Console(file=sys.stdout)
    found = []
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        for name in modules():
            task = progress.add_task(name, total=1)
            found.append(measure(name))
            progress.update(task, completed=1, description=f"{name}: {escape(found[-1].reason) or 'measured'}")
    for measured in found:
        if measured.table:
            console.print(shown(measured.table), "")
    PAGE.write_text(page(found, datetime.now(UTC)))
    console.print(f"Written to {PAGE.relative_to(ROOT)}")
    if any(m.reason.startswith("failed") for m in found):
        sys.exit(1)


if __name__ == "__main__":
    main()
