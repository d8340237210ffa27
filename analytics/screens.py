"""Screens on walls: how one is paired, what it plays, and what it last said of itself.

A screen acts with a key of its own, which reads the boards of its playlist and nothing else; its browser holds a
session of that key. What screens say of themselves, and pairing codes, live in memory: after a restart a screen
speaks again within seconds.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from analytics.errors import Forbidden, NotFound, Overloaded, ValidationError, unknown
from analytics.keys import Keys
from analytics.keys_db import Database
from analytics.query import Filter
from analytics.rights import Rights
from analytics.window import parse as parse_window

ALPHABET = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"  # nothing that looks like something else across a room
CODE_LETTERS = 6
PAIRING_S = 600.0
MOST_WAITING = 100
MOST_ENTRIES = 24
FLASH_S = 6.0
COOKIE_DAYS = 400  # the longest a browser keeps one; each day it is set anew
SESSION = timedelta(days=3650)  # until revoked
PICTURE_BYTES = 200_000
SCHEMA = """
CREATE TABLE IF NOT EXISTS screens (
    id TEXT PRIMARY KEY, key_id TEXT NOT NULL UNIQUE, body TEXT NOT NULL, revision INTEGER NOT NULL
);
"""

Seconds = Annotated[int, msgspec.Meta(ge=5, le=86_400)]
Hour = Annotated[int, msgspec.Meta(ge=0, le=24)]
Theme = Literal["auto", "light", "dark"]


class Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One item of a playlist: a board, how long it stays, and its scope; None leaves the board's own."""

    board: str
    seconds: Seconds = 30
    window: str | None = None
    filters: list[Filter] = []
    compare: Literal["previous", "day", "week", "off"] = "previous"


class Plan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an admin says of a screen. With theme `auto` it is light from hour `day[0]` to `day[1]`, its own time."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=60)]
    playlist: Annotated[list[Entry], msgspec.Meta(min_length=1, max_length=MOST_ENTRIES)]
    theme: Theme = "auto"
    day: tuple[Hour, Hour] = (7, 19)


class Screen(msgspec.Struct, frozen=True, kw_only=True):
    """A paired screen. `revision` counts the changes of its plan."""

    id: str
    key_id: str
    plan: Plan
    revision: int


class Beat(msgspec.Struct, frozen=True, kw_only=True):
    """What a screen says of itself every two seconds; `frame_age_s` is the age of its newest message."""

    revision: int = 0
    version: Annotated[str, msgspec.Meta(max_length=80)] = ""
    board: Annotated[str, msgspec.Meta(max_length=200)] = ""
    page: int = 0
    state: Annotated[str, msgspec.Meta(max_length=20)] = ""
    frame_age_s: float | None = None
    viewport: tuple[int, int] | None = None


class Heard(msgspec.Struct, kw_only=True):
    """The last of a screen, kept in memory. Times are of the monotonic clock but `at`, which is UTC."""

    beat: Beat | None = None
    at: datetime | None = None
    address: str | None = None
    picture: bytes = b""
    picture_at: datetime | None = None
    flash_until: float = 0.0
    cookie_at: float = float("-inf")


class Waiting(msgspec.Struct, kw_only=True):
    """A browser that shows a code. `token` is there once an admin has typed it."""

    code: str
    until: float
    token: str | None = None


