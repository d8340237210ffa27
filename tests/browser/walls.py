"""What tests of walls share: a server with an admin, and pages that are paired with it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect

from tests.conftest import Running, request

FEED = Path(__file__).with_name("scripted_feed.js")
CODE = ".pairing .code"
TITLE = "#stage > header strong"
STATE = "#stage > header .state"
AWAY = ".away"
SEEN = ".board:not([hidden]) .tile:not([hidden])"
DRAWN = "body[data-state=playing] .tile[data-state=ok]"
LIVE = re.compile("Live|Data .* old")  # of a server whose only events are some minutes old
SHOWN = re.compile(r"^Code( [2-9A-HJKMNP-Z]){6}$")


class Hall:
    """A server and its admin, as programs see them."""

    def __init__(self, server: Running) -> None:
        self.server = server
        self.key = server.create_key("caretaker", "read,admin,ingest")

    @property
    def wall(self) -> str:
        return f"{self.server.url}/wall"

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """One call of the API; gives the decoded answer, or bytes where it is no JSON."""
        sent = None if body is None else json.dumps(body).encode()
        status, headers, raw = request(self.server.url + path, sent, {"X-API-Key": self.key}, method)
        assert status < 300, raw
        return json.loads(raw) if headers.get("Content-Type", "").startswith("application/json") else raw

    def pair(self, page: Page, *boards: str, seconds: int = 30, **plan: Any) -> dict[str, Any]:
        """Make an unpaired page a screen; gives it as the API tells it."""
        playlist = [{"board": board, "seconds": seconds} for board in boards or ("overview",)]
        asked = {"code": read_off(page), "name": "Lobby 2", "playlist": playlist, "theme": "dark"} | plan
        screen: dict[str, Any] = self.call("POST", "/api/screens", asked)
        return screen

    def change(self, screen: dict[str, Any], **plan: Any) -> None:
        """Another plan for a screen, the rest of it as it was."""
        kept = {name: screen[name] for name in ("name", "playlist", "theme", "day")}
        self.call("PUT", f"/api/screens/{screen['id']}", kept | plan)

    def heard(self, screen: dict[str, Any]) -> dict[str, Any]:
        """What is known of a screen by now."""
        return next(s for s in self.call("GET", "/api/screens") if s["id"] == screen["id"])

    def board(self, name: str) -> dict[str, Any]:
        """The present answer for a board."""
        answer: dict[str, Any] = self.call("POST", "/api/analytics", {"type": "board", "board": name})["analytics"]
        return answer


def read_off(page: Page) -> str:
    """The code, as somebody reads it off the screen."""
    expect(page.locator(CODE)).to_have_attribute("aria-label", SHOWN)
    label = page.locator(CODE).get_attribute("aria-label") or ""
    return label.removeprefix("Code ").replace(" ", "")


def scripted(page: Page, hall: Hall, *boards: str) -> None:
    """Give the page a feed that the test drives, with real answers of these boards."""
    page.add_init_script(path=FEED)
    answers = {board: hall.board(board) for board in boards}
    page.add_init_script(f"feed.snapshots = {json.dumps(answers)}")


def plays(hall: Hall, wall: Page, *boards: str, script: bool = True, **plan: Any) -> dict[str, Any]:
    """A paired wall that has drawn its first tiles, with a feed that the test drives unless told."""
    if script:
        scripted(wall, hall, *(boards or ("overview",)))
    wall.goto(hall.wall)
    screen = hall.pair(wall, *boards, **plan)
    wall.wait_for_selector(DRAWN)
    return screen


def still(wall: Page) -> None:
    """Stop the page's clock; it goes on by `wall.clock.run_for` alone, with a frame of the feed every second."""
    wall.clock.pause_at(wall.evaluate("Date.now()") / 1000 + 1)
    wall.evaluate("feed.every(1000)")
    wall.clock.run_for(2500)
