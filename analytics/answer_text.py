"""A reply to `ask` on a terminal: the echo, a number or a table, confidence, and what is worth knowing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from analytics import format as fmt
from analytics.window import zone

ROWS = 30
COLUMNS = 8
FLOW_COLUMNS = ("time", "name", "agent", "status", "duration_ms", "tokens", "cost_usd", "flow_id")
UNITS = {"duration_ms": "ms", "cost_usd": "usd", "tokens": "", "time": "time"}
Metrics = Mapping[str, Mapping[str, Any]]


def shown(out: Console, reply: Mapping[str, Any], metrics: Metrics, tz: str = "UTC") -> None:
    """Print a reply; `metrics` are the declarations by name, for units, `tz` the zone of the asker's clock."""
    told = reply["analytics"] | {"tz": tz}
    for fixed in told["corrected"]:
        out.print(f"[dim]read {escape(fixed['typed'])} as {escape(fixed['meant'])}[/]")
    if told["understood"] is None:
        return _doubt(out, told)
    by = " [dim](filled by the language model)[/]" if told["by"] == "model" else ""
    out.print(f"[bold]{escape(told['said'])}[/]{by}")
    if told["answer"] is None:
        out.print(f"no answer: {escape(told['reason'] or '')}")
        return None
    form = {"query": _query, "explain": _explain, "forecast": _forecast, "flows": _flows, "values": _values}
    form.get(told["understood"]["type"], _named)(out, told, metrics)
    for insight in reply["insights"]:
        out.print(f"• {escape(insight['text'])}")
    parts = ", ".join(f"{name} {share:.0%}" for name, share in reply["confidence_parts"].items() if share is not None)
    out.print(f"[dim]confidence {reply['confidence']:.0%}{f' ({parts})' if parts else ''}[/]")
    return None


def _doubt(out: Console, told: Mapping[str, Any]) -> None:
    out.print(f"not understood: {escape(told['reason'] or '')}")
    if told["readings"]:
        out.print("did you mean:")
    for reading in told["readings"]:
        out.print(f"  {escape(reading['said'])}")


def _table(out: Console, columns: Sequence[tuple[str, bool]], rows: Sequence[Sequence[str]], more: int = 0) -> None:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title, number in columns[:COLUMNS]:
        table.add_column(title, justify="right" if number else "left", overflow="ellipsis", no_wrap=number)
    for row in rows:
        table.add_row(*(escape(cell) for cell in row[:COLUMNS]))
    out.print(table)
    if more > 0:
        out.print(f"[dim]... and {more:,} more[/]")


def _query(out: Console, told: Mapping[str, Any], metrics: Metrics) -> None:
    answer, asked = told["answer"], told["understood"]
    if "grain" not in asked and "group_by" not in asked:
        return _totals(out, answer, metrics)
    names = answer["columns"]
    columns = [(_title(name, metrics), _base(name) in metrics) for name in names]
    rows = [
        [_cell(name, value, metrics, told["tz"]) for name, value in zip(names, row, strict=True)]
        for row in answer["rows"]
    ]
    if not rows:
        out.print("no data")
        return None
    return _table(out, columns, rows[:ROWS], len(rows) - ROWS)


def _totals(out: Console, answer: Mapping[str, Any], metrics: Metrics) -> None:
    for name, total in answer["totals"].items():
        about = metrics.get(name, {})
        before = total.get("previous")
        told = f"[dim]{escape(_title(name, metrics))}[/]  [bold]{_number(total['value'], about)}[/]"
        if f"{name}_previous" in answer["columns"]:
            told += f"  {_moved(before, total['value'], about)}  [dim]before {_number(before, about)}[/]"
        out.print(told)


def _explain(out: Console, told: Mapping[str, Any], metrics: Metrics) -> None:
    answer = told["answer"]
    before, after = (_number(answer[name], answer) for name in ("baseline", "current"))
    out.print(f"{before} → [bold]{after}[/]  {_moved(answer['baseline'], answer['current'], answer)}")
    if not answer["causes"]:
        out.print(escape(answer.get("reason") or "no localised cause"))
        return
    rows = [
        [" and ".join(f"{dim} is {value}" for dim, value in cause["where"].items()), _number(cause["change"], answer),
         "" if cause["share"] is None else f"{cause['share']:.0%}", f"{cause['confidence']:.0%}"]
        for cause in answer["causes"]
    ]  # fmt: skip
    rows.append(["everything else", _number(answer["rest"], answer), "", ""])
    _table(out, [("where", False), ("change", True), ("share", True), ("confidence", True)], rows)


