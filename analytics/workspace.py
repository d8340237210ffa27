"""The workspace: datasets, dimensions, metrics and boards, declared in YAML.

One declaration of a metric is read by the compiler, the agent, the pickers and the docs alike.
"""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from analytics.errors import ValidationError
from analytics.yaml_lines import MAX_BYTES

Good = Literal["up", "down", "none"]
AGGREGATES = ("count", "sum", "avg", "min", "max", "last", "distinct", "quantile", "ratio")
PER_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
TILE_TYPES = ("kpi", "line", "bars", "heatmap", "table", "changes", "latest")


class Dataset(msgspec.Struct, frozen=True, kw_only=True):
    """A table of events with the canonical columns."""

    name: str
    title: str = ""
    description: str = ""


class Dimension(msgspec.Struct, frozen=True, kw_only=True):
    """Something to filter and group by: a column, a key inside `attributes`, or log-spaced bins
    of a number (`log` bins per factor of ten; the value is the bin's lower bound)."""

    name: str
    dataset: str = "events"
    column: str | None = None
    attribute: str | None = None
    log: int | None = None
    title: str = ""
    description: str = ""
    unit: str = ""


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """A structured measure. `aggregate` is one of AGGREGATES; `column` what it runs over; for a
    ratio, `numerator` and `denominator` name two other metrics. `where` maps a dimension or
    canonical column to a value or a list of values. `per` divides by elapsed time."""

    name: str
    dataset: str = "events"
    aggregate: str
    column: str | None = None
    columns: tuple[str, ...] = ()  # sum over several columns, absent ones as zero where any is there
    q: float | None = None
    numerator: str | None = None
    denominator: str | None = None
    where: dict[str, Any] = {}
    per: Literal["second", "minute", "hour", "day"] | None = None
    unit: str = ""
    good: Good = "none"
    title: str = ""
    description: str = ""


class Tile(msgspec.Struct, frozen=True, kw_only=True):
    """One tile of a board. What counts depends on `type`: kpi, bars and heatmap use `metrics[0]`,
    bars, heatmap and table group `by`, changes looks for causes in `by`, latest lists `columns`."""

    id: str
    type: str
    title: str = ""
    subtitle: str = ""
    metrics: tuple[str, ...] = ()
    by: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    where: dict[str, Any] = {}
    limit: int = 6
    width: int = 4  # of 12 columns
    height: int = 172  # px of the plot area, for charts
    color: int = 1  # 1..6, a place in the palette
    note: str = ""


class Board(msgspec.Struct, frozen=True, kw_only=True):
    """A page of tiles, fed by one standing query."""

    name: str
    title: str
    description: str = ""
    window: str = "now-1h"
    tiles: tuple[Tile, ...]
    file: str = ""  # where it was declared, for the footer
    empty: str = ""  # the one command that fills it


class Workspace(msgspec.Struct, frozen=True, kw_only=True):
    """Everything declared, merged from all files."""

    datasets: dict[str, Dataset]
    dimensions: dict[str, Dimension]
    metrics: dict[str, Metric]
    boards: dict[str, Board]


def layout(board: Board, workspace: Workspace) -> str:
    """A fingerprint of all that is drawn of a board before data: an open page whose own differs loads again."""
    metrics = [workspace.metrics[name] for tile in board.tiles for name in tile.metrics]
    return hashlib.sha256(msgspec.json.encode([board, metrics], order="deterministic")).hexdigest()[:16]


class Problem(msgspec.Struct, frozen=True):
    """One thing that is wrong in a workspace file. `line` counts from 1."""

    file: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text}"


class WorkspaceError(ValidationError):
    """Everything that is wrong with the workspace files, one problem on each line of the message."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(dict.fromkeys(problems))
        super().__init__(first_lines(self.problems, 50))


def first_lines(problems: Sequence[Problem], count: int) -> str:
    """So many problems, one on each line, and how many more there are."""
    rest = [f"... and {len(problems) - count} more"] if len(problems) > count else []
    return "\n".join([*map(str, problems[:count]), *rest])


def load(files: Sequence[Path]) -> Workspace:
    """The workspace that the files declare together, later ones replacing names of earlier ones.
    Raises WorkspaceError."""
    return _read([(path, _bytes(path)) for path in files])


def _read(sources: Sequence[tuple[Path, bytes]]) -> Workspace:
    from analytics.workspace_reader import read  # it builds the structs above

    return read(sources)


def _bytes(path: Path) -> bytes:
    try:
        if not path.is_file():  # reading a pipe or a device would wait for ever
            raise FileNotFoundError(errno.ENOENT, "no such file")
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise WorkspaceError([Problem(path.name, 1, f"cannot be read: {error.strerror}")]) from None


class Workspaces:
    """The live workspace: follows its files, and keeps the last good one while they are wrong.
    Raises WorkspaceError at the start, never later."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = tuple(files)
        self._stats = self._look()
        sources = [(path, _bytes(path)) for path in self._files]
        self._seen = _digest(sources)
        self.current = _read(sources)
        self.version = 1
        self.error: str | None = None

    def reload_if_changed(self) -> bool:
        """Look at the files; whether `current` (and so `version`) is new. Costs one stat per file
        when nothing happened; `error` says what keeps the files from counting."""
        stats = self._look()
        if stats == self._stats:
            return False
        self._stats = stats
        try:
            sources = [(path, _bytes(path)) for path in self._files]
            seen = _digest(sources)
            if seen == self._seen and self.error is None:
                return False
            fresh = _read(sources)
        except WorkspaceError as error:
            self.error = first_lines(error.problems, 3)
            return False
        self._seen, self.error = seen, None
        if fresh == self.current:
            return False
        self.current = fresh
        self.version += 1
        return True

    def _look(self) -> list[tuple[int, int] | None]:
        return [_stat(path) for path in self._files]


def _stat(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def _digest(sources: Iterable[tuple[Path, bytes]]) -> list[bytes]:
    return [hashlib.sha256(raw).digest() for _, raw in sources]
