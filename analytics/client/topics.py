"""One subscription's place in its stream: what was seen last, what the state is, whether something is missing."""

from __future__ import annotations

from typing import Literal, Protocol

import msgspec

from analytics.client.faults import from_body
from analytics.client.results import Update
from analytics.messages import AnalyticsUpdate, ErrorReply, Frame, Question, Subscribe, Subscribed

Mode = Literal["latest", "log"]


class Reader(Protocol):
    """Where the updates of a topic go, and how it ends (None: it was closed)."""

    def put(self, update: Update) -> None: ...
    def end(self, error: Exception | None) -> None: ...


class Topic:
    """A subscription that outlives its connections."""

    def __init__(self, name: str, request: Question, mode: Mode, reader: Reader) -> None:
        self.name, self.request, self.mode, self.reader = name, request, mode, reader
        self.position: tuple[str, int] | None = None
        self.stands = False  # the server has accepted it once
        self.attempt = 0
        self._state: Update | None = None  # None while a snapshot is awaited
        self._gap = False

    def subscribe(self) -> Subscribe:
        """The message that begins it, or takes it up where it was."""
        since = None
        if self.position is not None and self._state is not None:
            since = {"epoch": self.position[0], "seq": self.position[1]}
        return Subscribe(sub=self.name, request=self.request, mode=self.mode, since=since)  # type: ignore[arg-type]

    def subscribed(self, message: Subscribed) -> None:
        """Replayed messages follow what was seen, or a snapshot replaces it."""
        self.stands, self.attempt = True, 0
        if not message.recovered:
            self._gap = self._gap or self.position is not None
            self._state = None

    def forget(self) -> None:
        """The stream is broken: only a snapshot can mend it."""
        self._gap, self._state = True, None

    def update(self, message: AnalyticsUpdate) -> None:
        """A whole answer: the first, the next, or one after a gap."""
        missing = self._missing(message.epoch, message.seq)
        if missing is None:
            return
        dropped = message.dropped if isinstance(message.dropped, int) else 0
        gap = self._gap or missing > dropped
        self._gap = False
        self._tell(msgspec.structs.replace(Update.of(message), gap=gap), message.epoch, message.seq)

    def frame(self, message: Frame) -> bool:
        """A change of a board. False when it does not follow what was seen, and a snapshot is needed."""
        if self._state is None:
            return True
        missing = self._missing(message.epoch, message.seq)
        if missing is None:
            return True
        if missing or message.epoch != self._state.epoch:
            return False
        self._tell(self._state.after(message), message.epoch, message.seq)
        return True

    def failed(self, message: ErrorReply) -> None:
        """A tick that could not be answered: said with the last known state; the subscription stands."""
        if self._state is not None:
            self.reader.put(msgspec.structs.replace(self._state, dropped=0, gap=False, error=from_body(message.error)))

    def _missing(self, epoch: object, seq: object) -> int | None:
        """Messages between the last one seen and this one; None for one that was seen already."""
        if self._state is None or self.position is None or epoch != self.position[0] or not isinstance(seq, int):
            return 0
        return seq - self.position[1] - 1 if seq > self.position[1] else None

    def _tell(self, update: Update, epoch: object, seq: object) -> None:
        self._state = update
        if isinstance(epoch, str) and isinstance(seq, int):
            self.position = (epoch, seq)
        self.reader.put(update)
