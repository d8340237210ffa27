"""An answer as the few lines that a language model reads: values with their units, then how far to trust them.

Everything is in the structured answer too. What is unknown is called unknown and never a number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from analytics import format as fmt
from analytics.messages import AnalyticsUpdate
from analytics.workspace import Metric

Payload = Mapping[str, Any]
MetricOf = Callable[[str], Metric | None]
ROWS_SHOWN = 20
CELL = 80  # characters of one cell
FLOW_COLUMNS = ("flow_id", "name", "agent", "status", "duration_ms", "cost_usd", "errors")
SIGNS = ("", "ms", "s", "percent", "usd", "bytes", "bytes_per_s")  # units that a formatted number carries itself
UNITS = {"duration_ms": "ms", "critical_ms": "ms", "cost_usd": "usd", "tokens": "tokens"}


def said(kind: str, update: AnalyticsUpdate, metric_of: MetricOf) -> str:
    """The lines for an answer to a question of this kind; `metric_of` knows the metrics by the names asked for."""
    insights = [str(insight["text"]) for insight in update.insights if insight.get("text")]
    found = answered(kind, update.analytics or {}, metric_of)
    return "\n".join([*dict.fromkeys([*insights, *found]), trusted(update)])


def trusted(update: AnalyticsUpdate) -> str:
    """How far to trust an answer, and what that is made of."""
    parts = [f"{name} {part:.2f}" for name, part in update.confidence_parts.items() if part is not None]
    return f"Confidence {update.confidence:.2f} of 1" + (f": {', '.join(parts)}." if parts else ".")


def answered(kind: str, analytics: Payload, metric_of: MetricOf) -> Iterable[str]:
    """The lines for the numbers alone."""
    match kind:
        case "query":
            return _query(analytics, metric_of)
        case "explain":
            return _explain(analytics)
        case "forecast":
            return _forecast(analytics)
        case "ask":
            return _ask(analytics, metric_of)
        case "values":
            return _values(analytics)
        case "flows":
            return _flows(analytics)
        case "flow":
            return _flow(analytics)
    return [line for name, value in analytics.items() if (line := _measure(name, value))]


def _query(a: Payload, metric_of: MetricOf) -> list[str]:
    lines = []
    for name, total in a["totals"].items():
        metric = metric_of(name)
        unit, per = (metric.unit, metric.per) if metric else ("", None)
        before = f" (before: {_number(total['previous'], unit, per)})" if total["previous"] is not None else ""
        within = f" (within {_number(total['within'], unit, per)})" if "within" in total else ""
        reason = f" ({total['reason']})" if "reason" in total else ""
        lines.append(f"{name}: {_number(total['value'], unit, per, none=not total['n'])}{within}{reason}{before}")
    lines.append(_window(a["window"]))
    measures = {name for metric in a["totals"] for name in (metric, f"{metric}_previous")}
    if set(a["columns"]) <= measures:
        return lines

    def cell(column: str, value: Any) -> str:
        if column not in measures:
            return _label(value)
        metric = metric_of(column if column in a["totals"] else column.removesuffix("_previous"))
        return _bare(value, metric.unit if metric else "", metric.per if metric else None)

    return [*lines, *_table(a["columns"], a["rows"], cell)]


def _explain(a: Payload) -> list[str]:
    unit, per = a.get("unit") or "", a.get("per")
    was, now = (_number(a.get(field), unit, per) for field in ("baseline", "current"))
    lines = [f"{a.get('metric')}: from {was} to {now}"]
    for cause in a.get("causes") or []:
        where = ", ".join(f"{dim} {_label(value)}" for dim, value in cause["where"].items())
        share = "" if cause.get("share") is None else f", {cause['share']:.0%} of the change"
        sure = f", confidence {cause['confidence']:.2f}" if cause.get("confidence") is not None else ""
        lines.append(f"- {cause.get('text') or where}{share}{sure}")
    if a.get("causes") and a.get("rest") is not None:
        lines.append(f"- everything else: {_number(a['rest'], unit, per)}")
    return [*lines, *_reason(a)]


def _forecast(a: Payload) -> list[str]:
    unit, per, points = a.get("unit") or "", a.get("per"), a.get("points") or []
    lines = []
    for when, point in (("next", points[:1]), ("last", points[1:][-1:])):
        for p in point:
            low, high = (_number(p.get(end), unit, per) for end in ("low", "high"))
            lines.append(
                f"{a.get('metric')} {when}, {_moment(p['t'])}: {_number(p['value'], unit, per)} ({low} to {high})"
            )
    if reaches := a.get("reaches"):
        limit = _number(a.get("limit_at"), unit, per)
        lines.append(
            f"Reaches {limit} at {reaches['at']}, between {reaches['earliest']} and {reaches['latest'] or 'later'}."
        )
    return [*(lines or [f"{a.get('metric')}: no forecast"]), *_reason(a)]


def _ask(a: Payload, metric_of: MetricOf) -> list[str]:
    understood = a.get("understood")
    if not understood:
        readings = [f"- {reading['said']}" for reading in a.get("readings") or []]
        return ["Not understood.", *_reason(a), *(["Perhaps:", *readings] if readings else [])]
    lines = [f"Understood: {a.get('said') or understood['type']}"]
    return [*lines, *answered(understood["type"], a.get("answer") or {}, metric_of), *_reason(a)]


def _values(a: Payload) -> list[str]:
    listed = [f"{_label(each['value'])} ({each['n']:,})" for each in a["values"][:ROWS_SHOWN]]
    rest = [f"... and {a['distinct'] - len(listed):,} more"] if a["distinct"] > len(listed) else []
    if not listed:
        return [f"{a['dim']}: no values in this window", _window(a["window"])]
    return [f"{a['dim']}, by rows: {', '.join([*listed, *rest])}", _window(a["window"])]


def _flows(a: Payload) -> list[str]:
    places = [a["columns"].index(column) for column in FLOW_COLUMNS]
    rows = [[row[place] for place in places] for row in a["rows"]]
    more = ["There are more: ask again with `after` set to `next`."] if a.get("next") else []
    shown = _table(FLOW_COLUMNS, rows, _measured) if rows else ["no flows in this window"]
    return [*shown, *more, _window(a["window"])]


def _flow(a: Payload) -> list[str]:
    took = _measured("duration_ms", a["duration_ms"])
    head = f"{_label(a['name'])}: {_label(a['status'])}, {took}, at {_moment(a['start'])}"
    slow = [span for span in a["spans"] if span.get("critical") and span.get("critical_ms")]
    slow.sort(key=lambda span: -span["critical_ms"])
    columns = ("kind", "name", "agent", "tool", "model", "status", "critical_ms")
    rows = [[span.get(column) for column in columns] for span in slow]
    path = ["What it waited for, longest first:", *_table(columns, rows, _measured)] if rows else []
    return [head, f"{a['count']:,} events" + (", not all of them listed" if a.get("truncated") else ""), *path]


def _measure(name: str, value: Any) -> str | None:
    """One metric of the three original requests."""
    if not isinstance(value, Mapping) or "value" not in value:
        return None
    number = _number(value["value"], value.get("unit") or "", value.get("per"))
    return f"{name}: {number}" + (f" ({value['reason']})" if value.get("reason") else "")


def _reason(a: Payload) -> list[str]:
    return [str(a["reason"])] if a.get("reason") else []


def _window(window: Payload) -> str:
    grain = f", by {window['grain']}" if window.get("grain") else ""
    return f"From {_moment(window['from'])} to {_moment(window['to'])}{grain}."


def _table(columns: Sequence[str], rows: Sequence[Sequence[Any]], cell: Callable[[str, Any], str]) -> list[str]:
    lines = [" | ".join(columns)]
    lines += [" | ".join(cell(c, v) for c, v in zip(columns, row, strict=True)) for row in rows[:ROWS_SHOWN]]
    more = len(rows) - ROWS_SHOWN
    return [*lines, f"... and {more:,} more rows in the structured answer"] if more > 0 else lines


def _measured(column: str, value: Any) -> str:
    return _bare(value, UNITS[column]) if column in UNITS else _label(value)


def _number(value: Any, unit: str, per: str | None = None, *, none: bool = False) -> str:
    if value is None:
        return "unknown, no rows in this window" if none else "unknown"
    noun = "" if unit in SIGNS else f" {unit}"
    return _bare(value, unit, per) + noun


def _bare(value: Any, unit: str, per: str | None = None) -> str:
    """Without the noun that a table would repeat in every row."""
    return "unknown" if value is None else fmt.text(value, unit, per)


def _moment(text: str) -> str:
    """To the second."""
    return text.partition(".")[0].removesuffix("Z") + "Z"


def _label(value: Any) -> str:
    return "(none)" if value is None else " ".join(str(value).split())[:CELL]
