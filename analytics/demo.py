"""What `serve` starts beside itself: the demo fleet and the host sampler, as one program with a key of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from analytics.keys import Keys
from analytics.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
NAME = "demo fleet"  # of its key


class Demo:
    """The program, as far as the settings want one."""

    def __init__(self, settings: Settings, keys: Keys, now: Callable[[], datetime]) -> None:
        self._settings, self._keys, self._now = settings, keys, now
        self._program: subprocess.Popen[bytes] | None = None

    def start(self, url: str) -> None:
        """Let it send to the server at `url`."""
        settings = self._settings
        host = settings.host_metrics if settings.host_metrics is not None else settings.demo
        if not (settings.demo or host):
            return
        for old in self._keys.list():
            if old.name == NAME and old.revoked_at is None:
                self._keys.revoke(old.id)
        _, key = self._keys.create(NAME, ["ingest"])
        command = [sys.executable, "-m", "analytics.world", "--url", url]
        command += ["--seed", str(settings.demo_seed), "--live", self._live()]
        command += ["--host"] if host else []
        command += [] if settings.demo else ["--no-fleet"]
        self._program = subprocess.Popen(command, cwd=ROOT, env=os.environ | {"PLUMBLINE_KEY": key})

    def stop(self) -> None:
        if self._program is not None:
            self._program.terminate()

    async def gone(self) -> None:
        """Wait for its end, and make one after 3 s."""
        if self._program is not None:
            try:
                await asyncio.to_thread(self._program.wait, 3)
            except subprocess.TimeoutExpired:
                self._program.kill()

    def _live(self) -> str:
        """When this data directory's demo went live: the same world after a restart, so that nothing counts twice."""
        path = self._settings.data / "demo.json"
        seed = self._settings.demo_seed
        with contextlib.suppress(OSError, ValueError, KeyError):
            kept = json.loads(path.read_text())
            if kept["seed"] == seed:
                return str(kept["live"])
        live = self._now().replace(microsecond=0).isoformat()
        path.write_text(json.dumps({"seed": seed, "live": live}))
        return live
