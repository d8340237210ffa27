"""How soon a first visitor sees the first chart with real data, in a cold browser context.

Alone: nobody else looks at the board, so that its first answer has to be computed. In company: somebody does.
"""

from __future__ import annotations

import json
from typing import Any

from playwright.sync_api import Browser, WebSocket

from tests.bench.common import median, plumbline, program, report, share, sign_in
from tests.bench.screens import OURS_DRAWN, PEER_DRAWN, browser, first_chart, visitor
from tests.conftest import Running

ROUNDS = 7
PAINT = "performance.getEntriesByType('paint').find((e) => e.name === 'first-contentful-paint')?.startTime"


def main() -> None:
    alone, company, theirs, paints, cold, warm = [], [], [], [], [], []
    with (
        plumbline("--demo") as server,
        program("peer", "--live") as peer,
        program("viewers") as others,
        browser() as chromium,
    ):
        cookie = sign_in(server)
        _, _, asked = visit(chromium, server, cookie)
        join = f"feed {server.url} {cookie} 1 {json.dumps(asked, separators=(',', ':'))}"
        for turn in range(ROUNDS + 1):
            taken, painted, _ = visit(chromium, server, cookie)
            waits = [json.loads(others.ask(join))["snapshot_ms"][0] for _ in range(2)]
            together, _, _ = visit(chromium, server, cookie)
            others.ask("close")
            with visitor(chromium, PEER_DRAWN) as page:
                peer_taken = first_chart(page, peer.said)
            if turn:  # the first one warms servers and disk
                alone.append(taken)
                company.append(together)
                theirs.append(peer_taken)
                paints.append(painted)
                cold.append(waits[0])
                warm.append(waits[1])
    figures = [
        share("first chart with data, alone", "ms", alone, theirs, goal=0.75),
        share("first chart with data, in company", "ms", company, theirs, goal=0.75),
    ]
    notes = {
        "rounds": ROUNDS,
        "first contentful paint of ours, ms": round(median(paints)),
        "subscribe to snapshot, ms": f"{median(cold):.0f} for the first viewer, {median(warm):.1f} for the next",
    }
    report("first_chart", "First chart in Chromium", "plain Panel", figures, notes)


def visit(chromium: Browser, server: Running, cookie: str) -> tuple[float, float, dict[str, Any]]:
    """ms until the first chart, ms until the first paint, and what the page asked its feed."""
    asked: list[dict[str, Any]] = []

    def sent(message: str | bytes) -> None:
        if isinstance(message, str) and '"type":"subscribe"' in message:
            asked.append(json.loads(message)["request"])

    def opened(socket: WebSocket) -> None:
        socket.on("framesent", lambda message: sent(message))

    with visitor(chromium, OURS_DRAWN, server, cookie) as page:
        page.on("websocket", opened)
        taken = first_chart(page, f"{server.url}/overview")
        return taken, float(page.evaluate(PAINT)), asked[0]
