"""How many sockets one process bears: `python -m tests.bench.load [SOCKETS ...]`, or all steps with `make bench-load`.

A step starts a server process, and a program of clients that connects so many sockets, each with the overview board.
Beside it, with the same clients: a bare Tornado server that broadcasts a message of the same size to all.

    idle memory    growth of an idle server's own memory (USS) per subscribed socket
    connect        sockets a second, from the first handshake to the last snapshot, 50 at a time
    delivery       from `at` in a frame (the server's clock, the same machine) to the client that has read it
    spread         from the first client to get a seq to the last
    CPU/delivery   CPU of the server while ticks go out, less what the same server takes for one subscriber
    round trip     200 connections, 500 requests a second in all, for some seconds (once)
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application
from tornado.websocket import WebSocketHandler

from tests.bench.common import RESULTS, Meter, Program, pid_of, plumbline, program
from tests.conftest import ROOT, Running, flow

STEPS = (100, 500, 1_000)
ALL = (100, 500, 1_000, 2_000, 5_000)
SECONDS = 8.0  # of ticks per step
ALIVE = 200  # connections and ...
RATE = 500  # ... requests a second of the round trip
PATH = "/api/analytics/ws"
BOARD = {"type": "board", "board": "overview"}
PLOT = ROOT / "assets" / "docs" / "images" / "load.svg"
FLAGS = ("--no-demo",)


# the clients, a program of their own


class Client:
    """A socket that costs next to nothing, so that what is measured is the server. Reads frames of an unmasked peer."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def connect(cls, port: int, path: str, key: str) -> Client:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
        lines = [f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Upgrade: websocket", "Connection: Upgrade",
                 "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", f"X-API-Key: {key}",
                 "Sec-WebSocket-Protocol: analytics.v1", "", ""]  # fmt: skip
        writer.write("\r\n".join(lines).encode())
        head = await reader.readuntil(b"\r\n\r\n")
        assert b" 101 " in head, head
        return cls(reader, writer)

    def send(self, message: dict[str, Any]) -> None:
        data = json.dumps(message).encode()
        size = bytes([128 | len(data)]) if len(data) < 126 else b"\xfe" + len(data).to_bytes(2)
        self.writer.write(b"\x81" + size + bytes(4) + data)  # a mask of zeros

    async def hear(self) -> bytes:
        """The next text; pings are answered."""
        while True:
            head = await self.reader.readexactly(2)
            size = head[1]
            if size > 125:
                size = int.from_bytes(await self.reader.readexactly(2 if size == 126 else 8))
            data = await self.reader.readexactly(size)
            if head[0] & 15 == 1:
                return data
            if head[0] & 15 == 9:
                self.writer.write(b"\x8a\x80" + bytes(4))


