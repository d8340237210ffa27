"""The plan of a load: which files, how each is read, and what their columns become. Made from samples, changed by
people, carried out by `Load`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import msgspec
import pyarrow as pa

from analytics.declare import column_names, dataset_name
from analytics.errors import NotFound, ValidationError, unknown
from analytics.load.blocks import Block
from analytics.load.csv_file import read_csv
from analytics.load.files import Source
from analytics.load.infer import Field, Guesser, as_text, time_field, time_parts
from analytics.load.json_file import read_json, read_json_lines
from analytics.load.layout import Layout, layout
from analytics.load.parquet_file import opened, read_parquet
from analytics.load.rejects import Rejects
from analytics.load.values import Converter, checked_form
from analytics.workspace import ARROW, OWN, Column, ColumnType, Dataset

SAMPLE_ROWS = 100_000
PREVIEW = 20
COLUMNS = 2000
LOADED = "time of loading"


class Input(msgspec.Struct, frozen=True):
    """One file and how it is read."""

    source: Source
    layout: Layout


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a load does. `time` is the field of the rows' time, several joined by + (year+month+day), or None: then a
    row's time is that of loading."""

    dataset: str
    inputs: tuple[Input, ...]
    fields: tuple[Field, ...]
    time: str | None

    @property
    def names(self) -> dict[str, str]:
        """What each field is called in the store."""
        asked = [field.field for field in self.fields]
        return dict(
            zip(asked, column_names(asked, asked.index(self.time) if self.time in asked else None), strict=True)
        )

    @property
    def columns(self) -> dict[str, Column]:
        """The columns to declare."""
        names = self.names
        return {names[f.field]: Column(type=f.type, title="") for f in self.fields if names[f.field] not in OWN}

    @property
    def time_column(self) -> str:
        """The column that the declaration names as the one of time; "" where none is."""
        return self.names.get(self.time or "", "")

    def typed(self, types: Mapping[str, str]) -> Plan:
        """With other types: field -> `type` or `type:form`. Raises ValidationError, NotFound."""
        fields = {field.field: field for field in self.fields}
        for name, asked in types.items():
            if name not in fields:
                raise NotFound(unknown("column", name, fields))
            fields[name] = _retyped(fields[name], asked)
        return msgspec.structs.replace(self, fields=tuple(fields.values()))

    def timed(self, time: str | None) -> Plan:
        """With another time column. Raises ValidationError, NotFound."""
        fields = {field.field: field for field in self.fields}
        for part in time.split("+") if time and time not in fields else [time] if time else []:
            if part not in fields:
                raise NotFound(unknown("column", part, fields))
        return msgspec.structs.replace(self, time=time)

    def into(self, dataset: Dataset) -> Plan:
        """To fit a dataset that is there already: its types count. Raises ValidationError where it lacks a column."""
        if not dataset.columns:
            raise ValidationError(
                f"the dataset {dataset.name!r} holds events, not the rows of a file", hint="choose another name"
            )
        plan = self
        if dataset.time and dataset.time != "time":
            back = {name: field for field, name in self.names.items()}
            plan = self.timed(back.get(dataset.time, self.time))
        names = plan.names
        for field in plan.fields:
            name = names[field.field]
            if name not in dataset.columns and name not in OWN:
                raise ValidationError(
                    f"the dataset {dataset.name!r} has no column {name!r}; it has {', '.join([*dataset.columns][:12])}",
                    hint="choose another dataset name, or load a file with the same columns",
                )
            there = dataset.columns.get(name)
            if there is not None and there.type != field.type:
                plan = plan.typed({field.field: there.type})
        return plan


