"""A wall grows by nothing: heap and nodes after forced collection stay flat, however many frames it has drawn.

Time is the page's own: a second of it is over as soon as its timers have run, with all that a wall does meanwhile: a
frame for each board, redraws, turns of the playlist, signs of life, pictures of itself, days and nights. The charts'
clocks go on by a bucket with each frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from playwright.sync_api import Browser, CDPSession, Page

from tests.browser.test_accessibility import fleet
from tests.browser.walls import Hall, scripted
from tests.conftest import Running

BOARDS = ("overview", "agents")
CHUNK_MS = 2000
LISTENERS = 900  # those of the same rows
NODES = 4500  # rows of the newest events stay known for a while, in a sawtooth; all else is as many as it was
# answers at once, as the page's seconds are shorter than a real answer takes
AT_ONCE = """
const real = globalThis.fetch
let plan = ""
globalThis.fetch = async (path, options) => {
  if (path === "/wall/me.json") {
    plan ||= await (await real(path, options)).text()
    const paired = plan.startsWith('{"screen')
    const answer = new Response(plan, { status: paired ? 200 : 401 })
    if (!paired) plan = ""
    return answer
  }
  if (!plan || !String(path).startsWith("/api/wall/")) return real(path, options)
  if (path === "/api/wall/picture") {
    feed.pictures = (feed.pictures ?? 0) + 1
    return new Response(null, { status: 204 })
  }
  const { revision, version } = JSON.parse(plan)
  return new Response(JSON.stringify({ revision, version, flash: false, at: Date.now() }))
}
"""


class Sample(NamedTuple):
    """What a page holds after a forced collection."""

    frames: int
    heap: float
    nodes: float
    listeners: float


def sampled(page: Page, control: CDPSession) -> Sample:
    control.send("HeapProfiler.collectGarbage")
    told = {m["name"]: m["value"] for m in control.send("Performance.getMetrics")["metrics"]}
    frames = page.evaluate("feed.frames")
    return Sample(frames, told["JSHeapUsedSize"], told["Nodes"], told["JSEventListeners"])


def slope(points: list[tuple[float, float]]) -> float:
    """Of the straight line nearest to the points."""
    n = len(points)
    x, y = sum(p[0] for p in points) / n, sum(p[1] for p in points) / n
    return sum((p[0] - x) * (p[1] - y) for p in points) / sum((p[0] - x) ** 2 for p in points)


@pytest.fixture
def wall(chromium: Browser, tmp_path: Path) -> Iterator[Page]:
    """A paired wall of two boards, whose clock stands still and whose feed tells a frame each second."""
    server = Running(tmp_path / "data").start()
    try:
        server.post(fleet())
        hall = Hall(server)
        page = chromium.new_page(viewport={"width": 1920, "height": 1080})
        scripted(page, hall, *BOARDS)
        page.add_init_script(AT_ONCE)
        page.clock.install()
        page.goto(hall.wall)
        hall.pair(page, *BOARDS, seconds=10, theme="auto")
        page.wait_for_selector(".tile[data-state=ok]")
        page.clock.pause_at(page.evaluate("Date.now()") / 1000 + 1)
        yield page
        page.close()
    finally:
        server.stop()


@pytest.mark.parametrize(
    ("every_ms", "frames", "samples", "bytes_per_frame"),
    [
        (100, 2_000, 10, 800.0),  # while compilers warm up; one forgotten row of a table is more than this
        pytest.param(250, 100_000, 50, 15.0, marks=pytest.mark.soak),
    ],
)
def test_a_wall_grows_by_nothing(wall: Page, every_ms: int, frames: int, samples: int, bytes_per_frame: float) -> None:
    """The slope is that of the second half."""
    control = wall.context.new_cdp_session(wall)
    control.send("Performance.enable")
    wall.evaluate(f"feed.every({every_ms})")
    taken: list[Sample] = []
    while not taken or taken[-1].frames < frames:
        wall.clock.run_for(CHUNK_MS)
        if wall.evaluate("feed.frames") >= len(taken) * frames / samples:
            taken.append(sampled(wall, control))
            print(taken[-1], flush=True)
    late = taken[len(taken) // 2 :]
    grown, nodes = (slope([(s.frames, s[i]) for s in late]) for i in (1, 2))
    pictures, seconds = wall.evaluate("[feed.pictures, performance.now() / 1000]")
    print(
        f"{late[-1].frames:,} frames in {seconds:,.0f} seconds of the page, {pictures} pictures of itself: heap "
        f"{late[0].heap / 1e6:.2f} to {late[-1].heap / 1e6:.2f} MB, {grown:+.1f} bytes and {nodes:+.4f} nodes a frame; "
        f"{late[0].nodes:.0f} to {late[-1].nodes:.0f} nodes"
    )
    assert pictures > 0
    assert grown < bytes_per_frame
    assert max(s.nodes for s in taken) < NODES
    assert max(s.listeners for s in late) < LISTENERS
