"""The demo fleet's feed: history, then live, patient with a server that is away, and quick to leave."""

from __future__ import annotations

import gzip
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Condition, Event, Thread
from typing import Any

import pytest

from analytics.world import World
from analytics.world.feed import Feed, Refused, Sender

MINUTE, SECOND = timedelta(minutes=1), timedelta(seconds=1)
KEY = "pl_live_demo_secretsecretsecret_crc"

Row = dict[str, Any]


def flat(batches: Iterator[list[Row]]) -> list[Row]:
    return [event for batch in batches for event in batch]


class Server(ThreadingHTTPServer):
    """Answers with the statuses of `script`, then with 200; keeps what it accepted."""

    daemon_threads = True

    def __init__(self, script: list[int]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.script = script
        self.requests: list[dict[str, str]] = []
        self.rows: list[Row] = []
        self.changed = Condition()
        self.url = f"http://127.0.0.1:{self.server_port}"

    def until(self, met: Callable[[], bool]) -> None:
        with self.changed:
            assert self.changed.wait_for(met, timeout=20)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status = self.server.script.pop(0) if self.server.script else 200
        rows = [json.loads(line) for line in gzip.decompress(body).splitlines()]
        answer: Row = {"status": status, "detail": f"no, {self.headers['X-API-Key']}"}
        if status == 200:
            answer = {"accepted": len(rows), "dropped": [{"reason": "too_old", "count": 1}], "cursor": "1"}
        sent = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(sent)))
        self.end_headers()
        self.wfile.write(sent)
        with self.server.changed:
            self.server.requests.append(dict(self.headers) | {"path": self.path, "peer": str(self.client_address)})
            self.server.rows += rows if status == 200 else []
            self.server.changed.notify_all()

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def start(*script: int) -> Server:
        servers.append(Server(list(script)))
        Thread(target=servers[-1].serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return servers[-1]

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def small_world(history: timedelta = 4 * MINUTE) -> World:
    return World(7, datetime.now(UTC), history=history)


def feed_of(world: World, sender: Sender, say: Callable[[str], None], **settings: Any) -> Feed:
    return Feed(world.events(world.start), world.start, world.live, sender, say, **settings)


def test_history_first_then_live_through_a_server_that_is_busy(serve: Callable[..., Server]) -> None:
    server, world, said, stop = serve(503, 429, 507), small_world(), list[str](), Event()
    feed = feed_of(world, Sender(server.url, KEY), said.append, speed=20)
    thread = Thread(target=feed.run, args=(stop,))
    thread.start()
    server.until(lambda: bool(server.rows) and server.rows[-1]["time"] > f"{world.live + 20 * SECOND:%FT%T}")
    stop.set()
    thread.join(10)
    assert not thread.is_alive()
    times = [row["time"] for row in server.rows]
    assert times[0] < f"{world.live:%FT%T}" < times[-1]
    last = datetime.fromisoformat(times[-1]).replace(microsecond=0) + SECOND
    assert server.rows == flat(world.events(world.start, last))  # nothing lost, nothing twice, in order
    first = server.requests[0]
    assert (first["path"], first["Content-Encoding"], first["X-API-Key"]) == ("/api/ingest/events", "gzip", KEY)
    assert len({request["peer"] for request in server.requests}) == 1  # one connection, kept
    told = " | ".join(said)
    assert "is away (503" in told and "is back" in told and "now live" in told
    assert told.count("too_old") == 1
    assert KEY not in told


def test_a_full_buffer_drops_the_oldest_and_says_so(serve: Callable[..., Server]) -> None:
    server, world, said, stop = (
        serve(*[503] * 1000),
        small_world(0 * MINUTE),
        list[str](),
        Event(),
    )

    def say(sentence: str) -> None:
        said.append(sentence)
        if "buffer full at 100 events" in sentence:
            server.script.clear()

    thread = Thread(target=feed_of(world, Sender(server.url, KEY), say, speed=200, buffer=100).run, args=(stop,))
    thread.start()
    server.until(lambda: bool(server.rows))
    stop.set()
    thread.join(10)
    back = re.search(r"the server is back after \d+ s; ([\d,]+) events lost", " | ".join(said))
    assert back and back[1] != "0"
    assert server.rows[0]["time"] > f"{world.live + SECOND:%FT%T}"


def test_one_spoiled_request_is_said_and_skipped(serve: Callable[..., Server]) -> None:
    server, said, stop = serve(413), list[str](), Event()
    feed = feed_of(small_world(), Sender(server.url, KEY), said.append)
    thread = Thread(target=feed.run, args=(stop,))
    thread.start()
    server.until(lambda: len(server.requests) > 1)
    stop.set()
    thread.join(10)
    assert any("events dropped, the server will not have them: 413" in sentence for sentence in said)


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_ends_it_without_showing_the_key(serve: Callable[..., Server], status: int) -> None:
    server = serve(status)
    feed = feed_of(small_world(), Sender(server.url, KEY), lambda _: None)
    with pytest.raises(Refused) as refused:
        feed.run(Event())
    assert str(refused.value) == f"{status} no, (the key)"


def test_a_server_that_is_not_there_yet(serve: Callable[..., Server]) -> None:
    server, stop, said = serve(), Event(), list[str]()
    sender = Sender("http://127.0.0.1:1", KEY)  # nobody listens on port 1
    feed = feed_of(small_world(), sender, said.append)
    tries = iter(range(1000))

    def alive() -> bool:
        if next(tries) == 3:
            feed.sender = Sender(server.url, KEY)
        return not server.rows

    feed.run(stop, alive)
    assert "is away" in said[0]
    assert server.rows


def test_a_wrong_url_is_said_at_once() -> None:
    with pytest.raises(ValueError, match="expected a URL like"):
        Sender("127.0.0.1:5006", KEY)


# --- the command


def command(*arguments: str, key: str | None = KEY, code: str | None = None) -> subprocess.Popen[str]:
    environment = {k: v for k, v in os.environ.items() if k != "PLUMBLINE_KEY"} | (
        {"PLUMBLINE_KEY": key} if key else {}
    )
    program = ["-c", code] if code else ["-m", "analytics.world"]
    return subprocess.Popen(
        [sys.executable, *program, *arguments],
        env=environment,
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_the_command_needs_a_key() -> None:
    process = command(key=None)
    out, _ = process.communicate(timeout=20)
    assert process.returncode == 2
    assert "PLUMBLINE_KEY is not set" in out


def test_the_command_stops_on_a_refusal(serve: Callable[..., Server]) -> None:
    process = command("--url", serve(401).url, "--hours", "0.02")
    out, _ = process.communicate(timeout=20)
    assert process.returncode == 3
    assert "the server refuses us: 401" in out
    assert KEY not in out


def test_a_restart_sends_the_same_events_again(serve: Callable[..., Server]) -> None:
    live = datetime.now(UTC).replace(microsecond=0) - 10 * MINUTE
    seen: list[dict[str, Row]] = []
    for _ in range(2):
        server = serve()
        process = command("--url", server.url, "--hours", "0.02", "--live", live.isoformat(), "--seed", "3")
        server.until(lambda server=server: bool(server.rows))  # type: ignore[misc]
        process.terminate()
        process.communicate(timeout=20)
        seen.append({row["event_id"]: row for row in server.rows})
    common = seen[0].keys() & seen[1].keys()
    assert len(common) > 100
    assert all(seen[0][event_id] == seen[1][event_id] for event_id in common)
    assert min(row["time"] for row in seen[0].values()) > f"{live + 7 * MINUTE:%FT%T}"  # not since it went live


def test_only_this_machine(serve: Callable[..., Server]) -> None:
    server = serve()
    process = command("--url", server.url, "--no-fleet", "--host")
    server.until(lambda: len({row["time"] for row in server.rows}) > 1)
    process.terminate()
    process.communicate(timeout=20)
    assert {row["kind"] for row in server.rows} == {"resource"}
    assert all(row["name"].startswith(("system.", "plumbline.network.")) for row in server.rows)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--no-fleet"], "nothing to send"),
        (["--live", "2026-01-06T12:00:00"], "a time with its offset"),
        (["--speed", "0"], "more than 0"),
    ],
)
def test_wrong_arguments_are_said(arguments: list[str], reason: str) -> None:
    process = command(*arguments)
    out, _ = process.communicate(timeout=20)
    assert process.returncode == 2
    assert reason in out


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_leaves_cleanly_on_a_signal(serve: Callable[..., Server], number: signal.Signals) -> None:
    server = serve()
    process = command("--url", server.url, "--hours", "0.02", "--host")
    server.until(lambda: any(row["name"] == "system.memory.utilization" for row in server.rows))
    process.send_signal(number)
    out, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "Traceback" not in out and KEY not in out


def test_the_command_goes_when_its_parent_goes(serve: Callable[..., Server]) -> None:
    server = serve()
    start = (
        "import subprocess, sys; subprocess.Popen([sys.executable, '-m', 'analytics.world', *sys.argv[1:]]); input()"
    )
    parent = command("--url", server.url, "--hours", "0.02", code=start)
    server.until(lambda: bool(server.rows))
    out, _ = parent.communicate("\n", timeout=20)  # ends when the last holder of its output, the demo, is gone
    assert parent.returncode == 0
    assert "Traceback" not in out
