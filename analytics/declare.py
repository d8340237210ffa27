"""A new dataset as workspace YAML: its columns, what to measure and group by, and a first board.

Everything follows from a profile of the data, so that the same data always gives the same text; what comes out is
a file for people, who read it and change it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from analytics.declare_choices import Choices, Profile, Spread, choose, human, slug, together, untaken, window
from analytics.workspace import OWN, Column
from analytics.yaml_text import comment, flow, replace, text

__all__ = ["Profile", "Spread", "column_names", "dataset_name", "declared", "profile_of", "written"]

COLUMN_CHARS = 120
BINS = 6  # per factor of ten
LATEST = 8  # columns of the latest rows


def column_names(names: Sequence[str], time: int | None = None) -> list[str]:
    """What the columns of a file are called in the store, in their order: unlike one another and unlike the rows'
    own. The `time`-th holds the rows' time; where it is called `time` too, it is the rows' own."""
    taken, found = set(OWN), []
    for place, given in enumerate(names):
        name = "".join(c for c in given.encode("utf-8", "replace").decode() if c >= " " and c != "\x7f")
        name = name.strip()[:COLUMN_CHARS] or f"column_{place + 1}"
        if place == time and name.lower() == "time":
            found.append("time")
        else:
            found.append(untaken(name, taken, COLUMN_CHARS, str.lower))
    return found


def dataset_name(called: str) -> str:
    """A dataset's name made of any text, such as a file's name."""
    name = slug(called)[:40].strip("_")
    return f"data_{name.removeprefix('column').strip('_')}".strip("_") if name.startswith("column") else name


def profile_of(table: pa.Table, rows: int | None = None) -> Profile:
    """The profile of rows in the dataset's schema; `rows` is how many there are where the table is a sample."""
    seen = [t for t in (pc.min(table["time"]).as_py(), pc.max(table["time"]).as_py()) if t is not None]
    start, end = (t.replace(tzinfo=UTC) for t in seen) if seen else (None, None)
    columns = {name: _spread(table[name]) for name in table.column_names if name not in OWN}
    return Profile(rows=table.num_rows if rows is None else rows, start=start, end=end, columns=columns)


def _spread(values: pa.ChunkedArray) -> Spread:
    distinct, nulls = pc.count_distinct(values).as_py(), values.null_count
    if not (pa.types.is_integer(values.type) or pa.types.is_floating(values.type)):
        return Spread(distinct=distinct, nulls=nulls)
    finite = values.drop_null()
    finite = finite.filter(pc.is_finite(finite))
    if not len(finite):
        return Spread(distinct=distinct, nulls=nulls)
    low, high = (float(bound.as_py()) for bound in pc.min_max(finite).values())
    median = float(pc.quantile(finite, 0.5)[0].as_py())
    positive = pc.sum(pc.greater(finite, 0)).as_py()
    return Spread(distinct=distinct, nulls=nulls, low=low, high=high, median=median, positive=positive)


def declared(
    name: str,
    title: str,
    columns: Mapping[str, Column],
    time: str,
    profile: Profile,
    *,
    now: datetime,
    origin: str = "",
) -> str:
    """The YAML of a dataset: `columns` by their name in the store, `time` the one that the rows' time is from ("" when
    there is none), `origin` where the data comes from, for people. `name` is its namespace and its board too."""
    title, choices = title or human(name), choose(columns, profile)
    made = f"Made from {comment(origin)}" if origin else "Made for this data"
    board = {"title": title, "description": f"{profile.rows:,} rows{' from ' + origin if origin else ''}"}
    board["window"] = window(profile, now)
    lines = [
        f"# {made}. Change it as you like: it is followed live.",
        f"namespace: {name}",
        f"title: {text(title)}",
        *("", "datasets:", f"  {name}:", *_dataset(title, columns, time, choices, origin)),
        *(["", "dimensions:", *_dimensions(choices)] if choices.groups or choices.bins else []),
        *("", "metrics:", *_metrics(choices)),
        *("", "boards:", f"  {name}:", *(f"    {key}: {text(value)}" for key, value in board.items())),
        *("    tiles:", *(f"      - {flow(tile)}" for tile in _tiles(columns, time, choices))),
    ]
    return "\n".join(lines) + "\n"


