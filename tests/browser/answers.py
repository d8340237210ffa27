"""What the harness answers to questions beside its board: values of dimensions, and who sends."""

from __future__ import annotations

import time
from typing import Any

VALUES: dict[str, dict[str | None, int]] = {
    "agent": {"planner": 5210, "researcher": 3120, "coder": 2044, "reviewer": 911, "summariser": 420, None: 31},
    "domain": {"professional": 9020, "personal": 2011, "research": 700, "<img src=x onerror=alert(1)>": 5},
    "tool": {f"tool_{i:03}": 5000 // i for i in range(1, 201)},
    "status": {"ok": 11_400, "error": 336},
}


def values(request: dict[str, Any]) -> dict[str, Any]:
    """Values of `dim`, most frequent first; nothing where a filter keeps only what there is not."""
    known = VALUES.get(request["dim"], {"one": 12, "two": 7})
    nothing = any(not any(fits(f, value) for value in VALUES.get(f["dim"], {})) for f in request["filters"])
    search = request.get("search", "").lower()
    found = {} if nothing else {v: n for v, n in known.items() if search in (v or "").lower()}
    listed = [{"value": v, "n": n} for v, n in found.items()][: request.get("limit", 50)]
    return {"dim": request["dim"], "values": listed, "distinct": len(found), "rows": sum(found.values())}


def fits(wanted: dict[str, Any], value: str | None) -> bool:
    if wanted["op"] == "contains":
        return wanted["values"][0] in (value or "")
    return (value in wanted["values"]) != wanted["op"].startswith(("is_not", "not"))


def sources(request: dict[str, Any]) -> dict[str, Any]:
    """Four sources of which one is late, and two reasons for drops."""
    now = time.time()
    names = {"otel-collector": (0.4, 2.0), "gateway": (1.1, 3.0), "host": (2.2, 6.0), "billing-exporter": (41.0, 12.0)}
    return {
        "sources": [
            {
                "source": name,
                "last_seen": int((now - age) * 1000),
                "age_s": age,
                "usual_s": usual,
                "late": age > 2 * usual,
                "events_per_min": 6000 / (i + 1),
                "kinds": ["flow", "model"],
            }
            for i, (name, (age, usual)) in enumerate(names.items())
        ],
        "drops": [
            {"reason": "bad_time", "count": 12, "example": "time: expected RFC 3339, got 'yesterday'"},
            {"reason": "too_large", "count": 1, "example": None},
        ],
        "events_per_min": 12_400.0,
        "dropped": 13,
        "watermark": int((now - 0.6) * 1000),
    }


ANSWERS = {"values": values, "sources": sources}
