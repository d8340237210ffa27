"""The core's decisions on a real socket: connect, talk, come back."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Callable
from functools import partial
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.typing import Subprotocol

from analytics.client.core import Core
from analytics.client.faults import Unreachable, from_close, from_response
from analytics.errors import Forbidden, Internal, PlumblineError, Unauthorized, ValidationError

log = logging.getLogger(__name__)

V1 = Subprotocol("analytics.v1")
MOST_BYTES = 64 << 20  # one message of the server


class Link:
    """Belongs to one event loop. `stirred` is set by the core when there may be something to write."""

    def __init__(
        self,
        core: Core,
        stirred: asyncio.Event,
        *,
        url: str,
        headers: dict[str, str],
        timeout_s: float,
        tls: ssl.SSLContext | None,
    ) -> None:
        self._core, self._stirred = core, stirred
        self._url, self._headers, self._timeout_s, self._tls = url, headers, timeout_s, tls

    async def run(self) -> None:
        """Connect, talk, and come back, until the core says that it is over."""
        try:
            while True:
                error, final = await self._session()
                pause = self._core.lost(error, final=final)
                if pause is None:
                    return
                await asyncio.sleep(pause)
        except Exception as error:  # a mistake of ours must not leave callers hanging
            log.exception("the client failed")
            self._core.fail(Internal(f"the client failed: {type(error).__name__}"))

    async def _session(self) -> tuple[PlumblineError, bool]:
        """One connection from beginning to end: why it ended, and whether that is final."""
        try:
            socket = await connect(
                self._url.replace("http", "ws", 1) + "/api/analytics/ws",
                subprotocols=[V1],
                additional_headers=self._headers,
                open_timeout=self._timeout_s,
                close_timeout=min(1.0, self._timeout_s),
                ping_interval=None,  # the core watches: any byte counts, not only a pong
                max_size=MOST_BYTES,
                proxy=None,
                logger=_Quiet(log, {}),
                create_connection=partial(_Connection, self._core.heard),  # type: ignore[arg-type]
                ssl=self._tls,
            )
        except InvalidStatus as refused:
            answer = refused.response
            error = from_response(answer.status_code, answer.headers, bytes(answer.body or b""))
            return error, isinstance(error, Unauthorized | Forbidden)
        except (OSError, TimeoutError, InvalidHandshake) as error:
            return Unreachable(str(error) or type(error).__name__), False
        helpers: list[asyncio.Task[None]] = []
        try:
            if socket.subprotocol != V1:
                return ValidationError("the server does not speak analytics.v1"), True
            async with asyncio.timeout(self._timeout_s):
                self._core.received(await socket.recv(decode=False))
            if self._core.state.name != "connected":
                return Unreachable("the server did not say welcome"), False
            helpers = [asyncio.create_task(work(socket)) for work in (self._write, self._watch)]
            while not self._core.done:
                self._core.received(await socket.recv(decode=False))
            return Unreachable("the server is going away"), False
        except TimeoutError:
            return Unreachable(f"the server did not say welcome within {self._timeout_s:g} s"), False
        except ConnectionClosed as closed:
            if self._core.silence() == "dead":
                return Unreachable(f"nothing heard for {2 * self._core.ping_s:g} s"), False
            return from_close(*((closed.rcvd.code, closed.rcvd.reason) if closed.rcvd else (1006, "connection lost")))
        finally:
            for helper in helpers:
                helper.cancel()
            await asyncio.gather(*helpers, socket.close(), return_exceptions=True)

    async def _write(self, socket: ClientConnection) -> None:
        while True:
            self._stirred.clear()
            data, wait = self._core.next()
            if data is not None:
                await socket.send(data, text=True)
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._stirred.wait()

    async def _watch(self, socket: ClientConnection) -> None:
        while True:
            await asyncio.sleep(self._core.ping_s / 2)
            match self._core.silence():
                case "ask":
                    await socket.ping()
                case "dead":
                    socket.transport.abort()
                    return


class _Connection(ClientConnection):
    """Tells of every inbound byte, control frames included."""

    def __init__(self, heard: Callable[[], None], *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._heard = heard

    def data_received(self, data: bytes) -> None:
        self._heard()
        super().data_received(data)


class _Quiet(logging.LoggerAdapter[logging.Logger]):
    """Never at debug level, where websockets writes all headers, the key's too."""

    def isEnabledFor(self, level: int) -> bool:
        return level > logging.DEBUG and super().isEnabledFor(level)