class Clients:
    """All clients of one server; each command answers with one line of JSON."""

    def __init__(self, port: str, path: str, key: str) -> None:
        self._where = (int(port), path, key)
        self._subscribes = path.startswith("/api")
        self._clients: list[Client] = []
        self._readers: list[asyncio.Task[None]] = []
        self._heard: list[tuple[bytes, float]] = []
        self.bytes = 0

    async def join(self, count: str, request: str = "board") -> dict[str, Any]:
        """Connect so many more, 50 at a time, and subscribe them where the server knows boards."""
        gate = asyncio.Semaphore(50)
        began = time.monotonic()

        async def one() -> None:
            async with gate:
                client = await Client.connect(*self._where)
                if self._subscribes and request == "board":
                    client.send({"type": "subscribe", "id": 1, "sub": "b", "request": BOARD})
                    while not (await client.hear()).startswith(b'{"type":"analytics_update"'):
                        pass
                self._clients.append(client)
                self._readers.append(asyncio.create_task(self._read(client)))

        await asyncio.gather(*(one() for _ in range(int(count))))
        return {"per_s": int(count) / (time.monotonic() - began)}

    async def leave(self, count: str) -> dict[str, Any]:
        """Take so many away again, the last first."""
        for _ in range(int(count)):
            self._readers.pop().cancel()
            self._clients.pop().writer.close()
        return {"here": len(self._clients)}

    async def _read(self, client: Client) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                data = await client.hear()
                now = time.time()
                if data.startswith((b'{"type":"frame"', b'{"at"')):
                    place = data.index(b'"at":') + 5
                    self._heard.append((data[place : place + 13], now))
                    self.bytes += len(data)

    async def listen(self, seconds: str) -> dict[str, Any]:
        """Delivery in ms of every frame of some seconds."""
        self._heard, self.bytes = [], 0
        await asyncio.sleep(float(seconds))
        heard, count = self._heard, len(self._clients)
        ticks: dict[bytes, list[float]] = {}
        for at, now in heard:
            ticks.setdefault(at, []).append(now)
        whole = {at: times for at, times in ticks.items() if len(times) >= count}
        delays = sorted((now - int(at) / 1000) * 1000 for at, times in whole.items() for now in times)
        spreads = [(max(times) - min(times)) * 1000 for times in whole.values()]
        return {
            "deliveries": len(heard),
            "ticks": len(ticks),
            "whole": len(whole),
            "bytes": self.bytes / max(1, len(heard)),
            "p50_ms": at_share(delays, 0.5),
            "p99_ms": at_share(delays, 0.99),
            "last_ms": delays[-1] if delays else None,
            "spread_ms": statistics.median(spreads) if spreads else None,
        }

    async def ask(self, rate: str, seconds: str) -> dict[str, Any]:
        """Round trips in ms: requests a second in all, spread evenly over connections of their own."""
        for reader in self._readers:
            reader.cancel()
        waiting: dict[int, float] = {}
        took: list[float] = []

        async def answers(client: Client) -> None:
            while True:
                data = await client.hear()
                now = time.monotonic()
                if data.startswith((b'{"id":', b'{"type":"pong"', b'{"type":"analytics_update"')) and b'"id":' in data:
                    place = data.index(b'"id":') + 5
                    number = int(data[place : place + 9].split(b",")[0].split(b"}")[0])
                    took.append((now - waiting.pop(number)) * 1000)

        readers = [asyncio.create_task(answers(client)) for client in self._clients]
        began, total = time.monotonic(), int(float(rate) * float(seconds))
        for number in range(total):
            await asyncio.sleep(max(0.0, began + number / float(rate) - time.monotonic()))
            waiting[number] = time.monotonic()
            self._clients[number % len(self._clients)].send(question(number))
        await asyncio.wait(readers, timeout=1)  # for the last answers
        for reader in readers:
            reader.cancel()
        took.sort()
        return {
            "asked": total,
            "unanswered": len(waiting),
            "p50_ms": at_share(took, 0.5),
            "p99_ms": at_share(took, 0.99),
        }


def question(number: int) -> dict[str, Any]:
    """Nine of ten only ask whether the server is there; the tenth asks for numbers."""
    if number % 10:
        return {"type": "ping", "id": number}
    return {"type": "query", "id": number, "metrics": ["flows"], "window": "now-15m"}


def at_share(ordered: list[float], share: float) -> float | None:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None