class Sample:
    """The beginning of the files, and what was found wrong in it."""

    def __init__(self, inputs: Sequence[Input], rows: int = SAMPLE_ROWS) -> None:
        self.rejects = Rejects()
        self.convert = Converter()
        self.blocks: list[Block] = []
        self.files: list[str] = []
        each = max(rows // len(inputs), PREVIEW)
        for input in inputs:
            left = each
            for block in blocks(input, self.rejects):
                self.blocks.append(block.cut(0, min(left, len(block))))
                self.files.append(input.source.name)
                left -= len(block)
                if left <= 0:
                    break
        fields = dict.fromkeys(name for block in self.blocks for name in block.columns)
        self.columns = {
            name: _joined([block.columns.get(name, len(block)) for block in self.blocks]) for name in fields
        }

    @property
    def rows(self) -> int:
        return sum(map(len, self.blocks))

    def fields(self) -> tuple[Field, ...]:
        guess = Guesser(self.convert)
        return tuple(guess.field(name, values) for name, values in self.columns.items())

    def counted(self, plan: Plan) -> Plan:
        """A changed plan with its misfits counted anew, each type that was only named read in the best way."""
        guess = Guesser(self.convert)
        fields = tuple(guess.formed(field, self.columns[field.field]) for field in plan.fields)
        return msgspec.structs.replace(plan, fields=fields)

    def preview(self) -> dict[str, list[str | None]]:
        """The first rows, as they are written."""
        return as_text({name: values[:PREVIEW] for name, values in self.columns.items()})


def planned(
    files: Sequence[Source],
    *,
    dataset: str = "",
    time: str = "",
    types: Mapping[str, str] | None = None,
    delimiter: str = "",
    header: bool | None = None,
) -> tuple[Plan, Sample]:
    """Look at files and guess. Raises ValidationError, NotFound."""
    inputs = tuple(Input(file, layout(file, delimiter, header)) for file in files)
    sample = Sample(inputs)
    if not sample.rows:
        raise nothing(files[0].name, sample.rejects)
    if len(sample.columns) > COLUMNS:
        raise ValidationError(
            f"{files[0].name} has {len(sample.columns):,} columns; at most {COLUMNS:,} are taken",
            hint="check the delimiter, or turn columns into rows",
        )
    name = dataset or dataset_name(stem(files[0].name))
    plan = Plan(dataset=name, inputs=inputs, fields=sample.fields(), time=None)
    plan = plan.typed(types or {})
    if time:
        plan = _with_time(plan.timed(time), time, sample)
    else:
        plan = plan.timed(time_field(plan.fields) or "+".join(time_parts(plan.fields)) or None)
    return sample.counted(plan), sample


def blocks(
    input: Input, rejects: Rejects, fields: Sequence[str] | None = None, at: Any = lambda done: None
) -> Iterator[Block]:
    """The blocks of a file; `at` hears how many of its bytes are read. Raises ValidationError."""
    source, about = input.source, input.layout
    if about.format == "parquet":
        with opened(source) as file:
            total, seen = max(file.metadata.num_rows, 1), 0
            for block in read_parquet(file):
                seen += len(block)
                at(source.size * seen // total)
                yield block
        return
    with source.opened(at) as stream:
        if about.format == "csv":
            yield from read_csv(stream, about, source.name, rejects)
        else:
            read = read_json_lines if about.format == "jsonl" else read_json
            yield from read(stream, about, source.name, rejects, fields)


def stem(name: str) -> str:
    """A file's name without its folder and endings."""
    found = name.rstrip("/").rpartition("/")[2]
    while (dot := found.rfind(".")) > 0 and len(found) - dot <= 8:
        found = found[:dot]
    return found or "data"


def nothing(name: str, rejects: Rejects) -> ValidationError:
    """The refusal of a file of which no row can be kept."""
    if not rejects.total:
        return ValidationError(f"{name} holds no rows, only a header", hint="check what wrote it")
    worst = rejects.told()[0]
    return ValidationError(
        f"{name}: no row can be kept; {rejects.total:,} are wrong, {worst['count']:,} of them {worst['reason']}: "
        f"line {worst['line']}: {worst['example']}",
        hint="check the format, the delimiter and the types of the columns",
    )


def _with_time(plan: Plan, time: str, sample: Sample) -> Plan:
    """Make the field that a person named a time, where it was taken for something else. Raises ValidationError."""
    field = next((f for f in plan.fields if f.field == time), None)
    if field is None or field.type == "time":
        return plan
    values = sample.columns[time]
    found = Guesser(sample.convert).formed(Field(field=time, type="time"), values)
    if found.values and found.misfits <= 0.02 * found.values:
        return plan.typed({time: found.read_as})
    first = next((v for v in as_text({time: values[:100]})[time] if v is not None), "nothing")
    raise ValidationError(
        f"the column {time!r} does not read as times, such as {first!r}",
        hint=f"say how they are written, such as --type '{time}=time:%d/%m/%Y %H:%M'",
    )


def _retyped(field: Field, asked: str) -> Field:
    type, _, form = asked.partition(":")
    if type not in ARROW:
        raise ValidationError(f"{field.field}: {unknown('type', type, ARROW)}")
    if not form and type == field.type:
        return field
    kind = cast(ColumnType, type)
    others = tuple(dict.fromkeys(choice for choice in (field.read_as, *field.choices) if choice != asked))
    return Field(field=field.field, type=kind, form=checked_form(type, form), choices=others)


def _joined(parts: list[pa.Array | int]) -> pa.Array:
    """One array of a column's parts; a number stands for so many nulls, parts of several types become text."""
    arrays = [part for part in parts if not isinstance(part, int)]
    kinds = {str(a.type) for a in arrays if not pa.types.is_null(a.type)}
    kind = next((a.type for a in arrays if not pa.types.is_null(a.type)), pa.string())
    if len(kinds) > 1:
        from analytics.load.values import texts

        kind = pa.float64() if kinds <= {"int64", "double"} else pa.string()
        parts = [
            part if isinstance(part, int) else texts(part) if kind == pa.string() else part.cast(kind) for part in parts
        ]
    filled = [
        pa.nulls(part, kind) if isinstance(part, int) else part.cast(kind) if part.type != kind else part
        for part in parts
    ]
    return pa.concat_arrays(filled) if len(filled) != 1 else filled[0]
