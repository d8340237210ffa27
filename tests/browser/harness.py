"""A board to look at without an engine: real pages, a scripted feed. `python -m tests.browser.harness [--port N]`

The feed speaks analytics.v1 and invents a fleet whose planner gets slow ten minutes before now. POST /mock/MODE
changes its mood: live, silent (open but mute), mute (answers no question of why or in words), down (refuses), empty,
error, late, restart (new epoch), hostile.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import random
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import panel as pn
from tornado.ioloop import PeriodicCallback
from tornado.web import RequestHandler
from tornado.websocket import WebSocketHandler

from analytics.frames import tile_difference
from analytics.keys import Keys
from analytics.workspace import Board, Tile, Workspace
from analytics.workspace_reader import read
from dashboard import login
from dashboard.assets import Assets
from dashboard.login import Auth
from dashboard.pages import Site
from tests.browser.answers import ANSWERS
from tests.browser.reasons import REASONED, answered

ROOT = Path(__file__).resolve().parents[2]
EVIL = "<img src=x onerror=alert(1)>"
SPANS = {
    "now-5m": (300, 5),
    "now-15m": (900, 10),
    "now-1h": (3600, 30),
    "now-6h": (21600, 120),
    "now-24h": (86400, 600),
}
LABELS = {
    "now-5m": "5 minutes",
    "now-15m": "15 minutes",
    "now-1h": "1 hour",
    "now-6h": "6 hours",
    "now-24h": "24 hours",
}


def noise(seed: float) -> float:
    """The same moment is always the same noise, so that only the newest bucket changes."""
    return random.Random(int(seed)).random() - 0.5


def wave(name: str, t: float) -> float:
    """Value of a metric at epoch second t."""
    now = time.time()
    slow = min(1.0, max(0.0, (t - (now - 1000)) / 240))
    base, swing, jump = {
        "flow_rate": (1284, 90, 0),
        "success_rate": (0.985, 0.004, -0.02),
        "duration_p95": (2450, 260, 2300),
        "duration_p50": (1010, 60, 0),
        "spend": (31, 3, 7),
        "token_rate": (2.3e6, 2.2e5, 0),
        "agents_active": (17, 0, 0),
        "cpu": (0.34, 0.12, 0),
        "memory": (0.61, 0.02, 0),
        "disk": (0.42, 0, 0),
        "network": (2.4e6, 9e5, 0),
        "load": (1.2, 0.4, 0),
        "processes": (212, 4, 0),
        "network_in": (1.6e6, 7e5, 0),
        "network_out": (7.5e5, 3e5, 0),
    }.get(name, (100, 10, 0))
    value = base + swing * math.sin(t / 420) + swing * 0.7 * noise(t // 5 * 7 + len(name)) + jump * slow
    return min(value, 1.0) if base < 1 else round(value) if name in ("agents_active", "processes") else value


@dataclass
class Fleet:
    """The scripted world behind the feed."""

    workspace: Workspace
    mode: str = "live"
    began: float = field(default_factory=time.time)  # when the mood was set
    epoch: str = "e1"
    sockets: set[Feed] = field(default_factory=set)

    def analytics(self, request: dict[str, Any]) -> dict[str, Any]:
        known_at = request.get("as_of")
        now = datetime.fromisoformat(known_at).timestamp() if known_at else time.time()
        window = request.get("window", "now-1h")
        window = window if isinstance(window, str) else window["from"]
        span, grain = SPANS.get(window, (3600, 30))
        board = self.workspace.boards[request["board"]]
        seen = now - (47 if self.mode == "late" else 0.6)
        label = LABELS.get(window, "1 hour")
        return {
            "board": board.name,
            "dataset": "events",
            "as_of": int(now * 1000) if known_at else None,
            "title": board.title,
            "description": board.description,
            "file": "agents.yaml",
            "window": {
                "from": rfc3339(now - span),
                "to": rfc3339(now),
                "tz": "UTC",
                "grain": f"{grain}s",
                "grain_s": grain,
            },
            "label": f"Last {label}",
            "previous_label": f"previous {label.removeprefix('1 ')}",
            "now": int(now * 1000),
            "newest": int(seen * 1000),
            "usual_s": 2.0,
            "freshness_s": 0.6,
            "completeness": 1.0,
            "sources": {"reporting": 4, "late": [{"source": "billing-exporter", "age_s": 41}]},
            "events_per_min": 12400 + 300 * noise(now),
            "dropped": 0,
            "query_ms": 7.2,
            "viewers": 214,
            "domains": ["professional", "personal", "research", EVIL],
            "workspace_error": None,
            "tiles": {t.id: self.tile(board, t, now, span, grain, request) for t in board.tiles},
        }

    def tile(
        self, board: Board, tile: Tile, now: float, span: int, grain: int, request: dict[str, Any]
    ) -> dict[str, Any]:
        head: dict[str, Any] = {
            "state": "ok",
            "n": 8412,
            "watermark": int((now - (47 if self.mode == "late" else 0.6)) * 1000),
            "newest": int((now - (47 if self.mode == "late" else 0.6)) * 1000),
            "usual_s": 2.0,
        }
        if self.mode == "empty":
            return {"head": head | {"state": "empty", "reason": "no events in the last hour", "n": 0}, "columns": {}}
        if self.mode == "error" and tile.id in ("duration", "spend", "errors_by_tool"):
            return {
                "head": head | {"state": "error", "reason": "the engine was slower than the deadline of 5 s"},
                "columns": {},
            }
        trust = 0.82 if "spend" in tile.id else 0.96
        head |= {"confidence": trust, "parts": {"sample": 0.98, "freshness": 0.99, "completeness": trust}}
        made = getattr(self, tile.type)(tile, now, span, grain)
        if tile.metrics:
            head["request"] = {
                "type": "query",
                "metrics": tile.metrics,
                "dataset": "events",
                "filters": request["filters"],
            }
        if request.get("compare") == "off":
            for name in list(made["columns"]):
                if name.startswith("p") and name[1:].isdigit():
                    made["columns"][name] = [None] * len(made["columns"][name])
            made["head"] |= {"previous": None, "change": None} if "previous" in made["head"] else {}
        return {"head": head | made["head"], "columns": made["columns"]}

    def about(self, tile: Tile) -> dict[str, Any]:
        m = self.workspace.metrics[tile.metrics[0]]
        return {
            "metric": m.name,
            "unit": m.unit,
            "per": m.per,
            "good": m.good,
            "title": m.title,
            "description": m.description,
        }

    def times(self, now: float, span: int, grain: int) -> list[int]:
        first = int((now - span) // grain * grain) + grain
        return list(range(first, int(now) + 1, grain))

    def kpi(self, tile: Tile, now: float, span: int, grain: int) -> dict[str, Any]:
        name = tile.metrics[0]
        times = self.times(now, span, grain)[:: max(1, span // grain // 60)]
        values = [wave(name, t) for t in times]
        good = {"flow_rate": 0.062, "success_rate": -0.019, "duration_p95": 0.84, "spend": 0.22, "token_rate": 0.09}
        change = good.get(name, 0.004)
        kind = "pp" if name == "success_rate" else "relative"
        head = {"value": wave(name, now), "previous": 1.0, "change": change, "change_kind": kind}
        return {"head": self.about(tile) | head, "columns": {"t": [t * 1000 for t in times], "v": values}}

    def line(self, tile: Tile, now: float, span: int, grain: int) -> dict[str, Any]:
        times = self.times(now, span, grain)
        columns: dict[str, list[Any]] = {"t": [t * 1000 for t in times]}
        for i, name in enumerate(tile.metrics):
            columns[f"s{i}"] = [wave(name, t if t < times[-1] else now) for t in times]
            columns[f"p{i}"] = [wave(name, t - 4000) for t in times] if i == 0 else [None] * len(times)
            if len(times) > 30:
                columns[f"s{i}"][20] = None
        metrics = [self.workspace.metrics[m] for m in tile.metrics]
        title = EVIL if self.mode == "hostile" else None
        slow = tile.id == "duration" and span >= 3600
        ranged = [(base * 0.74, base * 1.2) for base in (2450 + 260 * math.sin(t / 420) for t in times)]
        columns["lo"] = [low if slow else None for low, _ in ranged]
        columns["hi"] = [high if slow else None for _, high in ranged]
        since = int((self.began - 880) // grain * grain) * 1000
        mark = {
            "t": since, "until": None, "value": 3900.0, "low": 1900.0, "high": 3200.0, "kind": "shift_up",
            "text": EVIL if self.mode == "hostile" else "level shift +84%", "tone": "bad", "confidence": 0.99,
        }  # fmt: skip
        band = {"state": "ok" if slow else "learning", "has": 0 if slow else 34, "needs": 0 if slow else 60}
        return {
            "head": {
                "band": band | {"level": 0.95, "coverage": 0.953 if slow else None, "reason": None},
                "marks": [mark] if slow else [],
                "series": [{"name": m.name, "title": title or m.title, "unit": m.unit, "per": m.per} for m in metrics],
                "partial": times[-1] * 1000,
                "start": times[0] * 1000,
                "end": int(now * 1000),
                "grain_ms": grain * 1000,
                "annotations": [],
            },
            "columns": columns,
        }

    def bars(self, tile: Tile, now: float, span: int, grain: int) -> dict[str, Any]:
        known: dict[str, list[tuple[str | None, float, float | None]]] = {
            "spend_by_agent": [
                ("planner", 14.1, 0.41),
                ("researcher", 9.12, 0.12),
                ("coder", 7.03, -0.03),
                ("reviewer", 3.95, 0.01),
                ("summariser", 2.64, -0.08),
            ],
            "errors_by_tool": [
                ("web_search", 0.074, 0.069),
                ("sql_query", 0.021, 0.002),
                ("file_edit", 0.012, -0.001),
                ("shell", 0.008, 0.0),
                ("fetch_url", 0.005, -0.004),
            ],
            "by_name": [
                ("system.cpu.utilization", 900.0, 0.0),
                ("system.memory.utilization", 900.0, 0.0),
                ("plumbline.network.rate", 450.0, None),
            ],
        }
        rows = known[tile.id]
        if self.mode == "hostile":
            rows = [(EVIL, 10.0, 0.5), (None, 4.0, None), ("x" * 300, 3.0, -0.5)]
        live = [(label, v * (1 + 0.01 * noise(now * 3 + i)), c) for i, (label, v, c) in enumerate(rows)]
        kind = "pp" if tile.id == "errors_by_tool" else "relative"
        return {
            "head": self.about(tile) | {"by": tile.by[0], "other": False, "max": max(v for _, v, _ in live)},
            "columns": {
                "label": [r[0] for r in live],
                "value": [r[1] for r in live],
                "previous": [r[1] * 0.9 for r in live],
                "change": [r[2] for r in live],
                "kind": [kind] * len(live),
            },
        }

    def heatmap(self, tile: Tile, now: float, span: int, grain: int) -> dict[str, Any]:
        step = grain * 2.5
        columns: dict[str, list[Any]] = {"t": [], "low": [], "high": [], "n": []}
        first = math.ceil((now - span) / step) * step
        for i in range(int((now - first) // step) + 1):
            t = first + i * step
            middle = math.log10(2 + 5 * (t > now - 1000)) + 3
            for k in range(12, 31):
                low = k / 6
                n = round(90 * math.exp(-(((low - middle) / 0.36) ** 2)) * (0.75 + 0.5 * (noise(t + k) + 0.5)))
                if n:
                    for name, v in zip(columns, (int(t * 1000), 10**low, 10 ** (low + 1 / 6), n), strict=True):
                        columns[name].append(v)
        head = {
            "grain_ms": int(step * 1000),
            "unit": "ms",
            "by": "duration_bin",
            "max": max(columns["n"]),
            "per_decade": 6,
        }
        return {"head": head | {"start": int(first * 1000), "end": int(now * 1000)}, "columns": columns}

    def latest(self, tile: Tile, now: float, span: int, grain: int) -> dict[str, Any]:
        ids = [int(now // 3) - i for i in range(tile.limit)]
        name = EVIL if self.mode == "hostile" else "answer_question"
        made = {
            "time": [i * 3000 for i in ids],
            "name": [name if i % 3 else "nightly_report" for i in ids],
            "agent": [("planner", "researcher", "coder", None)[i % 4] for i in ids],
            "domain": ["professional"] * len(ids),
            "status": ["error" if i % 5 == 0 else "ok" for i in ids],
            "duration_ms": [2000 + 3000 * (noise(i) + 0.5) for i in ids],
        }
        units = {"time": "time", "duration_ms": "ms"}
        fields = [
            {"name": c, "title": c.removesuffix("_ms").capitalize(), "unit": units.get(c, "")} for c in tile.columns
        ]
        return {
            "head": {"fields": fields},
            "columns": {"id": [str(i) for i in ids]} | {c: made[c] for c in tile.columns},
        }

    def changes(self, tile: Tile, now: float, span: int, grain: int) -> dict[str, Any]:
        tool = EVIL if self.mode == "hostile" else "tool = web_search"
        items = [
            {
                "kind": "rise",
                "metric": "duration_p95",
                "tone": "bad",
                "confidence": 0.93,
                "n": 8412,
                "text": [
                    {"t": "p95 duration rose 84%", "b": True, "tone": "bad"},
                    {"t": ", 2.6 → 4.8 s. "},
                    {"t": "91%", "b": True},
                    {"t": " of the rise comes from "},
                    {"t": tool, "b": True},
                    {"t": " called by "},
                    {"t": "planner", "b": True},
                    {"t": "."},
                ],
                "shares": [{"label": "web_search × planner", "share": 0.91}, {"label": "sql_query", "share": 0.06}],
                "note": "parts sum to the change",
            },
            {
                "kind": "rise",
                "metric": "spend",
                "tone": "bad",
                "confidence": 0.82,
                "n": 20114,
                "text": [
                    {"t": "Spend up $6.90/h", "b": True},
                    {"t": " with flat volume: the mix moved to "},
                    {"t": "model = large", "b": True},
                    {"t": " (31 → 58%)."},
                ],
                "shares": [],
                "note": "1 of 4 exporters 41 s late",
            },
            {
                "kind": "forecast",
                "metric": "quota_share",
                "tone": "bad",
                "confidence": 0.88,
                "n": 0,
                "text": [
                    {"t": "Token quota reaches its limit at 16:20", "b": True, "tone": "bad"},
                    {"t": " ± 12 min at this pace."},
                ],
                "shares": [],
                "note": "95 of 100 such intervals hold what comes",
            },
        ]
        return {
            "head": {"since": datetime.fromtimestamp(now - 1000, UTC).strftime("%H:%M"), "items": items},
            "columns": {},
        }

    def table(self, tile: Tile, now: float, span: int, grain: int) -> dict[str, Any]:
        return {"head": {"by": list(tile.by), "fields": []}, "columns": {}}


def rfc3339(t: float) -> str:
    return datetime.fromtimestamp(t, UTC).isoformat().replace("+00:00", "Z")


class Feed(WebSocketHandler):
    """Just enough of analytics.v1."""

    def initialize(self, fleet: Fleet, auth: Auth) -> None:
        self.fleet, self.auth = fleet, auth
        self.standing: dict[str, Any] | None = None
        self.shown: dict[str, Any] = {}
        self.seq = 0

    async def prepare(self) -> None:
        if self.fleet.mode == "down":
            self.send_error(503)
        elif self.auth.principal(self.request) is None:
            self.send_error(401)

    def select_subprotocol(self, subprotocols: list[str]) -> str | None:
        return "analytics.v1" if "analytics.v1" in subprotocols else None

    def open(self) -> None:
        self.fleet.sockets.add(self)
        self.say(
            {
                "type": "welcome",
                "v": 1,
                "conn": "c",
                "epoch": self.fleet.epoch,
                "ping_s": 20,
                "limits": {},
                "principal": "demo",
            }
        )

    def on_close(self) -> None:
        self.fleet.sockets.discard(self)

    def say(self, message: dict[str, Any]) -> None:
        self.write_message(json.dumps(message))

    def on_message(self, raw: str | bytes) -> None:
        message = json.loads(raw)
        if message["type"] == "ping" and self.fleet.mode != "silent":
            self.say({"type": "pong", "at": int(time.time() * 1000)})
        elif message["type"] in ANSWERS:
            self.say({"type": "analytics_update", "id": message["id"], "analytics": ANSWERS[message["type"]](message)})
        elif message["type"] in REASONED and self.fleet.mode != "mute":
            self.say({"id": message["id"]} | answered(message, self.fleet.mode))
        elif message["type"] == "unsubscribe":
            self.standing = None
        elif message["type"] == "subscribe":
            self.standing, self.seq = message, 1
            if "bad" in str(message["request"].get("window")):
                error = {
                    "code": "VALIDATION_ERROR",
                    "message": "no window 'bad'",
                    "hint": "write it like now-1h or now/d",
                }
                self.say({"type": "error", "id": message["id"], "error": error})
                self.standing = None
                return
            self.say(
                {
                    "type": "subscribed",
                    "id": message["id"],
                    "sub": message["sub"],
                    "epoch": self.fleet.epoch,
                    "seq": 1,
                    "recovered": False,
                }
            )
            self.snapshot()

    def snapshot(self) -> None:
        assert self.standing is not None
        self.shown = self.fleet.analytics(self.standing["request"])
        self.say(
            {
                "type": "analytics_update",
                "sub": self.standing["sub"],
                "epoch": self.fleet.epoch,
                "seq": self.seq,
                "analytics": self.shown,
                "insights": [],
                "confidence": 0.9,
                "confidence_parts": {},
                "timestamp": rfc3339(time.time()),
            }
        )

    def tick(self) -> None:
        if self.standing is None or self.fleet.mode == "silent":
            return
        new = self.fleet.analytics(self.standing["request"])
        tiles = {k: d for k, t in new["tiles"].items() if (d := tile_difference(self.shown["tiles"].get(k), t))}
        board = {k: v for k, v in new.items() if k != "tiles" and self.shown.get(k) != v}
        self.seq += 1
        self.say(
            {
                "type": "frame",
                "sub": self.standing["sub"],
                "epoch": self.fleet.epoch,
                "seq": self.seq,
                "at": int(time.time() * 1000),
                "board": board,
                "tiles": tiles,
            }
        )
        self.shown = new


class Mood(RequestHandler):
    """POST /mock/MODE."""

    def initialize(self, fleet: Fleet) -> None:
        self.fleet = fleet

    def check_xsrf_cookie(self) -> None:
        pass

    def post(self, mode: str) -> None:
        if mode == "restart":
            self.fleet.epoch += "x"
            mode = "live"
        self.fleet.mode, self.fleet.began = mode, time.time()
        for socket in list(self.fleet.sockets):
            if mode in ("down", "restart"):
                socket.close(1001)
        self.write("ok")


class Session(RequestHandler):
    def initialize(self, auth: Auth) -> None:
        self.auth = auth

    def get(self) -> None:
        self.set_status(204 if self.auth.principal(self.request) else 401)


class Catalogue(RequestHandler):
    """GET /api/dimensions, /api/metrics, /api/datasets."""

    def initialize(self, fleet: Fleet) -> None:
        self.fleet = fleet

    def get(self, what: str) -> None:
        self.set_header("Content-Type", "application/json")
        self.write(msgspec.json.encode([*getattr(self.fleet.workspace, what).values()]))


def serve(port: int = 0, tick_s: float = 1.0) -> tuple[Any, Fleet, str, Callable[[], None]]:
    """A started server in the running loop: (server, its fleet, a key to sign in with, stop)."""
    files = sorted((ROOT / "assets/workspaces").glob("*.yaml"))
    fleet = Fleet(read([(f, f.read_bytes()) for f in files]))
    keys = Keys(Path(tempfile.mkdtemp()), lambda: datetime.now(UTC))
    _, key = keys.create("viewer", ["read"])
    auth = Auth(keys)
    assets = Assets(ROOT / "assets")
    site = Site(assets, auth, lambda: fleet.workspace)
    server = pn.serve(
        site.applications(),
        port=port,
        show=False,
        start=False,
        location=False,
        auth_provider=auth,
        extra_patterns=[
            *site.routes(),
            *login.routes(auth, assets),
            (r"/api/session", Session, {"auth": auth}),
            (r"/api/(dimensions|metrics|datasets)", Catalogue, {"fleet": fleet}),
            (r"/api/analytics/ws", Feed, {"fleet": fleet, "auth": auth}),
            (r"/mock/(\w+)", Mood, {"fleet": fleet}),
        ],
        websocket_origin=["*"],
        include_headers=[],
        include_cookies=[],
        sign_sessions=True,
        secret_key="harness",
    )
    server.start()

    def tick() -> None:
        for socket in list(fleet.sockets):
            socket.tick()

    clock = PeriodicCallback(tick, tick_s * 1000)
    clock.start()

    def stop() -> None:
        clock.stop()
        server.stop()
        keys.close()

    return server, fleet, key, stop


async def main(port: int) -> None:
    server, _, key, _ = serve(port)
    print(f"http://127.0.0.1:{server.port}/overview  key: {key}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    asyncio.run(main(parser.parse_args().port))
