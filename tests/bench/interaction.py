"""A filter or a zoom, from the act to the painted answer, on the overview's twelve tiles over five million events;
and how long a tick keeps the browser's main thread from anything else.

`python -m tests.bench.interaction [EVENTS]`. The window holds all of them, or an eighth.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from analytics.events import SCHEMA
from analytics.store.duckdb import DuckDBStore
from analytics.workspace import load
from tests.bench.common import median, report, share, sign_in
from tests.bench.screens import OURS_DRAWN, browser, first_chart, visitor
from tests.conftest import ROOT, Running, flow

EVENTS, HOURS, CHUNK, ROUNDS = 5_000_000, 24, 100_000, 40
LIMIT_MS, BLOCK_MS, TICKS_S = 300.0, 100.0, 20.0
AGENTS = ("planner", "researcher", "coder", "reviewer", "summariser", "critic", "router", "translator")
TOOLS = ("web_search", "sql_query", "file_edit", "shell", "fetch_url")
MODELS = ("small", "medium", "large")
DOMAINS = ("professional", "personal", "research")
WINDOWS = {"all of it": ("now-24h", "now-20h"), "an eighth": ("now-3h", "now-150m")}

ACT = """async (change) => {
  const { scope } = await Plumbline.page
  const { view } = document.querySelector(".tile").tile
  const frame = () => new Promise(requestAnimationFrame)
  const started = performance.now()
  scope.set(change)
  const waiting = () => view.element.hasAttribute("aria-busy") || [...view.dirty].some((tile) => tile.visible)
  while (waiting()) await frame()
  await frame() // what was drawn is handed to the screen with this one
  return performance.now() - started
}"""
BLOCKED = """(ms) => new Promise((done) => {
  let worst = 0
  const look = (list) => { for (const e of list.getEntries()) worst = Math.max(worst, e.duration) }
  const observer = new PerformanceObserver(look)
  observer.observe({ type: "longtask" })
  setTimeout(() => { observer.disconnect(); done(worst) }, ms)
})"""


def main() -> None:
    count = int(sys.argv[-1]) if sys.argv[-1].isdigit() else EVENTS
    with tempfile.TemporaryDirectory(prefix="plumbline-bench-") as folder:
        data = Path(folder) / "data"
        data.mkdir()
        asyncio.run(fill(data, count))
        server = Running(data, "--no-demo", "--deadline-s", "60").start()
        try:
            with browser() as chromium:
                measure(chromium, server, count)
        finally:
            server.stop()


def measure(chromium: Any, server: Running, count: int) -> None:
    cookie = sign_in(server)
    figures, notes = (
        [],
        {"events": f"{count:,} over {HOURS} h", "acts": f"{ROUNDS} per window, filters and zooms in turns"},
    )
    with visitor(chromium, OURS_DRAWN, server, cookie) as page:
        first_chart(page, f"{server.url}/overview?window={WINDOWS['an eighth'][0]}")
        for name, (wide, near) in WINDOWS.items():
            taken = [page.evaluate(ACT, change) for change in acts(wide, near)][2:]
            figures.append(share(f"act to painted, window holds {name}: p95", "ms", [p95(taken)], [LIMIT_MS], 1.0))
            notes[f"median, {name}"] = f"{median(taken):.0f} ms"
        page.evaluate(ACT, {"window": WINDOWS["an eighth"][0], "filters": []})
        with live(server):
            blocked = page.evaluate(BLOCKED, TICKS_S * 1000)
        figures.append(share("longest task while ticking", "ms", [blocked], [BLOCK_MS], 1.0))
    report("interaction", "From an act to the painted answer", "limit", figures, notes)


def acts(wide: str, near: str) -> Iterator[dict[str, Any]]:
    """Every one another question: no answer is remembered."""
    for i in range(ROUNDS // 2):
        agents = [AGENTS[i % 8], AGENTS[(i * 3 + 1) % 8]]
        yield {"window": f"{wide} to now-{i + 1}s", "filters": []}
        yield {"filters": [{"dim": "agent", "op": "in", "values": agents}], "window": f"{near} to now-{i + 1}s"}


def p95(values: list[float]) -> float:
    return sorted(values)[int(len(values) * 0.95)]


class live:
    """Fifty events a second while the block runs."""

    def __init__(self, server: Running) -> None:
        self._server, self._over = server, threading.Event()
        self._thread = threading.Thread(target=self._send)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _send(self) -> None:
        while not self._over.wait(1.0):
            self._server.post([flow(ago_s=0.1, agent=AGENTS[i % 8]) for i in range(50)])


async def fill(data: Path, count: int) -> None:
    """Write the events before the server opens its file."""
    workspace = load(sorted((ROOT / "assets/workspaces").glob("*.yaml")))
    store = DuckDBStore(data / "plumbline.duckdb", lambda: workspace)
    await store.open()
    end, random = datetime.now(UTC).replace(tzinfo=None), np.random.default_rng(7)
    step = timedelta(hours=HOURS) / count
    for at in range(0, count, CHUNK):
        await store.append(
            "events", rows(end - timedelta(hours=HOURS) + at * step, step, min(CHUNK, count - at), at, random)
        )
    await store.close()


def rows(start: datetime, step: timedelta, n: int, first: int, random: np.random.Generator) -> pa.Table:
    """Flows, model and tool calls in equal shares."""
    kind = random.integers(0, 3, n)
    picked = lambda names: np.array(names)[random.integers(0, len(names), n)]  # noqa: E731
    nobody = np.full(n, None)
    times = np.datetime64(start) + np.arange(n) * np.timedelta64(int(step / timedelta(microseconds=1)), "us")
    columns: dict[str, Any] = {
        "time": times, "received": times, "event_id": [f"e{first + i}" for i in range(n)],
        "kind": np.array(["flow", "model", "tool"])[kind], "name": picked(("answer", "plan", "fix", "review")),
        "domain": picked(DOMAINS), "source": picked(("crew-a", "crew-b", "crew-c")),
        "flow_id": [f"f{(first + i) // 8}" for i in range(n)], "agent": picked(AGENTS),
        "model": np.where(kind == 1, picked(MODELS), nobody), "tool": np.where(kind == 2, picked(TOOLS), nobody),
        "status": np.where(random.random(n) < 0.03, "error", "ok"), "duration_ms": random.lognormal(7, 0.8, n),
        "tokens_input": np.where(kind == 1, random.integers(100, 4000, n), 0),
        "tokens_output": np.where(kind == 1, random.integers(10, 800, n), 0),
        "cost_usd": np.where(kind == 1, random.random(n) * 0.02, 0.0),
    }  # fmt: skip
    arrays = [
        pa.array(columns[f.name], f.type, from_pandas=True) if f.name in columns else pa.nulls(n, f.type)
        for f in SCHEMA
    ]
    return pa.table(arrays, schema=SCHEMA)


if __name__ == "__main__":
    main()
