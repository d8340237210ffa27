"""What a command needs to ask a server: where it is, and a key."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from analytics.errors import NotFound, Unauthorized
from analytics.keys import Keys
from analytics.keys_cli import BY
from analytics.running import server_of

LENT = timedelta(days=7)  # of a key whose command was killed; others end with their command


@contextlib.contextmanager
def access(url: str, data: Path, name: str) -> Iterator[tuple[str, str]]:
    """Address and key: `url` and PLUMBLINE_KEY, or else the server of a data directory and a reading key called `name`
    that counts as long as the command runs. Raises NotFound, Unauthorized."""
    own = server_of(data)
    address, key = url or own, os.environ.get("PLUMBLINE_KEY", "").strip()
    if not address:
        raise NotFound(f"no server serves {str(data)!r}", hint="start it with `python app.py serve`, or give --url")
    if key:
        yield address, key
        return
    if address.rstrip("/") != own:
        raise Unauthorized(f"no API key for {address[:200]}", hint="set PLUMBLINE_KEY")
    keys = Keys(data, lambda: datetime.now(UTC))
    lent, plaintext = keys.create(name, ["read"], expires_at=datetime.now(UTC) + LENT, by=BY)
    try:
        yield address, plaintext
    finally:
        keys.revoke(lent.id, by=BY)
        keys.close()
