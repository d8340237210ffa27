"""An optional language model for what the grammar does not understand: it fills the same typed request, nothing more.

It is told the question, the time and the names of metrics and dimensions: no values, no numbers, no rows. What it
answers is a proposal: it must decode as one of our requests, and every name, value and limit in it must be one of the
workspace, of the live values, or of the question itself. It never writes SQL and never says a number.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from analytics import window as windows
from analytics.errors import PlumblineError
from analytics.language.segments import COUNTS, scaled
from analytics.messages import (
    AgentAnalytics,
    Explain,
    FlowAnalytics,
    Flows,
    Forecast,
    QueryRequest,
    Question,
    ResourceAnalytics,
    Values,
    from_builtins,
)
from analytics.query import Filter
from analytics.workspace import Workspace

log = logging.getLogger(__name__)

FILLED = (QueryRequest, Explain, Forecast, Flows, FlowAnalytics, AgentAnalytics, ResourceAnalytics, Values)
MAX_REPLY = 64 << 10
TOLD = 200  # metrics, and dimensions, that a model is told at most
PATH = "/chat/completions"
TASK = """You turn one question about metrics into one JSON request, and answer with that JSON object alone.
Answer {"type": null} unless every part of the question is said by the request. Never invent a name or a number.
Requests:
{"type": "query", "metrics": [...], "window": W, "grain": "1m|5m|1h|1d|auto", "group_by": [dimension], "filters": [F],
 "compare": "previous|day|week", "limit": N}
{"type": "explain", "metric": M, "window": W, "baseline": "previous|day|week", "filters": [F]}  (why did it change)
{"type": "forecast", "metric": M, "grain": "1h", "horizon": 1..60, "limit_at": number in the question, "filters": [F]}
{"type": "flows", "window": W, "filters": [F], "sort": "time|duration_ms|tokens|cost_usd|errors", "descending": true,
 "limit": N}
{"type": "flow_analytics", "flow_id": ID} {"type": "agent_analytics", "agent_id": NAME} {"type": "values", "dim": D}
W is {"from": "now-3h", "to": "now"} with units s m h d w M y and /unit to round down, dates or RFC 3339 times.
F is {"dim": D, "op": "is|is_not|in|not_in|contains", "values": [...]}. Leave out what the question does not say."""


class Model:
    """An OpenAI-compatible chat endpoint. The key goes into one header and nowhere else."""

    def __init__(self, url: str, name: str, key: str = "", *, timeout_s: float = 8.0) -> None:
        self._url = url if url.endswith(PATH) else url.rstrip("/") + PATH
        self._name, self._key, self._timeout_s = name, key, timeout_s

    async def fill(self, text: str, now: datetime, tz: str, workspace: Workspace) -> Any:
        """The JSON value that the model proposes, None where it has none or does not answer in time."""
        told = {
            "now": now.astimezone(windows.zone(tz)).isoformat(),
            "metrics": {m.name: m.title for m in list(workspace.metrics.values())[:TOLD]},
            "dimensions": {d.name: d.title for d in list(workspace.dimensions.values())[:TOLD]},
            "question": text,
        }
        body = {
            "model": self._name,
            "temperature": 0,
            "max_tokens": 600,
            "response_format": {"type": "json_object"},
            "messages": [{"role": "system", "content": TASK}, {"role": "user", "content": json.dumps(told)}],
        }
        try:
            async with asyncio.timeout(self._timeout_s + 1):
                reply = await asyncio.to_thread(self._post, json.dumps(body).encode())
            return _proposed(reply)
        except (OSError, TimeoutError, ValueError, LookupError, TypeError) as error:
            log.warning("the language model gave no usable answer: %s", type(error).__name__)  # never what was sent
            return None

    def _post(self, body: bytes) -> Any:
        headers = {"Content-Type": "application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        request = urllib.request.Request(self._url, data=body, headers=headers)
        opener = urllib.request.build_opener(_NoRedirect)
        with opener.open(request, timeout=self._timeout_s) as reply:
            return json.loads(reply.read(MAX_REPLY))


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A key is for the address that was set, not for one that it names."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


def _proposed(reply: Any) -> Any:
    content = str(reply["choices"][0]["message"]["content"]).strip()
    content = re.sub(r"^```(?:json)?\s*|\s*```$", "", content)
    return json.loads(content)


def checked(
    proposal: Any, text: str, workspace: Workspace, live: Mapping[str, Sequence[str]], now: datetime, tz: str
) -> Question | None:
    """A proposal as a request that holds in this workspace and says nothing that is not in the question."""
    if not isinstance(proposal, dict):
        return None
    kept = {key: value for key, value in proposal.items() if key not in ("id", "timestamp", "as_of", "domain")}
    if isinstance(kept.get("window"), dict):
        kept["window"] = {"tz": tz} | kept["window"]
    try:
        request = from_builtins(kept)
        if not isinstance(request, FILLED):
            return None
        if request.window is not None:
            window = windows.parse(request.window, "now-1h", tz)
            windows.resolve(window, now)
            request = msgspec.structs.replace(request, window=window)
    except (PlumblineError, ValueError, TypeError):
        return None
    fine = _names_hold(request, workspace) and _values_hold(request, text, workspace, live)
    return request if fine and _numbers_hold(request, text) else None


def _names_hold(request: Question, workspace: Workspace) -> bool:
    metrics = [*getattr(request, "metrics", ()), *([request.metric] if isinstance(request, Explain | Forecast) else [])]
    if isinstance(request, QueryRequest) and not metrics:
        return False
    dims = [*getattr(request, "group_by", ()), *getattr(request, "dimensions", ()), *(f.dim for f in request.filters)]
    dims += [request.dim] if isinstance(request, Values) else []
    if not all(m in workspace.metrics for m in metrics) or not all(d in workspace.dimensions for d in dims):
        return False
    datasets = {workspace.metrics[m].dataset for m in metrics} | {workspace.dimensions[d].dataset for d in dims}
    return len(datasets) <= 1


def _values_hold(request: Question, text: str, workspace: Workspace, live: Mapping[str, Sequence[str]]) -> bool:
    heard = text.casefold()
    known = [_holds(f, heard, live) for f in request.filters]
    named = [getattr(request, field, None) for field in ("flow_id", "agent_id", "resource_id")]
    known += [str(name).casefold() in heard for name in named if name is not None]
    return all(known)


def _holds(filter: Filter, heard: str, live: Mapping[str, Sequence[str]]) -> bool:
    return all(isinstance(v, str) and (v in live.get(filter.dim, ()) or v.casefold() in heard) for v in filter.values)


def _numbers_hold(request: Question, text: str) -> bool:
    """A limit is a number of the question; a count of rows is small."""
    if isinstance(request, Forecast):
        if not 1 <= request.horizon <= 60:
            return False
        return request.limit_at is None or any(abs(request.limit_at - n) <= 1e-9 * abs(n) for n in _numbers(text))
    limit = getattr(request, "limit", None)
    return limit is None or (isinstance(limit, int) and 1 <= limit <= 500)


def _numbers(text: str) -> list[float]:
    words = text.lower().split()
    found = []
    for at, word in enumerate(words):
        if number := COUNTS.fullmatch(word.strip(".,;?!$")):
            following = words[at + 1].strip(".,;?!") if at + 1 < len(words) else ""
            found += [scaled(number[1]), scaled(number[1], number[2] or following)]
    return found
