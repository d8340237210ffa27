"""What the fault tests share: a client that speaks the wire by itself."""

from __future__ import annotations

import asyncio
import json
import socket as sockets
from collections.abc import Callable, Iterator
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode
from websockets.typing import Subprotocol

BOARD = {"type": "board", "board": "overview"}
PATIENCE_S = 20.0


async def v1(url: str, key: str, **how: Any) -> ClientConnection:
    """A socket of analytics.v1 on the server at `url` (http), after its welcome."""
    address = url.replace("http", "ws") + "/api/analytics/ws"
    headers = {"X-API-Key": key}
    socket = await connect(address, additional_headers=headers, subprotocols=[Subprotocol("analytics.v1")], **how)
    assert (await hear(socket))["type"] == "welcome"
    return socket


async def hear(socket: ClientConnection) -> dict[str, Any]:
    return json.loads(await asyncio.wait_for(socket.recv(), PATIENCE_S))


async def say(socket: ClientConnection, **message: Any) -> dict[str, Any]:
    """Send one message and hear the next."""
    await socket.send(json.dumps(message))
    return await hear(socket)


async def hear_until(socket: ClientConnection, wanted: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    """The first message that is wanted; what comes before it is let go."""
    while not wanted(message := await hear(socket)):
        pass
    return message


async def stand(socket: ClientConnection, request: dict[str, Any] = BOARD, sub: str = "b", **how: Any) -> Any:
    """Subscribe; gives `subscribed` and the snapshot behind it."""
    said = await say(socket, type="subscribe", id=sub, sub=sub, request=request, **how)
    assert said["type"] == "subscribed", said
    return said, await hear(socket)


async def closed_with(socket: ClientConnection) -> int:
    """Read to the end; gives the close code, 1006 where there was none."""
    try:
        while True:
            await asyncio.wait_for(socket.recv(), PATIENCE_S)
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else 1006


def percentile(values: list[float], share: float) -> float:
    """The value that `share` of all stay at or under."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class Raw:
    """A blocking WebSocket client without manners: sends any bytes, and sees every frame that comes."""

    def __init__(self, url: str, key: str, *protocols: str) -> None:
        host, _, port = url.removeprefix("http://").partition(":")
        head = {"Host": f"{host}:{port}", "Upgrade": "websocket", "Connection": "Upgrade", "X-API-Key": key}
        head |= {"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}
        head |= {"Sec-WebSocket-Protocol": ", ".join(protocols)} if protocols else {}
        lines = ["GET /api/analytics/ws HTTP/1.1", *(f"{name}: {value}" for name, value in head.items()), "", ""]
        self.socket = sockets.create_connection((host, int(port)), PATIENCE_S)
        self._stream = self.socket.makefile("rb")
        self.socket.sendall("\r\n".join(lines).encode())
        while self._stream.readline().strip():
            pass

    def text(self, message: dict[str, Any]) -> None:
        self.socket.sendall(Frame(Opcode.TEXT, json.dumps(message).encode()).serialize(mask=True))

    def frames(self) -> Iterator[tuple[int, bytes]]:
        """Opcode and payload of each frame up to the end of the connection."""
        try:
            while head := self._stream.read(2):
                size = head[1] & 127
                if size > 125:
                    size = int.from_bytes(self._stream.read(2 if size == 126 else 8))
                yield head[0] & 15, self._stream.read(size)
        except (ConnectionError, IndexError):
            return

    def close(self) -> None:
        self._stream.close()
        self.socket.close()
