"""The audit log of keys: who made, used and ended them, who was refused, and what an admin changed."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Sequence
from datetime import datetime

import msgspec

from analytics.keys_db import Database, ms_of, time_of

REFUSALS_PER_MINUTE = 100  # rows; refusals beyond are counted only

log = logging.getLogger(__name__)


class AuditEntry(msgspec.Struct, frozen=True):
    """One line of the audit log: create, rotate, revoke, limit, address (first use from it), refusal, pin, unpin."""

    at: datetime
    event: str
    key_id: str | None
    address: str | None
    detail: str | None


class AuditLog:
    """The log of one database of keys; lines are only ever added."""

    def __init__(self, db: Database, now: Callable[[], datetime]) -> None:
        self._db, self._now = db, now
        self._refused: tuple[int, set[tuple[str, ...]]] = (0, set())
        self.refusals = 0

    def note(self, event: str, key_id: str | None, address: str | None = None, detail: str | None = None) -> None:
        """Add a line."""
        sql = "INSERT INTO audit (at, event, key_id, address, detail) VALUES (?, ?, ?, ?, ?)"
        self._db.write(sql, (ms_of(self._now()), event, key_id, address, detail))

    def refuse(self, reason: str, key_id: str | None, address: str | None) -> None:
        """Note a refusal, each kind once a minute: guessing must not fill the disk."""
        self.refusals += 1
        minute, seen = self._refused
        if minute != ms_of(self._now()) // 60_000:
            minute, seen = self._refused = (ms_of(self._now()) // 60_000, set())
        kind = (reason, key_id or "", address or "")
        if kind in seen or len(seen) >= REFUSALS_PER_MINUTE:
            return
        seen.add(kind)
        try:
            self.note("refusal", key_id, address, reason)
        except sqlite3.Error as error:
            log.warning("a refusal (%s) was not noted: %s", reason, error)

    def newest(self, limit: int = 100) -> Sequence[AuditEntry]:
        """The newest entries, newest first."""
        sql = "SELECT at, event, key_id, address, detail FROM audit ORDER BY id DESC LIMIT ?"
        return [AuditEntry(time_of(at), *rest) for at, *rest in self._db.rows(sql, (limit,))]
