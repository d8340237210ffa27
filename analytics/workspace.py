"""The workspace: datasets, dimensions, metrics and boards, declared in YAML.

One declaration of a metric is read by the compiler, the agent, the pickers and the docs alike.
"""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec
import pyarrow as pa

from analytics import events
from analytics.errors import NotFound, ValidationError, unknown
from analytics.prices import COMPUTED, Book
from analytics.query import Period
from analytics.window import US, period_at
from analytics.yaml_lines import MAX_BYTES

Good = Literal["up", "down", "none"]
AGGREGATES = ("count", "sum", "avg", "min", "max", "last", "distinct", "quantile", "ratio")
PER_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
TILE_TYPES = ("kpi", "line", "bars", "heatmap", "table", "changes", "latest", "budgets")
PERIODS = {"day": "d", "week": "w", "month": "M"}  # in which a budget is spent, as `window` writes them


ColumnType = Literal["text", "integer", "number", "boolean", "time"]
ARROW: dict[str, pa.DataType] = {
    "text": pa.string(),
    "integer": pa.int64(),
    "number": pa.float64(),
    "boolean": pa.bool_(),
    "time": events.UTC_US,
}
OWN = ("time", "received", "event_id", "source")  # columns that the rows of every dataset have


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """A column that a dataset declares. Its name may be any text of 1 to 120 characters."""

    type: ColumnType
    title: str = ""


class Dataset(msgspec.Struct, frozen=True, kw_only=True):
    """A table of rows: with the canonical columns of an event, or with OWN and the declared `columns`.
    `time` says which of the declared columns the rows' time is taken from; it may also be `time` itself."""

    name: str
    title: str = ""
    description: str = ""
    columns: dict[str, Column] = {}
    time: str = ""


def schema(dataset: Dataset) -> pa.Schema:
    """The Arrow schema of a dataset's rows; every column may be null."""
    if not dataset.columns:
        return events.SCHEMA
    own = [events.SCHEMA.field(name) for name in OWN]
    return pa.schema([*own, *(pa.field(name, ARROW[column.type]) for name, column in dataset.columns.items())])


def readable(dataset: Dataset) -> pa.Schema:
    """What may be asked of a dataset's rows: its columns, and of events what is worked out from them."""
    return schema(dataset) if dataset.columns else pa.schema([*events.SCHEMA, *COMPUTED])


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
    synonyms: tuple[str, ...] = ()  # what people call it when they ask


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """From which value on a metric wants attention, on the side that `good` says is not; in the metric's own unit."""

    warn: float | None = None
    bad: float | None = None


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """What a metric may come to in each period of the time zone: of all together, or of each value of the dimension
    `by`; `limits` has the values that may have another limit. `warn` is a share of the limit."""

    name: str
    metric: str
    period: Literal["day", "week", "month"]
    limit: float
    tz: str = "UTC"
    by: str = ""
    limits: dict[str, float] = {}
    where: dict[str, Any] = {}
    warn: float = 0.8
    title: str = ""
    description: str = ""
    example: bool = False

    def period_of(self, moment: datetime) -> Period:
        """The period in which a moment lies; its very start is the end of the one before."""
        return period_at(moment - US, PERIODS[self.period], self.tz)

    def limit_of(self, value: Any) -> float | None:
        """Of one value of `by`. What has none is under no limit."""
        return None if value is None else self.limits.get(str(value), self.limit)


Part = Literal["spent", "remaining", "pace", "estimated", "unpriced"]


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """A structured measure. `aggregate` is one of AGGREGATES; `column` what it runs over; for a
    ratio, `numerator` and `denominator` name two other metrics; of a `budget` it is what its metric
    adds up. `where` maps a dimension or canonical column to a value or a list of values. `per` divides
    by elapsed time. `limit` is what the value may come to: a number, or the name of a metric of the
    same unit."""

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
    bounds: Bounds | None = None
    limit: float | str | None = None
    title: str = ""
    description: str = ""
    synonyms: tuple[str, ...] = ()  # what people call it when they ask
    budget: Budget | None = None  # with the aggregate `budget`
    part: Part | None = None  # what it tells of the budget


