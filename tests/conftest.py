"""Fixtures: a real server in the test's own loop, and a real server process for browsers and faults."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from analytics.keys import Keys
from analytics.settings import Settings
from tests.programs import Program

ROOT = Path(__file__).resolve().parent.parent

SLOW = {"test_wall", "test_wall_outages", "test_embed", "test_notebook", "test_client", "test_counted_once"}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--soak", action="store_true", help="run the long versions of the fault tests too")


def pytest_configure(config: pytest.Config) -> None:
    settings.register_profile("soak", max_examples=5 * settings.get_profile("default").max_examples)
    if config.getoption("--soak"):
        settings.load_profile("soak")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Browser tests come last, also where two workers share the files in this order: Playwright's synchronous face
    keeps a loop running in its thread, in which no coroutine test can run. The longest files begin, so that neither
    worker is left alone with one; those of many tests are long, and the SLOW ones. Without --soak the long tests are
    not there at all."""
    size = Counter(item.path for item in items)

    def place(item: pytest.Item) -> tuple[bool, bool, int, str]:
        return "browser" in item.path.parts, item.path.stem not in SLOW, -size[item.path], str(item.path)

    items.sort(key=place)
    if config.getoption("--soak"):
        return
    long = [item for item in items if item.get_closest_marker("soak")]
    config.hook.pytest_deselected(items=long)
    items[:] = [item for item in items if item not in long]


def wait_until(condition: Callable[[], Any], timeout_s: float = 15.0, what: str = "the condition") -> Any:
    """Wait for a condition instead of sleeping; give back its first true value."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError(f"waited {timeout_s:g} s for {what}")


async def until(condition: Callable[[], Any], timeout_s: float = 15.0, what: str = "the condition") -> Any:
    """The same inside a running loop."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if found := condition():
            return found
        await asyncio.sleep(0.005)
    raise AssertionError(f"waited {timeout_s:g} s for {what}")


@contextmanager
def files_at_most(size: int) -> Iterator[None]:
    """No file of this process grows larger, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def request(
    url: str, body: bytes | None = None, headers: dict[str, str] | None = None, method: str | None = None
) -> tuple[int, dict[str, str], bytes]:
    """One HTTP request; a refusal is an answer, not an exception."""
    asked = urllib.request.Request(url, data=body, headers=headers or {}, method=method)
    try:
        with urllib.request.urlopen(asked, timeout=10) as reply:
            return reply.status, dict(reply.headers), reply.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, dict(error.headers), error.read()


def rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def flow(name: str = "answer question", ago_s: float = 5.0, **fields: Any) -> dict[str, Any]:
    """One flow event that ended `ago_s` seconds ago."""
    base = {"kind": "flow", "name": name, "agent": "planner", "domain": "professional", "duration_ms": 1000.0}
    return base | {"time": rfc3339(datetime.now(UTC) - timedelta(seconds=ago_s))} | fields


class Running:
    """A server process of its own, with its data directory; can be killed and started again on the same port."""

    program = "app.py"

    def __init__(self, data: Path, *flags: str) -> None:
        self.data = data
        self.flags = flags or ("--no-demo",)
        self.port = 0
        self.url = ""
        self.link = ""
        self.process: Program | None = None
        self._key = ""

    def start(self) -> Running:
        arguments = ("serve", "--data", str(self.data), "--port", str(self.port), *self.flags)
        self.process = Program(self.program, arguments, os.environ)
        said = []
        for line in self.process.stdout:
            said.append(line)
            if "is live at" in line:
                self.url = line.split("is live at")[1].strip()
                self.port = int(self.url.rsplit(":", 1)[1])
            if "sign in:" in line:
                self.link = line.split("sign in:")[1].strip()
            if "Ctrl-C" in line:
                return self
        raise AssertionError("the server did not start:\n" + "".join(said))

    @property
    def key(self) -> str:
        if not self._key:
            self._key = self.create_key("test", "read,ingest")
        return self._key

    def create_key(self, name: str, scopes: str) -> str:
        keys = Keys(self.data, lambda: datetime.now(UTC))
        _, key = keys.create(name, scopes.split(","))
        keys.close()
        return key

    def post(self, events: list[dict[str, Any]]) -> dict[str, Any]:
        status, _, body = request(
            f"{self.url}/api/ingest/events",
            json.dumps(events).encode(),
            {"X-API-Key": self.key, "Content-Type": "application/json"},
        )
        assert status == 200, body
        found: dict[str, Any] = json.loads(body)
        return found

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(15)
            self.process.stdout.close()
            self.process = None


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    """An empty server process."""
    server = Running(tmp_path / "data").start()
    yield server
    server.stop()


class Served:
    """A server inside the test's own loop, with a key."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.key: str = app.keys.create("test", ["read", "ingest"])[1]

    @property
    def url(self) -> str:
        return str(self.app.url)

    @property
    def socket_url(self) -> str:
        return self.url.replace("http", "ws") + "/api/analytics/ws"

    async def post(self, path: str, body: Any, key: str | None = "", **headers: str) -> tuple[int, dict[str, Any]]:
        """POST JSON (or bytes as they are) with the key; gives status and decoded body."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"Content-Type": "application/json"} | {k.replace("_", "-"): v for k, v in headers.items()}
        if key is not None:
            sent["X-API-Key"] = key or self.key
        status, _, raw = await asyncio.to_thread(request, self.url + path, data, sent)
        return status, json.loads(raw) if raw else {}

    async def get(self, path: str, key: str | None = "", **headers: str) -> tuple[int, dict[str, str], bytes]:
        sent = {k.replace("_", "-"): v for k, v in headers.items()}
        if key is not None:
            sent["X-API-Key"] = key or self.key
        return await asyncio.to_thread(request, self.url + path, None, sent)

    async def ingest(self, events: list[dict[str, Any]]) -> dict[str, Any]:
        status, body = await self.post("/api/ingest/events", events)
        assert status == 200, body
        return body

    async def ask(self, **message: Any) -> dict[str, Any]:
        status, body = await self.post("/api/analytics", message)
        assert status == 200, body
        return body


@asynccontextmanager
async def serving(data: Path, now: Callable[[], datetime] | None = None, **settings: Any) -> AsyncIterator[Served]:
    """A server in the test's own loop, with these settings and this clock."""
    from app import App, utc_now

    defaults: dict[str, Any] = {"port": 0, "data": data, "demo": False}
    app = App(Settings(**defaults | settings), now or utc_now)
    await app.start()
    try:
        yield Served(app)
    finally:
        await app.stop()


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    """A server with an empty store on a free port."""
    async with serving(tmp_path / "data") as served:
        yield served
