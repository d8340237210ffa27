"""What one more viewer costs the server at each tick, when he has his page already.

A tick answers the board once, however many look: that is the price of the board, not of a viewer. So ticks with one
viewer are taken off those with a thousand, on a server with little data, where the one does not drown the other.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count
from random import Random

from tests.bench.common import (
    Meter,
    Program,
    cheaper,
    fleet_events,
    median,
    pid_of,
    plumbline,
    program,
    report,
    sign_in,
)
from tests.conftest import Running, rfc3339, wait_until

ROUNDS, TICKS = 5, 4
OURS, PEERS = 1000, 15


def main() -> None:
    with (
        plumbline("--no-demo", history_h=0.05) as server,
        program("peer", "--live") as peer,
        program("viewers") as one,
        program("viewers") as crowd,
        program("viewers") as sessions,
        news(server),
    ):
        cookie = sign_in(server)
        ours, theirs = Meter(pid_of(server)), Meter(peer.pid)
        one.ask(f"feed {server.url} {cookie} 1")
        crowd.ask(f"feed {server.url} {cookie} 20")  # the first ones pay for what is made once
        crowd.ask("close")
        idle = theirs.idle_cpu(2.0)
        sessions.ask(f"panel {peer.said} {PEERS}")
        alone, together, viewer, session, patches = [], [], [], [], []
        for _ in range(ROUNDS):
            before, _ = watch(ours, one)
            crowd.ask(f"feed {server.url} {cookie} {OURS}")
            heard, patched, cpu = told(crowd, "frames"), told(sessions, "patches"), theirs.cpu_ms()
            full, seconds = watch(ours, one)
            session.append((theirs.cpu_ms() - cpu - idle * seconds) / (PEERS * seconds))
            patched = told(sessions, "patches") - patched
            hear(crowd, heard + OURS * TICKS)
            crowd.ask("close")
            after, _ = watch(ours, one)
            alone.append((before + after) / 2)
            together.append(full)
            viewer.append((full - alone[-1]) / OURS)
            patches.append(patched / PEERS / seconds)
    notes = {
        "viewers": f"{OURS} ours, {PEERS} peer at 1 Hz, {ROUNDS} rounds of {TICKS} ticks",
        "CPU ms a tick": f"{median(alone):.1f} with one viewer, {median(together):.1f} with {OURS + 1:,}",
        "patches per peer session and second": round(median(patches), 1),
    }
    report("tick", "Cost per viewer and tick", "plain Panel", [cheaper("server CPU", "ms", viewer, session, 60)], notes)


def watch(meter: Meter, viewer: Program) -> tuple[float, float]:
    """CPU ms per tick over the next TICKS ticks, and how many seconds they took."""
    frames, began, cpu = told(viewer, "frames"), told(viewer, "at"), meter.cpu_ms()
    while told(viewer, "frames") < frames + TICKS:
        time.sleep(0.02)
    seen = told(viewer, "frames") - frames
    return (meter.cpu_ms() - cpu) / seen, told(viewer, "at") - began


def hear(crowd: Program, frames: float) -> None:
    """Wait until so many frames have come through: what nobody reads costs nothing and proves nothing."""
    wait_until(lambda: told(crowd, "frames") >= frames, what="all viewers to hear all ticks")


def told(viewers: Program, what: str) -> float:
    return float(json.loads(viewers.ask("count"))[what])


@contextlib.contextmanager
def news(server: Running) -> Iterator[None]:
    """Eight events every second, so that each tick has something to say."""
    over = threading.Event()
    templates, random = fleet_events(0.01), Random(7)

    def send() -> None:
        for turn in count():
            now = rfc3339(datetime.now(UTC))
            chosen = random.choices(templates, k=8)
            server.post([e | {"event_id": f"news-{turn}-{i}", "time": now} for i, e in enumerate(chosen)])
            if over.wait(1.0):
                return

    sender = threading.Thread(target=send)
    sender.start()
    try:
        yield
    finally:
        over.set()
        sender.join()
