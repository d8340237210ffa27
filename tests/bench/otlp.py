"""Spans a second by OTLP/HTTP: sent, acknowledged and counted by a query, against a bare server that only parses them.

A fleet's exporter (a process of its own, some connections) posts the same bodies to the real server and to a bare
tornado handler that reads and parses them and keeps nothing, in turns; protobuf alone parses them in this process.
`python -m tests.bench otlp`, or `python -m tests.bench.otlp PROGRAM` for one of the two programs that it starts.
"""

from __future__ import annotations

import asyncio
import gzip
import http.client
import itertools
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from tests.bench.common import Meter, Program, median, pid_of, plumbline, program, report, share
from tests.bench.otlp_fleet import bodies
from tests.conftest import Running, request

ROUNDS, SENDERS, SPANS = 3, 4, 48_000
GOAL = 100_000  # spans a second
SHAPES = ((500, "plain"), (4_000, "plain"), (4_000, "gzip"), (8_000, "plain"))  # spans of a body, and its coding


def main() -> None:
    rates: dict[str, list[float]] = {}
    bare_rates: dict[str, list[float]] = {}
    cpu: dict[str, list[float]] = {}
    bare_cpu: dict[str, list[float]] = {}
    parse: list[float] = []
    with (
        plumbline("--no-demo", history_h=0) as server,
        program("otlp", "bare") as bare,
        program("otlp", "exporter") as exporter,
    ):
        seeds = itertools.count(time.time_ns())
        exporter.ask(f"make 8000 500 plain {next(seeds)}")
        kept, _ = sent(server, exporter, 0, 8_000)  # the first bodies are slower: not measured
        for turn, (size, coding) in itertools.product(range(ROUNDS), SHAPES):
            name = f"{size:,} a body, {coding}"
            exporter.ask(f"make {SPANS} {size} {coding} {next(seeds)}")
            meter = Meter(pid_of(server))
            before = meter.cpu_ms()
            kept, seconds = sent(server, exporter, kept, SPANS)
            cpu.setdefault(name, []).append(1000 * (meter.cpu_ms() - before) / SPANS)
            rates.setdefault(name, []).append(SPANS / seconds)
            meter = Meter(bare.pid)
            before = meter.cpu_ms()
            bare_rates.setdefault(name, []).append(SPANS / float(exporter.ask(f"post {bare.said} none")))
            bare_cpu.setdefault(name, []).append(1000 * (meter.cpu_ms() - before) / SPANS)
            if coding == "plain":
                parse.append(parsed_us(size, turn))
    best = max(rates, key=lambda name: median(rates[name]))
    figures = [share(f"OTLP, {name}", "spans/s", rates[name], bare_rates[name], at_least=True) for name in rates]
    figures += [share(f"server CPU, {name}", "us a span", cpu[name], bare_cpu[name]) for name in cpu]
    figures.append(share("server CPU against protobuf alone", "us a span", cpu[best], parse))
    met = median(rates[best]) >= GOAL
    report("otlp", "OTLP over HTTP", "bare parser", figures, {
        "how": f"{SPANS:,} spans a round, {SENDERS} connections, from the first byte until a query counts all of them",
        "goal": f"{GOAL:,} spans/s end to end: {'met' if met else 'missed'} at {best}",
        "protobuf alone, us a span": round(median(parse), 2),
    })  # fmt: skip


def sent(server: Running, exporter: Program, kept: int, spans: int) -> tuple[int, float]:
    """Post what the exporter has made; how many rows a query counts then, and the seconds until it counted them."""
    began = time.perf_counter()
    exporter.ask(f"post {server.url} {server.key}")
    while counted(server) < kept + spans:
        assert time.perf_counter() - began < 60, "not all that was acknowledged can be read"
    return kept + spans, time.perf_counter() - began


def counted(server: Running) -> int:
    asked = {"type": "query", "metrics": ["events"], "window": "now-1h"}
    headers = {"X-API-Key": server.key, "Content-Type": "application/json"}
    status, _, body = request(f"{server.url}/api/analytics", json.dumps(asked).encode(), headers)
    assert status == 200, body
    return int(json.loads(body)["analytics"]["rows"][0][0])


def parsed_us(spans: int, seed: int) -> float:
    """What the protobuf runtime needs to parse a body of so many spans."""
    given = list(bodies(4, spans, seed))
    began = time.thread_time()
    for body in given:
        ExportTraceServiceRequest.FromString(body)
    return 1e6 * (time.thread_time() - began) / (4 * spans)


def exporter() -> None:
    """Makes bodies and posts them, as it is told line by line."""
    print("ready", flush=True)
    made: list[bytes] = []
    headers: dict[str, str] = {}
    for line in sys.stdin:
        match line.split():
            case ["make", spans, size, coding, seed]:
                made = list(bodies(int(spans) // int(size), int(size), int(seed)))
                headers = {"Content-Type": "application/x-protobuf"}
                if coding == "gzip":
                    made, headers = [gzip.compress(body) for body in made], headers | {"Content-Encoding": "gzip"}
                print("made", flush=True)
            case ["post", url, key]:
                print(posted(url, headers | {"X-API-Key": key}, made), flush=True)


def posted(url: str, headers: dict[str, str], made: list[bytes]) -> float:
    """Seconds until all bodies are acknowledged."""
    left = iter(made)

    def post() -> None:
        connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=60)
        for body in left:
            connection.request("POST", "/v1/traces", body, headers)
            reply = connection.getresponse()
            said = reply.read()
            assert reply.status == 200 and not said, said
        connection.close()

    began = time.perf_counter()
    with ThreadPoolExecutor(SENDERS) as pool:
        for sender in [pool.submit(post) for _ in range(SENDERS)]:
            sender.result()
    return time.perf_counter() - began


class Bare(RequestHandler):
    def post(self) -> None:
        body = self.request.body
        if self.request.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        ExportTraceServiceRequest.FromString(body)


async def bare() -> None:
    """A server that parses and forgets."""
    sockets = bind_sockets(0, "127.0.0.1")
    HTTPServer(Application([("/v1/traces", Bare)])).add_sockets(sockets)
    print(f"http://127.0.0.1:{sockets[0].getsockname()[1]}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    if sys.argv[1] == "bare":
        asyncio.run(bare())
    else:
        exporter()
