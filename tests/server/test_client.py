"""The Python client on a real server: answers, streams, events, and every way a connection can end."""

from __future__ import annotations

import asyncio
import gzip
import inspect
import json
import logging
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pyarrow as pa
import pytest
from websockets.asyncio.server import ServerConnection, serve

from analytics import errors
from analytics.client import (
    AsyncClient,
    BoardRequest,
    Client,
    Drop,
    QueryRequest,
    Sender,
    State,
    Subscription,
    Unreachable,
    Update,
)
from analytics.client.sync import SyncSender, SyncSubscription
from tests.conftest import Running, Served, flow, until, wait_until

BOARD = BoardRequest(board="overview")


@pytest.fixture
async def client(served: Served) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(served.url, served.key) as made:
        yield made


# questions


async def test_a_query_becomes_a_table(served: Served, client: AsyncClient) -> None:
    await served.ingest([flow(agent=f"a{i % 2}", duration_ms=100.0 * i) for i in range(1, 7)])
    result = await client.query(["flows", "duration_p50"], window="now-1h", group_by="agent", compare="previous")
    assert result.columns == ["agent", "flows", "flows_previous", "duration_p50", "duration_p50_previous"]
    assert sorted(row[:2] for row in result.rows) == [["a0", 3], ["a1", 3]]
    assert result.totals["flows"].value == 6
    assert 0 <= result.confidence <= 1
    assert result.watermark is not None
    assert result.window.seconds == pytest.approx(3600)

    by_minute = await client.query("flows", window="now-5m", grain="1m", filters={"agent": ["a0", "a1"]})
    table = by_minute.to_arrow()
    assert table.schema.field("time").type == pa.timestamp("us", tz="UTC")
    assert sum(table["flows"].to_pylist()) == 6
    frame = by_minute.to_pandas()
    assert frame["flows"].sum() == 6
    assert str(frame["time"].dt.tz) == "UTC"


async def test_the_three_original_questions_and_a_board(served: Served, client: AsyncClient) -> None:
    await served.ingest([flow(flow_id="f1"), flow(flow_id="f2", agent="writer")])
    flows = await client.flow_analytics()
    assert flows.analytics is not None
    assert flows.analytics["flows"]["value"] == 2
    assert set(flows.confidence_parts) == {"sample", "freshness", "completeness", "model"}
    assert flows.timestamp.utcoffset() is not None
    one = await client.flow_analytics("f1", domain="professional")
    assert one.analytics is not None
    assert one.analytics["flows"]["value"] == 1
    assert (await client.agent_analytics("writer")).analytics is not None
    assert (await client.resource_analytics(window="now-1h")).analytics is not None
    board = await client.board("overview", window="now-15m")
    assert board.analytics is not None
    assert board.analytics["tiles"]["latest"]["columns"]["name"] == ["answer question"] * 2


async def test_catalogue_and_ping(client: AsyncClient) -> None:
    assert "flows" in [m["name"] for m in await client.catalogue("metrics")]
    assert "overview" in [b["name"] for b in await client.catalogue("boards")]
    assert 0 < await client.ping() < 5


async def test_errors_are_those_of_the_server(served: Served, client: AsyncClient) -> None:
    await served.ingest([flow(flow_id="f1")])
    with pytest.raises(errors.NotFound, match="nearest: 'f1'"):
        await client.flow_analytics("f9")
    with pytest.raises(errors.NotFound, match="overview"):
        await client.board("overvew")
    with pytest.raises(errors.ValidationError, match="window"):
        await client.query("flows", window="yesteryear")
    with pytest.raises(errors.NotFound):
        await client.ingest([flow()], dataset="evnts")
    with pytest.raises(errors.NotFound):
        await anext(client.subscribe(BoardRequest(board="overvew")))
    assert client.state == State("connected")


async def test_many_questions_at_once_stay_within_the_limits(client: AsyncClient) -> None:
    answers = await asyncio.gather(*(client.ping() for _ in range(60)))
    assert len(answers) == 60


# streams


