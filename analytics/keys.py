"""API keys, and the browser sessions opened with them.

A key is shown once and stored as HMAC-SHA256 under a pepper that is not in the database. A change by
any process (`keys revoke` beside a running server) counts from the next call on.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from analytics.audit import AuditLog
from analytics.errors import Conflict, Forbidden, NotFound, Unauthorized, ValidationError, unknown
from analytics.key_text import KeyText, redact
from analytics.keys_db import Database, ms_of, secret_file, time_of
from analytics.rights import Principal, Rights

SESSION = timedelta(days=30)
GRACE = timedelta(days=1)  # how long a rotated key goes on
FOREVER = datetime.max.replace(tzinfo=UTC)
TOUCH_MS = 60_000  # last_used is at most this much behind

log = logging.getLogger(__name__)


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """What may be known of a key. Times are UTC."""

    id: str
    name: str
    rights: Rights
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used: datetime | None = None
    replaced_by: str | None = None  # the key that a rotation put in its place

    @property
    def scopes(self) -> tuple[str, ...]:
        return self.rights.scopes

    def ended(self, now: datetime) -> str | None:
        """Why the key counts no more, or None while it does."""
        if self.revoked_at is not None:
            return "was revoked"
        return "has expired" if self.expires_at is not None and self.expires_at <= now else None


class Keys:
    """All keys of one data directory. Safe in several processes and threads at once."""

    def __init__(self, directory: Path, now: Callable[[], datetime]) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._directory, self._now = directory, now
        self._pepper = secret_file(directory, "pepper")
        self._db = Database(directory / "keys.db")
        self.audit = AuditLog(self._db, now)
        self._check_pepper()
        self._version = -1
        self._cache: dict[str, tuple[Key, bytes]] = {}
        self._touched: dict[str, int] = {}
        self._met: set[tuple[str, str]] = set()

    def create(
        self,
        name: str,
        scopes: Iterable[str],
        *,
        domains: Iterable[str] | None = None,
        boards: Iterable[str] | None = None,
        datasets: Iterable[str] | None = None,
        networks: Iterable[str] | None = None,
        expires_at: datetime | None = None,
        by: str | None = None,
        address: str | None = None,
    ) -> tuple[Key, str]:
        """A new key and its plaintext, which exists nowhere else. `by` and `address` go to the audit log.
        Raises ValidationError."""
        rights = Rights.checked(scopes, domains, datasets, boards, networks)
        if not (1 <= len(name) <= 100 and name.isprintable() and name.strip() == name):
            raise ValidationError("a key needs a name of 1 to 100 printable characters")
        if expires_at is not None and expires_at <= self._now():
            raise ValidationError(f"the key would have expired already, at {expires_at.isoformat()}")
        with self._changing():
            return self._insert(name, rights, expires_at, "create", address, _told(by))

    def rotate(
        self, key_id: str, grace: timedelta = GRACE, *, by: str | None = None, address: str | None = None
    ) -> tuple[Key, str]:
        """A new key with the same name, rights and expiry; the old one ends after the grace period.
        Raises NotFound, Conflict."""
        with self._changing():
            old = self.get(key_id)
            if why := old.ended(self._now()):
                raise Conflict(f"key {key_id} {why}", hint="create a new one")
            if old.replaced_by is not None:  # it has only its grace left, which is no expiry to pass on
                raise Conflict(f"key {key_id} was rotated already", hint=f"rotate its successor {old.replaced_by}")
            told = _told(f"replaces {key_id}", by)
            new, plaintext = self._insert(old.name, old.rights, old.expires_at, "rotate", address, told)
            ends = min(self._now() + grace, old.expires_at or FOREVER)
            sql = "UPDATE keys SET expires_at = ?, replaced_by = ? WHERE id = ?"
            self._db.write(sql, (ms_of(ends), new.id, key_id))
        return new, plaintext

    def revoke(self, key_id: str, *, by: str | None = None, address: str | None = None) -> Key:
        """End a key and its sessions now, for good. Raises NotFound; twice is once."""
        with self._changing():
            if self.get(key_id).revoked_at is None:
                self._db.write("UPDATE keys SET revoked_at = ? WHERE id = ?", (ms_of(self._now()), key_id))
                self._db.write("DELETE FROM sessions WHERE key_id = ?", (key_id,))
                self._db.write("DELETE FROM links WHERE key_id = ?", (key_id,))
                self.audit.note("revoke", key_id, address, _told(by))
        return self.get(key_id)

    def limit(
        self, key_id: str, *, boards: Iterable[str] | None, by: str | None = None, address: str | None = None
    ) -> Key:
        """Bind a key to other boards. Raises NotFound."""
        with self._changing():
            rights = msgspec.structs.replace(self.get(key_id).rights, boards=None if boards is None else tuple(boards))
            self._db.write("UPDATE keys SET rights = ? WHERE id = ?", (msgspec.json.encode(rights).decode(), key_id))
            self.audit.note("limit", key_id, address, _told(f"boards {', '.join(rights.boards or ('all',))}"[:200], by))
        return self.get(key_id)

    def principal(self, key_id: str) -> Principal:
        """Who acts with a key. Raises NotFound."""
        return _principal(self.get(key_id))

    def list(self) -> list[Key]:
        """All keys, oldest first, ended ones included."""
        return [_key(row) for row in self._db.rows(f"{_SELECT} ORDER BY created_at, rowid")]

    def get(self, key_id: str) -> Key:
        """Raises NotFound."""
        found = self._find(key_id)
        if found is None:
            raise NotFound(unknown("key", redact(key_id), [key.id for key in self.list()]))
        return found[0]

    def state(self, key: Key) -> str:
        """valid, replaced (rotated, in its grace), expired or revoked."""
        if key.revoked_at is not None:
            return "revoked"
        return "expired" if key.ended(self._now()) else "replaced" if key.replaced_by else "valid"

    def alive(self, key_id: str) -> bool:
        """Whether a key still counts; what open sockets ask each second."""
        found = self._find(key_id)
        return found is not None and found[0].ended(self._now()) is None

    def verify(self, plaintext: str, address: str | None) -> Principal:
        """Who a key belongs to. Raises Unauthorized, or Forbidden for the wrong network."""
        try:
            parts = KeyText.read(plaintext)
        except Unauthorized:
            self.audit.refuse("not a whole key", None, address)
            raise
        found = self._find(parts.id)
        # An unknown id goes through the same comparison, so that its answer takes as long.
        right = hmac.compare_digest(self._digest(f"key {parts.id}", parts.secret), found[1] if found else bytes(32))
        if found is None or not right:
            self.audit.refuse("no such key", None, address)
            raise Unauthorized("no such API key", hint="create one with: python app.py keys create")
        key = found[0]
        if why := key.ended(self._now()):
            self.audit.refuse(why, key.id, address)
            raise Unauthorized(f"this API key {why}", hint="create a new one")
        if not key.rights.reach(address):
            self.audit.refuse("outside its networks", key.id, address)
            raise Forbidden("this API key may not be used from this address")
        self._used(key.id, address)
        return _principal(key)

    def open_session(self, principal: Principal, lasts: timedelta = SESSION) -> str:
        """A cookie token that stands for the principal's key, for as long as the key counts and no longer than said."""
        now = ms_of(self._now())
        token = secrets.token_urlsafe(32)
        with self._db.writing():
            self._db.write("DELETE FROM sessions WHERE expires_at <= ?", (now,))
            row = (self._digest("session", token), principal.key_id, now, ms_of(self._now() + lasts))
            self._db.write("INSERT INTO sessions VALUES (?, ?, ?, ?)", row)
        return token

    def session(self, token: str, address: str | None = None) -> Principal | None:
        """Who a cookie token stands for; None when it, or its key, counts no more. A key bound to
        networks needs the address."""
        sql = "SELECT key_id FROM sessions WHERE digest = ? AND expires_at > ?"
        rows = self._db.rows(sql, (self._digest("session", token), ms_of(self._now())))
        found = self._find(rows[0][0]) if rows else None
        if found is None or found[0].ended(self._now()) or not found[0].rights.reach(address):
            return None
        self._used(found[0].id, address)
        return _principal(found[0])

    def close_session(self, token: str) -> None:
        """Log out."""
        self._db.write("DELETE FROM sessions WHERE digest = ?", (self._digest("session", token),))

    def one_time(self, key_id: str, ttl_s: float = 600) -> str:
        """A token for a login link, good once and not for long. Raises NotFound, Conflict."""
        if why := self.get(key_id).ended(self._now()):
            raise Conflict(f"key {key_id} {why}")
        token = secrets.token_urlsafe(32)
        ends = ms_of(self._now() + timedelta(seconds=ttl_s))
        with self._db.writing():
            self._db.write("DELETE FROM links WHERE expires_at <= ?", (ms_of(self._now()),))
            self._db.write("INSERT INTO links VALUES (?, ?, ?)", (self._digest("link", token), key_id, ends))
        return token

    def redeem(self, token: str) -> str | None:
        """The session token for a login link's token; None when it is unknown, used or too old."""
        digest = self._digest("link", token)
        sql = "SELECT key_id FROM links WHERE digest = ? AND expires_at > ?"
        rows = self._db.rows(sql, (digest, ms_of(self._now())))
        # Of several that come at once, the one whose delete finds the row is the one let in.
        if not rows or not self._db.write("DELETE FROM links WHERE digest = ?", (digest,)):
            return None
        key = self.get(rows[0][0])
        return None if key.ended(self._now()) else self.open_session(_principal(key))

    def secret(self, name: str) -> bytes:
        """32 bytes kept in a file of this name, the same after a restart."""
        return secret_file(self._directory, name)

    def close(self) -> None:
        self._db.close()

    def _digest(self, use: str, text: str) -> bytes:
        """Digests of one use say nothing about another's. Whatever text a client sends has bytes here."""
        return hmac.digest(self._pepper, f"{use}:{text}".encode("utf-8", "surrogatepass"), hashlib.sha256)

    def _check_pepper(self) -> None:
        mark = self._digest("pepper", "")
        with self._db.writing():
            rows = self._db.rows("SELECT digest FROM pepper_check")
            if not rows:
                self._db.write("INSERT INTO pepper_check VALUES (?)", (mark,))
        if rows and not hmac.compare_digest(rows[0][0], mark):
            raise Conflict(
                f"{self._directory / 'pepper'} is not the file that keys.db was made with",
                hint="put it back from a backup, or remove both and create new keys",
            )

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """A transaction that changes keys; what was remembered of them is forgotten, come what may."""
        try:
            with self._db.writing():
                yield
        finally:
            self._cache.clear()

    def _insert(
        self,
        name: str,
        rights: Rights,
        expires_at: datetime | None,
        event: str,
        address: str | None,
        detail: str | None,
    ) -> tuple[Key, str]:
        text, now = KeyText.fresh(), self._now()
        row = (
            text.id,
            self._digest(f"key {text.id}", text.secret),
            name,
            msgspec.json.encode(rights).decode(),
            ms_of(now),
        )
        sql = "INSERT INTO keys (id, digest, name, rights, created_at, expires_at) VALUES (?, ?, ?, ?, ?, ?)"
        self._db.write(sql, (*row, None if expires_at is None else ms_of(expires_at)))
        self.audit.note(event, text.id, address, detail)
        return self.get(text.id), text.plaintext()

    def _find(self, key_id: str) -> tuple[Key, bytes] | None:
        """A key and its digest, remembered until any process changes the database."""
        version = self._db.version()
        if version != self._version:
            self._cache.clear()
            self._version = version
        if key_id not in self._cache:
            rows = self._db.rows(f"{_SELECT} WHERE id = ?", (key_id,))
            if not rows:
                return None  # not remembered: made-up ids must not fill the memory
            self._cache[key_id] = (_key(rows[0]), rows[0][1])
        return self._cache[key_id]

    def _used(self, key_id: str, address: str | None) -> None:
        """Note the use. A full disk or a long lock must not keep a good key out, so it may fail."""
        now = ms_of(self._now())
        try:
            if now - self._touched.get(key_id, -TOUCH_MS) >= TOUCH_MS:
                self._touched[key_id] = now
                self._db.write("UPDATE keys SET last_used = ? WHERE id = ?", (now, key_id))
                self._cache.pop(key_id, None)
            if address is not None and (key_id, address) not in self._met:
                with self._db.writing():
                    if self._db.write("INSERT OR IGNORE INTO addresses VALUES (?, ?, ?)", (key_id, address, now)):
                        self.audit.note("address", key_id, address)
                if len(self._met) >= 10_000:
                    self._met.clear()
                self._met.add((key_id, address))
        except sqlite3.Error as error:
            log.warning("the use of key %s was not noted: %s", key_id, error)


_SELECT = "SELECT id, digest, name, rights, created_at, replaced_by, expires_at, revoked_at, last_used FROM keys"


def _key(row: tuple[Any, ...]) -> Key:
    key_id, _, name, rights, created_at, replaced_by, *times = row
    expires_at, revoked_at, last_used = (None if ms is None else time_of(ms) for ms in times)
    return Key(
        id=key_id,
        name=name,
        rights=msgspec.json.decode(rights, type=Rights),
        created_at=time_of(created_at),
        expires_at=expires_at,
        revoked_at=revoked_at,
        last_used=last_used,
        replaced_by=replaced_by,
    )


def _principal(key: Key) -> Principal:
    domains, datasets, boards = (
        None if names is None else frozenset(names)
        for names in (key.rights.domains, key.rights.datasets, key.rights.boards)
    )
    return Principal(
        key_id=key.id,
        name=key.name,
        scopes=frozenset(key.rights.scopes),
        expires_at=key.expires_at,
        domains=domains,
        datasets=datasets,
        boards=boards,
    )


def _told(*parts: str | None) -> str | None:
    return ", ".join(part for part in parts if part) or None