class Screens:
    """All screens of one data directory. `monotonic` gives seconds."""

    def __init__(
        self,
        directory: Path,
        keys: Keys,
        now: Callable[[], datetime],
        *,
        boards: Callable[[], Collection[str]],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._keys, self.now, self._boards, self._monotonic = keys, now, boards, monotonic
        self._db = Database(directory / "screens.db", SCHEMA)
        self._waiting: dict[str, Waiting] = {}  # by the secret that only the browser knows
        self._heard: dict[str, Heard] = {}

    # pairing

    def offer(self) -> tuple[str, Waiting]:
        """A secret and its code, for a browser that wants to be a screen. Raises Overloaded."""
        now = self._monotonic()
        self._waiting = {s: w for s, w in self._waiting.items() if w.until > now}
        if len(self._waiting) >= MOST_WAITING:
            raise Overloaded("too many screens wait to be paired", retry_after_ms=30_000)
        taken = {waiting.code for waiting in self._waiting.values()}
        code = next(c for c in iter(_code, None) if c not in taken)
        secret = secrets.token_urlsafe(32)
        self._waiting[secret] = Waiting(code=code, until=now + PAIRING_S)
        return secret, self._waiting[secret]

    def collect(self, secret: str) -> str | None:
        """The session token for who knows the secret, once; None while nobody has typed the code. Raises NotFound."""
        waiting = self._waiting.get(secret)
        if waiting is None or waiting.until <= self._monotonic():
            raise NotFound("this code is not waiting any more", hint="ask for a new one")
        if waiting.token is not None:
            del self._waiting[secret]
        return waiting.token

    def pair(
        self, code: str, plan: Plan, maker: str | None = None, *, by: str | None = None, address: str | None = None
    ) -> Screen:
        """Make the browser that shows `code` a screen, with no more rights than the key `maker` has. Raises NotFound,
        Forbidden, ValidationError."""
        self._check(plan, maker)
        typed = code.strip().upper().replace("-", "").replace(" ", "")
        now = self._monotonic()
        waiting = next((w for w in self._waiting.values() if w.code == typed and w.until > now and not w.token), None)
        if waiting is None:
            raise NotFound("no screen shows this code", hint="type the six letters that the screen shows now")
        had = self._keys.get(maker).rights if maker else Rights(("admin",))
        key, _ = self._keys.create(  # nobody ever sees its text: the browser gets a session
            f"screen {plan.name}",
            ["read"],
            boards=_boards_of(plan),
            domains=had.domains,
            datasets=had.datasets,
            networks=had.networks,
            by=by,
            address=address,
        )
        screen = Screen(id=key.id, key_id=key.id, plan=plan, revision=1)
        body = msgspec.json.encode(plan).decode()
        self._db.write("INSERT INTO screens VALUES (?, ?, ?, ?)", (screen.id, key.id, body, 1))
        waiting.token = self._keys.open_session(self._keys.principal(key.id), SESSION)
        return screen

    # plans

    def list(self) -> Sequence[Screen]:
        """Screens whose key counts, in the order of their names."""
        rows = self._db.rows("SELECT id, key_id, body, revision FROM screens")
        found = [_screen(row) for row in rows if self._keys.alive(row[1])]
        return sorted(found, key=lambda screen: screen.plan.name.lower())

    def get(self, screen_id: str) -> Screen:
        """Raises NotFound."""
        rows = self._db.rows("SELECT id, key_id, body, revision FROM screens WHERE id = ?", (screen_id,))
        if not rows or not self._keys.alive(rows[0][1]):
            raise NotFound(unknown("screen", screen_id[:80], [s.id for s in self.list()]))
        return _screen(rows[0])

    def change(
        self, screen_id: str, plan: Plan, maker: str | None = None, *, by: str | None = None, address: str | None = None
    ) -> Screen:
        """Another plan; its key follows. Raises NotFound, Forbidden, ValidationError."""
        old = self.get(screen_id)
        self._check(plan, maker)
        if _boards_of(plan) != _boards_of(old.plan):
            self._keys.limit(old.key_id, boards=_boards_of(plan), by=by, address=address)
        body = msgspec.json.encode(plan).decode()
        self._db.write("UPDATE screens SET body = ?, revision = revision + 1 WHERE id = ?", (body, screen_id))
        return self.get(screen_id)

    def revoke(self, screen_id: str, *, by: str | None = None, address: str | None = None) -> Screen:
        """End a screen: its key, its session, its place in the list. Raises NotFound."""
        screen = self.get(screen_id)
        self._keys.revoke(screen.key_id, by=by, address=address)
        self._db.write("DELETE FROM screens WHERE id = ?", (screen_id,))
        self._heard.pop(screen_id, None)
        return screen

    def _check(self, plan: Plan, maker: str | None) -> None:
        known = self._boards()
        mine = self._keys.get(maker).rights.boards if maker else None
        if mine is not None and not set(_boards_of(plan)) <= set(mine):
            raise Forbidden(f"this key is bound to boards {', '.join(mine)}, and so are its screens")
        for entry in plan.playlist:
            if entry.board not in known:
                raise ValidationError(unknown("board", entry.board[:80], known))
            parse_window(entry.window, "now-1h")
        if plan.name != plan.name.strip() or not plan.name.isprintable():
            raise ValidationError("a screen needs a name of printable characters")

    # what they say

    def heard(self, screen_id: str) -> Heard:
        return self._heard.get(screen_id, Heard())

    def beat(self, screen_id: str, beat: Beat, address: str | None) -> tuple[bool, bool]:
        """Note a sign of life; whether to flash, and whether the cookie is due again."""
        heard = self._heard.setdefault(screen_id, Heard())
        heard.beat, heard.at, heard.address = beat, self.now(), address
        now = self._monotonic()
        due = now - heard.cookie_at > 86_400
        if due:
            heard.cookie_at = now
        return heard.flash_until > now, due

    def flash(self, screen_id: str) -> None:
        """Make it show itself for some seconds. Raises NotFound."""
        self._heard.setdefault(self.get(screen_id).id, Heard()).flash_until = self._monotonic() + FLASH_S

    def keep_picture(self, screen_id: str, picture: bytes) -> None:
        """Raises ValidationError for what is no small PNG or JPEG."""
        if len(picture) > PICTURE_BYTES or picture_kind(picture) is None:
            raise ValidationError(f"expected a PNG or JPEG of at most {PICTURE_BYTES:,} bytes")
        heard = self._heard.setdefault(screen_id, Heard())
        heard.picture, heard.picture_at = picture, self.now()

    def close(self) -> None:
        self._db.close()


def picture_kind(picture: bytes) -> str | None:
    """The media type that its first bytes tell."""
    if picture.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    return "image/jpeg" if picture.startswith(b"\xff\xd8\xff") else None


def _code() -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(CODE_LETTERS))


def _boards_of(plan: Plan) -> list[str]:
    return sorted({entry.board for entry in plan.playlist})


def _screen(row: tuple[str, str, str, int]) -> Screen:
    return Screen(id=row[0], key_id=row[1], plan=msgspec.json.decode(row[2], type=Plan), revision=row[3])
