"""`/api/screens` for admins, `/api/wall` for the screens themselves."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec

from analytics.api.doorman import Doorman
from analytics.api.http import BodyHandler, read
from analytics.api.sockets import Close, Sockets
from analytics.errors import NotFound, Unauthorized
from analytics.rights import WALL_COOKIE, Principal
from analytics.screens import (
    COOKIE_DAYS,
    PAIRING_S,
    PICTURE_BYTES,
    Beat,
    Entry,
    Plan,
    Screen,
    Screens,
    picture_kind,
)

BODY_BYTES = 64 << 10
PLANNED = ("name", "playlist", "theme", "day")
SAID = ("version", "board", "page", "state", "frame_age_s", "viewport")


class Pairing(Plan, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of POST /api/screens: the code that the screen shows, and what it shall play."""

    code: str


class PairingCode(msgspec.Struct, kw_only=True):
    """What a browser gets that wants to be a screen: the code to show, and a secret to come back with."""

    code: str
    secret: str
    expires_in_s: float


class ScreenShown(msgspec.Struct, kw_only=True):
    """A screen, and what it last said of itself. `seen_at` is null for one that was not heard since the start."""

    id: str
    name: str
    playlist: list[Entry]
    theme: str
    day: tuple[int, int]
    revision: int
    seen_at: datetime | None
    address: str | None
    version: str | None
    board: str | None
    page: int | None
    state: str | None
    frame_age_s: float | None
    viewport: tuple[int, int] | None
    picture_at: datetime | None


class Pulse(msgspec.Struct, kw_only=True):
    """Answer to a sign of life: whether its plan or its program is another by now, whether to flash, and the time."""

    revision: int
    version: str
    flash: bool
    at: int


class ScreensHandler(BodyHandler):
    """Base of what admins do with screens."""

    scope = "admin"

    def initialize(self, doorman: Doorman, screens: Screens, sockets: Sockets, **_: Any) -> None:  # type: ignore[override]
        super().initialize(None, doorman, BODY_BYTES)  # type: ignore[arg-type]  # screens need no service
        self.screens, self.sockets = screens, sockets

    def shown(self, screen: Screen) -> dict[str, Any]:
        heard = self.screens.heard(screen.id)
        plan: dict[str, Any] = {name: getattr(screen.plan, name) for name in PLANNED}
        said: dict[str, Any] = {name: getattr(heard.beat, name, None) for name in SAID}
        told = ScreenShown(
            id=screen.id,
            revision=screen.revision,
            seen_at=heard.at,
            address=heard.address,
            picture_at=heard.picture_at,
            **plan,
            **said,
        )
        found: dict[str, Any] = msgspec.to_builtins(told)
        return found


class AllScreensHandler(ScreensHandler):
    """GET and POST /api/screens."""

    def get(self) -> None:
        self.send([self.shown(screen) for screen in self.screens.list()])

    def post(self) -> None:
        asked = read(self.body, Pairing)
        plan = Plan(name=asked.name, playlist=asked.playlist, theme=asked.theme, day=asked.day)
        try:
            screen = self.screens.pair(asked.code, plan, self.principal.key_id, **self.by)
        except NotFound:
            self.doorman.guessed(self.request.remote_ip)
            raise
        self.send(self.shown(screen), 201)


class ScreenHandler(ScreensHandler):
    """PUT and DELETE /api/screens/{id}."""

    def put(self, screen_id: str) -> None:
        old = self.screens.get(screen_id)
        screen = self.screens.change(screen_id, read(self.body, Plan), self.principal.key_id, **self.by)
        if gone := {e.board for e in old.plan.playlist} - {e.board for e in screen.plan.playlist}:
            # an open socket has the rights it was opened with
            self.sockets.close_key(screen.key_id, Close.ADMIN, f"it shows {', '.join(sorted(gone))} no more")
        self.send(self.shown(screen))

    def delete(self, screen_id: str) -> None:
        screen = self.screens.revoke(screen_id, **self.by)
        self.sockets.close_key(screen.key_id)
        self.set_status(204)
        self.finish()


class FlashHandler(ScreensHandler):
    """POST /api/screens/{id}/flash."""

    def post(self, screen_id: str) -> None:
        self.screens.flash(screen_id)
        self.set_status(204)
        self.finish()


