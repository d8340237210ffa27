"""What the benchmarks share: the two servers, what they cost, and how figures are shown and kept.

Each benchmark measures Plumbline and its peer in the same run, in turns, and takes medians: on a busy machine
absolute times wander, ratios hold.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import math
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec
import psutil
from rich.console import Console
from rich.table import Table

from analytics.world.feed import PER_REQUEST, Sender
from analytics.world.flows import Event
from analytics.world.world import World
from tests.conftest import ROOT, Running

RESULTS = ROOT / "bench-results"
CROWD = ("--sockets-per-key", "5000", "--key-messages-per-s", "100000")  # all viewers of a benchmark share one key


class Figure(msgspec.Struct, frozen=True):
    """One comparison; `at_least` says on which side of the goal its ratio should be. No goal, no verdict."""

    what: str
    unit: str
    ours: list[float]  # one per round
    peer: list[float]
    ratio: float
    shown: str  # "18x cheaper"
    goal: float | None = None
    at_least: bool = True

    @property
    def good(self) -> bool | None:
        if self.goal is None or math.isnan(self.ratio):
            return None
        return self.ratio >= self.goal if self.at_least else self.ratio <= self.goal


def cheaper(what: str, unit: str, ours: list[float], peer: list[float], goal: float | None = None) -> Figure:
    """How many times less ours is; no verdict where noise ate it."""
    if median(ours) <= 0:
        return Figure(what, unit, ours, peer, math.nan, "too noisy", goal)
    ratio = median(peer) / median(ours)
    return Figure(what, unit, ours, peer, ratio, f"{ratio:.1f}x cheaper", goal)


def share(
    what: str, unit: str, ours: list[float], peer: list[float], goal: float | None = None, *, at_least: bool = False
) -> Figure:
    """Ours as a share of the peer's."""
    ratio = median(ours) / max(median(peer), 1e-9)
    return Figure(what, unit, ours, peer, ratio, f"{100 * ratio:.0f} % of peer", goal, at_least)


def median(values: Sequence[float]) -> float:
    return float(statistics.median(values)) if values else float("nan")


def report(name: str, title: str, peer: str, figures: list[Figure], notes: dict[str, Any]) -> None:
    """Print the table and write bench-results/NAME.json."""
    table = Table(
        "", "Plumbline", peer, "ratio", "goal", "", title=title, title_justify="left", box=None, pad_edge=False
    )
    for f in figures:
        goal = "" if f.goal is None else f"{'>=' if f.at_least else '<='} {f.goal:g}"
        verdict = {True: "[green]met[/]", False: "[red]missed[/]", None: ""}[f.good]
        table.add_row(f"{f.what}, {f.unit}", spread(f.ours), spread(f.peer), f.shown, goal, verdict)
    out = Console(highlight=False, width=140)
    out.print(table)
    for key, value in notes.items():
        out.print(f"  {key}: {value}", style="dim")
    RESULTS.mkdir(exist_ok=True)
    about = {"at": datetime.now(UTC).isoformat(), "python": platform.python_version(), "cpus": psutil.cpu_count()}
    rows = [
        msgspec.structs.asdict(f)
        | {"ratio": None if math.isnan(f.ratio) else f.ratio}
        | {"ours_median": median(f.ours), "peer_median": median(f.peer), "met": f.good}
        for f in figures
    ]
    body = {"name": name, "peer": peer, "figures": rows, "notes": notes, "machine": about}
    (RESULTS / f"{name}.json").write_text(json.dumps(body, indent=2) + "\n")


def spread(values: list[float]) -> str:
    """The median, and the range of the rounds as a measure of noise."""
    if not values:
        return "-"
    digits = 0 if median(values) >= 100 else 2 if median(values) >= 1 else 3
    middle = f"{median(values):,.{digits}f}"
    return middle if len(values) == 1 else f"{middle} ({min(values):,.{digits}f}-{max(values):,.{digits}f})"


class Meter:
    """What one process has used so far."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)

    def cpu_ms(self) -> float:
        """User and system time of all its threads."""
        times = self._process.cpu_times()
        return 1000 * float(times.user + times.system)

    def memory_mb(self) -> float:
        """Memory that is its own (unique set size)."""
        return float(self._process.memory_full_info().uss) / 2**20

    def idle_cpu(self, seconds: float) -> float:
        """CPU ms a second while nobody does anything new."""
        began, before = time.monotonic(), self.cpu_ms()
        time.sleep(seconds)
        return (self.cpu_ms() - before) / (time.monotonic() - began)


@contextlib.contextmanager
def plumbline(*flags: str, history_h: float = 2.0) -> Iterator[Running]:
    """The real server in a process of its own with a file database and, without --demo, hours of the demo fleet."""
    with tempfile.TemporaryDirectory(prefix="plumbline-bench-") as folder:
        server = Running(Path(folder) / "data", *(flags or ("--no-demo",)), *CROWD).start()
        try:
            if history_h and "--demo" not in flags:
                send(server, fleet_events(history_h))
            yield server
        finally:
            server.stop()


def fleet_events(hours: float, *, flows_per_min: float = 60.0, seed: int = 7) -> list[Event]:
    """The demo fleet's last hours, about eight events per flow."""
    now = datetime.now(UTC).replace(microsecond=0)
    world = World(seed, now, history=timedelta(hours=hours), flows_per_min=flows_per_min)
    return list(chain.from_iterable(world.events(world.start, now)))


def send(server: Running, events: list[Event]) -> None:
    sender = Sender(server.url, server.key)
    for at in range(0, len(events), PER_REQUEST):
        sender.send(events[at : at + PER_REQUEST])
    sender.close()


def pid_of(server: Running) -> int:
    assert server.process is not None
    return server.process.pid


def sign_in(server: Running) -> str:
    """A login cookie, as `NAME=VALUE`."""
    host, _, port = server.url.removeprefix("http://").partition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Origin": server.url}
    connection.request("POST", "/login", urlencode({"key": server.key}), headers)
    reply = connection.getresponse()
    connection.close()
    assert reply.status == 303, reply.status
    return str(reply.getheader("Set-Cookie")).partition(";")[0]


class Program:
    """A module of this folder in a process of its own that says one line when it is ready."""

    def __init__(self, module: str, *arguments: str) -> None:
        self.module = module
        command = [sys.executable, "-m", f"tests.bench.{module}", *arguments]
        self.process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.said = self.line()

    @property
    def pid(self) -> int:
        return self.process.pid

    def line(self) -> str:
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert line, f"{self.module} ended"
        return line.strip()

    def ask(self, words: str) -> str:
        """Say one line, hear one line."""
        assert self.process.stdin
        self.process.stdin.write(words + "\n")
        self.process.stdin.flush()
        return self.line()

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(15)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe:
                pipe.close()


@contextlib.contextmanager
def program(module: str, *arguments: str) -> Iterator[Program]:
    running = Program(module, *arguments)
    try:
        yield running
    finally:
        running.stop()
