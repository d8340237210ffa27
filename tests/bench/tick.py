"""What one more viewer costs the server at each tick, when he has his page already."""

from __future__ import annotations

import json
import time

from tests.bench.common import Meter, Program, cheaper, median, pid_of, plumbline, program, report, sign_in

ROUNDS, SECONDS = 3, 4.0
OURS, PEERS = 1000, 15


def main() -> None:
    with (
        plumbline("--demo") as server,
        program("peer", "--live") as peer,
        program("viewers") as one,
        program("viewers") as crowd,
        program("viewers") as sessions,
    ):
        cookie = sign_in(server)
        ours, theirs = Meter(pid_of(server)), Meter(peer.pid)
        one.ask(f"feed {server.url} {cookie} 1")
        crowd.ask(f"feed {server.url} {cookie} 20")  # the first ones pay for what is made once
        crowd.ask("close")
        idle = theirs.idle_cpu(2.0)
        sessions.ask(f"panel {peer.said} {PEERS}")
        viewer, session, rates, patches, snapshots = [], [], [], [], []
        for _ in range(ROUNDS):
            alone, frames = (x / SECONDS for x in watch(ours, one))
            said = json.loads(crowd.ask(f"feed {server.url} {cookie} {OURS}"))
            snapshots.append(median(said["snapshot_ms"]))
            patched, cpu = json.loads(sessions.ask("count"))["patches"], theirs.cpu_ms()
            began, together, ticks = time.monotonic(), *watch(ours, one)
            heard = json.loads(crowd.ask("count"))["frames"]
            seconds = time.monotonic() - began
            viewer.append((together - alone * SECONDS) / (OURS * ticks))
            patches.append((json.loads(sessions.ask("count"))["patches"] - patched) / PEERS / seconds)
            session.append((theirs.cpu_ms() - cpu - idle * seconds) / (PEERS * seconds))
            rates.append((round(frames, 2), round(ticks / SECONDS, 2), round(alone)))
            assert heard >= 0.9 * OURS * ticks, f"{heard} frames heard of {OURS * ticks}"
            crowd.ask("close")
        assert min(patches) > 5, "the peer's viewers hear nothing"
    notes = {
        "viewers": f"{OURS} ours, {PEERS} peer at 1 Hz, {ROUNDS} rounds of {SECONDS:g} s",
        "ticks/s alone, ticks/s together, CPU ms/s with one viewer": rates,
        "patches per peer session and second": [round(p, 1) for p in patches],
        "ms from subscribe to snapshot, median while 1,000 join": [round(s, 2) for s in snapshots],
    }
    report(
        "tick",
        "Cost per viewer and tick",
        "plain Panel",
        [cheaper("server CPU", "ms", viewer, session, goal=60)],
        notes,
    )


def watch(meter: Meter, viewer: Program) -> tuple[float, float]:
    """CPU ms and ticks of a while."""
    frames, cpu = json.loads(viewer.ask("count"))["frames"], meter.cpu_ms()
    time.sleep(SECONDS)
    return meter.cpu_ms() - cpu, json.loads(viewer.ask("count"))["frames"] - frames
