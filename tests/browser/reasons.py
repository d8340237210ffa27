"""What the harness answers when it is asked why, what next, or in words: as the wire says, with sums that hold."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from playwright.sync_api import Page, WebSocket

EVIL = "<img src=x onerror=alert(1)>"
LONG = "a-tool-whose-name-goes-on-and-on-and-on-until-nobody-reads-it"
PARTS = {"sample": 0.97, "freshness": 0.99, "completeness": 0.93}

# metric -> unit, per, good, before, then of each cause: where, rate, mix, volume, rows now and before; last the parts
# of the rest
Cause = tuple[dict[str, str | None], float, float, float, int, int]
CHANGES: dict[str, tuple[str, str | None, str, float, list[Cause], tuple[float, float, float]]] = {
    "duration_p95": (
        "ms",
        None,
        "down",
        2612.0,
        [
            ({"tool": "web_search", "agent": "planner"}, 1801.5, 190.25, -12.0, 8412, 8120),
            ({"tool": "sql_query"}, 120.0, 14.5, 0.0, 2044, 2101),
            ({"domain": None}, -60.25, 0.0, 8.0, 310, 322),
        ],
        (96.0, 20.0, 10.0),
    ),
    "spend": ("usd", "hour", "down", 31.3, [({"model": "large"}, 0.4, 5.9, 0.1, 20114, 19870)], (0.3, 0.15, 0.05)),
    "flow_rate": ("flows", "minute", "up", 1209.0, [], (0.0, 0.0, 75.0)),
}


def moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")


def window(request: dict[str, Any]) -> tuple[float, float]:
    asked = request.get("window")
    if isinstance(asked, dict) and asked["from"].startswith("20"):
        return tuple(datetime.fromisoformat(asked[end]).timestamp() for end in ("from", "to"))  # type: ignore[return-value]
    now = time.time()
    return now - 3600, now


def explain(request: dict[str, Any], hostile: bool) -> dict[str, Any]:
    """A change with causes; `flow_rate` has none, `agents_active` cannot be explained."""
    metric = request["metric"]
    if metric not in CHANGES:
        raise LookupError(f"no rows of {metric!r} in this window")
    unit, per, good, before, found, (rate, mix, volume) = CHANGES[metric]
    if hostile:
        found = [({"tool": EVIL, "agent": LONG}, *found[0][1:]), *found[1:]]
    rest = rate + mix + volume
    change = sum(r + m + v for _, r, m, v, _, _ in found) + rest
    start, end = window(request)
    causes = [
        {
            "where": where,
            "change": r + m + v,
            "share": (r + m + v) / change,
            "rate": r,
            "mix": m,
            "volume": v,
            "baseline": before * 0.9,
            "current": before * 0.9 + r + m + v,
            "n": n,
            "n_baseline": old,
            "confidence": 0.93 - 0.2 * i,
            "text": "",
        }
        for i, (where, r, m, v, n, old) in enumerate(found)
    ]
    return {
        "metric": metric,
        "unit": unit,
        "per": per,
        "good": good,
        "dataset": "events",
        "dimensions": ["agent", "domain", "model", "tool"],
        "window": {"from": moment(start), "to": moment(end), "tz": "UTC"},
        "baseline_window": {"from": moment(2 * start - end), "to": moment(start)},
        "baseline": before,
        "current": before + change,
        "change": change,
        "causes": causes,
        "rest": rest,
        "rest_parts": {"rate": rate, "mix": mix, "volume": volume},
        "localised": bool(found),
        "reason": None if found else "no value of agent, domain, model or tool moved more than the others",
        "n": 20311,
        "n_baseline": 19890,
    }


def query(request: dict[str, Any]) -> dict[str, Any]:
    """One number, five groups, or a course of 24 buckets."""
    metric, by = request["metrics"][0], request.get("group_by") or []
    start, end = window(request)
    compared = [f"{metric}_previous"] if request.get("compare") else []
    rows: list[list[Any]]
    if request.get("grain"):
        rows = [[moment(start + i * 150), 2600.0 + 400 * (i % 7)] for i in range(24)]
        columns = ["time", metric]
    elif by:
        columns = [*by, metric, *compared]
        rows = [
            [n, v, *[v * 0.8 for _ in compared]]
            for n, v in (("web_search", 5100.0), ("sql_query", 2310.0), (None, 900.0))
        ]
    else:
        columns, rows = [metric, *compared], [[4820.0, *[2612.0 for _ in compared]]]
    span = {"from": moment(start), "to": moment(end), "tz": "UTC", "grain": request.get("grain"), "grain_s": 150}
    totals = {metric: {"value": 4820.0, "previous": None, "n": 8412}}
    return {"columns": columns, "rows": rows, "totals": totals, "other": False, "window": span}


def forecast(request: dict[str, Any]) -> dict[str, Any]:
    now = time.time() // 300 * 300
    history = [{"t": moment(now - 300 * (36 - i)), "value": 0.5 + 0.008 * i} for i in range(37)]
    points = [
        {"t": moment(now + 300 * i), "value": 0.79 + 0.008 * i, "low": 0.79 + 0.005 * i, "high": 0.79 + 0.011 * i}
        for i in range(1, 31)
    ]
    reached = {"at": moment(now + 7900), "earliest": moment(now + 7200), "latest": moment(now + 8600)}
    return {
        "metric": request["metric"],
        "unit": "percent",
        "per": None,
        "good": "down",
        "dataset": "events",
        "grain": "5m",
        "grain_s": 300,
        "history": history,
        "points": points,
        "level": 0.95,
        "calibrated": True,
        "reason": None,
        "limit_at": 1.0,
        "reaches": reached,
    }


# what is typed -> the request that is understood, and how it is said back
UNDERSTOOD: dict[str, tuple[dict[str, Any], str]] = {
    "p95": ({"type": "query", "metrics": ["duration_p95"], "compare": "previous"}, "p95 duration, last 1 hour"),
    "p95 by tool": (
        {
            "type": "query",
            "metrics": ["duration_p95"],
            "group_by": ["tool"],
            "window": {"from": "now-1d/d", "to": "now"},
            "filters": [{"dim": "agent", "values": ["planner"]}],
            "compare": "previous",
        },
        "p95 duration, by tool, where agent is planner, since yesterday 00:00",
    ),
    "p95 over time": ({"type": "query", "metrics": ["duration_p95"], "grain": "auto"}, "p95 duration over time"),
    "why did p95 rise?": ({"type": "explain", "metric": "duration_p95"}, "why p95 duration rose, last 1 hour"),
    "when is the quota used up": ({"type": "forecast", "metric": "quota_share"}, "forecast of quota used"),
    "flows that failed": ({"type": "flows", "sort": "duration_ms"}, "flows, slowest first"),
}
READINGS = [
    {"request": UNDERSTOOD["p95"][0], "said": "p95 duration"},
    {"request": {"type": "query", "metrics": ["duration_p50"]}, "said": "p50 duration"},
]


def flows(request: dict[str, Any]) -> dict[str, Any]:
    columns = ["flow_id", "time", "name", "agent", "status", "duration_ms"]
    rows = [
        [f"f{i}", moment(time.time() - 60 * i), "draft_report", "planner", "error" if i % 2 else "ok", 9000.0 - i]
        for i in range(3)
    ]
    return {"columns": columns, "rows": rows, "next": None}


def ask(request: dict[str, Any]) -> dict[str, Any]:
    """What UNDERSTOOD says; `duration` may mean two things, all else is not understood."""
    found = UNDERSTOOD.get(request["text"].lower())
    nothing = {"text": request["text"], "understood": None, "said": None, "readings": [], "answer": None, "unknown": []}
    if found is None and request["text"] == "duration":
        return nothing | {"readings": READINGS, "reason": "two metrics are called duration"}
    if found is None:
        return nothing | {"reason": "no metric is named in it", "unknown": request["text"].split()[-1:]}
    typed, said = {"window": request["window"], "filters": request["filters"]} | found[0], found[1]
    return nothing | {"understood": typed, "said": said, "answer": REASONED[typed["type"]](typed), "reason": None}


REASONED: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "explain": lambda request: explain(request, False),
    "query": query,
    "forecast": forecast,
    "flows": flows,
    "ask": ask,
}
TOLD = {
    "duration_p95": "p95 duration rose 84%; 91% of the rise comes from tool web_search called by agent planner.",
    "quota_share": "Token quota reaches its limit at 16:20 ± 12 min at this pace.",
}


class Sent(list[dict[str, Any]]):
    """What a page sends over its feed, from now on."""

    def __init__(self, page: Page) -> None:
        super().__init__()
        self.page = page
        page.on("websocket", self._opened)

    def _opened(self, socket: WebSocket) -> None:
        if "/api/analytics/ws" in socket.url:
            socket.on("framesent", lambda frame: self.append(json.loads(frame)))

    def until(self, kind: str, beyond: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
        """The last message of this kind, once it holds these fields and is not `beyond`; events come in while the page
        is talked to."""
        for _ in range(400):
            last: dict[str, Any] = next((m for m in reversed(self) if m["type"] == kind), {})
            if last and last is not beyond and all(last.get(name) == value for name, value in fields.items()):
                return last
            self.page.evaluate("new Promise(requestAnimationFrame)")
        raise AssertionError(f"no {kind} with {fields} in {[m for m in self if m['type'] == kind]}")


def answered(request: dict[str, Any], mode: str) -> dict[str, Any]:
    """The whole reply, but for its id."""
    try:
        made = (
            explain(request, mode == "hostile") if request["type"] == "explain" else REASONED[request["type"]](request)
        )
    except LookupError as error:
        return {"type": "error", "error": {"code": "NOT_FOUND", "message": str(error), "hint": "try a longer window"}}
    about = made.get("metric") or (made.get("understood") or {}).get("metric")
    kind = "forecast" if "points" in (made.get("answer") or made) else "cause"
    text = EVIL if mode == "hostile" else TOLD.get(about or "")
    insights: list[dict[str, Any]] = []
    if text:
        insights = [{"kind": kind, "text": text, "metric": about, "confidence": 0.93, "evidence": {}}]
    return {
        "type": "analytics_update",
        "analytics": made,
        "insights": insights,
        "confidence": 0.93,
        "confidence_parts": PARTS,
        "timestamp": moment(time.time()),
    }