def _forecast(out: Console, told: Mapping[str, Any], metrics: Metrics) -> None:
    answer = told["answer"]
    if answer.get("reason"):
        out.print(escape(answer["reason"]))
    points = answer.get("points") or []
    rows = [
        [_moment(p["t"], told["tz"]), *(_number(p[name], answer) for name in ("value", "low", "high"))]
        for p in points
    ]  # fmt: skip
    if rows:
        columns = [("time", False), ("expected", True), ("at least", True), ("at most", True)]
        _table(out, columns, rows[:ROWS], len(rows) - ROWS)


def _flows(out: Console, told: Mapping[str, Any], metrics: Metrics) -> None:
    answer = told["answer"]
    places = [answer["columns"].index(name) for name in FLOW_COLUMNS]
    rows = []
    for row in answer["rows"][:ROWS]:
        cells = [row[place] for place in places]
        rows.append([_flow_cell(name, value, told["tz"]) for name, value in zip(FLOW_COLUMNS, cells, strict=True)])
    if not rows:
        out.print("no flows")
        return
    _table(out, [(name.removesuffix("_ms").removesuffix("_usd"), name in UNITS) for name in FLOW_COLUMNS], rows,
           len(answer["rows"]) - ROWS)  # fmt: skip


def _flow_cell(name: str, value: Any, tz: str) -> str:
    if value is None:
        return fmt.DASH
    if name == "time":
        return _moment(value, tz)
    return fmt.text(value, UNITS[name]) if name in UNITS else str(value)


def _values(out: Console, told: Mapping[str, Any], metrics: Metrics) -> None:
    answer = told["answer"]
    rows = [["(none)" if v["value"] is None else str(v["value"]), f"{v['n']:,}"] for v in answer["values"]]
    if not rows:
        out.print("no data")
        return
    _table(out, [(answer["dim"], False), ("rows", True)], rows[:ROWS], answer["distinct"] - min(len(rows), ROWS))


def _named(out: Console, told: Mapping[str, Any], metrics: Metrics) -> None:
    """An answer that is metrics by their names."""
    rows = []
    for name, about in told["answer"].items():
        if isinstance(about, Mapping) and "value" in about:
            change = fmt.change(about.get("change"), about.get("change_kind") or "relative")
            rows.append([_title(name, metrics), _number(about["value"], about), change])
    _table(out, [("metric", False), ("value", True), ("change", True)], rows)


def _base(column: str) -> str:
    return column.removesuffix("_previous")


def _title(column: str, metrics: Metrics) -> str:
    base = _base(column)
    title = str(metrics[base]["title"]) if base in metrics else base.rpartition(".")[2].replace("_", " ")
    return f"{title} before" if base != column else title


def _cell(column: str, value: Any, metrics: Metrics, tz: str) -> str:
    if _base(column) in metrics:
        return _number(value, metrics[_base(column)])
    if column == "time":
        return _moment(value, tz)
    return "(none)" if value is None else str(value)


def _number(value: Any, about: Mapping[str, Any]) -> str:
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else None
    return fmt.text(number, about.get("unit") or "", about.get("per"))


def _moved(before: float | None, after: float | None, about: Mapping[str, Any]) -> str:
    """A change as it is shown everywhere: shares in points, all else relative."""
    if before is None or after is None:
        return fmt.DASH
    if about.get("unit") == "percent":
        return fmt.change(after - before, "pp")
    return fmt.change((after - before) / abs(before) if before else None, "relative")


def _moment(text: str, tz: str) -> str:
    """An RFC 3339 time by the asker's clock, without what nobody reads in a table."""
    return f"{datetime.fromisoformat(text).astimezone(zone(tz)):%Y-%m-%d %H:%M:%S}"
