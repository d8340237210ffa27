"""Which server serves a data directory: a small file in it, there as long as the server listens."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
from pathlib import Path
from urllib.parse import urlsplit

import psutil

NAME = "server.json"


def announce(data: Path, url: str) -> None:
    """Say that this process serves the directory at `url`."""
    path = data / NAME
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump({"url": url, "pid": os.getpid()}, file)


def withdraw(data: Path) -> None:
    """Take it back, where it is still ours."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        if json.loads((data / NAME).read_text())["pid"] == os.getpid():
            (data / NAME).unlink()


def server_of(data: Path) -> str | None:
    """The address of the server that serves a directory; None where none does, whatever an old file says."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, http.client.HTTPException):
        said = json.loads((data / NAME).read_text())
        url, pid = str(said["url"]), int(said["pid"])
        where = urlsplit(url)
        if psutil.pid_exists(pid) and where.hostname:
            connection = http.client.HTTPConnection(where.hostname, where.port, timeout=5)  # never through a proxy
            with contextlib.closing(connection):
                connection.request("GET", "/healthz")
                return url if connection.getresponse().status == 200 else None
    return None
