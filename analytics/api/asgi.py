"""An ASGI application behind a Tornado handler: request in, answer out as it comes, and the news of who hung up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from tornado.iostream import StreamClosedError
from tornado.web import RequestHandler

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]
SECRETS = ("x-api-key", "authorization", "cookie")  # were read by then; the application has no use for them
OF_THE_HOP = ("connection", "keep-alive", "transfer-encoding")  # Tornado's own to say


class Exchange:
    """One request of `handler`, whose body is `body`. `state` is what the application finds in its scope."""

    def __init__(self, handler: RequestHandler, body: bytes, state: dict[str, Any]) -> None:
        self._handler, self._state = handler, state
        self._body: bytes | None = body
        self._gone = asyncio.Event()
        self._work: asyncio.Task[None] | None = None

    async def run(self, application: Application) -> None:
        """Have it answered. Raises what the application raises; of one that was hung up on, nothing."""
        self._work = asyncio.create_task(application(self._scope(), self._receive, self._send))  # type: ignore[arg-type]
        try:
            await self._work
        except asyncio.CancelledError:
            if not self._work.cancelled():
                self._work.cancel()
                raise

    def hung_up(self) -> None:
        """Nobody waits for the answer any more: its work ends."""
        self._gone.set()
        if self._work is not None:
            self._work.cancel()

    def _scope(self) -> Message:
        request = self._handler.request
        headers = [(k.lower(), v) for k, v in request.headers.get_all() if k.lower() not in SECRETS]
        if "accept" not in request.headers:
            headers.append(("accept", "*/*"))  # who does not say takes anything
        host, _, port = request.host.rpartition(":")
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": request.version.removeprefix("HTTP/"),
            "method": request.method,
            "scheme": request.protocol,
            "path": request.path,
            "raw_path": request.path.encode("latin-1"),
            "root_path": "",
            "query_string": request.query.encode("latin-1"),
            "headers": [(k.encode("latin-1"), v.encode("latin-1")) for k, v in headers],
            "server": (host, int(port)) if port.isdecimal() else (request.host, None),
            "client": (request.remote_ip or "", 0),
            "state": self._state,
        }

    async def _receive(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        handler = self._handler
        if message["type"] == "http.response.start":
            handler.set_status(message["status"])
            handler.clear_header("Content-Type")
            for name, value in message.get("headers", ()):
                if (key := name.decode("latin-1").lower()) not in OF_THE_HOP:
                    handler.set_header(key, value.decode("latin-1"))
        elif message["type"] == "http.response.body":
            handler.write(message.get("body", b""))
            try:
                await (handler.flush() if message.get("more_body") else handler.finish())
            except StreamClosedError:
                self._gone.set()
