"""What the columns of an answer are: their types and units, for tables and for each tile of a board."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa

from analytics.events import BY_NAME, UTC_US
from analytics.exports.files import MOMENT, NUMBER, TEXT, TIME, UNKNOWN, WHOLE, Field
from analytics.messages import Flows, QueryRequest, Rows

DECLARED = {"text": pa.string(), "integer": pa.int64(), "number": pa.float64(), "boolean": pa.bool_(), "time": TIME}
UNITS = {"duration_ms": "ms", "cost_usd": "usd"}
FLOW = dict.fromkeys("flow_id event_id name agent domain source user status error_type".split(), TEXT) | {
    "time": MOMENT,
    "duration_ms": Field(type=pa.float64(), unit="ms"),
    "tokens": Field(type=pa.int64(), unit="tokens"),
    "cost": Field(type=pa.float64(), unit="usd"),
    "cost_usd": Field(type=pa.float64(), unit="usd"),
    "model_calls": WHOLE,
    "tool_calls": WHOLE,
    "errors": WHOLE,
}
Catalogue = Mapping[str, Sequence[Mapping[str, Any]]]  # "datasets", "metrics", "dimensions": what is declared


class Table(NamedTuple):
    """Rows with what is known of their columns."""

    columns: list[str]
    fields: dict[str, Field]
    rows: Sequence[Sequence[Any]]


def fields_of(request: QueryRequest | Flows | Rows, columns: Sequence[str], catalogue: Catalogue) -> dict[str, Field]:
    """What is known of the columns of an answer."""
    if isinstance(request, Flows):
        return FLOW
    if isinstance(request, Rows):
        return _row_fields(request.dataset, catalogue)
    metrics = {name: _declared(name, request.dataset, catalogue["metrics"]) for name in request.metrics}
    found = {"time": MOMENT}
    for name in request.group_by:
        found[name] = _dimension(_declared(name, request.dataset, catalogue["dimensions"]), catalogue)
    for name, metric in metrics.items():
        found[name] = found[f"{name}_previous"] = _metric(metric)
    return found


def _declared(name: str, dataset: str | None, known: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """A declaration by its name, or by its last part inside a dataset; nothing where there is none."""
    ends = [d for d in known if d["name"].rpartition(".")[2] == name and dataset in (None, d.get("dataset", "events"))]
    return next((d for d in (*ends, *known) if d["name"] == name), ends[0] if ends else {})


def _metric(metric: Mapping[str, Any]) -> Field:
    return Field(
        type=pa.float64(), title=metric.get("title", ""), unit=metric.get("unit", ""), per=metric.get("per") or None
    )


def _dimension(dim: Mapping[str, Any], catalogue: Catalogue) -> Field:
    """A binned number is a number, a column is what it is, all else is text."""
    if dim.get("log"):
        return Field(type=pa.float64(), title=dim.get("title", ""), unit=dim.get("unit", ""))
    column = _row_fields(dim.get("dataset", "events"), catalogue).get(dim.get("column") or "", TEXT)
    return Field(type=column.type, title=dim.get("title", ""), unit=dim.get("unit", ""))


def _row_fields(dataset: str, catalogue: Catalogue) -> dict[str, Field]:
    """The canonical columns, and those that the dataset declares."""
    found = {
        name: Field(type=TIME if c.type == UTC_US else c.type, unit=UNITS.get(name, "")) for name, c in BY_NAME.items()
    }
    declared = next((d for d in catalogue["datasets"] if d["name"] == dataset), {})
    for name, column in declared.get("columns", {}).items():
        found[name] = Field(type=DECLARED.get(column["type"]), title=column.get("title", ""))
    return found


# tiles


def tile_table(head: Mapping[str, Any], columns: Mapping[str, list[Any]]) -> Table | None:
    """The rows a tile shows, under the names that a query would give them; None where it shows none."""
    if head.get("state", "ok") != "ok":
        return None
    if "items" in head:
        return _changes(head)
    if "series" in head:
        return _grouped(head, columns) if any(s.get("dim") for s in head["series"]) else _line(head, columns)
    if "label" in columns:
        return _bars(head, columns)
    if "low" in columns:
        unit = Field(type=pa.float64(), unit=head.get("unit", ""))
        return _of({"time": MOMENT, "low": unit, "high": unit, "n": WHOLE}, {**columns, "time": columns["t"]})
    if "v" in columns:
        name = head.get("metric", "value")
        return _of({"time": MOMENT, name: _metric(head)}, {"time": columns["t"], name: columns["v"]})
    return _of(_listed(head), columns) if "fields" in head else None


def _of(fields: dict[str, Field], columns: Mapping[str, list[Any]]) -> Table:
    shown = {name: field for name, field in fields.items() if name in columns}
    return Table([*shown], shown, list(zip(*(columns[name] for name in shown), strict=True)))


def _listed(head: Mapping[str, Any]) -> dict[str, Field]:
    """Of a table its groups and metrics, of the latest rows their columns."""
    by = dict.fromkeys(head.get("by", ()), TEXT)
    known = {name: Field(type=TIME if c.type == UTC_US else c.type) for name, c in BY_NAME.items()}
    for told in head["fields"]:
        name, unit = told["name"], told.get("unit", "")
        own = NUMBER if "metric" in told else MOMENT if unit == "time" else known.get(name, UNKNOWN)
        shown = "" if unit == "time" else unit
        by[name] = Field(type=own.type, title=told.get("title", ""), unit=shown, per=told.get("per"))
    return by | ({"spark": Field(type=pa.list_(pa.float64()), unit=_spark_unit(head))} if head.get("spark") else {})


def _spark_unit(head: Mapping[str, Any]) -> str:
    spark = head["spark"]
    return spark.get("unit", "") if isinstance(spark, Mapping) else ""


def _line(head: Mapping[str, Any], columns: Mapping[str, list[Any]]) -> Table:
    fields, found = {"time": MOMENT}, {"time": columns["t"]}
    for i, series in enumerate(head["series"]):
        name = str(series["name"])
        for key, label in ((f"s{i}", name), (f"p{i}", f"{name}_previous")):
            if any(v is not None for v in columns.get(key, ())) or key[0] == "s":
                fields[label], found[label] = _metric(series), columns.get(key, [])
    return _of(fields, found)


def _grouped(head: Mapping[str, Any], columns: Mapping[str, list[Any]]) -> Table:
    """One row per time and group, as a query has it."""
    series = head["series"]
    dim, metric = series[0]["dim"], (head.get("request") or {}).get("metrics", ["value"])[0]
    names = [s.get("title") if s.get("other") else s.get("name") for s in series]
    rows = [(t, name, columns[f"s{i}"][at]) for at, t in enumerate(columns["t"]) for i, name in enumerate(names)]
    return Table(["time", dim, metric], {"time": MOMENT, dim: TEXT, metric: _metric(series[0])}, rows)


def _bars(head: Mapping[str, Any], columns: Mapping[str, list[Any]]) -> Table:
    by, metric = head.get("by", "label"), head.get("metric", "value")
    fields = {by: TEXT, metric: _metric(head), f"{metric}_previous": _metric(head)}
    shown = {by: columns["label"], metric: columns["value"]}
    previous = columns.get("previous") or []
    return _of(fields, shown | ({f"{metric}_previous": previous} if any(v is not None for v in previous) else {}))


def _changes(head: Mapping[str, Any]) -> Table:
    fields = {"metric": TEXT, "kind": TEXT, "tone": TEXT, "text": TEXT, "confidence": NUMBER, "n": WHOLE, "note": TEXT}
    rows = [
        [item.get(name) if name != "text" else "".join(part["t"] for part in item.get("text", ())) for name in fields]
        for item in head["items"]
    ]
    return Table([*fields], fields, rows)


def about_tile(head: Mapping[str, Any]) -> dict[str, Any]:
    """What a board's `about.json` says of one tile beside its file."""
    told = ("title", "state", "reason", "value", "previous", "unit", "per", "confidence", "parts", "n", "request")
    return {name: head[name] for name in told if head.get(name) is not None}


def kept(struct: msgspec.Struct) -> dict[str, Any]:
    """A request as JSON, without what it leaves at its default."""
    found: dict[str, Any] = msgspec.to_builtins(struct)
    return {name: value for name, value in found.items() if name not in ("id", "timestamp")}
