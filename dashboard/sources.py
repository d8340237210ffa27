"""Where a notebook's board has its numbers from: a server, or data in the kernel itself."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from pathlib import Path
from typing import Any, Literal, Protocol

import msgspec

from analytics.client import Client, State, Unreachable, Update
from analytics.errors import PlumblineError
from analytics.local import NAME, Local
from analytics.messages import BoardRequest
from analytics.workspace import Board, Dataset, Dimension, Metric, Workspace

log = logging.getLogger(__name__)

ROOT = Path(__file__).resolve().parent.parent
WHAT: tuple[Literal["datasets", "dimensions", "metrics", "boards"], ...] = (
    "datasets",
    "dimensions",
    "metrics",
    "boards",
)


class Heard(Protocol):
    """Who hears of a standing request, from a thread of the source's."""

    def answered(self, state: dict[str, Any], at: int) -> None:
        """The whole state of the board, and the moment it is of in ms; not to be changed."""

    def refused(self, error: PlumblineError) -> None:
        """There is no answer, and why."""

    def connected(self, state: State) -> None:
        """How the connection stands."""


class Source(Protocol):
    """What a board in a notebook needs.

    default: the board that is shown when none is named. told: what it is, for people. url: of the server, "" without
    one. timeless: no row has a time. compare: what to compare with at first.
    """

    default: str
    told: str
    url: str
    timeless: bool
    compare: str

    def workspace(self) -> Workspace: ...
    def home(self, board: Board) -> str:
        """The window that a board begins with."""

    def follow(self, request: BoardRequest, heard: Heard) -> Callable[[], None]:
        """Answer now and on every change; returns the way to stop."""

    def close(self) -> None: ...


class RemoteSource:
    """A Plumbline server, through its public API."""

    default = "overview"
    timeless = False
    compare = "previous"

    def __init__(self, url: str, key: str | None) -> None:
        self._client = Client(url, key)
        self.url = self._client.url
        self.told = self.url.partition("//")[2]

    def __repr__(self) -> str:
        return f"url={self.url!r}"

    def workspace(self) -> Workspace:
        """What the key may see of it. Raises Unreachable, Unauthorized."""
        try:
            told = {what: self._client.catalogue(what) for what in WHAT}
        except Unreachable as error:
            raise Unreachable(f"no server at {self.url}: {error.message}", hint="is it running?") from None
        kinds: dict[str, Any] = {"datasets": Dataset, "dimensions": Dimension, "metrics": Metric, "boards": Board}
        made: dict[str, Any] = {
            what: {x["name"]: msgspec.convert(x, kinds[what]) for x in found} for what, found in told.items()
        }
        return Workspace(**made)

    def home(self, board: Board) -> str:
        return board.window

    def follow(self, request: BoardRequest, heard: Heard) -> Callable[[], None]:
        def arrived(update: Update) -> None:
            if update.error is not None:
                heard.refused(update.error)
            elif update.analytics is not None:
                heard.answered(update.analytics, int(update.timestamp.timestamp() * 1000))

        unhear = self._client.on_state(heard.connected)
        subscription = self._client.subscribe(request, on_update=arrived)

        def stop() -> None:
            unhear()
            subscription.close()

        return stop

    def close(self) -> None:
        self._client.close()


class LocalSource:
    """Data without a server, in an engine of the kernel's own. It does not change, so it is asked once."""

    url = ""

    def __init__(self, data: Any, time: str | None) -> None:
        self._local = Local(data, time, workspaces=sorted((ROOT / "assets/workspaces").glob("*.yaml")))
        is_file = isinstance(data, str | Path)
        self.default = RemoteSource.default if is_file else NAME
        self.compare = RemoteSource.compare if is_file else "off"  # there is nothing before the first row
        self.timeless, self.told = self._local.timeless, self._local.told
        self._shown = f"data={str(data)!r}" if is_file else f"data={type(data).__name__} of {self.told}"

    def __repr__(self) -> str:
        return self._shown

    def workspace(self) -> Workspace:
        return self._local.workspace

    def home(self, board: Board) -> str:
        return self._local.home(board)

    def follow(self, request: BoardRequest, heard: Heard) -> Callable[[], None]:
        def arrived(future: Future[Any]) -> None:
            try:
                state = future.result().analytics
            except CancelledError:
                return
            except PlumblineError as error:
                heard.refused(error)
            except Exception as error:
                log.exception("a board was not answered")
                heard.refused(PlumblineError(f"this could not be answered: {error}"))
            else:
                heard.answered(state, state["now"])

        asked = self._local.begin(request)
        asked.add_done_callback(arrived)

        def stop() -> None:
            asked.cancel()

        return stop

    def close(self) -> None:
        self._local.close()
