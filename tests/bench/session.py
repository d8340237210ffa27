"""What one more viewer costs the server: page, Bokeh session, document and, of ours, the feed with its snapshot."""

from __future__ import annotations

import json
import time
from typing import Any

from tests.bench.common import Meter, Program, cheaper, pid_of, plumbline, program, report, sign_in

ROUNDS = 3
OURS, PEERS = 40, 10  # sessions a round; they stay open, so that their memory can be counted
OURS_IDLE_S, PEERS_IDLE_S = 5.2, 1.0  # a quiet board is asked again every five seconds


def measure(viewers: Program, meter: Meter, command: str, count: int, idle_s: float) -> tuple[float, float, Any]:
    """CPU ms and MB per session, without what the server does anyway."""
    idle = meter.idle_cpu(idle_s)
    began, cpu, memory = time.monotonic(), meter.cpu_ms(), meter.memory_mb()
    said = json.loads(viewers.ask(f"{command} {count}"))
    used = meter.cpu_ms() - cpu - idle * (time.monotonic() - began)
    return used / count, (meter.memory_mb() - memory) / count, said


def main() -> None:
    with plumbline() as server, program("peer") as peer, program("viewers") as viewers:
        cookie = sign_in(server)
        turns = {
            "plumbline": (Meter(pid_of(server)), f"plumbline {server.url} {cookie}", OURS, OURS_IDLE_S),
            "panel": (Meter(peer.pid), f"panel {peer.said}", PEERS, PEERS_IDLE_S),
        }
        for _, command, _, _ in turns.values():
            viewers.ask(f"{command} 3")  # the first ones pay for imports and caches
        cpu: dict[str, list[float]] = {name: [] for name in turns}
        memory: dict[str, list[float]] = {name: [] for name in turns}
        size: dict[str, float] = {}
        for _ in range(ROUNDS):
            for name, (meter, command, count, idle_s) in turns.items():
                used, held, said = measure(viewers, meter, command, count, idle_s)
                cpu[name].append(used)
                memory[name].append(held)
                size[name] = round(said["bytes"] / count / 1024, 1)
        viewers.ask("close")
    figures = [
        cheaper("server CPU per session", "ms", cpu["plumbline"], cpu["panel"], goal=12),
        # the heap grows in steps: only the sum over the rounds says what one session holds
        cheaper("memory per open session", "MB", mean(memory["plumbline"]), mean(memory["panel"]), goal=12),
    ]
    notes = {"sessions": f"{ROUNDS * OURS} ours, {ROUNDS * PEERS} peer", "KB of page and document": size}
    report("session", "Cost of a session", "plain Panel", figures, notes)


def mean(values: list[float]) -> list[float]:
    return [sum(values) / len(values)]
