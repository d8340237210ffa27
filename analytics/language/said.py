"""What was understood, in words: the echo of a request that a person can check at a glance."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from analytics import format as fmt
from analytics import window as windows
from analytics.messages import (
    AgentAnalytics,
    Explain,
    FlowAnalytics,
    FlowDetail,
    Flows,
    Forecast,
    QueryRequest,
    Question,
    ResourceAnalytics,
    Values,
)
from analytics.query import Filter, Window
from analytics.workspace import Metric, Workspace

NOUNS = {"flow": "flows", "model": "model calls", "tool": "tool calls", "agent": "agent runs"}
BESIDE = {"previous": "the period before", "day": "the same time yesterday", "week": "the same time last week"}
ORDERS = {
    ("time", True): "newest first", ("time", False): "oldest first", ("duration_ms", True): "slowest first",
    ("duration_ms", False): "fastest first", ("cost_usd", True): "most expensive first",
    ("cost_usd", False): "cheapest first", ("tokens", True): "most tokens first", ("errors", True): "most errors first",
}  # fmt: skip


def said(request: Question, workspace: Workspace, now: datetime) -> str:
    """`p95 duration of flows, by tool, where agent is planner, since yesterday 00:00`."""
    parts = [*_head(request, workspace), *_where(request.filters, workspace)]
    if request.domain is not None:
        parts.append(f"where domain is {request.domain}")
    if request.window is not None:
        parts.append(span(windows.parse(request.window, "now-1h"), now))
    match request:
        case QueryRequest(compare=str(compare)):
            parts.append(f"beside {BESIDE[compare]}")
        case Explain(baseline=str(baseline)):
            parts.append(f"against {BESIDE[baseline]}")
        case Explain(baseline=Window() as baseline):
            parts.append(f"against {span(baseline, now)}")
    return ", ".join(filter(None, parts))


def _head(request: Question, workspace: Workspace) -> list[str]:
    """What is asked for, before the conditions."""
    match request:
        case QueryRequest():
            names = _either([_metric(workspace.metric(m, request.dataset)) for m in request.metrics], "and")
            by = _either([_dim(d, workspace) for d in request.group_by], "and")
            top = f"the first {request.limit} " if request.limit else ""
            grain = "over time" if request.grain == "auto" else f"in steps of {_length(request.grain)}"
            return [names, f"{top}by {by}" if by else "", grain if request.grain else ""]
        case Explain():
            looked = _either([_dim(d, workspace) for d in request.dimensions], "and")
            return [f"why {_metric(workspace.metric(request.metric, request.dataset))} changed",
                    f"looking in {looked}" if looked else ""]  # fmt: skip
        case Forecast():
            metric = workspace.metric(request.metric, request.dataset)
            steps = f"{request.horizon} steps of {_length(request.grain)}" if request.grain else ""
            limit = None if request.limit_at is None else fmt.text(request.limit_at, metric.unit, metric.per)
            return [f"forecast of {_metric(metric)}", steps, f"until it reaches {limit}" if limit else ""]
        case Flows():
            order = ORDERS.get((request.sort, request.descending), f"sorted by {request.sort}")
            return ["flows", order, f"{request.limit} of them"]
        case FlowAnalytics(flow_id=str(flow)) | FlowDetail(flow_id=flow):
            return [f"flow {flow}"]
        case FlowAnalytics():
            return ["how flows do, and what changed"]
        case AgentAnalytics():
            return [f"how agent {request.agent_id} does" if request.agent_id else "how agents do"]
        case ResourceAnalytics():
            return [f"how much of {request.resource_id} is consumed" if request.resource_id else "what is consumed"]
        case Values():
            return [f"values of {_dim(request.dim, workspace)}"]
    return [type(request).__name__]


def _where(filters: Sequence[Filter], workspace: Workspace) -> list[str]:
    told = [_condition(f, workspace) for f in filters]
    return [f"where {' and '.join(told)}"] if told else []


def _condition(filter: Filter, workspace: Workspace) -> str:
    values = _either(["(none)" if v is None else str(v) for v in filter.values], "or")
    verb = {"is": "is", "in": "is", "is_not": "is not", "not_in": "is not", "contains": "contains"}[filter.op]
    return f"{_dim(filter.dim, workspace)} {verb} {values}"


def _metric(metric: Metric) -> str:
    """Its title in a sentence, with what it is per and of, where the title leaves that open."""
    title = _low(metric.title or metric.name)
    kind = metric.where.get("kind")
    noun = NOUNS.get(kind, "") if isinstance(kind, str) else ""
    of = f" of {noun}" if noun and metric.aggregate in ("quantile", "avg") and noun.split()[0] not in title else ""
    per = f" per {metric.per}" if metric.per else ""
    home = metric.name.rpartition(".")[0]
    return f"{title}{of}{per}{f' of {home}' if home else ''}"


def _dim(name: str, workspace: Workspace) -> str:
    dim = workspace.dimension(name)
    return _low(dim.title or name) if dim else name


def _low(title: str) -> str:
    return title[:1].lower() + title[1:] if title[1:2].islower() or len(title) == 1 else title


def _either(names: Sequence[str], word: str) -> str:
    return f" {word} ".join([*([", ".join(names[:-1])] if len(names) > 1 else []), *names[-1:]])


def _length(grain: str | None) -> str:
    if grain is None:
        return ""
    step = windows.parse_grain(grain)
    name = windows.UNIT_NAMES[step.unit]
    return f"{step.count} {name}{'s' if step.count > 1 else ''}"


def span(window: Window, now: datetime) -> str:
    """A window as people say it, in its own time zone."""
    label, _ = windows.describe(window)
    if not label.startswith(window.start):
        return label[0].lower() + label[1:]
    zone = windows.zone(window.tz)
    start = windows.resolve_time(window.start, now, zone, up=False).astimezone(zone)
    if window.end == "now":
        return f"since {_moment(start, now)}"
    end = windows.resolve_time(window.end, now, zone, up=True).astimezone(zone)
    midnights = start.time() == end.time() == datetime.min.time()
    if midnights and end - start <= timedelta(hours=25):
        return f"on {_day(start, now)}"
    if midnights:
        return f"{_day(start, now)} to {_day(end - timedelta(days=1), now)}"
    if start.date() == end.date():
        return f"{_moment(start, now)} to {end:%H:%M}"
    return f"{_moment(start, now)} to {_moment(end, now)}"


def _moment(moment: datetime, now: datetime) -> str:
    today = now.astimezone(moment.tzinfo or UTC).date()
    clock = f"{moment:%H:%M}" if moment.second == 0 else f"{moment:%H:%M:%S}"
    return clock if moment.date() == today else f"{_day(moment, now)} {clock}"


def _day(moment: datetime, now: datetime) -> str:
    today = now.astimezone(moment.tzinfo or UTC).date()
    if moment.date() == today - timedelta(days=1):
        return "yesterday"
    return f"{moment:%a %-d %b}" if abs((today - moment.date()).days) < 60 else f"{moment:%-d %b %Y}"