async def clients(port: str, path: str) -> None:
    crowd = Clients(port, path, os.environ["PLUMBLINE_KEY"])
    print("ready", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        verb, *words = line.split()
        print(json.dumps(await getattr(crowd, verb)(*words)), flush=True)


# the peer: a bare broadcast


class Bare(WebSocketHandler):
    def initialize(self, members: set[Bare]) -> None:
        self.members = members

    def check_origin(self, origin: str) -> bool:
        return True

    def select_subprotocol(self, subprotocols: list[str]) -> str | None:
        return subprotocols[0] if subprotocols else None

    def open(self, *args: str, **kwargs: str) -> None:
        self.set_nodelay(True)
        self.members.add(self)

    def on_close(self) -> None:
        self.members.discard(self)


async def bare(size: str) -> None:
    """Broadcasts `size` bytes to all every second."""
    members: set[Bare] = set()
    server = HTTPServer(Application([("/", Bare, {"members": members})]))
    listening = bind_sockets(0, "127.0.0.1")
    server.add_sockets(listening)
    print(listening[0].getsockname()[1], flush=True)
    filler = "x" * max(0, int(size) - 40)
    while True:
        await asyncio.sleep(1)
        data = json.dumps({"at": int(time.time() * 1000), "filler": filler}, separators=(",", ":")).encode()
        for i, member in enumerate(list(members), 1):
            member.write_message(data)
            if i % 200 == 0:
                await asyncio.sleep(0)


# the measurement


@contextlib.contextmanager
def crowd(port: int | str, path: str, key: str = "") -> Iterator[Program]:
    os.environ["PLUMBLINE_KEY"] = key
    with program("load", "clients", str(port), path) as found:
        yield found


def told(found: Program, words: str) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(found.ask(words))
    return answer


def busy(meter: Meter, found: Program, seconds: float) -> tuple[dict[str, Any], float]:
    """What the clients heard in some seconds, and the CPU ms that the server took meanwhile."""
    before = meter.cpu_ms()
    heard = told(found, f"listen {seconds}")
    return heard, meter.cpu_ms() - before


@contextlib.contextmanager
def news(server: Running) -> Iterator[None]:
    """A few events a second, so that every tick has something to say."""
    done = threading.Event()

    def feed() -> None:
        while not done.wait(1.0):
            server.post([flow(f"run {i}", ago_s=0.1, tokens_in=100) for i in range(5)])

    thread = threading.Thread(target=feed)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def idle(count: int) -> float:
    """KiB per subscribed socket of a server to which nothing else happens."""
    with plumbline(*FLAGS, "--self-s", "0", history_h=0) as server:
        meter = Meter(pid_of(server))
        with crowd(server.port, PATH, server.key) as warm:
            told(warm, "join 200")
        with crowd(server.port, PATH, server.key) as found:
            told(found, "join 1")
            told(found, "listen 5")
            before = meter.memory_mb()
            told(found, f"join {count - 1}")
            told(found, "listen 5")
            return (meter.memory_mb() - before) * 1024 / (count - 1)


def ours(count: int) -> dict[str, Any]:
    """Delivery and CPU with news in every tick. What a tick costs for one subscriber is measured before and after;
    CPU per delivery is None where the difference to that is no larger than the difference between those two."""
    with plumbline(*FLAGS, history_h=0.25) as server, news(server):
        meter = Meter(pid_of(server))
        with crowd(server.port, PATH, server.key) as found:
            told(found, "join 1")
            told(found, "listen 5")
            _, before_ms = busy(meter, found, SECONDS)
            joined = told(found, f"join {count - 1}")
            told(found, "listen 3")
            heard, cpu_ms = busy(meter, found, SECONDS)
            told(found, f"leave {count - 1}")
            told(found, "listen 3")
            _, after_ms = busy(meter, found, SECONDS)
    more_ms = cpu_ms - (before_ms + after_ms) / 2
    told_apart = more_ms > abs(before_ms - after_ms)
    return heard | {
        "connect_per_s": joined["per_s"],
        "base_ms": [before_ms, after_ms],
        "cpu_us": 1000 * more_ms / max(1, heard["deliveries"] - heard["ticks"]) if told_apart else None,
    }


def peer(count: int, size: int) -> dict[str, Any]:
    with program("load", "bare", str(size)) as server:
        meter = Meter(server.pid)
        with crowd(server.said, "/") as warm:
            told(warm, "join 100")
        with crowd(server.said, "/") as found:
            told(found, "join 1")
            told(found, "listen 2")
            memory = meter.memory_mb()
            joined = told(found, f"join {count - 1}")
            told(found, "listen 2")
            kib = (meter.memory_mb() - memory) * 1024 / (count - 1)
            heard, cpu_ms = busy(meter, found, SECONDS)
    return heard | {
        "kib": kib, "connect_per_s": joined["per_s"], "cpu_us": 1000 * cpu_ms / max(1, heard["deliveries"])
    }  # fmt: skip


def round_trip() -> dict[str, Any]:
    with (
        plumbline(*FLAGS, "--messages-per-s", "1000", history_h=0.25) as server,
        crowd(server.port, PATH, server.key) as found,
    ):
        told(found, f"join {ALIVE} nothing")
        return told(found, f"ask {RATE} {SECONDS}")


def show(rows: list[dict[str, Any]], trip: dict[str, Any]) -> None:
    print(f"{'sockets':>8} {'KiB each':>9} {'(bare)':>7} {'connect/s':>9} {'p50 ms':>8} {'p99 ms':>8} {'last ms':>8} "
          f"{'spread':>7} {'us each':>8} {'(bare)':>7} {'ratio':>6}")  # fmt: skip
    for row in rows:
        o, p = row["ours"], row["bare"]
        each = "noise" if o["cpu_us"] is None else f"{o['cpu_us']:.1f}"
        ratio = "" if o["cpu_us"] is None else f"{o['cpu_us'] / p['cpu_us']:.2f}"
        print(f"{row['sockets']:8,} {o['kib']:9.1f} {p['kib']:7.1f} {o['connect_per_s']:9.0f} {o['p50_ms']:8.0f} "
              f"{o['p99_ms']:8.0f} {o['last_ms']:8.0f} {o['spread_ms']:7.0f} {each:>8} {p['cpu_us']:7.1f} {ratio:>6}",
              flush=True)  # fmt: skip
    print(f"round trip, {ALIVE} connections, {RATE} requests/s: p50 {trip['p50_ms']:.1f} ms, "
          f"p99 {trip['p99_ms']:.1f} ms, {trip['unanswered']} unanswered")  # fmt: skip


def main(steps: tuple[int, ...] = STEPS) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    before = psutil.getloadavg()[0]
    rows: list[dict[str, Any]] = []
    for count in steps:
        measured = ours(count)
        measured["kib"] = idle(count)
        rows.append({"sockets": count, "ours": measured, "bare": peer(count, int(measured["bytes"]))})
        print(f"  {count:,} sockets done", flush=True)
    trip = round_trip()
    show(rows, trip)
    largest = rows[-1]
    goals = {
        "idle memory at most 20 KiB": largest["ours"]["kib"] <= 20,
        f"p99 delivery under 1 s at {largest['sockets']:,}": (largest["ours"]["p99_ms"] or 1e9) < 1000,
        "CPU per delivery at most 2x the bare broadcast": (largest["ours"]["cpu_us"] or 0)
        <= 2 * largest["bare"]["cpu_us"],
        "round trip p99 under 50 ms": (trip["p99_ms"] or 1e9) < 50,
    }
    for goal, met in goals.items():
        print(f"  {'met   ' if met else 'missed'} {goal}")
    RESULTS.mkdir(exist_ok=True)
    about = {"at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "cpus": psutil.cpu_count(),
             "load_before": before, "load_after": psutil.getloadavg()[0]}  # fmt: skip
    body = {"name": "load", "steps": rows, "round_trip": trip, "goals": goals, "machine": about}
    (RESULTS / "load.json").write_text(json.dumps(body, indent=2) + "\n")
    plot(rows, PLOT)


# the plot


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    """Two panels over the number of sockets: delivery in ms, and CPU per delivery beside the bare broadcast,
    where it stands out from the noise."""
    names = [f"{row['sockets']:,}" for row in rows]
    apart = [row for row in rows if row["ours"]["cpu_us"] is not None]
    left = [("p50", "#94a3b8", [row["ours"]["p50_ms"] for row in rows]),
            ("p99", "#2563eb", [row["ours"]["p99_ms"] for row in rows])]  # fmt: skip
    right = [("bare broadcast", "#94a3b8", [row["bare"]["cpu_us"] for row in apart]),
             ("Plumbline", "#2563eb", [row["ours"]["cpu_us"] for row in apart])]  # fmt: skip
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 260" font-family="sans-serif" font-size="12">',
        '<rect width="760" height="260" fill="#ffffff"/>',
        *panel(20, "Tick delivery, ms", names, left),
        *panel(400, "CPU per delivery, µs", [f"{row['sockets']:,}" for row in apart], right),
        "</svg>",
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(parts) + "\n")