class Tile(msgspec.Struct, frozen=True, kw_only=True):
    """One tile of a board. What counts depends on `type`: kpi, bars and heatmap use `metrics[0]`,
    bars, heatmap and table group `by`, changes looks for causes in `by`, latest lists `columns`. A line tile `by` a
    dimension draws metrics[0] of the largest groups. Tiles of one `share` have a common y axis.
    `dataset` is that of its metrics; only a tile without metrics declares it."""

    id: str
    type: str
    title: str = ""
    subtitle: str = ""
    metrics: tuple[str, ...] = ()
    by: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    dataset: str = "events"
    where: dict[str, Any] = {}
    budgets: tuple[str, ...] = ()  # of a budgets tile; without them all there are
    spark: str = ""  # of a table: the metric drawn small beside each row
    share: str = ""
    link: str = ""  # of a table: the page that a row's first name leads to, with the row as its filter
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


T = TypeVar("T", Dimension, Metric)


class Workspace(msgspec.Struct, frozen=True, kw_only=True):
    """Everything declared, merged from all files. A file with a namespace declares NAMESPACE.NAME."""

    datasets: dict[str, Dataset]
    dimensions: dict[str, Dimension]
    metrics: dict[str, Metric]
    boards: dict[str, Board]
    budgets: dict[str, Budget] = {}
    book: Book = Book()

    def dataset(self, name: str) -> Dataset:
        """Raises NotFound."""
        if name not in self.datasets:
            raise NotFound(unknown("dataset", name, self.datasets))
        return self.datasets[name]

    def metric(self, name: str, dataset: str | None = None) -> Metric:
        """The metric that a request means by a name, see `meant`. Raises NotFound."""
        found = meant(self.metrics, name, dataset)
        if found is None:
            raise NotFound(unknown("metric", name, names_in(self.metrics, dataset)))
        return found

    def binned(self, metric: Metric) -> bool:
        """Whether a metric is a quantile of histograms."""
        return is_binned(metric, self.datasets.get(metric.dataset))

    def dimension(self, name: str, dataset: str | None = None) -> Dimension | None:
        """The dimension that a request means by a name, see `meant`."""
        return meant(self.dimensions, name, dataset)


def is_binned(metric: Metric, of: Dataset | None) -> bool:
    """Whether a metric of a dataset is a quantile of histograms: a file may have a column of that name too."""
    return metric.aggregate == "quantile" and metric.column == "distribution" and not (of and of.columns)


def meant(declared: Mapping[str, T], name: str, dataset: str | None = None) -> T | None:
    """What a name stands for: the declaration of that dataset, where one is given; else as it is written;
    else the only one that bears it inside a namespace."""
    exact = declared.get(name)
    if exact is not None and dataset in (None, exact.dataset):
        return exact
    bare = [each for full, each in declared.items() if full.rpartition(".")[2] == name]
    here = [each for each in bare if each.dataset == dataset]
    return here[0] if len(here) == 1 else exact or (bare[0] if len(bare) == 1 else None)


def names_in(declared: Mapping[str, T], dataset: str | None) -> list[str]:
    """The names by which a request may call what a dataset has, or all there is."""
    return [full if dataset is None else full.rpartition(".")[2] for full, each in declared.items()
            if dataset in (None, each.dataset)]  # fmt: skip


def layout(board: Board, workspace: Workspace) -> str:
    """A fingerprint of all that is drawn of a board before data: an open page whose own differs loads again."""
    metrics = [workspace.metrics[name] for tile in board.tiles for name in (*tile.metrics, tile.spark) if name]
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
    from analytics.workspace_reader import read  # it builds the structs above

    return read([(path, file_bytes(path)) for path in files])


def file_bytes(path: Path) -> bytes:
    """What a workspace file holds. Raises WorkspaceError."""
    try:
        if not path.is_file():  # reading a pipe or a device would wait for ever
            raise FileNotFoundError(errno.ENOENT, "no such file")
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise WorkspaceError([Problem(path.name, 1, f"cannot be read: {error.strerror}")]) from None
