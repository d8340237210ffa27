"""What a living board costs the browser's main thread, per tick."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Browser, WebSocket

from tests.bench.common import Figure, median, plumbline, program, report, share, sign_in
from tests.bench.screens import OURS_DRAWN, PEER_DRAWN, browser, first_chart, visitor
from tests.conftest import Running

ROUNDS, SECONDS, SETTLE_S = 3, 8.0, 3.0
KINDS = ("TaskDuration", "ScriptDuration", "LayoutDuration", "RecalcStyleDuration")


def main() -> None:
    with plumbline("--demo", "--min-tick-s", "1") as server, program("peer", "--live") as peer, browser() as chromium:
        cookie = sign_in(server)
        ours, theirs = [], []
        for _ in range(ROUNDS):
            ours.append(watch(chromium, OURS_DRAWN, f"{server.url}/overview", server, cookie))
            theirs.append(watch(chromium, PEER_DRAWN, peer.said))
    figures: list[Figure] = [
        share(
            "main thread per tick", "ms", [o["TaskDuration"] for o in ours], [t["TaskDuration"] for t in theirs], 0.5
        ),
        share("of that script", "ms", [o["ScriptDuration"] for o in ours], [t["ScriptDuration"] for t in theirs]),
    ]
    notes: dict[str, Any] = {"rounds": f"{ROUNDS} of {SECONDS:g} s, viewport 1440x1000"}
    for name, rounds in (("ours", ours), ("peer", theirs)):
        notes[f"per tick, {name}"] = {k: round(median([r[k] for r in rounds]), 2) for k in rounds[0]}
    report("main_thread", "Browser main thread at 1 Hz", "plain Panel", figures, notes)


def watch(chromium: Browser, drawn: str, url: str, server: Running | None = None, cookie: str = "") -> dict[str, float]:
    """Main-thread ms per tick by kind, and ticks a second."""
    heard: list[str | bytes] = []

    def opened(socket: WebSocket) -> None:
        socket.on("framereceived", lambda message: heard.append(message))

    with visitor(chromium, drawn, server, cookie) as page:
        page.on("websocket", opened)
        first_chart(page, url)
        page.wait_for_timeout(SETTLE_S * 1000)  # what only the page load causes is over
        protocol = page.context.new_cdp_session(page)
        protocol.send("Performance.enable", {"timeDomain": "timeTicks"})
        before, from_here = metrics(protocol), len(heard)
        page.wait_for_timeout(SECONDS * 1000)
        after = metrics(protocol)
        ticks = sum(is_tick(message) for message in heard[from_here:])
    ticks = ticks if server else round(SECONDS)  # the peer's callback runs once a second
    used = {kind: 1000 * (after[kind] - before[kind]) / ticks for kind in KINDS}
    return used | {"ticks_per_s": ticks / SECONDS}


def is_tick(message: str | bytes) -> bool:
    return str(message[:20]).startswith('{"type":"frame"')


def metrics(protocol: Any) -> dict[str, float]:
    return {m["name"]: m["value"] for m in protocol.send("Performance.getMetrics")["metrics"]}