def written(folder: Path, name: str, yaml: str) -> Path:
    """Write NAME.yaml into a folder, whole or not at all. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.yaml"
    replace(path, yaml.encode())
    return path


def _dataset(title: str, columns: Mapping[str, Column], time: str, choices: Choices, origin: str) -> Iterator[str]:
    about = {"title": title, "description": origin and f"From {origin}", "time": time}
    yield from (f"    {key}: {text(value)}" for key, value in about.items() if value)
    if columns:
        yield "    columns:"
    for name, column in columns.items():
        told = choices.titles[name]
        yield f"      {text(name)}: {column.type if told == name else flow({'type': column.type, 'title': told})}"


def _dimensions(choices: Choices) -> Iterator[str]:
    for group in (*choices.groups, *choices.bins):
        how = {"log": BINS} if group.log else {}
        unit = {"unit": group.unit} if group.unit else {}
        yield f"  {text(group.name)}: {flow({'column': group.column} | how | unit | {'title': group.title})}"


def _metrics(choices: Choices) -> Iterator[str]:
    yield "  rows: {count: {}, unit: rows, title: Rows, description: How many rows there are}"
    for number in choices.numbers:
        unit = {"unit": number.unit} if number.unit else {}
        for name, how, word in ((number.sum, "sum", "Total"), (number.avg, "avg", "Mean")):
            told = {"title": f"{word} {_low(number.title)}", "description": f"{word} of {number.column}"}
            yield f"  {name}: {flow({how: number.column} | unit | told)}"


def _tiles(columns: Mapping[str, Column], time: str, choices: Choices) -> Iterator[dict[str, Any]]:
    """The first board: how much there is, the most useful numbers, what they depend on, and the rows themselves."""
    numbers, groups = choices.best_numbers(), choices.best_groups()
    first = ["rows", *(number.sum if number.amount else number.avg for number in numbers[:3])]
    yield from ({"id": metric, "type": "kpi", "metric": metric, "width": 12 // len(first)} for metric in first)
    plot = {"width": 6 if numbers else 12, "height": 240}
    yield {"id": "rows_line", "type": "line", "title": "Rows over time", "metric": "rows"} | plot
    if numbers:
        shown = [number for number in numbers if together(number, numbers[0])][:3]
        title = "Means over time" if len(shown) > 1 else f"Mean {_low(shown[0].title)} over time"
        yield {"id": "means", "type": "line", "title": title, "metrics": [number.avg for number in shown]} | plot
    bars = groups[: 2 if numbers else 3]
    width = 12 // max(1, len(bars) + bool(numbers and groups))
    for group in bars:
        title = f"Rows by {_low(group.title)}"
        yield {
            "id": f"by_{group.name}"[:64],
            "type": "bars",
            "title": title,
            "metric": "rows",
            "by": group.name,
            "limit": 8,
            "width": width,
        }
    if numbers and groups:
        title = f"Mean {_low(numbers[0].title)} by {_low(groups[0].title)}"
        best = {"metric": numbers[0].avg, "by": groups[0].name, "limit": 8, "width": width}
        yield {"id": "mean_by", "type": "bars", "title": title} | best
    for group in choices.best_bins()[:1]:
        title = f"{choices.titles[group.column]}, how often"
        yield {"id": "sizes", "type": "heatmap", "title": title, "metric": "rows", "by": group.name, "width": 12}
    calendar = {group.column for group in choices.groups if group.calendar}  # the time says it already
    listed = ["time", *(name for name in columns if name != time and name not in calendar)][:LATEST]
    yield {"id": "latest", "type": "latest", "title": "Latest rows", "columns": listed, "limit": 20, "width": 12}


def _low(title: str) -> str:
    """A title inside a sentence."""
    return title[:1].lower() + title[1:] if title[1:2].islower() else title