async def test_a_board_subscription_is_the_whole_board_at_any_time(served: Served, client: AsyncClient) -> None:
    await served.ingest([flow()])
    async with client.subscribe(BOARD) as updates:
        first = await anext(updates)
        assert first.analytics is not None
        assert first.analytics["tiles"]["latest"]["columns"]["name"] == ["answer question"]
        await served.ingest([flow("a new one", ago_s=0)])
        tiles: dict[str, Any] = {}
        async for update in updates:
            assert update.analytics is not None
            assert not update.gap
            tiles = update.analytics["tiles"]
            if tiles["latest"]["columns"]["name"][0] == "a new one":
                break
        fresh = (await client.board("overview")).analytics
        assert fresh is not None
        assert fresh["tiles"].keys() == tiles.keys()
        for name, tile in fresh["tiles"].items():
            assert tiles[name]["columns"].keys() == tile["columns"].keys()
            assert tiles[name]["head"]["state"] == tile["head"]["state"]
        assert tiles["latest"]["columns"] == fresh["tiles"]["latest"]["columns"]
    await until(lambda: served.app.service.hub.stats()["subscriptions"] == 0, what="the server to let go")


async def test_a_callback_gets_every_update_and_at_last_the_error(served: Served, client: AsyncClient) -> None:
    heard: list[Update] = []
    subscription = client.subscribe(QueryRequest(metrics=["flows"]), mode="log", on_update=heard.append)
    await until(lambda: len(heard) >= 2, what="two updates")
    assert heard[0].result().columns == ["flows"]
    assert [u.seq for u in heard] == list(range(heard[0].seq or 0, (heard[0].seq or 0) + len(heard)))
    subscription.close()

    refused: list[Update] = []

    async def hear(update: Update) -> None:
        refused.append(update)

    client.subscribe(QueryRequest(metrics=["nope"]), on_update=hear)
    await until(lambda: refused, what="the refusal")
    assert isinstance(refused[0].error, errors.NotFound)


# the connection


async def test_states_are_observable(served: Served) -> None:
    client = AsyncClient(served.url, served.key)
    heard: list[State] = []
    forget = client.on_state(heard.append)
    states = client.states()
    assert client.state == State("idle")
    await client.connect()
    forget()
    await client.close()
    assert [s.name async for s in states] == ["idle", "connecting", "connected", "closed"]
    assert [s.name for s in heard] == ["connecting", "connected"]
    with pytest.raises(Unreachable, match="closed"):
        await client.ping()
    with pytest.raises(Unreachable, match="closed"):
        await client.ingest([flow()])


async def test_a_killed_server_is_come_back_to_and_the_gap_is_marked(running: Running) -> None:
    async with AsyncClient(running.url, running.key, timeout_s=30) as client:
        updates = client.subscribe(BOARD)
        first = await anext(updates)
        running.stop(signal.SIGKILL)
        await until(lambda: client.state.name == "reconnecting", what="the client to notice")
        waiting = asyncio.create_task(client.query("flows"))
        await asyncio.to_thread(running.start)
        async for update in updates:
            if update.epoch != first.epoch:
                break
            assert not update.gap
        assert update.gap
        assert update.analytics is not None
        assert "latest" in update.analytics["tiles"]
        assert not (await anext(updates)).gap
        assert (await waiting).columns == ["flows"]
        assert client.state == State("connected")


@pytest.mark.parametrize("scopes", [None, ["ingest"]])
async def test_a_key_that_does_not_count_fails_for_good(served: Served, scopes: list[str] | None) -> None:
    if scopes is None:
        found, key = served.app.keys.create("gone", ["read"])
        served.app.keys.revoke(found.id)
        kind: type[errors.PlumblineError] = errors.Unauthorized
    else:
        key, kind = served.app.keys.create("sender", scopes)[1], errors.Forbidden
    async with AsyncClient(served.url, key) as client:
        with pytest.raises(kind):
            await client.query("flows")
        assert client.state.name == "failed"
        with pytest.raises(kind):
            await anext(client.subscribe(BOARD))
        if scopes:  # no socket, but events go
            assert (await client.ingest([flow()])).accepted == 1


