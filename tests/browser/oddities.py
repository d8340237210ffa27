"""A board of data at its worst, drawn by the real board in a page of the harness: tiles and what a server would say."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

from analytics.workspace import Board, Tile, Workspace
from analytics.workspace_reader import read
from dashboard.board import describe

LONG = "an-agent-whose-name-is-exactly-forty-one!"
MINUTE = 60_000
SHOW = """async ([spec, answer, theme]) => {
  document.documentElement.dataset.theme = theme
  document.querySelector("main").plumbline?.destroy()
  const main = document.querySelector("main")
  const { Scope } = await import(document.querySelector('link[href$="/scope.js"]').href)
  const scope = window.oddScope = new Scope({}, { window: "now-1h" })
  const steps = window.oddSteps = []
  scope.on((state) => steps.push({ window: state.window, filters: state.filters }))
  scope.undo = () => steps.push("undo")
  const transport = { ask() {}, retry() {}, close() {}, listen: ({ message, state }) => {
    window.oddSend = message
    state({ name: "connected", attempt: 0 })
    message({ type: "analytics_update", analytics: answer })
  } }
  Plumbline.mount(main, spec, transport, { scope, theme: () => theme })
  await new Promise((done) => setTimeout(done))
}"""


@dataclass
class Odd:
    """A tile and its answer."""

    tile: Tile
    head: dict[str, Any]
    columns: dict[str, list[Any]]


def workspace() -> Workspace:
    files = sorted((Path(__file__).parents[2] / "assets/workspaces").glob("*.yaml"))
    return read([(file, file.read_bytes()) for file in files])


def show(page: Page, odd: list[Odd], theme: str = "light") -> None:
    """Put these tiles in the place of the page's board."""
    known = workspace()
    board = Board(name="odd", title="Odd", tiles=tuple(o.tile for o in odd))
    page.evaluate(SHOW, [describe(board, known, theme), answer(odd), theme])


def answer(odd: list[Odd]) -> dict[str, Any]:
    now = int(time.time() * 1000)
    trust = {"state": "ok", "n": 8412, "confidence": 0.96, "parts": {"sample": 0.96}, "newest": now, "usual_s": 2.0}
    return {
        "board": "odd",
        "title": "Odd",
        "window": {"from": "2026-01-06T12:00:00Z", "to": "2026-01-06T13:00:00Z", "grain": "1m", "grain_s": 60},
        "label": "Last 1 hour",
        "previous_label": "previous hour",
        "now": now,
        "newest": now,
        "tiles": {o.tile.id: {"head": trust | o.head, "columns": o.columns} for o in odd},
    }


LIMIT = {"at": 1_767_716_400_000, "earliest": 1_767_715_680_000, "latest": None, "reason": None, "confidence": 0.9,
         "text": "Limit at 16:20, earliest 16:08"}  # fmt: skip
START = 1_767_700_800_000  # 2026-01-06 12:00 UTC


def times(count: int = 60) -> list[int]:
    return [START + i * MINUTE for i in range(count)]


def line(id: str, *columns: list[float | None], unit: str = "", previous: bool = False, **more: Any) -> Odd:
    """A line tile of metrics."""
    names = ["duration_p95", "duration_p50", "tool_duration_p95"][: len(columns)]
    found: dict[str, list[Any]] = {"t": times(len(columns[0]))}
    for i, column in enumerate(columns):
        found[f"s{i}"] = column
        found[f"p{i}"] = [v and v * 0.8 for v in column] if previous else [None] * len(column)
    series = [{"name": name, "title": name, "unit": unit, "per": None} for name in names]
    tile = Tile(id=id, type="line", title=id, metrics=tuple(names), **more)
    return Odd(tile, span(len(columns[0])) | {"series": series, "partial": None, "annotations": []}, found)


def span(count: int = 60) -> dict[str, Any]:
    return {"start": START, "end": START + count * MINUTE, "grain_ms": MINUTE}


def wave(i: int, phase: float = 0) -> float:
    return 1000 + 400 * math.sin(i / 7 + phase)


def groups(id: str = "groups", **more: Any) -> Odd:
    """A line tile by agent: long names, rows without one, and what is left."""
    names: list[str | None] = ["planner", LONG, "coder", None, "reviewer"]
    series: list[dict[str, Any]] = [
        {"name": n, "title": n or "(none)", "unit": "ms", "per": None, "dim": "agent", "other": False} for n in names
    ]
    series.append({"name": None, "title": "other", "unit": "ms", "per": None, "dim": "agent", "other": True})
    columns: dict[str, list[Any]] = {"t": times()}
    for k in range(6):
        columns[f"s{k}"] = [wave(i, k) + 300 * k for i in range(60)]
        columns[f"p{k}"] = [wave(i, k) + 250 * k for i in range(60)]
    head = span() | {"series": series, "partial": None, "annotations": []}
    return Odd(
        Tile(id=id, type="line", title="By agent", metrics=("duration_p95",), by=("agent",), **more), head, columns
    )


def kpi(id: str, value: float | None, values: list[float | None], unit: str = "", **head: Any) -> Odd:
    base = {"unit": unit, "per": None, "good": "down", "title": id, "description": "", "value": value}
    moved = {"previous": None, "change": None, "change_kind": "relative"} | head
    columns: dict[str, list[Any]] = {"t": times(len(values)), "v": values}
    return Odd(Tile(id=id, type="kpi", title=id, metrics=("spend",), width=2), base | moved, columns)


