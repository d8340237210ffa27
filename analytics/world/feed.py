"""Sends the demo fleet to a server: the history at once, then live, second by second.

The server may be away at any time: events wait in a bounded buffer, the oldest give way, and every loss is
said aloud. A request that got no answer is sent again; the server knows the events by their event_id.
"""

from __future__ import annotations

import gzip
import http.client
import time
from collections import deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from random import Random
from threading import Event as Flag
from typing import Any, Protocol
from urllib.parse import urlsplit

import msgspec

from analytics.world.flows import Event

SECOND = timedelta(seconds=1)
PER_REQUEST = 4_000
BUFFER = 200_000
HOST_EVERY_S = 2.0
BACKOFF_S, BACKOFF_MOST_S = 0.25, 30.0
RETRY = (408, 425, 429, 500, 502, 503, 504, 507)
SPOILED = (400, 413, 422)  # this request will never pass, the next one may


class Away(Exception):
    """No answer now, or one that asks for patience: try again, not sooner than `after_s`."""

    def __init__(self, reason: str, after_s: float = 0.0) -> None:
        super().__init__(reason)
        self.after_s = after_s


class Spoiled(Exception):
    """The server will not take these events."""


class Refused(Exception):
    """The server will not take anything from us."""


class Readings(Protocol):
    """What reads a machine: analytics.host.Sampler."""

    def read(self, now: datetime) -> list[dict[str, Any]]: ...


class Sender:
    """One kept-alive connection to `POST /api/ingest/events` of the server at `url`."""

    def __init__(self, url: str, key: str, *, timeout_s: float = 30.0) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"expected a URL like http://127.0.0.1:5006, got {url!r}")
        connect = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = connect(parts.hostname, parts.port, timeout=timeout_s)
        self._path = parts.path.rstrip("/") + "/api/ingest/events"
        self._key = key
        self._headers = {"X-API-Key": key, "Content-Type": "application/x-ndjson", "Content-Encoding": "gzip"}

    def send(self, events: list[Event]) -> list[dict[str, Any]]:
        """Send one request; returns what the server dropped, by reason. Raises Away, Spoiled, Refused."""
        body = gzip.compress(msgspec.json.Encoder().encode_lines(events), compresslevel=1)
        try:
            self._connection.request("POST", self._path, body, self._headers)
            response = self._connection.getresponse()
            answer = response.read()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise Away(str(error) or type(error).__name__) from None
        said = f"{response.status} {self._detail(answer) or response.reason}"
        if response.status == 200:
            return self._dropped(answer)
        if response.status in RETRY:
            raise Away(said, _seconds(response.getheader("Retry-After")))
        raise (Spoiled if response.status in SPOILED else Refused)(said)

    def close(self) -> None:
        self._connection.close()

    def _detail(self, answer: bytes) -> str:
        try:
            problem = msgspec.json.decode(answer)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return ""
        detail = problem.get("detail") if isinstance(problem, dict) else None
        return str(detail or "")[:200].replace(self._key, "(the key)")

    def _dropped(self, answer: bytes) -> list[dict[str, Any]]:
        try:
            return msgspec.json.decode(answer, type=_Accepted).dropped
        except (msgspec.DecodeError, UnicodeDecodeError):
            self.close()
            raise Away("200 with a body that is no answer of ours") from None


class _Accepted(msgspec.Struct):
    accepted: int
    dropped: list[dict[str, Any]] = []


