"""A measured table beside what others published: printed by its benchmark, and kept in the docs."""

from __future__ import annotations

from typing import NamedTuple


class Table(NamedTuple):
    """One table of `make bench-insight`. A benchmark module `insight_NAME` returns it from `table()`."""

    title: str
    command: str  # what a reader types to get it again
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]
    goal: str = ""
    note: str = ""  # seeds, splits, intervals, what was left out and why

    def markdown(self) -> str:
        lines = [f"| {' | '.join(row)} |" for row in [self.columns, ("---",) * len(self.columns), *self.rows]]
        said = [f"`{self.command}`", *(f"Goal: {self.goal}" for _ in [0] if self.goal), self.note]
        return "\n\n".join([f"## {self.title}", "\n".join(lines), *filter(None, said)]) + "\n"
