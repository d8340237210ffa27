"""Headless viewers in a process of their own: `python -m tests.bench.viewers` takes one command a line from stdin.

    plumbline URL COOKIE N   N sessions: page, spec, Bokeh socket, document, feed socket, first snapshot
    feed URL COOKIE N [ASK]  N feed sockets only, each subscribed to the overview, or to this request
    panel URL N              N sessions of a plain Panel app: page, Bokeh socket, document, "ready"
    count                    messages heard so far: frames of the feeds, patches of the Bokeh sessions
    close                    leave all

Each answers with one line of JSON. A Bokeh server sends nothing to a client that has not said document_ready,
and one that does not wait for the ACK is not a session yet: both are done as BokehJS does them.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import sys
import time
from typing import Any
from urllib.request import Request, urlopen

from bokeh.protocol import Protocol
from bokeh.protocol.messages.patch_doc import patch_doc
from websockets.asyncio.client import ClientConnection, connect

EVENT = {"type": "event", "name": "document_ready", "values": {"type": "map"}}
READY = {"kind": "MessageSent", "msg_type": "bokeh_event", "msg_data": EVENT}
OVERVIEW = '{"type":"board","board":"overview"}'


class Viewers:
    """All that are open."""

    def __init__(self) -> None:
        self._sockets: list[ClientConnection] = []
        self._readers: list[asyncio.Task[None]] = []
        self._seen: set[str] = set()
        self.frames = 0
        self.patches = 0

    async def plumbline(self, url: str, cookie: str, count: str) -> dict[str, Any]:
        """Everything a browser asks the server for, but for files that it keeps for ever."""
        bytes_read = 0
        for _ in range(int(count)):
            page = await get(f"{url}/overview", cookie)
            spec = re.search(r"/specs/\w+\.json", page)
            assert spec
            bytes_read += len(page) + len(await get(url + spec[0], cookie))
            await self._feed(url, cookie)
            await self._bokeh(f"{url}/overview", page, cookie)
        return {"sessions": int(count), "bytes": bytes_read}

    async def panel(self, url: str, count: str) -> dict[str, Any]:
        bytes_read = 0
        for _ in range(int(count)):
            page = await get(url, "")
            bytes_read += len(page) + await self._bokeh(url, page, "")
        return {"sessions": int(count), "bytes": bytes_read}

    async def feed(self, url: str, cookie: str, count: str, ask: str = OVERVIEW) -> dict[str, Any]:
        waits = [await self._feed(url, cookie, ask) for _ in range(int(count))]
        return {"feeds": int(count), "snapshot_ms": sorted(waits)}

    async def count(self) -> dict[str, Any]:
        return {"frames": self.frames, "patches": self.patches, "at": time.monotonic()}

    async def close(self) -> dict[str, Any]:
        sockets, self._sockets = self._sockets, []
        for reader in self._readers:
            reader.cancel()
        self._readers.clear()
        await asyncio.gather(*(socket.close() for socket in sockets))
        return {"closed": len(sockets)}

    async def _feed(self, url: str, cookie: str, ask: str = OVERVIEW) -> float:
        """Subscribe; ms from asking to having the snapshot."""
        socket = await connect(
            url.replace("http", "ws") + "/api/analytics/ws",
            subprotocols=["analytics.v1"],  # type: ignore[list-item]
            additional_headers={"Cookie": cookie},
            origin=url,  # type: ignore[arg-type]
            max_size=None,
        )
        asked = time.perf_counter()
        await socket.send(json.dumps({"type": "subscribe", "id": "1", "sub": "board-1", "request": json.loads(ask)}))
        while '"type":"analytics_update"' not in str(message := await socket.recv()):
            assert '"type":"error"' not in str(message), message
        waited = (time.perf_counter() - asked) * 1000
        self._keep(socket, self._frame)
        return waited

    async def _bokeh(self, url: str, page: str, cookie: str) -> int:
        """Open the page's session, pull its document, say ready; gives the size of the document."""
        token = re.search(r'"token":\s*"([^"]+)"', page)
        assert token
        socket = await connect(
            url.replace("http", "ws") + "/ws",
            subprotocols=["bokeh", token[1]],  # type: ignore[list-item]
            additional_headers={"Cookie": cookie} if cookie else {},
            origin=re.match(r"http://[^/]+", url)[0],  # type: ignore[arg-type, index]
            max_size=None,
        )
        await self._until(socket, "ACK")
        await send(socket, Protocol().create("PULL-DOC-REQ"))
        size = await self._until(socket, "PULL-DOC-REPLY")
        await send(socket, patch_doc(patch_doc.create_header(), {}, {"events": [READY]}))
        await self._until(socket, "OK")
        self._keep(socket, self._patch)
        return size

    @staticmethod
    async def _until(socket: ClientConnection, kind: str) -> int:
        """Read messages up to the end of the first of this kind; gives its size."""
        while True:
            header = await socket.recv()
            if not isinstance(header, str) or '"msgtype"' not in header:
                continue
            parsed = json.loads(header)
            size = 0
            for _ in range(2 + 2 * parsed.get("num_buffers", 0)):
                size += len(await socket.recv())
            if parsed["msgtype"] == kind:
                return size
            assert parsed["msgtype"] != "ERROR", parsed

    def _keep(self, socket: ClientConnection, heard: Any) -> None:
        async def read() -> None:
            async for message in socket:
                heard(message)

        self._sockets.append(socket)
        self._readers.append(asyncio.get_running_loop().create_task(read()))

    def _frame(self, message: str | bytes) -> None:
        self.frames += str(message[:20]).startswith('{"type":"frame"')

    def _patch(self, message: str | bytes) -> None:
        self.patches += isinstance(message, str) and '"msgtype": "PATCH-DOC"' in message[:200]


async def send(socket: ClientConnection, message: Any) -> None:
    for part in (message.header_json, message.metadata_json, message.content_json):
        await socket.send(part)


async def get(url: str, cookie: str) -> str:
    """The text behind a URL, asked for as a browser does."""

    def read() -> str:
        headers = {"Accept-Encoding": "gzip"} | ({"Cookie": cookie} if cookie else {})
        with urlopen(Request(url, headers=headers), timeout=30) as reply:
            body = reply.read()
            return str((gzip.decompress(body) if reply.headers.get("Content-Encoding") == "gzip" else body).decode())

    return await asyncio.to_thread(read)


async def obey() -> None:
    viewers = Viewers()
    print("ready", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        verb, *arguments = line.split()
        print(json.dumps(await getattr(viewers, verb)(*arguments)), flush=True)


if __name__ == "__main__":
    asyncio.run(obey())