class Feed:
    """Sends `batches`, one list of events per second from `since` on: at once up to `now`, then as time goes by.

    `speed` is seconds of the batches per second: above 1 they run ahead of the clock. `say` gets sentences
    for people; no key is ever in them.
    """

    def __init__(
        self,
        batches: Iterator[list[Event]],
        since: datetime,
        now: datetime,
        sender: Sender,
        say: Callable[[str], None],
        *,
        speed: float = 1.0,
        host: Readings | None = None,
        buffer: int = BUFFER,
    ) -> None:
        self.since, self.live, self.sender, self.say, self.speed, self.host = since, now, sender, say, speed, host
        self.sent = 0
        self.lost = 0
        self._limit = buffer
        self._buffer: deque[Event] = deque()
        self._batches = batches
        self._next = since  # the second that comes next out of _batches
        self._history = since < now  # whether some of it is still to be sent
        self._began = time.time()
        self._next_host = 0.0
        self._away_since: float | None = None
        self._attempt = 0
        self._retry_at = 0.0
        self._backoff = Random()
        self._told: set[str] = set()

    def run(self, stop: Flag, alive: Callable[[], bool] = lambda: True) -> None:
        """Send until told to stop or no longer `alive` (asked at least once a second). Raises Refused."""
        try:
            while alive() and not stop.is_set():
                self._gather()
                if self._buffer and time.monotonic() >= self._retry_at:
                    self._flush()
                if self._history and self._next >= self.live and not self._buffer:
                    self._history = False
                    self.say(f"history sent: {self.sent:,} events since {self.since:%H:%M} UTC; now live")
                stop.wait(self._idle_s())
        finally:
            self.sender.close()

    def _now(self) -> datetime:
        """The time of the batches."""
        return self.live + timedelta(seconds=(time.time() - self._began) * self.speed)

    def _gather(self) -> None:
        """Take what is due: of the history one request's worth, of the live events all."""
        now = self._now()
        while self._next + SECOND <= now and (len(self._buffer) < PER_REQUEST or self._next >= self.live):
            self._keep(next(self._batches))
            self._next += SECOND
        if self.host and time.monotonic() >= self._next_host:
            self._next_host = time.monotonic() + HOST_EVERY_S
            self._keep(self.host.read(datetime.now(UTC)))

    def _keep(self, events: list[Event]) -> None:
        self._buffer.extend(events)
        over = len(self._buffer) - self._limit
        if over <= 0:
            return
        if not self.lost:
            self.say(f"buffer full at {self._limit:,} events: dropping the oldest until the server is back")
        for _ in range(over):
            self._buffer.popleft()
        self.lost += over

    def _flush(self) -> None:
        """Send the oldest events; they leave the buffer when the server has them, or never will."""
        events = list(islice(self._buffer, PER_REQUEST))
        try:
            dropped = self.sender.send(events)
        except Away as away:
            self._wait(str(away), away.after_s)
            return
        except Spoiled as spoiled:
            self.say(f"{len(events):,} events dropped, the server will not have them: {spoiled}")
        else:
            self.sent += len(events)
            self._report(dropped)
        for _ in events:
            self._buffer.popleft()
        if self._away_since is not None:
            self.say(f"the server is back after {time.monotonic() - self._away_since:.0f} s; {self.lost:,} events lost")
            self._away_since, self._attempt, self.lost = None, 0, 0

    def _wait(self, reason: str, after_s: float) -> None:
        """Exponential back-off with full jitter, for ever."""
        if self._away_since is None:
            self._away_since = time.monotonic()
            self.say(f"the server is away ({reason}); holding events and trying again")
        most = min(BACKOFF_MOST_S, BACKOFF_S * 2 ** min(self._attempt, 10))
        self._attempt += 1
        self._retry_at = time.monotonic() + max(after_s, self._backoff.uniform(0, most))

    def _report(self, dropped: list[dict[str, Any]]) -> None:
        """Say each of the server's reasons once: a restart repeats events it already has."""
        for entry in dropped:
            if (reason := str(entry.get("reason"))) not in self._told:
                self._told.add(reason)
                self.say(f"the server dropped {entry.get('count')} of our events: {reason} (said once)")

    def _idle_s(self) -> float:
        """How long nothing is to be done, at most a second."""
        due = (self._next + SECOND - self._now()).total_seconds() / self.speed
        retry = self._retry_at - time.monotonic()
        if self._buffer and retry > 0:
            return min(retry, 1.0)
        more = len(self._buffer) >= PER_REQUEST or (self._buffer and self._next >= self.live)
        return 0.0 if more else min(max(due, 0.0), 1.0)


def _seconds(header: str | None) -> float:
    """Retry-After in seconds; its date form is not worth understanding here."""
    return min(float(header), 60.0) if header and header.isdecimal() else 0.0
