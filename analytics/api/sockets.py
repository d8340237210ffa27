"""The open sockets: how many there may be, how fast each may talk, and why the server closes one."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Callable
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import msgspec

from analytics import messages
from analytics.errors import Overloaded, RateLimited
from analytics.rights import Principal

if TYPE_CHECKING:
    from analytics.api.websocket import AnalyticsSocket

V1 = "analytics.v1"
CLOSE_GRACE_S = 1.0  # a peer that does not answer our close is cut after this


class Close(IntEnum):
    """Why the server closes: 4000-4499 come back, 4500-4999 do not."""

    ADMIN = 4000
    DRAIN = 4001
    NO_PONG = 4002
    SLOW_READER = 4008
    LIFETIME = 4009
    FLOOD = 4029
    BAD_KEY = 4501
    REVOKED = 4503
    LIMIT = 4504
    PROTOCOL = 4505


class SocketLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of sockets; each is a setting."""

    message_bytes: int = 64 << 10
    subscriptions: int = 100
    in_flight: int = 16
    messages_per_s: int = 20
    burst: int = 40
    key_messages_per_s: int = 200
    buffer_bytes: int = 256 << 10
    slow_s: float = 30.0
    ping_s: float = 20.0
    lifetime_s: float = 86400.0
    sockets: int = 5000
    sockets_per_key: int = 50


class Sockets:
    """The open sockets: counted against their limits, swept once a second, drained at the end."""

    def __init__(self, limits: SocketLimits, alive: Callable[[str], bool]) -> None:
        """alive: whether a key still counts, by its id."""
        self.limits = limits
        self.open: set[AnalyticsSocket] = set()
        self.draining = False
        self._alive = alive
        self._per_key: dict[str, int] = {}
        self._buckets: dict[str, Bucket] = {}
        self._by_token: dict[str, AnalyticsSocket] = {}
        self._emptied = asyncio.Event()

    def check_room(self, principal: Principal) -> None:
        """Raises Overloaded or RateLimited when one more socket of this principal is too many."""
        if self.draining:
            raise Overloaded("the server is about to stop", hint="come back in a moment", retry_after_ms=1000)
        if len(self.open) >= self.limits.sockets:
            raise Overloaded(f"{len(self.open):,} sockets are open, the most there may be", retry_after_ms=5000)
        if self._per_key.get(principal.key_id, 0) >= self.limits.sockets_per_key:
            raise RateLimited(
                f"this key has {self.limits.sockets_per_key} sockets open, the most it may have",
                hint="close one, or share one socket among subscriptions",
                retry_after_ms=5000,
            )

    def joined(self, socket: AnalyticsSocket) -> Bucket:
        """Count a socket in; gives the rate bucket that all sockets of its key share."""
        key = socket.principal.key_id
        self.open.add(socket)
        if socket.token:
            self._by_token[socket.token] = socket
        self._per_key[key] = self._per_key.get(key, 0) + 1
        rate = self.limits.key_messages_per_s
        return self._buckets.setdefault(key, Bucket(rate, 2 * rate))

    def left(self, socket: AnalyticsSocket) -> None:
        """Count a socket out."""
        if socket not in self.open:
            return
        self.open.discard(socket)
        self._by_token.pop(socket.token, None)
        key = socket.principal.key_id
        self._per_key[key] -= 1
        if not self._per_key[key]:
            del self._per_key[key], self._buckets[key]
        if not self.open:
            self._emptied.set()

    def list(self) -> list[dict[str, Any]]:
        """Each open socket as plain data, for people who look after the server."""
        return [socket.described() for socket in self.open]

    def embedded(self, token: str) -> Principal | None:
        """Who an embedded board shows for, by the token of its socket; None once that is closed or its key ended."""
        socket = self._by_token.get(token)
        return socket.principal if socket and not socket.ending and self._alive(socket.principal.key_id) else None

    def close(self, conn: str, code: int = Close.ADMIN, reason: str = "closed by an administrator") -> bool:
        """Close one socket by its name; False when there is none."""
        found = next((s for s in self.open if s.conn == conn), None)
        if found is not None:
            found.end(code, reason)
        return found is not None

    def close_key(self, key_id: str, code: int = Close.REVOKED, reason: str = "the key was revoked") -> int:
        """Close all sockets of a key; gives how many."""
        found = [s for s in self.open if s.principal.key_id == key_id]
        for socket in found:
            socket.end(code, reason)
        return len(found)

    def sweep(self) -> None:
        """Once a second: cut who was revoked, fell silent, or reads too slowly."""
        for key in [k for k in self._per_key if not self._alive(k)]:
            self.close_key(key)
        for socket in list(self.open):
            socket.swept()

    async def drain(self, grace_s: float = 5.0) -> None:
        """Say going_away, let requests under way end, close with 4001, cut who is still there. Takes at most
        `grace_s` and the grace of a close."""
        self.draining = True
        if not self.open:
            return
        going = messages.encode(messages.GoingAway(reconnect_after_ms=secrets.randbelow(2000) + 500))
        for socket in list(self.open):
            if socket.protocol == V1:
                socket.send(going)
        busy = [task for socket in self.open for task in socket.under_way]
        if busy:
            await asyncio.wait(busy, timeout=grace_s)
        self._emptied.clear()
        for socket in list(self.open):
            socket.end(Close.DRAIN, "draining")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._emptied.wait(), 2 * CLOSE_GRACE_S)


class Bucket:
    """A token bucket: `rate` messages a second, `burst` at once."""

    __slots__ = ("_at", "_burst", "_level", "_rate")

    def __init__(self, rate: float, burst: int) -> None:
        self._rate, self._burst, self._level, self._at = rate, burst, float(burst), time.monotonic()

    def take(self) -> float:
        """0 when there was a token, else the seconds until there is one."""
        now = time.monotonic()
        self._level = min(self._burst, self._level + (now - self._at) * self._rate)
        self._at = now
        if self._level >= 1:
            self._level -= 1
            return 0.0
        return (1 - self._level) / self._rate