def panel(x: int, title: str, names: list[str], series: list[tuple[str, str, list[float]]]) -> Iterator[str]:
    top = max((value for _, _, values in series for value in values), default=1.0) or 1.0
    yield f'<text x="{x}" y="24" font-weight="600" fill="#0f172a">{title}</text>'
    for i, (name, colour, _) in enumerate(series):
        yield f'<rect x="{x + 150 + 95 * i}" y="15" width="10" height="10" fill="{colour}"/>'
        yield f'<text x="{x + 164 + 95 * i}" y="24" fill="#475569">{name}</text>'
    wide = 320 / max(1, len(names))
    for n, name in enumerate(names):
        for i, (_, colour, values) in enumerate(series):
            height = 160 * values[n] / top
            bar, place = min(30.0, wide / 3), x + wide * n + wide / 2
            at = place + (i - 1) * bar
            size = f'width="{bar - 2:.1f}" height="{height:.1f}"'
            yield f'<rect x="{at:.1f}" y="{220 - height:.1f}" {size} fill="{colour}"/>'
            label = f"{values[n]:,.0f}" if values[n] >= 10 else f"{values[n]:.1f}"
            yield (f'<text x="{at + bar / 2 - 1:.1f}" y="{215 - height:.1f}" text-anchor="middle" font-size="10" '
                   f'fill="#475569">{label}</text>')  # fmt: skip
        yield f'<text x="{x + wide * (n + 0.5):.1f}" y="238" text-anchor="middle" fill="#475569">{name}</text>'
    yield f'<text x="{x + 160}" y="254" text-anchor="middle" fill="#64748b">sockets</text>'


if __name__ == "__main__":
    if sys.argv[1:2] == ["clients"]:
        asyncio.run(clients(*sys.argv[2:]))
    elif sys.argv[1:2] == ["bare"]:
        asyncio.run(bare(*sys.argv[2:]))
    else:
        main(tuple(int(word) for word in sys.argv[1:]) or ALL)
