"""Where keys live: one small SQLite file, and secrets in files of their own beside it."""

from __future__ import annotations

import os
import re
import secrets
import sqlite3
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from analytics.errors import Conflict

SECRET_BYTES = 32
BUSY_S = 5.0  # how long another process may hold the file
SCHEMA = """
CREATE TABLE IF NOT EXISTS keys (
    id TEXT PRIMARY KEY, digest BLOB NOT NULL, name TEXT NOT NULL, rights TEXT NOT NULL,
    created_at INTEGER NOT NULL, expires_at INTEGER, revoked_at INTEGER, last_used INTEGER, replaced_by TEXT
);
CREATE TABLE IF NOT EXISTS sessions (
    digest BLOB PRIMARY KEY, key_id TEXT NOT NULL, created_at INTEGER NOT NULL, expires_at INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS links (
    digest BLOB PRIMARY KEY, key_id TEXT NOT NULL, expires_at INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS addresses (
    key_id TEXT NOT NULL, address TEXT NOT NULL, first_at INTEGER NOT NULL, PRIMARY KEY (key_id, address)
);
CREATE TABLE IF NOT EXISTS pepper_check (digest BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, event TEXT NOT NULL,
    key_id TEXT, address TEXT, detail TEXT
);
CREATE TRIGGER IF NOT EXISTS audit_update BEFORE UPDATE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER IF NOT EXISTS audit_delete BEFORE DELETE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER IF NOT EXISTS audit_replace BEFORE INSERT ON audit WHEN EXISTS (SELECT 1 FROM audit WHERE id = NEW.id)
    BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
"""  # REPLACE removes a row without firing its delete trigger, hence the third one


class Database:
    """One connection for any thread; other processes may hold their own to the same file."""

    def __init__(self, path: Path, schema: str = SCHEMA) -> None:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))  # the log files beside it take its mode
        self._lock = threading.RLock()
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=BUSY_S)
        self._write_ahead()
        self._connection.execute("PRAGMA synchronous = FULL")  # a revocation survives a power cut
        self._connection.executescript(f"BEGIN IMMEDIATE; {schema} COMMIT;")
        if schema is not SCHEMA:
            return
        with self.writing():  # a file of version 0.1
            if "replaced_by" not in {row[1] for row in self.rows("PRAGMA table_info(keys)")}:
                self.write("ALTER TABLE keys ADD COLUMN replaced_by TEXT")

    def _write_ahead(self) -> None:
        """Switch to a write-ahead log. SQLite does not wait here by itself when processes start together:
        two of them would hold the file for reading and want it for writing."""
        until = time.monotonic() + BUSY_S
        while True:
            try:
                self._connection.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                    raise
            time.sleep(0.01)

    def rows(self, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._connection.execute(sql, params).fetchall()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """A transaction: all of it or nothing, and no other process writes in between."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def write(self, sql: str, params: Sequence[Any] = ()) -> int:
        """Run one statement; how many rows it touched."""
        with self._lock:
            return self._connection.execute(sql, params).rowcount

    def version(self) -> int:
        """Changes whenever another connection has committed. Costs about a microsecond."""
        return int(self.rows("PRAGMA data_version")[0][0])

    def close(self) -> None:
        with self._lock:
            self._connection.close()


def secret_file(directory: Path, name: str) -> bytes:
    """The 32 random bytes in DIRECTORY/NAME (mode 0600), made on first use. Processes that start at
    the same moment get the same bytes: a link into place succeeds for one of them only."""
    if not re.fullmatch(r"[a-z][a-z0-9_-]*", name):
        raise ValueError(f"expected a plain file name for a secret, got {name!r}")
    path = directory / name
    if not path.exists():
        handle, draft = tempfile.mkstemp(prefix=f".{name}-", dir=directory)  # made with mode 0600
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(secrets.token_bytes(SECRET_BYTES))
                file.flush()
                os.fsync(file.fileno())
            with suppress(FileExistsError):  # another process was first, its bytes count
                os.link(draft, path)
        finally:
            os.unlink(draft)
    found = path.read_bytes()
    if len(found) != SECRET_BYTES:
        raise Conflict(
            f"{path} should hold {SECRET_BYTES} bytes and holds {len(found)}", hint="restore it from a backup"
        )
    return found


def ms_of(time: datetime) -> int:
    """A time as the tables have it."""
    return int(time.timestamp() * 1000)


def time_of(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)