class PictureHandler(ScreensHandler):
    """GET /api/screens/{id}/picture: what it showed a while ago."""

    def get(self, screen_id: str) -> None:
        picture = self.screens.heard(self.screens.get(screen_id).id).picture
        kind = picture_kind(picture)
        if kind is None:
            raise NotFound("this screen has sent no picture yet")
        self.set_header("Content-Type", kind)
        self.set_header("Content-Security-Policy", "default-src 'none'")
        self.finish(picture)


class PairingHandler(BodyHandler):
    """POST and GET /api/wall/pairing: open to everyone; gives nothing but a code to show."""

    def initialize(self, doorman: Doorman, screens: Screens, secure: bool = False, **_: Any) -> None:  # type: ignore[override]
        super().initialize(None, doorman, 1 << 10)  # type: ignore[arg-type]
        self.screens, self.secure = screens, secure

    def prepare(self) -> None:
        if not self.doorman.origin_allowed(self.request):
            raise Unauthorized("a screen is paired from this server's own page")

    def post(self) -> None:
        secret, waiting = self.screens.offer()
        self.send(msgspec.to_builtins(PairingCode(code=waiting.code, secret=secret, expires_in_s=PAIRING_S)), 201)

    def get(self) -> None:
        token = self.screens.collect(self.request.headers.get("X-Pairing", "")[:200])
        if token is None:
            self.send({"paired": False}, 202)
            return
        set_cookie(self, token, self.secure)
        self.send({"paired": True})


class WallHandler(BodyHandler):
    """Base of what a paired screen does: its own cookie, and nobody else's."""

    def initialize(  # type: ignore[override]
        self, doorman: Doorman, screens: Screens, version: Callable[[], str], secure: bool = False, **_: Any
    ) -> None:
        super().initialize(None, doorman, PICTURE_BYTES + 1)  # type: ignore[arg-type]
        self.screens, self.version, self.secure = screens, version, secure

    def prepare(self) -> None:
        self.screen = self.screens.get(screen_of(self.doorman, self.request).key_id)


class BeatHandler(WallHandler):
    """POST /api/wall/beat: a sign of life every two seconds."""

    def post(self) -> None:
        flash, due = self.screens.beat(self.screen.id, read(self.body, Beat), self.request.remote_ip)
        if due and (cookie := self.get_cookie(WALL_COOKIE)):
            set_cookie(self, cookie, self.secure)
        now = int(self.screens.now().timestamp() * 1000)
        pulse = Pulse(revision=self.screen.revision, version=self.version(), flash=flash, at=now)
        self.send(msgspec.to_builtins(pulse))


class ShowHandler(WallHandler):
    """PUT /api/wall/picture: what it shows, for the page of all screens."""

    def put(self) -> None:
        self.screens.keep_picture(self.screen.id, self.body)
        self.set_status(204)
        self.finish()


def screen_of(doorman: Doorman, request: Any) -> Principal:
    """The key behind a screen's cookie. Raises Unauthorized once it was revoked."""
    found = doorman.screen(request)
    if found is None:
        raise Unauthorized("this browser is not paired as a screen", hint="open /wall and type its code on /screens")
    return found


def set_cookie(handler: BodyHandler, token: str, secure: bool) -> None:
    secure = secure or handler.request.protocol == "https"
    handler.set_cookie(WALL_COOKIE, token, expires_days=COOKIE_DAYS, httponly=True, samesite="Strict", secure=secure)


def routes(doorman: Doorman, screens: Screens, sockets: Sockets, **more: Any) -> list[tuple[Any, ...]]:
    """The addresses of this room. `more`: version (of program and assets), secure (cookies)."""
    shared = {"doorman": doorman, "screens": screens, "sockets": sockets, **more}
    return [
        (r"/api/screens", AllScreensHandler, shared),
        (r"/api/screens/([^/]+)", ScreenHandler, shared),
        (r"/api/screens/([^/]+)/flash", FlashHandler, shared),
        (r"/api/screens/([^/]+)/picture", PictureHandler, shared),
        (r"/api/wall/pairing", PairingHandler, shared),
        (r"/api/wall/beat", BeatHandler, shared),
        (r"/api/wall/picture", ShowHandler, shared),
    ]
