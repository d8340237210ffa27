"""What can be iterated over: updates of a subscription, states of a connection."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec

from analytics.client.core import Core, State
from analytics.client.results import Update
from analytics.client.topics import Mode, Topic
from analytics.errors import Overloaded, PlumblineError, Timeout
from analytics.messages import Question

log = logging.getLogger(__name__)

LOG_LIMIT = 10_000  # updates of a `log` subscription that nobody reads


class Subscription:
    """An async iterator of Update. Ends when it or the client is closed; raises why it cannot go on."""

    def __init__(self, core: Core, request: Question, mode: Mode, timeout_s: float) -> None:
        self._core, self._mode, self._timeout_s = core, mode, timeout_s
        self._updates: deque[Update] = deque()
        self._error: Exception | None = None
        self._ended = self._begun = False
        self._arrived = asyncio.Event()
        self._topic: Topic = core.subscribe(request, mode, self)

    def put(self, update: Update) -> None:
        """Called with what arrives; keeps only the newest, in mode log all."""
        if self._mode == "latest" and self._updates:
            unread = self._updates.pop()
            update = msgspec.structs.replace(
                update, dropped=update.dropped + unread.dropped + 1, gap=update.gap or unread.gap
            )
        self._updates.append(update)
        if len(self._updates) > LOG_LIMIT:
            self._core.unsubscribe(self._topic)
            self.end(Overloaded(f"{LOG_LIMIT:,} updates were not read", hint="read faster, or use mode latest"))
        self._arrived.set()

    def end(self, error: Exception | None) -> None:
        """Called once: nothing more comes."""
        self._ended = True
        self._error = self._error or error
        self._arrived.set()

    def close(self) -> None:
        """Stop the subscription; what was not read is forgotten."""
        self._core.unsubscribe(self._topic)
        self._updates.clear()
        self.end(None)

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> Update:
        """The next update; the first within the client's timeout. Raises Timeout, or why it was refused."""
        try:
            async with asyncio.timeout(None if self._begun else self._timeout_s):
                while not self._updates and not self._ended:
                    self._arrived.clear()
                    await self._arrived.wait()
        except TimeoutError:
            self.close()
            raise Timeout(f"no first update within {self._timeout_s:g} s; {self._core.state}") from None
        if self._updates:
            self._begun = True
            return self._updates.popleft()
        error, self._error = self._error, None
        raise error or StopAsyncIteration

    async def __aenter__(self) -> Subscription:
        return self

    async def __aexit__(self, *error: object) -> None:
        self.close()


class States:
    """An async iterator of State: the one at its making, then every change, to the end."""

    def __init__(self, first: State) -> None:
        self._states = deque([first])
        self._arrived = asyncio.Event()
        self._ended = False

    def put(self, state: State) -> None:
        self._states.append(state)
        self._arrived.set()

    def __aiter__(self) -> States:
        return self

    async def __anext__(self) -> State:
        while not self._states:
            if self._ended:
                raise StopAsyncIteration
            self._arrived.clear()
            await self._arrived.wait()
        state = self._states.popleft()
        self._ended = state.name in ("closed", "failed")
        return state


async def delivered(subscription: Subscription, on_update: Callable[[Update], Any]) -> None:
    """Feed a callback, plain or async. What ends the subscription comes as the last update's error."""
    last = None
    while True:
        try:
            update = last = await anext(subscription)
        except StopAsyncIteration:
            return
        except PlumblineError as error:
            update = _ending(last, error)
        try:
            told = on_update(update)
            if inspect.isawaitable(told):
                await told
        except Exception:
            log.exception("on_update failed")


def _ending(last: Update | None, error: PlumblineError) -> Update:
    if last is not None:
        return msgspec.structs.replace(last, error=error, dropped=0, gap=False)
    now = datetime.now(UTC)
    return Update(analytics=None, insights=[], confidence=0.0, confidence_parts={}, timestamp=now, error=error)