def bars(id: str, rows: list[tuple[str | None, float]], other: bool = False, unit: str = "usd") -> Odd:
    values = [v for _, v in rows]
    head = {
        "unit": unit,
        "per": None,
        "good": "down",
        "by": "agent",
        "other": other,
        "max": max(map(abs, values), default=0),
    }
    columns: dict[str, list[Any]] = {
        "label": [label for label, _ in rows],
        "value": values,
        "previous": [v * 0.9 for v in values],
        "change": [0.1 for _ in rows],
        "kind": ["relative" for _ in rows],
    }
    return Odd(
        Tile(id=id, type="bars", title=id, metrics=("spend",), by=("agent",)), head | {"title": "Spend"}, columns
    )


def heatmap(id: str = "cells", rows: int = 20) -> Odd:
    columns: dict[str, list[Any]] = {"t": [], "low": [], "high": [], "n": []}
    for t in times(rows):
        for k in range(18, 24):
            for name, v in zip(
                columns, (t, 10 ** (k / 6), 10 ** ((k + 1) / 6), (k * 7 + t // MINUTE) % 13 + 1), strict=True
            ):
                columns[name].append(v)
    head = span(rows) | {"unit": "ms", "by": "duration_bin", "max": 14, "per_decade": 6}
    tile = Tile(id=id, type="heatmap", title=id, metrics=("flows",), by=("duration_bin",), height=152)
    return Odd(tile, head, columns)


def table(id: str, count: int, spark: bool = True) -> Odd:
    names: list[str | None] = [f"agent-{i:05d}" for i in range(count)]
    if count > 2:
        names[1], names[2] = LONG, None
    fields = [
        {"name": "flow_rate", "title": "Flows", "unit": "flows", "per": "minute", "good": "up"},
        {"name": "spend", "title": "Spend", "unit": "usd", "per": "hour", "good": "down"},
    ]
    columns: dict[str, list[Any]] = {
        "agent": names,
        "flow_rate": [1e16 if i == 3 else 1000.5 - i for i in range(count)],
        "spend": [1e-9 if i == 4 else -1.25 * i for i in range(count)],
    }
    head: dict[str, Any] = {"by": ["agent"], "fields": fields, "other": False}
    if spark:
        columns["spark"] = [[wave(k, i) if (i + k) % 9 else None for k in range(30)] for i in range(count)]
        head["spark"] = {"metric": "flow_rate", "unit": "flows", "per": "minute"}
    return Odd(
        Tile(id=id, type="table", title=id, metrics=("flow_rate", "spend"), by=("agent",), width=12), head, columns
    )


def latest(id: str) -> Odd:
    """A row of now and one of yesterday, with a measurement and a number that is a name."""
    now = int(time.time() * 1000)
    fields = [{"name": name, "title": name, "unit": unit} for name, unit in
              (("time", "time"), ("weight", ""), ("order", ""))]  # fmt: skip
    columns: dict[str, list[Any]] = {
        "id": ["a", "b"], "time": [now, now - 1440 * MINUTE], "weight": [0.1 + 0.2, 2.0], "order": [1002003, 7],
    }  # fmt: skip
    return Odd(Tile(id=id, type="latest", title=id, columns=("time",), width=12), {"fields": fields}, columns)


def all_of_them() -> list[Odd]:
    some: list[float | None] = [wave(i) if i % 11 < 8 or i % 11 == 9 else None for i in range(60)]
    return [
        kpi("one value", 12.5, [12.5], "usd"),
        kpi("nothing", None, [None] * 20, "ms"),
        kpi("huge", 1.23e18, [1.2e18 + i * 1e15 for i in range(30)], "tokens"),
        kpi("tiny", 4.2e-9, [4e-9 + i * 1e-10 for i in range(30)], "usd", change=-0.5, previous=8.4e-9),
        kpi("below zero", -38.2, [-30.0 - i for i in range(30)], "usd", change=0.84, previous=-20.0),
        kpi("gaps", 0.0, [None if i % 2 else float(i % 7) for i in range(30)], "calls"),
        kpi("limited", 0.6, [0.5, 0.6], "percent", forecast=LIMIT),
        kpi("of histograms", 300.0, [290.0, 300.0], "ms", within=9.5),
        kpi("without any", None, [None, None], "ms", reason="no histogram in this window"),
        latest("rows"),
        line("lone points", some, [v if i % 5 == 0 else None for i, v in enumerate(some)], unit="ms", previous=True),
        line("one point", [1234.5], unit="ms"),
        line("all null", [None] * 60, [None] * 60, unit="ms"),
        line("all zero", [0.0] * 60, unit="calls"),
        line("both sides", [200 * math.sin(i / 6) - 60 for i in range(60)], unit="usd"),
        line("only below", [-50.0 - i for i in range(60)], unit="usd"),
        line("huge line", [1e16 + i * 1e14 for i in range(60)], unit="tokens"),
        line("tiny line", [1e-9 + i * 1e-11 for i in range(60)], unit="usd"),
        groups(width=6),
        groups("narrow", width=3),
        heatmap(),
        bars("mixed", [("planner", 14.1), (LONG, 6.5), (None, 3.0), ("coder", -8.25), ("other", 2.0)], other=True),
        bars("empty bars", []),
        table("many", 5000),
        table("none", 0),
    ]