async def test_the_key_is_shown_nowhere(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    _, key = served.app.keys.create("sender", ["ingest"])
    client = AsyncClient(served.url, key)
    with pytest.raises(errors.Forbidden) as refused:
        await client.ping()
    await client.ingest([flow()])
    secret = key.split("_")[3]
    for text in (repr(client), repr(client.state), repr(refused.value), str(refused.value.details), caplog.text):
        assert secret not in text
    await client.close()


async def test_without_a_server_calls_end_in_time() -> None:
    async with silent() as url:
        pass  # nobody listens there any more
    async with AsyncClient(url, "k", timeout_s=0.3) as client:
        with pytest.raises(errors.Timeout, match="reconnecting"):
            await client.ping()
        with pytest.raises(errors.Timeout):
            await anext(client.subscribe(BOARD))
    async with AsyncClient(url, "k", reconnect=False) as client:
        with pytest.raises(Unreachable):
            await client.ping()
    async with AsyncClient(url, "k", reconnect="bounded", attempts=2) as client:
        with pytest.raises(Unreachable, match="gave up after 2 attempts"):
            await client.connect()
        with pytest.raises(Unreachable, match="gave up after 2 attempts"):
            await client.connect()  # asked for, so tried again


WELCOME = {"type": "welcome", "v": 1, "conn": "c", "epoch": "e", "ping_s": 20, "limits": {}, "principal": "p"}


@asynccontextmanager
async def silent(
    *first: dict[str, Any], close: int | None = None, met: Callable[[], None] = lambda: None
) -> AsyncIterator[str]:
    """A server that says `first` and then nothing; or closes with a code."""

    async def handle(socket: ServerConnection) -> None:
        met()
        for message in first:
            await socket.send(json.dumps(message))
        if close is not None:
            await socket.close(close)
        await socket.wait_closed()

    subprotocols: Any = ["analytics.v1"]
    async with serve(handle, "127.0.0.1", 0, subprotocols=subprotocols, ping_interval=None) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize("first", [[], [WELCOME]])
async def test_a_server_that_never_answers_is_a_timeout(first: list[dict[str, Any]]) -> None:
    async with silent(*first) as url, AsyncClient(url, "k", timeout_s=0.3) as client:
        with pytest.raises(errors.Timeout, match="no answer within 0.3 s"):
            await client.query("flows")
        with pytest.raises(errors.Timeout):
            await anext(client.subscribe(BOARD))


async def test_a_final_close_code_is_not_tried_again() -> None:
    met: list[None] = []
    async with silent(WELCOME, close=4503, met=lambda: met.append(None)) as url, AsyncClient(url, "k") as client:
        states = client.states()
        updates = client.subscribe(BOARD)
        with pytest.raises(errors.Unauthorized, match="4503"):
            await anext(updates)
        assert [s.name async for s in states][-1] == "failed"
        assert len(met) == 1


async def test_a_drain_is_waited_out() -> None:
    met: list[None] = []
    going = {"type": "going_away", "reconnect_after_ms": 50}
    async with silent(WELCOME, going, close=4001, met=lambda: met.append(None)) as url, AsyncClient(url, "k") as client:
        states = client.states()
        await client.connect()
        await until(lambda: len(met) == 3, what="two returns")
        names = [(await anext(states)).name for _ in range(5)]
    assert names == ["idle", "connecting", "connected", "reconnecting", "connected"]


async def test_a_dead_line_is_dropped_and_a_new_one_made() -> None:
    """The socket stands, but no byte comes, not even a pong."""
    lines: list[asyncio.StreamWriter] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from websockets.server import ServerProtocol

        protocol = ServerProtocol(subprotocols=["analytics.v1"])  # type: ignore[list-item]
        protocol.receive_data(await reader.readuntil(b"\r\n\r\n"))
        protocol.send_response(protocol.accept(protocol.events_received()[0]))  # type: ignore[arg-type]
        protocol.send_text(json.dumps(WELCOME | {"ping_s": 0.1}).encode())
        writer.writelines(protocol.data_to_send())
        lines.append(writer)

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with AsyncClient(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", "k") as client:
        heard: list[State] = []
        client.on_state(heard.append)
        await client.connect()
        await until(lambda: len(lines) > 1, what="a second connection")
        assert "nothing heard for 0.2 s" in [s.reason for s in heard]
    for line in lines:
        line.close()
    server.close()
    await server.wait_closed()


async def test_nothing_is_left_after_close(served: Served) -> None:
    tasks, threads = asyncio.all_tasks(), set(threading.enumerate())
    client = AsyncClient(served.url, served.key)
    updates = client.subscribe(BOARD)
    await anext(updates)
    heard: list[Update] = []
    client.subscribe(BOARD, on_update=heard.append)
    sender = client.sender()
    await sender.send(flow())
    waiting = asyncio.create_task(anext(updates))
    await client.catalogue()
    await client.close()
    await client.close()
    await asyncio.gather(waiting, return_exceptions=True)
    assert [u async for u in updates] == []
    assert sender.report.accepted == 1
    await until(lambda: not served.app.sockets.open, what="the server to let go")
    await until(lambda: asyncio.all_tasks() <= tasks, what="tasks to end")
    left = lambda: {t for t in threading.enumerate() if t.name.startswith("plumbline")} - threads  # noqa: E731
    await until(lambda: not left(), what="threads to end")


# events


class Intake:
    """A tiny intake that gives the prepared answers, then 200, and keeps what it took."""

    def __init__(self, answers: list[tuple[int, dict[str, str]]], refuses: Callable[[int], int] = lambda n: 0) -> None:
        self.answers, self.refuses = answers, refuses
        self.taken: list[dict[str, Any]] = []
        self.bodies: list[list[dict[str, Any]]] = []
        self.url = ""

    def answer(self, events: list[dict[str, Any]]) -> tuple[int, dict[str, str], dict[str, Any]]:
        self.bodies.append(events)
        if self.answers:
            status, headers = self.answers.pop(0)
            return status, headers, {"status": status, "detail": "later"}
        if status := self.refuses(len(events)):
            return status, {}, {"status": status, "detail": "not this"}
        self.taken += events
        return 200, {}, {"accepted": len(events), "repeated": 0, "dropped": [], "cursor": 1}


@contextmanager
def intake(*answers: tuple[int, dict[str, str]], refuses: Callable[[int], int] = lambda n: 0) -> Iterator[Intake]:
    kept = Intake(list(answers), refuses)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            assert self.headers["Content-Encoding"] == "gzip"
            raw = gzip.decompress(self.rfile.read(int(self.headers["Content-Length"])))
            status, headers, body = kept.answer([json.loads(line) for line in raw.splitlines()])
            encoded = json.dumps(body).encode()
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(encoded))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(encoded)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    kept.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield kept
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


async def test_ingest_is_tried_again_with_the_same_ids() -> None:
    with intake((503, {"Retry-After": "0"}), (429, {})) as server:
        async with AsyncClient(server.url, "k") as client:
            assert (await client.ingest([flow(), flow(event_id="mine")])).accepted == 2
    assert len(server.bodies) == 3
    assert server.bodies[0] == server.bodies[1] == server.bodies[2]
    assert server.taken[1]["event_id"] == "mine"
    assert server.taken[0]["event_id"]


async def test_patience_beyond_the_timeout_is_the_error_at_once() -> None:
    with intake((503, {"Retry-After": "60"})) as server:
        async with AsyncClient(server.url, "k", timeout_s=5) as client:
            with pytest.raises(errors.Overloaded) as refused:
                await client.ingest([flow()])
    assert refused.value.details["retry_after_ms"] == 60_000


@pytest.mark.parametrize("status", [429, 503, 507])
async def test_a_sender_batches_and_waits_for_a_busy_server(status: int) -> None:
    with intake((status, {"Retry-After": "0"})) as server:
        async with AsyncClient(server.url, "k") as client, client.sender(max_events=100, max_age_s=60) as sender:
            await sender.send(*(flow(n=i) for i in range(250)))
            await until(lambda: len(server.taken) == 200, what="two full batches")
            await until(lambda: sender.report.buffered == 50, what="their answers")
            assert (await sender.flush()).accepted == 250
    assert [e["n"] for e in server.taken] == list(range(250))
    assert len({e["event_id"] for e in server.taken}) == 250
    assert list(map(len, server.bodies)) == [100, 100, 100, 50]


async def test_a_sender_flushes_by_age_and_by_size() -> None:
    with intake() as server:
        async with AsyncClient(server.url, "k") as client:
            old = client.sender(max_age_s=0.02)
            await old.send(flow())
            await until(lambda: len(server.taken) == 1, what="the old event")
            big = client.sender(max_age_s=60, max_bytes=1000)
            await big.send(*(flow(text="x" * 300) for _ in range(6)))
            await until(lambda: len(server.taken) >= 5, what="the big events")


async def test_the_buffer_is_bounded() -> None:
    with intake(*[(503, {"Retry-After": "30"})] * 9) as server:
        client = AsyncClient(server.url, "k", timeout_s=0.2)
        dropped: list[Drop] = []
        sender = client.sender(max_events=10, buffer=10, on_dropped=dropped.append)
        await sender.send(*(flow() for _ in range(10)))
        with pytest.raises(errors.Timeout, match="buffer is full"):
            await sender.send(flow())
        with pytest.raises(errors.Timeout):
            await sender.flush()
        assert (await sender.close()).dropped == {"UNSENT": 10}
        assert [(d.reason, d.count) for d in dropped] == [("UNSENT", 10)]
        with pytest.raises(Unreachable):
            await sender.send(flow())
        await client.close()


async def test_a_batch_that_is_too_large_is_halved_and_a_spoiled_one_is_reported() -> None:
    with intake(refuses=lambda n: 413 if n > 2 else 400 if n == 1 else 0) as server:
        async with AsyncClient(server.url, "k") as client:
            dropped: list[Drop] = []
            sender = client.sender(on_dropped=dropped.append)
            await sender.send(*(flow(n=i) for i in range(5)))
            report = await sender.flush()
    assert (report.accepted, report.dropped, report.buffered) == (4, {"VALIDATION_ERROR": 1}, 0)
    assert [e["n"] for e in server.taken] == [0, 1, 3, 4]
    assert dropped == [Drop("VALIDATION_ERROR", 1, "not this")]


async def test_what_the_server_drops_is_seen(served: Served, client: AsyncClient) -> None:
    dropped: list[Drop] = []
    async with client.sender(on_dropped=dropped.append) as sender:
        await sender.send(flow(), flow(duration_ms=-1.0))
        report = await sender.flush()
    assert report.accepted == 1
    assert sum(report.dropped.values()) == 1
    assert dropped[0].count == 1
    told = await client.ingest([flow(duration_ms=-1.0)])
    assert told.dropped[0].reason == dropped[0].reason


async def test_a_refused_key_ends_a_sender(served: Served) -> None:
    _, key = served.app.keys.create("reader", ["read"])
    async with AsyncClient(served.url, key) as client:
        sender = client.sender()
        await sender.send(flow())
        assert (await sender.flush()).dropped == {"FORBIDDEN": 1}
        with pytest.raises(errors.Forbidden):
            await sender.send(flow())


# the blocking client


def test_the_blocking_client_does_all_of_it_from_any_thread(running: Running) -> None:
    running.post([flow()])
    with Client(running.url, running.key) as client:
        found: list[Any] = []
        threads = [threading.Thread(target=lambda: found.append(client.query("flows").rows)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == [[[1]]] * 8

        with client.subscribe(BOARD) as updates:
            first = next(updates)
            assert first.analytics is not None
            assert next(iter(updates)).seq != first.seq
        assert list(updates) == []

        inside: list[Any] = []  # a callback may ask
        client.subscribe(QueryRequest(metrics=["flows"]), on_update=lambda u: inside.append(client.query("flows").rows))
        wait_until(lambda: inside, what="the callback's own answer")
        assert inside[0] == [[1]]

        with client.sender() as sender:
            sender.send(flow(), flow())
            assert sender.flush().accepted == 2
        with pytest.raises(errors.NotFound):
            client.flow_analytics("f9")
        states = client.states()
        assert next(states) == State("connected")
    assert list(states) == []
    client.close()
    with pytest.raises(Unreachable, match="closed"):
        client.ping()
    wait_until(lambda: not [t for t in threading.enumerate() if t.name.startswith("plumbline")], what="threads to end")


@pytest.mark.parametrize(
    ("inner", "face"), [(AsyncClient, Client), (Subscription, SyncSubscription), (Sender, SyncSender)]
)
def test_the_blocking_side_has_the_same_methods_signatures_and_words(inner: type, face: type) -> None:
    for_its_maker = {"put", "end"} if inner is Subscription else set()
    for name, method in inspect.getmembers(inner, inspect.isfunction):
        if name.startswith("_") or name in for_its_maker:
            continue
        there = getattr(face, name)
        assert there.__doc__ == method.__doc__
        assert method.__doc__ or name == "__init__"
        assert inspect.signature(there).parameters.keys() == inspect.signature(method).parameters.keys()
        assert not inspect.iscoroutinefunction(there)
    assert inspect.signature(Client) == inspect.signature(AsyncClient)
