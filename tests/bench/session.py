"""What one more viewer costs the server: page, Bokeh session, document and, of ours, the feed with its snapshot."""

from __future__ import annotations

import json
import time
from typing import Any

from tests.bench.common import Meter, Program, cheaper, pid_of, plumbline, program, report, sign_in

ROUNDS = 3
OURS, PEERS = 40, 10  # sessions a round
HELD = 200  # sessions of ours whose memory is counted; the peer's 30 weigh enough
SETTLE_S = 5.0
OURS_IDLE_S, PEERS_IDLE_S = 5.2, 1.0  # a quiet board is asked again every five seconds


def main() -> None:
    with plumbline() as server, program("peer") as peer, program("viewers") as viewers:
        cookie = sign_in(server)
        turns = {
            "plumbline": (Meter(pid_of(server)), f"plumbline {server.url} {cookie}", OURS, OURS_IDLE_S),
            "panel": (Meter(peer.pid), f"panel {peer.said}", PEERS, PEERS_IDLE_S),
        }
        for _, command, _, _ in turns.values():
            viewers.ask(f"{command} 3")  # the first ones pay for imports and caches
        held = Meter(peer.pid).memory_mb()
        cpu: dict[str, list[float]] = {name: [] for name in turns}
        size: dict[str, float] = {}
        for _ in range(ROUNDS):
            for name, (meter, command, count, idle_s) in turns.items():
                used, said = measure(viewers, meter, command, count, idle_s)
                cpu[name].append(used)
                size[name] = round(said["bytes"] / count / 1024, 1)
        theirs = (Meter(peer.pid).memory_mb() - held) / (ROUNDS * PEERS)
    ours = memory()
    figures = [
        cheaper("server CPU per session", "ms", cpu["plumbline"], cpu["panel"], goal=12),
        cheaper("memory per open session", "MB", [ours], [theirs], goal=12),
    ]
    notes: dict[str, Any] = {
        "sessions": f"{ROUNDS * OURS} ours, {ROUNDS * PEERS} peer; for memory {HELD} of ours on their own",
        "KB of page and document": size,
    }
    report("session", "Cost of a session", "plain Panel", figures, notes)


def measure(viewers: Program, meter: Meter, command: str, count: int, idle_s: float) -> tuple[float, Any]:
    """CPU ms per session, without what the server does anyway; they stay open."""
    idle = meter.idle_cpu(idle_s)
    began, cpu = time.monotonic(), meter.cpu_ms()
    said = json.loads(viewers.ask(f"{command} {count}"))
    return (meter.cpu_ms() - cpu - idle * (time.monotonic() - began)) / count, said


def memory() -> float:
    """MB per open session of ours.

    On a server without data, for the engine's own ups and downs are larger; and of each reading the least of a while,
    for Python collects what page requests left behind (about 0.9 MB each) only now and then.
    """
    with plumbline(history_h=0) as server, program("viewers") as viewers:
        command = f"plumbline {server.url} {sign_in(server)}"
        meter = Meter(pid_of(server))
        viewers.ask(f"{command} 20")
        before = settled(meter)
        viewers.ask(f"{command} {HELD}")
        return (settled(meter) - before) / HELD


def settled(meter: Meter) -> float:
    readings, over = [], time.monotonic() + SETTLE_S
    while time.monotonic() < over:
        readings.append(meter.memory_mb())
        time.sleep(0.2)
    return min(readings)
